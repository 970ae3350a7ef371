"""The learner of language models: architecture, recipe, and the functions that make, train and ask one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from unweave._random import Key
from unweave.language.model import LlamaConfig, hidden, initial, logits
from unweave.language.training import TokenRecipe
from unweave.learners.contract import Apply, Params, State

NAME = "causal_lm"


@dataclass(frozen=True)
class LanguageSpec:
    """A language model and how it is trained: everything that identifies the training algorithm but the corpus.

    `start` is the `digest` of the weights that training begins with; "" = from scratch.
    """

    config: LlamaConfig
    recipe: TokenRecipe
    start: str = ""

    @property
    def label(self) -> str:
        """The learner in words."""
        return NAME

    def identity(self) -> dict[str, Any]:
        """Everything that makes two learners the same: enters the key of a stored model."""
        known = {"name": NAME, "config": asdict(self.config), "recipe": self.recipe.identity()}
        return known | ({"start": self.start} if self.start else {})


@dataclass(frozen=True)
class LanguageLearner:
    """A learner as `learners.contract.Learner`, of documents in place of examples.

    Attributes:
        spec: What it is.
        init: The model of a key before training.
        apply: `(state, tokens [n, T], train=, key=) → (logits [n, T, V], buffers)` of one model; nothing in it is
            random, and there are no buffers.
        features: `(state, tokens) → vectors [n, T, width]` of one model, after the last norm but for its weights.
        stacked: Models can be trained and asked as a stack.
    """

    spec: LanguageSpec
    init: Callable[[Key], State]
    apply: Apply
    features: Callable[[State, Tensor], Tensor]
    stacked: bool = True


def build(spec: LanguageSpec) -> LanguageLearner:
    """The functions of a language model.

    Example:
        >>> import torch
        >>> learner = build(LanguageSpec(LlamaConfig(7, width=8, inner=8, layers=1), TokenRecipe()))
        >>> learner.apply(learner.init(0), torch.tensor([[1, 2, 3]]), train=False, key=None)[0].shape
        torch.Size([1, 3, 7])
    """
    config = spec.config

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        return logits(config, _stack_of_one(state.params), x.unsqueeze(0)).squeeze(0), state.buffers

    return LanguageLearner(
        spec,
        lambda key: State(initial(config, key), {}),
        apply,
        lambda state, x: hidden(config, _stack_of_one(state.params), x.unsqueeze(0)).squeeze(0),
    )


def _stack_of_one(params: Params) -> Params:
    return {name: value.unsqueeze(0) for name, value in params.items()}
