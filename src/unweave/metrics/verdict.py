"""The rule of the verdict: from p-values and bounds to an outcome per aim and a label per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from unweave._errors import UserError

Outcome = Literal["reached", "missed", "inconclusive", "no power", "not measured"]
Label = Literal["untrained", "unlearned", "both", "neither", "inconclusive", "no power"]


def conjunction(p_values: Sequence[float | None]) -> float | None:
    """P-value of the claim that all parts hold: the largest of theirs; None where a part was not measured.

    Args:
        p_values: one-sided p-value of each part, at least one.

    Returns:
        In 0..1, low supports the claim; or None.

    Raises:
        UserError: there is no part.

    Source: intersection–union test, Berger 1982, Technometrics 24:295–300.

    >>> conjunction([0.01, 0.03]), conjunction([0.01, None])
    (0.03, None)
    """
    if not p_values:
        raise UserError("Expected at least one part of the verdict, got none.")
    measured = [p for p in p_values if p is not None]
    return max(measured) if len(measured) == len(p_values) else None


def outcome(
    *, p_power: float | None, p_adjusted: float | None, excess_lower: float | None, alpha: float = 0.05
) -> Outcome:
    """Outcome of one row for one aim, with T = E²(M, R) − margin·E²(O, R).

        no power       p_power > α: originals and reference are not told apart; never success
        reached        p_adjusted ≤ α
        missed         lower bound of the overall T > 0
        not measured   what would decide is missing
        inconclusive   else

    Args:
        p_power: permutation p-value that originals and the aim's reference differ; None: not measured.
        p_adjusted: p-value of the conjunction of all parts, after Holm over all rows × aims; None: a part
            was not measured.
        excess_lower: one-sided lower bound of the overall T at level 1 − α; None: not measured.
        alpha: one-sided level in 0..1.

    Returns:
        The outcome.

    Source: the rule of this package, fixed before any run.

    >>> outcome(p_power=0.001, p_adjusted=0.01, excess_lower=-0.2)
    'reached'
    >>> outcome(p_power=0.4, p_adjusted=0.01, excess_lower=-0.2)
    'no power'
    """
    if p_power is None:
        return "not measured"
    if p_power > alpha:
        return "no power"
    if p_adjusted is not None and p_adjusted <= alpha:
        return "reached"
    # One clearly failed part decides, whatever else was not measured.
    if excess_lower is not None and excess_lower > 0:
        return "missed"
    if p_adjusted is None or excess_lower is None:
        return "not measured"
    return "inconclusive"


def label(untraining: Outcome, unlearning: Outcome | None) -> Label:
    """Label of a row from its outcomes for both aims.

    Any aim reached names the label; else anything open makes it inconclusive; `neither` needs an aim that
    was missed and none that is open.

    Args:
        untraining: outcome against A(D∖S).
        unlearning: outcome against A(D∖B); None where the behaviour is not declared, so that only the other
            aim is judged.

    Returns:
        The label.

    Source: the rule of this package, fixed before any run.

    >>> label("reached", "missed"), label("no power", "missed"), label("no power", "no power")
    ('untrained', 'neither', 'no power')
    """
    outcomes = {untraining, untraining if unlearning is None else unlearning}
    if untraining == "reached":
        return "both" if unlearning == "reached" else "untrained"
    if unlearning == "reached":
        return "unlearned"
    if "inconclusive" in outcomes or "not measured" in outcomes:
        return "inconclusive"
    return "no power" if outcomes == {"no power"} else "neither"
