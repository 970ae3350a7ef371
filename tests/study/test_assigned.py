"""A method for each part of S in specs: tables and names, what is kept apart in the store, and rows of a run."""

from __future__ import annotations

import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, compare
from unweave._errors import SpecError, UnknownNameError
from unweave._random import derive
from unweave.methods import Examples, rum
from unweave.methods.plugins import build_entry, method_entry
from unweave.problem import DataChoice, ForgetChoice, ProbeChoice
from unweave.references import Store, key_of
from unweave.study import MethodChoice, assemble, read_spec
from unweave.study.choices import choice_of, read_methods
from unweave.study.citing import bibtex
from unweave.study.methods import check_methods
from unweave.study.tasks import method_fields, stored_method

TINY = Case(
    name="tiny",
    data=DataChoice(limit=300),
    forget=ForgetChoice(count=10),
    learner=LearnerChoice(epochs=2, width=8),
    references=ReferenceChoice(models=3),
    probes=ProbeChoice(limit=20),
)

# ---- what a spec may say ----


@pytest.mark.parametrize(
    ("table", "is_"),
    [
        (
            {"by": "confidence", "low": "noop", "medium": "finetune", "high": "scrub", "parts": 3},
            "noop / finetune / scrub by confidence",
        ),
        ({"by": "shuffled", "each": "npo"}, "npo / npo / npo by shuffled"),
        ({"by": "embedding", "each": "npo", "parts": 4}, "npo / npo / npo / npo by embedding"),
        ({"by": "embedding", "low": "noop", "high": "npo"}, "noop / npo by embedding"),
        (
            {"by": "confidence", "each": {"name": "npo", "lr": 0.5}},
            "npo / npo / npo by confidence(high.lr=0.5, low.lr=0.5, medium.lr=0.5)",
        ),
        (
            {"by": "confidence", "low": "noop", "high": {"name": "ssd then finetune", "ssd": {"alpha": 5}}},
            "noop / ssd then finetune by confidence(high.ssd.alpha=5)",
        ),
    ],
)
def test_a_table_is_a_name_with_parameters(table, is_):
    choice = choice_of({"name": "assign", **table})
    assert choice.id == is_
    check_methods([choice])
    # The name says it all: it may stand in a list, and a record can be run again.
    assert read_methods([{"name": choice.name, **choice.params}]) == (choice,)


def test_a_file_may_name_them(tmp_path):
    file = tmp_path / "spec.toml"
    file.write_text('methods = ["noop", "npo / npo by shuffled"]\n')
    assert [one.name for one in read_spec(file).methods or ()] == ["noop", "npo / npo by shuffled"]
    file.write_text(
        '[[methods]]\nname = "assign"\nparts = 3\nby = "confidence"\nlow = "noop"\nmedium = "finetune"\n'
        'high = { name = "scrub", lr = 0.01 }\n'
    )
    (choice,) = read_spec(file).methods or ()
    assert choice == MethodChoice("noop / finetune / scrub by confidence", {"high.lr": 0.01})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"each": "npo"}, "by = None"),
        ({"by": 3, "each": "npo"}, "by = 3"),
        ({"by": "confidence"}, "methods for none"),
        ({"by": "confidence", "each": "npo", "low": "noop"}, "methods for low and for each"),
        ({"by": "confidence", "low": "noop", "medium": "npo"}, "methods for low, medium"),
        ({"by": "confidence", "low": "noop", "high": "npo", "parts": 3}, "in 3 parts has methods for low, high"),
        ({"by": "confidence", "low": "noop"}, "parts = 1"),
        ({"by": "confidence", "each": "npo", "parts": 11}, "parts = 11"),
        ({"by": "confidence", "each": "npo", "parts": 2.5}, "parts = 2.5"),
        ({"by": "confidence", "each": "npo", "parts": True}, "parts = True"),
        ({"by": "confidence", "each": 3}, "each = 3"),
        ({"by": "confidence", "each": {"lr": 0.1}}, "expected a method"),
        ({"by": "confidence", "each": {"name": "assign"}}, "expected a method"),
        ({"by": "confidence", "each": "npo", "middle": "noop"}, "Unknown key `middle` of `assign`"),
    ],
)
def test_what_is_no_assignment_is_refused(table, said):
    with pytest.raises(SpecError, match=said):
        read_methods([{"name": "assign", **table}])


