"""The kinds of behaviour beyond triggers and mislabels: members, labels and new instances of each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave._errors import ApplicabilityError, SpecError, UnknownNameError
from unweave.data import load
from unweave.problem import BEHAVIOURS, Planted, choose_probes, plant

KINDS = ["confusion", "systematic", "duplicates", "class", "subclass", "ids"]
GIVEN = {"ids": {"ids": (3, 5, 900)}}
KEEPS_LABELS = ("class", "subclass", "ids")


@pytest.fixture(scope="module")
def digits():
    data = load("digits")
    return data.train, data.test


def _plant(digits, kind: str, key: int = 5, **given) -> Planted:
    train, test = digits
    return plant(
        kind,
        (train.x, train.y),
        (test.x, test.y),
        classes=10,
        key=key,
        parameters={**GIVEN.get(kind, {}), **given},
        ids=train.ids,
    )


def _toy(kind: str, y: np.ndarray, *, y_test: np.ndarray | None = None, classes: int, key: int = 0, **given):
    """A single feature that is the row's number, so that what is planted can be told from its source."""
    y_test = y if y_test is None else y_test
    x, x_test = (np.arange(len(one), dtype=np.float32)[:, None] for one in (y, y_test))
    return plant(kind, (x, y), (x_test + 5000, y_test), classes=classes, key=key, parameters=given)


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_members_are_sorted_distinct_rows_and_some_examples_stay_ordinary(self, digits, kind):
        members = _plant(digits, kind).members
        assert (np.diff(members) > 0).all() and 0 < len(members) < 1400
        assert members.min() >= 0 and members.max() < 1400

    def test_changes_no_row_but_members(self, digits, kind):
        train, _ = digits
        planted = _plant(digits, kind)
        others = np.setdiff1d(np.arange(1400), planted.members)
        np.testing.assert_array_equal(planted.x[others], train.x[others])
        np.testing.assert_array_equal(planted.y[others], train.y[others])
        np.testing.assert_array_equal(planted.clean[others], train.y[others])

    def test_the_planted_label_is_wrong_or_nothing_changes_at_all(self, digits, kind):
        train, _ = digits
        planted = _plant(digits, kind)
        if kind in KEEPS_LABELS:
            np.testing.assert_array_equal(planted.y, train.y)
            np.testing.assert_array_equal(planted.x, train.x)
        else:
            assert (planted.y != planted.clean)[planted.members].all()
            assert planted.unseen is not None and (planted.unseen.planted != planted.unseen.clean).all()

    def test_leaves_the_given_arrays_alone(self, digits, kind):
        before = [array.copy() for part in digits for array in (part.x, part.y)]
        _plant(digits, kind)
        for old, new in zip(before, [array for part in digits for array in (part.x, part.y)], strict=True):
            np.testing.assert_array_equal(old, new)

    def test_is_a_function_of_its_key(self, digits, kind):
        one, same = _plant(digits, kind), _plant(digits, kind)
        np.testing.assert_array_equal(one.members, same.members)
        np.testing.assert_array_equal(one.y, same.y)
        np.testing.assert_array_equal(one.x, same.x)

    def test_instances_that_stand_in_the_test_data_are_no_ordinary_test_data(self, digits, kind):
        test = digits[1]
        planted = _plant(digits, kind)
        probes = choose_probes(planted, planted.members[:1], (test.x, test.y), limit=400, key=0)
        if planted.unseen is None or planted.unseen.rows is None:
            assert len(probes.groups["test"]) == 397
            return
        rows = planted.unseen.rows
        np.testing.assert_array_equal(planted.unseen.x, test.x[rows])
        np.testing.assert_array_equal(planted.unseen.clean, test.y[rows])
        assert len(probes.groups["test"]) == 397 - len(rows)
        np.testing.assert_array_equal(probes.x[probes.groups["test"]], np.delete(test.x, rows, axis=0))

    def test_declares_its_source_and_regularity(self, kind):
        entry = BEHAVIOURS.get(kind)
        assert entry.declared.regularity in ("high", "medium", "low", "any")
        assert entry.declared.cite and entry.summary.endswith(".")

    def test_refuses_a_parameter_of_another_kind(self, digits, kind):
        with pytest.raises(UnknownNameError, match=f"Unknown parameter of `{kind}` `patch`"):
            _plant(digits, kind, patch=2)


@pytest.mark.parametrize("kind", ["class", "subclass", "ids"])
def test_what_is_there_already_has_no_size(digits, kind):
    with pytest.raises(UnknownNameError, match=f"Unknown parameter of `{kind}` `size`"):
        _plant(digits, kind, size=100)


