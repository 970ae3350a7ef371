"""`unweave discover`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.options import (
    AllowUnknown,
    Debug,
    Json,
    ModelStore,
    OneCase,
    Out,
    Quiet,
    Seed,
    Setting,
    SpecFile,
    TrustCode,
    Workers,
    reported,
)

if TYPE_CHECKING:
    from unweave.study.discover import DiscoverWanted


def discover(
    spec: SpecFile = None,
    case: OneCase = None,
    setting: Setting = None,
    target: Annotated[
        float, typer.Option(help="Recall of the rest of B that the cut-off promises.", metavar="R")
    ] = 0.9,
    confidence: Annotated[
        str,
        typer.Option(
            help="mean: that recall on average; 95: of the law of members, with 95% confidence.", metavar="mean|95"
        ),
    ] = "mean",
    rounds: Annotated[
        int, typer.Option(help="Rank so often; what is most likely teaches the next round.", metavar="N")
    ] = 1,
    method: Annotated[
        str,
        typer.Option(
            help="expansion, knn, gradient-cosine, trak, spectral, activation-clustering or confident-learning.",
            metavar="NAME",
        ),
    ] = "expansion",
    models: Annotated[int, typer.Option(help="Models on random halves of D.", metavar="N")] = 10,
    confirmed: Annotated[
        str | None,
        typer.Option(help="Ids that you confirmed: a file of one id a line, or ids and commas.", metavar="FILE"),
    ] = None,
    rejected: Annotated[
        str | None,
        typer.Option(help="Ids that you rejected, in the same form: they are no candidates.", metavar="FILE"),
    ] = None,
    ask: Annotated[
        int, typer.Option(help="Name so many candidates to look at next: the last above the cut.", metavar="K")
    ] = 0,
    out: Out = None,
    store: ModelStore = None,
    workers: Workers = None,
    allow_unknown: AllowUnknown = False,
    seed: Seed = None,
    trust_code: TrustCode = None,
    json: Json = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find the rest of a behaviour from S: a ranked list of D∖S with a cut-off that promises a recall.

    Without a spec or case: the default case digits-trigger.
    """
    with reported(debug):
        from unweave.cli.files import write_file
        from unweave.cli.running import results_in
        from unweave.cli.shown import save, tell
        from unweave.cli.wanted import named_case, wanted_spec
        from unweave.records.discovery import ranking_csv
        from unweave.study.discover import prepare_discover, run_discover

        wanted = wanted_spec(
            spec,
            named_case(spec, case, "digits-trigger"),
            setting,
            allow_unknown=allow_unknown,
            seed=seed,
            workers=workers,
            out=out,
            store=store,
            trust_code=trust_code,
        )
        asked = _wanted(target, confidence, rounds, method, models)
        asked = asked._replace(
            confirmed=_ids(confirmed, "--confirmed"), rejected=_ids(rejected, "--rejected"), ask=ask
        )
        prepare_discover(wanted, asked)
        with results_in(wanted.out, json=json, quiet=quiet) as (folder, advance, say):
            found, ranking = run_discover(wanted, asked, on_progress=advance, on_message=say)
        write_file(folder / "candidates.csv", ranking_csv(ranking))
        save(found, folder)
        tell(found, folder, json=json, quiet=quiet)


def _wanted(target: float, confidence: str, rounds: int, method: str, models: int) -> DiscoverWanted:
    from unweave._errors import SpecError
    from unweave.study.discover import DiscoverWanted

    if confidence not in ("mean", "95"):
        raise SpecError(f"--confidence is {confidence!r}; expected mean or 95.")
    return DiscoverWanted(target, confidence, rounds, method, models)


def _ids(given: str | None, option: str) -> tuple[int | str, ...]:
    from unweave.study.id_files import ids_of_option

    return () if given is None else tuple(ids_of_option(given, option))
