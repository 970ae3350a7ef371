"""Classifiers of scikit-learn: trained and asked, never looked into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._random import Key
from unweave.learners.inputs import encoder, fit_inputs
from unweave.learners.own import make
from unweave.learners.specs import LearnerSpec

FLOOR = 1e-6
"""The least probability that is told apart from none: a forest often says 0, whose logarithm is not finite."""


def outputs(
    spec: LearnerSpec, x: NDArray[np.float32], y: NDArray[np.int64], probes: NDArray[np.float32], *, key: Key
) -> NDArray[np.float32]:
    """Train one classifier and give its log-probabilities on the probes, in place of logits.

    Args:
        spec: An opaque learner.
        x: Features of the training set [n, ...]; they are flattened, and those of a table standardised on it.
        y: Labels [n].
        probes: Features [m, ...].
        key: Its seed is the key modulo 2**32.

    Returns:
        log max(p, 1e-6) [m, classes], renormalised; a class that the training set does not have gets the floor.

    Raises:
        UserError: where the training set has one class only, or the classifier fails.
    """
    if len(np.unique(y)) < 2:
        raise UserError("A world's training set has 1 class only; scikit-learn's classifiers need 2.")
    points, asked = _features(spec, x, probes)
    try:
        model = _CLASSIFIERS[spec.name](spec, int(key % 2**32)).fit(points, y)
        shares = np.asarray(model.predict_proba(asked), dtype=np.float64)
    except (ValueError, MemoryError) as error:
        raise UserError(f"The learner `{spec.name}` cannot be trained on these data: {error}.") from None
    found = np.full((len(probes), spec.classes), FLOOR)
    found[:, model.classes_] = np.maximum(shares, FLOOR)
    return np.log(found / found.sum(axis=1, keepdims=True)).astype(np.float32)


def _features(
    spec: LearnerSpec, x: NDArray[np.float32], probes: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    points, asked = x.reshape(len(x), -1), probes.reshape(len(probes), -1)
    if spec.encoding is None:
        return points, asked
    fitted, encode = fit_inputs(torch.from_numpy(points), spec.encoding), encoder(spec.encoding)
    return encode(fitted, torch.from_numpy(points)).numpy(), encode(fitted, torch.from_numpy(asked)).numpy()


def _forest(spec: LearnerSpec, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(spec.config["trees"], random_state=seed, n_jobs=1)


def _boosting(spec: LearnerSpec, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    del spec
    # Without a share of validation data, by which alone two seeds would differ on few examples.
    options: Any = {"early_stopping": False}  # scikit-learn declares text alone
    return HistGradientBoostingClassifier(random_state=seed, **options)


def _logistic(spec: LearnerSpec, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    del spec
    return LogisticRegression(max_iter=1000, random_state=seed)


def _own(spec: LearnerSpec, seed: int) -> Any:
    found = make(spec)
    if not (hasattr(found, "fit") and hasattr(found, "predict_proba")):
        raise UserError(
            f"`{spec.config['function']}` of {spec.file} returned {type(found).__name__}; expected a "
            "classifier with `fit` and `predict_proba`."
        )
    if "random_state" in found.get_params():
        found.set_params(random_state=seed)
    return found


_CLASSIFIERS: dict[str, Callable[[LearnerSpec, int], Any]] = {
    "forest": _forest,
    "boosting": _boosting,
    "logistic": _logistic,
    "classifier": _own,
}