def test_unknown_scores_methods_and_parameters_are_found_before_anything_is_trained():
    for name, params in (
        ("noop / npo by memory", {}),
        ("noop / npoo by confidence", {}),
        ("noop / npo by confidence", {"medium.lr": 1.0}),
    ):
        with pytest.raises(UnknownNameError):
            check_methods([MethodChoice(name, params)])
    with pytest.raises(SpecError, match="high.lr is -1"):
        check_methods([MethodChoice("noop / npo by confidence", {"high.lr": -1.0})])


# ---- what decides the result is in the key ----


def test_what_decides_the_result_is_in_the_key():
    assembly = assemble(TINY)
    choices = [
        choice_of({"name": "assign", **table})
        for table in (
            {"by": "confidence", "low": "noop", "medium": "npo", "high": "scrub"},
            {"by": "embedding", "low": "noop", "medium": "npo", "high": "scrub"},
            {"by": "shuffled", "low": "noop", "medium": "npo", "high": "scrub"},
            {"by": "confidence", "low": "scrub", "medium": "npo", "high": "noop"},
            {"by": "confidence", "low": "noop", "high": "scrub"},
            {"by": "confidence", "low": "noop", "medium": "npo", "high": {"name": "scrub", "lr": 0.5}},
            {"by": "confidence", "low": "noop", "medium": {"name": "npo", "lr": 0.5}, "high": "scrub"},
        )
    ]
    keys = {key_of(method_fields(assembly, choice)) for choice in choices}
    assert len(keys) == len(choices)
    assert key_of(method_fields(assembly, choices[0])) in keys


# ---- rows ----

NAMES = ("finetune / finetune / finetune by confidence", "finetune / finetune / finetune by shuffled")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    methods = ["noop", "noop / noop by confidence", *NAMES, "ssd / npo by shuffled"]
    study = compare(TINY, methods=methods, equal_cost=0.5, store=store, workers=1)
    return study, Store(store)


def test_rows_of_a_run(ran):
    rows = {row.id: row for row in ran[0].result.cases[0].rows if row.kind == "method"}
    for name in NAMES:
        assert rows[name].status == "ok" and rows[name].note == "parts of S, lowest scores first: 4, 3, 3"
        assert set(rows[name].params) >= {"low.lr", "medium.lr", "high.lr"}
        assert rows[name].cite.startswith("zhao2024what")
    refused = rows[f"{NAMES[0]} @ cost 0.5"]
    assert refused.status == "refused" and "no budget is defined" in refused.reason


def outputs(ran, name: str):
    found = stored_method(ran[1], assemble(TINY), MethodChoice(name, {}))
    assert found is not None
    return found.logits


def test_doing_nothing_with_each_part_is_doing_nothing(ran):
    assert (outputs(ran, "noop / noop by confidence") == outputs(ran, "noop")).all()


def test_another_score_makes_other_models(ran):
    one, other = (outputs(ran, name) for name in NAMES)
    assert abs(one - other).max() > 1e-4


def test_a_row_is_what_the_function_makes_of_the_same_originals(ran):
    """Random parts are those of the seed of the case, whatever the methods."""
    import numpy as np
    import torch

    from unweave.learners.nets import build
    from unweave.references.ensure import forward, load_models

    assembly = assemble(TINY)
    setting, world = assembly.setting, assembly.worlds["original"]
    x, y = torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    rest = np.setdiff1d(world.rows, assembly.forget)
    for name in (NAMES[1], "ssd / npo by shuffled"):
        made = build_entry(method_entry(name), {})
        edited = rum(
            made.methods,
            build(setting.learner),
            load_models(ran[1], setting, world),
            by="shuffled",
            forget=Examples(x[assembly.forget], y[assembly.forget]),
            retain=Examples(x[rest], y[rest]),
            keys=[derive(TINY.seed, "method", name, k) for k in range(3)],
            seed=derive(TINY.seed, "parts of S"),
        )
        np.testing.assert_allclose(forward(setting, edited.state), outputs(ran, name), atol=1e-5)


def test_the_record_names_them_as_a_spec_does(ran):
    listed = ran[0].result.provenance.spec["methods"]
    assert [one.name for one in read_methods(listed) or ()] == [
        "noop",
        "noop / noop by confidence",
        *NAMES,
        listed[-1],
    ]


def test_all_sources_are_cited():
    text = bibtex(["noop / scrub by confidence", "ssd then finetune"])
    assert all(key in text for key in ("@inproceedings{zhao2024what", "kurmanji2023", "foster2024ssd"))
    assert "no entry is known" not in text
