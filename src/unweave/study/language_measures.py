"""Measures of language models that a comparison has the outputs for: those of TOFU, on candidates."""

from __future__ import annotations

import numpy as np

from unweave._types import Measured, NotMeasured
from unweave.language.measures import forget_quality_leave_outs, truth_ratio
from unweave.stats import interval, jackknife
from unweave.study.corpora import CORPORA
from unweave.study.measures import ITSELF, Answers, Question, Way, mean_of, within
from unweave.study.samples import Floats, design_of

_NO_CANDIDATES = NotMeasured(
    "these probes have no paraphrase and no wrong answers of the same form, as those of TOFU"
)


def _ratios(question: Question, row: Answers) -> Floats | None:
    """Truth ratio of each model and question [K, n]: candidates are the answer, its paraphrase and wrong ones."""
    corpus = CORPORA.get(question.frame.case.data.source)
    if corpus is None or not corpus.candidates or question.asked.group == "test":
        return None
    scores = row.logits[:, question.at].astype(np.float64)
    return truth_ratio(scores[..., 1], scores[..., 2:])


def _truth_ratio(question: Question, row: Answers) -> Measured:
    found = _ratios(question, row)
    return _NO_CANDIDATES if found is None else mean_of(question, row, np.exp(np.log(found).mean(axis=1)))


def _forget_quality(question: Question, row: Answers) -> Measured:
    one, other = row.sample, question.reference.sample
    if one.name == other.name:
        return ITSELF
    ratios, references = _ratios(question, row), _ratios(question, question.reference)
    if ratios is None or references is None:
        return _NO_CANDIDATES
    design = design_of(one, other)
    found = forget_quality_leave_outs(
        ratios,
        references,
        blocks=one.blocks,
        reference_blocks=other.blocks,
        weights=design.weights[one.name],
        reference_weights=design.weights[other.name],
    )
    return within(interval(jackknife(found.effect, design)), question.bounds)


LANGUAGE_WAYS: dict[str, Way] = {"truth_ratio": _truth_ratio, "forget_quality_effect": _forget_quality}
"""How they are asked of the models of a row."""
