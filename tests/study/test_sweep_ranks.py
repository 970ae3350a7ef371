"""Which methods are told apart under each aim, and what then flips: fabricated outputs and cells, no training."""

from dataclasses import replace

import numpy as np
import pytest

from unweave import Case, Estimate, LearnerChoice, NotMeasured, ReferenceChoice
from unweave.problem import BehaviourChoice
from unweave.records import MethodPair, PairCounts, SweepCell
from unweave.references import Outputs
from unweave.study import MethodChoice, assemble
from unweave.study.rows import judge_case
from unweave.study.sweep_ranks import pairs_of, rankings

MODELS = 8
NO = NotMeasured("not of interest")
NOTES = {"params": {}, "gradient_ratio": 0.1, "seconds": 0.0, "peak_memory_bytes": 0, "cite": ""}
CASE = Case(
    name="fabricated",
    behaviour=BehaviourChoice("mislabel"),
    learner=LearnerChoice(epochs=1),
    references=ReferenceChoice(models=MODELS),
)
SHOWN = {"original": ("forget", "undiscovered"), "untrained": ("undiscovered",), "unlearned": ()}


@pytest.fixture(scope="module")
def assembly():
    return assemble(CASE)


def found_of(assembly, models=MODELS, **methods):
    """The pairs of methods that show the behaviour on some groups, each model with luck of its own."""
    probes, rng = assembly.probes, np.random.default_rng(0)

    def draw(shown):
        labels, n = probes.clean.copy(), len(probes.clean)
        for group in shown:
            labels[probes.groups[group]] = probes.trained[probes.groups[group]]
        z = rng.normal(0, 0.5, (models, n, 10)) + 0.5 * rng.normal(0, 1, (models, 1, 10))
        z[:, np.arange(n), labels] += 4
        return Outputs(z.astype(np.float32), NOTES)

    names = ("original", "untrained", "unlearned", "null_untrained", "null_unlearned")
    worlds = {name: draw(SHOWN[name.removeprefix("null_")]) for name in names}
    edited = {name: draw(shown) for name, shown in methods.items()}
    result = judge_case(assembly, worlds, [(MethodChoice(name, {}), one) for name, one in edited.items()])
    pairs = pairs_of(assembly, result, worlds | edited, tag="")
    return {(one.first, one.second): one for one in pairs}, result


def cell_of(pairs, seed=0, rows=()):
    place = ("name", "digits", "mislabel", 0.2, "random", seed)
    return SweepCell(*place, "", "ok", "", {}, "", True, (), NO, NO, rows=rows, pairs=tuple(pairs))


def test_who_is_nearer_to_one_ideal_and_further_from_the_other_flips(assembly):
    pairs, _ = found_of(assembly, like_s=("undiscovered",), like_b=(), nothing=("forget", "undiscovered"))
    one = pairs["like_s", "like_b"]
    assert one.untraining.high < 0 < one.unlearning.low
    assert one.halves_untraining == (-1, -1) and one.halves_unlearning == (1, 1)
    # To leave all as it was is further from both ideals than either.
    assert pairs["like_b", "nothing"].unlearning.high < 0 and pairs["like_s", "nothing"].untraining.high < 0
    found = rankings([cell_of(pairs.values(), seed) for seed in range(3)])
    assert found.counts.flipped >= 3 and found.floor.flipped == 0
    assert found.floor == PairCounts(2 * 2 * 9 // 2, found.floor.told_apart, 0)


def test_the_difference_is_that_of_the_energies_and_deletes_shared_models_once(assembly):
    pairs, result = found_of(assembly, a=("undiscovered",), b=())
    rows, geometry = {row.id: row for row in result.rows}, result.geometry
    ratio = rows["a"].residual_unlearning.value - rows["b"].residual_unlearning.value
    expected = ratio * geometry.energy_original_unlearned.value
    assert pairs["a", "b"].unlearning.value == pytest.approx(expected)
    assert pairs["a", "b"].unlearning.n == MODELS


def test_methods_that_are_equal_under_both_aims_are_not_told_apart(assembly):
    """Eight draws of one law: by their estimates alone half of all pairs stand the other way round."""
    pairs, result = found_of(assembly, **{f"m{number}": ("undiscovered",) for number in range(8)})
    rows = [row for row in result.rows if row.kind == "method"]
    both = [(row.residual_untraining.value, row.residual_unlearning.value) for row in rows]
    first, second = np.array(both).T
    i, j = np.triu_indices(8, 1)
    by_estimates = np.mean((first[i] - first[j]) * (second[i] - second[j]) < 0)
    found = rankings([cell_of(pairs.values())])
    assert by_estimates > 0.2 and found.counts.pairs == 28
    assert found.counts.told_apart <= 2 and found.counts.flipped <= 1
    assert found.floor.flipped <= 1


def test_halves_need_three_models_and_pairs_need_residuals():
    few = assemble(replace(CASE, references=ReferenceChoice(models=5)))
    pairs, result = found_of(few, models=5, a=("undiscovered",), b=())
    assert pairs["a", "b"].halves_untraining is None and isinstance(pairs["a", "b"].untraining, Estimate)
    rows = tuple(replace(row, residual_untraining=NO) if row.id == "a" else row for row in result.rows)
    assert rankings([cell_of(pairs.values())]).floor is None
    outputs = {row.id: Outputs(np.zeros((5, 1, 10), np.float32), NOTES) for row in rows if row.kind == "method"}
    assert pairs_of(few, replace(result, rows=rows), outputs, tag="") == ()  # no worlds in the store


def pair(untraining, unlearning):
    """Signs of both differences, 0 where not told apart, None where not measured."""
    found = [
        NO if sign is None else Estimate(float(sign), sign - 0.5, sign + 0.5, 8)
        for sign in (untraining, unlearning)
    ]
    return MethodPair("a", "b", *found, None, None)


def test_only_pairs_told_apart_twice_count_and_seeds_are_clusters():
    told = [pair(1, 1), pair(1, -1), pair(-1, 1), pair(0, 1), pair(1, 0), pair(0, 0), pair(None, 1)]
    other = [pair(1, 1), pair(-1, -1), pair(1, -1)]
    # Two cells of a seed are as its pairs together.
    found = rankings([cell_of(told, 0), cell_of(told, 0), cell_of(other, 1), cell_of([pair(1, 1)], 2)])
    assert found.counts == PairCounts(2 * 6 + 3 + 1, 2 * 3 + 3 + 1, 2 * 2 + 1) and found.cells == 4
    assert found.flips.value == 5 / 10 and found.flips.n == 3
    assert found.tau.value == (5 - 5) / 16
    few = rankings([cell_of(told, 0), cell_of(other, 1)])
    assert "2 seeds are too few" in few.flips.not_measured and few.counts.flipped == 3
    assert "no pair" in rankings([cell_of([pair(0, 1)], seed) for seed in range(3)]).flips.not_measured
