"""Methods that move a part of the parameters, or shrink them: SalUn, CF-k, EU-k, l1-sparse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from unweave._errors import ApplicabilityError, SpecError
from unweave.language.model import LlamaConfig, initial
from unweave.learners import specify
from unweave.learners.contract import Learner, State
from unweave.learners.nets import build
from unweave.learners.noise import key_tensor
from unweave.methods import METHODS, Examples, Method, Net
from unweave.methods.layers import fresh, layers
from unweave.methods.saliency import largest, saliency
from unweave.training.engine import stack


def of(name: str, **given: float):
    return lambda: METHODS.get(name).build(**{key: float(value) for key, value in given.items()})


def recipe(toy, **changes):
    changed = replace(toy.learner.recipe, **changes)
    return toy._replace(learner=replace(toy.learner, spec=replace(toy.learner.spec, recipe=changed)))


@pytest.fixture(scope="module")
def decaying(toy):
    """The toy with weight decay, which moves whatever is not frozen."""
    return recipe(toy, weight_decay=0.1)


def net_of(toy, k: int) -> Net:
    return Net(toy.learner, State({n: v[k] for n, v in toy.originals.params.items()}, {}), train=False)


# ---- the mask of SalUn ----


def check_saliency(function, toy) -> None:
    """|gradient of the mean loss of the set|, by one backward pass of torch."""
    for k in range(3):
        params = {n: v[k].clone().requires_grad_() for n, v in toy.originals.params.items()}
        z = toy.learner.apply(State(params, {}), toy.forget.x, train=False, key=None)[0]
        cross_entropy(z, toy.forget.y).backward()
        for name, value in function(net_of(toy, k), toy.forget).items():
            torch.testing.assert_close(value, params[name].grad.abs(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("chunk", [1, 4, 128])
def test_saliency_is_the_size_of_the_gradient_of_the_set(chunk, toy):
    check_saliency(lambda net, part: saliency(net, part, chunk=chunk), toy)


def test_sizes_taken_before_the_sum_are_caught(toy):
    def sum_of_sizes(net, part):
        each = [saliency(net, Examples(x[None], y[None])) for x, y in zip(*part, strict=True)]
        return {name: sum(one[name] for one in each) / len(each) for name in net.params}

    with pytest.raises(AssertionError):
        check_saliency(sum_of_sizes, toy)


def check_largest(function) -> None:
    scores = {"a": torch.tensor([[9.0, 8.0], [7.0, 1.0]]), "b": torch.tensor([6.0, 2.0, 3.0, 0.0])}
    found = function(scores, 0.5)
    assert found["a"].tolist() == [[1, 1], [1, 0]] and found["b"].tolist() == [1, 0, 0, 0]


def test_the_largest_are_sought_over_all_tensors_together():
    check_largest(largest)
    for share, count in [(0.0, 0), (0.25, 2), (1.0, 8)]:
        mask = largest({"a": torch.rand(5), "b": torch.rand(3)}, share)
        assert sum(value.sum() for value in mask.values()) == count
    # Where all are equal the share still holds.
    assert sum(v.sum() for v in largest({"a": torch.zeros(6), "b": torch.zeros(4)}, 0.3).values()) == 3


def test_a_threshold_per_tensor_and_the_smallest_are_caught():
    def per_tensor(scores, share):
        return {name: largest({name: value}, share)[name] for name, value in scores.items()}

    def smallest(scores, share):  # a sort in the wrong direction
        return largest({name: -value for name, value in scores.items()}, share)

    for wrong in (per_tensor, smallest):
        with pytest.raises(AssertionError):
            check_largest(wrong)


# ---- SalUn ----


def check_salun(build_method, toy, share: float = 0.5) -> None:
    """What is not among the most salient half stays bitwise, whatever weight decay does; the rest moves."""
    edited = toy.edit(build_method).state
    for k in range(3):
        mask = largest(saliency(net_of(toy, k), toy.forget), share)
        for name, ones in mask.items():
            moved = edited.params[name][k] != toy.originals.params[name][k]
            assert not (moved & (ones == 0)).any(), f"{name} moved outside the mask"
            # A unit that is off on all examples may keep its weights.
            assert moved.sum() >= 0.5 * ones.sum(), f"{name} did not move inside the mask"


def test_salun_moves_the_salient_half_and_nothing_else(toy, decaying):
    check_salun(of("salun"), toy)
    check_salun(of("salun"), decaying)
    check_salun(of("salun", share=0.2), decaying, 0.2)


def test_salun_with_its_mask_on_the_gradient_is_caught(toy, decaying):
    def masked_gradient() -> Method:
        method = of("salun")()

        def step(net, aux, batches, i, key):
            net.params = {n: m * net.params[n] + (1 - m) * net.params[n].detach() for n, m in aux[1].items()}
            return method.step(net, aux, batches, i, key)

        return method._replace(step=step, update_mask=None)

    check_salun(masked_gradient, toy)  # nothing to see without weight decay
    with pytest.raises(AssertionError, match="outside the mask"):
        check_salun(masked_gradient, decaying)


def test_salun_without_its_mask_is_random_label_and_is_caught(contract, decaying):
    everything = decaying.edit(of("salun", share=1.0)).state
    assert contract.same_bits(everything, decaying.edit(of("random_label")).state)
    assert contract.same_bits(decaying.edit(of("salun", share=0.0)).state, decaying.originals)
    with pytest.raises(AssertionError, match="outside the mask"):
        check_salun(of("random_label"), decaying)


def test_salun_unteaches_s(contract, memorised):
    contract.check_moves(of("salun"), memorised, contract.probability_on("forget"), by=-0.5)
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(of("salun", share=0.0), memorised, contract.probability_on("forget"), by=-0.5)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_share(share):
    with pytest.raises(SpecError, match="share"):
        of("salun", share=share)()


# ---- layers ----


def test_layers_are_ordered_by_their_numbers():
    names = [f"{n}.{part}" for n in (11, 2, 0, 10, 1) for part in ("weight", "bias")]
    assert [layer[0] for layer in layers(names)] == ["0.bias", "1.bias", "2.bias", "10.bias", "11.bias"]
    assert all(len(layer) == 2 for layer in layers(names))
    assert layers(["fc.weight", "block.1.weight", "block.0.weight", "3.weight"])[0] == ["3.weight"]


def test_the_start_of_a_language_model_has_another_law_and_this_is_said():
    """Matrices from N(0, .08²), here of 16 inputs: half as wide as U(−1/4, 1/4), whose deviation is .14."""
    first = initial(LlamaConfig(50, width=16, inner=16, layers=1), 0)
    drawn = fresh(first, key_tensor([5])[0])
    name = "model.layers.0.self_attn.q_proj.weight"
    assert abs(first[name].std().item() - 0.08) < 0.015 < 0.04 < drawn[name].std().item() - 0.08
    for said in (fresh, *(METHODS.get(method).factory for method in ("eu_k", "shrink_perturb"))):
        assert "`causal_lm`" in (said.__doc__ or "") and "N(0, .08²)" in (said.__doc__ or "")


def test_fresh_weights_have_the_law_of_the_learners_own_start():
    learner = build(specify("mlp", (400,), 100, config={"width": 300}))
    first, drawn = learner.init(0).params, fresh(learner.init(1).params, key_tensor([5])[0])
    assert list(first) == list(drawn)
    for name, value in drawn.items():
        bound = (400 if name.startswith("0.") else 300) ** -0.5
        assert value.shape == first[name].shape and value.abs().max() <= bound
        # A uniform law on [−b, b]: quartiles at ±b/2.
        quartiles = torch.quantile(value.flatten()[:100_000], torch.tensor([0.25, 0.5, 0.75])) / bound
        torch.testing.assert_close(quartiles, torch.tensor([-0.5, 0.0, 0.5]), atol=5 / len(value) ** 0.5, rtol=0)
        assert first[name].abs().max() <= bound and first[name].abs().max() > 0.95 * bound
    other = fresh(first, key_tensor([6])[0])
    assert not any(torch.equal(other[name], drawn[name]) for name in first)
    again = fresh(dict(reversed(first.items())), key_tensor([5])[0])
    assert all(torch.equal(again[name], drawn[name]) for name in first)
    flat = torch.cat([value.flatten()[:100] for value in drawn.values()])
    assert len(flat.unique()) > 0.99 * len(flat)  # every tensor has a stream of its own


def test_a_layer_without_a_fan_in_is_refused():
    with pytest.raises(ApplicabilityError, match="scale"):
        fresh({"a.scale": torch.ones(3)}, key_tensor([1])[0])


def test_a_norm_starts_at_one_and_zero():
    drawn = fresh({"norm.weight": torch.zeros(3), "norm.bias": torch.ones(3)}, key_tensor([1])[0])
    assert drawn["norm.weight"].tolist() == [1, 1, 1] and drawn["norm.bias"].tolist() == [0, 0, 0]


@pytest.fixture(scope="module")
def deep(contract, toy):
    """Three nets of three layers, with weight decay."""
    learner = build(
        specify("mlp", (6,), 3, config={"width": 8, "depth": 2}, recipe={**vars_of(toy), "weight_decay": 0.1})
    )
    return toy._replace(learner=learner, originals=stack([learner.init(k) for k in (1, 2, 3)]))


def vars_of(toy) -> dict:
    return {"epochs": toy.learner.recipe.epochs, "batch_size": toy.learner.recipe.batch_size}


@pytest.mark.parametrize("name", ["cf_k", "eu_k"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_all_but_the_last_layers_are_frozen(name, k, contract, deep):
    contract.check_mask_freezes(of(name, k=k), deep, lambda tensor: int(tensor[0]) < 3 - k)


def check_reset(build_method, toy, last: int) -> None:
    """Every tensor of the last layers starts from weights that owe nothing to the original's."""
    method = build_method()

    def start(k: int, scale: float) -> dict:
        net = net_of(toy, k)
        net.params = {name: scale * value for name, value in net.params.items()}
        return method.prepare(net, toy.given(net), key_tensor([7])[0])[0].params

    for name in toy.originals.params:
        one, two = start(0, 1.0)[name], start(1, 5.0)[name]
        assert torch.equal(one, two) == (int(name[0]) >= 3 - last), f"{name}: not as it should be"


