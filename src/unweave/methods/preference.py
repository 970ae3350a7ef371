"""Methods that make S less likely, and less so the further they are: preference losses of a label or an answer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from unweave._errors import SpecError
from unweave.learners import NO_TOKEN
from unweave.learners.contract import State
from unweave.methods.contract import Aux, Batch, Given, Method, Net, joint_pass, method
from unweave.methods.distillation import lesson
from unweave.methods.losses import answer_loss, cross_entropy, places


def negative_preference(loss: Tensor, reference: Tensor, *, beta: float) -> Tensor:
    """−(2/β)·log σ(β·(CE_θ − CE_o)), per example.

    Its gradient is −2σ(−β·r)·∇CE_θ with r = CE_θ − CE_o = log p_o(y|x) − log p_θ(y|x): ascent on CE that
    ebbs once the label is 1/β nats less likely than before. β → 0 is ascent at full strength.

    Args:
        loss: CE of the model, in nats, a sum over the tokens of an answer [b].
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
    """The class other than y with the largest logit, per label: shaped like y.

    Example:
        >>> import torch
        >>> likely_other(torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), torch.tensor([0, 2])).tolist()
        [1, 0]
    """
    return logits.scatter(1, places(y), -torch.inf).argmax(1)


def refused(net: Net, logits: Tensor, y: Tensor) -> Tensor:
    """What is to be said in place of y: the refusal of the net's learner, else what the net would say next.

    A refusal is one token, given where an answer begins; what follows is left open.

    Args:
        net: A model; `config["refusal"]` of its learner is the class of a refusal, where it has one.
        logits: What it says [b, classes] or [b, classes, A].
        y: Labels [b] or [b, A].

    Returns:
        Shaped like y: the refusal, or without one the most likely class other than y; −100 after the first token.
    """
    known = net.learner.spec.config.get("refusal")
    found = likely_other(logits, y) if known is None else torch.full_like(y, int(known))
    if y.ndim == 1:
        return found
    first = (y >= 0) & ((y >= 0).cumsum(1) == 1)
    return torch.where(first, found, torch.full_like(y, NO_TOKEN))


def preference(wins: Tensor, loses: Tensor, *, beta: float) -> Tensor:
    """−(2/β)·log σ(β·(r_w − r_l)), per example: an answer that is to win over one that is to lose.

    r = log p_θ − log p_o of each. With r_w = 0 it is `negative_preference`, whose factor 2/β it has.

    Args:
        wins: CE_o − CE_θ of the answer that is to win, in nats, a sum over its tokens [b].
        loses: The same of the answer that is to lose [b].
        beta: β > 0, per nat.

    Returns:
        [b], > 0; (2/β)·log 2 at the original, → 0 as the loser becomes impossible or the winner gains.

    Source: Rafailov et al. (2023), arXiv 2305.18290, equation 7; the factor is that of a widely used code base.

    Example:
        >>> import torch
        >>> round(preference(torch.tensor([0.0]), torch.tensor([0.0]), beta=2.0).item(), 4)
        0.6931
    """
    return -2 / beta * logsigmoid(beta * (wins - loses))


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
    several=True,
)
def npo(*, beta: float = 1.0, retain_weight: float = 1.0, epochs: float = 1 / 6, lr: float = 0.1) -> Method:
    """Negative preference optimisation: climb on S, ever less as its labels become less likely.

    Loss: −(2/β)·log σ(β·(CE_θ − CE_o)) on S + w·CE(D∖S), batches of S cycling along one pass over D∖S; CE
    are of single examples, hence r = log p_o(y|x) − log p_θ(y|x), a difference of log-probabilities and
    never of logits. Defaults: β = 1, that of a classifier (Schoepf et al. 2025, arXiv 2505.17730, official
    code; .1 is for sums over the tokens of a text, which are what is summed here where an answer has several);
    w = 1 (Zhang et al. 2024, arXiv 2404.05868); epochs and rate of `neggrad_plus`, which climbs on S beside
    CE(D∖S) as well, as none are published for SGD.

    Raises:
        SpecError: if `beta` is not above 0.
    """
    _check_beta("npo", beta)

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        return State(net.params, net.buffers), answer_loss(net(given.forget.x), given.forget.y)

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        forget, retain = batches["forget"], batches["retain"]
        loss = answer_loss(net(forget.x), forget.y)
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
    several=True,
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
    authors divide the CE of a text by its number of tokens, as is done here where an answer has several; a
    label is one token, so that their β, which is per nat of one token, holds as it is. Defaults: β = 2.5, δ =
    0, a = .1375 and w = 1 of the official code for a twentieth of a data set (Fan et al. 2024, arXiv
    2410.07163; 4.5 and .125 for a tenth). Epochs and rate of `npo`, as none are published for SGD.

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
    several=True,
)
def safe_unlearning(
    *, alpha: float = 0.3, beta: float = 1.0, gamma: float = 0.5, epochs: float = 1 / 6, lr: float = 0.1
) -> Method:
    """Unlearn S, learn a safe label in its place and keep D∖S.

    Loss: α·(−log σ(−β·log(p_θ(y|x)/p_o(y|x)))) + γ·CE(S, y′) + CE(D∖S), batches of S cycling along one pass over
    D∖S; the first term is β/2 of that of `npo`. The authors' y′ is a refusal written for each harmful question;
    here it is the one token by which a language model refuses. A classifier has no refusal; its safe label is the
    class, other than y, that the original holds most likely: what it would say if it did not say y. Defaults:
    α = .3, β = 1, γ = .5 (Zhang et al. 2024, arXiv 2407.02855, official code), which take the mean
    log-probability of a token, and a label is one token; epochs and rate of `npo`, as none are published for SGD.

    Raises:
        SpecError: if `beta` is not above 0.
    """
    _check_beta("safe_unlearning", beta)

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        logits = lesson(net, given.forget.x)
        before = cross_entropy(logits, given.forget.y), refused(net, logits, given.forget.y)
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


