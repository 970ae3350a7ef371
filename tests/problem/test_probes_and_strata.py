import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.problem import GROUPS, MIN_PROBES, Planted, Probes, Unseen, choose_probes, strata

N, N_TEST, CLASSES = 300, 120, 4
PLANTED_LABEL = 9


def _planted(n_members: int, *, unseen: bool = True, seed: int = 0) -> Planted:
    """Training data whose single feature is the row's number; unseen ones count from 2000."""
    rng = np.random.default_rng(seed)
    members = np.sort(rng.choice(N, n_members, replace=False))
    clean = np.arange(N) % CLASSES
    y = clean.copy()
    y[members] = PLANTED_LABEL
    new = Unseen(
        np.arange(2000, 2000 + 90, dtype=np.float32)[:, None], np.full(90, PLANTED_LABEL), np.arange(90) % CLASSES
    )
    x = np.arange(N, dtype=np.float32)[:, None]
    return Planted(x, y, clean, members, new if unseen else None, "" if unseen else "none to be had")


TEST = (np.arange(1000, 1000 + N_TEST, dtype=np.float32)[:, None], np.arange(N_TEST) % CLASSES)


def _choose(planted: Planted, forget: np.ndarray, *, limit: int = 40, key: int = 1) -> Probes:
    return choose_probes(planted, forget, TEST, limit=limit, key=key)


@settings(deadline=None)
@given(
    n_members=st.integers(2, 200),
    share=st.floats(0.01, 1),
    limit=st.integers(1, 400),
    key=st.integers(0, 2**63 - 1),
    unseen=st.booleans(),
)
def test_groups_are_disjoint_within_their_sets_and_no_larger_than_the_limit(n_members, share, limit, key, unseen):
    planted = _planted(n_members, unseen=unseen, seed=key % 7)
    forget = planted.members[: max(1, int(share * n_members))]
    probes = _choose(planted, forget, limit=limit, key=key)
    ids = {name: probes.x[at, 0].astype(int) for name, at in probes.groups.items()}
    allowed = {
        "forget": forget,
        "undiscovered": np.setdiff1d(planted.members, forget),
        "unseen": np.arange(2000, 2090),
        "retain": np.setdiff1d(np.arange(N), planted.members),
        "test": np.arange(1000, 1000 + N_TEST),
    }
    for name, own in ids.items():
        assert len(set(own)) == len(own) == min(limit, len(allowed[name]))
        assert np.isin(own, allowed[name]).all()
    everything = np.concatenate(list(ids.values()))
    assert len(set(everything)) == len(everything) == len(probes.x)
    assert list(probes.groups) == [name for name in GROUPS if name in probes.groups]
    assert set(probes.groups) | set(probes.absent) == set(GROUPS)
    assert not set(probes.groups) & set(probes.absent)
    np.testing.assert_array_equal(np.concatenate(list(probes.groups.values())), np.arange(len(probes.x)))


def test_labels_of_each_group():
    planted = _planted(60)
    probes = _choose(planted, planted.members[:30])
    of = {name: slice(int(at[0]), int(at[-1]) + 1) for name, at in probes.groups.items()}
    for name in ("forget", "undiscovered"):
        rows = probes.x[of[name], 0].astype(int)
        assert (probes.planted[of[name]] == PLANTED_LABEL).all() and (
            probes.trained[of[name]] == PLANTED_LABEL
        ).all()
        np.testing.assert_array_equal(probes.clean[of[name]], rows % CLASSES)
    assert (probes.planted[of["unseen"]] == PLANTED_LABEL).all()
    np.testing.assert_array_equal(
        probes.clean[of["unseen"]], (probes.x[of["unseen"], 0].astype(int) - 2000) % CLASSES
    )
    for name in ("retain", "test"):
        assert (probes.planted[of[name]] == -1).all()
        np.testing.assert_array_equal(probes.clean[of[name]], probes.x[of[name], 0].astype(int) % CLASSES)
        np.testing.assert_array_equal(probes.trained[of[name]], probes.clean[of[name]])


def test_the_sample_is_a_function_of_the_key():
    planted = _planted(60)
    one, same, other = (_choose(planted, planted.members[:50], key=key) for key in (1, 1, 2))
    np.testing.assert_array_equal(one.x, same.x)
    assert not np.array_equal(one.x, other.x)


def test_full_discovery_and_no_unseen_leave_their_groups_out_with_a_reason():
    planted = _planted(60, unseen=False)
    probes = _choose(planted, planted.members)
    assert probes.absent == {"undiscovered": "S = B: nothing is undiscovered", "unseen": "none to be had"}
    assert list(probes.groups) == ["forget", "retain", "test"]


SIZES = st.dictionaries(st.sampled_from(GROUPS), st.integers(0, 400))


@settings(deadline=None)
@given(SIZES)
def test_weights_follow_the_strata(sizes):
    weights = strata(sizes)
    assert set(weights) == set(sizes)
    enough = {name for name, count in sizes.items() if count >= MIN_PROBES}
    assert all((weights[name] > 0) == (name in enough) for name in sizes)
    present = [{"forget", "undiscovered"}, {"unseen"}, {"retain", "test"}]
    present = [stratum & enough for stratum in present if stratum & enough]
    assert sum(weights.values()) == pytest.approx(1 if present else 0)
    for stratum in present:
        assert sum(weights[name] for name in stratum) == pytest.approx(1 / len(present))


@settings(deadline=None)
@given(st.integers(40, 400), st.floats(0, 1))
def test_the_behaviour_stratum_is_pooled_per_example_and_its_total_independent_of_discovery(size, share):
    n_forget = min(max(20, int(share * size)), size - 20)
    weights = strata(
        {"forget": n_forget, "undiscovered": size - n_forget, "unseen": 90, "retain": 400, "test": 397}
    )
    assert weights["forget"] + weights["undiscovered"] == pytest.approx(1 / 3)
    assert weights["forget"] == pytest.approx(n_forget / size / 3)
    assert weights["unseen"] == pytest.approx(1 / 3)
    # The mean of the two, whatever their sizes.
    assert weights["retain"] == weights["test"] == pytest.approx(1 / 6)


def test_weights_by_hand():
    with_unseen = {"forget": 20, "undiscovered": 80, "unseen": 360, "retain": 400, "test": 397}
    assert strata(with_unseen) == pytest.approx(
        {"forget": 1 / 15, "undiscovered": 4 / 15, "unseen": 1 / 3, "retain": 1 / 6, "test": 1 / 6}
    )
    without = {name: count for name, count in with_unseen.items() if name != "unseen"}
    assert strata(without) == pytest.approx({"forget": 0.1, "undiscovered": 0.4, "retain": 0.25, "test": 0.25})
    few = {**without, "forget": 19}
    assert strata(few) == pytest.approx({"forget": 0, "undiscovered": 0.5, "retain": 0.25, "test": 0.25})
    assert strata({"forget": 19, "retain": 3}) == {"forget": 0, "retain": 0}
