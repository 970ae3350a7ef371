"""`make faults`: every fault at full size, a row each; exit 1 if anything was corrupt, lost or wrong.

Names choose faults by their beginnings (`make faults FAULTS=kill`), `--smoke` does them as `make test` does;
`--json FILE` keeps what was done, and `--resume` leaves out what went well by that file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

ROOMS = ("kills", "failing", "room", "order", "damage", "together", "locked", "runs", "changed")
"""Modules of the harness; importing one registers its faults."""

SHOWN = 10


def load(rooms: tuple[str, ...] = ROOMS) -> dict[str, Any]:
    """All faults of these modules by name."""
    from harness.outcomes import FAULTS

    for room in rooms:
        importlib.import_module(f"harness.{room}")
    return FAULTS


MEMORY = Path("/dev/shm")
"""Where files are written when time matters more than a real disk."""


def do(name: str, fault: Any, count: int, *, where: Path | None) -> dict[str, Any]:
    """Do a fault in a folder of its own, and say in JSON what came of it."""
    from harness.outcomes import Skip

    folder = Path(tempfile.mkdtemp(prefix=f"unweave-{name}-", dir=where)).resolve()
    row: dict[str, Any] = {"name": name, "number": fault.number, "what": fault.what, "control": fault.control}
    started = time.monotonic()
    try:
        made = fault.run(count, folder)
        row |= {"done": made.done, "corrupt": len(made.corrupt), "lost": len(made.lost), "wrong": len(made.wrong)}
        row |= {"ok": bool(made.found) == fault.control and made.done > 0, "notes": made.notes}
        row["found"] = made.found[:SHOWN]
    except Skip as skip:
        row |= {"skipped": str(skip), "ok": True}
    except Exception:  # noqa: BLE001 - a fault of the harness is no success
        row |= {"done": 0, "ok": False, "notes": "", "found": [traceback.format_exc()]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return row | {"seconds": round(time.monotonic() - started, 1)}


def as_line(row: dict[str, Any]) -> str:
    """A row of the table in Markdown."""
    start = f"| {row['number']} | {row['what']} |"
    if "skipped" in row:
        return f"{start} – | – | – | – | {row['seconds']} | skipped: {row['skipped']} |"
    numbers = " | ".join(str(row.get(name, "?")) for name in ("done", "corrupt", "lost", "wrong", "seconds"))
    said = ("bad code: caught; " if row["ok"] else "**bad code: not caught**; ") if row["control"] else ""
    return f"{start} {numbers} | {said}{row['notes']}{'' if row['ok'] else ' **FAILED**'} |"


HEAD = "| id | fault | done | corrupt | lost | wrong | s | notes |\n|---|---|---|---|---|---|---|---|"


def main(arguments: list[str]) -> int:
    """Do the faults that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names; default: all")
    parser.add_argument("--room", choices=ROOMS, action="append", help="those of a module of the harness")
    parser.add_argument("--smoke", action="store_true", help="few of each, as `make test` does")
    parser.add_argument("--json", type=Path, help="file that keeps what was done")
    parser.add_argument("--resume", action="store_true", help="leave out what the file holds and went well")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    asked = parser.parse_args(arguments)
    faults = load(tuple(asked.room or ROOMS))
    chosen = {name: one for name, one in faults.items() if not asked.names or name.startswith(tuple(asked.names))}
    if asked.list:
        for name, one in chosen.items():
            print(f"{name:<34} {one.number:<5} {one.smoke:>5} {one.full:>6}  {one.what}")
        return 0
    rows: dict[str, Any] = {}
    if asked.resume and asked.json is not None and asked.json.exists():
        rows = {row["name"]: row for row in json.loads(asked.json.read_text()) if row["ok"]}
    where = MEMORY if asked.smoke and os.access(MEMORY, os.W_OK) else None
    print(HEAD)
    for name, one in chosen.items():
        count = one.smoke if asked.smoke else one.full
        if count == 0:
            continue
        if name not in rows:
            rows[name] = do(name, one, count, where=where)
            if asked.json is not None:
                asked.json.parent.mkdir(parents=True, exist_ok=True)
                asked.json.write_text(json.dumps(list(rows.values()), indent=1))
        print(as_line(rows[name]), flush=True)
        for found in [] if rows[name]["ok"] else rows[name]["found"]:
            print(f"  {found}", file=sys.stderr)
    return 0 if all(row["ok"] for row in rows.values()) else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
