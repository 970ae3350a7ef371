"""Numbers as text: estimates with their intervals, shares, points, clean strings."""

from __future__ import annotations

import math
import re

from unweave._types import Estimate, Measured

DASH = "–"
_MINUS = "−"
# Controls, halves of surrogate pairs, and marks that reorder the text around them: a name that holds one
# could rewrite the line it stands in.
_RISKY = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SPELLED = {
    "−": "-",
    "∖": "\\",
    "–": "-",
    "·": "-",
    "×": "x",
    "²": "^2",
    "∞": "inf",
    "≈": "~",
    "…": "...",
    "†": "*",
    "─": "-",
    "Δ": "diff.",
    "�": "?",
}


def clean(text: str) -> str:
    r"""Replace control, reordering and unpaired surrogate characters, which could forge output, by `�`.

    Example:
        >>> clean("a\x1b[31mb")
        'a�[31mb'
    """
    return _RISKY.sub("�", text)


def one_line(text: str) -> str:
    r"""Clean text and put it on one line.

    Example:
        >>> one_line("two\n  lines")
        'two lines'
    """
    return " ".join(clean(text).split())


def number_text(value: float, digits: int = 2) -> str:
    """Format a number with a true minus sign and never a negative zero.

    Example:
        >>> number_text(-0.004), number_text(-1.5), number_text(12345.6)
        ('0.00', '−1.50', '1.2e+04')
    """
    size = abs(value)
    if size >= 10_000:
        text = f"{size:.1e}"
    elif size >= 100:
        text = f"{size:.0f}"
    else:
        text = f"{size:.{digits}f}"
    negative = value < 0 and any(character in "123456789" for character in text)
    return _MINUS + text if negative else text


def interval_text(low: float | None, high: float | None, digits: int = 2) -> str:
    """Format a 95% interval; an unbounded end is an infinity.

    Example:
        >>> interval_text(0.1, None)
        '[0.10, ∞]'
    """
    left = f"{_MINUS}∞" if low is None else number_text(low, digits)
    right = "∞" if high is None else number_text(high, digits)
    return f"[{left}, {right}]"


def estimate_text(measured: Measured, digits: int = 2) -> str:
    """Format an estimate with its interval; a dash where nothing was measured.

    Example:
        >>> estimate_text(Estimate(0.35, 0.31, 0.4, 32))
        '0.35 [0.31, 0.40]'
    """
    if not isinstance(measured, Estimate):
        return DASH
    return f"{number_text(measured.value, digits)} {interval_text(measured.low, measured.high, digits)}"


def share_text(value: float) -> str:
    """Format a share as a percentage that says 0% or 100% only when it is exactly that.

    Example:
        >>> share_text(0.98), share_text(0.998), share_text(1.0)
        ('98%', '99.8%', '100%')
    """
    percent = 100 * value
    text = number_text(percent, 0)
    if text not in ("0", "100") or math.isclose(percent, round(percent), abs_tol=1e-9):
        return f"{text}%"
    finer = _tenths(percent)
    return {"0.0": "<0.1%", "100.0": ">99.9%" if percent < 100 else ">100%"}.get(finer, f"{finer}%")


def shares_text(measured: Measured) -> str:
    """Format an estimated share with its interval in per cent.

    Example:
        >>> shares_text(Estimate(0.98, 0.97, 0.99, 32))
        '98% [97, 99]'
    """
    if not isinstance(measured, Estimate):
        return DASH
    low = None if measured.low is None else 100 * measured.low
    high = None if measured.high is None else 100 * measured.high
    text = share_text(measured.value)
    return f"{text} {percents_text(low, high, like=text)}"


def percents_text(low: float | None, high: float | None, *, like: str) -> str:
    """An interval in per cent with as many digits as the value: "99.9% [100, 100]" would seem to exclude it.

    Example:
        >>> percents_text(99.75, 100.1, like="99.9%"), percents_text(97.0, 99.0, like="98%")
        ('[99.8, 100.1]', '[97, 99]')
    """
    if "." not in like:
        return interval_text(low, high, 0)
    left = f"{_MINUS}∞" if low is None else _tenths(low)
    return f"[{left}, {'∞' if high is None else _tenths(high)}]"


def _tenths(percent: float) -> str:
    # `number_text` leaves decimals out from 100 on, and 100.4% is not all.
    return number_text(percent, 1) if abs(percent) < 100 else f"{percent:.1f}".replace("-", _MINUS)


def points_text(measured: Measured) -> str:
    """Format a difference of shares in percentage points, with its sign.

    Example:
        >>> points_text(Estimate(0.012, -0.004, 0.028, 32))
        '+1.2 [−0.4, 2.8]'
    """
    if not isinstance(measured, Estimate):
        return DASH
    low = None if measured.low is None else 100 * measured.low
    high = None if measured.high is None else 100 * measured.high
    text = number_text(100 * measured.value, 1)
    sign = "+" if measured.value > 0 and text != "0.0" else ""
    return f"{sign}{text} {interval_text(low, high, 1)}"


def p_text(p_value: float | None) -> str:
    """Format a p-value; a dash where there is none.

    Example:
        >>> p_text(0.0001), p_text(0.042)
        ('<0.001', '0.042')
    """
    if p_value is None:
        return DASH
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def ascii_text(text: str) -> str:
    r"""Spell the few mathematical signs of the report in ASCII, for terminals without them.

    Example:
        >>> ascii_text("A(D∖B) −1")
        'A(D\\B) -1'
    """
    return "".join(_SPELLED.get(sign, sign) for sign in text).encode("ascii", "replace").decode()
