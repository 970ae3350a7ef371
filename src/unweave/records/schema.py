"""The result of a comparison: what `result.json` holds, version 1.

Every class is a frozen dataclass; `unweave.records.json_schema()` exports the JSON Schema.
An estimate is `{"value", "low", "high", "n"}` with a 95% interval (`null` = unbounded on that side)
or `{"not_measured": "reason"}`. Distances are in probability (E²: energy distance of probability
vectors; V²: squared distance of mean probability vectors).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from unweave._types import Measured

SCHEMA = "unweave.result/1"

RowKind = Literal["method", "null", "original", "reference"]
Stage = Literal["default", "tuned_untraining", "tuned_unlearning", "equal_cost", "equal_rise"]
Outcome = Literal["reached", "missed", "inconclusive", "no power", "not measured"]
Label = Literal["untrained", "unlearned", "both", "neither", "inconclusive", "no power", "not applicable"]
Aim = Literal["untraining", "unlearning"]
Json = Any
"""Whatever JSON can hold; written with `allow_nan=False`."""


@dataclass(frozen=True)
class Part:
    """One condition of a verdict: all parts must hold for `reached`.

    `value` is what is tested: the excess T (distance) or an accuracy difference; `p_value` is the
    one-sided p-value of the claim that the part holds; `holds` is at the unadjusted level alpha.
    """

    name: str
    value: Measured
    p_value: float | None
    holds: bool


@dataclass(frozen=True)
class Verdict:
    """Whether a row reached one aim.

    `excess` is T = E²(M,R) − margin·E²(O,R): below 0 the aim is reached within the margin.
    `p_value` is the largest over the parts, `p_holm` the same after Holm over all methods × aims.
    """

    outcome: Outcome
    reason: str
    excess: Measured
    parts: tuple[Part, ...] = ()
    p_value: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True)
class MapPoint:
    """A point of the map: x = generality t, y = off-line² (a signed square), and their covariance.

    Draw the height as sqrt(max(y, 0)); an ellipse is drawn in (x, y) and then transformed.
    """

    x: float
    y: float
    covariance: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Weights:
    """Affine coordinates of a row in the triangle original, A(D∖S), A(D∖B); they sum to 1."""

    original: Measured
    untrained: Measured
    unlearned: Measured


@dataclass(frozen=True)
class Group:
    """What a row does on one probe group.

    `behaviour_rate`: share of outputs that show the behaviour; `accuracy`: share with the clean
    label; `energy_*`: E² to the aim's reference; `stacked_*`: the same on the stacked outputs of the
    whole group; `residual_*`: share of the way from the original still to go on this group.
    """

    n_probes: int
    in_verdict: bool
    behaviour_rate: Measured
    accuracy: Measured
    energy_untraining: Measured
    energy_unlearning: Measured
    stacked_untraining: Measured
    stacked_unlearning: Measured
    residual_untraining: Measured
    residual_unlearning: Measured


@dataclass(frozen=True)
class Tail:
    """The worst-off probes of one group, for one aim.

    `p95`: 95th percentile over probes of E² to the aim's reference; `p95_null`: the same of a fresh
    retrain; `share_differing`: share of probes whose law differs (permutation, Benjamini–Hochberg).
    """

    p95: float
    p95_null: float | None
    share_differing: float


@dataclass(frozen=True)
class AimTail:
    """Tails per probe group for both aims."""

    untraining: dict[str, Tail]
    unlearning: dict[str, Tail]


@dataclass(frozen=True)
class AimDamage:
    """What ordinary data lost against the aim's reference, on `retain` and `test`.

    `energy_*`: E² to the reference (0 is best); `null_*`: the same of a fresh retrain;
    `accuracy_*`: accuracy minus the reference's (in shares of 1; below 0 is a loss).
    """

    energy_retain: Measured
    energy_test: Measured
    null_retain: Measured
    null_test: Measured
    accuracy_retain: Measured
    accuracy_test: Measured


@dataclass(frozen=True)
class Damage:
    """Damage measured against each aim's reference."""

    untraining: AimDamage
    unlearning: AimDamage


@dataclass(frozen=True)
class Cost:
    """What a row cost.

    `gradient_ratio`: examples whose gradient was taken, over those of one retraining;
    `seconds`: of the whole stack; `peak_memory_bytes`: the most that the process which ran it had held by then.
    Both are None where outputs came from the store.
    """

    gradient_ratio: float
    seconds: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Example:
    """A probe as a person sees it: its probe group, id and labels, and a picture or the values of its row.

    `label`: the clean label; `planted`: the label that shows the behaviour, "" on ordinary data; `image`: the
    address of a PNG that holds all of it, or ""; `values`: columns of a table, or features where there is neither.
    """

    group: str
    id: str
    label: str
    planted: str
    image: str
    values: dict[str, str]


@dataclass(frozen=True)
class Furthest:
    """A probe where a row is far from an aim's reference, and the mean probabilities that say so.

    `example`: place among the examples of the case; `energy`: E² at this probe (0 is best); `row_says` and
    `reference_says`: the class with the largest mean probability, and that probability.
    """

    example: int
    aim: Aim
    energy: float
    row_says: tuple[str, float]
    reference_says: tuple[str, float]


