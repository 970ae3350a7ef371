"""Methods that lead what S taught into units of its own, which are off in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from unweave._errors import SpecError
from unweave.learners.contract import State
from unweave.methods.contract import (
    Aux,
    Batch,
    Examples,
    Given,
    Method,
    Net,
    Rewind,
    Widening,
    forget_pass,
    joint_pass,
    method,
)
from unweave.methods.losses import cross_entropy
from unweave.methods.meta import staged
from unweave.methods.preference import negative_preference
from unweave.methods.widening import TWICE

_AT_ONCE = 256
_OF_S = 42
"""The key by which all of S is given its units."""


def shared_mask(net: Net) -> Tensor:
    """One mask for all of S [units]: the units of every example, and some of memorisation as one example has them.

    Empty for a net without example-tied dropout.
    """
    if net.learner.tied is None:
        return torch.ones(0)
    key = next(iter(net.params.values())).new_full((1,), _OF_S, dtype=torch.int64)
    return net.learner.tied.drawn(net.buffers, key)[0]


def with_units(net: Net, x: Tensor, mask: Tensor | None) -> Tensor:
    """Logits with these hidden units alone [b, classes]; None = those that each example has in training.

    A net without example-tied dropout has no units to choose from, and is run as it is.
    """
    tied, state = net.learner.tied, State(net.params, net.buffers)
    if tied is None:
        return net(x)
    return tied.apply(state, x, tied.masks(net.buffers, x) if mask is None else mask)


def _in_use(net: Net, x: Tensor) -> Tensor:
    """Logits with the units of all examples alone: the units of memorisation are dropped."""
    tied = net.learner.tied
    return net(x) if tied is None else with_units(net, x, tied.general.to(x.device))


def _losses(forward: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """CE per example of a set of any size [n]."""
    return torch.cat([cross_entropy(forward(some), own) for some, own in _parts(x, y)]).detach()


def _parts(x: Tensor, y: Tensor) -> Any:
    return zip(x.split(_AT_ONCE), y.split(_AT_ONCE), strict=True)


@method(
    name="rem_etd",
    family="redirection",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="schoepf2025rem",
    equation="REM(ETD): in rounds, NPO on S without units of memorisation, then redirect + remove on D",
    space={"beta": (0.01, 10.0), "gamma": (0.0, 0.5), "lr": (0.01, 1.0), "epochs": (0.05, 1.0)},
    identity={"epochs": 0.0, "flush_epochs": 0.0},
    trains="etd",
)
def rem_etd(
    *,
    beta: float = 1.0,
    gamma: float = 0.2,
    flush_epochs: float = 2.5,
    epochs: float = 1 / 4,
    every: float = 1 / 40,
    lr: float = 0.2,
) -> Method:
    """Lead S into units of memorisation that all of S shares, and out of those that are used.

    Rounds of two stages. Flush, on S alone and with the units of all examples only: −(2/β)·log σ(β·r) with
    r = CE_θ − CE_o, until at most γ of S gets the label it was trained on, or `flush_epochs` are over. Repair, on
    all of D for `every` of the recipe's epochs: each example of D∖S with its own units of memorisation, and all of
    S with one mask: redirect = (2/β)·log σ(β·r), which makes labels as likely as under the original or more so,
    and on S also remove = −(2/β)·log σ(β·r) without units of memorisation. In use these units are off, as they
    always are in such a net. CE_o is the original's with the units of the repair, in both stages. Loss of a step
    of repair: (sum over D of redirect + sum over S of remove)/|D|, estimated by a batch of S and one of D∖S. What
    remains is the model after the repair epoch with the largest acc(D∖S)·(1 − max(acc(S), γ)), with the labels
    trained on and in use.

    The learner must have example-tied dropout, so this method has models of its own (`trains`); on a net without
    it nothing can be redirected, and redirect and remove cancel on S. Defaults: β = 1, γ = .2, rounds of one epoch
    of 40, each with a flush of at most 100 epochs over S, in all 10 epochs over D at a fifth of the rate for 41 of
    training, p_mem as the learner was trained (Schoepf et al. 2025, arXiv 2505.17730, official code). The slope of
    redirect is 2σ(−β·r): as in that code, examples that lost much in the flush are repaired slowly. Momentum goes
    on from stage to stage, as there: a flush that has come to its end is carried on by it into the repair. At an
    equal rise no model stops in a flush, but in a repair alone, or on its way back there. In a row of several
    methods the original is what the one before left, whose momentum is gone. Deviation: a repair is at least one
    epoch, also where `every` is a smaller share of the recipe.

    Raises:
        SpecError: if `beta` or `every` is not above 0 or `gamma` not a share.
    """
    return _rounds("rem_etd", None, beta, gamma, flush_epochs, epochs, every, lr)


@method(
    name="rem",
    family="redirection",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="schoepf2025rem",
    equation="REM: add units θ₂; in rounds, NPO on S without θ₂, then redirect + remove on D; drop θ₂",
    space={"beta": (0.01, 10.0), "gamma": (0.0, 0.5), "lr": (0.01, 1.0), "epochs": (0.05, 1.0)},
    identity={"epochs": 0.0, "flush_epochs": 0.0},
    widens=True,
)
def rem(
    *,
    beta: float = 1.0,
    gamma: float = 0.2,
    flush_epochs: float = 2.5,
    epochs: float = 1 / 4,
    every: float = 1 / 40,
    lr: float = 0.2,
) -> Method:
    """Add units to the net, lead S into them, and take them away again.

    Each hidden layer gets as many units (channels) again, θ₂, with the weights of a net that was not trained yet.
    Then the rounds of `rem_etd`, with the units of the original for those of all examples and θ₂ for those of
    memorisation, of which each example of D∖S has a random fifth and all of S another, the same; in the end θ₂ is
    dropped. Defaults: those of `rem_etd`, of which the official code has the same for both (Schoepf et al. 2025,
    arXiv 2505.17730), and twice the units, as there. On a learner with example-tied dropout nothing is added and
    this is `rem_etd`. Deviations: that code trains a net of which half of the channels are off, and they have been
    shrunk by weight decay when REM finds them; here they are drawn when it begins.

    Raises:
        SpecError: if `beta` or `every` is not above 0 or `gamma` not a share.
    """
    return _rounds("rem", TWICE, beta, gamma, flush_epochs, epochs, every, lr)


def _rounds(
    name: str,
    widening: Widening | None,
    beta: float,
    gamma: float,
    flush_epochs: float,
    epochs: float,
    every: float,
    lr: float,
) -> Method:
    """Rounds of flush and repair; see `rem_etd`."""
    if not beta > 0:
        raise SpecError(f"`methods`: {name}.beta is {beta}; expected a number above 0. Near 0 it is plain ascent.")
    if not 0 <= gamma <= 1:
        raise SpecError(f"`methods`: {name}.gamma is {gamma}; expected a share of S, 0 to 1.")
    if not 0 < every <= 1:
        raise SpecError(
            f"`methods`: {name}.every is {every}; expected a share of the epochs, above 0 and at most 1."
        )

    def before_of(own: Net, given: Given) -> tuple[Tensor, Tensor]:
        mask = shared_mask(own)
        return mask, _losses(lambda x: with_units(own, x, mask), *given.forget)

    def ready_to_flush(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key  # whose units are whose was drawn when the model was trained
        return State(net.params, net.buffers), before_of(Net(net.learner, given.original, train=False), given)

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        own = Net(net.learner, given.original, train=False)
        forget, retain = given.forget, given.retain
        share = torch.tensor(len(forget.y) / (len(forget.y) + len(retain.y)), device=forget.x.device)
        before_retain = _losses(lambda x: with_units(own, x, None), retain.x, retain.y)
        return State(net.params, net.buffers), (*before_of(own, given), before_retain, share)

    def flush(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        x, y, position = batches["forget"]
        return negative_preference(cross_entropy(_in_use(net, x), y), aux[1][position], beta=beta).mean()

    def known(net: Net, examples: Examples) -> Tensor:
        right = torch.cat([_in_use(net, x).argmax(-1) == y for x, y in _parts(*examples)])
        return right.to(torch.float32).mean()

    def flushed(net: Net, aux: Aux, given: Given) -> Tensor:
        del aux
        return known(net, given.forget) <= gamma

    def measure(net: Net, aux: Aux, given: Given) -> Tensor:
        del aux
        return known(net, given.retain) * (1 - known(net, given.forget).clamp(min=gamma))

    def score(then: Tensor, last: Tensor) -> Tensor:
        del last
        return -then

    def redirect(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        mask, before_forget, before_retain, share = aux
        forget, retain = batches["forget"], batches["retain"]
        before = before_forget[forget.position]
        led = -negative_preference(cross_entropy(with_units(net, forget.x, mask), forget.y), before, beta=beta)
        removed = negative_preference(cross_entropy(_in_use(net, forget.x), forget.y), before, beta=beta)
        now = cross_entropy(with_units(net, retain.x, None), retain.y)
        kept = -negative_preference(now, before_retain[retain.position], beta=beta)
        return share * (led + removed).mean() + (1 - share) * kept.mean()

    rounds = max(1, round(epochs / every))
    choice = Rewind(measure, score)  # one for all rounds
    repair = Method(redirect, epochs / rounds, lr, prepare=prepare, passes=joint_pass, rewind=choice)
    first = Method(flush, flush_epochs, lr, prepare=ready_to_flush, passes=forget_pass, until=flushed)
    first = first._replace(widening=widening, carries=True, scaffold=True)
    repair = repair._replace(widening=widening, carries=True)
    return staged(*[first, repair] * rounds)
