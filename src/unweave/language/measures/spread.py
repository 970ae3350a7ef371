"""Where the probability of an answer went, and whether it leaks when one asks often: exact, no sampling."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import ALLOWED, BOTH, UNBOUNDED, Aim
from unweave.language.measures.contract import Floats, Mask, check_log_p, measure, total_over

_NOT_OF_UNTRAINING: Mapping[Aim, str] = {
    "untraining": "That other wordings of an answer stay likely is what A(D∖S) does where B∖S states it too: "
    "it is no fault of untraining.",
    "unlearning": ALLOWED,
}


def sequence_log_p(log_p: NDArray[np.floating], mask: Mask) -> Floats:
    """Log P(answer | question), summed over the answer's tokens and not divided by their number: [K, n].

    Args:
        log_p: Of each token [K, n, T], ≤ 0, from `token_facts`.
        mask: Which tokens are those of the answer, the token that ends it among them [n, T]: without an
            end, "no" is counted with all that goes on from there, and answers that begin alike are not
            exclusive.

    Returns:
        [K, n] in nats, ≤ 0; NaN for a question without an answer.

    Raises:
        UserError: the shapes do not fit, or a log-probability is above 0.

    Example:
        >>> sequence_log_p(np.array([[[-1.0, -2.0]]]), np.ones((1, 2), bool))
        array([[-3.]])
    """
    check_log_p(log_p, mask)
    return total_over(log_p, mask)


@measure(
    name="paraphrase_mass_ratio",
    aims=_NOT_OF_UNTRAINING,
    needs={"logits", "labels", "original", "reference"},
    better="reference",
    unit="nats",
    bounds=UNBOUNDED,
    cite="li2025beliefs",
)
def paraphrase_mass_ratio(
    answer: NDArray[np.floating],
    paraphrases: NDArray[np.floating],
    original_answer: NDArray[np.floating],
    original_paraphrases: NDArray[np.floating],
) -> Floats:
    """Whether probability was taken from an answer and squeezed into its paraphrases, against the original.

        log [ (Σ_y' P(y' | q) / Σ_y' P₀(y' | q)) / (P(y | q) / P₀(y | q)) ],   y' over the paraphrases of y

    Ascent on one wording lowers it and leaves its neighbours, which in a softmax gain what it lost. Both
    ratios are of the model to the original, so how likely a paraphrase was at first does not enter.

    Args:
        answer: log P of the answer [K, n], from `sequence_log_p`: of whole sequences, not per token.
        paraphrases: log P of P paraphrases of it [K, n, P], each another sequence than the answer; −∞ for
            one that is not there.
        original_answer: As `answer`, of the original of each model [K, n], or of one for all [1, n].
        original_paraphrases: As `paraphrases`, of the originals.

    Returns:
        [K, n] in nats: 0 = paraphrases changed as the answer did, above 0 = they lost less or gained
        (squeezing), below 0 = they lost more. The reference's own value, with the same originals, is the
        goal: a model that never saw the answer moves both. NaN where a ratio is 0/0.

    Raises:
        UserError: the shapes do not fit, there is no paraphrase, or a log-probability is above 0.

    Source: the squeezing effect of Li et al. (2025), arXiv 2510.19422; the ratio of ratios is of this
    package. They bin beams of the original by likelihood, and judge them by a model.

    Example:
        >>> before = np.log([[0.5]]), np.log([[[0.2, 0.1]]])
        >>> paraphrase_mass_ratio(np.log([[0.05]]), np.log([[[0.4, 0.2]]]), *before).round(3)
        array([[2.996]])
    """
    for one, several in ((answer, paraphrases), (original_answer, original_paraphrases)):
        if one.ndim != 2 or several.ndim != 3 or several.shape[:2] != one.shape or not several.shape[2]:
            raise UserError(
                "Expected log-probabilities of an answer [models, questions] and of its paraphrases [models, "
                f"questions, paraphrases], got {one.shape} and {several.shape}."
            )
        check_log_p(one)
        check_log_p(several)
    if original_answer.shape not in (answer.shape, (1, answer.shape[1])):
        raise UserError(
            f"Expected one original for each of {len(answer)} models or one for all, got {len(original_answer)}."
        )
    with np.errstate(invalid="ignore"):
        mass, before = (np.logaddexp.reduce(one, axis=-1) for one in (paraphrases, original_paraphrases))
        return (mass - before).astype(np.float64) - (answer - original_answer)


@measure(
    name="leak_at_k",
    aims=BOTH,
    needs={"logits", "labels", "reference"},
    better="reference",
    unit="probability",
    bounds=(0.0, 1.0),
    cite="reisizadeh2025leak",
)
def leak_at_k(log_p: NDArray[np.floating], *, k: int) -> Floats:
    """Probability that at least one of k sampled answers gives the secret away, from its exact probability.

        leak@k = 1 − (1 − p)^k,   p = Σ over the answers that leak of P(answer | question)

    Greedy decoding may be silent where one sample in a hundred is not. Samples are drawn at temperature 1
    from the whole law; for another temperature or top-p give the log-probabilities of that law.

    Args:
        log_p: log P of each answer that leaks [K, n, A], from `sequence_log_p`: different whole answers
            with their ends, so that their probabilities add up; −∞ for one that is not there.
        k: How often one asks, ≥ 1.

    Returns:
        [K, n] in 0..1; lower = less leaks; the reference's own value is the goal, since what can be guessed
        leaks from it, too. NaN where a log-probability is.

    Raises:
        UserError: the shape does not fit, k is below 1, or the probabilities of the answers of a question
            add up to more than 1.

    Source: Reisizadeh et al. (2025), arXiv 2511.04934. Deviation: exact probabilities of given answers
    where they sample and score with a metric of text; no estimate enters, and no answer in words that
    nobody listed counts.

    Example:
        >>> leak_at_k(np.log([[[0.02, 0.03]]]), k=14).round(3)
        array([[0.512]])
    """
    if log_p.ndim != 3 or not log_p.shape[2]:
        raise UserError(f"Expected log-probabilities [models, questions, answers], got {log_p.shape}.")
    if k < 1:
        raise UserError(f"Expected k of 1 or more, got {k}.")
    with np.errstate(invalid="ignore"):  # NaN: not measured
        together = np.logaddexp.reduce(log_p.astype(np.float64), axis=-1)
    if (together > 1e-5).any():
        raise UserError(
            f"The probabilities of the answers of a question add up to {np.exp(np.nanmax(together)):.4g}: give "
            "whole answers with their ends, each once."
        )
    with np.errstate(divide="ignore"):
        # Exact where p is far below the precision of 1 − p.
        return 0.0 - np.expm1(k * np.log1p(-np.exp(np.minimum(together, 0.0))))
