"""Rewinding, shrinking and task vectors: against loops written plainly, and without what defines them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy, linear, relu

from unweave._errors import SpecError
from unweave.learners.contract import State
from unweave.methods import METHODS, Method
from unweave.training.loop import fit


def of(name: str, **given: float):
    return lambda: METHODS.get(name).build(**{key: float(value) for key, value in given.items()})


def recipe(toy, **changes):
    changed = replace(toy.learner.recipe, **changes)
    return toy._replace(learner=replace(toy.learner, spec=replace(toy.learner.spec, recipe=changed)))


def retrained(contract, toy):
    """The toy with originals trained by its recipe of the moment."""
    x, y, _, keys, forget = toy.training
    return contract.trained_toy(toy.learner, x, y, forget=len(forget), keys=keys, validation=toy.validation)


def watched(toy, method: Method):
    """A method on the first model alone, and the batches it took, in order."""
    taken = []

    def step(net, aux, batches, i, key):
        taken.append(batches)
        return method.step(net, aux, batches, i, key)

    alone = toy.only(0)
    alone = alone._replace(learner=replace(alone.learner, dense=None, stacked=False))
    return alone.edit(lambda: method._replace(step=step)).state, taken


def logits_of(params, x):
    hidden = relu(linear(x, params["0.weight"], params["0.bias"]))
    return linear(hidden, params["1.weight"], params["1.bias"])


def descended(start, batches, rates, *, momentum, decay=0.0):
    """What SGD of torch makes of parameters on these batches at these rates."""
    params = {name: value.detach().clone().requires_grad_() for name, value in start.items()}
    optimiser = torch.optim.SGD(params.values(), lr=1.0, momentum=momentum, weight_decay=decay)
    for (x, y), rate in zip(batches, rates, strict=True):
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        cross_entropy(logits_of(params, x), y).backward()
        optimiser.step()
    return {name: value.detach() for name, value in params.items()}


def first(state: State):
    return {name: value[0] for name, value in state.params.items()}


def check_close(found, expected, *, atol=2e-5):
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=atol, rtol=1e-4)


# ---- rewind ----


def check_checkpoint(method: Method, toy, epochs: int) -> None:
    """What it starts from is the model of an independent run after so many epochs, buffers included."""
    began = toy.edit(lambda: method._replace(step=None)).state
    for k, key in enumerate(toy.training.keys):
        seen = {}

        def on_step(number, rows, state, seen=seen):
            seen[number + 1] = State(*({n: v[0].clone() for n, v in part.items()} for part in state))

        fit(toy.learner, toy.training.x, toy.training.y, rows=toy.training.rows, key=key, on_step=on_step)
        expected = seen[epochs * 5]  # 40 examples in batches of 8
        check_close({name: value[k] for name, value in began.params.items()}, expected.params)
        check_close({name: value[k] for name, value in began.buffers.items()}, expected.buffers)


@pytest.mark.parametrize(("back", "epochs"), [(0.1, 2), (1 / 3, 2), (0.6, 1), (1.0, 0)])
def test_rewinding_goes_back_to_the_model_of_that_epoch(back, epochs, toy):
    check_checkpoint(of("rewind", back=back)(), toy, epochs)


def test_rewinding_goes_back_to_the_running_statistics_of_that_epoch(image_toy):
    check_checkpoint(of("rewind", back=2 / 3)(), image_toy, 1)
    if image_toy.originals.buffers:
        stale = of("rewind", back=2 / 3)()

        def prepare(net, given, key):
            state, aux = stale.prepare(net, given, key)
            return State(state.params, net.buffers), aux

        with pytest.raises(AssertionError):
            check_checkpoint(stale._replace(prepare=prepare), image_toy, 1)


def test_a_rewind_that_stays_or_takes_another_epoch_is_caught(toy):
    method = of("rewind", back=1 / 3)()

    def stays(net, given, key):
        return given.original, method.prepare(net, given, key)[1]

    for wrong in (method._replace(prepare=stays), of("rewind", back=2 / 3)()):
        with pytest.raises(AssertionError):
            check_checkpoint(wrong, toy, 2)


def check_trained_on(method: Method, toy) -> None:
    """From the checkpoint on SGD of torch on D∖S, at the rates that retraining has in those epochs."""
    began = first(toy.only(0).edit(lambda: method._replace(step=None)).state)
    edited, taken = watched(toy, method)
    of_recipe, count = toy.learner.recipe, len(taken)
    assert all(set(batches) == {"retain"} for batches in taken)
    rates = [of_recipe.rate(step, 12) for step in range(12 - count, 12)]  # 3 epochs of 30 examples in batches of 8
    batches = [batch["retain"][:2] for batch in taken]
    check_close(first(edited), descended(began, batches, rates, momentum=of_recipe.momentum))


@pytest.mark.parametrize("back", [1 / 3, 1.0])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_after_rewinding_it_trains_as_retraining_would(back, schedule, contract, toy):
    check_trained_on(of("rewind", back=back)(), retrained(contract, recipe(toy, schedule=schedule)))


def test_a_rate_that_stays_or_enters_the_gradient_is_caught(toy):
    method = of("rewind", back=1.0)()

    def in_the_loss(net, aux, batches, i, key):
        return aux[1] * method.step(net, aux, batches, i, key)

    for wrong in (method._replace(project=None), method._replace(project=None, step=in_the_loss)):
        with pytest.raises(AssertionError):
            check_trained_on(wrong, toy)


def test_rewinding_far_forgets_what_was_learned_by_heart(contract, memorised):
    contract.check_moves(of("rewind", back=0.9), memorised.only(0), contract.probability_on("forget"), by=-0.5)


@pytest.mark.parametrize("back", [-0.1, 1.1])
def test_back_is_a_share(back):
    with pytest.raises(SpecError, match=r"rewind\.back"):
        of("rewind", back=back)()


# ---- shrink and perturb ----


def check_blurred(build, toy) -> None:
    """With λ and σ every parameter is λ·θ_o + σ·noise, noise being what λ = 0, σ = 1 leaves; no step is taken."""
    noise = toy.edit(lambda: build(shrink=0.0, perturb=1.0, epochs=0.0)()).state
    for shrink, perturb in ((0.4, 0.1), (0.9, 0.0), (1.0, 0.5)):
        found = toy.edit(lambda s=shrink, p=perturb: build(shrink=s, perturb=p, epochs=0.0)()).state
        for name, value in toy.originals.params.items():
            expected = shrink * value + perturb * noise.params[name]
            torch.testing.assert_close(found.params[name], expected, atol=1e-6, rtol=1e-5, msg=name)
            assert not torch.equal(noise.params[name], value), f"{name} is not redrawn"


def shrink_perturb(**given):
    return of("shrink_perturb", **given)


def test_parameters_are_shrunk_and_perturbed(toy):
    check_blurred(shrink_perturb, toy)


def test_parameters_of_every_layer_are_shrunk_and_norms_start_anew(image_toy):
    check_blurred(shrink_perturb, image_toy)
    edited = image_toy.edit(shrink_perturb(epochs=0)).state
    start = image_toy.learner.init(0)
    for name, value in edited.buffers.items():
        assert torch.equal(value[0], start.buffers[name])
    noise = image_toy.edit(shrink_perturb(shrink=0, perturb=1, epochs=0)).state
    for name, value in noise.params.items():
        if "norm" in name:
            assert (value == float(name.endswith("weight"))).all()


def test_noise_has_the_size_of_a_start(toy):
    noise = toy.edit(shrink_perturb(shrink=0, perturb=1, epochs=0)).state.params
    for name, value in noise.items():
        bound = (6 if name.startswith("0.") else 8) ** -0.5
        assert value.abs().max() <= bound
        if value.ndim == 3:
            assert value.abs().mean() == pytest.approx(bound / 2, rel=0.2)


def test_what_leaves_a_layer_or_a_half_of_it_out_is_caught(toy, image_toy):
    def wrong(change):
        def build(**given):
            method = shrink_perturb(**given)()

            def prepare(net, stuff, key):
                state, aux = method.prepare(net, stuff, key)
                return State(change(net, state, **given), state.buffers), aux

            return lambda: method._replace(prepare=prepare)

        return build

    def last_layer_alone(net, state, **given):
        last = max(state.params)
        return {name: (state if name == last else net).params[name] for name in state.params}

    def unshrunk(net, state, *, shrink, perturb, epochs):
        return {name: value + (1 - shrink) * net.params[name] for name, value in state.params.items()}

    def unperturbed(net, state, *, shrink, perturb, epochs):
        return {name: shrink * value if shrink else value + 1 for name, value in net.params.items()}

    for change in (last_layer_alone, unshrunk, unperturbed):
        with pytest.raises(AssertionError):
            check_blurred(wrong(change), toy)
    with pytest.raises(AssertionError):
        check_blurred(wrong(last_layer_alone), image_toy)


def test_without_shrinking_and_noise_it_is_finetuning(contract, toy):
    tuned = toy.edit(of("finetune", lr=0.5)).state
    assert contract.same_bits(toy.edit(shrink_perturb(shrink=1, perturb=0, lr=0.5)).state, tuned)
    assert contract.gap(toy.edit(shrink_perturb(lr=0.5)).state, tuned) > 0.05


def test_shrinking_forgets_what_finetuning_keeps(contract, memorised):
    known = contract.probability_on("forget")
    contract.check_moves(shrink_perturb(), memorised, known, by=-0.5)
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(shrink_perturb(shrink=1, perturb=0, lr=0.1), memorised, known, by=-0.5)


@pytest.mark.parametrize("wrong", [{"shrink": 1.5}, {"shrink": -0.1}, {"perturb": -1.0}])
def test_factors_are_checked(wrong):
    with pytest.raises(SpecError, match=next(iter(wrong))):
        shrink_perturb(**wrong)()


# ---- task vector ----


def check_mirrored(method: Method, toy, scale: float) -> None:
    """θ_o − a·(θ_FT − θ_o), with θ_FT by SGD of torch on S."""
    edited, taken = watched(toy, method)
    original, of_recipe = first(toy.originals), toy.learner.recipe
    rates, batches = [method.lr * of_recipe.lr] * len(taken), [batch["forget"][:2] for batch in taken]
    tuned = descended(original, batches, rates, momentum=of_recipe.momentum)
    assert all((tuned[name] - value).abs().max() > 1e-3 for name, value in original.items())
    check_close(first(edited), {n: value - scale * (tuned[n] - value) for n, value in original.items()})


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_a_task_vector_is_taken_off(scale, toy):
    check_mirrored(of("task_vector", scale=scale, epochs=1)(), toy, scale)


def test_a_task_vector_added_or_kept_is_caught(toy):
    method = of("task_vector", epochs=1)()

    def added(net, given, key):
        return net_of(given, lambda name, value: value + (net.params[name] - value)), ()

    def halfway(net, given, key):
        return net_of(given, lambda name, value: (net.params[name] + value) / 2), ()

    def net_of(given, change):
        params = {name: change(name, value) for name, value in given.original.params.items()}
        return State(params, given.original.buffers)

    for prepare in (added, halfway):
        with pytest.raises(AssertionError):
            check_mirrored(method._replace(then=method.then._replace(prepare=prepare)), toy, 1.0)
    with pytest.raises(AssertionError):
        check_mirrored(method._replace(then=None), toy, 1.0)


def test_a_task_vector_unlearns_s_and_finetuning_on_s_does_not(contract, memorised):
    known = contract.probability_on("forget")
    contract.check_moves(of("task_vector", scale=3, epochs=0.5), memorised, known, by=-0.05)
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(
            lambda: of("task_vector", scale=3, epochs=0.5)()._replace(then=None), memorised, known, by=-0.05
        )


def test_a_task_vector_leaves_running_statistics(image_toy):
    edited = image_toy.edit(of("task_vector")).state
    for name, value in image_toy.originals.buffers.items():
        assert torch.equal(edited.buffers[name], value)
