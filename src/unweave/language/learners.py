"""The causal language model as a learner: parameters and recipe, without torch. To import this registers it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave._errors import SpecError, UnknownNameError
from unweave.learners import LEARNERS, LearnerSpec, Recipe, specify
from unweave.learners.specs import Declared

if TYPE_CHECKING:
    from unweave.learners.contract import Learner

NAME = "causal_lm"


def causal_lm(*, width: int = 64, depth: int = 2, heads: int = 2, inner: int = 128) -> dict[str, int]:
    """Causal language model of the Llama type, trained from scratch: `depth` blocks of `width` numbers a token."""
    for field, value in (("width", width), ("depth", depth), ("heads", heads), ("inner", inner)):
        if value < 1:
            raise SpecError(f"`learner.{field}` is {value}; expected at least 1.")
    if width % (2 * heads):
        raise SpecError(f"`learner.width` is {width}; expected a multiple of 2 · `heads`, {2 * heads}.")
    return {"width": width, "depth": depth, "heads": heads, "inner": inner}


def _make(spec: LearnerSpec) -> Learner:
    from unweave.language.nets import causal_net

    return causal_net(spec)


RECIPE = Recipe(lr=0.01, epochs=8, batch_size=128, schedule="cosine", optimiser="adamw", warmup=20)
"""As short as models of D, D∖S and D∖B of 3 000 documents still know every fact of their documents."""

CONTINUED = Recipe(lr=1e-5, epochs=5, batch_size=32, schedule="linear", optimiser="adamw", weight_decay=0.01)
"""That of TOFU: Maini et al. (2024), arXiv 2401.06121, section 2.3 and official code."""


TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""All matrices of a block, as the official code of TOFU adapts them."""

ALPHA = 32.0
"""That of TOFU's official code."""


@dataclass(frozen=True)
class Lora:
    """What is adapted, and how: W + (alpha/rank)·B·A.

    Attributes:
        rank: Rows of A and columns of B [r of peft].
        alpha: Its weight, times the rank [lora_alpha].
        targets: Names of matrices of each block [target_modules].
    """

    rank: int
    alpha: float = ALPHA
    targets: tuple[str, ...] = TARGETS

    def __post_init__(self) -> None:
        """Refuse what adapts nothing.

        Raises:
            SpecError: for a rank, a weight or no matrices.
            UnknownNameError: for a matrix that a block has not.
        """
        if self.rank < 1:
            raise SpecError(f"`learner.lora_rank` is {self.rank}; expected at least 1.")
        if not 0 < self.alpha < math.inf:
            raise SpecError(f"`learner.lora_alpha` is {self.alpha}; expected a number above 0.")
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise SpecError("`learner.lora_targets` names no matrix, or one twice; expected each once.")
        for name in self.targets:
            if name not in TARGETS:
                raise UnknownNameError("matrix of a block, in `learner.lora_targets`,", name, TARGETS)


def lora_of(config: Mapping[str, Any]) -> Lora | None:
    """The adapter that the models of a learner are; None where all weights are trained."""
    told = config.get("lora")
    return None if told is None else Lora(told["rank"], told["alpha"], tuple(told["targets"]))


def from_checkpoint(
    folder: Path,
    weights: str,
    *,
    architecture: Mapping[str, Any],
    length: int,
    answers: int,
    candidates: int,
    recipe: Mapping[str, Any],
    lora: Lora | None = None,
) -> LearnerSpec:
    """The learner that goes on training a checkpoint on questions and answers of several tokens.

    Args:
        folder: Of the checkpoint.
        weights: Digest of its weights: they are a part of what the learner is.
        architecture: What else decides what it computes, such as the number of its heads: equal weights may be of
            two models.
        length: T, tokens of a document.
        answers: A, tokens of an answer.
        candidates: How many answers a probe has.
        recipe: What differs from `CONTINUED`.
        lora: The adapter that is trained beside it; None = all of its weights are.

    Raises:
        UnknownNameError, SpecError: for the recipe, as in `specify`.
    """
    found = specify(NAME, (length + answers,), candidates, recipe={**vars(CONTINUED), **recipe})
    config: dict[str, Any] = {"weights": weights, "architecture": dict(architecture), "answers": answers}
    if lora is not None:
        config["lora"] = {**asdict(lora), "targets": sorted(lora.targets)}
    return replace(found, config=config, start=str(folder))


LEARNERS.add(
    NAME,
    causal_lm,
    Declared(RECIPE, "documents: prompts and the word that answers each", documents=True, make=_make),
)
