"""Any small data, any kind, any parameters: a behaviour that keeps its promises, or one UserError."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unweave import UserError
from unweave.problem import BEHAVIOURS, SELECTIONS, Planted, choose_probes, draw_outside, plant, select

SHAPES = [(3,), (1,), (4, 5), (1, 3, 3), (3, 6, 6)]
# Good values and bad ones of each parameter; a good one is drawn four times out of five.
VALUES: dict[str, tuple[list, list]] = {
    "size": ([2, 4], [1, 5, 0, -1, 10**12]),
    "target": ([1, 0], [2, -1, 9]),
    "patch": ([1, 2], [3, 0, 7]),
    "shape": (["square", "frame", "cross", "checker"], ["star"]),
    "place": (["lower right", "upper left", "centre"], ["middle"]),
    "column": (["age"], ["work", "ag", ""]),
    "where": (
        [">= 30", "< 20", "!= 5", "<= 4.5e1", tuple(range(0, 60, 2))],
        [30, "a", ("a", "c"), "!= a", ">", "> a", "", (), "nan", 1e300],
    ),
    "source": ([0], [1, 2, 7]),
    "classes": ([(0, 1)], [(1, 2), (1, 1), (0,), (0, 9)]),
    "copies": ([2], [5, 1, 0]),
    "clusters": ([2], [3, 1, 50]),
    "ids": ([(0,), (1, 0)], [(3, 1), (), (0, 0), (-1,), (10**6,), ("a",)]),
}
NEEDED = {"size", "copies", "column", "where", "ids"}
PARAMETERS = {
    name: [one for one in BEHAVIOURS.get(name).defaults() if one in VALUES] for name in BEHAVIOURS.names()
}


@st.composite
def grounds(draw: st.DrawFn, kind: str, *, least: int = 2):
    """Features, labels, columns of a training and a test part, and the number of classes.

    Mostly of the shape that the kind takes, with at least so many training examples.
    """
    fits = {"predicate": SHAPES[:2], "trigger": SHAPES[2:]}.get(kind, SHAPES)
    shape = draw(st.sampled_from(SHAPES if draw(st.integers(0, 9)) == 0 else fits))
    classes = draw(st.sampled_from([3, 4, 2] if least > 2 else [3, 2, 4, 1]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    coarse = draw(st.booleans())  # many equal examples, or none
    parts = []
    for n in (draw(st.integers(least, 40)), draw(st.integers(least // 2, 30))):
        x = rng.integers(0, 2, (n, *shape)).astype(np.float32) if coarse else rng.normal(0, 1, (n, *shape))
        ages = np.where(rng.random(n) < 0.2, np.nan, rng.integers(0, 60, n))
        work = rng.choice(["a", "b", "c", ""], n)
        columns = {"age": ages, "work": work} if len(shape) == 1 else {}
        parts.append(((x.astype(np.float32), rng.integers(0, classes, n)), columns))
    return parts[0][0], parts[1][0], (parts[0][1], parts[1][1]), classes


@st.composite
def requests(draw: st.DrawFn, kind: str, *, good_only: bool = False):
    """Some of the parameters of a kind; the default size is beyond these data."""
    known = PARAMETERS[kind]
    optional = draw(st.sets(st.sampled_from(known))) if known else set()
    needed = NEEDED | ({"source", "target"} if "source" in optional else set())
    values = {}
    for name in sorted((needed & set(known)) | optional):
        good, bad = VALUES[name]
        values[name] = draw(st.sampled_from(bad if not good_only and draw(st.integers(0, 4)) == 0 else good))
    return values


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


@pytest.mark.parametrize("kind", BEHAVIOURS.names())
def test_any_request_is_planted_as_promised_or_refused_in_one_message(kind):
    seen: Counter[str] = Counter()

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(grounds(kind), requests(kind), st.integers(0, 2**63 - 1))
    def check(ground, parameters, key):
        train, test, columns, classes = ground
        before = [array.copy() for array in (*train, *test)]
        planted = None
        try:
            planted = plant(kind, train, test, classes=classes, key=key, parameters=parameters, columns=columns)
        except UserError as error:
            seen["refused"] += 1
            assert 20 < len(str(error)) < 500 and str(error).endswith((".", ")"))
        for old, new in zip(before, (*train, *test), strict=True):
            np.testing.assert_array_equal(old, new)
        if planted is not None:
            seen["planted"] += 1
            _keeps_its_promises(planted, ground)

    check()
    assert seen["planted"] > 0 and (seen["refused"] > 0 or kind == "unknown"), seen


_GOOD = [{"discovery": 0.5}, {"count": 1}, {"discovery": 0.7}]
_BAD = [{"count": 2, "discovery": 0.5}, {}, {"count": 0}, {"count": 10**9}, {"discovery": float("nan")}]
_BAD += [{"discovery": 1.0}, {"discovery": 0.01}, {"discovery": 0.0}]
FORGETS = st.tuples(st.sampled_from(_GOOD * 8 + _BAD), st.sampled_from(list(SELECTIONS)))
WITH_UNSEEN = [entry.name for entry in BEHAVIOURS if entry.declared.unseen]


@pytest.mark.parametrize("kind", [name for name in BEHAVIOURS.names() if name != "unknown"])
@pytest.mark.parametrize("outside", [False, True])
def test_any_forget_set_of_any_behaviour_is_within_its_place_or_refused(kind, outside):
    seen: Counter[str] = Counter()

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(grounds(kind, least=20), requests(kind, good_only=True), FORGETS, st.integers(0, 2**63 - 1))
    def check(ground, parameters, forget, key):
        train, test, columns, classes = ground
        n, (how_many, selection) = len(train[1]), forget
        try:
            planted = plant(kind, train, test, classes=classes, key=key, parameters=parameters, columns=columns)
            if outside:
                planted, rows = draw_outside(planted, key=key, **how_many)
            else:
                rows = select(planted, np.arange(n), key=key, selection=selection, **how_many)
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
        undiscovered = np.setdiff1d(planted.members, rows)
        assert probes.population == {"forget": len(rows), "undiscovered": len(undiscovered)}
        for name, size in (("forget", len(rows)), ("undiscovered", len(undiscovered))):
            assert len(probes.groups.get(name, ())) == min(20, size)

    check()
    assert (seen["chosen"] > 0) == (not outside or kind in WITH_UNSEEN), seen
