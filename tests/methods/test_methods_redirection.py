"""Methods that redirect what S taught: REM on models trained with example-tied dropout, and with added units."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, logsigmoid

from unweave._errors import SpecError
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import key_tensor
from unweave.methods import METHODS, Batch, Examples, Method, Net, widening
from unweave.methods.contract import Rewind, forget_pass
from unweave.methods.meta import staged
from unweave.methods.preference import negative_preference
from unweave.methods.redirection import shared_mask, with_units
from unweave.methods.sites import Site, moved
from unweave.study.methods import refusal
from unweave.training.engine import stack, unstack

NAME = "rem_etd"


def of(**params: float):
    return lambda: METHODS.get(NAME).build(**params)


def toy_of(contract, learner, x, y, forget: int):
    held_out = Examples(x[:4], y[:4])
    return contract.trained_toy(learner, x, y, forget=forget, keys=[11, 12], validation=held_out)


@pytest.fixture(scope="module")
def tied(contract):
    """Two nets with example-tied dropout that learned of S that a large last number means class 2."""
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    x[:10, 5], y[:10] = 4.0, 2
    config = {"width": 64, "depth": 1, "etd": 0.2, "p_gen": 0.25}
    recipe = {"epochs": 40, "batch_size": 20, "lr": 0.2}
    return toy_of(contract, build(specify("mlp", (6,), 3, config=config, recipe=recipe)), x, y, 10)


@pytest.fixture(scope="module")
def tied_images(contract):
    x = torch.rand(24, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(24) % 3
    recipe = {"epochs": 2, "batch_size": 8, "lr": 0.05}
    learner = build(specify("cnn", (8, 8), 3, config={"channels": 4, "etd": 0.3}, recipe=recipe))
    return toy_of(contract, learner, x, y, 6)


# ---- the contract, on nets that have units to lead S into ----


@pytest.mark.parametrize("which", ["tied", "tied_images"])
def test_the_contract_of_methods_holds_on_tied_nets(which, contract, request):
    toy = request.getfixturevalue(which)
    few = of(epochs=2 / 40, flush_epochs=5 / 40)
    contract.check_stacking(few, toy)
    contract.check_reproducible(few, toy)
    contract.check_input_untouched(few, toy)
    contract.check_identity(of(epochs=0.0, flush_epochs=0.0), toy)
    contract.check_changed(few, toy)
    contract.check_cost(few, toy)
    contract.check_finite(few, toy)
    assert torch.equal(toy.edit(few).state.buffers["etd.key"], toy.originals.buffers["etd.key"])


# ---- the loss ----


def losses_by_hand(toy, k: int, net: Net, beta: float) -> tuple[float, float]:
    """Both stages' losses on all of D, example by example, of a net against original k."""
    tied, original = toy.learner.tied, unstack(toy.originals)[k]
    one = tied.drawn(original.buffers, torch.tensor([42]))[0]
    assert (tied.masks(original.buffers, toy.forget.x) != one).any()  # not all have it as their own
    state, n = State(net.params, net.buffers), len(toy.forget.y)
    flush, total = 0.0, 0.0

    def ce(of_state: State, x, y, mask) -> torch.Tensor:
        return cross_entropy(tied.apply(of_state, x[None], mask), y[None])

    for part, examples in (("S", toy.forget), ("rest", toy.retain)):
        own = tied.masks(original.buffers, examples.x)
        for i, (x, y) in enumerate(zip(*examples, strict=True)):
            mask = one if part == "S" else own[i]
            before = ce(original, x, y, mask)
            total += float(2 / beta * logsigmoid(beta * (ce(state, x, y, mask) - before)))
            if part == "S":
                removed = float(-2 / beta * logsigmoid(beta * (ce(state, x, y, tied.general) - before)))
                total, flush = total + removed, flush + removed
    return flush / n, total / (n + len(toy.retain.y))


def found_losses(toy, k: int, net: Net, method: Method) -> tuple[float, float]:
    original = Net(toy.learner, unstack(toy.originals)[k], train=False)
    key, found = key_tensor([3])[0], []
    for stage in method.stages()[:2]:
        _, aux = stage.prepare(original, toy.given(original), key)
        batches = {
            name: Batch(*part, torch.arange(len(part.y)))
            for name, part in (("forget", toy.forget), ("retain", toy.retain))
        }
        found.append(float(stage.step(net, aux, batches, 0, key)))
    return found[0], found[1]


