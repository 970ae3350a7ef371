"""How much of the way to an aim's reference is left, and what the margin of a verdict tolerates.

The residual r = E²(M, R)/E²(O, R) itself is `unweave.stats.ratio` of the two arrays of leave-outs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import BOTH, UNBOUNDED
from unweave.metrics.contract import metric


@metric(
    name="excess",
    aims=BOTH,
    needs={"logits", "original", "reference"},
    better="lower",
    unit="that of the outputs",
    bounds=UNBOUNDED,
    cite="fieller1954interval",
)
def excess(method: NDArray[np.float64], original: NDArray[np.float64], *, margin: float) -> NDArray[np.float64]:
    """Excess T over the margin: below 0 the method is within a share `margin` of the original's distance.

        T = E²(M, R) − margin · E²(O, R)

    It says what r = E²(M, R)/E²(O, R) < margin says, without dividing by a noisy number.

    Args:
        method: [1+L] E²(M, R), the method's models to the aim's reference.
        original: [1+L] E²(O, R), the originals to the same reference.
        margin: tolerated residual in 0..1, fixed before the run.

    Returns:
        [1+L] in the unit of the outputs; low is good.

    Raises:
        UserError: the margin lies outside 0..1.

    Source: Fieller's linear contrast (1954), as non-inferiority tests of ratios use it.

    >>> excess(np.array([0.25]), np.array([2.0]), margin=0.125)
    array([0.])
    """
    _check_margin(margin)
    return method - margin * original


def tolerated_models(margin: float) -> float:
    """Share of models that may sit wholly at the original while the residual is still `margin`.

        E²((1 − ε)·R + ε·O, R) = ε²·E²(O, R),        so ε = √margin

    (Of the probes it is the margin itself, since E² is a mean over probes.)

    Args:
        margin: tolerated residual in 0..1.

    Returns:
        In 0..1; low is strict.

    Raises:
        UserError: the margin lies outside 0..1.

    Source: E² is a squared distance in a Hilbert space of laws (Sejdinovic et al. 2013), hence quadratic
    along mixtures.

    >>> round(tolerated_models(0.1), 3)
    0.316
    """
    _check_margin(margin)
    return math.sqrt(margin)


def margin_in_words(margin: float) -> str:
    """Say what a margin tolerates.

    Args:
        margin: tolerated residual in 0..1.

    Returns:
        One clause.

    Raises:
        UserError: the margin lies outside 0..1.

    >>> margin_in_words(0.1)
    'tolerates 10% of the probes, or 32% of the models, sitting wholly at the original'
    """
    return (
        f"tolerates {margin:.0%} of the probes, or {tolerated_models(margin):.0%} of the models, "
        "sitting wholly at the original"
    )


def _check_margin(margin: float) -> None:
    if not 0 <= margin <= 1:
        raise UserError(f"Expected a margin in 0..1, got {margin}: it is the residual that still counts as done.")
