"""Methods that weigh each example of S by how far it still is from what an unseen one looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot, softmax

from unweave._errors import SpecError
from unweave.learners.contract import State
from unweave.methods.contract import Aux, Batch, Given, Method, Net, forget_then_retain, method
from unweave.methods.gradient import draw_wrong_labels
from unweave.methods.losses import cross_entropy

_LEAST_SPREAD = 1e-6


class Unseen(NamedTuple):
    """Mean and sd [classes] of the probability that a model gives the label of examples it was not trained on."""

    mean: Tensor
    sd: Tensor


def confidence(logits: Tensor, y: Tensor) -> Tensor:
    """Probability of the label [b], in [0, 1].

    Example:
        >>> confidence(torch.zeros(1, 4), torch.tensor([2])).item()
        0.25
    """
    return softmax(logits.transpose(0, 1), dim=0).gather(0, y[None]).squeeze(0)


def unseen_by_class(logits: Tensor, y: Tensor) -> Unseen:
    """Mean and standard deviation (by n) of the probability of the label, of each class.

    A class of fewer than two examples has those of all classes together.

    Args:
        logits: Of examples that the model was not trained on [n, classes].
        y: Their labels [n].

    Example:
        >>> logits = torch.tensor([[0.6, 0.4], [0.8, 0.2], [0.9, 0.1]]).log()
        >>> [round(value, 3) for value in unseen_by_class(logits, torch.tensor([0, 0, 1])).mean.tolist()]
        [0.7, 0.5]
    """
    p, of_class = confidence(logits, y), one_hot(y, logits.shape[-1]).to(logits.dtype)
    count = of_class.sum(0)
    mean = (p[:, None] * of_class).sum(0) / count.clamp(min=1)
    variance = ((p[:, None] - mean).square() * of_class).sum(0) / count.clamp(min=1)
    few = count < 2
    return Unseen(torch.where(few, p.mean(), mean), torch.where(few, p.var(correction=0), variance).sqrt())


def balance(y: Tensor, classes: int, *, tau: float) -> Tensor:
    """B = (mean number of examples per class of S / number in the example's own)^τ, per example.

    Args:
        y: Labels of S [n].
        classes: Number of classes; those that S has nothing of do not count.
        tau: τ ≥ 0; 0 = every class weighs the same.

    Returns:
        [n], > 0; 1 where all classes in S are equally large, above 1 in the rare ones.

    Example:
        >>> balance(torch.tensor([0, 0, 0, 2]), 3, tau=1.0).tolist()
        [0.6666666865348816, 0.6666666865348816, 0.6666666865348816, 2.0]
    """
    count = one_hot(y, classes).sum(0)
    return (len(y) / ((count > 0).sum() * count[y])) ** tau


def forgetting_weight(p: Tensor, y: Tensor, unseen: Unseen, balanced: Tensor) -> Tensor:
    """FaLW: w = 1 + sign(z)·tanh(|z|)^(1/B) with z = (p − μ_y)/s_y, per example.

    Args:
        p: Probability of the label under the model as it is [b].
        y: Labels [b].
        unseen: μ and s of every class.
        balanced: B of each example [b].

    Returns:
        [b], in [0, 2]: above 1 for what is better known than an unseen example of its class, below 1 for what is
        less, and 0 for what is forgotten far too well.

    Source: Yu et al. (2026), arXiv 2601.18650.

    Example:
        >>> known = Unseen(torch.tensor([0.5]), torch.tensor([0.1]))
        >>> y, one = torch.tensor([0, 0, 0]), torch.ones(3)
        >>> [round(w, 2) for w in forgetting_weight(torch.tensor([0.6, 0.5, 0.4]), y, known, one).tolist()]
        [1.76, 1.0, 0.24]
    """
    z = (p - unseen.mean[y]) / unseen.sd[y].clamp(min=_LEAST_SPREAD)
    return 1 + z.sign() * z.abs().tanh() ** (1 / balanced)


@method(
    name="falw",
    family="relabelling",
    needs={"original", "forget", "retain", "validation"},
    authors_aim="untraining",
    cite="yu2026falw",
    equation="w = 1 + sign(z)·tanh(|z|)^(1/B), on the loss of random labels",
    space={"tau": (0.0, 2.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
)
def falw(*, tau: float = 1.0, epochs: float = 1 / 3, lr: float = 1.0) -> Method:
    """Random labels on S, each example weighed by how much better it is known than an unseen one.

    Loss: mean of w·CE(x, y′) on a pass over S, then CE(D∖S) on a pass over D∖S, every epoch, as `random_label`;
    w = 1 + sign(z)·tanh(|z|)^(1/B), z = (p − μ_y)/s_y, p the probability of the label under the model as it is,
    μ and s the mean and standard deviation of the same in examples of the class that no model was trained on,
    under the original; B = (|S|/(C·|S_y|))^τ, so that classes rare in S weigh more. No gradient goes through w.
    Defaults: epochs and rate of `random_label`, into which it is plugged (Yu et al. 2026, arXiv 2601.18650);
    τ = 1, at which B is the plain ratio, as none is published where we could read it. Deviations, where the
    source we had says nothing: μ and s are of the original and stay; C counts the classes in S, so that a
    balanced S has B = 1 however many classes there are; a class with fewer than two unseen examples has μ and s
    of all classes.

    Raises:
        SpecError: if `tau` is below 0.
    """
    if not tau >= 0:
        raise SpecError(f"`methods`: falw.tau is {tau}; expected a number ≥ 0, where 0 weighs all classes alike.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        state, labels = draw_wrong_labels(net, given, key)
        unseen = given.held_out
        logits = net(unseen.x)
        balanced = balance(given.forget.y, logits.shape[-1], tau=tau)
        return state, (labels, unseen_by_class(logits, unseen.y), balanced)

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        if "retain" in batches:
            return cross_entropy(net(batches["retain"].x), batches["retain"].y).mean()
        labels, unseen, balanced = aux
        x, y, position = batches["forget"]
        logits = net(x)
        weight = forgetting_weight(confidence(logits.detach(), y), y, unseen, balanced[position])
        return (weight * cross_entropy(logits, labels[position])).mean()

    return Method(step, epochs, lr, prepare=prepare, passes=forget_then_retain)
