"""Only S is known: untraining is judged as always, and nothing else is trained, measured or claimed."""

from dataclasses import replace

import numpy as np
import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave._errors import ApplicabilityError, SpecError
from unweave._types import NOT_DECLARED, Estimate, NotMeasured
from unweave.problem import BehaviourChoice, ForgetChoice, ProbeChoice
from unweave.records import Result, from_json
from unweave.references import Outputs
from unweave.study import MethodChoice, assemble
from unweave.study.rows import judge_case

MODELS = 16
IDS = tuple(int(one) for one in assemble(Case()).data.train.ids[100:160])
CASE = Case(
    name="request",
    behaviour=BehaviourChoice("unknown"),
    forget=ForgetChoice(ids=IDS),
    learner=LearnerChoice(epochs=2),
    references=ReferenceChoice(models=MODELS),
    probes=ProbeChoice(limit=80),
)
NOTES = {"params": {}, "gradient_ratio": 0.1, "seconds": 0.0, "peak_memory_bytes": 0, "cite": ""}


@pytest.fixture(scope="module")
def assembly():
    return assemble(CASE)


def _draw(assembly, seed: int, *, shift: float = 0.0, models: int = MODELS) -> Outputs:
    """Models that are right everywhere, surer of S by `shift`."""
    probes, rng = assembly.probes, np.random.default_rng(seed)
    n = len(probes.clean)
    z = rng.normal(0, 0.5, (models, n, 10))
    z[:, np.arange(n), probes.clean] += 4
    rows = probes.groups["forget"]
    z[:, rows, (probes.clean[rows] + 1) % 10] += shift
    return Outputs(z.astype(np.float32), NOTES)


def _worlds(assembly, shift: float = 6.0) -> dict:
    return {
        "original": _draw(assembly, 0, shift=shift),
        "untrained": _draw(assembly, 1),
        "null_untrained": _draw(assembly, 2),
    }


def _judge(assembly, worlds, **methods):
    result = judge_case(assembly, worlds, [(MethodChoice(name, {}), one) for name, one in methods.items()])
    return result, {row.id: row for row in result.rows}


def test_no_model_of_the_other_aim_is_planned(assembly):
    assert list(assembly.worlds) == ["original", "untrained", "null_untrained"]
    assert assembly.worlds["untrained"].rows.tolist() == sorted(
        set(range(1400)) - set(np.flatnonzero(np.isin(assembly.data.train.ids, IDS)).tolist())
    )


def test_the_keys_of_what_is_left_are_those_of_a_declared_behaviour(assembly):
    declared = assemble(replace(CASE, behaviour=BehaviourChoice("ids", ids=IDS)))
    for name, world in assembly.worlds.items():
        assert world.keys == declared.worlds[name].keys
        np.testing.assert_array_equal(world.rows, declared.worlds[name].rows)


def test_the_groups_are_s_all_else_and_test(assembly):
    probes = assembly.probes
    assert list(probes.groups) == ["forget", "retain", "test"]
    assert probes.absent == {"undiscovered": NOT_DECLARED, "unseen": NOT_DECLARED}
    everything = {row.tobytes() for row in assembly.data.train.x[assembly.forget]}
    assert not everything & {row.tobytes() for row in probes.x[probes.groups["retain"]]}


def test_untraining_is_judged_as_always_and_names_the_label(assembly):
    _, rows = _judge(assembly, _worlds(assembly), like_s=_draw(assembly, 3), noop=_worlds(assembly)["original"])
    assert rows["like_s"].verdict_untraining.outcome == "reached" and rows["like_s"].label == "untrained"
    assert rows["noop"].verdict_untraining.outcome == "missed" and rows["noop"].label == "neither"
    # Only the two cells of untraining were tested, so Holm multiplies by at most two.
    verdict = rows["like_s"].verdict_untraining
    assert verdict.p_holm == pytest.approx(min(1, 2 * verdict.p_value))


def test_where_there_is_nothing_to_untrain_the_label_says_no_power(assembly):
    _, rows = _judge(assembly, _worlds(assembly, shift=0.0), noop=_draw(assembly, 0))
    assert rows["noop"].verdict_untraining.outcome == "no power" and rows["noop"].label == "no power"


