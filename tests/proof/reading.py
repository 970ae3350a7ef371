"""How a figure is read: from what a command wrote, and from the sentence that claims it.

A claimed figure stands between braces in its quotation: `t {0.67 [0.55, 0.79]}`. The document holds the sentence
without them, so that no figure is written twice.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Unreadable(Exception):
    """What was claimed could not be read from what the command wrote."""


class Figure(NamedTuple):
    """An estimate with the ends of its interval, where it has one, and half a unit of its last digit."""

    value: float
    low: float | None = None
    high: float | None = None
    slack: float = 0.0

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.0f}" if self.value == round(self.value) else f"{self.value:.4g}"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


_NUMBER = r"[−-]?(?:\d{1,3}(?:[ ,\u202f]\d{3})+|\d+)?(?:\.\d+)?(?:e[−-]?\d+)?"
_FIGURE = re.compile(rf"({_NUMBER})\s*(%?)(?:\s*\[({_NUMBER}),\s*({_NUMBER})\])?")


def _number(text: str) -> float:
    return float(re.sub(r"[ ,\u202f]", "", text).replace("−", "-"))


def figures(text: str, scale: float = 1.0) -> list[Figure]:
    """All figures of a text: `.95`, `1 400`, `60% [51, 68]`; percents are shares."""
    found: list[Figure] = []
    for match in _FIGURE.finditer(text):
        value, percent, low, high = match.groups()
        if not re.search(r"\d", value):
            continue
        unit = scale * (0.01 if percent else 1.0)
        mantissa, _, exponent = value.partition("e")
        places = len(mantissa.partition(".")[2]) - int(exponent.replace("−", "-") or 0)
        ends = (None, None) if low is None else (_number(low) * unit, _number(high) * unit)
        found.append(Figure(_number(value) * unit, *ends, slack=0.5 * 10.0**-places * unit * (1 + 1e-6)))
    return found


def marked(says: str) -> tuple[str, str | None]:
    """A quotation without its braces, and what stands between them."""
    match = re.search(r"\{(.*?)\}", says)
    return re.sub(r"[{}]", "", says), None if match is None else match.group(1)


def agrees(claimed: Figure, measured: Figure) -> bool:
    """Two estimates with intervals agree where these meet, one without where it lies in the other's interval.

    Two numbers without intervals have to be the same when rounded as the claimed one is.
    """
    ours = (claimed.value, claimed.value) if claimed.low is None else (claimed.low, claimed.high)
    theirs = (measured.value, measured.value) if measured.low is None else (measured.low, measured.high)
    assert ours[0] is not None and ours[1] is not None and theirs[0] is not None and theirs[1] is not None
    return ours[0] - claimed.slack <= theirs[1] and theirs[0] <= ours[1] + claimed.slack


_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")
_IDENTITIES = ("id", "name", "row", "method", "behaviour", "label")


def _pick(item: Any, key: str, path: str) -> Any:
    if isinstance(item, Mapping):
        if key in item:
            return item[key]
        raise Unreadable(f"{path}: no `{key}` among {', '.join(map(str, item))[:200]}")
    if isinstance(item, Sequence) and not isinstance(item, str):
        if re.fullmatch(r"-?\d+", key):
            return item[int(key)]
        for one in item:
            if isinstance(one, Mapping) and key in [one.get(name) for name in _IDENTITIES]:
                return one
    raise Unreadable(f"{path}: nothing of the name `{key}`")


def _picked(found: list[Any], key: str, path: str, several: bool) -> Iterator[Any]:
    for item in found:
        try:
            yield _pick(item, key, path)
        except Unreadable:
            if not several:
                raise


def at(content: Any, path: str) -> Any:
    """What stands at `cases[digits-trigger].rows[kind=method].label`; a list where a step takes several.

    `[name]` takes the item of that id or name, `[3]` the fourth, `[*]` all, `[key=value]` all that have it,
    `[key!=value]` all others, `[key=value&other!=value]` those of both. Of several those that lack a later step
    are left out, such as cases without a row.
    """
    found, several = [content], False
    for match in _STEP.finditer(path):
        bracket, key = match.groups()
        if bracket == "*" or (bracket is not None and re.match(r"[a-z_]+!?=", bracket)):
            parts = [one for item in found for one in (item.values() if isinstance(item, Mapping) else item)]
            found = [one for one in parts if bracket == "*" or _meets(one, bracket)]
            several = True
        else:
            found = list(_picked(found, key if bracket is None else bracket, path, several))
    if several and not found:
        raise Unreadable(f"{path}: nothing there")
    return found if several else found[0]


def _meets(one: Mapping[str, Any], conditions: str) -> bool:
    """Whether all of `key=value&other!=value` hold."""
    for condition in conditions.split("&"):
        name, _, wanted = condition.partition("=")
        if (str(one.get(name.removesuffix("!"))) == wanted) == name.endswith("!"):
            return False
    return True


def as_figure(found: Any) -> Any:
    """An estimate of a record as a figure; texts, truth values and lists as they are."""
    if isinstance(found, Mapping):
        if "not_measured" in found:
            raise Unreadable(f"not measured: {found['not_measured']}")
        if "value" in found:
            return Figure(float(found["value"]), found.get("low"), found.get("high"))
        raise Unreadable(f"no figure, but a table of {', '.join(map(str, found))[:200]}")
    if isinstance(found, bool | str | list):
        return found
    if isinstance(found, int | float):
        return Figure(float(found))
    raise Unreadable(f"no figure: {found!r}")


def _values(found: list[Any]) -> list[float]:
    measured = [one for one in found if not (isinstance(one, Mapping) and "not_measured" in one)]
    return [as_figure(one).value for one in measured]


REDUCE: Mapping[str, Callable[[list[Any]], Any]] = {
    "count": lambda found: len(found),
    "set": lambda found: sorted(set(map(str, found))),
    "sum": lambda found: sum(_values(found)),
    "min": lambda found: min(_values(found)),
    "max": lambda found: max(_values(found)),
    "mean": lambda found: statistics.fmean(_values(found)),
    "median": lambda found: statistics.median(_values(found)),
}
"""What is made of several values."""


def by_pattern(text: str, pattern: str) -> Figure | str:
    """The last match of a pattern in a text: its first group, with an interval where it has three."""
    matches = list(re.finditer(pattern, text))
    if not matches:
        raise Unreadable(f"no `{pattern}` in what was printed")
    groups = matches[-1].groups()
    try:
        numbers = [_number(one) for one in groups]
    except ValueError:
        return groups[0]
    return Figure(*numbers) if len(numbers) == 3 else Figure(numbers[0])


def first_table(text: str, heading: str) -> dict[str, dict[str, str]]:
    """The first Markdown table after a heading: cells by the name of the row and of the column."""
    _, found, rest = text.partition(heading)
    lines = rest.splitlines() if found else []
    start = next((k for k, line in enumerate(lines) if line.startswith("|")), None)
    if start is None:
        raise Unreadable(f"no table after `{heading}`")
    rows: list[list[str]] = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([_plain(cell) for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))])
    head, _, *body = rows
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in body}


def _plain(cell: str) -> str:
    return re.sub(r"[`\\]|\*\*|</?sub>", "", cell).strip()


def table_agreement(
    cells: Mapping[str, Mapping[str, str]],
    content: Any,
    columns: Mapping[str, str | list[str]],
    names: Mapping[str, str],
) -> tuple[float, int, list[str]]:
    """Share of the figures of a table that agree with a record, how many there are, and the cells that do not.

    Args:
        cells: a table by row and column.
        content: the record.
        columns: for each column the path of its figure, or of each of several, with `{row}` for the row's name.
        names: what a row is called in the record, where it is called otherwise.
    """
    held, total, missed = 0, 0, list[str]()
    for row, by_column in cells.items():
        for column, paths in columns.items():
            claimed = figures(re.sub(r"\br_[SB]\b", "", by_column[column]))
            paths = [paths] if isinstance(paths, str) else paths
            for one, path in zip(claimed, paths, strict=bool(claimed)):
                total += 1
                try:
                    measured = as_figure(at(content, path.replace("{row}", names.get(row, row))))
                    ok = agrees(one, measured)
                except Unreadable as why:
                    measured, ok = str(why), False
                held += ok
                missed += [] if ok else [f"{row}, {column}: claimed {one}, measured {measured}"]
    if not total:
        raise Unreadable("no figure in the table")
    return held / total, total, missed


def load(file: Path) -> Any:
    """A record."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as why:
        raise Unreadable(f"{file.name} cannot be read: {why}") from None
