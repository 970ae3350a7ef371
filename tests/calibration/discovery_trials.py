"""Discoveries on digits of which all is known: each of a seed of its own, with its own B, halves of D and S."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import beta, betabinom, t

from unweave import Case
from unweave._types import Estimate
from unweave.influence.discovery import Evidence
from unweave.problem import ForgetChoice
from unweave.references import Store
from unweave.study import assemble
from unweave.study.evidence import evidence_of
from unweave.study.found import Asked, judge_discovery


class Setting(NamedTuple):
    """What is asked of a world: γ, how S is found, and the promise."""

    discovery: float
    selection: str = "random"
    confidence: Literal["mean", "95"] = "mean"
    target: float = 0.9


class Trial(NamedTuple):
    """A discovery beside the truth: members of B∖S, how many are flagged, and how many are of all that is."""

    behaviour: str
    seed: int
    setting: Setting
    calibration: int
    rank: int
    members: int
    found: int
    flagged: int
    precision: tuple[float, float, float] | None

    @property
    def recall(self) -> float:
        return self.found / self.members


def world(case: Case, *, halves: int = 10) -> Evidence:
    """What its models say of each example: nothing of it depends on S."""
    with tempfile.TemporaryDirectory() as folder:
        return evidence_of(Store(Path(folder)), assemble(case), halves=halves, described=("embedding",))


def trials(case: Case, evidence: Evidence, settings: Sequence[Setting]) -> Iterator[Trial]:
    """A discovery by each setting in one world."""
    for one in settings:
        assembly = assemble(replace(case, forget=ForgetChoice(discovery=one.discovery, selection=one.selection)))
        asked = Asked(one.target, one.confidence, 1, "expansion")
        made, _ = judge_discovery(assembly, evidence._replace(forget=assembly.forget), asked)
        found = made({}, {})
        assert found.truth is not None
        guess = found.precision
        told = (guess.value, guess.low or 0.0, guess.high or 0.0) if isinstance(guess, Estimate) else None
        n, rank = found.promise.members, found.promise.rank
        truth, kind = found.truth, case.behaviour.kind
        yield Trial(kind, case.seed, one, n, rank, truth.members, truth.found, found.flagged, told)


def promised_mean(one: Trial) -> float:
    """k/(n + 1); 1 where all is flagged."""
    return one.rank / (one.calibration + 1)


def expected_share(one: Trial) -> float:
    """P(recall in B∖S ≥ target) at the k-th of n members, where B∖S has M: P(R ≥ target·M).

    S is a random part of B, so the n and the M are in random order and R is beta-binomial (M, k, n + 1 − k).
    """
    if one.rank > one.calibration:
        return 1.0
    least = math.ceil(one.setting.target * one.members - 1e-9)
    return float(betabinom.sf(least - 1, one.members, one.rank, one.calibration + 1 - one.rank))


def mean_with_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95% by Student's t; seeds are the units."""
    x = np.asarray(values)
    half = float(t.ppf(0.975, len(x) - 1)) * x.std(ddof=1) / math.sqrt(len(x)) if len(x) > 1 else math.inf
    return float(x.mean()), float(x.mean() - half), float(x.mean() + half)


def clopper_pearson(count: int, n: int) -> tuple[float, float]:
    """95% for a share."""
    low = 0.0 if count == 0 else float(beta.ppf(0.025, count, n - count + 1))
    return low, 1.0 if count == n else float(beta.ppf(0.975, count + 1, n - count))


def kept(found: Sequence[Trial]) -> bool:
    """Whether trials of one setting keep its promise as far as chance goes.

    `mean`: recall − k/(n + 1) is above 0, or within three standard errors of it. `95`: as many runs reach the
    target as the law of R gives with a chance of 1 in 1 000.
    """
    if found[0].setting.confidence == "mean":
        excess = np.array([one.recall - promised_mean(one) for one in found])
        return bool(excess.mean() >= -3 * excess.std(ddof=1) / math.sqrt(len(found)) - 1e-12)
    reached = sum(one.recall >= one.setting.target - 1e-9 for one in found)
    return bool(_least_likely(reached, [expected_share(one) for one in found]) > 1e-3)


def _least_likely(count: int, shares: Sequence[float]) -> float:
    """P(at most so many successes) of independent trials with these chances."""
    law = np.ones(1)
    for share in shares:
        law = np.append(law * (1 - share), 0) + np.append(0, law * share)
    return float(law[: count + 1].sum())


def line(found: Sequence[Trial]) -> str:
    """A row of the table: recall and what was promised, the share of runs that reach the target, precision."""
    one = found[0].setting
    mean, low, high = mean_with_interval([trial.recall for trial in found])
    promised = np.mean([promised_mean(trial) for trial in found])
    reached = sum(trial.recall >= one.target - 1e-9 for trial in found)
    below, above = clopper_pearson(reached, len(found))
    expected = np.mean([expected_share(trial) for trial in found])
    void = one.selection != "random"
    told = [(trial, trial.precision) for trial in found if trial.precision is not None and trial.flagged]
    true = np.array([trial.found / trial.flagged for trial, _ in told])
    guess = np.array([values for _, values in told])
    inside = int(((guess[:, 1] <= true + 1e-9) & (true <= guess[:, 2] + 1e-9)).sum())
    names = "/".join(sorted({trial.behaviour for trial in found}))
    return (
        f"| {names} | {one.discovery:g} | {one.selection} | {one.confidence}, {one.target:g} | {len(found)} "
        f"| {'–' if void else f'{promised:.3f}'} | {mean:.3f} [{low:.3f}, {high:.3f}] "
        f"| {'–' if void else f'{expected:.3f}'} | {reached / len(found):.3f} [{below:.3f}, {above:.3f}] "
        f"| {true.mean():.2f} | {guess[:, 0].mean():.2f} | {inside / len(told):.2f} |"
    )


HEAD = (
    "| behaviour | γ | S found | promise | runs | mean recall promised | measured | share ≥ target expected "
    "| measured | precision | estimate | interval holds it |\n" + "|---" * 12 + "|"
)
