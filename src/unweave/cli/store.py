"""`unweave store`: what is in a store, is it whole, and what may or must go."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unweave._errors import FormatError
from unweave.cli.options import Debug, Json, Quiet, printable, reported

if TYPE_CHECKING:
    from unweave.study.care import Contents, Purged, Removed

store = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Care of the folder of models and outputs: list, verify, clean up, purge, migrate.",
)

Where = Annotated[
    Path | None, typer.Option("--store", help="Folder of trained models; default: .unweave/store.", metavar="DIR")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Remove nothing, only say what would be removed.")]


@store.command()
def ls(
    store: Where = None,
    every: Annotated[bool, typer.Option("--all", help="Each object, not only how many there are.")] = False,
    json: Json = None,
    debug: Debug = False,
) -> None:
    """List what is in the store: objects by kind, data sets, and the digest of all models and outputs."""
    with reported(debug):
        from unweave.cli.files import check_file, is_stdout, write_json
        from unweave.study.care import list_store

        check_file(json)
        root = _root(store)
        found = list_store(root)
        if not is_stdout(json):
            _print_contents(root, found, every=every)
        tree: dict[str, Any] = {"manifest": found.manifest, "quarantined": found.quarantined}
        tree["objects"] = [row._asdict() for row in found.objects]
        tree["data"] = [{**one._asdict(), "ids": sorted(one.ids)} for one in found.data]
        write_json(json, tree)


@store.command()
def verify(store: Where = None, json: Json = None, quiet: Quiet = False, debug: Debug = False) -> None:
    """Read every byte and hold it against its digest.

    Exit code 1 if anything is not as it was written, 4 if this version of unweave cannot tell.
    Nothing is changed but a wrong index, which is made anew. The next run that needs a bad object sets it aside
    and makes it again; no number is ever of one.
    """
    with reported(debug):
        from unweave.cli.files import check_file, is_stdout, write_json
        from unweave.study.care import verify_store

        check_file(json)
        root = _root(store)
        try:
            found = verify_store(root)
        except FormatError as error:
            print(f"Error: {printable(str(error))}", file=sys.stderr)
            raise typer.Exit(4) from None
        write_json(json, {**found._asdict(), "sound": found.sound})
        bad = [f"{key}  {why}" for key, why in found.bad] + [*map(str, found.bad_files)]
        bad += ["the index; it was made anew from the objects."] if found.index_differed else []
        for one in () if is_stdout(json) else bad:
            print(f"bad: {one}")
        if not quiet and not is_stdout(json):
            print(f"{found.objects} objects, {_size(found.bytes)}, {len(found.bad)} bad, in {root}.")
            if found.left or found.quarantined:
                print(
                    f"{found.left} files that killed processes left and {found.quarantined} bad objects that runs "
                    "set aside count for nothing; `unweave store gc` removes them."
                )
        if not found.sound:
            raise typer.Exit(1)


@store.command()
def gc(
    store: Where = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Also objects of other versions of unweave, torch or scikit-learn.")
    ] = False,
    unused: Annotated[
        float | None,
        typer.Option("--unused", help="Also objects that no run used for so many days.", metavar="DAYS", min=0),
    ] = None,
    dry_run: DryRun = False,
    json: Json = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Remove what killed processes left and bad objects that were set aside; more if asked.

    What a run at work needs is never removed.
    """
    with reported(debug):
        from unweave.cli.files import check_file
        from unweave.study.care import clean_store

        check_file(json)
        found = clean_store(_root(store), stale=stale, unused_days=unused, dry_run=dry_run)
        _print_removed(found, dry_run=dry_run, quiet=quiet, json=json)


