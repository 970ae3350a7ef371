"""AUROC of memorization for B against the rest of D."""

import numpy as np
import pytest

from unweave._types import Estimate, NotMeasured
from unweave.study.separation import separation

B, REST = np.arange(30), np.arange(30, 100)


def answers(seed, *, lift):
    """Models that know members better by `lift` nats where they were trained on them; nobody else is memorized."""
    rng = np.random.default_rng(seed)
    inside = rng.random((60, 100)) < 0.7
    phi = rng.normal(0, 1, (60, 100)).astype(np.float32)
    phi[:, :30] += lift * inside[:, :30]
    return inside, phi > 0, phi


def test_what_is_memorized_is_told_apart_by_every_measure():
    found = separation(B, REST, *answers(0, lift=4.0))
    assert set(found) == {"hard", "soft", "log-odds"}
    for one in found.values():
        assert isinstance(one, Estimate) and one.n == 60
        assert one.value > 0.95 and one.low <= one.value


def test_what_is_not_is_at_chance():
    found = separation(B, REST, *answers(1, lift=0.0))
    for one in found.values():
        assert one.low < 0.5 < one.high


def test_margins_see_what_correctness_cannot():
    """A label that is never predicted has no memorization by correctness, however much better it is known."""
    inside, _, phi = answers(2, lift=3.0)
    phi = phi - 20
    found = separation(B, REST, inside, phi > 0, phi)
    assert found["hard"].value == pytest.approx(0.5)
    assert found["log-odds"].value > 0.95


def test_few_members_are_not_measured():
    few = separation(B[:5], REST, *answers(0, lift=1.0))
    assert all(isinstance(one, NotMeasured) for one in few.values())
