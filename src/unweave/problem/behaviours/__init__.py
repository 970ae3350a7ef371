"""Behaviours, one file by mechanism, and the registry in which they all stand."""

from unweave.problem.behaviours.concepts import by_ids, subclass, whole_class
from unweave.problem.behaviours.duplicates import duplicates
from unweave.problem.behaviours.labels import confusion, mislabel, systematic
from unweave.problem.behaviours.planting import BEHAVIOURS as BEHAVIOURS
from unweave.problem.behaviours.planting import Declared
from unweave.problem.behaviours.planting import Planted as Planted
from unweave.problem.behaviours.planting import Unseen as Unseen
from unweave.problem.behaviours.planting import plant as plant
from unweave.problem.behaviours.planting import shows as shows
from unweave.problem.behaviours.triggers import trigger

BEHAVIOURS.add("trigger", trigger, Declared("high", "gu2017badnets"))
BEHAVIOURS.add("mislabel", mislabel, Declared("low", "goel2024corrective"))
BEHAVIOURS.add("confusion", confusion, Declared("medium", "goel2022adversarial"))
BEHAVIOURS.add("systematic", systematic, Declared("medium", "tolpegin2020poisoning"))
BEHAVIOURS.add("duplicates", duplicates, Declared("low", "lee2022deduplicating"))
BEHAVIOURS.add("class", whole_class, Declared("high", "golatkar2020eternal"))
BEHAVIOURS.add("subclass", subclass, Declared("high", "foster2024ssd"))
BEHAVIOURS.add("ids", by_ids, Declared("any", "–"))
