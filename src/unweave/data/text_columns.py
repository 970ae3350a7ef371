"""What is said of a column that was read as one of texts, where it may not have been meant as one."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from typing import Literal

Kind = Literal["number", "infinite", "date", "text"]

_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ]\d{2}:\d{2}.*)?", re.ASCII)
_SHOWN = 40
_PARTS = ("training", "test")
_ODD = "the first that is not:"
_QUOTED = re.compile(rf"{_ODD} .* \((?=id |row )", re.DOTALL)


def about_texts(
    name: str, parts: Sequence[Sequence[str]], place: Callable[[int, int], str], features: int | None
) -> str:
    """A sentence or more on a column of texts; "" where most of its values are texts indeed.

    Args:
        name: Of the column.
        parts: Its texts in the training and in the test part; "" for a missing one.
        place: What a reader knows a row by, of the number of its part and of the row in it.
        features: How many features it became; None where it was left out.

    Example:
        >>> about_texts("pay", (["1", "n.a.", "3"], ["4"]), lambda part, row: f"row {row}", 3)[:79]
        'The column pay is read as texts: 2 of 3 training rows are numbers or empty; the'
    """
    kinds = {one: kind_of(one) for part in parts for one in part if one}
    count = Counter(kinds[one] for part in parts for one in part if one)
    there = count.total()
    became = "" if features is None else f" Each of its {features} different texts is a feature of its own"
    if count["number"] > there / 2:
        odd = next(
            (number, row)
            for number, part in enumerate(parts)
            for row, one in enumerate(part)
            if one and kinds[one] != "number"
        )
        part = parts[odd[0]]
        value = part[odd[1]]
        right = sum(not one or kinds[one] == "number" for one in part)
        infinite = kinds[value] == "infinite"
        of_which = f"{right} of {len(part)} {_PARTS[odd[0]]} rows are numbers or empty"
        return (
            f"The column {name} is read as texts: {of_which}; {_ODD} {value[:_SHOWN]!r} ({place(*odd)})"
            f"{', which is infinite' if infinite else ''}.{became}{'.' if became else ''} If it is a column of "
            "numbers, leave the cell empty where none is known (?, NA, N/A, nan, null and None mean empty as well)"
            f"{', or write a finite one' if infinite else ''}."
        )
    if count["date"] > there / 2:
        order = f"{became}, and that one day is before another is lost." if became else ""
        return (
            f"The column {name} is read as texts: {count['date']} of {there} values are dates.{order} Write dates "
            "as numbers, such as days since a fixed day."
        )
    return ""


def without_values(warning: str) -> str:
    """The same without the cell that is quoted, for a record that holds ids and nothing else of an example.

    Example:
        >>> without_values("2 of 3 rows are numbers; the first that is not: 'n.a.' (id p7). Empty it.")
        '2 of 3 rows are numbers; the first that is not: (id p7). Empty it.'
    """
    return _QUOTED.sub(f"{_ODD} (", warning)


def kind_of(text: str) -> Kind:
    """What a value of a table is by itself.

    Example:
        >>> [kind_of(one) for one in ("1e3", "1e400", "2020-02-08", "2020-02-08 10:30", "1_000", "n.a.")]
        ['number', 'infinite', 'date', 'date', 'text', 'text']
    """
    if (found := _DAY.fullmatch(text)) is not None:
        try:
            date.fromisoformat(found[1])
        except ValueError:
            return "text"
        return "date"
    if "_" in text:  # Python reads 1_000 as a number; in a table it is a name
        return "text"
    try:
        number = float(text)
    except ValueError:
        return "text"
    return "number" if math.isfinite(number) else "infinite" if math.isinf(number) else "text"
