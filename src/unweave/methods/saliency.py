"""Methods that change only the parameters on which the loss of S depends most."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import grad

from unweave._errors import SpecError
from unweave.learners.contract import Params, State
from unweave.methods.contract import Aux, Batch, Examples, Given, Method, Net, forget_then_retain, method
from unweave.methods.gradient import draw_wrong_labels, fit_labels
from unweave.methods.losses import cross_entropy
from unweave.training.dense import dense_gradients


def mean_gradient(net: Net, examples: Examples, *, chunk: int = 128) -> Params:
    """The gradient of the loss of a set: ∂/∂θ mean_i CE(x_i, y_i).

    Args:
        net: The model.
        examples: x [n, ...], y [n].
        chunk: Examples differentiated at once; for a plain relu net all are.

    Returns:
        Tensors shaped like the parameters.
    """
    if net.learner.dense is not None:
        found = dense_gradients(net.params, net.encode(examples.x), examples.y, depth=net.learner.dense)
        return {name: value / len(examples.y) for name, value in found.items()}

    def loss(params: Params, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(Net(net.learner, State(params, net.buffers), train=False)(x), y).sum()

    total = {name: torch.zeros_like(value) for name, value in net.params.items()}
    for x, y in zip(examples.x.split(chunk), examples.y.split(chunk), strict=True):
        for name, value in grad(loss)(net.params, x, y).items():
            total[name] = total[name] + value
    return {name: value / len(examples.y) for name, value in total.items()}


def saliency(net: Net, examples: Examples, *, chunk: int = 128) -> Params:
    """How much the loss of a set depends on each parameter: |∂/∂θ mean_i CE(x_i, y_i)|.

    The gradient is accumulated over the whole set and made positive afterwards, so that what the
    examples of the set disagree about cancels.

    Args:
        net: The model.
        examples: x [n, ...], y [n].
        chunk: Examples differentiated at once; for a plain relu net all are.

    Returns:
        Tensors shaped like the parameters, ≥ 0; larger where the loss depends on the parameter more.

    Source: Fan et al. (2024), arXiv 2310.12508, equation 3.
    """
    return {name: value.abs() for name, value in mean_gradient(net, examples, chunk=chunk).items()}


def largest(scores: Params, share: float) -> Params:
    """1 for the given share of largest scores over all tensors together, 0 for the rest.

    Args:
        scores: Tensors of any shapes.
        share: In [0, 1].

    Returns:
        Tensors of the same shapes, of 0 and 1; round(share·n) ones among n numbers.

    Example:
        >>> import torch
        >>> found = largest({"a": torch.tensor([4.0, 3.0]), "b": torch.tensor([1.0, 2.0])}, 0.5)
        >>> found["a"].tolist(), found["b"].tolist()
        ([1.0, 1.0], [0.0, 0.0])
    """
    # By name: stored models come back with their tensors in any order, and equal scores are told apart
    # by their place. Many are equal: a pixel that is always 0 has weights without a gradient.
    names = sorted(scores)
    flat = torch.cat([scores[name].reshape(-1) for name in names])
    order = flat.argsort(descending=True, stable=True)
    chosen = (torch.arange(len(flat), device=flat.device) < round(share * len(flat))).to(flat.dtype)
    mask = torch.zeros_like(flat).scatter(0, order, chosen)
    parts = mask.split([scores[name].numel() for name in names])
    by_name = dict(zip(names, parts, strict=True))
    return {name: by_name[name].reshape(value.shape) for name, value in scores.items()}


@method(
    name="salun",
    family="saliency",
    needs={"original", "forget", "retain"},
    authors_aim="untraining",
    cite="fan2024salun",
    equation="equations 3 to 5",
    space={"share": (0.1, 0.9), "lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
)
def salun(*, share: float = 0.5, epochs: float = 1 / 3, lr: float = 1.0) -> Method:
    """Random labels on S, moving only the parameters on which the loss of S depends most.

    m = 1 for the `share` of all parameters of the model with the largest |∂CE(S)/∂θ|, the gradient
    accumulated over one pass over S before its absolute value is taken. Then, as `random_label`, CE(S, y′)
    on a pass over S and CE(D∖S) on a pass over D∖S every epoch, with Δθ ← m ⊙ Δθ after momentum and weight
    decay: what the mask leaves out stays as it is. Defaults: half of the parameters (Fan et al. 2024, arXiv
    2310.12508); 10 epochs at rate .1 for a recipe of 30 at .1 (Zhao et al. 2024, official repository; the
    authors' own rate for a tenth of CIFAR-10 is .013). Deviations: the gradient is that of the original, as
    in the formula, where the official code takes steps of ascent while it accumulates; y′ never equals y and
    stays, where that code draws new labels in every batch and may draw the true one.

    Raises:
        SpecError: if `share` is above 1 or below 0.
    """
    if not 0 <= share <= 1:
        raise SpecError(f"`methods`: salun.share is {share}; expected a share of the parameters, 0 to 1.")

    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        state, labels = draw_wrong_labels(net, given, key)
        return state, (labels, largest(saliency(net, given.forget), share))

    def step(net: Net, aux: Aux, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
        return fit_labels(net, aux[0], batches, i, key)

    return Method(
        step,
        epochs,
        lr,
        prepare=prepare,
        update_mask=lambda aux: aux[1],
        passes=forget_then_retain,
        prepare_cost=lambda n_forget, n_retain: n_forget,
    )
