"""The proof reruns what it says it reruns, and sees a claim that does not hold."""

from __future__ import annotations

import fnmatch
import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.proof import prove, running
from tests.proof.claims import ROOT, ClaimError, read, stands
from tests.proof.reading import (
    Figure,
    Unreadable,
    agrees,
    as_figure,
    at,
    by_pattern,
    figures,
    first_table,
    marked,
    table_agreement,
)

RUNS, CLAIMS = read()

FAKE = """
[[run]]
name = "fake"
seconds = 1
commands = [
  '''python -c "import json; json.dump({'cases': [{'name': 'a', 'share': {'value': .5, 'low': .4, 'high': .6}}]}, open('r.json', 'w')); print('7 of 9 held')"''',
  "python -c 'print(2)'",
]

[[claim]]
id = "share"
file = "page.md"
says = "half of it ({.52 [.45, .58]}) is there"
run = "fake"
json = "r.json"
at = "cases[a].share"

[[claim]]
id = "held"
file = "page.md"
says = "7 of 9 held"
run = "fake"
pattern = '(\\d+) of 9'
at_least = 7
"""  # noqa: E501 - a command stands on one line
PAGE = "A page.\nOf all that, half of it (.52 [.45,\n.58]) is there. 7 of 9 held.\n"


@pytest.fixture
def fake(tmp_path):
    """A folder of claims and a page; a function that proves them, with a change of the page or the claims."""
    (tmp_path / "claims").mkdir()

    def done(*, change=("", ""), page=PAGE, **how):
        (tmp_path / "page.md").write_text(page, encoding="utf-8")
        (tmp_path / "claims" / "fake.toml").write_text(FAKE.replace(*change), encoding="utf-8")
        runs, claims = read(tmp_path / "claims")
        found = prove.prove(runs, claims, tmp_path / "out", root=tmp_path, **how)
        return {one.claim.id: (one.outcome, one.measured, one.why) for one in found}

    return done


# ---- the register ----


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_what_is_claimed_still_stands_in_its_document(claim):
    assert stands(claim), f"{claim.file} does not say {claim.quotation!r} any more: mend the claim"
    if claim.columns:
        cells = first_table((ROOT / claim.file).read_text(encoding="utf-8"), claim.table)
        assert all(set(claim.columns) <= set(row) for row in cells.values())


def test_every_document_with_figures_has_claims():
    pages = {claim.file for claim in CLAIMS}
    wanted = "results comparisons language discover audit sweep speed measures reliability diagnose expansion"
    assert {"README.md", *(f"docs/{name}.md" for name in wanted.split())} <= pages
    assert {f"docs/research/{name}.md" for name in ("expansion", "partial-discovery")} <= pages
    assert len(CLAIMS) >= 100 and all(running.lacking(replace(run, needs=())) is None for run in RUNS.values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("at_least = 7", "at_lest = 7"), "unknown at_lest"),
        (("at_least = 7", "at_least = 7\nat_most = 9"), "more than one bound"),
        (('run = "fake"\npattern', 'run = "fak"\npattern'), "runs that are not there: fak"),
        (('id = "held"', 'id = "share"'), "ids that stand twice: share"),
        (("{.52 [.45, .58]}", "half"), "no figure between braces"),
        (("pattern = ", "seconds = true\npattern = "), "needs `json`"),
        (('at = "cases', 'reduce = "sun"\nat = "cases'), "no `sun` among"),
    ],
)
def test_claims_that_cannot_be_meant_are_refused(fake, change, said):
    with pytest.raises(ClaimError, match=said):
        fake(change=change)


def held_by(page):
    """What the last cells of a page's tables name, where their header says that it holds a figure."""
    named, within = [], False
    for line in page.splitlines():
        if not line.startswith("|"):
            within = False
        elif line.endswith("| held by |"):
            within = True
        elif within:
            named += re.findall(r"`([^`]+)`", line.rsplit("|", 2)[-2])
    return named


def nowhere(named):
    """Which of them are neither claims, by `*` for several, nor files or folders of the tests."""
    ids = [claim.id for claim in CLAIMS]
    return [one for one in named if not fnmatch.filter(ids, one) and not (ROOT / one).exists()]


def test_what_the_page_of_results_says_is_held_is_held():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    named = held_by(page)
    assert len(named) >= 60 and nowhere(named) == []
    wrong = ["no.such.claim", "tests/no_such_test.py"]
    assert nowhere([*named, *wrong]) == wrong


# ---- the runner ----


