"""What every registered behaviour declares about itself holds for what it plants."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from unweave.problem import BEHAVIOURS, SELECTIONS, Planted, plant, shows
from unweave.study import catalogue

N, CLASSES = 240, 6
DOCS = Path(__file__).parents[2] / "docs"
RNG = np.random.default_rng(8)
Y = np.arange(N) % CLASSES
X = RNG.random((N, 6, 6), dtype=np.float32)
X_TEST = RNG.random((N, 6, 6), dtype=np.float32)
AGES = {"age": np.arange(N) * 1.0}
# What a kind cannot do without, and a second way to use it where its facts depend on the parameters.
GIVEN: dict[str, list[dict]] = {
    "ids": [{"ids": (3, 5, 8)}],
    "confusion": [{"size": 20}],
    "systematic": [{"size": 20}],
    "predicate": [{"column": "age", "where": "< 60"}, {"column": "age", "where": "< 60", "target": 1}],
    "trigger": [{"size": 20}, {"size": 20, "shape": "frame", "place": "upper left"}],
}
ALL = [(name, given) for name in BEHAVIOURS.names() for given in GIVEN.get(name, [{}])]


def _plant(kind: str, given: dict) -> Planted:
    return plant(kind, (X, Y), (X_TEST, Y), classes=CLASSES, key=4, parameters=given, columns=(AGES, AGES))


@pytest.mark.parametrize(("kind", "given"), ALL, ids=str)
class TestFacts:
    def test_unseen_instances_are_there_where_they_are_declared(self, kind, given):
        planted, declared = _plant(kind, given), BEHAVIOURS.get(kind).declared
        assert (planted.unseen is None) == (declared.unseen == "")
        assert (planted.unseen is None) == bool(planted.why_no_unseen)

    def test_members_are_known_but_for_the_kind_that_says_they_are_not(self, kind, given):
        planted = _plant(kind, given)
        assert planted.known == (len(planted.members) > 0)
        assert planted.known != BEHAVIOURS.get(kind).declared.members.startswith("not known")

    def test_the_planted_label_is_another_than_the_clean_one_where_it_is_declared_so(self, kind, given):
        planted, heals = _plant(kind, given), BEHAVIOURS.get(kind).declared.heals
        others = planted.y != planted.clean
        assert not others[np.setdiff1d(np.arange(N), planted.members)].any()
        if heals is None:
            heals = "target" in given
            assert others[planted.members].any() == heals
        else:
            assert (others[planted.members] == heals).all()
        if planted.unseen is not None:
            assert (planted.unseen.planted != planted.unseen.clean).any() == heals
        if not heals:
            np.testing.assert_array_equal(planted.y, Y)

    def test_the_clean_label_is_that_of_the_data_or_as_declared(self, kind, given):
        planted, declared = _plant(kind, given), BEHAVIOURS.get(kind).declared
        if declared.clean != "that of the original":
            np.testing.assert_array_equal(planted.clean, Y)
        if declared.clean == "the planted one":
            np.testing.assert_array_equal(planted.clean, planted.y)

    def test_a_target_is_the_label_that_is_planted(self, kind, given):
        planted, declared = _plant(kind, given), BEHAVIOURS.get(kind).declared
        if declared.label == "`target`" or "target" in given:
            target = given.get("target", BEHAVIOURS.get(kind).defaults()["target"])
            label = planted.y[planted.members]
            assert (label == (label[0] if target is None else target)).all()
            assert planted.unseen is not None and shows(planted.unseen.planted, label[:1]).all()

    def test_the_features_change_only_where_they_are_painted_or_copied(self, kind, given):
        planted, declared = _plant(kind, given), BEHAVIOURS.get(kind).declared
        changed = (planted.x != X).any()
        assert changed == ("mark" in declared.members or "copies" in declared.members)
        if planted.unseen is not None and planted.unseen.rows is not None:
            np.testing.assert_array_equal(planted.unseen.x, X_TEST[planted.unseen.rows])
            assert "test" in declared.unseen


@pytest.mark.parametrize("kind", BEHAVIOURS.names())
class TestWords:
    def test_every_parameter_is_explained_by_the_behaviour(self, kind):
        text = BEHAVIOURS.get(kind).factory.__doc__ or ""
        for name in BEHAVIOURS.get(kind).defaults():
            assert name in text or name == "size", name  # the page says of all kinds what a size is

    def test_what_it_declares_is_listed_and_stands_in_the_docs(self, kind):
        declared = BEHAVIOURS.get(kind).declared
        entry = next(one for one in catalogue("behaviours") if one["name"] == kind)
        page = (DOCS / "behaviours.md").read_text(encoding="utf-8")
        for text in (declared.members, declared.label, declared.clean, declared.shows, declared.unseen or "none"):
            assert text in entry.values() and text in page
        assert declared.regularity in ("high", "medium", "low", "any") and declared.cite
        assert f"### {kind}\n" in page


def test_every_selection_stands_in_the_docs():
    page = (DOCS / "behaviours.md").read_text(encoding="utf-8")
    for name, selection in SELECTIONS.items():
        said = " ".join(selection.__doc__.split()).replace("|", "\\|")
        assert f"| `{name}` | {said} |\n" in page


def test_a_table_of_the_docs_has_as_many_cells_in_every_line():
    page = (DOCS / "behaviours.md").read_text(encoding="utf-8").splitlines()
    widths = [len(re.split(r"(?<!\\)\|", line)) for line in page if line.startswith("| [")]
    assert len(widths) == len(BEHAVIOURS.names()) and set(widths) == {10}


def test_the_page_is_built_from_the_code():
    spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGES["behaviours.md"]() == (DOCS / "behaviours.md").read_text(encoding="utf-8")
