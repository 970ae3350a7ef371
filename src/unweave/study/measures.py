"""What metrics asked for by name say of each row, beside the values of the aim's reference and of a retrain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._random import Key, derive
from unweave._types import Estimate, Measured, NotMeasured
from unweave.metrics import (
    Rates,
    admissible_pairs,
    affine_weights,
    confidences,
    energy,
    excess,
    gap_is_clear,
    generality,
    jensen_shannon,
    leave_out_means,
    margins,
    modified_entropies,
    off_line_squared,
    pair_distances,
    pair_means,
    rate,
    tow_leave_outs,
    worst_off,
)
from unweave.problem import Probes
from unweave.records import MeasureValue
from unweave.references import WorldName
from unweave.stats import interval, jackknife, jackknife_vector
from unweave.study.applicability import measurement
from unweave.study.asked import Asked
from unweave.study.frame import NULL, REFERENCE, Frame
from unweave.study.reading import Reading
from unweave.study.samples import Floats, Sample, design_of

ITSELF = NotMeasured("the reference itself")


@dataclass(frozen=True)
class Answers:
    """The models of a row: their probabilities with block ids, and their logits on all probes [K, n, classes].

    `tokens` is what they say of the answer tokens of documents, where they were read: see `Outputs`.
    """

    sample: Sample
    logits: NDArray[np.float32]
    tokens: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Question:
    """One thing that is asked of every row of a case.

    `answers` are those of the worlds by name, `everyone` those of all rows; `kept` and `kept_of_case` are room for
    what several rows, and what several questions, have in common. `reading` says what documents models were read
    on.
    """

    frame: Frame
    answers: Mapping[WorldName, Answers]
    everyone: Mapping[str, Answers]
    asked: Asked
    key: Key
    kept: dict[object, Any]
    kept_of_case: dict[object, Any]
    reading: Reading | None = None

    def once(self, place: object, make: Callable[[], Any], *, of_case: bool = False) -> Any:
        """What was made for this place before, or is made now."""
        kept = self.kept_of_case if of_case else self.kept
        if place not in kept:
            kept[place] = make()
        return kept[place]

    @property
    def probes(self) -> Probes:
        """All probes of the case."""
        return self.frame.probes

    @property
    def at(self) -> NDArray[np.int64]:
        """Positions of the group's probes."""
        return self.probes.groups[self.asked.group]

    @property
    def index(self) -> int:
        """Row of the group in the weights of the distances."""
        return self.frame.groups[self.asked.group]

    @property
    def reference(self) -> Answers:
        """The models of the aim's reference."""
        return self.answers[REFERENCE[self.asked.aim]]

    @property
    def fresh(self) -> Answers:
        """Fresh retrains of that reference."""
        return self.answers[NULL[self.asked.aim]]

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value there can be."""
        return measurement(self.asked.name).declared.bounds

    def labels(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels as trained on; of new instances of a behaviour the label that its members were trained on."""
        planted = self.probes.planted[at]
        return np.where(planted >= 0, planted, self.probes.trained[at])


Way = Callable[[Question, Answers], Measured]
"""How something is asked of the models of a row."""


def within(found: Estimate, bounds: tuple[float, float]) -> Estimate:
    """An interval cut at the lowest and highest value there can be, which loses no coverage."""
    low, high = (None if end is None else float(np.clip(end, *bounds)) for end in (found.low, found.high))
    return Estimate(found.value, low, high, found.n)


def mean_of(
    question: Question,
    row: Answers,
    values: Floats,
    *,
    bounds: tuple[float, float] | None = None,
    without: str = "no model has a value",
) -> Measured:
    """Mean over models of a number of each model, with its interval; within the bounds declared or these."""
    if not np.isfinite(values).all():
        return NotMeasured(without)
    design = design_of(row.sample)
    found = jackknife(leave_out_means(values, design.weights[row.sample.name]), design)
    return within(interval(found), question.bounds if bounds is None else bounds)


# ---- numbers of each model ----


def _accuracy(question: Question, row: Answers) -> Measured:
    clean, planted = question.probes.clean[question.at], question.probes.planted[question.at]
    if (clean == planted).all():
        return NotMeasured("the clean label is the behaviour itself")
    return mean_of(question, row, rate(row.sample.predictions[:, question.at], clean))


def _behaviour_rate(question: Question, row: Answers) -> Measured:
    planted = question.probes.planted[question.at]
    if (planted < 0).any():
        return NotMeasured("ordinary data show no behaviour")
    return mean_of(question, row, rate(row.sample.predictions[:, question.at], planted))


