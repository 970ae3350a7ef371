"""What `audit` found of one edited model: `audit.json`, version 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unweave._types import Measured
from unweave.records.schema import Aim, Json, Label, Outcome

AUDIT_SCHEMA = "unweave.audit/1"

ArtifactVerdict = Literal["distinguishable", "not distinguishable", "inconclusive"]
"""Of one model: it can be told from the references of an aim, or not with this many, or nothing can be said."""


@dataclass(frozen=True)
class Quantiles:
    """The middle and the 5% and 95% quantiles of what R references give."""

    low: float
    median: float
    high: float
    n: int


@dataclass(frozen=True)
class AuditCheck:
    """One measurement of the edited model beside the references of an aim.

    `edited`, `original`: what it gives for either; `references`: for the references among themselves; `deviation`:
    of the edited model, in robust standard deviations of the references and itself, by which it is ranked; `p`:
    adjusted for all checks of the aim; `fresh_flagged`: how many fresh retrains this check flags, None where there
    are none.
    """

    name: str
    aim: Aim
    group: str
    what: str
    edited: float
    original: float
    references: Quantiles
    deviation: float
    p: float
    original_p: float
    flagged: bool
    original_flagged: bool
    fresh_flagged: int | None


@dataclass(frozen=True)
class Finding:
    """The verdict of one aim.

    `p`, `original_p`: of the edited and of the original model, over all checks together; `fresh_flagged` of
    `fresh` retrains were flagged at level alpha; None where there are none; `given`: whether the references are
    models that the user retrained.
    """

    aim: Aim
    verdict: ArtifactVerdict
    reason: str
    p: float | None
    original_p: float | None
    references: int
    fresh: int
    fresh_flagged: int | None
    given: bool


@dataclass(frozen=True)
class Utility:
    """Accuracy on a probe group or on a class of the test probes, by the labels trained on.

    `references`: of each aim that has references, the middle and the range of theirs.
    """

    name: str
    examples: int
    original: float
    edited: float
    references: dict[str, Quantiles]


@dataclass(frozen=True)
class Version:
    """What the two versions of the model give away together about who was taken out.

    `auc`: AUROC of S against the rest of D by how far φ fell from the original to the edited model; .5: nothing;
    `references`: the same from the original to each reference A(D∖S); `changed`: mean change of the probabilities
    on a group, ‖p_edited − p_original‖; `rest_worst`: the same on the tenth of the rest of D that changed most,
    and `rest_references` from the original to each reference A(D∖S).
    """

    auc: float
    references: Quantiles | None
    changed: dict[str, float]
    rest_worst: float | None
    rest_references: Quantiles | None


@dataclass(frozen=True)
class Procedure:
    """What `compare` says of a method, beside what the audit says of one model.

    `page`: the page of the comparison, relative to the folder of the audit; "" where none was written; `models`:
    originals that the method was run on.
    """

    method: str
    label: Label
    verdict_untraining: Outcome
    verdict_unlearning: Outcome
    residual_untraining: Measured
    residual_unlearning: Measured
    models: int
    page: str


@dataclass(frozen=True)
class Audit:
    """What is known of one edited model.

    `verdicts`: per aim; `findings`: how they came about; `checks`: every measurement; `relearned`: accuracy on S
    by the labels trained on, before and after fine-tuning on D∖S alone, of original and edited model; `recipe_p`:
    that the original is of the law that its recipe trains, None where the recipe is not known; `unanswered`: what
    could not be asked, and why; `files`: SHA-256 of both models, or of outputs, without `original` where that is
    fitted here; `retrained`: SHA-256 of references that were given; `procedure`: what was asked beside it.
    """

    schema: str
    name: str
    headline: str
    case: dict[str, Json]
    alpha: float
    forget: int
    behaviour: int | None
    verdicts: dict[str, ArtifactVerdict]
    findings: tuple[Finding, ...]
    checks: tuple[AuditCheck, ...]
    utility: tuple[Utility, ...]
    versions: Version
    relearned: dict[str, tuple[float, float]]
    recipe_p: float | None
    unanswered: tuple[str, ...]
    warnings: tuple[str, ...]
    files: dict[str, str]
    retrained: tuple[str, ...]
    procedure: Procedure | None
    cost: dict[str, float]
    provenance: dict[str, Json]