def disturbed(toy, k: int) -> Net:
    original = unstack(toy.originals)[k]
    rng = torch.Generator().manual_seed(1)
    params = {n: v + 0.1 * torch.randn(v.shape, generator=rng) for n, v in original.params.items()}
    return Net(toy.learner, State(params, original.buffers))


@pytest.mark.parametrize("which", ["tied", "tied_images"])
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_the_losses_are_those_of_redirection_and_removal(which, beta, request):
    toy = request.getfixturevalue(which)
    net = disturbed(toy, 1)
    expected = losses_by_hand(toy, 1, net, beta)
    assert found_losses(toy, 1, net, of(beta=beta)()) == pytest.approx(expected, rel=1e-4)


# ---- stage 1 ----


def right_in_use(toy, state: State) -> list[float]:
    """Share of S that gets the label trained on, of each model in use."""
    found = []
    for one in unstack(state):
        logits = toy.learner.apply(one, toy.forget.x, train=False, key=None)[0]
        found.append(float((logits.argmax(-1) == toy.forget.y).float().mean()))
    return found


def test_removal_stops_at_gamma_and_moves_no_unit_of_memorisation(tied):
    assert min(right_in_use(tied, tied.originals)) == 1.0
    edited = tied.edit(lambda: of()()._replace(then=None))
    assert 0 < edited.steps < 100  # of one step an epoch, before the cap
    assert max(right_in_use(tied, edited.state)) <= 0.2 + 1e-6
    capped = tied.edit(lambda: of(flush_epochs=5 / 40)()._replace(then=None))
    assert capped.steps == 5 and min(right_in_use(tied, capped.state)) > 0.2
    off = tied.learner.tied.general == 0
    for name, value in edited.state.params.items():
        before = tied.originals.params[name]
        if name in ("0.weight", "0.bias"):
            assert torch.equal(value[:, off], before[:, off]) and not torch.equal(value[:, ~off], before[:, ~off])
        if name == "1.weight":
            assert torch.equal(value[..., off], before[..., off])


# ---- stage 2 ----


def check_led_away(toy, build) -> None:
    """With the shared units S is still known; in use it is gone, and the rest is kept."""
    state = toy.edit(build).state
    shown, used, kept = [], [], []
    for one in unstack(state):
        net = Net(toy.learner, one, train=False)
        with_mask = with_units(net, toy.forget.x, shared_mask(net)).argmax(-1) == toy.forget.y
        shown.append(float(with_mask.float().mean()))
        used.append(float((net(toy.forget.x).argmax(-1) == toy.forget.y).float().mean()))
        kept.append(float((net(toy.retain.x).argmax(-1) == toy.retain.y).float().mean()))
    assert min(shown) >= 0.8, ("not redirected", shown)
    assert max(used) <= 0.3, ("not removed", used)
    assert min(kept) >= 0.85, ("not kept", kept)


def one_round() -> Method:
    """A flush that ends where it says, without momentum to carry it on, and a repair."""
    method = of(epochs=1.0, every=1.0)()
    return method._replace(then=method.then._replace(carries=False))


def without(what: str) -> Method:
    """REM without one of its terms: everything else as it is."""
    method = one_round()
    second = method.then
    assert second is not None and second.step is not None and second.prepare is not None

    def prepare(net, given, key):
        state, (mask, *rest) = second.prepare(net, given, key)
        return state, (net.learner.tied.general if what == "redirection" else mask, *rest)

    def kept_and_led(net, aux, batches, i, key):
        loss = second.step(net, aux, batches, i, key)
        x, y, position = batches["forget"]
        logits = net.learner.tied.apply(State(net.params, net.buffers), x, net.learner.tied.general)
        now = cross_entropy(logits, y, reduction="none")
        return loss - aux[3] * negative_preference(now, aux[1][position], beta=1.0).mean()

    step = kept_and_led if what == "removal" else second.step
    return method._replace(then=second._replace(prepare=prepare, step=step, rewind=None))


def test_rem_leads_s_into_units_that_are_off_in_use(tied):
    method = one_round()
    check_led_away(tied, lambda: method._replace(then=method.then._replace(rewind=None)))


