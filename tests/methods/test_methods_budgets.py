"""What a method costs, counted beforehand, and as many epochs of it as a cost pays for."""

from __future__ import annotations

from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import ApplicabilityError, SpecError
from unweave.learners.specs import Recipe
from unweave.methods import METHODS, Method, Sizes, budgets, cost_of, fit, within
from unweave.methods.contract import forget_pass, forget_then_retain, joint_pass, retain_pass
from unweave.methods.losses import cross_entropy

PASSES = {"retain": retain_pass, "forget": forget_pass, "both": joint_pass, "in turn": forget_then_retain}


def nothing(net, aux, batches, i, key):
    return net.params["1.bias"].sum() * 0


def plain_count(passes, sizes, batch_size) -> int:
    """Examples of all batches, by dealing them out one by one."""

    def deal(n):
        for _ in count():
            yield from (min(batch_size, n - begin) for begin in range(0, n, batch_size))

    dealt = {"forget": deal(sizes.forget), "retain": deal(sizes.retain)}
    names = {"forget": ["forget"], "retain": ["retain"], "both": ["forget", "retain"]}
    return sum(next(dealt[name]) for which in passes for name in names[which])


@st.composite
def problems(draw):
    recipe = Recipe(lr=0.1, epochs=draw(st.integers(1, 50)), batch_size=draw(st.integers(1, 40)))
    sizes = Sizes(draw(st.integers(1, 60)), draw(st.integers(1, 300)))
    stages = draw(
        st.lists(st.tuples(st.sampled_from(sorted(PASSES)), st.integers(0, 500)), min_size=1, max_size=3)
    )
    method = None
    for name, before in reversed(stages):
        epochs = draw(st.floats(0.01, 2.0))
        method = Method(
            nothing, epochs, 0.1, passes=PASSES[name], prepare_cost=lambda s, r, n=before: n, then=method
        )
    return method, recipe, sizes, [before for _, before in stages]


@given(problems())
def test_the_cost_is_that_of_all_batches_dealt_out(problem):
    method, recipe, sizes, before = problem
    expected = sum(before)
    for stage in method.stages():
        epochs = max(1, round(stage.epochs * recipe.epochs))
        plan = budgets.plan_for(stage.epochs, recipe, n_forget=sizes.forget, n_retain=sizes.retain)
        assert plan.epochs == epochs
        expected += plain_count(stage.passes(plan), sizes, recipe.batch_size)
    assert cost_of(method, recipe, sizes) * recipe.epochs * sizes.retain == pytest.approx(expected)


@given(problems(), st.floats(0.001, 3.0))
def test_as_many_epochs_as_a_cost_pays_for_and_not_one_more(problem, cost):
    method, recipe, sizes, _ = problem
    budget = within(method, cost=cost)
    one = lambda epochs: cost_of(  # noqa: E731
        budget.build(epochs / (budget.longest * recipe.epochs)), recipe, sizes
    )
    try:
        fitted = fit(budget, recipe, sizes)
    except ApplicabilityError as error:
        assert one(1) > cost
        assert f"{one(1):.3g} retrainings" in str(error)
        return
    assert fitted.cost == cost_of(fitted.method, recipe, sizes) <= cost * (1 + 1e-9)
    assert fitted.epochs >= 1 and fitted.note == ""
    assert one(fitted.epochs) <= cost * (1 + 1e-9) < one(fitted.epochs + 1)
    longest = max(fitted.method.stages(), key=lambda stage: stage.epochs)
    assert round(longest.epochs * recipe.epochs) == fitted.epochs


RECIPE, SIZES = Recipe(lr=0.3, epochs=40, batch_size=64), Sizes(forget=20, retain=1380)


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("finetune", 4),  # 0.1·40 epochs of D∖S
        ("gradient_ascent", 276),  # 0.1·40·1380/20 epochs of S
        ("random_label", 3),  # an epoch is 1400 of the 5520 examples
        ("npo", 3),  # 22 batches of S of 20 beside an epoch of D∖S: 1820
        ("cf_k", 4),
    ],
)
def test_epochs_known_by_hand(name, epochs):
    fitted = fit(within(name, cost=0.1), RECIPE, SIZES)
    assert fitted.epochs == epochs
    assert fitted.cost <= 0.1


def test_what_precedes_the_steps_is_paid_for_as_well():
    """SalUn takes the gradient of all of S for its mask: of 5520 − 20 examples three epochs of 1400 are left."""
    salun = METHODS.get("salun").build()
    before = salun.prepare_cost(SIZES.forget, SIZES.retain)
    assert before > 0
    exact = (before + 2 * 1400) / (40 * 1380)
    assert fit(within("salun", cost=exact), RECIPE, SIZES).epochs == 2
    check_counts_prepare(exact)


def check_counts_prepare(exact: float) -> None:
    """The gradient examples of a budget that two epochs and the mask use up to the last one."""
    assert fit(within("salun", cost=exact - 1e-6), RECIPE, SIZES).epochs == 1


def test_a_budget_that_forgets_what_precedes_the_steps_is_caught(monkeypatch):
    right = budgets.examples_of
    monkeypatch.setattr(
        budgets,
        "examples_of",
        lambda method, recipe, sizes: right(method._replace(prepare_cost=None), recipe, sizes),
    )
    exact = (METHODS.get("salun").build().prepare_cost(20, 1380) + 2 * 1400) / (40 * 1380)
    with pytest.raises(AssertionError):
        check_counts_prepare(exact)


def test_schedules_follow_the_number_of_epochs():
    """SCRUB climbs in 80% of its epochs, however many they are."""
    for cost in (0.1, 0.5):
        fitted = fit(within("scrub", cost=cost), RECIPE, SIZES)
        passes = budgets.passes_of(fitted.method, RECIPE, SIZES)
        assert passes.count("forget") == round(0.8 * fitted.epochs)
        assert passes.count("retain") == 22 * fitted.epochs


