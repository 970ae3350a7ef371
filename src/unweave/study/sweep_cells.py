"""One cell of a sweep: the rows of its comparison, and what each model did on B∖S, unseen instances and test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._types import Measured, NotMeasured
from unweave.metrics import rate
from unweave.problem import Probes
from unweave.records import CaseResult, Row, SweepCell, SweepRow
from unweave.references import Outputs, WorldPlan
from unweave.stats import Term, pooled_mean, pooled_share
from unweave.study.assemble import Assembly
from unweave.study.sweep_axes import Place
from unweave.study.sweep_ranks import pairs_of

Floats = NDArray[np.float64]

NO_PROBES = "no probes of B∖S, and no unseen instances"
NO_MEMBERS = "no probes of B"
GONE = "its outputs are not in the store: code was changed while the sweep ran; run it again"
NO_CLEAN = "the clean label is the behaviour itself"


class Site(NamedTuple):
    """A case of a sweep, where it stands in the grid, and whose worlds it has ("" = its own learner's)."""

    place: Place
    panel: str
    assembly: Assembly


def rates_of(probes: Probes, logits: NDArray[np.floating]) -> dict[str, tuple[float, ...]]:
    """What each model does, one number per model [K] and key.

    `utility`: accuracy on test; `healed`: share of B, discovered or not, with the clean label, in which S and B∖S
    weigh as many as they are, whatever limit their probes have; `survival`: share of B∖S and unseen instances,
    pooled probe by probe, with the label of the behaviour; `forget` and `undiscovered`: that share of S and of
    B∖S; `score` = utility × healed. What has no probes is left out.

    Args:
        probes: Of the case.
        logits: [K, probes, classes]; what follows the probes is left out.

    Returns:
        Shares in 0…1.

    Source: Schoepf et al. (2025), arXiv 2505.17730, for utility, healed and their product.
    """
    said = logits[:, : len(probes.clean)].argmax(-1)
    groups = {name: np.asarray(rows) for name, rows in probes.groups.items()}
    empty = np.empty(0, dtype=np.int64)
    left = np.concatenate([groups.get(name, empty) for name in ("undiscovered", "unseen")])
    whole = {name: groups[name] for name in ("forget", "undiscovered") if len(groups.get(name, empty))}
    found: dict[str, Floats] = {}
    if len(groups.get("test", empty)):
        found["utility"] = rate(said[:, groups["test"]], probes.clean[groups["test"]])
    for key, rows in (
        ("survival", left),
        *((name, groups.get(name, empty)) for name in ("forget", "undiscovered")),
    ):
        if len(rows):
            found[key] = rate(said[:, rows], probes.planted[rows])
    if any((probes.planted[rows] != probes.clean[rows]).any() for rows in whole.values()):
        each = [rate(said[:, rows], probes.clean[rows]) for rows in whole.values()]
        found["healed"] = np.average(each, axis=0, weights=[probes.population[name] for name in whole])
    if "utility" in found and "healed" in found:
        found["score"] = found["utility"] * found["healed"]
    return {key: tuple(float(one) for one in values) for key, values in found.items()}


def batch_of(world: WorldPlan) -> str:
    """Names the seeds of a world's models: worlds of one name are not independent, whatever they train on."""
    return sha256(json.dumps([str(key) for key in world.keys]).encode()).hexdigest()[:12]


def cell_of(site: Site, found: CaseResult, outputs: Mapping[str, Outputs]) -> SweepCell:
    """The cell of a comparison that ran.

    Args:
        site: The case and where it stands.
        found: Its comparison.
        outputs: Of every world and method that has them, by the id of the row.
    """
    per_model = {name: rates_of(site.assembly.probes, one.logits) for name, one in outputs.items()}
    rows = tuple(_row(site, row, per_model.get(row.id, {})) for row in found.rows)
    shown = {
        name: {key: Term(batch_of(site.assembly.worlds[name]), np.array(one)) for key, one in own.items()}
        for name, own in per_model.items()
        if name in ("original", "untrained", "unlearned")
    }
    sizes: dict[str, Any] = found.case["sizes"]
    return _cell(
        site,
        status="ok",
        sizes={name: sizes[name] for name in ("D", "B", "S")},
        headline=found.headline,
        null_ok=found.null_ok,
        warnings=found.warnings,
        regularity=regularity_of([shown]),
        cross_influence=_cross_influence(shown),
        rows=rows,
        pairs=pairs_of(site.assembly, found, outputs, _tag(site)),
    )


def failed_cell(site: Site, reason: str) -> SweepCell:
    """A cell whose worlds or comparison could not be made."""
    sizes = {"D": len(site.assembly.setting.y), "B": None, "S": len(site.assembly.forget)}
    if site.assembly.planted.known:
        sizes["B"] = len(site.assembly.planted.members)
    return _cell(site, status="failed", reason=reason, sizes=sizes)


def refused_cell(place: Place, reason: str) -> SweepCell:
    """A cell of which no case can be made: the data have no such behaviour, or too little of it."""
    return _cell(Site(place, "", None), status="refused", reason=reason)  # pyright: ignore[reportArgumentType]


def _cell(site: Any, *, reason: str = "", **given: Any) -> SweepCell:
    place, why = site.place, NotMeasured(reason or "not measured")
    empty: dict[str, Any] = {
        "sizes": {},
        "headline": "",
        "null_ok": False,
        "warnings": (),
        "regularity": why,
        "cross_influence": why,
        "rows": (),
    }
    return SweepCell(
        name=place.case.name,
        case=place.base,
        behaviour=place.behaviour,
        discovery=place.discovery,
        selection=place.selection,
        seed=place.seed,
        panel=site.panel,
        reason=reason,
        **{**empty, **given},
    )


def regularity_of(cells: list[dict[str, dict[str, Term]]]) -> Measured:
    """Of what A(D) shows on S beyond A(D∖B), the share that models of A(D∖S), which never saw S, show too.

        ρ = Σ_c (b_S(A(D∖S)) − b_S(A(D∖B))) / Σ_c (b_S(A(D)) − b_S(A(D∖B))),    b_S = rate of the behaviour on S

    1: B∖S teaches S, the behaviour is a rule; 0: it is memorised one by one. The rest of B is the teacher, so ρ of
    a small γ is the one of the behaviour.

    Args:
        cells: Per cell and world (`original`, `untrained`, `unlearned`) the rates of its models, by key.

    Returns:
        Share, no unit; `NotMeasured` where A(D) shows no more on S than A(D∖B).
    """
    above: list[Term] = []
    below: list[Term] = []
    for worlds in cells:
        if any("forget" not in worlds.get(name, {}) for name in ("original", "untrained", "unlearned")):
            continue
        base = worlds["unlearned"]["forget"]._replace(weight=-1.0)
        above += [worlds["untrained"]["forget"], base]
        below += [worlds["original"]["forget"], base]
    return pooled_share(above, below) if above else NotMeasured("no cell with rates on S in all three worlds")


def _cross_influence(worlds: Mapping[str, Mapping[str, Term]]) -> Measured:
    ends = [worlds.get(name, {}).get("undiscovered") for name in ("original", "untrained")]
    if ends[0] is None or ends[1] is None:
        return NotMeasured("B∖S is empty")
    return pooled_mean([ends[0], ends[1]._replace(weight=-1.0)])


def _tag(site: Site) -> str:
    return f" ({site.panel} worlds)" if site.panel else ""


def _row(site: Site, row: Row, per_model: dict[str, tuple[float, ...]]) -> SweepRow:
    worlds = site.assembly.worlds
    batch = batch_of(next((one for name, one in worlds.items() if name == row.id), worlds["original"]))
    tag = _tag(site)
    ran = row.status == "ok"
    members = {"forget", "undiscovered"} & set(per_model)
    left = NO_CLEAN if members else NO_MEMBERS
    why = {"healed": left, "score": left, "survival": NO_PROBES, "utility": "no probes of `test`"}
    if ran and not per_model:
        why = dict.fromkeys(why, GONE)
    means: dict[str, Any] = {
        key: pooled_mean([Term(batch, np.array(per_model[key]))])
        if key in per_model
        else NotMeasured(row.reason if not ran else reason)
        for key, reason in why.items()
    }
    return SweepRow(
        id=row.id + tag,
        name=row.name + tag,
        kind=row.kind,
        status=row.status,
        reason=row.reason,
        label=row.label,
        untraining=row.verdict_untraining.outcome,
        unlearning=row.verdict_unlearning.outcome,
        generality=row.generality,
        residual_untraining=row.residual_untraining,
        residual_unlearning=row.residual_unlearning,
        cost=row.cost.gradient_ratio if ran else None,
        models=batch,
        per_model=per_model,
        **means,
    )
