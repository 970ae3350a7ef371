"""Methods under both aims: in which order they stand, and how far the two orders agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from unweave._types import Estimate, Measured, NotMeasured
from unweave.records import Aim, CaseResult, MethodPair, PairCounts, Rankings, SweepCell, SweepRow
from unweave.references import Outputs, WorldName
from unweave.stats import interval, jackknife, share_over_clusters
from unweave.study.assemble import Assembly
from unweave.study.frame import AIMS, OVERALL, REFERENCE, blocks_of, group_weights
from unweave.study.samples import Distances, Sample, design_of, probabilities

_FEWEST = 3
"""Models of a half, below which there is no interval."""


def pairs_of(
    assembly: Assembly, found: CaseResult, outputs: Mapping[str, Outputs], tag: str
) -> tuple[MethodPair, ...]:
    """Every two methods of a case: which of them is nearer to the reference of each aim.

        E²(M₁, R) − E²(M₂, R),      Student's t with delete-one-model variance

    A model of the originals is deleted from both methods at once, and one of the reference from both distances:
    what the two share cancels, and E²(O, R), by which residuals are divided, cannot change the sign.

    Args:
        assembly: The case as arrays.
        found: Its comparison, which says of what there is a residual.
        outputs: Of every world and method that has them, by the id of the row.
        tag: What follows the names of methods.
    """
    rows = {row.id: row for row in found.rows if row.kind == "method" and row.id in outputs}
    worlds: dict[WorldName, Outputs] = {name: outputs[name] for name in assembly.worlds if name in outputs}
    if len(rows) < 2 or "original" not in worlds:
        return ()
    blocks = blocks_of(assembly.case, worlds)
    size = len(assembly.probes.clean)

    def sample(name: str, world: WorldName) -> Sample:
        return Sample(name, probabilities(outputs[name].logits[:, :size]), blocks[world])

    methods = [sample(name, "original") for name in rows]
    distances = Distances(group_weights(assembly.probes))
    told: dict[Aim, dict[tuple[str, str], Measured]] = {}
    halves: dict[Aim, list[dict[tuple[str, str], int]]] = {}
    for aim in AIMS:
        residuals = {
            name: row.residual_untraining if aim == "untraining" else row.residual_unlearning
            for name, row in rows.items()
        }
        placed = [one for one in methods if isinstance(residuals[one.name], Estimate)]
        told[aim], halves[aim] = {}, []
        if len(placed) < 2 or REFERENCE[aim] not in worlds:
            continue
        reference = sample(REFERENCE[aim], REFERENCE[aim])
        told[aim].update(_differences(distances, placed, reference))
        if min(len(reference.blocks), len(placed[0].blocks)) >= 2 * _FEWEST:
            for half in (0, 1):
                parts = _differences(distances, [_half(one, half) for one in placed], _half(reference, half))
                names = combinations([one.name for one in placed], 2)
                halves[aim].append(dict(zip(names, map(_sign, parts.values()), strict=True)))

    def of_halves(aim: Aim, pair: tuple[str, str]) -> tuple[int, int] | None:
        both = [half[pair] for half in halves[aim] if pair in half]
        return (both[0], both[1]) if len(both) == 2 else None

    why = NotMeasured("no residual of both methods")
    return tuple(
        MethodPair(
            *(f"{name}{tag}" for name in pair),
            untraining=told["untraining"].get(pair, why),
            unlearning=told["unlearning"].get(pair, why),
            halves_untraining=of_halves("untraining", pair),
            halves_unlearning=of_halves("unlearning", pair),
        )
        for pair in combinations(rows, 2)
    )


def _half(one: Sample, half: int) -> Sample:
    return Sample(f"{one.name}, half {half}", one.outputs[half::2], one.blocks[half::2])


def _differences(
    distances: Distances, methods: Sequence[Sample], reference: Sample
) -> dict[tuple[str, str], Estimate]:
    # All methods have the blocks of the originals, so that the leave-outs of all are the same ones.
    design = design_of(methods[0], reference)
    energies = {
        one.name: distances.energy(one, reference, design_of(one, reference), group=OVERALL) for one in methods
    }
    return {(a, b): interval(jackknife(energies[a] - energies[b], design)) for a, b in combinations(energies, 2)}


def _sign(one: Measured) -> int:
    """Which of the two is told to be nearer: −1 the first, 1 the second, 0 neither."""
    if not isinstance(one, Estimate):
        return 0
    return 1 if one.low is not None and one.low > 0 else -1 if one.high is not None and one.high < 0 else 0


def rankings(cells: Sequence[SweepCell]) -> Rankings:
    """Methods by r_S and by r_B: mean ranks, and how far the orders agree where methods are told apart.

    Pairs are summed over the cells of a seed, which share models and so their luck: a seed is a cluster.
    """
    ranks: dict[Aim, dict[str, list[float]]] = {"untraining": {}, "unlearning": {}}
    both: dict[int, list[tuple[int, int]]] = {}
    halves: list[tuple[int, int]] = []
    counted = 0
    for cell in cells:
        methods = [row for row in cell.rows if row.kind == "method" and row.status == "ok"]
        for aim, of_aim in ranks.items():
            for name, rank in _ranks(methods, aim):
                of_aim.setdefault(name, []).append(rank)
        own = [
            (_sign(one.untraining), _sign(one.unlearning))
            for one in cell.pairs
            if isinstance(one.untraining, Estimate) and isinstance(one.unlearning, Estimate)
        ]
        if own:
            counted += 1
            both.setdefault(cell.seed, []).extend(own)
        for one in cell.pairs:
            halves += [half for half in (one.halves_untraining, one.halves_unlearning) if half is not None]
    orders = [
        tuple(sorted(((name, float(np.mean(own))) for name, own in of_aim.items()), key=lambda pair: pair[1]))
        for of_aim in ranks.values()
    ]
    seeds = [_counted(own) for own in both.values()]
    told = [one.told_apart for one in seeds]
    tau: Measured = NotMeasured("no pair of methods is told apart on both aims")
    flips: Measured = tau
    if any(told):
        flips = share_over_clusters([one.flipped for one in seeds], told, what="seeds")
        surplus = [one.told_apart - 2 * one.flipped for one in seeds]
        tau = share_over_clusters(surplus, [one.pairs for one in seeds], least=-1.0, what="seeds")
    return Rankings(
        tau,
        flips,
        counted,
        orders[0],
        orders[1],
        counts=_counted([pair for own in both.values() for pair in own]),
        floor=_counted(halves) if halves else None,
    )


def _counted(signs: Iterable[tuple[int, int]]) -> PairCounts:
    products = [a * b for a, b in signs]
    return PairCounts(len(products), sum(one != 0 for one in products), sum(one < 0 for one in products))


def _ranks(methods: Sequence[SweepRow], aim: Aim) -> list[tuple[str, float]]:
    known = [(row.id, getattr(row, f"residual_{aim}")) for row in methods]
    known = [(name, one.value) for name, one in known if isinstance(one, Estimate)]
    if len(known) < 2:
        return []
    values = np.array([value for _, value in known])
    # Ties share the mean of their ranks.
    below, same = (values[:, None] > values[None]).sum(1), (values[:, None] == values[None]).sum(1)
    return [(name, float(rank)) for (name, _), rank in zip(known, below + (same + 1) / 2, strict=True)]
