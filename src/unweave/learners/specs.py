"""Which learner, with which recipe: everything that identifies a training algorithm, without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave._errors import ApplicabilityError, SpecError, UnknownNameError
from unweave._identity import identity_of
from unweave._registry import Registry
from unweave.data import Encoding
from unweave.learners.recipe import Recipe as Recipe
from unweave.learners.recipe import check_recipe

if TYPE_CHECKING:
    from unweave.learners.contract import Learner


@dataclass(frozen=True)
class LearnerSpec:
    """A learner for examples of one shape: name, parameters, recipe; `nets.build` makes it run.

    A learner of the user's own is called `OWN`: `file` says where its code is, and its identity what that code is.
    One that goes on from a checkpoint has its folder in `start`, and what it holds in `config`.
    An opaque learner has no recipe: `opaque.fit_logits` runs it, and nothing is known of it but its outputs.
    """

    name: str
    config: dict[str, Any]
    recipe: Recipe | None
    shape: tuple[int, ...]
    classes: int
    encoding: Encoding | None = None
    file: str | None = None
    start: str | None = None

    @property
    def label(self) -> str:
        """The learner in words: its name, or the user's file and function."""
        return self.name if self.file is None else f"{Path(self.file).name}:{self.config['function']}"

    @property
    def opaque(self) -> bool:
        """Whether there is no gradient to follow."""
        return self.recipe is None

    @property
    def documents(self) -> bool:
        """Whether its examples are documents: tokens, and no numbers that could be moved."""
        return self.name in LEARNERS and LEARNERS.get(self.name).declared.documents

    @property
    def tied(self) -> bool:
        """Whether hidden units belong to examples: example-tied dropout."""
        return "etd" in self.config

    @property
    def image(self) -> tuple[int, int, int]:
        """Colours, height and width of an image [h, w] or [colours, h, w]."""
        colours, height, width = (1, *self.shape) if len(self.shape) == 2 else self.shape
        return colours, height, width

    def identity(self) -> dict[str, Any]:
        """Everything that makes two learners the same: enters the key of each stored model."""
        # The same code, or weights, in another place is the same learner.
        own = replace(self, file=None, start=None, recipe=None)
        fields = {**identity_of(own, later=("encoding", "file", "start")), "shape": list(self.shape)}
        return {**fields, "recipe": None if self.recipe is None else self.recipe.identity()}


@dataclass(frozen=True)
class Declared:
    """What a learner declares.

    Attributes:
        recipe: Its default recipe; None for one that follows no gradient.
        takes: The data it takes.
        smallest_image: The least side in pixels, for one that takes images only.
        documents: Whether its examples are documents: prompts of tokens, and the token that answers each.
        make: What makes it run, for one that another room adds; None = `nets.build` knows it.
    """

    recipe: Recipe | None
    takes: str
    smallest_image: int | None = None
    documents: bool = False
    make: Callable[[LearnerSpec], Learner] | None = None


OWN = "own"
"""Name of a learner that is a function of the user's own file."""

OWN_RECIPE = Recipe(lr=0.05, epochs=10)
"""Recipe of a module of the user's own where the spec does not say otherwise."""

