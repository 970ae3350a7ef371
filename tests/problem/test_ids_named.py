"""Ids that are none of D: in the test part, a line of names, another sign between columns."""

import numpy as np
import pytest

from unweave._errors import SpecError
from unweave.problem import rows_of_ids

IDS, TEST = np.array(["p1", "p2", "p7", "p8"]), ["p3", "p6"]
SPACED = np.array(["far circle 3", "star", "circle 7"])


def refusal(wanted, ids=IDS, test=TEST):
    with pytest.raises(SpecError) as error:
        rows_of_ids(ids, wanted, name="forget.ids", test=test)
    return str(error.value)


def test_ids_of_the_test_part_are_said_to_be_there():
    said = refusal(["p7", "p3", "p6"])
    assert said == (
        "2 of 3 forget ids are in the test part (first: p3), which no model is trained on: there is nothing to "
        "forget. Leave them out (--allow-unknown drops them)."
    )
    both = refusal(["p7", "p3", "px9"])
    assert both.startswith("1 of 3 forget ids are in the test part (first: p3)")
    assert "1 of 3 forget ids are not in the training data (first: px9). Removing data that was never" in both
    assert refusal([3, 9], np.array([1, 2]), [3]).count("1 of 2 forget ids are") == 2


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (["kunden_id", "p7", "p8"], IDS),
        (["ID", "p9"], IDS),
        (["Kunde", "p7"], IDS),
        (["customer-key"], IDS),
        (["kunden_id", 1, 2], np.array([1, 2, 3])),
        (["id;name", "p7", "p8"], IDS),
    ],
)
def test_a_line_of_names_is_taken_for_one(wanted, ids):
    said = refusal(wanted, ids)
    assert f"{wanted[0]!r} is the first and looks like a line of names: leave it out, or call the column" in said
    assert "--allow-unknown" not in said


@pytest.mark.parametrize(
    ("wanted", "ids", "sign"),
    [
        (["id;name", "p7;Anna", "p8;Bert"], IDS, "a semicolon"),
        (["p7;p8"], IDS, "a semicolon"),
        (["p7\tAnna"], IDS, "a tab"),
        (["p7 p8 p1"], IDS, "a space"),
        (["1|x", "2|y"], np.array([1, 2, 3]), "a bar"),
    ],
)
def test_another_sign_between_columns_is_named(wanted, ids, sign):
    said = refusal(wanted, ids)
    assert f"Parts of such lines are ids of these data: {sign} seems to stand" in said
    assert "--allow-unknown" not in said


@pytest.mark.parametrize("wanted", [["p9", "p7"], ["p7", "kunden_id"], ["p7", "star"], ["hidden", "Noah"]])
def test_an_id_that_is_merely_unknown_is_no_line_of_names(wanted):
    assert "--allow-unknown (`forget.allow_unknown`) drops these ids" in refusal(wanted)


def test_ids_with_spaces_are_ids():
    assert rows_of_ids(SPACED, ["circle 7", "star"], name="forget.ids").tolist() == [1, 2]
    assert "seems to stand" not in refusal(["circle 9"], SPACED)
