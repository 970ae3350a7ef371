"""Linear models at their optimum, for hundreds of training sets at once: no steps, no seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCK = 64  # training sets at a time: more would not stay in the cache
_MOST_ROUNDS = 200
_NEAR = 1e-3  # how near its optimum all of D has to come, to be where the models of its parts begin
_MEMORY = 5  # earlier steps that are mixed in
_LOST = 1e-3  # of a factor of I − X_L·A⁻¹X_Lᵀ: below, six digits are gone
_TWICE = "Expected each row at most once in a training set."


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

    Raises:
        ValueError: for a penalty that is not positive, and a training set that is empty or has a row twice.

    Source: Hager (1989), "Updating the inverse of a matrix", SIAM Review 31, equation 2.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 2))
        >>> ridge(x, y, [np.arange(45), np.arange(2, 50)], penalty=1.0).shape
        (2, 2, 4)
    """
    d, outputs = x.shape[1], y.shape[1]
    _check(rows, penalty)
    gram, target = _sums(x, y, penalty)
    inverse = np.linalg.inv(gram)
    base = inverse @ target
    order = np.argsort([len(own) for own in rows], kind="stable")  # those of one size side by side
    sizes, out = _left_out([rows[k] for k in order], len(x))
    # Where sets share much of what they lack, each row is multiplied once; else all where they stand.
    used, place = np.unique(out, return_inverse=True) if len(out) > len(x) else (out, None)
    full = np.ones((len(used), d + 1))
    full[:, :d] = x.take(used, axis=0)
    reach, error = full @ inverse, full @ base - y.take(used, axis=0)

    found, ends = np.empty((len(rows), outputs, d + 1)), np.cumsum(sizes)
    for some in _blocks(sizes):
        size, models = int(sizes[some.start]), order[some]
        own = slice(ends[some.start] - size, ends[some.stop - 1])
        parts = [one[own] if place is None else one.take(place[own], axis=0) for one in (full, reach, error)]
        alone = np.ones(len(models), dtype=bool)
        if size <= d:
            step, alone = _without(*(one.reshape(len(models), size, one.shape[1]) for one in parts))
            found[models] = base.T + step
        for k in models[alone]:
            listed = np.sort(rows[k])  # in one order, whichever they are given in
            found[k] = np.linalg.solve(*_sums(x[listed], y[listed], penalty)).T
    return found


def _check(rows: Sequence[Ints], penalty: float) -> None:
    if not penalty > 0:
        raise ValueError(f"Expected a penalty greater than 0, got {penalty}.")
    if any(len(own) == 0 for own in rows):
        raise ValueError("Expected training sets of at least one row, got an empty one.")


def _blocks(sizes: Ints) -> list[slice]:
    """Runs of equal sizes, cut where they are too long."""
    ends = np.flatnonzero(np.diff(sizes, append=-1)) + 1
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])
    runs = zip(starts.tolist(), ends.tolist(), strict=False)  # there is no end where there are no sets
    return [slice(at, min(at + _BLOCK, end)) for start, end in runs for at in range(start, end, _BLOCK)]


def _sums(x: Floats, y: Floats, penalty: float) -> tuple[Floats, Floats]:
    """XᵀX + penalty·I and XᵀY of rows (x, 1), without a copy of X; the intercept, the last, is not penalised."""
    n, d = x.shape
    ones = np.ones(n)
    gram, target = np.empty((d + 1, d + 1)), np.empty((d + 1, y.shape[1]))
    gram[:d, :d] = x.T @ x
    gram[d, :d] = gram[:d, d] = ones @ x
    gram[d, d] = n
    gram[np.arange(d), np.arange(d)] += penalty
    target[:d], target[d] = x.T @ y, ones @ y
    return gram, target


