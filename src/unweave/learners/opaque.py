"""Opaque learners: classifiers of scikit-learn, of which only the probabilities are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import DivergedError
from unweave._random import Key, derive
from unweave.learners.encoding import standardised, world_scales
from unweave.learners.own_code import make, seeded, told
from unweave.learners.specs import OWN, LearnerSpec

FLOOR = 1e-9
"""A probability below this counts as this, so that its logarithm is a number."""

Classifier = Any
"""An object with `fit(x, y)`, `predict_proba(x)` and, once fitted, `classes_`."""


def fit_logits(
    spec: LearnerSpec,
    x: NDArray[np.float32],
    y: NDArray[np.int64],
    *,
    rows: NDArray[np.int64],
    key: Key,
    probes: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Fit one classifier on the rows of (x, y) and return log-probabilities on the probes.

    A class that is absent from the training set has probability 0, hence log `FLOOR`; where the training set
    has one class only nothing is fitted, and that class has all probability. A table is standardised on the
    training set first, as for nets.

    Args:
        spec: Which classifier.
        x: Features of all of D [n, ...]; flattened.
        y: Labels of all of D [n].
        rows: The training set as rows of D; the others are never read.
        key: Determines everything random.
        probes: Features [m, ...].

    Returns:
        [m, classes], whose softmax is the prediction.

    Raises:
        DivergedError: if a probability is not finite.
    """
    from threadpoolctl import threadpool_limits

    inside, outside, labels = x[rows], probes.copy(), y[rows]  # a classifier may write into what it is given
    if spec.encoding is not None:
        scales = world_scales(spec.encoding, x[np.sort(rows)])
        inside, outside = (standardised(spec.encoding, one, scales) for one in (inside, outside))
    inside, outside = inside.reshape(len(inside), -1), outside.reshape(len(outside), -1)
    found = np.zeros((len(probes), spec.classes))
    if len(np.unique(labels)) == 1:
        found[:, labels[0]] = 1
    else:
        classifier = _MAKERS[spec.name](spec, derive(key, "fit") % 2**32)
        # One thread: several workers, each with all cores, would wait for one another.
        with threadpool_limits(1), told(spec), seeded(derive(key, "fit")):
            classifier.fit(inside, labels)
            found[:, classifier.classes_] = classifier.predict_proba(outside)
    if not np.isfinite(found).all():
        raise DivergedError(
            f"Probabilities of the learner {spec.label} are not finite: there is nothing to compare."
        )
    return np.log(found.clip(FLOOR)).astype(np.float32)


def _forest(spec: LearnerSpec, seed: int) -> Classifier:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(spec.config["trees"], random_state=seed, n_jobs=1)


def _boosting(spec: LearnerSpec, seed: int) -> Classifier:
    from sklearn.ensemble import HistGradientBoostingClassifier

    options: Any = {"max_features": 0.5, "early_stopping": False}
    return HistGradientBoostingClassifier(max_iter=spec.config["trees"], random_state=seed, **options)


def _logistic(spec: LearnerSpec, seed: int) -> Classifier:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000, random_state=seed)


def _own(spec: LearnerSpec, seed: int) -> Classifier:
    with seeded(seed):
        classifier = make(spec)
    names = classifier.get_params() if hasattr(classifier, "get_params") else {}
    # Those of the steps of a pipeline as well.
    states = {name: seed for name in names if name.rpartition("__")[2] == "random_state"}
    return classifier.set_params(**states) if states else classifier


_MAKERS: dict[str, Callable[[LearnerSpec, int], Classifier]] = {
    "forest": _forest,
    "boosting": _boosting,
    "logistic": _logistic,
    OWN: _own,
}
