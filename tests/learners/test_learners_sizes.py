"""The size of a model before there is one is the size of the model."""

import pytest

from unweave.data import Encoding
from unweave.learners import specify
from unweave.learners.nets import build
from unweave.learners.sizes import model_bytes


def really(spec):
    return sum(one.numel() * one.element_size() for part in build(spec).init(0) for one in part.values())


@pytest.mark.parametrize(
    ("name", "shape", "config"),
    [
        ("softmax", (7,), {}),
        ("mlp", (8, 8), {}),
        ("mlp", (3, 5), {"width": 17, "depth": 3}),
        ("mlp", (3, 5), {"etd": 0.2}),
        ("cnn", (28, 28), {}),
        ("cnn", (28, 28), {"etd": 0.2}),
        ("cnn", (3, 15, 18), {"channels": 5}),
        ("resnet9", (3, 32, 32), {}),
        ("resnet9", (28, 28), {"width": 12}),
    ],
)
def test_nets(name, shape, config):
    spec = specify(name, shape, 4, config=config)
    assert model_bytes(spec) == really(spec)


def test_a_table_has_three_numbers_a_feature_beside():
    encoding = Encoding((0,), (-1,), (1,))
    spec = specify("mlp", (2,), 3, encoding=encoding)
    assert model_bytes(spec) == really(specify("mlp", (2,), 3)) + 24


def test_of_an_opaque_learner_nothing_is_kept():
    assert model_bytes(specify("forest", (7,), 2)) == 0
