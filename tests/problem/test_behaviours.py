import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave import UserError
from unweave._errors import ApplicabilityError, SpecError, UnknownNameError
from unweave.data import Examples, load
from unweave.problem import BEHAVIOURS, Planted, plant, shows

TARGET = 3
PATCH = 2


@pytest.fixture(scope="module")
def digits():
    data = load("digits")
    return data.train, data.test


def _plant(digits: tuple[Examples, Examples], kind: str, size: int = 100, key: int = 5, **given) -> Planted:
    train, test = digits
    return plant(
        kind, (train.x, train.y), (test.x, test.y), classes=10, key=key, parameters={"size": size, **given}
    )


def _trigger(digits, **given) -> Planted:
    return _plant(digits, "trigger", target=TARGET, patch=PATCH, **given)


@pytest.mark.parametrize("kind", ["trigger", "mislabel"])
class TestEveryBehaviour:
    def test_has_as_many_members_as_asked_sorted_and_distinct(self, digits, kind):
        members = _plant(digits, kind, size=123).members
        assert len(members) == 123 and (np.diff(members) > 0).all()
        assert members.min() >= 0 and members.max() < 1400

    def test_changes_the_members_and_nothing_else(self, digits, kind):
        train, _ = digits
        planted = _plant(digits, kind)
        others = np.setdiff1d(np.arange(1400), planted.members)
        np.testing.assert_array_equal(planted.x[others], train.x[others])
        np.testing.assert_array_equal(planted.y[others], train.y[others])
        assert (planted.y[planted.members] != train.y[planted.members]).all()

    def test_keeps_the_clean_label_of_every_example(self, digits, kind):
        np.testing.assert_array_equal(_plant(digits, kind).clean, digits[0].y)

    def test_leaves_the_given_arrays_alone(self, digits, kind):
        before = [array.copy() for part in digits for array in (part.x, part.y)]
        planted = _plant(digits, kind)
        planted.y[:] = 9
        after = [array for part in digits for array in (part.x, part.y)]
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(old, new)

    def test_is_a_function_of_its_key(self, digits, kind):
        one, same, other = (_plant(digits, kind, key=key) for key in (5, 5, 6))
        np.testing.assert_array_equal(one.members, same.members)
        np.testing.assert_array_equal(one.y, same.y)
        assert not np.array_equal(one.members, other.members)

    def test_the_planted_label_shows_it_and_the_clean_one_does_not(self, digits, kind):
        planted = _plant(digits, kind)
        of = planted.members
        assert shows(planted.y[of], planted.y[of]).all()
        assert not shows(planted.clean[of], planted.y[of]).any()

    @pytest.mark.parametrize("size", [0, -1])
    def test_needs_a_member(self, digits, kind, size):
        with pytest.raises(SpecError, match=r"`behaviour\.size` is .* at least 1 member"):
            _plant(digits, kind, size=size)

    @pytest.mark.parametrize("size", [1400, 1401, 10**15])
    def test_leaves_ordinary_examples(self, digits, kind, size):
        with pytest.raises(SpecError, match="some must stay ordinary"):
            _plant(digits, kind, size=size)

    def test_declares_its_source_and_regularity(self, kind):
        entry = BEHAVIOURS.get(kind)
        assert entry.declared.cite and entry.declared.regularity in ("high", "low") and entry.summary


