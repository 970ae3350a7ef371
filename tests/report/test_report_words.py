from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from unweave._types import Estimate, Measured, NotMeasured
from unweave.records import CaseResult, Label, Outcome, Part, Row, Verdict
from unweave.report import (
    aim_reason,
    attainable_words,
    case_headline,
    headline,
    headline_result,
    margin_words,
    off_line_text,
    row_reason,
)
from unweave.report.words import LABEL_MEANINGS, LABEL_NAMES, OUTCOME_NAMES, told_reason

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
RESIDUALS: dict[str, Measured] = {
    "near": Estimate(0.03, 0.01, 0.05, 32),
    "half": Estimate(0.31, 0.25, 0.37, 32),
    "as original": Estimate(0.98, 0.9, 1.06, 32),
    "a little worse": Estimate(1.0043, 1.0012, 1.0074, 32),
    "worse": Estimate(1.4, 1.2, 1.6, 32),
    "unbounded": Estimate(0.5, None, None, 32),
    "barely": Estimate(0.998, 0.9975, 0.9985, 32),
    "none": NotMeasured("no distance to divide by"),
}


def with_outcomes(row: Row, untraining: Outcome, unlearning: Outcome, residual: Measured) -> Row:
    def verdict(outcome: Outcome) -> Verdict:
        reason = "behaviour not declared" if outcome == "not measured" else ""
        excess = NotMeasured(reason) if reason else Estimate(0.1, 0.0, 0.2, 32)
        return Verdict(outcome, reason, excess, (Part("overall", excess, 0.1, outcome == "reached"),))

    return replace(
        row, verdict_untraining=verdict(untraining), verdict_unlearning=verdict(unlearning),
        residual_untraining=residual, residual_unlearning=residual,
    )  # fmt: skip


def well_formed(sentence: str) -> bool:
    balanced = sentence.count("(") == sentence.count(")") and sentence.count("[") == sentence.count("]")
    return balanced and not re.search(r"None|nan|  |\(\)|not not|neither aim was not| ,|;;|\.\.", sentence)


def test_every_label_and_outcome_has_words() -> None:
    assert set(LABEL_NAMES) == set(LABEL_MEANINGS) == set(get_args(Label))
    assert set(OUTCOME_NAMES) == set(OUTCOMES)


@pytest.mark.parametrize("pair", list(itertools.product(OUTCOMES, OUTCOMES)), ids="-".join)
@pytest.mark.parametrize("residual", RESIDUALS.values(), ids=RESIDUALS.keys())
def test_a_reason_for_every_pair_of_outcomes(
    pair: tuple[Outcome, Outcome], residual: Measured, row_factory: Callable[..., Row]
) -> None:
    row = with_outcomes(row_factory("DELETE", rate=0.98), *pair, residual)
    reason = row_reason(row)
    assert well_formed(reason), reason
    for past, outcome in zip(("untrained", "unlearned"), pair, strict=True):
        claims = re.search(rf"\b{past}, within the margin", reason) is not None
        assert claims == (outcome == "reached"), reason
        if outcome == "no power" and pair != ("no power", "no power"):
            assert "no-op" in reason or "nothing to" in reason
        if outcome == "not measured":
            assert "not measured: behaviour not declared" in reason or "neither aim was measured" in reason
    assert "98% of unseen instances" in reason


@pytest.mark.parametrize("pair", list(itertools.product(OUTCOMES, OUTCOMES)), ids="-".join)
@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_headline_for_every_pair_of_outcomes(
    pair: tuple[Outcome, Outcome], count: int, row_factory: Callable[..., Row], trigger: CaseResult
) -> None:
    rows = tuple(with_outcomes(row_factory(f"method {index}"), *pair, RESIDUALS["half"]) for index in range(count))
    text = case_headline(name="digits", rows=rows, geometry=trigger.geometry, null_ok=True)
    assert text.startswith("On digits, ") and text.endswith(".") and text.count(". ") == 0
    assert well_formed(text), text
    for past, outcome in zip(("untrained", "unlearned"), pair, strict=True):
        subject = "method 0" if count == 1 else f"all {count} methods"
        assert (f"{subject} {past}" in text) == (outcome == "reached"), text
    assert ("nothing to untrain" in text) == (pair[0] == "no power")
    assert ("nothing to unlearn" in text) == (pair[1] == "no power")


