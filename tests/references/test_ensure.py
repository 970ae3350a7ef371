"""Training what the store lacks, and only that; bad objects are made anew, bit for bit, and never used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unweave._errors import CorruptObjectError
from unweave._random import derive
from unweave.data import fingerprint
from unweave.learners import specify
from unweave.learners.nets import build
from unweave.references import (
    Setting,
    Store,
    WorldName,
    WorldPlan,
    digest,
    ensure,
    key_of,
    model_fields,
    outputs_fields,
    plan,
)
from unweave.references import keys as keys_module
from unweave.training.engine import many
from unweave.training.outputs import logits, one_thread

N, CLASSES, MODELS = 24, 3, 5


def make_setting() -> Setting:
    rng = np.random.default_rng(0)
    x, y = rng.random((N, 4), dtype=np.float32), rng.integers(0, CLASSES, N)
    ids = np.arange(100, 100 + N)
    learner = specify("mlp", (4,), CLASSES, recipe={"epochs": 2, "batch_size": 8}, config={"width": 5})
    return Setting(learner, x, y, ids, fingerprint(x, y, ids), rng.random((7, 4), dtype=np.float32))


def make_worlds(models: int = MODELS) -> dict[WorldName, WorldPlan]:
    return plan(N, np.array([2]), np.array([2, 3, 5]), models=models, null=3, paired=False, seed=0)


@pytest.fixture(scope="module")
def setting() -> Setting:
    return make_setting()


@pytest.fixture(scope="module")
def world() -> WorldPlan:
    return make_worlds()["untrained"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The keys of each stack that was trained, in order."""
    stacks: list[list[int]] = []

    def counting(*args: object, **kwargs: object) -> object:
        stacks.append(list(kwargs["keys"]))
        return many(*args, **kwargs)

    monkeypatch.setattr(ensure, "many", counting)
    return stacks


def object_of(store: Store, key: str) -> Path:
    return store.root / "objects" / key[:2] / f"{key}.safetensors"


def hashes(store: Store, setting: Setting, world: WorldPlan) -> list[str]:
    files = [object_of(store, key_of(fields)) for fields in model_fields(setting, world)]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 4
    file.write_bytes(content)


def direct(setting: Setting, world: WorldPlan) -> np.ndarray:
    """Outputs of models that were trained and asked without any store."""
    learner = build(setting.learner)
    x, y = torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    with one_thread():
        stacked = many(learner, x, y, rows=[world.rows] * len(world.keys), keys=list(world.keys))
        return logits(learner, stacked, torch.from_numpy(setting.probes)).numpy()


def test_a_world_is_trained_once(store: Store, setting: Setting, world: WorldPlan, trained: list[list[int]]):
    assert ensure.ensure_models(store, setting, world) == MODELS
    before = hashes(store, setting, world)
    assert ensure.ensure_models(store, setting, world) == 0
    ensure.load_models(store, setting, world)
    assert trained == [list(world.keys)]
    assert hashes(store, setting, world) == before


def test_only_the_missing_are_trained(store: Store, setting: Setting, world: WorldPlan, trained: list[list[int]]):
    ensure.ensure_models(store, setting, replace(world, keys=world.keys[1:3]))
    assert ensure.ensure_models(store, setting, world) == MODELS - 2
    assert trained == [list(world.keys[1:3]), [world.keys[0], *world.keys[3:]]]


@pytest.mark.parametrize("first", [[0], [1, 3], [0, 1, 2, 3]])
def test_models_trained_in_parts_equal_those_of_an_undisturbed_run(
    tmp_path: Path, setting: Setting, world: WorldPlan, first: list[int]
):
    whole, parts = Store(tmp_path / "whole"), Store(tmp_path / "parts")
    ensure.ensure_models(whole, setting, world)
    ensure.ensure_models(parts, setting, world)
    for number in first:  # as if the run had been stopped before these
        file = object_of(parts, key_of(model_fields(setting, world)[number]))
        file.unlink()
        file.with_suffix(".json").unlink()
    assert ensure.ensure_models(parts, setting, world) == len(first)
    assert hashes(parts, setting, world) == hashes(whole, setting, world)


