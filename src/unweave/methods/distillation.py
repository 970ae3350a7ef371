"""Methods with a teacher: the original model, one that never learned, or the uniform law."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unweave.learners.contract import State
from unweave.methods.contract import (
    Aux,
    Batch,
    Given,
    Method,
    Net,
    Pass,
    Plan,
    forget_pass,
    joint_pass,
    method,
)
from unweave.methods.layers import fresh, fresh_statistics
from unweave.methods.losses import cross_entropy, divergence, places

_AT_ONCE = 256


def lesson(net: Net, x: Tensor) -> Tensor:
    """Logits of a net as it stands, of all of a set [n, classes(, A)]: what its student is taught, by position.

    A teacher never changes, so it is asked once and not in every step. It answers as it does in use, without
    dropout and by the running statistics of its norms.
    """
    return torch.cat([net(some) for some in x.split(_AT_ONCE)]).detach()


@method(
    name="scrub",
    family="distillation",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="kurmanji2023scrub",
    equation="equation 3 and algorithm 1",
    space={"alpha": (0.001, 10.0), "gamma": (0.1, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
    several=True,
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

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        lessons = lesson(net, given.forget.x), lesson(net, given.retain.x)
        return State(net.params, net.buffers), lessons

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        on_forget, on_retain = aux
        if "forget" in batches:
            x, y, position = batches["forget"]
            return -divergence(on_forget[position], net(x), y, temperature=temperature).mean()
        x, y, position = batches["retain"]
        student = net(x)
        kept = divergence(on_retain[position], student, y, temperature=temperature).mean()
        return alpha * kept + gamma * cross_entropy(student, y).mean()

    return Method(step, epochs, lr, prepare=prepare, passes=passes)


@method(
    name="delete",
    family="distillation",
    needs={"original", "forget"},
    authors_aim="unlearning",
    cite="zhou2025delete",
    equation="KL(softmax(z_o with z_y = −∞) ‖ f) on S",
    space={"lr": (0.01, 1.0), "epochs": (0.05, 1.0)},
    several=True,
)
def delete(*, epochs: float = 1 / 3, lr: float = 0.1) -> Method:
    """Distil the original without its logit of the true class, on S alone.

    Loss: KL(softmax(z_o with z_y ← −10¹⁰) ‖ softmax(z)) on S (arXiv 2503.23751, official code).
    Defaults: 10 epochs at rate .01, for a recipe of 30 at .1.
    """

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        without = lesson(net, given.forget.x).scatter(1, places(given.forget.y), -1e10)
        return State(net.params, net.buffers), without

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        x, y, position = batches["forget"]
        return divergence(aux[position], net(x), y).mean()

    return Method(step, epochs, lr, prepare=prepare, passes=forget_pass)


@method(
    name="bad_teacher",
    family="distillation",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="chundawat2023badteacher",
    equation="KL(l·T_bad + (1−l)·T_good ‖ f), l = 1 on S",
    space={"lr": (0.01, 1.0), "epochs": (0.02, 0.5)},
    several=True,
)
def bad_teacher(*, retain_share: float = 0.3, epochs: float = 1 / 4, lr: float = 0.1) -> Method:
    """Learn S from a net that never learned anything, and D∖S from the original.

    Loss: mean over S ∪ part of D∖S of KL(l·T_bad + (1−l)·θ_o ‖ θ) with l = 1 on S and 0 on D∖S, T_bad a
    fresh net and temperature 1 (Chundawat et al. 2023, arXiv 2205.08096, official code). An epoch is as long
    as a pass over S and `retain_share` of D∖S, .3 in the authors' notebook; each step takes a batch of both,
    weighted |S| to `retain_share`·|D∖S|, which is the mean over shuffled batches of the union. Defaults: a
    quarter of the epochs at rate .1 (Goel et al. 2024, arXiv 2402.14015, with SGD: the recipe's rate on a KL
    divided by 10 classes as well). Deviations: SGD where the authors have one epoch of Adam at 1e-4; KL is
    summed over classes; each epoch sees another part of D∖S; T_bad is drawn from the law by which nets of
    unweave start, U(−1/√fan_in, 1/√fan_in), but not by their generator, and for other learners too.
    """

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        ignorant = Net(net.learner, State(fresh(net.params, key), fresh_statistics(net.buffers)), train=False)
        forget, retain = given.forget, given.retain
        n_forget, n_retain = len(forget.y), retain_share * len(retain.y)
        share = torch.tensor(n_forget / (n_forget + n_retain), device=retain.x.device)
        state = State(net.params, net.buffers)
        return state, (lesson(ignorant, forget.x), lesson(net, retain.x), share)

    def passes(plan: Plan) -> Sequence[Pass]:
        both: list[Pass] = ["both"]
        return both * (plan.epochs * (plan.forget_batches + math.ceil(retain_share * plan.retain_batches)))

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        ignorant, original, weight = aux
        forget, retain = batches["forget"], batches["retain"]
        lost = divergence(ignorant[forget.position], net(forget.x), forget.y).mean()
        kept = divergence(original[retain.position], net(retain.x), retain.y).mean()
        return weight * lost + (1 - weight) * kept

    return Method(step, epochs, lr, prepare=prepare, passes=passes)


@method(
    name="max_entropy",
    family="distillation",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="yuan2024closer",
    equation="ME+GD: KL(f ‖ uniform) on S + CE(D∖S)",
    space={"forget_weight": (0.01, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
    several=True,
)
def max_entropy(
    *, forget_weight: float = 0.1, retain_weight: float = 1.0, epochs: float = 1 / 6, lr: float = 0.1
) -> Method:
    """Guess on S, with all classes equally likely, and descend on D∖S.

    Loss: a·KL(softmax(z) ‖ uniform) on S + w·CE(D∖S), batches of S cycling along one pass over D∖S; the KL
    is log C less the entropy of the prediction, and the labels of S are not read. Defaults: a = .1 and w = 1
    (Yuan et al. 2024, arXiv 2410.08109, official configuration); epochs and rate of `neggrad_plus`, whose
    passes are the same, as none are published for SGD. Deviation: the authors' code has the arguments of
    their KL the other way round; here it is that of the paper.
    """

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del aux, i, key
        forget, retain = batches["forget"], batches["retain"]
        guess = net(forget.x)
        # Logits that are all equal are the uniform law.
        lost = divergence(guess, torch.zeros_like(guess), forget.y).mean()
        return forget_weight * lost + retain_weight * cross_entropy(net(retain.x), retain.y).mean()

    return Method(step, epochs, lr, passes=joint_pass)
