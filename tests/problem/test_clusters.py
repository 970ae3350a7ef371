"""Clusters and distances of many examples: the answers of the plain way, in seconds and without copies of D."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave._errors import SpecError
from unweave.problem import Planted, select
from unweave.problem.clusters import FITTED_ON, different, k_means, nearest, squared_distances


def _points(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-1, 1)), max_size=30), st.integers(0, 12))
def test_different_are_the_first_rows_of_the_unique_ones(rows, at_most):
    x = np.array(rows, dtype=np.float32).reshape(-1, 2) * np.float32(0.5)
    found = different(x, at_most)
    firsts = [i for i, row in enumerate(rows) if row not in rows[:i]]
    assert found.tolist() == firsts[:at_most]


def test_a_negative_zero_is_no_other_feature():
    assert len(different(np.array([[0.0], [-0.0]], np.float32), 5)) == 1


@pytest.mark.parametrize("n", [3, 4500])
def test_nearest_and_distances_are_those_of_the_plain_way(n):
    x, centres = _points(0, n, 3, 2, 2), _points(1, 5, 12).astype(np.float64)
    plain = ((x.reshape(n, 1, 12).astype(np.float64) - centres[None]) ** 2).sum(-1)
    np.testing.assert_array_equal(nearest(x, centres), plain.argmin(1))
    for number, centre in enumerate(centres):
        np.testing.assert_allclose(squared_distances(x, centre), plain[:, number], rtol=1e-12)


def test_nothing_has_no_nearest():
    assert nearest(np.zeros((0, 3), np.float32), np.zeros((2, 3))).shape == (0,)


def test_clusters_of_more_than_are_fitted_on_are_found_and_ordered_by_size():
    sizes = (900, 1400, 700)
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    assert sum(sizes) > FITTED_ON
    of = np.random.default_rng(3).permutation(np.repeat(np.arange(3), sizes))
    x = (centres[of] + _points(4, len(of), 2)).astype(np.float32)
    labels, found = k_means(x, 3, np.random.default_rng(5))
    np.testing.assert_array_equal(labels, np.array([1, 0, 2])[of])
    np.testing.assert_allclose(found, centres[[1, 0, 2]] + 0.5, atol=0.05)


def test_a_rare_example_may_be_a_cluster_of_its_own_however_many_there_are():
    x = np.zeros((FITTED_ON + 500, 1), np.float32)
    x[7], x[2300] = 1, 5
    labels, _ = k_means(x, 3, np.random.default_rng(0))
    assert np.bincount(labels).tolist() == [FITTED_ON + 498, 1, 1]
    with pytest.raises(SpecError, match="there are only 3 different examples"):
        k_means(x, 4, np.random.default_rng(0))


@pytest.mark.parametrize("selection", ["clustered", "easiest", "hardest"])
def test_a_selection_makes_no_copy_of_all_features_and_takes_seconds(selection):
    x = _points(0, 8000, 20, 20)
    y = np.arange(8000) % 10
    planted = Planted(x, y, y, np.arange(0, 8000, 4), None, "none")
    tracemalloc.start()
    begin = time.process_time()
    rows = select(planted, np.arange(8000), key=1, discovery=0.1, selection=selection)
    taken, peak = time.process_time() - begin, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rows) == 200 and taken < 8
    # In double precision all of D alone would be 2 × its bytes.
    assert peak < 1.9 * x.nbytes