@dataclass(frozen=True)
class MeasureValue:
    """What a metric or an attack, asked for by name, says of a row for one aim on one probe group.

    `status`: `forced` where it does not apply and was run all the same, for the `reason` given; `better`: which
    end is good, `reference` = the value of the aim's reference; `reference`: that value, `null` the one of a
    fresh retrain.
    """

    name: str
    aim: Aim
    group: str
    status: Literal["allowed", "forced"]
    reason: str
    unit: str
    better: Literal["higher", "lower", "reference", "none"]
    value: Measured
    reference: Measured
    null: Measured


@dataclass(frozen=True)
class Row:
    """One line of the table: a method, a fresh retrain (`null`), the original, or a reference.

    `budget`: what a method was run within at a stage of equal budgets: a cost as a multiple of one retraining, or
    a rise of the mean CE on D∖S in nats; `note`: what it made of it.
    """

    id: str
    name: str
    kind: RowKind
    stage: Stage
    status: Literal["ok", "failed", "refused"]
    reason: str
    params: dict[str, Json]
    label: Label
    generality: Measured
    off_line_squared: Measured
    off_line: str
    xy: MapPoint | None
    weights: Weights | None
    residual_untraining: Measured
    residual_unlearning: Measured
    verdict_untraining: Verdict
    verdict_unlearning: Verdict
    groups: dict[str, Group]
    tail: AimTail | None
    damage: Damage | None
    cost: Cost
    cite: str = ""
    n_models: int = 0
    furthest: tuple[Furthest, ...] = ()
    budget: float | None = None
    note: str = ""
    measures: tuple[MeasureValue, ...] = ()


@dataclass(frozen=True)
class Geometry:
    """How far the worlds lie from each other.

    `gap`: G = V²(A(D∖S), A(D∖B)); `drawn`: whether G > 4·se(G), else the two aims are not
    distinguishable and `why_not` says so; `height_squared`: the original's squared distance from the
    line, in units of G; `p_*`: permutation p-values that the original differs from each reference, the
    smallest of the tests overall and on the aim's own groups, times their number;
    `attainable_*`: upper bound of a fresh retrain's residual at this number of models.
    """

    gap: Measured
    drawn: bool
    why_not: str
    height_squared: Measured
    energy_original_untrained: Measured
    energy_original_unlearned: Measured
    energy_untrained_unlearned: Measured
    p_untraining: float | None
    p_unlearning: float | None
    attainable_untraining: float | None
    attainable_unlearning: float | None


@dataclass(frozen=True)
class World:
    """One training set and its models."""

    name: Literal["original", "untrained", "unlearned", "null_untrained", "null_unlearned"]
    training_set: str
    n_training: int
    n_models: int


@dataclass(frozen=True)
class Region:
    """What the models of a row predict on a grid, as two strings of one sign per point, row by row from below.

    `classes`: the class with the largest mean probability, 0…9 and a…z; `certainty`: that probability in
    tenths, 0…9.
    """

    classes: str
    certainty: str


@dataclass(frozen=True)
class PlanePoint:
    """A training example in the plane: its class, whether it is in S, in B or neither, and how it is drawn.

    `shape` is "" for what has no shape of its own: it is drawn by its class.
    """

    x: float
    y: float
    label: int
    part: Literal["forget", "undiscovered", "ordinary"]
    shape: str = ""


@dataclass(frozen=True)
class Plane:
    """Data with two features, and what each row makes of them: `size`×`size` grid points of a rectangle."""

    x: tuple[float, float]
    y: tuple[float, float]
    size: int
    class_names: tuple[str, ...]
    points: tuple[PlanePoint, ...]
    regions: dict[str, Region]


@dataclass(frozen=True, repr=False)
class CaseResult:
    """All that was measured on one case.

    `plane`: where the data have two features; `examples`: the probes that rows name as those where they are
    furthest from a reference.
    """

    name: str
    headline: str
    case: dict[str, Json]
    margin: float
    alpha: float
    null_ok: bool
    warnings: tuple[str, ...]
    geometry: Geometry
    worlds: tuple[World, ...]
    rows: tuple[Row, ...]
    plane: Plane | None = None
    examples: tuple[Example, ...] = ()

    def __repr__(self) -> str:
        """Short: the fields are thousands of numbers."""
        return f"CaseResult({self.name!r}, {len(self.rows)} rows: {self.headline!r})"


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from.

    `notes`: what happened on the way that a reader should know: damaged objects made anew, models of other
    versions of code that were not used.
    """

    unweave: str
    python: str
    torch: str
    numpy: str
    hardware: str
    seed: int
    started: str
    seconds: float
    models_trained: int
    models_reused: int
    spec: dict[str, Json]
    fingerprints: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Result:
    """`result.json`: one sentence, where it comes from, and one entry per case."""

    schema: str
    headline: str
    provenance: Provenance
    cases: tuple[CaseResult, ...]

    def __repr__(self) -> str:
        """Short: the fields are thousands of numbers."""
        return f"Result({', '.join(repr(case.name) for case in self.cases)}: {self.headline!r})"
