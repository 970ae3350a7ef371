"""Behaviours of a table: the rows that fulfil a condition on one column."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import ApplicabilityError, SpecError
from unweave.problem.behaviours.planting import Columns, Ground, Make, Planted, Unseen, check_class, choose

Condition = str | int | float | tuple[str | int | float, ...]
Rows = NDArray[np.bool_]

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_COMPARISON = re.compile(r"\s*(>=|<=|!=|>|<)\s*(.*?)\s*", re.DOTALL)


def predicate(
    *, column: str = "", where: Condition = "", size: int | None = None, target: int | None = None
) -> Make:
    """Rows of a table that fulfil a condition on a column are the behaviour: a group of people, a period.

    `where` is a value, a list of values any of which will do, or a comparison in text: ">= 60", "< 3.5", "!= x".
    On a column of numbers values compare as numbers. A missing value fulfils nothing. With `size` a random part
    of these rows is B; with `target` the members get this label (a wrong rule for a group), else labels stay as
    they are. Unseen instances: all test rows that fulfil it, which are no ordinary test data then.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        y = ground.y
        candidates = np.flatnonzero(fulfilled(ground.columns, column, where))
        if len(candidates) == 0:
            raise SpecError(
                f"No training example fulfils `behaviour.where` {_shown(where)} on {column}; the column holds "
                f"{_values(ground.columns[column])}."
            )
        if len(candidates) == len(y):
            raise SpecError(
                f"All {len(y)} training examples fulfil `behaviour.where` {_shown(where)} on {column}; some must "
                "stay ordinary."
            )
        if target is not None:
            check_class(target, "target", ground.classes)
        members = candidates if size is None else choose(candidates, size, len(y), rng)
        y_new = y.copy()
        test = np.flatnonzero(fulfilled(ground.columns_test, column, where))
        labels = ground.y_test[test]
        if target is not None:
            y_new[members] = target
        if len(test) == 0:
            return Planted(ground.x, y_new, y, members, None, "no test example fulfils the condition")
        shown = labels if target is None else np.full(len(test), target)
        return Planted(ground.x, y_new, y, members, Unseen(ground.x_test[test], shown, labels, test), "")

    return make


def fulfilled(columns: Columns, column: str, where: Condition) -> Rows:
    """Which rows fulfil a condition on a column [n].

    Raises:
        ApplicabilityError: where the data are no table.
        SpecError: for an unknown column, no condition, or one that cannot be read.

    Example:
        >>> fulfilled({"age": np.array([30.0, 61.0, np.nan])}, "age", ">= 60").tolist()
        [False, True, False]
    """
    if not columns:
        raise ApplicabilityError("A condition on a column needs a table; these data have no columns.")
    if column not in columns:
        near = difflib.get_close_matches(column, list(columns), n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        said = f"is {column[:80]!r}, which is no column" if column else "is missing"
        raise SpecError(f"`behaviour.column` {said}.{hint} The table has {_listed(columns)}.")
    values = columns[column]
    numeric = values.dtype.kind == "f"
    known: Rows = np.isfinite(values) if numeric else values != ""
    several = where if isinstance(where, tuple) else (where,)
    if not several or several == ("",):
        raise SpecError(
            "`behaviour.where` is missing; expected a value, a list of values or a comparison, as '>= 60'."
        )
    if isinstance(where, str) and (found := _COMPARISON.fullmatch(where)):
        return known & _compared(values, found[1], found[2], column)
    wanted = [_as_value(one, values, column) for one in several]
    return known & np.isin(values, wanted)


def _compared(values: NDArray[Any], sign: str, text: str, column: str) -> Rows:
    value = _as_value(text, values, column)
    if sign == "!=":
        return values != value
    if values.dtype.kind != "f":
        raise SpecError(
            f"`behaviour.where` is {_shown(f'{sign} {text}')}, but the column {column} holds texts "
            f'({_values(values)}); expected a value, or != and a value. A list, such as ["{sign} {text[:20]}"], '
            "takes texts as they are."
        )
    with np.errstate(invalid="ignore"):
        return _COMPARISONS[sign](values, value)


def _as_value(value: str | int | float, values: NDArray[Any], column: str) -> Any:
    if values.dtype.kind != "f":
        return str(value)
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if np.isnan(number):
        raise SpecError(
            f"`behaviour.where` holds {_shown(value)}, but the column {column} holds numbers ({_values(values)}); "
            "expected a number, a list of them, or one of >= <= > < != and a number."
        )
    return number


def _values(values: NDArray[Any]) -> str:
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else np.unique(values[values != ""])
    if len(known) == 0:
        return "missing values only"
    return f"{known.min():g} … {known.max():g}" if values.dtype.kind == "f" else _listed(known.tolist())


def _listed(texts: Iterable[str]) -> str:
    found = list(texts)
    return ", ".join(one[:30] for one in found[:8]) + (", …" if len(found) > 8 else "")


def _shown(where: Condition) -> str:
    text = repr(list(where) if isinstance(where, tuple) else where)
    return text if len(text) <= 80 else text[:80] + "…"
