"""Methods that go back to one of their epochs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unweave.methods.contract import Aux, Given, Method, Net, Plan, Rewind, method
from unweave.methods.distillation import scrub
from unweave.methods.matched import weights_as

_AT_ONCE = 256


def wrong(net: Net, x: Tensor, y: Tensor) -> Tensor:
    """1 for each example [n] that a net as it stands gives another label than y, 0 for the rest."""
    batches = zip(x.split(_AT_ONCE), y.split(_AT_ONCE), strict=True)
    return torch.cat([(net(some).argmax(-1) != label).float() for some, label in batches])


def errors(net: Net, aux: Aux, given: Given) -> tuple[Tensor, Tensor]:
    """Share of S that is given another label than trained on, and the same of the validation set.

    Validation examples weigh as much as their classes have a share of S: they are what S would be, had the
    model never seen it.

    Returns:
        Two numbers in [0, 1].
    """
    del aux
    x, y = given.held_out
    classes = net(x[:1]).shape[-1]
    seen = wrong(net, *given.forget).mean()
    return seen, (weights_as(y, given.forget.y, classes) * wrong(net, x, y)).sum()


@method(
    name="scrub_r",
    family="distillation",
    needs={"original", "forget", "retain", "validation"},
    authors_aim="untraining",
    cite="kurmanji2023scrub",
    equation="equation 3 and algorithm 1, then the rewinding of section 3.2",
    space={"alpha": (0.001, 10.0), "gamma": (0.1, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
)
def scrub_r(
    *,
    alpha: float = 0.5,
    gamma: float = 1.0,
    temperature: float = 4.0,
    max_share: float = 0.6,
    epochs: float = 1 / 6,
    lr: float = 0.05,
) -> Method:
    """SCRUB and rewind: `scrub`, then back to the epoch whose error on S is that of unseen examples.

    After each epoch e the error on S is noted, err_S(e). What remains is the epoch with the smallest
    |err_S(e) − err_V|, the first of equals, where err_V is the error of the model after the last epoch on a
    validation set with the classes of S (Kurmanji et al. 2023, arXiv 2302.09880, section 3.2 and official code).
    Validation examples are weighted so that their classes have the shares they have in S; if it has none of these
    classes all count alike. Where labels of S are wrong or a trigger decides them, the validation set is not
    what S would be unseen: the authors rewind for privacy alone.
    Defaults: α, γ, T and 3 max-passes in 5 epochs of the authors' code for membership attacks; the rate of
    `scrub`. Deviation: the rate is constant, where that code divides it by 10 after 3 epochs.
    """

    def ends(plan: Plan) -> Sequence[int]:
        # An epoch with a max-pass is longer than one without.
        climbing = round(max_share * plan.epochs)
        return [
            plan.forget_batches * min(epoch, climbing) + plan.retain_batches * epoch
            for epoch in range(1, plan.epochs + 1)
        ]

    def score(then: tuple[Tensor, Tensor], last: tuple[Tensor, Tensor]) -> Tensor:
        # Shares are multiples of 1/n: equal distances shall not be told apart by rounding.
        return (then[0] - last[1]).abs().round(decimals=5)

    scrubbed = scrub(alpha=alpha, gamma=gamma, temperature=temperature, max_share=max_share, epochs=epochs, lr=lr)
    return scrubbed._replace(rewind=Rewind(errors, score, ends))
