"""What a verdict may not claim: known answers on fabricated outputs, without any training."""

from dataclasses import replace

import numpy as np
import pytest

from unweave import Case, LearnerChoice, ReferenceChoice
from unweave.problem import BehaviourChoice, ForgetChoice
from unweave.references import Outputs
from unweave.study import MethodChoice, assemble, frame
from unweave.study.frame import build_frame, smallest_p
from unweave.study.rows import judge_case

MODELS = 16
CASE = Case(
    name="fabricated",
    behaviour=BehaviourChoice("mislabel"),
    learner=LearnerChoice(epochs=1),
    references=ReferenceChoice(models=MODELS),
)
NOTES = {"params": {}, "gradient_ratio": 0.1, "seconds": 0.0, "peak_memory_bytes": 0, "cite": ""}


class Law:
    """Logits of models that give each probe its clean label, and some groups the planted one."""

    def __init__(self, assembly, seed=0):
        self.probes, self.rng = assembly.probes, np.random.default_rng(seed)

    def draw(self, shown=(), models=MODELS, damage=0.0):
        n = len(self.probes.clean)
        labels = self.probes.clean.copy()
        for group in shown:
            rows = self.probes.groups[group]
            labels[rows] = self.probes.trained[rows]
        if damage:
            rows = self.probes.groups["test"][: round(damage * len(self.probes.groups["test"]))]
            labels[rows] = (labels[rows] + 1) % 10
        z = self.rng.normal(0, 0.5, (models, n, 10)) + 0.3 * self.rng.normal(0, 1, (models, 1, 10))
        z[:, np.arange(n), labels] += 4
        return Outputs(z.astype(np.float32), NOTES)

    def worlds(self, models=MODELS, **shown):
        names = ("original", "untrained", "unlearned", "null_untrained", "null_unlearned")
        usual = {"original": ("forget", "undiscovered"), "untrained": ("undiscovered",), "unlearned": ()}
        return {n: self.draw((usual | shown)[n.removeprefix("null_")], models) for n in names}


@pytest.fixture(scope="module")
def assembly():
    return assemble(CASE)


def judge(assembly, worlds, **methods):
    result = judge_case(assembly, worlds, [(MethodChoice(name, {}), one) for name, one in methods.items()])
    return result, {row.id: row for row in result.rows if row.kind == "method"}


def test_fresh_draws_of_a_reference_reach_its_aim_and_no_other(assembly):
    law = Law(assembly)
    _, rows = judge(assembly, law.worlds(), like_s=law.draw(("undiscovered",)), like_b=law.draw())
    assert rows["like_s"].label == "untrained"
    assert rows["like_b"].label == "unlearned"


def test_settling_all_but_one_own_group_does_not_reach(assembly):
    law = Law(assembly)
    _, rows = judge(assembly, law.worlds(), left=law.draw(("undiscovered",)), kept=law.draw(("forget",)))
    assert rows["left"].verdict_unlearning.outcome == "missed"
    assert rows["kept"].verdict_untraining.outcome == "missed"


def test_two_points_of_lost_accuracy_are_not_equivalent(assembly):
    law = Law(assembly)
    _, rows = judge(assembly, law.worlds(), harmed=law.draw(damage=0.02))
    assert rows["harmed"].verdict_unlearning.outcome != "reached"
    parts = {part.name: part for part in rows["harmed"].verdict_unlearning.parts}
    assert not parts["accuracy on test"].holds and parts["distance overall"].holds


@pytest.mark.parametrize(("models", "smallest"), [(3, 0.1), (4, 2 / 70), (5, 2 / 252)])
def test_with_too_few_models_there_is_no_verdict_rather_than_no_power(models, smallest):
    assert smallest_p(np.arange(models), np.arange(models, 2 * models)) == pytest.approx(smallest)
    few = assemble(replace(CASE, references=ReferenceChoice(models=models)))
    law = Law(few)
    result, rows = judge(few, law.worlds(models), like_b=law.draw(models=models))
    if models < 5:
        assert rows["like_b"].verdict_unlearning.outcome == "not measured"
        assert "too few models" in rows["like_b"].verdict_unlearning.reason
        assert any("too few models" in warning for warning in result.warnings)
        assert "nothing to" not in result.headline
    else:
        assert rows["like_b"].verdict_unlearning.outcome != "not measured"


