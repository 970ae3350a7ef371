"""Folders: images by class, and data sets saved by Hugging Face's `datasets`."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave.data.arrays import Part, from_parts
from unweave.data.columns import arrow_columns
from unweave.data.dataset import Dataset
from unweave.data.sources import Wanted, add_source, split_rows
from unweave.data.tables import tabular

_KINDS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_MOST_PIXELS = 4096 * 4096


def images(wanted: Wanted) -> Dataset:
    """Images in folders of their class (`cats/1.png`), below `train` and `test` or split by `data.test`.

    All of one size and all grey or all in colour; values in [0, 1]. An image's id is its path below the folder.
    Needs the extra `[images]`.
    """
    root = Path(str(wanted.path))
    if not root.is_dir():
        raise SpecError(f"Cannot read the images {root}: it is no folder.")
    if (root / "train").is_dir() and (root / "test").is_dir():
        if wanted.test is not None:
            raise SpecError(f"`data.test` is {wanted.test!r}, but {root} has a folder test.")
        names = sorted({*_classes(root / "train"), *_classes(root / "test")})
        train, test = (_read_folder(root / part, names, root) for part in ("train", "test"))
    else:
        names = _classes(root)
        whole = _read_folder(root, names, root)
        rows = split_rows(len(whole.y), wanted.test)
        train, test = whole.take(rows[0]), whole.take(rows[1])
    return from_parts(root.name, train, test, limit=wanted.limit, labels=tuple(names))


def _classes(folder: Path) -> list[str]:
    found = sorted(one.name for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    if not found:
        raise SpecError(f"The folder {folder} has no folders in it; expected one for each class, with its images.")
    for name in found:
        _check_name(name)
    return found


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode(errors="backslashreplace").decode()
        raise SpecError(
            f"The name {shown} is no text in UTF-8, as names out of old archives may be; ids and classes are made "
            "of names. Rename it."
        ) from None


def _read_folder(folder: Path, names: list[str], root: Path) -> Part:
    files = [
        (file, label)
        for label, name in enumerate(names)
        for file in sorted((folder / name).rglob("*"))
        if file.suffix.lower() in _KINDS and file.is_file()
    ]
    if not files:
        raise SpecError(f"The folders of {folder} hold no images ({', '.join(_KINDS)}).")
    for file, _ in files:
        _check_name(file.relative_to(root).as_posix())
    arrays = [decode(file.read_bytes(), str(file)) for file, _ in files]
    for array, (file, _) in zip(arrays, files, strict=True):
        if array.shape != arrays[0].shape:
            raise SpecError(
                f"The image {file} has shape {list(array.shape)} and {files[0][0].name} {list(arrays[0].shape)}; "
                "a model takes one shape. Bring all to one size and to grey or colour."
            )
    ids = np.array([file.relative_to(root).as_posix() for file, _ in files], dtype=np.str_)
    return Part(np.stack(arrays), np.array([label for _, label in files], dtype=np.int64), ids)


def decode(data: bytes, name: str) -> NDArray[np.uint8]:
    """An image as 8-bit values: [height, width] where it is grey, else [3, height, width].

    Raises:
        SpecError: for what is no image, a damaged one, one of more than 16 million pixels, or without Pillow.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise SpecError("Reading images needs Pillow: `python -m pip install 'unweave[images]'`.") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > _MOST_PIXELS:
                raise SpecError(
                    f"The image {name} declares {image.width}×{image.height} pixels; expected at most 4096×4096."
                )
            grey = image.mode in ("1", "L", "LA", "I;16")
            array = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        Warning,
        Image.DecompressionBombError,
    ) as error:
        raise SpecError(f"Cannot read the image {name}: {str(error).splitlines()[0].rstrip('.')}.") from None
    return array if grey else np.ascontiguousarray(np.moveaxis(array, -1, 0))