def test_what_cannot_cost_more_says_so():
    fitted = fit(within("ssd", cost=0.5), RECIPE, SIZES)
    assert fitted.epochs == 0 and fitted.cost < 0.5
    assert fitted.note == f"it is an edit in one shot: it cannot cost more than {fitted.cost:.3g} retrainings"
    with pytest.raises(ApplicabilityError, match="it takes no steps that could be fewer"):
        fit(within("ssd", cost=fitted.cost * 0.99), RECIPE, SIZES)


def test_what_cannot_cost_so_little_says_so():
    with pytest.raises(ApplicabilityError, match=r"one epoch of it costs 0\.025 retrainings: more than .* 0\.02"):
        fit(within("finetune", cost=0.02), RECIPE, SIZES)
    with pytest.raises(ApplicabilityError, match="before the first step"):
        fit(within("salun", cost=0.02), RECIPE, SIZES)


def test_a_cost_that_does_not_grow_is_left_at_its_default():
    method = Method(nothing, 0.25, 0.1, passes=lambda plan: ["forget"] * 7)
    fitted = fit(within(method, cost=0.1), RECIPE, SIZES)
    assert fitted.method.epochs == 0.25 and "does not grow" in fitted.note


@pytest.mark.parametrize("given", [{}, {"cost": 0.0}, {"cost": -1.0}, {"rise": 0.0}, {"rise": float("nan")}])
def test_a_budget_is_above_zero(given):
    with pytest.raises(SpecError, match="within"):
        within("npo", **given)


# ---- against the loop, and over all methods ----


def sizes_of(toy, declared) -> Sizes:
    held_out = len(toy.validation.y) if toy.validation is not None else 0
    return Sizes(len(toy.forget.y), len(toy.retain.y), held_out)


@pytest.mark.parametrize("name", METHODS.names())
def test_the_counted_cost_is_what_the_loop_counts(name, toy):
    entry = METHODS.get(name)
    edited = toy.edit(entry.build)
    counted = cost_of(entry.build(), toy.learner.recipe, sizes_of(toy, entry.declared))
    if any(stage.until is not None for stage in entry.build().stages()):
        assert edited.gradient_ratio <= counted
    else:
        assert edited.gradient_ratio == pytest.approx(counted)


@pytest.mark.parametrize("name", METHODS.names())
def test_more_epochs_never_cost_less(name):
    budget = within(name, cost=1.0)
    if budget.longest == 0:
        return
    costs = [
        cost_of(budget.build(epochs / (budget.longest * 40)), RECIPE, Sizes(20, 1380, 100))
        for epochs in islice(count(1), 30)
    ]
    assert costs == sorted(costs)


def test_a_run_within_a_cost_tells_its_epochs(toy):
    edited = toy.edit(lambda: within("npo", cost=0.9))
    # An epoch is 4 batches of D∖S (30) beside 4 of S (8, 2, 8, 2); a retraining 3·30.
    assert edited.epochs == 1 and edited.gradient_ratio == pytest.approx(50 / 90)
    assert toy.edit(lambda: within("npo", cost=10 / 9)).epochs == 2
    assert edited.reached is None and edited.note == ""


# ---- methods that were built already, with a schedule of their own ----


def penalised(gammas: list[float]) -> Method:
    """CE(D∖S) and a penalty of so much in each step."""

    def step(net, aux, batches, i, key):
        norm = sum(value.abs().sum() for value in net.params.values())
        return cross_entropy(net(batches["retain"].x), batches["retain"].y).mean() + gammas[i] * norm

    return Method(step, 1.0, 0.5, passes=retain_pass)


def test_l1_sparse_of_a_scaled_method_has_no_penalty_beyond_its_schedule(toy, contract):
    """Built for one epoch of four steps, and paid for three."""
    sparse = METHODS.get("l1_sparse").build(epochs=1 / 3, lr=0.5, gamma=0.01)
    edited = toy.edit(lambda: within(sparse, cost=1.0))
    assert edited.epochs == 3 and edited.steps == 12
    expected = toy.edit(lambda: penalised([0.01] * 4 + [0.0] * 8)).state
    assert contract.gap(edited.state, expected) <= 1e-6
    assert contract.gap(edited.state, toy.edit(lambda: penalised([0.01] * 12)).state) > 1e-3


def test_a_scaled_rewind_goes_on_at_the_last_rate_of_the_recipe(toy):
    back = METHODS.get("rewind").build(back=1 / 3)
    edited = toy.edit(lambda: within(back, cost=1.0))
    assert edited.epochs == 3 and edited.steps == 12


# ---- whole epochs ----


@pytest.mark.parametrize(
    ("epochs", "of_rounds", "of_finetune"), [(30, 10, 10), (40, 15, 13), (10, 5, 3), (4, 5, 1)]
)
def test_rounds_have_whole_epochs_and_are_said_to_cost_as_many(epochs, of_rounds, of_finetune):
    recipe, sizes = Recipe(lr=0.1, epochs=epochs, batch_size=64), Sizes(20, 5000)
    cost = {name: cost_of(METHODS.get(name).build(), recipe, sizes) for name in ("minnorm_og", "finetune")}
    assert cost["finetune"] == pytest.approx(of_finetune / epochs)
    assert cost["minnorm_og"] == pytest.approx((of_rounds + 5 * 50 / 5000) / epochs)
    said = " ".join((METHODS.get("minnorm_og").factory.__doc__ or "").split())
    assert all(
        part in said for part in ("10 as `finetune` has", "15 to its 13", "5 to its 3 of 10", "5 to its 1 of 4")
    )
