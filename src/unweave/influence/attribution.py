"""Attribution by gradients: what each training example does for each probe, without training anything again.

One sign for all: POSITIVE = the training example helps the probe to be predicted, its removal raises the probe's
loss. So what is memorized has a high self-influence. All take a stack of K models, of which one alone is the case
K = 1, and return means over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave._errors import UserError
from unweave._random import Key, derive
from unweave.influence.events import after_epochs
from unweave.influence.gradients import Layer, layers, lengths, nets, of_loss, products, reductions
from unweave.learners.contract import Learner, State
from unweave.methods import Examples, Net
from unweave.training.engine import join

Floats = NDArray[np.float64]

_COLUMNS = 2**24  # products in memory at a time


class Attributions(NamedTuple):
    """What training examples do for probes; positive = it helps, its removal raises the probe's loss.

    Attributes:
        score: Of every training example on every probe [n, p].
        own: Of every training example on itself [n]; high = memorized.
    """

    score: Floats
    own: Floats


# ---- TracIn ----


class Checkpoints(NamedTuple):
    """Models as they were during training.

    Attributes:
        states: Stacks of K models, one for each checkpoint.
        rates: Learning rate at each.
    """

    states: list[State]
    rates: list[float]


def checkpoints(
    learner: Learner,
    x: Tensor,
    y: Tensor,
    *,
    rows: Sequence[NDArray[np.int64]],
    keys: Sequence[Key],
    epochs: Sequence[int],
    chunk: int | None = None,
) -> Checkpoints:
    """Train models once, as `many` does, and keep them as they are after some of the epochs.

    Args:
        learner: Architecture and recipe.
        x: Features of all of D [n, ...].
        y: Labels of all of D [n].
        rows: One training set per model, all of the same size.
        keys: One key per model.
        epochs: After which epochs, from 1 to those of the recipe.
        chunk: Models per stack; None = what is fastest here.

    Returns:
        Checkpoints in the order of training, each with the rate of the last step before it. Under a schedule that
        ends at 0 the last ones count for next to nothing.

    Raises:
        UserError: if there are no epochs, or one is not of the recipe.

    Example:
        >>> from unweave.learners import specify
        >>> from unweave.learners.nets import build
        >>> learner = build(specify("softmax", (4,), 2, recipe={"epochs": 3, "schedule": "constant"}))
        >>> given = {"rows": [np.arange(8)], "keys": [1], "epochs": [1, 3]}
        >>> checkpoints(learner, torch.ones(8, 4), torch.arange(8) % 2, **given).rates
        [0.3, 0.3]
    """
    recipe, wanted = learner.recipe, sorted(set(epochs))
    if not wanted or wanted[0] < 1 or wanted[-1] > recipe.epochs:
        raise UserError(f"Checkpoints after epochs {list(epochs)}: expected some of 1…{recipe.epochs}.")
    if any(len(one) != len(rows[0]) for one in rows):
        raise UserError("Checkpoints of models whose training sets differ in size have no common learning rate.")
    kept: dict[int, list[State]] = {epoch: [] for epoch in wanted}

    def look(epoch: int, begin: int, state: State) -> None:
        del begin
        if epoch + 1 in kept:  # the next step may write to the memory of this one
            kept[epoch + 1].append(State(*({n: v.detach().clone() for n, v in part.items()} for part in state)))

    after_epochs(learner, x, y, rows=rows, keys=keys, chunk=chunk, look=look)
    total = recipe.steps(len(rows[0]))
    rates = [recipe.rate(epoch * (total // recipe.epochs) - 1, total) for epoch in wanted]
    return Checkpoints([join(kept[epoch]) for epoch in wanted], rates)


def tracin(
    learner: Learner, given: Checkpoints, train: Examples, probes: Examples, *, key: Key = 0
) -> Attributions:
    """TracIn: sum over checkpoints of the learning rate times the products of gradients of losses.

        score(z, z') = Σ_t η_t·∇ℓ_t(z)·∇ℓ_t(z'),   own(z) = Σ_t η_t·‖∇ℓ_t(z)‖²

    A step of SGD on z alone at rate η lowers the loss of z' by η·∇ℓ(z)·∇ℓ(z'), to first order.

    Args:
        learner: The learner that made the models.
        given: Checkpoints with their rates; the final models alone are allowed.
        train: Training examples [n].
        probes: Probes with their labels [p].
        key: Of the projection that is used where gradients of the probes do not fit in a gibibyte; those of plain
            relu nets always do.

    Returns:
        Means over models, in nats for one step per checkpoint; positive = helps.

    Raises:
        UserError: if there is no checkpoint, or not one rate for each.

    Source: Pruthi et al. (2020, arXiv 2002.08484), TracInCP, which like this knows no weight decay or momentum.
    """
    if not given.states or len(given.states) != len(given.rates):
        raise UserError(
            f"TracIn got {len(given.states)} checkpoints and {len(given.rates)} rates; expected as many."
        )
    score = torch.zeros(len(train.y), len(probes.y), dtype=torch.float64, device=train.x.device)
    own = torch.zeros(len(train.y), dtype=torch.float64, device=train.x.device)
    count = 0
    for state, rate in zip(given.states, given.rates, strict=True):
        for count, net in enumerate(nets(learner, state), 1):  # noqa: B007 - how many there were
            reduced = reductions(net, len(probes.y), derive(key, count))
            of_probes = layers(net, *of_loss(net, probes), reduced)
            x, u = of_loss(net, train)
            size = max(1, _COLUMNS // max(1, _width(net)))
            for begin in range(0, len(x), size):
                some = slice(begin, begin + size)
                for name, layer in layers(net, x[some], u[some], reduced).items():
                    score[some] += rate * products(layer, of_probes[name])
                    own[some] += rate * lengths(layer)
    return _mean(score, own, count)


# ---- DataInf ----


def datainf(
    learner: Learner, stacked: State, train: Examples, probes: Examples, *, damping: float = 0.1, key: Key = 0
) -> Attributions:
    """DataInf: influence with the mean of inverses of (g_i·g_iᵀ + λ_l·I) for the inverse of their mean, by layer.

        score(z_k, z') = (1/n)·Σ_l (1/λ_l)·[v·g_k − (1/n)·Σ_i (v·g_i)·(g_i·g_k)/(λ_l + ‖g_i‖²)],   v = ∇ℓ(z'),
        λ_l = damping·(1/(n·d_l))·Σ_i ‖g_i‖²

    with all gradients those of the d_l parameters of layer l. Equal to the influence function of the empirical
    Fisher information for n = 1.

    Args:
        learner: The learner that made the models.
        stacked: K models.
        train: Training examples [n]; all of them, since they make the curvature.
        probes: Probes with their labels [p].
        damping: Share of the mean square of a layer's gradients that is λ_l, > 0.
        key: Of the projection that is used where gradients do not fit in a gibibyte; those of plain relu nets
            always do.

    Returns:
        Means over models, in nats: about the rise of the probe's loss without the example; positive = helps.

    Raises:
        UserError: if damping is not above 0.

    Source: Kwon et al. (2024, arXiv 2310.00902) equation 5, with their λ_l. Deviations: sign and 1/n are those of
        `influence_functions`, where the paper has the opposite sign (and the official code has one sign for the
        mean over a validation set and the other for single probes); a layer is a weight with its bias.

    Example:
        >>> from unweave.learners import specify
        >>> from unweave.learners.nets import build
        >>> learner = build(specify("softmax", (2,), 2))
        >>> models = State({"0.weight": torch.zeros(1, 2, 2), "0.bias": torch.zeros(1, 2)}, {})
        >>> of = Examples(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        >>> bool((datainf(learner, models, of, of).own > 0).all())
        True
    """
    if damping <= 0:
        raise UserError(f"DataInf with damping {damping:g}; expected a number above 0.")
    score = torch.zeros(len(train.y), len(probes.y), dtype=torch.float64, device=train.x.device)
    own = torch.zeros(len(train.y), dtype=torch.float64, device=train.x.device)
    count = 0
    for count, net in enumerate(nets(learner, stacked), 1):  # noqa: B007 - how many there were
        reduced = reductions(net, len(train.y) + len(probes.y), derive(key, count))
        of_train = layers(net, *of_loss(net, train), reduced)
        of_probes = layers(net, *of_loss(net, probes), reduced)
        sizes = _sizes(net)
        for name, g in of_train.items():
            found = _datainf_of_layer(g, of_probes[name], damping / sizes[name])
            score += found[0]
            own += found[1]
    return _mean(score, own, count)


def _datainf_of_layer(g: Layer, v: Layer, share: float) -> tuple[Tensor, Tensor]:
    squares, n = lengths(g), len(g[0])
    ridge = share * squares.mean()
    if ridge == 0:  # a layer without a gradient says nothing
        return squares.new_zeros(n, len(v[0])), torch.zeros_like(squares)
    across = products(g, v)  # [n, p]
    weighed = across / (ridge + squares)[:, None]
    score, own = torch.empty_like(across), torch.empty_like(squares)
    size = max(1, _COLUMNS // n)
    for begin in range(0, n, size):
        some = slice(begin, begin + size)
        gram = products(tuple(part[some] for part in g), g)  # [b, n]
        score[some] = (across[some] - gram @ weighed / n) / (ridge * n)
        own[some] = (squares[some] - (gram.square() / (ridge + squares)).mean(1)) / (ridge * n)
    return score, own


def _sizes(net: Net) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in net.params.items():
        layer = name.rpartition(".")[0]
        found[layer] = found.get(layer, 0) + value.numel()
    return found


def _width(net: Net) -> int:
    """Numbers that are kept of one example's gradient."""
    if net.learner.dense is None:
        return sum(value.numel() for value in net.params.values())
    return sum(sum(value.shape) for value in net.params.values())


def _mean(score: Tensor, own: Tensor, count: int) -> Attributions:
    return Attributions((score / count).cpu().numpy(), (own / count).cpu().numpy())
