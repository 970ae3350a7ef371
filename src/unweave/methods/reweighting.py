"""Methods that climb on S, each example by a weight that its own probability sets."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from unweave._errors import SpecError
from unweave.methods.contract import Aux, Batch, Method, Net, joint_pass, method
from unweave.methods.losses import answer_mean, cross_entropy, token_losses


def weighted_ascent(loss: Tensor, *, known: float, unsure: float = 0.0) -> Tensor:
    """−w·CE_θ with w = p^β₁·(1−p)^β₂, per example, where w is a constant and p = exp(−CE_θ).

    Its gradient is −w·∇CE_θ: w is not differentiated, else the climb would turn into a descent once CE is
    above 1/β₁ nats. With β₁ the climb ebbs as the label becomes unlikely, with β₂ it is slow as long as the label
    is certain; β₁ = β₂ = 0 is ascent.

    Args:
        loss: CE of the model, in nats, of labels [b] or of tokens [b, A].
        known: β₁ ≥ 0, called saturation.
        unsure: β₂ ≥ 0, called importance.

    Returns:
        Shaped like `loss`, ≤ 0; 0 where the label is certain, or impossible and β₁ > 0.

    Source: Wang et al. (2025), arXiv 2502.19301, for β₂ = 0; Yang et al. (2025), arXiv 2505.11953.

    Example:
        >>> import torch
        >>> round(weighted_ascent(torch.tensor([0.5]).log().neg(), known=1.0).item(), 4)
        -0.3466
    """
    p = (-loss.detach()).exp()
    # 1 − p of a certain label may come out below 0 by rounding, and its powers as no number.
    return -(p**known) * (1 - p).clamp(min=0) ** unsure * loss


def _climb(name: str, weight: Mapping[str, float], forget_weight: float, epochs: float, lr: float) -> Method:
    for parameter, value in weight.items():
        if not value >= 0:
            raise SpecError(f"`methods`: {name}.{parameter} is {value}; expected 0 or more.")
    known, unsure = [*weight.values(), 0.0][:2]

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del aux, i, key
        forget, retain = batches["forget"], batches["retain"]
        each = weighted_ascent(token_losses(net(forget.x), forget.y), known=known, unsure=unsure)
        lost = answer_mean(each, forget.y).mean()
        return forget_weight * lost + cross_entropy(net(retain.x), retain.y).mean()

    return Method(step, epochs, lr, passes=joint_pass)


@method(
    name="wga",
    family="ascent",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="wang2025rethinking",
    equation="WGA: −p^β·CE(S), with CE(D∖S)",
    space={"beta": (0.1, 10.0), "forget_weight": (0.01, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
    several=True,
)
def wga(*, beta: float = 1.0, forget_weight: float = 1.0, epochs: float = 1 / 6, lr: float = 0.1) -> Method:
    """Weighted gradient ascent: climb on S, on each example as its label is likely.

    Loss: −a·p^β·CE on S + CE(D∖S), p = p_θ(y|x) as a constant, batches of S cycling along one pass over D∖S.
    The gradient of CE with respect to the logits grows with 1 − p as a label is unlearned; p^β takes it to 0.
    Defaults: β = 1 and equal weights (Wang et al. 2025, arXiv 2502.19301, and a widely used code base); β is
    an exponent of the probability of one token: a label is one, and of an answer each has a weight of its own.
    Epochs and rate of `npo`, as none are published for SGD.

    Raises:
        SpecError: if `beta` is below 0.
    """
    return _climb("wga", {"beta": beta}, forget_weight, epochs, lr)


@method(
    name="satimp",
    family="ascent",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="yang2025exploring",
    equation="SatImp: −p^β₁·(1−p)^β₂·CE(S), with CE(D∖S)",
    space={"beta1": (0.1, 10.0), "beta2": (0.01, 2.0), "forget_weight": (0.01, 100.0), "lr": (0.01, 1.0)},
    several=True,
)
def satimp(
    *,
    beta1: float = 5.0,
    beta2: float = 1.0,
    forget_weight: float = 0.1,
    epochs: float = 1 / 6,
    lr: float = 0.1,
) -> Method:
    """Climb on S where its labels are likely but not certain.

    Loss: −a·p^β₁·(1−p)^β₂·CE on S + CE(D∖S), p = p_θ(y|x) as a constant, batches of S cycling along one pass
    over D∖S. Defaults: β₁ = 5, β₂ = 1 and a = .1 (Yang et al. 2025, arXiv 2505.11953, official code and a
    widely used code base); they are exponents of the probability of one token: a label is one, and of an
    answer each has a weight of its own. Epochs and rate of `npo`, as none are published for SGD. With these
    the method hardly moves a classifier: the weight is at most .067, at p = 5/6, and vanishes on labels known
    by heart, of which a text has few and a training set many. Adam, which the authors use, makes up for a
    small gradient, SGD does not; so `forget_weight` is what to tune.

    Raises:
        SpecError: if `beta1` or `beta2` is below 0.
    """
    return _climb("satimp", {"beta1": beta1, "beta2": beta2}, forget_weight, epochs, lr)
