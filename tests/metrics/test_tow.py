"""Tug of war: known values, bounds, a reference beside its own mean, and signs that cancel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unweave._errors import UserError
from unweave.metrics import Rates, tow, tow_leave_outs
from unweave.stats import leave_outs


def rates(forget, retain, test) -> Rates:
    return Rates(*(np.atleast_1d(np.array(one, dtype=np.float64)) for one in (forget, retain, test)))


def sets_of_rates(models: int):
    return st.tuples(*[arrays(np.float64, models, elements=st.floats(0, 1))] * 3).map(lambda three: Rates(*three))


def plainly(models: Rates, references: Rates) -> list[float]:
    """One model and one set at a time."""
    found = []
    for k in range(len(models.forget)):
        product = 1.0
        for own, theirs in zip(models, references, strict=True):
            product *= 1 - abs(float(own[k]) - sum(theirs.tolist()) / len(theirs))
        found.append(product)
    return found


def check_known(function) -> None:
    """Three worked cases; in the second, too high on S and too low on test are both far."""
    references = rates([0.2, 0.4], [0.9, 1.0], [0.8, 0.8])  # means .3, .95, .8
    for own, value in (
        ((0.3, 0.95, 0.8), 1.0),
        ((0.5, 0.95, 0.6), 0.8 * 0.8),
        ((0.1, 0.85, 0.7), 0.8 * 0.9 * 0.9),
        ((0.9, 1.0, 0.85), 0.4 * 0.95 * 0.95),
    ):
        np.testing.assert_allclose(function(rates(*own), references), [value], rtol=1e-12)


def test_known_values():
    check_known(tow)


def signed(models: Rates, references: Rates):
    """Without absolute values: below the reference counts as better than at it."""
    return np.prod([1 - (own - theirs.mean()) for own, theirs in zip(models, references, strict=True)], axis=0)


def summed(models: Rates, references: Rates):
    """One minus the sum of the differences, and no product."""
    return 1 - sum(np.abs(own - theirs.mean()) for own, theirs in zip(models, references, strict=True))


def without_test(models: Rates, references: Rates):
    return tow(models._replace(test=models.test * 0), references._replace(test=references.test * 0))


def of_the_means(models: Rates, references: Rates):
    """Of mean accuracies: models to the left and right of the reference make up for each other."""
    means = Rates(*(np.full_like(one, one.mean()) for one in models))
    return tow(means, references)


@pytest.mark.parametrize("wrong", [signed, summed, without_test])
def test_the_known_values_are_not_those_of_a_wrong_formula(wrong):
    with pytest.raises(AssertionError):
        check_known(wrong)


def check_models(function) -> None:
    """Two models at .5 ± .3 on S have .7 each, and not 1."""
    np.testing.assert_allclose(function(rates([0.2, 0.8], [1, 1], [1, 1]), rates(0.5, 1, 1)), [0.7, 0.7])


def test_the_model_is_the_unit():
    check_models(tow)
    with pytest.raises(AssertionError):
        check_models(of_the_means)


@settings(max_examples=60)
@given(sets_of_rates(4), sets_of_rates(3))
def test_it_is_the_plain_product_between_0_and_1(models, references):
    values = tow(models, references)
    np.testing.assert_allclose(values, plainly(models, references), atol=1e-12)
    assert values.shape == (4,) and (values >= 0).all() and (values <= 1).all()


@settings(max_examples=60)
@given(sets_of_rates(1), sets_of_rates(1))
def test_one_model_and_one_reference_may_change_places(one, other):
    np.testing.assert_allclose(tow(one, other), tow(other, one))
    np.testing.assert_allclose(tow(one, one), [1.0])


def test_a_reference_beside_its_own_mean():
    """Accuracies of .4 and .6 are .1 from their mean: a reference has .9, and not 1."""
    references = rates([0.4, 0.6], [1.0, 1.0], [0.9, 0.9])
    np.testing.assert_allclose(tow(references, references), [0.9, 0.9])
    alike = rates([0.5, 0.5], [1.0, 1.0], [0.9, 0.9])
    np.testing.assert_allclose(tow(alike, alike), [1.0, 1.0])


def test_with_an_attack_in_place_of_the_accuracy_it_is_tow_mia():
    """MIA .25 beside .5, and the other two as they are: only the factor of S changes."""
    own, references = rates(1.0, 0.9, 0.8), rates(0.6, 1.0, 0.8)
    np.testing.assert_allclose(tow(own, references), [0.6 * 0.9])
    mia = own._replace(forget=np.array([0.25])), references._replace(forget=np.array([0.5]))
    np.testing.assert_allclose(tow(*mia), [0.75 * 0.9])


def test_a_rate_that_is_not_known_is_none_of_the_others_affair():
    values = tow(rates([np.nan, 0.5], [1, 1], [1, 1]), rates(0.5, 1, 1))
    assert np.isnan(values[0]) and values[1] == 1.0


# ---- leave-outs ----


@settings(max_examples=40)
@given(sets_of_rates(5), sets_of_rates(4))
def test_leave_outs_are_the_mean_over_what_is_left_in(models, references):
    rng = np.random.default_rng(0)
    weights, others = (np.vstack([np.ones(n), rng.integers(0, 2, (6, n))]) for n in (5, 4))
    weights[:, 0] = others[:, 0] = 1
    given = tow_leave_outs(models, references, weights, others)
    for row, (w, v) in enumerate(zip(weights, others, strict=True)):
        left = Rates(*(one[v == 1] for one in references))
        kept = Rates(*(one[w == 1] for one in models))
        np.testing.assert_allclose(given[row], tow(kept, left).mean(), atol=1e-12)


def test_the_scatter_of_the_references_is_in_the_leave_outs():
    """With one mean of the references for all leave-outs nothing would change where a reference is left out."""
    design = leave_outs({"models": np.arange(3), "references": np.arange(3, 6)})
    models, references = rates([0.5] * 3, [1] * 3, [1] * 3), rates([0.1, 0.5, 0.9], [1] * 3, [1] * 3)
    weights = design.weights
    given = tow_leave_outs(models, references, weights["models"], weights["references"])
    assert given[0] == 1.0 and (given < 0.95).any()


def test_a_reference_is_not_part_of_the_mean_that_it_is_held_against():
    """References at .4 and .6: beside the other alone each has .8; beside the mean of both it had .9."""
    references, ids = rates([0.4, 0.6], [1, 1], [1, 1]), np.arange(2)
    all_in = np.ones((1, 2))
    apart = tow_leave_outs(references, references, all_in, all_in, blocks=ids, reference_blocks=ids)
    np.testing.assert_allclose(apart, [0.8])
    np.testing.assert_allclose(tow_leave_outs(references, references, all_in, all_in), [0.9])


# ---- refusals ----


@pytest.mark.parametrize(
    ("models", "references", "said"),
    [
        (rates(95.0, 0.9, 0.9), rates(0.9, 0.9, 0.9), "from 0 to 1, got 95"),
        (rates(0.9, 0.9, 0.9), rates(0.9, -0.1, 0.9), "on `retain`"),
        (rates([0.9, 0.9], 0.9, 0.9), rates(0.9, 0.9, 0.9), "one number per model"),
        (rates(0.9, 0.9, 0.9), rates([], [], []), "one number per model"),
    ],
)
def test_what_are_no_rates_is_refused(models, references, said):
    with pytest.raises(UserError, match=said):
        tow(models, references)


def test_leave_outs_that_do_not_fit_are_refused():
    own = rates([0.5, 0.5], [1, 1], [1, 1])
    for weights, others in (
        (np.ones((2, 2)), np.ones((3, 2))),
        (np.ones((2, 3)), np.ones((2, 2))),
        (np.ones((2, 2)), np.ones((2, 3))),
        (np.array([[1.0, 1.0], [0.0, 0.0]]), np.ones((2, 2))),
        (np.ones((2, 2)), np.array([[1.0, 1.0], [0.0, 0.0]])),
    ):
        with pytest.raises(UserError):
            tow_leave_outs(own, own, weights, others)
    both, ids = np.ones((1, 2)), np.zeros(2, dtype=np.int64)
    for blocks, of_references in ((ids, ids), (ids, None), (ids[:1], ids)):
        with pytest.raises(UserError):
            tow_leave_outs(own, own, both, both, blocks=blocks, reference_blocks=of_references)
