"""Answers at the end of prompts: what is computed from the logits of the token that answers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._logits import label_margins, log_softmax

Floats = NDArray[np.float64]


class Answers(NamedTuple):
    """What K models answer to n probes, among the candidates.

    Attributes:
        logits: Of the candidates [K, n, C].
        probabilities: softmax of these over the candidates [K, n, C].
        mass: Share of all probability that the candidates have [K, n].
        labels: Place of the right answer among the candidates [n]; None where it was not given.
        margins: φ = z_y − logsumexp of the other candidates [K, n]; None without labels.
    """

    logits: Floats
    probabilities: Floats
    mass: Floats
    labels: NDArray[np.int64] | None
    margins: Floats | None


def answers(
    logits: NDArray[np.floating], candidates: NDArray[np.int64], labels: NDArray[np.int64] | None = None
) -> Answers:
    """Probabilities of candidates as answers, and how far the right one is above the others; all in float64.

    Args:
        logits: [K, n, vocabulary], of the token that answers: what `apply` of the learner returns, model by model.
        candidates: Tokens [C] that may be the answer of any probe, or [n, C] of each; each once.
        labels: The token that is the right answer [n], one of the probe's candidates.

    Raises:
        UserError: for candidates outside the vocabulary, named twice or fewer than two, and for other shapes.

    Example:
        >>> z = np.log([[[0.1, 0.6, 0.2, 0.1]]])
        >>> found = answers(z, np.array([1, 2]), np.array([1]))
        >>> found.probabilities.round(2).tolist(), found.mass.round(2).tolist(), found.margins.round(3).tolist()
        ([[[0.75, 0.25]]], [[0.8]], [[1.099]])
    """
    if logits.ndim != 3 or candidates.ndim not in (1, 2):
        raise UserError(f"Expected logits [K, n, vocabulary] and candidates [C] or [n, C]; got {logits.shape}.")
    n, vocabulary = logits.shape[1:]
    each = np.broadcast_to(candidates, (n, candidates.shape[-1])) if candidates.ndim == 1 else candidates
    if len(each) != n or each.shape[1] < 2 or (labels is not None and labels.shape != (n,)):
        raise UserError(f"Expected two or more candidates and one label for each of {n} probes.")
    if each.min() < 0 or each.max() >= vocabulary:
        raise UserError(f"Candidates are tokens {each.min()}…{each.max()}; the model knows 0…{vocabulary - 1}.")
    if (np.diff(np.sort(each, axis=1), axis=1) == 0).any():
        raise UserError("A token is among the candidates of a probe twice; its probability would count twice.")
    places = None
    if labels is not None:
        right = each == labels[:, None]
        if not right.any(1).all():
            row = int((~right.any(1)).argmax())
            raise UserError(f"The right answer of probe {row}, token {labels[row]}, is none of its candidates.")
        places = right.argmax(1)
    whole = log_softmax(logits)
    chosen = np.take_along_axis(logits.astype(np.float64), each[None], axis=2)
    return Answers(
        chosen,
        np.exp(log_softmax(chosen)),
        np.exp(np.take_along_axis(whole, each[None], axis=2)).sum(-1),
        places,
        None if places is None else label_margins(chosen, places),
    )
