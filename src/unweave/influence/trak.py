"""TRAK: attribution by a linear model on gradients that are projected at random."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unweave._errors import UserError
from unweave._random import Key, derive
from unweave.influence.attribution import Attributions
from unweave.influence.gradients import as_double, in_use, nets, numbers, parts, reduction
from unweave.learners.contract import Learner, State
from unweave.learners.noise import fold_in, key_tensor, uniform
from unweave.methods import Examples, Net

_SIGNS = 2**30  # of a projection, a byte each
_BLOCK = 2**22  # signs in double precision at a time
_KERNEL = 1e-10  # eigenvalues below this share of the largest are 0


def trak(
    learner: Learner, stacked: State, train: Examples, probes: Examples, *, dimensions: int = 512, key: Key
) -> Attributions:
    """TRAK: what each training example adds to the margin of each probe, in a linear model on its own gradients.

        score(z_i, z') = [mean over models of φ(z')ᵀ·(ΦᵀΦ)⁻¹·φ(z_i)]·[mean over models of 1 − p(y_i|x_i)],
        φ(z) = Pᵀ·∂f(z)/∂θ,   f = log(p/(1 − p)) of the label

    with Φ the rows φ of all training examples and P a matrix of random signs, one for each model.

    Args:
        learner: The learner that made the models.
        stacked: K models; the paper takes such as were trained on random halves of D, and ten or more.
        train: Training examples [n].
        probes: Probes with their labels [p].
        dimensions: Columns of P, < n; a net of no more parameters is not projected.
        key: Determines the projections.

    Returns:
        Scores in logits, but for a factor near 1 that all share; positive = helps. Self-influence is the score on
        itself, not negative.

    Raises:
        UserError: if dimensions are below 1, or not below n: all examples would be told apart, and each explain
            itself alone.

    Source: Park et al. (2023, arXiv 2303.14186), the TRAK estimator. Deviations: no soft thresholding of small
        scores (nor in the official code); ΦᵀΦ is inverted where it is not singular, and elsewhere what is in its
        kernel counts nothing; the official code divides each model's inverse by its mean absolute entry, so that
        its scores have no unit. Where n gradients or P do not fit, coordinates are first added up at random
        (`gradients.Reduction`).

    Example:
        >>> from unweave.learners import specify
        >>> from unweave.learners.nets import build
        >>> learner = build(specify("softmax", (1,), 2))
        >>> models = State({"0.weight": torch.zeros(1, 2, 1), "0.bias": torch.zeros(1, 2)}, {})
        >>> train = Examples(torch.tensor([[1.0], [1.0], [-1.0]]), torch.tensor([0, 0, 1]))
        >>> trak(learner, models, train, train, dimensions=2, key=1).score.shape
        (3, 3)
    """
    n = len(train.y)
    if not 1 <= dimensions < n:
        raise UserError(f"TRAK with {dimensions} dimensions for {n} training examples; expected 1…{n - 1}.")
    kernel = torch.zeros(n, len(probes.y), dtype=torch.float64, device=train.x.device)
    own = torch.zeros(n, dtype=torch.float64, device=train.x.device)
    rest = torch.zeros_like(own)
    count = 0
    for count, net in enumerate(nets(learner, stacked), 1):
        project = _projection(net, dimensions, derive(key, "projection", count))
        phi = project(*_of_margin(net, train))
        solved = phi @ _pseudo_inverse(phi.mT @ phi)
        kernel += solved @ project(*_of_margin(net, probes)).mT
        own += (solved * phi).sum(1)
        p = in_use(net, as_double(train.x)).softmax(-1)
        rest += 1 - p.gather(1, train.y[:, None])[:, 0]
    score, selves = kernel / count * (rest / count)[:, None], own / count * (rest / count)
    return Attributions(score.cpu().numpy(), selves.cpu().numpy())


def _of_margin(net: Net, examples: Examples) -> tuple[Tensor, Tensor]:
    """Features, and ∂f/∂z [n, classes] for f = z_y − log Σ_{c≠y} exp z_c, which is log(p/(1 − p))."""
    x = as_double(examples.x)
    z = in_use(net, x)
    label = torch.nn.functional.one_hot(examples.y, z.shape[1]).bool()
    return x, label.to(z.dtype) - z.masked_fill(label, -torch.inf).softmax(1)


def _projection(net: Net, dimensions: int, key: Key) -> Callable[[Tensor, Tensor], Tensor]:
    """`(x, u) → φ [n, dimensions]` of the gradients of u·z(x)."""
    total, device = numbers(net), next(iter(net.params.values())).device
    if total <= dimensions:
        return lambda x, u: torch.cat([rows for _, rows in parts(net, x, u)])
    most = _SIGNS // dimensions
    reduced = reduction(total, most, derive(key, "reduction"), device) if total > most else None
    signs = random_signs(min(total, most), dimensions, key, device)

    def project(x: Tensor, u: Tensor) -> Tensor:
        phi = x.new_zeros(len(x), dimensions, dtype=torch.float64)
        for some, rows in parts(net, x, u):
            left = rows if reduced is None else reduced.of(rows)
            size = len(signs[0])
            for block, own in zip(left.split(size, 1), signs, strict=True):
                phi[some] += block @ own.to(torch.float64)
        return phi

    return project


def random_signs(rows: int, columns: int, key: Key, device: torch.device) -> list[Tensor]:
    """A matrix of ±1 [rows, columns] in blocks of rows, int8.

    Example:
        >>> torch.cat(random_signs(3, 2, 1, torch.device("cpu"))).abs().tolist()
        [[1, 1], [1, 1], [1, 1]]
    """
    start, size = key_tensor([key], device)[0], max(1, _BLOCK // columns)
    return [
        (2 * (uniform(fold_in(start, begin), min(size, rows - begin), columns) < 0.5) - 1).to(torch.int8)
        for begin in range(0, rows, size)
    ]


def _pseudo_inverse(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > _KERNEL * values[-1]
    return (vectors[:, kept] / values[kept]) @ vectors[:, kept].mT
