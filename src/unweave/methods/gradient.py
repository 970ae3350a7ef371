"""Methods that climb the loss of S, or descend on S with wrong labels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unweave.learners.contract import State
from unweave.learners.noise import uniform
from unweave.methods.contract import (
    Aux,
    Batch,
    Given,
    Method,
    Net,
    forget_pass,
    forget_then_retain,
    joint_pass,
    method,
)
from unweave.methods.distillation import lesson
from unweave.methods.losses import cross_entropy, divergence


def _climb(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
    del aux, i, key
    return -cross_entropy(net(batches["forget"].x), batches["forget"].y).mean()


@method(
    name="gradient_ascent",
    family="ascent",
    needs={"original", "forget"},
    authors_aim="untraining",
    cite="thudi2022unrolling",
    equation="max CE(S)",
    space={"lr": (1e-4, 0.3), "epochs": (0.02, 0.5)},
    several=True,
)
def gradient_ascent(*, epochs: float = 1 / 6, lr: float = 0.001) -> Method:
    """Climb the cross-entropy of S (also called NegGrad).

    Loss: −CE(S). Defaults: 5 epochs over S at rate 1e-4 for a recipe of 30 epochs at .1 (Zhao et al.
    2024, arXiv 2406.01257, official repository), as shares of the recipe. The loss has no floor: with
    large rates or many epochs the model is destroyed.
    """
    return Method(_climb, epochs, lr, passes=forget_pass)


@method(
    name="neggrad_plus",
    family="ascent",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="kurmanji2023scrub",
    equation="section 4, NegGrad+",
    space={"alpha": (0.9, 0.9999), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
    several=True,
)
def neggrad_plus(*, alpha: float = 0.95, epochs: float = 1 / 6, lr: float = 0.1) -> Method:
    """Descend on D∖S while climbing on S.

    Loss: α·CE(D∖S) − (1−α)·CE(S), batches of S cycling along one pass over D∖S. Defaults: 5 epochs at
    rate .01 for a recipe of 30 at .1 (Zhao et al. 2024, official repository); α at the low end of the
    published grid .95–.9999, which climbs most. GradDiff of language models, CE(D∖S) − CE(S) (Liu et al. 2022,
    arXiv 2203.12817), is that of α = 1/2 at twice the rate.
    """

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del aux, i, key
        forget, retain = batches["forget"], batches["retain"]
        kept = cross_entropy(net(retain.x), retain.y).mean()
        lost = cross_entropy(net(forget.x), forget.y).mean()
        return alpha * kept - (1 - alpha) * lost

    return Method(step, epochs, lr, passes=joint_pass)


@method(
    name="kl_minimization",
    family="ascent",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="maini2024tofu",
    equation="KL Minimization: −CE(S) + KL(θ_o ‖ θ) on D∖S",
    space={"forget_weight": (0.01, 10.0), "retain_weight": (0.1, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
    several=True,
)
def kl_minimization(
    *, forget_weight: float = 1.0, retain_weight: float = 1.0, epochs: float = 1 / 6, lr: float = 0.1
) -> Method:
    """Climb on S while staying with what the original says on D∖S: GradDiff with a divergence.

    Loss: −a·CE(S) + w·KL(softmax(z_o) ‖ softmax(z)) on D∖S, batches of S cycling along one pass over D∖S; the
    labels of D∖S are not read. `neggrad_plus` has CE(D∖S) instead. Defaults: a = w = 1 (Maini et al. 2024, arXiv
    2401.06121, and a widely used code base, where it is the KL of GradDiff); epochs and rate of `neggrad_plus`, as
    none are published for SGD. The climb has no floor, and the KL has no slope where it starts: with large
    rates the model is destroyed. Deviation: the KL is of the answer alone, as in that code base, where the
    authors take every token of a text.
    """

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        return State(net.params, net.buffers), lesson(net, given.retain.x)

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        forget, retain = batches["forget"], batches["retain"]
        kept = divergence(aux[retain.position], net(retain.x), retain.y).mean()
        lost = cross_entropy(net(forget.x), forget.y).mean()
        return retain_weight * kept - forget_weight * lost

    return Method(step, epochs, lr, prepare=prepare, passes=joint_pass)


def draw_wrong_labels(net: Net, given: Given, key: Tensor) -> tuple[State, Tensor]:
    """The model as it is, and y′ ≠ y for each example of S [n], uniform over the other classes."""
    forget, state = given.forget, State(net.params, net.buffers)
    classes = net(forget.x[:1]).shape[-1]
    shift = 1 + (uniform(key, len(forget.y)) * (classes - 1)).to(torch.int64)
    return state, (forget.y + shift) % classes


def fit_labels(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
    """CE(S, y′) on a batch of S, with the labels of `draw_wrong_labels` in `aux`; CE(D∖S) on one of D∖S."""
    del i, key
    if "forget" in batches:
        batch = batches["forget"]
        return cross_entropy(net(batch.x), aux[batch.position]).mean()
    return cross_entropy(net(batches["retain"].x), batches["retain"].y).mean()


@method(
    name="random_label",
    family="relabelling",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="golatkar2020eternal",
    equation="CE(S, random y′ ≠ y) + CE(D∖S)",
    space={"lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
)
def random_label(*, epochs: float = 1 / 3, lr: float = 1.0) -> Method:
    """Fine-tune with a random wrong label on each example of S.

    Loss: CE(S, y′) on a pass over S, then CE(D∖S) on a pass over D∖S, every epoch; y′ ≠ y uniform over
    the other classes, drawn once per model. Defaults: 10 epochs at rate .1 for a recipe of 30 at .1
    (Zhao et al. 2024, official repository). Deviation: that code draws new labels in every batch and
    may draw the true one; here y′ never equals y and stays, as in Golatkar et al. (2020).
    """
    return Method(fit_labels, epochs, lr, prepare=draw_wrong_labels, passes=forget_then_retain)
