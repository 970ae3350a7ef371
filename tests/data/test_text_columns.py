"""Columns that were read as texts and may not have been meant so: what is said of them, and what is left out."""

from datetime import date, timedelta

import pytest

from unweave.data import load, without_values
from unweave.data.text_columns import about_texts, kind_of

HEAD = "id,pay,since,kind,y\n"


def rows(count=300, **cells):
    """Lines of numbers, dates of 40 days and kinds; `p7="1e400"` is what the number of the row p7 is instead."""
    begin = date(2020, 1, 1)
    return [
        f"p{k},{cells.get(f'p{k}', f'{k * 37 % 1000}.5')},{begin + timedelta(k % 40)},{'ab'[k % 3 == 0]},{k % 2}\n"
        for k in range(count)
    ]


def read(folder, lines, **options):
    (folder / "t.csv").write_text(HEAD + "".join(lines))
    return load("csv", path=str(folder / "t.csv"), **{"label": "y", "id_column": "id", "test": 0.3, **options})


def told(data, column):
    found = [one for one in data.warnings if one.startswith(f"The column {column} ")]
    assert len(found) <= 1
    return found[0] if found else ""


def one_in(folder, part):
    """An id of a part, whatever the split."""
    data = read(folder, rows())
    return str((data.train if part == "training" else data.test).ids[5])


def test_one_odd_cell_of_a_column_of_numbers_is_named(tmp_path):
    assert told(read(tmp_path, rows()), "pay") == ""
    odd = one_in(tmp_path, "training")
    data = read(tmp_path, rows(**{odd: "n.a."}))
    said = told(data, "pay")
    assert said.startswith("The column pay has 210 different texts in 210 rows: left out. ")
    assert f"209 of 210 training rows are numbers or empty; the first that is not: 'n.a.' (id {odd})." in said
    assert "(?, NA, N/A, nan, null and None mean empty as well)" in said and "infinite" not in said
    assert data.left_out == {"pay": said}


def test_an_odd_cell_of_the_test_part_is_found_there(tmp_path):
    odd = one_in(tmp_path, "test")
    said = told(read(tmp_path, rows(**{odd: "n.a."})), "pay")
    assert f"89 of 90 test rows are numbers or empty; the first that is not: 'n.a.' (id {odd})." in said


def test_a_limit_hides_no_odd_cell(tmp_path):
    kept = read(tmp_path, rows(), limit=60).train.ids.tolist()
    odd = next(str(one) for one in read(tmp_path, rows()).train.ids if one not in kept)
    data = read(tmp_path, rows(**{odd: "n.a."}), limit=60)
    assert data.train.columns["pay"].dtype.kind == "U"
    assert f"209 of 210 training rows are numbers or empty; the first that is not: 'n.a.' (id {odd})." in told(
        data, "pay"
    )


@pytest.mark.parametrize("value", ["1e400", "-1e999", "inf", "Infinity"])
def test_an_infinite_value_is_named_with_its_row_and_column(tmp_path, value):
    lines = rows(40, p7=value)
    data = read(tmp_path, lines, id_column=None, test=5)
    said = told(data, "pay")
    assert f"the first that is not: {value!r} (row 7, counted from 0), which is infinite." in said
    assert (
        f"Each of its {len(set(data.train.columns['pay'].tolist()))} different texts is a feature of its" in said
    )
    assert "or write a finite one." in said


def test_rows_of_a_file_of_the_test_part_are_counted_there(tmp_path):
    lines = [line.partition(",")[2] for line in rows(60)]
    head = HEAD.partition(",")[2]
    lines[52] = lines[52].replace(lines[52].partition(",")[0], "x", 1)
    for name, part in (("t.csv", lines[:50]), ("held.csv", lines[50:])):
        (tmp_path / name).write_text(head + "".join(part))
    data = load("csv", path=str(tmp_path / "t.csv"), label="y", test=str(tmp_path / "held.csv"))
    assert "9 of 10 test rows are numbers or empty; the first that is not: 'x' (row 2, counted" in told(
        data, "pay"
    )


def test_dates_are_said_to_have_become_texts(tmp_path):
    said = told(read(tmp_path, rows()), "since")
    assert said == (
        "The column since is read as texts: 300 of 300 values are dates. Each of its 40 different texts is a "
        "feature of its own, and that one day is before another is lost. Write dates as numbers, such as days "
        "since a fixed day."
    )


def test_columns_of_texts_are_passed_over_in_silence(tmp_path):
    data = read(tmp_path, rows())
    assert told(data, "kind") == "" and not data.left_out
    for texts in (["12", "14a", "b", "c"], ["2020-13-01", "x"], ["", ""], ["NaN.", "1_000"]):
        assert about_texts("c", (texts, []), lambda part, row: f"row {row}", 3) == ""


def test_what_a_value_is():
    assert [kind_of(one) for one in ("NAN", "2020-02-30", "2020-02-08T10:30:00Z", "20200208")] == [
        "text", "text", "date", "number",
    ]  # fmt: skip


def test_a_record_has_no_cell_of_it(tmp_path):
    for value in ("n.a.", 'it\'s (id 7) "so"', "secret (row 3), which"):
        said = about_texts("pay", (["1", "2", value], []), lambda part, row: "id p3", 3)
        assert repr(value) in said
        bare = without_values(said)
        assert value not in bare and "secret" not in bare and "the first that is not: (id p3)" in bare
    assert without_values("No test example is of class a.") == "No test example is of class a."