def _mean_over_probes(
    question: Question, row: Answers, *, of: Callable[[Floats, NDArray[np.int64]], Floats]
) -> Measured:
    logits = row.logits[:, question.at].astype(np.float64)
    return mean_of(question, row, of(logits, question.labels(question.at)).mean(axis=1))


# ---- distances ----


def _to(world: WorldName | None, question: Question, row: Answers, *, squared: bool = False) -> Measured:
    reference = question.reference if world is None else question.answers[world]
    if row.sample.name == reference.sample.name:
        return ITSELF
    distances, design = question.frame.distances, design_of(row.sample, reference.sample)
    distance = distances.shift if squared else distances.energy
    return interval(jackknife(distance(row.sample, reference.sample, design, group=question.index), design))


def _worst_off(question: Question, row: Answers) -> Measured:
    """A percentile has no formula for its leave-outs: that of the energies at each probe, for each of them."""
    one, other = row.sample, question.reference.sample
    if one.name == other.name:
        return ITSELF
    each, design = np.eye(len(question.at)), design_of(one, other)
    outputs = [sample.outputs[:, question.at] for sample in (one, other)]
    cross, own, theirs = (
        pair_distances(p, q, weights=each, admissible=admissible_pairs(a, b)).norm
        for p, q, a, b in (
            (*outputs, one.blocks, other.blocks),
            (outputs[0], None, one.blocks, one.blocks),
            (outputs[1], None, other.blocks, other.blocks),
        )
    )
    by_probe = energy(
        cross,
        own,
        theirs,
        blocks_p=one.blocks,
        blocks_q=other.blocks,
        weights_p=design.weights[one.name],
        weights_q=design.weights[other.name],
    )
    return interval(jackknife(np.array([worst_off(values) for values in by_probe.T]), design))


def _excess(question: Question, row: Answers) -> Measured:
    original, reference = question.answers["original"].sample, question.reference.sample
    if row.sample.name == reference.name:
        return ITSELF
    design = design_of(row.sample, original, reference)
    of_row, of_original = (
        question.frame.distances.energy(one, reference, design, group=question.index)
        for one in (row.sample, original)
    )
    return interval(jackknife(excess(of_row, of_original, margin=question.frame.case.margin), design))


def _jensen_shannon(question: Question, row: Answers) -> Measured:
    """Mean over probes and over pairs of independent models."""
    one, other = row.sample, question.reference.sample
    p, q = (answers.logits[:, question.at].astype(np.float64) for answers in (row, question.reference))
    pairs = np.stack([jensen_shannon(np.broadcast_to(logits, q.shape), q).mean(axis=1) for logits in p])
    design = design_of(one, other)
    weights = [design.weights[sample.name] for sample in (one, other)]
    means = pair_means(pairs, one.blocks, other.blocks, weights_p=weights[0], weights_q=weights[1])
    return within(interval(jackknife(means, design)), question.bounds)


# ---- the map on one group ----


def _on_the_map(question: Question, row: Answers, *, what: str) -> Measured:
    if row.sample.name in REFERENCE.values():
        return NotMeasured("the reference itself: an anchor of the map")
    if what == "affine_weights" and row.sample.name == "original":
        return NotMeasured("the original itself: a corner of the triangle")
    frame = question.frame
    if "unlearned" not in frame.worlds:
        return NotMeasured(frame.not_declared)
    worlds = [question.answers[name].sample for name in ("untrained", "unlearned")]
    original = frame.worlds["original"]
    samples = [row.sample, *worlds, *([original] if what == "affine_weights" else [])]
    design = design_of(*samples)

    def shift(a: Sample, b: Sample) -> Floats:
        return frame.distances.shift(a, b, design, group=question.index)

    gap = shift(worlds[0], worlds[1])
    found = jackknife(gap, design)
    if frame.one_aim or not gap_is_clear(found.value, found.se):
        return NotMeasured("the two aims are not distinguishable on this group")
    to_untrained, to_unlearned = (shift(row.sample, world) for world in worlds)
    if what == "generality":
        return interval(jackknife(generality(to_untrained, to_unlearned, gap=gap), design))
    if what == "off_line_squared":
        return interval(jackknife(off_line_squared(to_untrained, to_unlearned, gap=gap), design), debiased=True)
    weights = affine_weights(
        to_untrained=to_untrained,
        to_unlearned=to_unlearned,
        to_original=shift(row.sample, original),
        original_to_untrained=shift(original, worlds[0]),
        original_to_unlearned=shift(original, worlds[1]),
        gap=gap,
    )
    if isinstance(weights, NotMeasured):
        return weights
    own = 1 if question.asked.aim == "untraining" else 2  # how much of the row is the aim's own reference
    return interval(jackknife_vector(weights, design)[own])


