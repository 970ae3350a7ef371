"""Folders of images and data sets saved by `datasets`: what is read, and what is refused."""

import io
import json
import os
import shutil

import numpy as np
import pytest

from unweave._errors import SpecError
from unweave.data import load

Image = pytest.importorskip("PIL.Image", reason="reading images needs the extra [images]")
arrow = pytest.importorskip("pyarrow", reason="reading saved data sets needs the extra [tables]")


def picture(seed, shape=(8, 9), kind="L"):
    values = np.random.default_rng(seed).integers(0, 256, shape if kind == "L" else (*shape, 3)).astype(np.uint8)
    return values, Image.fromarray(values)


def put(folder, name, seed, **options):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    values, image = picture(seed, **options)
    image.save(file)
    return values


@pytest.fixture
def pets(tmp_path):
    root = tmp_path / "my pets"
    for number in range(6):
        put(root, f"cats/{number}.png", number)
        put(root, f"dogs/sub/{number}.PNG", 100 + number)
    return root


def test_grey_images_in_folders_of_their_class(pets):
    data = load("images", path=str(pets), test=4)
    assert (len(data.train), len(data.test), data.labels) == (8, 4, ("cats", "dogs"))
    for part in (data.train, data.test):
        for x, y, name in zip(part.x, part.y, part.ids, strict=True):
            kind, number = name.split("/")[0], int(name.split("/")[-1].split(".")[0])
            assert y == ("cats", "dogs").index(kind)
            expected = picture(number if kind == "cats" else 100 + number)[0] / np.float32(255)
            np.testing.assert_array_equal(x, expected)


def test_colours_come_first_and_train_and_test_have_folders(tmp_path):
    for part, begin in (("train", 0), ("test", 50)):
        for number in range(3):
            for kind in ("a", "b"):
                put(tmp_path, f"{part}/{kind}/{number}.png", begin + number + 10 * (kind == "b"), kind="RGB")
    data = load("images", path=str(tmp_path))
    assert data.train.x.shape == (6, 3, 8, 9) and data.test.x.shape == (6, 3, 8, 9)
    np.testing.assert_array_equal(data.train.x[0], np.moveaxis(picture(0, kind="RGB")[0], -1, 0) / np.float32(255))
    with pytest.raises(SpecError, match="has a folder test"):
        load("images", path=str(tmp_path), test=2)


def test_bad_folders_are_refused_by_the_name_of_the_file(pets, tmp_path):
    def refused(message, path=pets):
        with pytest.raises(SpecError, match=message):
            load("images", path=str(path), test=4)

    refused("is no folder", tmp_path / "none")
    refused("has no folders in it", pets / "cats")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    refused("hold no images", tmp_path / "empty")
    put(pets, "cats/odd.png", 3, shape=(8, 8))
    refused(r"odd\.png has shape \[8, 8\]")
    (pets / "cats" / "odd.png").write_bytes((pets / "cats" / "1.png").read_bytes()[:60])
    refused(r"Cannot read the image .*odd\.png")
    (pets / "cats" / "odd.png").write_bytes(b"<html>")
    refused(r"Cannot read the image .*odd\.png")
    Image.new("1", (9000, 9000)).save(pets / "cats" / "odd.png")
    refused("declares 9000×9000 pixels")


def save(folder, columns, features=None):
    """As `save_to_disk` writes it: an Arrow stream, its state, and what the columns are."""
    folder.mkdir(parents=True)
    table = arrow.table(columns)
    with arrow.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as stream:
        stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features or {}}))


def test_a_saved_table(tmp_path):
    columns = {"n": [float(i) for i in range(20)], "kind": list("ab" * 10), "label": [i % 3 for i in range(20)]}
    save(tmp_path / "one", columns)
    data = load("hf", path=str(tmp_path / "one"), test=5)
    assert (len(data.train), len(data.test), data.classes) == (15, 5, 3)
    assert data.train.columns["n"].tolist() == [columns["n"][i] for i in data.train.ids]
    save(tmp_path / "two" / "train", columns)
    save(tmp_path / "two" / "test", {**columns, "n": [i + 0.5 for i in range(20)]})
    (tmp_path / "two" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert len(load("hf", path=str(tmp_path / "two")).test) == 20


def test_saved_images_with_names_of_their_classes(tmp_path):
    def coded(seed):
        stream = io.BytesIO()
        picture(seed)[1].save(stream, "png")
        return {"bytes": stream.getvalue(), "path": None}

    kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    columns = {"image": arrow.array([coded(i) for i in range(12)], kind), "label": [i % 2 for i in range(12)]}
    save(tmp_path / "pets", columns, {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}})
    data = load("hf", path=str(tmp_path / "pets"), test=4)
    assert data.labels == ("cat", "dog") and data.train.x.shape == (8, 8, 9)
    np.testing.assert_array_equal(data.train.x[0], picture(data.train.ids[0])[0] / np.float32(255))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no state.json"),
        ({"state.json": "{"}, "no description of a saved data set"),
        ({"state.json": '{"_data_files": [{"filename": "../../etc/x.arrow"}]}'}, "Cannot read the data set"),
        ({"dataset_dict.json": '{"splits": ["all"]}'}, "has the parts all; expected train and test"),
    ],
)
def test_what_is_no_saved_data_set_is_refused(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=message):
        load("hf", path=str(tmp_path), test=3)


@pytest.mark.parametrize("inside", [b"a/caf\xe9.png", b"caf\xe9/a.png"])
def test_a_name_that_is_no_text_is_refused(pets, inside):
    """As out of an archive that was packed where names were Latin-1."""
    one = next(pets.rglob("*.png"))
    to = os.fsencode(pets) + b"/" + inside
    os.makedirs(os.path.dirname(to), exist_ok=True)
    shutil.copy(one, to)
    with pytest.raises(SpecError, match=r"The name .*caf\\udce9.* is no text in UTF-8.*Rename it"):
        load("images", path=str(pets), test=4)
