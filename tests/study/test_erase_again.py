"""Requests one after another in a folder, and a request that is carried out again from its record."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from tests.study.erasing import SCRUB, digests, erase, ids_of, save_model, tiny

from unweave._errors import ApplicabilityError, SpecError, UserError
from unweave.problem import BehaviourChoice, DataChoice, ForgetChoice
from unweave.study.choices import MethodChoice
from unweave.study.erase import EraseWanted, prepare_erase
from unweave.study.spec import Spec, read_spec

FIRST, SECOND, THIRD = ids_of(3), ids_of(2, 3), ids_of(2, 5)


def asking(case, ids):
    return replace(case, forget=ForgetChoice(ids=tuple(ids)))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder with a model and two requests in `out`, and the case; copied by `folder`."""
    place = tmp_path_factory.mktemp("two")
    case = tiny(place)
    save_model(case)
    erase(case, place / "out")
    erase(asking(case, SECOND), place / "out", method=SCRUB)
    return place


@pytest.fixture
def folder(two, tmp_path):
    shutil.copytree(two, tmp_path / "w")
    return tmp_path / "w"


def test_a_second_request_begins_where_the_first_ended(folder):
    case = tiny(folder)
    wanted = EraseWanted("untraining", folder / "out", SCRUB, models=0)
    prepared = prepare_erase(Spec((asking(case, THIRD),)), wanted)
    assert prepared.number == 3 and prepared.file == folder / "out" / "0002" / "model.safetensors"
    rest = set(prepared.assembly.setting.ids.tolist())
    assert len(rest) == 195 and not rest & {*FIRST, *SECOND} and rest >= set(THIRD)
    found = erase(asking(case, THIRD), folder / "out", method=SCRUB)
    names = digests(folder / "out")
    assert found.model_before["sha256"] == names["0002/model.safetensors"]
    assert found.model_after["sha256"] == names["0003/model.safetensors"]
    assert len((folder / "out" / "requests.jsonl").read_text().splitlines()) == 3


def test_records_are_a_chain(folder):
    records = [json.loads((folder / "out" / f"000{k}" / "record.json").read_text()) for k in (1, 2)]
    assert records[1]["model_before"]["sha256"] == records[0]["model_after"]["sha256"]
    assert records[1]["case"]["data"]["without"] == list(FIRST)
    log = [json.loads(line) for line in (folder / "out" / "requests.jsonl").read_text().splitlines()]
    assert [one["model_after"] for one in log] == [one["model_after"]["sha256"] for one in records]


def test_ids_of_an_earlier_request_are_refused(folder):
    before = digests(folder)
    for ids in (FIRST, (*THIRD, FIRST[1]), SECOND):
        with pytest.raises(UserError, match=r"\d of \d ids were taken out by an earlier request \(first: "):
            erase(asking(tiny(folder), ids), folder / "out")
    assert digests(folder) == before


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("deep", ["again", "a/b/c"])
def test_a_record_is_redone_from_its_spec(folder, number, deep):
    """What the first line of `request.toml` says: another folder, no diagnosis, the same bytes."""
    file = folder / "out" / f"000{number}" / "request.toml"
    assert file.read_text().startswith(
        "# the same model again: unweave erase request.toml --aim untraining --models 0 --confirm --out NEW_FOLDER"
    )
    spec = read_spec(file)
    assert spec.methods == (MethodChoice("retrain", {}) if number == 1 else SCRUB,)
    found = erase(spec.cases[0], folder / deep, method=spec.methods[0], confirm=True)
    old = digests(folder / "out" / f"000{number}")["model.safetensors"]
    assert found.model_after["sha256"] == old == digests(folder / deep)["0001/model.safetensors"]


def test_paths_of_a_record_hold_below_links(folder, monkeypatch):
    (folder / "far" / "away").mkdir(parents=True)
    (folder / "link").symlink_to(folder / "far" / "away")
    monkeypatch.chdir(folder)
    case = replace(tiny(folder), learner=replace(tiny(folder).learner, checkpoint="model.safetensors"))
    erase(case, folder / "link" / "out")
    spec = read_spec(folder / "link" / "out" / "0001" / "request.toml")
    assert os.path.samefile(str(spec.cases[0].learner.checkpoint), folder / "model.safetensors")


def test_data_that_changed_are_not_redone(folder, tmp_path):
    spec = read_spec(folder / "out" / "0001" / "request.toml")
    other = replace(spec.cases[0], data=replace(spec.cases[0].data, limit=201))
    with pytest.raises(SpecError, match=r"`data\.fingerprint` is .* other data"):
        erase(other, tmp_path / "again")


