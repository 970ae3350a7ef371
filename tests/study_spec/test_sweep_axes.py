"""The grid of a sweep, and what is no grid: one message, before anything is trained."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave import BehaviourChoice, Case, Estimate, ForgetChoice, NotMeasured, UserError
from unweave._errors import SpecError, UnknownNameError
from unweave.records import SweepPoint
from unweave.study import read_spec
from unweave.study.plugins import methods_of
from unweave.study.spec import MethodChoice, Spec
from unweave.study.sweep_axes import PRESET_METHODS, PRESETS, Axes, grid, preset_cases, read_axes
from unweave.study.sweep_views import crossing, smallest_discovery


def test_the_grid_is_the_product_of_the_axes():
    axes = read_axes(
        {
            "behaviour": ["mislabel", {"kind": "confusion", "classes": [1, 7]}],
            "discovery": [0.1, 1],
            "selection": ["random", "easiest"],
            "seeds": 3,
            "models": 5,
        }
    )
    places = grid([Case(name="a"), Case(name="b", seed=7, margin=0.2)], axes)
    assert len(places) == 2 * 2 * 2 * 2 * 3
    assert len({place.case.name for place in places}) == len(places)
    last = places[-1]
    assert (last.base, last.behaviour, last.discovery, last.selection, last.seed) == (
        "b",
        "confusion",
        1.0,
        "easiest",
        9,
    )
    assert last.case.behaviour.classes == (1, 7)
    assert last.case.references.models == 5
    assert last.case.margin == 0.2


def test_cells_that_are_the_same_stand_once():
    case = Case(name="a")
    assert len(grid([case, Case(name="b")], Axes(discovery=(0.3,)))) == 1


def test_a_behaviour_keeps_what_the_case_says_of_it():
    case = Case(name="a", behaviour=BehaviourChoice("confusion", size=60, classes=(3, 5)))
    axes = read_axes({"behaviour": ["confusion", "mislabel", "class"], "discovery": [0.5]})
    own = [place.case.behaviour for place in grid([case], axes)]
    assert own[0] == case.behaviour
    assert own[1] == BehaviourChoice("mislabel", size=60)
    assert own[2] == BehaviourChoice("class")


def test_two_of_one_kind_are_told_apart():
    axes = read_axes({"behaviour": [{"kind": "trigger", "patch": 2}, {"kind": "trigger", "patch": 4}]})
    assert {place.behaviour for place in grid([Case()], axes)} == {"trigger(patch=2)", "trigger(patch=4)"}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"discovery": [0]}, r"`sweep.discovery` holds 0; expected shares"),
        ({"discovery": [1.5]}, "holds 1.5"),
        ({"discovery": []}, "is empty"),
        ({"discovery": [0.1, 0.1]}, "only once"),
        ({"discovery": [True]}, "holds True"),
        ({"models": 2}, "from 3 to 10,000"),
        ({"seeds": 0}, "from 1 to 1,000"),
        ({"target": 1.0}, "expected a residual"),
        ({"behaviour": [3]}, "expected a kind"),
        ({"behaviour": [{"kind": "trigger", "sise": 3}]}, "behaviour.sise"),
        ([1], "expected a table"),
    ],
)
def test_values_that_are_none_are_refused(table, said):
    with pytest.raises(SpecError, match=said):
        read_axes(table)


@pytest.mark.parametrize(
    ("table", "near"),
    [
        ({"behaviour": "mislable"}, "mislabel"),
        ({"selection": "randon"}, "random"),
        ({"discovry": [0.1]}, "discovery"),
        ({"behaviour": "unknown"}, "Known: class"),
    ],
)
def test_unknown_names_offer_near_ones(table, near):
    with pytest.raises(UnknownNameError, match=near):
        read_axes(table)


@pytest.mark.parametrize("forget", [ForgetChoice(ids=(1, 2)), ForgetChoice(count=5), ForgetChoice(outside=True)])
def test_a_case_that_names_s_itself_has_no_discovery_to_sweep(forget):
    with pytest.raises(SpecError, match="The case a "):
        grid([Case(name="a", forget=forget)], Axes())


def test_a_grid_beyond_all_use_is_refused():
    with pytest.raises(SpecError, match="cells; expected at most"):
        grid([Case()], Axes(discovery=tuple(np.linspace(0.01, 1, 50)), seeds=1000))


def test_presets():
    assert preset_cases("discovery", quick=False)[0] == "fashion-mislabel"
    with pytest.raises(UnknownNameError, match="discovery"):
        preset_cases("discovry", quick=True)
    with pytest.raises(UnknownNameError, match="mislabel"):
        preset_cases("discovery", quick=True, behaviours=["class"])


def test_a_preset_has_methods_of_its_own_where_none_are_named():
    assert {name for name, _ in PRESETS} == set(PRESET_METHODS)
    own = Spec((Case(),), instead=PRESET_METHODS["discovery"])
    named = [one.id for one in methods_of(own, ())]
    assert named == list(PRESET_METHODS["discovery"]) and {"retrain", "potion", "expand(retrain)"} <= set(named)
    assert [one.id for one in methods_of(replace(own, methods=(MethodChoice("ssd", {}),)), ())] == ["ssd"]


def test_a_spec_file_has_its_axes_and_settings_change_them(tmp_path):
    file = tmp_path / "case.toml"
    file.write_text('[sweep]\ndiscovery = [0.2]\nbehaviour = ["mislabel"]\n')
    axes = read_axes(read_spec(file, settings=["sweep.seeds=2"]).sweep)
    assert (axes.discovery, axes.seeds, axes.behaviours) == ((0.2,), 2, ({"kind": "mislabel"},))
    assert read_axes(axes.to_tree()) == axes


def point(discovery, residual):
    why = NotMeasured("not of interest")
    return SweepPoint("m", "trigger", discovery, "random", 1, why, why, residual, why, why, why, why)


def test_the_smallest_sufficient_discovery_lies_between_points():
    curve = [point(0.5, Estimate(0.3, 0.2, 0.4, 8)), point(0.1, Estimate(0.9, 0.8, None, 8))]
    curve.append(point(0.9, Estimate(0.1, 0.0, 0.15, 8)))
    found = smallest_discovery(curve, 0.2)
    assert (found.value, found.low) == pytest.approx((0.7, 0.5))
    assert found.high == pytest.approx(0.5 + 0.4 * 0.2 / 0.25)
    assert "stays above 0.05" in smallest_discovery(curve, 0.05).not_measured
    assert smallest_discovery([point(0.1, NotMeasured("no power"))], 0.2) == NotMeasured("no power")


@given(st.lists(st.floats(0, 2), min_size=1, max_size=6), st.floats(0.01, 1.9))
def test_a_crossing_is_the_first_place_of_the_interpolated_curve(values, target):
    grid_ = [float(one) for one in range(len(values))]
    found = crossing(grid_, values, target)
    fine = np.linspace(0, len(values) - 1, 601)
    below = fine[np.interp(fine, grid_, values) <= target]
    if found is None:
        assert len(below) == 0
    else:
        assert np.interp(found, grid_, values) <= target + 1e-9
        assert len(below) == 0 or found <= below[0] + 1e-9
    assert issubclass(SpecError, UserError)
