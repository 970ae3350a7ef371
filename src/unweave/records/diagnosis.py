"""What `diagnose` found of a request: `diagnosis.json`, version 1."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from unweave._types import Level, Measured, RegimeName
from unweave.records.copies import Copies
from unweave.records.schema import Aim, Json, Outcome

DIAGNOSIS_SCHEMA = "unweave.diagnosis/1"


@dataclass(frozen=True)
class Memorized:
    """Memorization of S, from models that were each trained on a random part of D.

    `mean`: mean of mem(i) over S; `soft`: the same with the probability of the label in place of correctness;
    `above`: share of S with mem ≥ `threshold`, without an interval since it jumps, of those that were both in and
    out of some part; `models`, `share`: how many models, each trained on which part of D; `largest_error`: the
    largest standard error of a single mem(i); `together`: how many sets of examples were in or out of these parts
    as a whole; `by_heart`: how many of S are surely known by heart, by four standard errors. Where no model can be
    trained, `models` is 0 and nothing is measured.
    """

    mean: Measured
    soft: Measured
    above: float | None
    threshold: float
    models: int
    share: float
    largest_error: float | None
    together: int = 0
    by_heart: int | None = None


@dataclass(frozen=True)
class GroupChange:
    """How the accuracy on a probe group, by the labels trained on, changes without S and without B.

    `original`, `untrained`, `unlearned`: accuracy of A(D), A(D∖S), A(D∖B); `joint`: infl(S→group), the accuracy of
    A(D) less that of A(D∖S); `behaviour`: the same with B.
    """

    name: str
    probes: int
    original: Measured
    untrained: Measured
    unlearned: Measured
    joint: Measured
    behaviour: Measured


@dataclass(frozen=True)
class Shown:
    """An example as a person sees it: its id, the label trained on, a picture or the values of its row."""

    id: str
    label: str
    image: str = ""
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Influential:
    """An example of S with its memorization, or with its influence on a probe, and the standard error.

    `group`: the probe's group; `probe`: None where it is the example itself.
    """

    example: Shown
    group: str
    probe: Shown | None
    influence: float
    standard_error: float


@dataclass(frozen=True)
class Dot:
    """An example of D in the plane of self- and cross-influence.

    `own`: its memorization; `others`: root mean square of its influence on the probes outside of S, without what
    chance alone would give; `part`: forget, undiscovered or ordinary.
    """

    own: float
    others: float
    part: Literal["forget", "undiscovered", "ordinary"]


@dataclass(frozen=True)
class Tried:
    """A method that was run on every original, with its verdicts as `compare` gives them.

    `cost`: examples whose gradient was taken, over those of one retraining, None where it has no result and
    `reason` says why; `residual_*`: share of the way from the original to the aim's reference that is left.
    """

    method: str
    cost: float | None
    untraining: Outcome
    unlearning: Outcome
    residual_untraining: Measured
    residual_unlearning: Measured
    reason: str


@dataclass(frozen=True)
class Cheapest:
    """The cheapest method that suffices for an aim.

    `status`: whether one was found among those tried, "nothing to do" only where bounds show it; `method`, `cost`:
    which, and its cost as a multiple of one retraining; `tried`, `reached`, `undecided`: how many ran, reached the
    aim, or were not decided; `text`: one sentence.
    """

    aim: Aim
    status: Literal["found", "none", "nothing to do", "not measured"]
    method: str
    cost: float | None
    tried: int
    reached: int
    undecided: int
    text: str


@dataclass(frozen=True)
class Proxy:
    """A cheap stand-in for memorization, held against memorization as subsampled models measure it.

    `correlation`: Spearman's rank correlation with mem(i) over the examples, with an interval over what `over`
    names; `expected`: the sign it should have; `lds`: of an attribution how well sums of it foretell what models
    of parts of D make of test probes, with an interval over what `lds_over` names; `models`: originals it was
    computed of; `examples`: how many were ranked; `cost`: of all of it in seconds, over those of training one
    model in a stack, None where nothing was computed.
    """

    name: str
    correlation: Measured
    expected: Literal[-1, 1]
    over: str
    lds: Measured
    lds_over: str
    models: int
    examples: int
    cost: float | None


@dataclass(frozen=True)
class Deployed:
    """The model as it is deployed, from its file.

    `accuracy`: per probe group, by the labels trained on; `place`: of the margins φ of S among those of
    the rest of D, the median share that lies below: a low one goes with memorization, and is no measurement of it;
    `entanglement`: of its features; `recipe_p`: that it is of the law that its recipe trains on D, None where no
    recipe is known.
    """

    sha256: str
    recipe_known: bool
    accuracy: dict[str, float]
    place: float
    entanglement: float | None
    recipe_p: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What is known of a request before anything is done about it.

    `self_level`: whether mean memorization or infl(S→S) is at least `memorized.threshold`; `cross_level`: whether
    |infl(S→G)| is at least `cross_threshold` on some other group G; `regime`: what untraining changes by that, and
    by margins over S where both levels are low;
    `aim` and `why` which aim the stated use needs; `advice` what to do; `fitting` are the metrics and attacks that
    may be asked of that aim, `not_fitting` the others and why, both empty where no use was stated; `cost` is what
    was trained for it; `tried` and `cheapest` are empty where no method was named, `proxies` where none was;
    `copies` are those of S in D; `model` is there where a model was
    given; `separation`: AUROC of memorization for B against the rest of D, by correctness (`hard`), probability
    (`soft`) and margin φ (`log-odds`), empty where B is not declared.
    """

    schema: str
    name: str
    headline: str
    case: dict[str, Json]
    forget: int
    behaviour: int | None
    memorized: Memorized
    entanglement: Measured
    groups: tuple[GroupChange, ...]
    self_level: Level
    cross_level: Level
    cross_threshold: float
    regime: RegimeName
    regime_text: str
    use: str | None
    aim: Aim | None
    why: str
    fitting: tuple[str, ...]
    not_fitting: dict[str, str]
    advice: tuple[str, ...]
    most_memorized: tuple[Influential, ...]
    most_influential: tuple[Influential, ...]
    plane: tuple[Dot, ...]
    warnings: tuple[str, ...]
    cost: dict[str, float]
    provenance: dict[str, Json]
    copies: Copies | None = None
    tried: tuple[Tried, ...] = ()
    cheapest: tuple[Cheapest, ...] = ()
    proxies: tuple[Proxy, ...] = ()
    model: Deployed | None = None
    separation: dict[str, Measured] = field(default_factory=dict)