@pytest.mark.parametrize("k", [1, 2, 3])
def test_eu_draws_every_tensor_of_its_layers_anew(k, deep):
    check_reset(of("eu_k", k=k), deep, k)


def reset_only(chosen) -> Method:
    """`eu_k` with k = 2 that resets the tensors of `chosen` alone, and trains those it should."""
    method = of("eu_k", k=2)()

    def prepare(net, given, key):
        state, mask = method.prepare(net, given, key)
        params = {name: state.params[name] if chosen(name) else value for name, value in net.params.items()}
        return State(params, net.buffers), mask

    return method._replace(prepare=prepare)


@pytest.mark.parametrize(
    "chosen",
    [
        lambda name: name.startswith("2."),  # only the last layer
        lambda name: name.endswith("weight") and name[0] in "12",  # without biases
        lambda name: False,  # none: this is cf_k
    ],
    ids=["last layer", "weights", "none"],
)
def test_a_reset_of_a_part_is_caught(chosen, contract, deep):
    contract.check_mask_freezes(lambda: reset_only(chosen), deep, lambda name: name[0] == "0")
    with pytest.raises(AssertionError, match="not as it should be"):
        check_reset(lambda: reset_only(chosen), deep, 2)


def test_cf_of_all_layers_is_finetuning(contract, deep):
    given = {"epochs": 1 / 3, "lr": 0.5}
    everything = deep.edit(of("cf_k", k=3, **given)).state
    assert contract.same_bits(everything, deep.edit(of("finetune", **given)).state)
    assert contract.same_bits(everything, deep.edit(of("cf_k", k=9, **given)).state)
    assert not contract.same_bits(everything, deep.edit(of("cf_k", k=2, **given)).state)


