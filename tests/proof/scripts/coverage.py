"""Coverage of 95% intervals of distances and places on the map, by the simulation of the tests."""

import json
import sys
from pathlib import Path

from tests.metrics.test_coverage import coverages


def main(target: str) -> None:
    """Coverage of E², V² and t at K = 16 and 32."""
    by_k = {str(models): {name: float(value) for name, value in coverages(models).items()} for models in (16, 32)}
    judged = [value for found in by_k.values() for name, value in found.items() if "off-line" not in name]
    Path(target).write_text(json.dumps({"by_models": by_k, "judged": judged}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
