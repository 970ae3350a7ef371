"""What deleting rows of data changes about a case: what has to be said before they are deleted."""

from __future__ import annotations

import numpy as np

from unweave.problem import Case
from unweave.records.erasure import STILL_TO_DELETE
from unweave.study.assemble import Assembly
from unweave.study.corpora import CORPORA
from unweave.study.edit_prepared import RETRAIN

_FIXED = {
    "npz": "an array `split` of train and test in the file, or x_train and x_test",
    "images": "a folder train and a folder test",
}
_OF_TABLES = "a column of train and test (`data.split`), or a file of the test part (`data.test`)"


def drawn_by_count(case: Case) -> str:
    """The keys of `data` by which a part of the rows is drawn that depends on how many there are; "" for none."""
    choice, corpus = case.data, CORPORA.get(case.data.source)
    if corpus is not None and corpus.generated:
        return ""
    said: list[str] = []
    if isinstance(choice.test, int | float):
        said.append(f"`data.test` = {choice.test:g}")
    elif choice.test is None and corpus is not None and "test" in corpus.takes:
        said.append("`data.test`, a share unless it is said,")
    if choice.limit is not None:
        said.append(f"`data.limit` = {choice.limit}")
    return " and ".join(said)


def still_to_delete(assembly: Assembly) -> tuple[str, ...]:
    """What taking examples out of a model leaves undone, and what has to be done before rows are deleted."""
    first, *others = STILL_TO_DELETE
    case = assembly.case
    own_file = case.data.path is not None or ":" in case.data.source
    drawn = drawn_by_count(case) if own_file else ""
    cautions: list[str] = []
    if drawn:
        cautions.append(
            f"before rows are deleted from the file: {drawn} draws by the number of rows, so that with fewer "
            f"rows D is another one and the next request is refused. {fixed_words(case)} (docs/erase.md)"
        )
    if columns := _only_of_forget(assembly):
        cautions.append(
            "before rows are deleted from the file: what only S has is a feature of the table (columns "
            f"{', '.join(columns)}). With its rows gone there are fewer features, and the next request cannot "
            "read the model (docs/erase.md)"
        )
    if own_file and _has_numbers(assembly):
        cautions.append(
            "before rows are deleted from the file: the numbers of the table are standardised by all rows of the "
            f"training part. Without those of S they are in other units, and only `{RETRAIN}` carries out the "
            "next request; for another method leave the rows there, which `data.without` keeps out of D "
            "(docs/erase.md)"
        )
    return (first, *cautions, *others)


def _has_numbers(assembly: Assembly) -> bool:
    """Whether a model takes numbers in units that depend on rows of S."""
    encoding, case = assembly.data.encoding, assembly.case
    numbers = encoding is not None and len(encoding.numeric) > 0
    return numbers and case.learner.checkpoint is not None and not case.forget.outside


def _only_of_forget(assembly: Assembly) -> list[str]:
    """Columns with a text, or a gap among numbers, that no example of D∖S has."""
    data, rest = assembly.data, np.setdiff1d(assembly.worlds["original"].rows, assembly.forget)
    if data.encoding is None or assembly.case.forget.outside:
        return []
    found: list[str] = []
    for name, values in data.train.columns.items():
        seen, own = values[rest], values[assembly.forget]
        if values.dtype.kind == "f":
            lost = bool(np.isnan(own).any()) and not np.isnan(seen).any()
        else:
            lost = name not in data.left_out and len(np.setdiff1d(own, seen)) > 0
        if lost:
            found.append(name)
    return found


def fixed_words(case: Case) -> str:
    """What keeps the training and the test part as they are once rows are gone."""
    if case.data.source in CORPORA:
        return "Leave the rows of earlier requests in the file"
    without_limit = ", and no `data.limit`" if case.data.limit is not None else ""
    kind = case.data.source.partition(":")[0]
    return f"To delete rows, fix the test part first: {_FIXED.get(kind, _OF_TABLES)}{without_limit}"
