"""The causal language model as a learner: parameters and recipe, without torch. To import this registers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave._errors import SpecError
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


def from_checkpoint(
    folder: Path, weights: str, *, length: int, answers: int, candidates: int, recipe: Mapping[str, Any]
) -> LearnerSpec:
    """The learner that goes on training a checkpoint on questions and answers of several tokens.

    Args:
        folder: Of the checkpoint.
        weights: Digest of its weights: they are a part of what the learner is.
        length: T, tokens of a document.
        answers: A, tokens of an answer.
        candidates: How many answers a probe has.
        recipe: What differs from `CONTINUED`.

    Raises:
        UnknownNameError, SpecError: for the recipe, as in `specify`.
    """
    found = specify(NAME, (length + answers,), candidates, recipe={**vars(CONTINUED), **recipe})
    return replace(found, config={"weights": weights, "answers": answers}, start=str(folder))


LEARNERS.add(
    NAME,
    causal_lm,
    Declared(RECIPE, "documents: prompts and the word that answers each", documents=True, make=_make),
)
