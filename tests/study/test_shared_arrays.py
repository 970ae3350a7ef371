"""Workers of one run map the same files: the data are in memory once, and nowhere when the run has ended."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave.problem import DataChoice, ForgetChoice
from unweave.references import Store
from unweave.study import assemble, shared
from unweave.study.shared import held_once, mapped, shared_folder

LARGE = np.arange(1 << 18, dtype=np.float64).reshape(512, 512)
TINY = Case(learner=LearnerChoice(epochs=1), references=ReferenceChoice(models=3))


def test_what_is_mapped_is_the_same_array(tmp_path):
    for _ in range(2):  # the second time from the file that is there
        found = mapped(LARGE, tmp_path / "new")
        assert type(found) is np.ndarray and found.dtype == LARGE.dtype
        assert np.array_equal(found, LARGE)
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_who_writes_into_it_writes_for_itself(tmp_path):
    one, other = mapped(LARGE, tmp_path), mapped(LARGE, tmp_path)
    one[0, 0] = -1
    assert other[0, 0] == 0
    assert mapped(LARGE, tmp_path)[0, 0] == 0


def test_what_is_small_has_no_file(tmp_path):
    small = np.zeros(10)
    assert mapped(small, tmp_path / "new") is small
    assert not (tmp_path / "new").exists()


def test_where_no_file_can_be_written_the_array_is_its_own(tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert mapped(LARGE, tmp_path / "file") is LARGE


def test_equal_arrays_are_held_once():
    held: dict = {}
    assert held_once(LARGE, held) is LARGE and held_once(LARGE.copy(), held) is LARGE
    assert held_once(LARGE.reshape(-1), held) is not LARGE and len(held) == 2
    small = np.zeros(10)
    assert held_once(small, held) is small and len(held) == 2


def test_cases_of_one_behaviour_hold_their_data_once(monkeypatch):
    monkeypatch.setattr(shared, "_LEAST", 1)
    held: dict = {}
    one, other = (
        assemble(replace(TINY, name=f"g{share}", forget=ForgetChoice(discovery=share)), held=held)
        for share in (0.2, 0.5)
    )
    plain = assemble(replace(TINY, name="g0.5", forget=ForgetChoice(discovery=0.5)))
    assert one.planted.x is other.planted.x is other.setting.x and one.data.train.x is other.data.train.x
    assert other.data.test.x is one.data.test.x and other.planted.x is not plain.planted.x
    for mine, own in ((other.probes.x, plain.probes.x), (other.setting.x, plain.setting.x)):
        np.testing.assert_array_equal(mine, own)
    assert len(other.forget) != len(one.forget) and (other.forget == plain.forget).all()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: bytes(len(content)),
        lambda content: content[:-4096],
        lambda content: content[:4096] + bytes(4096) + content[8192:],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    ],
    ids=["empty", "zeros", "cut", "a hole", "a bit"],
)
def test_a_file_that_a_loss_of_power_left_is_not_used(tmp_path, damage):
    array = np.random.default_rng(0).random((300, 1000))
    mapped(array, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(mapped(array, tmp_path), array)
    again = mapped(array, tmp_path)  # which put a good one in its place
    np.testing.assert_array_equal(again, array)
    assert isinstance(again.base, np.memmap)


def test_the_folder_is_gone_however_a_run_ends(tmp_path):
    store = Store(tmp_path)
    with shared_folder(store, workers=1) as folder:
        assert folder is None
    with pytest.raises(KeyboardInterrupt), shared_folder(store, workers=2) as folder:
        mapped(LARGE, tmp_path / "mapped")
        assert folder == str(tmp_path / "mapped")
        raise KeyboardInterrupt
    assert not (tmp_path / "mapped").exists()


@pytest.fixture
def everything(monkeypatch):
    monkeypatch.setattr(shared, "_LEAST", 0)


def test_an_assembly_from_shared_arrays_is_the_same(everything, tmp_path):
    own, of_all = assemble(TINY), assemble(TINY, shared=str(tmp_path))
    assert of_all.setting.fingerprint == own.setting.fingerprint
    pairs = [(of_all.setting.x, own.setting.x), (of_all.setting.probes, own.setting.probes)]
    pairs += [(of_all.data.train.x, own.data.train.x), (of_all.data.test.x, own.data.test.x)]
    pairs += [(of_all.planted.x, own.planted.x), (of_all.probes.x, own.probes.x)]
    for found, expected in pairs:
        assert np.array_equal(found, expected)
        assert isinstance(found.base, np.memmap)
    assert of_all.setting.x is of_all.planted.x


def test_two_processes_hold_one_copy(tmp_path):
    """By what the system says of its memory: shared pages count half in each of two processes."""
    code = (
        "import sys, numpy as np, pathlib\n"
        "from unweave.study.shared import mapped\n"
        "x = mapped(np.ones(1 << 23), pathlib.Path(sys.argv[1])); x.sum()\n"
        "print('ready', flush=True); sys.stdin.read(1)\n"
        "lines = open('/proc/self/smaps').read().split('.npy')[1:]\n"
        "print(sum(int(l.split('Pss:')[1].split()[0]) for l in lines))\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], **pipes) for _ in range(2)]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    held = []
    for one in both:  # the other one still waits, and holds its share
        one.stdin.write("x")
        one.stdin.flush()
        held.append(int(one.stdout.readline()))
        if one is both[0]:
            assert held[0] == pytest.approx(32 * 1024, rel=0.05)  # half of 64 MiB
    for one in both:
        one.communicate()


def test_a_run_with_two_workers_leaves_no_data_behind(tmp_path):
    case = replace(TINY, data=DataChoice("digits"))
    compare(case, methods=["noop", "finetune"], store=tmp_path / "two", workers=2)
    assert not (tmp_path / "two" / "mapped").exists()
