"""Public data sets that are not part of unweave: found in a folder, each as its publishers split it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unweave._errors import SpecError
from unweave.data.arrays import Part, colours_first, from_parts, read_npz, whole_labels
from unweave.data.dataset import Dataset
from unweave.data.sources import Wanted, add_source

VARIABLE = "UNWEAVE_DATA"
_BESIDE = Path("../shared/data")


def folders() -> list[Path]:
    """Where public data are looked for: `$UNWEAVE_DATA`, else beside the working directory or the sources."""
    given = os.environ.get(VARIABLE)
    if given:
        return [Path(given)]
    return [_BESIDE, Path(__file__).parents[3] / _BESIDE]


def find(name: str) -> Path:
    """The file of a public data set.

    Raises:
        SpecError: where it is in none of the folders, with the variable that names another one.
    """
    for folder in folders():
        if (folder / name).is_file():
            return folder / name
    raise SpecError(
        f"The data {name} are not in {folders()[0]}. They are no part of unweave: put the file into a folder and "
        f"name that folder in the variable {VARIABLE}."
    )


def _images(name: str, file: str, wanted: Wanted, labels: Sequence[str]) -> Dataset:
    arrays = read_npz(find(file))
    train, test = (arrays[f"x_{part}"] for part in ("train", "test"))
    parts: list[Part] = []
    begin = 0
    for x, part in ((train, "train"), (test, "test")):
        parts.append(
            Part(
                colours_first(x), whole_labels(arrays[f"y_{part}"], f"y_{part}"), np.arange(begin, begin + len(x))
            )
        )
        begin += len(x)
    return from_parts(name, *parts, limit=wanted.limit, labels=tuple(labels))


def mnist(wanted: Wanted) -> Dataset:
    """MNIST: handwritten digits, 28×28 grey values in [0, 1]; 60 000 train, 10 000 test."""
    return _images("mnist", "mnist/mnist.npz", wanted, [str(digit) for digit in range(10)])


_CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def fashion(wanted: Wanted) -> Dataset:
    """Fashion-MNIST: pictures of clothes, 28×28 grey values in [0, 1]; 60 000 train, 10 000 test."""
    return _images("fashion", "fashion_mnist/fashion_mnist.npz", wanted, _CLOTHES)


_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar10(wanted: Wanted) -> Dataset:
    """CIFAR-10, its first 20 000 training and 4 000 test photographs, 3×32×32 values in [0, 1]."""
    return _images("cifar10", "cifar10/cifar10_20k_4k.npz", wanted, _THINGS)


def pneumonia(wanted: Wanted) -> Dataset:
    """PneumoniaMNIST: chest X-rays of children, 28×28 grey values in [0, 1]; 4 708 train, 624 test."""
    return _images("pneumonia", "pneumoniamnist/pneumoniamnist.npz", wanted, ("normal", "pneumonia"))


add_source("mnist", mnist, shape="70000×28×28, 10 classes", cite="lecun1998mnist; CC BY-SA 3.0")
add_source("fashion", fashion, shape="70000×28×28, 10 classes", cite="xiao2017fashion; MIT")
add_source(
    "cifar10",
    cifar10,
    shape="24000×3×32×32, 10 classes",
    cite="krizhevsky2009cifar; no licence stated: measure with it, do not redistribute",
)
add_source("pneumonia", pneumonia, shape="5332×28×28, 2 classes", cite="yang2023medmnist; CC BY 4.0")