def hf(wanted: Wanted) -> Dataset:
    """A data set that `datasets` saved with `save_to_disk`: a table, or images with a label.

    A folder of several parts needs `train` and `test`; one part is split by `data.test`, `data.split` or
    `data.group`. Needs the extra `[tables]`, and `[images]` for images.
    """
    root = Path(str(wanted.path))
    parts = root / "dataset_dict.json"
    if not parts.is_file():
        table, names = _read_saved(root)
        return _from_tables(root, [table], names, wanted)
    listed = _read_json(parts).get("splits", [])
    if not {"train", "test"} <= set(listed):
        raise SpecError(f"{root} has the parts {', '.join(listed) or 'none'}; expected train and test.")
    if wanted.test is not None:
        raise SpecError(f"`data.test` is {wanted.test!r}, but {root} has a part test.")
    (train, names), (test, _) = (_read_saved(root / part) for part in ("train", "test"))
    return _from_tables(root, [train, test], names, wanted)


def _from_tables(root: Path, tables: list[Any], names: dict[str, list[str]], wanted: Wanted) -> Dataset:
    label = wanted.label or "label"
    pictures = [field.name for field in tables[0].schema if _is_image(field.type)]
    if pictures and label in tables[0].column_names:
        return _from_pictures(root, tables, pictures[0], label, tuple(names.get(label, ())), wanted)
    columns = [arrow_columns(table, root) for table in tables]
    return tabular(root.name, columns[0], columns[1] if len(columns) > 1 else None, wanted._replace(label=label))


def _is_image(kind: Any) -> bool:
    return str(kind).startswith("struct<bytes: binary")


def _from_pictures(
    root: Path, tables: list[Any], column: str, label: str, labels: tuple[str, ...], wanted: Wanted
) -> Dataset:
    read: list[Part] = []
    begin = 0
    for table in tables:
        cells = table.column(column).to_pylist()
        arrays = [decode(cell["bytes"] or b"", f"{row} of {root}") for row, cell in enumerate(cells)]
        odd = [row for row, array in enumerate(arrays) if array.shape != arrays[0].shape]
        if odd:
            raise SpecError(
                f"Image {odd[0]} of {root} has shape {list(arrays[odd[0]].shape)} and the first "
                f"{list(arrays[0].shape)}; a model takes one shape."
            )
        y = np.array(table.column(label).to_pylist(), dtype=np.int64)
        read.append(Part(np.stack(arrays), y, np.arange(begin, begin + len(y))))
        begin += len(y)
    if len(read) == 1:
        rows = split_rows(len(read[0].y), wanted.test)
        read = [read[0].take(rows[0]), read[0].take(rows[1])]
    return from_parts(root.name, read[0], read[1], limit=wanted.limit, labels=labels)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"Cannot read {file}: it is no description of a saved data set ({error}).") from None


def _read_saved(folder: Path) -> tuple[Any, dict[str, list[str]]]:
    """The Arrow table of one part, and the names of the classes of its columns."""
    try:
        import pyarrow as arrow
    except ImportError:
        raise SpecError(
            "Reading a saved data set needs pyarrow: `python -m pip install 'unweave[tables]'`."
        ) from None
    state = folder / "state.json"
    if not state.is_file():
        raise SpecError(f"{folder} is no data set saved by `save_to_disk`: it has no state.json.")
    files = [folder / Path(one["filename"]).name for one in _read_json(state).get("_data_files", [])]
    try:
        read: Any = [arrow.ipc.open_stream(str(file)).read_all() for file in files]
        table = arrow.concat_tables(read)
    except (OSError, arrow.ArrowException) as error:
        raise SpecError(f"Cannot read the data set {folder}: {str(error).splitlines()[0].rstrip('.')}.") from None
    info = folder / "dataset_info.json"
    features = _read_json(info).get("features", {}) if info.is_file() else {}
    return table, {
        name: one["names"] for name, one in features.items() if isinstance(one, dict) and "names" in one
    }


add_source(
    "images",
    images,
    shape="folder/class/image or folder/train/class/image",
    takes="path test",
    cite="your own folder",
)
add_source(
    "hf",
    hf,
    shape="folder written by save_to_disk",
    takes="path test label id_column group split",
    cite="your own folder",
)