def test_claims_that_hold_hold(fake):
    found = fake()
    assert found["share"][:2] == ("holds", "0.5 [0.4, 0.6]") and found["held"][:2] == ("holds", "7")


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (("at_least = 7", "at_least = 8"), "held"),
        (("{.52 [.45, .58]}", "{.72 [.65, .78]}"), "share"),
        (("'value': .5, 'low': .4, 'high': .6", "'not_measured': 'too few'"), "share"),
        (("cases[a]", "cases[b]"), "share"),
        (("of 9'", "of 8'"), "held"),
    ],
)
def test_a_planted_wrong_claim_is_caught(fake, change, broken):
    page = PAGE.replace(".52 [.45,\n.58]", ".72 [.65, .78]") if ".72" in change[1] else PAGE
    found = fake(change=change, page=page)
    assert [name for name, one in found.items() if one[0] == prove.BROKEN] == [broken]


def test_a_page_that_says_something_else_is_caught(fake):
    found = fake(page=PAGE.replace(".52", ".53"))
    assert found["share"][0] == prove.BROKEN and "does not say so any more" in found["share"][2]
    assert found["held"][0] == prove.HOLDS


def test_a_command_that_fails_holds_nothing_and_is_run_again(fake, tmp_path):
    found = fake(change=("python -c 'print(2)'", "python -c 'raise SystemExit(3)'"))
    assert {one[0] for one in found.values()} == {prove.BROKEN} and "ended with 3" in found["held"][2]
    (folder,) = (tmp_path / "out").iterdir()
    assert (folder / "failed.json").exists() and not (folder / "run.json").exists()


def test_what_was_run_is_not_run_again(fake, monkeypatch):
    first = fake()
    monkeypatch.setattr(running, "do", lambda *_: pytest.fail("run again"))
    assert fake() == first
    assert {one[0] for one in fake(change=("seconds = 1\n", "seconds = 99\n"), quick=True).values()} == {"holds"}


def test_what_other_code_wrote_counts_only_where_it_is_asked_for_and_is_marked(fake, monkeypatch, tmp_path):
    first = fake()
    monkeypatch.setattr(running, "fingerprint", lambda folders: "other code")
    monkeypatch.setattr(running, "do", lambda *_: pytest.fail("run again"))
    assert {outcome for outcome, *_ in fake(kept_only=True).values()} == {prove.NOT_RUN}
    assert fake(kept_only=True, older=True) == first
    other = ("print(2)", "print(3)")
    assert {outcome for outcome, *_ in fake(kept_only=True, older=True, change=other).values()} == {prove.NOT_RUN}
    runs, claims = read(tmp_path / "claims")
    runs["fake"] = replace(
        runs["fake"], commands=tuple(one.replace(*reversed(other)) for one in runs["fake"].commands)
    )
    found = prove.prove(runs, claims, tmp_path / "out", root=tmp_path, kept_only=True, older=True)
    assert all(one.run.endswith("*") and one.run.startswith("20") for one in found)


def test_other_commands_and_other_code_are_run_again(monkeypatch):
    run = RUNS["catalogue"]
    key = running.key(run)
    assert key != running.key(replace(run, commands=(*run.commands, "true")))
    monkeypatch.setattr(running, "fingerprint", lambda folders: "other code")
    assert key != running.key(run)


def test_code_is_known_by_its_bytes(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("x = 1\n")
    first = running.fingerprint.__wrapped__(("src",), tmp_path)
    (tmp_path / "src" / "a.py").write_text("x = 2\n")
    assert first != running.fingerprint.__wrapped__(("src",), tmp_path)


@pytest.mark.parametrize(
    ("needs", "why"),
    [
        ("data:nowhere/none.npz", "data absent: nowhere/none.npz"),
        ("module:no_such_module", "module absent: no_such_module"),
        ("program:no-such-program", "program absent: no-such-program"),
    ],
)
def test_what_cannot_be_run_here_is_not_run_and_says_why(fake, needs, why):
    found = fake(change=("seconds = 1\n", f'seconds = 1\nneeds = ["{needs}"]\n'))
    assert {one[::2] for one in found.values()} == {(prove.NOT_RUN, why)}


def test_long_runs_are_no_part_of_a_quick_proof(fake):
    found = fake(change=("seconds = 1\n", "seconds = 61\n"), quick=True)
    assert {one[0] for one in found.values()} == {prove.NOT_RUN}


def test_the_command_says_by_its_exit_code_whether_all_holds(tmp_path, capsys):
    (tmp_path / "fake.toml").write_text(FAKE.replace("page.md", "README.md"), encoding="utf-8")
    given = ["--claims", str(tmp_path), "--out", str(tmp_path / "out"), "--json", str(tmp_path / "proof.json")]
    assert prove.main([*given, "--only", "held"]) == 1  # the README does not say so
    assert "0 hold, 1 do not" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "proof.json").read_text())["claims"]
    assert row["outcome"] == prove.BROKEN
    assert prove.main([*given, "--only", "nothing"]) == 2
    assert prove.main([*given, "--list"]) == 0