def test_outputs_equal_those_of_a_direct_forward(store: Store, setting: Setting, world: WorldPlan):
    outputs, count = ensure.ensure_outputs(store, setting, world)
    assert count == MODELS
    assert outputs.logits.dtype == np.float32
    assert outputs.logits.shape == (MODELS, len(setting.probes), CLASSES)
    np.testing.assert_array_equal(outputs.logits, direct(setting, world))


def test_outputs_are_kept_and_not_made_twice(
    store: Store, setting: Setting, world: WorldPlan, trained: list[list[int]], monkeypatch: pytest.MonkeyPatch
):
    first, _ = ensure.ensure_outputs(store, setting, world)
    monkeypatch.setattr(ensure, "forward", lambda *_: pytest.fail("made twice"))
    second, count = ensure.ensure_outputs(store, setting, world)
    assert (count, len(trained)) == (0, 1)
    np.testing.assert_array_equal(first.logits, second.logits)


def test_outputs_on_other_probes_are_other_outputs_of_the_same_models(
    store: Store, setting: Setting, world: WorldPlan, trained: list[list[int]]
):
    ensure.ensure_outputs(store, setting, world)
    other = setting._replace(probes=setting.probes[::-1].copy())
    outputs, count = ensure.ensure_outputs(store, other, world)
    assert (count, len(trained)) == (0, 1)
    np.testing.assert_allclose(outputs.logits, direct(setting, world)[:, ::-1], rtol=1e-6)


def damage_bit(file: Path) -> None:
    flip(file)


def damage_loss(file: Path) -> None:
    file.unlink()


def damage_sidecar(file: Path) -> None:
    flip(file.with_suffix(".json"))


@pytest.mark.parametrize("damage", [damage_bit, damage_loss, damage_sidecar])
def test_a_bad_model_is_trained_anew_to_the_same_bits_and_never_used(
    store: Store, setting: Setting, world: WorldPlan, trained: list[list[int]], damage: Callable[[Path], None]
):
    ensure.ensure_models(store, setting, world)
    before = hashes(store, setting, world)
    damage(object_of(store, key_of(model_fields(setting, world)[2])))
    outputs, count = ensure.ensure_outputs(store, setting, world)
    assert count == 1, "the model that was trained anew is counted"
    assert trained[1:] == [[world.keys[2]]]
    assert hashes(store, setting, world) == before
    np.testing.assert_array_equal(outputs.logits, direct(setting, world))
    assert len(list((store.root / "quarantine").iterdir())) == (1 if damage is damage_loss else 2)


def test_a_model_that_does_not_survive_being_written_is_no_model(
    store: Store, setting: Setting, world: WorldPlan, monkeypatch: pytest.MonkeyPatch
):
    write = Store.write

    def to_a_bad_disk(self: Store, entries: list) -> list[str]:
        keys = write(self, entries)
        for key in keys:
            flip(object_of(self, key))
        return keys

    monkeypatch.setattr(Store, "write", to_a_bad_disk)
    with pytest.raises(CorruptObjectError):
        ensure.ensure_outputs(store, setting, world)
    with pytest.raises(CorruptObjectError):
        ensure.load_models(store, setting, world)


def test_bad_outputs_are_made_anew_from_the_models(
    store: Store, setting: Setting, world: WorldPlan, trained: list[list[int]]
):
    first, _ = ensure.ensure_outputs(store, setting, world)
    file = object_of(store, key_of(outputs_fields(setting, world)))
    before = file.read_bytes()
    flip(file)
    second, count = ensure.ensure_outputs(store, setting, world)
    assert (count, len(trained)) == (0, 1)
    np.testing.assert_array_equal(first.logits, second.logits)
    assert file.read_bytes() == before


def changed_pixel(setting: Setting) -> Setting:
    x = setting.x.copy()
    x[3, 1] = np.nextafter(x[3, 1], np.float32(2))
    return setting._replace(x=x, fingerprint=fingerprint(x, setting.y, setting.ids))


