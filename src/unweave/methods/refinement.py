"""Refinement of S into parts that are alike (RUM): scores to divide it by, and names of a method for each part."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from unweave._errors import SpecError, UnknownNameError
from unweave._random import Key
from unweave._registry import Entry
from unweave.learners.contract import Learner, State
from unweave.methods.budgets import Within
from unweave.methods.contract import METHODS, Declared, Examples, Method
from unweave.methods.loop import Edited
from unweave.methods.meta import Several, check_history, declared_of, in_a_row, random_scores, run_assigned
from unweave.training.engine import unstack
from unweave.training.outputs import logits
from unweave.training.replay import Training

CITE = "zhao2024what"
"""Key of the source of RUM."""

SCORES = {
    "confidence": "how little the originals believe the labels of S, on average: 1 − p(y|x)",
    "embedding": "how far S is from the centroid of D∖S in the features of the originals",
    "shuffled": "nothing: the control by random parts of the same sizes",
}
"""What S can be divided by, and what it is; the lowest part is handled first."""

GIVEN_SCORES = {
    "memorization": "how far models know S by heart: mem(i) from models of random parts of D",
    "learning": "how late the originals came to believe the labels of S: 1 − p(y|x), mean over their epochs",
}
"""What else S can be divided by, which originals alone do not tell: `compare` finds it, `rum` is given it."""

_BY = re.compile(r"(?P<parts>.+)\sby\s+(?P<by>\S+)")
_PARTS = re.compile(r"\s*/\s*")
_LABELS = {2: ("low", "high"), 3: ("low", "medium", "high")}
_CHUNK = 512


class Assignment(NamedTuple):
    """A method for each part of S, to be given to `rum`.

    Attributes:
        methods: One per part, lowest scores first.
        by: What S is divided by, a name of `SCORES` or `GIVEN_SCORES`.
    """

    methods: tuple[Method, ...]
    by: str


@dataclass(frozen=True)
class Assigned(Several):
    """A registered method for each part of S under one name: `noop / finetune / scrub by confidence`."""

    by: str = ""

    @property
    def summary(self) -> str:
        """What the parts are handled by."""
        return f"S in {len(self.parts)} parts by {self.by}: {', '.join(entry.name for _, entry in self.parts)}."

    def build(self, **given: Any) -> Assignment:
        """The methods, each with its parameters: `low.lr`, `medium.lr`, `high.lr`.

        Raises:
            UnknownNameError: for a parameter that no part has; near names are offered.
            SpecError: for methods of which one takes steps of training back after another, as `run_assigned`.
        """
        methods = self.built_parts(given)
        check_history(methods)
        return Assignment(tuple(methods), self.by)


def labels(parts: int) -> tuple[str, ...]:
    """What the parts of S are called where they have parameters.

    Example:
        >>> labels(2), labels(3), labels(4)[-1]
        (('low', 'high'), ('low', 'medium', 'high'), 'part4')
    """
    return _LABELS.get(parts) or tuple(f"part{number + 1}" for number in range(parts))


def assigned_name(methods: Sequence[str], by: str) -> str:
    """The name of a method for each part of S.

    Example:
        >>> assigned_name(["noop", "finetune", "scrub"], "confidence")
        'noop / finetune / scrub by confidence'
    """
    return f"{' / '.join(methods)} by {by}"


def names_parts(name: str) -> bool:
    """Whether a name is that of a method for each part of S.

    Example:
        >>> names_parts("noop / scrub by confidence"), names_parts("noop then scrub")
        (True, False)
    """
    return _split(name) is not None


def _split(name: str) -> tuple[list[str], str] | None:
    found = _BY.fullmatch(name.strip())
    names = [] if found is None else _PARTS.split(found["parts"].strip())
    return None if found is None or len(names) < 2 else (names, found["by"])


def compose_parts(name: str) -> Entry[Declared] | None:
    """The entry of `a / b / c by score`, or of `a then b`; None for a name that is not of several."""
    found = _split(name)
    if found is None:
        row = in_a_row(name)
        if isinstance(row, Several) and any(isinstance(part, Assigned) for _, part in row.parts):
            raise SpecError(f"{name!r}: a method for each part of S cannot be one of several in a row.")
        return row
    names, by = found
    if by not in SCORES | GIVEN_SCORES:
        raise UnknownNameError("score to divide S by", by, SCORES | GIVEN_SCORES)
    entries = [METHODS.get(one) for one in names]
    parts = tuple(zip(labels(len(entries)), entries, strict=True))
    equation = "Section 6; " + ", ".join(f"{label}: {entry.declared.equation}" for label, entry in parts)
    declared = declared_of(parts, cite=CITE, equation=equation)
    # Parts still to come are retained, and the embedding is compared with that of D∖S.
    declared = replace(declared, needs=declared.needs | {"original", "forget", "retain"})
    named = assigned_name([entry.name for entry in entries], by)
    return Assigned(named, entries[0].factory, declared, parts, by)


def confidence_scores(learner: Learner, original: State, forget: Examples) -> NDArray[np.float64]:
    """How little the originals believe the labels of S.

        s(i) = 1 − mean_k p_k(y_i | x_i)

    Args:
        learner: The learner that made the originals.
        original: K models, stacked.
        forget: S with the labels it was trained on, n examples.

    Returns:
        [n] in 0..1; low: believed, as what is not memorised is; high: hard to learn.

    Source: Zhao & Triantafillou (2024), arXiv 2410.16516, where the confidence goes down as memorisation goes up,
    hence the sign. Deviation: theirs is the mean over the epochs of training of one model; this is the end of it,
    where labels learned by heart are believed as well, as the mean over K models.
    """
    given = logits(learner, original, forget.x).double().log_softmax(-1)
    own = given[:, torch.arange(len(forget.y), device=given.device), forget.y]
    return -torch.expm1(own).mean(0).cpu().numpy()


def embedding_scores(learner: Learner, original: State, forget: Examples, retain: Examples) -> NDArray[np.float64]:
    """How far each example of S is from the centroid of D∖S in the features of the originals.

        s(i) = mean_k ‖φ_k(x_i) − μ_k‖ / mean_{x ∈ D∖S} ‖φ_k(x) − μ_k‖,   μ_k = mean_{x ∈ D∖S} φ_k(x)

    Args:
        learner: The learner that made the originals.
        original: K models, stacked.
        forget: S, n examples.
        retain: D∖S.

    Returns:
        [n] ≥ 0, in mean distances of D∖S; low: near the centroid.

    Source: Zhao et al. (2024), arXiv 2406.01257; the released code sorts all of D by the distance to its centroid
    and takes a near group for low entanglement and the farthest for high (the 4th and last of 15). Deviations: the
    centroid is that of D∖S, and distances are relative, so that all K models count alike. The entanglement of
    the paper is a number of a set and not of an example, and need not go up with this distance.
    """
    total = np.zeros(len(forget.y))
    models = unstack(original)
    for state in models:  # one at a time: features of all of D for a whole stack may not fit
        kept, asked = (_features(learner, state, one.x) for one in (retain, forget))
        centre = kept.mean(0)
        total += ((asked - centre).norm(dim=1) / (kept - centre).norm(dim=1).mean()).cpu().numpy()
    return total / len(models)


def _features(learner: Learner, state: State, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([learner.features(state, part) for part in x.split(_CHUNK)]).double()


def scores_by(
    by: str, learner: Learner, original: State, *, forget: Examples, retain: Examples, seed: Key
) -> NDArray[np.float64]:
    """The scores of a name of `SCORES` for every example of S [n], the same for all K models.

    Raises:
        SpecError: for a name of `GIVEN_SCORES`, which the originals do not tell.
        UnknownNameError: for a name that is not one of them.
    """
    if by in GIVEN_SCORES:
        raise SpecError(
            f"by = {by!r} is not known from the originals alone: give the scores themselves, one number per "
            "example of S; `compare` does so."
        )
    if by == "confidence":
        return confidence_scores(learner, original, forget)
    if by == "embedding":
        return embedding_scores(learner, original, forget, retain)
    if by == "shuffled":
        return random_scores(len(forget.y), seed)
    raise UnknownNameError("score to divide S by", by, SCORES)


def rum(
    methods: Method | Within | Sequence[Method | Within],
    learner: Learner,
    original: State,
    *,
    by: str | ArrayLike,
    forget: Examples,
    retain: Examples,
    keys: Sequence[Key],
    parts: int | None = None,
    seed: Key = 0,
    validation: Examples | None = None,
    training: Training | None = None,
    chunk: int | None = None,
) -> Edited:
    """Refine S into parts that are alike, and hand each to a method, lowest scores first (RUM).

    One method for all parts is refinement alone (RUM^F); `by="shuffled"` is its control by random parts of the
    same sizes; `parts=1` is the method on all of S, to the bit. A method takes as many epochs on a part as on all
    of S, so that three parts cost up to three runs: a fair control of that is `npo then npo then npo`. All K
    models share one division of S.

    Args:
        methods: One for all parts, or one per part, lowest scores first, as `run` takes them.
        learner: The learner that made the originals.
        original: K models, stacked; left untouched.
        by: A name of `SCORES`, or one number per example of S [n], such as how far it was memorised.
        forget: S with the labels it was trained on.
        retain: D∖S with the labels it was trained on.
        keys: One key per model.
        parts: Number of parts; None = 3 for one method, or as many as there are methods.
        seed: Of the parts by `shuffled`; unused for others.
        validation: Examples that no model was trained on; only for methods that need them.
        training: How the originals were trained; only for methods that need their history.
        chunk: Models per stack; None = what is found fastest here.

    Returns:
        The edited stack, as of `run_assigned`, which says what each step is given.

    Raises:
        SpecError: for a number of parts that is not that of the methods, or scores that do not fit S.
        UnknownNameError: for a name that is no score.
        UserError: as `run` does.

    Source: Zhao et al. (2024), arXiv 2406.01257, section 6; see `run_assigned`, `confidence_scores` and
    `embedding_scores` for what differs.

    Example:
        >>> from unweave import testing
        >>> from unweave.methods import METHODS
        >>> toy = testing.small_toy()
        >>> sets = {"forget": toy.forget, "retain": toy.retain, "keys": toy.keys}
        >>> rum(METHODS.get("npo").build(), toy.learner, toy.originals, by="confidence", **sets).note
        'parts of S, lowest scores first: 4, 3, 3'
    """
    # A method is a tuple itself.
    each = [methods] * (3 if parts is None else parts) if isinstance(methods, Method | Within) else list(methods)
    if parts is not None and len(each) != parts:
        raise SpecError(f"{len(each)} methods were assigned to {parts} parts of S; expected one per part.")
    scores = (
        scores_by(by, learner, original, forget=forget, retain=retain, seed=seed) if isinstance(by, str) else by
    )
    return run_assigned(
        each,
        learner,
        original,
        scores=scores,
        forget=forget,
        retain=retain,
        keys=keys,
        validation=validation,
        training=training,
        chunk=chunk,
    )
