"""A learner of the user's own: a function of a file that makes an `nn.Module`, or a classifier.

Nothing here asks whether the file may be run; `unweave.study` does, before it comes here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unweave._errors import UserError
from unweave._random import Key, derive
from unweave.learners.contract import Learner, Params, State
from unweave.learners.specs import LearnerSpec


def make(spec: LearnerSpec) -> Any:
    """What the user's function returns, called with the shape of an example and the number of classes, or nothing.

    Raises:
        UserError: for a file that changed since the run began, or code of it that fails.
    """
    file, name = Path(spec.file), spec.config["function"]
    try:
        source = file.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {file}: {error.strerror}.") from None
    if hashlib.sha256(source).hexdigest() != spec.config["sha256"]:
        raise UserError(f"{file} changed while it was in use; run again, so that all models are of one code.")
    function = getattr(_run(file, source), name, None)
    if not callable(function):
        raise UserError(f"{file} has no function `{name}`; `learner.factory` names the one that makes a model.")
    return _called(function, spec)


def _run(file: Path, source: bytes) -> Any:
    name = f"unweave_own_{hashlib.sha256(source).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise UserError(f"Cannot import {file}: expected a file of Python code, *.py.")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    sys.path.insert(0, str(file.absolute().parent))  # so that it may import what lies beside it
    try:
        found.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"Importing {file} failed: {type(error).__name__}: {error}.") from error
    finally:
        sys.path.pop(0)
    return module


def _called(function: Callable[..., Any], spec: LearnerSpec) -> Any:
    place = f"`{spec.config['function']}` of {Path(spec.file).name}"
    wants = len(inspect.signature(function).parameters)
    if wants not in (0, 2):
        raise UserError(f"{place} takes {wants} arguments; expected (shape, classes), or none.")
    try:
        return function(*((spec.shape, spec.classes) if wants else ()))
    except Exception as error:
        raise UserError(f"{place} failed: {type(error).__name__}: {error}.") from error


def module(spec: LearnerSpec) -> Learner:
    """The user's module as pure functions; what needs no gradient in it is kept with the buffers.

    Initial weights, and in training what is random in it, follow from the key alone; the random state of the
    process is left as it was. Models are trained one by one.
    """
    skeleton = _new(spec)

    def init(key: Key) -> State:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(key, "init"))
            fresh = _new(spec)
        named = {name: (value.detach().clone(), value.requires_grad) for name, value in fresh.named_parameters()}
        params = {name: value for name, (value, trained) in named.items() if trained}
        frozen = {name: value for name, (value, trained) in named.items() if not trained}
        if not params:
            raise UserError(f"The module of {Path(spec.file).name} has no parameters that are trained.")
        return State(params, frozen | {name: value.detach().clone() for name, value in fresh.named_buffers()})

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        skeleton.train(train)
        # A module changes its buffers in place; the state that was given must stay as it is.
        buffers = {name: value.clone() for name, value in state.buffers.items()}
        with torch.random.fork_rng(devices=[], enabled=key is not None):
            if key is not None:
                torch.manual_seed(int(key))
            return functional_call(skeleton, {**state.params, **buffers}, (x,)), buffers

    def features(state: State, x: Tensor) -> Tensor:
        return apply(state, x, train=False, key=None)[0]

    return Learner(spec, init, apply, features, stacked=False)


def _new(spec: LearnerSpec) -> nn.Module:
    found = make(spec)
    if not isinstance(found, nn.Module):
        raise UserError(
            f"`{spec.config['function']}` of {Path(spec.file).name} returned {type(found).__name__}; expected a "
            'torch.nn.Module (for a classifier of scikit-learn: `learner.name` = "classifier").'
        )
    return found


def try_out(learner: Learner, x: Tensor, sizes: Sequence[int]) -> None:
    """Find out before any training whether a module takes these data.

    Args:
        learner: The user's module as a learner.
        x: Two examples or more.
        sizes: Sizes of the training sets.

    Raises:
        UserError: for a forward pass that fails, logits of another shape, results that differ for equal keys, or a
            last batch of one example that the module cannot take.
    """
    spec, name = learner.spec, Path(learner.spec.file).name
    state, key = learner.init(0), torch.tensor(7)
    buffers = {} if learner.standardise is None else learner.standardise(x)
    state = State(state.params, state.buffers | buffers)

    def forward(batch: Tensor, *, train: bool) -> Any:
        try:
            with torch.no_grad():
                return learner.apply(state, batch, train=train, key=key if train else None)[0]
        except Exception as error:
            said = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            when = "training" if train else "use"
            raise UserError(
                f"The module of {name} fails on examples of shape {list(batch.shape)} in {when}: {said}."
            ) from error

    for train in (True, False):
        logits = forward(x[:2], train=train)
        if not isinstance(logits, Tensor) or logits.shape != (2, spec.classes):
            shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise UserError(
                f"The module of {name} gives {shape} for 2 examples of shape {list(spec.shape)}; expected logits "
                f"of shape {[2, spec.classes]}, one for each class."
            )
        if not torch.equal(logits, forward(x[:2], train=train)):
            raise UserError(
                f"The module of {name} gives different results for equal seeds: it draws numbers that do not "
                "follow from torch's own generator. No reference of it could be trained again."
            )
    left = [n for n in sizes if n % learner.recipe.batch_size == 1]
    if left:
        try:
            forward(x[:1], train=True)
        except UserError:
            raise UserError(
                f"A training set of {left[0]} examples leaves a last batch of 1, which the module of {name} does "
                "not take (normalisation over a batch?). Choose another `learner.batch_size` than "
                f"{learner.recipe.batch_size}."
            ) from None
