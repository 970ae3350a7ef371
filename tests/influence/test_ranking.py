"""Rank correlation of proxies with memorization: known values, leave-outs one by one, ties, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from unweave._errors import UserError
from unweave.influence import rank_leave_outs, self_influence, self_leave_outs
from unweave.references.subsampled import subsets


def drawn(seed: int, models: int = 4, t: int = 30, n: int = 25):
    rng = np.random.default_rng(seed)
    inside = subsets(n, range(t), share=0.6, key=seed)
    value = (rng.random((t, n)) < np.where(inside, 0.9, np.linspace(0, 0.9, n))).astype(np.float64)
    return inside, value, rng.integers(0, 4, (models, n)).astype(np.float64)  # with ties


def naive(inside, value, each):
    def mem(keep):
        one, other = inside[keep], ~inside[keep]
        return np.array([value[keep][one[:, i], i].mean() - value[keep][other[:, i], i].mean() for i in range(n)])

    n, t, models = inside.shape[1], len(inside), len(each)
    everything = np.ones(t, dtype=bool)
    whole = [spearmanr(each.mean(0), mem(everything).round(12)).statistic]
    whole += [spearmanr(np.delete(each, k, 0).mean(0), mem(everything).round(12)).statistic for k in range(models)]
    for k in range(t):
        keep = everything.copy()
        keep[k] = False
        whole.append(spearmanr(each.mean(0), mem(keep).round(12)).statistic)
    return np.array(whole)


@given(st.integers(0, 30))
def test_leave_outs_are_those_one_by_one(seed):
    inside, value, each = drawn(seed)
    found = rank_leave_outs(each, self_leave_outs(inside, value))
    np.testing.assert_allclose(found, naive(inside, value, each), atol=1e-9)


def test_all_models_together_are_self_influence():
    inside, value, _ = drawn(3)
    np.testing.assert_allclose(self_leave_outs(inside, value)[0], self_influence(inside, value).value)


def check_sign(proxy, memorization, sign):
    assert sign * rank_leave_outs(proxy[None], memorization)[0] > 0.99


def test_a_wrong_sign_or_order_is_seen():
    memorization = np.linspace(0, 1, 20)[None] * np.ones((3, 1))
    proxy = np.exp(-memorization[0])
    check_sign(proxy, memorization, -1)
    for wrong in (-proxy, proxy[::-1], np.roll(proxy, 7)):
        with pytest.raises(AssertionError):
            check_sign(wrong, memorization, -1)


def test_what_is_not_known_is_left_out_and_what_does_not_differ_is_nan():
    inside, value, each = drawn(1)
    inside[:, 4] = True
    memorization = self_leave_outs(inside, value)
    assert np.isnan(memorization[:, 4]).all()
    some = np.delete(np.arange(25), 4)
    kept = rank_leave_outs(each[:, some], memorization[:, some])
    np.testing.assert_array_equal(rank_leave_outs(each, memorization), kept)
    assert np.isnan(rank_leave_outs(np.ones((1, 25)), memorization)).all()


@pytest.mark.parametrize("shape", [(2, 24), (25,), (0, 25)])
def test_shapes_that_do_not_fit_are_refused(shape):
    inside, value, _ = drawn(1)
    with pytest.raises((UserError, TypeError)):
        rank_leave_outs(np.ones(shape), self_leave_outs(inside, value))
    with pytest.raises(UserError, match="at least 3 examples"):
        rank_leave_outs(np.ones((2, 25)), np.full((3, 25), np.nan))
