"""Conditions on a column of a table: what fulfils them, members, labels, new instances, refusals."""

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave._errors import ApplicabilityError, SpecError
from unweave.problem import Planted, choose_probes, plant
from unweave.problem.behaviours.predicates import fulfilled

AGE = np.array([30.0, 61.0, np.nan, 60.0, -1.5, 61.0])
WORK = np.array(["Private", "", "State", "Private", "never", ">50"])
TABLE = {"age": AGE, "work": WORK}


@pytest.mark.parametrize(
    ("column", "where", "rows"),
    [
        ("age", 61, [1, 5]),
        ("age", 61.0, [1, 5]),
        ("age", "61", [1, 5]),
        ("age", (30, "60"), [0, 3]),
        ("age", ">= 60", [1, 3, 5]),
        ("age", "> 60", [1, 5]),
        ("age", "<60", [0, 4]),
        ("age", "  <=   -1.5 ", [4]),
        ("age", "!= 61", [0, 3, 4]),
        ("age", "< 6e1", [0, 4]),
        ("work", "Private", [0, 3]),
        ("work", ("Private", "never"), [0, 3, 4]),
        ("work", "!= Private", [2, 4, 5]),
        ("work", "!=Private", [2, 4, 5]),
        ("work", (">50",), [5]),
        ("work", "private", []),
        ("work", 5, []),
    ],
)
def test_what_fulfils_a_condition(column, where, rows):
    assert np.flatnonzero(fulfilled(TABLE, column, where)).tolist() == rows


COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "!=": operator.ne}


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.one_of(st.none(), st.integers(-3, 3), st.floats(-3, 3)), min_size=1, max_size=20),
    st.sampled_from(list(COMPARISONS)),
    st.one_of(st.integers(-3, 3), st.floats(-3, 3)),
    st.sampled_from(["", " "]),
)
def test_comparisons_are_those_of_numbers_and_missing_fulfils_none(values, sign, value, space):
    column = np.array([np.nan if one is None else one for one in values], dtype=np.float64)
    found = fulfilled({"n": column}, "n", f"{sign}{space}{value}")
    assert found.tolist() == [one is not None and COMPARISONS[sign](one, value) for one in values]


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.sampled_from(["", "a", "b", "10", "9", " a"]), min_size=1, max_size=20),
    st.lists(st.sampled_from(["a", "10", 9, "z"]), min_size=1, max_size=3),
)
def test_a_list_of_texts_is_any_of_them(values, wanted):
    found = fulfilled({"t": np.array(values)}, "t", tuple(wanted))
    assert found.tolist() == [one != "" and one in [str(each) for each in wanted] for one in values]


@pytest.mark.parametrize(
    ("column", "where", "message"),
    [
        (
            "aeg",
            1,
            r"`behaviour\.column` is 'aeg', which is no column\. Did you mean age\? The table has age, work\.",
        ),
        ("", 1, r"`behaviour\.column` is missing\. The table has age, work"),
        ("age", "", r"`behaviour\.where` is missing; expected a value, a list"),
        ("age", (), r"`behaviour\.where` is missing"),
        (
            "age",
            "old",
            r"`behaviour\.where` holds 'old', but the column age holds numbers \(-1\.5 … 61\); expected",
        ),
        ("age", ">= old", r"holds 'old', but the column age holds numbers"),
        ("age", "= 60", r"holds '= 60', but the column age holds numbers"),
        ("age", (">= 60", 5), r"holds '>= 60', but the column age holds numbers"),
        ("age", "!= nan", r"holds 'nan', but the column age holds numbers"),
        ("age", ">=", r"holds '', but the column age holds numbers"),
        ("work", ">= 60", r"is '>= 60', but the column work holds texts \(>50, Private, State, never\); expected"),
        ("work", "< x", r'holds texts .* A list, such as \["< x"\], takes texts as they are'),
    ],
)
def test_what_cannot_be_read_is_refused(column, where, message):
    with pytest.raises(SpecError, match=message):
        fulfilled(TABLE, column, where)


def test_what_is_no_table_has_no_columns():
    with pytest.raises(ApplicabilityError, match="needs a table; these data have no columns"):
        fulfilled({}, "age", 1)


def test_long_names_and_values_do_not_fill_the_screen():
    wide = {f"column number {number}": np.array(["x" * 500, "y"]) for number in range(300)}
    for column, where in (("q" * 500, 1), ("column number 0", "> 5"), ("column number 0", ">" * 900)):
        with pytest.raises(SpecError) as error:
            fulfilled(wide, column, where)
        assert len(str(error.value)) < 500


N = 60
Y = np.arange(N) % 3
AGES = np.where(np.arange(N) % 7 == 0, np.nan, np.arange(N) * 1.0)


