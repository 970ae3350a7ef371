"""The steps of a sweep: assemble, forecast, train each model once, measure; what fails has a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unweave._errors import StoreError, UnweaveError, UserError
from unweave.execute import Task
from unweave.problem import Case
from unweave.records import CaseResult, SweepCell
from unweave.references import Outputs, Store, key_of, outputs_fields, read_verified, stored_fields
from unweave.study.ahead import expansion_work
from unweave.study.assemble import Assembly
from unweave.study.compare import analyse_cases
from unweave.study.engines import Engine, Run
from unweave.study.fair import why_refused
from unweave.study.forecast import forecast_text, seconds_per_model
from unweave.study.holdings import ids_of
from unweave.study.own_worlds import MethodsOf
from unweave.study.running import Message, Progress, case_task, counter
from unweave.study.spec import MethodChoice
from unweave.study.sweep_axes import Place
from unweave.study.sweep_cells import Site, cell_of, failed_cell, refused_cell
from unweave.study.tasks import method_fields, stored_method

Failures = dict[str, str]
"""The reason of each case that failed, by its name."""


def assembled(places: Sequence[Place], arrive: Callable[[Case], Assembly]) -> tuple[dict[str, Assembly], Failures]:
    """The cells as arrays, by name, and why others cannot be made; where none can, that is the error."""
    made: dict[str, Assembly] = {}
    refused: Failures = {}
    first: UserError | None = None
    for place in places:
        try:
            made[place.case.name] = arrive(place.case)
        except UserError as error:
            first = first or error
            refused[place.case.name] = str(error)
    if first is not None and not made:
        raise first
    return made, refused


def sites_of(assemblies: Sequence[Assembly], places: Sequence[Place]) -> list[Site]:
    """Where each case stands: cases that `panels` added stand where the case stands that they are made of."""
    at = {place.case.name: place for place in places}
    found: list[Site] = []
    for one in assemblies:
        name = one.case.name
        panel = "" if name in at else name.rpartition("-")[2]
        found.append(Site(at[name if not panel else name.rpartition("-")[0]], panel, one))
    return found


def _model_keys(assembly: Assembly, world: str) -> list[str]:
    return [key_of(fields) for fields in stored_fields(assembly.setting, assembly.worlds[world])]  # pyright: ignore[reportArgumentType]


def forecast(store: Store, assemblies: Sequence[Assembly], methods: MethodsOf, *, cells: int, workers: int) -> str:
    """How many cells, models and runs of methods there are, and what of them is missing."""
    shares: dict[str, float] = {}
    of_learner: dict[str, Assembly] = {}
    runs: list[tuple[Assembly, MethodChoice]] = []
    for assembly in assemblies:
        for name, world in assembly.worlds.items():
            for key in _model_keys(assembly, name):
                shares[key] = len(world.rows) / len(assembly.setting.y)
                of_learner[key] = assembly
        wanted = [one for one in methods[assembly.case.name] if not why_refused(assembly, one)]
        runs += [(assembly, one) for one in wanted if not store.has(key_of(method_fields(assembly, one)))]
    missing = [key for key in shares if not store.has(key)]
    said = f"{cells} cells of {len(shares)} models, {len(shares) - len(missing)} of them stored."
    more, expanded = expansion_work(store, runs)
    if missing or more:
        work = sum(shares[key] for key in missing) + more
        trained = of_learner[missing[0]] if missing else runs[0][0]
        said += " " + forecast_text(work, seconds_per_model(trained), workers)
    if more:
        said += f" At most {more:.0f} of these are to find more of the behaviour in {expanded} cells."
    count = assemblies[0].case.references.models
    after = f"{len(runs)} run{'s' * (len(runs) != 1)} of a method on {count} originals each"
    return f"{said} {f'Then {after}.' if runs else 'No method is left to run.'}"


def train_each_once(
    store: Store,
    assemblies: Sequence[Assembly],
    engine: Engine,
    tell: Progress,
    failed: Failures,
    show: Message,
) -> tuple[int, int]:
    """Train what is missing, each model once: worlds that share models with an earlier one wait for it."""
    waves: tuple[list[Task], list[Task]] = ([], [])
    of_case: tuple[list[str], list[str]] = ([], [])
    seen: set[str] = set()
    for assembly in assemblies:
        for name, world in assembly.worlds.items():
            models = _model_keys(assembly, name)
            later = not seen.isdisjoint(models)
            seen.update(models)
            if store.has(key_of(outputs_fields(assembly.setting, world))):
                continue
            label = f"training {world.training_set} of {assembly.case.name}"
            reads = [*models, *ids_of(assembly, world)]
            waves[later].append(case_task("train_world", store, assembly, label, reads, world=name))
            of_case[later].append(assembly.case.name)
    total, trained = sum(map(len, waves)), 0
    done = counter("train", total, tell)
    for tasks, names in zip(waves, of_case, strict=True):
        errors: dict[int, str] = {}
        run = going_on(engine.train, show, errors)
        counts = run(tasks, on_done=done)
        trained += sum(one for number, one in enumerate(counts) if number not in errors)
        for number, why in errors.items():
            failed.setdefault(names[number], why)
    return trained, len(seen)


def going_on(run: Run, show: Message, errors: dict[int, str] | None = None) -> Run:
    """`run` that gives the reason of a task that failed in place of its value, and goes on."""

    def go_on(tasks: Sequence[Task], *, on_done: Callable[[int, Any], None]) -> list[Any]:
        values: list[Any] = [None] * len(tasks)
        own: dict[int, str] = {}

        def done(number: int, value: Any) -> None:
            values[number] = value
            on_done(number, value)

        def failed(number: int, error: Exception) -> None:
            values[number] = own[number] = str(error)
            show(f"A task failed, and the others go on: {str(error).partition(chr(10))[0]}")

        try:
            run(tasks, on_done=done, on_failed=failed)
        except UnweaveError:
            if not own:
                raise
        if errors is not None:
            errors.update(own)
        return values

    return go_on


def analyse_each(
    store: Store,
    alive: Sequence[Assembly],
    methods: MethodsOf,
    reasons: dict[tuple[str, str], str],
    engine: Engine,
    tell: Progress,
    failed: Failures,
    show: Message,
) -> dict[str, CaseResult]:
    """The comparison of each case; those that cannot be measured are failures, and the others are read again."""
    while alive:
        errors: dict[int, str] = {}

        def run(tasks: Sequence[Task], errors: dict[int, str] = errors, **options: Any) -> list[Any]:
            values = going_on(engine.measure, show, errors)(tasks, **options)
            if errors:
                raise StoreError("cells could not be measured")
            return values

        try:
            found = analyse_cases(store, alive, methods, reasons, (), run, tell)
        except UnweaveError:
            if not errors:
                raise
            failed |= {alive[number].case.name: why for number, why in errors.items()}
            alive = [one for number, one in enumerate(alive) if number not in errors]
        else:
            return {one.case.name: result for one, result in zip(alive, found, strict=True)}
    return {}


def cells_of(
    store: Store,
    places: Sequence[Place],
    sites: Sequence[Site],
    methods: MethodsOf,
    results: dict[str, CaseResult],
    reasons: Failures,
) -> tuple[SweepCell, ...]:
    """Every cell of the grid: with its rows, or with the reason why it has none."""
    found: list[SweepCell] = []
    for place in places:
        own = [site for site in sites if site.place is place]
        if not own:
            found.append(refused_cell(place, reasons.get(place.case.name, "not run")))
        for site in own:
            name = site.assembly.case.name
            if name in results:
                outputs = _outputs(store, site.assembly, methods[name])
                found.append(cell_of(site, results[name], outputs))
            else:
                found.append(failed_cell(site, reasons.get(name, "not run")))
    return tuple(found)


def _outputs(store: Store, assembly: Assembly, methods: Sequence[MethodChoice]) -> dict[str, Outputs]:
    """Outputs of all worlds and methods that have them, by the id of their row."""
    found: dict[str, Outputs] = {}
    for name, world in assembly.worlds.items():
        stored = read_verified(store, key_of(outputs_fields(assembly.setting, world)))
        if stored is not None:
            found[name] = Outputs(stored[0]["logits"], stored[1])
    for choice in methods:
        if (kept := stored_method(store, assembly, choice)) is not None:
            found[choice.id] = kept
    return found
