"""Models that stop where their retain loss has risen far enough: exactly there, each by itself."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from unweave.learners import LearnerSpec, Recipe
from unweave.learners.contract import Learner, State
from unweave.methods import METHODS, Examples, Method, run, within
from unweave.methods import loop as loop_of_methods
from unweave.methods import rise as rises
from unweave.methods.contract import forget_pass, retain_pass


def plain_rise(learner, before: State, after: State, sample: Examples) -> list[float]:
    """The rise of the mean loss of each model, written plainly."""

    def loss(state, k):
        one = State({n: v[k] for n, v in state.params.items()}, {n: v[k] for n, v in state.buffers.items()})
        return float(cross_entropy(learner.apply(one, sample.x, train=False, key=None)[0], sample.y))

    return [loss(after, k) - loss(before, k) for k in range(len(next(iter(after.params.values()))))]


# ---- a crossing known in closed form ----

START = torch.tensor([3.0, 1.0, 6.0])


def scalar(spec: LearnerSpec, *, stacked: bool = True) -> tuple[Learner, State]:
    """Models of one number a: logits (a, 0) for every example, of which all have label 0: CE = log(1 + e^−a)."""

    def apply(state, x, *, train, key):
        a = state.params["a"]
        return torch.stack([a, torch.zeros_like(a)]).expand(len(x), 2), state.buffers

    one = State({"a": torch.tensor(1.0)}, {})
    learner = Learner(spec, lambda key: one, apply, lambda state, x: x, stacked=stacked)
    return learner, State({"a": START.clone()}, {})


def crossing(start: float, by: float) -> float:
    """Where log(1 + e^−a) has risen by so much over its value at the start."""
    return -math.log((1 + math.exp(-start)) * math.exp(by) - 1)


def sets(n_forget: int = 6, n_retain: int = 10, **labels) -> dict[str, Examples]:
    return {
        name: Examples(torch.zeros(n, 1), torch.full((n,), labels.get(name, 0), dtype=torch.int64))
        for name, n in (("forget", n_forget), ("retain", n_retain))
    }


def fall(net, aux, batches, i, key):
    return net.params["a"].sum()


SPEC = LearnerSpec("scalar", {}, Recipe(lr=0.5, epochs=12, batch_size=4, momentum=0.0), (1,), 2)


@pytest.mark.parametrize("by", [0.001, 0.05, 1.0])
@pytest.mark.parametrize("stacked", [True, False])
def test_each_model_stops_where_the_crossing_is_known_to_be(by, stacked):
    learner, originals = scalar(SPEC, stacked=stacked)
    falling = Method(fall, 1.0, 0.4, passes=retain_pass)  # 36 steps of 0.2, for the price of one retraining
    edited = run(within(falling, rise=by), learner, originals, **sets(), keys=[1, 2, 3], chunk=3)
    ends = [crossing(a, by) for a in START.tolist()]
    assert edited.state.params["a"].tolist() == pytest.approx(ends, abs=2e-3)
    assert edited.reached == 3
    # Looked at after every step up to the 20th: a model pays for the step that takes it beyond.
    steps = [math.ceil((a - end) / 0.2 - 1e-9) for a, end in zip(START.tolist(), ends, strict=True)]
    assert max(steps) <= 20 or by == 1.0
    if max(steps) <= 20:
        dealt = [4, 4, 2] * 12
        assert edited.gradient_ratio == pytest.approx(sum(sum(dealt[:n]) for n in steps) / 3 / 120)
        assert edited.steps == max(steps)


def test_a_rise_that_is_never_reached_is_taken_at_the_end_and_counted():
    learner, originals = scalar(SPEC)
    slow = Method(fall, 1.0, 0.1, passes=retain_pass)  # 36 steps of 0.05: a falls by 1.8
    edited = run(within(slow, rise=0.5), learner, originals, **sets(), keys=[1, 2, 3], chunk=3)
    there = [crossing(a, 0.5) for a in START.tolist()]
    reached = [a - 1.8 <= end for a, end in zip(START.tolist(), there, strict=True)]
    assert 0 < sum(reached) < 3 and edited.reached == sum(reached)
    expected = [max(end, a - 1.8) for a, end in zip(START.tolist(), there, strict=True)]
    assert edited.state.params["a"].tolist() == pytest.approx(expected, abs=2e-3)


def drop(net, given, key):
    return State({"a": net.params["a"] - 20}, net.buffers), ()


def test_a_one_shot_edit_is_cut_on_the_line_from_the_original():
    learner, originals = scalar(SPEC)
    edited = run(
        within(Method(None, 0.0, 0.0, prepare=drop), rise=0.3),
        learner,
        originals,
        **sets(),
        keys=[1, 2, 3],
        chunk=3,
    )
    ends = [crossing(a, 0.3) for a in START.tolist()]
    assert edited.state.params["a"].tolist() == pytest.approx(ends, abs=2e-3)
    assert edited.steps == 0 and edited.gradient_ratio == 0


def test_a_later_stage_is_not_run_for_those_that_have_arrived():
    learner, originals = scalar(SPEC)

    def lower(net, aux, batches, i, key):  # takes the second model alone beyond the rise
        return net.params["a"].sum() * (net.params["a"].sum() < 2)

    second = Method(fall, 1.0, 0.4, passes=retain_pass)
    first = Method(lower, 1 / 12, 4.0, passes=lambda plan: ["retain"], then=second)
    edited = run(within(first, rise=0.3, cost=1.1), learner, originals, **sets(), keys=[1, 2, 3], chunk=3)
    assert edited.epochs == 12
    ends = [crossing(a, 0.3) for a in START.tolist()]
    assert edited.state.params["a"].tolist() == pytest.approx(ends, abs=2e-3)
    steps = [math.ceil((a - end) / 0.2) for a, end in zip(START.tolist(), ends, strict=True)]
    assert steps[2] > 20  # looked at after 20, 21, 23, 25 …
    dealt = [4, 4, 2] * 12
    looked = next(n for n in sorted(rises.looks(["retain"] * 36, retain_batches=3, per_epoch=3)) if n >= steps[2])
    assert edited.gradient_ratio == pytest.approx((3 * 4 + sum(dealt[: steps[0]]) + sum(dealt[:looked])) / 3 / 120)


def rising(net, aux, batches, i, key):
    return -net.params["a"].sum()


def sink(net, given, key):
    return State({"a": net.params["a"] - 4}, net.buffers), ()


@pytest.mark.parametrize("in_stages", [False, True])
def test_what_is_repaired_after_a_leap_stops_on_its_way_back(in_stages):
    """All models fall by 4 at one go, and climb again by 0.2 in each of 36 steps."""
    learner, originals = scalar(SPEC)
    method = Method(rising, 1.0, 0.4, passes=retain_pass, prepare=None if in_stages else sink)
    if in_stages:
        method = Method(None, 0.0, 0.0, prepare=sink, then=method)
    edited = run(within(method, rise=0.3), learner, originals, **sets(), keys=[1, 2, 3], chunk=3)
    ends = [crossing(a, 0.3) for a in START.tolist()]
    beyond = [a - 4 < end for a, end in zip(START.tolist(), ends, strict=True)]
    assert beyond == [True, True, False]
    # The third is never beyond, and ends where 36 steps take it.
    assert edited.state.params["a"].tolist() == pytest.approx([*ends[:2], 6 - 4 + 7.2], abs=2e-3)
    assert edited.reached == 2


def test_what_does_not_come_back_is_cut_on_the_line_to_its_end():
    learner, originals = scalar(SPEC)
    method = Method(rising, 1.0, 0.01, passes=retain_pass, prepare=sink)
    edited = run(within(method, rise=0.05), learner, originals, **sets(), keys=[1, 2, 3], chunk=3)
    assert edited.state.params["a"].tolist() == pytest.approx(
        [crossing(a, 0.05) for a in START.tolist()], abs=2e-3
    )
    assert edited.gradient_ratio == pytest.approx(1.0)


# ---- stages that are no place to stop ----


def test_a_model_is_not_stopped_in_what_only_prepares_the_next_stage():
    """Down by 9 first, where no model stops; then up by 0.2 in each of 36 steps, on which each stops."""
    learner, originals = scalar(SPEC)
    back = Method(rising, 1.0, 0.4, passes=retain_pass)
    first = Method(fall, 1.0, 0.5, passes=retain_pass, then=back)
    ends = [crossing(a, 0.3) for a in START.tolist()]
    stopped = run(within(first, rise=0.3, cost=2.0), learner, originals, **sets(), keys=[1, 2, 3], chunk=3)
    assert stopped.steps <= 36  # on the way down
    first = first._replace(scaffold=True)
    edited = run(within(first, rise=0.3, cost=2.0), learner, originals, **sets(), keys=[1, 2, 3], chunk=3)
    # Up to 7.2 back: the first two pass the crossing on their way, as does the third.
    assert edited.state.params["a"].tolist() == pytest.approx(ends, abs=2e-3)
    assert edited.reached == 3 and edited.steps > 36
    unmet = run(within(first, rise=20.0, cost=2.0), learner, originals, **sets(), keys=[1, 2, 3], chunk=3)
    assert unmet.reached == 0 and unmet.state.params["a"].tolist() == pytest.approx(
        (START - 1.8).tolist(), abs=1e-4
    )


def test_a_task_vector_is_cut_between_the_original_and_its_mirror_image(toy):
    """At θ_o − b·τ with one b for all parameters of a model, and never on the way to θ_FT."""
    method = METHODS.get("task_vector").build(epochs=1.0)
    towards = toy.edit(lambda: method._replace(then=None, scaffold=False)).state.params
    edited = toy.edit(lambda: within(method, rise=0.02, cost=0.34))
    check_exact(toy, edited, 0.02)
    plain = toy.edit(lambda: method).state
    assert min(plain_rise(toy.learner, toy.originals, plain, toy.retain)) > 0.02
    for k in range(len(toy.keys)):
        tau, moved = (
            torch.cat([(params[n][k] - toy.originals.params[n][k]).flatten() for n in sorted(params)])
            for params in (towards, edited.state.params)
        )
        share = float(-(moved @ tau) / (tau @ tau))
        assert 0 < share < 1
        torch.testing.assert_close(moved, -share * tau, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", ["task_vector", "unsir", "undo", "rem", "rem_etd"])
def test_stages_that_leave_no_result_of_a_method_say_so(name):
    """All but the last; of REM each flush, and no repair."""
    told = [stage.scaffold for stage in METHODS.get(name).build().stages()]
    assert told == [True, False] * (len(told) // 2)


def test_every_end_of_a_round_and_of_a_method_in_a_row_is_a_result():
    for name in ("minnorm_og", "gradient_ascent then finetune"):
        assert not any(stage.scaffold for stage in METHODS.get(name).build().stages())


def test_the_rise_is_that_of_the_retain_data_and_not_of_the_forget_set():
    """Labels of S are 1: its loss falls while that of D∖S rises."""
    learner, originals = scalar(SPEC)
    falling = Method(fall, 1.0, 0.4, passes=forget_pass)
    edited = run(within(falling, rise=0.1), learner, originals, **sets(forget=1), keys=[1, 2, 3], chunk=3)
    assert edited.state.params["a"].tolist() == pytest.approx([crossing(a, 0.1) for a in START.tolist()], abs=2e-3)


def test_a_model_that_diverges_between_two_looks_stays_where_it_was_last_seen():
    learner, originals = scalar(SPEC)

    def blow(net, aux, batches, i, key):
        return net.params["a"].sum() * (1.0 if i < 2 else float("inf"))

    method = Method(blow, 1.0, 0.02, passes=retain_pass)
    edited = run(within(method, rise=1.0), learner, originals, **sets(), keys=[1, 2, 3], chunk=3)
    assert edited.state.params["a"].tolist() == pytest.approx((START - 0.02).tolist(), abs=1e-6)
    assert edited.reached == 0


# ---- nets ----


@pytest.fixture(params=["by hand", "stacked", "one by one"])
def engine(request, toy):
    learner = toy.learner
    if request.param != "by hand":
        learner = replace(learner, dense=None, stacked=request.param == "stacked")
    return toy._replace(learner=learner)


STRONG = {
    "gradient_ascent": {"lr": 0.3},
    "scrub": {"lr": 1.0, "alpha": 0.001, "gamma": 0.1},
    "random_label": {},
    "eu_k": {},
    "npo": {"retain_weight": 0.1, "lr": 1.0},
    "ssd": {"alpha": 0.1, "strength": 0.1},
    "ssd then gradient_ascent": {"gradient_ascent.lr": 1.0},
}


def check_exact(toy, edited, by: float) -> None:
    """Every model is within a hundredth of the wanted rise and never above it."""
    found = plain_rise(toy.learner, toy.originals, edited.state, toy.retain)
    assert edited.reached == len(toy.keys)
    assert all(0.99 * by <= rise <= by * (1 + 1e-4) for rise in found), found


@pytest.mark.parametrize("by", [0.01, 0.1])
@pytest.mark.parametrize("name", STRONG)
def test_the_rise_is_exact(name, by, toy):
    check_exact(toy, toy.edit(lambda: within(name, rise=by, cost=5.0, params=STRONG[name])), by)


@pytest.mark.parametrize("name", ["gradient_ascent", "random_label"])
def test_the_rise_is_exact_by_every_engine(name, engine):
    check_exact(engine, engine.edit(lambda: within(name, rise=0.1, cost=5.0, params=STRONG[name])), 0.1)


@pytest.mark.parametrize("name", STRONG)
def test_a_model_stops_where_it_does_alone(name, toy, contract):
    build = lambda: within(name, rise=0.1, cost=5.0, params=STRONG[name])  # noqa: E731
    together, apart = toy.edit(build), toy.edit(build, chunk=1)
    assert contract.gap(apart.state, together.state) <= 1e-5
    assert apart.gradient_ratio == pytest.approx(together.gradient_ratio)
    assert apart.reached == together.reached
    contract.check_input_untouched(build, toy)


@pytest.mark.parametrize("name", ["npo", "ssd", "random_label"])
def test_one_by_one_is_what_is_stacked(name, toy, contract):
    build = lambda: within(name, rise=0.1, cost=5.0, params=STRONG[name])  # noqa: E731
    single = toy._replace(learner=replace(toy.learner, dense=None, stacked=False))
    assert contract.gap(single.edit(build).state, toy.edit(build).state) <= 1e-4


def test_nets_of_images_with_their_buffers(image_toy):
    build = lambda: within("gradient_ascent", rise=0.1, cost=5.0, params={"lr": 1.0})  # noqa: E731
    check_exact(image_toy, image_toy.edit(build), 0.1)


def test_descending_on_the_retain_data_never_gets_there(toy):
    edited = toy.edit(lambda: within("finetune", rise=0.5))
    assert edited.reached == 0 and edited.epochs == 3
    assert edited.gradient_ratio == pytest.approx(1.0)  # the stated cap


# ---- planted ----


def strong_ascent():
    return within("gradient_ascent", rise=0.1, cost=5.0, params={"lr": 0.3})


def test_a_rise_of_the_forget_loss_is_caught(monkeypatch, toy):
    right = rises.Rises
    wrong = lambda learner, original, sample, by: right(learner, original, toy.forget, by)  # noqa: E731
    check_exact(toy, toy.edit(strong_ascent), 0.1)
    monkeypatch.setattr(loop_of_methods, "Rises", wrong)
    with pytest.raises(AssertionError):
        check_exact(toy, toy.edit(strong_ascent), 0.1)


class Overshooting(rises.Rises):
    """Takes the end of the segment, which lies beyond."""

    def final(self, state: State) -> State:
        return rises.where(self.met, self._far, state)


class Early(rises.Rises):
    """Takes the last point at which the rise was not yet reached, and cuts nothing."""

    def final(self, state: State) -> State:
        return rises.where(self.met, self._near, state)


class Together(rises.Rises):
    """Stops all models as soon as one has arrived."""

    def look(self, state: State) -> None:
        super().look(state)
        if self._met.any():
            self._stop(~self._met, near=state, far=state)


@pytest.mark.parametrize("wrong", [Overshooting, Early, Together])
def test_a_wrong_cut_is_caught(wrong, monkeypatch, toy):
    monkeypatch.setattr(loop_of_methods, "Rises", wrong)
    with pytest.raises(AssertionError):
        check_exact(toy, toy.edit(strong_ascent), 0.1)


# ---- where models are looked at ----


def test_ends_of_epochs_of_methods_that_disturb_and_repair():
    """SCRUB: epochs of a pass over S and one over D∖S, then of D∖S alone."""
    order = (["forget"] * 2 + ["retain"] * 4) * 3 + ["retain"] * 4
    assert sorted(rises.looks(order, retain_batches=4, per_epoch=5)) == [6, 12, 18, 22]


def test_looks_become_rarer_but_never_by_more_than_a_twentieth():
    chosen = sorted(rises.looks(["forget"] * 2760, retain_batches=22, per_epoch=1))
    assert chosen[:20] == list(range(1, 21)) and chosen[-1] == 2760
    assert all(b <= math.ceil(1.05 * a) for a, b in zip(chosen, chosen[1:], strict=False))
    assert len(chosen) < 130


def test_without_steps_there_is_one_look_at_none():
    assert rises.looks([], retain_batches=4, per_epoch=1) == {0}


def test_a_fixed_sample_is_spread_over_all_of_the_data():
    many = Examples(torch.arange(2500.0)[:, None], torch.zeros(2500, dtype=torch.int64))
    rows = rises.fixed_sample(many).x[:, 0].tolist()
    assert len(set(rows)) == 1000 and rows[0] == 0 and rows[-1] >= 2497
    assert rises.fixed_sample(rises.fixed_sample(many)) is not None


def test_the_strong_methods_are_registered():
    assert {name.split(" then ")[0] for name in STRONG} <= set(METHODS.names())
