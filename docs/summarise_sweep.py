"""Keep what docs/sweep.md shows of a sweep: `python docs/summarise_sweep.py sweep.json docs/sweep-example.json`.

Cells, points and the numbers behind them are left out, which are megabytes; `unweave report` draws what is kept.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from unweave.records import SweepResult, read_record, to_json


def summary(found: SweepResult) -> SweepResult:
    """A sweep without cells and points, and with the advice of leading rows only."""
    advice = found.advice
    if advice is not None:
        leading = tuple(one for one in advice.advice if one.leading)
        advice = replace(advice, further=(), advice=leading)
    return replace(found, cells=(), points=(), enough=(), advice=advice)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(to_json(summary(read_record(SweepResult, source))), encoding="utf-8")