# ---- tug of war ----


def tug_of_war(question: Question, row: Answers, *, on_group: Callable[[Question, Answers], Floats]) -> Measured:
    """Mean ToW over models, with the accuracy on the group or the success of an attack there."""

    def rates(answers: Answers) -> Rates:
        ordinary = [question.probes.groups[name] for name in ("retain", "test")]
        accuracies = [rate(answers.sample.predictions[:, at], question.probes.clean[at]) for at in ordinary]
        return Rates(on_group(question, answers), *accuracies)

    reference = question.reference
    of_row, of_reference = rates(row), rates(reference)
    if not (np.isfinite(of_row.forget).all() and np.isfinite(of_reference.forget).all()):
        return NotMeasured("the attack could not be fitted: too few members, or too few others")
    design = design_of(row.sample, reference.sample)
    found = tow_leave_outs(
        of_row,
        of_reference,
        design.weights[row.sample.name],
        design.weights[reference.sample.name],
        blocks=row.sample.blocks,
        reference_blocks=reference.sample.blocks,
    )
    return within(interval(jackknife(found, design)), question.bounds)


def accuracy_on_group(question: Question, answers: Answers) -> Floats:
    """Accuracy of each model on the group."""
    return rate(answers.sample.predictions[:, question.at], question.probes.clean[question.at])


METRIC_WAYS: dict[str, Way] = {
    "accuracy": _accuracy,
    "behaviour_rate": _behaviour_rate,
    "margins": partial(_mean_over_probes, of=margins),
    "confidences": partial(_mean_over_probes, of=confidences),
    "modified_entropies": partial(_mean_over_probes, of=modified_entropies),
    "energy_to_untrained": partial(_to, "untrained"),
    "energy_to_unlearned": partial(_to, "unlearned"),
    "damage": partial(_to, None),
    "mean_shift_to_untrained": partial(_to, "untrained", squared=True),
    "mean_shift_to_unlearned": partial(_to, "unlearned", squared=True),
    "worst_off": _worst_off,
    "excess": _excess,
    "jensen_shannon": _jensen_shannon,
    **{name: partial(_on_the_map, what=name) for name in ("generality", "off_line_squared", "affine_weights")},
    "tow": partial(tug_of_war, on_group=accuracy_on_group),
}


def measures_of(
    frame: Frame, answers: Mapping[str, Answers], asked: Sequence[Asked], reading: Reading | None = None
) -> dict[str, tuple[MeasureValue, ...]]:
    """All that was asked by name of the rows of a case, by the id of the row.

    Args:
        frame: What the rows of the case share.
        answers: The models behind each row, worlds included, by its id.
        asked: What is measured.
        reading: What documents the models were read on, if on any.
    """
    from unweave.study.language_measures import LANGUAGE_UNITS, LANGUAGE_WAYS
    from unweave.study.membership import ATTACK_WAYS, UNITS

    ways = METRIC_WAYS | ATTACK_WAYS | LANGUAGE_WAYS
    worlds: dict[WorldName, Answers] = {name: answers[name] for name in frame.worlds}
    found: dict[str, tuple[MeasureValue, ...]] = dict.fromkeys(answers, ())
    kept: dict[object, Any] = {}
    for one in asked:
        key = derive(frame.case.seed, "measures", one.name)
        question = Question(frame, worlds, answers, one, key, {}, kept, reading)
        values = {name: _value(question, answers[name], ways[one.name]) for name in answers}
        missing = NotMeasured(_why_not(question))
        reference, null = (values.get(of[one.aim], missing) for of in (REFERENCE, NULL))
        declared = measurement(one.name).declared
        for name, value in values.items():
            said = MeasureValue(
                name=one.name,
                aim=one.aim,
                group=one.group,
                status="forced" if one.status == "forced" else "allowed",
                reason=one.reason,
                unit=(UNITS | LANGUAGE_UNITS).get(one.name, declared.unit),
                better=declared.better,
                value=value,
                reference=reference,
                null=null,
            )
            found[name] = (*found[name], said)
    return found


def _why_not(question: Question) -> str:
    """Why nothing can be asked in this case, or ""."""
    if question.asked.aim not in question.frame.aims:
        return question.frame.not_declared
    if question.asked.group not in question.probes.groups:
        return question.probes.absent.get(question.asked.group, "no examples")
    return ""


def _value(question: Question, row: Answers, way: Way) -> Measured:
    if why := _why_not(question):
        return NotMeasured(why)
    try:
        return way(question, row)
    except UserError as error:  # these outputs are not what it can be asked of: that is no end of a run
        return NotMeasured(str(error))
