"""Random numbers as functions of a key: the published generator, under `vmap`, uniform, independent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from torch.func import vmap

from unweave._random import derive
from unweave.learners.noise import fold_in, key_tensor, uniform

BITS = 2**64 - 1
PHI = 0x9E3779B97F4A7C15
# The first outputs for seed 1234567 that implementations of splitmix64 publish.
PUBLISHED = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]


def finaliser(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & BITS
    return z ^ (z >> 31)


def number(key: int, j: int) -> float:
    """Number j = 0, 1, … of a key in Python's integers of any size: the top 24 bits of splitmix64."""
    return (finaliser((key + (j + 1) * PHI) & BITS) >> 40) / 2**24


def signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def keys_of(*keys: int) -> torch.Tensor:
    return key_tensor(list(keys))


def test_the_oracle_gives_the_published_numbers():
    assert [finaliser((1234567 + (j + 1) * PHI) & BITS) for j in range(5)] == PUBLISHED


def test_known_values():
    expected = [(value >> 40) / 2**24 for value in PUBLISHED]
    assert uniform(keys_of(1234567)[0], 5).tolist() == expected


@given(st.integers(0, 2**63 - 1), st.integers(-1, 10**6))
def test_against_python_integers(key, step):
    scalar = keys_of(key)[0]
    assert uniform(scalar, 4).tolist() == [number(key, j) for j in range(4)]
    folded = finaliser((key + finaliser(((step + 1) * PHI) & BITS)) & BITS)
    assert fold_in(scalar, step).item() == signed(folded)
    assert uniform(fold_in(scalar, step), 2).tolist() == [number(folded, j) for j in range(2)]


def test_vmap_equals_the_loop():
    keys = keys_of(0, 1, 7, 2**63 - 1, derive(3, "noise"))
    stacked = vmap(lambda key: uniform(fold_in(key, 3), 4, 5))(keys)
    one_by_one = torch.stack([uniform(fold_in(key, 3), 4, 5) for key in keys])
    assert torch.equal(stacked, one_by_one)


def test_a_replica_does_not_depend_on_its_neighbours():
    many, few = keys_of(5, 6, 7), keys_of(6)
    assert torch.equal(vmap(lambda key: uniform(key, 9))(many)[1], vmap(lambda key: uniform(key, 9))(few)[0])


def test_no_global_state_is_read_or_moved():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = uniform(keys_of(1)[0], 10)
    torch.manual_seed(99)
    assert torch.equal(first, uniform(keys_of(1)[0], 10))
    torch.manual_seed(0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3, 4)])
def test_shape_and_type(shape):
    drawn = uniform(keys_of(2)[0], *shape)
    assert drawn.shape == shape
    assert drawn.dtype == torch.float32
    assert torch.equal(drawn.flatten(), uniform(keys_of(2)[0], drawn.numel()))


@pytest.mark.parametrize("key", [0, 1, derive(0, "noise")])
def test_uniform_on_the_unit_interval(key):
    drawn = uniform(keys_of(key)[0], 100_000).numpy().astype(float)
    assert 0 <= drawn.min() and drawn.max() < 1
    assert kstest(drawn, "uniform").pvalue > 1e-3


def test_the_check_of_uniformity_can_fail():
    drawn = uniform(keys_of(0)[0], 100_000).numpy().astype(float)
    assert kstest(drawn**1.03, "uniform").pvalue < 1e-3


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("key", [1, 12345, derive(1, "noise")])
def test_neighbouring_keys_steps_and_numbers_are_uncorrelated(key):
    n = 50_000
    here = uniform(keys_of(key)[0], n).numpy()
    other_keys = [uniform(keys_of(key + 1)[0], n).numpy(), uniform(keys_of(key + 2**32)[0], n).numpy()]
    steps = [uniform(fold_in(keys_of(key)[0], i), n).numpy() for i in (-1, 0, 1)]
    limit = 4.5 / np.sqrt(n)
    pairs = [(here, other) for other in other_keys + steps]
    pairs += [(steps[0], steps[1]), (steps[1], steps[2]), (here[1:], here[:-1]), (here[2:], here[:-2])]
    assert max(abs(correlation(a, b)) for a, b in pairs) < limit


def test_the_first_number_across_keys_and_steps_is_uniform_and_uncorrelated():
    by_key = vmap(lambda key: uniform(key))(torch.arange(50_000)).numpy()
    by_step = vmap(lambda key: uniform(key))(
        torch.stack([fold_in(keys_of(7)[0], i) for i in range(5_000)])
    ).numpy()
    for drawn in (by_key, by_step):
        assert kstest(drawn.astype(float), "uniform").pvalue > 1e-3
        assert abs(correlation(drawn[1:], drawn[:-1])) < 4.5 / np.sqrt(len(drawn))
