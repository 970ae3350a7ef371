"""One-shot edits that shrink the parameters S needs more than the rest does."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad, vmap

from unweave.learners.contract import Params, State
from unweave.methods.contract import Aux, Examples, Given, Method, Net, method
from unweave.methods.losses import cross_entropy
from unweave.training.dense import dense_gradients


def importance(net: Net, examples: Examples, *, chunk: int = 8) -> Params:
    """Diagonal of the empirical Fisher information: mean over examples of the squared gradient of CE.

    F = (1/n)·Σ_i (∂CE(x_i, y_i)/∂θ)², per example (a squared mean over a batch would not be F).

    Args:
        net: The model.
        examples: x [n, ...], y [n].
        chunk: Examples differentiated at once; a plain relu net needs no gradients of single examples.

    Returns:
        Tensors shaped like the parameters, ≥ 0.
    """
    if net.learner.dense is not None:
        x, depth = net.encode(examples.x), net.learner.dense
        squares = dense_gradients(net.params, x, examples.y, depth=depth, squared=True)
        return {name: value / len(examples.y) for name, value in squares.items()}

    def loss(params: Params, x: Tensor, y: Tensor) -> Tensor:
        state = State(params, net.buffers)
        return cross_entropy(Net(net.learner, state, train=False)(x[None]), y[None])[0]

    per_example = vmap(grad(loss), in_dims=(None, 0, 0))
    total = {name: torch.zeros_like(value) for name, value in net.params.items()}
    for x, y in zip(examples.x.split(chunk), examples.y.split(chunk), strict=True):
        for name, value in per_example(net.params, x, y).items():
            total[name] = total[name] + value.square().sum(0)
    return {name: value / len(examples.y) for name, value in total.items()}


@method(
    name="ssd",
    family="dampening",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="foster2024ssd",
    equation="equations 4 and 5",
    space={"alpha": (1.0, 100.0), "strength": (0.1, 5.0)},
    identity={"alpha": 1e30},
)
def ssd(*, alpha: float = 10.0, strength: float = 1.0) -> Method:
    """Selective synaptic dampening: shrink the parameters that matter to S far more than to D.

    Where F_S > α·F_D: θ ← min(λ·F_D/F_S, 1)·θ, with F the diagonal Fisher information (λ is
    `strength`). Defaults α = 10, λ = 1 of the authors' ResNet-18 setting. Deviation: F is computed per
    example, as the formula says. On a random iid S the ratio is about 1 and nothing changes.
    """

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        forget, retain = given.forget, given.retain
        of_forget, of_retain = importance(net, forget), importance(net, retain)
        n_forget, n_retain = len(forget.y), len(retain.y)
        params: Params = {}
        for name, value in net.params.items():
            # F_D over D = S ∪ (D∖S), from the two parts.
            of_all = (n_forget * of_forget[name] + n_retain * of_retain[name]) / (n_forget + n_retain)
            factor = (strength * of_all / of_forget[name].clamp_min(1e-30)).clamp_max(1.0)
            params[name] = torch.where(of_forget[name] > alpha * of_all, factor * value, value)
        return State(params, net.buffers), ()

    return Method(None, 0.0, 0.0, prepare=prepare, prepare_cost=lambda n_forget, n_retain: n_forget + n_retain)
