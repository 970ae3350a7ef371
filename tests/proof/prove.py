"""`make proof`: rerun every figure that README and documents claim, and fail on one that does not hold.

Claims are in tests/proof/claims, each with the sentence that makes it, the run that gives its figure and the bound
that it has to keep. A run is done once for all its claims, in an empty folder; what it wrote is kept with the
fingerprint of command and code, so that an interrupted proof goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from tests.proof import running
from tests.proof.claims import FOLDER, ROOT, Claim, ClaimError, Reading, Run, keeps, read, stands
from tests.proof.reading import (
    REDUCE,
    Figure,
    Unreadable,
    as_figure,
    at,
    by_pattern,
    first_table,
    load,
    table_agreement,
)

QUICK = 60
"""Seconds on two quiet cores that a run of --quick may take."""

HOLDS, BROKEN, NOT_RUN = "holds", "does not hold", "not run"


class Judged(NamedTuple):
    """A claim beside what was measured."""

    claim: Claim
    measured: str
    outcome: str
    why: str = ""
    run: str = "–"


def _read(reading: Reading, folder: Path, steps: list[dict[str, Any]]) -> Any:
    if reading.seconds:
        return Figure(steps[reading.step]["seconds"])
    if not reading.json:
        return by_pattern((folder / f"{reading.step}.out").read_text(errors="replace"), reading.pattern)
    found = at(load(folder / reading.json), reading.at)
    if reading.pattern:
        return by_pattern(str(found), reading.pattern)
    return as_figure(REDUCE[reading.reduce](found) if reading.reduce else found)


def judge(claim: Claim, folder: Path, root: Path = ROOT) -> Judged:
    """Hold a claim against what its run wrote."""
    if not (folder / "run.json").exists():
        last = json.loads((folder / "failed.json").read_text())["steps"][-1]
        told = sorted(folder.glob("*.out"))[-1].read_text(errors="replace").strip().splitlines()[-3:]
        why = f"`{last['command']}` ended with {last['exit']}: {' '.join(told)}"
        return Judged(claim, "–", BROKEN, why)
    steps = json.loads((folder / "run.json").read_text())["steps"]
    try:
        if claim.columns:
            cells = first_table((root / claim.file).read_text(encoding="utf-8"), claim.table)
            share, total, missed = table_agreement(
                cells, load(folder / claim.reading.json), claim.columns, claim.names
            )
            told = "; ".join(missed[:3])
            measured: Any = Figure(share)
            shown = f"{round(share * total)} of {total} agree"
        else:
            measured, told = _read(claim.reading, folder, steps), ""
            if claim.over is not None:
                measured = Figure(measured.value / _read(claim.over, folder, steps).value)
            shown = ", ".join(measured) if isinstance(measured, list) else str(measured)
        if keeps(claim, measured):
            return Judged(claim, shown, HOLDS)
        return Judged(claim, shown, BROKEN, told)
    except Unreadable as why:
        return Judged(claim, "–", BROKEN, str(why))


def _chosen(claims: Sequence[Claim], only: Sequence[str]) -> list[Claim]:
    found = [one for one in claims if not only or any(fnmatch(one.id, p) or one.id.startswith(p) for p in only)]
    if not found:
        raise ClaimError(f"no claim of the name {', '.join(only)}; --list names all")
    return found


def prove(
    runs: dict[str, Run],
    claims: Sequence[Claim],
    out: Path,
    *,
    quick: bool = False,
    kept_only: bool = False,
    again: bool = False,
    older: bool = False,
    root: Path = ROOT,
    others: Sequence[Claim] = (),
) -> list[Judged]:
    """Do the runs that these claims need, and judge each claim.

    `older`: also by what other code wrote last; `others`: claims whose files are kept as well.
    """
    found: dict[str, Judged] = {}
    for name in dict.fromkeys(one.run for one in claims):
        run, own = runs[name], [one for one in claims if one.run == name]
        folder = None if again else running.kept(run, out, older=older)
        reason = None
        if folder is None:
            reason = "not asked for" if kept_only or (quick and run.seconds > QUICK) else running.lacking(run)
        if folder is None and reason is None:
            print(f"{name}: about {run.seconds:.0f} s on two quiet cores", file=sys.stderr, flush=True)
            # Also what others read: a kept run is done for all of its claims, whoever asked first.
            read = [
                reading for one in (*claims, *others) if one.run == name for reading in (one.reading, one.over)
            ]
            folder = running.do(run, out, sorted({one.json for one in read if one is not None and one.json}))
        for one in own:
            if not stands(one, root):
                found[one.id] = Judged(one, "–", BROKEN, f"{one.file} does not say so any more")
            elif folder is None:
                found[one.id] = Judged(one, "–", NOT_RUN, reason or "")
            else:
                found[one.id] = judge(one, folder, root)._replace(run=running.when(run, folder))
    return [found[one.id] for one in claims]


def table(judged: Sequence[Judged]) -> str:
    """The claims, what they claim and what was measured, in Markdown."""
    lines = ["| claim | in | claimed | measured | | run |", "|---|---|---|---|---|---|"]
    for one in judged:
        said = one.outcome + (f": {one.why}" if one.why else "")
        cells = [one.claim.id, one.claim.file, one.claim.claimed, one.measured, said, one.run]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)


def counted(judged: Sequence[Judged]) -> str:
    """How many of each outcome."""
    number = {name: sum(one.outcome == name for one in judged) for name in (HOLDS, BROKEN, NOT_RUN)}
    return f"{len(judged)} claims: {number[HOLDS]} hold, {number[BROKEN]} do not, {number[NOT_RUN]} not run."


BEGIN, END = "<!-- written by `make proof PROOF=--write` -->", "<!-- end -->"


def written(page: str, judged: Sequence[Judged], when: datetime, hardware: str) -> str:
    """The page with its table made anew."""
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise ClaimError("docs/proof.md has no place for the table")
    told = f"{when:%d %B %Y}; {hardware}. {counted(judged)}".lstrip("0")
    return f"{before}{BEGIN}\n{told}\n\n{table(judged)}\n{END}{after}"


def main(arguments: Sequence[str]) -> int:
    """Prove what is asked for."""
    parser = argparse.ArgumentParser(prog="make proof", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="claims by name, its beginning or a*b")
    parser.add_argument("--quick", action="store_true", help=f"only runs of at most {QUICK} seconds")
    parser.add_argument("--kept", action="store_true", help="run nothing: judge what is kept of this code")
    parser.add_argument("--again", action="store_true", help="run also what was run before")
    parser.add_argument("--older", action="store_true", help="judge also what is kept of other code, and mark it")
    parser.add_argument("--list", action="store_true", help="only name claims, runs and their times")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table as JSON")
    parser.add_argument("--write", action="store_true", help="also write the table into docs/proof.md")
    parser.add_argument("--claims", type=Path, default=FOLDER, help="folder of claims")
    parser.add_argument("--out", type=Path, default=Path("runs/proof"), help="where runs are kept (runs/proof)")
    asked = parser.parse_args(arguments)
    try:
        runs, every = read(asked.claims)
        claims = _chosen(every, asked.only)
    except ClaimError as why:
        print(why, file=sys.stderr)
        return 2
    if asked.list:
        for one in claims:
            print(f"{one.id:<44} {runs[one.run].seconds:>6.0f} s  {one.run:<22} {one.file}")
        return 0
    try:
        how = {"quick": asked.quick, "kept_only": asked.kept, "again": asked.again, "older": asked.older}
        judged = prove(runs, claims, asked.out.resolve(), others=every, **how)
    except KeyboardInterrupt:
        print("Interrupted: the same command goes on.", file=sys.stderr)
        return 130
    print(table(judged))
    print(f"\n{counted(judged)}")
    if asked.json is not None:
        rows = [
            {"id": one.claim.id, "file": one.claim.file, "says": one.claim.quotation, "claimed": one.claim.claimed}
            | {"measured": one.measured, "outcome": one.outcome, "why": one.why, "run": one.run}
            for one in judged
        ]
        told = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "hardware": running.hardware()}
        asked.json.write_text(json.dumps({**told, "claims": rows}, indent=1, ensure_ascii=False), encoding="utf-8")
    if asked.write:
        page = ROOT / "docs" / "proof.md"
        text = written(page.read_text(encoding="utf-8"), judged, datetime.now(UTC), running.hardware())
        page.write_text(text, encoding="utf-8")
    return 1 if any(one.outcome == BROKEN for one in judged) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
