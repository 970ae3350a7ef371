"""Methods that work on whole layers: the last ones are trained again, the rest is frozen."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable

import torch
from torch import Tensor

from unweave._errors import ApplicabilityError, SpecError
from unweave.learners.contract import Params, State
from unweave.learners.noise import fold_in, uniform
from unweave.methods.baselines import fit_retain
from unweave.methods.contract import Aux, Given, Method, Net, Prepare, method, retain_pass


def layers(names: Iterable[str]) -> list[list[str]]:
    """Names of parameters by layer, from first to last; a layer is what stands before the last dot.

    Layers are ordered by the numbers in their names, not as they come: stored models come back with
    their tensors in any order.

    Example:
        >>> layers(["10.bias", "2.weight", "10.weight", "2.bias"])
        [['2.bias', '2.weight'], ['10.bias', '10.weight']]
    """
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        found.setdefault(name.rpartition(".")[0], []).append(name)
    return [found[layer] for layer in sorted(found, key=_in_order)]


def _in_order(layer: str) -> list[tuple[int, str]]:
    # A number before a word: (its value, ""), and words after all numbers.
    return [(int(part), "") if part.isdecimal() else (2**63, part) for part in layer.split(".")]


def blocks(params: Params) -> list[list[str]]:
    """Layers with a matrix of weights, from first to last, each with the norms that follow it.

    Example:
        >>> conv, norm = torch.zeros(2, 1, 3, 3), torch.ones(2)
        >>> blocks({"0.conv.weight": conv, "0.norm.weight": norm, "1.weight": torch.zeros(2, 2)})
        [['0.conv.weight', '0.norm.weight'], ['1.weight']]
    """
    found: list[list[str]] = []
    for layer in layers(params):
        if found and all(params[name].ndim <= 1 for name in layer):
            found[-1] += layer
        else:
            found.append(layer)
    return found


def fresh(params: Params, key: Tensor) -> Params:
    """Parameters as before any training: U(−1/√fan_in, 1/√fan_in) per layer, its biases included.

    A norm, a layer of `weight` and `bias` without a matrix, starts at weight 1 and bias 0; the second matrix of an
    adapter, `lora_B`, at 0. This is the law by which the nets of unweave start, but not their draw: that is a
    function of a key which is a number, and here the key is one model's tensor. It is not the law of `causal_lm`,
    whose matrices start from N(0, .08²), nor need it be that of a module of the user's own.

    Args:
        params: Whole layers, each a norm or with a matrix of weights [out, in, ...] that has the fan-in.
        key: A scalar key tensor; every tensor gets a stream of its own.

    Returns:
        New tensors with the shapes of `params`.

    Raises:
        ApplicabilityError: for a layer that is neither.

    Example:
        >>> from unweave.learners.noise import key_tensor
        >>> drawn = fresh({"0.weight": torch.zeros(3, 4), "0.bias": torch.zeros(3)}, key_tensor([1])[0])
        >>> bool((drawn["0.weight"].abs() <= 0.5).all()), len(drawn["0.bias"].unique())
        (True, 3)
    """
    drawn: Params = {}
    for number, layer in enumerate(layers(params)):
        matrices = [params[name] for name in layer if params[name].ndim > 1]
        if not matrices and all(_last(name) in ("weight", "bias") for name in layer):
            drawn |= {name: torch.full_like(params[name], float(_last(name) == "weight")) for name in layer}
            continue
        if not matrices:
            raise ApplicabilityError(
                f"The layer of `{layer[0]}` has no matrix of weights: no fan-in to draw it anew by."
            )
        bound = 1 / math.sqrt(math.prod(matrices[0].shape[1:]))
        for place, name in enumerate(layer):
            noise = uniform(fold_in(fold_in(key, number), place), *params[name].shape)
            drawn[name] = 0 * noise if _last(name) == "lora_B" else (2 * noise - 1) * bound
    return {name: drawn[name] for name in params}


_STATISTICS = {"running_mean": 0, "running_var": 1, "num_batches_tracked": 0}


def fresh_statistics(buffers: Params, layers: Container[str] | None = None) -> Params:
    """Buffers with the running statistics of norms as before any training: mean 0, variance 1, no batch seen.

    Args:
        buffers: Of one model; what is no running statistic is kept.
        layers: Only those of these layers; None = of all.
    """
    kept = dict(buffers)
    for name, value in buffers.items():
        if _last(name) in _STATISTICS and (layers is None or _layer(name) in layers):
            kept[name] = torch.full_like(value, _STATISTICS[_last(name)])
    return kept


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _train_last(name: str, *, k: float, epochs: float, lr: float, anew: bool) -> Method:
    if k < 0 or k != int(k):
        raise SpecError(f"`methods`: {name}.k is {k}; expected a whole number of layers.")
    if k == 0:
        return Method(step=None, epochs=0.0, lr=0.0)
    return Method(
        fit_retain,
        epochs,
        lr,
        prepare=_open_last(int(k), anew=anew),
        update_mask=lambda aux: aux,
        passes=retain_pass,
    )


def _open_last(k: int, *, anew: bool) -> Prepare:
    def prepare(net: Net, given: Given, key: Tensor) -> tuple[State, Aux]:
        del given
        last = {name: net.params[name] for block in blocks(net.params)[-k:] for name in block}
        opened = {_layer(name) for name in last}
        start = fresh(last, key) if anew else last
        params = {name: start.get(name, value) for name, value in net.params.items()}
        buffers = fresh_statistics(net.buffers, opened) if anew else net.buffers
        # Statistics of a frozen layer are frozen with it: else it would not compute what it did.
        mask = {
            name: torch.full_like(value, float(_layer(name) in opened), dtype=torch.float32)
            for name, value in [*net.params.items(), *net.buffers.items()]
        }
        return State(params, buffers), mask

    return prepare


@method(
    name="cf_k",
    family="layers",
    needs={"original", "retain"},
    authors_aim="untraining",
    cite="goel2022inexact",
    equation="CF-k: min CE(D∖S) over the last k layers",
    space={"lr": (0.01, 1.0), "epochs": (0.05, 0.5)},
    several=True,
)
def cf_k(*, k: float = 1.0, epochs: float = 1 / 3, lr: float = 1.0) -> Method:
    """Fine-tune the last k layers on D∖S and freeze the rest: catastrophic forgetting.

    Loss: CE(D∖S) over θ of the last k layers; the others stay bitwise as they are. With k of all layers
    this is `finetune`, with k = 0 nothing. Defaults: k = 1 and 10 epochs for a recipe of 30 (Fan et al.
    2024, arXiv 2403.07362, who search the rate); the recipe's own rate (Goel et al. 2024, arXiv 2402.14015,
    official code). A norm belongs to the layer before it. Deviations: the rate is constant; running statistics of
    frozen layers stay as they are, where that code lets them follow the data.

    Raises:
        SpecError: if `k` is not a whole number.
    """
    return _train_last("cf_k", k=k, epochs=epochs, lr=lr, anew=False)


@method(
    name="eu_k",
    family="layers",
    needs={"original", "retain"},
    authors_aim="untraining",
    cite="goel2022inexact",
    equation="EU-k: min CE(D∖S) over the last k layers, drawn anew",
    space={"lr": (0.01, 1.0), "epochs": (0.05, 1.0)},
    identity={"k": 0.0},
    several=True,
)
def eu_k(*, k: float = 1.0, epochs: float = 1 / 3, lr: float = 1.0) -> Method:
    """Draw the last k layers anew, train them on D∖S and freeze the rest: exact in the last k layers.

    Loss: CE(D∖S) over θ of the last k layers, all of whose tensors start from U(−1/√fan_in, 1/√fan_in),
    norms from weight 1, bias 0 and statistics 0 and 1; the others stay bitwise as they are, running statistics
    included. With k of all layers this is retraining for a share of the epochs, with
    k = 0 nothing. Defaults: those of `cf_k` (Fan et al. 2024, arXiv 2403.07362; Goel et al. 2024, arXiv
    2402.14015). Deviations: the rate is constant; the draw has the law of the start of unweave's nets but is
    another one. `causal_lm` starts from another law, N(0, .08²), and a module of your own from its own: their
    layers are drawn by the law above all the same, which is not retraining from the learner's own start.

    Raises:
        SpecError: if `k` is not a whole number.
    """
    return _train_last("eu_k", k=k, epochs=epochs, lr=lr, anew=True)