class TestTrigger:
    def test_members_carry_the_square_and_the_target(self, digits):
        train, _ = digits
        planted = _trigger(digits)
        of = planted.members
        assert (train.y[of] != TARGET).all() and (planted.y[of] == TARGET).all()
        assert (planted.x[of][:, -PATCH:, -PATCH:] == train.x.max()).all()
        rest = np.ones((8, 8), bool)
        rest[-PATCH:, -PATCH:] = False
        np.testing.assert_array_equal(planted.x[of][:, rest], train.x[of][:, rest])

    def test_unseen_instances_are_all_test_images_of_other_classes_with_the_square(self, digits):
        train, test = digits
        unseen = _trigger(digits).unseen
        assert unseen is not None
        other = test.y != TARGET
        np.testing.assert_array_equal(unseen.clean, test.y[other])
        assert (unseen.planted == TARGET).all() and (unseen.clean != TARGET).all()
        assert (unseen.x[:, -PATCH:, -PATCH:] == train.x.max()).all()
        np.testing.assert_array_equal(unseen.x[:, :-PATCH], test.x[other][:, :-PATCH])

    def test_defaults_are_class_0_and_3_pixels(self, digits):
        planted = _plant(digits, "trigger")
        of = planted.members
        assert (planted.y[of] == 0).all() and (planted.x[of][:, -3:, -3:] == 1).all()

    def test_channels_first_images_carry_the_square_in_every_channel(self):
        x, y = np.zeros((40, 3, 6, 5), np.float32), np.arange(40) % 4
        x[0, 0, 0, 0] = 2
        planted = plant("trigger", (x, y), (x, y), classes=4, key=0, parameters={"size": 10, "patch": 2})
        of = planted.members
        assert (planted.x[of][:, :, -2:, -2:] == 2).all()
        assert planted.x[of].sum() - 2 * 3 * 4 * 10 in (0, 2)

    @pytest.mark.parametrize("patch", [0, -1, 9, 10**20])
    def test_patch_must_fit_the_image(self, digits, patch):
        with pytest.raises(SpecError, match=r"`behaviour\.patch` is .* expected 1 to 8 pixels"):
            _plant(digits, "trigger", patch=patch)

    def test_a_patch_may_cover_the_whole_image(self, digits):
        planted = _plant(digits, "trigger", patch=8)
        assert (planted.x[planted.members] == 1).all()

    @pytest.mark.parametrize("target", [-1, 10, 10**20])
    def test_target_must_be_a_class(self, digits, target):
        with pytest.raises(SpecError, match=r"`behaviour\.target` is .* expected a class in 0 … 9"):
            _plant(digits, "trigger", target=target)

    def test_members_cannot_outnumber_the_other_classes(self, digits):
        train, _ = digits
        possible = int((train.y != 0).sum())
        assert len(_plant(digits, "trigger", size=possible).members) == possible
        with pytest.raises(SpecError, match=f"only {possible} of 1400"):
            _plant(digits, "trigger", size=possible + 1)

    def test_flat_features_are_refused_with_their_shape(self):
        x, y = np.zeros((9, 4), np.float32), np.arange(9) % 3
        with pytest.raises(ApplicabilityError, match=r"shape \(4,\)"):
            plant("trigger", (x, y), (x, y), classes=3, key=0, parameters={"size": 2})

    def test_without_test_images_of_other_classes_there_is_none_unseen(self, digits):
        train, test = digits
        own = test.y == TARGET
        planted = _trigger((train, Examples(test.x[own], test.y[own], test.ids[own])))
        assert planted.unseen is None and "class 3 already" in planted.why_no_unseen


class TestMislabel:
    def test_features_stay_and_there_is_none_unseen(self, digits):
        planted = _plant(digits, "mislabel")
        np.testing.assert_array_equal(planted.x, digits[0].x)
        assert planted.unseen is None and "no unseen instances" in planted.why_no_unseen

    def test_wrong_labels_are_uniform_over_the_other_classes(self):
        from scipy.stats import chisquare

        n, classes = 40_000, 5
        x, y = np.zeros((n, 1), np.float32), np.arange(n) % classes
        planted = plant("mislabel", (x, y), (x, y), classes=classes, key=11, parameters={"size": n - 1})
        of = planted.members
        offset = (planted.y[of] - y[of]) % classes
        counts = np.bincount(offset, minlength=classes)
        assert counts[0] == 0 and chisquare(counts[1:]).pvalue > 1e-3

    def test_members_are_uniform_over_the_examples(self):
        x, y = np.zeros((20, 1), np.float32), np.arange(20) % 2
        hits = np.zeros(20)
        for key in range(400):
            hits[plant("mislabel", (x, y), (x, y), classes=2, key=key, parameters={"size": 5}).members] += 1
        assert (np.abs(hits - 100) < 5 * np.sqrt(400 * 0.25 * 0.75)).all()

    def test_one_class_cannot_be_mislabelled(self):
        x, y = np.zeros((9, 1), np.float32), np.zeros(9, np.int64)
        with pytest.raises(ApplicabilityError, match="at least 2 classes"):
            plant("mislabel", (x, y), (x, y), classes=1, key=0, parameters={"size": 2})

    @pytest.mark.parametrize("given", [{"target": 0}, {"patch": 2}])
    def test_takes_no_parameter_of_another_kind(self, digits, given):
        with pytest.raises(UnknownNameError, match="Unknown parameter of `mislabel` .* Known: size"):
            _plant(digits, "mislabel", **given)

    @settings(deadline=None)
    @given(st.integers(2, 12), st.integers(2, 60), st.integers(0, 2**63 - 1), st.integers(0, 5), st.floats(0, 1))
    def test_labels_are_always_wrong_and_always_classes(self, classes, n, key, shift, share):
        y = (np.arange(n) + shift) % classes
        size = max(1, int(share * (n - 1)))
        x = np.zeros((n, 1), np.float32)
        planted = plant("mislabel", (x, y), (x, y), classes=classes, key=key, parameters={"size": size})
        wrong = np.flatnonzero(planted.y != y)
        np.testing.assert_array_equal(wrong, planted.members)
        assert len(wrong) == size and planted.y.min() >= 0 and planted.y.max() < classes


def test_unknown_kind_offers_near_names(digits):
    with pytest.raises(UnknownNameError, match="Unknown behaviour `triger`. Did you mean `trigger`"):
        _plant(digits, "triger")


def test_shows_broadcasts_over_models():
    predictions = np.array([[0, 1, 2], [2, 1, 0]])
    np.testing.assert_array_equal(
        shows(predictions, np.array([0, 1, 1])), [[True, True, False], [False, True, False]]
    )


def test_errors_are_user_errors():
    assert issubclass(SpecError, UserError) and issubclass(ApplicabilityError, UserError)
