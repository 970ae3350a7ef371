"""Whether data and model are those that the latest request left, and what happened where they are not."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from unweave._errors import UserError
from unweave.data import Examples, load
from unweave.data.sources import Wanted, limited, split_rows
from unweave.problem import Case
from unweave.study.assemble import Assembly
from unweave.study.deleting import drawn_by_count, fixed_words
from unweave.study.edit import RETRAIN, digests
from unweave.study.given import GivenModel, given_model
from unweave.study.request import content_digest
from unweave.study.request_log import Logged

_SHOWN = 40


class Redrawn(NamedTuple):
    """D as the same choice of data draws it from the rows that there were, beside D as it draws it now.

    Attributes:
        before: How many examples it had.
        left: How many of them are no longer in D.
        entered: How many are in D that were not.
    """

    before: int
    left: int
    entered: int


def check_left(assembly: Assembly, log: Logged) -> None:
    """Refuse training data that are not those that the latest request left.

    Raises:
        UserError: with what became of them, as far as it can be known, and what to do.
    """
    if not log.left:
        return
    now = digests(assembly)["content"]
    if now != log.left["content"]:
        raise UserError(
            f"The training data are not those that request {log.number} left (digest {now[:12]}, there "
            f"{log.left['content'][:12]}): {_cause(assembly, log)}"
        )


def check_units(assembly: Assembly, log: Logged, method: str) -> None:
    """Refuse a method that goes on with a model whose table is in other units by now.

    Raises:
        UserError: naming what is left to do.
    """
    if not log.left or log.model is None or method == RETRAIN:
        return
    if digests(assembly)["features"] != log.left["features"]:
        raise UserError(
            f"The features of the table are in other units than those of the model that request {log.number} "
            f"left: units follow from all rows of the file, and rows are gone. Keep them there, or use {RETRAIN}."
        )


def model_left(assembly: Assembly, log: Logged) -> GivenModel:
    """The latest model of a folder, or that of the case.

    Raises:
        UserError: as `given_model` does; where deleted rows may be why it does not fit, with what to do.
    """
    from unweave.learners.checkpoints import FeaturesError

    try:
        return given_model(assembly, log.model)
    except FeaturesError as error:
        gone = _deleted(assembly, log)
        if not gone:
            raise
        raise UserError(
            f"{error.shapes} {error.listed} {_rows(gone)} (first: {str(gone[0])[:_SHOWN]}), and what only they "
            "had is no feature any more: a text that no training row has, or that a number is missing. "
            f"{_put_back(log)}, or train a model on the table as it is now and begin in another --out."
        ) from None


def _cause(assembly: Assembly, log: Logged) -> str:
    case = assembly.case
    drawn, gone = drawn_by_count(case), _deleted(assembly, log)
    redrawn = _redrawn(assembly, log, gone) if drawn else None
    if redrawn is not None:
        return (
            f"the split is another one. {drawn} draws by the number of rows, and {_rows(gone)}: {redrawn.left} of "
            f"{redrawn.before} ids left D, and {redrawn.entered} others entered it. {_put_back(log)}, or choose "
            f"another --out. {fixed_words(case)} (docs/erase.md)."
        )
    if drawn:
        return (
            "examples were added, deleted, changed, or numbered anew, or the split is another one: "
            f"{drawn} draws by the number of rows, so a row more or less draws anew. The model does not belong to "
            f"these data. Restore the data{_own_ids(case)}, or choose another --out. {fixed_words(case)} "
            "(docs/erase.md)."
        )
    return (
        "examples were added, changed, or numbered anew. The model does not belong to them. Restore the data"
        f"{_own_ids(case)}, or choose another --out."
    )


def _own_ids(case: Case) -> str:
    # What a table has already is no advice.
    return "" if case.data.id_column is not None else ", give them ids of their own (`data.id_column`)"


def _put_back(log: Logged) -> str:
    folder = "" if log.model is None else f" in {Path(log.model).parent.parent}"
    return f"Put them back, which stay out of D by the records{folder}"


def _rows(gone: tuple[int | str, ...]) -> str:
    if len(gone) == 1:
        return "1 row that an earlier request took out is no longer in the file"
    return f"{len(gone)} rows that earlier requests took out are no longer in the file"


def _deleted(assembly: Assembly, log: Logged) -> tuple[int | str, ...]:
    """Ids that earlier requests took out of D, and that are nowhere in the data any more."""
    data, left_out = assembly.data, assembly.case.data.without or ()
    there = {str(one) for one in (*data.train.ids.tolist(), *data.test.ids.tolist(), *left_out)}
    return tuple(one for one in log.without if str(one) not in there)


def _redrawn(assembly: Assembly, log: Logged, gone: tuple[int | str, ...]) -> Redrawn | None:
    """What became of D where nothing happened but that rows of earlier requests were deleted; else None.

    It is known to be so: D drawn from all rows that there were has the digest that the latest request left.
    """
    choice = assembly.case.data
    if not gone or choice.id_column is None or choice.group is not None:
        return None
    given = {key: value for key, value in vars(choice).items() if key in Wanted._fields}
    data = load(choice.source, **{**given, "limit": None})
    split = isinstance(choice.test, int | float)
    parts = (data.train, data.test) if split else (data.train,)
    ids = np.concatenate([one.ids for one in parts])
    if ids.dtype.kind != "U" and any(isinstance(one, str) for one in gone):
        return None
    kind = np.str_ if ids.dtype.kind == "U" else np.int64
    before = np.unique(np.concatenate([ids, np.array(list(gone), dtype=kind)]))
    train = before[split_rows(len(before), choice.test)[0]] if split else before
    train = train[limited(np.arange(len(train)), choice.limit)]
    row_of, without = {one: row for row, one in enumerate(ids.tolist())}, {str(one) for one in log.without}
    old = [one for one in train.tolist() if str(one) not in without]
    if not all(one in row_of for one in old):
        return None
    rows = np.array([row_of[one] for one in old], dtype=np.int64)
    columns = {name: np.concatenate([one.columns[name] for one in parts])[rows] for name in data.train.columns}
    y = np.concatenate([one.y for one in parts])[rows]
    # Of a table the content is its columns: features have no part in it.
    whole = Examples(np.zeros((len(rows), 1), np.float32), y, ids[rows], columns)
    if content_digest(whole) != log.left["content"]:
        return None
    now = set(assembly.data.train.ids.tolist())
    return Redrawn(len(old), len(set(old) - now), len(now - set(old)))
