"""Results built by hand: the shapes a comparison can take, from the usual to the degenerate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from unweave._types import Estimate, Measured, NotMeasured
from unweave.records import (
    SCHEMA,
    AimDamage,
    AimTail,
    CaseResult,
    Cost,
    Damage,
    Example,
    Furthest,
    Geometry,
    Group,
    Label,
    MapPoint,
    Outcome,
    Part,
    Plane,
    PlanePoint,
    Provenance,
    Region,
    Result,
    Row,
    Tail,
    Verdict,
    Weights,
    World,
)
from unweave.report.png import png_address

_spec = spec_from_file_location("poison", Path(__file__).with_name("poison.py"))
_poison = module_from_spec(_spec)
_spec.loader.exec_module(_poison)

GROUPS = ("forget", "undiscovered", "unseen", "retain", "test")
DOT = png_address(b"\x80", 1, 1, colours=False)
NO_UNSEEN = NotMeasured("random mislabels have no unseen instances")
UNKNOWN = NotMeasured("behaviour not declared; run discover")


def est(value: float, half: float = 0.05) -> Estimate:
    return Estimate(value, value - half, value + half, 32)


def share(value: float, half: float = 0.012) -> Estimate:
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), 32)


def make_verdict(outcome: Outcome, residual: Measured, reason: str = "") -> Verdict:
    if outcome == "not measured":
        return Verdict(outcome, reason, NotMeasured(reason or "not asked"))
    excess = est(0.3 * (residual.value - 0.1), 0.01) if isinstance(residual, Estimate) else residual
    if outcome == "no power":
        return Verdict(outcome, "nothing to remove", excess)
    reached = outcome == "reached"
    p_value = 0.004 if reached else 0.41
    parts = (
        Part("overall", excess, p_value, reached or outcome == "inconclusive"),
        Part("undiscovered", est(0.02), p_value, reached),
        Part("accuracy on test", est(-0.003, 0.004), 0.0004, True),
    )
    return Verdict(outcome, "", excess, parts, p_value, min(1.0, 8 * p_value))


def make_row(
    name: str,
    *,
    kind: str = "method",
    t: float | None = 0.1,
    y: float = 0.01,
    r: tuple[float | None, float | None] = (None, 0.5),
    outcomes: tuple[Outcome, Outcome] = ("no power", "missed"),
    label: Label = "neither",
    rate: float = 0.5,
    accuracy: float = 0.93,
    stage: str = "default",
    status: str = "ok",
    reason: str = "",
    unseen: bool = True,
    cost: float = 0.12,
) -> Row:
    why = NotMeasured("untraining has no power here: no distance to divide by")
    r_s, r_b = (why if value is None else est(value, 0.02 + 0.06 * abs(value)) for value in r)
    groups: dict[str, Group] = {}
    for index, group in enumerate(GROUPS):
        if group == "unseen" and not unseen:
            continue
        planted = index < 3
        residual = (r_s, r_b) if planted else (NotMeasured("ordinary data"), NotMeasured("ordinary data"))
        shown = share(rate if planted else 0.03)
        groups[group] = Group(
            n_probes=(20, 80, 200, 300, 397)[index],
            in_verdict=True,
            behaviour_rate=shown,
            accuracy=share(accuracy - rate * 0.8 if planted else accuracy),
            energy_untraining=est(0.02, 0.004),
            energy_unlearning=est(0.31, 0.02),
            stacked_untraining=est(0.02, 0.004),
            stacked_unlearning=est(0.35, 0.02),
            residual_untraining=residual[0],
            residual_unlearning=residual[1],
        )
    aim_damage = AimDamage(
        est(0.004, 0.002), est(0.005, 0.002), est(0.0001, 0.001), est(0.0002, 0.001),
        est(accuracy - 0.94, 0.005), est(accuracy - 0.935, 0.006),
    )  # fmt: skip
    tails = {group: Tail(0.21, 0.02, 0.4) for group in groups}
    xy = None if t is None else MapPoint(t, y, ((0.0004, 0.00005), (0.00005, (0.01 + 0.02 * abs(y)) ** 2)))
    off = est(y, 0.03)
    return Row(
        id=f"{name}-{stage}",
        name=name,
        kind=kind,
        stage=stage,
        status=status,
        reason=reason,
        params={"steps": 200, "lr": 0.01},
        label=label,
        generality=est(t, 0.04) if t is not None else NotMeasured("the method gave no model"),
        off_line_squared=off if t is not None else NotMeasured("the method gave no model"),
        off_line="",
        xy=xy,
        weights=Weights(est(0.4), est(0.2), est(0.4)) if kind == "method" else None,
        residual_untraining=r_s,
        residual_unlearning=r_b,
        verdict_untraining=make_verdict(outcomes[0], r_s, "the original sits at the reference"),
        verdict_unlearning=make_verdict(outcomes[1], r_b, "not asked"),
        groups=groups,
        tail=AimTail(tails, tails),
        damage=Damage(aim_damage, aim_damage),
        cost=Cost(cost, 3.2, 40_000_000),
        cite="someone2024method",
        n_models=32,
    )


def make_geometry(**changes: object) -> Geometry:
    usual = Geometry(
        gap=est(0.42, 0.03), drawn=True, why_not="", height_squared=est(0.01, 0.02),
        energy_original_untrained=est(0.004, 0.005), energy_original_unlearned=est(0.61, 0.04),
        energy_untrained_unlearned=est(0.6, 0.04), p_untraining=0.44, p_unlearning=0.0005,
        attainable_untraining=0.03, attainable_unlearning=0.021,
    )  # fmt: skip
    return replace(usual, **changes)


def make_case(name: str, rows: tuple[Row, ...], **changes: object) -> CaseResult:
    worlds = tuple(
        World(world, f"training set {index}", count, 32)
        for index, (world, count) in enumerate(
            [("original", 1400), ("untrained", 1380), ("unlearned", 1300), ("null_untrained", 1380)]
        )
    )
    usual = CaseResult(
        name=name, headline="", case={"data": "digits", "behaviour": {"kind": "trigger", "size": 100}},
        margin=0.1, alpha=0.05, null_ok=True, warnings=(), geometry=make_geometry(), worlds=worlds, rows=rows,
    )  # fmt: skip
    return replace(usual, **changes)


def make_result(*cases: CaseResult) -> Result:
    provenance = Provenance(
        unweave="0.1.0", python="3.11.2", torch="2.13.0", numpy="2.3.0", hardware="2 CPU cores", seed=0,
        started="2026-01-02T03:04:05+00:00", seconds=41.3, models_trained=160, models_reused=0,
        spec={"version": 1, "seed": 0, "margin": 0.1, "behaviour": {"kind": "trigger", "size": 100},
              "forget": {"discovery": 0.2}, "methods": ["delete", {"name": "npo", "beta": 0.1}]},
        fingerprints={"digits": "sha256:0123456789abcdef"},
    )  # fmt: skip
    return Result(SCHEMA, "", provenance, cases)


def trigger_case() -> CaseResult:
    missed, label = ("no power", "missed"), "neither"
    nothing = {"label": "not applicable", "outcomes": ("not measured", "not measured"), "cost": 1.0}
    rows = (
        make_row("DELETE", t=0.62, y=0.09, r=(None, 0.35), outcomes=missed, label=label, rate=0.31),
        make_row("fine-tuning", t=0.0, y=0.0004, r=(None, 1.0), outcomes=missed, label=label, rate=0.99),
        make_row("gradient ascent", t=0.31, y=1.1, r=(None, 1.34), outcomes=missed, label=label, rate=0.4,
                 accuracy=0.71),
        make_row("NegGrad+", t=0.12, y=0.3, r=(None, 0.77), outcomes=missed, label=label, rate=0.8),
        make_row("random labels", t=0.52, y=0.16, r=(None, 0.58), outcomes=missed, label=label, rate=0.44),
        make_row("SCRUB", t=0.04, y=0.02, r=(None, 0.93), outcomes=missed, label=label, rate=0.95),
        make_row("SalUn", t=0.49, y=0.2, r=(None, 0.6), outcomes=missed, label=label, rate=0.5),
        make_row("expansion + retrain", t=0.985, y=0.001, r=(None, 0.03), outcomes=("no power", "reached"),
                 label="unlearned", rate=0.11, cost=1.9),
        make_row("DELETE", t=0.84, y=0.05, r=(None, 0.12), outcomes=("no power", "inconclusive"),
                 label="inconclusive", rate=0.17, stage="tuned_unlearning"),
        blank_row(
            make_row("SSD", status="failed", reason="a weight was not finite after step 3"),
            NotMeasured("the method failed"),
        ),
        make_row("reference A(D∖S)", kind="reference", t=None, r=(None, None), rate=0.992, **nothing),
        make_row("original", kind="original", t=-0.002, y=0.001, r=(None, 1.0), rate=0.993, **nothing),
        make_row("fresh A(D∖S)", kind="null", t=0.0, y=0.0002, r=(None, 0.99), rate=0.992, **nothing),
        make_row("fresh A(D∖B)", kind="null", t=0.998, y=-0.0004, r=(None, 0.001), rate=0.1, **nothing),
    )  # fmt: skip
    examples = (
        Example("undiscovered", "17", "3", "0", DOT, {}),
        Example("test", "row 4", "no", "", "", {"age": "41", "education": "missing"}),
    )
    found = (
        Furthest(0, "unlearning", 1.2, ("0", 0.91), ("3", 0.88)),
        Furthest(1, "unlearning", 0.4, ("yes", 0.6), ("no", 0.7)),
    )
    rows = tuple(
        replace(row, furthest=found) if row.kind == "method" and row.status == "ok" else row for row in rows
    )
    return make_case("digits-trigger", rows, examples=examples)


def make_plane(rows: tuple[Row, ...]) -> Plane:
    points = (
        PlanePoint(0.0, 0.0, 0, "ordinary"),
        PlanePoint(1.0, 0.5, 1, "undiscovered"),
        PlanePoint(0.5, 1.0, 1, "forget", "star"),
    )
    regions = {row.id: Region("0011", "0599") for row in rows if row.kind != "null" and row.status == "ok"}
    return Plane((-0.1, 1.1), (-0.1, 1.1), 2, ("left", "right"), points, regions)


def mislabel_case() -> CaseResult:
    def row(name: str, **changes: object) -> Row:
        return make_row(name, **({"unseen": False, "outcomes": ("missed", "missed"), "rate": 0.1} | changes))

    nothing = {"label": "not applicable", "outcomes": ("not measured", "not measured"), "cost": 1.0}
    rows = (
        row("DELETE", t=-0.05, y=0.04, r=(0.4, 0.85)),
        row("fine-tuning", t=-0.01, y=0.02, r=(0.07, 0.82), outcomes=("reached", "missed"), label="untrained"),
        row("gradient ascent", t=0.9, y=25.0, r=(40.0, 21.0), accuracy=0.3),
        row("NegGrad+", t=0.24, y=11.5, r=(12.0, 0.9)),
        row("random labels", t=-0.43, y=3.6, r=(12.0, 2.2)),
        row(
            "SCRUB",
            t=-0.03,
            y=0.03,
            r=(0.12, 0.83),
            outcomes=("inconclusive", "missed"),
            label="inconclusive",
        ),
        row("SalUn", t=-0.2, y=1.2, r=(4.1, 1.4)),
        row("relabel by hand", t=0.97, y=0.002, r=(0.05, 0.02), outcomes=("reached", "reached"), label="both"),
        row("original", kind="original", t=-0.07, y=0.3, r=(1.0, 1.0), rate=0.5, **nothing),
        row("fresh A(D∖S)", kind="null", t=-0.001, y=0.0002, r=(0.0, 0.8), rate=0.08, **nothing),
        row("fresh A(D∖B)", kind="null", t=1.005, y=-0.0004, r=(0.8, 0.001), rate=0.02, **nothing),
    )
    geometry = make_geometry(
        energy_original_untrained=est(0.05, 0.006), p_untraining=0.0005, height_squared=est(0.3, 0.03)
    )
    warning = "group `forget` has 19 probes: shown, but in no verdict"
    rows = tuple(
        replace(one, groups=one.groups | {"forget": replace(one.groups["forget"], in_verdict=False, n_probes=19)})
        for one in rows
    )
    return make_case("digits-mislabels", rows, geometry=geometry, warnings=(warning,), plane=make_plane(rows))


def blank_row(row: Row, reason: NotMeasured) -> Row:
    """The row with nothing measured."""
    empty = Group(50, True, *[reason] * 8)
    verdict = Verdict("not measured", reason.not_measured, reason)
    damage = AimDamage(*[reason] * 6)
    return replace(
        row, generality=reason, off_line_squared=reason, off_line="", xy=None, weights=None,
        residual_untraining=reason, residual_unlearning=reason, verdict_untraining=verdict,
        verdict_unlearning=verdict, groups={group: empty for group in GROUPS}, tail=None,
        damage=Damage(damage, damage), label="not applicable", cost=Cost(0.0), n_models=0,
    )  # fmt: skip


def degenerate_cases() -> dict[str, CaseResult]:
    usual = trigger_case()
    not_drawn = make_geometry(
        gap=est(0.01, 0.02), drawn=False, why_not="the gap between the references is not told apart from 0"
    )
    undeclared = make_geometry(
        gap=UNKNOWN, drawn=False, why_not=UNKNOWN.not_measured, height_squared=UNKNOWN,
        energy_original_unlearned=UNKNOWN, energy_untrained_unlearned=UNKNOWN, p_unlearning=None,
        attainable_unlearning=None,
    )  # fmt: skip
    unbounded = tuple(
        replace(
            row,
            residual_unlearning=Estimate(0.4, None, None, 32),
            residual_untraining=Estimate(2.0, 0.1, None, 32),
        )
        for row in usual.rows
    )
    off_map = tuple(replace(row, xy=None) for row in usual.rows)
    return {
        "not drawn": replace(usual, name="not-drawn", geometry=not_drawn, rows=off_map),
        "null missed": replace(usual, name="null-missed", null_ok=False),
        "nothing measured": replace(
            usual,
            name="blank",
            geometry=undeclared,
            rows=tuple(blank_row(row, UNKNOWN) for row in usual.rows),
        ),
        "unbounded": replace(usual, name="unbounded", rows=unbounded),
        "no methods": replace(usual, name="bare", rows=tuple(r for r in usual.rows if r.kind != "method")),
        "no rows": replace(usual, name="empty", rows=(), worlds=()),
        "one model": replace(usual, name="one-model", rows=tuple(replace(r, n_models=1) for r in usual.rows)),
    }


@pytest.fixture
def trigger() -> CaseResult:
    return trigger_case()


@pytest.fixture
def mislabel() -> CaseResult:
    return mislabel_case()


@pytest.fixture
def result(trigger: CaseResult, mislabel: CaseResult) -> Result:
    return make_result(trigger, mislabel)


@pytest.fixture(params=sorted(degenerate_cases()))
def degenerate(request: pytest.FixtureRequest) -> CaseResult:
    return degenerate_cases()[request.param]


@pytest.fixture
def row_factory() -> Callable[..., Row]:
    return make_row


@pytest.fixture
def case_factory() -> Callable[..., CaseResult]:
    return make_case


@pytest.fixture
def result_factory() -> Callable[..., Result]:
    return make_result


@pytest.fixture
def payloads() -> list[str]:
    return _poison.payloads()


@pytest.fixture
def poison() -> Callable[[Result, str], Result]:
    return lambda result, payload: _poison.poisoned(result, payload, make_plane)
