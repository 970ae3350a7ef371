"""Peak memory is that of a process, not of the one that started it."""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np

from unweave import _memory
from unweave._memory import peak_memory

MB = 1_000_000


def test_a_child_does_not_count_what_its_parent_held():
    held = np.ones(400 * MB, np.uint8)
    assert peak_memory() > held.nbytes
    code = "from unweave._memory import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 * MB  # `ru_maxrss` says 400 and more here


def test_it_counts_what_was_given_back():
    before = peak_memory()
    size = before + 50 * MB
    held = np.ones(size, np.uint8)
    del held
    assert peak_memory() > size


def test_without_proc_it_is_what_the_system_says(monkeypatch, tmp_path):
    monkeypatch.setattr(_memory, "Path", lambda _: tmp_path / "absent")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert _memory.peak_memory() in (most, 1024 * most)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _memory.peak_memory() == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
