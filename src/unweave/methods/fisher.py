"""Noise where D∖S does not hold the parameters: forgetting by the Fisher information of what is kept."""

from __future__ import annotations

from torch import Tensor

from unweave.learners.contract import Params, State
from unweave.learners.noise import fold_in, normal
from unweave.methods.contract import Aux, Given, Method, Net, method
from unweave.methods.curvature import probed_diagonal
from unweave.methods.layers import blocks

MOST = 1000.0
"""Largest 1/F in the variance of noise, of the authors' code."""

_LAST, _FLAT = 10.0, 10.0  # factors on the variance of the last layer, and of biases and norms


def noise_variance(fisher: Params, *, alpha: float, most: float) -> Params:
    """Variance of the noise for each parameter: α/(F + 1e-8), cut, and its mean over what a unit reads.

    Args:
        fisher: Diagonal Fisher information F of a whole model, ≥ 0.
        alpha: α.
        most: Largest 1/F; a tenth of it in the last layer.

    Returns:
        Tensors shaped like the parameters: α·mean over axis 1 of min(1/(F + 1e-8), most), times 10 in the
        last layer and for tensors of one axis (biases and norms).

    Source: Golatkar et al. (2020), arXiv 1911.04933, official code.

    Example:
        >>> import torch
        >>> fisher = {"0.weight": torch.tensor([[1.0, 1e-9], [0.5, 0.5]]), "1.weight": torch.ones(2, 2)}
        >>> found = noise_variance(fisher, alpha=1.0, most=3.0)
        >>> [[round(number, 3) for number in row] for row in found["0.weight"].tolist()]
        [[2.0, 2.0], [2.0, 2.0]]
        >>> [round(number, 3) for number in found["1.weight"][0].tolist()]
        [3.0, 3.0]
    """
    last, found = set(blocks(fisher)[-1]), {}
    for name, value in fisher.items():
        spread = (1 / (value + 1e-8)).clamp_max(most / 10 if name in last else most)
        if value.ndim > 1:
            spread = spread.mean(1, keepdim=True).expand_as(spread)
        factor = _LAST if name in last else _FLAT if value.ndim == 1 else 1.0
        found[name] = factor * alpha * spread
    return found


def add_noise(net: Net, x: Tensor, key: Tensor, *, alpha: float, most: float) -> State:
    """The net with Gaussian noise of variance `noise_variance` on each parameter, F being that of x [n, ...]."""
    variance = noise_variance(probed_diagonal(net, x, fold_in(key, 0)), alpha=alpha, most=most)
    # By name: stored models come back with their tensors in any order.
    place = {name: number for number, name in enumerate(sorted(net.params))}
    drawn = {name: normal(fold_in(key, 1 + place[name]), *value.shape) for name, value in net.params.items()}
    params = {name: value + variance[name].sqrt() * drawn[name] for name, value in net.params.items()}
    return State(params, net.buffers)


@method(
    name="fisher_forgetting",
    family="second order",
    needs={"original", "retain"},
    authors_aim="untraining",
    cite="golatkar2020eternal",
    equation="θ + n, n ∼ N(0, α·F⁻¹) with the diagonal of F on D∖S",
    space={"alpha": (1e-9, 1e-4)},
    identity={"alpha": 0.0},
)
def fisher_forgetting(*, alpha: float = 1e-6, most: float = MOST) -> Method:
    """Add noise to each parameter, the more the less the predictions on D∖S depend on it.

    θ ← θ + √(α·min(1/(F + 1e-8), most))·N(0, 1), with F the diagonal Fisher information of D∖S, F = E_x
    E_{y∼p(x)} (∂log p_y/∂θ)². The variance is averaged over what a unit reads and ten times as large in the
    last layer and for biases and norms; in the last layer 1/F is cut at a tenth of `most`. S itself is not
    read. Defaults: α = 1e-6 among the 1e-9 to 1e-5 that the authors try, `most` = 1000 (Golatkar et al.
    2020, arXiv 1911.04933, official code). The paper's equation has a variance ∝ F^(−½); its authors' code
    and all comparisons have F⁻¹, as here. Another public version cuts the standard deviation at .001 and
    multiplies by ten whatever has ten numbers on its last axis, which are not the weights of the last
    layer. Deviations from the official code: F is an unbiased estimate from one random probe per example
    (`curvature.probed_diagonal`) where that code takes a gradient for each class; the last layer is known
    by its place and not by its number of rows; where S is a whole class its weights in the last layer are
    not set to 0, since which labels are in S is no property of a method.
    """

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        return add_noise(net, given.retain.x, key, alpha=alpha, most=most), ()

    return Method(None, 0.0, 0.0, prepare=prepare, prepare_cost=lambda n_forget, n_retain: n_retain)
