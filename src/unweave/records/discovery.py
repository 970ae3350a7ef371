"""What `discover` found: `discovery.json`, version 1, and the ranking as CSV."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from unweave._types import Measured
from unweave.records.diagnosis import Shown
from unweave.records.schema import Json
from unweave.records.table import csv_line, id_cell, text_cell

DISCOVERY_SCHEMA = "unweave.discovery/1"


class Ranked(NamedTuple):
    """A line of the ranking: an example of D∖S, its score, place and label, and whether it is flagged."""

    id: str
    score: float
    rank: int
    flagged: bool
    label: str


@dataclass(frozen=True)
class Candidate:
    """An example of D∖S as a person sees it, with its score and place in the ranking."""

    example: Shown
    score: float
    rank: int
    flagged: bool


@dataclass(frozen=True)
class Promise:
    """The recall that the cut-off promises.

    `target`: what was asked for; `confidence`: on average over S (`mean`), or with 95% confidence; `recall`: what
    is promised, the rank of the cut over n + 1 or the target; `members`: n, examples of S that took no part in
    making the ranking; `rank`: the cut is the score of the rank-th of them, n + 1 where all is flagged;
    `threshold`: that score, None where all is flagged; `status`: `holds` where S is known to be a random part of
    B, `assumed` where nobody knows how S was found, `void` where it is known not to hold; `conditions`: what it
    rests on, and why it is void; `unit`: what is promised and counted, an `example`, or what S was discovered in,
    with all its members: then n and M are of these units, and the score of one is the least of its members;
    `rest`: M, how many B∖S has, None where B is not known; `chance`: the probability over draws of S that the
    target is reached in these M, None where M is not known or nothing is promised.
    """

    target: float
    confidence: Literal["mean", "95"]
    recall: float
    members: int
    rank: int
    threshold: float | None
    status: Literal["holds", "assumed", "void"]
    conditions: tuple[str, ...]
    unit: str = "example"
    rest: int | None = None
    chance: float | None = None


@dataclass(frozen=True)
class Truth:
    """What is true where B is known: members among the candidates, those flagged, and the shares of both.

    `units`: where S was not discovered example by example, how many of what it was discovered in have members
    among the candidates; `units_found`: those whose members are all flagged.
    """

    members: int
    found: int
    recall: float | None
    precision: float | None
    units: int | None = None
    units_found: int | None = None


@dataclass(frozen=True)
class Discovery:
    """The rest of a behaviour as far as it was found from S.

    `seeds`: examples of S that the ranking was learnt from, `confirmed`: ids that a person confirmed in earlier
    rounds, which are seeds too; `candidates`: examples that were ranked; `flagged`: how many lie above the cut;
    `size`: estimate of how many of the candidates are of B, `precision`: of the share of the flagged that are;
    `truth`: where B is known; `shown`: the first candidates; `rejected`: ids that a person rejected, which are no
    candidates; `questions`: candidates that a person should look at next; `cost`: `retrainings` is that of the
    models that the ranking needs, in trainings of a model on all of D.
    """

    schema: str
    name: str
    headline: str
    case: dict[str, Json]
    method: str
    rounds: int
    forget: int
    seeds: int
    confirmed: tuple[str, ...]
    candidates: int
    flagged: int
    promise: Promise
    size: Measured
    precision: Measured
    truth: Truth | None
    shown: tuple[Candidate, ...]
    warnings: tuple[str, ...]
    cost: dict[str, float]
    provenance: dict[str, Json]
    rejected: tuple[str, ...] = ()
    questions: tuple[Candidate, ...] = ()


def ranking_csv(ranking: Iterable[Ranked]) -> str:
    """The ranking as CSV, best first; `flagged` is 1 or 0.

    Example:
        >>> print(ranking_csv([Ranked("=a", 0.5, 1, True, "3")]), end="")
        id,score,rank,flagged,label
        '=a,0.5,1,1,3
    """
    lines = [
        csv_line([id_cell(one.id), f"{one.score:.9g}", str(one.rank), str(int(one.flagged)), text_cell(one.label)])
        for one in ranking
    ]
    return "".join([csv_line(list(Ranked._fields)), *lines])
