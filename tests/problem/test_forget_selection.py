import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave._errors import SpecError
from unweave.problem import Planted, select

IDS = np.arange(1000, 1200)  # ids are not row numbers
MEMBERS = np.arange(20, 70)


def _planted(members: np.ndarray, n: int) -> Planted:
    return Planted(np.zeros((n, 1), np.float32), np.zeros(n, int), np.zeros(n, int), members, None, "none")


def _select(**given):
    return select(_planted(MEMBERS, len(IDS)), IDS, key=given.pop("key", 3), **given)


@settings(deadline=None)
@given(st.floats(0.02, 1), st.integers(0, 2**63 - 1), st.integers(1, 300))
def test_discovery_selects_the_nearest_count_of_members(discovery, key, size):
    members = np.arange(7, 7 + size)
    if round(discovery * size) == 0:
        with pytest.raises(SpecError, match="empty forget set"):
            select(_planted(members, 400), np.arange(400), key=key, discovery=discovery)
        return
    rows = select(_planted(members, 400), np.arange(400), key=key, discovery=discovery)
    assert len(rows) == round(discovery * size)
    assert (np.diff(rows) > 0).all() and np.isin(rows, members).all()


def test_default_is_a_fifth():
    assert len(_select()) == 10


def test_full_discovery_is_the_whole_behaviour():
    np.testing.assert_array_equal(_select(discovery=1.0), MEMBERS)
    np.testing.assert_array_equal(_select(count=50), MEMBERS)


def test_same_key_same_set_other_key_another():
    np.testing.assert_array_equal(_select(discovery=0.3), _select(discovery=0.3))
    assert not np.array_equal(_select(discovery=0.3), _select(discovery=0.3, key=4))


def test_a_random_set_takes_every_member_equally_often():
    hits = np.zeros(len(IDS))
    for key in range(400):
        hits[_select(key=key, count=10)] += 1
    assert hits[MEMBERS].sum() == hits.sum() == 4000
    assert (np.abs(hits[MEMBERS] - 80) < 5 * np.sqrt(400 * 0.2 * 0.8)).all()


@settings(deadline=None)
@given(st.lists(st.sampled_from(MEMBERS.tolist()), min_size=1, max_size=50, unique=True))
def test_explicit_ids_give_their_rows_in_order(rows):
    ids = [int(IDS[row]) for row in rows]
    np.testing.assert_array_equal(_select(forget_ids=ids), np.sort(rows))


def test_the_key_does_not_move_explicit_ids():
    np.testing.assert_array_equal(_select(forget_ids=[1021, 1020], key=1), [20, 21])
    np.testing.assert_array_equal(_select(forget_ids=(1021, 1020), key=2), [20, 21])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"discovery": 0.0}, r"`forget\.discovery` is 0\.0; expected γ = \|S\|/\|B\| in \(0, 1\]"),
        ({"discovery": -0.1}, r"`forget\.discovery` is -0\.1"),
        ({"discovery": 1.5}, r"`forget\.discovery` is 1\.5"),
        ({"discovery": math.nan}, r"`forget\.discovery` is nan"),
        ({"discovery": math.inf}, r"`forget\.discovery` is inf"),
        ({"discovery": 0.001}, r"empty forget set; nothing to remove. Expected at least 0\.02"),
        ({"count": 0}, r"`forget\.count` is 0: an empty forget set"),
        ({"count": -2}, r"`forget\.count` is -2"),
        ({"count": 51}, r"`forget\.count` is 51, but the behaviour has only 50 members"),
        ({"forget_ids": []}, r"forget set has 0 examples; nothing to remove. Check `forget`"),
        ({"forget_ids": [-1]}, r"negative id -1; ids are 1000 … 1199, and −1 never means the last"),
        ({"forget_ids": [1020, 1021, 1020, 1020]}, r"id 1020 appears 3× \(1 ids repeat\)"),
        ({"forget_ids": [1020, 5, 6]}, r"2 of 3 forget ids are not in the training data \(first: 5\)"),
        ({"forget_ids": [10**30]}, r"1 of 1 forget ids are not in the training data"),
        ({"forget_ids": [1020, 1000]}, r"1 of 2 forget ids do not carry the behaviour \(first: 1000\)"),
        ({"forget_ids": list(range(1000, 1200))}, r"all 200 training examples; no retain data remain"),
        ({"discovery": 0.5, "count": 3}, "has discovery and count; expected one of"),
        ({"count": 3, "forget_ids": [1020]}, "has count and ids; expected one of"),
        ({"discovery": 0.5, "count": 3, "forget_ids": [1]}, "has discovery and count and ids"),
    ],
)
def test_what_cannot_be_a_forget_set_is_refused(given, message):
    with pytest.raises(SpecError, match=message):
        _select(**given)


def test_a_random_set_that_is_all_of_d_is_refused():
    everything = np.arange(5)
    with pytest.raises(SpecError, match="all 5 training examples; no retain data remain. Delete the model"):
        select(_planted(everything, 5), everything, key=0, discovery=1.0)


def test_a_behaviour_of_one_member_can_be_discovered():
    assert select(_planted(np.array([4]), 200), IDS, key=0, discovery=1.0).tolist() == [4]
    with pytest.raises(SpecError, match="Expected at least 1"):
        select(_planted(np.array([4]), 200), IDS, key=0, discovery=0.2)
