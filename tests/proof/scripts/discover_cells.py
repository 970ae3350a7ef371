"""The table of docs/discover.md: of each cell mean recall, mean precision and the median of the flagged."""

import json
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from unweave.problem import ForgetChoice
from unweave.study import CASES
from unweave.study.discover import discover

METHODS = ("expansion", "knn", "confident-learning")


def cell(kind: str, discovery: float, method: str, seeds: int, store: str) -> dict[str, float]:
    """One method on one behaviour at one γ, over seeds."""
    case = replace(CASES[f"digits-{kind}"], forget=ForgetChoice(discovery=discovery))
    done = [discover(replace(case, seed=seed), method=method, store=store)[0] for seed in range(seeds)]
    truths = [one.truth for one in done if one.truth is not None]
    return {
        "flagged": statistics.median(one.flagged for one in done),
        "recall": statistics.fmean(one.recall for one in truths),
        "precision": statistics.fmean(one.precision for one in truths if one.precision is not None),
    }


def main(target: str, seeds: str) -> None:
    """All cells; the models of a seed are trained once."""
    with tempfile.TemporaryDirectory() as store:
        found = {
            f"{kind}, {discovery:g}".replace("0.", "."): {
                method: cell(kind, discovery, method, int(seeds), store) for method in METHODS
            }
            for kind in ("trigger", "mislabel", "confusion")
            for discovery in (0.2, 0.5)
        }
    Path(target).write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