def test_no_layer_is_no_change(contract, deep):
    for name in ("cf_k", "eu_k"):
        contract.check_identity(of(name, k=0), deep)
        for wrong in (-1, 1.5):
            with pytest.raises(SpecError, match="whole number of layers"):
                of(name, k=wrong)()


def test_a_net_of_one_layer_is_retrained_by_eu_whatever_it_was(contract, toy):
    learner: Learner = build(specify("softmax", (6,), 3, recipe=vars_of(toy)))
    one, two = (toy._replace(learner=learner, originals=stack([learner.init(k)] * 3)) for k in (1, 2))
    assert contract.same_bits(one.edit(of("eu_k")).state, two.edit(of("eu_k")).state)
    assert not contract.same_bits(one.edit(of("cf_k")).state, two.edit(of("cf_k")).state)


def test_eu_forgets_more_than_cf_and_both_keep_the_retained(contract, memorised):
    right, loss = contract.probability_on("forget"), contract.loss_on("retain")
    kept, anew = (memorised.edit(of(name)).state for name in ("cf_k", "eu_k"))
    assert (right(memorised, anew) < right(memorised, kept) - 0.1).all()
    assert (right(memorised, kept) < right(memorised, memorised.originals) - 0.02).all()
    assert (loss(memorised, anew) < 0.1).all() and (loss(memorised, kept) < 0.1).all()