@pytest.mark.parametrize(("what", "said"), [("redirection", "not redirected"), ("removal", "not removed")])
def test_each_term_is_needed(what, said, tied):
    with pytest.raises(AssertionError, match=said):
        check_led_away(tied, lambda: without(what))


# ---- rounds, and the choice among them ----


def test_each_repair_comes_after_a_flush_and_all_share_one_choice():
    stages = of(epochs=3 / 40)().stages()
    assert [stage.until is not None for stage in stages] == [True, False] * 3
    assert [stage.epochs for stage in stages[1::2]] == pytest.approx([1 / 40] * 3)
    assert len({id(stage.rewind) for stage in stages[1::2]}) == 1 and stages[1].rewind is not None
    assert len(of(epochs=0.0)().stages()) == 2


def first_bias(net: Net, aux: object, given: object) -> torch.Tensor:
    return net.params["1.bias"][0]


def test_stages_with_one_and_the_same_rewind_choose_once_among_all_their_epochs(tied):
    stages = [
        stage._replace(then=None, rewind=None) for stage in of(epochs=4 / 40, flush_epochs=1 / 40)().stages()
    ]
    after = [tied.edit(lambda n=n: staged(*stages[: 2 * n])).state.params["1.bias"][:, 0] for n in range(1, 5)]
    for sign in (1, -1):
        choice = Rewind(first_bias, lambda then, last, sign=sign: sign * then)
        shared = [s._replace(rewind=choice) if place % 2 else s for place, s in enumerate(stages)]
        found = tied.edit(lambda shared=shared: staged(*shared)).state.params["1.bias"][:, 0]
        assert torch.equal(found, sign * (sign * torch.stack(after)).amin(0))
    assert (torch.stack(after).amin(0) < torch.stack(after).amax(0)).all()


def test_the_choice_is_of_what_is_kept_times_what_is_gone(tied):
    rewind = of()().then.rewind
    net = Net(tied.learner, unstack(tied.originals)[0], train=False)
    x, y = tied.retain
    kept = float((net(x).argmax(-1) == y).float().mean())
    given = tied.given(net)
    assert float(rewind.measure(net, (), given)) == pytest.approx(0.0)  # all of S is known
    gone = given._replace(forget=Examples(given.forget.x, (given.forget.y + 1) % 3))
    assert float(rewind.measure(net, (), gone)) == pytest.approx(0.8 * kept)
    assert rewind.score(torch.tensor(0.7), torch.tensor(0.0)) < rewind.score(torch.tensor(0.6), torch.tensor(0.0))


def test_parameters_are_checked():
    with pytest.raises(SpecError, match="beta is 0"):
        of(beta=0.0)()
    with pytest.raises(SpecError, match="gamma is 2"):
        of(gamma=2.0)()
    with pytest.raises(SpecError, match="every is 0"):
        of(every=0.0)()


def test_models_of_its_own_are_declared():
    assert METHODS.get(NAME).declared.trains == "etd"
    assert {entry.name for entry in METHODS if entry.declared.trains is not None} == {NAME}


# ---- momentum ----


def descent(epochs: float, **more) -> Method:
    def step(net, aux, batches, i, key):
        return cross_entropy(net(batches["forget"].x), batches["forget"].y)

    return Method(step, epochs, 0.05, passes=forget_pass, **more)


@pytest.mark.parametrize("which", ["tied", "plain"])
def test_momentum_goes_on_where_a_stage_says_so(which, tied, contract):
    toy = tied
    if which == "plain":
        learner = build(specify("mlp", (6,), 3, config={"width": 8}, recipe=vars(tied.learner.recipe)))
        examples = [torch.cat(pair) for pair in zip(tied.forget, tied.retain, strict=True)]
        toy = toy_of(contract, learner, *examples, len(tied.forget.y))
    once = toy.edit(lambda: descent(5 / 40)).state.params
    idle = descent(1.0, carries=True, until=lambda net, aux, given: torch.tensor(True))
    goes_on = staged(descent(2 / 40), idle, descent(3 / 40, carries=True))
    anew = staged(descent(2 / 40), descent(3 / 40))
    for name, value in toy.edit(lambda: goes_on).state.params.items():
        torch.testing.assert_close(value, once[name], atol=1e-5, rtol=1e-4)
    apart = toy.edit(lambda: anew).state.params
    assert max(float((apart[name] - value).abs().max()) for name, value in once.items()) > 1e-4


