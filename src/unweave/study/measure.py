"""Measure one row: where it lies on the map, what is left, what it damaged; no judgement yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unweave._types import Estimate, Measured, NotMeasured
from unweave.metrics import (
    affine_weights,
    generality,
    leave_out_means,
    off_line_squared,
    rate,
    weights_are_sharp,
    worst_off,
)
from unweave.records import Aim, AimDamage, AimTail, Damage, Group, MapPoint, Tail, Weights
from unweave.stats import (
    Jackknife,
    interval,
    jackknife,
    jackknife_vector,
    ratio,
)
from unweave.study.differing import differing
from unweave.study.frame import AIMS, NULL, OVERALL, Frame, off_line
from unweave.study.samples import Floats, Kind, Sample, design_of


@dataclass(frozen=True)
class Place:
    """Where a row lies: generality, off-line², the point of the map, weights in the triangle."""

    generality: Measured
    off_line_squared: Measured
    xy: MapPoint | None
    weights: Weights | None


def place(frame: Frame, row: Sample) -> Place:
    """The row on the map, or the reason why there is no map."""
    if not frame.gap_clear:
        why = NotMeasured(frame.not_declared or "the two aims are not distinguishable here")
        return Place(why, why, None, None)
    untrained, unlearned = frame.worlds["untrained"], frame.worlds["unlearned"]
    design = design_of(row, untrained, unlearned)
    to_untrained, to_unlearned, gap = (
        frame.distances.shift(*pair, design, group=OVERALL)
        for pair in ((row, untrained), (row, unlearned), (untrained, unlearned))
    )
    t = generality(to_untrained, to_unlearned, gap=gap)
    off = off_line_squared(to_untrained, to_unlearned, gap=gap)
    both = jackknife_vector(np.stack([t, off], axis=1), design)
    off_line_estimate = interval(both[1], debiased=True)
    c = both.covariance
    covariance = ((float(c[0, 0]), float(c[0, 1])), (float(c[1, 0]), float(c[1, 1])))
    point = MapPoint(float(both.value[0]), off_line_estimate.value, covariance)
    return Place(interval(both[0]), off_line_estimate, point, _weights(frame, row))


def _weights(frame: Frame, row: Sample) -> Weights | None:
    original = frame.worlds["original"]
    if not off_line(frame) or row.name == original.name:
        return None
    untrained, unlearned = frame.worlds["untrained"], frame.worlds["unlearned"]
    design = design_of(row, original, untrained, unlearned)

    def shift(a: Sample, b: Sample) -> Floats:
        return frame.distances.shift(a, b, design, group=OVERALL)

    coordinates = affine_weights(
        to_untrained=shift(row, untrained),
        to_unlearned=shift(row, unlearned),
        to_original=shift(row, original),
        original_to_untrained=shift(original, untrained),
        original_to_unlearned=shift(original, unlearned),
        gap=shift(untrained, unlearned),
    )
    if isinstance(coordinates, NotMeasured):
        return None
    jack = jackknife_vector(coordinates, design)
    if not weights_are_sharp(np.sqrt(np.diag(jack.covariance))):
        return None
    return Weights(*(interval(jack[i]) for i in range(3)))


def residual(frame: Frame, row: Sample, aim: Aim, *, group: int = OVERALL) -> Measured:
    """R = E²(M,R)/E²(O,R): the share of the way from the original that is still to go."""
    if aim not in frame.aims:
        return NotMeasured(frame.not_declared)
    if not frame.too_few and not frame.has_power(aim):
        return NotMeasured(frame.no_power(aim))
    original, reference = frame.worlds["original"], frame.reference(aim)
    design = design_of(row, original, reference)
    return ratio(
        frame.distances.energy(row, reference, design, group=group),
        frame.distances.energy(original, reference, design, group=group),
        design,
    )


def groups_of(frame: Frame, row: Sample) -> dict[str, Group]:
    """What the row does on each probe group."""
    predicted = row.predictions
    return {name: _group(frame, row, predicted, name) for name in frame.groups}


def _group(frame: Frame, row: Sample, predicted: NDArray[np.int64], name: str) -> Group:
    rows, index = frame.probes.groups[name], frame.groups[name]
    planted, clean = frame.probes.planted[rows], frame.probes.clean[rows]
    shown: Measured = NotMeasured("ordinary data show no behaviour")
    if (planted >= 0).all():
        shown = mean_over_models(row, rate(predicted[:, rows], planted))
    accuracy: Measured = NotMeasured("the clean label is the behaviour itself")
    if (planted != clean).any():
        accuracy = mean_over_models(row, rate(predicted[:, rows], clean))
    energies = {aim: _to_reference(frame, row, aim, index) for aim in AIMS}
    stacked = {aim: _to_reference(frame, row, aim, index, kind="stacked") for aim in AIMS}
    residuals = {aim: residual(frame, row, aim, group=index) for aim in AIMS}
    return Group(
        n_probes=len(rows),
        in_verdict=name in frame.judged,
        behaviour_rate=shown,
        accuracy=accuracy,
        energy_untraining=energies["untraining"],
        energy_unlearning=energies["unlearning"],
        stacked_untraining=stacked["untraining"],
        stacked_unlearning=stacked["unlearning"],
        residual_untraining=residuals["untraining"],
        residual_unlearning=residuals["unlearning"],
    )


def mean_over_models(row: Sample, values: Floats) -> Measured:
    """Mean of a share per model with its interval over models, within 0…1."""
    design = design_of(row)
    found = interval(jackknife(leave_out_means(values, design.weights[row.name]), design))
    # A share lies in 0…1, whatever Student's t says: cutting the interval there loses no coverage.
    low, high = (None if end is None else min(max(end, 0.0), 1.0) for end in (found.low, found.high))
    return Estimate(found.value, low, high, found.n)


def _to_reference(frame: Frame, row: Sample, aim: Aim, index: int, *, kind: Kind = "norm") -> Measured:
    if aim not in frame.aims:
        return NotMeasured(frame.not_declared)
    reference = frame.reference(aim)
    if row.name == reference.name:
        return NotMeasured("the reference itself")
    design = design_of(row, reference)
    return interval(jackknife(frame.distances.energy(row, reference, design, group=index, kind=kind), design))


def accuracy_difference(frame: Frame, row: Sample, aim: Aim, name: str) -> Jackknife:
    """Accuracy minus the reference's on one group, over models."""
    reference, rows = frame.reference(aim), frame.probes.groups[name]
    design = design_of(row, reference)
    of_row, of_reference = (
        leave_out_means(rate(sample.predictions[:, rows], frame.probes.clean[rows]), design.weights[sample.name])
        for sample in (row, reference)
    )
    return jackknife(of_row - of_reference, design)


