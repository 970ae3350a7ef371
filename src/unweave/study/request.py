"""A request to forget: ids with the content they stand for, how large it is, and the log of earlier ones."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unweave._errors import SpecError, UserError
from unweave.data import Dataset, content_hashes
from unweave.records.erasure import Erasure, erasure_from_json
from unweave.study.assemble import Assembly
from unweave.study.id_files import as_ids

LOG, RECORD = "requests.jsonl", "record.json"
LARGE_SHARE, LARGE_OF_CLASS = 0.1, 0.5
"""A request for more of D, or for more of one class, is carried out only where that is confirmed."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Request(NamedTuple):
    """Ids of the examples to forget, and the SHA-256 that the content of some of them must have."""

    ids: tuple[int | str, ...]
    content: dict[str, str]


def read_request(file: Path) -> Request:
    """Read a request: CSV with a column `id` and, where the content is to be checked, `sha256`; or one id a line.

    Raises:
        SpecError: for a file that cannot be read, has no id, or a digest that is none.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise SpecError(f"Cannot read the request {file}: {reason}.") from None
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if any(row)]
    head = [cell.lower() for cell in rows[0]] if rows else []
    if "id" in head:
        where, digest = head.index("id"), head.index("sha256") if "sha256" in head else None
        rows = rows[1:]
    else:
        where, digest = 0, 1 if rows and len(rows[0]) > 1 else None
    if not rows:
        raise SpecError(f"The request {file} has 0 records: nothing to forget. Expected an id a line.")
    content: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        if len(row) <= max(where, digest or 0):
            raise SpecError(f"{file}: record {number} has {len(row)} columns; expected an id and its sha256.")
        if digest is not None and row[digest]:
            if not _SHA256.fullmatch(row[digest].lower()):
                raise SpecError(
                    f"{file}: record {number} has the sha256 {row[digest][:20]!r}; expected 64 hexadecimal "
                    "digits, as `unweave cases SPEC.toml --manifest` writes them."
                )
            content[row[where]] = row[digest].lower()
    return Request(tuple(as_ids([row[where] for row in rows])), content)


def manifest_text(data: Dataset) -> str:
    """The manifest of training data: a line `id,sha256` for each example."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "sha256"])
    writer.writerows(zip(data.train.ids.tolist(), content_hashes(data.train), strict=True))
    return out.getvalue()


def check_content(data: Dataset, content: Mapping[str, str]) -> None:
    """Refuse a request whose ids stand for other content than the data have.

    Raises:
        UserError: with how many differ, and the first.
    """
    if not content:
        return
    own = dict(zip(map(str, data.train.ids.tolist()), content_hashes(data.train), strict=True))
    differ = [one for one, digest in content.items() if own.get(one) != digest]
    if differ:
        raise UserError(
            f"{len(differ)} of {len(content)} records of the request have other content than the training data "
            f"under the same id (first: {differ[0][:40]}). The request may be about other data, or another "
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
    said: list[str] = []
    if share > LARGE_SHARE:
        said.append(f"{share:.0%} of the training data")
    if of_class[worst] > LARGE_OF_CLASS:
        said.append(f"{of_class[worst]:.0%} of class {worst}")
    if said and not confirmed:
        raise UserError(
            f"The request is for {' and '.join(said)}: a mistaken or hostile request of this size does lasting "
            "damage. If it is meant, say --confirm."
        )
    return " and ".join(said)


class Logged(NamedTuple):
    """What was done in a folder before: ids that were taken out, the latest model, the number of requests."""

    without: tuple[int | str, ...]
    model: Path | None
    sha256: str
    number: int


def read_log(folder: Path, original: str | None) -> Logged:
    """The requests that were carried out in a folder, from their records.

    Args:
        folder: Where models and records are: `0001`, `0002`, ….
        original: SHA-256 of the model that the spec names; None where there is none.

    Raises:
        UserError: for a record that cannot be read or is missing, or where the first began with another model.
    """
    records = records_in(folder)
    done = [one for one in records if one.status == "erased"]
    if not done:
        return Logged((), None, original or "", len(records))
    begin = done[0].model_before.get("sha256")
    if original is not None and begin != original:
        raise UserError(
            f"The requests in {folder} began with another model (SHA-256 {str(begin)[:12]}… there, "
            f"{original[:12]}… in the spec). Choose another --out."
        )
    latest = done[-1]
    case: Any = latest.case
    ids = (*case["data"].get("without", ()), *case["forget"]["ids"])
    return Logged(tuple(ids), folder / latest.model_after["file"], latest.model_after["sha256"], len(records))


def records_in(folder: Path) -> list[Erasure]:
    """The records of all requests of a folder, in their order.

    Raises:
        UserError: for a record that cannot be read, or a number that is missing.
    """
    found: list[Erasure] = []
    numbers = sorted(one.name for one in folder.glob("[0-9][0-9][0-9][0-9]") if one.is_dir())
    for number, name in enumerate(numbers, start=1):
        file = folder / name / RECORD
        try:
            found.append(erasure_from_json(file.read_text("utf-8")))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a record of `unweave erase`"
            raise UserError(f"Cannot read {file}: {reason}. Restore it, or choose another --out.") from None
        if int(name) != number:
            raise UserError(
                f"{folder} has the request {name}, but not {number:04d}. Restore it, or choose another --out."
            )
    return found


def log_text(records: Sequence[Erasure]) -> str:
    """The log of requests: a line of JSON for each, with what tells it apart."""
    lines = (
        {
            "number": one.number,
            "status": one.status,
            "aim": one.aim,
            "method": one.method,
            "forget": one.forget,
            "model_before": one.model_before.get("sha256"),
            "model_after": one.model_after.get("sha256"),
            "data": one.data,
        }
        for one in records
    )
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def check_new(without: Sequence[int | str], ids: Sequence[int | str]) -> None:
    """Refuse ids that an earlier request took out.

    Raises:
        UserError: with how many, and the first.
    """
    before = {str(one) for one in without}
    again = [one for one in ids if str(one) in before]
    if again:
        raise UserError(
            f"{len(again)} of {len(ids)} ids were taken out by an earlier request (first: {again[0]}); the model "
            "was edited for them already. Leave them out of the request."
        )
