"""Of a comparison: how many methods come within a tenth of the way to A(D∖B) in a case, and how many reach it."""

import json
import sys
from pathlib import Path


def main(record: str, target: str) -> None:
    """Count rows of methods over all cases of a record."""
    near, reached = set[str](), set[str]()
    for case in json.loads(Path(record).read_text(encoding="utf-8"))["cases"]:
        for row in case["rows"]:
            left = row["residual_unlearning"]
            if row["kind"] == "method" and left and left.get("value", 1.0) <= 0.1:
                near.add(row["name"])
            if row["kind"] == "method" and row["label"] == "both":
                reached.add(row["name"])
    found = {"near": sorted(near), "reached": sorted(reached)}
    Path(target).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
