"""The result of a sweep: `sweep.json`, version 1, and its tables as CSV.

What each model did in each cell is kept as well (`per_model`), so that every pooled number can be made again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from unweave._types import Estimate, Measured, NotMeasured
from unweave.records.schema import Json, Provenance, RowKind
from unweave.records.sweep_advice import SelectionCost, SweepAdvice

SWEEP_SCHEMA = "unweave.sweep/1"

CellStatus = Literal["ok", "failed", "refused"]

# Fields with a default came after the first files of this schema, which stay readable.
_NOT_RECORDED = NotMeasured("made by an earlier version of unweave")


@dataclass(frozen=True)
class SweepRow:
    """A method, the original, a reference or fresh retrains in one cell.

    `generality`, `residual_*` and verdicts are those of the comparison; `utility`: accuracy on test; `healed`:
    share of B, discovered or not, with the clean label; `score`: their product, model by model; `survival`:
    share of B∖S and unseen instances that still show the behaviour; `cost`: gradients taken, over those of one
    retraining. `models` names the batch of models that the row grew from: rows of one batch, in any cell, share
    its seeds; `per_model` holds the numbers behind, one per model.
    """

    id: str
    name: str
    kind: RowKind
    status: CellStatus
    reason: str
    label: str
    untraining: str
    unlearning: str
    generality: Measured
    residual_untraining: Measured
    residual_unlearning: Measured
    utility: Measured
    healed: Measured
    score: Measured
    survival: Measured
    cost: float | None
    models: str
    per_model: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class MethodPair:
    """Two methods in one cell: E² to the aim's reference of the first less that of the second.

    Below 0: the first is nearer. They are told apart where the interval does not hold 0. `halves_*`: the signs of
    that difference in two halves of the models, method's and reference's, 0 where not told apart; None where
    a half has fewer than 3 models, or the aim is not measured.
    """

    first: str
    second: str
    untraining: Measured
    unlearning: Measured
    halves_untraining: tuple[int, int] | None
    halves_unlearning: tuple[int, int] | None


@dataclass(frozen=True)
class SweepCell:
    """One point of the grid; `panel` names worlds that a method trains for itself, "" = those of the case.

    `regularity`: of what A(D) shows on S beyond A(D∖B), the share that A(D∖S) shows too; `cross_influence`:
    infl(S→B∖S), the fall of the behaviour's rate on B∖S when S alone is left out; `pairs`: every two methods.
    """

    name: str
    case: str
    behaviour: str
    discovery: float
    selection: str
    seed: int
    panel: str
    status: CellStatus
    reason: str
    sizes: dict[str, int | None]
    headline: str
    null_ok: bool
    warnings: tuple[str, ...]
    regularity: Measured
    cross_influence: Measured
    rows: tuple[SweepRow, ...]
    pairs: tuple[MethodPair, ...] = ()


@dataclass(frozen=True)
class GapClosed:
    """Pooled share of the gap from A(D∖S) to A(D∖B) that a row closed, overall and by each axis.

    `cells`: how many cells it is pooled over, of the `of` that ran; `score`: mean score over those cells, by which
    rows of different worlds can be compared, whose gaps are not the same.
    """

    mean: Measured
    by_discovery: dict[str, Measured]
    by_behaviour: dict[str, Measured]
    by_selection: dict[str, Measured]
    cells: int
    of: int
    score: Measured = NotMeasured("a sweep of an earlier version, which did not record it")


@dataclass(frozen=True)
class SweepPoint:
    """A row at one behaviour, γ and selection: means over cases and seeds; `examples`: mean |S|.

    `cells`: in how many cells the row ran, of the `of` that hold it; `measured`: in how many of them each number
    was measured, over which its mean is. `along`: r_B and survival as points of a curve over γ, of the same cases
    and seeds at every γ at which any was measured; `along_cells`: how many these are.
    """

    row: str
    behaviour: str
    discovery: float
    selection: str
    cells: int
    generality: Measured
    residual_untraining: Measured
    residual_unlearning: Measured
    utility: Measured
    healed: Measured
    score: Measured
    survival: Measured
    examples: float | None = None
    of: int | None = None
    measured: dict[str, int] = field(default_factory=dict)
    along: dict[str, Measured] = field(default_factory=dict)
    along_cells: dict[str, int] = field(default_factory=dict)

    def on_curve(self, key: str) -> Measured:
        """A number as a point of its curve; files of earlier versions have but the mean of what was measured."""
        found: Measured = self.along[key] if key in self.along else getattr(self, key)
        return found


@dataclass(frozen=True)
class Enough:
    """The smallest γ, and |S|, at which r_B of a row falls to the target, between points by a straight line.

    `cells`: how many cases and seeds the curve is of, the same at each of its points, of the `of` that there are;
    `without`: the γ at which r_B was not measured in any of them.
    """

    row: str
    behaviour: str
    selection: str
    discovery: Measured
    examples: Measured = _NOT_RECORDED
    cells: int | None = None
    of: int | None = None
    without: tuple[float, ...] = ()


@dataclass(frozen=True)
class Price:
    """What a row takes: gradients over those of one retraining, and test accuracy less than that of A(D∖B)."""

    row: str
    gradient_ratio: float | None
    utility_lost: Measured


@dataclass(frozen=True)
class PairCounts:
    """Pairs of methods, summed over cells: all, those told apart both times, and of these those that flipped."""

    pairs: int
    told_apart: int
    flipped: int


@dataclass(frozen=True)
class Rankings:
    """Methods in the order of r_S and of r_B, and how far the two orders agree, pair by pair in each cell.

    A pair agrees or flips only where it is told apart on both aims. `flips`: share that flips of the pairs told
    apart; `tau`: Kendall's τ, (agreeing − flipped) / all pairs, a pair not told apart being a tie; intervals are
    over seeds. `cells`: those with a pair measured on both aims; `counts`: the pairs; `floor`: the same between
    two halves of the models for one and the same aim, which is noise. Without `counts` the file is of an earlier
    version, in which every pair counted by its estimates, and intervals were over cells. `untraining`,
    `unlearning`: methods with their mean rank (1 = best), best first.
    """

    tau: Measured
    flips: Measured
    cells: int
    untraining: tuple[tuple[str, float], ...]
    unlearning: tuple[tuple[str, float], ...]
    counts: PairCounts | None = None
    floor: PairCounts | None = None


@dataclass(frozen=True, repr=False)
class SweepResult:
    """`sweep.json`: one sentence, the share of the gap closed per row, the cells, and what was derived of them.

    `advice`: None in files of earlier versions; `selections`: empty where S was found in one way only.
    """

    schema: str
    headline: str
    gap_closed: dict[str, GapClosed]
    axes: dict[str, Json]
    target: float
    regularity: dict[str, Measured]
    points: tuple[SweepPoint, ...]
    enough: tuple[Enough, ...]
    prices: tuple[Price, ...]
    rankings: Rankings
    cells: tuple[SweepCell, ...]
    provenance: Provenance
    notes: tuple[str, ...] = field(default=())
    advice: SweepAdvice | None = None
    selections: tuple[SelectionCost, ...] = ()

    def __repr__(self) -> str:
        """Short: the fields are thousands of numbers."""
        return f"SweepResult({len(self.cells)} cells: {self.headline!r})"


_TEXTS = ("id", "name", "kind", "status", "label", "untraining", "unlearning")
_NUMBERS = (
    *("generality", "residual_untraining", "residual_unlearning"),
    *("utility", "healed", "score", "survival"),
)


def sweep_csv(found: SweepResult) -> str:
    """All rows of all cells as CSV; an empty cell was not measured or is unbounded, and the JSON says which."""
    from unweave.records.table import csv_text

    head = ["case", "behaviour", "discovery", "selection", "seed", "panel", *_TEXTS]
    head += [f"{name}{end}" for name in _NUMBERS for end in ("", "_low", "_high")]
    lines: list[list[str | float | None]] = [[*head, "cost", "n_models", "reason"]]
    for cell in found.cells:
        place = [cell.case, cell.behaviour, cell.discovery, cell.selection, str(cell.seed), cell.panel]
        if not cell.rows:
            lines.append([*place, "", "", "", cell.status, *[""] * (3 + 3 * len(_NUMBERS)), None, "", cell.reason])
        for row in cell.rows:
            line: list[str | float | None] = [*place, *(getattr(row, name) for name in _TEXTS)]
            for name in _NUMBERS:
                one = getattr(row, name)
                line += [one.value, one.low, one.high] if isinstance(one, Estimate) else [None] * 3
            models = max((len(values) for values in row.per_model.values()), default=0)
            lines.append([*line, row.cost, str(models), row.reason])
    return csv_text(lines)