def test_the_table_is_written_between_its_marks():
    judged = [prove.Judged(CLAIMS[0], "1 | 2", prove.NOT_RUN, "data absent")]
    when = datetime(2026, 11, 2, tzinfo=UTC)
    made = prove.written(f"# A\n{prove.BEGIN}\nlast time\n{prove.END}\nafter\n", judged, when, "two cores")
    assert made.startswith(f"# A\n{prove.BEGIN}\n2 November 2026; two cores. 1 claims")
    assert made.endswith(f"{prove.END}\nafter\n") and "last time" not in made and "1 \\| 2" in made
    assert prove.written(made, judged, when, "two cores") == made
    assert prove.BEGIN in (ROOT / "docs" / "proof.md").read_text(encoding="utf-8")


# ---- reading ----


@pytest.mark.parametrize(
    ("text", "value", "low", "high"),
    [
        ("95.6% [94.7, 96.5]", 0.956, 0.947, 0.965),
        (".05 [−.04, .13]", 0.05, -0.04, 0.13),
        ("−.19 [−.37, −.02]", -0.19, -0.37, -0.02),
        ("25 500", 25500, None, None),
        ("3e-6", 3e-6, None, None),
        ("162 [109, 321]", 162, 109, 321),
    ],
)
def test_figures_are_read_as_they_are_written(text, value, low, high):
    (found,) = figures(text)
    assert found.value == pytest.approx(value)
    assert (found.low is None) == (low is None)
    assert low is None or (found.low, found.high) == pytest.approx((low, high))


def test_a_figure_is_as_sharp_as_its_last_digit():
    assert [one.slack for one in figures("1.2 .005 3e-6 99%")] == pytest.approx(
        [0.05, 0.0005, 5e-7, 0.005], rel=1e-3
    )
    assert agrees(figures("1.2")[0], Figure(1.249)) and not agrees(figures("1.2")[0], Figure(1.26))
    assert agrees(figures(".95 [.91, .97]")[0], Figure(0.98, 0.965, 0.99))
    assert not agrees(figures(".95 [.91, .97]")[0], Figure(0.99, 0.98, 1.0))
    assert marked("t {.67} of it") == ("t .67 of it", ".67") and marked("all") == ("all", None)


@given(st.floats(-1e3, 1e3), st.floats(0, 10), st.floats(0, 10))
def test_a_printed_estimate_agrees_with_itself(value, below, above):
    text = f"{value:.2f} [{value - below:.2f}, {value + above:.2f}]".replace("-", "−")
    (found,) = figures(text)
    assert agrees(found, Figure(value, value - below, value + above))


def test_paths_lead_to_one_or_to_several():
    record = {
        "cases": [{"name": "a", "rows": [{"id": "x", "v": 1}]}, {"name": "b.c", "rows": [{"id": "y", "v": 2}]}]
    }
    assert at(record, "cases[b.c].rows[0].v") == 2 and at(record, "cases[*].rows[*].v") == [1, 2]
    assert at(record, "cases[*].rows[id!=y].v") == [1] and at(record, "cases[*].rows[id!=x&v=2].id") == ["y"]
    assert at(record, "cases[*].rows[id=y].v") == [2] and at(record, "cases[*].rows[y].v") == [2]
    for path in ("cases[z].rows", "cases[a].row", "cases[*].none", "cases[a].rows[id=z].v"):
        with pytest.raises(Unreadable):
            at(record, path)
    with pytest.raises(Unreadable, match="not measured: why"):
        as_figure({"not_measured": "why"})
    assert by_pattern("1 of 9, 3 of 9", r"(\d+) of 9") == Figure(3.0)


def test_a_table_is_held_against_a_record():
    page = "# A\n| row | t |\n|---|---|\n| **x\\_1** | 0.50 [0.40, 0.60] |\n| y | .90 |\n| z | – |\n"
    cells = first_table(page, "# A")
    record = {"rows": [{"id": "x_1", "t": 0.55}, {"id": "why", "t": 0.3}]}
    share, total, missed = table_agreement(cells, record, {"t": "rows[{row}].t"}, {"y": "why"})
    assert (share, total) == (0.5, 2) and "claimed 0.9, measured 0.3" in missed[0]
    with pytest.raises(Unreadable, match="no table"):
        first_table(page, "# B")


# ---- some of it, for real ----


def test_claims_of_a_few_seconds_hold(tmp_path):
    chosen = [one for one in CLAIMS if one.run in ("catalogue", "discovery")]
    found = prove.prove(RUNS, chosen, tmp_path)
    assert [(one.claim.id, one.measured, one.why) for one in found if one.outcome != prove.HOLDS] == []


def test_a_run_that_was_asked_for_by_one_claim_is_kept_for_all(fake, tmp_path):
    """The first claim reads only what is printed; the file that the second reads is kept too."""
    fake(kept_only=True)  # writes the page and the claims
    runs, claims = read(tmp_path / "claims")
    held = [one for one in claims if one.id == "held"]
    prove.prove(runs, held, tmp_path / "out", root=tmp_path, others=claims)
    assert {one for one, *_ in fake(kept_only=True).values()} == {prove.HOLDS}
