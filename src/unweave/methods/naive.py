"""The first ideas one would have: train again from an earlier moment, from a blurred model, or away from S."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unweave._errors import SpecError
from unweave.learners.contract import Params, State
from unweave.methods.baselines import fit_retain
from unweave.methods.contract import (
    Aux,
    Batch,
    Given,
    History,
    Method,
    Moment,
    Net,
    forget_pass,
    method,
    retain_pass,
)
from unweave.methods.layers import fresh, fresh_statistics
from unweave.methods.losses import cross_entropy


def _undone(back: float, epochs: int) -> int:
    """How many of the epochs of training are undone: at least one."""
    return max(1, round(back * epochs))


@method(
    name="rewind",
    family="naive",
    needs={"original", "retain", "history"},
    authors_aim="untraining",
    cite="mu2025rewind",
    equation="algorithm 2 of Rewind-to-Delete, without its noise",
    space={"back": (0.05, 1.0)},
    identity={"back": 0.0},
    several=True,
)
def rewind(*, back: float = 0.5, lr: float = 1.0) -> Method:
    """Go back to a checkpoint of training and train on from there without S.

    With E epochs in the recipe and k = round(`back`·E): θ ← the model after E − k epochs on D, then k epochs of
    CE(D∖S) by the rates the recipe has for its last k epochs (times `lr`). With `back` = 1 this is retraining
    from the original's own start, with 0 nothing. Defaults: half of the epochs, as no share is published that
    would transfer: it is at once the budget and what is undone; the recipe's own rate (Mu & Klabjan 2025, arXiv
    2409.09778, who take the rate of training, which is constant there). Deviations: batches and momentum, where
    the authors have full gradients; no Gaussian noise is added to the result, so nothing is certified; momentum
    starts at 0, for that of the checkpoint holds gradients of S. What S did in the epochs before the checkpoint
    stays, running statistics included. What methods before it did does not: the checkpoint is of before them.
    Where its epochs are scaled without `back`, steps beyond the recipe's last are taken at the last one's rate.

    Raises:
        SpecError: if `back` is above 1 or below 0.
    """
    if not 0 <= back <= 1:
        raise SpecError(f"`methods`: rewind.back is {back}; expected a share of the epochs, 0 to 1.")
    if back == 0:
        return Method(step=None, epochs=0.0, lr=0.0)

    def follow(carried: Any, moment: Moment) -> Any:
        if carried or moment.epoch != moment.epochs - _undone(back, moment.epochs):
            return carried
        return State(moment.before, moment.buffers)

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        recipe, (params, buffers) = net.learner.recipe, given.history
        total = recipe.steps(len(given.retain.y))
        first = total - total // recipe.epochs * _undone(back, recipe.epochs)
        shares = [recipe.rate(step, total) / recipe.lr for step in range(first, total)]
        rates = torch.tensor(shares, device=given.retain.x.device)
        return State({name: params[name] for name in net.params}, buffers), (rates, rates[0])

    def respond(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Aux:
        del net, batches, key
        return aux[0], aux[0][min(i, len(aux[0]) - 1)]

    # The update and not the loss: momentum is a sum of gradients, whatever the rates were.
    def project(aux: Aux, update: Params) -> Params:
        return {name: aux[1] * value for name, value in update.items()}

    return Method(
        fit_retain,
        back,
        lr,
        prepare=prepare,
        passes=retain_pass,
        respond=respond,
        project=project,
        history=History(begin=lambda params: (), follow=follow),
    )


@method(
    name="shrink_perturb",
    family="naive",
    needs={"original", "retain"},
    authors_aim=None,
    cite="ash2020warm",
    equation="θ ← λ·θ_o + σ·noise",
    space={"shrink": (0.0, 1.0), "perturb": (0.0, 1.0), "lr": (0.01, 1.0), "epochs": (0.05, 1.0)},
    identity={"shrink": 1.0, "perturb": 0.0, "epochs": 0.0},
    several=True,
)
def shrink_perturb(*, shrink: float = 0.4, perturb: float = 0.1, epochs: float = 1 / 3, lr: float = 1.0) -> Method:
    """Shrink all parameters, add noise and train on D∖S: a start between the original and a new net.

    θ ← λ·θ_o + σ·θ_new, then CE(D∖S); λ is `shrink`, σ is `perturb` and θ_new a net as before any training, so
    that noise has in each layer the size that the start of unweave's nets has: U(−1/√fan_in, 1/√fan_in), and
    weight 1 and bias 0 in norms, whose running statistics start anew. With λ = 0, σ = 1 this is retraining for a
    share of the epochs, with λ = 1, σ = 0 fine-tuning. Defaults: λ = .4, σ = .1 and the rate of training (Ash &
    Adams 2020, arXiv 1910.08475, official code); a third of the epochs, where that code trains until 99 % of the
    training set is right. Deviation: the paper writes the noise as N(0, σ²), and its code draws θ_new as here.
    `causal_lm` starts from another law, N(0, .08²), and a module of your own from its own: there θ_new is drawn by
    the law above all the same, and λ = 0, σ = 1 is training from another start than theirs. The authors wanted a
    warm start that generalises as well as a cold one; neither aim was theirs.

    Raises:
        SpecError: if `shrink` is above 1 or below 0, or `perturb` below 0.
        ApplicabilityError: for a layer without a fan-in.
    """
    if not 0 <= shrink <= 1:
        raise SpecError(f"`methods`: shrink_perturb.shrink is {shrink}; expected a factor from 0 to 1.")
    if not 0 <= perturb < math.inf:
        raise SpecError(f"`methods`: shrink_perturb.perturb is {perturb}; expected a number ≥ 0.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del given
        noise = fresh(net.params, key)
        params = {name: shrink * value + perturb * noise[name] for name, value in net.params.items()}
        return State(params, fresh_statistics(net.buffers)), ()

    touched = shrink != 1 or perturb != 0
    return Method(fit_retain, epochs, lr, prepare=prepare if touched else None, passes=retain_pass)


def fit_forget(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
    """CE of a batch of S, with the labels it was trained on."""
    del aux, i, key
    return cross_entropy(net(batches["forget"].x), batches["forget"].y).mean()


@method(
    name="task_vector",
    family="naive",
    needs={"original", "forget"},
    authors_aim="unlearning",
    cite="ilharco2023task",
    equation="section 3: θ_o − a·τ, τ = θ_FT(S) − θ_o",
    space={"scale": (0.05, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 1.0)},
    several=True,
)
def task_vector(*, scale: float = 1.0, epochs: float = 1 / 3, lr: float = 1.0) -> Method:
    """Fine-tune on S and go as far the other way.

    θ_FT: CE(S) from θ_o; then θ ← θ_o − a·(θ_FT − θ_o), a being `scale`. Running statistics stay the original's:
    a negated variance would be none. Defaults: a = 1, the end of the grid 0, .05, …, 1 in which the authors take
    the largest a that keeps 95 % of the accuracy on a control task (Ilharco et al. 2023, arXiv 2212.04089; here
    there is no such search); a third of the epochs at the recipe's rate, as the published 2000 steps of AdamW
    on CLIP do not transfer. Where the original has learned S by heart the gradient of CE(S) is nearly 0, and so
    is the task vector: the method suits what can still be learned better. At an equal rise the fine-tuning is no
    place to stop: the model is cut on the line from θ_o to its mirrored end. In a row of several methods θ_o is
    what the one before left.
    """

    def mirror(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        params = {
            name: value - scale * (net.params[name] - value) for name, value in given.original.params.items()
        }
        return State(params, given.original.buffers), ()

    back = Method(None, 0.0, 0.0, prepare=mirror)
    return Method(fit_forget, epochs, lr, passes=forget_pass, then=back, scaffold=True)