def test_the_reason_of_the_brief(row_factory: Callable[..., Row]) -> None:
    row = row_factory("x", r=(0.31, 0.31), outcomes=("missed", "missed"), rate=0.98)
    reason = row_reason(row)
    assert "did 69% of the unlearning (31% of the way is left" in reason
    assert reason.endswith("the behaviour still shows on 98% of unseen instances")


@pytest.mark.parametrize(
    ("residual", "expected"),
    [
        ("near", "did 97% of the unlearning (3% of the way is left [1, 5])"),
        ("as original", "did not measurably unlearn (98% of the way is left [90, 106])"),
        ("worse", "moved away from A(D∖B) (1.4 times the original's E² [1.2, 1.6])"),
        ("a little worse", "moved slightly away from A(D∖B) (E² 0.4% above the original's [0.1, 0.7])"),
        ("barely", "did next to none of the unlearning (99.8% of the way is left [99.8, 99.9])"),
        ("unbounded", "did not measurably unlearn (50% of the way is left [−∞, ∞])"),
        ("none", "did not unlearn"),
    ],
)
def test_missed(residual: str, expected: str) -> None:
    assert aim_reason("unlearning", "missed", residual=RESIDUALS[residual]) == expected


def test_undecided_names_what_is_not_shown() -> None:
    held = Part("overall", RESIDUALS["near"], 0.01, True)
    open_part = Part("unseen", RESIDUALS["near"], 0.3, False)
    text = aim_reason("unlearning", "inconclusive", residual=RESIDUALS["near"], parts=(held, open_part))
    assert text == "unlearning undecided (3% of the way is left [1, 5]), not shown: unseen"


def test_no_verdict_when_fresh_retrains_miss(trigger: CaseResult) -> None:
    text = headline(replace(trigger, null_ok=False))
    assert text == "On digits-trigger, the fresh retrains miss their anchors, so there is no verdict."
    assert "unlearned" not in headline_result([replace(trigger, null_ok=False)])


def test_headlines_count_and_name(trigger: CaseResult, mislabel: CaseResult) -> None:
    first = headline(trigger)
    assert "1 of 9 method settings unlearned (expansion + retrain)" in first
    assert "there is nothing to untrain that this many models can show" in first
    assert "1 method giving no result" in first
    assert "2 of 8 methods untrained (fine-tuning, relabel by hand)" in headline(mislabel)
    missed = tuple(row for row in trigger.rows if row.label in ("neither", "not applicable"))
    assert "none of 7 methods unlearned, DELETE closest with 35% of the way left" in headline(
        replace(trigger, rows=missed)
    )


def test_doing_nothing_is_never_called_closest(trigger: CaseResult) -> None:
    missed = [row for row in trigger.rows if row.kind == "method" and row.label == "neither"]
    rows = [replace(row, residual_unlearning=Estimate(1.4, 1.3, 1.5, 8)) for row in missed[1:]]
    rows.append(replace(missed[0], id="noop", name="noop", residual_unlearning=Estimate(1.0, 1.0, 1.0, 8)))
    text = headline(replace(trigger, rows=tuple(rows)))
    assert "unlearned, none of them closer than the original is" in text and "noop closest" not in text, text


def test_nearest_by_estimate_alone_is_not_called_closest(trigger: CaseResult) -> None:
    missed = [row for row in trigger.rows if row.kind == "method" and row.label == "neither"]
    wide = replace(missed[0], residual_unlearning=Estimate(0.85, 0.49, 1.21, 8))
    rows = [wide, *(replace(row, residual_unlearning=Estimate(0.98, 0.9, 1.06, 8)) for row in missed[1:])]
    text = headline(replace(trigger, rows=tuple(rows)))
    assert "none of them shown to be closer than the original is" in text, text
    rows[1] = replace(rows[1], residual_unlearning=Estimate(0.9, 0.85, 0.95, 8))
    assert "closest with 90% of the way left" in headline(replace(trigger, rows=tuple(rows)))


