"""Doing nothing, and fine-tuning on what is retained: the two lines every method must beat."""

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
)
def finetune(*, epochs: float = 1 / 3, lr: float = 0.1) -> Method:
    """Fine-tune on D∖S and count on catastrophic forgetting of S.

    Loss: CE(D∖S). Defaults: 10 epochs at rate .01 for a recipe of 30 epochs at .1 (Zhao et al. 2024,
    arXiv 2406.01257, official repository), as shares of the recipe.
    """
    return Method(fit_retain, epochs, lr, passes=retain_pass)