def test_too_few_is_asked_at_the_level_that_the_tests_of_power_share():
    few = assemble(replace(CASE, references=ReferenceChoice(models=4)))
    law = Law(few)
    worlds = {name: law.draw(models=16 if name.startswith("null_") else 4) for name in law.worlds(4)}
    # 4 against 4 give no p below 2/70: that is below 5%, and three times that is not.
    _, rows = judge(few, worlds, noop=worlds["original"])
    assert "smallest possible p-value 0.029" in rows["noop"].verdict_unlearning.reason


@pytest.mark.parametrize(("p_overall", "p_own"), [(0.04, 0.9), (0.9, 0.01), (0.5, 0.6)])
def test_power_pays_for_every_test_it_takes_the_smallest_of(assembly, monkeypatch, p_overall, p_own):
    built = build_frame(assembly.case, assembly.probes, Law(assembly).worlds())
    assert {"forget", "undiscovered", "unseen"} & built.judged == {"forget", "undiscovered"}
    private = replace(built, case=replace(built.case, privacy=True))
    monkeypatch.setattr(frame, "_differ", lambda *_, group=0: p_overall if group == 0 else p_own)
    least = min(p_overall, p_own)
    # Overall and on B∖S; overall, on S, and on margins, whose distances have S as group 0.
    assert frame._power(built, "unlearning") == pytest.approx(min(2 * least, 1.0))
    assert frame._power(private, "untraining") == pytest.approx(min(3 * least, 1.0))


def test_no_more_than_one_run_in_twenty_has_power_where_nothing_differs(assembly, monkeypatch):
    built = build_frame(assembly.case, assembly.probes, Law(assembly).worlds())
    built = replace(built, judged=built.judged | {"unseen"}, groups=built.groups | {"unseen": 0})
    rng = np.random.default_rng(0)
    monkeypatch.setattr(frame, "_differ", lambda *_, group=0: float(rng.random()))  # p-values of equal laws
    for aim in ("untraining", "unlearning"):
        hits = np.mean([frame._power(built, aim) <= 0.05 for _ in range(6000)])
        assert 0.04 < hits < 0.057, aim


def test_the_smallest_p_of_paired_samples():
    assert smallest_p(np.arange(5), np.arange(5)) == 1 / 16


def test_no_power_is_not_claimed_where_s_was_not_looked_at():
    small = assemble(replace(CASE, forget=ForgetChoice(count=10)))
    law = Law(small)
    worlds = law.worlds()
    # Only the ten examples of S differ between the originals and A(D∖S), and ten are too few to judge.
    _, rows = judge(small, worlds, noop=worlds["original"])
    assert rows["noop"].verdict_untraining.outcome == "not measured"


def test_power_may_come_from_the_aims_own_group(assembly):
    law = Law(assembly)
    worlds = law.worlds()
    result, _ = judge(assembly, worlds, noop=worlds["original"])
    assert result.geometry.p_untraining <= 0.05
    same = law.worlds(untrained=("forget", "undiscovered"))
    result, rows = judge(assembly, same, noop=same["original"])
    assert rows["noop"].verdict_untraining.outcome == "no power"
    assert "nothing to untrain that this many models can show" in result.headline


def test_fresh_retrains_of_another_law_void_the_run(assembly):
    law = Law(assembly)
    worlds = law.worlds() | {"null_unlearned": law.draw(("forget", "undiscovered"))}
    result, rows = judge(assembly, worlds, like_b=law.draw())
    assert not result.null_ok
    assert rows["like_b"].verdict_unlearning.outcome == "not measured"


def test_where_s_is_b_one_of_two_batches_is_not_enough():
    whole = assemble(replace(CASE, forget=ForgetChoice(discovery=1.0)))
    labels = set()
    for seed in range(6):
        law = Law(whole, seed)
        worlds = law.worlds(original=("forget",), untrained=(), unlearned=())
        result, rows = judge(whole, worlds, fresh=law.draw())
        assert not result.geometry.drawn
        labels.add(rows["fresh"].label)
    assert labels <= {"both", "inconclusive"} and "both" in labels


def test_every_probe_of_a_small_group_that_differs_is_found(assembly):
    law = Law(assembly)
    worlds = law.worlds()
    _, rows = judge(assembly, worlds, noop=worlds["original"])
    assert rows["noop"].tail.untraining["forget"].share_differing == 1.0
    assert rows["noop"].tail.untraining["test"].share_differing < 0.05
