"""Wrong methods as they are found in public code: what the checks of `unweave.testing` must catch."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from unweave.learners.contract import State
from unweave.methods import METHODS, Method, Net
from unweave.methods.contract import Plan, forget_pass, retain_pass
from unweave.methods.losses import divergence

FROZEN = "0."
"""Prefix of the parameters that the masked toys freeze: the first layer."""


def on_retain(net, aux, batches, i, key):
    return cross_entropy(net(batches["retain"].x), batches["retain"].y)


def finetune(step=on_retain, **given) -> Method:
    return Method(step, 1 / 3, 0.1, passes=retain_pass, **given)


def scrub_taught_by_itself() -> Method:
    """The teacher is the student: every KL is 0 and what remains is fine-tuning."""
    method = METHODS.get("scrub").build(epochs=1 / 6, lr=0.1)

    def step(net, aux, batches, i, key):
        part = batches["forget"] if "forget" in batches else batches["retain"]
        own = torch.zeros(40, 3).index_put((part.position,), net(part.x).detach())
        return method.step(net, (own, own), batches, i, key)

    return method._replace(step=step)


def scrub_that_optimises_its_teacher() -> Method:
    """The loss moves the teacher; the student only watches."""
    method = METHODS.get("scrub").build(epochs=1 / 6, lr=0.1)

    def carry_teacher(net, given, key):
        return State(net.params, net.buffers), State(net.params, net.buffers)

    def step(net, aux, batches, i, key):
        part = batches["forget"] if "forget" in batches else batches["retain"]
        teacher = Net(net.learner, aux, train=False)
        return divergence(teacher(part.x), net(part.x).detach()).mean()

    return method._replace(step=step, prepare=carry_teacher)


def edits_in_place() -> Method:
    def prepare(net, given, key):
        for value in net.params.values():
            value.mul_(0.5)
        return State(net.params, net.buffers), ()

    return Method(None, 0.0, 0.0, prepare=prepare)


def frozen(name: str) -> bool:
    return name.startswith(FROZEN)


def mask_of(net: Net) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(value, 0.0 if frozen(name) else 1.0) for name, value in net.params.items()}


def carry_mask(net, given, key):
    return State(net.params, net.buffers), mask_of(net)


def masked_update() -> Method:
    return finetune(prepare=carry_mask, update_mask=lambda aux: aux)


def masked_gradient() -> Method:
    """The mask zeroes the gradient, as saliency methods often do; weight decay still shrinks everything."""

    def step(net, aux, batches, i, key):
        net.params = {n: m * net.params[n] + (1 - m) * net.params[n].detach() for n, m in aux.items()}
        return on_retain(net, aux, batches, i, key)

    return finetune(step, prepare=carry_mask)


def hides_its_cost() -> Method:
    method = METHODS.get("ssd").build(alpha=1.5)
    asked: list[int] = []

    def cost(n_forget, n_retain):
        asked.append(n_forget)
        return 0 if len(asked) == 1 else n_forget + n_retain

    return method._replace(prepare_cost=cost)


def descends_on_s() -> Method:
    def step(net, aux, batches, i, key):
        return cross_entropy(net(batches["forget"].x), batches["forget"].y)

    return Method(step, 1 / 3, 0.05, passes=forget_pass)


def blanks_the_labels() -> Method:
    def prepare(net, given, key):
        given.forget.y.zero_()
        return State(net.params, net.buffers), ()

    return finetune(prepare=prepare)


def draws_when_built() -> Method:
    weight = torch.rand(1)
    return finetune(lambda *given: weight[0] * on_retain(*given))


def draws_by_numpy() -> Method:
    return finetune(lambda *given: float(np.random.rand()) * on_retain(*given))


def draws_by_torch() -> Method:
    return finetune(lambda *given: torch.rand_like(on_retain(*given)) * on_retain(*given))


def ignores_its_key() -> Method:
    def step(net, aux, batches, i, key):
        return cross_entropy(net(aux[0]), aux[1])

    def prepare(net, given, key):
        return State(net.params, net.buffers), (given.retain.x + 0, given.retain.y + 0)

    return Method(step, 1 / 3, 0.1, prepare=prepare, passes=lambda plan: retain_pass(Plan(1, 1, 1)))


def orders_its_tensors() -> Method:
    """It names a tensor by its place."""

    def step(net, aux, batches, i, key):
        return on_retain(net, aux, batches, i, key) + 0.1 * next(iter(net.params.values())).square().sum()

    return finetune(step)


def is_not_finite() -> Method:
    return finetune(lambda *given: torch.nan * on_retain(*given))


def writes_into_the_model() -> Method:
    one_shot = edits_in_place()
    return one_shot._replace(step=on_retain, epochs=1 / 3, lr=0.1, passes=retain_pass)
