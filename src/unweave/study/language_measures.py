"""Measures of language models that a comparison asks: from answer tokens of documents, and of candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from unweave._types import Measured, NotMeasured
from unweave.attacks import auc
from unweave.language.measures import (
    TokenFacts,
    advantage_of_truth,
    answer_probability,
    behaviour_on_clean,
    choice_probability,
    exact_memorization,
    extraction_strength,
    forget_quality_leave_outs,
    leak_at_k,
    min_k,
    min_k_plus_plus,
    paraphrase_mass_ratio,
    privleak_leave_outs,
    sequence_log_p,
    token_loss,
    truth_ratio,
    utility_without_rouge,
    zlib_ratio,
    zlib_sizes,
)
from unweave.stats import interval, jackknife
from unweave.study.measures import ITSELF, Answers, Question, Way, mean_of, within
from unweave.study.reading import Ints, Reading
from unweave.study.samples import Floats, design_of
from unweave.study.tofu import ANSWER, PARAPHRASE, WRONG

LEAK_AT = 16
"""How often one asks, for `leak_at_k`."""

_NO_CANDIDATES = NotMeasured(
    "these probes have no paraphrase and no wrong answers of the same form, as those of TOFU"
)
_NOT_READ = NotMeasured("the documents of this source are not read token by token")
_SHARE = (0.0, 1.0)


# ---- answer tokens of documents ----


def _facts(row: Answers, reading: Reading, at: Ints) -> TokenFacts:
    """What the models of a row say of the answers of some documents."""
    assert row.tokens is not None  # models are read wherever such a measure is asked
    log_p, mean, variance, hits = (row.tokens[:, at][..., of].astype(np.float64) for of in range(4))
    return TokenFacts(log_p, mean, variance, hits > 0, reading.mask[at])


def _read(question: Question) -> tuple[Reading, Ints] | None:
    reading = question.reading
    return None if reading is None else (reading, reading.groups[question.asked.group])


def _by_document(question: Question, row: Answers, *, of: Callable[[TokenFacts], Floats]) -> Measured:
    """Mean over documents, then over models."""
    if (found := _read(question)) is None:
        return _NOT_READ
    return mean_of(question, row, of(_facts(row, *found)).mean(axis=1))


def _leak(question: Question, row: Answers) -> Measured:
    """The whole answer leaks, and where it has another form so does that."""
    if (found := _read(question)) is None:
        return _NOT_READ
    reading, at = found
    facts = _facts(row, reading, at)
    leaking = [sequence_log_p(facts.log_p, facts.mask)]
    if reading.sets and question.asked.group in reading.others:  # the same in other words answers the question
        also = reading.others[question.asked.group][1][:, 0]
        same, x = _facts(row, reading, also), reading.documents.x
        twice = (x[at] == x[also]).all(axis=1)
        leaking.append(np.where(twice, -np.inf, sequence_log_p(same.log_p, same.mask)))
    return mean_of(question, row, leak_at_k(np.stack(leaking, axis=-1), k=LEAK_AT).mean(axis=1))


_OF_ONE_TOKEN = "every document here has one answer token, and {name} is `token_loss` of it: ask that"
_Score = Callable[[TokenFacts, tuple[str, ...]], Floats]
_SCORES: Mapping[str, _Score] = {
    "token_loss": lambda facts, texts: token_loss(facts.log_p, facts.mask),
    "zlib_ratio": lambda facts, texts: zlib_ratio(facts.log_p, facts.mask, zlib_sizes(texts)),
    "min_k": lambda facts, texts: min_k(facts.log_p, facts.mask),
    "min_k_plus_plus": lambda facts, texts: min_k_plus_plus(facts.log_p, facts.mean, facts.variance, facts.mask),
}


def _aucs(question: Question, row: Answers, name: str) -> Floats | NotMeasured:
    """AUC of the group's documents against those of test data, within each model [K]."""
    if (found := _read(question)) is None:
        return _NOT_READ
    reading, at = found
    if question.asked.group == "test":
        return NotMeasured("the group is the test data that it would be told from")
    if name in ("min_k", "zlib_ratio") and (reading.mask[at].sum(1) == 1).all():
        return NotMeasured(_OF_ONE_TOKEN.format(name=name))
    both = np.concatenate([at, reading.groups["test"]])
    texts = reading.texts[question.asked.group] + reading.texts["test"]
    scores = _SCORES[name](_facts(row, reading, both), texts)
    return auc(scores, np.arange(len(both)) < len(at))


def _against_test(question: Question, row: Answers, *, name: str) -> Measured:
    found = _aucs(question, row, name)
    return found if isinstance(found, NotMeasured) else mean_of(question, row, found, bounds=_SHARE)


def _privleak(question: Question, row: Answers) -> Measured:
    """By Min-K%, which of one token is the loss."""
    if row.sample.name == question.reference.sample.name:
        return ITSELF
    name = "min_k" if not isinstance(_aucs(question, row, "min_k"), NotMeasured) else "token_loss"
    own, theirs = (_aucs(question, one, name) for one in (row, question.reference))
    if isinstance(own, NotMeasured) or isinstance(theirs, NotMeasured):
        return own if isinstance(own, NotMeasured) else NotMeasured("the reference has no such attack")
    design = design_of(row.sample, question.reference.sample)
    weights = (design.weights[one.sample.name] for one in (row, question.reference))
    found = privleak_leave_outs(own, theirs, *weights)
    if not np.isfinite(found).all():
        return NotMeasured("the attack tells all documents of the group from test data in every reference")
    return interval(jackknife(found, design))


