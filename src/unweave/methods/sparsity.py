"""Fine-tuning under a penalty that shrinks what the retained data do not hold in place."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unweave.learners.contract import State
from unweave.methods.contract import Aux, Batch, Given, Method, Net, method, plan_for, retain_pass
from unweave.methods.losses import cross_entropy


@method(
    name="l1_sparse",
    family="sparsity",
    needs={"original", "retain"},
    authors_aim="untraining",
    cite="jia2023sparse",
    equation="equation 2, decayed over the epochs",
    space={"gamma": (1e-6, 1e-3), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
    several=True,
)
def l1_sparse(*, gamma: float = 1e-4, epochs: float = 1 / 3, lr: float = 0.1) -> Method:
    """Fine-tune on D∖S while an l₁ penalty shrinks every parameter.

    Loss: CE(D∖S) + γ·(1 − e/E)·‖θ‖₁ in epoch e = 0…E−1, over all parameters, biases included (Jia et al.
    2023, arXiv 2304.04934, official code). Defaults: 10 epochs at rate .01 for a recipe of 30 at .1 (Zhao et
    al. 2024, official repository); γ at the upper end of the published range 1e-6–1e-4. With γ = 0 this is
    `finetune`. Deviation: no epochs without a penalty at the end, an option of the official code; there are some
    where a budget gives a method that was built already more epochs than the E of its schedule.
    """

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        forget, retain = given.forget, given.retain
        plan = plan_for(epochs, net.learner.recipe, n_forget=len(forget.y), n_retain=len(retain.y))
        decay = 1 - torch.arange(plan.epochs, device=retain.x.device) / plan.epochs
        # The last entry is that of all steps after the schedule, of which a budget may make some.
        return State(net.params, net.buffers), torch.cat(
            [gamma * decay.repeat_interleave(plan.retain_batches), decay.new_zeros(1)]
        )

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del key
        norm = sum(value.abs().sum() for value in net.params.values())
        return (
            cross_entropy(net(batches["retain"].x), batches["retain"].y).mean() + aux[min(i, len(aux) - 1)] * norm
        )

    return Method(step, epochs, lr, prepare=prepare, passes=retain_pass)
