"""Any small data, any kind, any parameters: a behaviour that keeps its promises, or one UserError."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unweave import UserError
from unweave.problem import BEHAVIOURS, SELECTIONS, Planted, choose_probes, draw_outside, plant, select

SHAPES = [(3,), (1,), (4, 5), (1, 3, 3), (3, 6, 6)]
VALUES = {
    "size": [1, 2, 4, 5, 10, 0, -1, 10**12],
    "target": [0, 1, 2, -1, 9],
    "patch": [1, 2, 3, 0, 7],
    "shape": ["square", "frame", "cross", "checker", "star"],
    "place": ["lower right", "upper left", "centre", "middle"],
    "column": ["age", "work", "ag", ""],
    "where": [
        30,
        ">= 30",
        "< 20",
        "!= 5",
        "a",
        ("a", "c"),
        (1, "2"),
        "!= a",
        ">",
        "> a",
        "",
        (),
        "nan",
        "< inf",
        1e300,
    ],
    "source": [0, 1, 2, 7],
    "classes": [(0, 1), (1, 2), (1, 1), (0,), (0, 9)],
    "copies": [2, 5, 1, 0],
    "clusters": [2, 3, 1, 50],
    "ids": [(0,), (3, 1), (), (0, 0), (-1,), (10**6,), ("a",)],
}


@st.composite
def grounds(draw: st.DrawFn):
    """Features, labels, columns of a training and a test part, and the number of classes."""
    shape, classes = draw(st.sampled_from(SHAPES)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    coarse = draw(st.booleans())  # many equal examples, or none
    parts = []
    for n in (draw(st.integers(2, 40)), draw(st.integers(1, 20))):
        x = rng.integers(0, 2, (n, *shape)).astype(np.float32) if coarse else rng.normal(0, 1, (n, *shape))
        ages = np.where(rng.random(n) < 0.2, np.nan, rng.integers(0, 60, n))
        work = rng.choice(["a", "b", "c", ""], n)
        columns = {"age": ages, "work": work} if len(shape) == 1 else {}
        parts.append(((x.astype(np.float32), rng.integers(0, classes, n)), columns))
    return parts[0][0], parts[1][0], (parts[0][1], parts[1][1]), classes


@st.composite
def requests(draw: st.DrawFn):
    """A kind, and some of its parameters."""
    kind = draw(st.sampled_from(BEHAVIOURS.names()))
    known = [name for name in BEHAVIOURS.get(kind).defaults() if name in VALUES]
    needed = {"size", "column", "where", "ids"} & set(known)  # the default size is beyond these data
    optional = draw(st.sets(st.sampled_from(known))) if known else set()
    # Early values are good ones: drawn by the square, so that many a request is.
    values = {}
    for name in sorted(needed | optional):
        place = int(draw(st.floats(0, 0.999)) ** 2 * len(VALUES[name]))
        values[name] = VALUES[name][place]
    return kind, values


def _keeps_its_promises(planted: Planted, ground) -> None:
    (x, y), test, _, classes = ground
    n = len(y)
    assert planted.x.shape == x.shape and planted.x.dtype == np.float32 and np.isfinite(planted.x).all()
    for labels in (planted.y, planted.clean):
        assert labels.shape == (n,) and labels.dtype == np.int64 and 0 <= labels.min() <= labels.max() < classes
    members = planted.members
    assert (np.diff(members) > 0).all() and len(members) < n and (len(members) > 0) == planted.known
    assert len(members) == 0 or 0 <= members[0] <= members[-1] < n
    others = np.setdiff1d(np.arange(n), members)
    np.testing.assert_array_equal(planted.x[others], x[others])
    np.testing.assert_array_equal(planted.y[others], y[others])
    np.testing.assert_array_equal(planted.clean[others], y[others])
    assert (planted.unseen is None) == bool(planted.why_no_unseen)
    if planted.unseen is None:
        return
    unseen = planted.unseen
    assert len(unseen.x) == len(unseen.planted) == len(unseen.clean) > 0
    assert unseen.x.shape[1:] == x.shape[1:] and np.isfinite(unseen.x).all()
    assert (
        0 <= min(unseen.planted.min(), unseen.clean.min())
        and max(unseen.planted.max(), unseen.clean.max()) < classes
    )
    if unseen.rows is not None:
        np.testing.assert_array_equal(unseen.x, test[0][unseen.rows])
        assert (np.diff(unseen.rows) > 0).all()


def test_any_request_is_planted_as_promised_or_refused_in_one_message():
    seen: Counter[str] = Counter()

    @settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(grounds(), requests(), st.integers(0, 2**63 - 1))
    def check(ground, request, key):
        kind, parameters = request
        train, test, columns, classes = ground
        before = [array.copy() for array in (*train, *test)]
        try:
            planted = plant(kind, train, test, classes=classes, key=key, parameters=parameters, columns=columns)
        except UserError as error:
            seen["refused"] += 1
            assert 20 < len(str(error)) < 500 and str(error).endswith((".", ")"))
            planted = None
        for old, new in zip(before, (*train, *test), strict=True):
            np.testing.assert_array_equal(old, new)
        if planted is not None:
            seen[kind] += 1
            _keeps_its_promises(planted, ground)

    check()
    assert seen["refused"] > 100 and all(seen[kind] > 4 for kind in BEHAVIOURS.names()), seen


FORGETS = st.fixed_dictionaries(
    {},
    optional={
        "discovery": st.sampled_from([0.5, 0.2, 1.0, 0.01, 0.0, float("nan")]),
        "count": st.sampled_from([1, 3, 0, 10**9]),
        "selection": st.sampled_from(list(SELECTIONS)),
    },
)


@pytest.mark.parametrize("outside", [False, True])
def test_any_forget_set_of_any_behaviour_is_within_its_place_or_refused(outside):
    seen: Counter[str] = Counter()

    @settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(grounds(), requests(), FORGETS, st.integers(0, 2**63 - 1))
    def check(ground, request, forget, key):
        kind, parameters = request
        train, test, columns, classes = ground
        n = len(train[1])
        try:
            planted = plant(kind, train, test, classes=classes, key=key, parameters=parameters, columns=columns)
            if outside:
                forget.pop("selection", None)
                planted, rows = draw_outside(planted, key=key, **forget)
            else:
                rows = select(planted, np.arange(n), key=key, **forget)
            probes = choose_probes(planted, rows, test, limit=20, key=key)
        except UserError as error:
            seen["refused"] += 1
            assert 20 < len(str(error)) < 500
            return
        seen["chosen"] += 1
        assert len(rows) > 0 and (np.diff(rows) > 0).all()
        if outside:
            assert rows[0] == n and rows[-1] == len(planted.y) - 1
            assert "undiscovered" in probes.groups and "unseen" in probes.groups
        else:
            assert np.isin(rows, planted.members).all() and len(rows) < n
        assert len(probes.x) == len(probes.clean) == len(probes.planted) == sum(map(len, probes.groups.values()))
        assert probes.population == {
            "forget": len(rows),
            "undiscovered": len(planted.members) - (0 if outside else len(rows)),
        }

    check()
    assert seen["chosen"] > 30 and seen["refused"] > 30, seen
