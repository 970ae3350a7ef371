"""Projections: MinNorm-OG and projected gradient unlearning, on nets whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import relu, softmax, unfold

from unweave._errors import ApplicabilityError, SpecError
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import key_tensor
from unweave.methods import METHODS, Batch, Examples, Method, Net
from unweave.methods.projection import core_spaces, part_across, top_logit_gradients
from unweave.training.engine import stack, unstack


def of(name: str, **given: float):
    return lambda: METHODS.get(name).build(**given)


def with_recipe(toy, **changes):
    recipe = replace(toy.learner.recipe, **changes)
    return toy._replace(learner=replace(toy.learner, spec=replace(toy.learner.spec, recipe=recipe)))


def one(toy, k: int) -> Net:
    return Net(toy.learner, unstack(toy.originals)[k], train=False)


def draw(*shape: int, seed: int = 0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---- the part across ----


def check_across(function) -> None:
    """Orthogonal to every gradient, and what is taken away is a combination of them."""
    base = draw(4, 9)
    for gradients in (base, base[[0, 0, 1, 2]], base[[0, 1, 0, 1, 2, 2, 3]], torch.cat([base, 0 * base[:1]])):
        vector = draw(9, seed=1)
        across = function(vector, gradients)
        assert (gradients @ across).abs().max() < 1e-5, "not orthogonal"
        taken = vector - across
        combination = torch.linalg.lstsq(base.T, taken[:, None]).solution
        torch.testing.assert_close(base.T @ combination, taken[:, None], atol=1e-5, rtol=0)
        rank = torch.linalg.matrix_rank(gradients)
        assert across.norm() > 0.1 or rank == 9
    assert function(draw(3), draw(5, 3, seed=2)).abs().max() < 1e-5  # more gradients than parameters


def test_the_part_across_is_orthogonal_and_nothing_more_is_taken():
    check_across(part_across)


def dependent_columns_dropped(vector, gradients):
    basis, triangle = torch.linalg.qr(gradients.T)
    own = triangle.diagonal().abs() > 1e-5
    basis = basis[:, : len(own)] * own
    return vector - basis @ (basis.T @ vector)


def plain_qr(vector, gradients):
    basis, _ = torch.linalg.qr(gradients.T)
    return vector - basis @ (basis.T @ vector)


def not_orthonormal(vector, gradients):
    return vector - gradients.T @ (gradients @ vector)


@pytest.mark.parametrize("wrong", [dependent_columns_dropped, plain_qr, not_orthonormal], ids=lambda f: f.__name__)
def test_wrong_projections_are_caught(wrong):
    with pytest.raises(AssertionError):
        check_across(wrong)


def test_across_the_rows_of_d_without_s_lies_the_least_norm_interpolator():
    """Linear regression with more weights than examples: θ_o − P_⟂θ_o = X_R⁺·y_R, whatever S was."""
    x, y = draw(12, 20).double(), draw(12, seed=3).double()
    original = torch.linalg.pinv(x) @ y  # the least-norm interpolator of D
    retained = torch.linalg.pinv(x[4:]) @ y[4:]
    found = original - part_across(original, x[4:])
    torch.testing.assert_close(found, retained, atol=1e-9, rtol=0)
    assert (original - retained).norm() > 0.1 and found.norm() < original.norm()
    with pytest.raises(AssertionError):  # the wrong set
        torch.testing.assert_close(original - part_across(original, x[:4]), retained, atol=1e-2, rtol=0)


def test_gradients_are_those_of_the_largest_logit(toy, image_toy):
    for some, x in ((toy, toy.retain.x[:5]), (image_toy, image_toy.retain.x[:20])):
        net = one(some, 1)
        found = top_logit_gradients(net, x)
        for row, example in zip(found, x, strict=True):
            params = {name: value.clone().requires_grad_() for name, value in net.params.items()}
            z = some.learner.apply(State(params, net.buffers), example[None], train=False, key=None)[0][0]
            z[z.argmax()].backward()
            expected = torch.cat([params[name].grad.flatten() for name in sorted(params)])
            torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-4)


# ---- MinNorm-OG ----

STILL = {"lr": 0.0, "epochs": 1 / 3, "decay": 1.0}


@pytest.fixture(scope="module")
def linear(toy):
    """Softmax regression: 21 parameters, three models."""
    learner = build(specify("softmax", (6,), 3, recipe={"epochs": 3, "batch_size": 8}))
    originals = stack([learner.init(key) for key in (1, 2, 3)])
    few = Examples(toy.retain.x[:9], toy.retain.y[:9])
    return toy._replace(learner=learner, originals=originals, retain=few)


def least_norm(toy, k: int, rounds: int, strength: float):
    """Each class and round: along the (x, 1) it wins as it was, and across them shrunk by 1 − strength."""
    net = one(toy, k)
    full = torch.cat([toy.retain.x, torch.ones(len(toy.retain.x), 1)], 1).double()
    theta = torch.cat([net.params["0.weight"], net.params["0.bias"][:, None]], 1).double()
    for _ in range(rounds):
        won = (full @ theta.T).argmax(1)
        for c in range(3):
            rows = full[won == c]
            along = torch.linalg.pinv(rows) @ rows @ theta[c] if len(rows) else torch.zeros(7).double()
            theta[c] = along + (1 - strength) * (theta[c] - along)
    return theta.float()


def check_least_norm(build_method, toy, rounds: int, strength: float) -> None:
    edited = toy.edit(build_method).state.params
    for k in range(3):
        theta = torch.cat([edited["0.weight"][k], edited["0.bias"][k][:, None]], 1)
        torch.testing.assert_close(theta, least_norm(toy, k, rounds, strength), atol=1e-5, rtol=1e-4)


def test_a_linear_model_goes_to_the_least_norm_that_keeps_its_winning_logits(linear):
    check_least_norm(of("minnorm_og", strength=1.0, rounds=1.0, **STILL), linear, 1, 1.0)
    for rounds in (1, 3):
        check_least_norm(of("minnorm_og", strength=0.3, rounds=float(rounds), **STILL), linear, rounds, 0.3)


def test_another_shrinkage_is_caught(linear):
    def everywhere() -> Method:
        """Without the constraint: the whole of θ is shrunk."""

        def prepare(net, given, key):
            return State({name: 0.7 * value for name, value in net.params.items()}, net.buffers), ()

        return Method(None, 0.0, 0.0, prepare=prepare)

    wrongs = (
        everywhere,
        of("minnorm_og", strength=0.3, rounds=2.0, **STILL),
        of("minnorm_og", strength=0.3, rounds=1.0, samples=2.0, **STILL),
        of("minnorm_og", strength=0.3, rounds=3.0, **{**STILL, "decay": 0.3}),
        of("finetune"),
    )
    for wrong in wrongs[:3] + wrongs[4:]:
        with pytest.raises(AssertionError):
            check_least_norm(wrong, linear, 1, 0.3)
    with pytest.raises(AssertionError):
        check_least_norm(wrongs[3], linear, 3, 0.3)


def test_outputs_on_the_retained_stay_to_first_order(toy):
    """By a small share the winning logits move by its square, where plain shrinkage moves them by itself."""
    x = toy.retain.x

    def winning(state: State, k: int):
        params = {name: value[k] for name, value in state.params.items()}
        before = one(toy, k)(x)
        after = toy.learner.apply(State(params, {}), x, train=False, key=None)[0]
        return after.gather(1, before.argmax(1)[:, None])

    for k in range(3):
        changes = []
        for strength in (0.02, 0.01):
            edited = toy.edit(of("minnorm_og", strength=strength, rounds=1.0, **STILL)).state
            changes.append((winning(edited, k) - winning(toy.originals, k)).abs().mean().item())
        plain = State({name: 0.99 * value for name, value in toy.originals.params.items()}, {})
        assert changes[1] < 0.1 * (winning(plain, k) - winning(toy.originals, k)).abs().mean()
        assert changes[1] < 0.4 * changes[0]


def test_without_its_shrinkage_it_is_finetuning(contract, memorised):
    given = {"epochs": 1 / 6, "lr": 0.1}
    tuned = memorised.edit(of("finetune", **given)).state
    assert contract.gap(memorised.edit(of("minnorm_og", strength=0.0, rounds=1.0, **given)).state, tuned) <= 1e-6
    sizes = lambda state: sum(v.flatten(1).square().sum(1) for v in state.params.values())  # noqa: E731
    assert (sizes(memorised.edit(of("minnorm_og", rounds=1.0, **given)).state) < 0.95 * sizes(tuned)).all()


@pytest.mark.parametrize(
    "wrong", [{"strength": 1.1}, {"strength": -0.1}, {"decay": 2.0}, {"samples": 0.0}, {"rounds": 1.5}], ids=str
)
def test_parameters_of_minnorm_out_of_range_are_refused(wrong):
    with pytest.raises(SpecError, match=next(iter(wrong))):
        of("minnorm_og", **wrong)()


# ---- the core spaces ----


def leading(rows, energy: float):
    """By a singular value decomposition of the inputs themselves."""
    _, sizes, directions = torch.linalg.svd(rows.double(), full_matrices=False)
    kept = int((sizes.cumsum(0) <= energy * sizes.sum() * (1 + 1e-9)).sum())
    return (directions[:kept].T @ directions[:kept]).float(), kept


@pytest.mark.parametrize("energy", [0.5, 0.8, 0.95])
def test_core_spaces_of_a_dense_net_are_those_of_its_inputs(energy, toy):
    for k in range(3):
        net = one(toy, k)
        found = core_spaces(net, toy.retain.x, energy=energy, chunk=7)
        hidden = relu(toy.retain.x @ net.params["0.weight"].T + net.params["0.bias"])
        assert sorted(found) == ["0.weight", "1.weight"]
        for name, rows in (("0.weight", toy.retain.x), ("1.weight", hidden)):
            expected, kept = leading(rows, energy)
            assert 0 < kept < rows.shape[1]
            torch.testing.assert_close(found[name], expected, atol=1e-4, rtol=0)


def test_core_spaces_of_a_stack_are_those_of_its_models(toy):
    def spaces(params):
        return core_spaces(Net(toy.learner, State(params, {}), train=False), toy.retain.x, energy=0.9)

    stacked = torch.func.vmap(spaces)(toy.originals.params)
    for k in range(3):
        for name, value in core_spaces(one(toy, k), toy.retain.x, energy=0.9).items():
            torch.testing.assert_close(stacked[name][k], value, atol=1e-5, rtol=0)


def test_core_spaces_of_convolutions_are_those_of_patches(image_toy):
    net, x = one(image_toy, 0), image_toy.retain.x
    found = core_spaces(net, x, energy=0.9)
    assert sorted(found) == sorted(name for name, value in net.params.items() if value.ndim > 1)
    for name, value in found.items():
        assert len(value) == net.params[name][0].numel()
        torch.testing.assert_close(value @ value, value, atol=1e-4, rtol=0)
    first, given = (
        ("0.weight", {"kernel_size": 5, "stride": 2, "padding": 2})
        if "0.weight" in found
        else ("0.conv.weight", {"kernel_size": 3, "padding": 1})
    )
    patches = unfold(x[:, None], **given).movedim(1, -1).flatten(0, 1)
    torch.testing.assert_close(found[first], leading(patches, 0.9)[0], atol=1e-4, rtol=0)


# ---- projected gradient unlearning ----


@pytest.fixture(scope="module")
def blind(contract):
    """Three nets for which features 4 and 5 are 0 on D∖S alone, with weight decay, which moves whatever it may."""
    x, y = draw(60, 6, seed=5), torch.arange(60) % 3
    x[10:, 4:] = 0
    recipe = {"epochs": 6, "batch_size": 10, "lr": 0.1, "weight_decay": 0.1}
    learner = build(specify("mlp", (6,), 3, config={"width": 8}, recipe=recipe))
    return contract.trained_toy(learner, x, y, forget=10, keys=[11, 12, 13], validation=Examples(x[:12], y[:12]))


WIDE = {"energy": 1.0, "lr": 1.0, "epochs": 1.0}


def check_blind(build_method, toy) -> None:
    """Where the spaces hold all that D∖S feeds to a layer, no output on D∖S moves; those on S do."""
    edited = toy.edit(build_method).state
    for before, after in zip(unstack(toy.originals), unstack(edited), strict=True):
        one, two = (Net(toy.learner, state, train=False) for state in (before, after))
        assert (one(toy.retain.x) - two(toy.retain.x)).abs().max() < 1e-4, "outputs on D∖S moved"
        assert (one(toy.forget.x) - two(toy.forget.x)).abs().max() > 0.02, "outputs on S did not move"


def test_outputs_on_the_retained_stay_where_updates_are_across_them(blind):
    check_blind(of("gradient_projection", **WIDE), blind)


def projected_gradient() -> Method:
    """The public bug: the gradient is projected, and weight decay moves the rest all the same."""
    method = of("gradient_projection", **WIDE)()

    def step(net, aux, batches, i, key):
        across = {}
        for name, value in net.params.items():
            fixed = value.detach()
            if name in aux:
                rows = value - fixed
                across[name] = fixed + rows - rows @ aux[name]
            else:
                across[name] = fixed
        net.params = across
        return method.step(net, aux, batches, i, key)

    return method._replace(step=step, project=None)


def test_a_projection_that_weight_decay_ignores_is_caught(blind):
    check_blind(projected_gradient, with_recipe(blind, weight_decay=0.0))  # nothing to see without it
    with pytest.raises(AssertionError, match="outputs on D∖S moved"):
        check_blind(projected_gradient, blind)


def test_without_its_projection_it_is_caught(blind):
    with pytest.raises(AssertionError, match="outputs on D∖S moved"):
        check_blind(lambda: of("gradient_projection", **WIDE)()._replace(project=None), blind)


def test_spaces_of_the_wrong_set_are_caught(blind):
    def of_s() -> Method:
        method = of("gradient_projection", **WIDE)()

        def prepare(net, given, key):
            return method.prepare(net, given._replace(retain=given.forget), key)

        return method._replace(prepare=prepare)

    with pytest.raises(AssertionError, match="moved|did not move"):
        check_blind(of_s, blind)


def test_only_weights_of_layers_move(image_toy):
    edited = image_toy.edit(of("gradient_projection", lr=1.0, epochs=1.0)).state
    for name, value in edited.params.items():
        assert torch.equal(value, image_toy.originals.params[name]) == (value.ndim <= 2), name  # [K, out, …]
    assert all(torch.equal(value, image_toy.originals.buffers[name]) for name, value in edited.buffers.items())


def test_the_loss_is_its_formula(toy):
    method = of("gradient_projection", entropy_weight=0.3, offset=0.1)()
    net, y = one(toy, 0), toy.forget.y
    batch = Batch(*toy.forget, torch.arange(10))
    found = method.step(net, {}, {"forget": batch}, 0, key_tensor([1])[0])
    p = softmax(net(toy.forget.x), -1)
    entropy = -(p * p.log()).sum(1)
    expected = (-torch.log(1.1 - p[torch.arange(10), y]) - 0.3 * entropy).mean()
    torch.testing.assert_close(found, expected)


def test_it_unlearns_s(contract, memorised):
    """Of 24 hidden units few directions are left, so a larger part of the space is given up here."""
    given = {"energy": 0.7, "epochs": 1.0}
    contract.check_moves(of("gradient_projection", **given), memorised, contract.probability_on("forget"), by=-0.3)
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(
            of("gradient_projection", **{**given, "epochs": 0.0}),
            memorised,
            contract.probability_on("forget"),
            by=-0.3,
        )
    kept = contract.loss_on("retain")
    free = lambda: of("gradient_projection", **given)()._replace(project=None)  # noqa: E731
    near, far = (kept(memorised, memorised.edit(b).state) for b in (of("gradient_projection", **given), free))
    assert (near < 0.5 * far).all()


def test_a_net_without_layers_is_refused(toy):
    def apply(state, x, *, train, key):
        return x[:, :3] * state.params["scale"], {}

    learner = replace(toy.learner, dense=None, stacked=False, apply=apply)
    odd = toy._replace(learner=learner, originals=State({"scale": torch.ones(3, 3)}, {}))
    with pytest.raises(ApplicabilityError, match="no linear layer"):
        odd.edit(of("gradient_projection"))


@pytest.mark.parametrize("wrong", [{"energy": 1.1}, {"energy": -0.1}, {"offset": 0.0}], ids=str)
def test_parameters_of_projection_out_of_range_are_refused(wrong):
    with pytest.raises(SpecError, match=next(iter(wrong))):
        of("gradient_projection", **wrong)()
