"""Methods at equal cost and at equal rise: rows of the same result, judged like every other row."""

import csv
import io
from dataclasses import replace

import pytest

from unweave import LearnerChoice, ReferenceChoice, compare
from unweave._errors import SpecError, UnknownNameError
from unweave.problem import Case, ProbeChoice
from unweave.records import Result, from_json, rows_csv, to_json
from unweave.report import markdown_table, render_page
from unweave.study import MethodChoice, read_spec
from unweave.study.assemble import assemble
from unweave.study.choices import Fair, with_budgets
from unweave.study.tasks import method_fields

CASE = Case(
    name="small",
    learner=LearnerChoice(epochs=6),
    references=ReferenceChoice(models=6),
    probes=ProbeChoice(limit=40),
)
METHODS = ["noop", "finetune", ("gradient_ascent", {"lr": 0.02}), "ssd", "ssd then finetune"]
COST, RISE = 0.2, 0.02


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def fair(store):
    return compare(CASE, methods=METHODS, equal_cost=COST, equal_rise=RISE, store=store, workers=1)


def methods_of(study):
    return {row.id: row for row in study.result.cases[0].rows if row.kind == "method"}


def test_every_method_has_a_row_at_each_budget_beside_its_own(fair):
    rows = methods_of(fair)
    own = ["noop", "finetune", "gradient_ascent(lr=0.02)", "ssd", "ssd then finetune"]
    budgeted = [f"{name} @ {budget}" for budget in ("cost 0.2", "rise 0.02") for name in own[1:]]
    assert list(rows) == [*own, *budgeted]
    for name, row in rows.items():
        expected = {"cost": ("equal_cost", COST), "rise": ("equal_rise", RISE)}.get(
            name.partition(" @ ")[2].partition(" ")[0], ("default", None)
        )
        assert (row.stage, row.budget) == expected and row.name == name


def test_nothing_costs_more_than_the_budget_and_what_would_is_refused(fair):
    rows = methods_of(fair)
    fitting = [row for row in rows.values() if row.stage == "equal_cost" and row.status == "ok"]
    assert {row.id for row in fitting} == {
        "finetune @ cost 0.2", "gradient_ascent(lr=0.02) @ cost 0.2", "ssd @ cost 0.2",
    }  # fmt: skip
    assert all(0.1 < row.cost.gradient_ratio <= COST for row in fitting)
    # An epoch of D∖S is a sixth of a retraining, of S 20 of 6·1380 examples.
    assert rows["finetune @ cost 0.2"].note == "1 epoch for a budget of 0.2×"
    assert rows["gradient_ascent(lr=0.02) @ cost 0.2"].note == "82 epochs for a budget of 0.2×"
    assert rows["gradient_ascent(lr=0.02) @ cost 0.2"].params == {"epochs": pytest.approx(82 / 6), "lr": 0.02}
    assert rows["ssd @ cost 0.2"].note.startswith("it is an edit in one shot: it cannot cost more than")
    refused = rows["ssd then finetune @ cost 0.2"]
    assert (
        refused.status == "refused" and "one epoch of it costs 0.336 retrainings, of which 0.169" in refused.reason
    )


def test_a_rise_says_how_many_models_got_there(fair):
    rows = methods_of(fair)
    climbed = rows["gradient_ascent(lr=0.02) @ rise 0.02"]
    assert climbed.note == "a rise of 0.02 reached by 6 of 6 models" and climbed.status == "ok"
    tuned = rows["finetune @ rise 0.02"]
    assert tuned.note.startswith("a rise of 0.02 reached by 0 of 6 models, the others taken after 6 epochs")
    assert tuned.cost.gradient_ratio == pytest.approx(1.0)


def test_rows_at_budgets_are_judged_with_all_others(fair, store):
    plain = methods_of(compare(CASE, methods=METHODS, store=store, workers=1))
    for name, row in plain.items():
        other = methods_of(fair)[name]
        assert row.residual_unlearning == other.residual_unlearning and row.params == other.params
        for one, both in (
            (row.verdict_untraining, other.verdict_untraining),
            (row.verdict_unlearning, other.verdict_unlearning),
        ):
            assert one.p_value == both.p_value
            if one.p_holm is not None:
                assert both.p_holm >= one.p_holm  # more claims were made
    budgeted = [row for row in methods_of(fair).values() if row.stage != "default" and row.status == "ok"]
    assert all(row.verdict_unlearning.p_holm is not None for row in budgeted)


