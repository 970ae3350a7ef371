"""The causal language model as a learner: parameters and recipe, without torch. To import this registers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave._errors import SpecError
from unweave.learners import LEARNERS, LearnerSpec, Recipe
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


RECIPE = Recipe(lr=0.01, epochs=17, batch_size=128, schedule="cosine", optimiser="adamw", warmup=20)
"""17 passes over 3 000 documents, the 400 steps of 128 documents of docs/language-models.md."""

LEARNERS.add(
    NAME,
    causal_lm,
    Declared(RECIPE, "documents: prompts and the word that answers each", documents=True, make=_make),
)