def test_the_original_may_be_deleted_and_may_not_be_another(folder):
    case = tiny(folder)
    save_model(case, key=8)
    before = digests(folder)
    with pytest.raises(UserError, match=r"began with another model \(SHA-256 "):
        erase(asking(case, THIRD), folder / "out")
    assert digests(folder) == before
    (folder / "model.safetensors").unlink()
    assert erase(asking(case, THIRD), folder / "out").number == 3


def test_the_latest_model_may_be_named_as_well(folder):
    latest = str(folder / "out" / "0002" / "model.safetensors")
    case = replace(tiny(folder), learner=replace(tiny(folder).learner, checkpoint=latest))
    assert erase(asking(case, THIRD), folder / "out").number == 3


def test_an_earlier_model_that_is_gone_or_another(folder):
    latest, case = folder / "out" / "0002" / "model.safetensors", asking(tiny(folder), THIRD)
    content = latest.read_bytes()
    latest.unlink()
    with pytest.raises(SpecError, match=r"Cannot read the checkpoint .*0002/model\.safetensors: No such file"):
        erase(case, folder / "out")
    shutil.copy(folder / "model.safetensors", latest)
    with pytest.raises(UserError, match=r"0002/model\.safetensors is not the model that an earlier request left"):
        erase(case, folder / "out")
    latest.write_bytes(content)
    (folder / "out" / "0001" / "model.safetensors").unlink()  # nobody needs it any more
    assert erase(case, folder / "out").number == 3


def test_records_that_are_missing(folder):
    case = asking(tiny(folder), THIRD)
    shutil.move(folder / "out" / "0001", folder / "elsewhere")
    with pytest.raises(UserError, match=r"has the request 0002, but not 0001"):
        erase(case, folder / "out")
    (folder / "out" / "0001").mkdir()
    with pytest.raises(UserError, match=r"Cannot read .*0001/record\.json: No such file"):
        erase(case, folder / "out")


def _set(record, path, value):
    *way, last = path
    for key in way:
        record = record[key]
    if value is None:
        del record[last]
    else:
        record[last] = value


TAMPERED = {
    "file outside": (("model_after", "file"), "../../model.safetensors"),
    "absolute file": (("model_after", "file"), "/etc/hostname"),
    "file of another request": (("model_after", "file"), "0001/model.safetensors"),
    "file below": (("model_after", "file"), "0002/../../model.safetensors"),
    "no file": (("model_after", "file"), None),
    "no digest": (("model_after", "sha256"), None),
    "number": (("number",), 1),
    "ids that are none": (("case", "forget", "ids"), [[1]]),
    "ids gone": (("case", "forget", "ids"), None),
    "no data": (("case", "data"), None),
    "data that are none": (("case", "data"), 3),
    "no case": (("case",), {}),
    "nothing left": (("left",), {}),
    "schema of a result": (("aim",), "both"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_records_that_were_changed(folder, what):
    file = folder / "out" / "0002" / "record.json"
    record = json.loads(file.read_text())
    _set(record, *TAMPERED[what])
    file.write_text(json.dumps(record))
    before = digests(folder)
    with pytest.raises(UserError, match=r"Cannot read .*0002/record\.json: it is not a record of `unweave erase`"):
        erase(asking(tiny(folder), THIRD), folder / "out")
    assert digests(folder) == before


def test_ids_left_out_by_the_spec_are_left_out_once(tmp_path):
    plain = tiny(tmp_path)
    case = replace(plain, data=replace(plain.data, without=ids_of(2, 50)))
    save_model(case)
    erase(case, tmp_path / "out")
    found = erase(asking(case, SECOND), tmp_path / "out")
    assert found.case["data"]["without"] == [*ids_of(2, 50), *FIRST]
    assert erase(asking(case, THIRD), tmp_path / "out").number == 3


def _table(folder, x, y, ids):
    lines = ["key,a,b,label", *(f"{i},{a:.4f},{b:.4f},{c}" for i, (a, b), c in zip(ids, x, y, strict=True))]
    (folder / "d.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def rows(tmp_path):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(120, 2))
    return x, (x.sum(1) > 0).astype(int), [f"p{k:03d}" for k in range(120)]


def _of_npz(folder, keep):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(150, 6)).astype(np.float32)
    y, ids = (x[:, 0] > 0).astype(np.int64), np.array([f"p{k:03d}" for k in range(150)])
    train, test = np.flatnonzero(keep & (np.arange(150) < 110)), np.arange(110, 150)
    np.savez(
        folder / "d.npz", x_train=x[train], y_train=y[train], ids_train=ids[train],
        x_test=x[test], y_test=y[test], ids_test=ids[test],
    )  # fmt: skip


def test_records_that_were_deleted_from_the_data_as_they_should_be(tmp_path):
    keep = np.ones(150, dtype=bool)
    _of_npz(tmp_path, keep)
    case = tiny(tmp_path, data=DataChoice("npz", path=str(tmp_path / "d.npz")))
    case = asking(case, ("p001", "p002"))
    save_model(case)
    erase(case, tmp_path / "out")
    keep[[1, 2]] = False
    _of_npz(tmp_path, keep)
    assert erase(asking(case, ["p005"]), tmp_path / "out", method=SCRUB).number == 2
    with pytest.raises(UserError, match="taken out by an earlier request"):
        erase(asking(case, ["p001"]), tmp_path / "out")
    keep[7] = False  # a record that no request took out
    _of_npz(tmp_path, keep)
    with pytest.raises(UserError, match=r"training data are not those that request 2 left \(digest \w{12}, there"):
        erase(asking(case, ["p008"]), tmp_path / "out")


def test_rows_of_a_file_that_were_numbered_anew(tmp_path):
    """Ids are row numbers here: once a row is gone, those after it are other examples."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)

    def put(a, b):
        np.savez(tmp_path / "d.npz", x_train=a[:60], y_train=b[:60], x_test=x[60:], y_test=y[60:])

    put(x, y)
    case = asking(tiny(tmp_path, data=DataChoice("npz", path=str(tmp_path / "d.npz"))), (4,))
    save_model(case)
    erase(case, tmp_path / "out")
    np.savez(
        tmp_path / "d.npz", x_train=np.delete(x[:60], 4, 0), y_train=np.delete(y[:60], 4), x_test=x[60:],
        y_test=y[60:],
    )  # fmt: skip
    with pytest.raises(UserError, match="numbered anew"):
        erase(asking(case, (7,)), tmp_path / "out")


def test_a_table_whose_units_changed(tmp_path, rows):
    x, y, ids = rows
    x[3] = 40  # a row that has a part in the units of all others
    _table(tmp_path, x, y, ids)
    held = DataChoice(
        "csv", path=str(tmp_path / "d.csv"), label="label", id_column="key", test=str(tmp_path / "t.csv")
    )
    shutil.copy(tmp_path / "d.csv", tmp_path / "t.csv")
    text = (tmp_path / "t.csv").read_text().replace("p", "t", 200)
    (tmp_path / "t.csv").write_text("\n".join(text.splitlines()[:60]) + "\nt999,0.5,0.25,1\n")
    case = asking(tiny(tmp_path, data=held), ["p003"])
    save_model(case)
    erase(case, tmp_path / "out")
    _table(tmp_path, np.delete(x, 3, 0), np.delete(y, 3), ids[:3] + ids[4:])
    with pytest.raises(UserError, match="features of the table are in other units"):
        erase(asking(case, ["p010"]), tmp_path / "out", method=SCRUB)
    assert erase(asking(case, ["p010"]), tmp_path / "out").number == 2


def test_a_behaviour_that_is_planted_anew(tmp_path):
    case = tiny(tmp_path, behaviour=BehaviourChoice("mislabel", size=20))
    from unweave.study.assemble import assemble

    whole = replace(case, forget=ForgetChoice(count=3))
    made = assemble(replace(whole, learner=replace(whole.learner, checkpoint=None)))
    members = made.setting.ids[made.planted.members].tolist()
    save_model(asking(case, members[:3]))
    erase(asking(case, members[:3]), tmp_path / "out")
    with pytest.raises(ApplicabilityError, match="`behaviour.kind` is mislabel, which is planted anew"):
        erase(asking(case, members[3:5]), tmp_path / "out")


def test_a_log_that_cannot_be_written_leaves_a_complete_request(folder):
    log = folder / "out" / "requests.jsonl"
    log.unlink()
    log.mkdir()
    (log / "x").write_text("")
    with pytest.raises(UserError, match=r"Request 3 is complete in .*0003, but requests\.jsonl cannot be written"):
        erase(asking(tiny(folder), THIRD), folder / "out")
    shutil.rmtree(log)
    assert erase(asking(tiny(folder), ids_of(1, 9)), folder / "out").number == 4
    assert len(log.read_text().splitlines()) == 4
