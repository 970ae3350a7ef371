"""What `erase` did to a model: `record.json`, version 1, and the line it adds to the log of requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unweave.records.copies import Copies
from unweave.records.schema import Aim, Json

ERASURE_SCHEMA = "unweave.erasure/1"

ErasureStatus = Literal["erased", "nothing to erase"]

STILL_TO_DELETE = (
    "the records themselves, in the data and in its backups",
    "what was computed from them: caches, augmented copies, embeddings",
    "the model before this edit, its other versions and its copies: with both versions a request can be found out",
    "models that were trained with the records for comparison: unweave store purge removes those of a store",
    "what was handed on to others",
)
"""What taking examples out of a model leaves undone."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of the model before and after, by the labels trained on, on S, on the rest of D or on test data."""

    name: str
    examples: int
    before: float
    after: float


@dataclass(frozen=True)
class Erasure:
    """One request, from what was asked to what came of it.

    `number`: of the request in its log; `case`: the spec that repeats it, with the ids of S and of earlier
    requests (`data.without`), and paths relative to the folder of the record; `params`: all parameters of the
    method; `model_before`, `model_after`: name and SHA-256 of the files, `model_after` empty where nothing was
    erased; `data`: fingerprint of the data without earlier requests; `left`: SHA-256 of the training data that the
    request left, `content` of ids and examples as they were read, `features` as the learner sees them; `forecast`:
    seconds that were expected, None where that is not known.
    """

    schema: str
    number: int
    status: ErasureStatus
    headline: str
    aim: Aim
    method: str
    params: dict[str, Json]
    case: dict[str, Json]
    forget: int
    share: float
    model_before: dict[str, str]
    model_after: dict[str, str]
    data: str
    left: dict[str, str]
    accuracy: tuple[Accuracy, ...]
    copies: Copies
    diagnosis: str
    gradient_ratio: float
    seconds: float
    forecast: float | None
    warnings: tuple[str, ...]
    still_to_delete: tuple[str, ...]
    provenance: dict[str, Json]