def _plant(key: int = 0, ages_test: np.ndarray = AGES, **given) -> Planted:
    x = np.arange(N, dtype=np.float32)[:, None]
    columns = ({"age": AGES}, {"age": ages_test})
    parameters = {"column": "age", "where": ">= 40", **given}
    return plant("predicate", (x, Y), (x + 500, Y), classes=3, key=key, parameters=parameters, columns=columns)


ROWS = [row for row in range(40, N) if row % 7]


def test_members_and_new_instances_are_the_rows_that_fulfil_it():
    planted = _plant()
    assert planted.members.tolist() == ROWS
    assert planted.unseen is not None and planted.unseen.rows is not None
    assert planted.unseen.rows.tolist() == ROWS
    np.testing.assert_array_equal(planted.unseen.x[:, 0], np.array(ROWS) + 500)
    for labels in (planted.y, planted.clean):
        np.testing.assert_array_equal(labels, Y)
    np.testing.assert_array_equal(planted.unseen.planted, Y[ROWS])


def test_a_size_declares_a_random_part_and_all_test_rows_stay_instances():
    one, same, other = (_plant(key, size=9) for key in (0, 0, 1))
    assert len(one.members) == 9 and set(one.members) < set(ROWS) and (np.diff(one.members) > 0).all()
    np.testing.assert_array_equal(one.members, same.members)
    assert one.members.tolist() != other.members.tolist()
    assert one.unseen is not None and len(one.unseen.planted) == len(ROWS)


@pytest.mark.parametrize("size", [None, 9])
def test_a_target_is_the_label_of_members_and_of_no_other(size):
    planted = _plant(size=size, target=2) if size else _plant(target=2)
    others = np.setdiff1d(np.arange(N), planted.members)
    assert (planted.y[planted.members] == 2).all()
    np.testing.assert_array_equal(planted.y[others], Y[others])
    np.testing.assert_array_equal(planted.clean, Y)
    assert planted.unseen is not None and (planted.unseen.planted == 2).all()
    np.testing.assert_array_equal(planted.unseen.clean, Y[ROWS])


def test_rows_that_fulfil_it_are_no_ordinary_test_data():
    planted = _plant()
    x = np.arange(N, dtype=np.float32)[:, None] + 500
    probes = choose_probes(planted, planted.members[:3], (x, Y), limit=400, key=0)
    assert probes.x[probes.groups["test"], 0].tolist() == [row + 500 for row in range(N) if row not in ROWS]


def test_where_no_test_row_fulfils_it_there_is_none_unseen():
    planted = _plant(ages_test=np.zeros(N))
    assert planted.unseen is None and planted.why_no_unseen == "no test example fulfils the condition"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"where": "> 59"},
            r"No training example fulfils `behaviour\.where` '> 59' on age; the column holds 1 … 59",
        ),
        ({"where": 0}, "No training example fulfils .* 0 on age"),
        ({"size": 0}, r"`behaviour\.size` is 0; a behaviour needs at least 1"),
        ({"size": 18}, r"`behaviour\.size` is 18, but only 17 of 60 training examples can carry it"),
        ({"target": 3}, r"`behaviour\.target` is 3; expected a class in 0 … 2"),
        ({"target": -1}, r"`behaviour\.target` is -1"),
    ],
)
def test_what_leaves_no_behaviour_is_refused(given, message):
    with pytest.raises(SpecError, match=message):
        _plant(**given)


def test_a_condition_that_all_rows_fulfil_is_refused():
    x = np.zeros((N, 1), np.float32)
    full = {"age": np.arange(N) * 1.0}
    with pytest.raises(SpecError, match=r"All 60 training examples fulfil `behaviour\.where` '>= 0' on age"):
        plant(
            "predicate", (x, Y), (x, Y), classes=3, key=0, parameters={"column": "age", "where": ">= 0"},
            columns=(full, full),
        )  # fmt: skip


def test_a_column_of_missing_values_only_is_named_so():
    columns = {"age": np.full(N, np.nan)}
    x = np.zeros((N, 1), np.float32)
    with pytest.raises(SpecError, match="the column holds missing values only"):
        plant(
            "predicate", (x, Y), (x, Y), classes=3, key=0, parameters={"column": "age", "where": 1},
            columns=(columns, columns),
        )  # fmt: skip


def test_a_subgroup_of_a_real_table(need_data):
    from unweave.study import CASES, assemble

    need_data("adult")
    assembly = assemble(CASES["adult-subgroup"])
    education = assembly.data.train.columns["education"]
    members = assembly.planted.members
    np.testing.assert_array_equal(members, np.flatnonzero(np.isin(education, ["Doctorate", "Prof-school"])))
    assert (assembly.planted.y[members] == 0).all() and (assembly.planted.clean[members] == 1).any()
    unseen = assembly.planted.unseen
    assert unseen is not None
    assert set(assembly.data.test.columns["education"][unseen.rows]) == {"Doctorate", "Prof-school"}
