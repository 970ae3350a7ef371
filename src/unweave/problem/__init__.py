"""The problem: a case, its aims, behaviours, forget sets and probe groups. Imports no other room."""

from unweave.problem.behaviours import BEHAVIOURS as BEHAVIOURS
from unweave.problem.behaviours import Planted as Planted
from unweave.problem.behaviours import Unseen as Unseen
from unweave.problem.behaviours import plant as plant
from unweave.problem.behaviours import shows as shows
from unweave.problem.case import AIM_GROUPS as AIM_GROUPS
from unweave.problem.case import BehaviourChoice as BehaviourChoice
from unweave.problem.case import Case as Case
from unweave.problem.case import DataChoice as DataChoice
from unweave.problem.case import ForgetChoice as ForgetChoice
from unweave.problem.case import LearnerChoice as LearnerChoice
from unweave.problem.case import ProbeChoice as ProbeChoice
from unweave.problem.case import ReferenceChoice as ReferenceChoice
from unweave.problem.forget import SELECTIONS as SELECTIONS
from unweave.problem.forget import select as select
from unweave.problem.ids import known_ids as known_ids
from unweave.problem.ids import rows_of_ids as rows_of_ids
from unweave.problem.outside import draw_outside as draw_outside
from unweave.problem.probes import GROUPS as GROUPS
from unweave.problem.probes import MIN_PROBES as MIN_PROBES
from unweave.problem.probes import Probes as Probes
from unweave.problem.probes import choose_probes as choose_probes
from unweave.problem.probes import hold_out as hold_out
from unweave.problem.probes import join_probes as join_probes
from unweave.problem.probes import sample_rows as sample_rows
from unweave.problem.probes import strata as strata