def damage_of(frame: Frame, row: Sample) -> Damage:
    """What ordinary data lost against each aim's reference."""
    return Damage(*(_damage(frame, row, aim) for aim in AIMS))


def _damage(frame: Frame, row: Sample, aim: Aim) -> AimDamage:
    if aim not in frame.aims:
        return AimDamage(*[NotMeasured(frame.not_declared)] * 6)
    fresh = frame.worlds[NULL[aim]]
    names: Sequence[str] = ("retain", "test")
    energies = [_to_reference(frame, row, aim, frame.groups[name]) for name in names]
    nulls = [_to_reference(frame, fresh, aim, frame.groups[name]) for name in names]
    accuracies: list[Measured] = [NotMeasured("the reference itself")] * 2
    if row.name != frame.reference(aim).name:
        accuracies = [interval(accuracy_difference(frame, row, aim, name)) for name in names]
    return AimDamage(*energies, *nulls, *accuracies)


def tails_of(frame: Frame, row: Sample) -> AimTail:
    """The worst-off probes of each group, beside those of a fresh retrain, for both aims."""
    return AimTail(*(_tails(frame, row, aim) for aim in AIMS))


def _tails(frame: Frame, row: Sample, aim: Aim) -> dict[str, Tail]:
    if aim not in frame.aims:
        return {}
    reference, fresh = frame.reference(aim), frame.worlds[NULL[aim]]
    if row.name == reference.name:
        return {}
    at_probe = frame.distances.by_probe(row, reference)
    at_probe_null = frame.distances.by_probe(fresh, reference)
    differ = differing(frame.tests.p_values(row)[reference.name], frame.probes.groups.values())
    return {
        name: Tail(
            p95=worst_off(at_probe[rows]),
            p95_null=None if row.name == fresh.name else worst_off(at_probe_null[rows]),
            share_differing=float(differ[rows].mean()),
        )
        for name, rows in frame.probes.groups.items()
    }
