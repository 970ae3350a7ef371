"""Sources that are the user's own tables, and public tables by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unweave.data.columns import csv_columns, parquet_columns
from unweave.data.dataset import Dataset
from unweave.data.named import find
from unweave.data.sources import Wanted, add_source
from unweave.data.tables import tabular

_TAKES = "path test label id_column group split"


def _own(read: Callable[[Path], dict[str, list[str]]], wanted: Wanted) -> Dataset:
    file = Path(str(wanted.path))
    test = read(Path(wanted.test)) if isinstance(wanted.test, str) else None
    return tabular(file.name.partition(".")[0], read(file), test, wanted)


def csv(wanted: Wanted) -> Dataset:
    """A table in a CSV file (`.csv`, `.tsv`, `.gz`) with a line of names: numbers, texts and missing values."""
    return _own(csv_columns, wanted)


def parquet(wanted: Wanted) -> Dataset:
    """A table in a Parquet file: numbers, texts and missing values; needs the extra `[tables]`."""
    return _own(parquet_columns, wanted)


_ADULT = (
    "age workclass fnlwgt education education-num marital-status occupation relationship race sex capital-gain "
    "capital-loss hours-per-week native-country income"
).split()


def adult(wanted: Wanted) -> Dataset:
    """Adult: does a person of the census of 1994 earn more than 50K dollars? 32 561 train, 16 281 test."""
    train, test = (csv_columns(find(f"tabular/adult-{part}.csv"), header=_ADULT) for part in ("train", "test"))
    # The published test file ends its labels with a full stop.
    test["income"] = [label.rstrip(".") for label in test["income"]]
    return tabular("adult", train, test, wanted._replace(label="income"))


_GERMAN = (
    "status duration history purpose amount savings employment rate sex guarantors residence property age plans "
    "housing credits job dependants telephone foreign risk"
).split()


def german(wanted: Wanted) -> Dataset:
    """German credit: is an applicant a good (1) or a bad risk (2)? 1 000 people, of whom 200 are test data."""
    table = csv_columns(find("tabular/german.csv"), header=_GERMAN)
    return tabular("german", table, None, wanted._replace(label="risk", test=wanted.test or 200))


add_source("csv", csv, shape="any table with a column of labels", takes=_TAKES, cite="your own file")
add_source("parquet", parquet, shape="any table with a column of labels", takes=_TAKES, cite="your own file")
add_source("adult", adult, shape="48842×14, 2 classes", cite="becker1996adult; CC BY 4.0")
add_source("german", german, shape="1000×20, 2 classes", takes="test", cite="hofmann1994german; CC BY 4.0")
