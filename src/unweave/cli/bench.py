"""`unweave bench`: what the engine costs on this machine, beside the loop one would write by hand."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from unweave.cli.options import Debug, Json, Quiet, reported


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: whether it works, not how fast.")] = False,
    json: Json = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Time the engine on this machine against the loop one would write by hand."""
    with reported(debug):
        from rich.console import Console

        from unweave.bench.run import bench as measured
        from unweave.cli.files import check_file, is_stdout, write_json

        check_file(json)
        shown = None if quiet or not sys.stderr.isatty() else Console(stderr=True)
        record = measured(quick=quick, tell=lambda stage: shown.print(f"timing {stage} …") if shown else None)
        write_json(json, record)
        if not quiet and not is_stdout(json):
            _print(record)


def _print(record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console, machine = Console(), record["machine"]
    table = Table(box=None, pad_edge=False)
    for head in ("workload", "plain ms", "engine ms", "times faster", "peak", "memory", "differs"):
        table.add_column(head, no_wrap=True)
    for name, one in record["workloads"].items():
        speedup, share, parity = one["speedup"], one.get("peak_share"), one.get("parity")
        table.add_row(
            name,
            f"{one['plain_ms']['median']:.3g}",
            f"{one['engine_ms']['median']:.3g}",
            f"{speedup['median']:.1f} ({speedup['min']:.1f}, {speedup['max']:.1f})",
            f"{share['median']:.0%}" if share else "–",
            f"{one['memory_bytes'] / 1e6:.0f} MB" if isinstance(one.get("memory_bytes"), int) else "–",
            f"{parity['weights']:.0e}" if parity else f"{one['error']:.0e}",
        )
    console.print(table)
    rounds = record["rounds"]
    note = " Quick: whether it works, not how fast it is." if record["quick"] else ""
    console.print(
        f"Median of {rounds} rounds (least, most), side by side on one thread; per model and step, linear models "
        f"per model. {machine['processor']}, {machine['peak_gflops']:.0f} GFLOP/s.{note}"
    )
    grown = record["growth"]["engine_ms"]
    console.print("tiny, ms of K models: " + ", ".join(f"{k}: {spent:.3f}" for k, spent in grown.items()))
    methods = record["methods"]["cost_over_one"]
    worst = max(methods, key=lambda name: methods[name])
    console.print(
        f"A method on {record['methods']['replicas']} replicas costs at most {methods[worst]:.1f} times what it "
        f"costs on one ({worst})."
    )
    workers = record["workers"]["two_over_one"]
    console.print(f"Two workers: {workers['median']:.2f} times one ({workers['min']:.2f}, {workers['max']:.2f}).")
    tasks = record["scheduler"]
    console.print(
        f"Scheduler: {tasks['tasks']} tasks of {tasks['task_seconds']:g} s on {tasks['workers']} workers take "
        f"{tasks['over_best']:.3f} times their share of the sum, the start of the workers included."
    )
    apart = record["distances"]
    console.print(
        f"Distances of {apart['models']} × {apart['models']} models on {apart['probes']} probes: "
        f"{apart['seconds']:.1f} s, {apart['memory_bytes'] / 1e9:.2f} GB."
    )
