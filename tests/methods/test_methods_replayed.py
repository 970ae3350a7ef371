"""Steps taken back and SGD unrolled: against stored steps, retraining, and sums written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import grad
from torch.nn.functional import cross_entropy

from unweave._errors import ApplicabilityError, SpecError
from unweave.learners import Recipe, specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.methods import METHODS, Examples, History, Method, run_assigned
from unweave.methods.replayed import unrolled_rate
from unweave.study.methods import refusal
from unweave.training.batches import epoch_orders
from unweave.training.engine import many
from unweave.training.loop import fit
from unweave.training.replay import Training


def of(name: str, **given: float):
    return lambda: METHODS.get(name).build(**{key: float(value) for key, value in given.items()})


def first(state: State):
    return {name: value[0] for name, value in state.params.items()}


def distance(a, b) -> float:
    """‖θ − θ′‖ over all parameters."""
    return sum(((a[name] - b[name]) ** 2).sum() for name in a).sqrt().item()


def check_close(found, expected, *, atol=2e-5):
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=atol, rtol=1e-4)


# ---- amnesiac ----


def steps_of(toy, k: int):
    """The rows and the parameters before and after each step of an independent training."""
    seen = []

    def on_step(number, rows, state):
        seen.append((rows[0].tolist(), {name: value[0].clone() for name, value in state.params.items()}))

    x, y, rows, keys, _ = toy.training
    fit(toy.learner, x, y, rows=rows, key=keys[k], on_step=on_step)
    return [(batch, before, after) for (_, before), (batch, after) in zip(seen, seen[1:], strict=False)]


def check_taken_back(method: Method, toy, scale: float = 1.0) -> None:
    """θ_o less every stored step whose batch held one of S, in a loop."""
    edited = toy.edit(lambda: method).state
    for k in range(len(toy.keys)):
        expected = {name: value[k].clone() for name, value in toy.originals.params.items()}
        taken = 0
        for batch, before, after in steps_of(toy, k):
            if set(batch) & set(toy.training.forget.tolist()):
                taken += 1
                expected = {n: value - scale * (after[n] - before[n]) for n, value in expected.items()}
        assert 0 < taken < 15, "all steps or none are those of S"
        check_close({name: value[k] for name, value in edited.params.items()}, expected)


@pytest.fixture
def few(toy):
    """The toy with an S of two, which are in some batches and not in others."""
    forget = Examples(toy.forget.x[:2], toy.forget.y[:2])
    return toy._replace(forget=forget, training=toy.training._replace(forget=np.arange(2)))


@pytest.mark.parametrize("scale", [0.4, 1.0])
def test_steps_with_members_of_s_are_taken_back(scale, few):
    check_taken_back(of("amnesiac", epochs=0, scale=scale)(), few, scale)


def test_all_steps_or_the_others_or_the_sign_turned_are_caught(few):
    method = of("amnesiac", epochs=0)()
    begin, follow, _ = method.history

    def telling(change):
        return History(
            begin, lambda carried, moment: follow(carried, moment._replace(forget=change(moment.forget)))
        )

    def every_member(carried, moment):
        share = moment.forget.float().sum()
        return {n: total + share * (moment.after[n] - moment.before[n]) for n, total in carried.items()}

    def added(net, given, key):
        return State({name: value + given.history[name] for name, value in net.params.items()}, net.buffers), ()

    for wrong in (
        method._replace(history=telling(lambda forget: forget | True)),
        method._replace(history=telling(lambda forget: ~forget.any())),
        method._replace(history=History(begin, every_member)),
        method._replace(prepare=added),
    ):
        with pytest.raises(AssertionError):
            check_taken_back(wrong, few)


def one_epoch(contract, batch: int, **changes):
    """An epoch of 40 examples in batches of 8, S being the batch of that number."""
    recipe = {"epochs": 1, "batch_size": 8, "schedule": "constant", **changes}
    learner = build(specify("mlp", (6,), 3, config={"width": 8}, recipe=recipe))
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
    y, key, rows = x[:, :3].argmax(1), 21, np.arange(40)
    forget = np.sort(epoch_orders(40, rows, 1, key)[0][8 * batch : 8 * batch + 8])
    kept = np.setdiff1d(rows, forget)
    toy = contract.Toy(
        learner,
        many(learner, x, y, rows=[rows], keys=[key]),
        Examples(x[forget], y[forget]),
        Examples(x[kept], y[kept]),
        [7],
        None,
        Training(x, y, rows, [key], forget),
    )
    return toy, first(many(learner, x, y, rows=[kept], keys=[key]))


def test_where_s_is_the_last_batch_the_model_without_it_is_left(contract):
    """Retraining takes the same steps but for the last one: at a constant rate momentum does no harm here."""
    toy, untrained = one_epoch(contract, 4)
    assert distance(first(toy.originals), untrained) > 0.05
    check_close(first(toy.edit(of("amnesiac", epochs=0)).state), untrained)


def test_where_s_is_an_earlier_batch_momentum_keeps_most_of_what_it_did(contract):
    """The first of 5 steps is 1 of the 1 + μ + … + μ⁴ that its gradient does, to first order in the rate."""
    for momentum, share in ((0.0, 0.0), (0.5, 1 - 1 / 1.9375), (0.9, 1 - 1 / 4.0951)):
        toy, untrained = one_epoch(contract, 0, lr=0.001, momentum=momentum)
        done = distance(first(toy.originals), untrained)
        left = distance(first(toy.edit(of("amnesiac", epochs=0)).state), untrained)
        assert left / done == pytest.approx(share, abs=0.03), momentum


def test_the_little_training_is_on_the_retained(contract, few):
    bare = few.edit(of("amnesiac", epochs=0)).state
    tuned = few._replace(originals=bare).edit(of("finetune", epochs=1 / 3, lr=1))
    assert contract.gap(few.edit(of("amnesiac", epochs=1 / 3)).state, tuned.state) <= 1e-6


def test_what_was_learned_by_heart_is_forgotten(contract, memorised):
    alone = memorised.only(1)
    contract.check_moves(of("amnesiac", epochs=0), alone, contract.probability_on("forget"), by=-0.5)


@pytest.mark.parametrize("name", ["amnesiac", "unrolling_sgd"])
def test_a_scale_is_no_negative_number(name):
    with pytest.raises(SpecError, match=rf"{name}\.scale"):
        of(name, scale=-1)()


# ---- unrolling SGD: the factor ----


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_factor_is_the_double_sum_over_steps(schedule, momentum):
    recipe = Recipe(lr=0.2, epochs=3, batch_size=8, momentum=momentum, schedule=schedule)
    rates = [recipe.rate(s, 12) for s in range(12)]
    total = sum(rates[s] * momentum ** (s - t) for t in range(12) for s in range(t, 12))
    assert unrolled_rate(recipe, 30) == pytest.approx(total / 30)


def test_the_factor_of_the_paper_is_that_without_momentum_at_a_constant_rate():
    assert unrolled_rate(Recipe(lr=0.2, epochs=5, batch_size=10, momentum=0.0), 200) == pytest.approx(0.2 * 5 / 10)


# ---- unrolling SGD: against retraining ----


def softmax_toy(contract, *, lr: float, momentum: float = 0.0, epochs: int = 2, schedule: str = "constant"):
    """Softmax regression on 40 examples in full batches of 5, S being 10 of them, and the model without S."""
    recipe = {"lr": lr, "epochs": epochs, "batch_size": 5, "momentum": momentum, "schedule": schedule}
    learner = build(specify("softmax", (6,), 3, recipe=recipe))
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(4))
    y, rows = (x[:, :3].argmax(1) + 1) % 3, np.arange(40)
    toy = contract.Toy(
        learner,
        many(learner, x, y, rows=[rows], keys=[3]),
        Examples(x[:10], y[:10]),
        Examples(x[10:], y[10:]),
        [7],
        None,
        Training(x, y, rows, [3], rows[:10]),
    )
    return toy, first(many(learner, x, y, rows=[rows[10:]], keys=[3]))


def check_first_order(build_method, contract) -> None:
    """Without S the model is another by O(η); the verification error ‖θ_u − θ_r‖ is O(η²)."""
    errors = {}
    for lr in (0.02, 0.01):
        toy, untrained = softmax_toy(contract, lr=lr)
        unlearned = first(toy.edit(build_method).state)
        errors[lr] = distance(unlearned, untrained), distance(first(toy.originals), untrained)
    assert errors[0.01][0] < 0.1 * errors[0.01][1], f"verification error {errors[0.01]}"
    assert errors[0.02][1] / errors[0.01][1] == pytest.approx(2, rel=0.1)
    assert errors[0.02][0] / errors[0.01][0] == pytest.approx(4, rel=0.1), f"not of second order: {errors}"


def test_the_verification_error_falls_with_the_square_of_the_rate(contract):
    check_first_order(of("unrolling_sgd"), contract)


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0])
def test_another_factor_is_of_first_order_and_caught(scale, contract):
    with pytest.raises(AssertionError):
        check_first_order(of("unrolling_sgd", scale=scale), contract)


def test_descent_in_place_of_the_gradient_added_back_is_caught(contract):
    def descends() -> Method:
        method = of("unrolling_sgd")()

        def prepare(net, given, key):
            state, aux = method.prepare(net, given, key)
            return State({n: 2 * net.params[n] - value for n, value in state.params.items()}, net.buffers), aux

        return method._replace(prepare=prepare)

    with pytest.raises(AssertionError):
        check_first_order(descends, contract)


def without_gradients_of_s(toy):
    """The very same steps, from each batch mean of which the gradients of S are left out."""
    learner, (x, y, rows, keys, forget) = toy.learner, toy.training
    recipe, start = learner.recipe, learner.init(keys[0])
    params = {name: value.clone() for name, value in start.params.items()}
    speed = {name: torch.zeros_like(value) for name, value in params.items()}

    def loss(params, x, y, counted):
        z = learner.apply(State(params, {}), x, train=True, key=None)[0]
        return (cross_entropy(z, y, reduction="none") * counted).sum() / len(y)

    total, step = recipe.steps(len(rows)), 0
    for order in epoch_orders(len(x), rows, recipe.epochs, keys[0]):
        for begin in range(0, len(rows), recipe.batch_size):
            batch = order[begin : begin + recipe.batch_size]
            counted = torch.from_numpy(~np.isin(batch, forget)).float()
            slopes = grad(loss)(params, x[batch], y[batch], counted)
            speed = {name: recipe.momentum * value + slopes[name] for name, value in speed.items()}
            params = {name: value - recipe.rate(step, total) * speed[name] for name, value in params.items()}
            step += 1
    return params


def check_with_momentum(build_method, contract) -> None:
    """What S did is added back but for a tenth: the formula does not know when in an epoch S came."""
    toy, _ = softmax_toy(contract, lr=5e-4, momentum=0.9, epochs=12, schedule="linear")
    without = without_gradients_of_s(toy)
    done, left = distance(first(toy.originals), without), distance(first(toy.edit(build_method).state), without)
    assert left < 0.1 * done, f"{left / done:.2f} of it is left"


def test_momentum_and_schedule_are_unrolled(contract):
    check_with_momentum(of("unrolling_sgd"), contract)


def test_the_factor_of_the_official_code_is_caught_where_there_is_momentum(contract):
    """Rate × epochs / batch, for an optimiser with momentum .9 and a schedule."""
    toy, _ = softmax_toy(contract, lr=5e-4, momentum=0.9, epochs=12, schedule="linear")
    theirs = 5e-4 * 12 / 5 / unrolled_rate(toy.learner.recipe, 40)
    assert theirs < 0.3
    with pytest.raises(AssertionError, match="of it is left"):
        check_with_momentum(of("unrolling_sgd", scale=theirs), contract)


# ---- unrolling SGD: where the gradient is taken ----


def check_unrolled(build_method, toy, *, train: bool) -> None:
    """θ_o + γ·Σ_S ∇CE at the parameters before training, by autograd of torch."""
    learner = toy.learner
    edited, factor = toy.edit(build_method).state, unrolled_rate(learner.recipe, 40)
    for k, key in enumerate(toy.training.keys):
        start = learner.init(key)
        leaves = {name: value.requires_grad_() for name, value in start.params.items()}
        # As many as the recipe has in a batch, in parts of equal size: 5 and 5 of batches of 8.
        for part in (slice(0, 5), slice(5, 10)):
            z = learner.apply(State(leaves, start.buffers), toy.forget.x[part], train=train, key=None)[0]
            cross_entropy(z, toy.forget.y[part], reduction="sum").backward()
        for name, value in leaves.items():
            moved = edited.params[name][k] - toy.originals.params[name][k]
            torch.testing.assert_close(moved, factor * value.grad, atol=1e-4, rtol=1e-3)


def test_the_gradient_is_that_before_training(toy):
    check_unrolled(of("unrolling_sgd"), toy, train=False)
    by_autograd = toy._replace(learner=replace(toy.learner, dense=None))
    check_unrolled(of("unrolling_sgd"), by_autograd, train=False)


def test_the_gradient_of_images_is_that_of_training(image_toy):
    check_unrolled(of("unrolling_sgd"), image_toy, train=True)
    if image_toy.originals.buffers:
        with pytest.raises(AssertionError):
            check_unrolled(of("unrolling_sgd"), image_toy, train=False)


def test_the_gradient_of_the_trained_model_is_caught(toy):
    def at_the_end() -> Method:
        method = of("unrolling_sgd")()
        return method._replace(
            prepare=lambda net, given, key: method.prepare(net, given._replace(history=given.original.params), key)
        )

    with pytest.raises(AssertionError):
        check_unrolled(at_the_end, toy, train=False)


def test_one_example_of_images_is_unrolled(contract, image_toy):
    """Norms have no variance of one example."""
    one = image_toy._replace(forget=Examples(image_toy.forget.x[:1], image_toy.forget.y[:1]))
    contract.check_finite(of("unrolling_sgd"), one)
    contract.check_changed(of("unrolling_sgd"), one)


def test_a_part_of_s_is_unrolled_over_the_training_of_all_of_d(toy):
    """The first five of S were handled by nothing: what is left of D is 35, and the model was trained on 40."""
    scores, late = list(range(10)), list(range(5, 10))
    given = {"forget": toy.forget, "retain": toy.retain, "keys": toy.keys, "training": toy.training}
    methods = [METHODS.get("noop").build(), of("unrolling_sgd", scale=0.01)()]
    found = run_assigned(methods, toy.learner, toy.originals, scores=scores, **given).state
    part = Examples(toy.forget.x[late], toy.forget.y[late])
    whole = toy._replace(
        forget=part,
        retain=Examples(*(torch.cat([a[:5], b]) for a, b in zip(toy.forget, toy.retain, strict=True))),
    )
    expected = whole.edit(of("unrolling_sgd", scale=0.01)).state
    moved = distance(first(expected), first(toy.originals))
    assert distance(first(found), first(expected)) <= 1e-4 * moved < moved


def test_only_training_by_sgd_is_unrolled(contract):
    """AdamW adds up no gradients: refused by the study and by the loop; amnesiac takes any step back."""
    config = {"width": 16, "inner": 16, "depth": 1}
    spec = specify("causal_lm", (4,), 9, config=config, recipe={"epochs": 1, "batch_size": 8})
    assert spec.recipe is not None and spec.recipe.optimiser == "adamw"
    for name in ("unrolling_sgd", "unrolling_sgd then noop", "expand(unrolling_sgd)"):
        assert "by SGD alone" in refusal(spec, name, validation=0)
    assert refusal(spec, "amnesiac", validation=0) == ""
    assert refusal(specify("mlp", (4,), 2), "unrolling_sgd", validation=0) == ""
    x = torch.randint(1, 9, (24, 4), generator=torch.Generator().manual_seed(0)).float()
    texts = contract.trained_toy(
        build(spec), x, x[:, 0].long(), forget=6, keys=[1], validation=Examples(x[:2], x[:2, 0].long())
    )
    with pytest.raises(ApplicabilityError, match="by SGD alone"):
        texts.edit(of("unrolling_sgd"))
