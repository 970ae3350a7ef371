"""npz files: what is read, what is refused before memory is taken, and any arrays at all."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unweave import UserError
from unweave._errors import SpecError
from unweave.data import Dataset, load


def write(folder, **given):
    file = folder / "my data.npz"
    np.savez(file, **given)
    return str(file)


def four(n=12, m=6, shape=(4, 5), classes=3, kind=np.uint8):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 255, (n, *shape)).astype(kind),
        "y_train": np.arange(n) % classes,
        "x_test": rng.integers(0, 255, (m, *shape)).astype(kind),
        "y_test": np.arange(m) % classes,
    }


def test_four_arrays_become_two_parts(tmp_path):
    given = four()
    data = load("npz", path=write(tmp_path, **given))
    assert data.name == "my data" and data.classes == 3 and data.warnings == ()
    np.testing.assert_array_equal(data.train.x, given["x_train"].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.test.y, given["y_test"])
    assert data.train.ids.tolist() == list(range(12)) and data.test.ids.tolist() == list(range(12, 18))
    short = load(f"npz:{tmp_path / 'my data.npz'}")
    np.testing.assert_array_equal(short.train.x, data.train.x)


def test_numbers_that_are_no_bytes_stay_as_they_are_and_colours_come_first(tmp_path):
    given = four(shape=(6, 5, 3), kind=np.float64)
    data = load("npz", path=write(tmp_path, **given))
    np.testing.assert_array_equal(data.train.x, np.moveaxis(given["x_train"], -1, 1).astype(np.float32))


def test_one_pair_is_split_by_a_share_or_by_an_array(tmp_path):
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    data = load("npz", path=write(tmp_path, x=x, y=y), test=0.25)
    assert (len(data.train), len(data.test)) == (15, 5)
    np.testing.assert_array_equal(data.test.x, x[data.test.ids].astype(np.float32))
    assert set(data.train.ids) | set(data.test.ids) == set(range(20))
    split = np.array(["train"] * 12 + ["test"] * 7 + ["val"])
    named = load("npz", path=write(tmp_path, x=x, y=y[:, None], split=split, ids=[f"a{i}" for i in range(20)]))
    assert named.train.ids.tolist() == [f"a{i}" for i in range(12)] and len(named.test) == 7


CASES = {
    "nothing named so": ({"images": np.zeros((3, 2))}, {}, "holds images; expected x_train, y_train"),
    "no split": ({"x": np.zeros((9, 2)), "y": np.arange(9) % 2}, {}, r"`data\.test` is missing"),
    "split twice": (four(), {"test": 3}, r"`data\.test` is 3, but .* has a test part"),
    "objects": ({**four(), "more": np.array([{}], dtype=object)}, {}, "more.npy holds Python objects"),
    "texts for features": ({**four(), "x_train": np.full((12, 3), "a")}, {}, "`x_train` has the type <U1"),
    "complex features": (
        {**four(), "x_train": np.zeros((12, 4, 5), complex)},
        {},
        "`x_train` has the type complex",
    ),
    "no features": ({**four(), "x_train": np.zeros(12)}, {}, r"`x_train` has the shape \[12\]"),
    "nan": (
        {**four(kind=float), "x_test": np.full((6, 4, 5), np.nan)},
        {},
        "120 features of the test part .*row 0",
    ),
    "overflow": ({**four(kind=float), "x_train": np.full((12, 4, 5), 1e300)}, {}, "240 features of the training"),
    "shapes": ({**four(), "x_test": np.zeros((6, 5, 4))}, {}, r"have shape \[4, 5\] and test examples \[5, 4\]"),
    "lengths": ({**four(), "y_train": np.zeros(11, int)}, {}, "`x_train` has 12 examples and `y_train` 11 labels"),
    "fractions": ({**four(), "y_test": np.full(6, 0.5)}, {}, r"`y_test` holds 0\.5 \(row 0; 6 of 6\)"),
    "negative": ({**four(), "y_train": np.arange(12) - 1}, {}, "`y_train` holds -1"),
    "missing labels": ({**four(), "y_train": np.full(12, np.nan)}, {}, "`y_train` holds nan"),
    "texts for labels": ({**four(), "y_train": np.full(12, "cat")}, {}, "`y_train` has the shape .* type <U3"),
    "one hot": ({**four(), "y_train": np.eye(12, 3)}, {}, r"`y_train` has the shape \[12, 3\]"),
    "huge label": ({**four(), "y_train": np.arange(12) + 10**9}, {}, "`y_train` holds 1000000000"),
    "one class": ({**four(), "y_train": np.zeros(12, int)}, {}, "All 12 training examples are of class 0"),
    "twice an id": ({**four(), "ids_train": np.zeros(12, int)}, {}, "Id 0 appears 12× in the training part"),
    "shared ids": (
        {**four(), "ids_train": np.arange(12), "ids_test": np.arange(11, 17)},
        {},
        r"1 ids stand in the training and in the test part \(first: 11\)",
    ),
    "ids too large": (
        {**four(), "ids_train": np.arange(12, dtype=np.uint64) + np.uint64(2**63)},
        {},
        r"`ids_train` holds 9223372036854775819; expected ids below 2\*\*63",
    ),
    "bad ids": ({**four(), "ids_train": np.arange(12) - 3}, {}, "`ids_train` has the shape"),
    "test is train": (
        {**four(), "x_test": four()["x_train"], "y_test": four()["y_train"]},
        {},
        "All 12 test examples are exact copies",
    ),
    "no examples": (
        {**four(), "x_test": np.zeros((0, 4, 5)), "y_test": np.zeros(0, int)},
        {},
        "test part .* 0 examp",
    ),
    "no column in an array": (four(), {"label": "x"}, r"`data\.label` has no meaning for the source `npz`"),
    "limit": (four(), {"limit": 1}, r"`data\.limit` is 1"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_arrays_are_refused_with_what_and_where(tmp_path, name):
    given, options, message = CASES[name]
    with pytest.raises(SpecError, match=message):
        load("npz", path=write(tmp_path, **given), **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Cannot read the data .*: No such file"),
        (b"", "it is no npz file"),
        (b"x,y\n1,2\n", "it is no npz file"),
        (b"PK\x03\x04 broken", "it is no npz file"),
    ],
)
def test_files_that_are_no_npz_are_refused(tmp_path, content, message):
    file = tmp_path / "any.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SpecError, match=message):
        load("npz", path=str(file))
    with pytest.raises(SpecError, match=r"`data\.path` is missing"):
        load("npz")


def test_a_shape_larger_than_the_file_takes_no_memory(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**3)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(SpecError, match=r"x\.npy declares the shape \[1000000000, 1000\]"):
        load("npz", path=str(tmp_path / "bomb.npz"))


def test_some_copies_and_absent_classes_are_told(tmp_path):
    given = four(classes=3)
    given["x_test"][:2], given["y_test"][:2] = given["x_train"][:2], given["y_train"][:2]
    given["y_train"] = np.where(given["y_train"] == 2, 3, given["y_train"])
    first, of_test, second = load("npz", path=write(tmp_path, **given)).warnings
    assert first == "No training example is of class 2 (1 of 4 classes)."
    assert of_test.startswith("No test example is of class 3 (1 of 4 classes)")
    assert second == "2 of 6 test examples are exact copies of training examples."


@settings(deadline=None, max_examples=150)
@given(
    st.fixed_dictionaries(
        {
            name: arrays.arrays(
                st.sampled_from([np.uint8, np.int16, np.float32, np.float64, np.bool_, "U2"]),
                arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6),
            )
            for name in ("x", "y")
        },
        optional={
            "ids": arrays.arrays(np.int16, st.integers(0, 6)),
            "split": st.just(np.array(["train", "test"])),
        },
    ),
    st.one_of(st.none(), st.floats(), st.integers(-2, 9), st.just("x")),
    st.one_of(st.none(), st.integers(0, 9)),
)
def test_any_arrays_are_a_whole_data_set_or_an_error(tmp_path_factory, given, test, limit):
    file = tmp_path_factory.mktemp("any") / "any.npz"
    np.savez(file, **given)
    try:
        data = load("npz", path=str(file), test=test, limit=limit)
    except UserError as error:
        assert 20 < len(str(error)) < 600
        return
    whole(data)


def whole(data: Dataset) -> None:
    """What every data set promises."""
    for part in (data.train, data.test):
        assert len(part) == len(part.x) == len(part.ids) > 0
        assert part.x.dtype == np.float32 and np.isfinite(part.x).all()
        assert part.y.min() >= 0 and part.y.max() < data.classes
        assert len(set(part.ids.tolist())) == len(part)
    assert not set(data.train.ids.tolist()) & set(data.test.ids.tolist())
    assert data.train.x.shape[1:] == data.test.x.shape[1:] and len(set(data.train.y.tolist())) > 1
    assert not data.labels or len(data.labels) == data.classes
