"""Tables: columns of numbers and of texts, made into features."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave.data.arrays import rows_by_name
from unweave.data.dataset import Dataset, Encoding, Examples, Ids
from unweave.data.sources import Wanted, limited, split_rows
from unweave.data.text_columns import about_texts

Ints = NDArray[np.int64]
Column = NDArray[Any]
"""float64 with NaN for a missing number, or texts with "" for a missing one [n]."""

Columns = Mapping[str, Column]

MISSING = ("", "?", "NA", "N/A", "nan", "NaN", "null", "NULL", "None")
"""Texts that stand for a missing value."""

_WHOLE = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)
_FEW_TEXTS = 50
_MOST_CLASSES = 1000
_SHOWN = 40


def typed(texts: Sequence[str]) -> Column:
    """A column of numbers where every value that is there is a finite number, else of texts.

    Example:
        >>> typed(["1", "?", "2.5"]).tolist(), typed(["a", "?"]).tolist()
        ([1.0, nan, 2.5], ['a', ''])
    """
    known = ["" if one in MISSING else one for one in texts]
    numbers = _numbers(known)
    if numbers is None or not np.isfinite(numbers).any():
        return np.array(known, dtype=np.str_)
    return numbers


def _numbers(texts: Sequence[str]) -> NDArray[np.float64] | None:
    if any("_" in one for one in texts):  # Python reads 1_000 as a number; in a table it is a name
        return None
    try:
        numbers = np.array([one or "nan" for one in texts], dtype=np.float64)
    except ValueError:
        return None
    missing = np.array([not one for one in texts], dtype=bool)
    return numbers if np.isfinite(numbers[~missing]).all() else None


class Table(NamedTuple):
    """A table in two parts of the same columns."""

    train: dict[str, Column]
    test: dict[str, Column]


def tabular(name: str, train: dict[str, list[str]], test: dict[str, list[str]] | None, wanted: Wanted) -> Dataset:
    """Examples of a table.

    Args:
        name: Of the data.
        train: Columns as texts: the training part, or all where `test` is None.
        test: Columns of the test part.
        wanted: Names of the columns of labels, ids, groups and split, and how to split.
    """
    label = wanted.label
    if label is None or label not in train:
        raise SpecError(_no_column("label", label, train))
    if test is not None and list(test) != list(train):
        odd = [one for one in [*train, *test] if (one in train) != (one in test)]
        what = f"`{odd[0]}` is in one of them only" if odd else "they come in another order"
        raise SpecError(f"The columns of the training and the test file differ: {what}.")
    for key in ("id_column", "group", "split"):
        column = getattr(wanted, key)
        if column is not None and column not in train:
            raise SpecError(_no_column(key, column, train))
        if column is not None and column == label:
            raise SpecError(f"`data.{key}` and `data.label` are both {column!r}; expected two columns.")
    parts, ids = _split(train, test, wanted)
    kept = limited(np.arange(len(ids[0])), wanted.limit)
    named = None if wanted.id_column is None else ids
    labels = _labels(parts, label, named)
    special = {label, wanted.id_column, wanted.group, wanted.split}
    columns = {one for one in train if one not in special}
    whole = Table(*({one: part[one] for one in train if one in columns} for part in _typed(parts)))
    table = Table({one: values[kept] for one, values in whole.train.items()}, whole.test)
    x_train, x_test, encoding, left_out = encode(table)
    # A file of the test part counts its rows from 0 as well.
    begin = 0 if test is None else len(ids[0])

    def place(part: int, row: int) -> str:
        number = ids[part][row]
        return f"row {number - part * begin}, counted from 0" if named is None else f"id {str(number)[:_SHOWN]}"

    told = _about_columns(whole, table, left_out, place)
    return Dataset(
        name,
        Examples(x_train, labels[1][0][kept], ids[0][kept], table.train),
        Examples(x_test, labels[1][1], ids[1], table.test),
        len(labels[0]),
        labels[0],
        encoding,
        tuple(told.values()),
        left_out={one: told[one] for one in left_out},
    )


def _about_columns(
    whole: Table, table: Table, left_out: Mapping[str, str], place: Callable[[int, int], str]
) -> dict[str, str]:
    """What a reader should know of columns of texts, by name: each row has a say in what they are."""
    told: dict[str, str] = {}
    for name, values in whole.train.items():
        if values.dtype.kind == "f":
            continue
        features = None if name in left_out else len(np.unique(table.train[name]))
        about = about_texts(name, (values.tolist(), whole.test[name].tolist()), place, features)
        why = f"The column {name} has {left_out[name]}: left out." if name in left_out else ""
        if about or why:
            told[name] = f"{why} {about}".strip()
    return told


def _no_column(key: str, column: str | None, table: Mapping[str, Any]) -> str:
    said = "is missing" if column is None else f"is {column!r}, which is no column"
    return f"`data.{key}` {said}; the table has {', '.join(table)}."


def _rows_of(table: Mapping[str, list[str]], wanted: Wanted) -> tuple[Ints, Ints]:
    if wanted.split is not None:
        if wanted.test is not None:
            raise SpecError("`data.split` and `data.test` are both given; expected one way to split.")
        return rows_by_name(np.array(table[wanted.split], dtype=np.str_), f"data.split, column {wanted.split}")
    groups = None if wanted.group is None else np.array(table[wanted.group], dtype=np.str_)
    return split_rows(len(next(iter(table.values()))), wanted.test, groups=groups)


def _split(
    train: dict[str, list[str]], test: dict[str, list[str]] | None, wanted: Wanted
) -> tuple[tuple[dict[str, list[str]], dict[str, list[str]]], tuple[Ids, Ids]]:
    # By id before the split, so that the order of the rows in the file has no part in it.
    train = _by_id(train, wanted)
    ids = _ids(train, wanted, 0)
    if test is not None:
        if wanted.split is not None or wanted.group is not None:
            raise SpecError(
                "`data.split` and `data.group` split one table; here the test part has a file of its own."
            )
        test = _by_id(test, wanted)
        return (train, test), (ids, _ids(test, wanted, len(ids)))
    rows = _rows_of(train, wanted)
    first, second = ({name: [values[row] for row in part] for name, values in train.items()} for part in rows)
    return (first, second), (ids[rows[0]], ids[rows[1]])


def _by_id(table: dict[str, list[str]], wanted: Wanted) -> dict[str, list[str]]:
    if wanted.id_column is None:
        return table
    order = np.argsort(as_ids(table[wanted.id_column], wanted.id_column), kind="stable")
    return {name: [values[row] for row in order] for name, values in table.items()}


def _ids(part: Mapping[str, list[str]], wanted: Wanted, begin: int) -> Ids:
    if wanted.id_column is None:
        return np.arange(begin, begin + len(part[str(wanted.label)]))
    return as_ids(part[wanted.id_column], wanted.id_column)


def as_ids(texts: Sequence[str], column: str) -> Ids:
    """Ids of a column: whole numbers where all are, else texts.

    Raises:
        SpecError: for a row without an id.
    """
    missing = [row for row, one in enumerate(texts) if one in MISSING]
    if missing:
        raise SpecError(
            f"`data.id_column`: {len(missing)} rows have no {column} (first: row {missing[0]}); each example "
            "needs an id of its own."
        )
    if all(_WHOLE.fullmatch(one) for one in texts):
        return np.array([int(one) for one in texts], dtype=np.int64)
    return np.array(texts, dtype=np.str_)


def _labels(
    parts: Sequence[Mapping[str, list[str]]], label: str, ids: Sequence[Ids] | None
) -> tuple[tuple[str, ...], tuple[Ints, Ints]]:
    for place, name in enumerate(("training", "test")):
        missing = [row for row, one in enumerate(parts[place][label]) if one in MISSING]
        if missing:
            # Rows with ids are sorted by them, so that their number says nothing about the file.
            first = f"row {missing[0]}" if ids is None else f"id {ids[place][missing[0]]}"
            raise SpecError(
                f"{len(missing)} rows of the {name} part have no {label} (first: {first}); an example "
                "without a label cannot be trained on. Leave these rows out."
            )
    both = [*parts[0][label], *parts[1][label]]
    numbers = _numbers(both)
    if numbers is not None and (numbers != np.floor(numbers)).any():
        first = numbers[np.flatnonzero(numbers != np.floor(numbers))[0]]
        raise SpecError(f"`data.label`: {label} holds {first:g}; expected classes, not numbers to predict.")
    names = sorted(set(both)) if numbers is None else sorted(set(both), key=lambda one: (float(one), one))
    if len(names) > _MOST_CLASSES:
        raise SpecError(
            f"`data.label`: {label} has {len(names)} different values; expected at most {_MOST_CLASSES} classes."
        )
    place = {name: number for number, name in enumerate(names)}
    first, second = (np.array([place[one] for one in part[label]], dtype=np.int64) for part in parts)
    return tuple(names), (first, second)


def _typed(parts: Sequence[Mapping[str, list[str]]]) -> tuple[dict[str, Column], dict[str, Column]]:
    train, test = parts
    n = len(next(iter(train.values())))
    # Both parts together: a text among the test values makes the column one of texts.
    columns = {name: typed([*values, *test[name]]) for name, values in train.items()}
    return {name: one[:n] for name, one in columns.items()}, {name: one[n:] for name, one in columns.items()}


def encode(table: Table) -> tuple[NDArray[np.float32], NDArray[np.float32], Encoding, dict[str, str]]:
    """Features of a table: numbers in units of the training part, 0/1 for each text.

    A number becomes (v − mean)/sd over the known values of the training part; this is a change of units, which
    a learner undoes when it standardises on the training set of its own world. A missing number is 0, with an
    indicator that is 1. A text becomes one feature per value of the training part, in the order of the
    alphabet; a missing one is a value like others; one that only the test part has is all 0. A column of
    more different texts than half of its rows (and than 50) is left out.

    Returns:
        x of the training part [n, d], x of the test part [m, d], which features are what, and by name the
        columns that were left out, with the reason.
    """
    train: list[NDArray[Any]] = []
    test: list[NDArray[Any]] = []
    numeric: list[int] = []
    missing: list[int] = []
    category: list[int] = []
    left_out: dict[str, str] = {}
    for name, values in table.train.items():
        others = table.test[name]
        if values.dtype.kind == "f":
            known = values[np.isfinite(values)]
            mean, spread = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
            numeric.append(len(train))
            for part, column in ((train, values), (test, others)):
                part.append(np.nan_to_num((column - mean) / (spread or 1.0)))
            # One that has a gap in the test part alone needs its indicator too: 0 is no world's mean.
            gaps = np.isnan(values).any() or np.isnan(others).any()
            missing.append(len(train) if gaps else -1)
            if gaps:
                train.append(np.isnan(values))
                test.append(np.isnan(others))
            continue
        known = np.unique(values)
        if _too_many(known, values):
            left_out[name] = f"{len(known)} different texts in {len(values)} rows"
            continue
        for one in known:
            category.append(len(train))
            train.append(values == one)
            test.append(others == one)
    if not train:
        raise SpecError("The table has no column that could be a feature, besides labels, ids, groups and split.")
    x_train, x_test = (np.stack(part, axis=1).astype(np.float32) for part in (train, test))
    return x_train, x_test, Encoding(tuple(numeric), tuple(missing), tuple(category)), left_out


def _too_many(known: Column, values: Column) -> bool:
    return len(known) > max(_FEW_TEXTS, len(values) / 2)


def feature_names(data: Dataset) -> tuple[str, ...]:
    """What each feature of a table is, in the order in which a model gets them; empty for what is no table.

    The columns come in the order of the file. A number is followed by its indicator where the training part lacks
    any, a column of texts is one feature for each of its values in the order of the alphabet, a missing one first.

    Example:
        >>> x, y, ids = np.zeros((2, 4), np.float32), np.array([0, 1]), np.arange(2)
        >>> part = Examples(x, y, ids, {"age": np.array([30.0, np.nan]), "city": np.array(["Rome", "Bern"])})
        >>> feature_names(Dataset("d", part, part, 2, encoding=Encoding((0,), (1,), (2, 3))))
        ('age, (v − mean)/sd', 'age is missing', "city = 'Bern'", "city = 'Rome'")
    """
    encoding = data.encoding
    if encoding is None:
        return ()
    columns = data.train.columns
    found: dict[int, str] = {}
    numbers = [name for name, values in columns.items() if values.dtype.kind == "f"]
    for name, place, flag in zip(numbers, encoding.numeric, encoding.missing, strict=True):
        found[place] = f"{name}, (v − mean)/sd"
        if flag >= 0:
            found[flag] = f"{name} is missing"
    texts = {name: np.unique(values) for name, values in columns.items() if values.dtype.kind != "f"}
    named = [
        f"{name} = {str(one)!r}" if one else f"{name} is missing"
        for name, known in texts.items()
        if not _too_many(known, columns[name])
        for one in known
    ]
    found |= dict(zip(encoding.category, named, strict=True))
    return tuple(found[place] for place in sorted(found))
