"""Methods that move a model only across, or only along, the directions that D∖S depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn.functional import linear, softmax, unfold
from torch.overrides import TorchFunctionMode

from unweave._errors import ApplicabilityError, SpecError
from unweave.learners.contract import Params, State
from unweave.learners.noise import uniform
from unweave.methods.baselines import fit_retain
from unweave.methods.contract import (
    Aux,
    Batch,
    Given,
    Method,
    Net,
    Prepare,
    forget_pass,
    method,
    retain_pass,
)

# ---- across the gradients of single outputs ----


def part_across(vector: Tensor, gradients: Tensor) -> Tensor:
    """The part of a vector that is orthogonal to all of these gradients: P_⟂v = v − Gᵀ(GGᵀ)⁺Gv.

    Args:
        vector: [p].
        gradients: G [n, p]; they may depend on one another.

    Returns:
        [p]; products are taken in float64.

    Example:
        >>> part_across(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[0.0, 2.0, 0.0], [0.0, 1.0, 0.0]])).tolist()
        [1.0, 0.0, 3.0]
    """
    # The same projection as by QR, ten times as fast for few long gradients.
    rows, across = gradients.double(), vector.double()
    values, vectors = torch.linalg.eigh(rows @ rows.mT)
    kept = values > _DEPENDENT**2 * values[-1:]
    inverse = torch.where(kept, 1 / torch.where(kept, values, 1.0), 0.0)
    # Twice: what rounding has left of the first time is taken away.
    for _ in range(2):
        across = across - (vectors @ (inverse * (vectors.mT @ (rows @ across)))) @ rows
    return across.to(vector.dtype)


_DEPENDENT = 1e-5
"""Of the largest singular value: one as small as this is rounding."""


def top_logit_gradients(net: Net, x: Tensor) -> Tensor:
    """Gradients of the largest logit of each example with respect to all parameters, by name [n, p]."""
    names = sorted(net.params)

    def largest(params: Params, x: Tensor) -> Tensor:
        return Net(net.learner, State(params, net.buffers), train=False)(x[None])[0].amax()

    each = vmap(grad(largest), in_dims=(None, 0))
    parts = [each(net.params, some) for some in x.split(_AT_ONCE)]
    return torch.cat([torch.cat([part[name].flatten(1) for name in names], 1) for part in parts])


_AT_ONCE = 16


def _flat(params: Params) -> Tensor:
    return torch.cat([params[name].reshape(-1) for name in sorted(params)])


def _as_params(flat: Tensor, like: Params) -> Params:
    names = sorted(like)
    parts = dict(zip(names, flat.split([like[name].numel() for name in names]), strict=True))
    return {name: parts[name].reshape(value.shape) for name, value in like.items()}


def _shrink(samples: int, share: float) -> Prepare:
    """θ ← θ − share·P_⟂θ across the gradients of so many examples of D∖S."""

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        x = given.retain.x
        chosen = uniform(key, len(x)).argsort()[:samples]
        across = part_across(_flat(net.params), top_logit_gradients(net, x.index_select(0, chosen)))
        moved = _as_params(across, net.params)
        return State({name: value - share * moved[name] for name, value in net.params.items()}, net.buffers), ()

    return prepare


@method(
    name="minnorm_og",
    family="projection",
    needs={"original", "retain"},
    authors_aim="untraining",
    cite="block2025overparameterized",
    equation="MinNorm-OG: Δ = −P_⟂θ/(1 + λ), Δ ⟂ ∇f(θ, x_i), then descent on D∖S",
    space={"strength": (0.01, 1.0), "decay": (0.1, 1.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
)
def minnorm_og(
    *,
    strength: float = 0.1,
    decay: float = 0.3,
    samples: float = 50.0,
    rounds: float = 5.0,
    epochs: float = 1 / 3,
    lr: float = 0.1,
) -> Method:
    """Shrink parameters wherever outputs on D∖S do not notice: towards the simplest model that fits D∖S.

    Every round: Δ = argmin ‖θ + Δ‖² + λ‖Δ‖² with Δ ⟂ ∇f(θ, x_i) for n examples x_i of D∖S, which is
    Δ = −P_⟂θ/(1 + λ); then passes over D∖S that descend on CE. `strength` is 1/(1 + λ) and is multiplied by
    `decay` from one round to the next; n is `samples`. f is the largest logit of each example, as in the authors'
    code (Block et al. 2025, arXiv 2505.22601); S is never read. Defaults: strength .1, decay .3 and n = 50 of the
    script by which the authors measure time, as they search for others; five rounds, and the epochs and rate of
    `finetune`. Deviations: each round has a whole number of epochs, at least one, so that all rounds together have
    10 as `finetune` has where the recipe has 30, but 15 to its 13 where it has 40, 5 to its 3 of 10 and 5 to its 1
    of 4, and cost as many; momentum starts anew in each round; the examples are drawn at random from D∖S, where
    that code balances the classes of a batch; P_⟂ comes from the Gram matrix and not from a QR decomposition.

    Raises:
        SpecError: if `strength` or `decay` is not in [0, 1], or `samples` or `rounds` no whole number above 0.
    """
    for name, value in (("strength", strength), ("decay", decay)):
        if not 0 <= value <= 1:
            raise SpecError(f"`methods`: minnorm_og.{name} is {value}; expected a number from 0 to 1.")
    for name, value in (("samples", samples), ("rounds", rounds)):
        if value < 1 or value != int(value):
            raise SpecError(f"`methods`: minnorm_og.{name} is {value}; expected a whole number, 1 or more.")
    if epochs <= 0:
        return Method(step=None, epochs=0.0, lr=0.0)
    following = None
    for number in reversed(range(int(rounds))):
        following = Method(
            fit_retain,
            epochs / rounds,
            lr,
            prepare=_shrink(int(samples), strength * decay**number),
            passes=retain_pass,
            prepare_cost=lambda n_forget, n_retain: min(int(samples), n_retain),
            then=following,
        )
    assert following is not None  # there is one round at least
    return following


# ---- across the inputs of layers ----


class _LayerInputs(TorchFunctionMode):
    """Sums Σ hᵀh of what linear layers and convolutions are fed, by the name of their weights.

    A layer is known by its weight: what is passed to `linear` or `conv2d` is the very tensor in the parameters.
    """

    def __init__(self, params: Params, sums: Params) -> None:
        super().__init__()
        self._names = {id(value): name for name, value in params.items()}
        self.sums = sums

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (linear, torch.conv2d) and id(weight := _argument(args, kwargs, 1, "weight")) in self._names:
            fed = _argument(args, kwargs, 0, "input")
            rows = fed.reshape(-1, fed.shape[-1]) if func is linear else _patches(fed, weight, args, kwargs)
            if rows is not None:
                name, wide = self._names[id(weight)], rows.double()
                self.sums[name] = self.sums.get(name, 0) + wide.mT @ wide
        return func(*args, **kwargs)


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str, default: Any = None) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _patches(fed: Tensor, weight: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """What each output of a convolution sees [places, in·height·width]; None where channels are in groups."""
    stride, padding, dilation, groups = (
        _argument(args, kwargs, place, name, default)
        for place, (name, default) in enumerate(
            (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1)), start=3
        )
    )
    if groups != 1 or isinstance(padding, str):
        return None
    columns = unfold(fed, weight.shape[2:], dilation=dilation, padding=padding, stride=stride)
    return columns.movedim(1, -1).flatten(0, -2)


def core_spaces(net: Net, x: Tensor, *, energy: float, chunk: int = 256) -> Params:
    """Projections onto the directions in which the inputs of each layer vary most, over a set.

    With H the inputs of a layer, a row each (patches of images for a convolution), and H = V·Σ·Uᵀ: P = U_k·U_kᵀ
    where k is the number of singular values whose running sum is at most `energy` of the sum of all.

    Args:
        net: The model.
        x: Features [n, ...].
        energy: In [0, 1]; 1 for all directions in which there is any input.
        chunk: Examples passed at once.

    Returns:
        P [in, in] by the name of the weights [out, ...] of the layer, with `in` numbers each. Layers other than
        linear ones and plain convolutions are missing.

    Source: Hoang et al. (2024), arXiv 2312.04095, official code, where singular values are not squared either.
    """
    sums: Params = {}
    for some in x.split(chunk):
        with _LayerInputs(net.params, sums):
            net(some)
    found: Params = {}
    for name, gram in sums.items():
        values, vectors = torch.linalg.eigh(gram)
        sizes = values.clamp_min(0).sqrt().flip(-1)  # from the largest
        kept = sizes.cumsum(-1) <= energy * sizes.sum(-1, keepdim=True) * (1 + _ROUNDING)
        kept = kept & (sizes > _UNFED * sizes[..., :1])
        basis = vectors.flip(-1) * kept
        found[name] = (basis @ basis.mT).to(net.params[name].dtype)
    return found


_ROUNDING = 1e-12
_UNFED = 1e-6
"""Of the largest singular value: in directions below it a layer is fed nothing but rounding."""


@method(
    name="gradient_projection",
    family="projection",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="hoang2024projection",
    equation="Δθ_l ← Δθ_l·(I − P_l), P_l onto the core space of the inputs of layer l on D∖S",
    space={"energy": (0.5, 1.0), "lr": (0.01, 3.0), "epochs": (0.05, 1.0)},
)
def gradient_projection(
    *,
    energy: float = 0.95,
    offset: float = 0.05,
    entropy_weight: float = 0.2,
    epochs: float = 1 / 2,
    lr: float = 0.2,
) -> Method:
    """Unlearn S by updates to which the layers of the net are blind on D∖S: projected gradient unlearning.

    Loss on S: −log(1 − p_y + `offset`) − w·H(p), which falls as the label's probability p_y falls and the entropy
    H rises, and has a floor. Each update of the weights of a layer, after momentum and weight decay, loses its
    part along the core space of the layer's inputs on D∖S: Δ ← Δ·(I − P), P onto the leading singular vectors
    that hold `energy` of the sum of singular values; biases, norms and running statistics stay, as do layers
    other than linear ones and plain convolutions. Defaults: energy .95, offset .05, w = .2, and 100 epochs for a
    recipe of 200 at a rate that falls from .05 to .01 without momentum for a recipe of .01 with .9, as shares of
    that recipe (Hoang et al. 2024, arXiv 2312.04095, official code). Deviations: the rate is constant and
    momentum that of the recipe; that code stops once accuracy on S is below that on held-out data, which is
    not given here; it has the space of D∖S from that of D less that of S, which is the same.

    Raises:
        SpecError: if `energy` is not in [0, 1], or `offset` is not above 0.
        ApplicabilityError: for a net without linear layers or convolutions.
    """
    if not 0 <= energy <= 1:
        raise SpecError(f"`methods`: gradient_projection.energy is {energy}; expected a number from 0 to 1.")
    if offset <= 0:
        raise SpecError(f"`methods`: gradient_projection.offset is {offset}; expected a number above 0.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        spaces = core_spaces(net, given.retain.x, energy=energy)
        if not spaces:
            raise ApplicabilityError(
                "`gradient_projection` found no linear layer and no convolution whose inputs it could see."
            )
        return State(net.params, net.buffers), spaces

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del aux, i, key
        x, y, _ = batches["forget"]
        # Classes first, as in `losses`.
        p = softmax(net.in_use(x).transpose(0, 1).contiguous(), dim=0)
        of_label = p.gather(0, y[None]).squeeze(0)
        entropy = -(p * (p + _TINY).log()).sum(0)
        return (-(1 - of_label + offset).log() - entropy_weight * entropy).mean()

    def project(aux: Aux, update: Params) -> Params:
        return {
            name: _across(value, aux[name]) if name in aux else torch.zeros_like(value)
            for name, value in update.items()
        }

    return Method(step, epochs, lr, prepare=prepare, passes=forget_pass, project=project)


_TINY = 1e-15


def _across(update: Tensor, space: Tensor) -> Tensor:
    rows = update.flatten(1)
    return (rows - rows @ space).reshape(update.shape)
