"""Which metrics and attacks are asked for by name, beside the map."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from unweave._errors import SpecError, UnknownNameError
from unweave._gate import AIMS, GROUPS, Aim, Group
from unweave.study.applicability import measurement
from unweave.study.choices import shown

_GRAMMAR = "NAME, NAME:AIM, NAME@GROUP or NAME:AIM@GROUP, such as tow or lira_offline:unlearning@undiscovered"


@dataclass(frozen=True)
class MeasureChoice:
    """A metric or an attack by name, or `all` that apply; `aim` None = every aim that it may be asked of.

    `group`: where it is asked.
    """

    name: str
    aim: Aim | None = None
    group: Group = "forget"

    def __str__(self) -> str:
        """As it is written."""
        aim = "" if self.aim is None else f":{self.aim}"
        return f"{self.name}{aim}" + ("" if self.group == "forget" else f"@{self.group}")


@dataclass(frozen=True)
class Asked:
    """What is measured of every row: what, for which aim, on which probe group; and what the gate said."""

    name: str
    aim: Aim
    group: Group
    status: str
    reason: str

    def to_json(self) -> dict[str, str]:
        """As an argument of a task."""
        return asdict(self)

    @staticmethod
    def from_json(given: dict[str, Any]) -> Asked:
        """What `to_json` wrote."""
        return Asked(**given)


def read_measures(given: Any) -> tuple[MeasureChoice, ...] | None:
    """The list `measures` of a spec, or of `--measure`; a text may hold several, separated by commas.

    Returns:
        What is asked for; None where nothing is said, () for `none`.

    Raises:
        SpecError: for what is no such text.
        UnknownNameError: for a name that is neither metric nor attack, an aim or a group that does not exist.

    Example:
        >>> [str(one) for one in read_measures("tow, lira_offline:unlearning@unseen")]
        ['tow', 'lira_offline:unlearning@unseen']
    """
    if given is None:
        return None
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not all(isinstance(one, str) for one in texts):
        raise SpecError(f"`measures` is {shown(given)}; expected a list of {_GRAMMAR}.")
    parts = [part.strip() for text in texts for part in text.split(",")]
    if parts == ["none"]:
        return ()
    if not parts or not all(parts):
        raise SpecError(f"`measures` is {shown(given)}; expected a list of {_GRAMMAR}, or none.")
    return tuple(dict.fromkeys(_choice(part) for part in parts))


def _choice(text: str) -> MeasureChoice:
    before, at, group = (part.strip() for part in text.partition("@"))
    name, colon, aim = (part.strip() for part in before.partition(":"))
    if not name or (at and not group) or (colon and not aim):
        raise SpecError(f"`measures` holds {shown(text)}; expected {_GRAMMAR}.")
    if name != "all":
        measurement(name)
    if colon and aim not in AIMS:
        raise UnknownNameError(f"aim in `{text}`", aim, AIMS)
    if at and group not in GROUPS:
        raise UnknownNameError(f"probe group in `{text}`", group, GROUPS)
    known: dict[str, Aim] = {one: one for one in AIMS}
    groups: dict[str, Group] = {one: one for one in GROUPS}
    return MeasureChoice(name, known[aim] if colon else None, groups[group] if at else "forget")