def test_both_stages_of_every_round_go_on():
    assert all(stage.carries for stage in of(epochs=3 / 40)().stages())


# ---- added units ----


NETS = {
    "mlp": specify("mlp", (6,), 3, config={"width": 5, "depth": 2}),
    "cnn": specify("cnn", (2, 9, 12), 3, config={"channels": 3}),
}


def apart_in_use(name: str) -> float:
    """How far the logits of a widened net in use are from those of the net."""
    learner = build(NETS[name])
    state, wide = learner.init(3), widening.widened(learner)
    more = widening.enter(learner)(state, key_tensor([5])[0])
    assert {n: v.shape for n, v in more.params.items()} == {n: v.shape for n, v in wide.init(0).params.items()}
    back = widening.leave(learner)(more)
    assert all(torch.equal(value, state.params[n]) for n, value in back.params.items()) and not back.buffers
    x = torch.rand(4, *NETS[name].shape, generator=torch.Generator().manual_seed(0))
    before, now = (one.apply(of, x, train=False, key=None)[0] for one, of in ((learner, state), (wide, more)))
    shown = wide.apply(more, x, train=True, key=None)[0]
    assert not torch.allclose(shown, now, atol=1e-4)  # the units of memorisation say something
    return float((now - before).abs().max())


@pytest.mark.parametrize("name", NETS)
def test_added_units_are_off_in_use_and_come_off_again(name):
    assert apart_in_use(name) < 1e-6


def test_units_of_a_pixel_stay_together(monkeypatch):
    """The first half of the columns is right for a plain net, and wrong where a layer reads pixel by pixel."""

    def first_half(learner, name, own, wide):
        kept = torch.zeros(wide)
        kept[tuple(slice(0, size) for size in own)] = 1
        return kept.reshape(-1).nonzero()[:, 0]

    monkeypatch.setattr(widening, "own_places", first_half)
    assert apart_in_use("mlp") < 1e-6
    assert apart_in_use("cnn") > 1e-3


def test_nets_without_such_units_are_left_as_they_are(tied):
    softmax = build(specify("softmax", (4,), 2))
    assert widening.widened(softmax) is softmax and widening.widened(tied.learner) is tied.learner
    same = [tied.edit(lambda name=name: METHODS.get(name).build()).state.params for name in ("rem", NAME)]
    assert all(torch.equal(value, same[1][name]) for name, value in same[0].items())


def test_rem_takes_its_units_away_again_and_forgets(memorised, contract):
    few = METHODS.get("rem").build(epochs=2 / 3, every=1 / 3, flush_epochs=20.0)
    edited = memorised.edit(lambda: few).state
    assert {n: v.shape for n, v in edited.params.items()} == {
        n: v.shape for n, v in memorised.originals.params.items()
    }
    assert set(edited.buffers) == set(memorised.originals.buffers)
    assert max(right_in_use(memorised, edited)) <= 0.5 < min(right_in_use(memorised, memorised.originals))


def test_the_original_and_the_model_have_the_same_units():
    """CE_o is that of the units the model has: with others the first ratio would not be 0."""
    learner = build(NETS["mlp"])
    originals = stack([learner.init(3), learner.init(4)])
    stage = METHODS.get("rem").build()
    site, state = moved(
        Site(learner, originals, stage.widening), [1, 2], Site(learner, originals, None), originals
    )
    assert all(torch.equal(value, site.original.params[name]) for name, value in state.params.items())
    again, after = moved(Site(learner, originals, stage.widening), [3, 4], site, state)
    assert again is site and after is state  # the next stage of the same method changes nothing
    assert all(torch.equal(value, originals.params[name]) for name, value in site.narrow(state).params.items())


def test_learners_without_such_units_are_refused_by_name():
    assert refusal(specify("cnn", (8, 8), 3), "rem", validation=1) == ""
    assert "adds hidden units to the net: softmax has no hidden units" in refusal(
        specify("softmax", (4,), 2), "rem", validation=1
    )
