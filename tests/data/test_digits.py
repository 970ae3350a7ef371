import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave import UserError
from unweave._errors import SpecError
from unweave.data import SOURCES, Examples, fingerprint, load

GOLDEN_TRAIN, GOLDEN_TEST = [0, 1, 3, 4, 5], [2, 8, 11, 14, 16]
GOLDEN_TRAIN_PRINT = "dd6a564e7584e55ee108300628ede4540a45af9a70648358fd11fad285557c40"
GOLDEN_TEST_PRINT = "011293c9f4bd1f02ab737d653fbbb45c822efb5e96df2c9d8e843e311a6dee68"


def _print_of(part: Examples) -> str:
    return fingerprint(part.x, part.y, part.ids)


def test_digits_have_the_documented_shapes_and_split():
    data = load("digits")
    assert data.train.x.shape == (1400, 8, 8) and data.test.x.shape == (397, 8, 8)
    assert len(data.train) == 1400 and len(data.test) == 397
    assert data.train.x.dtype == np.float32 and data.train.y.dtype == np.int64 and data.train.ids.dtype == np.int64
    assert data.classes == 10 and set(data.train.y) == set(range(10)) == set(data.test.y)
    assert data.train.x.min() == 0 and data.train.x.max() == 1


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    bundle = load_digits()
    data = load("digits")
    for part in (data.train, data.test):
        np.testing.assert_array_equal(part.x, (bundle.images[part.ids] / 16).astype(np.float32))
        np.testing.assert_array_equal(part.y, bundle.target[part.ids])


def test_digits_are_read_without_their_file_as_well(monkeypatch):
    wanted = load("digits")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = load("digits")
    assert _print_of(found.train) == _print_of(wanted.train)


def test_ids_are_unique_and_cover_the_source_once():
    data = load("digits")
    both = np.concatenate([data.train.ids, data.test.ids])
    np.testing.assert_array_equal(np.sort(both), np.arange(1797))


def test_split_and_content_never_change():
    # Stored models and published ids of forget sets depend on these values.
    data = load("digits")
    assert data.train.ids[:5].tolist() == GOLDEN_TRAIN and data.test.ids[:5].tolist() == GOLDEN_TEST
    assert _print_of(data.train) == GOLDEN_TRAIN_PRINT
    assert _print_of(data.test) == GOLDEN_TEST_PRINT


def test_loading_twice_gives_equal_and_separate_arrays():
    first, second = load("digits"), load("digits")
    assert _print_of(first.train) == _print_of(second.train)
    first.train.x[:] = 7
    assert second.train.x.max() == 1


@pytest.mark.parametrize(("test", "expected"), [(1, 1), (397.0, 397), (0.5, 898), (1795, 1795), (0.001, 2)])
def test_test_part_as_count_or_share(test, expected):
    data = load("digits", test=test)
    assert (len(data.train), len(data.test)) == (1797 - expected, expected)


@pytest.mark.parametrize(
    "test", [0, -1, -0.3, 0.0, 0.0001, 1796, 5000, 10**30, 2.5, math.nan, math.inf, -math.inf]
)
def test_impossible_splits_are_refused(test):
    with pytest.raises(SpecError, match=r"`data\.test`"):
        load("digits", test=test)


def test_limit_keeps_a_random_part_of_the_training_examples_and_the_whole_test_part():
    whole, some = load("digits"), load("digits", limit=50)
    rows = np.searchsorted(whole.train.ids, some.train.ids)
    np.testing.assert_array_equal(whole.train.ids[rows], some.train.ids)
    np.testing.assert_array_equal(whole.train.x[rows], some.train.x)
    assert (np.diff(some.train.ids) > 0).all() and some.train.ids[-1] > 1000
    assert len(some.train) == 50 and len(some.test) == 397
    assert len(load("digits", limit=10**12).train) == 1400


@pytest.mark.parametrize("limit", [1, 0, -5])
def test_limits_that_leave_too_little_are_refused(limit):
    with pytest.raises(SpecError, match=r"`data\.limit` is .* at least 2"):
        load("digits", limit=limit)


def test_unknown_source_offers_near_names():
    with pytest.raises(UserError, match="Unknown data source `digit`. Did you mean `digits`"):
        load("digit")


def test_every_source_names_its_origin():
    assert "digits" in SOURCES.names()
    assert all(entry.declared.cite and entry.declared.shape and entry.summary for entry in SOURCES)


@settings(deadline=None)
@given(st.sampled_from(["x", "y", "ids"]), st.integers(0, 19), st.integers(0, 3))
def test_one_changed_pixel_label_or_id_changes_the_fingerprint(field, row, pixel):
    part = load("digits", limit=20).train
    before = _print_of(part)
    values = getattr(part, field).copy()
    if field == "x":
        values[row, 0, pixel] = np.nextafter(values[row, 0, pixel], np.float32(2))
    else:
        values[row] += 1
    assert _print_of(dataclasses.replace(part, **{field: values})) != before


def test_fingerprint_depends_on_shape_and_order_but_not_on_memory_layout():
    x, y, ids = np.arange(12, dtype=np.float32).reshape(4, 3), np.arange(4), np.arange(4)
    print_ = fingerprint(x, y, ids)
    assert fingerprint(np.asfortranarray(x), y, ids) == print_
    assert fingerprint(x.reshape(4, 3, 1), y, ids) != print_
    assert fingerprint(x[::-1], y[::-1], ids[::-1]) != print_
    assert fingerprint(x, ids, y[::-1]) != print_
    assert len(print_) == 64