NO_TOKEN = -100
"""What stands in y [n, A] in place of a token where an answer has fewer than A, as torch has it."""

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
) -> LearnerSpec:
    """A registered learner for examples of one shape, checked.

    Args:
        name: A name of `LEARNERS`.
        shape: Shape of one example's features.
        classes: Number of classes.
        recipe: Fields of `Recipe` to replace in the learner's default.
        config: Parameters of the learner, such as `width`.
        encoding: For a table: which features each model standardises on its own training set.

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
    spec = LearnerSpec(name, entry.build(**(config or {})), changed, shape, classes, encoding)
    if spec.tied and (why := without_tied_variant(spec)):
        raise ApplicabilityError(f"`learner.etd`: {why}.")
    return spec


def without_tied_variant(spec: LearnerSpec) -> str:
    """Why a learner has no variant with example-tied dropout; "" if it has one.

    Example:
        >>> without_tied_variant(specify("softmax", (4,), 2))
        'softmax has no hidden units that could belong to examples, as those of mlp and cnn can'
    """
    if spec.name not in _TIED:
        return f"{spec.label} has no hidden units that could belong to examples, as those of mlp and cnn can"
    if min(spec.config.get("width", 2), spec.config.get("channels", 2)) < 2:
        return "a layer of one unit cannot have units of both kinds"
    if spec.encoding is not None:
        return "an example is known by its features, and each world standardises those of a table in its own way"
    if spec.recipe is not None and spec.recipe.clip is not None:
        return "units that belong to examples are not trained with private gradients"
    return ""


def specify_own(
    file: Path,
    function: str,
    shape: tuple[int, ...],
    classes: int,
    *,
    sha256: str,
    imports: Mapping[str, str],
    opaque: bool,
    recipe: Mapping[str, Any] | None = None,
    encoding: Encoding | None = None,
) -> LearnerSpec:
    """A learner that a function of the user's own file makes: `function` of `file`, whose bytes hash to `sha256`.

    `imports` says what the file imports, as `imports_of` tells it: models of other imports are other models.

    Raises:
        UnknownNameError, ApplicabilityError, SpecError: for the recipe, as in `specify`.
    """
    config = {"function": function, "sha256": sha256, **({"imports": dict(imports)} if imports else {})}
    changed = _changed(f"{file.name}:{function}", None if opaque else OWN_RECIPE, recipe or {})
    return LearnerSpec(OWN, config, changed, shape, classes, encoding, str(file))


def smallest_batch(spec: LearnerSpec) -> int:
    """The smallest batch that a registered learner can be trained on: batch norm of one number has no variance."""
    one_place = spec.name == "resnet9" and max(spec.image[1:]) < 16  # three pools leave 1×1 of it
    return 2 if one_place else 1


_CLIPPED = ("mlp", "softmax")
_ADAPTIVE = ("causal_lm",)
_TIED = ("mlp", "cnn")


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
    check_recipe(changed)
    if changed.optimiser != "sgd" and name not in _ADAPTIVE:
        raise ApplicabilityError(
            f"`learner.optimiser` is {changed.optimiser}, and `{name}` is trained by SGD; "
            f"{' and '.join(_ADAPTIVE)} takes others."
        )
    if changed.clip is not None and name not in _CLIPPED:
        raise ApplicabilityError(
            f"`learner.clip` needs the gradient of every single example, which `{name}` does not give; "
            f"{' and '.join(_CLIPPED)} do."
        )
    return changed


def _check_shape(name: str, declared: Declared, shape: tuple[int, ...]) -> None:
    side = declared.smallest_image
    if side is not None and (len(shape) not in (2, 3) or min(shape[-2:]) < side):
        raise SpecError(
            f"`learner.name` is {name}, which takes {declared.takes}; these examples have the shape "
            f"{list(shape)}. Choose another learner, such as mlp."
        )


def _at_least_one(**given: int) -> None:
    for field, value in given.items():
        if value < 1:
            raise SpecError(f"`learner.{field}` is {value}; expected at least 1.")


def _at_most(largest: int, **given: int) -> None:
    for field, value in given.items():
        if value > largest:
            raise SpecError(f"`learner.{field}` is {value:,}; expected at most {largest:,}, far beyond any use.")


P_MEM, P_GEN = 0.2, 0.5
"""Of example-tied dropout, as Schoepf et al. (2025), arXiv 2505.17730, train it (official code)."""


def _tied(width: int, etd: float | None, p_gen: float | None) -> dict[str, Any]:
    """Parameters of example-tied dropout, for layers of at least `width` units; none without it."""
    if etd is None:
        if p_gen is not None:
            raise SpecError("`learner.p_gen` is given without `learner.etd`, the dropout that it is a part of.")
        return {}
    p_gen = P_GEN if p_gen is None else p_gen
    if not 0 < etd <= 1:
        raise SpecError(f"`learner.etd` is {etd}; expected a share of units per example, above 0 and at most 1.")
    if not 0 < p_gen < 1 or not 0 < round(p_gen * width) < width:
        raise SpecError(
            f"`learner.p_gen` is {p_gen}; expected a share in (0, 1) that leaves units of both kinds in a layer "
            f"of {width}."
        )
    return {"etd": etd, "p_gen": p_gen}


def mlp(
    *, width: int = 64, depth: int = 1, etd: float | None = None, p_gen: float | None = None
) -> dict[str, int | float]:
    """Multilayer perceptron with `depth` hidden relu layers of `width` units on flattened features."""
    _at_least_one(width=width, depth=depth)
    return {"width": width, "depth": depth, **_tied(width, etd, p_gen)}


def softmax() -> dict[str, int]:
    """Multinomial logistic regression: logits = W·x + b on flattened features."""
    return {}


def cnn(*, channels: int = 16, etd: float | None = None, p_gen: float | None = None) -> dict[str, int | float]:
    """Convolutional net: layers of `channels` and twice as many, each halving the image, and a linear layer."""
    _at_least_one(channels=channels)
    _at_most(4096, channels=channels)
    return {"channels": channels, **_tied(channels, etd, p_gen)}


def resnet9(*, width: int = 8) -> dict[str, int]:
    """Residual net of 9 layers with batch norm, `width` to 8·`width` channels (the public one has 64)."""
    _at_least_one(width=width)
    _at_most(512, width=width)
    return {"width": width}


def forest(*, trees: int = 100) -> dict[str, int]:
    """Random forest of scikit-learn, `trees` trees; only its probabilities are kept."""
    _at_least_one(trees=trees)
    _at_most(100_000, trees=trees)
    return {"trees": trees}


def boosting(*, trees: int = 100) -> dict[str, int]:
    """Boosted trees of scikit-learn on histograms, `trees` rounds; each split sees half of the features."""
    _at_least_one(trees=trees)
    _at_most(100_000, trees=trees)
    return {"trees": trees}


def logistic() -> dict[str, int]:
    """Logistic regression of scikit-learn with its l₂ penalty, to convergence; nothing in it is random."""
    return {}


LEARNERS.add("mlp", mlp, Declared(Recipe(lr=0.3, epochs=40, schedule="linear"), "features of any shape"))
LEARNERS.add("softmax", softmax, Declared(Recipe(lr=0.3, epochs=40, schedule="linear"), "features of any shape"))
LEARNERS.add(
    "cnn",
    cnn,
    Declared(
        Recipe(lr=0.05, epochs=10, schedule="linear"),
        "images [h, w] or [colours, h, w] of at least 8×8",
        smallest_image=8,
    ),
)
LEARNERS.add(
    "resnet9",
    resnet9,
    Declared(
        Recipe(lr=0.1, epochs=4, batch_size=64, weight_decay=5e-4, schedule="linear"),
        "images [h, w] or [colours, h, w] of at least 8×8",
        smallest_image=8,
    ),
)
for _opaque in (forest, boosting, logistic):
    LEARNERS.add(
        _opaque.__name__,
        _opaque,
        Declared(None, "features of any shape; methods that follow gradients are refused"),
    )