def test_a_second_run_runs_no_method(fair, store):
    totals = {}
    again = compare(
        CASE,
        methods=METHODS,
        equal_cost=COST,
        equal_rise=RISE,
        store=store,
        workers=1,
        on_progress=lambda stage, done, total: totals.setdefault(stage, total),
    )
    assert totals["methods"] == 0
    assert again.result.cases == fair.result.cases


def test_each_budget_has_a_key_of_its_own(fair):
    assembly, one = assemble(CASE), MethodChoice("npo", {})
    chosen = with_budgets([one], Fair(0.1, 0.1)) + with_budgets([one], Fair(0.2))[1:]
    fields = [str(method_fields(assembly, choice)) for choice in chosen]
    assert len(set(fields)) == len(fields) == 4
    assert "budget" not in fields[0]


def test_the_result_survives_its_files_and_says_how_to_repeat_it(fair):
    assert from_json(Result, to_json(fair.result)) == fair.result
    lines = list(csv.DictReader(io.StringIO(rows_csv(fair.result))))
    line = next(one for one in lines if one["id"] == "ssd @ cost 0.2")
    assert (line["stage"], line["budget"]) == ("equal_cost", "0.2") and "one shot" in line["note"]
    assert fair.result.provenance.spec["fair"] == {"cost": COST, "rise": RISE}
    assert "ssd then finetune" in fair.result.provenance.spec["methods"]
    page = render_page(fair.result)
    assert 'data-stages="equal_rise 0.02"' in page and "[fair]" in page
    table = markdown_table(fair.result)
    assert "Nearest to each aim" in table and "retain loss up by at most 0.02" in table


# ---- specs ----


def test_a_spec_may_ask_for_budgets_and_for_methods_in_a_row(tmp_path):
    file = tmp_path / "case.toml"
    file.write_text(
        "version = 1\n"
        'methods = ["noop", { name = "ssd  then finetune", ssd.alpha = 5, "finetune.lr" = 0.2 }]\n'
        "[fair]\ncost = 0.1\n"
    )
    spec = read_spec(file, settings=["fair.rise=.05"])
    assert spec.fair == Fair(0.1, 0.05)
    assert spec.methods == (
        MethodChoice("noop", {}), MethodChoice("ssd then finetune", {"ssd.alpha": 5.0, "finetune.lr": 0.2}),
    )  # fmt: skip
    assert spec.methods[1].id == "ssd then finetune(finetune.lr=0.2, ssd.alpha=5)"
    assert with_budgets(spec.methods, spec.fair)[-1].id == f"{spec.methods[1].id} @ rise 0.05"
    assert read_spec(file).fair == Fair(0.1)


@pytest.mark.parametrize(
    "text", ["fair = 3", "[fair]\nloss = 1.0", "[fair]\ncost = 0", "[fair]\nrise = true", "[fair]\ncost = nan"]
)
def test_what_is_no_budget_is_refused(tmp_path, text):
    file = tmp_path / "case.toml"
    file.write_text(text + "\n")
    with pytest.raises(SpecError, match="fair"):
        read_spec(file)


@pytest.mark.parametrize("given", [{"equal_cost": -1.0}, {"equal_rise": 0.0}, {"equal_cost": 1e6}])
def test_python_refuses_them_too(given):
    with pytest.raises(SpecError, match="fair"):
        compare(CASE, methods=["noop"], **given)


@pytest.mark.parametrize(
    ("methods", "error"),
    [
        (["ssd then finetunee"], UnknownNameError),
        ([("ssd then finetune", {"alpha": 2.0})], UnknownNameError),
        ([("ssd then finetune", {"finetune.lr": -1.0})], SpecError),
        ([("ssd then finetune", {"finetune.epochs": 5000.0})], SpecError),
    ],
)
def test_wrong_methods_in_a_row_are_refused_before_anything_is_trained(methods, error, tmp_path):
    with pytest.raises(error):
        compare(replace(CASE, name="refused"), methods=methods, store=tmp_path)
