"""Share of the gap closed by a row over the cells of several sweeps: docs/research/expansion.md."""

import json
import sys
from pathlib import Path
from typing import Any


def closed(cells: list[dict[str, Any]], row: str) -> float:
    """Σ(score − score of A(D∖S)) over Σ(score of A(D∖B) − score of A(D∖S))."""
    over = below = 0.0
    for cell in cells:
        score = {one["id"]: one["score"]["value"] for one in cell["rows"] if "value" in one["score"]}
        over += score[row] - score["untrained"]
        below += score["unlearned"] - score["untrained"]
    return over / below


def main(target: str, row: str, *records: str) -> None:
    """In all, by behaviour and by γ."""
    cells = [cell for one in records for cell in json.loads(Path(one).read_text(encoding="utf-8"))["cells"]]
    found: dict[str, Any] = {"cells": len(cells), "all": closed(cells, row)}
    for name in ("behaviour", "discovery"):
        found[name] = {
            str(value): closed([cell for cell in cells if cell[name] == value], row)
            for value in sorted({cell[name] for cell in cells})
        }
    Path(target).write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
