"""Learners whose products of matrices and convolutions are in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from unweave.learners.contract import Learner, Params, State


def in_bfloat16(learner: Learner) -> Learner:
    """The same learner with a forward pass, and hence a backward pass, in mixed precision.

    Products of matrices and convolutions take and give bfloat16, with 8 bits in place of 24; parameters, running
    statistics, losses and logits stay float32. It pays where a processor has units for it, as GPUs have.

    Source: Micikevicius et al. (2018), arXiv 1710.03740, as `torch.autocast` has it.
    """

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            logits, buffers = learner.apply(state, x, train=train, key=key)
        return logits.float(), buffers

    def features(state: State, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            return learner.features(state, x).float()

    tied = learner.tied
    if tied is not None:
        tied = tied._replace(apply=_in_bfloat16(tied.apply), depth=None)
    # The step by hand is in float32.
    return replace(learner, apply=apply, features=features, dense=None, tied=tied)


def _in_bfloat16(apply: Callable[[State, Tensor, Tensor], Tensor]) -> Callable[[State, Tensor, Tensor], Tensor]:
    def with_mask(state: State, x: Tensor, mask: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            return apply(state, x, mask).float()

    return with_mask
