"""The map, on points whose place is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave._types import Estimate, NotMeasured
from unweave.metrics import (
    affine_weights,
    gap_is_clear,
    generality,
    off_line_in_words,
    off_line_squared,
    original_is_off_line,
    weights_are_sharp,
)

coordinate = st.floats(-3, 3)


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([((a - b) ** 2).sum()])


@given(coordinate, coordinate, coordinate, st.integers(0, 10**6))
def test_coordinates_are_recovered_from_distances_alone(w_o, w_b, away, seed):
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    s = rng.normal(size=5)
    b, o = s + 2 * axes[0], s + 0.7 * axes[0] + 1.5 * axes[1]
    m = s + w_b * (b - s) + w_o * (o - s) + away * axes[2]
    gap = squared(s, b)
    t = (m - s) @ axes[0] / 2
    assert generality(squared(m, s), squared(m, b), gap=gap)[0] == pytest.approx(t, abs=1e-9)
    off = ((m - s) @ axes[1]) ** 2 + away**2
    assert off_line_squared(squared(m, s), squared(m, b), gap=gap)[0] == pytest.approx(off / 4, abs=1e-9)
    weights = affine_weights(
        to_untrained=squared(m, s), to_unlearned=squared(m, b), to_original=squared(m, o),
        original_to_untrained=squared(o, s), original_to_unlearned=squared(o, b), gap=gap,
    )  # fmt: skip
    assert isinstance(weights, np.ndarray)
    np.testing.assert_allclose(weights, [[w_o, 1 - w_o - w_b, w_b]], atol=1e-8)


def test_a_flat_triangle_has_no_weights():
    one = np.array([1.0, 1.0])
    flat = affine_weights(
        to_untrained=one, to_unlearned=one, to_original=one,
        original_to_untrained=one / 4, original_to_unlearned=one / 4, gap=one,
    )  # fmt: skip
    assert flat == NotMeasured("original indistinguishable from the line")


def test_gates_are_strict():
    assert gap_is_clear(4.01, 1.0) and not gap_is_clear(4.0, 1.0) and not gap_is_clear(-1.0, 0.0)
    assert original_is_off_line(Estimate(0.1, 0.021, 0.2, 8))
    assert not original_is_off_line(Estimate(0.1, 0.02, 0.2, 8))
    assert not original_is_off_line(NotMeasured("too few models"))
    assert weights_are_sharp(np.full(3, 0.249)) and not weights_are_sharp(np.array([0.1, 0.25, 0.1]))


def test_words_give_a_root_only_where_it_is_distinguishable():
    assert off_line_in_words(Estimate(-0.1, -0.3, 0.1, 8)) == "not distinguishable from 0"
    assert off_line_in_words(Estimate(0.1, 0.0, 0.2, 8)) == "not distinguishable from 0"
    assert off_line_in_words(Estimate(0.09, 0.04, 0.16, 8)) == "0.30 (0.20 to 0.40)"
    assert off_line_in_words(Estimate(0.09, 0.04, None, 8)) == "0.30 (0.20 to no upper end)"
    assert off_line_in_words(NotMeasured("gap")) == "not measured: gap"


def test_a_gap_that_is_not_positive_is_refused():
    one = np.ones(2)
    with pytest.raises(UserError, match="gap_is_clear"):
        generality(one, one, gap=np.array([1.0, 0.0]))