def changed_label(setting: Setting) -> Setting:
    y = setting.y.copy()
    y[-1] = (y[-1] + 1) % CLASSES
    return setting._replace(y=y, fingerprint=fingerprint(setting.x, y, setting.ids))


def changed_id(setting: Setting) -> Setting:
    ids = setting.ids.copy()
    ids[0] = 7
    return setting._replace(ids=ids, fingerprint=fingerprint(setting.x, setting.y, ids))


def changed_recipe(field: str, value: object) -> Callable[[Setting], Setting]:
    def change(setting: Setting) -> Setting:
        recipe = replace(setting.learner.recipe, **{field: value})
        return setting._replace(learner=replace(setting.learner, recipe=recipe))

    return change


def changed_learner(field: str, value: object) -> Callable[[Setting], Setting]:
    return lambda setting: setting._replace(learner=replace(setting.learner, **{field: value}))


CHANGES = {
    "pixel": changed_pixel,
    "label": changed_label,
    "id": changed_id,
    "lr": changed_recipe("lr", 0.3000001),
    "epochs": changed_recipe("epochs", 3),
    "batch_size": changed_recipe("batch_size", 9),
    "momentum": changed_recipe("momentum", 0.0),
    "weight_decay": changed_recipe("weight_decay", 1e-6),
    "schedule": changed_recipe("schedule", "cosine"),
    "width": changed_learner("config", {"width": 6, "depth": 1}),
    "name": changed_learner("name", "softmax"),
    "classes": changed_learner("classes", 4),
    "shape": changed_learner("shape", (2, 2)),
}


def all_keys(setting: Setting, world: WorldPlan) -> set[str]:
    return {key_of(one) for one in [*model_fields(setting, world), outputs_fields(setting, world)]}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_a_model_changes_every_key(setting: Setting, world: WorldPlan, change: str):
    assert not all_keys(setting, world) & all_keys(CHANGES[change](setting), world)


@pytest.mark.parametrize("version", ["torch", "training"])
def test_another_version_of_training_changes_every_key(
    setting: Setting, world: WorldPlan, version: str, monkeypatch: pytest.MonkeyPatch
):
    before = all_keys(setting, world)
    if version == "torch":
        monkeypatch.setattr(keys_module, "installed", lambda package: f"99.{package}")
    else:
        monkeypatch.setattr(keys_module, "TRAINING_VERSION", keys_module.TRAINING_VERSION + 1)
    assert not before & all_keys(setting, world)


def test_keys_of_worlds_sets_and_seeds_differ(setting: Setting, world: WorldPlan):
    of_worlds = [all_keys(setting, one) for one in make_worlds().values()]
    assert len(set.union(*of_worlds)) == sum(map(len, of_worlds))
    assert not all_keys(setting, world) & all_keys(setting, replace(world, rows=world.rows[1:]))
    seeds = tuple(derive(1, "other", k) for k in range(MODELS))
    assert not all_keys(setting, world) & all_keys(setting, replace(world, keys=seeds))


def test_probes_are_part_of_the_key_of_outputs_only(setting: Setting, world: WorldPlan):
    probes = setting.probes.copy()
    probes[-1, -1] += 1e-6
    other = setting._replace(probes=probes)
    assert model_fields(setting, world) == model_fields(other, world)
    assert key_of(outputs_fields(setting, world)) != key_of(outputs_fields(other, world))


def test_the_order_of_models_is_part_of_the_key_of_outputs(setting: Setting, world: WorldPlan):
    turned = replace(world, keys=world.keys[::-1])
    assert key_of(outputs_fields(setting, world)) != key_of(outputs_fields(setting, turned))


def test_a_digest_is_of_type_shape_and_bytes():
    array = np.arange(6, dtype=np.int64)
    others = [array.reshape(2, 3), array.astype(np.int32), array.view(np.uint64), array[::-1], array[:5]]
    assert len({digest(one) for one in [array, *others]}) == 6
    assert digest(array[::-1]) == digest(array[::-1].copy())
