"""Ids in a file of their own: one a line, relative to the spec or, in --set, to the working directory."""

import numpy as np
import pytest

from unweave._errors import SpecError
from unweave.problem.ids import known_ids
from unweave.records.discovery import Ranked, ranking_csv
from unweave.study import assemble, read_spec
from unweave.study.id_files import as_ids, ids_of_option, read_ids


@pytest.fixture
def spec(tmp_path):
    def write(text: str, ids: str | bytes = "22\n24\n") -> object:
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        (folder / "ids.txt").write_bytes(ids if isinstance(ids, bytes) else ids.encode())
        (folder / "spec.toml").write_text(text)
        return folder / "spec.toml"

    return write


def test_ids_of_s_are_read_relative_to_the_spec(spec):
    case = read_spec(spec('[forget]\nids = "ids.txt"', "\ufeff22\r\n\n  24 \n")).cases[0]
    assert case.forget.ids == (22, 24)


def test_ids_of_b_are_read_too_and_s_lies_within(spec):
    text = '[behaviour]\nkind = "ids"\nids = "ids.txt"\n[forget]\ncount = 3'
    file = spec(text, "\n".join(str(one) for one in range(1797)))
    case = read_spec(file, settings=["forget.count=2"]).cases[0]
    assert case.behaviour.ids == tuple(range(1797))
    with pytest.raises(SpecError, match="behaviour ids are not in the training data"):
        assemble(case)


def test_in_a_setting_the_name_is_relative_to_the_working_directory(spec, tmp_path, monkeypatch):
    spec("")
    monkeypatch.chdir(tmp_path)
    for setting in ("forget.ids=folder/ids.txt", 'forget={ids = "folder/ids.txt"}'):
        assert read_spec(cases=["digits-trigger"], settings=[setting]).cases[0].forget.ids == (22, 24)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (b"\xff\xfe", r"`forget\.ids` is 'ids\.txt'; expected a list .* \(this is no text file\)"),
    ],
)
def test_what_is_no_file_of_ids_is_refused(spec, ids, message):
    with pytest.raises(SpecError, match=message):
        read_spec(spec('[forget]\nids = "ids.txt"', ids))


def test_a_file_that_is_not_there_is_refused_by_its_name(spec):
    with pytest.raises(SpecError, match=r"`forget\.ids` is 'other\.txt'; expected a list .* \(No such file"):
        read_spec(spec('[forget]\nids = "other.txt"'))


def test_an_empty_file_is_an_empty_forget_set(spec):
    with pytest.raises(SpecError, match="forget set has 0 examples"):
        assemble(read_spec(spec('[forget]\nids = "ids.txt"', "\n")).cases[0])


@pytest.mark.parametrize("ids", ["22\nx\n", "22\n24, 26\n", "22\n1.0", "22\n" + "9" * 5000, "22\n007"])
def test_a_text_among_ids_that_are_numbers_is_refused_by_its_name(spec, ids):
    case = read_spec(spec('[forget]\nids = "ids.txt"', ids)).cases[0]
    with pytest.raises(SpecError, match=f"`forget.ids` holds '{ids[3:13].strip()}"):
        assemble(case)


def test_a_table_with_a_column_of_ids_is_as_good_as_a_list(tmp_path):
    for text in ("id\n7\nb\n", 'sha256,Id\nabc,7\n"d,e",b\n', "7\nb\n"):
        (tmp_path / "ids.csv").write_text(text)
        tree = {"forget": {"ids": "ids.csv"}}
        read_ids(tree, tmp_path)
        assert tree["forget"]["ids"] == [7, "b"], text
    (tmp_path / "ids.csv").write_text("7, with a comma\nb\n")
    assert ids_of_option(str(tmp_path / "ids.csv")) == ["7, with a comma", "b"]


@pytest.mark.parametrize("row", ["18", "Bob,", "Bob,  "])
def test_a_row_of_a_table_without_an_id_is_refused_and_not_passed_over(tmp_path, row):
    """A purge by a list that loses an id would keep models of it."""
    file = tmp_path / "ids.csv"
    file.write_text(f"name,id\nAnna,17\n{row}\nCarl,19\n")
    with pytest.raises(SpecError, match=rf"has a column id, and the row '{row.strip()[:3]}.* has no id in it"):
        ids_of_option(str(file))
    file.write_text("name,id\nAnna,17\n\n,\nCarl,19\n")
    assert ids_of_option(str(file)) == [17, 19]


def test_a_table_may_have_its_names_in_quotes_and_ids_of_several_lines(tmp_path):
    file = tmp_path / "ids.csv"
    file.write_text('"id","n"\n"a\nb",1\n"c ""d""",2\n')
    assert ids_of_option(str(file)) == ["a\nb", 'c "d"']


def test_ids_of_a_ranking_are_those_it_was_made_of(tmp_path):
    ids = ["-5", "=a", "+49 1", "@u", "'=b", "plain", "17"]
    file = tmp_path / "candidates.csv"
    file.write_text(ranking_csv([Ranked(one, 0.5, rank, True, "3") for rank, one in enumerate(ids, 1)]))
    assert [str(one) for one in ids_of_option(str(file))] == ids


def test_whole_numbers_are_ids_as_far_as_arrays_hold_them():
    assert as_ids([str(2**63 - 1), str(2**63), "-12"]) == [2**63 - 1, str(2**63), -12]
    assert known_ids(np.array([1234567890123456789]), as_ids(["1234567890123456789"]))[1] == ()
