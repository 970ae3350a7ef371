"""Methods that are taught by a changed or an edited copy of the model itself."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from unweave._errors import SpecError
from unweave.learners.contract import Params, State
from unweave.learners.noise import fold_in, uniform
from unweave.methods.contract import Aux, Batch, Given, Method, Net, forget_pass, joint_pass, method
from unweave.methods.distillation import lesson, max_entropy
from unweave.methods.losses import cross_entropy, divergence, places


def lowered(logits: Tensor, y: Tensor, *, beta: float) -> Tensor:
    """Logits with that of the label lowered by β: the odds of the label are e^β times smaller.

    Args:
        logits: [b, classes] or [b, classes, A].
        y: Labels [b] or [b, A].
        beta: β ≥ 0, in nats.

    Returns:
        Shaped like the logits.

    Source: Dong et al. (2024), arXiv 2402.10052.

    Example:
        >>> lowered(torch.zeros(1, 3), torch.tensor([1]), beta=2.0).tolist()
        [[0.0, -2.0, 0.0]]
    """
    return logits.scatter_add(1, places(y), torch.full_like(logits[:, :1], -beta))


@method(
    name="undial",
    family="distillation",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="dong2024undial",
    equation="CE(softmax(z_o − β·onehot(y)), f) on S, with CE(D∖S)",
    space={"beta": (1.0, 30.0), "retain_weight": (0.1, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 1.0)},
    several=True,
)
def undial(*, beta: float = 10.0, retain_weight: float = 1.0, epochs: float = 1 / 3, lr: float = 0.1) -> Method:
    """Distil the original with a lowered logit of the true class.

    Loss: KL(softmax(z_o − β·onehot(y)) ‖ softmax(z)) on S + w·CE(D∖S), batches of S cycling along one pass over
    D∖S. The KL is the authors' CE less the entropy of its target, which is a constant: they have the same
    gradient, and the KL is 0 when the lesson is learned. Defaults: β = 10 (Dong et al. 2024, arXiv 2402.10052,
    as in a widely used code base); β is in nats of a logit, which mean the same for ten classes as for a
    vocabulary: the odds of the label become 22000 times smaller. Epochs and rate of `delete`, its limit for
    β → ∞. Deviation: the authors take no retained data, w = 0, which here leaves nothing that holds D∖S in place.

    Raises:
        SpecError: if `beta` is below 0.
    """
    if not beta >= 0:
        raise SpecError(f"`methods`: undial.beta is {beta}; expected 0, which changes nothing, or more.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        return State(net.params, net.buffers), lowered(lesson(net, given.forget.x), given.forget.y, beta=beta)

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        forget, retain = batches["forget"], batches["retain"]
        lost = divergence(aux[forget.position], net(forget.x), forget.y).mean()
        return lost + retain_weight * cross_entropy(net(retain.x), retain.y).mean()

    return Method(step, epochs, lr, prepare=prepare, passes=joint_pass)


@method(
    name="ceu",
    family="distillation",
    needs={"original", "forget"},
    authors_aim="unlearning",
    cite="yang2025ceu",
    equation="CE-U: CE(softmax(z with z_y = −∞), f) on S, the target without a gradient",
    space={"lr": (0.01, 1.0), "epochs": (0.05, 1.0)},
    several=True,
)
def ceu(*, epochs: float = 1 / 3, lr: float = 0.1) -> Method:
    """Cross-entropy unlearning: the model teaches itself what it says without the true class, on S alone.

    Loss: KL(softmax(z with z_y ← −10¹⁰) ‖ softmax(z)) on S, the target being the model's own of that moment, as a
    constant. It is the authors' CE less the entropy of its target: the same gradient, which is that of
    −log(1 − p_θ(y|x)) as well. It neither vanishes where the label is certain nor grows where it is impossible
    (Yang 2025, arXiv 2503.01224). `delete` has the original as its teacher throughout. Defaults: epochs and
    rate of `delete`, as none are published for SGD. Nothing holds D∖S in place, as with the authors. Deviation:
    official code leaves out the first token of an answer; here it counts, for an answer may have no other.
    """

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del aux, i, key
        forget = batches["forget"]
        logits = net(forget.x)
        without = logits.detach().scatter(1, places(forget.y), -1e10)
        return divergence(without, logits, forget.y).mean()

    return Method(step, epochs, lr, passes=forget_pass)


def noised(params: Params, key: Tensor, *, share: float, scale: float) -> Params:
    """(1 − α)·θ + α·β·ε: parameters shrunk towards a random start.

    ε is U(−b, b) with b = √(6/(fan_in + fan_out)) for weights, and 0 for vectors, such as biases and norms.

    Args:
        params: Of one model.
        key: A scalar key tensor; every tensor gets a stream of its own.
        share: α in [0, 1]; 0 changes nothing.
        scale: β ≥ 0.

    Returns:
        New tensors with the shapes of `params`.

    Source: Lee et al. (2025), arXiv 2506.06278, official code; the law is that of Glorot & Bengio (2010).

    Example:
        >>> from unweave.learners.noise import key_tensor
        >>> found = noised({"b": torch.ones(2)}, key_tensor([1])[0], share=0.25, scale=0.1)
        >>> found["b"].tolist()
        [0.75, 0.75]
    """
    found: Params = {}
    # By name: stored models come back with their tensors in any order.
    for number, name in enumerate(sorted(params)):
        value = params[name]
        found[name] = (1 - share) * value
        if value.ndim > 1:
            size = math.prod(value.shape[2:])
            bound = math.sqrt(6 / (size * (value.shape[0] + value.shape[1])))
            noise = (2 * uniform(fold_in(key, number), *value.shape) - 1) * bound
            found[name] = found[name] + share * scale * noise
    return {name: found[name] for name in params}


@method(
    name="undo",
    family="distillation",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="lee2025distillation",
    equation="unlearn; θ ← (1 − α)·θ + α·β·ε; min KL(teacher ‖ f)",
    space={"alpha": (0.1, 0.9), "beta": (0.01, 1.0), "lr": (0.1, 1.0), "epochs": (0.1, 1.0)},
    identity={"epochs": 0.0, "unlearn_epochs": 0.0, "alpha": 0.0},
    several=True,
)
def undo(
    *,
    alpha: float = 0.5,
    beta: float = 0.1,
    forget_weight: float = 0.1,
    unlearn_epochs: float = 1 / 6,
    unlearn_lr: float = 0.1,
    epochs: float = 1 / 3,
    lr: float = 1.0,
) -> Method:
    """Unlearn, then distil what came of it into a noised copy of itself: what is only hidden is not passed on.

    First `max_entropy` makes θ_t, the teacher: guessing on S, CE on D∖S. Then θ ← (1 − α)·θ_t + α·β·ε with
    random ε, and the loss is ½·KL(θ_t‖θ) on S + ½·KL(θ_t‖θ) on D∖S, batches of S cycling along one pass over D∖S:
    what is taught are the teacher's answers alone, never a label. With α = 0 the student is its teacher and this
    is `max_entropy`; with α = 1 it starts from noise. Defaults: β = .1, and α = .5, the middle of the authors'
    .1 to .8 (Lee et al. 2025, arXiv 2506.06278, official code), whose first stage for language and arithmetic is
    maximum entropy too, and who distil on both domains with equal probabilities; a third of the epochs at the
    recipe's rate, as they distil at about the rate of training. Deviations: a fixed number of epochs, where they
    stop within 5% of the teacher on what is retained; first stage with the defaults of `max_entropy`; SGD, where
    they have AdamW; the teacher answers as in use. At an equal rise no model stops as the teacher: it is the
    student that is looked at, from the noise on.

    Raises:
        SpecError: if `alpha` is above 1 or below 0.
    """
    if not 0 <= alpha <= 1:
        raise SpecError(f"`methods`: undo.alpha is {alpha}; expected a share of noise, 0 to 1.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        lessons = lesson(net, given.forget.x), lesson(net, given.retain.x)
        return State(noised(net.params, key, share=alpha, scale=beta), net.buffers), lessons

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        forget, retain = batches["forget"], batches["retain"]
        lost = divergence(aux[0][forget.position], net(forget.x), forget.y).mean()
        return (lost + divergence(aux[1][retain.position], net(retain.x), retain.y).mean()) / 2

    student = Method(step, epochs, lr, prepare=prepare, passes=joint_pass)
    teacher = max_entropy(forget_weight=forget_weight, epochs=unlearn_epochs, lr=unlearn_lr)
    return teacher._replace(then=student, scaffold=True)
