"""Pooled shares and means against an oracle that deletes models by hand; shares over clusters by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from unweave import Estimate, NotMeasured, UserError
from unweave.stats import (
    Share,
    Term,
    mean_of_estimates,
    pooled_difference,
    pooled_mean,
    pooled_share,
    share_over_clusters,
    sum_of_dependent,
)


@st.composite
def sums(draw):
    """Terms of a few batches, above and below; the values below are far above 0."""
    sizes = {name: draw(st.integers(3, 6)) for name in ("a", "b", "c")}
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))

    def terms(lift):
        names = draw(st.lists(st.sampled_from(sorted(sizes)), min_size=1, max_size=5))
        weights = [draw(st.sampled_from([1.0, 0.5, 2.0])) for _ in names]
        return [Term(one, lift + rng.normal(0, 0.1, sizes[one]), w) for one, w in zip(names, weights, strict=True)]

    return terms(1.0), terms(5.0)


def by_hand(terms, batch=None, model=None):
    total = 0.0
    for one in terms:
        kept = [v for k, v in enumerate(one.values) if (one.models, k) != (batch, model)]
        total += one.weight * sum(kept) / len(kept)
    return total


def covariance_by_hand(sums_of):
    """Covariance of several sums, deleting each model of each batch from all terms at once."""
    sizes = {one.models: len(one.values) for terms in sums_of for one in terms}
    found = np.zeros((len(sums_of), len(sums_of)))
    for batch, size in sizes.items():
        left = np.array([[by_hand(terms, batch, k) for terms in sums_of] for k in range(size)])
        centred = left - left.mean(0)
        found += (size - 1) / size * centred.T @ centred
    return found, min(sizes.values())


@given(sums())
def test_the_pooled_mean_is_the_one_with_models_deleted_by_hand(drawn):
    terms, _ = drawn
    variance, least = covariance_by_hand([terms])
    half = scipy_stats.t.ppf(0.975, least - 1) * variance[0, 0] ** 0.5
    found = pooled_mean(terms)
    assert found.n == least
    assert [found.value, found.high] == pytest.approx([by_hand(terms), by_hand(terms) + half])


@given(sums())
def test_the_pooled_share_holds_its_value_and_the_ends_solve_fieller(drawn):
    above, below = drawn
    covariance, least = covariance_by_hand([above, below])
    a, b = by_hand(above), by_hand(below)
    t2 = scipy_stats.t.ppf(0.975, least - 1) ** 2
    found = pooled_share(above, below)
    if b - (t2 * covariance[1, 1]) ** 0.5 <= 0:
        assert isinstance(found, NotMeasured)
        return
    assert found.value == pytest.approx(a / b)
    for end in (found.low, found.high):
        distance = (a - end * b) ** 2
        allowed = t2 * (covariance[0, 0] - 2 * end * covariance[0, 1] + end**2 * covariance[1, 1])
        assert distance == pytest.approx(allowed, abs=1e-9)


def test_models_shared_by_cells_are_deleted_together_and_are_no_more_models():
    values = np.array([0.1, 0.2, 0.6])
    once = pooled_mean([Term("a", values)])
    thrice = pooled_mean([Term("a", values, 1 / 3)] * 3)
    apart = pooled_mean([Term(name, values, 1 / 3) for name in "abc"])
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert apart.high - apart.low < 0.6 * (once.high - once.low)


def test_the_reference_itself_closes_nothing_and_the_ideal_all():
    low, high = Term("s", np.array([0.1, 0.2, 0.15])), Term("b", np.array([0.8, 0.9, 0.85]))
    minus = low._replace(weight=-1.0)
    assert pooled_share([low, minus], [high, minus]) == Estimate(0.0, 0.0, 0.0, 3)
    assert pooled_share([high, minus], [high, minus]) == Estimate(1.0, 1.0, 1.0, 3)


def test_no_share_of_a_gap_that_may_be_none_and_no_interval_of_two_models():
    flat = [Term("b", np.array([0.0, 0.5, -0.3]))]
    assert "no gap to close" in pooled_share(flat, flat).not_measured
    assert "too few models" in pooled_mean([Term("a", np.array([0.0, 1.0]))]).not_measured


def test_bad_terms_are_refused():
    with pytest.raises(UserError, match="at least one term"):
        pooled_mean([])
    with pytest.raises(UserError, match="one number per model of `a`"):
        pooled_mean([Term("a", np.zeros(3)), Term("a", np.zeros(4))])


def test_a_share_over_clusters_is_a_ratio_of_sums_with_clusters_deleted():
    above, below = [3, 0, 4, 1], [4, 0, 10, 6]
    found = share_over_clusters(above, below)
    left = np.array([5 / 16, 4 / 10, 7 / 14])  # without the first, the third, the last; the second counted nothing
    half = scipy_stats.t.ppf(0.975, 2) * np.sqrt(2 / 3 * ((left - left.mean()) ** 2).sum())
    assert [found.value, found.low, found.high, found.n] == pytest.approx([0.4, max(0.4 - half, 0), 0.4 + half, 3])


def test_where_all_clusters_agree_the_interval_is_that_of_as_many_trials():
    exact = scipy_stats.binomtest(0, 5).proportion_ci(method="exact").high
    none, all_, against = (
        share_over_clusters([n] * 5, [9] * 5, least=least) for n, least in ((0, 0.0), (9, 0.0), (-9, -1.0))
    )
    assert (none.low, none.high) == pytest.approx((0, exact))
    assert (all_.low, all_.high) == pytest.approx((1 - exact, 1))
    assert (against.low, against.high) == pytest.approx((-1, 2 * exact - 1))


def test_two_clusters_or_nothing_counted_are_no_interval():
    assert share_over_clusters([1, 2, 0], [4, 4, 0], what="seeds").not_measured.startswith("2 seeds are too few")
    assert share_over_clusters([1], [4], what="seeds").not_measured.startswith(
        "a single one of the seeds is too few"
    )
    assert share_over_clusters([0, 0, 0], [0, 0, 0]) == NotMeasured("nothing was counted")


@pytest.mark.parametrize("clusters", [3, 9])
def test_cells_that_share_all_their_luck_are_one(clusters):
    """Four cells of a cluster are one and the same: an interval over cells, as if independent, missed 37%."""
    rng, missed = np.random.default_rng(0), 0
    for _ in range(1000):
        told = rng.integers(15, 25, clusters)
        flipped = rng.binomial(told, rng.beta(8, 8, clusters))
        found = share_over_clusters((4 * flipped).tolist(), (4 * told).tolist())
        missed += not found.low <= 0.5 <= found.high
    assert missed / 1000 < 0.07


def test_means_of_estimates():
    one = Estimate(0.3, None, 0.5, 8)
    assert mean_of_estimates([one]) == one
    assert mean_of_estimates([one, Estimate(0.5, 0.1, 0.9, 4)]).low is None


@settings(max_examples=40)
@given(sums(), sums())
def test_the_difference_of_shares_is_the_one_with_models_deleted_by_hand(one, other):
    sizes = {term.models: len(term.values) for term in (*one[0], *one[1])}
    for term in (*other[0], *other[1]):
        if sizes.setdefault(term.models, len(term.values)) != len(term.values):
            return  # drawn apart: one batch of two sizes, which is refused elsewhere
    found = pooled_difference(Share(*one), Share(*other))

    def left(batch=None, model=None):
        (a, b), (c, d) = ([by_hand(terms, batch, model) for terms in share] for share in (one, other))
        return a / b - c / d

    variance = 0.0
    for batch, size in sizes.items():
        each = np.array([left(batch, k) for k in range(size)])
        variance += (size - 1) / size * ((each - each.mean()) ** 2).sum()
    half = scipy_stats.t.ppf(0.975, min(sizes.values()) - 1) * variance**0.5
    assert [found.value, found.high - found.value] == pytest.approx([left(), half], abs=1e-9)


def test_a_share_less_itself_is_0_and_no_gap_is_no_difference():
    rng = np.random.default_rng(0)
    low, high = rng.normal(0.2, 0.05, 6), rng.normal(0.9, 0.05, 6)
    gap = [Term("b", high), Term("r", low, -1.0)]
    share = Share([Term("m", low + 0.3), Term("r", low, -1.0)], gap)
    assert pooled_difference(share, share) == Estimate(0.0, 0.0, 0.0, 6)
    none = Share(gap, [Term("r", low), Term("b", high, -1.0)])
    assert "no gap to close" in pooled_difference(share, none).not_measured


def test_the_difference_of_two_shares_covers_what_is_true():
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(200):
        base, ideal, m1, m2 = (rng.normal(mean, 0.05, 8) for mean in (0.3, 0.9, 0.6, 0.45))
        gap = [Term("b", ideal), Term("r", base, -1.0)]
        one, two = (Share([Term("m", m), Term("r", base, -1.0)], gap) for m in (m1, m2))
        found = pooled_difference(one, two)
        inside += found.low <= 0.25 <= found.high
    assert inside >= 0.92 * 200


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(0, 2), st.floats(-2, 2)), min_size=1, max_size=5))
def test_a_sum_of_dependent_estimates_holds_every_sum_of_values_within(parts):
    estimates = [(Estimate(v, v - half, v + half, 8), weight) for v, half, weight in parts]
    found = sum_of_dependent(estimates)
    ends = [[weight * one.low, weight * one.high] for one, weight in estimates]
    assert found.low == pytest.approx(sum(min(pair) for pair in ends), abs=1e-9)
    assert found.high == pytest.approx(sum(max(pair) for pair in ends), abs=1e-9)


def test_an_end_that_is_missing_is_missing_where_the_weight_puts_it():
    open_above = Estimate(1.0, 0.5, None, 8)
    assert sum_of_dependent([(open_above, -1.0)]) == Estimate(-1.0, None, -0.5, 8)
    assert sum_of_dependent([(open_above, 1.0)]) == Estimate(1.0, 0.5, None, 8)