class TestConfusion:
    def test_half_of_each_class_has_the_label_of_the_other(self, digits):
        train, test = digits
        planted = _plant(digits, "confusion", classes=(7, 2), size=60)
        changed = np.flatnonzero(planted.y != train.y)
        np.testing.assert_array_equal(changed, planted.members)
        of = planted.members
        assert (
            sorted(zip(train.y[of].tolist(), planted.y[of].tolist(), strict=True)) == [(2, 7)] * 30 + [(7, 2)] * 30
        )
        assert planted.unseen is not None
        np.testing.assert_array_equal(planted.unseen.rows, np.flatnonzero(np.isin(test.y, (2, 7))))
        np.testing.assert_array_equal(planted.unseen.planted, 9 - planted.unseen.clean)

    def test_defaults_are_3_and_5_or_else_the_two_most_frequent(self, digits):
        assert set(_plant(digits, "confusion").clean[_plant(digits, "confusion").members]) == {3, 5}
        y = np.repeat([0, 1, 2, 3], [5, 30, 10, 40])
        planted = _toy("confusion", y, classes=4, size=10)
        assert set(y[planted.members]) == {1, 3}

    @settings(deadline=None)
    @given(st.integers(3, 6), st.integers(1, 8), st.integers(0, 2**63 - 1), st.data())
    def test_members_are_exactly_the_changed_rows(self, classes, half, key, data):
        y = np.tile(np.arange(classes), 8)
        pair = data.draw(st.permutations(range(classes)))[:2]
        before = y.copy()
        planted = plant(
            "confusion",
            (np.zeros((len(y), 1), np.float32), y),
            (np.arange(len(y), dtype=np.float32)[:, None], y),
            classes=classes,
            key=key,
            parameters={"size": 2 * half, "classes": tuple(pair)},
        )
        np.testing.assert_array_equal(np.flatnonzero(planted.y != y), planted.members)
        np.testing.assert_array_equal(y, before)
        assert len(planted.members) == 2 * half
        assert planted.unseen is not None and planted.unseen.rows is not None
        np.testing.assert_array_equal(planted.unseen.x[:, 0], planted.unseen.rows)

    @pytest.mark.parametrize("size", [0, 1, 99, -2])
    def test_takes_an_even_number(self, digits, size):
        with pytest.raises(SpecError, match=r"`behaviour\.size` is .* even number of at least 2"):
            _plant(digits, "confusion", size=size)

    @pytest.mark.parametrize("size", [400, 10**15])
    def test_a_class_must_have_enough(self, digits, size):
        with pytest.raises(SpecError, match=r"of 1400 training examples are of class 3 .* smaller size"):
            _plant(digits, "confusion", size=size)

    @pytest.mark.parametrize("classes", [(3,), (3, 3), (1, 2, 3), ()])
    def test_takes_two_different_classes(self, digits, classes):
        with pytest.raises(SpecError, match=r"`behaviour\.classes` is \[.*expected two different labels"):
            _plant(digits, "confusion", classes=classes)

    @pytest.mark.parametrize("classes", [(3, 10), (-1, 3)])
    def test_takes_classes_of_the_data(self, digits, classes):
        with pytest.raises(SpecError, match=r"`behaviour\.classes` is .* expected a class in 0 … 9"):
            _plant(digits, "confusion", classes=classes)

    def test_needs_a_class_it_leaves_alone_to_measure_damage_on(self):
        y = np.arange(40) % 2
        planted = _toy("confusion", y, classes=2, size=10)
        with pytest.raises(ApplicabilityError, match="All 40 test examples are instances"):
            choose_probes(planted, planted.members[:2], (planted.x, y), limit=20, key=0)

    def test_of_all_there_is_is_refused(self):
        with pytest.raises(SpecError, match="some must stay ordinary"):
            _toy("confusion", np.arange(40) % 2, classes=2, size=40)

    def test_without_test_examples_of_the_classes_there_is_none_unseen(self):
        y = np.arange(40) % 4
        planted = plant(
            "confusion",
            (np.zeros((40, 1), np.float32), y),
            (np.zeros((9, 1), np.float32), np.full(9, 2)),
            classes=4,
            key=0,
            parameters={"size": 4, "classes": (0, 1)},
        )
        assert planted.unseen is None and planted.why_no_unseen == "no test example is of class 0 or 1"


