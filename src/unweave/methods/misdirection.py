"""Methods that work on vectors inside of the net: what it says follows from there."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import grad

from unweave._errors import ApplicabilityError, SpecError
from unweave.learners.contract import Params, State
from unweave.learners.noise import uniform
from unweave.methods.contract import Aux, Batch, Given, Method, Net, joint_pass, method
from unweave.methods.losses import answer_mean

_AT_ONCE = 256


def misdirection(vectors: Tensor, target: Tensor, y: Tensor) -> Tensor:
    """‖h − target‖², per example: a mean over the tokens of an answer.

    Args:
        vectors: h [b, width] or [b, A, width].
        target: [width], or shaped like the vectors.
        y: Labels [b] or [b, A], of which nothing is read but where there are none.

    Returns:
        [b], ≥ 0.

    Source: Li et al. (2024), arXiv 2403.03218, both terms; official code divides by the width, too.

    Example:
        >>> misdirection(torch.zeros(1, 2), torch.tensor([3.0, 4.0]), torch.tensor([0])).item()
        25.0
    """
    return answer_mean((vectors - target).square().sum(-1), y)


def _vectors(net: Net, x: Tensor) -> Tensor:
    return torch.cat([net.middle(some) for some in x.split(_AT_ONCE)]).detach()


def _reached(net: Net, x: Tensor, direction: Tensor) -> Params:
    """1 for parameters on which the vectors of these examples depend, and 0 for those of later layers."""

    def along(params: Params, x: Tensor) -> Tensor:
        return (Net(net.learner, State(params, net.buffers), train=False).middle(x) @ direction).sum()

    found = {name: torch.zeros_like(value) for name, value in net.params.items()}
    for some in x.split(_AT_ONCE):
        for name, slope in grad(along)(net.params, some).items():
            found[name] = torch.maximum(found[name], (slope != 0).any() * torch.ones_like(slope))
    return found


@method(
    name="rmu",
    family="misdirection",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="li2024wmdp",
    equation="RMU: ‖h_θ − c·u‖² on S + α·‖h_θ − h_o‖² on D∖S",
    space={"coefficient": (0.5, 20.0), "retain_weight": (0.1, 100.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
    several=True,
)
def rmu(*, coefficient: float = 5.0, retain_weight: float = 1.0, epochs: float = 1 / 6, lr: float = 0.1) -> Method:
    """Representation misdirection: half-way through the net all of S becomes one random vector.

    Loss: (‖h_θ(x) − c·u‖² on S + α·‖h_θ(x) − h_o(x)‖² on D∖S)/s², batches of S cycling along one pass over D∖S.
    h are vectors half-way through the net, for a net without such the features its last layer reads; u is a
    random unit vector with positive entries, one for each model, and s² the mean of ‖h_o‖² on S. Labels are not
    read. Layers after h stay as they are, weight decay included: only those up to it have a gradient, and
    only they move. Defaults: c five times as long as the vectors are, α = 1, epochs and rate of `npo`; none are
    published for SGD. Deviations from Li et al. (2024, arXiv 2403.03218), who tune for one layer of one model
    (c = 6.5, α = 1200, with AdamW): c is relative, `coefficient`·s, to the length that vectors have in the
    original, as Dang et al. (2025, arXiv 2408.06223) have it for each example by itself; dividing by s² makes
    rates mean the same for every net; all layers up to h move, where the authors take three matrices; h is that
    of the net in use, without dropout and with the running statistics of its norms.

    Raises:
        SpecError: if `coefficient` is not above 0.
        ApplicabilityError: for a net without a hidden layer.
    """
    if not coefficient > 0:
        raise SpecError(f"`methods`: rmu.coefficient is {coefficient}; expected a number above 0.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        if net.learner.dense == 0:
            raise ApplicabilityError("It steers what is inside of a net, and this one has no hidden layer.")
        forget, retain = _vectors(net, given.forget.x), _vectors(net, given.retain.x)
        direction = uniform(key, forget.shape[-1]).to(forget)
        direction = direction / direction.norm()
        square = answer_mean(forget.square().sum(-1), given.forget.y).mean()
        square = square.clamp(min=torch.finfo(square.dtype).tiny)
        aux = retain, coefficient * square.sqrt() * direction, square, _reached(net, given.forget.x, direction)
        return State(net.params, net.buffers), aux

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        original, target, square, _ = aux
        forget, retain = batches["forget"], batches["retain"]
        lost = misdirection(net.middle(forget.x), target, forget.y).mean()
        kept = misdirection(net.middle(retain.x), original[retain.position], retain.y).mean()
        return (lost + retain_weight * kept) / square

    return Method(
        step,
        epochs,
        lr,
        prepare=prepare,
        update_mask=lambda aux: aux[3],
        passes=joint_pass,
        prepare_cost=lambda n_forget, n_retain: n_forget,
    )
