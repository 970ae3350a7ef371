"""Requests and manifests: ids and the content they stand for, whatever a spreadsheet makes of them."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.study.erasing import ids_of, save_model, tiny

from unweave._errors import SpecError, UserError
from unweave.data import Dataset, Examples, content_hashes
from unweave.problem import rows_of_ids
from unweave.study.assemble import assemble
from unweave.study.request import check_content, content_digest, manifest_text, read_request

DIGEST = "ab" * 32


def put(folder, content):
    file = folder / "request.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def data_of(ids):
    n = len(ids)
    kind = np.int64 if isinstance(ids[0], int) else np.str_
    part = Examples(
        np.arange(2.0 * n).reshape(n, 2).astype(np.float32), np.arange(n) % 2, np.array(ids, dtype=kind)
    )
    return Dataset("made", part, part, 2)


@pytest.mark.parametrize(
    "content",
    [
        "3\n5\n9\n",
        "id\n3\n5\n9\n",
        "\ufeffid\r\n3\r\n5\r\n9\r\n",
        " 3 \n\n5\n   \n9",
        "name,ID\na,3\nb,5\nc,9\n",
        '"id","sha256"\n"3",""\n"5",""\n"9",""\n',
    ],
)
def test_ids_as_people_write_them(tmp_path, content):
    assert read_request(put(tmp_path, content)) == ((3, 5, 9), {})


def test_ids_with_the_content_they_stand_for(tmp_path):
    found = read_request(put(tmp_path, f"sha256,id\n{DIGEST.upper()},3\n,5\n"))
    assert found == ((3, 5), {"3": DIGEST})
    assert read_request(put(tmp_path, f"p1,{DIGEST}\np2,{DIGEST}\n")).content == {"p1": DIGEST, "p2": DIGEST}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "has 0 records: nothing to forget"),
        ("\n \n", "has 0 records: nothing to forget"),
        ("id,sha256\n", "has 0 records: nothing to forget"),
        (b"\xff\xfe\x00", "it is not text in UTF-8"),
        (b"3\n" + b"x" * 200_000 + b"\n", "it is not CSV"),
        ("id,sha256\n3\n", "record 1 has 1 columns; expected an id and its sha256"),
        ("3,abc\n", "record 1 has the sha256 'abc'; expected 64 hexadecimal"),
        ("kunden_id,name\n3,x\n", "If this is a line of names, call the column of the ids id"),
        (f"id,sha256\n3,{DIGEST}\n,{DIGEST}\n", "record 2 has no id"),
    ],
)
def test_what_is_no_request(tmp_path, content, said):
    with pytest.raises(SpecError, match=said):
        read_request(put(tmp_path, content))


@pytest.mark.parametrize("name", ["gone.csv", ".", "a\0b", "x" * 300, "../gone"])
def test_files_that_cannot_be_read(tmp_path, name):
    with pytest.raises(SpecError, match="Cannot read the request"):
        read_request(tmp_path / name)


def test_a_manifest_says_what_the_data_hold(tmp_path):
    data = assemble(tiny(tmp_path)).data
    lines = list(csv.reader(io.StringIO(manifest_text(data))))
    assert lines[0] == ["id", "sha256"] and len(lines) == 201
    assert [int(one) for one, _ in lines[1:]] == data.train.ids.tolist()
    assert [digest for _, digest in lines[1:]] == content_hashes(data.train)
    check_content(data, read_request(put(tmp_path, manifest_text(data))).content)


RISKY = [
    "=cmd|' /C calc'!A0", "=1+1", "+1", "-1", "-0.5x", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''=1", "'", "''",
    "'abc",
    '=HYPERLINK("http://example.org","x")', "=x,=y", "=x\n=y", "a\r\nb", 'a"b', "007", "1e5", " padded ", "\ta",
    "id", "sha256",
]  # fmt: skip


def test_a_manifest_is_a_request_for_everything(tmp_path):
    data = data_of(RISKY)
    text = manifest_text(data)
    found = read_request(put(tmp_path, text))
    rows = rows_of_ids(data.train.ids, found.ids, name="forget.ids")
    assert rows.tolist() == list(range(len(RISKY)))
    check_content(data, found.content)
    assert len(found.content) == len(RISKY)
    for cell, _ in list(csv.reader(io.StringIO(text, newline="")))[1:]:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\0")), cell


TEXTS = st.text(st.sampled_from("=+-@'\t\r\n\"ab1, ") | st.characters(codec="utf-8"), min_size=1, max_size=8)


@given(st.lists(TEXTS.filter(lambda one: one.strip() and "\0" not in one), min_size=2, max_size=6, unique=True))
@example(["'=a", "=a"])
@example(["''", "'"])
def test_any_ids_come_back(tmp_path_factory, ids):
    data = data_of(ids)
    found = read_request(put(tmp_path_factory.mktemp("r"), manifest_text(data)))
    if all(isinstance(one, int) for one in found.ids):  # texts of digits alone: data have no such ids
        return
    assert [str(one) for one in found.ids] == data.train.ids.tolist()
    check_content(data, found.content)


def test_numbers_stay_numbers():
    assert manifest_text(data_of([7, 10])).splitlines()[1].startswith("7,")


def test_other_content_is_refused(tmp_path):
    data = assemble(tiny(tmp_path)).data
    one, other = map(str, ids_of(2))
    own = dict(zip(map(str, data.train.ids.tolist()), content_hashes(data.train), strict=True))
    with pytest.raises(
        UserError, match=rf"1 of 2 records .* other content than the training data .*first: {other}"
    ):
        check_content(data, {one: own[one], other: own[one]})


def test_wrong_content_changes_nothing(tmp_path):
    from tests.study.erasing import digests, erase

    case = tiny(tmp_path)
    save_model(case)
    before = digests(tmp_path)
    with pytest.raises(UserError, match="nothing was changed"):
        erase(case, tmp_path / "out", content={str(ids_of(1)[0]): DIGEST})
    assert digests(tmp_path) == before


def test_a_label_is_a_part_of_the_content():
    one = data_of([1, 2]).train
    other = Examples(one.x, 1 - one.y, one.ids)
    assert not set(content_hashes(one)) & set(content_hashes(other))
    assert content_digest(one) != content_digest(other) == content_digest(other)
    assert content_digest(one) != content_digest(Examples(one.x[::-1], one.y[::-1], one.ids))