def _squeezed(question: Question, row: Answers) -> Measured:
    """Mean over documents and over pairs of a model and an original: the ratio is a difference of logarithms."""
    if (reading := question.reading) is None:
        return _NOT_READ
    if question.asked.group not in reading.others:
        return NotMeasured(reading.no_others)
    if row.sample.name == "original":
        return NotMeasured("the original itself: what became of its probability is asked")
    at, table = reading.others[question.asked.group]
    original = question.answers["original"]

    def masses(answers: Answers) -> tuple[Floats, Floats]:
        facts, same = _facts(answers, reading, at), _facts(answers, reading, table.ravel())
        others = sequence_log_p(same.log_p, same.mask).reshape(len(same.log_p), *table.shape)
        return sequence_log_p(facts.log_p, facts.mask), np.where(table < 0, -np.inf, others)

    now, before = masses(row), masses(original)
    pairs = np.stack(
        [
            paraphrase_mass_ratio(*now, before[0][k : k + 1], before[1][k : k + 1]).mean(axis=1)
            for k in range(len(before[0]))
        ],
        axis=1,
    )
    if not np.isfinite(pairs).all():
        return NotMeasured("an answer has no probability at all")
    design = design_of(row.sample, original.sample)
    own, theirs = (design.weights[one.sample.name] for one in (row, original))
    found = np.einsum("lk,km,lm->l", own, pairs, theirs) / (own.sum(1) * theirs.sum(1))
    return interval(jackknife(found, design))


def _on_clean(question: Question, row: Answers) -> Measured:
    if (reading := question.reading) is None:
        return _NOT_READ
    if not len(reading.clean):
        return NotMeasured(reading.no_clean)
    facts = _facts(row, reading, reading.clean)
    return mean_of(question, row, behaviour_on_clean(facts.hits[..., 0]))


# ---- candidates ----


def _scores(question: Question, row: Answers, at: Ints) -> Floats | None:
    """Mean log-probability per token of an answer, its paraphrase and wrong ones [K, n, C]; None without them."""
    if question.reading is None or not question.reading.sets:
        return None
    return row.logits[:, at].astype(np.float64)


def _ratios(question: Question, row: Answers) -> Floats | None:
    """Truth ratio of each model and question [K, n]."""
    scores = None if question.asked.group == "test" else _scores(question, row, question.at)
    return None if scores is None else truth_ratio(scores[..., PARAPHRASE], scores[..., WRONG])


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


def _model_utility(question: Question, row: Answers) -> Measured:
    del row
    if question.reading is None or not question.reading.sets:
        return _NO_CANDIDATES
    return NotMeasured(
        "three of its nine parts are ROUGE-L of text that models write, and a comparison has none written: ask "
        "`utility_without_rouge`"
    )


def _utility(question: Question, row: Answers) -> Measured:
    """Three sets by probability and advantage of the truth; general answers have no other words."""
    retain = _scores(question, row, question.probes.groups.get("retain", np.zeros(0, dtype=np.int64)))
    if retain is None:
        return _NO_CANDIDATES
    reading, parts = question.reading, list[Floats]()
    assert reading is not None  # there would be no scores
    if not retain.shape[1] or not all(len(at) for at in reading.sets.values()):
        return NotMeasured("there is no question of one of the three sets: raise `probes.limit`")
    answered = answer_probability(retain[..., ANSWER, None], np.ones((retain.shape[1], 1), dtype=np.bool_))
    parts += [
        answered.mean(1),
        advantage_of_truth(truth_ratio(retain[..., PARAPHRASE], retain[..., WRONG])).mean(1),
    ]
    for at in reading.sets.values():
        scores = row.logits[:, at].astype(np.float64)
        right, wrong = scores[..., ANSWER], scores[..., WRONG]
        parts.append(choice_probability(right, wrong).mean(1))
        parts.append(advantage_of_truth(truth_ratio(right, wrong)).mean(1))
    of_each = np.stack(parts, axis=-1).reshape(len(retain), 1 + len(reading.sets), 2)
    return mean_of(question, row, utility_without_rouge(of_each))


LANGUAGE_WAYS: dict[str, Way] = {
    "exact_memorization": partial(_by_document, of=lambda facts: exact_memorization(facts.hits, facts.mask)),
    "extraction_strength": partial(_by_document, of=lambda facts: extraction_strength(facts.hits, facts.mask)),
    "answer_probability": partial(_by_document, of=lambda facts: answer_probability(facts.log_p, facts.mask)),
    "leak_at_k": _leak,
    **{name: partial(_against_test, name=name) for name in _SCORES},
    "privleak": _privleak,
    "paraphrase_mass_ratio": _squeezed,
    "behaviour_on_clean": _on_clean,
    "truth_ratio": _truth_ratio,
    "forget_quality_effect": _forget_quality,
    "model_utility": _model_utility,
    "utility_without_rouge": _utility,
}
"""How they are asked of the models of a row."""

LANGUAGE_UNITS = dict.fromkeys(_SCORES, "AUC against test data") | {
    "leak_at_k": f"probability in {LEAK_AT} answers"
}
"""The number of a model, where it is another than the measure of a document itself."""
