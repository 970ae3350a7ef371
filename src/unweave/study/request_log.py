"""What was erased before in a folder: its records, the model that was left, and the log of requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from unweave._errors import UserError
from unweave.records import from_json
from unweave.records.erasure import Erasure

LOG, RECORD, REQUEST, NET, PICKLE = (
    "requests.jsonl",
    "record.json",
    "request.toml",
    "model.safetensors",
    "model.pkl",
)
"""Names of the files of a folder: the log; of each request: its record, the spec that repeats it, the model."""


class Logged(NamedTuple):
    """What was done in a folder before.

    Attributes:
        number: How many requests there were.
        without: Ids that were taken out, each once.
        model: The latest model; None where nothing was erased, or only outputs are known.
        sha256: Of its bytes; "" where there is none.
        left: Digests of the data that the latest request left: see `Erasure`; empty where there was none.
    """

    number: int
    without: tuple[int | str, ...]
    model: Path | None
    sha256: str
    left: dict[str, str]


def read_log(folder: Path, *, opaque: bool, original: str | None) -> Logged:
    """The requests that were carried out in a folder, from their records.

    Args:
        folder: Where models and records are: `0001`, `0002`, ….
        opaque: Whether models are fitted anew, and none is read from a file.
        original: SHA-256 of the model that the spec names; None where there is none, or none any more.

    Raises:
        UserError: for a record that cannot be read or is missing, or where the first began with another model.
    """
    _check_log(folder / LOG)
    records = records_in(folder)
    done = [one for one in records if one.status == "erased"]
    left = records[-1].left if records else {}
    if not done:
        return Logged(len(records), (), None, "", left)
    first, latest = done[0].model_before.get("sha256"), done[-1]
    if opaque != (first is None):
        was, now = ("from a file", "fitted anew") if opaque else ("fitted anew", "from a file")
        raise UserError(f"The models of {folder} were {was}, that of the spec is {now}. Choose another --out.")
    digest = latest.model_after["sha256"]
    if original not in (None, first, digest):
        raise UserError(
            f"The requests in {folder} began with another model (SHA-256 {str(first)[:12]}… there, "
            f"{str(original)[:12]}… in the spec). Choose another --out."
        )
    ids = dict.fromkeys(one for record in done for one in (*_without(record), *_forgotten(record)))
    file = None if opaque else folder / latest.model_after["file"]
    return Logged(len(records), tuple(ids), file, digest, left)


def _check_log(file: Path) -> None:
    """Refuse a file of that name that is no log of requests: it is written anew from the records each time."""
    try:
        # Of a link nothing but the link is lost.
        lines = file.read_text("utf-8").splitlines() if file.is_file() and not file.is_symlink() else []
        if all("number" in json.loads(one) for one in lines if one.strip()):
            return
        reason = "it is no log of `unweave erase`"
    except (OSError, ValueError, TypeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is no log of `unweave erase`"
    raise UserError(f"{file} would be replaced, and {reason}. Move it, or choose another --out.")


def records_in(folder: Path) -> list[Erasure]:
    """The records of all requests of a folder, in their order.

    Raises:
        UserError: for a record that cannot be read or is none, or a number that is missing.
    """
    found: list[Erasure] = []
    try:
        numbers = sorted(one.name for one in folder.glob("[0-9][0-9][0-9][0-9]") if one.is_dir())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no valid name of a folder"
        raise UserError(f"Cannot read {folder}: {reason}. Choose another folder with --out.") from None
    for number, name in enumerate(numbers, start=1):
        if int(name) != number:
            raise UserError(
                f"{folder} has the request {name}, but not {number:04d}. Restore it, or choose another --out."
            )
        file = folder / name / RECORD
        try:
            found.append(_checked(from_json(Erasure, file.read_text("utf-8")), number))
        except (OSError, UserError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a record of `unweave erase`"
            raise UserError(f"Cannot read {file}: {reason}. Restore it, or choose another --out.") from None
    return found


def _checked(record: Erasure, number: int) -> Erasure:
    """A record as `erase` writes one; a file it names is in the folder of its number and nowhere else.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: for any other.
    """
    ids = (*_forgotten(record), *_without(record))
    if record.number != number or not all(isinstance(one, int | str) for one in ids):
        raise ValueError("another number, or ids that are none")
    if set(record.left) != {"content", "features"}:
        raise ValueError("no digests of what was left")
    if record.status == "erased":
        names = [f"{number:04d}/{one}" for one in (NET, PICKLE)]
        if record.model_after["file"] not in names or not record.model_after["sha256"]:
            raise ValueError("a model elsewhere")
    return record


def _forgotten(record: Erasure) -> tuple[Any, ...]:
    case: Any = record.case
    return tuple(case["forget"]["ids"])


def _without(record: Erasure) -> tuple[Any, ...]:
    case: Any = record.case
    return tuple(case["data"].get("without", ()))


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
            f"{len(again)} of {len(ids)} ids were taken out by an earlier request (first: {str(again[0])[:40]}); "
            "the model was edited for them already. Leave them out of the request."
        )