# ---- l1-sparse ----


def shrinking(contract, epochs: int):
    """A softmax net with a feature that is always 0: the penalty alone moves its weights."""
    given = {"epochs": epochs, "batch_size": 10, "lr": 0.5, "momentum": 0.0}
    learner = build(specify("softmax", (6,), 3, recipe=given))
    x, y = torch.randn(40, 6, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 3
    x[:, 5] = 0
    originals = stack([learner.init(1), learner.init(2)])
    return contract.Toy(learner, originals, Examples(x[:10], y[:10]), Examples(x[10:], y[10:]), [1, 2])


def check_shrinks(build_method, contract) -> None:
    """|w| falls by lr·γ·Σ_t (1 − e_t/E): 3 steps in each of 4 epochs at rate .1 and γ = .02."""
    toy = shrinking(contract, 12)
    before = toy.originals.params["0.weight"][:, :, 5]
    after = toy.edit(build_method).state.params["0.weight"][:, :, 5]
    by = 0.1 * 0.02 * 3 * (1 + 0.75 + 0.5 + 0.25)
    assert (before.abs() > by).sum() >= 4
    expected = before - by * before.sign()
    sure = before.abs() > by
    torch.testing.assert_close(after[sure], expected[sure], atol=1e-6, rtol=0)


def test_l1_shrinks_by_its_decaying_weight(contract):
    given = {"epochs": 1 / 3, "lr": 0.2}
    check_shrinks(of("l1_sparse", gamma=0.02, **given), contract)
    with pytest.raises(AssertionError):
        check_shrinks(of("finetune", **given), contract)

    def undecayed() -> Method:
        method = of("l1_sparse", gamma=0.02, **given)()
        return method._replace(step=lambda net, aux, batches, i, key: method.step(net, aux, batches, 0, key))

    with pytest.raises(AssertionError):
        check_shrinks(undecayed, contract)


def test_l1_without_its_penalty_is_finetuning(contract, memorised):
    sizes = lambda state: sum(v.flatten(1).abs().sum(1) for v in state.params.values())  # noqa: E731
    tuned = memorised.edit(of("finetune")).state
    assert contract.gap(memorised.edit(of("l1_sparse", gamma=0.0)).state, tuned) <= 1e-6
    sparse = memorised.edit(of("l1_sparse", gamma=0.01)).state
    assert (sizes(sparse) < 0.97 * sizes(tuned)).all()
