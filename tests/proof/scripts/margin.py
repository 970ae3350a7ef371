"""How often T holds where some models are wholly at the original: what a margin of .10 is at few models."""

import json
import sys
from pathlib import Path

import numpy as np

from unweave.metrics import energy, excess, pair_distances
from unweave.stats import jackknife, leave_outs, p_below

RUNS, PROBES, MARGIN, LEVEL = 1000, 20, 0.10, 0.05
MODELS = (5, 8, 16, 32)


def holds(models: int, residual: float, noise: float, *, runs: int = RUNS) -> float:
    """Share of runs where the part T of a verdict holds at 5%, for a method whose true r is `residual`.

    Each model is the original with probability √r, and of the law of the reference otherwise; the two differ by 1
    on every probe, on which models of a world scatter by `noise`.
    """
    rng = np.random.default_rng([models, round(1000 * residual), round(1000 * noise)])
    blocks = {"m": np.arange(models), "o": np.arange(models), "r": np.arange(models, 2 * models)}
    design = leave_outs(blocks)
    weights = np.full((1, PROBES), 1 / PROBES)
    held = 0
    for _ in range(runs):
        r, o, m = (noise * rng.normal(size=(models, PROBES, 1)) for _ in range(3))
        o += 1.0
        m = np.where((rng.random(models) < np.sqrt(residual))[:, None, None], o, m)
        inside = {
            name: pair_distances(one, None, weights=weights).norm[0]
            for name, one in zip("mor", (m, o, r), strict=True)
        }

        def apart(name, one, inside=inside, r=r):
            between = pair_distances(one, r, weights=weights).norm[0]
            given = {"blocks_p": blocks[name], "blocks_q": blocks["r"]}
            given |= {"weights_p": design.weights[name], "weights_q": design.weights["r"]}
            return energy(between, inside[name], inside["r"], **given)

        held += p_below(jackknife(excess(apart("m", m), apart("o", o), margin=MARGIN), design)) <= LEVEL
    return held / runs


def main(target: str) -> None:
    """By residual and number of models, the larger share of two scatters."""
    found = {
        name: {str(models): max(holds(models, residual, noise) for noise in (0.05, 0.3)) for models in MODELS}
        for name, residual in (("at", MARGIN), ("twice", 2 * MARGIN))
    }
    Path(target).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