def _left_out(rows: Sequence[Ints], n: int) -> tuple[Ints, Ints]:
    """How many of the rows 0 … n − 1 each set lacks [K], and which, those of one set after those of another."""
    sizes, out = np.empty(len(rows), dtype=np.int64), [np.empty(0, dtype=np.int64)]
    for begin in range(0, len(rows), _BLOCK):
        some = rows[begin : begin + _BLOCK]
        lacks = np.ones((len(some), n), dtype=bool)
        for mask, own in zip(lacks, some, strict=True):
            mask[own] = False
        of, missing = np.divmod(np.flatnonzero(lacks), n)
        sizes[begin : begin + _BLOCK] = lacking = np.bincount(of, minlength=len(some))
        if any(n - lack != len(own) for lack, own in zip(lacking.tolist(), some, strict=True)):
            raise ValueError(_TWICE)
        out.append(missing)
    return sizes, np.concatenate(out)


def _without(left: Floats, reach: Floats, error: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """What leaving L out of m models adds to W: A⁻¹X_Lᵀ(I − X_L·A⁻¹X_Lᵀ)⁻¹(X_L·W − y_L), transposed.

    Args:
        left: X_L [m, L, d + 1].
        reach: X_L·A⁻¹ [m, L, d + 1].
        error: X_L·W − y_L [m, L, c].

    Returns:
        That [m, c, d + 1], and the models [m] for which it is lost in rounding: L alone says what some weight is.
    """
    small = np.eye(left.shape[1]) - reach @ left.transpose(0, 2, 1)
    try:
        factor = np.linalg.cholesky(small)
    except np.linalg.LinAlgError:
        return np.zeros((len(left), error.shape[2], left.shape[2])), np.ones(len(left), dtype=bool)
    # numpy has no batched solve by a factor; its `solve` of small systems takes twice as long.
    solved = torch.cholesky_solve(torch.from_numpy(error), torch.from_numpy(factor)).numpy()
    lost = np.diagonal(factor, axis1=1, axis2=2).min(axis=1, initial=1.0) < _LOST
    return solved.transpose(0, 2, 1) @ reach, lost


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
        ValueError: for a penalty that is not positive, and a training set that is empty, has a row twice, or lacks
            a class.
        ArithmeticError: where steps do not get smaller, as for a training set that is nothing like D.

    Source: Ortega & Rheinboldt (1970), "Iterative solution of nonlinear equations", 7.1: the chord method.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(90, 3))
        >>> sets = [np.arange(80), np.arange(10, 90)]
        >>> softmax_regression(x, (x[:, 0] > 0).astype(int), sets, classes=2, penalty=0.1).shape
        (2, 2, 4)
    """
    d = x.shape[1]
    _check(rows, penalty)
    full = np.hstack([x, np.ones((len(x), 1))])
    start, inverse = _optimum(full, y, classes, penalty)
    found = np.repeat(start, len(rows), axis=0)
    failed = 0
    for begin in range(0, len(rows), _BLOCK):
        some = slice(begin, begin + _BLOCK)
        failed += _descend_from(found[some], full, y, rows[some], inverse, penalty=penalty, tolerance=tolerance)
    if failed:
        raise ArithmeticError(
            f"Softmax regression did not converge on {failed} of {len(rows)} training sets. Are they like D?"
        )
    return found.reshape(len(rows), classes, d + 1)


def _descend_from(
    found: Floats,
    full: Floats,
    y: Ints,
    rows: Sequence[Ints],
    inverse: Floats,
    *,
    penalty: float,
    tolerance: float,
) -> int:
    """Move models [K, classes·(d + 1)] in place to the optima of these training sets; returns how many fail."""
    share = np.zeros((len(rows), len(full)))
    for k, own in enumerate(rows):
        share[k, own] = 1 / len(own)
    if np.any(np.abs(share.sum(axis=1) - 1) > 1e-9):
        raise ValueError(_TWICE)
    if not (share @ np.eye(found.shape[1] // full.shape[1])[y] > 0).all():
        raise ValueError("Expected every class in each training set: without it there is no optimum.")

    def step(at: Floats, active: Ints) -> Floats:
        return -_gradient(at, full, y, share[active], penalty)[0].reshape(len(at), -1) @ inverse

    return len(_descend(found, step, tolerance))


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
