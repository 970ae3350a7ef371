"""Logs of TOFU's evaluation, as published: losses and ROUGE per question, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from unweave._errors import UserError
from unweave._types import NotMeasured
from unweave.language.measures.contract import Floats
from unweave.language.measures.forget_quality import forget_quality_effect, forget_quality_p
from unweave.language.measures.tofu import (
    Average,
    advantage_of_truth,
    choice_probability,
    model_utility,
    truth_ratio,
)

Part = Literal["forget", "retain", "real authors", "world facts"]
PARTS: Mapping[Part, str] = {
    "retain": "eval_log.json",
    "real authors": "eval_real_author_wo_options.json",
    "world facts": "eval_real_world_wo_options.json",
    "forget": "eval_log_forget.json",
}
"""The sets of questions, by the names that their logs have in a file of all."""
_UTILITY: tuple[Part, ...] = ("retain", "real authors", "world facts")


class Questions(NamedTuple):
    """What one model was asked of one set of questions.

    Attributes:
        prompts: The questions as the model read them, n of them.
        answer: Mean log-probability per token of the answer [n], ≤ 0: minus `avg_gt_loss`.
        paraphrased: The same of the answer in other words [n].
        perturbed: The same of P wrong answers [n, P].
        rouge: ROUGE-L recall of what was generated [n], 0..1.
        stored: The truth ratio that the log has itself [n]; NaN where it has none.
    """

    prompts: tuple[str, ...]
    answer: Floats
    paraphrased: Floats
    perturbed: Floats
    rouge: Floats
    stored: Floats

    def ratios(self, *, average: Average = "geometric") -> Floats:
        """The truth ratio of each question [n], by `truth_ratio`."""
        return truth_ratio(self.paraphrased[None], self.perturbed[None], average=average)[0]


def read_tofu_log(path: Path) -> dict[Part, Questions]:
    """Read a file of all evaluation logs of one model, as TOFU's code writes it.

    A JSON object that has, under the names in `PARTS`, for each quantity an object from the number of the
    question to its value. Values go together by that number, in whatever order they stand.

    Args:
        path: The file, such as `eval_log_aggregated.json`.

    Returns:
        The sets of questions that the file has.

    Raises:
        UserError: the file is no such log, a quantity is missing or has other questions than the rest, or a
            value is no finite number in its range: what, and where it stands.
    """
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"The log {path} cannot be read as JSON: {error}.") from None
    known: list[Part] = [part for part in PARTS if isinstance(whole, dict) and PARTS[part] in whole]
    if not known:
        raise UserError(
            f"{path} is no log of TOFU's evaluation: expected an object with {', '.join(PARTS.values())}."
        )
    return {part: _questions(whole[PARTS[part]], f"{path}, `{PARTS[part]}`") for part in known}


def log_utility(log: Mapping[Part, Questions]) -> float:
    """Model utility of a log: the harmonic mean of nine, from `model_utility`, in 0..1; higher is better.

    Args:
        log: From `read_tofu_log`.

    Raises:
        UserError: one of the three sets of questions is not in the log.

    Source: Maini et al. (2024), arXiv 2401.06121, official code (`get_model_utility`).
    """
    if missing := [part for part in _UTILITY if part not in log]:
        raise UserError(f"Model utility needs the questions on {', '.join(missing)}, which the log does not have.")
    parts: list[list[float]] = []
    for name in _UTILITY:
        of = log[name]
        choice = choice_probability(of.answer[None], of.perturbed[None])[0]
        known = np.exp(of.answer) if name == "retain" else choice
        parts.append([float(known.mean()), float(of.rouge.mean()), float(advantage_of_truth(of.ratios()).mean())])
    return float(model_utility(np.array([parts]))[0])


class ForgetQuality(NamedTuple):
    """Effect D in 0..1 and p-value of the two-sample Kolmogorov–Smirnov test, and on how many questions each."""

    effect: float
    p: float
    questions: int
    reference_questions: int


def log_forget_quality(
    log: Mapping[Part, Questions], reference: Mapping[Part, Questions], *, pooled: bool = False
) -> ForgetQuality | NotMeasured:
    """Forget quality of one model beside one reference, from their logs.

    One model beside one reference has no interval: it says nothing of other seeds. With several of each
    stack their ratios and take `forget_quality_leave_outs`.

    Args:
        log: Of the model, from `read_tofu_log`.
        reference: Of the model trained without the forget set.
        pooled: Whether all questions of both logs are compared, as the official code does whatever they
            ask. Of published logs, one has 300 questions and its reference 200, of which 100 are the same,
            or 40, of which none is: D then says how the questions differ, too. Otherwise only those that
            both were asked.

    Returns:
        Effect and p-value, or `NotMeasured` where no question is the same.

    Raises:
        UserError: a log has no questions on the forget set, or one question twice.

    Source: Maini et al. (2024), arXiv 2401.06121, official code (`get_forget_quality`).
    """
    if "forget" not in log or "forget" not in reference:
        raise UserError(f"Forget quality needs `{PARTS['forget']}` in both logs.")
    one, other = log["forget"], reference["forget"]
    ratios, of_reference = one.ratios(), other.ratios()
    if not pooled:
        places, at = ({prompt: i for i, prompt in enumerate(of.prompts)} for of in (one, other))
        if len(places) < len(one.prompts) or len(at) < len(other.prompts):
            raise UserError("A log has one question twice: it cannot be said which answers go together.")
        shared = [prompt for prompt in one.prompts if prompt in at]
        if not shared:
            return NotMeasured("no question of the log was asked of the reference")
        ratios, of_reference = ratios[[places[p] for p in shared]], of_reference[[at[p] for p in shared]]
    return ForgetQuality(
        float(forget_quality_effect(ratios[None], of_reference[None])[0, 0]),
        float(forget_quality_p(ratios[None], of_reference[None])[0, 0]),
        len(ratios),
        len(of_reference),
    )


def _questions(given: Any, where: str) -> Questions:
    if not isinstance(given, dict):
        raise UserError(f"{where} is no object of quantities.")
    log = cast("dict[str, Any]", given)
    numbers = list(_quantity(log, "avg_gt_loss", where))
    if not numbers:
        raise UserError(f"{where} has no questions.")

    def column(name: str) -> list[Any]:
        values = _quantity(log, name, where)
        if set(values) != set(numbers):
            odd = sorted(set(values) ^ set(numbers))[0]
            raise UserError(f"{where} has question {odd} in only one of `avg_gt_loss` and `{name}`.")
        return [values[number] for number in numbers]

    answer, paraphrased, perturbed = (
        -_numbers(column(name), f"`{name}` of {where}", lowest=0.0, axes=axes)
        for name, axes in (("avg_gt_loss", 1), ("avg_paraphrased_loss", 1), ("average_perturb_loss", 2))
    )
    rouge = _numbers(column("rougeL_recall"), f"`rougeL_recall` of {where}", lowest=0.0, highest=1.0)
    stored = np.full(len(numbers), np.nan)
    if "truth_ratio" in log:
        stored = _numbers(column("truth_ratio"), f"`truth_ratio` of {where}", lowest=0.0)
    texts = column("generated_text")
    if not all(isinstance(text, list) and text and isinstance(text[0], str) for text in texts):
        raise UserError(f"`generated_text` of {where} has to be a list per question, its prompt first.")
    prompts = tuple(cast("str", text[0]).strip() for text in texts)
    return Questions(prompts, answer, paraphrased, perturbed, rouge, stored)


def _quantity(log: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    if not isinstance(found := log.get(name), dict):
        raise UserError(f"{where} has no `{name}` that goes from questions to values.")
    return cast("dict[str, Any]", found)


def _numbers(values: list[Any], where: str, *, lowest: float, highest: float = np.inf, axes: int = 1) -> Floats:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"Expected {where} to be numbers, as many for each question.") from None
    if array.ndim != axes or 0 in array.shape:
        raise UserError(f"Expected {where} to be {'a number' if axes == 1 else 'a list of numbers'} per question.")
    if not np.isfinite(array).all() or array.min() < lowest or array.max() > highest:
        raise UserError(f"Expected {where} to be finite and in {lowest:g}..{highest:g}.")
    return array
