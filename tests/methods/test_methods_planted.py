"""Wrong methods as they are found in public code, and the check that catches each of them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from unweave._errors import DivergedError, UserError
from unweave._registry import Entry
from unweave.learners import Recipe
from unweave.learners.contract import State
from unweave.methods import METHODS, Method, Net
from unweave.methods.contract import Plan, forget_pass, retain_pass
from unweave.methods.losses import divergence
from unweave.testing import CONTRACTS, check_method
from unweave.testing.suite import Subject

FROZEN = "0."
"""Prefix of the parameters that the masked toys freeze: the first layer."""


def on_retain(net, aux, batches, i, key):
    return cross_entropy(net(batches["retain"].x), batches["retain"].y)


def finetune(step=on_retain, **given) -> Method:
    return Method(step, 1 / 3, 0.1, passes=retain_pass, **given)


@pytest.fixture(scope="module")
def decaying(toy):
    """The toy with weight decay."""
    recipe = replace(toy.learner.recipe, weight_decay=0.1)
    return toy._replace(learner=replace(toy.learner, spec=replace(toy.learner.spec, recipe=recipe)))


def test_the_right_toy_passes_what_the_wrong_ones_fail(contract, toy):
    contract.check_stacking(finetune, toy)
    contract.check_reproducible(finetune, toy)
    contract.check_keys(finetune, toy, matter=True)
    contract.check_input_untouched(finetune, toy)
    contract.check_changed(finetune, toy)
    contract.check_finite(finetune, toy)
    contract.check_cost(finetune, toy)
    contract.check_needs(finetune, toy, frozenset({"original", "retain"}))


# ---- teachers ----


def scrub_taught_by_itself() -> Method:
    """The teacher is the student: every KL is 0 and what remains is fine-tuning."""
    method = METHODS.get("scrub").build(epochs=1 / 6, lr=0.1)

    def step(net, aux, batches, i, key):
        part = batches["forget"] if "forget" in batches else batches["retain"]
        own = torch.zeros(40, 3).index_put((part.position,), net(part.x).detach())
        return method.step(net, (own, own), batches, i, key)

    return method._replace(step=step)


def test_a_teacher_that_is_the_student_is_caught(contract, memorised):
    contract.check_moves(
        lambda: METHODS.get("scrub").build(epochs=1 / 6, lr=0.1),
        memorised,
        contract.divergence_on("forget"),
        by=0.5,
    )
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(scrub_taught_by_itself, memorised, contract.divergence_on("forget"), by=0.5)


def scrub_that_optimises_its_teacher() -> Method:
    """The loss moves the teacher; the student only watches."""
    method = METHODS.get("scrub").build(epochs=1 / 6, lr=0.1)

    def carry_teacher(net, given, key):
        return State(net.params, net.buffers), State(net.params, net.buffers)

    def step(net, aux, batches, i, key):
        part = batches["forget"] if "forget" in batches else batches["retain"]
        teacher = Net(net.learner, aux, train=False)
        return divergence(teacher(part.x), net(part.x).detach()).mean()

    return method._replace(step=step, prepare=carry_teacher)


def test_a_teacher_optimised_in_place_of_the_student_is_caught(contract, memorised):
    with pytest.raises(AssertionError, match="did not change"):
        contract.check_changed(scrub_that_optimises_its_teacher, memorised)


# ---- methods that do nothing, the opposite, or too much ----


def test_a_method_that_changes_nothing_is_caught(contract, toy):
    def idle() -> Method:
        return finetune(lambda net, aux, batches, i, key: 0 * on_retain(net, aux, batches, i, key))

    with pytest.raises(AssertionError, match="model 0 did not change"):
        contract.check_changed(idle, toy)


def test_an_approximate_method_that_descends_on_s_is_caught(contract, memorised):
    def descends() -> Method:
        def step(net, aux, batches, i, key):
            return cross_entropy(net(batches["forget"].x), batches["forget"].y)

        return Method(step, 1 / 3, 0.05, passes=forget_pass)

    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(descends, memorised, contract.loss_on("forget"), by=0.02)


def test_a_method_that_reads_more_than_it_declares_is_caught(contract, toy):
    with pytest.raises(AssertionError, match="retain: not as declared"):
        contract.check_needs(finetune, toy, frozenset({"original"}))
    with pytest.raises(AssertionError, match="forget: not as declared"):
        contract.check_needs(finetune, toy, frozenset({"original", "forget", "retain"}))


def test_a_method_that_hides_its_cost_is_caught(contract, toy):
    def hides() -> Method:
        method = METHODS.get("ssd").build()
        asked: list[int] = []

        def cost(n_forget, n_retain):
            asked.append(n_forget)
            return 0 if len(asked) == 1 else n_forget + n_retain

        return method._replace(prepare_cost=cost)

    once = hides()
    with pytest.raises(AssertionError):
        contract.check_cost(lambda: once, toy)


# ---- what must stay as it is ----


def edits_in_place() -> Method:
    def prepare(net, given, key):
        for value in net.params.values():
            value.mul_(0.5)
        return State(net.params, net.buffers), ()

    return Method(None, 0.0, 0.0, prepare=prepare)


def test_a_method_that_edits_its_input_is_caught(contract, toy):
    victim = toy._replace(originals=contract.copied(toy.originals))
    with pytest.raises(AssertionError, match="originals were changed in place"):
        contract.check_input_untouched(edits_in_place, victim)


def test_a_method_that_edits_the_data_is_caught(contract, toy):
    def prepare(net, given, key):
        given.forget.y.zero_()
        return State(net.params, net.buffers), ()

    forget = type(toy.forget)(toy.forget.x.clone(), toy.forget.y.clone())
    with pytest.raises(AssertionError, match="data were changed in place"):
        contract.check_input_untouched(lambda: finetune(prepare=prepare), toy._replace(forget=forget))


def frozen(name: str) -> bool:
    return name.startswith(FROZEN)


def mask_of(net: Net) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(value, 0.0 if frozen(name) else 1.0) for name, value in net.params.items()}


def carry_mask(net, given, key):
    return State(net.params, net.buffers), mask_of(net)


def masked_update() -> Method:
    return finetune(prepare=carry_mask, update_mask=lambda aux: aux)


def masked_gradient() -> Method:
    """The mask zeroes the gradient, as saliency methods often do; weight decay still shrinks everything."""

    def step(net, aux, batches, i, key):
        net.params = {n: m * net.params[n] + (1 - m) * net.params[n].detach() for n, m in aux.items()}
        return on_retain(net, aux, batches, i, key)

    return finetune(step, prepare=carry_mask)


def test_a_mask_freezes_whatever_weight_decay_does(contract, toy, decaying):
    contract.check_mask_freezes(masked_update, toy, frozen)
    contract.check_mask_freezes(masked_update, decaying, frozen)


def test_a_mask_on_the_gradient_is_caught_once_there_is_weight_decay(contract, toy, decaying):
    contract.check_mask_freezes(masked_gradient, toy, frozen)  # nothing to see without it
    with pytest.raises(AssertionError, match="moved"):
        contract.check_mask_freezes(masked_gradient, decaying, frozen)


def test_a_mask_of_ones_is_no_mask(contract, decaying):
    ones = masked_update()._replace(
        update_mask=lambda aux: {name: torch.ones_like(value) for name, value in aux.items()}
    )
    assert contract.same_bits(decaying.edit(lambda: ones).state, decaying.edit(finetune).state)


# ---- randomness ----


def test_noise_of_a_global_generator_drawn_in_the_factory_is_caught(contract, toy):
    def build() -> Method:
        weight = torch.rand(6)  # with each build another

        def step(net, aux, batches, i, key):
            return cross_entropy(net(batches["retain"].x * weight), batches["retain"].y)

        return finetune(step)

    with pytest.raises(AssertionError, match="same key gives another result"):
        contract.check_reproducible(build, toy)


def test_noise_of_a_global_generator_drawn_in_a_step_is_caught(contract, toy):
    def step(net, aux, batches, i, key):
        noise = float(np.random.rand())
        return noise * on_retain(net, aux, batches, i, key)

    with pytest.raises(AssertionError, match="same key gives another result"):
        contract.check_reproducible(lambda: finetune(step), toy)
    with pytest.raises(AssertionError, match="depends on the stack"):
        contract.check_stacking(lambda: finetune(step), toy)


def test_noise_of_torch_drawn_in_a_step_is_refused(toy):
    def step(net, aux, batches, i, key):
        x = batches["retain"].x
        return cross_entropy(net(x + torch.randn_like(x)), batches["retain"].y)

    with pytest.raises(RuntimeError, match="random"):
        toy.edit(lambda: finetune(step))


def test_a_method_that_ignores_its_key_is_caught(contract, toy):
    whole = Plan(1, 1, 1)

    def step(net, aux, batches, i, key):
        return cross_entropy(net(aux[0]), aux[1])

    def build() -> Method:
        return Method(
            step,
            1 / 3,
            0.1,
            prepare=lambda net, given, key: (
                State(net.params, net.buffers),
                (given.retain.x + 0, given.retain.y + 0),
            ),
            passes=lambda plan: retain_pass(whole),
        )

    with pytest.raises(AssertionError, match="keys do not matter"):
        contract.check_keys(build, toy, matter=True)


# ---- models that are no longer models ----


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_model_that_is_not_finite_is_an_error_with_a_remedy(value, toy):
    def step(net, aux, batches, i, key):
        return value * on_retain(net, aux, batches, i, key)

    with pytest.raises(DivergedError, match="3 of 3 models is not finite.*smaller `lr`"):
        toy.edit(lambda: finetune(step))


def test_one_diverged_model_of_three_is_enough(toy):
    originals = State({name: value.clone() for name, value in toy.originals.params.items()}, {})
    originals.params["1.bias"][1] = torch.nan
    with pytest.raises(DivergedError, match="1 of 3"):
        toy._replace(originals=originals).edit(METHODS.get("noop").build)


def test_ascent_at_a_large_rate_diverges_with_an_error(toy):
    recipe = Recipe(lr=1e30, epochs=30, batch_size=8)
    learner = replace(toy.learner, spec=replace(toy.learner.spec, recipe=recipe))
    with pytest.raises(DivergedError):
        toy._replace(learner=learner).edit(lambda: METHODS.get("gradient_ascent").build(epochs=1.0, lr=1.0))


# ---- all of them by the suite that authors outside have ----


def entry(factory, name: str = "finetune", **declared):
    """A planted factory that declares what the method declares that it spoils."""
    of = replace(METHODS.get(name).declared, **{"space": {}, **declared})

    def made(*, epochs: float = 1.0) -> Method:
        method = factory()
        return method._replace(epochs=method.epochs * min(epochs, 1.0), step=method.step if epochs else None)

    made.__doc__ = METHODS.get(name).factory.__doc__
    return Entry("planted", made, of)


def hides_its_cost() -> Method:
    method = METHODS.get("ssd").build(alpha=1.5)
    asked: list[int] = []

    def cost(n_forget, n_retain):
        asked.append(n_forget)
        return 0 if len(asked) == 1 else n_forget + n_retain

    return method._replace(prepare_cost=cost)


def descends_on_s() -> Method:
    def step(net, aux, batches, i, key):
        return cross_entropy(net(batches["forget"].x), batches["forget"].y)

    return Method(step, 1 / 3, 0.05, passes=forget_pass)


def blanks_the_labels() -> Method:
    def prepare(net, given, key):
        given.forget.y.zero_()
        return State(net.params, net.buffers), ()

    return finetune(prepare=prepare)


def draws_when_built() -> Method:
    weight = torch.rand(1)
    return finetune(lambda *given: weight[0] * on_retain(*given))


def draws_by_numpy() -> Method:
    return finetune(lambda *given: float(np.random.rand()) * on_retain(*given))


def draws_by_torch() -> Method:
    return finetune(lambda *given: torch.rand_like(on_retain(*given)) * on_retain(*given))


def ignores_its_key() -> Method:
    def step(net, aux, batches, i, key):
        return cross_entropy(net(aux[0]), aux[1])

    def prepare(net, given, key):
        return State(net.params, net.buffers), (given.retain.x + 0, given.retain.y + 0)

    return Method(step, 1 / 3, 0.1, prepare=prepare, passes=lambda plan: retain_pass(Plan(1, 1, 1)))


def orders_its_tensors() -> Method:
    """It names a tensor by its place."""

    def step(net, aux, batches, i, key):
        return on_retain(net, aux, batches, i, key) + 0.1 * next(iter(net.params.values())).square().sum()

    return finetune(step)


def is_not_finite() -> Method:
    return finetune(lambda *given: torch.nan * on_retain(*given))


def writes_into_the_model() -> Method:
    one_shot = edits_in_place()
    return one_shot._replace(step=on_retain, epochs=1 / 3, lr=0.1, passes=retain_pass)


BROKEN = {
    "teacher": (scrub_taught_by_itself, "scrub", "forget: not as declared"),
    "student": (scrub_that_optimises_its_teacher, "scrub", "model 0 did not change"),
    "idle": (lambda: finetune(lambda *given: 0 * on_retain(*given)), "finetune", "model 0 did not change"),
    "descent": (descends_on_s, "gradient_ascent", "the mean loss of S fell"),
    "cost": (hides_its_cost, "ssd", "the recorded cost is"),
    "in place": (writes_into_the_model, "finetune", "originals were changed in place"),
    "labels": (blanks_the_labels, "finetune", "data were changed in place"),
    "mask": (masked_gradient, "finetune", "stays without weight decay, and with it it moved"),
    "built": (draws_when_built, "finetune", "the same key gives another result"),
    "numpy": (draws_by_numpy, "finetune", "the same key gives another result"),
    "torch": (draws_by_torch, "finetune", "raised RuntimeError"),
    "key": (ignores_its_key, "finetune", "keys do not matter"),
    "tensors": (orders_its_tensors, "finetune", "the order of the tensors"),
    "nan": (is_not_finite, "finetune", "is not finite"),
}


@pytest.mark.parametrize("planted", BROKEN)
def test_check_method_catches_every_one_and_says_how_to_mend_it(planted):
    factory, name, said = BROKEN[planted]
    with pytest.raises(AssertionError) as caught:
        check_method(entry(factory, name))
    assert said in str(caught.value), caught.value
    assert "To mend it: " in str(caught.value) and "planted breaks" in str(caught.value)


@pytest.mark.parametrize(
    ("needs", "said"),
    [({"original"}, "retain: not as declared"), ({"original", "forget", "retain"}, "forget: not as declared")],
)
def test_check_method_catches_wrong_needs(needs, said):
    with pytest.raises(AssertionError, match=said):
        check_method(entry(finetune, needs=frozenset(needs)))


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"cite": "Me 2026"}, "no citation"),
        ({"equation": ""}, "no equation"),
        ({"identity": {"strength": 0.0}}, "does not exist: strength"),
        ({"space": {"epochs": (2.0, 3.0)}}, "the default of epochs lies outside"),
        ({"needs": frozenset({"retain"})}, "needs are of"),
    ],
)
def test_check_method_catches_wrong_declarations(declared, said):
    contract = next(one for one in CONTRACTS if "documented" in one.promise)
    subject = Subject(entry(finetune, **declared), {}, chance=True)
    with pytest.raises(AssertionError, match=said):
        contract.check(subject)


def test_check_method_passes_the_right_toy_and_takes_names_and_functions():
    check_method(entry(finetune))
    check_method(METHODS.get("ssd").factory, strong={"alpha": 1.5}, chance=False)
    check_method("noop", chance=False)
    with pytest.raises(AssertionError, match="on_retain is not registered.*@unweave.methods.method"):
        check_method(on_retain)
    with pytest.raises(UserError, match="Unknown method `nop`. Did you mean `noop`"):
        check_method("nop")


def test_the_suite_needs_no_pytest_and_holds_without_assertions():
    code = (
        "import sys; from unweave.testing import check_method\n"
        "try: check_method('ssd', strong={'alpha': 1.5})\n"
        "except AssertionError as error: print(str(error).splitlines()[0], 'pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == f"ssd breaks 1 of {len(CONTRACTS)} promises. False\n", done.stderr
