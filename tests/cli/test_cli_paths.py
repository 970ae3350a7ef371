"""Forty names that would lead elsewhere: nothing is ever written outside the folder that was chosen."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.study.erasing import digests, erase, ids_of, save_model, tiny

from unweave._errors import UnweaveError, UserError
from unweave.problem import Case, ForgetChoice
from unweave.study import erase as erase_module
from unweave.study.erase import EraseWanted, run_erase
from unweave.study.request import read_request
from unweave.study.spec import Spec, case_from_tree, case_to_tree

LONG = "x" * 300

PAYLOADS = [
    "..", "../..", "../outside", "../../outside", "a/../../outside", "a/b/../../../outside", "./../outside",
    "....//outside", "..//outside", ".. /outside", "../outside/", "..\\outside", "..\\..\\outside", "a\\..\\..\\b",
    "%2e%2e/outside", "%2e%2e%2foutside", "..%2foutside", "%2e%2e%5coutside", "..%c0%afoutside", "%252e%252e/out",
    "~", "~/outside", "~root", "$HOME/outside", "${HOME}", "`pwd`/outside",
    "/OUTSIDE", "//OUTSIDE", "file:///OUTSIDE", "\\\\server\\share\\x", "C:\\outside", "//server/share",
    "out\0side", "\0", "../out\0side", LONG, "a/" + LONG, "../" + LONG,
    "new\nline", "../new\nline", "\x1b[2J", "\u202eedistuo/..", ".", "link", "link/../outside", "link/below",
]  # fmt: skip


WORK = "one/two/three/work"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tiny(tmp_path_factory.mktemp("model")))


@pytest.fixture
def sandbox(tmp_path, monkeypatch, model):
    """A tree to compare, with a place to work in, one beside it, and a link from one into the other."""
    root, work = tmp_path / "sandbox", tmp_path / "sandbox" / WORK
    work.mkdir(parents=True)
    (root / "beside").mkdir()
    (root / "beside" / "precious").write_text("precious")
    (work / "link").symlink_to(root / "beside")
    shutil.copy(model, work)
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(root / "beside"))
    monkeypatch.setattr(erase_module, "seconds_per_model", lambda assembly: None)  # a forecast takes its time
    return root


def case_here(**changes) -> Case:
    """The case of the working directory; its name is the same in all tests, so that data are read once."""
    return tiny(Path(), **changes)


def of(payload: str, sandbox: Path) -> str:
    """A payload; what is absolute in it leads into the tree that is compared."""
    return payload.replace("OUTSIDE", f"{sandbox}/absolute".lstrip("/"))


def strays(sandbox: Path, before: dict[str, str], chosen: Path | None) -> list[str]:
    """What was written elsewhere than below a folder."""
    after = digests(sandbox)
    changed = [name for name in {*before, *after} if before.get(name) != after.get(name)]
    if chosen is None:
        return changed
    inside = [chosen, *chosen.parents]  # folders on the way are made where there are none
    return [
        name
        for name in changed
        if (sandbox / name) not in inside and chosen not in (sandbox / name).resolve().parents
    ]


def test_there_are_forty():
    assert len(set(PAYLOADS)) >= 40


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda one: repr(one)[:30])
def test_out(sandbox, payload):
    name, before = of(payload, sandbox), digests(sandbox)
    folder = Path(name)
    # What a name of a folder means: links are followed, and `..` is above where they lead.
    chosen = None if "\0" in name else Path(os.path.realpath(folder))
    try:
        erase(case_here(), folder)
    except UserError:
        assert not strays(sandbox, before, chosen)
        assert not list(sandbox.rglob("0001"))
        return
    assert chosen is not None and not strays(sandbox, before, chosen)
    assert (chosen / "0001" / "record.json").exists()
    assert sandbox == chosen or sandbox in chosen.parents or "server" in payload


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda one: repr(one)[:30])
def test_requests_and_ids(sandbox, payload):
    """A name of a file to read, and an id: neither names a file to write."""
    name = of(payload, sandbox)
    before = digests(sandbox)
    with pytest.raises(UnweaveError):
        read_request(Path(name))
    out = sandbox / WORK / "out"
    with pytest.raises(UserError, match="whole numbers|forget set|not in the training data|Unicode"):
        erase(case_here(forget=ForgetChoice(ids=(name,))), out)
    assert not strays(sandbox, before, None)


@pytest.mark.parametrize("payload", PAYLOADS[::6], ids=lambda one: repr(one)[:30])
def test_names_of_cases(sandbox, payload):
    out, before = sandbox / WORK / "out", digests(sandbox)
    try:
        named = case_from_tree({**case_to_tree(case_here()), "name": of(payload, sandbox)})
    except UserError:
        return
    erase(named, out)
    assert not strays(sandbox, before, out)


@pytest.fixture(scope="module")
def erased(tmp_path_factory, model):
    """A folder with one request."""
    folder = tmp_path_factory.mktemp("erased")
    erase(tiny(model.parent), folder / "out")
    return folder / "out"


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda one: repr(one)[:30])
def test_names_of_files_in_a_tampered_record(sandbox, payload, erased):
    out = shutil.copytree(erased, sandbox / WORK / "out")
    file = out / "0001" / "record.json"
    record = json.loads(file.read_text())
    for name in (
        of(payload, sandbox),
        f"0001/{of(payload, sandbox)}",
        f"{of(payload, sandbox)}/model.safetensors",
    ):
        record["model_after"]["file"] = name
        file.write_text(json.dumps(record))
        before = digests(sandbox)
        with pytest.raises(UserError, match=r"0001/record\.json: it is not a record of `unweave erase`"):
            erase(case_here(forget=ForgetChoice(ids=ids_of(2, 3))), out)
        assert not strays(sandbox, before, None)


def test_a_link_in_place_of_the_log_is_replaced_and_not_followed(sandbox):
    out = sandbox / WORK / "out"
    out.mkdir()
    (out / "requests.jsonl").symlink_to(sandbox / "beside" / "precious")
    erase(case_here(), out)
    assert (sandbox / "beside" / "precious").read_text() == "precious"
    assert not (out / "requests.jsonl").is_symlink()


def test_a_link_in_place_of_a_request_is_no_request(sandbox):
    out = sandbox / WORK / "out"
    out.mkdir()
    (out / "0001").symlink_to(sandbox / "beside")
    before = digests(sandbox)
    with pytest.raises(UserError, match=r"Cannot read .*0001/record\.json"):
        erase(case_here(), out)
    assert not strays(sandbox, before, None)


def test_checkpoints_are_read_and_never_written(sandbox):
    before = digests(sandbox)
    for payload in PAYLOADS:
        case = case_here()
        tree = case_to_tree(case)
        tree["learner"]["checkpoint"] = of(payload, sandbox)
        with pytest.raises(UnweaveError):
            named: Case = case_from_tree(tree)
            run_erase(Spec((named,)), EraseWanted("untraining", sandbox / WORK / "out", models=0))
    assert not strays(sandbox, before, None)
