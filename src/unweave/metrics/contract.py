"""The registry of metrics, and the reasons why some may not be asked of an aim or on a group."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from unweave._gate import AIMS, ALLOWED, Aim, Group, Measurement, register
from unweave._registry import Registry

METRICS: Registry[Measurement] = Registry("metric")
metric = partial(register, METRICS)
"""Register a metric: a pure function from arrays to numbers, with what it declares."""

OF_UNTRAINING: Mapping[Aim, str] = {
    "untraining": ALLOWED,
    "unlearning": "A(D∖S) is the reference of untraining and only a competitor for unlearning: it was trained on "
    "B∖S. Measure the distance to A(D∖B).",
}
OF_UNLEARNING: Mapping[Aim, str] = {
    "untraining": "A(D∖B) is the reference of unlearning; untraining is to undo S alone, and B∖S stays. "
    "Measure the distance to A(D∖S).",
    "unlearning": ALLOWED,
}

_NO_DAMAGE = "A change is wanted here; damage is what changed on examples without the behaviour."
ON_ORDINARY: Mapping[Aim, Mapping[Group, str]] = {
    aim: {"forget": _NO_DAMAGE, "undiscovered": _NO_DAMAGE, "unseen": _NO_DAMAGE} for aim in AIMS
}
"""For damage, which is measured on D∖B and on test alone."""

_NOTHING_TO_SHOW = "Examples without the behaviour have no label that would show it."
ON_THE_BEHAVIOUR: Mapping[Aim, Mapping[Group, str]] = {
    aim: {"retain": _NOTHING_TO_SHOW, "test": _NOTHING_TO_SHOW} for aim in AIMS
}
