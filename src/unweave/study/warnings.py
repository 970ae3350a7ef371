"""What a reader of a case should be warned of, beside its numbers."""

from __future__ import annotations

import math

import numpy as np

from unweave._types import NO_OP, Estimate
from unweave.data import row_prints
from unweave.learners import LearnerSpec
from unweave.learners.privacy import epsilon, gaussian_parameter, most_influence
from unweave.problem import in_test
from unweave.records import Row
from unweave.study.assemble import Assembly
from unweave.study.corpora import is_free_text
from unweave.study.frame import NULL_LEVEL, REFERENCE, WORLD_NAMES, Frame

_SHOWN = 20
_DELTA = 1e-5


def warnings_of(assembly: Assembly, frame: Frame, rows: list[Row]) -> list[str]:
    """All warnings of a case, the gravest first."""
    found: list[str] = []
    if frame.too_few:
        found.append(f"No verdict: {frame.too_few}.")
    for aim in frame.aims:
        name = WORLD_NAMES[REFERENCE[aim]]
        if frame.null_p[aim] <= NULL_LEVEL:
            found.append(
                f"Fresh retrains differ from {name} (permutation p = {frame.null_p[aim]:.3g}): "
                "this run gives no verdict."
            )
    for row in rows:
        anchor = {"null_untrained": 0.0, "null_unlearned": 1.0}.get(row.id)
        if anchor is not None and isinstance(row.generality, Estimate) and not covers(row.generality, anchor):
            found.append(
                f"The 95% interval of t of {row.name} does not hold its anchor {anchor:g}; "
                "one in twenty such intervals misses by chance."
            )
    found += assembly.data.warnings
    found += _about_learner(assembly)
    found += about_request(assembly)
    found += _about_copies(assembly)
    found += _about_seeds(frame)
    found += _untrained_well(frame)
    for name in frame.groups:
        if name not in frame.judged:
            found.append(f"`{name}` has only {len(frame.probes.groups[name])} probes: shown, not judged.")
    if frame.not_declared:
        found.append(
            "Only S is known, so untraining alone is judged. To have unlearning measured, declare the behaviour "
            "that S shows with `behaviour.kind`."
        )
    if frame.one_aim:
        found.append("S = B: untraining and unlearning are the same aim in this case.")
    return found


def _untrained_well(frame: Frame) -> list[str]:
    """A warning if the originals know little more of ordinary data than which class is most frequent."""
    clean = frame.probes.clean[frame.probes.groups["retain"]]
    right = float((frame.worlds["original"].predictions[:, frame.probes.groups["retain"]] == clean).mean())
    by_guessing = float(np.bincount(clean).max() / len(clean))
    if right >= by_guessing + (1 - by_guessing) / 4:
        return []
    return [
        f"The originals get {right:.0%} of retain right, and the most frequent class alone gives "
        f"{by_guessing:.0%}: the recipe (`learner.lr`, `learner.epochs`) does not train this learner."
    ]


def about_request(assembly: Assembly) -> list[str]:
    """What removing S or B does that a request may not have meant."""
    setting, forget, world = assembly.setting, assembly.forget, assembly.worlds["original"]
    found: list[str] = []
    if assembly.case.forget.outside:
        found.append(f"{NO_OP}: its {len(forget)} examples are new instances of the behaviour.")
    aside, unknown = in_test(assembly.dropped, assembly.data.test.ids.tolist())
    for where, ids in (
        ("are in the test part, which no model is trained on,", aside),
        ("are not in the training data", unknown),
    ):
        if ids:
            shown = ", ".join(str(one) for one in ids[:_SHOWN])
            more = ", …" if len(ids) > _SHOWN else ""
            found.append(f"Forget ids that {where} were dropped ({len(ids)}): {shown}{more}.")
    if len(forget) > len(world.rows) / 2 and not assembly.case.forget.outside:
        found.append(
            f"S is {len(forget) / len(world.rows):.0%} of the training data: consider retraining on the "
            "rest, which is exact and may cost less than any method."
        )
    for name in ("untrained", "unlearned"):
        # A word that only S has is no class.
        if name not in assembly.worlds or is_free_text(assembly.case.data):
            continue
        left = assembly.worlds[name]
        lost = np.setdiff1d(setting.y[world.rows], setting.y[left.rows])
        if len(lost):
            shown = ", ".join(str(one) for one in lost[:_SHOWN])
            found.append(
                f"No example of class {shown} is left in {left.training_set}: this is class unlearning, and its "
                "models never learn to predict it."
            )
    return found


def _about_copies(assembly: Assembly) -> list[str]:
    prints = row_prints(assembly.setting.x, assembly.setting.y)
    retain = np.setdiff1d(assembly.worlds["original"].rows, assembly.forget)
    copies = int(np.isin(prints[retain], prints[assembly.forget]).sum())
    if not copies:
        return []
    are = "example is an exact copy" if copies == 1 else "examples are exact copies"
    return [f"{copies} retained {are} of forgotten ones; their influence stays."]


def _about_learner(assembly: Assembly) -> list[str]:
    learner = assembly.setting.learner
    if learner.recipe is not None and learner.recipe.clip is not None:
        return [_privacy(learner, len(assembly.worlds["original"].rows))]
    if learner.file is None or learner.opaque:
        return []
    from unweave.learners.nets import build

    if build(learner).stacked:
        return []
    return [
        f"Models of {learner.label} are trained one by one: it was not shown that stacks of them are the same."
    ]


def _privacy(learner: LearnerSpec, n: int) -> str:
    mu = gaussian_parameter(learner, n)
    if learner.encoding is not None:
        return (
            "The gradients of single examples are clipped, but there is no account of privacy: the columns of the "
            "table are standardised by the training data of each model, without noise."
        )
    if mu is None:
        return (
            "The gradients of single examples are clipped, but there is no account of privacy: that needs "
            f"`learner.noise` and a batch of all {n} examples."
        )
    eps, most = _upwards(epsilon(mu, _DELTA)), _upwards(most_influence(mu))
    return (
        f"A is ({eps}, {_DELTA:g})-differentially private by itself (μ = {_upwards(mu)}, for exact arithmetic and "
        "true noise): no single example can "
        f"change the probability of an output by more than {most}, which bounds what untraining one can do; for a "
        "set of them this says little."
    )


def _upwards(bound: float) -> str:
    """Two digits, rounded so that a bound stays one."""
    digits = 1 - math.floor(math.log10(bound)) if bound > 0 else 0
    return f"{math.ceil(bound * 10**digits - 1e-9) / 10**digits:.{max(digits, 0)}f}"


def _about_seeds(frame: Frame) -> list[str]:
    """A law that is a point: intervals over models say nothing then."""
    outputs = frame.worlds["original"].outputs
    if (outputs == outputs[:1]).all():
        return [
            "All models of a world are the same one: nothing in this learner is random, so intervals over models "
            "have no width and say nothing about another training set."
        ]
    return []


def covers(estimate: Estimate, value: float) -> bool:
    """Whether the interval holds a value; an end that is None is unbounded."""
    return (estimate.low is None or estimate.low <= value) and (estimate.high is None or value <= estimate.high)
