"""`sweep`: the machinery of `compare` over a grid of cases, and what the grid says together."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from unweave._errors import SpecError, UserError
from unweave.problem import Case
from unweave.records import SWEEP_SCHEMA, SweepCell, SweepResult, sweep_csv, to_json
from unweave.references import in_use
from unweave.report.sweep import sweep_headline, sweep_page
from unweave.study import sweep_views as views
from unweave.study.assemble import assemble
from unweave.study.compare import (
    choice_given,
    ensure_methods,
    provenance_of,
)
from unweave.study.comparison import write_files
from unweave.study.device import PROCESSES, check_engine
from unweave.study.engines import cores, engine_at_work
from unweave.study.given import no_checkpoint
from unweave.study.holdings import keep_ids, made_anew, needed, of_other_versions
from unweave.study.manifest import check_unchanged
from unweave.study.own_code import trusted_files
from unweave.study.own_worlds import panels
from unweave.study.plugins import methods_of, plugins_of, told_of
from unweave.study.preflight import check_room
from unweave.study.running import Message, Progress, case_named, store_of, told_to
from unweave.study.spec import MethodChoice, Spec, case_from_tree, case_to_tree
from unweave.study.sweep_advice import Bounds, advise
from unweave.study.sweep_axes import BEHAVIOURS, PRESET_METHODS, Axes, Place, grid, preset_cases, read_axes
from unweave.study.sweep_ranks import rankings
from unweave.study.sweep_steps import (
    analyse_each,
    assembled,
    cells_of,
    forecast,
    going_on,
    sites_of,
    train_each_once,
)
from unweave.study.sweep_worth import selection_costs


@dataclass(frozen=True)
class Sweep:
    """What `sweep` found; saves itself to a folder."""

    result: SweepResult

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write `sweep.json`, `cells.csv` and `sweep.html`, each whole or not at all.

        Returns:
            The folder.

        Raises:
            UserError: if they cannot be written.
        """
        found = self.result
        texts = {"sweep.json": to_json, "cells.csv": sweep_csv, "sweep.html": sweep_page}
        return write_files(Path(folder), {name: make(found) for name, make in texts.items()})

    def __repr__(self) -> str:
        return f"Sweep: {self.result.headline}"


def sweep(
    case: Case | str | Sequence[Case | str] | None = None,
    *,
    behaviours: Sequence[str | dict[str, Any]] | None = None,
    discovery: Sequence[float] | None = None,
    selection: Sequence[str] | None = None,
    methods: str | Sequence[str | tuple[str, dict[str, float]] | dict[str, Any]] | None = None,
    models: int | None = None,
    seeds: int | None = None,
    target: float | None = None,
    margin: float | None = None,
    cost_per_example: float | None = None,
    preset: str | None = None,
    quick: bool = False,
    store: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    device: str = "cpu",
    engine: str = PROCESSES,
    trust_code: Sequence[str | os.PathLike[str]] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
    on_progress: Progress | None = None,
    on_message: Message | None = None,
) -> Sweep:
    """Compare methods over a grid: behaviour × γ × selection of S × case × seed, K models in each world.

    Each cell is judged as `compare` judges a case. Beside it stand accuracy on test (utility), accuracy on B
    against the clean labels (healed), their product (score), and, pooled over cells, the share of the gap from
    A(D∖S) to A(D∖B) that each method closed. What the store holds is not trained again; a cell that fails is a
    row.

    Args:
        case: One case or several, or names of registered ones; None = digits with each of `behaviours`.
        behaviours: Kinds, or tables of one with parameters; None = those of the cases (mislabel, confusion and
            trigger without a case).
        discovery: Shares γ in (0, 1]; None = .1, .3, .5, .8.
        selection: `random`, `clustered`, `easiest`, `hardest`; None = that of the cases.
        methods: As in `compare`; None with a preset = those of the preset.
        models: Models per world, at least 3; None = what the cases say.
        seeds: How many seeds, counted up from that of the case; None = 1.
        target: Which r_B in (0, 1) is sufficient; None = .1.
        margin: Which difference of scores in (0, 1) does not matter for advice; None = .05.
        cost_per_example: What finding one more example costs, in retrainings; None = not said.
        preset: `discovery`: mislabel, confusion and trigger × four γ on Fashion-MNIST.
        quick: With a preset: on digits.
        store: As in `compare`, and so all that follows.
        workers: Worker processes.
        device: Where models are trained.
        engine: What runs the workers.
        trust_code: Files of your own with learners.
        plugins: Files of your own that register methods.
        on_progress: Called as (stage, done, total).
        on_message: Called with each sentence that a reader should see at once; the first is the forecast.

    Returns:
        The sweep; `.result` is the record, `.save(folder)` writes files.

    Raises:
        UserError: for bad input, before anything is trained.

    Example:
        >>> from unweave import Case, LearnerChoice, sweep
        >>> tiny = Case(learner=LearnerChoice(epochs=1))
        >>> store = getfixture("tmp_path")
        >>> found = sweep(tiny, discovery=[0.5], methods=["noop"], models=3, store=store, workers=1)
        >>> [cell.status for cell in found.result.cells]
        ['ok']
    """
    listed = () if case is None else (case,) if isinstance(case, Case | str) else tuple(case)
    for one in listed:
        if not isinstance(one, (Case, str)):  # pyright: ignore[reportUnnecessaryIsInstance] - scripts are not typed
            raise SpecError(f"`case` holds {one!r}; expected an unweave.Case or the name of a registered one.")
    if preset is not None:
        if listed:
            raise SpecError("A preset has cases of its own; give `preset` or `case`, not both.")
        listed = preset_cases(preset, quick=quick, behaviours=behaviours)
        behaviours = None
    elif quick:
        raise SpecError("`quick` belongs to a preset; give `preset` as well.")
    found = [case_named(one) for one in listed]
    given = {
        **{"behaviour": behaviours or (None if listed else BEHAVIOURS), "discovery": discovery},
        **{"selection": selection, "models": models, "seeds": seeds, "target": target},
        **{"margin": margin, "cost_per_example": cost_per_example},
    }
    axes = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    names = [methods] if isinstance(methods, str) else methods
    spec = Spec(
        tuple(case_from_tree(case_to_tree(one)) for one in found) or (Case(name="digits"),),
        None if names is None else tuple(choice_given(one) for one in names),
        store=None if store is None else Path(store),
        workers=workers,
        device=device,
        engine=engine,
        trust_code=tuple(Path(one) for one in trust_code),
        plugins=tuple(Path(one) for one in plugins),
        sweep={key: value for key, value in axes.items() if value is not None},
        instead=() if preset is None else PRESET_METHODS[preset],
    )
    return run_sweep(spec, on_progress=on_progress, on_message=on_message)


