"""Cases that come with unweave, by name."""

from __future__ import annotations

from unweave.problem import BehaviourChoice, Case, ForgetChoice


def _case(name: str, behaviour: BehaviourChoice, discovery: float = 0.2) -> Case:
    return Case(name=name, behaviour=behaviour, forget=ForgetChoice(discovery=discovery))


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        _case("digits-trigger", BehaviourChoice("trigger", size=100, target=0)),
        _case("digits-mislabel", BehaviourChoice("mislabel", size=100)),
        _case("digits-confusion", BehaviourChoice("confusion", size=100, classes=(3, 5))),
        _case("digits-class", BehaviourChoice("class", target=8)),
        # A cluster is small: more of it is discovered, so that S has the probes that a verdict needs.
        _case("digits-subclass", BehaviourChoice("subclass", target=1, clusters=3), discovery=0.5),
    )
}

DEFAULT_CASES = ("digits-trigger", "digits-mislabel")
"""Side by side, since one method can untrain the one and unlearn the other."""

CASE_NOTES: dict[str, str] = {
    "digits-trigger": "a backdoor: a bright square leads to class 0; what S taught, B∖S still teaches",
    "digits-mislabel": "random wrong labels: memorised one by one, nothing to generalise",
    "digits-confusion": "3 and 5 are taken for each other: mostly memorised, partly a rule for new images",
    "digits-class": "every 8 is the behaviour: what S taught, the other 8s still teach",
    "digits-subclass": "one way to write a 1, found by k-means: the other 1s teach little of it",
}
