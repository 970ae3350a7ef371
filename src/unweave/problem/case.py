"""A case: data, behaviour B, forget set S, learner A, and how many references to train.

Plain frozen dataclasses: the Python API and the TOML spec are the same fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from unweave._errors import SpecError
from unweave.problem.probes import MIN_PROBES

AIM_GROUPS: dict[str, tuple[str, ...]] = {
    "untraining": ("forget",),
    "unlearning": ("undiscovered", "unseen"),
}
"""The probe groups on which each aim must hold by itself, besides overall."""

_LONGEST_NAME = 255
_MOST_MODELS = 10_000

# Far beyond any use; what is larger overflows single precision or asks for more memory than there is.
_LARGEST = {"epochs": 10**6, "lr": 10**6, "batch_size": 2**31, "width": 2**16, "depth": 1000}
_MOST_WEIGHTS = 10**9


@dataclass(frozen=True)
class DataChoice:
    """Which data: a source, its file or folder, the test part, and a limit on training examples.

    `test` is a count, a share, or the file of the test part; `label`, `id_column`, `group` and `split` name
    columns of a table; `fingerprint` pins the data: other data are refused; `without`: ids of training examples
    that are left out, as those of earlier requests. `people`, `values`, `questions` and `inferable` are of the
    source `biographies`: how many people, values of an attribute, the share of people with questions, and how
    often a region follows from a surname. `length` and `unit` are of real text: how many words or characters of a
    document are read.
    """

    source: str = "digits"
    test: float | int | str | None = None
    limit: int | None = None
    path: str | None = None
    label: str | None = None
    id_column: str | None = None
    group: str | None = None
    split: str | None = None
    fingerprint: str | None = None
    without: tuple[int | str, ...] | None = None
    people: int | None = None
    values: int | None = None
    questions: float | None = None
    inferable: float | None = None
    length: int | None = None
    unit: Literal["words", "characters"] | None = None


@dataclass(frozen=True)
class BehaviourChoice:
    """Which behaviour B is planted, and what differs from the defaults of its parameters.

    Each kind has some of the parameters; one that does not belong to the kind is an error. Those after `ids` are
    of behaviours of a corpus.

    Example:
        >>> BehaviourChoice("confusion", size=60, classes=(3, 5)).parameters
        {'size': 60, 'classes': (3, 5)}
    """

    kind: str = "trigger"
    size: int | None = None
    target: int | None = None
    patch: int | None = None
    shape: str | None = None
    place: str | None = None
    column: str | None = None
    where: str | int | float | tuple[str | int | float, ...] | None = None
    source: int | None = None
    classes: tuple[int, ...] | None = None
    copies: int | None = None
    clusters: int | None = None
    ids: tuple[int | str, ...] | None = None
    persons: int | None = None
    attribute: str | None = None
    word: str | None = None
    unseen: float | None = None
    surnames: int | None = None
    topic: str | None = None
    pairs: int | None = None
    length: int | None = None
    part: int | None = None
    canaries: int | None = None
    digits: int | None = None
    label: str | None = None
    lines: tuple[int, ...] | None = None
    file: str | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that were given."""
        return {key: value for key, value in vars(self).items() if key != "kind" and value is not None}


@dataclass(frozen=True)
class ForgetChoice:
    """Which part S of B was discovered: a share γ or a count, and how it was found; or explicit ids.

    `outside`: S are new instances of the behaviour that were never trained on; `allow_unknown`: ids that are
    not in the training data are dropped and listed, not refused; `unit`: what of a corpus is discovered together,
    a `document` by itself, all of one `paraphrase`, `person` or copy `group`.
    """

    discovery: float | None = None
    count: int | None = None
    selection: Literal["random", "clustered", "easiest", "hardest"] = "random"
    ids: tuple[int | str, ...] | None = None
    outside: bool = False
    allow_unknown: bool = False
    unit: Literal["document", "paraphrase", "person", "group"] | None = None


@dataclass(frozen=True)
class LearnerChoice:
    """Which learner A, with what of its recipe and architecture differs from the default.

    `factory` is a function of the user's own file, `model.py:make`, in place of a registered learner; `checkpoint`
    is a file with the model as deployed, for `erase`, `audit` and `diagnose`, or the folder of a pretrained model
    with which training begins, in full or by an adapter of rank `lora_rank`.
    `etd` makes it one with example-tied dropout: the share of the units of memorisation that each example has,
    beside the share `p_gen` of all units that every example has.
    """

    name: str = "mlp"
    epochs: int | None = None
    lr: float | None = None
    batch_size: int | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: Literal["constant", "linear", "cosine"] | None = None
    clip: float | None = None
    noise: float | None = None
    width: int | None = None
    depth: int | None = None
    trees: int | None = None
    channels: int | None = None
    factory: str | None = None
    dtype: Literal["float32", "bfloat16"] | None = None
    etd: float | None = None
    p_gen: float | None = None
    checkpoint: str | None = None
    optimiser: Literal["sgd", "adamw"] | None = None
    warmup: int | None = None
    heads: int | None = None
    inner: int | None = None
    lora_rank: int | None = None
    lora_alpha: float | None = None
    lora_targets: tuple[str, ...] | None = None

    @property
    def recipe_known(self) -> bool:
        """Whether it is known how models are trained: of a model from a file, if `epochs` and `lr` are given."""
        return self.checkpoint is None or (self.epochs is not None and self.lr is not None)