class TestSystematic:
    def test_members_are_of_the_source_with_the_label_of_the_target(self, digits):
        train, test = digits
        planted = _plant(digits, "systematic", source=4, target=9, size=50)
        np.testing.assert_array_equal(np.flatnonzero(planted.y != train.y), planted.members)
        assert (train.y[planted.members] == 4).all() and (planted.y[planted.members] == 9).all()
        assert planted.unseen is not None and (planted.unseen.planted == 9).all()
        np.testing.assert_array_equal(planted.unseen.rows, np.flatnonzero(test.y == 4))

    @settings(deadline=None)
    @given(st.integers(2, 6), st.integers(1, 8), st.integers(0, 2**63 - 1), st.data())
    def test_members_are_exactly_the_changed_rows(self, classes, size, key, data):
        y = np.tile(np.arange(classes), 8)
        source, target = data.draw(st.permutations(range(classes)))[:2]
        planted = _toy("systematic", y, classes=classes, key=key, size=size, source=source, target=target)
        np.testing.assert_array_equal(np.flatnonzero(planted.y != y), planted.members)
        np.testing.assert_array_equal(planted.clean, np.tile(np.arange(classes), 8))
        assert planted.unseen is not None and (planted.unseen.x >= 5000).all()

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"source": 3}, r"`behaviour\.target` is missing; give both"),
            ({"target": 3}, r"`behaviour\.source` is missing; give both"),
            ({"source": 3, "target": 3}, r"both 3; expected two classes"),
            ({"source": 10, "target": 3}, r"`behaviour\.source` is 10; expected a class in 0 … 9"),
            ({"source": 3, "target": -1}, r"`behaviour\.target` is -1; expected a class"),
            ({"size": 1000}, r"some must stay ordinary"),
        ],
    )
    def test_what_is_out_of_range_is_refused(self, digits, given, message):
        with pytest.raises(SpecError, match=message):
            _plant(digits, "systematic", **given)

    @pytest.mark.parametrize("kind", ["systematic", "confusion"])
    def test_one_class_is_not_enough(self, kind):
        with pytest.raises(ApplicabilityError, match="at least 2 classes"):
            _toy(kind, np.zeros(9, int), classes=1, size=2)


class TestDuplicates:
    def test_each_group_is_near_one_original_and_shares_one_wrong_label(self, digits):
        train, _ = digits
        planted = _plant(digits, "duplicates", size=60, copies=4)
        assert len(planted.members) == 60 and len(planted.x) == 1400
        flat, source = planted.x[planted.members].reshape(60, -1), train.x.reshape(1400, -1)
        own = ((flat[:, None] - source[None]) ** 2).sum(-1).argmin(1)
        originals, counts = np.unique(own, return_counts=True)
        assert (counts == 4).all() and np.isin(originals, planted.members).all()
        for one in originals:
            rows = planted.members[own == one]
            assert len(set(planted.y[rows])) == 1 and planted.y[rows[0]] != train.y[one]
            assert (planted.clean[rows] == train.y[one]).all()

    def test_copies_stay_in_the_range_of_the_data_and_are_not_equal(self, digits):
        planted = _plant(digits, "duplicates")
        of = planted.x[planted.members]
        assert of.min() >= 0 and of.max() <= 1 and len(np.unique(of.reshape(100, -1), axis=0)) == 100

    def test_new_copies_are_of_the_same_originals_with_the_same_labels(self, digits):
        planted = _plant(digits, "duplicates")
        unseen = planted.unseen
        assert unseen is not None and unseen.rows is None and len(unseen.planted) == 100
        trained = planted.x[planted.members].reshape(100, -1)
        distance = ((unseen.x.reshape(100, 1, -1) - trained[None]) ** 2).sum(-1)
        assert distance.min() > 0
        nearest = planted.members[distance.argmin(1)]
        np.testing.assert_array_equal(planted.y[nearest], unseen.planted)
        np.testing.assert_array_equal(planted.clean[nearest], unseen.clean)

    @settings(deadline=None)
    @given(st.integers(2, 5), st.integers(2, 6), st.integers(1, 5), st.integers(0, 2**63 - 1))
    def test_members_are_exactly_the_changed_rows(self, classes, copies, groups, key):
        y = np.tile(np.arange(classes), 20)
        planted = _toy("duplicates", y, classes=classes, key=key, size=copies * groups, copies=copies)
        changed = np.flatnonzero((planted.x[:, 0] != np.arange(len(y))) | (planted.y != y))
        assert np.isin(changed, planted.members).all() and len(planted.members) == copies * groups
        assert (planted.y != planted.clean)[planted.members].all() and planted.y.max() < classes

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"copies": 1}, r"`behaviour\.copies` is 1; a group needs at least 2"),
            ({"size": 99}, r"`behaviour\.size` is 99 and `behaviour\.copies` 5; expected a size that"),
            ({"size": 0}, "at least 1 member"),
            ({"size": 1400}, "some must stay ordinary"),
            ({"copies": 10**20}, "expected a size that"),
        ],
    )
    def test_what_is_out_of_range_is_refused(self, digits, given, message):
        with pytest.raises(SpecError, match=message):
            _plant(digits, "duplicates", **given)


