"""The attacks on models that were trained: what a model knows by heart is found example by example."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import RBFSampler

from unweave.attacks import auc, lira_offline, lira_online, loss_score, rmia, scaled_confidence_score

MODELS, N, Z = 48, 300, 200


@pytest.fixture(scope="module")
def trained():
    """Ridge regression on random features of digits, 15% of them mislabelled; each has a random half of 300."""
    rng = np.random.default_rng(0)
    x, y = load_digits(return_X_y=True)
    chosen = rng.permutation(len(y))[: N + Z]
    x, y = RBFSampler(gamma=0.02, n_components=120, random_state=0).fit_transform(x[chosen] / 4), y[chosen]
    wrong = rng.random(len(y)) < 0.15
    y = np.where(wrong, rng.integers(0, 10, len(y)), y)
    inside = np.stack([rng.permutation(np.arange(N) < N // 2) for _ in range(MODELS)])
    logits = []
    for one in inside:
        features, targets = x[:N][one], np.eye(10)[y[:N][one]]
        weights = np.linalg.solve(features.T @ features + 0.01 * np.eye(120), features.T @ targets)
        logits.append(5 * x @ weights)
    return np.stack(logits), y, inside


def against_each_other(attack, score, inside, **more):
    blocks = np.arange(MODELS)
    return attack(score, score, inside, target_blocks=blocks, shadow_blocks=blocks, **more)


def test_attacks_per_example_find_more_than_one_cut_for_all(trained):
    """AUC .89 with one cut, .91 offline, .97 online: the order in which Carlini et al. (2022) find them."""
    logits, y, inside = trained
    phi = scaled_confidence_score(logits, y)[:, :N]
    one_cut = auc(phi, inside).mean()
    online = auc(against_each_other(lira_online, phi, inside), inside).mean()
    offline = auc(against_each_other(lira_offline, phi, inside), inside).mean()
    assert one_cut > 0.55
    assert online > one_cut + 0.05 and offline > one_cut
    log_p = loss_score(logits, y)
    population = {"population_targets": log_p[:, N:], "population_shadows": log_p[:, N:]}
    assert auc(against_each_other(rmia, log_p[:, :N], inside, **population), inside).mean() > one_cut


def test_examples_that_were_in_no_model_are_no_members(trained):
    """The same attacks, with memberships drawn at random for examples that no model was trained on: AUC .5."""
    logits, y, inside = trained
    phi = scaled_confidence_score(logits, y)[:, N:]
    sham = inside[:, :Z]
    for attack in (lira_online, lira_offline):
        found = auc(against_each_other(attack, phi, sham), sham)
        assert abs(found.mean() - 0.5) < 0.02
