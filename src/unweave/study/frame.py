"""The frame in which every row of a case is measured: worlds, probe groups, distances, power."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._random import derive, generator
from unweave._types import NO_OP, NOT_DECLARED, Measured, NotMeasured
from unweave.metrics import (
    gap_is_clear,
    margins,
    off_line_squared,
    original_is_off_line,
    probe_weights,
)
from unweave.problem import AIM_GROUPS, MIN_PROBES, Case, Probes, strata
from unweave.records import Aim, Geometry
from unweave.references import Outputs, WorldName
from unweave.stats import interval, jackknife, permutation_test, ratio
from unweave.study.differing import ProbeTests
from unweave.study.samples import Distances, Floats, Sample, design_of, probabilities

OVERALL = 0
"""Row of the group weights that holds the strata of all groups together."""

AIMS: tuple[Aim, ...] = ("untraining", "unlearning")
REFERENCE: dict[Aim, WorldName] = {"untraining": "untrained", "unlearning": "unlearned"}
NULL: dict[Aim, WorldName] = {"untraining": "null_untrained", "unlearning": "null_unlearned"}
WORLD_NAMES: dict[WorldName, str] = {
    "original": "original A(D)",
    "untrained": "reference A(D∖S)",
    "unlearned": "reference A(D∖B)",
    "null_untrained": "fresh A(D∖S)",
    "null_unlearned": "fresh A(D∖B)",
}
POWER_LEVEL = 0.05
NULL_LEVEL = 0.01
PERMUTATIONS = 999
NO_POWER = "nothing to remove: the original is not distinguishable from the reference"


@dataclass(frozen=True)
class Frame:
    """What all rows of a case share.

    `groups` maps a probe group to its row in the weights of `distances` (row 0 = overall); `margin_distances`
    is the same on margins φ over the forget set, for a privacy request; `tests` are those at single probes;
    `too_few` says why no verdict can be given with this many models; `power` holds the p-values that the
    originals differ from each reference, `null_p` those of the fresh retrains.
    """

    case: Case
    probes: Probes
    groups: dict[str, int]
    judged: frozenset[str]
    worlds: dict[WorldName, Sample]
    distances: Distances
    tests: ProbeTests
    margin_worlds: dict[WorldName, Sample]
    margin_distances: Distances
    too_few: str
    power: dict[Aim, float]
    null_p: dict[Aim, float]
    gap_clear: bool
    gap: Measured

    @property
    def aims(self) -> tuple[Aim, ...]:
        """The aims that have a reference: without a declared behaviour there is no A(D∖B)."""
        return aims_of(self.worlds)

    @property
    def not_declared(self) -> str:
        """Why nothing about unlearning is measured, or ""."""
        return "" if "unlearning" in self.aims else NOT_DECLARED

    def reference(self, aim: Aim) -> Sample:
        """The models of the aim's ideal."""
        return self.worlds[REFERENCE[aim]]

    def has_power(self, aim: Aim) -> bool:
        """Whether the originals can be told from the aim's reference at all."""
        return self.power[aim] <= POWER_LEVEL and not self.no_op(aim)

    def no_op(self, aim: Aim) -> bool:
        """Whether the aim asks for nothing by definition: untraining of examples that were never trained on."""
        return aim == "untraining" and self.case.forget.outside

    def no_power(self, aim: Aim) -> str:
        """Why nothing can be judged where there is no power."""
        return NO_OP if self.no_op(aim) else NO_POWER

    @property
    def one_aim(self) -> bool:
        """Whether S = B, so that both references are of one training set."""
        return self.probes.absent.get("undiscovered", "").startswith("S = B")


def aims_of(worlds: Mapping[WorldName, Any]) -> tuple[Aim, ...]:
    """The aims whose reference is among the worlds."""
    return tuple(aim for aim in AIMS if REFERENCE[aim] in worlds)


