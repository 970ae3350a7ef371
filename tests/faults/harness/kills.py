"""F1: writers that are killed at random moments, on every way by which files are written."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from harness import ways
from harness.outcomes import Outcome, fault
from harness.processes import Child, Tell, fork, kill, next_told
from harness.shim import slow_disk
from harness.ways import Way, write_for_ever
from unweave.records import files as records_files
from unweave.references import index
from unweave.references import store as store_module
from unweave.study import manifest as manifest_module

Spoil = Callable[[], None]
"""Makes the code of this process bad."""


COMMITS = 10
"""A writer is killed at any moment of the time that this many commits take."""


def killed(way: Way, count: int, folder: Path, *, spoil: Spoil | None = None) -> Outcome:
    """Kill a writer so many times, look at what it left, and let the next one work there."""
    total, rng = Outcome(), random.Random(0)
    template = folder / "before"
    template.mkdir()
    way.prepare(template)

    def writer(root: Path) -> Child:
        shutil.copytree(template, root)

        def write(tell: Tell) -> None:
            slow_disk()
            if spoil is not None:
                spoil()
            write_for_ever(way, root, tell)

        return fork(write)

    began, first = time.monotonic(), writer(folder / "timed")
    for _ in range(COMMITS):
        next_told(first)
    longest = time.monotonic() - began
    kill(first)
    temporary = nothing = 0
    for number in range(count):
        root = folder / str(number)
        child = writer(root)
        time.sleep(rng.uniform(0, longest))
        told = kill(child)
        temporary += bool(list(root.rglob("*.tmp")))
        nothing += not told
        total.add(way.look(root, told))
        total.done += 1
        if spoil is None:
            try:
                way.again(root)
            except Exception as error:  # noqa: BLE001 - whatever it was, the next run is hindered
                total.wrong.append(f"the next run: {type(error).__name__}: {error}")
            total.add(way.look(root, []) if way is ways.OBJECTS else Outcome())
        shutil.rmtree(root)
    total.notes = f"{temporary} left a temporary file, {nothing} came before the first commit"
    return total


@fault("F1", "SIGKILL while objects are written", smoke=20, full=200)
def kill_objects(count: int, folder: Path) -> Outcome:
    return killed(ways.OBJECTS, count, folder)


@fault("F1", "SIGKILL while results are written", smoke=20, full=200)
def kill_results(count: int, folder: Path) -> Outcome:
    return killed(ways.RESULTS, count, folder)


@fault("F1", "SIGKILL while the record of the data is written", smoke=20, full=200)
def kill_data(count: int, folder: Path) -> Outcome:
    return killed(ways.DATA, count, folder)


@fault("F1", "SIGKILL while the index is written", smoke=20, full=200)
def kill_index(count: int, folder: Path) -> Outcome:
    return killed(ways.INDEX, count, folder)


@fault("F1", "the same, objects written in place", smoke=10, full=200, control=True)
def kill_objects_in_place(count: int, folder: Path) -> Outcome:
    def spoil() -> None:
        store_module.write_durably = ways.in_place

    return killed(ways.OBJECTS, count, folder, spoil=spoil)


@fault("F1", "the same, the sidecar before its arrays", smoke=10, full=200, control=True)
def kill_objects_sidecar_first(count: int, folder: Path) -> Outcome:
    def spoil() -> None:
        store_module.write_durably = ways.SidecarFirst(store_module.write_durably)

    return killed(ways.OBJECTS, count, folder, spoil=spoil)


@fault("F1", "the same, results written in place", smoke=10, full=200, control=True)
def kill_results_in_place(count: int, folder: Path) -> Outcome:
    def spoil() -> None:
        records_files.write_durably = ways.in_place

    return killed(ways.RESULTS, count, folder, spoil=spoil)


@fault("F1", "the same, the record of the data written in place", smoke=10, full=200, control=True)
def kill_data_in_place(count: int, folder: Path) -> Outcome:
    def spoil() -> None:
        manifest_module.write_durably = ways.in_place

    return killed(ways.DATA, count, folder, spoil=spoil)


@fault("F1", "the same, use noted row by row", smoke=10, full=200, control=True)
def kill_index_row_by_row(count: int, folder: Path) -> Outcome:
    def spoil() -> None:
        index.touch = ways.touched_row_by_row

    return killed(ways.INDEX, count, folder, spoil=spoil)
