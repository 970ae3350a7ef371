"""Methods that undo steps of training: those in which S took part, or what S alone did in them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.func import grad

from unweave._errors import ApplicabilityError, SpecError
from unweave.learners.contract import Params, State
from unweave.learners.specs import Recipe
from unweave.methods.baselines import fit_retain
from unweave.methods.contract import (
    SGD_ALONE,
    Aux,
    Examples,
    Given,
    History,
    Method,
    Moment,
    Net,
    method,
    retain_pass,
)
from unweave.methods.layers import fresh_statistics
from unweave.methods.losses import cross_entropy
from unweave.training.dense import dense_gradients


def _check_scale(name: str, scale: float) -> None:
    if not 0 <= scale < math.inf:
        raise SpecError(f"`methods`: {name}.scale is {scale}; expected a number ≥ 0.")


@method(
    name="amnesiac",
    family="history",
    needs={"original", "retain", "history"},
    authors_aim="untraining",
    cite="graves2021amnesiac",
    equation="θ_o − Σ Δθ of the batches with members of S",
    space={"scale": (0.01, 1.0), "lr": (0.01, 1.0), "epochs": (0.025, 0.5)},
    identity={"scale": 0.0, "epochs": 0.0},
)
def amnesiac(*, scale: float = 1.0, epochs: float = 0.1, lr: float = 1.0) -> Method:
    """Take back every step of training whose batch held a member of S, then train a little on D∖S.

    θ ← θ_o − a·Σ_t (θ_{t+1} − θ_t) over the steps t with S ∩ B_t ≠ ∅, then CE(D∖S); a is `scale`, and with
    `epochs` = 0 nothing is repaired. S is known by the history alone. Defaults: a = 1, and the rate of training
    (Graves, Nagisetty & Ganesh 2021, arXiv 2010.10981, official notebook, with the first step of which the model
    is 0 % right on the class that was forgotten); a tenth of the epochs for the little, where the notebook goes
    on for as many epochs as it trained. Steps are taken back as they were taken, as the authors do with those of
    Adam. So with momentum μ a step that is taken back holds gradients of earlier batches without S, and is only
    the share 1 − μ of what its own batch does in the end: the gradients of S live on in later steps. Running
    statistics are not taken back, in that code neither. What has to be repaired is the share of batches with a
    member of S, 1 − (1 − b/n)^|S| of them: for 20 of 1 400 examples in batches of 64 it is 6 of 10 steps. A step
    is taken back once: the method is refused after one that has read the history or trained anew, in a row of
    methods as for another part of S, since one step may hold members of several parts.

    Raises:
        SpecError: if `scale` is below 0.
    """
    _check_scale("amnesiac", scale)

    def begin(params: Params) -> Params:
        return {name: torch.zeros_like(value) for name, value in params.items()}

    def follow(carried: Any, moment: Moment) -> Any:
        touched = moment.forget.any()
        return {
            name: torch.where(touched, total + (moment.after[name] - moment.before[name]), total)
            for name, total in carried.items()
        }

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        params = {name: value - scale * given.history[name] for name, value in net.params.items()}
        return State(params, net.buffers), ()

    history = History(begin, follow, once=True)
    return Method(fit_retain, epochs, lr, prepare=prepare, passes=retain_pass, history=history)


def unrolled_rate(recipe: Recipe, n: int) -> float:
    """How much of one example's gradient enters the parameters in a training by SGD in which it never changes.

    A gradient in step t moves the parameters by Σ_{s≥t} η_s·μ^{s−t} in all, as momentum μ repeats it. An example
    is in a batch of size b, with weight 1/b, once per epoch, and in each step with probability b/n. So what one
    example's gradient is multiplied with in expectation is

        (1/n)·Σ_t Σ_{s≥t} η_s·μ^{s−t} = (1/n)·Σ_s η_s·(1 − μ^{s+1})/(1 − μ).

    Without momentum, at a constant rate and in full batches that is η·epochs/b. Weight decay and the clipping of
    gradients are not unrolled.

    Args:
        recipe: Rate, schedule, momentum, epochs and batch size.
        n: Size of the training set.

    Returns:
        Rates summed over steps, divided by examples; ≥ 0.

    Source: derived here; Thudi et al. (2022), arXiv 2109.13398, have it for a constant rate without momentum.

    Example:
        >>> round(unrolled_rate(Recipe(lr=0.1, epochs=3, batch_size=10, momentum=0.0), 100), 6)
        0.03
        >>> round(unrolled_rate(Recipe(lr=0.1, epochs=300, batch_size=10, momentum=0.9), 100), 2)
        29.91
    """
    total, momentum = recipe.steps(n), recipe.momentum
    steps = (recipe.rate(s, total) * (1 - momentum ** (s + 1)) / (1 - momentum) for s in range(total))
    return math.fsum(steps) / n


def _summed_gradient(net: Net, examples: Examples, key: Tensor) -> Params:
    """Σ_i ∇CE(x_i, y_i), as training has it: norms standardise by the batch."""
    if net.learner.dense is not None:
        return dense_gradients(net.params, net.encode(examples.x), examples.y, depth=net.learner.dense)
    count = math.ceil(len(examples.y) / net.learner.recipe.batch_size)

    def loss(params: Params, x: Tensor, y: Tensor) -> Tensor:
        # One example has no variance to standardise by.
        return cross_entropy(Net(net.learner, State(params, net.buffers), train=len(y) > 1, key=key)(x), y).sum()

    total = {name: torch.zeros_like(value) for name, value in net.params.items()}
    # Parts as equal as can be: else a last part might have one example.
    for x, y in zip(examples.x.tensor_split(count), examples.y.tensor_split(count), strict=True):
        for name, value in grad(loss)(net.params, x, y).items():
            total[name] = total[name] + value
    return total


@method(
    name="unrolling_sgd",
    family="history",
    needs={"original", "forget", "history"},
    authors_aim="untraining",
    cite="thudi2022unrolling",
    equation="single gradient unlearning: θ_o + η·t·∇CE(S)|θ_0",
    space={"scale": (1e-4, 1.0)},
    identity={"scale": 0.0},
    sgd=True,
)
def unrolling_sgd(*, scale: float = 1.0) -> Method:
    """Add back what S did to the parameters, as if its gradient had always been what it was at first.

    θ ← θ_o + a·γ·Σ_S ∇CE|θ_0, with θ_0 the parameters before training, a = `scale`, and γ the weight of one
    example's gradient in the sum of all updates: `unrolled_rate`, (1/n)·Σ_s η_s·(1 − μ^{s+1})/(1 − μ). It is the
    first order in the rate of SGD unrolled from θ_0: the error ‖θ − A(D∖S)‖ falls with the square of a small
    rate. Default: a = 1, the formula (Thudi et al. 2022, arXiv 2109.13398). Deviations: the paper has γ = η·t/b
    for a constant rate without momentum, and the official code takes that factor for an SGD with momentum .9,
    ten times too little; here momentum and schedule are unrolled too. The authors go back to a pretrained model
    that was tuned for an epoch or so, where θ_0 is near; over a whole training from a random start the gradient
    of S does not stay what it was, and the sum overshoots by far: use a small `scale` there. Norms standardise
    by batches of S, in evaluation their statistics are the original's. The sum is that of SGD: what AdamW adds up
    is no gradient, and there the method is refused. Like `amnesiac` it comes once, before others that read the
    history.

    Raises:
        SpecError: if `scale` is below 0.
        ApplicabilityError: for models that were not trained by SGD.
    """
    _check_scale("unrolling_sgd", scale)

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        recipe, n = net.learner.recipe, given.trained_on
        if recipe.optimiser != "sgd":
            raise ApplicabilityError(f"The method cannot be run: it {SGD_ALONE}.")
        assert n is not None  # the history is known
        start = Net(net.learner, State(given.history, fresh_statistics(net.buffers)), key=key)
        found, factor = _summed_gradient(start, given.forget, key), scale * unrolled_rate(recipe, n)
        params = {name: value + factor * found[name] for name, value in net.params.items()}
        return State(params, net.buffers), ()

    return Method(
        None,
        0.0,
        0.0,
        prepare=prepare,
        prepare_cost=lambda n_forget, n_retain: n_forget,
        history=History(begin=lambda params: params, once=True),
    )
