"""Opaque learners: classifiers of scikit-learn, of which only the probabilities are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import DivergedError
from unweave._random import Key, derive
from unweave.learners.encoding import Scales, standardised, world_scales
from unweave.learners.own_code import make, seeded, told
from unweave.learners.specs import OWN, LearnerSpec

FLOOR = 1e-9
"""A probability below this counts as this, so that its logarithm is a number."""

Classifier = Any
"""An object with `fit(x, y)`, `predict_proba(x)` and, once fitted, `classes_`."""


class Fitted(NamedTuple):
    """A classifier with what standardised the features it was fitted on; None = one class only, `label`."""

    spec: LearnerSpec
    classifier: Classifier | None
    scales: Scales | None
    label: int

    def logits(self, probes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-probabilities on probes [m, ...] as [m, classes].

        Raises:
            DivergedError: if a probability is not finite.
        """
        from threadpoolctl import threadpool_limits

        found = np.zeros((len(probes), self.spec.classes))
        if self.classifier is None:
            found[:, self.label] = 1
        else:
            with threadpool_limits(1), told(self.spec):
                outside = _flat(self.spec, probes, self.scales)
                found[:, self.classifier.classes_] = self.classifier.predict_proba(outside)
        if not np.isfinite(found).all():
            raise DivergedError(
                f"Probabilities of the learner {self.spec.label} are not finite: there is nothing to compare."
            )
        return np.log(found.clip(FLOOR)).astype(np.float32)


def fit_one(
    spec: LearnerSpec, x: NDArray[np.float32], y: NDArray[np.int64], *, rows: NDArray[np.int64], key: Key
) -> Fitted:
    """Fit one classifier on the rows of (x, y).

    Where the training set has one class only nothing is fitted. A table is standardised on the training set first,
    as for nets.

    Args:
        spec: Which classifier.
        x: Features of all of D [n, ...]; flattened.
        y: Labels of all of D [n].
        rows: The training set as rows of D; the others are never read.
        key: Determines everything random.
    """
    from threadpoolctl import threadpool_limits

    labels = y[rows]
    scales = None if spec.encoding is None else world_scales(spec.encoding, x[np.sort(rows)])
    if len(np.unique(labels)) == 1:
        return Fitted(spec, None, scales, int(labels[0]))
    classifier = _MAKERS[spec.name](spec, derive(key, "fit") % 2**32)
    # One thread: several workers, each with all cores, would wait for one another.
    with threadpool_limits(1), told(spec), seeded(derive(key, "fit")):
        classifier.fit(_flat(spec, x[rows], scales), labels)
    return Fitted(spec, classifier, scales, -1)


def _flat(spec: LearnerSpec, x: NDArray[np.float32], scales: Scales | None) -> NDArray[np.float32]:
    x = x.copy()  # a classifier may write into what it is given
    if spec.encoding is not None and scales is not None:
        x = standardised(spec.encoding, x, scales)
    return x.reshape(len(x), -1)


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
    has one class only that class has all probability.

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
    return fit_one(spec, x, y, rows=rows, key=key).logits(probes)


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
