"""`erase` looks first whether there is anything to erase."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from tests.study.erasing import digests, erase, save_model, tiny

from unweave.problem import DataChoice, ForgetChoice
from unweave.records import from_json
from unweave.records.erasure import Erasure
from unweave.study.choices import MethodChoice

MODELS = 120
RELABEL = MethodChoice("random_label", {})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two clouds of points far from each other, and four points with the wrong label."""
    folder = tmp_path_factory.mktemp("clouds")
    rng = np.random.default_rng(1)
    y = np.arange(200) % 2
    x = rng.normal(size=(200, 6)).astype(np.float32) + 3 * (2 * y[:, None] - 1).astype(np.float32)
    x[:4] *= np.array([1, -1, 1, -1, 1, -1], dtype=np.float32) * 2  # apart, so that they can be learned by heart
    y[:4] = 1 - y[:4]
    np.savez(folder / "d.npz", x_train=x[:120], y_train=y[:120], x_test=x[120:], y_test=y[120:])
    save_model(clouds(folder, (50,)))
    return folder


def test_a_message_is_no_warning_of_numbers(place, tmp_path):
    """Nets that are as sure as these once overflowed in what a diagnosis computes; warnings are errors here."""
    sure = clouds(place, (50, 51))
    sure = replace(sure, learner=replace(sure.learner, lr=0.5))
    assert erase(sure, tmp_path / "out", models=20).diagnosis


def clouds(folder, ids):
    found = tiny(folder, data=DataChoice("npz", path=str(folder / "d.npz")), forget=ForgetChoice(ids=ids))
    return replace(found, learner=replace(found.learner, epochs=60, width=32, batch_size=20, lr=0.1))


@pytest.mark.parametrize("few", [False, True])
def test_a_model_that_may_be_of_another_recipe_is_not_left_as_it_is(place, tmp_path, few):
    """What models of the recipe would not miss, a model that was trained for longer may know by heart."""
    case = clouds(place, (50, 51, 52))
    if few:  # models to find it out by, at this level
        case = replace(case, alpha=0.02)
    else:
        for name in ("d.npz", "model.safetensors"):
            shutil.copy(place / name, tmp_path / name)
        case = clouds(tmp_path, (50, 51, 52))
        longer = replace(case, learner=replace(case.learner, lr=0.5))
        save_model(longer)
    found = erase(case, tmp_path / "out", models=MODELS)
    assert found.status == "erased" and "Untraining is a no-op" in found.diagnosis
    said = "cannot be told by 32 (`references.models`: 49)" if few else "not like those that its recipe trains"
    assert said in found.diagnosis


def test_what_nobody_would_miss_is_not_erased(place, tmp_path):
    case = clouds(place, (50, 51, 52))
    before = digests(place)
    found = erase(case, tmp_path / "out", models=MODELS)
    assert found.status == "nothing to erase" and found.model_after == {} and found.method == "retrain"
    assert found.headline.endswith("within the bounds of the diagnosis: nothing to erase.")
    assert "Untraining is a no-op" in found.diagnosis, found.diagnosis
    folder = tmp_path / "out" / "0001"
    assert sorted(one.name for one in folder.iterdir()) == ["record.json", "request.toml"]
    assert from_json(Erasure, (folder / "record.json").read_text()) == found
    assert (folder / "request.toml").read_text().startswith("# nothing was erased\n")
    assert {name: one for name, one in digests(place).items() if not name.startswith("store")} == before
    # Nothing was taken out, so the same ids may be asked for again.
    again = erase(case, tmp_path / "out", models=MODELS, anyway=True)
    assert again.status == "erased" and again.number == 2 and (tmp_path / "out" / "0002").is_dir()
    assert again.case["data"].get("without") is None


def test_what_is_known_by_heart_is_erased(place, tmp_path):
    found = erase(clouds(place, (0, 1, 2, 3)), tmp_path / "out", models=MODELS)
    assert found.status == "erased" and "no-op" not in found.diagnosis
    of_s = next(one for one in found.accuracy if one.name == "S")
    assert of_s.before > of_s.after  # it knew the wrong labels, and does not any more


def test_unlearning_is_no_no_op(place, tmp_path):
    found = erase(clouds(place, (50, 51)), tmp_path / "out", models=MODELS, aim="unlearning", method=RELABEL)
    assert found.status == "erased" and found.diagnosis


def test_no_diagnosis_where_none_is_asked_for(place, tmp_path):
    found = erase(clouds(place, (50,)), tmp_path / "out", models=0)
    assert found.status == "erased" and found.diagnosis == "No diagnosis was asked for."
    assert not (tmp_path / "store").exists()


def test_nothing_of_a_diagnosis_is_written_but_its_sentence(place, tmp_path):
    erase(clouds(place, (50, 51)), tmp_path / "out", models=MODELS)
    assert not [one for one in tmp_path.rglob("*") if "diagnosis" in one.name]
