"""What people ask models to forget, and which of the two aims that needs."""

from __future__ import annotations

from typing import Literal, NamedTuple

from unweave._errors import UnknownNameError


class Use(NamedTuple):
    """A use case: the aim that it needs, and why."""

    aim: Literal["untraining", "unlearning"]
    why: str


USES: dict[str, Use] = {
    "privacy": Use("untraining", "a person asks that their examples leave no trace: A(D∖S) is what they are owed"),
    "mislabelled": Use("untraining", "what was learned from wrong labels is to go, and the task to stay"),
    "outdated": Use("untraining", "old examples are to count no longer; what others say of the same stays true"),
    "verbatim": Use("untraining", "a text is not to be repeated; what can be said without it may be said"),
    "extraction": Use("untraining", "an example is not to be read from the model, which generalises as before"),
    "backdoor": Use("unlearning", "the trigger is to do nothing, also in poisoned examples that nobody found"),
    "poison": Use("unlearning", "what the poison taught is to go, and only a part of the poison was discovered"),
    "dangerous-knowledge": Use("unlearning", "the knowledge is to go wherever it was learned, not these examples"),
    "unsafe-concept": Use("unlearning", "the concept is to go, of which S shows a few instances"),
    "style": Use("unlearning", "a style is to be gone, and S shows some works in it"),
}


def use_of(name: str) -> Use:
    """A use case by its name.

    Raises:
        UnknownNameError: for a name that is not known; near ones are offered.

    Example:
        >>> use_of("privacy").aim, use_of("backdoor").aim
        ('untraining', 'unlearning')
    """
    if name not in USES:
        raise UnknownNameError("use", name, USES)
    return USES[name]
