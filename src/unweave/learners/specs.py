"""Which learner, with which recipe: everything that identifies a training algorithm, without torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from unweave._errors import ApplicabilityError, SpecError, UnknownNameError
from unweave._registry import Registry
from unweave.data import Encoding

Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class Recipe:
    """How a learner is trained: SGD on the mean cross-entropy, for a fixed number of epochs.

    `lr` is the peak rate; `schedule` is `constant`, `linear` or `cosine` (to 0 at the last step).
    """

    lr: float
    epochs: int
    batch_size: int = 64
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Schedule = "constant"

    def steps(self, n: int) -> int:
        """Number of optimiser steps on n examples; the last batch of an epoch may be smaller."""
        return self.epochs * math.ceil(n / self.batch_size)

    def rate(self, step: int, total: int) -> float:
        """Learning rate at `step` of `total`.

        Example:
            >>> Recipe(lr=0.4, epochs=1, schedule="linear").rate(5, 10)
            0.2
        """
        if self.schedule == "constant":
            return self.lr
        share = step / max(total, 1)
        return self.lr * (1 - share if self.schedule == "linear" else (1 + math.cos(math.pi * share)) / 2)


NO_RECIPE = Recipe(lr=0.0, epochs=0)
"""Of a learner that takes no gradient steps."""


@dataclass(frozen=True)
class LearnerSpec:
    """A learner for examples of one shape: name, parameters, recipe; `nets.build` makes it run.

    `encoding` says which features of a table are standardised on the training set of each world; `file` is
    where the code of a user's own learner is (its digest is in `config`).
    """

    name: str
    config: dict[str, Any]
    recipe: Recipe
    shape: tuple[int, ...]
    classes: int
    encoding: Encoding | None = None
    file: str = ""

    def identity(self) -> dict[str, Any]:
        """Everything that makes two learners the same: enters the key of each stored model."""
        found = {**asdict(self), "shape": list(self.shape)}
        del found["file"]  # the same code is the same learner wherever it lies
        if self.encoding is None:  # so that the key of a model is what it was before there were tables
            del found["encoding"]
        return found

    @property
    def opaque(self) -> bool:
        """Whether its models can only be trained and asked, as those of scikit-learn."""
        return self.recipe == NO_RECIPE


@dataclass(frozen=True)
class Declared:
    """What a learner declares: its default recipe, the data it takes, and how few pixels an image may have."""

    recipe: Recipe
    takes: str
    pixels: int = 0

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse examples that are no images, or too small ones, where images are needed."""
        image = len(shape) in (2, 3)
        if self.pixels and not (image and min(shape[-2:]) >= self.pixels):
            raise ApplicabilityError(
                f"The learner `{name}` takes images of at least {self.pixels}×{self.pixels} pixels, [height, "
                f"width] or [colours, height, width]; the examples have shape {list(shape)}. `mlp` takes any."
            )


LEARNERS: Registry[Declared] = Registry("learner")


_OWN = ("module", "classifier")


def specify(
    name: str,
    shape: tuple[int, ...],
    classes: int,
    *,
    recipe: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    encoding: Encoding | None = None,
    factory: str | None = None,
) -> LearnerSpec:
    """A registered learner for examples of one shape, checked.

    Args:
        name: A name of `LEARNERS`.
        shape: Shape of one example's features.
        classes: Number of classes.
        recipe: Fields of `Recipe` to replace in the learner's default.
        config: Parameters of the learner, such as `width`.
        encoding: What a table standardises.
        factory: For `module` and `classifier`: `file.py:function`; the file is read, not run.

    Raises:
        UnknownNameError: for a learner, parameter or field of a recipe that does not exist.
        SpecError: for a recipe or parameter out of range.

    Example:
        >>> specify("mlp", (8, 8), 10, config={"width": 32}).config
        {'width': 32, 'depth': 1}
    """
    entry = LEARNERS.get(name)
    known = asdict(entry.declared.recipe)
    for field in recipe or {}:
        if field not in known:
            raise UnknownNameError("field of a recipe", field, known)
    built = entry.build(**(config or {}))
    file = ""
    if (factory is None) is (name in _OWN):
        raise SpecError(
            f"`learner.factory` is {'missing' if factory is None else repr(factory)}: `file.py:function` is what "
            f"the learners {' and '.join(_OWN)} need, and only they."
        )
    if factory is not None:
        file, built = _own_code(factory)
    entry.declared.check(name, shape)
    if entry.declared.recipe == NO_RECIPE:
        if recipe:
            raise SpecError(
                f"`learner.{next(iter(recipe))}` is given, but the learner `{name}` has no recipe: it takes no "
                "gradient steps."
            )
        return LearnerSpec(name, built, NO_RECIPE, shape, classes, encoding, file)
    changed = replace(entry.declared.recipe, **(recipe or {}))
    _check_recipe(changed)
    return LearnerSpec(name, built, changed, shape, classes, encoding, file)


