"""One-shot edits that shrink the parameters S needs more than the rest does."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, vmap

from unweave._errors import SpecError
from unweave.learners.contract import Params, State
from unweave.methods.contract import Aux, Examples, Given, Method, Net, method
from unweave.methods.losses import cross_entropy
from unweave.training.dense import dense_gradients, dense_sizes


def importance(net: Net, examples: Examples, *, chunk: int = 8) -> Params:
    """Diagonal of the empirical Fisher information: mean over examples of the squared gradient of CE.

    F = (1/n)·Σ_i (∂CE(x_i, y_i)/∂θ)², per example (a squared mean over a batch would not be F).

    Args:
        net: The model.
        examples: x [n, ...], y [n].
        chunk: Examples differentiated at once; a plain relu net needs no gradients of single examples.

    Returns:
        Tensors shaped like the parameters, ≥ 0.
    """
    if net.learner.dense is not None:
        x, depth = net.encode(examples.x), net.learner.dense
        squares = dense_gradients(net.params, x, examples.y, depth=depth, squared=True)
        return {name: value / len(examples.y) for name, value in squares.items()}

    def loss(params: Params, x: Tensor, y: Tensor) -> Tensor:
        state = State(params, net.buffers)
        return cross_entropy(Net(net.learner, state, train=False)(x[None]), y[None])[0]

    return _mean(net, loss, [examples.x, examples.y], each=torch.square, chunk=chunk)


def sensitivity(net: Net, x: Tensor, *, squared: bool, chunk: int = 8) -> Params:
    """How much the length of the logits depends on each parameter: mean over examples of |∂‖f(x)‖/∂θ|.

    Ω = (1/n)·Σ_i |∂‖f(x_i)‖₂²/∂θ|, or of ‖f(x_i)‖₂ itself. No label is read. Per example: gradients of examples
    that pull a parameter either way do not cancel, as they do in the gradient of the mean of a batch.

    Args:
        net: The model.
        x: Features [n, ...].
        squared: Whether the length is squared; without it an example with large logits counts no more than others.
        chunk: Examples differentiated at once; a plain relu net needs no gradients of single examples.

    Returns:
        Tensors shaped like the parameters, ≥ 0; larger where the outputs depend on the parameter more.

    Source: Foster et al. (2024), arXiv 2402.19308, after Aljundi et al. (2018), arXiv 1711.09601.
    """
    if net.learner.dense is not None:
        derivative = _twice if squared else _unit
        sizes = dense_sizes(net.params, net.encode(x), derivative, depth=net.learner.dense)
        return {name: value / len(x) for name, value in sizes.items()}

    def length(params: Params, x: Tensor) -> Tensor:
        square = Net(net.learner, State(params, net.buffers), train=False)(x[None])[0].square().sum()
        return square if squared else square.clamp_min(_NOTHING).sqrt()

    return _mean(net, length, [x], each=torch.abs, chunk=chunk)


_NOTHING = 1e-30


def _twice(logits: Tensor) -> Tensor:
    return 2 * logits


def _unit(logits: Tensor) -> Tensor:
    return logits / logits.square().sum(0).clamp_min(_NOTHING).sqrt()


def _mean(
    net: Net,
    function: Callable[..., Tensor],
    sets: list[Tensor],
    *,
    each: Callable[[Tensor], Tensor],
    chunk: int,
) -> Params:
    """Mean over examples of `each` of the gradient of a function of the parameters and one example."""
    per_example = vmap(grad(function), in_dims=(None, *[0] * len(sets)))
    total = {name: torch.zeros_like(value) for name, value in net.params.items()}
    for some in zip(*(tensor.split(chunk) for tensor in sets), strict=True):
        for name, value in per_example(net.params, *some).items():
            total[name] = total[name] + each(value).sum(0)
    return {name: value / len(sets[0]) for name, value in total.items()}


def over_all(of_forget: Params, of_retain: Params, given: Given) -> Params:
    """Means over D = S ∪ (D∖S) from those over its two parts."""
    n_forget, n_retain = len(given.forget.y), len(given.retain.y)
    return {
        name: (n_forget * value + n_retain * of_retain[name]) / (n_forget + n_retain)
        for name, value in of_forget.items()
    }


def percentiles(values: Tensor, ranks: Tensor) -> Tensor:
    """Percentiles of those numbers of a tensor that are numbers, by linear interpolation.

    Args:
        values: Any shape; what is no number is left out.
        ranks: In [0, 100], of any shape.

    Returns:
        Of the shape of `ranks`; as `numpy.nanpercentile`, but under `vmap` as well.

    Example:
        >>> percentiles(torch.tensor([3.0, torch.nan, 1.0, 2.0]), torch.tensor([0.0, 75.0, 100.0])).tolist()
        [1.0, 2.5, 3.0]
    """
    flat = values.reshape(-1)
    in_order = torch.where(flat.isnan(), torch.inf, flat).sort().values
    place = ranks.to(torch.float64) / 100 * ((~flat.isnan()).sum() - 1).clamp_min(0)
    low = place.floor().to(torch.int64)
    high = place.ceil().to(torch.int64)
    share = (place - low).to(values.dtype)
    below, above = (in_order.gather(0, index.reshape(-1)).reshape(index.shape) for index in (low, high))
    # Not by differences: of two equal numbers nothing else may come.
    return torch.where(share > 0, below * (1 - share) + above * share, below)


def dampened(params: Params, ratio: Params, alpha: float | Tensor, strength: float = 1.0) -> Params:
    """θ ← min(λ/ratio, 1)·θ where ratio > α, with the ratio of importance on S to that on D.

    Args:
        params: Of one model.
        ratio: Of the same shapes, ≥ 0; where it is no number nothing changes.
        alpha: From which ratio on parameters are shrunk.
        strength: λ.
    """
    return {
        name: torch.where(ratio[name] > alpha, (strength / ratio[name]).clamp_max(1.0) * value, value)
        for name, value in params.items()
    }


def _both(n_forget: int, n_retain: int) -> int:
    return n_forget + n_retain


@method(
    name="ssd",
    family="dampening",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="foster2024ssd",
    equation="equations 4 and 5",
    space={"alpha": (1.0, 100.0), "strength": (0.1, 5.0)},
    identity={"alpha": 1e30},
    several=True,
)
def ssd(*, alpha: float = 10.0, strength: float = 1.0) -> Method:
    """Selective synaptic dampening: shrink the parameters that matter to S far more than to D.

    Where F_S > α·F_D: θ ← min(λ·F_D/F_S, 1)·θ, with F the diagonal Fisher information (λ is
    `strength`). Defaults α = 10, λ = 1 of the authors' ResNet-18 setting. Deviation: F is computed per
    example, as the formula says. On a random iid S the ratio is about 1 and nothing changes.
    """

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        forget, retain = given.forget, given.retain
        of_forget = importance(net, forget)
        found = over_all(of_forget, importance(net, retain), given)
        params: Params = {}
        for name, value in net.params.items():
            of_all = found[name]
            factor = (strength * of_all / of_forget[name].clamp_min(_NOTHING)).clamp_max(1.0)
            params[name] = torch.where(of_forget[name] > alpha * of_all, factor * value, value)
        return State(params, net.buffers), ()

    return Method(None, 0.0, 0.0, prepare=prepare, prepare_cost=_both)


@method(
    name="lfssd",
    family="dampening",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="foster2024lossfree",
    equation="Ω = mean |∂‖f(x)‖²/∂θ| in place of the Fisher information",
    space={"alpha": (1.0, 100.0), "strength": (0.1, 5.0)},
    identity={"alpha": 1e30},
)
def lfssd(*, alpha: float = 10.0, strength: float = 1.0) -> Method:
    """Dampening as `ssd`, with an importance that needs no labels: how much the length of the logits depends on θ.

    Where Ω_S > α·Ω_D: θ ← min(λ·Ω_D/Ω_S, 1)·θ, with Ω the mean of |∂‖f(x)‖₂²/∂θ| (λ is `strength`; Foster et al.
    2024, arXiv 2402.19308). Defaults: those of `ssd`, as the authors' repository changes nothing but the
    importance; Ω is not squared, so that α = 10 is as strict here as 100 is there. Deviations: Ω is a mean over
    examples, as the formula says, where the official code takes |gradient| of the mean of a batch; Ω_D is over D,
    from its two parts.
    """

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        return State(dampened(net.params, _ratios(net, given, squared=True), alpha, strength), net.buffers), ()

    return Method(None, 0.0, 0.0, prepare=prepare, prepare_cost=_both)


def _ratios(net: Net, given: Given, *, squared: bool) -> Params:
    """Sensitivity on S over that on D; no number for a parameter on which no output depends."""
    of_forget = sensitivity(net, given.forget.x, squared=squared)
    of_all = over_all(of_forget, sensitivity(net, given.retain.x, squared=squared), given)
    return {name: value / of_all[name] for name, value in of_forget.items()}


def _cut(ratio: Params, ranks: Tensor) -> Tensor:
    """Percentiles of the ratios of all parameters together, less what rounding may do to one.

    All weights of an input that is 0 outside of S have the ratio |D|/|S|, and which of them is above the others is
    chance: they are shrunk together or not at all.
    """
    return percentiles(torch.cat([ratio[name].reshape(-1) for name in sorted(ratio)]), ranks) * (1 - _EQUAL)


_EQUAL = 1e-4
"""Ratios that differ by less, as a share of them, are taken for the same."""


def _share(given: Given) -> float:
    return len(given.forget.y) / (len(given.forget.y) + len(given.retain.y))


@method(
    name="alfssd",
    family="dampening",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="schoepf2024assd",
    equation="α = percentile of Ω_S/Ω_D at 100 − ln(1 + 100·|S|/|D|)",
    space={"fraction": (0.04, 25.0), "strength": (0.1, 5.0)},
    identity={"fraction": 0.0},
)
def alfssd(*, fraction: float = 1.0, strength: float = 1.0) -> Method:
    """Dampening as `lfssd` of a share of all parameters that grows with the size of S: nothing is left to tune.

    Where Ω_S/Ω_D > α: θ ← min(λ·Ω_D/Ω_S, 1)·θ, with α the percentile of the ratios of all parameters at
    100 − ln(1 + 100·a·|S|/|D|) and Ω the mean of |∂‖f(x)‖₂²/∂θ|: of 1 in 100 examples ln 2, or .7 % of the
    parameters, are shrunk. Defaults: λ = 1 and a = 1 (Schoepf et al. 2024, arXiv 2402.10098, with the importance
    of Foster et al. 2024, arXiv 2402.19308, as the repository of arXiv 2406.09173 combines them); `fraction` is a,
    0 for no change. Deviations: those of `lfssd`; parameters whose ratio is α up to rounding are shrunk too, as
    those are that belong to an input which is 0 outside of S and all have the ratio |D|/|S|.

    Raises:
        SpecError: if `fraction` is negative.
    """
    if fraction < 0:
        raise SpecError(f"`methods`: alfssd.fraction is {fraction}; expected a multiple of |S|/|D|, 0 or more.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        if not fraction:
            return State(net.params, net.buffers), ()
        ratio = _ratios(net, given, squared=True)
        rank = max(0.0, 100 - math.log1p(100 * fraction * _share(given)))
        alpha = _cut(ratio, torch.tensor(rank, dtype=torch.float64, device=given.forget.x.device))
        return State(dampened(net.params, ratio, alpha, strength), net.buffers), ()

    return Method(None, 0.0, 0.0, prepare=prepare, prepare_cost=_both)


@method(
    name="potion",
    family="dampening",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="schoepf2024potion",
    equation="XLF importance and PTN search: the first share at which acc(S) ≤ ρ·acc_0(S)",
    space={"rho": (0.05, 0.95), "start": (0.01, 1.0), "growth": (1.02, 2.0)},
    identity={"tries": 0.0},
)
def potion(*, rho: float = 0.2, start: float = 0.04, growth: float = 1.1, tries: float = 300.0) -> Method:
    """Dampen ever more parameters until the labels of S are lost, as where S is a part of what is to be forgotten.

    Candidate k: where Ω_S/Ω_D > α_k: θ ← Ω_D/Ω_S·θ, with α_k the percentile of the ratios at
    100 − ln(1 + 100·a·g^k·|S|/|D|) and Ω the mean of |∂‖f(x)‖₂/∂θ|, on which outliers weigh less than on that of
    the square. It is the first with acc(S) ≤ ρ·acc_0(S), labels of S as trained on; if there is none, the last.
    Defaults: ρ = .2, a = 1/25 and g = 1.1 (`start`, `growth`; Schoepf et al. 2024, arXiv 2406.09173, official
    code). Deviations: 300 candidates, which end at about a quarter of all parameters, where that code tries 500;
    and those of `alfssd`.

    Raises:
        SpecError: if `tries` is not a whole number, or `growth` is not above 1.
    """
    if tries < 0 or tries != int(tries):
        raise SpecError(f"`methods`: potion.tries is {tries}; expected a whole number of candidates.")
    if growth <= 1 or start <= 0:
        raise SpecError(
            f"`methods`: potion.growth is {growth} and potion.start {start}; expected more than 1 and more than 0."
        )

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        if not tries:
            return State(net.params, net.buffers), ()
        x, y = given.forget
        ratio = _ratios(net, given, squared=False)
        shares = [min(math.log1p(100 * _share(given) * start * growth**k), 100.0) for k in range(int(tries))]
        cuts = _cut(ratio, 100 - torch.tensor(shares, dtype=torch.float64, device=x.device))

        def right(params: Params) -> Tensor:
            logits = Net(net.learner, State(params, net.buffers), train=False)(x)
            return (logits.argmax(-1) == y).sum()

        enough = rho * right(net.params)
        alpha, met = cuts[-1], torch.zeros_like(enough, dtype=torch.bool)
        for cut in cuts:
            now = right(dampened(net.params, ratio, cut)) <= enough
            # The first that is enough, and no other: there is no stopping early in a stack.
            alpha = torch.where(now & ~met, cut, alpha)
            met = met | now
        return State(dampened(net.params, ratio, alpha), net.buffers), ()

    return Method(None, 0.0, 0.0, prepare=prepare, prepare_cost=_both)
