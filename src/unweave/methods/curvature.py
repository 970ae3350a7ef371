"""Second derivatives of one model's loss that are never written down: their products, solves and diagonal."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vjp
from torch.nn.functional import linear

from unweave.learners.contract import Params
from unweave.learners.noise import uniform
from unweave.methods.contract import Net
from unweave.methods.per_example import AT_ONCE, backward, flatten, forward, logits_at, squares, sums, unflatten

Product = Callable[[Tensor], Tensor]
"""v [p] → A·v [p]."""


# ---- the Gauss-Newton matrix ----


def gauss_newton(net: Net, x: Tensor) -> Product:
    """Products with (1/n)·Σ_i J_iᵀ·Λ_i·J_i, where J_i = ∂z_i/∂θ and Λ_i = diag(p_i) − p_i·p_iᵀ = ∂²CE/∂z_i².

    It is the matrix of second derivatives of the mean CE less the part that curves with the net itself,
    hence all of it for a linear model. Unlike that of a net it has no negative eigenvalue. It does not
    depend on labels, and equals the Fisher information of the model's own predictions. Source: Martens
    (2020), arXiv 1412.1193, section 8.

    Args:
        net: The model.
        x: [n, ...].

    Returns:
        A function of vectors in the order of `flatten`.
    """
    params, depth = net.params, net.learner.dense
    if depth is None:
        return _gauss_newton_by_autograd(net, x)
    hidden, logits = forward(params, net.encode(x), depth)
    p = logits.mT.contiguous().softmax(0).mT

    def product(vector: Tensor) -> Tensor:
        v = unflatten(vector, params)
        slope = linear(hidden[0], v["0.weight"], v["0.bias"])
        for layer in range(1, depth + 1):
            moved = slope * (hidden[layer] > 0)
            own = linear(hidden[layer], v[f"{layer}.weight"], v[f"{layer}.bias"])
            slope = own + moved @ params[f"{layer}.weight"].mT
        return flatten(sums(params, hidden, backward(params, hidden, _curve(p, slope)))) / len(x)

    return product


def _curve(p: Tensor, slope: Tensor) -> Tensor:
    """Λ·slope [n, classes]."""
    weighed = p * slope
    return weighed - p * weighed.sum(1, keepdim=True)


def _gauss_newton_by_autograd(net: Net, x: Tensor) -> Product:
    def product(vector: Tensor) -> Tensor:
        v, total = unflatten(vector, net.params), torch.zeros_like(vector)
        for part in x.split(AT_ONCE):

            def logits(params: Params, part: Tensor = part) -> Tensor:
                return logits_at(net, params, part)

            z, back = vjp(logits, net.params)[:2]
            # J·v as the derivative of Jᵀ·u along u: twice backward, which more nets can do than forward.
            slope = vjp(lambda u, back=back: back(u)[0], torch.zeros_like(z))[1](v)[0]
            total = total + flatten(back(_curve(z.softmax(1), slope))[0])
        return total / len(x)

    return product


def probed_diagonal(net: Net, x: Tensor, key: Tensor) -> Params:
    """An unbiased estimate of the diagonal of the Gauss-Newton matrix, from one gradient per example.

    (1/n)·Σ_i (J_iᵀ·u_i)² with u = √p⊙ε − p·(√p·ε) and signs ε ∈ {−1, 1} drawn at random: E[u·uᵀ] = Λ. This
    is the diagonal of the Fisher information E_{y∼p}[(∂log p_y/∂θ)²] without a gradient for each class; the
    way of Dangel et al. (2020), arXiv 1912.10985, to estimate it, with signs in place of labels drawn from
    p, which leave out all classes but one of each example.

    Args:
        net: The model.
        x: [n, ...].
        key: A scalar key tensor.

    Returns:
        Tensors shaped like the parameters, ≥ 0.
    """
    total = {name: torch.zeros_like(value) for name, value in net.params.items()}
    logits = torch.cat([net(part) for part in x.split(AT_ONCE)]).detach()
    p = logits.mT.contiguous().softmax(0).mT
    probe = p.sqrt() * (2 * (uniform(key, *logits.shape) < 0.5).to(p.dtype) - 1)
    probe = probe - p * probe.sum(1, keepdim=True)
    for name, value in squares(net, x, probe).items():
        total[name] = value / len(x)
    return total


# ---- solving ----


def conjugate_gradients(product: Product, b: Tensor, *, steps: int) -> Tensor:
    """A⁻¹·b for a symmetric positive definite A known by its products, after so many steps.

    A model that has converged stands still, so that models of a stack may take the same number of steps.
    Each residual is made orthogonal to all before it, as it would be without rounding: else rounding grows
    tenfold with every step, and what comes out before it has converged hangs on the order of sums.

    Args:
        product: v [p] → A·v [p].
        b: [p].
        steps: Products to be taken.

    Source: Hestenes & Stiefel (1952).

    Example:
        >>> matrix = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
        >>> found = conjugate_gradients(lambda v: matrix @ v, torch.tensor([3.0, 4.0]), steps=5)
        >>> [round(number, 4) for number in found.tolist()]
        [1.0, 1.0]
    """
    x, r, d = torch.zeros_like(b), b, b
    size = first = r @ r
    before: list[Tensor] = []
    for _ in range(steps):
        image = product(d)
        going = size > 1e-14 * first
        rate = torch.where(going, size / (d @ image), 0)
        before.append(torch.where(going, r / size.sqrt(), 0))
        basis = torch.stack(before)
        x, r = x + rate * d, r - rate * image
        r = r - (basis @ r) @ basis
        now = r @ r
        d = r + torch.where(going, now / size, 0) * d
        size = torch.where(going, now, size)
    return x


def solve_positive(matrix: Tensor, b: Tensor) -> Tensor:
    """matrix⁻¹·b [n] in double precision; not a number where the matrix is not positive definite.

    Example:
        >>> solve_positive(torch.tensor([[2.0]]), torch.tensor([3.0])).item()
        1.5
        >>> solve_positive(torch.tensor([[-2.0]]), torch.tensor([3.0])).item()
        nan
    """
    factor, failed = torch.linalg.cholesky_ex(matrix.double())
    found = torch.cholesky_solve(b.double()[:, None], factor)[:, 0]
    return torch.where(failed == 0, found, torch.nan).to(b.dtype)


def softmax_solve(net: Net, x: Tensor, b: Tensor, *, damping: float) -> Tensor:
    """(H + damping·I)⁻¹·b [p] for a softmax regression, with H the second derivatives of its mean CE.

    H = (1/n)·Σ_i Λ_i ⊗ (x_i, 1)·(x_i, 1)ᵀ is written down, p² numbers, and solved by Cholesky's factors.

    Args:
        net: A softmax regression: `"0.weight"` and `"0.bias"`.
        x: [n, ...].
        b: [p], in the order of `flatten`.
        damping: ≥ 0; with 0 H is singular, since equal changes of all logits change nothing.

    Returns:
        [p]; not a number where the matrix is not positive definite.
    """
    features = net.encode(x).flatten(1)
    full = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    p = net(x).mT.contiguous().softmax(0).mT
    classes, width = p.shape[1], full.shape[1]
    unit = torch.eye(classes, dtype=p.dtype, device=p.device)
    blocks: list[list[Tensor]] = []
    for one in range(classes):
        curve = p[:, one, None] * (unit[one] - p)[:, one:]  # Λ_i, its row of this class from the diagonal on
        right = full.mT @ (curve[:, :, None] * full[:, None]).flatten(1) / len(x)
        blocks.append([above[one].mT for above in blocks] + list(right.split(width, 1)))
    rows = [torch.cat(row, 1) for row in blocks]
    matrix = torch.cat(rows) + damping * torch.eye(classes * width, dtype=p.dtype, device=p.device)
    given = unflatten(b, net.params)
    side = torch.cat([given["0.weight"], given["0.bias"][:, None]], 1).flatten()
    found = solve_positive(matrix, side).reshape(classes, width)
    return flatten({"0.weight": found[:, :-1], "0.bias": found[:, -1]})
