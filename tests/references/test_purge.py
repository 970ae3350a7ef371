"""Purging examples: every model trained on them goes, and every byte of them; what never saw them stays."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from unweave._errors import StoreError, UserError
from unweave.data import Encoding
from unweave.learners import specify
from unweave.references import (
    Entry,
    Store,
    data_fields,
    data_sets,
    key_of,
    lease,
    model_fields,
    outputs_fields,
    purge,
    register,
    seal,
    stored_objects,
    touch,
    verify,
)
from unweave.references.ensure import ensure_outputs


def models(small, world: str, **setting) -> set[str]:
    return {key_of(fields) for fields in model_fields(small.setting(**setting), small.worlds()[world])}


def left(store: Store, kind: str) -> set[str]:
    return {row.key for row in stored_objects(store) if row.kind == kind}


def test_only_models_that_never_saw_them_stay(filled: Store, small):
    # Row 2 is S, id 102: D holds it, D∖S and D∖B do not. Row 3 is in D∖S, but not in D∖B.
    found = purge(filled, [102])
    assert found.objects == {"model": 3, "outputs": 3, "training set": 1}
    assert left(filled, "model") == models(small, "untrained") | models(small, "unlearned")
    assert left(filled, "outputs") == set(), "outputs on probes that hold the example stay"
    found = purge(filled, [103, 900])  # an id of the test part counts as well
    assert left(filled, "model") == models(small, "unlearned")
    assert found.objects == {"model": 3, "training set": 1}
    assert verify(filled).sound


def test_what_is_purged_is_known_no_more_and_the_rest_is(filled: Store):
    purge(filled, [102])
    (data,) = data_sets(filled)
    assert "102" not in data.ids and {"103", "900"} < data.ids and data.examples == 25
    with pytest.raises(UserError, match=r"1 of 1 ids are not known .*'102'.*purged before.*people.csv"):
        purge(filled, [102])


def test_a_dry_run_counts_and_removes_nothing(filled: Store):
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in filled.root.rglob("*") if path.is_file()}

    before = files()
    would = purge(filled, [102], dry_run=True)
    assert files() == before
    assert purge(filled, [102]) == would


def test_models_of_data_with_rows_made_of_others_do_not_stay(tmp_path, small):
    """A near-copy of 102 may stand under any id."""
    store, setting = Store(tmp_path), small.setting()
    store.check_writable()
    mixed = setting._replace(origin=setting.origin._replace(mixed=True))
    for world in small.worlds().values():
        ensure_outputs(store, mixed, world)
    assert [one.mixed for one in data_sets(store)] == [True]
    assert purge(store, [102]).models == 0
    assert left(store, "model") == set()
    assert [one.mixed for one in data_sets(store)] == [True]


@pytest.mark.parametrize("given", [[102], ["102"]])
def test_an_id_is_the_same_as_number_or_text(filled: Store, given: list[int | str]):
    assert purge(filled, given).objects["model"] == 3


def test_texts_are_ids_as_well(tmp_path: Path, small):
    store = Store(tmp_path)
    store.check_writable()
    small.fill(store, small.setting(texts=True))
    purge(store, ["p02"])
    assert left(store, "model") == models(small, "untrained", texts=True) | models(small, "unlearned", texts=True)
    assert files_with(store, b"p02") == []
    assert files_with(store, b"p03") != []


def files_with(store: Store, marker: bytes) -> list[str]:
    return [str(path) for path in store.root.rglob("*") if path.is_file() and marker in path.read_bytes()]


def test_ids_of_two_sources_need_a_name(filled: Store, small):
    small.fill(filled, small.setting(name="others.csv", seed=1))
    with pytest.raises(UserError, match=r"several data sets .*others.csv \([0-9a-f]{12}\); people.csv .*--data"):
        purge(filled, [102])
    assert len(left(filled, "model")) == 18
    purge(filled, [102], data="others.csv")
    assert left(filled, "model") == {
        *models(small, "original"),
        *models(small, "untrained"),
        *models(small, "unlearned"),
        *models(small, "untrained", name="others.csv", seed=1),
        *models(small, "unlearned", name="others.csv", seed=1),
    }
    assert len(left(filled, "outputs")) == 3  # those of the other source
    purge(filled, [102], data=small.setting().fingerprint[:8])
    assert not left(filled, "model") & models(small, "original")


def test_states_of_one_source_are_purged_together(filled: Store, small):
    small.fill(filled, small.setting(seed=1))  # the same file, after a change
    assert purge(filled, [102]).objects["model"] == 6


def test_a_name_that_no_data_have(filled: Store):
    with pytest.raises(UserError, match="not known to the data elsewhere.csv in"):
        purge(filled, [102], data="elsewhere.csv")


def test_what_nobody_knows_the_training_set_of_goes_as_well(filled: Store, small):
    setting, worlds = small.setting(), small.worlds()
    from unweave.references import set_fields

    filled.discard(key_of(set_fields(setting, worlds["untrained"])))
    purge(filled, [102])
    assert left(filled, "model") == models(small, "unlearned")


def test_damaged_objects_go_since_nobody_knows_what_they_hold(filled: Store, small):
    bad = sorted(models(small, "unlearned"))[0]
    sidecar = filled.paths(bad)[1]
    sidecar.write_bytes(sidecar.read_bytes()[:-2])
    assert purge(filled, [102]).objects["damaged"] == 1
    assert not any(path.exists() for path in filled.paths(bad))


def test_a_run_at_work_is_not_purged_under_its_hands(filled: Store):
    with lease(filled.root, []), pytest.raises(StoreError, match=f"at work .*process {os.getpid()}"):
        purge(filled, [102])
    assert len(left(filled, "model")) == 9


def test_what_was_interrupted_anywhere_is_finished_by_the_same_command(
    filled: Store, small, monkeypatch: pytest.MonkeyPatch
):
    real = Path.unlink
    for allowed in range(1, 60):
        count = 0

        def killed(path: Path, *, missing_ok: bool = False, allowed: int = allowed) -> None:
            nonlocal count
            count += 1
            if count > allowed:
                raise KeyboardInterrupt
            real(path, missing_ok=missing_ok)

        store = Store(filled.root.parent / str(allowed))
        store.check_writable()
        small.fill(store, small.setting())
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", killed)
            try:
                purge(store, [102])
                break
            except KeyboardInterrupt:
                pass
        with suppress(UserError):  # all was done but for the last line
            purge(store, [102])
        assert left(store, "model") == models(small, "untrained") | models(small, "unlearned")
        assert verify(store).sound
    assert allowed > 8, "no purge was interrupted"


def test_rows_of_data_are_forgotten_and_those_of_other_data_are_not(filled: Store, small):
    folder = filled.root / "data"
    folder.mkdir()
    other = small.setting(name="others.csv", seed=1)
    small.fill(filled, other)
    for name, print_ in (("mine", small.setting().fingerprint), ("other", other.fingerprint), ("old", "0" * 64)):
        (folder / f"{name}.json").write_bytes(seal({"fingerprint": print_, "ids": [102], "prints": [1]}))
    (folder / "nobody.json").write_bytes(seal({"fingerprint": "1" * 64, "ids": [7], "prints": [1]}))
    (folder / "damaged.json").write_text(json.dumps({"fingerprint": other.fingerprint, "ids": [7]}))
    purge(filled, [102], data="people.csv")
    assert sorted(path.name for path in folder.iterdir()) == ["nobody.json", "other.json"]


def test_the_data_set_itself_stays_with_the_others_in_it(filled: Store, small):
    purge(filled, [102])
    assert len(left(filled, "data")) == 1 and not filled.has(key_of(data_fields(small.setting())))
    assert not filled.has(key_of(outputs_fields(small.setting(), small.worlds()["untrained"])))


def test_who_is_trained_on_again_can_be_purged_again(filled: Store, small):
    for ids in ([102], [900]):
        purge(filled, ids)
        small.fill(filled, small.setting())
        found = purge(filled, ids)
        assert found.objects["outputs"] == 3 and ("model" in found.objects) == (ids == [102])
        small.fill(filled, small.setting())


def test_one_source_under_two_names_is_one(filled: Store, small):
    register(filled, small.setting(name="./people.csv"), small.worlds()["original"])
    assert len(data_sets(filled)) == 2
    purge(filled, [102], data="people.csv")
    assert left(filled, "model") == models(small, "untrained") | models(small, "unlearned")
    assert all("102" not in one.ids for one in data_sets(filled))


def test_an_id_that_nobody_knows_is_no_silent_success(filled: Store):
    said = r"2 of 3 ids are not known .*'typo', 'typo2'\. .* still there: 1\. .*--allow-unknown"
    with pytest.raises(UserError, match=said):
        purge(filled, [102, "typo", "typo2"])
    assert len(left(filled, "model")) == 9
    found = purge(filled, [102, "typo"], allow_unknown=True)
    assert (found.objects["model"], found.unknown) == (3, ("typo",))
    with pytest.raises(UserError, match="2 of 2 ids are not known .*Nothing was removed. Correct"):
        purge(filled, [102, "typo"], allow_unknown=True)


def test_no_ids_are_no_request(filled: Store):
    with pytest.raises(UserError, match="no ids to purge"):
        purge(filled, [])


def test_a_damaged_list_of_ids_is_no_silent_success(filled: Store):
    (key,) = left(filled, "data")
    sidecar = filled.paths(key)[1]
    sidecar.write_bytes(sidecar.read_bytes()[:-2])
    with pytest.raises(UserError, match="1 objects are damaged, and may be lists of ids"):
        purge(filled, [900])  # of the test part: nothing but that list has it
    assert purge(filled, [102]).objects == {"damaged": 1, "model": 3, "outputs": 3, "training set": 1}


def test_models_of_tables_go_since_their_units_tell_of_who_is_missing(tmp_path: Path, small):
    store = Store(tmp_path)
    store.check_writable()
    table = small.setting()
    encoding = Encoding((0,), (-1,), (1,))
    learner = specify("softmax", (4,), 3, recipe={"epochs": 1, "batch_size": 8}, encoding=encoding)
    small.fill(store, table._replace(learner=learner))
    assert purge(store, [102]).objects["model"] == 9


def test_an_analysis_of_other_data_goes_since_it_may_name_the_ids(filled: Store, small):
    other = small.setting(name="others.csv", seed=1)
    small.fill(filled, other)
    notes = {"data": other.fingerprint, "result": {"dropped": [102]}}
    filled.write([Entry({"kind": "analysis"}, {}, notes)])
    assert purge(filled, [102], data="people.csv").objects["analysis"] == 1


def test_when_objects_were_used_outlives_a_purge(filled: Store, small):
    kept = models(small, "untrained")
    touch(filled, kept, now=5e9)
    purge(filled, [102])
    assert {row.used for row in stored_objects(filled) if row.key in kept} == {5e9}
