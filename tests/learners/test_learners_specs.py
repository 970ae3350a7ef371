"""What identifies a learner, and what `specify` refuses."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from unweave._errors import SpecError, UnknownNameError, UserError
from unweave.learners import LEARNERS, Recipe, specify

RECIPE = {
    "lr": 0.1,
    "epochs": 2,
    "batch_size": 4,
    "momentum": 0.5,
    "weight_decay": 0.01,
    "schedule": "cosine",
}


def test_defaults_and_replacements():
    plain = specify("mlp", (8, 8), 10)
    assert (plain.name, plain.shape, plain.classes) == ("mlp", (8, 8), 10)
    assert plain.recipe == LEARNERS.get("mlp").declared.recipe
    assert plain.config == {"width": 64, "depth": 1}
    assert specify("mlp", (6,), 3, recipe=RECIPE, config={"depth": 2}).recipe == Recipe(**RECIPE)
    assert specify("softmax", (6,), 3).config == {}


def test_unknown_learners_are_refused_with_near_names():
    with pytest.raises(UnknownNameError, match="Unknown learner `mpl`. Did you mean `mlp`"):
        specify("mpl", (6,), 3)


def test_unknown_parameters_are_refused_with_near_names():
    with pytest.raises(UnknownNameError, match="`widht`.*Did you mean `width`"):
        specify("mlp", (6,), 3, config={"widht": 8})
    with pytest.raises(UserError, match="`softmax` takes no parameters"):
        specify("softmax", (6,), 3, config={"width": 8})


def test_unknown_fields_of_a_recipe_are_refused_with_near_names():
    with pytest.raises(UnknownNameError, match="`batchsize`.*Did you mean `batch_size`"):
        specify("mlp", (6,), 3, recipe={"batchsize": 8})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("epochs", -1),
        ("batch_size", 0),
        ("lr", 0.0),
        ("lr", -0.1),
        ("lr", math.inf),
        ("lr", math.nan),
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("momentum", math.nan),
        ("weight_decay", -1e-3),
        ("weight_decay", math.inf),
        ("weight_decay", math.nan),
    ],
)
def test_recipes_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(SpecError, match=f"`learner.{field}` is"):
        specify("mlp", (6,), 3, recipe={field: value})


def test_values_of_the_wrong_type_are_refused_where_nothing_checks_types():
    """In a process of its own: the type checker of the tests would refuse them first."""
    code = """if True:
        from unweave._errors import SpecError
        from unweave.learners import specify
        for recipe in ({"epochs": 2.5}, {"batch_size": 8.0}, {"schedule": "cosin"}):
            try:
                specify("mlp", (6,), 3, recipe=recipe)
            except SpecError as error:
                print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        "`learner.epochs` is 2.5; expected a whole number of at least 1.",
        "`learner.batch_size` is 8.0; expected a whole number of at least 1.",
        "`learner.schedule` is 'cosin'; expected one of constant, linear, cosine.",
    ]


@pytest.mark.parametrize("field", ["width", "depth"])
def test_nets_without_units_are_refused(field):
    with pytest.raises(SpecError, match=f"`learner.{field}` is 0"):
        specify("mlp", (6,), 3, config={field: 0})


def test_everything_that_makes_a_learner_another_one_enters_its_identity():
    plain = specify("mlp", (6,), 3, config={"width": 8})
    others = [specify("mlp", (6,), 3, config={"width": 8}, recipe={name: RECIPE[name]}) for name in RECIPE]
    others += [
        specify("softmax", (6,), 3),
        specify("mlp", (3, 2), 3, config={"width": 8}),
        specify("mlp", (6,), 4, config={"width": 8}),
        specify("mlp", (6,), 3, config={"width": 9}),
        specify("mlp", (6,), 3, config={"width": 8, "depth": 2}),
    ]
    texts = [json.dumps(spec.identity(), sort_keys=True) for spec in [plain, *others]]
    assert len(set(texts)) == len(texts)
    assert json.dumps(specify("mlp", (6,), 3, config={"width": 8}).identity(), sort_keys=True) == texts[0]


def test_number_of_steps():
    assert Recipe(lr=1.0, epochs=3, batch_size=8).steps(16) == 6
    assert Recipe(lr=1.0, epochs=3, batch_size=8).steps(17) == 9
    assert Recipe(lr=1.0, epochs=3, batch_size=8).steps(1) == 3


def test_rates_of_the_schedules():
    constant, linear, cosine = (Recipe(lr=0.4, epochs=1, schedule=s) for s in ("constant", "linear", "cosine"))
    assert [constant.rate(i, 4) for i in range(4)] == [0.4] * 4
    assert [linear.rate(i, 4) for i in range(5)] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0])
    half = 0.5**0.5
    expected = [0.4, 0.2 * (1 + half), 0.2, 0.2 * (1 - half), 0.0]
    assert [cosine.rate(i, 4) for i in range(5)] == pytest.approx(expected)
