"""Tables: types, gaps, categories, ids and splits; what is refused; and any table at all."""

import csv
import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave import UserError
from unweave._errors import SpecError
from unweave.data import load
from unweave.learners.encoding import standardised, world_scales

PEOPLE = """name,age,job,city,income
ann,30,clerk,Rome,low
bob,?,smith,Bern,high
cat,50,,Rome,high
dan,40,clerk,Oslo,low
eve,35,smith,Rome,low
fay,45,clerk,Bern,high
gus,20,clerk,Rome,low
hal,60,smith,Oslo,high
"""


def write(folder, text=PEOPLE, name="people.csv", encoding="utf-8"):
    file = folder / name
    file.write_bytes(text.encode(encoding))
    return str(file)


def read(folder, text=PEOPLE, **options):
    given = {"label": "income", "id_column": "name", "test": 3, **options}
    return load("csv", path=write(folder, text), **given)


def by_hand(data, part, names):
    """One feature after the other, from the columns as they were read."""
    train = data.train.columns
    out = []
    for name in names:
        values = part.columns[name]
        if values.dtype.kind == "f":
            known = [v for v in train[name] if v == v]
            mean = sum(known) / len(known)
            sd = (sum((v - mean) ** 2 for v in known) / len(known)) ** 0.5
            out.append([0.0 if v != v else (v - mean) / sd for v in values])
            if any(v != v for v in [*train[name], *data.test.columns[name]]):
                out.append([float(v != v) for v in values])
        else:
            out += [[float(v == one) for v in values] for one in sorted(set(train[name].tolist()))]
    return np.array(out).T


def test_features_are_those_computed_by_hand(tmp_path):
    data = read(tmp_path)
    assert data.labels == ("high", "low") and data.classes == 2
    for part in (data.train, data.test):
        np.testing.assert_allclose(part.x, by_hand(data, part, ["age", "job", "city"]), atol=1e-6)
        incomes = {row.split(",")[0]: row.split(",")[-1] for row in PEOPLE.split()}
        assert [data.labels[y] for y in part.y] == [incomes[i] for i in part.ids]
    encoding = data.encoding
    places = [*encoding.numeric, *(i for i in encoding.missing if i >= 0), *encoding.category]
    assert sorted(places) == list(range(data.train.x.shape[1]))


def test_a_number_that_is_missing_in_the_test_part_alone_is_the_mean_of_the_world(tmp_path):
    """As 0 in units of all of D it would lie far out where a world standardises, by what S did."""
    rows = [f"p{i},{1000 + i if i < 4 else i},{'a' if i % 2 else 'b'},train" for i in range(12)]
    text = "\n".join(["id,v,label,part", *rows, "q0,?,a,test", "q1,5,b,test"]) + "\n"
    data = read(tmp_path, text, label="label", id_column="id", split="part", test=None)
    encoding = data.encoding
    assert min(encoding.missing) >= 0
    assert data.train.x[:, encoding.missing].tolist() == [[0.0]] * 12
    inside = data.train.x[4:]  # the world without the large ones
    scales = world_scales(encoding, inside)
    z = standardised(encoding, data.test.x, scales)
    assert z[0].tolist() == [0.0] * data.test.x.shape[1]
    assert abs(z[1, encoding.numeric[0]]) < 2


def test_ids_are_those_of_the_column_and_order_does_not_matter(tmp_path):
    head, *rows = PEOPLE.strip().split("\n")
    first, second = read(tmp_path), read(tmp_path, "\n".join([head, *rows[::-1]]) + "\n")
    np.testing.assert_array_equal(first.train.x, second.train.x)
    assert first.train.ids.tolist() == second.train.ids.tolist() == sorted(first.train.ids.tolist())
    assert set(first.train.ids) | set(first.test.ids) == {"ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"}
    numbered = read(
        tmp_path, PEOPLE.replace("name,", "nr,").replace("ann", "12").replace("bob", "7"), id_column="nr"
    )
    assert numbered.train.ids.dtype.kind == "U"


