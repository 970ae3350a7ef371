"""LoRA adapters: two narrow matrices beside some of a frozen model, which alone are trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from unweave._errors import SpecError
from unweave._random import Key, derive
from unweave.language.learners import Lora
from unweave.language.model import LORA_A, LORA_B, LlamaConfig, shapes
from unweave.learners.contract import Params


def adapted(config: LlamaConfig, lora: Lora) -> tuple[str, ...]:
    """The matrices of a model that are adapted, by their names in `transformers` without `.weight`.

    Example:
        >>> adapted(LlamaConfig(10, layers=1), Lora(2, targets=("q_proj",)))
        ('model.layers.0.self_attn.q_proj',)
    """
    every = (name.removesuffix(".weight") for name in shapes(config))
    return tuple(name for name in every if name.rpartition(".")[2] in lora.targets)


def check_rank(config: LlamaConfig, lora: Lora) -> None:
    """Refuse a rank beyond the smaller side of a matrix: such an adapter would hold more than the matrix.

    Raises:
        SpecError: naming the matrix.
    """
    for name in adapted(config, lora):
        out, into = shapes(config)[f"{name}.weight"]
        if lora.rank > min(out, into):
            raise SpecError(
                f"`learner.lora_rank` is {lora.rank}; `{name}` is {out} × {into}, whose rank is at most "
                f"{min(out, into)}. Take less, or leave it out to train all weights."
            )


def initial(config: LlamaConfig, lora: Lora, key: Key) -> Params:
    """The two matrices of each one that is adapted, before training: A from U(−1/√in, 1/√in), B of zeros.

    So the model is the checkpoint as it was read. This is the law of `peft`, drawn by a key.
    """
    rng = torch.Generator().manual_seed(derive(key, "weights"))
    found: Params = {}
    for name in adapted(config, lora):
        out, into = shapes(config)[f"{name}.weight"]
        bound = 1 / math.sqrt(into)
        found[f"{name}{LORA_A}"] = torch.empty(lora.rank, into).uniform_(-bound, bound, generator=rng)
        found[f"{name}{LORA_B}"] = torch.zeros(out, lora.rank)
    return found


def beside(base: Params, names: Sequence[str], own: Params, lora: Lora) -> Params:
    """A frozen model with an adapter beside it, as `model.hidden` takes it: B is multiplied by alpha/rank.

    Args:
        base: Weights of the frozen model, a stack.
        names: From `adapted`.
        own: The adapter's matrices, a stack, by the names of `initial`.
        lora: Its scale.
    """
    found = dict(base)
    for name in names:
        found[f"{name}{LORA_A}"] = own[f"{name}{LORA_A}"]
        found[f"{name}{LORA_B}"] = own[f"{name}{LORA_B}"] * (lora.alpha / lora.rank)
    return found
