"""Example-tied dropout: nets in which each example owns some of the hidden units, which are off in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from unweave._random import Key, derive
from unweave.learners.contract import Learner, Params, State, Tied
from unweave.learners.noise import coins, fold_in

KEY = "etd.key"
"""The buffer with the key of a model's masks."""

Hidden = Callable[[State, Tensor, Tensor], Tensor]
"""`(state, x, mask of all hidden units [b, units] or [units]) → features` on which the last layer works."""


def example_keys(x: Tensor) -> Tensor:
    """A key per example, by the bits of its features: equal examples have equal keys, others others.

    Σ_j c_j·bits_j modulo 2⁶⁴ with odd numbers c_j of splitmix64; two given examples that differ have the same key
    with a chance of about 2⁻⁴⁰. Zero has one key, whatever its sign.

    Args:
        x: Features [b, ...], float32.

    Returns:
        int64 [b].

    Example:
        >>> found = example_keys(torch.tensor([[0.5, 0.0], [0.5, -0.0], [0.0, 0.5]]))
        >>> bool(found[0] == found[1]), bool(found[0] == found[2])
        (True, False)
    """
    bits = (x.flatten(1) + 0.0).view(torch.int32).to(torch.int64)
    place = torch.arange(bits.shape[1], dtype=torch.int64, device=x.device)
    factors = fold_in(torch.zeros((), dtype=torch.int64, device=x.device), place) | 1
    # One pass over the memory where there is a product of matrices of such integers, which there is on no GPU.
    return (bits * factors).sum(1) if x.is_cuda else bits @ factors


def with_tied_dropout(
    learner: Learner, widths: Sequence[int], hidden: Hidden, score: Callable[[State, Tensor], Tensor]
) -> Learner:
    """The same net with example-tied dropout of its hidden units, or channels.

    The first round(p_gen·width) units of each hidden layer are for all examples. The others are for
    memorisation: in training each example keeps those of its own mask, a draw from Bernoulli(p_mem) per unit that
    is the same in every epoch, and in use all of them are off. Nothing is scaled, in training or in use.

    An example is known by its features, since nothing tells a net which row it sees: its mask is a function of
    their bits and of a key that each model has among its buffers. Examples of the same features have one mask.

    Args:
        learner: The plain net, whose initial weights it shares.
        widths: Units of each hidden layer.
        hidden: The features on which the last layer works, with masks.
        score: `(state, features) → logits`.

    Source: Maini et al. (2023), "Can neural network memorization be localized?", arXiv 2307.09542, section 6.
    Deviation: in use their code scales the units that are left by (p_gen + p_mem)/p_gen; their text, and the
    code of Schoepf et al. (2025), arXiv 2505.17730, does not.
    """
    p_mem, p_gen = (learner.spec.config[name] for name in ("etd", "p_gen"))
    shared = [round(p_gen * width) for width in widths]
    own = [width - count for width, count in zip(widths, shared, strict=True)]
    general = torch.cat(
        [(torch.arange(w) < count).to(torch.float32) for w, count in zip(widths, shared, strict=True)]
    )

    def init(key: Key) -> State:
        params, buffers = learner.init(key)
        return State(params, {**buffers, KEY: torch.tensor(derive(key, "etd"), dtype=torch.int64)})

    def drawn(buffers: Params, keys: Tensor) -> Tensor:
        coined = coins(fold_in(buffers[KEY], keys), sum(own), p_mem)
        every = coined.new_ones(len(coined), max(shared))
        parts = [
            part
            for count, one in zip(shared, coined.split(own, dim=1), strict=True)
            for part in (every[:, :count], one)
        ]
        return torch.cat(parts, dim=1)

    def masks(buffers: Params, x: Tensor) -> Tensor:
        return drawn(buffers, example_keys(x))

    def with_mask(state: State, x: Tensor, mask: Tensor) -> Tensor:
        return score(state, hidden(state, x, mask))

    def features(state: State, x: Tensor) -> Tensor:
        return hidden(state, x, general.to(x.device))

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        del key  # an example's mask is the same in every epoch
        mask = masks(state.buffers, x) if train else general.to(x.device)
        return with_mask(state, x, mask), state.buffers

    tied = Tied(general, masks, drawn, with_mask, learner.dense)
    return replace(learner, init=init, apply=apply, features=features, dense=None, tied=tied)