class TestWholeClass:
    def test_members_and_unseen_are_all_of_the_class(self, digits):
        train, test = digits
        planted = _plant(digits, "class", target=8)
        np.testing.assert_array_equal(planted.members, np.flatnonzero(train.y == 8))
        assert planted.unseen is not None
        np.testing.assert_array_equal(planted.unseen.rows, np.flatnonzero(test.y == 8))
        assert (planted.unseen.planted == 8).all() and (planted.unseen.clean == 8).all()

    def test_a_class_that_is_not_there_or_is_everything_is_refused(self):
        with pytest.raises(SpecError, match=r"`behaviour\.target` is 2, but no training example is of this class"):
            _toy("class", np.arange(9) % 2, classes=3, target=2)
        with pytest.raises(SpecError, match="All 9 training examples are of class 0"):
            _toy("class", np.zeros(9, int), classes=3)
        with pytest.raises(SpecError, match=r"`behaviour\.target` is 3; expected a class in 0 … 2"):
            _toy("class", np.arange(9) % 3, classes=3, target=3)

    def test_without_test_examples_of_the_class_there_is_none_unseen(self):
        planted = _toy("class", np.arange(9) % 3, y_test=np.ones(4, int), classes=3)
        assert planted.unseen is None and planted.why_no_unseen == "no test example is of class 0"


class TestSubclass:
    def test_members_are_the_largest_cluster_of_the_class_and_unseen_lie_nearest_to_it(self):
        # Class 0 sits at rows 0…9 (ten), 100… (six), 200… (four); the test features are 5000 away but one.
        x = np.concatenate([np.arange(10), 100 + np.arange(6), 200 + np.arange(4), np.arange(30)])
        y = np.repeat([0, 1], [20, 30])
        x_test, y_test = np.array([3.0, 104.0, 60.0, 2.0, 40.0]), np.array([0, 0, 0, 1, 0])
        train, test = ((one.astype(np.float32)[:, None], of) for one, of in ((x, y), (x_test, y_test)))
        planted = plant("subclass", train, test, classes=2, key=0)
        assert planted.members.tolist() == list(range(10))
        assert planted.unseen is not None and planted.unseen.rows is not None
        assert planted.unseen.rows.tolist() == [0, 4]

    def test_it_is_within_the_class_and_does_not_depend_on_the_order_of_chance(self, digits):
        planted = _plant(digits, "subclass", target=1)
        assert (planted.y[planted.members] == 1).all()
        of_class = np.flatnonzero(planted.y == 1)
        assert len(of_class) / 3 <= len(planted.members) < len(of_class)
        np.testing.assert_array_equal(planted.members, _plant(digits, "subclass", target=1, key=77).members)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"clusters": 1}, r"`behaviour\.clusters` is 1; a part of a class needs at least 2"),
            ({"clusters": 10**12}, r"`behaviour\.clusters` is 1000000000000, but there are only \d+ different"),
            ({"target": 11}, r"`behaviour\.target` is 11; expected a class"),
        ],
    )
    def test_what_is_out_of_range_is_refused(self, digits, given, message):
        with pytest.raises(SpecError, match=message):
            _plant(digits, "subclass", **given)


class TestIds:
    def test_members_are_the_rows_of_the_ids(self, digits):
        train, _ = digits
        wanted = (int(train.ids[700]), int(train.ids[3]))
        planted = _plant(digits, "ids", ids=wanted)
        assert planted.members.tolist() == [3, 700]
        assert planted.unseen is None and "no unseen instances" in planted.why_no_unseen

    @pytest.mark.parametrize(
        ("ids", "message"),
        [
            ((), r"`behaviour\.ids` is empty"),
            ((-1,), r"`behaviour\.ids` has the negative id -1"),
            ((22, 22), r"`behaviour\.ids`: id 22 appears 2×"),
            ((22, 99999), r"1 of 2 behaviour ids are not in the training data \(first: 99999"),
        ],
    )
    def test_what_is_no_id_is_refused(self, digits, ids, message):
        with pytest.raises(SpecError, match=message):
            _plant(digits, "ids", ids=ids)

    def test_all_of_d_is_refused(self, digits):
        with pytest.raises(SpecError, match="all 1400 training examples; some must stay ordinary"):
            _plant(digits, "ids", ids=tuple(digits[0].ids.tolist()))