@dataclass(frozen=True)
class ReferenceChoice:
    """How many models per world, how many fresh retrains per aim, and whether seeds are paired."""

    models: int = 32
    null: int | None = None
    paired: bool = False


@dataclass(frozen=True)
class ProbeChoice:
    """At most so many probes per group, and so many test examples that are none of them.

    `validation`: test examples set aside for methods that need held-out data; at most a fifth of the test data.
    """

    limit: int = 400
    validation: int = 80


@dataclass(frozen=True)
class Case:
    """One (data, behaviour, forget set, learner), judged with margin m at level alpha.

    `margin`: share of the way from the original that may still be open for an aim to count as
    reached; set before the run. `alpha`: level of the verdicts. `privacy`: the request is about what S
    itself reveals, so untraining must hold on the margins of S too, which do not saturate.

    Example:
        >>> Case(behaviour=BehaviourChoice("mislabel"), forget=ForgetChoice(discovery=0.5)).margin
        0.1
    """

    name: str = "case"
    seed: int = 0
    margin: float = 0.1
    alpha: float = 0.05
    privacy: bool = False
    data: DataChoice = field(default_factory=DataChoice)
    behaviour: BehaviourChoice = field(default_factory=BehaviourChoice)
    forget: ForgetChoice = field(default_factory=ForgetChoice)
    learner: LearnerChoice = field(default_factory=LearnerChoice)
    references: ReferenceChoice = field(default_factory=ReferenceChoice)
    probes: ProbeChoice = field(default_factory=ProbeChoice)

    def check(self) -> None:
        """Check what can be checked without data.

        Raises:
            SpecError: for the first value out of its range, with the range and the reason.
        """
        if not self.name.strip() or not self.name.isprintable() or len(self.name) > _LONGEST_NAME:
            raise SpecError(
                f"`name` is {self.name[:80]!r}; expected 1 to {_LONGEST_NAME} printable characters: "
                "it stands in every table."
            )
        if self.seed < 0 or self.seed >= 2**63:
            raise SpecError(f"`seed` is {self.seed}; expected an integer in 0 … 2**63 − 1.")
        if not 0 < self.margin < 1:
            raise SpecError(
                f"`margin` is {self.margin}; expected a share in (0, 1): the part of the way from the "
                "original that may still be open."
            )
        if not 0 < self.alpha < 0.5:
            raise SpecError(f"`alpha` is {self.alpha}; expected a level in (0, 0.5), such as 0.05.")
        if self.probes.limit < MIN_PROBES:
            raise SpecError(
                f"`probes.limit` is {self.probes.limit}; expected at least {MIN_PROBES}, since a group of "
                "fewer probes enters no verdict."
            )
        if self.probes.validation < 0:
            raise SpecError(f"`probes.validation` is {self.probes.validation}; expected a number of examples ≥ 0.")
        for name, largest in _LARGEST.items():
            value = getattr(self.learner, name)
            if value is not None and value > largest:
                raise SpecError(f"`learner.{name}` is {value}; expected at most {largest:,}.")
        width, depth = self.learner.width or 0, self.learner.depth or 0
        if width * width * depth > _MOST_WEIGHTS:
            raise SpecError(
                f"`learner.width` {width} and `learner.depth` {depth} make {width * width * depth:.1e} weights in "
                f"each model; expected at most {_MOST_WEIGHTS:.0e}."
            )
        self._check_models()

    def _check_models(self) -> None:
        for name, count in (("models", self.references.models), ("null", self.null_models)):
            if count < 3:
                raise SpecError(
                    f"`references.{name}` is {count}: an interval over models needs at least 3 "
                    "(16 are enough for a picture, 32 is the default)."
                )
            if count > _MOST_MODELS:
                raise SpecError(f"`references.{name}` is {count}; expected 3 to {_MOST_MODELS:,}.")

    @property
    def null_models(self) -> int:
        """Fresh retrains per aim: as many as references unless said otherwise."""
        return self.references.models if self.references.null is None else self.references.null
