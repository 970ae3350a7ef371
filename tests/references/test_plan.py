"""The worlds of a comparison: the right training sets, and keys that are shared only where they should be."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.references import WORLDS, WorldPlan, plan

REPORT, FRESH = WORLDS[:3], WORLDS[3:]


@st.composite
def problems(draw: st.DrawFn) -> dict:
    """A data set size, members B, and S within B, with numbers of models and a seed."""
    n = draw(st.integers(2, 40))
    members = sorted(draw(st.sets(st.integers(0, n - 1), max_size=n - 1)))
    forget = sorted(draw(st.sets(st.sampled_from(members)))) if members else []
    return {
        "n": n,
        "forget": np.array(draw(st.permutations(forget)), dtype=np.int64),
        "members": np.array(draw(st.permutations(members)), dtype=np.int64),
        "models": draw(st.integers(1, 6)),
        "null": draw(st.integers(1, 6)),
        "paired": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**63 - 1)),
    }


def worlds_of(problem: dict, **changes: object) -> dict[str, WorldPlan]:
    settings = problem | changes
    return dict(plan(settings.pop("n"), settings.pop("forget"), settings.pop("members"), **settings))


@settings(deadline=None)
@given(problems())
def test_each_world_trains_on_its_set(problem: dict):
    worlds = worlds_of(problem)
    everything, forget, members = set(range(problem["n"])), set(problem["forget"]), set(problem["members"])
    expected = {"original": everything, "untrained": everything - forget, "unlearned": everything - members}
    assert tuple(worlds) == WORLDS
    for name, world in worlds.items():
        rows = world.rows.tolist()
        assert world.name == name
        assert rows == sorted(expected[name.removeprefix("null_")])
        assert world.rows.dtype == np.int64


def test_each_world_names_its_set():
    worlds = plan(4, np.array([1]), np.array([1, 2]), models=1, null=1, paired=False, seed=0)
    assert [worlds[name].training_set for name in WORLDS] == ["D", "D∖S", "D∖B", "D∖S", "D∖B"]


@settings(deadline=None)
@given(problems())
def test_each_world_has_as_many_keys_as_models_and_none_twice(problem: dict):
    for name, world in worlds_of(problem).items():
        assert len(world.keys) == len(set(world.keys)) == problem["null" if name in FRESH else "models"]
        assert all(0 <= key < 2**63 for key in world.keys)


@settings(deadline=None)
@given(problems())
def test_independent_worlds_share_no_key(problem: dict):
    worlds = worlds_of(problem, paired=False)
    for one, another in combinations(WORLDS, 2):
        assert not set(worlds[one].keys) & set(worlds[another].keys)


@settings(deadline=None)
@given(problems())
def test_paired_worlds_share_keys_by_number_and_never_with_fresh_retrains(problem: dict):
    worlds = worlds_of(problem, paired=True)
    assert worlds["original"].keys == worlds["untrained"].keys == worlds["unlearned"].keys
    report = set(worlds["original"].keys)
    fresh = [set(worlds[name].keys) for name in FRESH]
    assert not report & fresh[0] and not report & fresh[1] and not fresh[0] & fresh[1]


@settings(deadline=None)
@given(problems())
def test_pairing_changes_no_fresh_retrain(problem: dict):
    paired, free = (worlds_of(problem, paired=paired) for paired in (True, False))
    assert all(paired[name].keys == free[name].keys for name in FRESH)
    assert not set(paired["original"].keys) & {key for name in REPORT for key in free[name].keys}


@settings(deadline=None)
@given(problems(), st.integers(0, 2**63 - 1))
def test_another_seed_gives_other_keys_and_the_same_seed_the_same(problem: dict, seed: int):
    once, twice = worlds_of(problem), worlds_of(problem)
    assert all(once[name].keys == twice[name].keys for name in WORLDS)
    other = worlds_of(problem, seed=seed)
    shared = {key for world in once.values() for key in world.keys} & {
        key for w in other.values() for key in w.keys
    }
    assert bool(shared) == (seed == problem["seed"])


@settings(deadline=None)
@given(problems(), st.integers(1, 12))
def test_more_models_keep_the_keys_of_the_fewer(problem: dict, more: int):
    few, many = worlds_of(problem, models=1, null=1), worlds_of(problem, models=more, null=more)
    assert all(many[name].keys[:1] == few[name].keys for name in WORLDS)
