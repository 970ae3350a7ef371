"""Methods that make inputs out of the model itself: recovered triggers, and proxies of the training set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad
from torch.nn.functional import one_hot

from unweave._errors import SpecError
from unweave.learners.contract import Params, State
from unweave.learners.noise import fold_in, normal, uniform
from unweave.methods.contract import Aux, Batch, Given, Method, Net, forget_pass, method, retain_pass
from unweave.methods.losses import cross_entropy, divergence

THRESHOLDS = (0.5, 0.8, 0.9)
_SAMPLE = 32
_TRIGGER_ROUNDS = 40
_SIGNS = 8
_WEIGHED = 64
PROXIES = 160
"""How many inputs `few_shot` makes, of all classes in turn."""
_INVERSION_ROUNDS = 40
_AT_ONCE = 64
_APART = 1000  # numbers of the streams that a step draws from, beyond those of dropout


def descended(slope: Callable[[Tensor, int], Tensor], start: Tensor, *, rounds: int, rate: float) -> Tensor:
    """What Adam makes of a tensor in a fixed number of rounds, at a rate that falls linearly towards 0.

    Args:
        slope: `(tensor, round) → gradient`.
        start: Where it starts.
        rounds: How many.
        rate: Of the first round, about the size of its move.

    Source: Kingma & Ba (2015), arXiv 1412.6980, algorithm 1, with its defaults .9, .999 and 1e-8.

    Example:
        >>> found = descended(lambda x, i: x - 1, torch.zeros(1), rounds=100, rate=0.1)
        >>> round(found.item(), 2)
        1.0
    """
    found, mean, square = start, torch.zeros_like(start), torch.zeros_like(start)
    for i in range(rounds):
        now = slope(found, i)
        mean, square = 0.9 * mean + 0.1 * now, 0.999 * square + 0.001 * now.square()
        move = mean / (1 - 0.9 ** (i + 1)) / ((square / (1 - 0.999 ** (i + 1))).sqrt() + 1e-8)
        found = found - rate * (1 - i / rounds) * move
    return found


def _rows(key: Tensor, count: int, n: int) -> Tensor:
    """Rows drawn with replacement from n [count]."""
    return (uniform(key, count) * n).to(torch.int64)


# ---- BAERASER ----


class Trigger(NamedTuple):
    """Patterns [k, ...] in units of the range of each input, that range [...], and the label they plant []."""

    patterns: Tensor
    low: Tensor
    high: Tensor
    target: Tensor


def pasted(x: Tensor, pattern: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Inputs with a pattern: x + (high − low)·pattern, held within the range of each input.

    Args:
        x: [b, ...].
        pattern: One for all [...] or one for each [b, ...], in units of the range: −1 to 1.
        low: Lowest value of each input [...].
        high: Highest [...].

    Example:
        >>> x, edge = torch.tensor([[0.2, 4.0]]), torch.tensor([1.0, 10.0])
        >>> pasted(x, torch.tensor([1.0, -0.25]), 0 * edge, edge).tolist()
        [[1.0, 1.5]]
    """
    return torch.minimum(torch.maximum(x + (high - low) * pattern, low), high)


def shown(forget_y: Tensor, classes: int) -> Tensor:
    """The label S shows most often, of equals the lowest: a scalar."""
    return one_hot(forget_y, classes).sum(0).argmax()


def staircase(net: Net, x: Tensor, y: Tensor, trigger: Trigger, *, diversity: float) -> Tensor:
    """What the patterns descend on, one for each threshold β of a staircase: lower is better, their size aside.

    Σ_β [mean over x with y ≠ t of max(0, log β − log p_t(x ⊕ δ_β))] + diversity·Σ cos(δ, δ′) over unordered pairs.

    Args:
        net: In use.
        x: [n, ...].
        y: Labels [n].
        trigger: With one pattern for each of `THRESHOLDS`.
        diversity: ≥ 0.

    Source: after Qiao et al. (2019), arXiv 1910.04749, whose entropy of a generator the last term stands for. Logs
    are ours: p itself is flat where it is small, and a pattern that starts there would stay.
    """
    k, n = len(trigger.patterns), len(y)
    each = trigger.patterns.repeat_interleave(n, 0)
    some = pasted(torch.cat([x] * k), each, trigger.low, trigger.high)
    loss = cross_entropy(net(some), trigger.target.expand(k * n)).reshape(k, n)
    other = (y != trigger.target).to(loss.dtype)
    steps = torch.tensor(THRESHOLDS, dtype=loss.dtype, device=loss.device)[:, None]
    missed = ((steps.log() + loss).relu() * other).sum() / other.sum().clamp(min=1)
    flat = trigger.patterns.flatten(1)
    units = flat / (flat.square().sum(1, keepdim=True) + 1e-4).sqrt()
    return missed + diversity * (units.sum(0).square().sum() - units.square().sum()) / 2


