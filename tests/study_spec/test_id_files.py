"""Ids in a file of their own: one a line, relative to the spec or, in --set, to the working directory."""

import pytest

from unweave._errors import SpecError
from unweave.study import assemble, read_spec
from unweave.study.id_files import ids_of_option, read_ids


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
