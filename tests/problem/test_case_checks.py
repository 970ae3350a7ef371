import math
from dataclasses import replace

import pytest

from unweave import BehaviourChoice, Case, LearnerChoice, ProbeChoice, ReferenceChoice
from unweave._errors import SpecError

GOOD = Case()


def test_the_default_case_is_good():
    GOOD.check()


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (replace(GOOD, seed=-1), r"`seed` is -1; expected an integer in 0"),
        (replace(GOOD, seed=2**63), r"`seed` is 9223372036854775808"),
        *[(replace(GOOD, margin=m), r"`margin` is .* share in \(0, 1\)") for m in (0.0, 1.0, -0.1, math.nan, 2.0)],
        *[(replace(GOOD, alpha=a), r"`alpha` is .* level in \(0, 0\.5\)") for a in (0.0, 0.5, -1.0, math.nan)],
        *[(replace(GOOD, name=n), "`name` is .* printable") for n in ("", "  ", "a\nb", "\x1b[31m", "x" * 256)],
        (replace(GOOD, name="\u202eevil"), "`name` is .* printable"),
        (replace(GOOD, probes=ProbeChoice(limit=19)), r"`probes\.limit` is 19; expected at least 20"),
        (replace(GOOD, references=ReferenceChoice(models=2)), r"`references\.models` is 2: .* at least 3"),
        (replace(GOOD, references=ReferenceChoice(null=1)), r"`references\.null` is 1: .* at least 3"),
        (replace(GOOD, references=ReferenceChoice(models=-5)), r"`references\.models` is -5"),
        (
            replace(GOOD, references=ReferenceChoice(models=10**6)),
            r"`references\.models` is 1000000; expected 3 to",
        ),
        (replace(GOOD, references=ReferenceChoice(null=10**6)), r"`references\.null` is 1000000; expected 3 to"),
        (
            replace(GOOD, learner=LearnerChoice(epochs=10**9)),
            r"`learner\.epochs` is 1000000000; .* at most 1,000,000",
        ),
        (replace(GOOD, learner=LearnerChoice(lr=1e308)), r"`learner\.lr` is 1e\+308"),
        (replace(GOOD, learner=LearnerChoice(width=10**12)), r"`learner\.width` is"),
        (replace(GOOD, learner=LearnerChoice(depth=10**12)), r"`learner\.depth` is"),
        (replace(GOOD, learner=LearnerChoice(width=60_000, depth=900)), r"3\.2e\+12 weights in each model"),
        (replace(GOOD, learner=LearnerChoice(batch_size=2**40)), r"`learner\.batch_size` is"),
    ],
)
def test_values_out_of_range_are_refused(case, message):
    with pytest.raises(SpecError, match=message):
        case.check()


@pytest.mark.parametrize(
    "case",
    [
        replace(GOOD, seed=2**63 - 1),
        replace(GOOD, name="Ärger: Fälle 猫 [1] 'x'"),
        replace(GOOD, references=ReferenceChoice(models=3, null=3, paired=True)),
        replace(GOOD, probes=ProbeChoice(limit=20)),
        replace(GOOD, learner=LearnerChoice(width=1024, depth=8)),
        replace(GOOD, behaviour=BehaviourChoice("mislabel")),
    ],
)
def test_values_at_the_border_are_taken(case):
    case.check()


def test_fresh_retrains_are_as_many_as_references_unless_said_otherwise():
    assert Case(references=ReferenceChoice(models=7)).null_models == 7
    assert Case(references=ReferenceChoice(models=7, null=4)).null_models == 4
