"""What S is divided by where a method is named for each part of it: scores that need models of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import StoreError
from unweave.execute import Task
from unweave.references import Entry, Objects, Store, about, key_of, model_fields, read_verified
from unweave.study.assemble import Assembly
from unweave.study.choices import MethodChoice
from unweave.study.code import scores_code
from unweave.study.fair import why_refused
from unweave.study.running import Progress, case_task, counter

if TYPE_CHECKING:
    from unweave.references.subsampled import Asked, SubsetPlan

Floats = NDArray[np.float64]

MODELS = 500
SHARE = 0.7
"""By how many models memorization is known, and on which part of D each is trained, unless said otherwise."""

FOLLOWED = 8
"""Most originals whose training is repeated to follow how early they learn."""

# As `refinement.GIVEN_SCORES` names them; known here without torch, and a test holds one against the other.
_MEMORIZATION, _LEARNING = GIVEN = ("memorization", "learning")


def given_score(method: str) -> str | None:
    """The score that a method divides S by, where it is none that methods compute themselves.

    Example:
        >>> given_score("noop / scrub by memorization"), given_score("noop / scrub by confidence")
        ('memorization', None)
    """
    head, by, score = method.rpartition(" by ")
    return score if by and "/" in head and score in GIVEN else None


def asked_of(assembly: Assembly) -> Asked:
    """The probes of all groups with the labels that models of D were trained on."""
    from unweave.references.subsampled import Asked

    return Asked(assembly.probes.x, assembly.probes.trained)


def _plan(assembly: Assembly) -> SubsetPlan:
    # As a diagnosis has it by default: what one trained the other finds.
    from unweave.references.subsampled import SubsetPlan

    return SubsetPlan(MODELS, SHARE, assembly.case.seed)


def _made_of(assembly: Assembly, score: str) -> dict[str, tuple[dict[str, Any], int]]:
    """The stored objects that a score is made of, by key: arguments of the task that makes each, and bytes."""
    from unweave.references.subsampled import block_fields, blocks

    if score == _LEARNING:
        return {key_of(events_fields(assembly)): ({}, 4 * len(assembly.setting.y))}
    plan, asked = _plan(assembly), asked_of(assembly)
    size = 8 * (len(assembly.setting.y) + len(asked.y))  # a class and φ
    return {
        key_of(block_fields(assembly.setting, plan, asked, block)): (
            {"models": plan.models, "share": plan.share, "block": [block.start, block.stop]},
            size * len(block),
        )
        for block in blocks(plan)
    }


def score_fields(assembly: Assembly, choice: MethodChoice) -> dict[str, Any]:
    """What identifies the scores of a method among what identifies its outputs; nothing where it needs none.

    Scores follow from the objects they are made of, so their keys stand for them before there are any scores.
    """
    score = given_score(choice.name)
    if score is None:
        return {}
    return {"scores": {"by": score, "of": list(_made_of(assembly, score)), "code": scores_code()}}


def score_sizes(assembly: Assembly, methods: Sequence[MethodChoice]) -> dict[str, int]:
    """Bytes of each object that the scores of some methods are made of, by key."""
    named = {score for choice in methods if (score := given_score(choice.name))}
    return {key: size for score in named for key, (_, size) in _made_of(assembly, score).items()}


def ensure_scores(
    store: Store,
    wanted: Sequence[tuple[Assembly, MethodChoice]],
    run: Callable[..., list[Any]],
    tell: Progress,
) -> None:
    """Train what the scores of some methods need and the store lacks, by tasks.

    Args:
        store: The store.
        wanted: Methods that will run, each with its case; those that are refused need no scores.
        run: Runs tasks.
        tell: Told of progress.
    """
    tasks: dict[str, Task] = {}
    for assembly, choice in wanted:
        score = given_score(choice.name)
        if score is None or why_refused(assembly, choice):
            continue
        for key, (given, _) in _made_of(assembly, score).items():
            if not store.has(key):
                function = "train_block" if score == _MEMORIZATION else "follow_training"
                label = f"training models for scores ({score}) of {assembly.case.name}"
                tasks[key] = case_task(function, store, assembly, label, (), **given)
    if tasks:
        run(list(tasks.values()), on_done=counter("subsets", len(tasks), tell))


def scores_of(objects: Objects, assembly: Assembly, choice: MethodChoice) -> Floats | None:
    """The scores of S that a method is given [|S|]; None for one that needs none."""
    score = given_score(choice.name)
    if score is None:
        return None
    return _memorization(objects, assembly) if score == _MEMORIZATION else _learning(objects, assembly)


def _memorization(objects: Objects, assembly: Assembly) -> Floats:
    """mem(i) with the probability of the label, which has fewer ties and less noise than correctness."""
    from unweave.influence import self_influence
    from unweave.references.subsampled import read_answers

    found = read_answers(objects, assembly.setting, _plan(assembly), asked_of(assembly))
    rows = assembly.forget
    soft = (1 + np.tanh(found.phi[:, rows].astype(np.float64) / 2)) / 2  # the logistic, which overflows nowhere
    return self_influence(found.inside[:, rows], soft).value


def events_fields(assembly: Assembly) -> dict[str, Any]:
    """What identifies how early the first originals learned each example of D."""
    models = model_fields(assembly.setting, assembly.worlds["original"])[:FOLLOWED]
    return {"kind": "learning events", "models": [key_of(one) for one in models], "code": scores_code()}


def ensure_events(objects: Objects, assembly: Assembly) -> None:
    """Repeat the training of the first originals, and keep their mean confidence over epochs in each label."""
    if read_verified(objects, key_of(events_fields(assembly))) is not None:
        return
    import torch

    from unweave.influence.events import learning_events, recorded
    from unweave.learners.nets import build
    from unweave.training.outputs import one_thread

    setting, world = assembly.setting, assembly.worlds["original"]
    keys = list(world.keys[:FOLLOWED])
    x, y = (torch.from_numpy(one).to(setting.device) for one in (setting.x, setting.y))
    with one_thread():
        found = recorded(build(setting.learner), x, y, rows=[world.rows] * len(keys), keys=keys)
    confidence = learning_events(found).confidence.astype(np.float32)
    objects.write([Entry(events_fields(assembly), {"confidence": confidence}, about(setting, world))])


def _learning(objects: Objects, assembly: Assembly) -> Floats:
    ensure_events(objects, assembly)
    found = read_verified(objects, key_of(events_fields(assembly)))
    if found is None:
        raise StoreError("How early the originals learned does not survive being written to the store.")
    # Low for what is learned late: the sign of a score is that of memorization.
    return 1 - found[0]["confidence"][assembly.forget].astype(np.float64)


def note_of_scores(choice: MethodChoice) -> str:
    """What a reader should know of a method's scores: what they are made of is not in its cost."""
    notes: Mapping[str | None, str] = {
        _MEMORIZATION: f"memorization by {MODELS} models of {SHARE:.0%} of D, which are not in the cost, nor "
        "their scatter in an interval",
        _LEARNING: "how early S was learned from training at most "
        f"{FOLLOWED} originals once more, which is not in the cost, nor its scatter in an interval",
    }
    return notes.get(given_score(choice.name), "")
