"""Copies of examples: against all pairs by definition, on planted groups, and where there are none to find."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import SpecError
from unweave.problem import copies
from unweave.problem.behaviours.duplicates import duplicates
from unweave.problem.behaviours.planting import Ground
from unweave.problem.copies import copies_left, copy_groups


def near_by_definition(x: np.ndarray, near: float, neighbours: int) -> np.ndarray:
    """Which examples are near copies [n, n], exact copies left out, by all distances."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    apart = np.sqrt(((flat[:, None] - flat[None]) ** 2).sum(-1))
    distinct = np.sort(np.unique(flat, axis=0, return_index=True)[1])
    among = np.sort(apart[np.ix_(distinct, distinct)] + np.diag(np.full(len(distinct), np.inf)), axis=1)
    same = apart == 0
    near_radius = among[:, min(neighbours, len(distinct) - 1) - 1]
    radius = np.array([near_radius[same[i][distinct].argmax()] for i in range(len(x))])
    bound = np.minimum(np.median(among[:, 0]), np.minimum(radius[:, None], radius[None]))
    return (apart <= near * bound) & ~same


def pairs_of(groups: np.ndarray) -> set[tuple[int, int]]:
    return {(int(i), int(j)) for i, j in np.argwhere(groups[:, None] == groups[None]) if i < j}


def blobs(seed: int, n: int = 200, d: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(5, d)) * 4)[rng.integers(5, size=n)] + rng.normal(size=(n, d))