def test_one_reason_of_all_that_failed_stands_in_the_headline(trigger: CaseResult) -> None:
    row = next(row for row in trigger.rows if row.kind == "method" and row.status == "ok")
    failed = replace(row, status="failed", reason="it diverged")
    assert headline(replace(trigger, rows=(failed, failed))).endswith("none with a result (failed: it diverged).")
    other = replace(failed, reason="of another reason")
    assert headline(replace(trigger, rows=(failed, other))).endswith("none with a result.")


def test_undecided_methods_are_not_called_failures(trigger: CaseResult) -> None:
    rows = tuple(row for row in trigger.rows if row.label in ("neither", "inconclusive"))
    text = headline(replace(trigger, rows=rows))
    undecided = next(row for row in rows if row.verdict_unlearning.outcome == "inconclusive")
    assert f"none of 8 method settings is shown to have unlearned, 1 undecided ({undecided.name}" in text


def test_headline_says_where_the_aims_are_not_distinguishable(trigger: CaseResult) -> None:
    geometry = replace(trigger.geometry, drawn=False)
    assert "the two aims are not distinguishable" in headline(replace(trigger, geometry=geometry))
    undeclared = replace(geometry, gap=NotMeasured("behaviour not declared"))
    assert "not distinguishable" not in headline(replace(trigger, geometry=undeclared))


def test_degenerate_headlines(degenerate: CaseResult) -> None:
    assert well_formed(headline(degenerate))
    assert headline(degenerate).endswith(".")


def test_headline_of_results(trigger: CaseResult, mislabel: CaseResult) -> None:
    assert headline_result([]) == "No case was compared."
    assert headline_result([trigger]) == headline(trigger)
    both = headline_result([trigger, mislabel])
    assert both == f"{headline(trigger)[:-1]}; o{headline(mislabel)[1:]}"
    many = headline_result([trigger, mislabel, trigger, replace(trigger, null_ok=False)])
    assert (
        many.startswith("Across 4 cases, 3 of ")
        and "tested runs unlearned and 2 of 8 tested runs untrained" in many
    )
    assert "in 1 case the fresh retrains miss their anchors" in many
    unpowered = replace(
        trigger, rows=tuple(with_outcomes(row, "no power", "missed", RESIDUALS["half"]) for row in trigger.rows)
    )
    nothing = headline_result([unpowered] * 3)
    assert "0 of 30 tested runs unlearned and no run could be tested for untraining" in nothing, nothing


def test_margin_and_attainable(trigger: CaseResult) -> None:
    assert "10% of the probes, or 32% of the models" in margin_words(0.1)
    assert "5% of the probes, or 22% of the models" in margin_words(0.05)
    assert "0.030 for untraining and 0.021 for unlearning" in attainable_words(trigger.geometry, 0.1)
    tight = attainable_words(trigger.geometry, 0.025)
    assert "is tighter than they reach for untraining, and can be shown only" in tight
    unknown = replace(trigger.geometry, attainable_untraining=None, attainable_unlearning=None)
    assert "not measured" in attainable_words(unknown, 0.1)


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (Estimate(0.25, 0.16, 0.36, 32), "0.50 [0.40, 0.60]"),
        (Estimate(0.25, 0.16, None, 32), "0.50 [0.40, ∞]"),
        (Estimate(0.25, 0.0, 0.36, 32), "not distinguishable from 0"),
        (Estimate(-0.01, -0.02, -0.001, 32), "not distinguishable from 0"),
        (Estimate(0.25, None, 0.36, 32), "not distinguishable from 0"),
        (NotMeasured("why"), "–"),
    ],
)
def test_off_line(measured: Measured, text: str) -> None:
    assert off_line_text(measured) == text


def test_rows_without_a_result_say_so(row_factory: Callable[..., Row]) -> None:
    row = row_factory("SSD", status="refused", reason="needs\na classifier")
    assert row_reason(row) == told_reason(row) == "refused: needs a classifier"
    told = row_factory("x", reason="as told")
    assert told_reason(told) == "as told" and row_reason(told) != "as told"


def test_rows_that_are_no_methods(trigger: CaseResult) -> None:
    for row in trigger.rows:
        if row.kind != "method":
            assert "still" not in row_reason(row) and "no-op" not in row_reason(row)
