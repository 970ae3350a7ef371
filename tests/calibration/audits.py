"""`make audits`: 60 fresh retrains in pools of their own, and 7 cheats on 20 models each."""

import sys
from concurrent.futures import ProcessPoolExecutor

from audit_trials import ALPHA, caught, null_p_values

TRIALS, ALLOWED, CHUNK = 60, 7, 5
SEEDS, NEEDED = 20, 19
REFERENCES = 64


def main() -> int:
    starts = range(0, TRIALS, CHUNK)
    with ProcessPoolExecutor(2) as pool:
        parts = pool.map(null_p_values, starts, [CHUNK] * len(starts), [REFERENCES] * len(starts))
        found = [p for part in parts for p in part]
    flagged = sum(p <= ALPHA for p in found)
    print(f"{flagged} of {TRIALS} fresh retrains flagged at {ALPHA:.0%} among {REFERENCES}; allowed {ALLOWED}.")
    cheats = caught(SEEDS, REFERENCES)
    for name, count in cheats.items():
        print(f"{name}: {count} of {SEEDS} caught; needed {NEEDED}.")
    return 0 if flagged <= ALLOWED and min(cheats.values()) >= NEEDED else 1


if __name__ == "__main__":
    sys.exit(main())