def test_everything_about_unlearning_is_not_measured_and_says_why(assembly):
    result, rows = _judge(assembly, _worlds(assembly), like_s=_draw(assembly, 3))
    why = NotMeasured(NOT_DECLARED)
    shape, row = result.geometry, rows["like_s"]
    assert not shape.drawn and shape.why_not == NOT_DECLARED
    assert shape.gap == shape.height_squared == shape.energy_original_unlearned == why
    assert shape.energy_untrained_unlearned == why and shape.p_unlearning is None
    assert shape.attainable_unlearning is None and isinstance(shape.energy_original_untrained, Estimate)
    assert row.generality == row.off_line_squared == row.residual_unlearning == why
    assert row.xy is None and row.weights is None and row.tail.unlearning == {}
    assert (row.verdict_unlearning.outcome, row.verdict_unlearning.reason) == ("not measured", NOT_DECLARED)
    assert set(vars(row.damage.unlearning).values()) == {why}
    assert all(isinstance(one, Estimate) for one in vars(row.damage.untraining).values())
    for group in row.groups.values():
        assert group.energy_unlearning == group.stacked_unlearning == group.residual_unlearning == why
    assert result.case["sizes"] == {"D": 1400, "B": None, "S": 60, "discovery": None}


def test_the_words_claim_nothing_about_a_behaviour(assembly):
    from unweave.report import row_reason

    result, rows = _judge(assembly, _worlds(assembly), like_s=_draw(assembly, 3))
    assert "unlearning was not measured (behaviour not declared), and like_s untrained" in result.headline
    warning = next(one for one in result.warnings if one.startswith("Only S is known"))
    assert "`behaviour.kind`" in warning
    assert not any("S = B" in one for one in result.warnings)
    for row in rows.values():
        assert "the behaviour" not in row_reason(row).replace(NOT_DECLARED, "") or row.kind == "reference"
    assert "the labels trained on are predicted on" in row_reason(rows["like_s"])


def test_a_request_runs_from_spec_to_page_and_trains_three_worlds(tmp_path):
    case = replace(CASE, references=ReferenceChoice(models=5))
    study = compare(case, methods=["noop", "finetune"], store=tmp_path / "store", workers=1)
    assert study.result.provenance.models_trained == 15
    out = study.save(tmp_path / "out")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "No map: behaviour not declared" in page and "NaN" not in page.split("<main>")[1].split("</main>")[0]
    assert from_json(Result, (out / "result.json").read_text()).cases == study.result.cases
    assert {row.label for row in study.result.cases[0].rows if row.kind == "method"} <= {
        "neither",
        "no power",
        "inconclusive",
    }


@pytest.mark.parametrize(
    ("forget", "message"),
    [
        (
            ForgetChoice(),
            r"`behaviour\.kind` is unknown, so nothing but S is known: name its examples in `forget\.ids`",
        ),
        (ForgetChoice(discovery=0.5), r"name its examples in `forget\.ids`"),
        (ForgetChoice(count=3), r"name its examples in `forget\.ids`"),
        (ForgetChoice(ids=IDS, count=3), "has count and ids"),
        (ForgetChoice(ids=()), "0 examples; nothing to remove"),
        (ForgetChoice(ids=IDS, selection="hardest"), "names S already"),
        (ForgetChoice(outside=True, ids=IDS), r"`forget\.outside` draws S from new instances"),
    ],
)
def test_s_must_be_named(forget, message):
    with pytest.raises(SpecError, match=message):
        assemble(replace(CASE, forget=forget))


def test_outside_d_is_nothing_where_no_behaviour_is_declared():
    with pytest.raises(ApplicabilityError, match="there are none: behaviour not declared"):
        assemble(replace(CASE, forget=ForgetChoice(outside=True)))


def test_no_parameter_belongs_to_it():
    with pytest.raises(ApplicabilityError, match="`unknown` takes no parameters; got `size`"):
        assemble(replace(CASE, behaviour=BehaviourChoice("unknown", size=5)))
