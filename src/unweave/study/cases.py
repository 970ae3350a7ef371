"""Cases that come with unweave, by name."""

from __future__ import annotations

from unweave.problem import BehaviourChoice, Case, ForgetChoice

CASES: dict[str, Case] = {
    "digits-trigger": Case(
        name="digits-trigger",
        behaviour=BehaviourChoice("trigger", size=100, target=0),
        forget=ForgetChoice(discovery=0.2),
    ),
    "digits-mislabel": Case(
        name="digits-mislabel",
        behaviour=BehaviourChoice("mislabel", size=100),
        forget=ForgetChoice(discovery=0.2),
    ),
}

DEFAULT_CASES = ("digits-trigger", "digits-mislabel")
"""Side by side, since one method can untrain the one and unlearn the other."""

CASE_NOTES: dict[str, str] = {
    "digits-trigger": "a backdoor: a bright square leads to class 0; what S taught, B∖S still teaches",
    "digits-mislabel": "random wrong labels: memorised one by one, nothing to generalise",
}