def test_groups_stay_on_one_side_and_split_columns_decide(tmp_path):
    data = read(tmp_path, group="city", test=2)
    cities = {row.split(",")[0]: row.split(",")[3] for row in PEOPLE.split("\n")[1:] if row}
    sides = [{cities[i] for i in part.ids} for part in (data.train, data.test)]
    assert not sides[0] & sides[1] and len(data.test) >= 2
    text = PEOPLE.replace("low", "low,train").replace("high", "high,test").replace("income", "income,part")
    text = text.replace("hal,60,smith,Oslo,high,test", "hal,60,smith,Oslo,high,train")
    named = read(tmp_path, text, split="part", test=None)
    assert set(named.test.ids) == {"bob", "cat", "fay"}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("with bom.csv", lambda text: ("\ufeff" + text).encode()),
        ("crlf.csv", lambda text: text.replace("\n", "\r\n").encode()),
        ("päckchen 猫.csv", lambda text: text.encode()),
        ("tabs.tsv", lambda text: text.replace(",", "\t").encode()),
        ("packed.csv.gz", lambda text: gzip.compress(text.encode())),
        ("blank lines.csv", lambda text: text.replace("\n", "\n\n").encode()),
    ],
)
def test_files_as_other_programs_write_them(tmp_path, name, change):
    (tmp_path / name).write_bytes(change(PEOPLE))
    data = load("csv", path=str(tmp_path / name), label="income", id_column="name", test=3)
    np.testing.assert_array_equal(data.train.x, read(tmp_path).train.x)


def test_parquet_says_the_same_as_csv(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="reading Parquet needs the extra [tables]")
    from pyarrow import parquet

    rows = list(csv.DictReader(PEOPLE.splitlines()))
    columns = {name: [row[name] or None for row in rows] for name in rows[0]}
    columns["age"] = [None if one == "?" else float(one) for one in columns["age"]]
    parquet.write_table(arrow.table(columns), tmp_path / "people.parquet")
    data = load("parquet", path=str(tmp_path / "people.parquet"), label="income", id_column="name", test=3)
    np.testing.assert_array_equal(data.train.x, read(tmp_path).train.x)


def test_numbers_of_32_bits_are_those_that_were_written(tmp_path):
    """As 64 bits 0.7 would be 0.699999988, and fail `>= 0.7`."""
    arrow = pytest.importorskip("pyarrow", reason="reading Parquet needs the extra [tables]")
    from pyarrow import parquet

    written = [0.7, 0.1, 1e20, None, float("nan"), 16777216.0, -0.3, 2.5]
    rows = {"v": arrow.array(written, arrow.float32()), "label": ["a", "b"] * 4, "id": [f"p{i}" for i in range(8)]}
    parquet.write_table(arrow.table(rows), tmp_path / "t.parquet")
    data = load("parquet", path=str(tmp_path / "t.parquet"), label="label", id_column="id", test=2)
    found = {i: v for part in (data.train, data.test) for i, v in zip(part.ids, part.columns["v"], strict=True)}
    for place, value in enumerate(written):
        assert found[f"p{place}"] == value or (value is None or value != value) == (found[f"p{place}"] != value)