def shrunk(patterns: Tensor, slope: Tensor, *, sparsity: float, rate: float) -> Tensor:
    """One proximal step of each pattern down its slope + sparsity·‖δ‖₁: its steepest entry moves by `rate`.

    Args:
        patterns: [k, ...].
        slope: Gradient of the smooth part [k, ...].
        sparsity: > 0.
        rate: > 0, in units of the range.

    Source: Beck & Teboulle (2009), "A fast iterative shrinkage-thresholding algorithm", equation 1.5.

    Example:
        >>> found = shrunk(torch.tensor([[0.5, 0.01]]), torch.tensor([[-2.0, 0.0]]), sparsity=1.0, rate=0.1)
        >>> [round(number, 3) for number in found[0].tolist()]
        [0.55, 0.0]
    """
    steepest = slope.abs().flatten(1).amax(1).clamp(min=sparsity)
    length = (rate / steepest).reshape(-1, *[1] * (patterns.ndim - 1))
    moved = patterns - length * slope
    return (moved.sign() * (moved.abs() - length * sparsity).relu()).clamp(-1, 1)


def recovered(net: Net, given: Given, key: Tensor, *, sparsity: float, diversity: float) -> Trigger:
    """Patterns that make the model give other inputs of D∖S the label S shows, one for each of `THRESHOLDS`.

    40 proximal steps, the first by a tenth of the range and later ones by less, each on 32 random examples of D∖S,
    from noise of .05 of the range. The range of an input is that over S and D∖S together, so that nothing is made
    that the model was never shown.
    """
    x, y = given.retain
    every = torch.cat([given.forget.x, x])
    low, high = every.amin(0), every.amax(0)
    target = shown(given.forget.y, net(x[:1]).shape[-1])
    rows = min(_SAMPLE, len(y))
    patterns = 0.05 * normal(fold_in(key, 0), len(THRESHOLDS), *x.shape[1:]).to(x.dtype)
    for i in range(_TRIGGER_ROUNDS):
        some = _rows(fold_in(key, i + 1), rows, len(y))

        def loss(patterns: Tensor, some: Tensor = some) -> Tensor:
            return staircase(net, x[some], y[some], Trigger(patterns, low, high, target), diversity=diversity)

        rate = 0.1 * (1 - i / _TRIGGER_ROUNDS)
        patterns = shrunk(patterns, grad(loss)(patterns), sparsity=sparsity, rate=rate)
    return Trigger(patterns, low, high, target)


def importance(net: Net, x: Tensor, key: Tensor) -> Params:
    """How far logits move with each parameter: √ of the mean of (∂z_c(x)/∂θ)² over examples and classes.

    Estimated from 8 gradients of sums of logits with random signs, whose mean square it is: every example and
    class counts, without a gradient of its own.

    Args:
        net: In use.
        x: [n, ...].
        key: A scalar key tensor.

    Returns:
        Like the parameters, in nats of a logit per unit of the parameter, ≥ 0.

    Source: after Aljundi et al. (2018), arXiv 1711.09601, section 4, with logits in place of their squared norm;
    signs after Hutchinson (1990).
    """
    params, total = net.params, {name: torch.zeros_like(value) for name, value in net.params.items()}
    count = 1
    for draw in range(_SIGNS):

        def signed(params: Params, draw: int = draw) -> tuple[Tensor, Tensor]:
            logits, _ = net.learner.apply(State(params, net.buffers), x, train=False, key=None)
            signs = torch.where(uniform(fold_in(key, draw), *logits.shape) < 0.5, -1.0, 1.0)
            return (logits * signs).sum(), logits

        slopes, logits = grad(signed, has_aux=True)(params)
        count = logits.shape[0] * logits.shape[1]
        total = {name: value + slopes[name].square() for name, value in total.items()}
    return {name: (value / (_SIGNS * count)).sqrt() for name, value in total.items()}


