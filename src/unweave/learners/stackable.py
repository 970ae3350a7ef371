"""Whether models of a user's own module can be trained side by side: found by trying."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.functional import cross_entropy

from unweave._errors import UserError
from unweave.learners.contract import Learner, Params, State
from unweave.learners.own_code import told

MOST_KEPT = 10**6
"""Numbers that a pass of a batch keeps for its gradient, weights among them. A step of more takes so long that
what is spent around it no longer matters, and a stack of such would take gigabytes."""

_NOT_AT_ONCE = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
)
_MODELS, _FEWER = 8, (1, 3)
_CLOSE, _ROUNDING = 1e-4, 1e-6


def stackable(learner: Learner, module: nn.Module) -> bool:
    """Whether a stack of models of this module does what they do one by one, and is worth it.

    A module is stacked if it draws nothing at random in training, which could not be a function of each model's
    own key; convolves nothing, which gains little side by side on a CPU; has no batch norm, whose last digits hang
    on how many models there are; is not so large that nothing is gained; and a trial on eight models under `vmap`
    gives the logits, gradients and buffers that they have alone, and to the bit the same for fewer models as for
    eight, so that no model hangs on which others it was trained with.

    Args:
        learner: The functions of the module, that of `apply` without seeding.
        module: What they are made of.

    Returns:
        False as well for a module that `vmap` cannot take: one that reads numbers out of tensors, for example.
    """
    if any(isinstance(part, _NOT_AT_ONCE) for part in module.modules()) or learner.recipe.dtype != "float32":
        return False
    try:
        with _without_fallback():
            return _same(learner, module)
    except (UserError, RuntimeError):  # it is the module's, or of `vmap` with it; alone it is tried elsewhere
        return False


def _same(learner: Learner, module: nn.Module) -> bool:
    spec = learner.spec
    rng = torch.Generator().manual_seed(0)
    # Not below 0 and not of whole units, for nets that look rows up by them.
    x = torch.rand(_MODELS, max(2, learner.recipe.batch_size), *spec.shape, generator=rng)
    y = torch.randint(spec.classes, x.shape[:2], generator=rng)
    first = learner.init(0)
    if _asked(learner, first, x[0])[0].shape != (*y[0].shape, spec.classes):
        return False  # it will be refused, with what is wrong
    if _draws(learner, module, x[0]) or _kept(learner, first, x[0], y[0]) > MOST_KEPT:
        return False
    models = [first, *(learner.init(key) for key in range(1, _MODELS))]
    alone = [_pass(learner, *one) for one in zip(models, x, y, strict=True)]
    whole = _side_by_side(learner, models, x, y)
    for count in _FEWER:
        fewer = _side_by_side(learner, models[:count], x[:count], y[:count])
        if not all(torch.equal(some, every[:count]) for some, every in zip(fewer, whole, strict=True)):
            return False
    by_model = zip(*whole, strict=True)
    return all(_close(*both) for one in zip(by_model, alone, strict=True) for both in zip(*one, strict=True))


def _kept(learner: Learner, state: State, x: Tensor, y: Tensor) -> int:
    """Numbers that one pass keeps for its gradient."""
    numbers: list[int] = []

    def count(tensor: Tensor) -> Tensor:
        numbers.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        _loss(learner)({n: v.clone().requires_grad_() for n, v in state.params.items()}, state.buffers, x, y)
    return sum(numbers)


@contextmanager
def _without_fallback() -> Generator[None]:
    """Let what `vmap` can only do in a loop of its own fail: it warns of that once in a process, and is slower."""
    inside: Any = getattr(torch._C, "_functorch", None)
    switch = getattr(inside, "_set_vmap_fallback_enabled", lambda on: None)
    switch(False)
    try:
        yield
    finally:
        switch(True)


def _draws(learner: Learner, module: nn.Module, x: Tensor) -> bool:
    """Whether a pass in training moves a global generator."""

    def where() -> tuple[object, ...]:
        return torch.default_generator.get_state().tolist(), random.getstate(), repr(np.random.get_state())

    before = where()
    with told(learner.spec), torch.no_grad():
        module.train()(x)
    return where() != before


def _asked(learner: Learner, state: State, x: Tensor) -> tuple[Tensor, Tensor]:
    return learner.apply(state, x, train=False, key=None)[0], learner.features(state, x)


def _loss(learner: Learner) -> Callable[[Params, Params, Tensor, Tensor], tuple[Tensor, Params]]:
    def loss(params: Params, buffers: Params, x: Tensor, y: Tensor) -> tuple[Tensor, Params]:
        logits, after = learner.apply(State(params, buffers), x, train=True, key=None)
        return cross_entropy(logits, y), after

    return loss


def _pass(learner: Learner, state: State, x: Tensor, y: Tensor) -> list[Tensor]:
    """Everything that one model is asked for: gradients, buffers after a step, logits and features."""
    leaves = {name: value.clone().requires_grad_() for name, value in state.params.items()}
    value, after = _loss(learner)(leaves, state.buffers, x, y)
    grads = torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True)
    with torch.no_grad():
        return [*grads, *(one.detach() for one in after.values()), *_asked(learner, state, x)]


def _side_by_side(learner: Learner, models: list[State], x: Tensor, y: Tensor) -> list[Tensor]:
    """The same of a stack, as the engine asks: the gradient of the sum of losses, and one batch for all models."""
    params, buffers = (
        {name: torch.stack([getattr(model, kind)[name] for model in models]) for name in getattr(models[0], kind)}
        for kind in ("params", "buffers")
    )
    leaves = {name: value.requires_grad_() for name, value in params.items()}
    values, after = vmap(_loss(learner))(leaves, buffers, x, y)
    grads = torch.autograd.grad(values.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True)
    with torch.no_grad():
        state = State({name: value.detach() for name, value in leaves.items()}, buffers)
        vmap(lambda one, batch: _asked(learner, one, batch), in_dims=(0, None))(state, x[0])
        asked = vmap(lambda one, batch: _asked(learner, one, batch))(state, x)
    return [*grads, *(one.detach() for one in after.values()), *asked]


def _close(one: Tensor, other: Tensor) -> bool:
    """Equal but for rounding: by the largest number among them, and by itself where all are 0 but for rounding."""
    if not one.is_floating_point() or not one.numel():
        return torch.equal(one, other)
    return torch.allclose(one, other, rtol=0, atol=_ROUNDING + _CLOSE * float(other.abs().amax()))