BAD = {
    "no label": (PEOPLE, {"label": None}, r"`data\.label` is missing; the table has name, age, job, city, income"),
    "unknown label": (PEOPLE, {"label": "wage"}, r"`data\.label` is 'wage', which is no column"),
    "unknown id": (PEOPLE, {"id_column": "nr"}, r"`data\.id_column` is 'nr', which is no column"),
    "label as group": (PEOPLE, {"group": "income"}, r"`data\.group` and `data\.label` are both 'income'"),
    "empty": ("", {}, "has no rows"),
    "only names": ("a,b\n", {}, "has no rows"),
    "ragged": (PEOPLE + "ivy,3\n", {}, "line 10: 2 values, expected 5"),
    "names twice": (PEOPLE.replace("city", "age", 1), {}, "has the name 'age' more than once"),
    "no name": (PEOPLE.replace("city", "", 1), {}, "has a column without a name"),
    "id twice": (
        PEOPLE.replace("bob", "ann"),
        {"test": 1},
        "Id ann appears 2×|stand in the training and in the test",
    ),
    "no id": (PEOPLE.replace("bob", ""), {}, r"1 rows have no name \(first: row 1\)"),
    "label gap": (
        PEOPLE.replace("Bern,high", "Bern,?"),
        {},
        r"1 rows of the .* part have no income \(first: id fay\)",
    ),
    "fractions": (PEOPLE, {"label": "age", "test": 2}, "have no age|expected classes"),
    "one class": (PEOPLE.replace("high", "low"), {}, "are of class 0; there is nothing to tell apart"),
    "no split": (PEOPLE, {"test": None}, r"`data\.test` is missing"),
    "odd split": (PEOPLE, {"test": None, "split": "city"}, r"holds 'Rome'.*expected train or test"),
    "two splits": (PEOPLE, {"split": "city"}, "are both given"),
    "no features": (
        "id,y\n" + "".join(f"{i},{i % 2}\n" for i in range(9)),
        {"label": "y", "id_column": "id"},
        "no column",
    ),
    "open quote": (PEOPLE + 'ivy,"3,x,y,low\n', {}, "line 1[01]"),
    "bytes": ("\x00\xff", {}, "no text in UTF-8|has no rows|line"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_refused_with_what_and_where(tmp_path, name):
    text, options, message = BAD[name]
    with pytest.raises(SpecError, match=message):
        read(tmp_path, text, **options)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SpecError, match="Cannot read the table .*No such file"):
        load("csv", path=str(tmp_path / "none.csv"), label="y", test=3)
    (tmp_path / "latin.csv").write_bytes(PEOPLE.replace("ann", "ånn").encode("latin-1"))
    with pytest.raises(SpecError, match="no text in UTF-8"):
        load("csv", path=str(tmp_path / "latin.csv"), label="income", test=3)
    (tmp_path / "not.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SpecError, match="Cannot read the table|needs pyarrow"):
        load("parquet", path=str(tmp_path / "not.parquet"), label="income", test=3)


def test_a_file_of_its_own_for_the_test_part(tmp_path):
    head, *rows = PEOPLE.strip().split("\n")
    write(tmp_path, "\n".join([head, *rows[5:]]) + "\n", "test.csv")
    train = "\n".join([head, *rows[:5]]) + "\n"
    data = read(tmp_path, train, test=str(tmp_path / "test.csv"))
    assert (len(data.train), len(data.test)) == (5, 3)
    with pytest.raises(SpecError, match="columns of the training and the test file differ: `city`"):
        write(tmp_path, "name,age,job,income\nx,1,clerk,low\n", "test.csv")
        read(tmp_path, train, test=str(tmp_path / "test.csv"))


def test_a_column_of_names_is_left_out_and_said_to_be(tmp_path):
    rows = "".join(f"{i},person {i},{i * 7 % 5},{i % 2}\n" for i in range(200))
    data = load("csv", path=write(tmp_path, "id,who,n,y\n" + rows), label="y", id_column="id", test=40)
    assert data.warnings[0] == "The column who has 160 different texts in 160 rows: left out."
    assert data.train.x.shape == (160, 1) and data.train.ids.dtype == np.int64


CELLS = st.sampled_from(
    ["", "?", "0", "1", "2.5", "-3e5", "a", "b", "é", "nan", "inf", "1_0", " x ", "=1+1", '"', "a,b"]
)


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=14)
    ),
    st.lists(st.sampled_from(["a", "b", "", "1", "2"]), min_size=14, max_size=14),
    st.one_of(st.none(), st.integers(-1, 9), st.floats(), st.just("x")),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 9)),
)
def test_any_table_is_a_whole_data_set_or_an_error(tmp_path_factory, rows, labels, test, with_ids, limit):
    file = tmp_path_factory.mktemp("any") / "any.csv"
    width = len(rows[0]) if rows else 1
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*(f"c{i}" for i in range(width)), "y"])
        writer.writerows([*row, label] for row, label in zip(rows, labels, strict=False))
    options = {"id_column": "c0"} if with_ids else {}
    try:
        data = load("csv", path=str(file), label="y", test=test, limit=limit, **options)
    except UserError as error:
        assert 20 < len(str(error)) < 600
        return
    for part in (data.train, data.test):
        assert np.isfinite(part.x).all() and len(part) == len(set(part.ids.tolist())) > 0
        assert part.y.min() >= 0 and part.y.max() < data.classes == len(data.labels)
        assert all(len(values) == len(part) for values in part.columns.values())
    assert data.train.x.shape[1:] == data.test.x.shape[1:]


def test_classes_that_a_part_lacks_are_named(tmp_path):
    lines = PEOPLE.splitlines(keepends=True)
    low = [line for line in lines[1:] if line.rstrip().endswith("low")]
    write(tmp_path, lines[0] + "".join(line for line in lines[1:] if line not in low[:1]))
    held = write(tmp_path, lines[0] + low[0], "held.csv")
    found = load("csv", path=str(tmp_path / "people.csv"), label="income", id_column="name", test=str(held))
    said = "No test example is of class high (1 of 2 classes): figures on test data say nothing of it."
    assert said in found.warnings and not any("training example is of class" in one for one in found.warnings)