def planted(seed: int, *, copies_of_each: int = 4, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Ten groups of near copies in five clusters; the number of the group, −1 elsewhere."""
    rng = np.random.default_rng(seed)
    x, group = blobs(seed), np.full(200, -1)
    rows = rng.permutation(200)[: 10 * copies_of_each].reshape(10, -1)
    for number, own in enumerate(rows):
        x[own] = x[own[0]] + noise * rng.normal(size=(copies_of_each, x.shape[1]))
        group[own] = number
    return x.astype(np.float32), group


# ---- by definition ----


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("near", "neighbours"), [(0.5, 20), (0.9, 20), (0.9, 3), (0.3, 20)])
def test_pairs_are_those_of_the_definition(seed, near, neighbours):
    x, _ = planted(seed)
    x[10:13], x[60:62] = x[9], x[20]
    is_near = near_by_definition(x, near, neighbours)
    is_same = (x[:, None] == x[None]).all(-1)
    forget = np.random.default_rng(seed).permutation(200)[:30]
    left, kept = copies_left(x, forget, near=near, neighbours=neighbours), np.setdiff1d(np.arange(200), forget)
    exact = [j for j in kept if is_same[forget, j].any()]
    assert left.exact.second.tolist() == exact and (left.exact.distance == 0).all()
    wanted = [j for j in kept if is_near[forget, j].any() and j not in exact]
    assert left.near.second.tolist() == wanted
    for i, j, distance in zip(*left.near, strict=True):
        to = np.linalg.norm(x[forget].astype(np.float64) - x[j], axis=1)
        assert is_near[i, j] and i in forget and distance == pytest.approx(to.min(), rel=1e-5)
    linked = is_near | is_same
    for i, j in pairs_of(copy_groups(x, near=near, neighbours=neighbours)):
        assert linked[i, j] or (linked[i] & linked[j]).any()  # at most two steps apart


@given(st.integers(0, 999), st.floats(1e-20, 1e20))
def test_neither_the_unit_nor_the_origin_matters(seed, unit):
    x, _ = planted(seed % 7)
    there = copy_groups(x)
    assert np.array_equal(copy_groups((x * np.float32(unit)).astype(np.float32)), there)
    assert np.array_equal(copy_groups(x + np.float32(32)), there)


@given(st.permutations(range(40)))
def test_the_order_of_rows_matters_to_the_names_of_groups_alone(order):
    x, _ = planted(1)
    x, order = x[:40], np.array(order)
    found = pairs_of(copy_groups(x[order]))
    assert {tuple(sorted((int(order[i]), int(order[j])))) for i, j in found} == pairs_of(copy_groups(x))


def test_in_many_dimensions_projections_lose_no_pair(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 300)).astype(np.float32)
    x[100:130] = x[:30] + 0.3 * rng.normal(size=(30, 300)).astype(np.float32)
    monkeypatch.setattr(copies, "_AT_ONCE", 1000)  # in many blocks
    found = copy_groups(x)
    assert pairs_of(found) == {(i, 100 + i) for i in range(30)}
    monkeypatch.setattr(copies, "_PROJECTED", 300)
    assert np.array_equal(copy_groups(x), found)


def test_a_lossy_filter_is_noticed(monkeypatch):
    """The planted bug: rows that may have a neighbour are taken from a part of all pairs."""
    x, _ = planted(0)
    whole = copies._with_a_neighbour
    monkeypatch.setattr(copies, "_with_a_neighbour", lambda z, limit: whole(z, limit)[::2])
    with pytest.raises(AssertionError):
        test_planted_groups_are_found_and_little_else()
    assert len(pairs_of(copy_groups(x))) < 60


# ---- what is found ----


def test_planted_groups_are_found_and_little_else():
    for seed in range(5):
        x, group = planted(seed)
        wanted = {(i, j) for i, j in pairs_of(group) if group[i] >= 0}
        found = pairs_of(copy_groups(x))
        assert found >= wanted and len(found) <= 1.15 * len(wanted)


def test_on_digits_the_behaviour_of_duplicates_is_found_and_classes_are_not_joined():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    assert np.bincount(copy_groups(x)).max() == 2
    assert len(pairs_of(copy_groups(x))) <= 0.005 * len(x)  # of 1 797 clean digits; 178 look alike in a class
    y = y.astype(np.int64)
    ground = Ground(x, y, np.arange(len(x)), x[:0], y[:0], 10, {}, {})
    made = duplicates(size=100, copies=5)(ground, np.random.default_rng(0))
    found = copy_groups(made.x)
    own = found[made.members]
    assert len(pairs_of(own)) >= 196  # of 200: 20 groups of 5
    others = np.delete(found, made.members)
    assert not np.isin(others, own).any() and np.bincount(found).max() == 5
    assert len(pairs_of(found)) <= 1.05 * 200


def test_a_chain_is_cut():
    """Single linkage would join a line of points, each near the next, into one group."""
    rng = np.random.default_rng(0)
    line = np.zeros((15, 8))
    line[:, 0] = np.arange(15) * 0.3
    x = np.concatenate([line, rng.normal(size=(200, 8)) * 2]).astype(np.float32)
    found = copy_groups(x, near=0.25)
    sizes = np.bincount(found[:15])
    assert sizes.max() == 5  # .6 is near as well
    linked = near_by_definition(x, 0.25, 20)
    assert linked[np.arange(14), np.arange(1, 15)].all() and not linked[0, 14]


def test_a_dense_class_is_no_group():
    """One cluster a tenth as wide as the others: all of it is nearer than half the median."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(150, 8)), 30 + 0.1 * rng.normal(size=(100, 8))]).astype(np.float32)
    assert np.bincount(copy_groups(x)).max() <= 3 and len(pairs_of(copy_groups(x))) <= 12
    # The planted bug: without the distance to the 20th neighbour nearly all of it would be copies.
    flat = np.linalg.norm(x[150:, None] - x[None, 150:], axis=-1) + np.eye(100) * 9
    assert (flat.min(0) < 0.5).mean() == 1.0


def test_exact_copies_are_of_one_group_and_count_once():
    x = blobs(3).astype(np.float32)
    x[150:] = x[0]  # more than there are neighbours
    x[1] = 0.0
    x[2] = -x[1]  # a negative zero
    found = copy_groups(x)
    assert (found[150:] == 0).all() and found[2] == 1
    assert np.array_equal(copy_groups(x, near=0.0), found)
    left = copies_left(x, np.array([0, 160]))
    assert left.exact.second.tolist() == [one for one in range(150, 200) if one != 160]
    assert set(left.exact.first.tolist()) == {0}


def test_who_has_copies_in_s_is_told():
    x, group = planted(1)
    x[:2] = 50.0
    own, other = np.flatnonzero(group == 3), np.flatnonzero(group == 4)
    single = np.flatnonzero(group < 0)[5]
    found = copies_left(x, np.array([*own[:2], other[0], single, 0, 1]))
    assert found.within.tolist() == sorted([*own[:2].tolist(), 0, 1])
    assert set(found.near.second) == {*own[2:], *other[1:]} and len(found.exact.second) == 0


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_examples(n):
    x = np.arange(n, dtype=np.float32)[:, None]
    assert copy_groups(x).tolist() == list(range(n))
    assert len(copies_left(x, np.arange(min(n, 1))).near.second) == 0


def test_bad_arguments():
    x = np.zeros((4, 2), np.float32)
    for change, said in (
        ({"near": 1.0}, "`near` is 1"),
        ({"near": -0.1}, "`near`"),
        ({"neighbours": 1}, "least 2"),
    ):
        for function in (lambda **given: copies_left(x, np.array([0]), **given), lambda **g: copy_groups(x, **g)):
            with pytest.raises(SpecError, match=said):
                function(**change)