def prepare_sweep(spec: Spec, methods: Sequence[MethodChoice]) -> tuple[Axes, list[Place]]:
    """The axes and points of a sweep, checked as far as that needs no data.

    Raises:
        UserError: for what is wrong with them.
    """
    names = [case.name for case in spec.cases]
    if not names or len(set(names)) < len(names):
        raise UserError(f"Expected cases of different names, got {names or 'none'}.")
    if spec.fair.to_tree():
        raise SpecError("A sweep runs each method at its defaults; leave out `fair`.")
    if spec.measures is not None:
        raise SpecError("A sweep measures no metrics and attacks by name; leave out `measures`, or use `compare`.")
    axes = read_axes(spec.sweep)
    no_checkpoint(spec.cases, "sweep")
    check_engine(spec.engine, spec.device)
    if not methods:
        raise SpecError("A sweep needs at least one method.")
    return axes, grid(spec.cases, axes)


def run_sweep(spec: Spec, *, on_progress: Progress | None = None, on_message: Message | None = None) -> Sweep:
    """Run the sweep of a spec; see `sweep`."""
    with plugins_of(spec.plugins) as names:
        return _run(spec, methods_of(spec, names), on_progress=on_progress, on_message=on_message)


def _run(
    spec: Spec, methods: Sequence[MethodChoice], *, on_progress: Progress | None, on_message: Message | None
) -> Sweep:
    started, clock = datetime.now(UTC), time.perf_counter()
    told = told_to(on_progress, on_message)
    tell, show, notes = told
    axes, places = prepare_sweep(spec, methods)
    store = store_of(spec)
    store.check_writable()
    arrive = partial(assemble, trusted=trusted_files(spec.trust_code), device=spec.device, held={})
    made, refused = assembled(places, arrive)
    assemblies, of_each, notes_of_panels = panels(list(made.values()), methods, again=arrive)
    check_room(store, assemblies, of_each)
    sites = sites_of(assemblies, places)
    told.note([*told_of(methods), *list(dict.fromkeys(notes_of_panels))[:1]])
    told.note([f"{name}: not run: {why}" for name, why in refused.items()])
    show(forecast(store, assemblies, of_each, cells=len(places), workers=spec.workers or cores()))
    before, keys = store.quarantined(), needed(assemblies, of_each)
    with ExitStack() as held:
        held.enter_context(in_use(store, keys))
        for assembly in assemblies:
            check_unchanged(store, assembly)
        engine = held.enter_context(engine_at_work(spec, store, assemblies, of_each, told.note))
        told.note(list(dict.fromkeys(of_other_versions(store, assemblies))))
        keep_ids(store, assemblies)
        failed: dict[str, str] = {}
        trained, total = train_each_once(store, assemblies, engine, tell, failed, show)
        alive = [one for one in assemblies if one.case.name not in failed]
        reasons = ensure_methods(store, alive, of_each, going_on(engine.train, show), tell) if alive else {}
        results = analyse_each(store, alive, of_each, reasons, engine, tell, failed, show)
        told.note(made_anew(store, before))
        cells = cells_of(store, places, sites, of_each, results, failed | refused)

    provenance = provenance_of(
        started=started,
        clock=clock,
        hardware=engine.hardware,
        seed=spec.cases[0].seed,
        counts=(trained, total),
        spec={**_spec_tree(spec, methods), "sweep": axes.to_tree()},
        fingerprints={one.case.name: one.setting.fingerprint for one in assemblies},
        notes=notes,
    )
    found = _derived(cells, axes, provenance)
    return Sweep(replace(found, headline=sweep_headline(found)))


def _derived(cells: tuple[SweepCell, ...], axes: Axes, provenance: Any) -> SweepResult:
    judged = views.with_verdicts(cells)
    points = views.points(judged)
    return SweepResult(
        schema=SWEEP_SCHEMA,
        headline="",
        gap_closed=views.gap_closed(cells),
        axes=axes.to_tree(),
        target=axes.target,
        regularity=views.regularity(cells),
        points=points,
        enough=views.enough(points, axes.target),
        prices=views.prices(cells),
        rankings=rankings(cells),
        cells=cells,
        provenance=provenance,
        advice=advise(judged, points, Bounds(axes.target, axes.margin, axes.cost_per_example)),
        selections=selection_costs(cells),
    )


def _spec_tree(spec: Spec, methods: Sequence[MethodChoice]) -> dict[str, Any]:
    listed = [{"name": one.name, **one.params} if one.params else one.name for one in methods]
    return {"version": 1, "methods": listed, "cases": [case_to_tree(case) for case in spec.cases]}
