"""Methods that teach other inputs for the labels of S, or other labels for S."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import grad

from unweave._errors import ApplicabilityError, SpecError
from unweave.learners.contract import Params, State
from unweave.learners.noise import fold_in, normal, uniform
from unweave.methods.baselines import fit_retain
from unweave.methods.contract import (
    Aux,
    Batch,
    Examples,
    Given,
    Method,
    Net,
    forget_pass,
    joint_pass,
    method,
    retain_pass,
)
from unweave.methods.layers import blocks
from unweave.methods.losses import cross_entropy

_AT_ONCE = 256


def _pooled(x: Tensor) -> tuple[int, ...]:
    """Axes over which features are alike: the rows of a table [n, d]; all axes of images, rows and pixels."""
    return (0,) if x.ndim == 2 else tuple(range(x.ndim))


# ---- noise in place of S ----


def error_maximising_noise(
    net: Net, noise: Tensor, y: Tensor, *, centre: Tensor, unit: Tensor, steps: int, lr: float, penalty: float
) -> Tensor:
    """Inputs on which a net is as wrong as can be: max_N CE(f(centre + unit·N), y) − penalty·‖N‖², by Adam.

    Args:
        net: The model, in evaluation.
        noise: Where each starts [n, ...].
        y: The label each is to be unlike [n].
        centre: What noise 0 is, in features.
        unit: What noise 1 is more than that.
        steps: Of Adam with β = (.9, .999) and ε = 1e-8, on each input by itself.
        lr: Its rate.
        penalty: Weight of the squared length.

    Returns:
        Inputs [n, ...], in features: larger losses are what is sought.

    Source: Tarun et al. (2021), arXiv 2111.08947.
    """

    def loss(noise: Tensor, y: Tensor) -> Tensor:
        logits = Net(net.learner, State(net.params, net.buffers), train=False)(centre + unit * noise)
        return (penalty * noise.flatten(1).square().sum(1) - cross_entropy(logits, y)).sum()

    found: list[Tensor] = []
    for part, labels in zip(noise.split(_AT_ONCE), y.split(_AT_ONCE), strict=True):
        mean = square = torch.zeros_like(part)
        for step in range(1, steps + 1):
            slope = grad(loss)(part, labels)
            mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope.square()
            size = (square / (1 - 0.999**step)).sqrt() + 1e-8
            part = part - lr * (mean / (1 - 0.9**step)) / size
        found.append(centre + unit * part)
    return torch.cat(found)


@method(
    name="unsir",
    family="relabelling",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="tarun2021unsir",
    equation="max CE(N, y) − w·‖N‖² over N; impair with N, repair",
    space={"noise_steps": (0.0, 100.0), "lr": (0.01, 2.0), "repair_lr": (0.01, 2.0), "epochs": (0.025, 0.25)},
    alters=True,
)
def unsir(
    *,
    noise_steps: float = 40.0,
    noise_lr: float = 0.1,
    penalty: float = 0.1,
    epochs: float = 1 / 40,
    lr: float = 2.0,
    repair_lr: float = 1.0,
) -> Method:
    """Teach noise the labels of S, then repair on D∖S: the features of S are never read.

    For each label y in S a noise N, by Adam: max CE(θ_o; N, y) − w·‖N‖², w being `penalty`. Impair: CE on D∖S
    together with noise, labelled y; repair: CE(D∖S). Defaults: 40 steps of Adam at rate .1, w = .1, one epoch of
    impairing at twice the rate of training and one of repairing at that rate, for a training of 40 epochs (Tarun
    et al. 2021, arXiv 2111.08947, official notebook: .02, .01 and .01, with Adam). The method was made for whole
    classes, and says nothing of a part of one: what it makes forgotten is all that has a label found in S, and
    D∖S, which the authors take from the other classes alone, teaches it again. Here each example of S is replaced
    by a noise of its own, so that labels are as frequent as in S; steps go over D∖S, each with the next batch of
    noise. Deviations: SGD, where the authors have Adam; the notebook labels the noise of every class 0, here
    each has its own. N counts in standard deviations of D∖S from its mean, per column of a table and over all
    pixels of images, where the notebook standardises the colours. At an equal rise no model stops while it is
    impaired: one that is beyond the rise then stops on its way back in the repair.

    Raises:
        SpecError: if `noise_steps` is not a whole number.
    """
    if noise_steps < 0 or noise_steps != int(noise_steps):
        raise SpecError(f"`methods`: unsir.noise_steps is {noise_steps}; expected a whole number of steps.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        x, y = given.forget
        known = given.retain.x
        centre, unit = known.mean(_pooled(known)), known.std(_pooled(known), correction=0)
        start = normal(key, *x.shape)
        noise = error_maximising_noise(
            net, start, y, centre=centre, unit=unit, steps=int(noise_steps), lr=noise_lr, penalty=penalty
        )
        return State(net.params, net.buffers), noise

    def impair(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        forget, retain = batches["forget"], batches["retain"]
        # One batch: norms see both together, as in a shuffled union.
        x, y = torch.cat([aux[forget.position], retain.x]), torch.cat([forget.y, retain.y])
        return cross_entropy(net(x), y).mean()

    repair = Method(fit_retain, epochs, repair_lr, passes=retain_pass)
    return Method(
        impair,
        epochs,
        lr,
        prepare=prepare,
        passes=joint_pass,
        prepare_cost=lambda n_forget, n_retain: int(noise_steps) * n_forget,
        then=repair,
        scaffold=True,
    )


# ---- the class beyond the nearest boundary, or a class that is none ----


def nearest_wrong_class(net: Net, examples: Examples, *, bound: float) -> Tensor:
    """The class, other than its label, that each example comes nearest to when it is pushed away from its label.

    argmax_{c ≠ y} f_c(x′), x′ = x + bound·range·sign(∂CE(x, y)/∂x) within the range of the features: one step of
    the fast gradient sign method.

    Args:
        net: The model, in evaluation.
        examples: x [n, ...], y [n].
        bound: Length of the step per feature, in ranges of the features of the set: of each column of a table,
            of all pixels of images together.

    Returns:
        Classes [n], never y.

    Source: Chen et al. (2023), arXiv 2303.11570, boundary shrink.
    """

    def logits(x: Tensor) -> Tensor:
        return Net(net.learner, State(net.params, net.buffers), train=False)(x)

    low, high = examples.x.amin(_pooled(examples.x)), examples.x.amax(_pooled(examples.x))
    found: list[Tensor] = []
    for x, y in zip(examples.x.split(_AT_ONCE), examples.y.split(_AT_ONCE), strict=True):
        slope = grad(lambda x, y: cross_entropy(logits(x), y).sum())(x, y)
        pushed = torch.minimum(torch.maximum(x + bound * (high - low) * slope.sign(), low), high)
        others = logits(pushed).scatter(1, y[:, None], float("-inf"))
        found.append(others.argmax(1))
    return torch.cat(found)


@method(
    name="boundary_shrink",
    family="relabelling",
    needs={"original", "forget"},
    authors_aim="untraining",
    cite="chen2023boundary",
    equation="CE(S, y′), y′ = argmax_{c ≠ y} f_c(x + ε·sign ∂CE/∂x)",
    space={"bound": (0.01, 1.0), "lr": (0.001, 1.0), "epochs": (0.05, 0.5)},
    alters=True,
)
def boundary_shrink(*, bound: float = 0.1, epochs: float = 0.2, lr: float = 0.1) -> Method:
    """Give each example of S the label of the nearest other class.

    y′ = argmax_{c ≠ y} f_c(x + ε·sign ∂CE(θ_o; x, y)/∂x), ε being `bound` in ranges of the features; then
    CE(S, y′) on S alone. Defaults: ε = .1 and 10 epochs of 50 (Chen et al. 2023, arXiv 2303.11570, official
    code). Its rate is a thousandth of that of training, over 79 batches of S per epoch; a small S has one batch,
    and a tenth of the rate goes as far in its few steps. Deviations: where the push does not change the class
    that code relabels with y itself, while the paper asks for an incorrect one, as here; pixels are not rounded
    to 1/255. Nothing holds D∖S in place, and the authors' S was a whole class.

    Raises:
        SpecError: if `bound` is below 0.
    """
    if not 0 <= bound:
        raise SpecError(f"`methods`: boundary_shrink.bound is {bound}; expected a number ≥ 0.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        return State(net.params, net.buffers), nearest_wrong_class(net, given.forget, bound=bound)

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        x, _, position = batches["forget"]
        return cross_entropy(net(x), aux[position]).mean()

    return Method(
        step,
        epochs,
        lr,
        prepare=prepare,
        passes=forget_pass,
        prepare_cost=lambda n_forget, n_retain: n_forget,
    )


def _last_layer(net: Net) -> dict[str, str]:
    """What the rows of the last layer are called: its weight and, if it has one, its bias."""
    last = blocks(net.params)[-1]
    found = {name.rpartition(".")[2]: name for name in last}
    shapes = {part: tuple(net.params[name].shape) for part, name in found.items()}
    classes = net.learner.spec.classes
    if not found.keys() <= {"weight", "bias"} or any(shape[0] != classes for shape in shapes.values()):
        raise ApplicabilityError(
            f"boundary_expand adds a row to a last layer of one weight and one bias, {classes} rows each; "
            f"the last layer here is {', '.join(last)}. Choose another method, such as boundary_shrink."
        )
    return found


def _with_shadow(net: Net, row: Params, x: Tensor) -> Tensor:
    """Logits [b, classes + 1] of a net whose last layer has one more row."""
    names = _last_layer(net)
    net.params = net.params | {name: torch.cat([net.params[name], row[part]]) for part, name in names.items()}
    return net(x)


@method(
    name="boundary_expand",
    family="relabelling",
    needs={"original", "forget"},
    authors_aim="untraining",
    cite="chen2023boundary",
    equation="CE(S, shadow class C + 1), which is pruned afterwards",
    space={"lr": (0.001, 1.0), "epochs": (0.05, 0.5)},
)
def boundary_expand(*, epochs: float = 0.2, lr: float = 0.1) -> Method:
    """Move S into a class of its own that does not exist, and take that class away again.

    Loss: CE(S, C + 1) of a net of C + 1 outputs, whose last one is drawn anew and trained along by SGD with the
    recipe's momentum and weight decay; θ is what is left without it. Neither the labels of S nor D∖S are read.
    Defaults: those of `boundary_shrink` (Chen et al. 2023, arXiv 2303.11570, official code: 10 epochs of 50 at a
    thousandth of the rate of training).
    Deviations: the row of the shadow class is drawn by the law of the start of unweave's nets,
    U(−1/√fan_in, 1/√fan_in), also where the learner has another; where the recipe has AdamW the row takes its
    steps by SGD all the same, at the same rate as the net.

    Raises:
        ApplicabilityError: if the last layer is not one weight, and bias, with a row for each class.
    """

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del given
        names = _last_layer(net)
        bound = net.params[names["weight"]].shape[1] ** -0.5
        row: Params = {}
        for place, (part, name) in enumerate(sorted(names.items())):
            like = net.params[name][:1]
            row[part] = (2 * uniform(fold_in(key, place), *like.shape) - 1).to(like) * bound
        still = {part: torch.zeros_like(value) for part, value in row.items()}
        return State(net.params, net.buffers), (row, row, still)

    # The row takes its step together with the net: what the net sees in a step is the row before it.
    def respond(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Aux:
        del i, key
        _, row, speed = aux
        recipe, x, params, shadow = net.learner.recipe, batches["forget"].x, net.params, _labels(net, batches)

        def loss(row: Params) -> Tensor:
            net.params = params
            return cross_entropy(_with_shadow(net, row, x), shadow).mean()

        slope = grad(loss)(row)
        decay, rate = recipe.weight_decay, lr * recipe.lr
        speed = {part: recipe.momentum * v + slope[part] + decay * row[part] for part, v in speed.items()}
        return row, {part: value - rate * speed[part] for part, value in row.items()}, speed

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        shadow = _labels(net, batches)
        return cross_entropy(_with_shadow(net, aux[0], batches["forget"].x), shadow).mean()

    return Method(step, epochs, lr, prepare=prepare, passes=forget_pass, respond=respond)


def _labels(net: Net, batches: Mapping[str, Batch]) -> Tensor:
    """The shadow class, for every example of a batch of S."""
    return torch.full_like(batches["forget"].y, net.learner.spec.classes)
