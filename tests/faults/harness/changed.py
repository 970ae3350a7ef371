"""F14: data, recipe or code that changed between two runs: other keys, and nothing is mixed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from harness.outcomes import Outcome, fault
from unweave._errors import UserError
from unweave.references import Store
from unweave.references.care import verify

MODELS = 15  # three of each of five worlds


def _data(folder: Path, change: Callable[[dict[str, Any]], object] = lambda arrays: None) -> Path:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "x_train": rng.random((120, 5), dtype=np.float32),
        "y_train": rng.integers(0, 3, 120),
        "x_test": rng.random((60, 5), dtype=np.float32),
        "y_test": rng.integers(0, 3, 60),
    }
    change(arrays)
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def _next_value(arrays: dict[str, Any]) -> None:
    arrays["x_train"][7, 2] = np.nextafter(arrays["x_train"][7, 2], np.float32(2))


def _other_label(arrays: dict[str, Any]) -> None:
    _next_value(arrays)  # which is there by now
    arrays["y_train"][9] = (arrays["y_train"][9] + 1) % 3


_OWN = """
from torch import nn


def make(shape, classes):
    return nn.Linear(shape[0], classes)
"""


def _case(folder: Path, **learner: Any) -> Any:
    from unweave import Case, LearnerChoice, ReferenceChoice
    from unweave.problem import BehaviourChoice, DataChoice, ProbeChoice

    return Case(
        name="one",
        data=DataChoice("npz", path=str(folder / "data.npz")),
        behaviour=BehaviourChoice("mislabel", size=30),
        learner=LearnerChoice(**({"name": "softmax", "epochs": 1} | learner)),
        references=ReferenceChoice(models=3),
        probes=ProbeChoice(limit=20),
    )


def _run(folder: Path, case: Any) -> Any:
    from unweave import compare

    trusted = [folder / "own.py"]
    return compare(case, methods=["noop"], store=folder / "store", workers=1, trust_code=trusted).result.provenance


def _accepted(folder: Path, case: Any, total: Outcome) -> Any:
    """Run on data that changed: refused first, then said to be meant."""
    try:
        _run(folder, case)
        total.wrong.append("changed data pass without a word")
    except UserError as error:
        found = str(error).rpartition("data.fingerprint=")[2][:12]
        if "have changed since this store last saw them: 1 of" not in str(error):
            total.wrong.append(f"the message does not say how many differ: {error}")
    return _run(folder, replace(case, data=replace(case.data, fingerprint=found)))


def _other_code(folder: Path) -> None:
    (folder / "own.py").write_text(_OWN + "# another line\n")


@fault("F14", "data, recipe, own code or versions changed between runs: nothing is mixed", smoke=7, full=7)
def changed_inputs(count: int, folder: Path) -> Outcome:
    from unweave.references import keys

    total, store = Outcome(), Store(folder / "store")
    _data(folder)
    (folder / "own.py").write_text(_OWN)
    own = {"name": "mlp", "factory": f"{folder / 'own.py'}:make"}
    dense, mine = _case(folder), _case(folder, **own)
    changes: dict[str, Callable[[], Any]] = {
        "rate": lambda: _run(folder, _case(folder, lr=0.123)),
        "seed": lambda: _run(folder, replace(dense, seed=1)),
        "version of torch": lambda: _run(folder, dense),
        "version of training": lambda: _run(folder, dense),
        "own code": lambda: _run(folder, mine),
        "a value": lambda: _accepted(folder, dense, total),
        "a label": lambda: _accepted(folder, dense, total),
    }
    if [_run(folder, one).models_trained for one in (dense, dense, mine)] != [MODELS, 0, MODELS]:
        total.wrong.append("a second run trains again")
    for name, run in list(changes.items())[:count]:
        before = {path: hashlib.sha256(path.read_bytes()).digest() for path in store.root.glob("objects/*/*")}
        if name == "own code":
            _other_code(folder)
        if name in ("a value", "a label"):
            _data(folder, _next_value if name == "a value" else _other_label)
        version = mock.patch.object(keys, "installed", lambda package: f"99.{package}")
        training = mock.patch.object(keys, "TRAINING_VERSION", 99)
        if name.startswith("version"):
            with version if name.endswith("torch") else training:
                found = run()
            if not any("are of" in one or "but of" in one for one in found.notes):
                total.wrong.append(f"{name}: nobody says which version the stored models are of: {found.notes}")
        else:
            found = run()
        total.done += 1
        if found.models_trained != MODELS:
            total.corrupt.append(f"{name}: {MODELS - found.models_trained} old models were taken")
        changed = [path for path, digest in before.items() if hashlib.sha256(path.read_bytes()).digest() != digest]
        total.lost += [f"{name}: {path.name} was changed" for path in changed]
    if not verify(store).sound:
        total.corrupt.append(f"verify: {verify(store)}")
    total.notes = f"after each all {MODELS} models were trained, the old ones untouched; " + ", ".join(changes)
    return total