@store.command()
def purge(
    forget_ids: Annotated[
        str, typer.Option("--forget-ids", help="File of one id a line, or ids separated by commas.", metavar="IDS")
    ],
    store: Where = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Name, path or fingerprint of the data that are meant.", metavar="NAME"),
    ] = None,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Purge the others if some ids are in no data set.")
    ] = False,
    dry_run: DryRun = False,
    json: Json = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Remove every model trained on these examples, and every output on data that hold them.

    What a file system keeps of removed files, your result folders and your backups are beyond it.
    """
    with reported(debug):
        from unweave.cli.files import check_file, is_stdout
        from unweave.study.care import purge_store
        from unweave.study.id_files import ids_of_option

        check_file(json)
        ids = ids_of_option(forget_ids)
        found = purge_store(_root(store), ids, data=data, allow_unknown=allow_unknown, dry_run=dry_run)
        _print_removed(found, dry_run=dry_run, quiet=quiet, json=json)
        if not quiet and not is_stdout(json):
            _print_left(found)


@store.command()
def migrate(store: Where = None, quiet: Quiet = False, debug: Debug = False) -> None:
    """Bring a store of an older format to this one; nothing is trained again."""
    with reported(debug):
        from unweave.study.care import migrate_store

        root = _root(store)
        damaged = migrate_store(root)
        for key in damaged:
            print(f"bad: {key}  It was damaged and is set aside in {root / 'quarantine'}.")
        if not quiet:
            print(f"The store {root} is of the format that this unweave reads.")


def _root(given: Path | None) -> Path:
    from unweave.study.care import STORE

    return given or STORE


def _print_contents(root: Path, found: Contents, *, every: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    total = sum(row.bytes for row in found.objects)
    console.print(f"{root}: {len(found.objects)} objects, {_size(total)}", highlight=False, markup=False)
    if every:
        table = Table("object", "kind", "size", "versions", "last used", box=None, pad_edge=False)
        for row in found.objects:
            table.add_row(row.key[:16], row.kind, _size(row.bytes), row.versions or "–", _when(row.used))
    else:
        table = Table("kind", "objects", "size", "last used", box=None, pad_edge=False)
        for kind in sorted({row.kind for row in found.objects}):
            own = [row for row in found.objects if row.kind == kind]
            size, used = sum(row.bytes for row in own), max(row.used for row in own)
            table.add_row(kind, str(len(own)), _size(size), _when(used))
    console.print(table)
    for name, one in _by_name(found.data).items():
        console.print(f"data {name}: {one}", highlight=False, markup=False, soft_wrap=True)
    if found.quarantined:
        console.print(f"{found.quarantined} bad objects were set aside.", highlight=False)
    console.print(f"manifest {found.manifest}", highlight=False, soft_wrap=True)


def _by_name(data: Sequence[Any]) -> dict[str, str]:
    """Each source once: how many examples it has, and the fingerprints of its states."""
    lines: dict[str, str] = {}
    for name in sorted({one.name for one in data}):
        own = [one for one in data if one.name == name]
        prints = ", ".join(sorted({one.read[:12] for one in own}))
        lines[name] = f"{max(one.examples for one in own)} examples, fingerprint {prints}"
    return lines


def _print_left(found: Purged) -> None:
    """What a purge did not remove, as far as the store was searched."""
    if found.unknown:
        more = f" and {len(found.unknown) - 10} more" if len(found.unknown) > 10 else ""
        print(f"In no data of the store: {printable(', '.join(map(repr, found.unknown[:10])))}{more}.")
    for one in found.elsewhere:
        prints = ", ".join(read[:12] for read in one.read)
        print(
            f"Not purged: {len(one.ids)} of these ids are also in data that are not known to be of the same file, "
            f"{printable(', '.join(one.names))} ({prints}); models that stay and were trained on some of them: "
            f"{one.models}. If they are the same examples, run the same command with --data {one.read[0][:12]}."
        )
    if not found.models:
        print("No model stays.")
    elif not found.elsewhere:
        print(f"Models that stay ({found.models}) were trained without these examples.")
    print(
        "Not in the store, and not touched: folders of `erase` (records and specs in them name ids), results "
        "(runs/…), the data themselves, copies and backups."
    )


def _print_removed(found: Removed | Purged, *, dry_run: bool, quiet: bool, json: Path | None) -> None:
    from unweave.cli.files import is_stdout, write_json

    tree: dict[str, Any] = found._asdict()
    if "elsewhere" in tree:
        tree["elsewhere"] = [one._asdict() for one in tree["elsewhere"]]
    write_json(json, tree)
    if quiet or is_stdout(json):
        return
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.objects.items())
    what = f"{sum(found.objects.values())} objects{f' ({kinds})' if kinds else ''} and {found.files} other files"
    done = "Would remove" if dry_run else "Removed"
    print(f"{done} {what}, {_size(found.bytes)}. {found.kept} objects stay.")
    if found.leased:
        print(f"{found.leased} more are in use by a run at work.")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def _when(used: float) -> str:
    return datetime.fromtimestamp(used).astimezone().strftime("%Y-%m-%d %H:%M") if used else "–"
