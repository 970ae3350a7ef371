"""Purging data of one file that a store knows under several names and in several states, and of several files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from unweave._errors import UserError
from unweave.references import (
    Origin,
    Setting,
    Store,
    data_fields,
    data_sets,
    key_of,
    model_fields,
    plan,
    purge,
    seal,
    stored_objects,
)
from unweave.references.ensure import ensure_outputs

FIRST, SECOND = "erased/0001/../../people.csv", "erased/0002/../../people.csv"


def state(small, name: str, *, file: str = "", without: int = 0) -> Setting:
    """The data of the file under a name, without the first examples: other data, as they are read and as D."""
    whole = small.setting()
    rows = slice(without, None)
    own = whole._replace(x=whole.x[rows], y=whole.y[rows], ids=whole.ids[rows])
    read = f"{without}{whole.fingerprint[1:]}"
    return own._replace(fingerprint=read, origin=Origin(name, read, np.array([900, 901]), file))


def train(store: Store, setting: Setting, row: int) -> None:
    """Models of D and of D without one row."""
    worlds = plan(len(setting.y), np.array([row]), None, models=2, null=2, paired=False, seed=0)
    for name in ("original", "untrained"):
        ensure_outputs(store, setting, worlds[name])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.check_writable()
    return made


@pytest.fixture
def erased(store: Store, small) -> Store:
    """As two audits of two requests leave it: the second is of the data without the first, by another path."""
    train(store, state(small, FIRST), 0)  # id 100
    train(store, state(small, SECOND, without=1), 1)  # id 102
    return store


def held(store: Store) -> set[str]:
    return {one for data in data_sets(store) for one in data.ids}


def models(store: Store) -> int:
    return sum(row.kind == "model" for row in stored_objects(store))


def test_states_of_one_file_by_two_paths_are_purged_together(erased: Store):
    assert len(data_sets(erased)) == 2 and models(erased) == 8
    found = purge(erased, [102])
    # D and D∖{100} of the first state hold 102, and D of the second; its D∖{102} does not.
    assert (found.objects["model"], found.models, found.elsewhere) == (6, 2, ())
    assert "102" not in held(erased) and {"100", "103"} < held(erased)


@pytest.mark.parametrize("given", [FIRST, SECOND, "people.csv", "./people.csv", "1"])
def test_whichever_name_is_said_all_states_are_meant(erased: Store, small, given: str):
    train(erased, small.setting(name="others.csv", seed=1), 0)
    data = given if given != "1" else state(small, SECOND, without=1).fingerprint[:9]
    # An id that only the first state has is an id of these data, whichever state is named.
    found = purge(erased, [100, 102], data=data)
    assert found.objects["model"] == 6
    ((names, _, ids, trained),) = found.elsewhere
    assert (names, ids, trained) == (("others.csv",), ("100", "102"), 4)


def test_an_absolute_path_and_a_link_lead_to_the_same_file(
    store: Store, small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("people.csv").touch()
    os.symlink("people.csv", "link.csv")
    train(store, state(small, "link.csv"), 0)
    train(store, state(small, str(tmp_path / "people.csv"), without=1), 1)
    assert purge(store, [102]).objects["model"] == 6 and "102" not in held(store)


def test_what_runs_noted_of_the_file_is_the_same_from_wherever_they_ran(store: Store, small):
    train(store, state(small, "people.csv", file="/w/people.csv"), 0)
    train(store, state(small, "../../people.csv", file="/w/people.csv", without=1), 1)
    train(store, state(small, "../people.csv", file="/elsewhere/people.csv", without=2), 2)
    with pytest.raises(
        UserError, match=r"several data sets .*: \.\./\.\./people.csv [^;]*, people.csv [^;]*; \.\./p"
    ):
        purge(store, [103])
    found = purge(store, [103], data="/w/people.csv")
    assert found.objects["model"] == 8 and found.elsewhere[0].names == ("../people.csv",)


def test_what_is_noted_of_the_file_is_no_part_of_what_data_are_known_by(small):
    here, there = (state(small, FIRST, file=file) for file in ("", "/w/people.csv"))
    assert key_of(data_fields(here)) == key_of(data_fields(there))
    worlds = small.worlds()["original"]
    assert model_fields(here, worlds) == model_fields(there, worlds)


def test_of_data_that_are_not_known_to_be_the_same_what_stays_is_said(erased: Store, small):
    train(erased, small.setting(name="others.csv", seed=1), 2)  # ids 100 … 123 as well
    found = purge(erased, [102], data="people.csv")
    (other,) = found.elsewhere
    assert (other.names, other.ids, other.models) == (("others.csv",), ("102",), 2)
    again = purge(erased, [102], data=other.read[0][:12])
    assert again.elsewhere == () and "102" not in held(erased) and again.models == models(erased) == 4


def test_an_id_of_other_data_is_no_id_that_nobody_knows(erased: Store, small):
    other = small.setting(name="others.csv", seed=1)
    train(erased, other._replace(ids=other.ids + 1000), 0)
    with pytest.raises(UserError, match=r"1 of 2 ids are not known to the data people.csv .* others.csv \("):
        purge(erased, [102, 1103], data="people.csv")
    assert models(erased) == 12
    found = purge(erased, [102, 1103, "typo"], data="people.csv", allow_unknown=True)
    assert (found.unknown, found.elsewhere[0].ids) == (("typo",), ("1103",))


def test_what_was_interrupted_between_two_states_is_finished(erased: Store, monkeypatch: pytest.MonkeyPatch):
    real, count = Store.discard, 0

    def killed(store: Store, key: str) -> None:
        nonlocal count
        count += key in lists
        if count > 1:
            raise KeyboardInterrupt
        real(store, key)

    lists = {row.key for row in stored_objects(erased) if row.kind == "data"}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Store, "discard", killed)
        purge(erased, [100, 102])
    assert count == 2
    purge(erased, [100, 102])
    assert not {"100", "102"} & held(erased)


def test_ids_that_only_training_sets_or_notes_of_rows_have_are_known(erased: Store):
    for row in stored_objects(erased):
        if row.kind == "data":
            erased.discard(row.key)
    (erased.root / "data").mkdir()
    note = erased.root / "data" / "rows.json"
    note.write_bytes(seal({"fingerprint": "0" * 64, "ids": [7], "prints": [1]}))
    assert purge(erased, [7]).objects.get("model") is None and not note.exists()
    assert purge(erased, [102]).objects["model"] == 6
    with pytest.raises(UserError, match="not known"):
        purge(erased, [102])


def test_notes_of_rows_go_where_the_ids_were_purged_before_from_the_list(erased: Store, small):
    purge(erased, [102])
    (erased.root / "data").mkdir()
    note = erased.root / "data" / "rows.json"
    note.write_bytes(seal({"fingerprint": state(small, FIRST).fingerprint, "ids": [102], "prints": [1]}))
    purge(erased, [102])
    assert not note.exists()
