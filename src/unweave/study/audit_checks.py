"""The checks of an audit: how far models lie from the references of an aim, each as distances or numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._logits import label_margins
from unweave.metrics.representation import centred_gram, linear_cka, probe_confidence
from unweave.problem import MIN_PROBES
from unweave.stats.ranks import Pool, pool_of_distances, pool_of_values
from unweave.study.assemble import Assembly
from unweave.study.audit_models import Answers, Asked
from unweave.study.samples import probabilities

Floats = NDArray[np.float64]
Measure = Callable[[Answers, Answers], Pool]
"""`(candidates, references) → pools`."""

OF_OUTPUTS = ("outputs", "margins", "worst decile", "classes")
"""Checks that ask for outputs on the probes and nothing else of a model."""

_WORST = 0.1
_OF_A_CLASS = 5  # test probes of a class, for its accuracy


class Check(NamedTuple):
    """A measurement of an audit.

    Attributes:
        name: Short, unique with its group.
        group: The probe group it is asked on, or "".
        what: What it measures, in words.
        measure: Candidates and references → how far each lies from the others of its pool.
    """

    name: str
    group: str
    what: str
    measure: Measure


def checks_of(assembly: Assembly, asked: Asked) -> list[Check]:
    """The checks that a case allows.

    A group of fewer than 20 probes enters none, but for S: what is ranked are models, so a p-value holds for any
    number of probes, and a request for three records has to be looked at on these three.
    """
    asked_of = assembly.probes.groups
    groups = {name: where for name, where in asked_of.items() if name == "forget" or len(where) >= MIN_PROBES}
    found = [
        Check("outputs", name, "mean distance of the probabilities", _outputs("as it is", where))
        for name, where in groups.items()
    ]
    own = assembly.probes.groups["forget"]
    noisy = np.arange(asked.noisy, len(asked.x))
    labels = assembly.probes.trained
    rest = "D∖B" if assembly.planted.known else "D∖S"
    marked = np.concatenate([groups[name] for name in ("forget", "undiscovered", "unseen") if name in groups])
    found += [
        Check("margins", "forget", "mean distance of the margins φ, which do not saturate", _margins(own, labels)),
        Check("nearby", "forget", "outputs on S with a little noise", _outputs("as it is", noisy)),
        Check(
            "relearned", "behaviour", f"outputs after fine-tuning on {rest} alone", _outputs("relearned", marked)
        ),
        Check("8 bit", "behaviour", "outputs with weights in 8 bits", _outputs("8 bit", marked)),
        Check("4 bit", "behaviour", "outputs with weights in 4 bits", _outputs("4 bit", marked)),
    ]
    if "test" in groups:
        where = groups["test"]
        found.append(
            Check(
                "worst decile", "test", "mean distance on the tenth of the probes that differ most", _worst(where)
            )
        )
        if np.bincount(labels[where]).max() >= _OF_A_CLASS:
            what = "largest difference of the accuracy on a class"
            found.append(Check("classes", "test", what, _classes(where, labels[where])))
    if assembly.setting.learner.opaque:
        return [one for one in found if one.name in OF_OUTPUTS]
    taken = labels[asked.features]
    return [
        *found,
        Check("features", "", "1 − linear CKA of the penultimate features of S and of the rest", _features),
        Check(
            "probe", "forget", "margin of a linear probe for the labels of S on the features", _probe(asked, taken)
        ),
    ]


def by_distance(distance: Callable[[Answers, Answers], Floats]) -> Measure:
    """A check by distances between models."""
    return lambda candidates, references: pool_of_distances(
        _symmetric(distance(references, references)), distance(candidates, references)
    )


def _symmetric(between: Floats) -> Floats:
    between = (between + between.T) / 2
    np.fill_diagonal(between, 0.0)
    return between


def _outputs(variant: str, where: NDArray[np.int64]) -> Measure:
    return by_distance(lambda a, b: _mean_distance(_shown(a, variant, where), _shown(b, variant, where)))


def _shown(found: Answers, variant: str, where: NDArray[np.int64]) -> Floats:
    return probabilities(found.logits[variant][:, where]).astype(np.float64)


def _mean_distance(p: Floats, q: Floats) -> Floats:
    """Mean over probes of ‖p_k − q_l‖ [K, L]."""
    return np.stack([np.linalg.norm(one[None] - q, axis=2).mean(1) for one in p])


def _margins(where: NDArray[np.int64], labels: NDArray[np.int64]) -> Measure:
    def distance(a: Answers, b: Answers) -> Floats:
        p, q = (
            label_margins(one.logits["as it is"][:, where].astype(np.float64), labels[where])[..., None]
            for one in (a, b)
        )
        return _mean_distance(p, q)

    return by_distance(distance)


def _worst(where: NDArray[np.int64]) -> Measure:
    def distance(a: Answers, b: Answers) -> Floats:
        p, q = (_shown(one, "as it is", where) for one in (a, b))
        most = max(1, round(_WORST * p.shape[1]))
        each = (np.linalg.norm(one[None] - q, axis=2) for one in p)
        return np.stack([np.sort(one, axis=1)[:, -most:].mean(1) for one in each])

    return by_distance(distance)


def _classes(where: NDArray[np.int64], labels: NDArray[np.int64]) -> Measure:
    present = [one for one in np.unique(labels) if (labels == one).sum() >= _OF_A_CLASS]

    def rates(found: Answers) -> Floats:
        right = found.logits["as it is"][:, where].argmax(2) == labels
        return np.stack([right[:, labels == one].mean(1) for one in present], axis=1).astype(np.float64)

    def distance(a: Answers, b: Answers) -> Floats:
        return np.abs(rates(a)[:, None] - rates(b)[None]).max(2)

    return by_distance(distance)


def _features(candidates: Answers, references: Answers) -> Pool:
    own, others = (
        np.stack([centred_gram(one.astype(np.float64)) for one in found.features])
        for found in (candidates, references)
    )
    return pool_of_distances(_symmetric(1 - linear_cka(others, others)), 1 - linear_cka(own, others))


def _probe(asked: Asked, labels: NDArray[np.int64]) -> Measure:
    of_forget = np.arange(asked.forget)

    def measure(candidates: Answers, references: Answers) -> Pool:
        own, others = (
            np.array([probe_confidence(one.astype(np.float64), labels, of_forget) for one in found.features])
            for found in (candidates, references)
        )
        return pool_of_values(others, own)

    return measure
