"""TOFU's numbers per question: probability of an answer, truth ratio in all its forms, and model utility."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import BOTH
from unweave.language.measures.contract import Floats, Mask, check_log_p, mean_over, measure
from unweave.metrics.contract import ON_ORDINARY

Average = Literal["geometric", "arithmetic"]


@measure(
    name="answer_probability",
    aims=BOTH,
    needs={"logits", "labels", "reference"},
    better="reference",
    unit="probability per token",
    bounds=(0.0, 1.0),
    cite="maini2024tofu",
)
def answer_probability(log_p: NDArray[np.floating], mask: Mask) -> Floats:
    """Probability of the answer to each question, to the power 1/T: the geometric mean over its tokens.

        P(a | q)^{1/T} = exp(1/T · Σ_t log π(a_t | q, a before t))

    Args:
        log_p: Of each token [K, n, T], ≤ 0, from `token_facts`.
        mask: Which tokens are those of the answer [n, T].

    Returns:
        [K, n] in 0..1; lower = less known; on the forget set the reference's value is the goal, since a
        question may be answered without having been seen. NaN for a question without an answer.

    Raises:
        UserError: the shapes do not fit, or a log-probability is above 0.

    Source: Maini et al. (2024), arXiv 2401.06121, section 2.2.2, Probability, on forget and retain set.
    Official code is the same: exp(−`avg_gt_loss`).

    Example:
        >>> answer_probability(np.log([[[0.5, 0.125]]]), np.array([[True, True]])).round(3)
        array([[0.25]])
    """
    check_log_p(log_p, mask)
    return np.exp(mean_over(log_p, mask))


@measure(
    name="choice_probability",
    aims=BOTH,
    needs={"logits", "labels", "reference"},
    better="reference",
    unit="probability",
    bounds=(0.0, 1.0),
    cite="maini2024tofu",
)
def choice_probability(right: NDArray[np.floating], wrong: NDArray[np.floating]) -> Floats:
    """Probability of the right answer among the options of each question: for real authors and world facts.

        P(a | q)^{1/|a|} / (P(a | q)^{1/|a|} + Σ_w P(w | q)^{1/|w|})

    Args:
        right: Mean log-probability per token of the right answer [K, n], ≤ 0.
        wrong: The same of P wrong ones [K, n, P].

    Returns:
        [K, n] in 0..1; higher = better known; 1/(1 + P) = a guess. NaN where one is.

    Raises:
        UserError: the shapes do not fit, there is no wrong answer, or a log-probability is above 0.

    Source: Maini et al. (2024), arXiv 2401.06121, section 2.2.2, Probability, on real authors and world
    facts.

    Example:
        >>> choice_probability(np.log([[0.3]]), np.log([[[0.1, 0.2]]])).round(3)
        array([[0.5]])
    """
    _check(right, wrong)
    together = np.concatenate([right[..., None], wrong], axis=-1).astype(np.float64)
    highest = together.max(-1, keepdims=True)
    p = np.exp(together - np.where(np.isfinite(highest), highest, 0.0))
    with np.errstate(invalid="ignore"):
        return p[..., 0] / p.sum(-1)


@measure(
    name="truth_ratio",
    aims=BOTH,
    needs={"logits", "labels", "reference"},
    better="reference",
    unit="ratio",
    bounds=(0.0, np.inf),
    cite="maini2024tofu",
)
def truth_ratio(
    paraphrased: NDArray[np.floating], perturbed: NDArray[np.floating], *, average: Average = "geometric"
) -> Floats:
    """How likely wrong answers of the same form are, relative to the right one in other words.

        R = mean over perturbed â of P(â | q)^{1/|â|} / P(ã | q)^{1/|ã|},   ã the paraphrased answer

    One ratio per question: a ratio of means over questions is another number. What is made of R, on the
    forget set and elsewhere, has functions of its own: `nearness_to_one`, `advantage_of_truth`,
    `share_of_truth`, and `forget_quality` compares the R of two models as they are.

    Args:
        paraphrased: Mean log-probability per token of ã [K, n], ≤ 0. Real authors and world facts have no
            other
            words: the answer itself.
        perturbed: The same of P perturbed answers [K, n, P].
        average: Mean of probabilities over perturbed answers: `geometric`, exp of the mean of mean
            log-probabilities, is what the official code, its logs and later code bases compute,
            `arithmetic` is the paper's.

    Returns:
        [K, n], ≥ 0: below 1 the truth is likelier, at 1 it cannot be told. Higher = less known; the
        reference's value is the goal. NaN where one is.

    Raises:
        UserError: the shapes do not fit, there is no perturbed answer, a log-probability is above 0, or the
            average is another.

    Source: Maini et al. (2024), arXiv 2401.06121, equation 1. Deviation: geometric unless said otherwise,
    so that published numbers are met; forget quality in the official code compares 1/R, with the same
    result.

    Example:
        >>> wrong = np.log([[[0.4, 0.1]]])
        >>> for average in ("geometric", "arithmetic"):
        ...     print(truth_ratio(np.log([[0.5]]), wrong, average=average).round(2).item())
        0.4
        0.5
    """
    _check(paraphrased, perturbed)
    wrong, right = perturbed.astype(np.float64), paraphrased.astype(np.float64)
    if average == "geometric":
        mean = wrong.mean(-1)
    elif average == "arithmetic":
        with np.errstate(invalid="ignore"):  # NaN: not measured
            mean = np.logaddexp.reduce(wrong, axis=-1) - np.log(wrong.shape[-1])
    else:
        raise UserError(f"Expected the average `geometric` or `arithmetic`, got {average!r}.")
    # A ratio beyond floating point is infinite; 0/0, where no answer has any probability, is no number.
    with np.errstate(invalid="ignore", over="ignore"):
        return np.exp(mean - right)


def nearness_to_one(ratios: NDArray[np.floating]) -> Floats:
    """min(R, 1/R): what TOFU reports of the forget set; 1 where right and wrong cannot be told apart.

    Args:
        ratios: Truth ratios, of any shape, ≥ 0.

    Returns:
        Of their shape, in 0..1; higher = truth and falsehood are as likely. A mean over questions is the
        caller's.

    Source: Maini et al. (2024), arXiv 2401.06121, official code (`closer_to_1_better` in later code, which
    adds 1e-10 to denominators). The paper has none of it.

    Example:
        >>> nearness_to_one(np.array([0.0, 0.5, 1.0, 4.0])).tolist()
        [0.0, 0.5, 1.0, 0.25]
    """
    with np.errstate(divide="ignore"):
        return np.minimum(ratios.astype(np.float64), 1 / ratios)


def advantage_of_truth(ratios: NDArray[np.floating]) -> Floats:
    """max(0, 1 − R): what enters model utility; 1 where wrong answers have no probability.

    Args:
        ratios: Truth ratios, of any shape, ≥ 0.

    Returns:
        Of their shape, in 0..1; higher = the truth is likelier.

    Source: Maini et al. (2024), arXiv 2401.06121, section 2.2.2 (`true_better` in later code).

    Example:
        >>> advantage_of_truth(np.array([0.0, 0.25, 4.0])).tolist()
        [1.0, 0.75, 0.0]
    """
    return np.maximum(0.0, 1 - ratios.astype(np.float64))


def share_of_truth(ratios: NDArray[np.floating]) -> Floats:
    """1/(1 + R): share of the truth in the probability of truth and falsehood; a third form, of later code.

    Args:
        ratios: Truth ratios, of any shape, ≥ 0.

    Returns:
        Of their shape, in 0..1; higher = the truth is likelier; .5 where it cannot be told.

    Source: later public code aggregates correct/(correct + wrong) as memorization (`prob_mean`), under the
    name of truth ratio; it rises where `nearness_to_one` falls.

    Example:
        >>> share_of_truth(np.array([0.0, 1.0, 3.0])).tolist()
        [1.0, 0.5, 0.25]
    """
    return 1 / (1 + ratios.astype(np.float64))


@measure(
    name="model_utility",
    aims=BOTH,
    needs={"logits", "labels"},
    better="higher",
    unit="none",
    bounds=(0.0, 1.0),
    cite="maini2024tofu",
    not_on=ON_ORDINARY,
)
def model_utility(parts: NDArray[np.floating]) -> Floats:
    """Harmonic mean of nine: probability, ROUGE-L recall and truth ratio on retain set, real authors, world facts.

        utility_k = 9 / Σ 1/part,   0 if a part is 0

    Parts are means over questions: of `answer_probability` (retain) or `choice_probability` (the other
    two), of ROUGE-L recall, of `advantage_of_truth`. One part near 0 takes all with it, unlike in an
    arithmetic mean.

    Args:
        parts: [K, sets, kinds] in 0..1: three sets by three kinds, as published. Two kinds (without ROUGE,
            which needs generated text) or other sets are the same formula and not comparable with published
            numbers.

    Returns:
        [K] in 0..1; higher = better, and at best as the reference, which has a value of its own. NaN where
        a part is.

    Raises:
        UserError: the shape does not fit, there is no part, or one is not in 0..1, as percents are not.

    Source: Maini et al. (2024), arXiv 2401.06121, section 2.2.2, Model Utility.

    Example:
        >>> model_utility(np.array([[[0.5, 0.5], [0.5, 0.1]]])).round(3)
        array([0.25])
    """
    if parts.ndim != 3 or 0 in parts.shape[1:]:
        raise UserError(f"Expected parts [models, sets, kinds], (K, 3, 3) as published, got {parts.shape}.")
    flat = parts.reshape(len(parts), parts.shape[1] * parts.shape[2]).astype(np.float64)
    if (flat < 0).any() or (flat > 1).any():
        raise UserError(f"Expected parts from 0 to 1, got {np.nanmin(flat):g}..{np.nanmax(flat):g}.")
    with np.errstate(divide="ignore"):
        return flat.shape[1] / (1 / flat).sum(1)


@measure(
    name="utility_without_rouge",
    aims=BOTH,
    needs={"logits", "labels"},
    better="higher",
    unit="none",
    bounds=(0.0, 1.0),
    cite="maini2024tofu",
    not_on=ON_ORDINARY,
)
def utility_without_rouge(parts: NDArray[np.floating]) -> Floats:
    """Harmonic mean of six: probability and truth ratio on retain set, real authors and world facts.

        utility_k = 6 / Σ 1/part,   0 if a part is 0

    It is `model_utility` without its three parts in ROUGE-L, and has a name of its own because the two are not
    comparable: those parts are of text that a model writes. Here no text is written.

    Args:
        parts: [K, 3, 2] in 0..1: means over questions of `answer_probability` (retain) or `choice_probability`
            (the other two), and of `advantage_of_truth`.

    Returns:
        [K] in 0..1; higher = better, and at best as the reference, which has a value of its own. NaN where a part
        is.

    Raises:
        UserError: the shape does not fit, or a part is not in 0..1.

    Source: Maini et al. (2024), arXiv 2401.06121, section 2.2.2, Model Utility. Deviation: without ROUGE-L recall.

    Example:
        >>> utility_without_rouge(np.array([[[0.5, 0.5], [0.5, 0.5], [0.5, 0.1]]])).round(3)
        array([0.3])
    """
    if parts.shape[1:] != (3, 2):
        raise UserError(f"Expected parts [models, 3 sets, 2 kinds], got {parts.shape}.")
    return model_utility(parts)


def _check(right: NDArray[np.floating], wrong: NDArray[np.floating]) -> None:
    if right.ndim != 2 or wrong.ndim != 3 or wrong.shape[:2] != right.shape or not wrong.shape[2]:
        raise UserError(
            "Expected mean log-probabilities per token of one answer [models, questions] and of others [models, "
            f"questions, answers], got {right.shape} and {wrong.shape}."
        )
    check_log_p(right)
    check_log_p(wrong)
