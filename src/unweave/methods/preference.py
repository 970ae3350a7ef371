"""Methods that make S less likely, and less so the further they are: preference losses of one label."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from unweave._errors import SpecError
from unweave.learners.contract import State
from unweave.methods.contract import Aux, Batch, Given, Method, Net, joint_pass, method
from unweave.methods.distillation import lesson
from unweave.methods.losses import cross_entropy


def negative_preference(loss: Tensor, reference: Tensor, *, beta: float) -> Tensor:
    """−(2/β)·log σ(β·(CE_θ − CE_o)), per example.

    Its gradient is −2σ(−β·r)·∇CE_θ with r = CE_θ − CE_o = log p_o(y|x) − log p_θ(y|x): ascent on CE that
    ebbs once the label is 1/β nats less likely than before. β → 0 is ascent at full strength.

    Args:
        loss: CE of the model, in nats [b].
        reference: CE of the original on the same examples [b].
        beta: β > 0, per nat.

    Returns:
        [b], > 0; (2/β)·log 2 where the two agree, → 0 as the label becomes impossible.

    Source: Zhang et al. (2024), arXiv 2404.05868, equation 3.

    Example:
        >>> import torch
        >>> round(negative_preference(torch.tensor([0.5]), torch.tensor([0.5]), beta=2.0).item(), 4)
        0.6931
    """
    return -2 / beta * logsigmoid(beta * (loss - reference))


def simple_preference(loss: Tensor, *, beta: float, margin: float = 0.0) -> Tensor:
    """−(2/β)·log σ(β·CE_θ − δ), per example: `negative_preference` with a margin for the original.

    Its gradient is −2σ(δ − β·CE_θ)·∇CE_θ: ascent on CE that ebbs once CE is above δ/β nats, whatever the
    original said. For a text CE is the mean over its |y| tokens; a label is one token, so that |y| = 1.

    Args:
        loss: CE of the model, in nats [b].
        beta: β > 0, per nat.
        margin: δ ≥ 0; with more of it the climb goes on for longer.

    Returns:
        [b], > 0, → 0 as the label becomes impossible; with δ = 0 it is (2/β)·log(1 + p^β).

    Source: Fan et al. (2024), arXiv 2410.07163, section 5.

    Example:
        >>> import torch
        >>> round(simple_preference(torch.tensor([0.0]), beta=2.0).item(), 4)
        0.6931
    """
    return -2 / beta * logsigmoid(beta * loss - margin)


def likely_other(logits: Tensor, y: Tensor) -> Tensor:
    """The class other than y with the largest logit, per example [b].

    Example:
        >>> import torch
        >>> likely_other(torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), torch.tensor([0, 2])).tolist()
        [1, 0]
    """
    return logits.scatter(-1, y[:, None], -torch.inf).argmax(-1)


def _check_beta(name: str, beta: float) -> None:
    if not beta > 0:
        raise SpecError(f"`methods`: {name}.beta is {beta}; expected a number above 0. Near 0 it is plain ascent.")


@method(
    name="npo",
    family="preference",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="zhang2024npo",
    equation="equation 3, with CE(D∖S)",
    space={"beta": (0.01, 10.0), "retain_weight": (0.1, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
)
def npo(*, beta: float = 1.0, retain_weight: float = 1.0, epochs: float = 1 / 6, lr: float = 0.1) -> Method:
    """Negative preference optimisation: climb on S, ever less as its labels become less likely.

    Loss: −(2/β)·log σ(β·(CE_θ − CE_o)) on S + w·CE(D∖S), batches of S cycling along one pass over D∖S; CE
    are of single examples, hence r = log p_o(y|x) − log p_θ(y|x), a difference of log-probabilities and
    never of logits. Defaults: β = 1, that of a classifier (Schoepf et al. 2025, arXiv 2505.17730, official
    code; .1 is for sums over the tokens of a text); w = 1 (Zhang et al. 2024, arXiv 2404.05868); epochs and
    rate of `neggrad_plus`, which climbs on S beside CE(D∖S) as well, as none are published for SGD.

    Raises:
        SpecError: if `beta` is not above 0.
    """
    _check_beta("npo", beta)

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        return State(net.params, net.buffers), cross_entropy(net(given.forget.x), given.forget.y)

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        forget, retain = batches["forget"], batches["retain"]
        loss = cross_entropy(net(forget.x), forget.y)
        kept = cross_entropy(net(retain.x), retain.y).mean()
        return negative_preference(loss, aux[forget.position], beta=beta).mean() + retain_weight * kept

    return Method(step, epochs, lr, prepare=prepare, passes=joint_pass)


@method(
    name="simnpo",
    family="preference",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="fan2024simnpo",
    equation="section 5, SimNPO, with CE(D∖S)",
    space={"beta": (0.1, 10.0), "forget_weight": (0.01, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
)
def simnpo(
    *,
    beta: float = 2.5,
    margin: float = 0.0,
    forget_weight: float = 0.1375,
    retain_weight: float = 1.0,
    epochs: float = 1 / 6,
    lr: float = 0.1,
) -> Method:
    """Negative preference optimisation without the original: climb on S until its labels are unlikely.

    Loss: −a·(2/β)·log σ(β·CE_θ − δ) on S + w·CE(D∖S), batches of S cycling along one pass over D∖S. The
    authors divide the CE of a text by its number of tokens; a label is one token, so that their β, which is per
    nat of one token, holds as it is. Defaults: β = 2.5, δ = 0, a = .1375 and w = 1 of the official code for a
    twentieth of a data set (Fan et al. 2024, arXiv 2410.07163; 4.5 and .125 for a tenth). Epochs and rate of
    `npo`, as none are published for SGD.

    Raises:
        SpecError: if `beta` is not above 0.
    """
    _check_beta("simnpo", beta)

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del aux, i, key
        forget, retain = batches["forget"], batches["retain"]
        lost = simple_preference(cross_entropy(net(forget.x), forget.y), beta=beta, margin=margin).mean()
        return forget_weight * lost + retain_weight * cross_entropy(net(retain.x), retain.y).mean()

    return Method(step, epochs, lr, passes=joint_pass)


@method(
    name="safe_unlearning",
    family="preference",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="zhang2024safe",
    equation="L = α·L_h + γ·L_r + L_g",
    space={"alpha": (0.01, 10.0), "gamma": (0.01, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
)
def safe_unlearning(
    *, alpha: float = 0.3, beta: float = 1.0, gamma: float = 0.5, epochs: float = 1 / 6, lr: float = 0.1
) -> Method:
    """Unlearn S, learn a safe label in its place and keep D∖S.

    Loss: α·(−log σ(−β·log(p_θ(y|x)/p_o(y|x)))) + γ·CE(S, y′) + CE(D∖S), batches of S cycling along one pass over
    D∖S; the first term is β/2 of that of `npo`. The authors' y′ is a refusal written for each harmful question.
    A classifier has no refusal; its safe label is here the class, other than y, that the original holds most
    likely: what it would say if it did not say y. Defaults: α = .3, β = 1, γ = .5 (Zhang et al. 2024, arXiv
    2407.02855, official code), which take the mean log-probability of a token, and a label is one token; epochs
    and rate of `npo`, as none are published for SGD.

    Raises:
        SpecError: if `beta` is not above 0.
    """
    _check_beta("safe_unlearning", beta)

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        logits = lesson(net, given.forget.x)
        before = cross_entropy(logits, given.forget.y), likely_other(logits, given.forget.y)
        return State(net.params, net.buffers), before

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        reference, safe = aux
        forget, retain = batches["forget"], batches["retain"]
        logits = net(forget.x)
        loss = cross_entropy(logits, forget.y)
        lost = beta / 2 * negative_preference(loss, reference[forget.position], beta=beta).mean()
        instead = cross_entropy(logits, safe[forget.position]).mean()
        return alpha * lost + gamma * instead + cross_entropy(net(retain.x), retain.y).mean()

    return Method(step, epochs, lr, prepare=prepare, passes=joint_pass)
