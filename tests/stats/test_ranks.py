"""Ranks of one model among references: exact under the null, whatever the number of measurements."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave.stats.ranks import Pool, pool_of_distances, pool_of_values, rank, references_needed


def distances(points, others):
    return np.abs(points[:, None] - others[None])


def test_a_pool_treats_the_candidate_as_one_of_it():
    # By hand: references at 0, 1, 5, candidate at 2.
    points = np.array([0.0, 1.0, 5.0])
    pool = pool_of_distances(distances(points, points), distances(np.array([2.0]), points))
    assert pool.own.tolist() == [(2 + 1 + 3) / 3]
    assert pool.others.tolist() == [[(1 + 5 + 2) / 3, (1 + 4 + 1) / 3, (5 + 4 + 3) / 3]]


def test_exchanging_candidate_and_reference_exchanges_their_places():
    points = np.array([0.0, 1.0, 5.0, 2.5])
    for k in range(4):
        rest = np.delete(points, k)
        pool = pool_of_distances(distances(rest, rest), distances(points[[k]], rest))
        everything = np.insert(pool.others[0], k, pool.own[0])
        assert np.allclose(everything, distances(points, points).sum(1) / 3)


def test_values_in_either_direction_lie_equally_far():
    pool = pool_of_values(np.zeros(4), np.array([3.0, -3.0]))
    assert pool.own.tolist() == [3.0, 3.0]


def test_p_of_the_farthest_is_one_over_the_pool():
    ranked = rank([Pool(np.array([100.0]), np.arange(19.0)[None])])
    assert ranked.p.tolist() == [1 / 20]
    assert ranked.each.tolist() == [[1 / 20]]


def test_equal_models_have_nothing_that_stands_out():
    ranked = rank([Pool(np.array([0.1]), np.full((1, 19), 0.1)), Pool(np.zeros(1), np.zeros((1, 19)))])
    assert ranked.p.tolist() == [1.0]
    assert (ranked.deviation == 0).all()


def test_rounding_is_no_deviation():
    almost = np.full((1, 19), 0.1) + np.arange(19) * 1e-17
    assert rank([Pool(np.array([0.1 + 1e-16]), almost)]).p[0] == 1.0


def test_a_candidate_however_far_out_is_farthest():
    points = np.random.default_rng(0).normal(size=31)
    for far in (1e3, 1e9, 1e15, 1e18, 1e30):
        ranked = rank([pool_of_distances(distances(points, points), distances(np.array([far]), points))])
        assert ranked.p[0] == 1 / 32, far


def test_what_is_saturated_hides_nothing():
    """Probabilities of 1 but for 1e-15 differ by orders of magnitude, and yet by nothing that anybody sees."""
    rng = np.random.default_rng(1)
    sure, margins = 10.0 ** -rng.uniform(8, 20, size=(6, 31)), rng.normal(40, 10, size=31)
    pools = [pool_of_distances(distances(one, one), distances(one[:1] * 3, one)) for one in sure]
    told = pool_of_distances(distances(margins, margins), distances(np.array([300.0]), margins))
    assert rank([*pools, told]).p[0] == 1 / 32
    # Where the references are sure and the candidate is not, that is seen all the same.
    assert (
        rank([pool_of_distances(distances(sure[0], sure[0]), distances(np.array([0.3]), sure[0]))]).p[0] == 1 / 32
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), checks=st.integers(1, 6))
def test_under_the_null_p_is_at_most_alpha_as_often_as_alpha(seed, checks):
    # Exact: over all places of the candidate in a pool of 20, exactly one in twenty is at most 1/20 without ties.
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(checks, 20))
    flagged = 0
    for k in range(20):
        pools = []
        for row in points:
            rest = np.delete(row, k)
            pools.append(pool_of_distances(distances(rest, rest), distances(row[[k]], rest)))
        flagged += rank(pools).p[0] <= 0.05
    assert flagged == 1


def test_many_checks_do_not_raise_the_rate():
    """The bug that this guards against: the smallest of several p-values, not adjusted."""
    rng = np.random.default_rng(0)
    together, smallest = 0, 0
    for _ in range(400):
        points = rng.normal(size=(8, 40))
        pools = [pool_of_values(row[1:], row[:1]) for row in points]
        together += rank(pools).p[0] <= 0.05
        smallest += min(rank([pool]).p[0] for pool in pools) <= 0.05
    assert together <= 34  # 99.9% quantile of Bin(400, .05)
    assert smallest > 80


def test_one_strong_check_among_weak_ones_is_named():
    rng = np.random.default_rng(1)
    pools = [pool_of_values(rng.normal(size=40), np.array([0.1])) for _ in range(5)]
    pools[2] = pool_of_values(rng.normal(size=40), np.array([9.0]))
    each = rank(pools).each[0]
    assert each[2] <= 0.05
    assert (np.delete(each, 2) > 0.05).all()


def test_what_so_many_references_can_show():
    assert references_needed(0.05) == 19
    assert references_needed(0.05, 20) == 399  # RELIABILITY: Bonferroni over 20 attacks
    ranked = rank([Pool(np.array([9.0]), np.arange(18.0)[None])])
    assert ranked.p[0] > 0.05


def test_shapes_that_do_not_fit():
    with pytest.raises(UserError, match="one pool per measurement"):
        rank([])
    with pytest.raises(UserError, match=r"\[R, R\]"):
        pool_of_distances(np.zeros((3, 3)), np.zeros((1, 2)))


@pytest.mark.parametrize("make", ["distances", "values"])
def test_how_far_references_lie_from_each_other_does_not_hang_on_the_candidate(make):
    points = np.random.default_rng(3).normal(size=7)
    pools = [
        pool_of_distances(distances(points, points), distances(np.array([far]), points))
        if make == "distances"
        else pool_of_values(points, np.array([far]))
        for far in (0.0, 100.0)
    ]
    assert np.array_equal(pools[0].among, pools[1].among)
    for own, one in zip(points, pools[0].among, strict=True):
        others = points[points != own]
        naive = np.abs(others - own).mean() if make == "distances" else abs(own - others.mean())
        assert one == pytest.approx(naive, abs=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_no_p_value(bad):
    """NaN is above nothing and below nothing: it would have the smallest p-value there is."""
    fine = Pool(np.array([1.0]), np.array([[1.0, 2.0, 3.0]]))
    for pool in (fine._replace(own=np.array([bad])), fine._replace(others=np.array([[1.0, bad, 3.0]]))):
        with pytest.raises(UserError, match="Expected finite numbers"):
            rank([fine, pool])
