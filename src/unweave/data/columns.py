"""Columns of CSV and Parquet files, as texts."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unweave._errors import SpecError


def csv_columns(file: Path, *, header: Sequence[str] | None = None) -> dict[str, list[str]]:
    """The columns of a CSV file as texts; `.tsv` is split at tabs, `.gz` is unpacked.

    Args:
        file: UTF-8 with or without a byte order mark, any line ends, one line of names first.
        header: Names where the file has none.

    Raises:
        SpecError: for a file that cannot be read, an empty one, a line of another length, names that repeat.
    """
    try:
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise SpecError(f"Cannot read the table {file}: {reason}.") from None
    delimiter = "\t" if ".tsv" in file.suffixes else ","
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[list[str]] = []
    try:
        for row in lines:
            if not row:
                continue
            rows.append(row)
            expected = len(header or rows[0])
            if len(row) != expected:
                raise SpecError(
                    f"{file}, line {lines.line_num}: {len(row)} values, expected {expected} as in the first line. "
                    "A comma inside a text needs quotes."
                )
    except csv.Error as error:
        raise SpecError(f"{file}, line {lines.line_num}: {error}.") from None
    names = list(header) if header is not None else [name.strip() for name in (rows.pop(0) if rows else [])]
    if not rows:
        raise SpecError(f"The table {file} has no rows; expected a line of names and a line for each example.")
    _check_names(names, file)
    return dict(
        zip(names, ([value.strip() for value in column] for column in zip(*rows, strict=True)), strict=True)
    )


def _check_names(names: Sequence[str], file: Path) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice or not all(names):
        what = f"the name {twice[0]!r} more than once" if twice else "a column without a name"
        raise SpecError(f"The table {file} has {what}; expected a first line of different names.")


def parquet_columns(file: Path) -> dict[str, list[str]]:
    """The columns of a Parquet file as texts.

    Raises:
        SpecError: for a file that cannot be read, or where pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise SpecError("Reading Parquet needs pyarrow: `python -m pip install 'unweave[tables]'`.") from None
    try:
        table: Any = parquet.read_table(file)
    except (OSError, arrow.ArrowException) as error:
        raise SpecError(f"Cannot read the table {file}: {str(error).splitlines()[0].rstrip('.')}.") from None
    return arrow_columns(table, file)


def arrow_columns(table: Any, file: Path) -> dict[str, list[str]]:
    """The columns of an Arrow table as texts; numbers keep all their digits."""
    names = list(table.column_names)
    _check_names(names, file)
    if table.num_rows == 0:
        raise SpecError(f"The table {file} has no rows.")
    return {name: _texts(table.column(name)) for name in names}


def _texts(column: Any) -> list[str]:
    """The values of a column of Arrow as texts: of a number with fewer bits the shortest that is that number."""
    kind = {"float": np.float32, "halffloat": np.float16}.get(str(column.type))
    values = column.to_pylist()
    if kind is not None:  # as 64 bits 0.7 would be 0.699999988079071, and no longer at least 0.7
        values = [None if one is None else float(str(kind(one))) for one in values]
    return [_text(one) for one in values]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return repr(value) if isinstance(value, float) else str(value).strip()
