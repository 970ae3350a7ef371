"""Methods with a teacher: the original model, to be left behind on S and kept on D∖S."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from unweave.learners.contract import State
from unweave.methods.contract import Aux, Batch, Examples, Method, Net, Pass, Plan, forget_pass, method
from unweave.methods.losses import cross_entropy, divergence


def _original_as_teacher(net: Net, forget: Examples, retain: Examples, key: Tensor) -> tuple[State, Aux]:
    del forget, retain, key
    state = State(net.params, net.buffers)
    # A copy: a teacher that shares storage with the student makes every KL zero (a known bug).
    frozen = State(
        {name: value.clone() for name, value in state.params.items()},
        {name: value.clone() for name, value in state.buffers.items()},
    )
    return state, frozen


def _teach(net: Net, aux: State, x: Tensor) -> Tensor:
    return Net(net.learner, aux, train=False)(x).detach()


@method(
    name="scrub",
    family="distillation",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="kurmanji2023scrub",
    equation="equation 3 and algorithm 1",
    space={"alpha": (0.001, 10.0), "gamma": (0.1, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
)
def scrub(
    *,
    alpha: float = 0.001,
    gamma: float = 0.99,
    temperature: float = 4.0,
    max_share: float = 0.8,
    epochs: float = 1 / 6,
    lr: float = 0.05,
) -> Method:
    """Move away from the teacher on S, stay with it on D∖S.

    Each epoch: while it is among the first `max_share` of the epochs a pass over S that climbs
    KL(θ_o‖θ); then a pass over D∖S that descends on α·KL(θ_o‖θ) + γ·CE. Defaults: α, γ and T of the
    authors' large-scale setting; 5 epochs, 4 of them with a max-pass, at rate .005 for a recipe of 30
    at .1 (Zhao et al. 2024, official repository). Deviation: the rate is constant, and S and D∖S share
    the recipe's batch size.
    """

    def passes(plan: Plan) -> Sequence[Pass]:
        order: list[Pass] = []
        for epoch in range(plan.epochs):
            if epoch < round(max_share * plan.epochs):
                order.extend("forget" for _ in range(plan.forget_batches))
            order.extend("retain" for _ in range(plan.retain_batches))
        return order

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        if "forget" in batches:
            x = batches["forget"].x
            return -divergence(_teach(net, aux, x), net(x), temperature=temperature).mean()
        x, y, _ = batches["retain"]
        student = net(x)
        kept = divergence(_teach(net, aux, x), student, temperature=temperature).mean()
        return alpha * kept + gamma * cross_entropy(student, y).mean()

    return Method(step, epochs, lr, prepare=_original_as_teacher, passes=passes)


@method(
    name="delete",
    family="distillation",
    needs={"original", "forget"},
    authors_aim="unlearning",
    cite="zhou2025delete",
    equation="KL(softmax(z_o with z_y = −∞) ‖ f) on S",
    space={"lr": (0.01, 1.0), "epochs": (0.05, 1.0)},
)
def delete(*, epochs: float = 1 / 3, lr: float = 0.1) -> Method:
    """Distil the original without its logit of the true class, on S alone.

    Loss: KL(softmax(z_o with z_y ← −10¹⁰) ‖ softmax(z)) on S (arXiv 2503.23751, official code).
    Defaults: 10 epochs at rate .01, for a recipe of 30 at .1.
    """

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        x, y, _ = batches["forget"]
        target = _teach(net, aux, x).scatter(-1, y[:, None], -1e10)
        return divergence(target, net(x)).mean()

    return Method(step, epochs, lr, prepare=_original_as_teacher, passes=forget_pass)