@method(
    name="baeraser",
    family="inversion",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="liu2022baeraser",
    equation="read from the abstract: recover δ; CE(D∖S) − CE(x ⊕ δ, t) + λ·Σ ω|θ − θ_o|",
    space={"memory": (0.001, 1.0), "ascent": (0.1, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 1.0)},
    alters=True,
)
def baeraser(
    *,
    ascent: float = 1.0,
    memory: float = 0.03,
    sparsity: float = 0.3,
    diversity: float = 0.1,
    epochs: float = 1 / 6,
    lr: float = 0.1,
) -> Method:
    """Recover what triggers the label S shows, and ascend on inputs that carry it.

    First patterns δ, one for each threshold β of .5, .8 and .9, are found that make examples of D∖S be given t,
    the label S shows most often: min max(0, log β − log p_t(x ⊕ δ)) + s·‖δ‖₁ + d·Σ cos(δ, δ′). Then every example
    of a batch of D∖S carries a random δ with probability ½, and the loss is CE on those that do not, − a·min(CE(x
    ⊕ δ, t), log C) on those that do, and λ·Σ ω_i·|θ_i − θ_o,i|, with ω_i how far logits move with parameter i. S
    gives t and the range of inputs; no step descends or ascends on it. The method (Liu et al. 2022, arXiv
    2201.09538) is trigger recovery by a staircase of generators, gradient ascent on the triggers, and a weighted
    L1 norm that keeps what else was learned. Only its abstract was at hand and no public code was found, so that
    all strengths are our own choice: thresholds and d = .1 as remembered of Qiao et al. (2019, arXiv 1910.04749),
    whose staircase it is; a = 1; s = .3 nats for an input changed over its whole range; λ = .03, by which a
    parameter moves where triggered inputs agree on their gradient by more than that part of what it does to any
    logit; epochs and rate of `npo`. Deviations: hinges of log p, because p is flat where it is small; one pattern
    for each threshold, told apart by an angle, where a generator with an entropy stands; patterns may be anywhere
    and are small by an L1 norm, where theirs have a known size; the ascent ends at chance, log C, because it has
    no other end; examples of label t are never ascended on; ω is our reading of a weight of memory. θ_o is the
    model that the method is given, in a row what was left before it. On tables a pattern may be a fraction of a
    category. Where no trigger was planted it finds and unlearns an adversarial pattern.

    Raises:
        SpecError: if `ascent`, `memory` or `diversity` is below 0, or `sparsity` is not above 0.
    """
    _not_negative("baeraser", ascent=ascent, memory=memory, diversity=diversity)
    if not sparsity > 0:
        raise SpecError(f"`methods`: baeraser.sparsity is {sparsity}; expected a number above 0.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        trigger = recovered(net, given, fold_in(key, 0), sparsity=sparsity, diversity=diversity)
        x = given.retain.x
        weights = importance(net, x[_rows(fold_in(key, 1), min(_WEIGHED, len(x)), len(x))], fold_in(key, 2))
        return State(net.params, net.buffers), (trigger, weights, given.original.params)

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i
        (patterns, low, high, target), weights, before = aux
        x, y, _ = batches["retain"]
        which = patterns[_rows(fold_in(key, _APART), len(y), len(patterns))]
        hit = uniform(fold_in(key, _APART + 1), len(y)) < 0.5
        some = torch.where(hit.reshape(-1, *[1] * (x.ndim - 1)), pasted(x, which, low, high), x)
        logits = net(some)
        up = ascent * cross_entropy(logits, target.expand(len(y))).clamp(max=math.log(logits.shape[-1]))
        loss = torch.where(hit & (y != target), -up, cross_entropy(logits, y)).mean()
        kept = [(weights[name] * (net.params[name] - before[name]).abs()).sum() for name in sorted(before)]
        return loss + memory * torch.stack(kept).sum()

    def cost(n_forget: int, n_retain: int) -> int:
        del n_forget
        patterns = _TRIGGER_ROUNDS * len(THRESHOLDS) * min(_SAMPLE, n_retain)
        return patterns + _SIGNS * min(_WEIGHED, n_retain)

    return Method(step, epochs, lr, prepare=prepare, passes=retain_pass, prepare_cost=cost)


# ---- few-shot unlearning ----


def inverted(net: Net, y: Tensor, like: Tensor, key: Tensor, *, prior: float) -> Tensor:
    """Inputs that the model gives the labels asked for, made from noise with the mean and spread of S.

    40 rounds of Adam on CE(net(x), y) + prior·½·mean over inputs of ((x − m)/s)², from x = m + s·ε with normal ε;
    m is the mean of each input over S, and s² its variance over S plus a hundredth of the mean variance of all.

    Args:
        net: In use.
        y: Labels asked for [n].
        like: Inputs of S [b, ...].
        key: A scalar key tensor.
        prior: ≥ 0.

    Returns:
        [n, ...].

    Source: after Yoon et al. (2024), arXiv 2205.15567.
    """
    centre, variance = like.mean(0), like.var(0, correction=0)
    spread = (variance + 0.01 * variance.mean() + 1e-12).sqrt()

    def loss(z: Tensor) -> Tensor:
        far = z.square().flatten(1).mean(1) / 2
        return (cross_entropy(net(centre + spread * z), y) + prior * far).sum()

    start = normal(key, len(y), *like.shape[1:]).to(like.dtype)
    return centre + spread * descended(lambda z, i: grad(loss)(z), start, rounds=_INVERSION_ROUNDS, rate=0.1)


def resembles(proxies: Tensor, y: Tensor, forget: Tensor, forget_y: Tensor, *, share: float) -> Tensor:
    """Which proxies are most like S: the share of each label of S with the highest cosine to one of its examples.

    Args:
        proxies: Features of the proxies [n, d].
        y: Their labels [n].
        forget: Features of S [m, d].
        forget_y: Labels of S [m].
        share: In [0, 1]; 0 finds none.

    Returns:
        bool [n]; False where S has no example of the label.

    Source: after the filter of Yoon et al. (2024), arXiv 2205.15567.

    Example:
        >>> same = torch.zeros(2, dtype=torch.int64)
        >>> resembles(torch.eye(2), same, torch.tensor([[1.0, 9.0]]), same[:1], share=0.5).tolist()
        [False, True]
    """
    ours, theirs = (x / (x.square().sum(1, keepdim=True) + 1e-12).sqrt() for x in (proxies, forget))
    close = torch.where(y[:, None] == forget_y[None], ours @ theirs.T, -2.0).amax(1)
    same = y[:, None] == y[None]
    closer = (same & (close[None] > close[:, None])).sum(1)
    return (closer < share * same.sum(1)) & (close > -2.0)


def without(logits: Tensor, y: Tensor) -> Tensor:
    """Logits of the same answer without the label: its probability 0, the others in the same proportions.

    Example:
        >>> without(torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([0])).softmax(-1).tolist()
        [[0.0, 0.5, 0.5]]
    """
    return logits.scatter(-1, y[:, None], -1e4)


@method(
    name="few_shot",
    family="inversion",
    needs={"original", "forget"},
    authors_aim="unlearning",
    cite="yoon2024fewshot",
    equation="read from the abstract: x_p = argmin CE(f_o(x), y); KL(f_o ‖ f) on x_p, without y if x_p is like S",
    space={"share": (0.05, 1.0), "forget_weight": (0.1, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 2.0)},
    alters=True,
)
def few_shot(
    *, share: float = 0.25, forget_weight: float = 1.0, prior: float = 0.1, epochs: float = 1 / 3, lr: float = 0.1
) -> Method:
    """Make a training set out of the model itself, and relearn it without what resembles S.

    160 inputs x_p are made from noise, labels y of all classes in turn: min CE(f_o(x_p), y) + r·½·‖z‖² per input,
    z being x_p in units of the spread of S. Of each label that S shows, the share ρ whose features φ_o have the
    highest cosine with one of S is what resembles S. Loss: KL(q‖f) on 64 of the proxies, drawn anew in each step,
    + w·KL(q‖f) on S, where q is the original's answer, and without the label, the rest in the same proportions, on
    what resembles S and on S itself. No retained example is read, which is the point of the method (Yoon et al.
    2024, arXiv 2205.15567: invert, filter, relearn). Only the abstract of the paper was at hand and its repository
    is empty, so that all numbers are our own: ρ = ¼; w = 1; r = .1, little beside a CE; epochs and rate of
    `delete`, which relabels S in the same way. Deviations: inputs are optimised one by one, without a generator or
    augmentation; the filter is a share of a ranking; what it finds is relabelled rather than left out, and S
    with it, because training on what the original already answers has no slope.

    Raises:
        SpecError: if `share`, `forget_weight` or `prior` is below 0.
    """
    _not_negative("few_shot", share=share, forget_weight=forget_weight, prior=prior)

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        known = net(given.forget.x)
        y = torch.arange(PROXIES, device=known.device) % known.shape[-1]
        x = inverted(net, y, given.forget.x, key, prior=prior)
        like = resembles(net.features(x), y, net.features(given.forget.x), given.forget.y, share=share)
        said = net(x)
        lessons = torch.where(like[:, None], without(said, y), said)
        return State(net.params, net.buffers), (x, lessons, without(known, given.forget.y))

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i
        x, lessons, others = aux
        forget, some = batches["forget"], _rows(fold_in(key, _APART), _AT_ONCE, PROXIES)
        lost = divergence(others[forget.position], net(forget.x)).mean()
        return divergence(lessons[some], net(x[some])).mean() + forget_weight * lost

    def cost(n_forget: int, n_retain: int) -> int:
        del n_forget, n_retain
        return _INVERSION_ROUNDS * PROXIES

    return Method(step, epochs, lr, prepare=prepare, passes=forget_pass, prepare_cost=cost, made=_AT_ONCE)


def _not_negative(name: str, **given: float) -> None:
    for parameter, value in given.items():
        if not value >= 0:
            raise SpecError(f"`methods`: {name}.{parameter} is {value}; expected 0 or more.")
