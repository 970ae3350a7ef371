"""Doing nothing, fine-tuning on what is retained, and training anew: the lines to hold every method against."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from unweave.methods.contract import Aux, Batch, Method, Net, method, retain_pass
from unweave.methods.losses import cross_entropy


@method(
    name="noop",
    family="baseline",
    needs={"original"},
    authors_aim=None,
    cite="",
    equation="θ = θ_o",
    identity={},
    several=True,
)
def noop() -> Method:
    """Leave the model as it is: the point from which every residual is measured (r = 1)."""
    return Method(step=None, epochs=0.0, lr=0.0)


def fit_retain(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
    """CE of a batch of D∖S."""
    del aux, i, key
    return cross_entropy(net(batches["retain"].x), batches["retain"].y).mean()


@method(
    name="finetune",
    family="baseline",
    needs={"original", "retain"},
    authors_aim="untraining",
    cite="golatkar2020eternal",
    equation="min CE(D∖S)",
    space={"lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
    several=True,
)
def finetune(*, epochs: float = 1 / 3, lr: float = 0.1) -> Method:
    """Fine-tune on D∖S and count on catastrophic forgetting of S.

    Loss: CE(D∖S). Defaults: 10 epochs at rate .01 for a recipe of 30 epochs at .1 (Zhao et al. 2024,
    arXiv 2406.01257, official repository), as shares of the recipe.
    """
    return Method(fit_retain, epochs, lr, passes=retain_pass)


@method(
    name="retrain",
    family="baseline",
    needs={"retain"},
    authors_aim="untraining",
    cite="cao2015towards",
    equation="θ = A(D∖S)",
    identity={},
    several=True,
)
def retrain() -> Method:
    """Train anew without S: exact untraining, at the full price.

    θ = A(D∖S; seed of its own), by the recipe of the learner, as references are trained (Cao & Yang 2015, who set
    it as what unlearning has to equal). Untraining it reaches by definition, so its row says what chance leaves of
    that at this K. For unlearning it is a competitor: with S a part of B, what S taught is taught by B∖S.
    """
    return Method(step=None, epochs=0.0, lr=0.0, anew=True)
