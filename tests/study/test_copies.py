"""Copies in a diagnosis: those of S that stay are told, and groups left out together are known by heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unweave import Case, LearnerChoice, ReferenceChoice, UserError
from unweave.problem import BehaviourChoice, DataChoice, ForgetChoice, ProbeChoice
from unweave.records import from_json, to_json
from unweave.records.diagnosis import Diagnosis
from unweave.report.diagnosis import copies_words, diagnosis_page, memorized_rows
from unweave.study import assemble
from unweave.study import copies as room
from unweave.study.copies import clusters_of, copies_of_forget, read_groups, together_of
from unweave.study.diagnose import diagnose

COPIED = Case(
    name="copies",
    data=DataChoice(limit=400),
    behaviour=BehaviourChoice("duplicates", size=40, copies=5),
    forget=ForgetChoice(count=20),
    learner=LearnerChoice(epochs=30),
    references=ReferenceChoice(models=3),
    probes=ProbeChoice(limit=40),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def found(store):
    return diagnose(COPIED, models=40, store=store, workers=1)


@pytest.fixture(scope="module")
def together(store):
    return diagnose(COPIED, models=40, together="copies", store=store, workers=1)


def test_copies_that_stay_are_members_that_were_not_discovered(found):
    assembly, of = assemble(COPIED), found.copies
    left = {str(assembly.setting.ids[row]) for row in np.setdiff1d(assembly.planted.members, assembly.forget)}
    forget = {str(assembly.setting.ids[row]) for row in assembly.forget}
    assert of.exact == 0 and of.near >= 15 and of.other_label == 0 and of.within >= 15
    assert {pair.left for pair in of.pairs} <= left and {pair.forget for pair in of.pairs} <= forget
    assert all(pair.same_label for pair in of.pairs)
    distances = [pair.distance for pair in of.pairs]
    assert distances == sorted(distances) and 0.1 < distances[0]
    first, second = copies_words(found)
    assert first.startswith(f"{of.near} near copies of examples of S stay in D∖S (first: {of.pairs[0].left} like ")
    assert "underestimated" in second and "--together copies" in second


def test_together_memorization_is_that_of_the_group(found, together):
    """One by one the others of a group teach its wrong label; without all of them nobody does."""
    assert found.memorized.mean.value < 0.5 and found.memorized.together == 0
    assert together.memorized.mean.low > 0.8 and together.memorized.together >= 8
    assert not any("underestimated" in one for one in copies_words(together))
    assert "groups in or out as a whole" in memorized_rows(together)[0][2]
    assert together.copies == found.copies
    # A(D), A(D∖S) and A(D∖B) are the same models, and were stored.
    assert together.cost["models_trained"] == 40 and together.groups == found.groups


def test_it_is_written_down(together):
    assert from_json(Diagnosis, to_json(together)) == together
    page = diagnosis_page(together)
    assert "Copies of S that stay" in page and f"<td>{together.copies.pairs[0].forget}</td>" in page


def test_where_there_are_no_copies_nothing_is_said_and_nothing_trained_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "NEAR", 0.3)  # two of these digits are alike
    case = replace(COPIED, behaviour=BehaviourChoice("mislabel", size=40), learner=LearnerChoice(epochs=1))
    alone = diagnose(case, models=20, store=tmp_path, workers=1)
    assert alone.copies.near == alone.copies.exact == 0 and copies_words(alone) == []
    again = diagnose(case, models=20, together="copies", store=tmp_path, workers=1)
    assert again.cost["models_trained"] == 0 and again.memorized == alone.memorized
    assert copies_words(replace(alone, copies=None)) == []  # a record of before


def test_a_file_says_who_is_left_out_together(tmp_path, store, together):
    assembly = assemble(COPIED)
    sets = together_of(assembly, "copies")
    ids = assembly.setting.ids
    lines = [f"{ids[row]},group {number}" for number, rows in enumerate(sets) for row in rows]
    file = tmp_path / "groups.csv"
    file.write_text("\ufeffid,group\r\n" + "\r\n".join(reversed(lines)) + f"\r\n\r\n{ids[0]}, alone\r\n")
    if any(0 in rows for rows in sets):
        file.write_text("\n".join(lines))
    assert together_of(assembly, str(file)) == sorted(sets)
    again = diagnose(COPIED, models=40, together=file, store=store, workers=1)
    assert again.cost["models_trained"] == 0 and again.memorized == together.memorized


def test_ids_may_be_texts_with_commas(tmp_path):
    file = tmp_path / "groups.csv"
    file.write_text("Smith, John,a\nb,c\n007,a\n")
    assert read_groups(file, np.array(["b", "007", "Smith, John"])) == [[1, 2]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3\n", "line 1: '3'; expected id,group"),
        ("3,\n", "line 1: '3,'; expected id,group"),
        ("id,group\n", "names no example"),
        ("", "names no example"),
        ("x,a\n", "line 1: the id 'x' is no whole number"),
        ("3,a\n99,a\n", "1 of 2 ids of .* are not in the training data .first: 99"),
        ("3,a\n3,b\n", "id 3 appears 2×"),
    ],
)
def test_bad_files_are_refused_before_anything_is_trained(tmp_path, text, said):
    file = tmp_path / "groups.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=said):
        read_groups(file, np.arange(10))


def test_what_is_neither_copies_nor_a_file_is_refused(tmp_path):
    for wanted in ("copys", tmp_path):
        with pytest.raises(UserError, match="expected `copies`, or a file of lines id,group"):
            diagnose(COPIED, together=wanted, store=tmp_path / "store")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no text file"):
        diagnose(COPIED, together=tmp_path / "bytes", store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_numbers_of_groups_are_their_first_rows():
    assert clusters_of([[4, 2], [1, 3]], 6).tolist() == [0, 1, 2, 1, 2, 5]
    assert clusters_of([], 6) is None


def test_another_label_is_told():
    assembly = assemble(COPIED)
    x, y = assembly.setting.x.copy(), assembly.setting.y.copy()
    row, other = int(assembly.forget[0]), int(np.setdiff1d(np.arange(400), assembly.planted.members)[0])
    x[other], y[other] = x[row], (y[row] + 1) % 10
    found = copies_of_forget(assembly._replace(setting=assembly.setting._replace(x=x, y=y)))
    assert found.exact == found.other_label == 1
    assert found.pairs[0].distance == 0 and not found.pairs[0].same_label
    assert found.pairs[0].left == str(assembly.setting.ids[other])


def test_numbers_of_a_table_count_alike(tmp_path):
    """Income in dollars and age in years: without standardising, age would be nothing."""
    rng = np.random.default_rng(0)
    rows = [f"{i},{rng.integers(18, 80)},{rng.integers(10000, 200000)},{'ab'[i % 2]}" for i in range(300)]
    rows[7] = "7,40,50000,a"
    rows[8], rows[9] = "8,40,50010,b", "9,75,50001,b"
    (tmp_path / "people.csv").write_text("id,age,income,label\n" + "\n".join(rows) + "\n")
    case = Case(
        name="people",
        data=DataChoice("csv", path=str(tmp_path / "people.csv"), test=0.2, label="label", id_column="id"),
        behaviour=BehaviourChoice("unknown"),
        forget=ForgetChoice(ids=(7,)),
        learner=LearnerChoice("softmax", epochs=1),
        references=ReferenceChoice(models=3),
    )
    found = copies_of_forget(assemble(case))
    assert [pair.left for pair in found.pairs] == ["8"] and found.other_label == 1
