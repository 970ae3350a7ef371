"""Controls: edits that fool one kind of metric on purpose, to see which metrics can be fooled."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unweave.learners.contract import State
from unweave.methods.contract import Aux, Batch, Given, Method, Net, joint_pass, method
from unweave.methods.layers import blocks
from unweave.methods.losses import divergence

_AT_ONCE = 256


@method(
    name="head_distill",
    family="control",
    needs={"original", "forget", "retain"},
    authors_aim=None,
    cite="jeon2024information",
    equation="KL(softmax(z_o with z_y = −∞) ‖ f) on S + KL(f_o ‖ f) on D∖S, over the last layer alone",
    space={"forget_weight": (0.1, 10.0), "lr": (0.01, 3.0), "epochs": (0.05, 1.0)},
)
def head_distill(*, forget_weight: float = 1.0, epochs: float = 1 / 3, lr: float = 0.3) -> Method:
    """A control, no unlearning: passes black-box metrics, fails any test of the representation.

    Loss: w·KL(softmax(z_o with z_y ← −10¹⁰) ‖ softmax(z)) on S + KL(softmax(z_o) ‖ softmax(z)) on D∖S, batches of
    S cycling along one pass over D∖S. Only the last layer moves; all below, hence every feature of every input,
    stays bitwise the original's, and another head finds there what it knew. Whoever judges a method by outputs
    alone cannot tell this from unlearning, which is what it is for (head distillation of Jeon et al. 2024, arXiv
    2405.17878; SalUn and others score below it on the usual metrics there). Defaults: chosen here, w = 1 and a
    third of the recipe's epochs at .3 of its rate. Deviations: the label of each example of S is masked, and not
    a whole class; forward passes use running statistics.
    """

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        of_forget, of_retain = (
            torch.cat([net(some) for some in x.split(_AT_ONCE)]).detach() for x in (given.forget.x, given.retain.x)
        )
        lessons = of_forget.scatter(-1, given.forget.y[:, None], -1e10), of_retain
        head = blocks(net.params)[-1]
        mask = {name: torch.full_like(value, float(name in head)) for name, value in net.params.items()}
        return State(net.params, net.buffers), (lessons, mask)

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        (of_forget, of_retain), _ = aux
        forget, retain = batches["forget"], batches["retain"]
        lost = divergence(of_forget[forget.position], net.in_use(forget.x)).mean()
        kept = divergence(of_retain[retain.position], net.in_use(retain.x)).mean()
        return forget_weight * lost + kept

    return Method(step, epochs, lr, prepare=prepare, update_mask=lambda aux: aux[1], passes=joint_pass)
