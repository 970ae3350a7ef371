"""How S was found: at random, around one member, or by how typical its members are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave._errors import SpecError, UnknownNameError
from unweave.problem import SELECTIONS, Planted, select


def _planted(points: np.ndarray, members: np.ndarray, clean: np.ndarray | None = None) -> Planted:
    clean = np.zeros(len(points), int) if clean is None else clean
    return Planted(points.astype(np.float32)[:, None], clean + 1, clean, members, None, "none")


LINE = _planted(np.arange(100), np.arange(20, 70))


@pytest.mark.parametrize("selection", SELECTIONS)
@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 12), key=st.integers(0, 2**63 - 1), values=st.lists(st.integers(0, 4), min_size=30))
def test_every_selection_gives_as_many_members_as_asked(selection, count, key, values):
    planted = _planted(np.array(values), np.arange(5, 25))
    rows = select(planted, np.arange(len(values)), key=key, count=count, selection=selection)
    assert len(rows) == count and (np.diff(rows) > 0).all() and np.isin(rows, planted.members).all()


@pytest.mark.parametrize("selection", SELECTIONS)
def test_full_discovery_is_the_whole_behaviour_however_it_was_found(selection):
    rows = select(LINE, np.arange(100), key=1, discovery=1.0, selection=selection)
    np.testing.assert_array_equal(rows, LINE.members)


def test_clustered_lies_together_around_one_member():
    spread = []
    for key in range(10):
        found, drawn = (
            select(LINE, np.arange(100), key=key, count=10, selection=how) for how in ("clustered", "random")
        )
        spread.append((np.ptp(found), np.ptp(drawn)))
    assert all(tight < 25 and tight < wide for tight, wide in spread)


def test_clustered_takes_its_own_cluster_first_and_moves_with_the_key():
    points = np.concatenate([np.arange(10), 100 + np.arange(10), 200 + np.arange(30)])
    planted = _planted(points, np.arange(20))
    found = {tuple(select(planted, np.arange(50), key=key, count=10, selection="clustered")) for key in range(12)}
    assert found == {tuple(range(10)), tuple(range(10, 20))}


def test_easiest_lie_nearest_to_the_mean_of_their_clean_class_and_hardest_farthest():
    # Class 0 has its mean at 0, class 1 at 50; the label that was trained on plays no part.
    points = np.array([0.0, 1.0, -1.0, 8.0, -8.0, 50.0, 47.0, 53.0, 44.0, 56.0])
    clean = np.repeat([0, 1], 5)
    planted = _planted(points, np.array([1, 3, 4, 6, 8]), clean)
    easiest, hardest = (
        select(planted, np.arange(10), key=0, count=2, selection=how) for how in ("easiest", "hardest")
    )
    assert easiest.tolist() == [1, 6]
    assert hardest.tolist() == [3, 4]


@pytest.mark.parametrize("selection", ["easiest", "hardest"])
def test_the_key_does_not_move_what_is_ranked(selection):
    one, other = (select(LINE, np.arange(100), key=key, selection=selection) for key in (1, 2))
    np.testing.assert_array_equal(one, other)


def test_an_unknown_selection_offers_near_names():
    with pytest.raises(UnknownNameError, match="Unknown selection of S `hardset`. Did you mean `hardest`"):
        select(LINE, np.arange(100), key=0, selection="hardset")


def test_ids_are_no_selection():
    with pytest.raises(SpecError, match=r"`forget\.selection` is 'hardest', but `forget\.ids` names S already"):
        select(LINE, np.arange(100), key=0, forget_ids=[20], selection="hardest")
