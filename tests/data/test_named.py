"""Public data sets: as published where they are here, and a clear word where they are not."""

import numpy as np
import pytest

from unweave._errors import SpecError
from unweave.data import SOURCES, load

SHAPES = {
    "mnist": ((60000, 28, 28), 10000, 10),
    "fashion": ((60000, 28, 28), 10000, 10),
    "cifar10": ((20000, 3, 32, 32), 4000, 10),
    "pneumonia": ((4708, 28, 28), 624, 2),
}


@pytest.mark.parametrize("name", ["mnist", "fashion", "cifar10", "pneumonia", "adult", "german"])
def test_absent_data_are_named_with_the_variable_that_finds_them(monkeypatch, tmp_path, name):
    monkeypatch.setenv("UNWEAVE_DATA", str(tmp_path))
    with pytest.raises(SpecError, match=f"are not in {tmp_path}.*UNWEAVE_DATA"):
        load(name)
    assert SOURCES.get(name).declared.cite


@pytest.mark.parametrize("name", SHAPES)
def test_images_as_published(need_data, name):
    need_data(name)
    shape, n_test, classes = SHAPES[name]
    data = load(name, limit=500)
    assert data.train.x.shape == (500, *shape[1:]) and len(data.test) == n_test and data.classes == classes
    assert data.train.x.min() == 0 and data.train.x.max() == 1 and len(data.labels) == classes
    # A limited part is a random one, also where the file is sorted by class.
    assert len(np.unique(data.train.y)) == classes and data.train.ids.max() > 0.9 * shape[0]
    np.testing.assert_array_equal(load(name, limit=500).train.ids, data.train.ids)


def test_adult_as_published(need_data):
    need_data("adult")
    data = load("adult")
    assert (len(data.train), len(data.test), data.labels) == (32561, 16281, ("<=50K", ">50K"))
    # The shares of the class >50K that adult.names gives: 24.78% with and without unknowns are of both parts.
    assert round(float(np.concatenate([data.train.y, data.test.y]).mean()), 4) == 0.2393
    assert (data.train.columns["workclass"] == "").sum() == 1836 and data.train.columns["age"].max() == 90


def test_german_as_published(need_data):
    need_data("german")
    data = load("german")
    assert (len(data.train), len(data.test), data.labels) == (800, 200, ("1", "2"))
    assert int((data.train.y == 0).sum() + (data.test.y == 0).sum()) == 700
