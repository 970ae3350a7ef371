"""The marks of a trigger: their shapes and places, on images with and without channels."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave._errors import SpecError, UnknownNameError
from unweave.data import load
from unweave.problem import plant
from unweave.problem.behaviours.triggers import PLACES, SHAPES

DRAWN = {
    "square": ["####", "####", "####", "####"],
    "frame": ["####", "#..#", "#..#", "####"],
    "cross": ["..#.", "..#.", "####", "..#."],
    "checker": ["#.#.", ".#.#", "#.#.", ".#.#"],
}
CORNER = {
    "lower right": (6, 8),
    "lower left": (6, 0),
    "upper right": (0, 8),
    "upper left": (0, 0),
    "centre": (3, 4),
}


def _painted(shape: str, place: str, patch: int, size: tuple[int, ...]) -> np.ndarray:
    """The pixels of one member that the trigger painted [height, width] (or with channels)."""
    y = np.arange(20) % 4
    x = np.zeros((20, *size), np.float32)
    x[0] = 7.0  # of class 0, the target: never a member, so that the brightest value is known
    planted = plant(
        "trigger",
        (x, y),
        (x, y),
        classes=4,
        key=1,
        parameters={"size": 5, "shape": shape, "place": place, "patch": patch},
    )
    assert planted.unseen is not None
    marks = [*planted.x[planted.members], *planted.unseen.x]
    assert all((one == marks[0]).all() for one in marks)
    assert set(np.unique(marks[0])) <= {0.0, 7.0}
    return marks[0] > 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_each_shape_stands_where_it_is_said_to(shape, place, channels):
    expected = np.zeros((10, 12), bool)
    top, left = CORNER[place]
    expected[top : top + 4, left : left + 4] = np.array([list(row) for row in DRAWN[shape]]) == "#"
    found = _painted(shape, place, 4, (*channels, 10, 12))
    np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(list(SHAPES)),
    st.sampled_from(list(PLACES)),
    st.integers(1, 6),
    st.integers(6, 9),
    st.integers(6, 9),
)
def test_a_mark_of_any_side_touches_all_of_its_sides_and_nothing_beyond(shape, place, patch, height, width):
    rows, columns = np.nonzero(_painted(shape, place, patch, (height, width)))
    assert np.ptp(rows) == np.ptp(columns) == patch - 1


def test_the_defaults_are_the_square_of_before():
    data = load("digits")
    train, test = (data.train.x, data.train.y), (data.test.x, data.test.y)
    one = plant("trigger", train, test, classes=10, key=5)
    same = plant("trigger", train, test, classes=10, key=5, parameters={"shape": "square", "place": "lower right"})
    plain = data.train.x.copy()
    plain[one.members, -3:, -3:] = 1.0
    for found in (one, same):
        np.testing.assert_array_equal(found.x, plain)
    # SHA-256 of the features as version 0.1 planted them, before there were shapes and places.
    assert hashlib.sha256(one.x.tobytes()).hexdigest()[:16] == "240e3a2f4f72ef6d"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shape": "sqare"}, "Unknown shape of a trigger `sqare`. Did you mean `square`"),
        ({"place": "center"}, "Unknown place of a trigger `center`. Did you mean `centre`"),
        ({"place": ""}, "Known: centre, lower left"),
    ],
)
def test_unknown_names_are_refused_with_near_ones(given, message):
    x, y = np.zeros((20, 8, 8), np.float32), np.arange(20) % 4
    with pytest.raises(UnknownNameError, match=message):
        plant("trigger", (x, y), (x, y), classes=4, key=1, parameters={"size": 5, **given})


@pytest.mark.parametrize("patch", [0, 9, -3])
def test_a_mark_fits_into_the_image(patch):
    x, y = np.zeros((20, 8, 9), np.float32), np.arange(20) % 4
    with pytest.raises(SpecError, match=rf"`behaviour\.patch` is {patch}; expected 1 to 8 pixels"):
        plant("trigger", (x, y), (x, y), classes=4, key=1, parameters={"size": 5, "patch": patch})
