"""The map: where a method's mean predictions sit between untraining and unlearning.

Everything is made of V² (`unweave.metrics.mean_shift`), in which interpolating two models is a straight
line. Arrays are [1+L]: the value with all models, then every leave-out of the jackknife.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError
from unweave._gate import BOTH, UNBOUNDED
from unweave._types import Estimate, Measured, NotMeasured
from unweave.metrics.contract import metric

GAP_IN_STANDARD_ERRORS = 4.0
HEIGHT_FLOOR = 0.02
WEIGHT_SE_CEILING = 0.25


def gap_is_clear(gap: float, se: float) -> bool:
    """Whether the two aims are far enough apart to draw a map: G > 4·se(G).

    Otherwise raw distances are shown with "the two aims are not distinguishable here". Where it holds, no
    leave-out of the jackknife has G ≤ 0 (each lies within about one se of G), so ratios by G are safe.

    Args:
        gap: G = V²(R_S, R_B), squared unit of the outputs.
        se: its jackknife standard error.

    Returns:
        True where the map may be drawn.

    Source: a rule of this package; beyond t standard errors (below 4 from 4 models on) a ratio by G has a
    bounded interval (Fieller 1954).

    >>> gap_is_clear(0.09, 0.02), gap_is_clear(0.09, 0.03)
    (True, False)
    """
    return gap > GAP_IN_STANDARD_ERRORS * se


@metric(
    name="generality",
    aims=BOTH,
    needs={"logits", "untrained", "unlearned"},
    better="reference",
    unit="gaps between the references",
    bounds=UNBOUNDED,
    cite="",
)
def generality(
    to_untrained: NDArray[np.float64], to_unlearned: NDArray[np.float64], *, gap: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Generality t: how far along the line from untraining (0) to unlearning (1) the mean predictions sit.

        t = (V²(M, R_S) − V²(M, R_B) + G) / (2G)

    It is the projection of M on the line through the two references; below 0 and above 1 are legal.

    Args:
        to_untrained: [1+L] V²(M, R_S).
        to_unlearned: [1+L] V²(M, R_B).
        gap: [1+L] G = V²(R_S, R_B), above 0 (`gap_is_clear`).

    Returns:
        [1+L] without unit; neither end is good by itself: it depends on the aim.

    Raises:
        UserError: a gap is not above 0.

    Source: polarisation, ⟨m, b⟩ = (‖m‖² + ‖b‖² − ‖m − b‖²)/2 with R_S as origin.

    >>> generality(np.array([0.25]), np.array([0.25]), gap=np.array([1.0]))
    array([0.5])
    """
    _check_gap(gap)
    return (to_untrained - to_unlearned + gap) / (2 * gap)


