"""Methods made of methods: one after the other by name, and another one for each part of S."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unweave._errors import SpecError, UnknownNameError
from unweave._random import derive
from unweave.methods import (
    METHODS,
    Examples,
    Method,
    chain,
    cost_of,
    random_scores,
    run,
    run_assigned,
    thirds,
    within,
)
from unweave.methods.budgets import Sizes

# ---- a then b ----


def test_a_name_of_several_is_the_stages_in_a_row(toy, contract):
    entry = METHODS.get("gradient_ascent then finetune")
    both = toy.edit(lambda: entry.build(**{"gradient_ascent.lr": 0.05, "finetune.epochs": 1.0}))
    first = toy.edit(lambda: METHODS.get("gradient_ascent").build(lr=0.05))
    second = toy._replace(originals=first.state, keys=[derive(key, "stage", 1) for key in toy.keys])
    then = second.edit(lambda: METHODS.get("finetune").build(epochs=1.0))
    assert contract.same_bits(both.state, then.state)
    assert both.gradient_ratio == pytest.approx(first.gradient_ratio + then.gradient_ratio)
    assert both.steps == first.steps + then.steps


def test_order_matters(toy, contract):
    one, other = ("gradient_ascent then finetune", "finetune then gradient_ascent")
    assert contract.gap(toy.edit(METHODS.get(one).build).state, toy.edit(METHODS.get(other).build).state) > 1e-4


def test_what_it_declares_is_of_all_its_parts():
    declared = METHODS.get("ssd then gradient_ascent").declared
    parts = [METHODS.get(name).declared for name in ("ssd", "gradient_ascent")]
    assert declared.family == "meta" and declared.authors_aim is None
    assert declared.needs == parts[0].needs | parts[1].needs
    assert all(part.cite in declared.cite for part in parts)
    assert set(METHODS.get("ssd then gradient_ascent").defaults()) == {
        "ssd.alpha", "ssd.strength", "gradient_ascent.epochs", "gradient_ascent.lr",
    }  # fmt: skip


def test_three_parts_and_one_that_stands_twice(toy):
    entry = METHODS.get("finetune  then ssd then finetune")
    assert entry.name == "finetune then ssd then finetune"
    assert {"finetune.lr", "finetune#2.lr", "ssd.alpha"} <= set(entry.defaults())
    built = entry.build(**{"finetune#2.lr": 0.7, "finetune.lr": 0.2})
    assert [stage.lr for stage in built.stages()] == [0.2, 0.0, 0.7]
    assert cost_of(built, toy.learner.recipe, Sizes(10, 30)) == pytest.approx(
        toy.edit(lambda: built).gradient_ratio
    )


def test_stages_of_a_part_stay_in_their_place():
    inner = Method(None, 0.0, 0.1, then=Method(None, 0.0, 0.2))
    assert [one.lr for one in chain(inner, Method(None, 0.0, 0.3), inner).stages()] == [0.1, 0.2, 0.3, 0.1, 0.2]


@pytest.mark.parametrize("name", ["ssd then finetun", "nothing then ssd", "then", "ssd thenfinetune"])
def test_an_unknown_part_is_an_unknown_method(name):
    with pytest.raises(UnknownNameError, match="Unknown method"):
        METHODS.get(name)


@pytest.mark.parametrize("parameter", ["lr", "finetune.alpha", "scrub.lr", "finetune#2.lr"])
def test_an_unknown_parameter_is_refused(parameter):
    with pytest.raises(UnknownNameError, match="parameter of"):
        METHODS.get("ssd then finetune").build(**{parameter: 1.0})


def test_parts_are_scaled_alike_by_a_budget():
    """Finetune at 1/3 beside gradient ascent at 1/6: half as many epochs of the second at every scale."""
    budget = within("finetune then gradient_ascent", cost=1.0)
    first, second = budget.build(0.5).stages()
    assert (first.epochs, second.epochs) == (pytest.approx(1 / 6), pytest.approx(1 / 12))


# ---- another method for each part of S ----


def test_thirds_are_by_rank_lowest_first():
    assert [part.tolist() for part in thirds([5.0, 1.0, 3.0, 1.0, 9.0, 2.0, 0.0])] == [[6, 1, 3], [5, 2], [0, 4]]
    with pytest.raises(SpecError, match="no finite number"):
        thirds([0.0, float("nan"), 1.0])
    with pytest.raises(SpecError, match="cannot be divided"):
        thirds([0.0, 1.0])


def test_random_scores_are_of_their_key_alone():
    assert random_scores(9, 1).tolist() == random_scores(9, 1).tolist() != random_scores(9, 2).tolist()


SCORES = [7, 1, 8, 2, 9, 0, 3, 4, 6, 5]


def assigned(toy, methods, scores=SCORES, **given):
    given = {"chunk": 3, **given}
    return run_assigned(
        methods,
        toy.learner,
        toy.originals,
        scores=scores,
        forget=toy.forget,
        retain=toy.retain,
        keys=toy.keys,
        **given,
    )


def seen_by(toy, assign) -> list[tuple[list[float], list[float]]]:
    """What `prepare` of each step finds: S and the retain set, as the first feature of each example."""
    seen: list[tuple[list[float], list[float]]] = []

    def prepare(net, given, key):
        seen.append((given.forget.x[:, 0].tolist(), given.retain.x[:, 0].tolist()))
        from unweave.learners.contract import State

        return State(net.params, net.buffers), ()

    method = Method(None, 0.0, 0.0, prepare=prepare)
    assign([method] * 3)
    return seen


def check_parts(toy, seen) -> None:
    """Low, middle, high; what is retained leaves out only the parts handled so far."""
    order = np.argsort(SCORES, kind="stable")
    low, middle, high = order[:4], order[4:7], order[7:]
    x, rest = toy.forget.x[:, 0], toy.retain.x[:, 0].tolist()
    expected = [(low, [*middle, *high]), (middle, [*high]), (high, [])]
    for (forget, retain), (part, later) in zip(seen, expected, strict=True):
        assert forget == x[np.sort(part)].tolist()
        assert sorted(retain) == sorted([*x[later].tolist(), *rest])


def test_each_step_excludes_only_the_parts_handled_so_far(toy):
    check_parts(toy, seen_by(toy, lambda methods: assigned(toy, methods)))


def test_wrong_retain_sets_are_caught(toy):
    def excluding_all(methods):
        for method, part in zip(methods, thirds(SCORES), strict=True):
            forget = Examples(toy.forget.x[part], toy.forget.y[part])
            run(method, toy.learner, toy.originals, forget=forget, retain=toy.retain, keys=toy.keys, chunk=3)

    def excluding_earlier_only(methods):
        parts = thirds(SCORES)
        for number, method in enumerate(methods):
            later = torch.from_numpy(np.concatenate(parts[number:]))
            x, y = (torch.cat([a[later], b]) for a, b in zip(toy.forget, toy.retain, strict=True))
            forget = Examples(toy.forget.x[parts[number]], toy.forget.y[parts[number]])
            run(method, toy.learner, toy.originals, forget=forget, retain=Examples(x, y), keys=toy.keys, chunk=3)

    highest_first = lambda methods: assigned(toy, methods, scores=[-one for one in SCORES])  # noqa: E731
    for wrong in (excluding_all, excluding_earlier_only, highest_first):
        with pytest.raises(AssertionError):
            check_parts(toy, seen_by(toy, wrong))


def test_steps_start_from_one_another_and_cost_their_sum(toy, contract):
    names = ["noop", "finetune", "salun"]
    whole = assigned(toy, [METHODS.get(name).build() for name in names])
    state, examples = toy.originals, 0.0
    parts = [torch.from_numpy(np.sort(part)) for part in thirds(SCORES)]
    for number, name in enumerate(names):
        later = torch.cat([*parts[number + 1 :], parts[0][:0]]).sort().values
        x, y = (torch.cat([a[later], b]) for a, b in zip(toy.forget, toy.retain, strict=True))
        edited = run(
            METHODS.get(name).build(),
            toy.learner,
            state,
            forget=Examples(*(one[parts[number]] for one in toy.forget)),
            retain=Examples(x, y),
            keys=[derive(key, "part", number) if number else key for key in toy.keys],
        )
        state, examples = edited.state, examples + edited.gradient_ratio * 3 * len(y)
    assert contract.same_bits(whole.state, state)
    assert whole.gradient_ratio * 3 * 30 == pytest.approx(examples)
    assert whole.note == "parts of S, lowest scores first: 4, 3, 3"


def test_one_part_is_the_method_on_all_of_s(toy, contract):
    one = assigned(toy, [METHODS.get("delete").build()], scores=list(range(10)))
    plain = toy.edit(METHODS.get("delete").build)
    assert contract.same_bits(one.state, plain.state)


def test_the_control_by_random_parts_is_another_division(toy, contract):
    build = lambda: [METHODS.get(name).build() for name in ("noop", "finetune", "random_label")]  # noqa: E731
    control = assigned(toy, build(), scores=random_scores(10, 3))
    assert contract.gap(control.state, assigned(toy, build()).state) > 1e-4


def test_a_budget_may_stand_for_a_method(toy):
    edited = assigned(
        toy, [METHODS.get("noop").build(), METHODS.get("noop").build(), within("finetune", cost=0.5)]
    )
    assert edited.gradient_ratio == pytest.approx(1 / 3)


def test_what_does_not_fit_is_refused(toy):
    with pytest.raises(SpecError, match="No method"):
        assigned(toy, [])
    with pytest.raises(SpecError, match="scores of shape"):
        assigned(toy, [METHODS.get("noop").build()], scores=[1.0, 2.0])


def test_models_do_not_depend_on_their_stack(toy, contract):
    build = lambda: [METHODS.get(name).build() for name in ("noop", "finetune", "salun")]  # noqa: E731
    assert contract.gap(assigned(toy, build(), chunk=1).state, assigned(toy, build(), chunk=3).state) <= 1e-6
