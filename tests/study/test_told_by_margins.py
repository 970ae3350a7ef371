"""Whether margins over S tell: by planted laws of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from unweave.study.told_by_margins import told_by_margins


def drawn(rng, models, *, common=0.0, examples=10):
    """φ of models whose examples share a part of their luck."""
    return common * rng.normal(size=(models, 1)) + np.sqrt(1 - common**2) * rng.normal(size=(models, examples))


def rate(rng, times, models, *, common=0.0, examples=10, shift=None):
    found = 0
    for _ in range(times):
        with_s, without = (drawn(rng, models, common=common, examples=examples) for _ in range(2))
        with_s += 0.0 if shift is None else shift
        found += told_by_margins(with_s, without, rng=rng).p <= 0.05
    return found / times


def test_models_of_one_law_are_told_seldom():
    assert rate(np.random.default_rng(0), 150, 8, common=0.7) <= 0.10  # 5%, and three standard errors


def test_a_shift_that_is_said_to_be_told_is():
    rng = np.random.default_rng(1)
    shift = told_by_margins(drawn(rng, 32), drawn(rng, 32), rng=rng).shift
    assert shift == pytest.approx(3.083 * np.sqrt(2 / 32), rel=1e-3)
    assert rate(rng, 60, 32, common=1.0, examples=3, shift=shift) >= 0.6


def test_one_example_by_heart_is_told_among_fifty():
    """Averaged over S it would be lost in the luck that all of S shares."""
    rng = np.random.default_rng(2)
    shift = np.zeros(50)
    shift[7] = 2.0
    assert rate(rng, 15, 32, common=0.7, examples=50, shift=shift) == 1.0


def test_so_few_models_tell_nothing_and_the_same_models_neither():
    rng = np.random.default_rng(3)
    assert told_by_margins(drawn(rng, 3) + 100, drawn(rng, 3), rng=rng).p > 0.05
    one = drawn(rng, 8)
    assert told_by_margins(one, one, rng=rng).p == 1.0
    assert told_by_margins(np.ones((8, 4)), np.ones((8, 4)), rng=rng).p == 1.0  # nothing varies


def test_pairs_of_one_seed_swap_with_each_other_alone():
    """Luck that a pair shares hides a shift from models that are taken for independent."""
    rng = np.random.default_rng(4)
    without = 5 * rng.normal(size=(16, 1)) + 0.1 * rng.normal(size=(16, 6))
    with_s = without + 0.5
    assert told_by_margins(with_s, without, paired=False, rng=rng).p > 0.05
    assert told_by_margins(with_s, without, paired=True, rng=rng).p <= 0.05
