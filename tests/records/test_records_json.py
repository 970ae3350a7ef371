"""`result.json`: what is written is read back, fits the published schema, and nothing else is accepted."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave._types import Estimate, Measured, NotMeasured
from unweave.records import (
    KINDS,
    Result,
    Tail,
    case_result_from_json,
    case_result_to_json,
    from_json,
    json_schema,
    read_record,
    to_json,
    write_atomically,
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
estimates = st.builds(Estimate, numbers, st.none() | numbers, st.none() | numbers, st.integers(0, 10**6))
measured = estimates | st.builds(NotMeasured, st.text())


def strict(text: str) -> Any:
    """Parse JSON as its standard has it: no NaN, no Infinity, no name twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"), object_pairs_hook=once)


def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_every_result_comes_back_equal(results: dict[str, Result]):
    for name, result in results.items():
        text = to_json(result)
        assert from_json(Result, text) == result, name
        assert to_json(from_json(Result, text)) == text, name


def test_every_case_comes_back_equal_through_json_text(results: dict[str, Result]):
    for result in results.values():
        for case in result.cases:
            assert case_result_from_json(json.loads(json.dumps(case_result_to_json(case)))) == case


def with_generality(result: Result, value: Measured) -> Result:
    case = result.cases[0]
    rows = (replace(case.rows[0], generality=value), *case.rows[1:])
    return replace(result, cases=(replace(case, rows=rows), *result.cases[1:]))


@settings(deadline=None)
@given(value=measured)
def test_any_estimate_and_any_reason_comes_back(results: dict[str, Result], value: Measured):
    usual = results["usual"]
    case = replace(usual.cases[0], rows=usual.cases[0].rows[:1])
    changed = with_generality(replace(usual, cases=(case,)), value)
    found = from_json(Result, json.dumps(strict(to_json(changed)))).cases[0].rows[0].generality
    assert found == value and type(found) is type(value)


json_trees = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | numbers | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)


@settings(deadline=None)
@given(tree=json_trees, headline=st.text())
def test_specs_and_texts_come_back(results: dict[str, Result], tree: dict[str, Any], headline: str):
    bare = results["no cases"]
    changed = replace(bare, headline=headline, provenance=replace(bare.provenance, spec=tree))
    assert from_json(Result, to_json(changed)) == changed


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["value", "low", "high"])
def test_an_estimate_refuses_what_is_no_number(bad: float, field: str):
    with pytest.raises(ValueError, match=f"finite {field}.*NotMeasured"):
        Estimate(**{"value": 0.5, "low": 0.0, "high": 1.0, "n": 3, field: bad})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_text_is_written_for_a_number_that_json_cannot_hold(result: Result, bad: float):
    seconds = replace(result, provenance=replace(result.provenance, seconds=bad))
    row = result.cases[0].rows[0]
    assert row.tail is not None
    tail = replace(row, tail=replace(row.tail, untraining={"forget": Tail(bad, None, 0.0)}))
    for broken in (seconds, replace(result, cases=(replace(result.cases[0], rows=(tail,)),))):
        with pytest.raises(ValueError, match="not JSON compliant"):
            to_json(broken)


def test_the_schema_accepts_every_result(results: dict[str, Result]):
    check = validator()
    for name, result in results.items():
        assert [error.message for error in check.iter_errors(strict(to_json(result)))] == [], name


def at(*path: Any, to: Any = ...) -> Callable[[Any], None]:
    """Set the value at a path of a tree, or delete it."""

    def change(tree: Any) -> None:
        for step in path[:-1]:
            tree = tree[step]
        if to is ...:
            del tree[path[-1]]
        else:
            tree[path[-1]] = to

    return change


