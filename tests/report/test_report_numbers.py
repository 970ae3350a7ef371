from __future__ import annotations

import math

import pytest

from unweave._types import Estimate, NotMeasured
from unweave.report.numbers import (
    ascii_text,
    clean,
    estimate_text,
    interval_text,
    number_text,
    one_line,
    p_text,
    points_text,
    share_text,
    shares_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (-0.001, "0.00"), (-0.35, "−0.35"), (3.456, "3.46"), (123.4, "123"), (1e6, "1.0e+06")],
)
def test_numbers(value: float, text: str) -> None:
    assert number_text(value) == text


def test_estimates_show_unbounded_ends_and_dashes() -> None:
    assert estimate_text(Estimate(0.35, 0.31, 0.40, 8)) == "0.35 [0.31, 0.40]"
    assert estimate_text(Estimate(0.35, None, 0.40, 8)) == "0.35 [−∞, 0.40]"
    assert estimate_text(Estimate(0.35, None, None, 8)) == "0.35 [−∞, ∞]"
    assert estimate_text(NotMeasured("why")) == shares_text(NotMeasured("why")) == "–"
    assert points_text(NotMeasured("why")) == "–"
    assert interval_text(-1.0, None) == "[−1.00, ∞]"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0%"), (1.0, "100%"), (0.997, "99.7%"), (0.9999, ">99.9%"), (0.004, "0.4%"), (0.0001, "<0.1%")]
    + [(0.5, "50%"), (-0.05, "−5%"), (1.34, "134%"), (-0.0001, "<0.1%")]
    + [(1.004, "100.4%"), (1.0004, ">100%"), (1.0049, "100.5%"), (1.006, "101%"), (0.9996, ">99.9%")],
)
def test_shares_are_whole_only_when_they_are(value: float, text: str) -> None:
    assert share_text(value) == text


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.998, 0.9975, 0.9985, 8), "99.8% [99.8, 99.9]"),
        (Estimate(1.004, 1.001, 1.007, 8), "100.4% [100.1, 100.7]"),
        (Estimate(0.003, -0.0001, 0.004, 8), "0.3% [0.0, 0.4]"),
        (Estimate(0.003, None, None, 8), "0.3% [−∞, ∞]"),
        (Estimate(0.98, 0.97, 0.99, 8), "98% [97, 99]"),
    ],
)
def test_the_interval_of_a_share_has_the_digits_of_its_value(estimate: Estimate, text: str) -> None:
    assert shares_text(estimate) == text


def test_points_carry_a_sign() -> None:
    assert points_text(Estimate(0.012, 0.0, 0.02, 8)) == "+1.2 [0.0, 2.0]"
    assert points_text(Estimate(0.0001, -0.01, 0.01, 8)) == "0.0 [−1.0, 1.0]"
    assert points_text(Estimate(-0.012, None, 0.0, 8)) == "−1.2 [−∞, 0.0]"


def test_p_values() -> None:
    assert [p_text(p) for p in (None, 0.0, 0.5, 1.0)] == ["–", "<0.001", "0.500", "1.000"]


def test_clean_removes_what_could_forge_output() -> None:
    assert clean("a\x1b[31m\x07\x9b\u202eb\ud800") == "a�[31m���b�"
    assert clean("line\n\ttab é 漢 ∖") == "line\n\ttab é 漢 ∖"
    assert one_line(" a\r\n b\u2028c ") == "a b c" or "�" in one_line(" a\r\n b\u2028c ")


def test_ascii_has_no_other_signs() -> None:
    text = ascii_text("A(D∖B) −1 ≈ 0 ² ∞ × … – † é")
    assert text.isascii()
    assert "A(D\\B) -1" in text


def test_every_number_of_any_size_is_short() -> None:
    for power in range(-12, 13):
        for sign in (-1, 1):
            assert len(number_text(sign * math.pi * 10.0**power)) <= 8
