"""Timing of linear models at their optimum, against solving each by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._random import generator
from unweave.bench.nets import seconds
from unweave.bench.plain import ridge_one_by_one, softmax_one_by_one
from unweave.bench.workloads import REPLICAS, SHARE
from unweave.data import load
from unweave.training.convex import ridge, softmax_regression

PENALTY = 1e-3
LEFT_OUT = 20
_ALONE = 4  # of the replicas are solved one by one, which takes long


def subsets(n: int, size: int, count: int) -> list[NDArray[np.int64]]:
    """Random training sets of one size."""
    return [np.sort(generator(k, "bench rows", size).choice(n, size, replace=False)) for k in range(count)]


def _timed(
    together: Callable[[], NDArray[np.float64]],
    alone: Callable[[], NDArray[np.float64]],
    rounds: int,
    replicas: int,
) -> dict[str, Any]:
    found: dict[str, Any] = {"speedup": [], "plain_ms": [], "engine_ms": []}
    alone()  # what is imported or laid out once is not part of it
    together()
    for _ in range(rounds):
        a, b = seconds(alone) / _ALONE, seconds(together) / replicas
        found["plain_ms"].append(1000 * a)
        found["engine_ms"].append(1000 * b)
        found["speedup"].append(a / b)
    return found


def time_softmax(rounds: int, *, leave_out: bool, replicas: int = REPLICAS) -> dict[str, Any]:
    """Softmax regression of the digits on training sets of 70%, or of all but 20.

    The error is the largest difference of a weight, less their mean over classes, from an optimum found by
    scikit-learn's `newton-cg` to 1e-12; `plain_error` is that of its lbfgs with default tolerance.
    """
    from sklearn.linear_model import LogisticRegression

    data = load("digits").train
    x, y = data.x.reshape(len(data.x), -1).astype(np.float64), data.y
    size = len(x) - LEFT_OUT if leave_out else round(SHARE * len(x))
    rows = subsets(len(x), size, replicas)

    def together() -> NDArray[np.float64]:
        return softmax_regression(x, y, rows, classes=10, penalty=PENALTY)

    def alone() -> NDArray[np.float64]:
        return softmax_one_by_one(x, y, rows[:_ALONE], PENALTY)

    found = _timed(together, alone, rounds, replicas)
    exact = LogisticRegression(C=1 / (PENALTY * size), solver="newton-cg", tol=1e-12, max_iter=10_000)
    best = exact.fit(x[rows[0]], y[rows[0]]).coef_
    apart = [_centred(one[0][:, : x.shape[1]]) - _centred(best) for one in (together(), alone())]
    error, plain_error = (float(np.abs(one).max()) for one in apart)
    what = f"softmax regression, 64 features, {size} of {len(x)} examples"
    return {"what": what, **found, "error": error, "plain_error": plain_error}


def _centred(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return weights - weights.mean(axis=0)


def time_ridge(rounds: int, *, replicas: int = REPLICAS) -> dict[str, Any]:
    """Ridge regression of the digits on training sets of all but 20; the error is against each solved alone."""
    data = load("digits").train
    x, hot = data.x.reshape(len(data.x), -1).astype(np.float64), np.eye(10)[data.y]
    rows = subsets(len(x), len(x) - LEFT_OUT, replicas)

    def together() -> NDArray[np.float64]:
        return ridge(x, hot, rows, penalty=1.0)

    def alone() -> NDArray[np.float64]:
        return ridge_one_by_one(x, hot, rows[:_ALONE], 1.0)

    found = _timed(together, alone, rounds, replicas)
    error = float(np.abs(together()[:_ALONE] - alone()).max())
    what = f"ridge regression, 64 features, {len(rows[0])} of {len(x)} examples, {replicas} training sets"
    return {"what": what, **found, "error": error}
