"""Methods of files: which code runs, whose outputs are kept apart, and what is said of what goes wrong."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, UserError, compare
from unweave._registry import Origin
from unweave.learners.own_code import sha256
from unweave.methods import METHODS
from unweave.methods.plugins import origin_of, plugged_in
from unweave.problem import DataChoice, ForgetChoice, ProbeChoice
from unweave.records import rows_csv
from unweave.references import Store
from unweave.study import DEFAULT_METHODS, MethodChoice, assemble, catalogue, read_spec, tasks
from unweave.study.methods import check_methods
from unweave.study.plugins import _placed, code_name, code_sent, told_of
from unweave.study.spec import case_to_tree
from unweave.study.tasks import method_fields, run_method
from unweave.testing import check_method

DOCS = Path(__file__).parents[2] / "docs" / "plugins.md"
TINY = Case(
    name="tiny",
    data=DataChoice(limit=300),
    forget=ForgetChoice(count=10),
    learner=LearnerChoice(epochs=1),
    references=ReferenceChoice(models=3),
    probes=ProbeChoice(limit=20),
)


def example() -> str:
    return re.search(r"```python\n# my_method.py\n(.*?)```", DOCS.read_text(), re.S)[1]


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "my_method.py") -> Path:
        file = tmp_path / name
        file.write_text(text)
        return file

    return write


@pytest.fixture(autouse=True)
def registry_as_it_was():
    before = METHODS.names()
    yield
    assert METHODS.names() == before, "a plugin stayed in the registry"


def rows(study) -> dict:
    return {row.id: row for row in study.result.cases[0].rows if row.kind == "method"}


def run(file: Path, store: Path, **given):
    return compare(
        TINY, **{"methods": ["noop", "my_method"], "store": store, "workers": 1, **given}, plugins=[file]
    )


# ---- what works ----


def test_the_example_of_the_documentation_runs(write, tmp_path):
    file = write(example())
    study = run(file, tmp_path / "s", methods=["noop", ("my_method", {"weight": 0.2})])
    assert {name: row.status for name, row in rows(study).items()} == {"noop": "ok", "my_method(weight=0.2)": "ok"}
    (note,) = study.result.provenance.notes
    assert note == (
        f"The method my_method is not of unweave but of the file my_method.py (SHA-256 {sha256(file)[:12]}…)."
    )


def test_the_example_with_a_teacher_runs_and_passes_the_check(write, tmp_path):
    text = re.search(r"```python\n# near_original.py\n(.*?)```", DOCS.read_text(), re.S)[1]
    file = write(text, "near_original.py")
    study = run(file, tmp_path / "s", methods=["near_original"])
    assert rows(study)["near_original"].status == "ok"
    with plugged_in({str(file): sha256(file)}):
        check_method("near_original")


def test_without_methods_those_of_the_file_run_beside_the_default_ones(write):
    from unweave.study.plugins import methods_of, plugins_of

    spec = replace(read_spec(cases=["digits-trigger"]), plugins=(write(example()),))
    with plugins_of(spec.plugins) as names:
        found = methods_of(spec, names)
    assert [one.name for one in found] == [*DEFAULT_METHODS, "my_method"] and found[-1].origin.kind == "file"
    assert all(one.origin is None for one in found[:-1])


def test_workers_run_a_file_with_the_same_result(write, tmp_path):
    file = write(example())
    here, there = (run(file, tmp_path / str(n), workers=n) for n in (1, 2))
    assert rows_csv(here.result) == rows_csv(there.result)
    assert rows(here)["my_method"].status == "ok"


def test_an_edited_file_is_run_again_and_built_in_methods_are_not(write, tmp_path, monkeypatch):
    ran = []
    real = tasks._run_entry

    def spy(assembly, store, choice, entry):
        ran.append(choice.name)
        return real(assembly, store, choice, entry)

    monkeypatch.setattr(tasks, "_run_entry", spy)
    file = write(example())
    first = run(file, tmp_path / "s")
    assert ran == ["noop", "my_method"]
    again = run(file, tmp_path / "s")
    assert ran == ["noop", "my_method"] and rows(again) == rows(first)
    write(example().replace("weight: float = 0.1", "weight: float = 0.3"))
    edited = run(file, tmp_path / "s")
    assert ran == ["noop", "my_method", "my_method"]
    assert rows(edited)["my_method"].params["weight"] == 0.3 and rows(edited)["noop"] == rows(first)["noop"]


def test_only_methods_from_outside_have_the_digest_of_their_code_in_their_key(write):
    assembly, own = assemble(TINY), Origin("file", "x.py", "0" * 64)
    plain = method_fields(assembly, MethodChoice("noop", {}))
    assert "plugin" not in plain
    assert method_fields(assembly, MethodChoice("noop", {}, origin=own)) == {**plain, "plugin": own.digest}


def test_a_choice_survives_the_way_to_a_worker():
    for origin in (None, Origin("package", "p 1", "ab"), Origin("file", "f", "ab", (("numpy", "numpy 2"),))):
        choice = MethodChoice("m", {"a": 1.0}, origin=origin)
        assert MethodChoice.from_json(choice.to_json()) == choice


def test_a_file_that_was_imported_before_may_be_a_plugin_as_well(write, tmp_path, monkeypatch):
    write(example(), "imported_before.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    import imported_before

    try:
        first = METHODS.get("my_method")
        assert first.factory is imported_before.my_method
        with plugged_in({imported_before.__file__: sha256(Path(imported_before.__file__))}) as names:
            assert names == ["my_method"] and METHODS.get("my_method") is not first
        assert METHODS.get("my_method") is first
    finally:
        METHODS.take(lambda entry: entry.name == "my_method")
        del sys.modules["imported_before"]


def test_a_method_of_a_script_runs_in_this_process_and_says_so(write, tmp_path, monkeypatch):
    space: dict = {"__name__": "a_script"}
    exec(compile(example(), str(write(example(), "script.py")), "exec"), space)
    try:
        study = compare(TINY, methods=["noop", "my_method"], store=tmp_path / "s", workers=2)
        assert {row.status for row in rows(study).values()} == {"ok"}
        assert "runs in one process" in study.result.provenance.notes[0]
        known = origin_of(METHODS.get("my_method"))
        assert known[:3] == ("script", str(tmp_path / "script.py"), sha256(tmp_path / "script.py"))
        (tmp_path / "script.py").unlink()  # as a cell of a notebook: never the same twice
        entry = METHODS.get("my_method")
        assert origin_of(entry).digest != origin_of(entry).digest
    finally:
        METHODS.take(lambda entry: entry.name == "my_method")


# ---- what goes wrong ----


def test_a_method_that_raises_costs_its_row_only(write, tmp_path):
    file = write(example().replace("forget, retain =", "forget, nothing ="))
    found = rows(run(file, tmp_path / "s"))
    assert found["noop"].status == "ok" and found["my_method"].status == "failed"
    assert "raised NameError: name 'retain' is not defined (my_method.py, line " in found["my_method"].reason


def test_a_loss_of_each_example_costs_its_row_and_is_not_summed(write, tmp_path):
    text = example()
    file = write(re.sub(r"return (.*)\n\n    return Method", r"return (\1).expand(5)\n\n    return Method", text))
    assert file.read_text() != text
    row = rows(run(file, tmp_path / "s"))["my_method"]
    assert row.status == "failed" and "its `step` returned a tensor of shape [5]; expected the loss" in row.reason
    assert not row.reason.endswith(".")


def test_parameters_behind_a_name_are_told_where_they_belong():
    for written in ("ssd(alpha=2)", "ssd:alpha=2", "ssd alpha=2"):
        with pytest.raises(UserError, match=r"Parameters of a method stand in a spec: .*name = \"ssd\""):
            check_methods([MethodChoice(written, {})])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda text: text + "1 / 0\n",
            r"Running .*my_method.py failed: ZeroDivisionError: .*\(my_method.py, line ",
        ),
        (lambda text: text + "raise SystemExit(3)\n", "failed: SystemExit: 3"),
        (lambda text: "def :", "failed: SyntaxError"),
        (lambda text: "import nothing_of_this_name", "failed: ModuleNotFoundError: No module named"),
        (lambda text: "", "registers no method; expected a function under @unweave.methods.method"),
        (
            lambda text: text.replace('"my_method"', '"scrub"'),
            "`scrub` is registered already, by unweave.methods.distillation",
        ),
        (lambda text: text.replace('"my_method"', '"my method,"'), "registers a method named 'my method,'"),
        (lambda text: text.replace("(*, weight", "(weight"), "`weight` .* must be keyword-only and have a number"),
        (lambda text: text.replace("weight: float = 0.1", "weight"), "`weight` .* have a number as its default"),
        (
            lambda text: text.replace("    return Method(", "    Method("),
            "returned NoneType; expected an unweave.methods.Method",
        ),
        (
            lambda text: text.replace("(net, aux, batches, i, key)", "(net, batches, i, key)"),
            r"`step` of the method `my_method` is step\(net, batches.*expected step\(net, aux, batches, i, key\)",
        ),
        (
            lambda text: text.replace('"forget"', '"forgt"', 1),
            "Unknown entry of `needs` `forgt`. Did you mean `forget`",
        ),
        (
            lambda text: text.replace("    return Method(", "    return missing("),
            r"`my_method` cannot be built: NameError: .*\(my_method.py, line ",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_one_message(write, tmp_path, change, said):
    file = write(change(example()))
    with pytest.raises(UserError, match=said):
        run(file, tmp_path / "s")
    assert not (tmp_path / "s").exists(), "the store was made for nothing"


def test_a_signal_while_a_file_is_run_is_no_error_of_it(write, tmp_path):
    before = METHODS.names()
    with pytest.raises(SystemExit, match="143"):
        run(write(example() + "raise SystemExit(143)\n"), tmp_path / "s")
    assert METHODS.names() == before


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="Cannot read the code .*missing.py"):
        run(tmp_path / "missing.py", tmp_path / "s")


def test_two_files_cannot_register_one_name(write, tmp_path):
    one, two = write(example()), write("#\n" + example(), "other.py")
    with pytest.raises(UserError, match="Running .*other.py failed: .*`my_method` is registered already"):
        compare(TINY, methods=["my_method"], store=tmp_path / "s", workers=1, plugins=[one, two])


def test_a_file_that_changed_while_the_run_was_at_work_ends_it(write, tmp_path):
    file, assembly = write(example()), assemble(TINY)
    store = Store(tmp_path / "s")
    store.check_writable()
    where = {
        "store": str(store.root),
        "data": assembly.setting.fingerprint,
        "trusted": {},
        "device": "cpu",
        "shared": None,
    }
    choice = MethodChoice("my_method", {}, origin=Origin("file", str(file), "0" * 64)).to_json()
    with pytest.raises(UserError, match="my_method.py has changed since it was trusted"):
        run_method(case_to_tree(TINY), where, choice)
    package = MethodChoice("noop", {}, origin=Origin("package", "gone 1", "0" * 64)).to_json()
    with pytest.raises(UserError, match="The package gone 1 with the method noop has changed since the run began"):
        run_method(case_to_tree(TINY), where, package)


def test_what_a_plugin_imports_is_part_of_its_key_and_another_state_of_it_is_refused(write, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    helper = write("WEIGHT = 0.1\n", "helper_of_plugin.py")
    file = write("from helper_of_plugin import WEIGHT\n" + example())
    asked, store = {str(file): sha256(file)}, Store(tmp_path / "s")
    store.check_writable()
    try:
        with plugged_in(asked):
            choice = _placed(MethodChoice("my_method", {}))
        assert sorted(dict(choice.origin.imports)) == ["helper_of_plugin"]
        (said,) = told_of([choice])
        assert said.endswith(f" It imports helper_of_plugin (SHA-256 {choice.origin.imports[0][1][:12]}…).")
        key = method_fields(assemble(TINY), choice)
        helper.write_text("WEIGHT = 0.2\n")
        with pytest.raises(UserError, match=r"imports `helper_of_plugin`, which has changed since this process"):
            plugged_in(asked).__enter__()
        del sys.modules["helper_of_plugin"]
        with plugged_in(asked):
            assert method_fields(assemble(TINY), _placed(MethodChoice("my_method", {}))) != key
        where = {"store": str(store.root), "data": "", "trusted": {}, "device": "cpu", "shared": None}
        where["data"] = assemble(TINY).setting.fingerprint
        with pytest.raises(UserError, match=r"imports `helper_of_plugin`, which is not what it was when"):
            run_method(case_to_tree(TINY), where, choice.to_json())
    finally:
        sys.modules.pop("helper_of_plugin", None)


def test_files_are_sent_along_as_content_once_trusted(write):
    file = write(example())
    choice = MethodChoice("my_method", {}, origin=Origin("file", str(file), sha256(file)))
    assert code_sent([choice, choice, MethodChoice("noop", {})]) == {f"plugin:{sha256(file)}": file.read_bytes()}
    assert code_name(MethodChoice("noop", {})) == ()
    write(example() + "# changed")
    with pytest.raises(UserError, match="has changed since it was trusted"):
        code_sent([choice])


def test_a_spec_in_a_file_cannot_name_plugins(tmp_path):
    file = tmp_path / "spec.toml"
    file.write_text('plugins = ["my_method.py"]')
    with pytest.raises(UserError, match="Unknown key `plugins`"):
        read_spec(file)
    with pytest.raises(UserError, match="Unknown key `plugins`"):
        read_spec(settings=["plugins=['my_method.py']"])


def test_a_listing_names_the_file(write):
    file = write(example())
    listed = {one["name"]: one["from"] for one in catalogue("methods", plugins=[file])}
    assert listed["my_method"] == f"file {file}" and listed["noop"] == ""
    with pytest.raises(UserError, match="no effect on `unweave list learners`"):
        catalogue("learners", plugins=[file])