def build_frame(case: Case, probes: Probes, outputs: dict[WorldName, Outputs]) -> Frame:
    """Measure the worlds against each other."""
    sizes = {name: len(rows) for name, rows in probes.groups.items()}
    distances = Distances(group_weights(probes))
    blocks = blocks_of(case, outputs)
    worlds: dict[WorldName, Sample] = {
        name: Sample(name, probabilities(o.logits), blocks[name]) for name, o in outputs.items()
    }
    forget = probes.groups["forget"]
    margin_worlds: dict[WorldName, Sample] = {
        name: Sample(name, forget_margins(o.logits, probes), blocks[name]) for name, o in outputs.items()
    }
    judged = frozenset(name for name, count in sizes.items() if count >= MIN_PROBES)
    aims = aims_of(worlds)
    references = {REFERENCE[aim]: worlds[REFERENCE[aim]] for aim in aims}
    tests = ProbeTests(distances, list(references.values()), derive(case.seed, "permutation", "probes"))
    for sample in worlds.values():
        if sample.name not in references:  # the first to ask for distances: see `ProbeTests.p_values`
            tests.p_values(sample)
    fresh = [(worlds[NULL[aim]], worlds[REFERENCE[aim]]) for aim in aims]
    gap_jack = _gap(distances, worlds) if "unlearning" in aims else None
    frame = Frame(
        case=case,
        probes=probes,
        groups={name: row for row, name in enumerate(sizes, start=1)},
        judged=judged,
        worlds=worlds,
        distances=distances,
        tests=tests,
        margin_worlds=margin_worlds,
        margin_distances=Distances(np.full((1, len(forget)), 1 / len(forget))),
        too_few=_too_few(case, worlds, judged),
        power={},
        null_p={aim: _differ(distances, case, *pair) for aim, pair in zip(aims, fresh, strict=True)},
        gap_clear=gap_jack is not None and gap_is_clear(gap_jack.value, gap_jack.se),
        gap=NotMeasured(NOT_DECLARED) if gap_jack is None else interval(gap_jack),
    )
    # Two batches of one law may look apart by luck; with S = B there is no line to draw.
    frame = replace(frame, gap_clear=frame.gap_clear and not frame.one_aim)
    return replace(frame, power={aim: _power(frame, aim) for aim in aims})


def group_weights(probes: Probes) -> Floats:
    """Weights of the probes [1 + groups, n]: the strata of all groups together, then each group by itself."""
    sizes = {name: len(rows) for name, rows in probes.groups.items()}
    weights = probe_weights(probes.groups, len(probes.clean))
    share = strata(sizes, probes.population)
    return np.vstack([np.array([share[name] for name in sizes]) @ weights, weights])


def forget_margins(logits: NDArray[np.float32], probes: Probes) -> Floats:
    """φ of the labels S was trained on [K, |S|, 1], from float64 logits."""
    rows = probes.groups["forget"]
    return margins(logits[:, rows].astype(np.float64), probes.trained[rows])[..., None]


def blocks_of(case: Case, outputs: dict[WorldName, Outputs]) -> dict[WorldName, NDArray[np.int64]]:
    """Ids of models by world: equal ones depend on each other. Worlds of paired seeds share theirs."""
    blocks: dict[WorldName, NDArray[np.int64]] = {}
    begin = 0
    for name, one in outputs.items():
        paired = case.references.paired and not name.startswith("null_")
        blocks[name] = np.arange(len(one.logits)) + (0 if paired else begin)
        begin += len(one.logits)
    return blocks


def _gap(distances: Distances, worlds: dict[WorldName, Sample]):
    untrained, unlearned = worlds["untrained"], worlds["unlearned"]
    design = design_of(untrained, unlearned)
    return jackknife(distances.shift(untrained, unlearned, design, group=OVERALL), design)


def _differ(distances: Distances, case: Case, a: Sample, b: Sample, *, group: int = OVERALL) -> float:
    cross = distances.pairs(a, b).norm[group]
    within_a, within_b = distances.pairs(a, a).norm[group], distances.pairs(b, b).norm[group]
    pooled = np.block([[within_a, cross], [cross.T, within_b]])
    rng = generator(case.seed, "permutation", a.name, b.name, group)
    return permutation_test(pooled, a.blocks, b.blocks, permutations=PERMUTATIONS, rng=rng)


def _power(frame: Frame, aim: Aim) -> float:
    """P-value that the originals differ from the aim's reference: overall, or where the aim must hold.

    A small own group can be outvoted overall, and probabilities saturate where margins do not; so the tests on
    the aim's own groups (and on margins, for a privacy request) count too. Whoever takes the smallest of m
    p-values has m chances: it is multiplied by m, the overall one among them (Bonferroni).
    """
    original, reference = frame.worlds["original"], frame.reference(aim)
    groups = [OVERALL, *(frame.groups[name] for name in AIM_GROUPS[aim] if name in frame.judged)]
    found = [_differ(frame.distances, frame.case, original, reference, group=group) for group in groups]
    if _on_margins(frame.case, aim):
        worlds = frame.margin_worlds
        found.append(_differ(frame.margin_distances, frame.case, worlds["original"], worlds["untrained"]))
    return min(len(found) * min(found), 1.0)


def power_tests(case: Case, aim: Aim, judged: frozenset[str]) -> int:
    """How many tests share the level of power: overall, on each judged own group, on margins for privacy.

    Example:
        >>> power_tests(Case(), "unlearning", frozenset({"forget", "undiscovered", "unseen", "test"}))
        3
    """
    return 1 + sum(name in judged for name in AIM_GROUPS[aim]) + _on_margins(case, aim)


