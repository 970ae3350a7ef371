"""Near copies that were planted, and how many pairs of them are found: docs/diagnose.md."""

import json
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from unweave import BehaviourChoice, Case, UserError
from unweave.problem import DataChoice
from unweave.problem.copies import copy_groups
from unweave.study import CASES, assemble


def pairs(groups: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of examples of one group."""
    return {
        pair
        for name in np.unique(groups[groups >= 0])
        for pair in combinations(np.flatnonzero(groups == name).tolist(), 2)
    }


def share(case: Case) -> dict[str, float]:
    """Of the planted pairs the share that is found; of those found the share that was planted."""
    assembly = assemble(case)
    size, found = 5, pairs(copy_groups(assembly.setting.x))
    members = set(np.asarray(assembly.planted.members).tolist())
    wanted = len(members) // size * (size * (size - 1) // 2)
    own = sum(first in members and second in members for first, second in found)
    return {"pairs": wanted, "found": own / wanted, "planted": own / len(found)}


def main(target: str) -> None:
    """Digits, and MNIST where it is."""
    digits = Case(name="copies", data=DataChoice("digits"), behaviour=BehaviourChoice("duplicates", size=100))
    cases = {"digits": digits, **{f"mnist-{k}": replace(CASES["mnist-duplicates"], seed=k) for k in range(3)}}
    found = {}
    for name, case in cases.items():
        try:
            found[name] = share(case)
        except UserError:
            continue
    Path(target).write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
