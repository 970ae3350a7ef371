"""What else a method may ask of the loop: its history, an adversary, projections, a stop, a next stage."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from unweave._errors import UserError
from unweave._random import derive
from unweave.learners.contract import State
from unweave.methods import METHODS, History, Method, Rewind
from unweave.methods.contract import forget_pass, retain_pass
from unweave.training.replay import replay


def on_retain(net, aux, batches, i, key):
    return cross_entropy(net(batches["retain"].x), batches["retain"].y)


@pytest.fixture(params=["by hand", "stacked", "one by one"])
def engine(request, toy):
    """The toy by every way its steps may be taken."""
    learner = toy.learner
    if request.param != "by hand":
        learner = replace(learner, dense=None, stacked=request.param == "stacked")
    return toy._replace(learner=learner)


# ---- history ----


def check_repeated(contract, toy) -> None:
    seen = []
    again = replay(
        toy.learner,
        toy.training,
        begin=lambda params: seen.append(params),
        on_step=lambda number, rows, before, after, buffers: seen.append(after),
    )
    assert contract.same_bits(again, toy.originals)
    assert len(seen) == 1 + 3 * 5  # 40 examples in batches of 8
    for name, value in toy.originals.params.items():
        assert torch.equal(seen[-1][name], value) and not torch.equal(seen[-2][name], value)


def test_training_is_repeated_to_the_bit(contract, toy):
    check_repeated(contract, toy)


def test_training_of_images_is_repeated_to_the_bit(contract, image_toy):
    check_repeated(contract, image_toy.only(1))
    if not image_toy.learner.stacked:
        with pytest.raises(ValueError, match="one key"):
            check_repeated(contract, image_toy)


def test_steps_shown_are_those_taken_and_batches_those_visited(engine):
    engine = engine if engine.learner.stacked else engine.only(2)
    visited = torch.zeros(len(engine.keys), 40)
    changes = []

    def on_step(number, rows, before, after, buffers):
        assert number == len(changes)
        visited.scatter_add_(1, rows, torch.ones(rows.shape))
        changes.append({name: after[name] - before[name] for name in after})

    first = []
    final = replay(engine.learner, engine.training, begin=first.append, on_step=on_step)
    assert (visited == 3).all()  # each example once per epoch
    for name, value in final.params.items():
        torch.testing.assert_close(first[0][name] + sum(one[name] for one in changes), value, atol=1e-5, rtol=1e-5)


def test_what_a_step_began_with_is_shown_buffers_included(contract, image_toy):
    """The last parameters and buffers of a step are the first of the next: together they are a checkpoint."""
    alone, moments, after = image_toy.only(0), [], []

    def on_step(number, rows, before, now, buffers):
        moments.append(State(before, buffers))
        after.append(now)

    final = replay(alone.learner, alone.training, begin=lambda params: None, on_step=on_step)
    for number, moment in enumerate(moments):
        for name, value in moment.params.items():
            assert number == 0 or torch.equal(value, after[number - 1][name])
        for name, value in moment.buffers.items():
            if name.endswith("num_batches_tracked"):
                assert value.item() == number
            elif name.endswith("running_mean"):
                assert not torch.equal(value, final.buffers[name])


def summed(net, given, key):
    """θ_o less every step of training: the parameters before training."""
    return State({name: net.params[name] - moved for name, moved in given.history[0].items()}, net.buffers), ()


HISTORY = History(
    begin=lambda params: ({name: torch.zeros_like(value) for name, value in params.items()}, torch.tensor(0)),
    follow=lambda carried, moment: (
        {name: carried[0][name] + moment.after[name] - moment.before[name] for name in carried[0]},
        carried[1] + moment.forget.sum(),
    ),
)


def test_a_method_is_given_what_it_made_of_its_history(engine):
    counts = []

    def prepare(net, given, key):
        counts.append(given.history[1])
        return summed(net, given, key)

    edited = engine.edit(lambda: Method(None, 0.0, 0.0, prepare=summed, history=HISTORY)).state
    for k, key in enumerate(engine.training.keys):
        for name, value in engine.learner.init(key).params.items():
            torch.testing.assert_close(edited.params[name][k], value, atol=1e-5, rtol=1e-5)
    alone = engine.only(0)
    alone._replace(learner=replace(alone.learner, dense=None, stacked=False)).edit(
        lambda: Method(None, 0.0, 0.0, prepare=prepare, history=HISTORY)
    )
    assert [int(count) for count in counts] == [3 * 10]  # S once per epoch


def test_the_start_alone_is_that_of_a_training_that_is_followed(engine, contract):
    def back_to(net, given, key):
        return State(given.history, net.buffers), ()

    followed, alone = (
        engine.edit(lambda f=follow: Method(None, 0.0, 0.0, prepare=back_to, history=History(dict, f))).state
        for follow in (lambda carried, moment: carried, None)
    )
    assert contract.same_bits(followed, alone) and contract.gap(alone, engine.originals) > 0.01


def test_history_does_not_depend_on_the_stack(contract, toy):
    build = lambda: Method(None, 0.0, 0.0, prepare=summed, history=HISTORY)  # noqa: E731
    assert contract.same_bits(toy.edit(build).state, toy.edit(build, chunk=2).state)


def test_a_model_of_unknown_training_is_refused(toy):
    with pytest.raises(UserError, match="how this model was trained"):
        toy._replace(training=None).edit(lambda: Method(None, 0.0, 0.0, prepare=summed, history=HISTORY))


# ---- respond ----


def counting(net, aux, batches, i, key):
    return aux + net(batches["retain"].x).abs().mean()


def test_what_is_carried_is_read_by_the_step_and_changed_before_it(engine):
    """Each step is weighted by what was carried into it: 1 in the first, 0 afterwards."""

    def prepare(net, given, key):
        return State(net.params, net.buffers), torch.tensor(2.0)

    def step(net, aux, batches, i, key):
        return (aux > 0) * on_retain(net, aux, batches, i, key)

    recipe = replace(engine.learner.recipe, momentum=0.0)
    plain = engine._replace(learner=replace(engine.learner, spec=replace(engine.learner.spec, recipe=recipe)))
    one = plain.edit(
        lambda: Method(
            step, 1.0, 0.5, prepare=prepare, passes=lambda plan: ["retain"] * 3, respond=lambda *a: a[1] - 1
        )
    )
    first = plain.edit(lambda: Method(on_retain, 1.0, 0.5, passes=lambda plan: ["retain"]))
    for name, value in first.state.params.items():
        torch.testing.assert_close(one.state.params[name], value, atol=1e-6, rtol=1e-5)


def test_an_adversary_sees_the_net_and_its_batch_and_does_not_move_it(engine, contract):
    def prepare(net, given, key):
        return State(net.params, net.buffers), torch.tensor(0.0)

    def idle(net, aux, batches, i, key):
        return 0 * net(batches["retain"].x).sum() + 0 * aux

    edited = engine.edit(lambda: Method(idle, 1.0, 0.5, prepare=prepare, respond=counting))
    assert contract.gap(edited.state, engine.originals) == 0


# ---- project ----


def halves(aux, update):
    return {name: value * 0.5 for name, value in update.items()}


def test_a_projected_update_is_the_map_of_the_update(engine):
    recipe = replace(engine.learner.recipe, momentum=0.5, weight_decay=0.1)
    decaying = engine._replace(learner=replace(engine.learner, spec=replace(engine.learner.spec, recipe=recipe)))
    once = lambda plan: ["retain"]  # noqa: E731
    whole = decaying.edit(lambda: Method(on_retain, 1.0, 0.5, passes=once)).state
    half = decaying.edit(lambda: Method(on_retain, 1.0, 0.5, passes=once, project=halves)).state
    for name, before in decaying.originals.params.items():
        torch.testing.assert_close(
            half.params[name] - before, (whole.params[name] - before) / 2, atol=1e-6, rtol=1e-4
        )


# ---- until ----


def test_each_model_stops_at_its_own_epoch(engine, contract):
    """Models go on while their bias is below a bound that one of them passes early, one late, one never."""

    def step(net, aux, batches, i, key):
        return -net.params["1.bias"][0]

    recipe = replace(engine.learner.recipe, momentum=0.0, lr=1.0)
    learner = replace(engine.learner, spec=replace(engine.learner.spec, recipe=recipe))
    params = {name: value.clone() for name, value in engine.originals.params.items()}
    params["1.bias"][:, 0] = torch.tensor([5.0, -2.0, -100.0])
    given = engine._replace(learner=learner, originals=State(params, {}))

    def until(net, aux, given):
        return net.params["1.bias"][0] > 4.5

    method = Method(step, 3.0, 1.0, passes=forget_pass, until=until)  # 9 epochs of 2 steps
    edited = given.edit(lambda: method)
    assert edited.state.params["1.bias"][:, 0].tolist() == pytest.approx([5.0, 6.0, -82.0])
    assert edited.steps == 18
    assert edited.gradient_ratio == pytest.approx((0 + 4 * 10 + 9 * 10) / 3 / 90)
    assert contract.same_bits(given.only(0).edit(lambda: method).state, given.only(0).originals)
    for chunk in (1, 2):
        apart = given.edit(lambda: method, chunk=chunk)
        assert contract.gap(apart.state, edited.state) <= 1e-6
        assert apart.gradient_ratio == edited.gradient_ratio and apart.steps == edited.steps


# ---- rewind ----


@pytest.fixture
def counted(engine):
    """Models of which a bias goes up by 1 in every step, from 5, −2 and −100."""
    recipe = replace(engine.learner.recipe, momentum=0.0, lr=1.0)
    learner = replace(engine.learner, spec=replace(engine.learner.spec, recipe=recipe))
    params = {name: value.clone() for name, value in engine.originals.params.items()}
    params["1.bias"][:, 0] = torch.tensor([5.0, -2.0, -100.0])
    return engine._replace(learner=learner, originals=State(params, {}))


def bias(net, aux, given):
    return net.params["1.bias"][0]


def climb(**more) -> Method:
    """9 epochs of 2 steps."""
    return Method(lambda net, *given: -net.params["1.bias"][0], 3.0, 1.0, passes=forget_pass, **more)


def reached(toy, build) -> list[float]:
    return toy.edit(build).state.params["1.bias"][:, 0].tolist()


def test_each_model_goes_back_to_its_own_epoch(counted, contract):
    near = climb(rewind=Rewind(bias, lambda then, last: (then - 7.2).abs()))
    # 7, 9, … as 5 is no candidate; …, 6, 8, …; and never there.
    assert reached(counted, lambda: near) == pytest.approx([7, 8, -82])
    edited = counted.edit(lambda: near)
    assert edited.steps == 18 and edited.gradient_ratio == pytest.approx(9 * 10 / 90)
    for chunk in (1, 2):
        assert contract.gap(counted.edit(lambda: near, chunk=chunk).state, edited.state) <= 1e-6
    assert reached(counted, climb) == pytest.approx([23, 16, -82])


def test_a_score_knows_the_last_epoch_and_the_first_of_equals_counts(counted):
    back = climb(rewind=Rewind(bias, lambda then, last: (then - (last - 5)).abs()))
    assert reached(counted, lambda: back) == pytest.approx([17, 10, -88])  # 13 steps lie between 12 and 14
    same = climb(rewind=Rewind(bias, lambda then, last: 0 * then))
    assert reached(counted, lambda: same) == pytest.approx([7, 0, -98])


def test_epochs_may_be_of_different_lengths(counted):
    high = Rewind(bias, lambda then, last: -then, lambda plan: [3, 4, plan.epochs + 2])
    assert reached(counted, lambda: climb(rewind=high)) == pytest.approx([16, 9, -89])


def test_a_model_that_stopped_is_noted_as_it_stopped(counted):
    held = climb(until=lambda net, aux, given: bias(net, aux, given) > 8.5, rewind=Rewind(bias, lambda a, z: -a))
    assert reached(counted, lambda: held) == pytest.approx([9, 10, -82])


def test_what_is_measured_are_the_models_in_use_and_all_their_data(engine):
    """The epoch is chosen by losses of three sets, and for a model whose loss only grows it is the first."""

    def measure(net, aux, given):
        sets = given.forget, given.retain, given.validation
        return sum(cross_entropy(net(x), y) for x, y in sets) + aux

    def prepare(net, given, key):
        return State(net.params, net.buffers), torch.tensor(1.0)

    def away(net, aux, batches, i, key):
        return -on_retain(net, aux, batches, i, key)

    rewind = Rewind(measure, lambda then, last: then)
    long, short = (Method(away, epochs, 0.1, prepare=prepare, rewind=rewind) for epochs in (1.0, 1 / 3))
    one, all_ = engine.edit(lambda: short).state, engine.edit(lambda: long).state
    assert all(torch.equal(one.params[name], value) for name, value in all_.params.items())
    grown = engine.edit(lambda: long._replace(rewind=None)).state
    assert not torch.equal(grown.params["1.bias"], one.params["1.bias"])


def test_running_statistics_go_back_with_the_parameters(image_toy):
    rewind = Rewind(lambda net, aux, given: torch.zeros(()), lambda then, last: then)
    tune = Method(on_retain, 1.0, 0.1, passes=retain_pass)
    first = image_toy.edit(lambda: tune._replace(epochs=1 / 3)).state
    back = image_toy.edit(lambda: tune._replace(rewind=rewind)).state
    for one, two in zip(first, back, strict=True):
        assert all(torch.equal(one[name], value) for name, value in two.items())


# ---- then ----


def test_stages_follow_one_another_and_cost_their_sum(engine, contract):
    one = METHODS.get("gradient_ascent").build(lr=0.05)
    two = METHODS.get("finetune").build()
    both = engine.edit(lambda: one._replace(then=two))
    first = engine.edit(lambda: one)
    second = engine._replace(originals=first.state, keys=[derive(key, "stage", 1) for key in engine.keys]).edit(
        lambda: two
    )
    assert contract.same_bits(both.state, second.state)
    assert both.steps == first.steps + second.steps
    assert both.gradient_ratio == pytest.approx(first.gradient_ratio + second.gradient_ratio)


def test_a_later_stage_knows_the_model_as_deployed(engine):
    """A task vector: the mirror image of fine-tuning about the original."""
    tune = Method(on_retain, 1.0, 0.5, passes=retain_pass)

    def mirror(net, given, key):
        return State({n: 2 * given.original.params[n] - v for n, v in net.params.items()}, net.buffers), ()

    there = engine.edit(lambda: tune).state
    back = engine.edit(lambda: tune._replace(then=Method(None, 0.0, 0.0, prepare=mirror))).state
    for name, value in engine.originals.params.items():
        torch.testing.assert_close(back.params[name] + there.params[name], 2 * value, atol=1e-5, rtol=1e-5)


# ---- validation ----


def test_a_step_may_ask_for_a_batch_of_the_validation_set(engine):
    def step(net, aux, batches, i, key):
        x, y, position = batches["validation"]
        wrong = (engine.validation.x[position] - x).abs().sum() + (engine.validation.y[position] != y).sum()
        return wrong * 1e3 * sum(value.sum() for value in net.params.values())

    edited = engine.edit(lambda: Method(step, 1.0, 1.0, passes=lambda plan: ["all"] * 5))
    assert all(torch.equal(value, engine.originals.params[name]) for name, value in edited.state.params.items())
    assert edited.gradient_ratio == pytest.approx((8 + 2 + 8 + 2 + 8 + 3 * 8 + 6 + 8 + 5 * 8) / 90)


def test_an_empty_validation_set_is_refused(toy):
    empty = type(toy.forget)(toy.forget.x[:0], toy.forget.y[:0])
    with pytest.raises(UserError, match="validation set is empty"):
        toy._replace(validation=empty).edit(METHODS.get("noop").build)
