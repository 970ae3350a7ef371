"""Equivalence: the claim that a difference is small, which a large p-value of a test of difference is not."""

from __future__ import annotations

from unweave._errors import UserError
from unweave.stats.jackknife import Jackknife, p_above, p_below


def equivalence(difference: Jackknife, margin: float) -> float:
    """P-value of the claim |difference| < margin, by two one-sided tests.

        p = max( P(t_df ≥ (d + margin)/se), P(t_df ≤ (d − margin)/se) )

    Args:
        difference: jackknife of a difference (of accuracies, say).
        margin: largest difference that does not matter, above 0, in the same unit.

    Returns:
        In 0..1; low supports equivalence. p ≤ α iff the 1 − 2α interval lies within ±margin.

    Raises:
        UserError: the margin is not above 0.

    Source: Schuirmann 1987, A comparison of the two one-sided tests procedure, J. Pharmacokinet. 15:657–680.

    >>> close = Jackknife(value=0.001, bias_corrected=0.001, variance=1e-6, df=31, n=32)
    >>> equivalence(close, 0.01) < 0.001, equivalence(close, 0.001) > 0.05
    (True, True)
    """
    if not margin > 0:
        raise UserError(f"Expected a margin above 0, got {margin}: say how large a difference does not matter.")
    return max(p_above(difference, threshold=-margin), p_below(difference, threshold=margin))
