"""AdamW: in the loop, as a step of a stack, and as the rule by which methods step."""

import numpy as np
import pytest
import torch

from unweave._errors import ApplicabilityError, SpecError
from unweave._random import generator
from unweave.language import learners  # noqa: F401 - registers `causal_lm`
from unweave.learners import LEARNERS, Recipe, specify
from unweave.learners.nets import build
from unweave.methods import METHODS, Examples, run
from unweave.training.adamw import adamw_step
from unweave.training.engine import stack
from unweave.training.loop import fit


def _net(**recipe):
    config = {"width": 8, "inner": 8, "depth": 1}
    recipe = {"epochs": 2, "batch_size": 8, "warmup": 2, **recipe}
    return build(specify("causal_lm", (4,), 9, config=config, recipe=recipe))


def _prompts(n=24):
    rng = np.random.default_rng(0)
    x = rng.integers(1, 9, size=(n, 4)).astype(np.float32)
    x[: n // 2, 3] = 0
    return torch.from_numpy(x), torch.from_numpy(rng.integers(1, 9, size=n))


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_steps_are_those_of_torch(decay):
    rng = torch.Generator().manual_seed(0)
    theta = {"a": torch.randn(3, 4, generator=rng), "b": torch.randn(5, generator=rng)}
    theirs = {name: value.clone().requires_grad_() for name, value in theta.items()}
    rule = Recipe(lr=0.1, epochs=1, optimiser="adamw", weight_decay=decay)
    oracle = torch.optim.AdamW(theirs.values(), lr=0.1, betas=(0.9, 0.99), weight_decay=decay)
    speeds, squares = ({name: torch.zeros_like(value) for name, value in theta.items()} for _ in range(2))
    for number in range(7):
        grads = {name: torch.randn(value.shape, generator=rng) for name, value in theta.items()}
        for name, value in theirs.items():
            value.grad = grads[name].clone()
        oracle.step()
        adamw_step(theta, grads, speeds, squares, lr=0.1, recipe=rule, number=number)
    for name, value in theta.items():
        torch.testing.assert_close(value, theirs[name].detach(), rtol=1e-5, atol=1e-6)


def test_a_method_steps_as_the_recipe_does():
    learner, (x, y) = _net(schedule="constant", warmup=0), _prompts()
    original = fit(learner, x, y, rows=np.arange(24), key=0)
    retain, forget = Examples(x[6:], y[6:]), Examples(x[:6], y[:6])
    method = METHODS.get("finetune").build(epochs=0.5, lr=0.3)
    edited = run(method, learner, stack([original]), forget=forget, retain=retain, keys=[5])
    params = {name: value.clone().requires_grad_() for name, value in original.params.items()}
    oracle = torch.optim.AdamW(params.values(), lr=0.3 * learner.recipe.lr, betas=(0.9, 0.99), weight_decay=0.0)
    rows = generator(5, "retain").permutation(18)
    for begin in range(0, 18, 8):
        batch = rows[begin : begin + 8]
        oracle.zero_grad()
        state = original._replace(params=params)
        logits = learner.apply(state, retain.x[batch], train=True, key=None)[0]
        torch.nn.functional.cross_entropy(logits, retain.y[batch]).backward()
        oracle.step()
    for name, value in params.items():
        torch.testing.assert_close(edited.state.params[name][0], value.detach(), rtol=1e-4, atol=1e-5)
    assert any((value.detach() - original.params[name]).abs().max() > 1e-3 for name, value in params.items())


def test_the_rule_and_the_warm_up_change_what_is_trained_and_its_identity():
    x, y = _prompts()
    found = {}
    for name, recipe in {"adamw": {}, "sgd": {"optimiser": "sgd"}, "cold": {"warmup": 0}}.items():
        learner = _net(**recipe)
        found[name] = fit(learner, x, y, rows=np.arange(24), key=0).params["0.embed.weight"]
        assert learner.spec.identity()["recipe"].get("optimiser", "sgd") == recipe.get("optimiser", "adamw")
    assert not torch.equal(found["adamw"], found["sgd"])
    assert not torch.equal(found["adamw"], found["cold"])


def test_what_was_there_before_keeps_its_identity():
    assert not {"optimiser", "warmup"} & set(specify("mlp", (4,), 2).identity()["recipe"])
    assert specify("mlp", (4,), 2, recipe={"warmup": 3}).identity()["recipe"]["warmup"] == 3


@pytest.mark.parametrize(
    ("name", "recipe", "error", "match"),
    [
        ("mlp", {"optimiser": "adamw"}, ApplicabilityError, "`mlp` is trained by SGD; causal_lm takes others"),
        ("causal_lm", {"warmup": -1}, SpecError, "whole number of steps, 0 for none"),
    ],
)
def test_bad_recipes_are_refused(name, recipe, error, match):
    with pytest.raises(error, match=match):
        specify(name, (4,), 9, recipe=recipe)


def test_the_language_model_is_listed_with_its_recipe():
    declared = LEARNERS.get("causal_lm").declared
    assert declared.documents and declared.recipe.optimiser == "adamw"