def _own_code(factory: str) -> tuple[str, dict[str, Any]]:
    file, _, function = factory.rpartition(":")
    if not file or not function.isidentifier():
        raise SpecError(
            f"`learner.factory` is {factory!r}; expected a file and a function of it, as model.py:make."
        )
    try:
        source = Path(file).read_bytes()
    except (OSError, ValueError) as error:
        raise SpecError(f"`learner.factory`: cannot read {file}: {getattr(error, 'strerror', error)}.") from None
    return file, {"function": function, "sha256": hashlib.sha256(source).hexdigest()}


def _check_recipe(recipe: Recipe) -> None:
    for field in ("epochs", "batch_size"):
        value = getattr(recipe, field)
        if not isinstance(value, int) or value < 1:
            raise SpecError(f"`learner.{field}` is {value}; expected a whole number of at least 1.")
    if not 0 < recipe.lr < math.inf:
        raise SpecError(f"`learner.lr` is {recipe.lr}; expected a positive number.")
    if not 0 <= recipe.momentum < 1:
        raise SpecError(f"`learner.momentum` is {recipe.momentum}; expected 0 ≤ momentum < 1.")
    if not 0 <= recipe.weight_decay < math.inf:
        raise SpecError(f"`learner.weight_decay` is {recipe.weight_decay}; expected a number ≥ 0.")
    if recipe.schedule not in get_args(Schedule):
        raise SpecError(
            f"`learner.schedule` is {recipe.schedule!r}; expected one of {', '.join(get_args(Schedule))}."
        )


def mlp(*, width: int = 64, depth: int = 1) -> dict[str, int]:
    """Multilayer perceptron with `depth` hidden relu layers of `width` units on flattened features."""
    for field, value in (("width", width), ("depth", depth)):
        if value < 1:
            raise SpecError(f"`learner.{field}` is {value}; expected at least 1.")
    return {"width": width, "depth": depth}


def softmax() -> dict[str, int]:
    """Multinomial logistic regression: logits = W·x + b on flattened features."""
    return {}


def cnn(*, channels: int = 16) -> dict[str, int]:
    """Convolutional net: layers of `channels` and twice as many, each halving the image, and a linear layer."""
    if channels < 1:
        raise SpecError(f"`learner.channels` is {channels}; expected at least 1.")
    return {"channels": channels}


def resnet9(*, width: int = 16) -> dict[str, int]:
    """ResNet-9 with batch normalisation, from `width` to 8·`width` channels (64 is that of public records)."""
    if width < 1:
        raise SpecError(f"`learner.width` is {width}; expected at least 1.")
    return {"width": width}


def forest(*, trees: int = 100) -> dict[str, int]:
    """Random forest of scikit-learn: `trees` trees on bootstrap samples; opaque, no gradients."""
    if trees < 1:
        raise SpecError(f"`learner.trees` is {trees}; expected at least 1.")
    return {"trees": trees}


def boosting() -> dict[str, int]:
    """Histogram gradient boosting of scikit-learn with its defaults; opaque, no gradients."""
    return {}


def logistic() -> dict[str, int]:
    """Logistic regression of scikit-learn (lbfgs, C = 1), the same for every seed; opaque, no gradients."""
    return {}


def module() -> dict[str, Any]:
    """Your own `torch.nn.Module`, made by `learner.factory`, `file.py:function`; trained one by one."""
    return {}


def classifier() -> dict[str, Any]:
    """Your own classifier of scikit-learn, made by `learner.factory`, `file.py:function`; opaque, no gradients."""
    return {}


_ANY, _IMAGES = "features of any shape", "images of at least 8×8 pixels"
LEARNERS.add("mlp", mlp, Declared(Recipe(lr=0.3, epochs=40, schedule="linear"), _ANY))
LEARNERS.add("softmax", softmax, Declared(Recipe(lr=0.3, epochs=40, schedule="linear"), _ANY))
LEARNERS.add("cnn", cnn, Declared(Recipe(lr=0.05, epochs=10, schedule="linear"), _IMAGES, 8))
LEARNERS.add(
    "resnet9", resnet9, Declared(Recipe(lr=0.05, epochs=10, weight_decay=5e-4, schedule="linear"), _IMAGES, 8)
)
LEARNERS.add("forest", forest, Declared(NO_RECIPE, _ANY))
LEARNERS.add("boosting", boosting, Declared(NO_RECIPE, _ANY))
LEARNERS.add("logistic", logistic, Declared(NO_RECIPE, _ANY))
LEARNERS.add("module", module, Declared(Recipe(lr=0.05, epochs=10), "what its forward takes"))
LEARNERS.add("classifier", classifier, Declared(NO_RECIPE, _ANY))