@method(
    name="idk_dpo",
    family="preference",
    needs={"original", "forget", "retain"},
    authors_aim="unlearning",
    cite="maini2024tofu",
    equation="IdkDPO: −(2/β)·log σ(β·(r_w − r_l)), w a refusal and l the answer, with CE(D∖S)",
    space={"beta": (0.01, 10.0), "retain_weight": (0.1, 10.0), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
    several=True,
)
def idk_dpo(*, beta: float = 0.1, retain_weight: float = 1.0, epochs: float = 1 / 6, lr: float = 0.1) -> Method:
    """Prefer a refusal to what S taught: direct preference optimisation of "I don't know" over the answer.

    Loss: −(2/β)·log σ(β·(r_w − r_l)) on S + w·CE(D∖S), batches of S cycling along one pass over D∖S; r is
    log p_θ − log p_o, of the refusal y′ (r_w) and of the label y (r_l), a sum over the tokens of an answer.
    Defaults: β = .1 and w = 1 (Maini et al. 2024, arXiv 2401.06121, whose preferences are those of Rafailov et al.
    2023, and a widely used code base, with its factor 2/β); epochs and rate of `npo`, as none are published for
    SGD. Deviations: the authors draw y′ from a hundred sentences; here it is the one token by which a language
    model refuses. A classifier has no refusal: as in `safe_unlearning`, its y′ is the class other than y that the
    original holds most likely.

    Raises:
        SpecError: if `beta` is not above 0.
    """
    _check_beta("idk_dpo", beta)

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del key
        logits, y = lesson(net, given.forget.x), given.forget.y
        instead = refused(net, logits, y)
        return State(net.params, net.buffers), (answer_loss(logits, instead), answer_loss(logits, y), instead)

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        del i, key
        forget, retain = batches["forget"], batches["retain"]
        before_wins, before_loses, instead = (part[forget.position] for part in aux)
        logits = net(forget.x)
        wins = before_wins - answer_loss(logits, instead)
        loses = before_loses - answer_loss(logits, forget.y)
        kept = cross_entropy(net(retain.x), retain.y).mean()
        return preference(wins, loses, beta=beta).mean() + retain_weight * kept

    return Method(step, epochs, lr, prepare=prepare, passes=joint_pass)
