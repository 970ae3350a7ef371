"""The main job as a user runs it: the default cases, small enough for a test and as they are."""

import json

import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave.problem import BehaviourChoice, ForgetChoice, ProbeChoice
from unweave.records import Result
from unweave.study import DEFAULT_METHODS, read_spec, run_spec
from unweave.study.warnings import covers

TINY = Case(
    name="tiny",
    behaviour=BehaviourChoice("mislabel"),
    learner=LearnerChoice(epochs=2),
    references=ReferenceChoice(models=4),
    probes=ProbeChoice(limit=60),
)


@pytest.fixture(scope="session")
def default_result(tmp_path_factory) -> Result:
    """The default comparison at K = 32, once for all tests that look at it."""
    spec = read_spec(settings=[f"store={tmp_path_factory.mktemp('store')}"])
    return run_spec(spec).result


def rows_of(result: Result, case: str):
    found = next(one for one in result.cases if one.name == case)
    return {row.id: row for row in found.rows}


@pytest.mark.slow
@pytest.mark.parametrize("case", ["digits-trigger", "digits-mislabel"])
class TestDefaultCases:
    def test_fresh_retrains_cover_their_anchors(self, default_result, case):
        rows = rows_of(default_result, case)
        fresh_s, fresh_b = rows["null_untrained"], rows["null_unlearned"]
        assert covers(fresh_s.generality, 0.0) and covers(fresh_b.generality, 1.0)
        assert covers(fresh_s.off_line_squared, 0.0) and covers(fresh_b.off_line_squared, 0.0)
        assert covers(fresh_s.residual_untraining, 0.0) and covers(fresh_b.residual_unlearning, 0.0)
        assert next(one for one in default_result.cases if one.name == case).null_ok

    def test_doing_nothing_is_one_and_neither(self, default_result, case):
        row = rows_of(default_result, case)["noop"]
        assert (row.residual_unlearning.low, row.residual_unlearning.high) == (1.0, 1.0)
        assert row.label in ("neither", "no power")
        assert row.verdict_unlearning.outcome == "missed"

    def test_all_default_methods_have_a_row(self, default_result, case):
        rows = rows_of(default_result, case)
        assert set(DEFAULT_METHODS) <= set(rows)
        assert all(rows[name].status == "ok" for name in DEFAULT_METHODS)


@pytest.mark.slow
def test_the_pattern_of_the_two_behaviours(default_result):
    trigger, mislabel = rows_of(default_result, "digits-trigger"), rows_of(default_result, "digits-mislabel")
    # What S taught, B∖S still teaches: without S the backdoor lives on; without B it is gone.
    assert trigger["untrained"].groups["unseen"].behaviour_rate.value > 0.95
    assert trigger["unlearned"].groups["unseen"].behaviour_rate.value < 0.02
    # Random labels are memorised one by one: without S, S is healed and B∖S is not.
    assert mislabel["untrained"].groups["forget"].accuracy.value > 0.95
    assert mislabel["untrained"].groups["undiscovered"].accuracy.value < 0.8
    # The same method, fine-tuning, does a good part of one aim here and nothing of the other there.
    assert mislabel["finetune"].residual_untraining.high < 0.7
    assert trigger["finetune"].residual_unlearning.low > 0.99
    # DELETE lies far along the line for the regular behaviour, near its beginning for the other.
    assert trigger["delete"].generality.low > mislabel["delete"].generality.high


def test_a_second_run_trains_nothing_and_says_the_same(tmp_path):
    first = compare(TINY, methods=["noop", "ssd"], store=tmp_path / "store", workers=1)
    second = compare(TINY, methods=["noop", "ssd"], store=tmp_path / "store", workers=1)
    assert first.result.provenance.models_trained == 20
    assert second.result.provenance.models_trained == 0
    assert second.result.provenance.models_reused == 20
    assert first.result.cases == second.result.cases


def test_same_seed_same_bytes_with_any_number_of_workers(tmp_path):
    written = []
    for number, workers in enumerate((1, 2)):
        study = compare(TINY, methods=["noop", "scrub"], store=tmp_path / str(number), workers=workers)
        written.append((study.save(tmp_path / f"out{number}") / "rows.csv").read_bytes())
    assert written[0] == written[1]


def test_another_seed_says_something_else(tmp_path):
    from dataclasses import replace

    one, other = (
        compare(replace(TINY, seed=seed), methods=["noop"], store=tmp_path, workers=1).result.cases[0].rows
        for seed in (0, 1)
    )
    assert one != other


