"""What is said of single examples: nothing of noise, all that was planted, and no count of what is not known."""

from __future__ import annotations

import numpy as np
import pytest

from unweave import Case, LearnerChoice
from unweave.influence import Influences, cross_influence
from unweave.problem import BehaviourChoice, DataChoice, ForgetChoice, ProbeChoice
from unweave.study import assemble
from unweave.study.single import by_heart, chance, most_influential, most_memorized, share_above, surely_by_heart

MODELS, OWN = 500, 20


@pytest.fixture(scope="module")
def assembly():
    return assemble(
        Case(
            data=DataChoice("digits"),
            behaviour=BehaviourChoice("mislabel", size=100),
            forget=ForgetChoice(count=OWN),
            learner=LearnerChoice(width=8),
            probes=ProbeChoice(limit=600),
        )
    )


def answers(assembly, seed):
    """Models that get each probe right as often with an example as without: the truth is that no pair matters."""
    rng = np.random.default_rng(seed)
    n, probes = len(assembly.setting.y), len(assembly.probes.trained)
    inside = rng.random((MODELS, n)) < 0.7
    return inside, rng.random((MODELS, n + probes)) < rng.beta(5, 1, n + probes)


def places(assembly):
    """Where answers on probes outside of S stand."""
    groups = assembly.probes.groups
    outside = [where for name, where in groups.items() if name != "forget"]
    return len(assembly.setting.y) + np.concatenate(outside)


def test_of_noise_nothing_is_listed(assembly):
    """Four standard errors alone listed some of these many pairs every time."""
    four = 0
    for seed in range(4):
        inside, right = answers(assembly, seed)
        others = places(assembly)
        assert OWN * len(others) > 10_000
        found = cross_influence(inside[:, assembly.forget], right[:, others].astype(np.float64))
        four += bool((np.abs(found.value) > 4 * found.standard_error).any())
        assert most_influential(assembly, inside, right) == ()
    assert four == 4


def test_pairs_that_were_planted_are_listed_strongest_first(assembly):
    inside, right = answers(assembly, 0)
    one, other = places(assembly)[[5, 6]]
    rng = np.random.default_rng(9)
    right[:, one] = rng.random(MODELS) < np.where(inside[:, assembly.forget[3]], 0.9, 0.3)
    right[:, other] = rng.random(MODELS) < np.where(inside[:, assembly.forget[4]], 0.1, 0.9)
    found = most_influential(assembly, inside, right)
    ids = assembly.data.train.ids[assembly.forget[[4, 3]]]
    assert [pair.example.id for pair in found] == [str(name) for name in ids]
    assert found[0].influence == pytest.approx(-0.8, abs=0.1) and found[1].influence == pytest.approx(0.6, abs=0.1)


def test_the_exact_test_holds_where_few_models_fail():
    """Of a probe that 2% of models fail on, failures fall on one side by chance; the p-value is that of a draw."""
    rng = np.random.default_rng(0)
    inside, right = rng.random((200, 4000)) < 0.7, rng.random((200, 4000)) < 0.98
    p = chance(inside, right)
    for level in (0.05, 0.005):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level / 4000)
    assert chance(np.eye(2, dtype=bool)[:, :1], np.ones((2, 1), bool)).tolist() == [1.0]


def test_who_was_never_left_out_counts_neither_as_memorized_nor_as_not():
    value = np.array([np.nan, np.nan, 0.9, 0.9])
    assert share_above(value, 0.25) == 1.0
    assert share_above(np.array([np.nan, 0.9, 0.1]), 0.25) == 0.5
    assert share_above(np.array([np.nan]), 0.25) is None
    assert surely_by_heart(Influences(value, np.full(4, 0.01))).tolist() == [False, False, True, True]


def test_all_of_s_that_are_known_by_heart_are_counted_and_listed_first(assembly):
    value = np.full(OWN, 0.6)
    value[:3] = 0.95  # more, but not surely so
    found = Influences(value, np.where(np.arange(OWN) < 3, 0.3, 0.05))
    assert surely_by_heart(found).sum() == OWN - 3
    most = most_memorized(assembly, found)
    assert len(most) == 12 and by_heart(most) == tuple(one.example.id for one in most)
    unsure = {str(one) for one in assembly.data.train.ids[assembly.forget[:3]]}
    assert not unsure & set(by_heart(most))
