"""Methods that play against an adversary who tells S from examples no model has seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.func import grad
from torch.nn.functional import logsigmoid

from unweave._errors import SpecError
from unweave.learners.contract import Params, State
from unweave.learners.noise import fold_in, uniform
from unweave.methods.contract import Aux, Batch, Given, Method, Net, Pass, Plan, method
from unweave.methods.losses import cross_entropy
from unweave.methods.matched import alike

_ROUNDS = 10
_HIDDEN = 100


def _with_validation(plan: Plan) -> Sequence[Pass]:
    """Every epoch one pass over D∖S, each step together with batches of S and of the validation set (cycling)."""
    every: list[Pass] = ["all"]
    return every * (plan.epochs * plan.retain_batches)


def _attacked_at_last(plan: Plan) -> Sequence[Pass]:
    """Every epoch a pass over D∖S, and then as many joint steps as a pass over S takes."""
    kept: list[Pass] = ["retain"]
    every: list[Pass] = ["all"]
    return (kept * plan.retain_batches + every * plan.forget_batches) * plan.epochs


# ---- an attacker on the outputs ----


def scores(logits: Tensor, y: Tensor) -> Tensor:
    """What the attacker sees of each example: its logits and its loss [b, classes + 1].

    Example:
        >>> [round(number, 4) for number in scores(torch.zeros(1, 2), torch.tensor([1]))[0].tolist()]
        [0.0, 0.0, 0.6931]
    """
    return torch.cat([logits, cross_entropy(logits, y)[:, None]], dim=1)


def logistic(x: Tensor, member: Tensor, weight: Tensor, *, ridge: float, rounds: int = _ROUNDS) -> Tensor:
    """Coefficients of a logistic regression with intercept, by a fixed number of steps that can be differentiated.

    Maximises Σ w·log p(member|x) − ½·ridge·‖β‖², without the intercept in ‖β‖. A step is Newton's with the
    Hessian replaced by its bound ¼·Σ w·x·xᵀ + ridge, under which no step overshoots.

    Args:
        x: [n, d].
        member: 1 or 0 [n].
        weight: w ≥ 0 [n], summing to 1.
        ridge: > 0.
        rounds: How many steps.

    Returns:
        [d + 1], the intercept last.

    Source: Böhning (1992), "Multinomial logistic regression algorithm", for the bound.

    Example:
        >>> x, member = torch.tensor([[-1.0], [1.0]]), torch.tensor([0.0, 1.0])
        >>> found = logistic(x, member, torch.tensor([0.5, 0.5]), ridge=0.1, rounds=100)
        >>> round(found[0].item(), 3)  # β = σ(−β)/.1
        1.634
        >>> abs(found[1].item()) < 1e-3
        True
    """
    x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    shrinks = torch.full_like(x[0], ridge).index_fill(0, torch.tensor(x.shape[1] - 1, device=x.device), 1e-6)
    # Product and sum: the rounding of a matrix product as small as this may depend on the models beside it.
    bound = ((weight[:, None] * x)[:, :, None] * x[:, None, :]).sum(0) / 4 + torch.diag(shrinks)
    inverse = torch.linalg.inv(bound)
    beta = torch.zeros_like(x[0])
    for _ in range(rounds):
        # As a tanh: the rounding of a sigmoid depends on its place in memory, and so on the models beside it.
        off = weight * (member - (1 + (_times(x, beta) / 2).tanh()) / 2)
        beta = beta + _times(inverse, (x * off[:, None]).sum(0) - shrinks * beta)
    return beta


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix * vector).sum(1)


def advantage(seen: Tensor, unseen: Tensor, weights: tuple[Tensor, Tensor], *, ridge: float) -> Tensor:
    """How well two sets are told apart by scores: log 2 plus the mean log-likelihood of a logistic attacker.

    The attacker is trained on every other example of both sets and judged on the rest, and the other way round,
    so that it gains nothing by learning single examples by heart. Both sets count half. Scores are standardised.
    Everything is a differentiable function of the scores.

    Args:
        seen: Scores of S [a, d].
        unseen: Scores of the other set [b, d].
        weights: Of their examples [a] and [b], ≥ 0.
        ridge: > 0, of the attacker.

    Returns:
        A number in nats, ≤ log 2: 0 at chance, below for an attacker that errs more than chance; 0 where one
        half lacks one of the sets.

    Source: Di et al. (2024), arXiv 2406.07687, section 3, with a logistic attacker.
    """
    x = torch.cat([seen, unseen])
    member = torch.cat([torch.ones_like(weights[0]), torch.zeros_like(weights[1])])
    half = torch.cat([torch.arange(len(one), device=x.device) % 2 for one in weights])
    weight = torch.cat(weights)

    def part(which: int) -> tuple[Tensor, Tensor]:
        """Weights within one half, of each set half in all, and whether it has both sets."""
        inside = weight * (half == which)
        sums = torch.stack([(inside * member).sum(), (inside * (1 - member)).sum()])
        total = torch.where(member > 0, sums[0], sums[1])
        return inside / total.clamp(min=1e-12) / 2, (sums > 0).all()

    total = weight.sum().clamp(min=1e-12)
    mean = (weight[:, None] * x).sum(0) / total
    spread = (weight[:, None] * (x - mean) ** 2).sum(0) / total
    x = (x - mean) / (spread + 1e-6).sqrt()
    (one, has_one), (two, has_two) = part(0), part(1)
    found = torch.zeros_like(total)
    for train, test in ((one, two), (two, one)):
        beta = logistic(x, member, train, ridge=ridge)
        found = found + (test * logsigmoid((2 * member - 1) * (_times(x, beta[:-1]) + beta[-1]))).sum() / 2
    return torch.where(has_one & has_two, math.log(2) + found, torch.zeros_like(found))


@method(
    name="sg_unlearn",
    family="adversarial",
    needs={"original", "forget", "retain", "validation"},
    authors_aim="untraining",
    cite="di2025adversarial",
    equation="min CE(D∖S) + a·max log-likelihood of the attacker",
    space={"attack_weight": (0.05, 5.0), "lr": (0.01, 1.0), "epochs": (0.05, 1.0)},
)
def sg_unlearn(
    *, attack_weight: float = 1.0, ridge: float = 0.01, epochs: float = 1 / 3, lr: float = 0.1
) -> Method:
    """Move first against an attacker who tells S from unseen examples by the model's outputs.

    Each epoch: a pass over D∖S that descends on CE, then a pass over S on CE(D∖S) + a·(log 2 + mean log-likelihood
    of the attacker), against a batch of the validation set. The attacker answers the move: it is a logistic
    regression on the logits and the loss of each example, fitted inside the step by 10 steps that are
    differentiated through, trained on one half of both batches and judged on the other, both ways. For a = 0 this
    is fine-tuning. Defaults: a = 1, the middle of the authors' .05 to 5, their rate .01 for a recipe at .1 and
    their order, in which the attacker comes once per epoch (Di et al. 2024, arXiv 2406.07687, official code); the
    epochs of `finetune`, as their 30 are of an unknown recipe; ridge .01, that of an attacker with C = 1 on a
    hundred examples. Deviations: a logistic attacker where they solve a support vector machine; one attacker for
    all classes, with validation examples weighted as the classes of the batch of S, where they have one for each
    class, of which a small S has too few examples; two halves, where they have 3 random splits; CE(D∖S) in the
    attacked steps as well, as in the paper's objective.

    Raises:
        SpecError: if `ridge` is not above 0.
    """
    if not ridge > 0:
        raise SpecError(f"`methods`: sg_unlearn.ridge is {ridge}; expected a number above 0.")

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del aux, i, key
        kept = cross_entropy(net(batches["retain"].x), batches["retain"].y).mean()
        if "forget" not in batches:
            return kept
        forget, unseen = batches["forget"], batches["validation"]
        ours, theirs = net(forget.x), net(unseen.x)
        weights = alike(forget.y, unseen.y)
        success = advantage(scores(ours, forget.y), scores(theirs, unseen.y), weights, ridge=ridge)
        return kept + attack_weight * success

    return Method(step, epochs, lr, passes=_attacked_at_last)


# ---- a domain classifier on the features ----


def new_classifier(width: int, key: Tensor) -> Params:
    """A domain classifier before training: one hidden layer of 100 relu units on `width` features.

    Weights from U(−1/√fan_in, 1/√fan_in), biases 0.
    """

    def draw(number: int, *shape: int) -> Tensor:
        return (2 * uniform(fold_in(key, number), *shape) - 1) / math.sqrt(shape[-1])

    hidden = draw(0, _HIDDEN, width)
    out = draw(1, _HIDDEN)
    return {"hidden": hidden, "bias": 0 * hidden[:, 0], "out": out, "last": 0 * out[0]}


def domain_loss(classifier: Params, seen: Tensor, unseen: Tensor, weights: tuple[Tensor, Tensor]) -> Tensor:
    """Cross-entropy of the domain classifier, S against the other set, both counting half.

    Args:
        classifier: As `new_classifier` makes it.
        seen: Features of S [a, width].
        unseen: Features of the other set [b, width].
        weights: Of their examples [a] and [b], each summing to 1.

    Returns:
        A number in nats, ≥ 0: log 2 at chance, 0 where the sets are told apart.
    """

    def said(x: Tensor) -> Tensor:
        hidden = (x @ classifier["hidden"].T + classifier["bias"]).relu()
        return _times(hidden, classifier["out"]) + classifier["last"]

    return -((weights[0] * logsigmoid(said(seen))).sum() + (weights[1] * logsigmoid(-said(unseen))).sum()) / 2


@method(
    name="sure",
    family="adversarial",
    needs={"original", "forget", "retain", "validation"},
    authors_aim="untraining",
    cite="sepahvand2025selective",
    equation="min CE(D∖S) − λ·CE(domain classifier), min CE of the classifier over its weights",
    space={"reversal": (0.01, 10.0), "adversary_lr": (0.1, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 1.0)},
)
def sure(*, reversal: float = 1.0, adversary_lr: float = 1.0, epochs: float = 1 / 6, lr: float = 0.1) -> Method:
    """Make the features of S those of unseen examples, with a domain classifier to be fooled.

    Before each step the classifier, one hidden layer on φ(x), takes a step down its CE between S and the
    validation set; then the model takes one down CE(D∖S) − λ·CE of the classifier: gradient reversal. Batches of
    S and of the validation set cycle along one pass over D∖S (Sepahvand et al. 2025). Defaults: λ = 1, to which
    Ganin et al. (2016, arXiv 1505.07818) raise it, and their 100 hidden units; the classifier learns at the
    recipe's rate; epochs and rate of `npo`, whose passes are joint as well: the authors tune all of these for
    each task and publish no code. For λ = 0 this is fine-tuning. Deviations: λ is constant; the classifier has no
    momentum; features are divided by their root mean square in the original, so that its rate does not depend on
    their scale, and are those of the net in use, without dropout and with the running statistics of its norms;
    validation examples are weighted as the classes of the batch of S.

    Raises:
        SpecError: if `adversary_lr` is below 0.
    """
    if not adversary_lr >= 0:
        raise SpecError(f"`methods`: sure.adversary_lr is {adversary_lr}; expected 0 or more.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        found = torch.cat([net.features(some) for some in given.held_out.x.split(256)])
        scale = found.square().mean().sqrt().clamp(min=1e-6)
        return State(net.params, net.buffers), (new_classifier(found.shape[-1], key), scale)

    def told(net: Net, aux: Aux, batches: Mapping[str, Batch]) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """What the classifier is told: features of both sets, and weights of their examples."""
        forget, unseen = batches["forget"], batches["validation"]
        seen, others = (net.features(some.x) / aux[1] for some in (forget, unseen))
        return seen, others, alike(forget.y, unseen.y)

    def respond(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Aux:
        del i, key
        classifier, scale = aux
        slope = grad(domain_loss)(classifier, *told(net, aux, batches))
        rate = adversary_lr * net.learner.recipe.lr
        return {name: value - rate * slope[name] for name, value in classifier.items()}, scale

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        retain = batches["retain"]
        kept = cross_entropy(net(retain.x), retain.y).mean()
        return kept - reversal * domain_loss(aux[0], *told(net, aux, batches))

    return Method(step, epochs, lr, prepare=prepare, respond=respond, passes=_with_validation)