def test_a_damaged_output_is_noticed_and_made_anew(tmp_path):
    first = compare(TINY, methods=["noop"], store=tmp_path, workers=1)
    for file in (tmp_path / "objects").rglob("*.safetensors"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
    again = compare(TINY, methods=["noop", "ssd"], store=tmp_path, workers=1)
    kept = {row.id: row for row in again.result.cases[0].rows}
    for row in first.result.cases[0].rows:
        if row.kind != "method":
            assert kept[row.id] == row
    assert list((tmp_path / "quarantine").iterdir())


def test_a_method_that_diverges_is_a_row_and_not_the_end(tmp_path):
    study = compare(
        TINY, methods=["noop", ("gradient_ascent", {"lr": 1e30, "epochs": 1})], store=tmp_path, workers=1
    )
    rows = {row.name: row for row in study.result.cases[0].rows if row.kind == "method"}
    assert rows["noop"].status == "ok"
    failed = next(row for name, row in rows.items() if name != "noop")
    assert failed.status == "failed" and "finite" in failed.reason
    study.save(tmp_path / "out")


def test_where_s_is_all_of_b_the_aims_coincide(tmp_path):
    from dataclasses import replace

    case = replace(TINY, forget=ForgetChoice(discovery=1.0))
    found = compare(case, methods=["noop"], store=tmp_path, workers=1).result.cases[0]
    assert not found.geometry.drawn
    assert "S = B" in found.geometry.why_not
    assert any("S = B" in warning for warning in found.warnings)


def test_a_group_of_few_probes_is_shown_but_gives_no_verdict(tmp_path):
    from dataclasses import replace

    case = replace(TINY, forget=ForgetChoice(count=10))
    found = compare(case, methods=["noop"], store=tmp_path, workers=1).result.cases[0]
    row = next(row for row in found.rows if row.id == "noop")
    assert not row.groups["forget"].in_verdict
    assert row.verdict_untraining.outcome in ("not measured", "missed", "no power")
    assert all(part.name != "distance on forget" for part in row.verdict_untraining.parts)


def test_paired_seeds_share_keys_and_shrink_the_interval_of_the_gap(tmp_path):
    from dataclasses import replace

    case = replace(TINY, references=ReferenceChoice(models=8, paired=True), learner=LearnerChoice(epochs=10))
    found = compare(case, methods=["noop", "finetune"], store=tmp_path, workers=1).result.cases[0]
    assert found.geometry.gap.n == 8
    assert all(row.status == "ok" for row in found.rows)


def test_a_privacy_request_adds_the_margins_of_s(tmp_path):
    from dataclasses import replace

    case = replace(TINY, privacy=True)
    row = compare(case, methods=["noop"], store=tmp_path, workers=1).result.cases[0].rows[-1]
    assert "margins on forget" in [part.name for part in row.verdict_untraining.parts]
    assert "margins on forget" not in [part.name for part in row.verdict_unlearning.parts]


def test_files_are_written_and_hold_no_nan(tmp_path):
    out = compare(TINY, methods=["noop"], store=tmp_path / "s", workers=1).save(tmp_path / "out")
    assert sorted(file.name for file in out.iterdir()) == ["report.html", "result.json", "rows.csv", "table.md"]
    json.loads((out / "result.json").read_text(), parse_constant=lambda name: pytest.fail(name))


def test_the_bug_of_an_author_costs_the_authors_row_only(tmp_path, monkeypatch):
    from unweave.methods import METHODS, Method

    def broken():
        """A method that raises."""

        def step(net, aux, batches, i, key):
            return batches["nothing"]

        return Method(step, 0.5, 0.1)

    entry = METHODS.get("finetune")
    monkeypatch.setitem(METHODS._entries, "broken", type(entry)("broken", broken, entry.declared))
    rows = compare(TINY, methods=["noop", "broken"], store=tmp_path, workers=1).result.cases[0].rows
    by_name = {row.name: row for row in rows}
    assert by_name["noop"].status == "ok"
    assert by_name["broken"].status == "failed"
    assert "raised KeyError: 'nothing' (test_compare.py" in by_name["broken"].reason


def test_memory_that_runs_out_in_a_method_is_no_bug_of_its_author(tmp_path):
    from unweave.execute import WorkerError

    greedy = tmp_path / "greedy.py"
    greedy.write_text(
        "from unweave.methods import Method, method\n\n"
        '@method(name="greedy", family="own", needs={"retain"}, authors_aim=None, cite="own", equation="none")\n'
        "def greedy(*, epochs: float = 0.5) -> Method:\n"
        '    """Need more than there is."""\n'
        "    def step(net, aux, batches, i, key):\n"
        '        raise RuntimeError("DefaultCPUAllocator: can\'t allocate memory: tried 9 bytes.")\n'
        "    return Method(step, epochs, 0.1)\n"
    )
    with pytest.raises(WorkerError, match="(?s)memory ran out over it: .*The other task is done"):
        compare(TINY, methods=["noop", "greedy"], store=tmp_path, workers=1, plugins=[greedy])


def test_cases_by_name_and_methods_as_in_a_spec(tmp_path):
    from unweave import UserError

    with pytest.raises(UserError, match="digits-trigger"):
        compare("digits-triger")
    with pytest.raises(UserError, match="with a name"):
        compare(TINY, methods=[{"alpha": 1.0}])
    study = compare(TINY, methods=[{"name": "scrub", "alpha": 0.5}], store=tmp_path, workers=1)
    assert study.result.cases[0].rows[-1].params["alpha"] == 0.5
    assert repr(study).startswith("Comparison: On tiny")