def _on_margins(case: Case, aim: Aim) -> bool:
    return case.privacy and aim == "untraining"


def smallest_p(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """The smallest p-value a permutation test of two samples with these blocks can give.

    All swapped is as far apart as none swapped, so equal sizes have two labellings at the extreme.

    Example:
        >>> smallest_p(np.arange(3), np.arange(3, 6))
        0.1
    """
    if np.array_equal(np.sort(a), np.sort(b)):
        return max(2.0 ** (1 - len(a)), 1 / (1 + PERMUTATIONS))
    extreme = (2 if len(a) == len(b) else 1) / math.comb(len(a) + len(b), len(a))
    return max(extreme, 1 / (1 + PERMUTATIONS))


def _too_few(case: Case, worlds: dict[WorldName, Sample], judged: frozenset[str]) -> str:
    """Why no verdict can be given with this many models, or "": what cannot come out is no finding."""
    for aim in aims_of(worlds):
        reference = worlds[REFERENCE[aim]].blocks
        power_level = POWER_LEVEL / power_tests(case, aim, judged)
        for world, level in ((worlds["original"], power_level), (worlds[NULL[aim]], NULL_LEVEL)):
            smallest = smallest_p(world.blocks, reference)
            if smallest > level:
                return (
                    f"too few models: with {len(world.blocks)} against {len(reference)} no difference "
                    f"could be shown (smallest possible p-value {smallest:.2g}); use at least 5, or 8 paired"
                )
    return ""


def geometry(frame: Frame) -> Geometry:
    """How far the worlds lie from each other, and what can be told apart at this number of models."""
    why = "" if frame.gap_clear else why_no_map(frame)
    return Geometry(
        gap=frame.gap,
        drawn=frame.gap_clear,
        why_not=why,
        height_squared=height_squared(frame) if frame.gap_clear else NotMeasured(why),
        energy_original_untrained=_energy(frame, "original", "untrained"),
        energy_original_unlearned=_energy(frame, "original", "unlearned"),
        energy_untrained_unlearned=_energy(frame, "untrained", "unlearned"),
        p_untraining=frame.power["untraining"],
        p_unlearning=frame.power.get("unlearning"),
        attainable_untraining=_attainable(frame, "untraining"),
        attainable_unlearning=_attainable(frame, "unlearning"),
    )


def why_no_map(frame: Frame) -> str:
    """Why there is no line between two references to place a row on."""
    if frame.not_declared:
        return frame.not_declared
    if frame.one_aim:
        return "the two aims coincide here: S = B, so A(D∖S) and A(D∖B) are the same training set"
    return "the two aims are not distinguishable here: the references lie too close for this number of models"


def height_squared(frame: Frame) -> Measured:
    """Off-line² of the originals: whether they and the references span a triangle."""
    original, untrained, unlearned = (frame.worlds[n] for n in ("original", "untrained", "unlearned"))
    design = design_of(original, untrained, unlearned)
    to_untrained, to_unlearned, gap = (
        frame.distances.shift(*pair, design, group=OVERALL)
        for pair in ((original, untrained), (original, unlearned), (untrained, unlearned))
    )
    return interval(jackknife(off_line_squared(to_untrained, to_unlearned, gap=gap), design), debiased=True)


def off_line(frame: Frame) -> bool:
    """Whether barycentric weights may be shown in this case."""
    return frame.gap_clear and original_is_off_line(height_squared(frame))


def _energy(frame: Frame, one: WorldName, other: WorldName) -> Measured:
    if "unlearned" in (one, other) and frame.not_declared:
        return NotMeasured(frame.not_declared)
    a, b = frame.worlds[one], frame.worlds[other]
    design = design_of(a, b)
    return interval(jackknife(frame.distances.energy(a, b, design, group=OVERALL), design))


def _attainable(frame: Frame, aim: Aim) -> float | None:
    if aim not in frame.aims or not frame.has_power(aim):
        return None
    original, reference, fresh = frame.worlds["original"], frame.reference(aim), frame.worlds[NULL[aim]]
    design = design_of(original, reference, fresh)
    residual = ratio(
        frame.distances.energy(fresh, reference, design, group=OVERALL),
        frame.distances.energy(original, reference, design, group=OVERALL),
        design,
        level=0.90,  # its upper end is the one-sided 95% bound that a verdict uses
    )
    if isinstance(residual, NotMeasured) or residual.high is None:
        return None
    # A lucky estimate below 0 is no precision: the bound is at least that of an estimate of 0.
    return max(residual.high, residual.high - residual.value)
