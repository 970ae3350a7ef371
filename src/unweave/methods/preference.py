"""Methods that make S less likely than it was under the original, and less so the further they are."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import logsigmoid

from unweave._errors import SpecError
from unweave.learners.contract import State
from unweave.methods.contract import Aux, Batch, Given, Method, Net, joint_pass, method
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
    if not beta > 0:
        raise SpecError(f"`methods`: npo.beta is {beta}; expected a number above 0. Near 0 it is plain ascent.")

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