@metric(
    name="off_line_squared",
    aims=BOTH,
    needs={"logits", "untrained", "unlearned"},
    better="none",
    unit="gaps between the references, squared",
    bounds=UNBOUNDED,
    cite="",
)
def off_line_squared(
    to_untrained: NDArray[np.float64], to_unlearned: NDArray[np.float64], *, gap: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared distance from the line through both references, in units of their gap.

        off-line² = V²(M, R_S)/G − t²

    It is unbiased up to −Var(t): report it jackknife-debiased, and signed. Off the line is not damage: a
    method that settles half of the probes and leaves the others alone is off the line too. Of the
    originals the same number is height².

    Args:
        to_untrained: [1+L] V²(M, R_S).
        to_unlearned: [1+L] V²(M, R_B).
        gap: [1+L] G = V²(R_S, R_B), above 0 (`gap_is_clear`).

    Returns:
        [1+L] in units of G; 0 is on the line, slightly negative values are legal.

    Raises:
        UserError: a gap is not above 0.

    Source: Pythagoras in the plane of the map.

    >>> off_line_squared(np.array([0.5]), np.array([0.5]), gap=np.array([1.0]))
    array([0.25])
    """
    return to_untrained / gap - generality(to_untrained, to_unlearned, gap=gap) ** 2


def off_line_in_words(off_line: Measured) -> str:
    """Say how far off the line: a root only where it is distinguishable from 0.

    Args:
        off_line: off-line², debiased, with its interval, in units of G.

    Returns:
        "not distinguishable from 0", or the root with its interval, in units of √G.

    Source: a rule of this package: the root of a number whose interval holds 0 is biased upwards.

    >>> off_line_in_words(Estimate(0.02, -0.01, 0.05, 32))
    'not distinguishable from 0'
    >>> off_line_in_words(Estimate(0.25, 0.16, 0.36, 32))
    '0.50 (0.40 to 0.60)'
    """
    if isinstance(off_line, NotMeasured):
        return f"not measured: {off_line.not_measured}"
    if off_line.low is None or off_line.low <= 0:
        return "not distinguishable from 0"
    high = "no upper end" if off_line.high is None else f"{math.sqrt(off_line.high):.2f}"
    return f"{math.sqrt(off_line.value):.2f} ({math.sqrt(off_line.low):.2f} to {high})"


def original_is_off_line(height_squared: Measured) -> bool:
    """Whether the originals lie clearly off the line, so that they and the references span a triangle.

    Otherwise only t and off-line² are shown, with "original indistinguishable from the line".

    Args:
        height_squared: off-line² of the originals, debiased, with its interval, in units of G.

    Returns:
        True where the lower bound exceeds .02.

    Source: a rule of this package: weights in a flat triangle are noise.

    >>> original_is_off_line(Estimate(0.3, 0.1, 0.5, 32)), original_is_off_line(Estimate(0.3, 0.0, 0.6, 32))
    (True, False)
    """
    return (
        isinstance(height_squared, Estimate)
        and height_squared.low is not None
        and height_squared.low > HEIGHT_FLOOR
    )


def weights_are_sharp(se: NDArray[np.float64]) -> bool:
    """Whether all affine weights are known well enough to be shown: every se < .25.

    Args:
        se: [3] jackknife standard errors of the weights.

    Returns:
        True where they may be shown.

    Source: a rule of this package.

    >>> weights_are_sharp(np.array([0.1, 0.2, 0.1])), weights_are_sharp(np.array([0.1, 0.3, 0.1]))
    (True, False)
    """
    return bool((se < WEIGHT_SE_CEILING).all())


@metric(
    name="affine_weights",
    aims=BOTH,
    needs={"logits", "original", "untrained", "unlearned"},
    better="reference",
    unit="none",
    bounds=UNBOUNDED,
    cite="",
)
def affine_weights(
    *,
    to_untrained: NDArray[np.float64],
    to_unlearned: NDArray[np.float64],
    to_original: NDArray[np.float64],
    original_to_untrained: NDArray[np.float64],
    original_to_unlearned: NDArray[np.float64],
    gap: NDArray[np.float64],
) -> NDArray[np.float64] | NotMeasured:
    """Affine coordinates of a method in the triangle original, untrained, unlearned.

    The weights w with w_O + w_S + w_B = 1 that bring w_O·O + w_S·R_S + w_B·R_B closest to M, from squared
    distances alone. With R_S as origin, b = R_B, o = O, m = M, and inner products by polarisation,

        [ G      ⟨b, o⟩ ] [w_B]   [⟨m, b⟩]
        [⟨b, o⟩  ⟨o, o⟩ ] [w_O] = [⟨m, o⟩],        w_S = 1 − w_B − w_O

    w_O reads as "how much was left undone". They are coordinates, not shares: below 0 and above 1 are legal.

    Args:
        to_untrained: [1+L] V²(M, R_S).
        to_unlearned: [1+L] V²(M, R_B).
        to_original: [1+L] V²(M, O), pairs of a method's model and its own original left out.
        original_to_untrained: [1+L] V²(O, R_S).
        original_to_unlearned: [1+L] V²(O, R_B).
        gap: [1+L] G = V²(R_S, R_B), above 0 (`gap_is_clear`).

    Returns:
        [1+L, 3] weights of original, untrained, unlearned; `NotMeasured` where the three points do not span
        a triangle in some leave-out (`original_is_off_line`).

    Raises:
        UserError: a gap is not above 0.

    Source: barycentric coordinates from distances (Cayley–Menger); polarisation as in `generality`.

    >>> one, two = np.array([1.0]), np.array([2.0])
    >>> corner = affine_weights(to_untrained=one, to_unlearned=two, to_original=0 * one,
    ...                         original_to_untrained=one, original_to_unlearned=two, gap=one)
    >>> corner.tolist()
    [[1.0, 0.0, 0.0]]
    """
    _check_gap(gap)
    original = original_to_untrained
    cosine = (original + gap - original_to_unlearned) / 2
    along_gap = (to_untrained + gap - to_unlearned) / 2
    along_original = (to_untrained + original - to_original) / 2
    determinant = gap * original - cosine**2
    if (determinant <= 0).any():
        return NotMeasured("original indistinguishable from the line")
    unlearned = (along_gap * original - along_original * cosine) / determinant
    undone = (along_original * gap - along_gap * cosine) / determinant
    return np.stack([undone, 1 - undone - unlearned, unlearned], axis=-1)


def _check_gap(gap: NDArray[np.float64]) -> None:
    if not (gap > 0).all():
        raise UserError("Expected a gap V²(R_S, R_B) above 0 in every leave-out: check `gap_is_clear` first.")
