"""Data that changed between two runs are noticed: the store remembers what each choice of data was."""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from unweave._durable import make_folder, write_durably
from unweave._errors import SpecError, StoreError, UserError
from unweave._identity import identity_of
from unweave.data import Examples, row_prints, table_prints
from unweave.problem import Case
from unweave.references import Store, seal, shared, unseal
from unweave.study.assemble import Assembly
from unweave.study.corpora import CORPORA, OF_A_WORLD, OF_TEXTS, is_free_text

_SHOWN = 12
_SHORTEST = 8


def check_unchanged(store: Store, assembly: Assembly) -> None:
    """Refuse data that are other than when this store last saw the same choice, unless their fingerprint is given.

    Models of the old data are kept under keys of their own and would not be mixed with new ones; but results that
    were thought to be of one data set would be of two.

    Raises:
        SpecError: for a fingerprint that the data do not have.
        UserError: for data that changed, with how many examples and the fingerprint that accepts them.
    """
    choice, data = assembly.case.data, assembly.data
    assert assembly.setting.origin is not None  # `assemble` fills it in
    found = assembly.setting.origin.fingerprint
    if choice.fingerprint is not None:
        check_pin(choice.fingerprint, found)
    corpus = CORPORA.get(choice.source)
    if corpus is not None and corpus.generated:  # they follow from the case, its seed and its behaviour
        return
    file = _file(store, assembly.case)
    before = _read(file)
    if before is not None and before["fingerprint"] == found:
        return
    now = {"fingerprint": found, **_rows(data.train)}
    if before is not None and choice.fingerprint is None:
        raise UserError(
            f"The data {choice.path or choice.source} have changed since this store last saw them: "
            f"{_difference(before, now)}. Models of the old data are kept apart. If the change is meant, say so: "
            f"--set data.fingerprint={found[:_SHOWN]}."
        )
    try:
        make_folder(file.parent)
        with shared(store.root):
            write_durably(file, seal(now))
    except OSError as error:
        raise StoreError(f"Cannot write to the store {store.root}: {error.strerror}.") from None


def check_pin(pin: str, found: str) -> None:
    """Refuse data of another fingerprint than the spec pins.

    Raises:
        SpecError: for what is no fingerprint, or that of other data.
    """
    if len(pin) < _SHORTEST or not all(one in "0123456789abcdef" for one in pin):
        raise SpecError(
            f"`data.fingerprint` is {pin!r}; expected the first {_SHORTEST} or more hexadecimal digits of a "
            f"fingerprint. That of these data is {found[:_SHOWN]}."
        )
    if not found.startswith(pin):
        raise SpecError(f"`data.fingerprint` is {pin}, but that of these data is {found[:_SHOWN]}: other data.")


def _file(store: Store, case: Case) -> Path:
    choice = case.data
    fields: dict[str, Any] = {
        **identity_of(choice, later=("without", *OF_A_WORLD, *OF_TEXTS)),
        "fingerprint": None,
    }
    if is_free_text(choice):  # what stands in D is the behaviour's as well
        fields["planted"] = [asdict(case.behaviour), case.seed]
    for key in ("path", "test"):
        if isinstance(fields[key], str):
            fields[key] = str(Path(fields[key]).absolute())
    name = sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    return store.root / "data" / f"{name}.json"


def _read(file: Path) -> dict[str, Any] | None:
    try:
        return unseal(file.read_bytes())
    except (OSError, ValueError):  # not there, or damaged: then there is nothing to hold the data against
        return None


def _rows(part: Examples) -> dict[str, Any]:
    prints = table_prints(part.columns, part.y) if part.columns else row_prints(part.x, part.y)
    return {"ids": part.ids.tolist(), "prints": prints.tolist()}


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    old, new = (dict(zip(one["ids"], one["prints"], strict=True)) for one in (before, now))
    if np.array_equal(sorted(before["prints"]), sorted(now["prints"])) and old != new:
        return (
            "the same training examples stand in another order, and without ids of their own they are told apart "
            "by their row (`data.id_column` would do)"
        )
    changed = [one for one in new if one in old and new[one] != old[one]]
    added, gone = sum(one not in old for one in new), sum(one not in new for one in old)
    if not (changed or added or gone):
        return "no training example differs, but the test part does"
    first = f" (first id {changed[0]})" if changed else ""
    return f"{len(changed)} of {len(new)} training examples differ{first}, {added} are new, {gone} gone"
