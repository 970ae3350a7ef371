"""The register of claims: files of `claims/`, each with runs of commands and the claims read from them."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.proof.reading import REDUCE, agrees, figures, marked

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "claims"
BOUNDS = ("at_least", "at_most", "within", "equals", "among", "excludes", "agrees")


class ClaimError(Exception):
    """A file of claims that says something that cannot be meant."""


@dataclass(frozen=True)
class Run:
    """Commands that are done one after another in one empty folder; `seconds` on two quiet cores."""

    name: str
    commands: tuple[str, ...]
    seconds: float
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """Where a figure is: a path in a JSON file, a pattern in it or in what a step printed, or a step's time."""

    json: str = ""
    at: str = ""
    pattern: str = ""
    step: int = 0
    seconds: bool = False
    reduce: str = ""


@dataclass(frozen=True)
class Claim:
    """A sentence of a document, the run and the reading of its figure, and the bound that it has to keep."""

    id: str
    file: str
    says: str
    run: str
    reading: Reading
    over: Reading | None = None
    table: str = ""
    columns: Mapping[str, str | list[str]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    scale: float = 1.0
    bound: tuple[str, Any] = ("agrees", None)

    @property
    def quotation(self) -> str:
        """The sentence as it stands in the document."""
        return marked(self.says)[0]

    @property
    def claimed(self) -> str:
        """What is claimed, in a few words."""
        kind, value = self.bound
        inner = marked(self.says)[1]
        if kind == "agrees":
            return inner or self.says
        words = {"at_least": "≥", "at_most": "≤", "within": "in", "equals": "=", "among": "among"}
        told = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return f"{words.get(kind, kind)} {told}"


def normal(text: str) -> str:
    """A text without line breaks and marks of lists, by which a quotation is found across lines."""
    return " ".join(text.split())


def stands(claim: Claim, root: Path = ROOT) -> bool:
    """Whether the document still says so."""
    return normal(claim.quotation) in normal((root / claim.file).read_text(encoding="utf-8"))


def _only(given: Mapping[str, Any], kind: type, where: str, also: Iterable[str] = ()) -> None:
    known = {one.name for one in dataclasses.fields(kind)} | set(also)
    if unknown := set(given) - known:
        raise ClaimError(f"{where}: unknown {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")


def _reading(given: Mapping[str, Any], where: str) -> Reading:
    one = Reading(**given)
    if one.seconds == bool(one.json or one.pattern):
        raise ClaimError(f"{where}: needs `json`, or `pattern`, or `seconds`")
    if one.reduce and one.reduce not in REDUCE:
        raise ClaimError(f"{where}: no `{one.reduce}` among {', '.join(REDUCE)}")
    return one


def _claim(given: dict[str, Any], where: str) -> Claim:
    where = f"{where}, {given.get('id', 'a claim without an id')}"
    parts = {one.name for one in dataclasses.fields(Reading)}
    _only(given, Claim, where, {*parts, *BOUNDS} - {"reading", "bound"})
    read = {name: given.pop(name) for name in list(given) if name in parts}
    bounds = [(name, given.pop(name)) for name in list(given) if name in BOUNDS]
    if len(bounds) > 1:
        raise ClaimError(f"{where}: more than one bound")
    over = given.pop("over", None)
    try:
        claim = Claim(
            **given,
            reading=_reading(read, where),
            over=None if over is None else _reading(over, where),
            **({"bound": bounds[0]} if bounds else {}),
        )
    except TypeError as why:
        raise ClaimError(f"{where}: {why}") from None
    if claim.bound[0] == "agrees" and not claim.columns and not figures(marked(claim.says)[1] or ""):
        raise ClaimError(f"{where}: no figure between braces, and no bound")
    if claim.columns and not (claim.table and claim.bound[0] == "at_least"):
        raise ClaimError(f"{where}: `columns` need `table`, a heading, and `at_least`, the share that agrees")
    return claim


def read(folder: Path = FOLDER) -> tuple[dict[str, Run], list[Claim]]:
    """All runs by name and all claims.

    Raises:
        ClaimError: for unknown keys, a claim without a run, and names that stand twice.
    """
    runs: dict[str, Run] = {}
    claims: list[Claim] = []
    for file in sorted(folder.glob("*.toml")):
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        for given in content.get("run", []):
            _only(given, Run, f"{file.name}, {given.get('name')}")
            one = Run(**{**given, "commands": tuple(given["commands"]), "needs": tuple(given.get("needs", ()))})
            if one.name in runs:
                raise ClaimError(f"{file.name}: the run `{one.name}` stands twice")
            runs[one.name] = one
        claims += [_claim(given, file.name) for given in content.get("claim", [])]
    twice = {one.id for one in claims if sum(other.id == one.id for other in claims) > 1}
    lost = {one.run for one in claims} - set(runs)
    idle = set(runs) - {one.run for one in claims}
    for what, names in (("ids that stand twice", twice), ("runs that are not there", lost), ("idle runs", idle)):
        if names:
            raise ClaimError(f"{what}: {', '.join(sorted(names))}")
    return runs, claims


def keeps(claim: Claim, measured: Any) -> bool:
    """Whether what was measured is within the bound of the claim."""
    kind, bound = claim.bound
    if kind == "agrees":
        return agrees(figures(marked(claim.says)[1] or "", claim.scale)[0], measured)
    value = getattr(measured, "value", measured)
    match kind:
        case "at_least":
            return value >= bound
        case "at_most":
            return value <= bound
        case "within":
            return bound[0] <= value <= bound[1]
        case "among":
            return value in bound
        case "excludes":
            return not set(value) & set(bound)
        case _:
            return value == bound
