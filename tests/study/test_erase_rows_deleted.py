"""Rows that were deleted after a request: what a random split and a category make of that, and what is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.study.erasing import SCRUB, erase, save_model, tiny

from unweave._errors import SpecError, UserError
from unweave.data import load
from unweave.problem import DataChoice, ForgetChoice
from unweave.study.request import manifest_text

COUNT = 150
RARE = "p004"
COLUMNS = {"label": "label", "id_column": "key"}


def lines() -> dict[str, str]:
    """A line for each id: two numbers, a kind that p004 alone has, a part, a label."""
    rng = np.random.default_rng(3)
    x, found = rng.normal(size=(COUNT, 2)), {}
    for row, (a, b) in enumerate(x):
        name = f"p{row:03d}"
        kind, part = "rare" if name == RARE else "ab"[row % 2], "test" if row % 3 == 0 else "train"
        found[name] = f"{name},{a:.4f},{b:.4f},{kind},{part},{int(a + b > 0)}"
    return found


def write(folder: Path, gone: tuple[str, ...] = (), *, part: bool = True) -> str:
    kept = [line.split(",") for name, line in lines().items() if name not in gone]
    table = [["key", "a", "b", "kind", "part", "label"], *kept]
    text = "\n".join(",".join(one if part else [*one[:4], one[5]]) for one in table)
    (folder / "d.csv").write_text(text + "\n")
    return str(folder / "d.csv")


def asking(folder: Path, ids: tuple[str, ...], **options):
    data = DataChoice("csv", path=str(folder / "d.csv"), **{**COLUMNS, **options})
    return tiny(folder, data=data, forget=ForgetChoice(ids=ids))


def parts(folder: Path, **options) -> tuple[set[str], set[str]]:
    data = load("csv", path=str(folder / "d.csv"), **{**COLUMNS, **options})
    return set(data.train.ids.tolist()), set(data.test.ids.tolist())


@pytest.mark.parametrize("options", [{"test": 0.3}, {"test": 45}, {"test": 0.3, "limit": 90}, {"limit": 70}])
def test_a_random_split_is_said_to_be_drawn_anew(tmp_path, options):
    held = {}
    if "test" not in options:
        own = write(tmp_path, tuple(f"p{row:03d}" for row in range(110)), part=False)
        Path(own).rename(tmp_path / "held.csv")
        held = {"test": str(tmp_path / "held.csv")}
    later = tuple(f"p{row:03d}" for row in range(110, COUNT)) if held else ()
    write(tmp_path, later, part=False)
    given = {**options, **held}
    train, _ = parts(tmp_path, **given)
    one, two, three = sorted(train - {RARE})[:3]
    case = asking(tmp_path, (one, two), **given)
    save_model(case)
    found = erase(case, tmp_path / "out")
    caution = next(line for line in found.still_to_delete if "the number of rows" in line)
    drawn = " and ".join(f"`data.{key}` = {value}" for key, value in options.items())
    assert caution.startswith(f"before rows are deleted from the file: {drawn} draws by the number of rows")
    write(tmp_path, (*later, one, two), part=False)
    now, _ = parts(tmp_path, **given)
    old = train - {one, two}
    asked = sorted(now & old)[0]
    with pytest.raises(UserError) as refused:
        erase(asking(tmp_path, (asked,), **given), tmp_path / "out")
    said = str(refused.value)
    assert f"the split is another one. {drawn} draws by the number of rows, and 2 rows that earlier" in said
    assert f"{len(old - now)} of {len(old)} ids left D, and {len(now - old)} others entered it." in said
    assert "give them ids" not in said and "numbered anew" not in said and f"in {tmp_path / 'out'}" in said
    write(tmp_path, later, part=False)  # what the message says: the rows are back, and stay out of D
    second = erase(asking(tmp_path, (three,), **given), tmp_path / "out")
    assert second.number == 2 and sorted(second.case["data"]["without"]) == [one, two]


def test_a_split_that_was_fixed_first_holds_once_rows_are_gone(tmp_path):
    """What the message advises: the ids of D from the manifest become a column of the table."""
    write(tmp_path, part=False)
    train, _ = parts(tmp_path, test=0.3)
    one, two = sorted(train - {RARE})[:2]
    case = asking(tmp_path, (one,), test=0.3)
    save_model(case)
    erase(case, tmp_path / "out")
    whole = load("csv", path=str(tmp_path / "d.csv"), test=0.3, **COLUMNS)
    named = {line.partition(",")[0] for line in manifest_text(whole).splitlines()[1:]}
    told = [
        f"{line},{'part' if not row else 'train' if line.partition(',')[0] in named else 'test'}"
        for row, line in enumerate((tmp_path / "d.csv").read_text().splitlines())
        if not line.startswith(one)
    ]
    (tmp_path / "d.csv").write_text("\n".join(told) + "\n")
    found = erase(asking(tmp_path, (two,), split="part"), tmp_path / "out")
    assert found.number == 2 and not any("the number of rows" in line for line in found.still_to_delete)


def test_a_row_more_than_requests_took_out_is_not_blamed_on_the_split_alone(tmp_path):
    write(tmp_path, part=False)
    one, two, *others = sorted(parts(tmp_path, test=0.3)[0] - {RARE})
    case = asking(tmp_path, (one,), test=0.3)
    save_model(case)
    erase(case, tmp_path / "out")
    write(tmp_path, (one, two), part=False)
    now = parts(tmp_path, test=0.3)[0]
    with pytest.raises(
        UserError, match="added, deleted, changed, or numbered anew, or the split is another one: `d"
    ):
        erase(asking(tmp_path, (sorted(now & set(others))[0],), test=0.3), tmp_path / "out")


def test_a_category_that_vanished_is_said_to_be_why_a_model_does_not_fit(tmp_path):
    write(tmp_path)
    case = asking(tmp_path, (RARE,), split="part")
    save_model(case)
    found = erase(case, tmp_path / "out")
    (caution,) = [line for line in found.still_to_delete if "what only S has" in line]
    assert "(columns kind)" in caution and "rare" not in str(found.still_to_delete)
    write(tmp_path, (RARE,))
    after = asking(tmp_path, ("p007",), split="part")
    with pytest.raises(UserError) as refused:
        erase(after, tmp_path / "out")
    said = str(refused.value)
    assert "The table has 4 features here" in said and "the architecture" not in said
    assert "1 row that an earlier request took out is no longer in the file (first: p004)" in said
    assert "a text that no training row has" in said and "begin in another --out" in said
    with pytest.raises(SpecError, match="They follow from the rows that are there: without the only one that had"):
        erase(after, tmp_path / "new")
    write(tmp_path)
    assert erase(after, tmp_path / "out").number == 2


def test_units_that_follow_from_all_rows_are_said_before_rows_are_deleted(tmp_path):
    """Rows that are deleted leave `retrain` alone; rows that stay leave every method."""
    write(tmp_path)
    case = asking(tmp_path, ("p007",), split="part")
    save_model(case)
    found = erase(case, tmp_path / "out")
    (caution,) = [line for line in found.still_to_delete if "in other units" in line]
    assert "before rows are deleted" in caution and "only `retrain`" in caution
    after = asking(tmp_path, ("p010",), split="part")
    write(tmp_path, ("p007",))
    with pytest.raises(UserError, match="in other units"):
        erase(after, tmp_path / "out", method=SCRUB)
    write(tmp_path)
    assert erase(after, tmp_path / "out", method=SCRUB).number == 2


def test_nothing_is_said_of_units_without_numbers(tmp_path):
    rows = [line.split(",") for line in lines().values()]
    text = "\n".join(",".join((one[0], *one[3:])) for one in [["key", "a", "b", "kind", "part", "label"], *rows])
    (tmp_path / "d.csv").write_text(text + "\n")
    case = asking(tmp_path, ("p007",), split="part")
    save_model(case)
    assert not any("units" in line for line in erase(case, tmp_path / "out").still_to_delete)


def test_a_model_of_another_width_is_not_blamed_on_the_table(tmp_path):
    write(tmp_path)
    case = asking(tmp_path, ("p007",), split="part")
    save_model(case)
    other = replace(case, learner=replace(case.learner, width=9))
    with pytest.raises(SpecError, match="have to be those of one model.$"):
        erase(other, tmp_path / "out")
