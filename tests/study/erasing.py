"""What tests of `erase` share: a model in a file, a spec that names it, and what a folder holds."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from unweave._random import derive
from unweave.learners.modules import tensor_names
from unweave.learners.nets import build
from unweave.problem import BehaviourChoice, Case, DataChoice, ForgetChoice, LearnerChoice, ProbeChoice
from unweave.study.assemble import assemble
from unweave.study.choices import MethodChoice
from unweave.study.erase import EraseWanted, run_erase
from unweave.study.spec import Spec
from unweave.training.engine import many, unstack

SCRUB = MethodChoice("scrub", {})


def tiny(folder: Path, **changes) -> Case:
    """Three examples of digits to forget, and a small net in `model.safetensors` of a folder."""
    case = Case(
        name="request",
        data=DataChoice("digits", limit=200),
        behaviour=BehaviourChoice("unknown"),
        forget=ForgetChoice(ids=ids_of(3)),
        learner=LearnerChoice("mlp", epochs=3, lr=0.3, width=8, checkpoint=str(folder / "model.safetensors")),
        probes=ProbeChoice(limit=40),
    )
    return replace(case, **changes)


_KNOWN: list[int] = []


def ids_of(count: int, begin: int = 0) -> tuple[int, ...]:
    """Some ids of the training data of `tiny`."""
    if not _KNOWN:
        whole = Case(data=DataChoice("digits", limit=200), learner=LearnerChoice(width=8))
        _KNOWN.extend(assemble(whole).data.train.ids.tolist())
    return tuple(_KNOWN[begin : begin + count])


def save_model(case: Case, *, key: int = 7, trusted=None) -> Path:
    """Train the model of a case on all of D and write it to its checkpoint."""
    file = Path(str(case.learner.checkpoint))
    plain = replace(case, learner=replace(case.learner, checkpoint=None))
    assembly = assemble(plain, trusted=trusted)
    setting, rows = assembly.setting, assembly.worlds["original"].rows
    x, y = torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    learner = build(setting.learner)
    state = unstack(many(learner, x, y, rows=[rows], keys=[derive(key, "m")]))[0]
    names, own = tensor_names(learner, state)[0], {**state.params, **state.buffers}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({theirs: own[ours].contiguous() for ours, theirs in names.items()}, file)
    return file


def erase(case: Case, out: Path, **wanted):
    """Carry out a request without a diagnosis, by retraining unless said otherwise."""
    given = {"aim": "untraining", "models": 0, **wanted}
    return run_erase(Spec((case,), store=out.parent / "store", workers=1), EraseWanted(out=out, **given))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of all files below a folder, by their names; where links lead, by that."""
    found = {}
    for one in sorted(folder.rglob("*")):
        name = str(one.relative_to(folder))
        if one.is_symlink():
            found[name] = f"-> {one.readlink()}"
        elif one.is_file():
            found[name] = hashlib.sha256(one.read_bytes()).hexdigest()
        else:
            found[name] = "folder"
    return found
