"""A comparison that goes well: its files, its exit code, and that a second one trains nothing."""

import csv
import json
import math
import sys

import jsonschema
import pytest

from unweave.records import Result, json_schema, read_record


def _strict(text: str):
    def refuse(name: str):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_comparison_writes_three_files_and_the_json_asked_for(finished):
    out = finished / "out"
    assert sorted(file.name for file in out.iterdir()) == ["report.html", "result.json", "rows.csv", "table.md"]
    assert (finished / "again.json").read_text() == (out / "result.json").read_text()
    page = (out / "report.html").read_text()
    assert page.startswith("<!doctype html>") or page.lower().startswith("<!doctype html>")
    assert "digits-trigger" in page


def test_the_result_fits_the_exported_schema_and_is_strict_json(finished):
    tree = _strict((finished / "out" / "result.json").read_text())
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(tree, json_schema())
    assert tree["schema"] == "unweave.result/1" and tree["headline"]


def test_the_result_says_what_was_run(finished):
    result = read_record(Result, finished / "out")
    (case,) = result.cases
    assert case.name == "digits-trigger" and result.provenance.seed == 3 and case.case["seed"] == 3
    assert [row.name for row in case.rows if row.kind == "method"] == ["noop"]
    assert {world.name: world.n_models for world in case.worlds} == dict.fromkeys(
        ("original", "untrained", "unlearned", "null_untrained", "null_unlearned"), 3
    )
    assert (result.provenance.models_trained, result.provenance.models_reused) == (15, 0)


def test_the_table_has_a_line_per_row_and_no_nan(finished):
    rows = list(csv.reader((finished / "out" / "rows.csv").read_text().splitlines()))
    result = read_record(Result, finished / "out")
    assert len(rows) == 1 + len(result.cases[0].rows) and len({len(row) for row in rows}) == 1
    assert not any(cell.lower() in ("nan", "inf", "-inf", "none") for row in rows for cell in row)


def test_the_screen_shows_the_table_and_where_the_page_is(finished):
    shown = (finished / "stdout.txt").read_text()
    assert "noop" in shown and (finished / "out" / "report.html").as_uri() in shown


def test_a_second_run_trains_nothing_and_says_the_same(invoke, tmp_path, tiny, finished):
    options = ["--case", "digits-trigger", *tiny, "--seed", "3", "--store", str(finished / "store")]
    done = invoke("compare", *options, "--out", "out", "--quiet")
    assert done.exit_code == 0 and done.output == ""
    again, before = read_record(Result, tmp_path / "out"), read_record(Result, finished / "out")
    assert (again.provenance.models_trained, again.provenance.models_reused) == (0, 15)
    assert again.cases == before.cases and again.headline == before.headline


def test_a_spec_file_gives_the_same_result_as_the_case_it_was_printed_from(invoke, tmp_path, tiny, finished):
    settings = [option for option in tiny if option.startswith("--set")]
    printed = invoke("cases", "digits-trigger", *settings, "--set", "seed=3")
    file = tmp_path / "my case.toml"
    file.write_text(printed.stdout + "\n", encoding="utf-8")
    text = file.read_text().replace(
        "version = 1\n", f'version = 1\nstore = "{finished / "store"}"\nout = "here"\n'
    )
    file.write_text(text)
    done = invoke("compare", "my case.toml", "--methods", "noop", "--workers", "1", "--quiet")
    assert done.exit_code == 0, done.output
    again = read_record(Result, tmp_path / "here")
    assert again.provenance.models_trained == 0
    assert again.cases == read_record(Result, finished / "out").cases


def test_options_win_over_the_file(invoke, tmp_path, tiny, finished):
    (tmp_path / "mine.toml").write_text('methods = ["scrub"]\nout = "a"\nworkers = 9\nseed = 9\n')
    options = ["--store", str(finished / "store"), "--out", "b", "--seed", "3", "--set", "name=digits-trigger"]
    done = invoke("compare", "mine.toml", *tiny, *options, "--set", "behaviour.target=0", "--quiet")
    assert done.exit_code == 0, done.output
    result = read_record(Result, tmp_path / "b")
    assert not (tmp_path / "a").exists() and result.provenance.seed == 3
    assert [row.name for row in result.cases[0].rows if row.kind == "method"] == ["noop"]
    assert result.provenance.models_trained == 0


