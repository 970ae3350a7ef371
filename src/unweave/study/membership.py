"""How membership attacks are asked of the models of a row, with the worlds of the case as shadow models.

For what the aim takes out, A(D) are the models that were trained with it and the aim's reference those that were
trained without it. No model is its own shadow, nor that of one it depends on. What an attack finds is told against
fresh retrains, which are nobody's shadow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from unweave._types import NO_OP, Measured, NotMeasured
from unweave.attacks import (
    Signals,
    auc,
    correctness_score,
    entropy_score,
    fit_cut,
    lira_offline,
    lira_online,
    logistic_attack,
    loss_score,
    modified_entropy_score,
    population_attack,
    rmia,
    scaled_confidence_score,
    svc_efficacy,
)
from unweave.metrics import admissible_pairs, pair_means
from unweave.stats import interval, jackknife
from unweave.study.measures import Answers, Question, Way, mean_of, tug_of_war, within
from unweave.study.samples import Floats, design_of

Ints = NDArray[np.int64]
Score = Callable[[NDArray[np.floating], Ints], Floats]

_TAKEN_OUT = {"untraining": ("forget",), "unlearning": ("forget", "undiscovered", "unseen")}
"""Groups that A(D) was trained on, or on others like them, and the aim's reference was not."""
_SHARE = (0.0, 1.0)
_TOO_FEW = "too few members, or too few others, to fit the attack"


def _scores(question: Question, row: Answers, at: Ints, score: Score = scaled_confidence_score) -> Floats:
    return score(row.logits[:, at].astype(np.float64), question.labels(at))


def _ordinary(question: Question) -> tuple[Ints, Ints]:
    """Probes that all models were trained on, and probes that none was; the group itself is in neither."""
    retain, test = (np.setdiff1d(question.probes.groups[name], question.at) for name in ("retain", "test"))
    return retain, test


# ---- one cut for all ----


def _against_test(question: Question, row: Answers, *, score: Score) -> Measured:
    """AUC of the group against test data within each model."""
    _, test = _ordinary(question)
    if len(test) == 0:
        return NotMeasured("the group is the test data that it would be told from")
    both = np.concatenate([question.at, test])
    found = auc(_scores(question, row, both, score), np.arange(len(both)) < len(question.at))
    return mean_of(question, row, found, bounds=_SHARE)


def called_members(question: Question, row: Answers) -> Floats:
    """Share of the group that scores above the cut that best tells D∖B from test data, for each model."""
    place = ("called members", row.sample.name, question.asked.group)
    return question.once(place, lambda: _called_members(question, row), of_case=True)


def _called_members(question: Question, row: Answers) -> Floats:
    retain, test = _ordinary(question)
    if len(retain) == 0 or len(test) == 0:
        # The group is one of the two: the even ones fit the cut, the odd ones are asked about.
        retain, test = (question.probes.groups[name][::2] for name in ("retain", "test"))
    at = np.setdiff1d(question.at, np.concatenate([retain, test]))
    population = np.concatenate([retain, test])
    cut = fit_cut(_scores(question, row, population), np.isin(population, retain), ids=population)
    above = population_attack(_scores(question, row, at), cut, ids=at)
    return np.where(np.isnan(above).any(axis=1), np.nan, (above > 0).mean(axis=1))


def _population(question: Question, row: Answers) -> Measured:
    return mean_of(question, row, called_members(question, row), bounds=_SHARE, without=_TOO_FEW)


def _svc(question: Question, row: Answers) -> Measured:
    retain, test = _ordinary(question)
    signals = Signals(*(np.exp(_scores(question, row, at, loss_score)) for at in (question.at, retain, test)))
    # The reference's value is that of its own row: here it would be measured again for each row.
    one = Signals(*(values[:1] for values in signals))
    share = svc_efficacy(signals, one, key=question.key).edited.share
    return mean_of(question, row, share, bounds=_SHARE, without=_TOO_FEW)


def _logistic(question: Question, row: Answers) -> Measured:
    _, test = _ordinary(question)
    target, others = (_scores(question, row, at, loss_score) for at in (question.at, test))
    found = logistic_attack(target, others, key=question.key).gap
    return mean_of(question, row, found, without=_TOO_FEW)


# ---- one law for each example ----


def _by_example(question: Question, row: Answers, *, name: str) -> Measured:
    """AUC of the row's scores against those of fresh retrains on the same group: .5 = not told from a retrain."""
    if question.asked.aim == "untraining" and question.frame.case.forget.outside:
        return NotMeasured(NO_OP)
    if question.asked.group not in _TAKEN_OUT[question.asked.aim]:
        return NotMeasured(
            "no shadow models of both kinds: A(D) and the aim's reference do not differ in these examples"
        )
    found: dict[str, Measured] = question.once("by example", lambda: _of_everyone(question, name))
    return found[row.sample.name]


def _of_everyone(question: Question, name: str) -> dict[str, Measured]:
    """Of all rows at once: leaving out a shadow model changes the scores of all of them.

    Leaving out a model of a row, or a fresh one, changes only its mean.
    """
    everyone, fresh = list(question.everyone.values()), question.fresh.sample
    shadows = [question.answers["original"], question.reference][1 if name == "lira_offline" else 0 :]
    designs = [design_of(one.sample, fresh, *(shadow.sample for shadow in shadows)) for one in everyone]
    theta = [np.full(len(design.stratum) + 1, np.nan) for design in designs]
    which: dict[bytes, list[tuple[int, Ints]]] = {}
    for number, design in enumerate(designs):
        held = np.concatenate([design.weights[shadow.sample.name] for shadow in shadows], axis=1) > 0
        for pattern in np.unique(held, axis=0):
            which.setdefault(pattern.tobytes(), []).append((number, np.flatnonzero((held == pattern).all(axis=1))))
    begins = np.cumsum([0, *(len(one.logits) for one in everyone)])
    place = next(number for number, one in enumerate(everyone) if one.sample.name == fresh.name)
    for pattern, leave_outs in which.items():
        scores = _attack(question, everyone, shadows, np.frombuffer(pattern, dtype=np.bool_), name=name)
        of = [scores[begin:end] for begin, end in pairwise(begins)]
        pooled = np.sort(of[place], axis=None)
        for number, at in leave_outs:
            one, weights = everyone[number].sample, designs[number].weights
            given = (one.blocks, fresh.blocks)
            if len(at) == 1 and admissible_pairs(*given).all() and weights[fresh.name][at].all():
                # No more than one leave-out has these shadow models: all of the fresh ones at once are faster.
                ahead = _share_below(of[number], pooled)
                theta[number][at] = ahead[weights[one.name][at[0]] > 0].mean()
            else:
                kept = {"weights_p": weights[one.name][at], "weights_q": weights[fresh.name][at]}
                theta[number][at] = pair_means(_ahead(of[number], of[place]), *given, **kept)
    return {
        one.sample.name: within(interval(jackknife(values, design)), _SHARE)
        if np.isfinite(values).all()
        else NotMeasured("too few shadow models, or all of them say the same")
        for one, values, design in zip(everyone, theta, designs, strict=True)
    }


def _attack(
    question: Question, rows: list[Answers], shadows: list[Answers], kept: NDArray[np.bool_], *, name: str
) -> Floats:
    """Scores [models of all rows, n] by the shadow models kept; those that a model depends on do not score it."""
    score = loss_score if name == "rmia" else scaled_confidence_score
    # A(D) was trained with these examples, the reference without.
    trained = np.concatenate([np.full(len(one.logits), one.sample.name == "original") for one in shadows])[kept]
    at = question.at
    given = (
        _stacked(question, rows, at, score),
        _stacked(question, shadows, at, score)[kept],
        np.broadcast_to(trained[:, None], (len(trained), len(at))),
    )
    target_blocks = np.concatenate([one.sample.blocks for one in rows])
    shadow_blocks = np.concatenate([one.sample.blocks for one in shadows])[kept]
    if name == "rmia":
        _, test = _ordinary(question)
        return rmia(
            *given,
            population_targets=_stacked(question, rows, test, score),
            population_shadows=_stacked(question, shadows, test, score)[kept],
            target_blocks=target_blocks,
            shadow_blocks=shadow_blocks,
        )
    attack = lira_offline if name == "lira_offline" else lira_online
    # One spread for all examples, as Carlini et al. advise for so few shadow models.
    return attack(*given, target_blocks=target_blocks, shadow_blocks=shadow_blocks, spread="pooled")


def _stacked(question: Question, rows: list[Answers], at: Ints, score: Score) -> Floats:
    """Signals of all models of some rows, made once."""
    place = ("signals", len(rows), len(at), at[:1].tobytes())
    return question.once(place, lambda: np.concatenate([_scores(question, one, at, score) for one in rows]))


def _ahead(row: Floats, fresh: Floats) -> Floats:
    """[K, L] how often an example of model k scores higher than an example of fresh model l; ties count half."""
    found = np.empty((len(row), len(fresh)))
    for number, values in enumerate(np.sort(fresh, axis=1)):
        below = np.searchsorted(values, row, side="left") + np.searchsorted(values, row, side="right")
        found[:, number] = below.mean(axis=1) / (2 * fresh.shape[1])
    lacking = np.isnan(row.sum(axis=1, keepdims=True)) | np.isnan(fresh.sum(axis=1))
    return np.where(lacking, np.nan, found)


def _share_below(row: Floats, pooled: Floats) -> Floats:
    """[K] the mean of `_ahead` over all fresh models, from all their scores in order."""
    below = np.searchsorted(pooled, row, side="left") + np.searchsorted(pooled, row, side="right")
    lacking = np.isnan(row.sum(axis=1)) | np.isnan(pooled.sum())
    return np.where(lacking, np.nan, below.mean(axis=1) / (2 * len(pooled)))


def _entropy(logits: NDArray[np.floating], labels: Ints) -> Floats:
    del labels  # it knows of none
    return entropy_score(logits)


_SIGNALS: dict[str, Score] = {
    "scaled_confidence": scaled_confidence_score,
    "loss": loss_score,
    "entropy": _entropy,
    "modified_entropy": modified_entropy_score,
    "correctness": correctness_score,
}
ATTACK_WAYS: dict[str, Way] = {
    **{name: partial(_against_test, score=score) for name, score in _SIGNALS.items()},
    "population": _population,
    "svc_efficacy": _svc,
    "logistic": _logistic,
    **{name: partial(_by_example, name=name) for name in ("lira_online", "lira_offline", "rmia")},
    "tow_mia": partial(tug_of_war, on_group=called_members),
}
UNITS = {
    **dict.fromkeys(_SIGNALS, "AUC against test data"),
    "population": "share called members",
    "svc_efficacy": "share called no members",
    **dict.fromkeys(("lira_online", "lira_offline", "rmia"), "AUC against fresh retrains"),
}
"""The number of a model that is made of an attack's scores, where it is another than the score itself."""
