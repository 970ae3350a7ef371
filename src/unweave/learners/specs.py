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


@dataclass(frozen=True)
class LearnerSpec:
    """A learner for examples of one shape: name, parameters, recipe; `nets.build` makes it run.

    An opaque learner has no recipe: `opaque.fit_logits` runs it, and nothing is known of it but its outputs.
    `file` is where the code of a user's own learner is; its digest is in `config`.
    """

    name: str
    config: dict[str, Any]
    recipe: Recipe | None
    shape: tuple[int, ...]
    classes: int
    encoding: Encoding | None = None
    file: str = ""

    @property
    def opaque(self) -> bool:
        """Whether there is no gradient to follow."""
        return self.recipe is None

    @property
    def image(self) -> tuple[int, int, int]:
        """Colours, height and width of an image [h, w] or [colours, h, w]."""
        colours, height, width = (1, *self.shape) if len(self.shape) == 2 else self.shape
        return colours, height, width

    def identity(self) -> dict[str, Any]:
        """Everything that makes two learners the same: enters the key of each stored model."""
        fields = {**asdict(self), "shape": list(self.shape)}
        del fields["file"]  # the same code is the same learner wherever it lies
        if self.encoding is None:  # what is no table has the identity it had before there were tables
            del fields["encoding"]
        return fields


@dataclass(frozen=True)
class Declared:
    """What a learner declares.

    Attributes:
        recipe: Its default recipe; None for one that follows no gradient.
        takes: The data it takes.
        smallest_image: The least side in pixels, for one that takes images only.
    """

    recipe: Recipe | None
    takes: str
    smallest_image: int | None = None


ONE_NUMBER = (
    "Batch norm of a batch of one example has one number per channel, and one number has no variance. Change "
    "`learner.batch_size`, so that no last batch has one example."
)

LEARNERS: Registry[Declared] = Registry("learner")


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
        encoding: For a table: which features each model standardises on its own training set.
        factory: For `module` and `classifier`: `file.py:function`; the file is read, not run.

    Raises:
        UnknownNameError: for a learner, parameter or field of a recipe that does not exist.
        ApplicabilityError: for a field of a recipe where the learner has none.
        SpecError: for a recipe or parameter out of range, or examples of a shape that it does not take.

    Example:
        >>> specify("mlp", (8, 8), 10, config={"width": 32}).config
        {'width': 32, 'depth': 1}
    """
    entry = LEARNERS.get(name)
    changed = _changed(name, entry.declared.recipe, recipe or {})
    _check_shape(name, entry.declared, shape)
    built = entry.build(**(config or {}))
    if (factory is None) is (name in _OWN):
        raise SpecError(
            f"`learner.factory` is {'missing' if factory is None else repr(factory)}: `file.py:function` is what "
            f"the learners {' and '.join(_OWN)} need, and only they."
        )
    if factory is None:
        return LearnerSpec(name, built, changed, shape, classes, encoding)
    file, own = _own_code(factory)
    return LearnerSpec(name, own, changed, shape, classes, encoding, file)


_OWN = ("module", "classifier")


def _own_code(factory: str) -> tuple[str, dict[str, Any]]:
    file, _, function = factory.rpartition(":")
    if not file or not function.isidentifier():
        raise SpecError(f"`learner.factory` is {factory!r}; expected a file and a function, as model.py:make.")
    try:
        source = Path(file).read_bytes()
    except (OSError, ValueError) as error:
        raise SpecError(f"`learner.factory`: cannot read {file}: {getattr(error, 'strerror', error)}.") from None
    return file, {"function": function, "sha256": hashlib.sha256(source).hexdigest()}


def _changed(name: str, default: Recipe | None, given: Mapping[str, Any]) -> Recipe | None:
    if default is None:
        for field in given:
            raise ApplicabilityError(
                f"`learner.{field}` is a part of a recipe, and `{name}` follows no gradient: it has none. "
                f"`unweave list learners` shows what it takes."
            )
        return None
    known = asdict(default)
    for field in given:
        if field not in known:
            raise UnknownNameError("field of a recipe", field, known)
    changed = replace(default, **given)
    _check_recipe(changed)
    return changed


def _check_shape(name: str, declared: Declared, shape: tuple[int, ...]) -> None:
    side = declared.smallest_image
    if side is not None and (len(shape) not in (2, 3) or min(shape[-2:]) < side):
        raise SpecError(
            f"`learner.name` is {name}, which takes {declared.takes}; these examples have the shape "
            f"{list(shape)}. Choose another learner, such as mlp."
        )


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


def _at_least_one(**given: int) -> None:
    for field, value in given.items():
        if value < 1:
            raise SpecError(f"`learner.{field}` is {value}; expected at least 1.")


def mlp(*, width: int = 64, depth: int = 1) -> dict[str, int]:
    """Multilayer perceptron with `depth` hidden relu layers of `width` units on flattened features."""
    _at_least_one(width=width, depth=depth)
    return {"width": width, "depth": depth}


def softmax() -> dict[str, int]:
    """Multinomial logistic regression: logits = W·x + b on flattened features."""
    return {}


def cnn(*, channels: int = 16) -> dict[str, int]:
    """Convolutional net: layers of `channels` and twice as many, each halving the image, and a linear layer."""
    _at_least_one(channels=channels)
    return {"channels": channels}


def resnet9(*, width: int = 8) -> dict[str, int]:
    """Residual net of 9 layers with batch norm, `width` to 8·`width` channels (the public one has 64)."""
    _at_least_one(width=width)
    return {"width": width}


def module() -> dict[str, Any]:
    """Your own `torch.nn.Module`, made by `learner.factory`, `file.py:function`; trained one by one."""
    return {}


def classifier() -> dict[str, Any]:
    """Your own classifier of scikit-learn, made by `learner.factory`, `file.py:function`; no gradients."""
    return {}


def forest(*, trees: int = 100) -> dict[str, int]:
    """Random forest of scikit-learn, `trees` trees; only its probabilities are kept."""
    _at_least_one(trees=trees)
    return {"trees": trees}


def boosting(*, trees: int = 100) -> dict[str, int]:
    """Boosted trees of scikit-learn on histograms, `trees` rounds; each split sees half of the features."""
    _at_least_one(trees=trees)
    return {"trees": trees}


def logistic() -> dict[str, int]:
    """Logistic regression of scikit-learn with its l₂ penalty, to convergence; nothing in it is random."""
    return {}


LEARNERS.add("mlp", mlp, Declared(Recipe(lr=0.3, epochs=40, schedule="linear"), "features of any shape"))
LEARNERS.add("softmax", softmax, Declared(Recipe(lr=0.3, epochs=40, schedule="linear"), "features of any shape"))
_IMAGES = "images [h, w] or [colours, h, w] of at least 8×8"
LEARNERS.add("cnn", cnn, Declared(Recipe(lr=0.05, epochs=10, schedule="linear"), _IMAGES, smallest_image=8))
LEARNERS.add(
    "resnet9",
    resnet9,
    Declared(Recipe(lr=0.1, epochs=4, weight_decay=5e-4, schedule="linear"), _IMAGES, smallest_image=8),
)
LEARNERS.add("module", module, Declared(Recipe(lr=0.05, epochs=10), "what its forward takes"))
for _opaque in (forest, boosting, logistic, classifier):
    LEARNERS.add(
        _opaque.__name__,
        _opaque,
        Declared(None, "features of any shape; methods that follow gradients are refused"),
    )