@pytest.mark.parametrize(
    "name", ["[/red]", "<script>alert(1)</script>", "Fälle 猫 'x' \"y\" %s {0}", "=1+1", "a/../b"]
)
def test_a_name_is_only_a_name(invoke, tmp_path, tiny, finished, name):
    options = ["--case", "digits-trigger", *tiny, "--seed", "3", "--store", str(finished / "store")]
    done = invoke("compare", *options, "--set", f"name={json.dumps(name, ensure_ascii=False)}", "--out", "out")
    assert done.exit_code == 0, done.output
    assert read_record(Result, tmp_path / "out").cases[0].name == name
    assert name in done.stdout
    assert "<script>alert(1)" not in (tmp_path / "out" / "report.html").read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out"]


def test_full_discovery_runs(invoke, tmp_path, tiny):
    options = ["--case", "digits-mislabel", *tiny, "--set", "forget.discovery=1", "--out", "out", "--quiet"]
    done = invoke("compare", *options)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out" / "result.json").read_text()
    values = [value for value in _numbers(_strict(text))]
    assert values and all(math.isfinite(value) for value in values)


def _numbers(tree):
    if isinstance(tree, dict | list):
        for one in tree.values() if isinstance(tree, dict) else tree:
            yield from _numbers(one)
    elif isinstance(tree, int | float):
        yield tree


def test_explicit_ids_run_and_stand_in_the_record(invoke, tmp_path, tiny):
    members = invoke("cases", "digits-trigger", "--members").stdout.split()[:25]
    setting = f"forget.ids=[{', '.join(members)}]"
    done = invoke("compare", "--case", "digits-trigger", *tiny, "--set", setting, "--out", "out", "--quiet")
    assert done.exit_code == 0, done.output
    case = read_record(Result, tmp_path / "out").cases[0]
    assert case.case["forget"]["ids"] == [int(one) for one in members]
    assert case.rows[0].groups["forget"].n_probes == 25


def test_without_test_images_of_other_classes_the_group_is_left_out(invoke, tmp_path, tiny):
    # The only test image is a three: nothing is left to paint the square on.
    settings = ["--set", "data.test=1", "--set", "behaviour.target=3", "--out", "out", "--quiet"]
    done = invoke("compare", "--case", "digits-trigger", *tiny, *settings)
    assert done.exit_code == 0, done.output
    assert "unseen" not in read_record(Result, tmp_path / "out").cases[0].rows[0].groups


def test_json_may_go_to_a_link_or_a_device_without_replacing_it(invoke, tmp_path, tiny, finished):
    (tmp_path / "real.json").write_text('{"old": 1}')
    (tmp_path / "link.json").symlink_to("real.json")
    options = ["--case", "digits-trigger", *tiny, "--seed", "3", "--store", str(finished / "store"), "--quiet"]
    done = invoke("compare", *options, "--out", "out", "--json", "link.json")
    assert done.exit_code == 0 and (tmp_path / "link.json").is_symlink()
    assert _strict((tmp_path / "real.json").read_text())["schema"] == "unweave.result/1"


def test_json_may_go_to_standard_output(run):
    done = run("list", "behaviours", "--json", "/dev/stdout")
    assert done.returncode == 0, done.stderr
    assert [one["name"] for one in json.loads(done.stdout[done.stdout.index("[\n") :])][:2] == [
        "trigger",
        "mislabel",
    ]


def test_report_draws_the_page_again(invoke, tmp_path, finished):
    before = (finished / "out" / "report.html").read_text()
    result = str(finished / "out" / "result.json")
    (tmp_path / "folder").mkdir()
    for out, page in (("page.html", "page.html"), ("folder", "folder/report.html")):
        done = invoke("report", result, "--out", out)
        assert done.exit_code == 0, done.output
        assert (tmp_path / page).read_text() == before
        assert "noop" in done.stdout and (tmp_path / page).as_uri() in done.stdout
    assert invoke("report", str(finished / "out"), "--quiet").output == ""
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder", "page.html"]


def test_a_real_process_ends_with_0_and_keeps_standard_error_clean(run, tmp_path, tiny, finished):
    options = ["--case", "digits-trigger", *tiny, "--seed", "3", "--store", str(finished / "store")]
    done = run("compare", *options)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "result.json").exists() and (folder / "report.html").as_uri() in done.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("compare", "--help"), ("--version",)])
def test_help_loads_nothing_heavy(arguments):
    import subprocess

    code = (
        "import sys; sys.argv = ['unweave', *sys.argv[1:]]\n"
        "from unweave.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: code = stop.code\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'pandas', 'jinja2', 'rich.table'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout
