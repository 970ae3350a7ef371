"""RMIA: a naive oracle, nothing to find, known direction, and the zeros that public code averages in."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unweave._errors import UserError
from unweave.attacks import auc, rmia


def world(seed: int, *, models: int, n: int, z: int, effect: float):
    """log p of n examples, half of them inside, and of z examples that are inside nowhere."""
    rng = np.random.default_rng(seed)
    inside = np.stack([rng.permutation(np.arange(n) < n // 2) for _ in range(models)])
    logit = rng.normal(0, 2, n + z) + rng.normal(0, 1, (models, n + z))
    logit[:, :n] += effect * inside
    log_p = -np.logaddexp(0, -logit)
    return log_p[:, :n], inside, log_p[:, n:]


def run(log_p, inside, population, targets: int, blocks=None, **given):
    blocks = np.arange(len(log_p)) if blocks is None else blocks
    return rmia(
        log_p[:targets],
        log_p,
        inside,
        population_targets=population[:targets],
        population_shadows=population,
        target_blocks=blocks[:targets],
        shadow_blocks=blocks,
        **given,
    )


def naive(log_p, inside, population, targets, blocks, *, offline, gamma):
    found = np.zeros((targets, log_p.shape[1]))
    for k in range(targets):
        others = [m for m in range(len(log_p)) if blocks[m] != blocks[k]]
        of_z = np.mean([np.exp(population[m]) for m in others], axis=0)
        if offline is not None:
            of_z = ((1 + offline) * of_z + 1 - offline) / 2
        for i in range(log_p.shape[1]):
            off = np.mean([math.exp(log_p[m, i]) for m in others if not inside[m, i]])
            if offline is None:
                p = (off + np.mean([math.exp(log_p[m, i]) for m in others if inside[m, i]])) / 2
            else:
                p = ((1 + offline) * off + 1 - offline) / 2
            ratios = (math.exp(log_p[k, i]) / p) / (np.exp(population[k]) / of_z)
            found[k, i] = (ratios > gamma).mean()
    return found


@pytest.mark.parametrize("offline", [None, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("gamma", [1.0, 1.3])
def test_as_one_would_write_it_down(offline, gamma):
    log_p, inside, population = world(0, models=12, n=6, z=30, effect=1.0)
    blocks = np.arange(12)
    blocks[7] = 1
    found = run(log_p, inside, population, 3, blocks, offline=offline, gamma=gamma)
    expected = naive(log_p, inside, population, 3, blocks, offline=offline, gamma=gamma)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_ratio_that_is_equal_does_not_exceed():
    """An example like every z, in every model: no z is exceeded."""
    log_p = np.full((3, 1), math.log(0.5))
    found = run(log_p, np.zeros((3, 1), dtype=bool), np.full((3, 5), math.log(0.5)), 1, offline=0.3)
    assert found.tolist() == [[0.0]]


def test_an_example_knows_of_no_other():
    log_p, inside, population = world(1, models=12, n=8, z=30, effect=1.0)
    some = [6, 1]
    whole = run(log_p, inside, population, 12)
    np.testing.assert_allclose(run(log_p[:, some], inside[:, some], population, 12), whole[:, some])


@pytest.mark.parametrize("offline", [None, 0.3])
def test_members_score_higher(offline):
    log_p, inside, population = world(2, models=40, n=100, z=100, effect=2.0)
    found = auc(run(log_p, inside, population, 40, offline=offline), inside)
    assert found.mean() > 0.8


def check_nothing_to_find(attack) -> None:
    log_p, inside, population = world(3, models=60, n=60, z=100, effect=0.0)
    found = auc(attack(log_p, inside, population), inside)
    assert abs(found.mean() - 0.5) < 4 * found.std(ddof=1) / math.sqrt(60), found.mean()


def zeros_averaged_in(log_p, inside, population):
    """Offline, with shadow models that have x counted as p = 0, as where all of them enter the average."""
    p = np.exp(log_p)
    evidence = (1.3 * np.where(inside, 0.0, p).mean(0) + 0.7) / 2
    ratio = p / evidence
    of_z = np.exp(population) / ((1.3 * np.exp(population).mean(0) + 0.7) / 2)
    return (ratio[:, :, None] > of_z[:, None]).mean(-1)


@pytest.mark.parametrize("offline", [None, 0.3])
def test_exchangeable_examples_give_one_half(offline):
    check_nothing_to_find(lambda *arrays: run(*arrays, 60, offline=offline))


def check_as_the_population(attack) -> None:
    """Where nothing is to be found, an example is like the population: the mean score is .5."""
    log_p, inside, population = world(4, models=20, n=1500, z=1500, effect=0.0)
    assert np.nanmean(attack(log_p, inside, population)) == pytest.approx(0.5, abs=0.03)


def test_zeros_averaged_into_the_evidence_are_caught():
    check_as_the_population(lambda *arrays: run(*arrays, 20, offline=0.3))
    with pytest.raises(AssertionError):
        check_as_the_population(zeros_averaged_in)


def test_what_cannot_be_measured_is_nan():
    log_p, inside, population = world(5, models=12, n=4, z=10, effect=0.0)
    assert np.isnan(run(log_p, inside, population[:, :0], 2)).all()
    inside[:, 0], inside[:, 1] = True, False
    online, offline = run(log_p, inside, population, 2), run(log_p, inside, population, 2, offline=0.3)
    assert np.isnan(online).all(0).tolist() == [True, True, False, False]
    assert np.isnan(offline).all(0).tolist() == [True, False, False, False]
    alone = run(log_p, inside, population, 2, np.zeros(12, dtype=int), offline=0.3)
    assert np.isnan(alone).all()


def test_what_does_not_fit_is_refused():
    log_p, inside, population = world(6, models=12, n=4, z=10, effect=0.0)
    for call in (
        lambda: run(log_p + 5, inside, population, 2),
        lambda: run(log_p, inside[:, :3], population, 2),
        lambda: run(log_p, inside, population[:6], 2),
        lambda: run(log_p, inside, population, 2, gamma=0.0),
        lambda: run(log_p, inside, population, 2, offline=1.5),
    ):
        with pytest.raises(UserError, match="Expected"):
            call()