ROW = ("cases", 0, "rows", 0)
BROKEN = {
    "another version": at("schema", to="unweave.result/0"),
    "no headline": at("headline"),
    "no provenance": at("provenance"),
    "cases as a map": at("cases", to={}),
    "an unknown outcome": at(*ROW, "verdict_unlearning", "outcome", to="great"),
    "an unknown kind of row": at(*ROW, "kind", to="winner"),
    "an estimate without n": at(*ROW, "generality", "n"),
    "an estimate as a bare number": at(*ROW, "generality", to=0.5),
    "an estimate as null": at(*ROW, "generality", to=None),
    "a text for a number": at(*ROW, "cost", "gradient_ratio", to="much"),
    "a covariance of three": at(*ROW, "xy", "covariance", to=[[1, 0, 0], [0, 1, 0]]),
    "a group that is no group": at(*ROW, "groups", "forget", to=[]),
    "no name of a case": at("cases", 0, "name"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_schema_and_reader_refuse_a_broken_result(result: Result, broken: str):
    tree = json.loads(to_json(result))
    BROKEN[broken](tree)
    assert not validator().is_valid(tree)
    with pytest.raises(UserError):
        from_json(Result, json.dumps(tree))


@pytest.mark.parametrize("kind", KINDS)
def test_each_schema_is_one_and_names_its_version(kind: type):
    schema = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == schema["properties"]["schema"]["const"] == KINDS[kind].schema


def test_a_result_is_read_from_its_file_or_its_folder(result: Result, tmp_path: Path):
    write_atomically(tmp_path / "result.json", to_json(result))
    assert read_record(Result, tmp_path) == read_record(Result, tmp_path / "result.json") == result


TEXTS = {
    "": "is not JSON",
    "# not JSON": "is not JSON",
    "\ufeff{}": "is not JSON",
    "[" * 100_000: "is not JSON",
    "[]": "has schema None; this version of unweave reads 'unweave.result/1'",
    "3": "has schema None",
    '{"schema": ["unweave.result/1"]}': "has schema",
    '{"schema": "unweave.result/99"}': "has schema 'unweave.result/99'",
    '{"schema": "unweave.result/1"}': "does not fit schema unweave.result/1 at `headline`",
}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:40]))
def test_what_is_no_result_is_a_user_error_with_the_file(tmp_path: Path, text: str):
    file = tmp_path / "mine.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_record(Result, file)
    assert str(file) in str(caught.value) and TEXTS[text] in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe{}", b"\x1f\x8b\x08\x00", b"\xc3"])
def test_what_is_no_text_is_a_user_error(tmp_path: Path, content: bytes):
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(UserError, match=r"Cannot read a result from .*result\.json"):
        read_record(Result, tmp_path)


def test_a_file_that_is_not_there_is_a_user_error(tmp_path: Path):
    for path, named in ((tmp_path, tmp_path / "result.json"), (tmp_path / "none.json", tmp_path / "none.json")):
        with pytest.raises(UserError, match=r"Cannot read a result from .*No such file") as caught:
            read_record(Result, path)
        assert str(named) in str(caught.value)


def test_an_edited_result_is_named_with_the_place(result: Result):
    tree = json.loads(to_json(result))
    at(*ROW, "verdict_unlearning", "outcome", to="great")(tree)
    with pytest.raises(UserError, match=r"at `cases\.0\.rows\.0\.verdict_unlearning\.outcome`.*edited by hand"):
        from_json(Result, json.dumps(tree))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_json_cannot_hold_are_not_read(result: Result, number: str):
    tree = json.loads(to_json(result))
    tree["provenance"]["seconds"] = tree["cases"][0]["rows"][0]["verdict_unlearning"]["p_value"] = "HERE"
    with pytest.raises(UserError, match=f"is not JSON .*{number}"):
        from_json(Result, json.dumps(tree).replace('"HERE"', number))


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    file = tmp_path / "result.json"
    write_atomically(file, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space left"):
            write_atomically(file, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert file.read_text() == "old"


def test_a_text_that_cannot_be_encoded_leaves_the_old_text(tmp_path: Path):
    file = tmp_path / "result.json"
    write_atomically(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "new \ud800")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_line_ends_are_written_as_given(tmp_path: Path):
    write_atomically(tmp_path / "text", "a\nb\r\nc\r∖")
    assert (tmp_path / "text").read_bytes() == "a\nb\r\nc\r∖".encode()


def test_a_reader_sees_the_old_text_or_the_new(tmp_path: Path):
    file = tmp_path / "result.json"
    texts = ["a" * 300_000, "b" * 500_000]
    write_atomically(file, texts[0])
    stop = threading.Event()

    def write() -> None:
        for number in range(30):
            write_atomically(file, texts[number % 2])
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    torn = 0
    while not stop.is_set():
        torn += file.read_text() not in texts
    writer.join()
    assert torn == 0


def test_records_show_themselves_in_a_line(result: Result) -> None:
    assert str(Estimate(0.16204, 0.1292, None, 16)) == "0.162 [0.129, ∞]"
    assert str(NotMeasured("no unseen instances")) == "not measured: no unseen instances"
    for shown in (repr(result), repr(result.cases[0])):
        assert "digits-trigger" in shown and len(shown) < 1000
    assert result.headline in repr(result) and result.cases[0].headline in repr(result.cases[0])
