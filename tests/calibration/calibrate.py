"""`make calibrate`: 300 null trials, each training both batches afresh; at most 24 may be flagged."""

import sys
from concurrent.futures import ProcessPoolExecutor

from null_trials import ALPHA, MODELS, p_values
from scipy.stats import binom

TRIALS = 300
ALLOWED = 24  # the 99% quantile of Bin(300, .05)
CHUNK = 10


def main() -> int:
    starts = range(0, TRIALS, CHUNK)
    with ProcessPoolExecutor(2) as pool:
        found = [p for part in pool.map(p_values, starts, [CHUNK] * len(starts)) for p in part]
    flagged = sum(p <= ALPHA for p in found)
    low, high = binom.ppf([0.005, 0.995], TRIALS, ALPHA)
    print(
        f"{flagged} of {TRIALS} null trials ({MODELS} + {MODELS} models each) flagged at {ALPHA:.0%}; "
        f"allowed {ALLOWED}, expected {low:.0f} to {high:.0f}."
    )
    return 0 if flagged <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
