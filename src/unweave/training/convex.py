"""Linear models at their optimum, for hundreds of training sets at once: no steps, no seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_ROUNDS = 200
_NEAR = 1e-3  # how near its optimum all of D has to come, to be where the models of its parts begin
_MEMORY = 5  # earlier steps that are mixed in


def ridge(x: Floats, y: Floats, rows: Sequence[Ints], *, penalty: float) -> Floats:
    """Ridge regression on many training sets that each lack a part of D.

    W = argmin Σ_{i∈rows} ‖W·(x_i, 1) − y_i‖² + penalty·‖W without its last column‖², solved exactly. What all of D
    has in common, A = XᵀX + penalty·I, is factored once; a training set that lacks the rows L is a correction of
    rank |L|: (A − X_LᵀX_L)⁻¹ by the identity of Woodbury, with a system of |L| equations in place of one of d.

    Args:
        x: Features of D [n, d].
        y: Targets of D [n, c], one-hot for classes.
        rows: Training sets, as rows of D; each is everything but a few, or the gain is lost (and where more is
            left out than there are features, each is solved by itself).
        penalty: > 0; the last column of W, the intercept, is free of it.

    Returns:
        W [K, c, d + 1].

    Source: Hager (1989), "Updating the inverse of a matrix", SIAM Review 31, equation 2.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 2))
        >>> ridge(x, y, [np.arange(45), np.arange(2, 50)], penalty=1.0).shape
        (2, 2, 4)
    """
    n, width = len(x), x.shape[1] + 1
    full = np.hstack([x, np.ones((n, 1))])
    gram = full.T @ full
    gram[np.arange(width - 1), np.arange(width - 1)] += penalty
    target = full.T @ y
    inverse, base = np.linalg.inv(gram), np.linalg.solve(gram, target)
    lacks = np.ones((len(rows), n), dtype=bool)
    for k, own in enumerate(rows):
        lacks[k, own] = False
    found = np.empty((len(rows), y.shape[1], width))
    sizes = lacks.sum(axis=1)
    for size in np.unique(sizes).tolist():
        some = np.flatnonzero(sizes == size)
        if size > width:
            for k in some:
                matrix = gram - full[lacks[k]].T @ full[lacks[k]]
                found[k] = np.linalg.solve(matrix, target - full[lacks[k]].T @ y[lacks[k]]).T
            continue
        out = np.nonzero(lacks[some])[1]
        left = full[out]  # X_L of all of them, one below the other
        reach, error = left @ inverse, (left @ base - y[out]).reshape(len(some), size, y.shape[1])
        left, reach = left.reshape(len(some), size, width), reach.reshape(len(some), size, width)
        small = np.eye(size) - reach @ left.transpose(0, 2, 1)
        # W_L = W + A⁻¹X_Lᵀ(I − X_L·A⁻¹X_Lᵀ)⁻¹(X_L·W − y_L)
        found[some] = base.T + np.linalg.solve(small, error).transpose(0, 2, 1) @ reach
    return found


def softmax_regression(
    x: Floats, y: Ints, rows: Sequence[Ints], *, classes: int, penalty: float, tolerance: float = 1e-8
) -> Floats:
    """Softmax regression at its optimum, on many training sets at once.

    W = argmin mean_{i∈rows} −log softmax(W·(x_i, 1))_{y_i} + penalty/2·‖W without its last column‖². All models
    take steps W ← W − H⁻¹∇ with one matrix H for all of them: that of second derivatives at the optimum of all of
    D, factored once. A training set that is like D is at its optimum after a few steps, each of them three
    products of matrices for all models together.

    The result is that of its rows alone up to `tolerance`: D enters through the start and through H, which change
    the way to the optimum and not the optimum.

    Args:
        x: Features of D [n, d].
        y: Classes of D [n].
        rows: Training sets, as rows of D.
        classes: Number of classes.
        penalty: > 0; the intercept, the last column of W, is free of it.
        tolerance: Largest last step of any weight.

    Returns:
        W [K, classes, d + 1]; the intercepts of a model sum to those of D's optimum, which says nothing.

    Raises:
        ArithmeticError: where steps do not get smaller, as for a training set that is nothing like D.

    Source: Ortega & Rheinboldt (1970), "Iterative solution of nonlinear equations", 7.1: the chord method.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(90, 3))
        >>> sets = [np.arange(80), np.arange(10, 90)]
        >>> softmax_regression(x, (x[:, 0] > 0).astype(int), sets, classes=2, penalty=0.1).shape
        (2, 2, 4)
    """
    n, d = x.shape
    full = np.hstack([x, np.ones((n, 1))])
    start, inverse = _optimum(full, y, classes, penalty)
    share = np.zeros((len(rows), n))
    for k, own in enumerate(rows):
        share[k, own] = 1 / len(own)

    def step(at: Floats, active: Ints) -> Floats:
        return -_gradient(at, full, y, share[active], penalty)[0].reshape(len(at), -1) @ inverse

    found = np.repeat(start, len(rows), axis=0)
    left = _descend(found, step, tolerance)
    if len(left):
        raise ArithmeticError(
            f"Softmax regression did not converge on {len(left)} of {len(rows)} training sets. Are they like D?"
        )
    return found.reshape(len(rows), classes, d + 1)


def _descend(found: Floats, step: Callable[[Floats, Ints], Floats], tolerance: float) -> Ints:
    """Move models [K, p] in place by their steps, mixed, until these are small; returns those that fail."""
    active, best = np.arange(len(found)), np.full(len(found), np.inf)
    moves: list[Floats] = []
    changes: list[Floats] = []
    before: tuple[Floats, Floats] | None = None
    for _ in range(_MOST_ROUNDS):
        here = found[active]
        ahead = step(here, active)
        sizes = np.abs(ahead).max(axis=1)
        if not (sizes <= 100 * best[active]).all():  # nor where it is no number
            break
        best[active] = np.minimum(best[active], sizes)
        if before is not None:
            moves, changes = [*moves, here - before[0]][-_MEMORY:], [*changes, ahead - before[1]][-_MEMORY:]
        found[active] = here + ahead - _mixed(ahead, moves, changes)
        going = sizes > tolerance
        active, before = active[going], (here[going], ahead[going])
        moves, changes = [one[going] for one in moves], [one[going] for one in changes]
        if len(active) == 0:
            break
    return active


def _optimum(full: Floats, y: Ints, classes: int, penalty: float) -> tuple[Floats, Floats]:
    """The optimum for all rows [1, classes·(d + 1)], and the inverse of the second derivatives there.

    On the way there a bound of the second derivatives serves, ½·XᵀX/n for each class by itself (Böhning 1992,
    "Multinomial logistic regression algorithm", AISM 44).
    """
    n, width = full.shape
    bound = full.T @ full / (2 * n)
    bound[np.diag_indices(width - 1)] += penalty
    small, share = np.linalg.inv(bound), np.full((1, n), 1 / n)

    def step(at: Floats, active: Ints) -> Floats:
        del active
        return -(_gradient(at, full, y, share, penalty)[0] @ small).reshape(1, -1)

    start = np.zeros((1, classes * width))
    left = _descend(start, step, _NEAR)
    _, p = _gradient(start, full, y, share, penalty, keep=True)
    # It shows the way and no more: half the digits do.
    curvature = _curvature(p[:, 0].astype(np.float32), full.astype(np.float32), penalty)
    inverse = np.linalg.inv(curvature).astype(float)
    if len(left):
        raise ArithmeticError(
            "Softmax regression did not converge on the data as a whole. Are there infinite features?"
        )
    return start, inverse


def _mixed(step: Floats, moves: Sequence[Floats], changes: Sequence[Floats]) -> Floats:
    """What is taken off the steps of K models [K, p], by what earlier moves changed in them (Anderson's mixing).

    γ = argmin ‖step − Σ γ_j·change_j‖, and Σ γ_j·(move_j + change_j) is taken off: with it steps by one matrix for
    all models get near the optimum about as fast as steps by a matrix of each model's own.

    Source: Walker & Ni (2011), "Anderson acceleration for fixed-point iterations", SINUM 49, algorithm AA.
    """
    if not changes:
        return np.zeros_like(step)
    change, move = np.stack(changes, axis=1), np.stack(moves, axis=1)  # (K, m, p)
    gram = change @ change.transpose(0, 2, 1)
    small = 1e-12 * np.trace(gram, axis1=1, axis2=2) + 1e-300
    gram += small[:, None, None] * np.eye(len(changes))
    share = np.linalg.solve(gram, change @ step[..., None])
    return ((move + change) * share).sum(axis=1)


def _gradient(
    weights: Floats, full: Floats, y: Ints, share: Floats, penalty: float, *, keep: bool = False
) -> tuple[Floats, Floats]:
    """Of K models [K, classes, d + 1]; where kept, the probabilities [classes, K, n]; `share` [K, n] weighs."""
    n, width = full.shape
    by_class = weights.reshape(len(share), -1, width).transpose(1, 0, 2)
    classes, models, _ = by_class.shape
    # Classes first: sums over them are sums of whole arrays then.
    p = (by_class.reshape(-1, width) @ full.T).reshape(classes, models, n)
    p -= p.max(axis=0)
    np.exp(p, out=p)
    p /= p.sum(axis=0)
    residual = np.multiply(p, share, out=None if keep else p)
    residual[y, :, np.arange(n)] -= share.T
    gradient = (residual.reshape(-1, n) @ full).reshape(classes, models, width)
    gradient[..., :-1] += penalty * by_class[..., :-1]
    return gradient.transpose(1, 0, 2), p


def _curvature(p: NDArray[np.float32], full: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
    """Second derivatives of one model [classes·(d + 1)]², with something in the direction that changes nothing."""
    (classes, n), width = p.shape, full.shape[1]
    matrix = np.empty((classes, width, classes, width), dtype=p.dtype)
    for a in range(classes):
        weight = -p[a] * p[: a + 1] / n
        weight[a] += p[a] / n
        weighed = full[:, None] * np.ascontiguousarray(weight.T)[..., None]
        blocks = full.T @ weighed.reshape(n, -1)
        matrix[a, :, : a + 1] = blocks.reshape(width, a + 1, width)
        matrix[: a + 1, :, a] = matrix[a, :, : a + 1].transpose(1, 2, 0)
    matrix = matrix.reshape(classes * width, -1)
    penalised = np.tile(np.arange(width) < width - 1, classes)
    matrix[np.diag_indices(len(matrix))] += penalty * penalised
    # Equal changes of all intercepts leave the loss as it is, and the gradient without a part there.
    free = np.flatnonzero(~penalised)
    matrix[np.ix_(free, free)] += 1.0 / classes
    return matrix
