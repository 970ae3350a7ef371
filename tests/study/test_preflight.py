"""A run that does not fit is refused before it begins, and says what it needs."""

from collections import namedtuple

import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, UserError, compare
from unweave._errors import StoreError
from unweave.problem import ProbeChoice
from unweave.references import Store
from unweave.study import MethodChoice, assemble, preflight
from unweave.study.preflight import check_room, fit_in_memory, free_memory

Usage = namedtuple("Usage", "total used free")
TINY = Case(learner=LearnerChoice(epochs=1), references=ReferenceChoice(models=3), probes=ProbeChoice(limit=40))
METHODS = (MethodChoice("noop", {}), MethodChoice("finetune", {}))


@pytest.fixture
def free(monkeypatch):
    def set_free(size):
        monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: Usage(10**12, 0, size))

    return set_free


def test_no_room_is_said_before_anything_is_trained(tmp_path, free):
    free(100_000)
    with pytest.raises(StoreError, match=r"has no room for this run: it needs about \d+\.\d MB, and 100000 bytes"):
        compare(TINY, methods=["noop"], store=tmp_path, workers=1)
    assert list(Store(tmp_path).keys()) == []
    free(10**9)
    assert compare(TINY, methods=["noop"], store=tmp_path, workers=1).result.provenance.models_trained == 15


def test_what_is_needed_is_what_is_written_and_a_little_more(tmp_path, free):
    assembly, store = assemble(TINY), Store(tmp_path)
    store.check_writable()

    def needed():
        low, high = 0, 10**9
        while low < high:
            middle = (low + high) // 2
            free(middle)
            try:
                check_room(store, [assembly], {assembly.case.name: METHODS})
                high = middle
            except StoreError:
                low = middle + 1
        return low

    before = needed()
    free(10**9)
    compare(TINY, methods=["noop", "finetune"], store=tmp_path, workers=1)
    written = sum(path.stat().st_size for path in (tmp_path / "objects").rglob("*") if path.is_file())
    assert written < before < 4 * written
    assert needed() < 0.6 * before  # nothing is left to write but what workers share


def test_fewer_workers_where_memory_is_short(monkeypatch):
    assembly = assemble(TINY)
    for gigabytes, workers in ((64, 8), (0.9, 4), (0.5, 2)):
        monkeypatch.setattr(preflight, "free_memory", lambda size=gigabytes: int(size * 2**30))
        assert fit_in_memory([assembly], {assembly.case.name: METHODS}, workers=8) == workers
    monkeypatch.setattr(preflight, "free_memory", lambda: 10**8)
    with pytest.raises(UserError, match=r"not memory enough .* needs at least \d+\.\d MB, and 100\.0 MB"):
        fit_in_memory([assembly], {assembly.case.name: METHODS}, workers=8)
    monkeypatch.setattr(preflight, "free_memory", lambda: None)
    assert fit_in_memory([assembly], {assembly.case.name: METHODS}, workers=8) == 8


def test_that_there_are_fewer_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "free_memory", lambda: 2**29)
    said = []
    found = compare(TINY, methods=["noop"], store=tmp_path, workers=5, on_message=said.append)
    assert said == ["Memory is enough for 2 of 5 workers at a time."] == list(found.result.provenance.notes)


def test_this_machine_tells_its_memory():
    assert free_memory() is None or 10**7 < free_memory() < 10**14
