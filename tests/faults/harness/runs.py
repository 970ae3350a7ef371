"""Whole runs: the same bits whatever happens, and stops at any moment (F14, F16, and the tests of determinism)."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from harness.outcomes import Outcome, fault
from unweave.references import Store
from unweave.references.care import manifest, verify

RECIPES = ("mlp", "cnn", "dropout")
SCRIPT = Path(__file__).with_name("one_run.py")


class Way(NamedTuple):
    """How models are made, which must not change a bit of them."""

    workers: int = 1
    shuffle: int | None = None
    hash_seed: str = "random"


def start(folder: Path, recipes: Sequence[str], way: Way, *, seed: int = 0) -> subprocess.Popen[str]:
    """A fresh process that makes the models of each recipe in a store of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    own = {"seed": seed, "workers": way.workers, "shuffle": way.shuffle}
    jobs = [{"store": str(folder / recipe), "recipe": recipe, **own} for recipe in recipes]
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), json.dumps(jobs)],
        env={**os.environ, "PYTHONHASHSEED": way.hash_seed},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a process that nobody disturbs."""
    _, errors = process.communicate(timeout=900)
    if process.returncode != 0:
        raise AssertionError(errors)


def manifests_of(folder: Path, recipes: Sequence[str]) -> tuple[str, ...]:
    """The manifest of each store, which must be sound."""
    for recipe in recipes:
        health = verify(Store(folder / recipe))
        if not health.sound:
            raise AssertionError(f"verify: {health}")
    return tuple(manifest(Store(folder / recipe)) for recipe in recipes)


def made(folder: Path, recipes: Sequence[str], way: Way, *, seed: int = 0) -> tuple[str, ...]:
    """The manifests of what a fresh process makes that nobody disturbs."""
    finish(start(folder, recipes, way, seed=seed))
    return manifests_of(folder, recipes)


_UNDISTURBED: dict[tuple[str, int], str] = {}


def undisturbed(folder: Path, recipes: Sequence[str], *, seed: int = 0) -> tuple[str, ...]:
    """What one worker makes that nobody disturbs; remembered, since it is what all else is held against."""
    missing = [one for one in recipes if (one, seed) not in _UNDISTURBED]
    if missing:
        found = made(folder / f"undisturbed {seed} {missing[0]}", missing, Way(hash_seed="0"), seed=seed)
        _UNDISTURBED.update({(one, seed): text for one, text in zip(missing, found, strict=True)})
    return tuple(_UNDISTURBED[one, seed] for one in recipes)


@fault("R1", "trained twice in fresh processes and stores, by seeds: equal manifests", smoke=1, full=5)
def same_bits(count: int, folder: Path) -> Outcome:
    total = Outcome()
    for seed in range(count):
        for recipes in [RECIPES] if count == 1 else [(one,) for one in RECIPES]:
            first = undisturbed(folder, recipes, seed=seed)
            again = made(
                folder / f"again {seed} {recipes[0]}", recipes, Way(1, shuffle=seed, hash_seed="1"), seed=seed
            )
            total.done += len(recipes)
            for recipe, one, other in zip(recipes, first, again, strict=True):
                if one != other:
                    total.wrong.append(f"{recipe}, seed {seed}: other bits")
    total.notes = f"{total.done - len(total.wrong)} of {total.done} pairs equal: {', '.join(RECIPES)}"
    return total


@fault("R1", "the same of a recipe that depends on the time", smoke=1, full=5, control=True)
def other_bits(count: int, folder: Path) -> Outcome:
    total = Outcome()
    for seed in range(count):
        places = [folder / f"{seed}{name}" for name in "ab"]
        for process in [start(place, ["late"], Way(), seed=seed) for place in places]:
            finish(process)
        total.done += 1
        if len({manifests_of(place, ["late"]) for place in places}) != 1:
            total.corrupt.append(f"seed {seed}: other bits")
    total.notes = f"{len(total.corrupt)} of {count} seen"
    return total


WAYS_TO_RUN = (
    Way(1, 1, "0"),
    Way(2, 2, "1"),
    Way(8, None, "random"),
    Way(8, 3, "0"),
    Way(2, None, "random"),
    Way(1, None, "1"),
    Way(8, 4, "1"),
    Way(2, 5, "random"),
)


@fault("R3, R5", "1, 2, 8 workers, tasks in any order, PYTHONHASHSEED 0, 1, random", smoke=0, full=8)
def any_order(count: int, folder: Path) -> Outcome:
    total, first = Outcome(), undisturbed(folder, RECIPES)
    for number, way in enumerate(WAYS_TO_RUN[:count]):
        total.done += 1
        if made(folder / str(number), RECIPES, way) != first:
            total.wrong.append(f"{way}: other bits")
    return total


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _wait_for_objects(process: subprocess.Popen[str], folder: Path) -> None:
    """Until the first model is there, or the process has ended."""
    while process.poll() is None and not list(folder.glob("*/objects/*/*.json")):
        time.sleep(0.01)


@fault("F1", "SIGKILL of a run or of one of its workers, and run again: the same manifest", smoke=1, full=20)
def killed_runs(count: int, folder: Path) -> Outcome:
    recipes = RECIPES[:1] if count == 1 else RECIPES
    total, rng, first, way = Outcome(), random.Random(0), undisturbed(folder, recipes), Way(workers=2)
    longest, kinds, ended = 1.0, {"run": 0, "worker": 0}, 0
    if count > 1:
        process = start(folder / "timed", recipes, way)
        _wait_for_objects(process, folder / "timed")
        began = time.monotonic()
        finish(process)
        longest = time.monotonic() - began
    for number in range(count):
        place = folder / str(number)
        process = start(place, recipes, way)
        _wait_for_objects(process, place)
        time.sleep(rng.uniform(0, longest))
        workers = _children(process.pid)
        if number % 2 and workers:
            kinds["worker"] += 1
            with suppress(ProcessLookupError):
                os.kill(rng.choice(workers), signal.SIGKILL)
            finish(process)  # the task of the dead worker is given to another
        else:
            kinds["run"] += 1
            ended += process.poll() is not None
            process.kill()
            process.communicate()
            # At once: workers without a driver may be at work still.
            finish(start(place, recipes, way))
        total.done += 1
        if manifests_of(place, recipes) != first:
            total.wrong.append(f"round {number}: other bits")
    total.notes = f"{kinds['run']} runs ({ended} had ended), {kinds['worker']} workers; all manifests compared"
    return total


# Stops that are asked for

_STARTING = "Fatal Python error: init_"
"""What Python says, and ends with 1, where Ctrl-C comes while it starts: no line of unweave has run yet."""

OPTIONS = [
    *("--case", "digits-trigger", "--set", "learner.epochs=2", "--set", "references.models=4"),
    *("--set", "probes.limit=40", "--set", "data.limit=300", "--workers", "2", "--methods", "noop,scrub"),
]


def _compare(folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "unweave", "compare", *OPTIONS, "--out", "out", "--store", "store", "--quiet"]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed)


@fault("F16", "SIGINT and SIGTERM of `unweave compare` at any moment, half each", smoke=0, full=100)
def stopped_runs(count: int, folder: Path) -> Outcome:
    total, rng = Outcome(), random.Random(0)
    begun = time.monotonic()
    whole = _compare(folder / "whole")
    said = whole.communicate(timeout=300)[1]
    assert whole.returncode == 0, said
    longest, slowest, early, late = time.monotonic() - begun, 0.0, 0, 0
    rows = (folder / "whole" / "out" / "rows.csv").read_bytes()
    for number in range(count):
        place = folder / str(number)
        sent = (signal.SIGINT, signal.SIGTERM)[number % 2]
        process = _compare(place)
        time.sleep(rng.uniform(0, longest))
        asked = time.monotonic()
        process.send_signal(sent)
        _, errors = process.communicate(timeout=60)
        slowest = max(slowest, time.monotonic() - asked)
        total.done += 1
        if process.returncode == 0:
            late += 1
        elif process.returncode == -sent or (process.returncode == 1 and errors.startswith(_STARTING)):
            early += 1
        elif process.returncode != 128 + sent or "run the same command to go on" not in errors:
            total.wrong.append(f"{sent.name}: exit {process.returncode}: {errors.strip()[-200:]}")
        if (place / "store" / "objects").is_dir() and not verify(Store(place / "store")).sound:
            total.corrupt.append(f"round {number}: the store is not sound")
        if number % 5 == 0:
            again = _compare(place)
            said = again.communicate(timeout=300)[1]
            if again.returncode != 0 or (place / "out" / "rows.csv").read_bytes() != rows:
                total.wrong.append(f"round {number}: another table when run again: {said}")
    if slowest > 10:
        total.wrong.append(f"it took {slowest:.1f} s to stop")
    total.notes = (
        f"at most {slowest:.1f} s to stop; {early} came before unweave had begun, {late} after its end; every "
        "fifth run to its end: the same rows.csv"
    )
    return total
