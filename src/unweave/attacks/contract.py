"""The registry of attacks, and where membership may not be asked about at all."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from unweave._gate import BOTH, Aim, Group, Measurement, register
from unweave._registry import Registry

ATTACKS: Registry[Measurement] = Registry("attack")
attack = partial(register, ATTACKS)
"""Register an attack: a function whose scores are higher where an example is more likely a member, always."""

SAYS_NOTHING = (
    "Membership inference on S says nothing about unlearning: S may have been untrained while the behaviour "
    "lives on in what B∖S taught."
)
NEVER_TRAINED_ON = "No model was trained on these examples: they are not members, whatever the method did."
FITTED_ON = "The attack is fitted on these examples, or on others like them: it has nothing to say about them."

MEMBERSHIP: Mapping[Aim, str] = BOTH
"""Membership may be asked of both aims, each against its own reference, but not on every group."""
NOT_ON: Mapping[Aim, Mapping[Group, str]] = {
    "untraining": {"unseen": NEVER_TRAINED_ON, "test": NEVER_TRAINED_ON},
    "unlearning": {"forget": SAYS_NOTHING, "test": NEVER_TRAINED_ON},
}
NOT_ON_ORDINARY: Mapping[Aim, Mapping[Group, str]] = {
    aim: {**groups, "retain": FITTED_ON, "test": FITTED_ON} for aim, groups in NOT_ON.items()
}
"""For attacks that are fitted on examples of D∖B and of the test data."""
