"""A request to forget: ids with the content they stand for, and how large it is."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unweave._errors import SpecError, UserError
from unweave.data import Dataset, Examples, content_hashes
from unweave.records.table import csv_line, id_cell, plain_id
from unweave.study.assemble import Assembly
from unweave.study.corpora import is_free_text
from unweave.study.id_files import as_ids

LARGE_SHARE, LARGE_OF_CLASS = 0.1, 0.5
"""A request for more of D, or for more of one class, is carried out only where that is confirmed."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHOWN = 40


class Request(NamedTuple):
    """Ids of the examples to forget, and the SHA-256 that the content of some of them must have."""

    ids: tuple[int | str, ...]
    content: dict[str, str]


def read_request(file: Path) -> Request:
    """Read a request: CSV with a column `id` and, where the content is to be checked, `sha256`; or one id a line.

    Lines of a manifest are lines of a request: the apostrophe that keeps a spreadsheet from running a text is
    taken off.

    Raises:
        SpecError: for a file that cannot be read, has no id, or a digest that is none.
    """
    rows = [row for row in _rows(file) if any(cell.strip() for cell in row)]
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    named = "id" in head
    if named:
        where, digest = head.index("id"), head.index("sha256") if "sha256" in head else None
        rows = rows[1:]
    else:
        where, digest = 0, 1 if rows and len(rows[0]) > 1 else None
    if not rows:
        raise SpecError(f"The request {file} has 0 records: nothing to forget. Expected an id a line.")
    ids: list[int | str] = []
    content: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        if len(row) <= max(where, digest or 0):
            raise SpecError(f"{file}: record {number} has {len(row)} columns; expected an id and its sha256.")
        one = as_ids([row[where]])
        if not one:
            raise SpecError(f"{file}: record {number} has no id.")
        ids.append(one[0] if isinstance(one[0], int) or not named else plain_id(row[where]))
        if digest is not None and (found := row[digest].strip().lower()):
            if not _SHA256.fullmatch(found):
                of_names = " If this is a line of names, call the column of the ids id."
                raise SpecError(
                    f"{file}: record {number} has the sha256 {row[digest][:20]!r}; expected 64 hexadecimal "
                    "digits, as `unweave cases SPEC.toml --manifest` writes them."
                    + (of_names if number == 1 and not named else "")
                )
            content[str(ids[-1])] = found
    return Request(tuple(ids), content)


def _rows(file: Path) -> list[list[str]]:
    try:
        # As it stands: what is read as a line end here would be another id.
        with file.open(encoding="utf-8-sig", newline="") as text:
            return list(csv.reader(io.StringIO(text.read(), newline="")))
    except (OSError, ValueError, csv.Error) as error:
        reason = "it is not text in UTF-8"
        if isinstance(error, OSError):
            reason = str(error.strerror)
        elif isinstance(error, csv.Error):
            reason = f"it is not CSV ({error})"
        raise SpecError(f"Cannot read the request {str(file)[:200]}: {reason}.") from None


def manifest_of(data: Dataset) -> list[dict[str, Any]]:
    """The manifest of training data: `id` and `sha256` of each example."""
    rows = zip(data.train.ids.tolist(), content_hashes(data.train), strict=True)
    return [{"id": one, "sha256": digest} for one, digest in rows]


def manifest_text(data: Dataset) -> str:
    """The manifest as CSV: a line `id,sha256` for each example."""
    lines = ((id_cell(one["id"]), one["sha256"]) for one in manifest_of(data))
    return "".join(map(csv_line, [("id", "sha256"), *lines]))


def content_digest(part: Examples) -> str:
    """One SHA-256 of the ids and the content of examples, in their order: not of the units of their features."""
    told = zip(part.ids.tolist(), content_hashes(part), strict=True)
    return hashlib.sha256("".join(f"{one}\0{digest}\n" for one, digest in told).encode()).hexdigest()


def check_content(data: Dataset, content: Mapping[str, str]) -> None:
    """Refuse a request whose ids stand for other content than the data have.

    Raises:
        UserError: with how many differ, and the first.
    """
    if not content:
        return
    own = dict(zip(map(str, data.train.ids.tolist()), content_hashes(data.train), strict=True))
    # Ids that are not there were refused, or allowed to be dropped, when S was chosen.
    differ = [one for one, digest in content.items() if own.get(one, digest) != digest]
    if differ:
        raise UserError(
            f"{len(differ)} of {len(content)} records of the request have other content than the training data "
            f"under the same id (first: {differ[0][:_SHOWN]}). The request may be about other data, or another "
            "version of them; nothing was changed. `unweave cases SPEC.toml --manifest` lists ids with "
            "their content."
        )


def check_size(assembly: Assembly, *, confirmed: bool) -> str:
    """Refuse a large request unless it is confirmed; returns what is large about it, or "".

    Raises:
        UserError: naming the share, and what confirms it.
    """
    y, forget = assembly.setting.y[: len(assembly.data.train)], assembly.forget
    share = len(forget) / len(y)
    counts, own = np.bincount(y), np.bincount(y[forget], minlength=int(y.max()) + 1)
    of_class = np.where(counts > 0, own / np.maximum(counts, 1), 0.0)
    worst = int(of_class.argmax())
    name = assembly.data.labels[worst] if assembly.data.labels else worst
    said: list[str] = []
    if share > LARGE_SHARE:
        said.append(f"{share:.0%} of the training data")
    if of_class[worst] > LARGE_OF_CLASS and not is_free_text(assembly.case.data):
        said.append(f"{of_class[worst]:.0%} of class {name}")
    if said and not confirmed:
        raise UserError(
            f"The request is for {' and '.join(said)}: a mistaken or hostile request of this size does lasting "
            "damage. If it is meant, say --confirm."
        )
    return " and ".join(said)
