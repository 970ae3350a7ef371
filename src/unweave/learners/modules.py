"""A user's own `torch.nn.Module` as a learner: functions of one state, and what is checked before training."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Generator, Hashable, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from unweave._errors import SpecError, UserError
from unweave._random import Key, derive
from unweave.learners.contract import Learner, Params, State
from unweave.learners.own_code import make, seeded, told
from unweave.learners.specs import OWN, LearnerSpec
from unweave.learners.stackable import stackable


class Names:
    """Names of a module's tensors, numbered by the order of its parts, → the names that torch has for them.

    Layers are told apart and ordered by the numbers. A parameter that needs no gradient is a buffer here; of a
    parameter that stands in two places (tied) the first place is named, and `others` has its further names.
    """

    def __init__(self, module: nn.Module) -> None:
        self.params: dict[str, str] = {}
        self.buffers: dict[str, str] = {}
        self.others: dict[str, str] = {}
        seen: dict[int, str] = {}
        for number, (path, part) in enumerate(module.named_modules()):
            own = part.named_parameters(recurse=False, remove_duplicate=False)
            for name, value in [*own, *part.named_buffers(recurse=False, remove_duplicate=False)]:
                theirs = f"{path}.{name}" if path else name
                if id(value) in seen:
                    self.others[theirs] = seen[id(value)]
                    continue
                seen[id(value)] = theirs
                trained = isinstance(value, nn.Parameter) and value.requires_grad
                (self.params if trained else self.buffers)[f"{number}.{theirs}"] = theirs

    def state(self, module: nn.Module) -> State:
        """The tensors of a module, copied."""
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        params, buffers = (
            {ours: tensors[theirs].detach().clone() for ours, theirs in names.items()}
            for names in (self.params, self.buffers)
        )
        return State(params, buffers)


def tensor_names(learner: Learner, like: State) -> tuple[dict[str, str], dict[str, str]]:
    """What tensors of a model like this are called in a file: our name → theirs, second name of tied ones → first.

    A net that comes with unweave has one name for each; of a user's module they are those of its `state_dict`.
    """
    if learner.spec.name != OWN:
        return {name: name for part in like for name in part}, {}
    module = _made(learner.spec, 0)
    names = Names(module)
    kept = set(module.state_dict())
    ours = {**names.params, **names.buffers}
    # What a module does not save, it makes anew.
    return {own: theirs for own, theirs in ours.items() if theirs in kept}, names.others


def own_module(spec: LearnerSpec) -> Learner:
    """The functions of a module that the user's function makes; models are trained side by side where they can be.

    The function is called with the global generators seeded from the model's key, and so is each pass in
    training from the key of the step: dropout is a function of both. The generators are left as they were.
    """
    known = (spec.config["sha256"], spec.config["function"], spec.shape, spec.classes, spec.recipe)
    if known not in _stacked:
        module = _made(spec, 0)
        with seeded(0):
            _stacked[known] = stackable(_functions(spec, module, seed=False), module)
    return replace(_functions(spec, _made(spec, 0), seed=not _stacked[known]), stacked=_stacked[known])


_stacked: dict[Hashable, bool] = {}
"""Which modules can be stacked: one trial in a process."""


def _functions(spec: LearnerSpec, template: nn.Module, *, seed: bool) -> Learner:
    """The functions of one module, whose passes in training are seeded or not."""
    names = Names(template)

    def init(key: Key) -> State:
        return names.state(_made(spec, derive(key, "init")))

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        # Norms write their statistics in place, and so may others; what came in belongs to the caller.
        buffers = {name: value.clone() for name, value in state.buffers.items()} if train else state.buffers
        tensors = {theirs: state.params[ours] for ours, theirs in names.params.items()}
        tensors |= {theirs: buffers[ours] for ours, theirs in names.buffers.items()}
        template.train(train)
        with told(spec), seeded(int(key)) if seed and train and key is not None else nullcontext():
            logits = functional_call(template, tensors, (x.clone(),))
        if not isinstance(logits, Tensor):
            raise SpecError(f"{spec.label} returns {_article(type(logits).__name__)}; expected logits, a tensor.")
        return logits, buffers

    def features(state: State, x: Tensor) -> Tensor:
        # The last layer is that which returned the logits; where there is none they are all that is known.
        with _inputs_of(template) as seen:
            logits = apply(state, x, train=False, key=None)[0]
        return next((given.flatten(1) for given, returned in reversed(seen) if returned is logits), logits)

    return Learner(spec, init, apply, features, stacked=False)


@contextmanager
def _inputs_of(module: nn.Module) -> Generator[list[tuple[Tensor, Any]]]:
    """What goes into each linear layer, and what comes out, while the module is at work."""
    seen: list[tuple[Tensor, Any]] = []

    def follow(part: nn.Module, given: tuple[Any, ...], returned: Any) -> None:
        del part
        seen.append((given[0], returned))

    hooks = [part.register_forward_hook(follow) for part in module.modules() if isinstance(part, nn.Linear)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _made(spec: LearnerSpec, seed: int) -> nn.Module:
    with seeded(seed):
        module = make(spec)
    if not isinstance(module, nn.Module):
        raise SpecError(
            f"{spec.label} returned {_article(type(module).__name__)}; expected a torch.nn.Module, or a "
            "classifier of scikit-learn with `fit` and `predict_proba`."
        )
    return module


def _article(name: str) -> str:
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"


def check_module(spec: LearnerSpec, x: Tensor) -> int:
    """Try a module on two examples before anything is trained.

    Args:
        spec: Which module.
        x: At least two examples of the data [n, ...].

    Returns:
        The smallest batch that it can be trained on: 1 or 2.

    Raises:
        UserError: if it fails, has outputs of another shape than [batch, classes], is not the same for the
            same seed, cannot be trained, or counts in plain attributes.
    """
    learner = own_module(spec)
    first, again = learner.init(1), learner.init(1)
    if not first.params:
        raise SpecError(f"{spec.label} has no parameter that needs a gradient: there is nothing to train.")
    _check_same(spec, first, again)
    key = torch.tensor(7)
    two = x[:2]
    for train in (False, True):
        found, _ = learner.apply(first, two, train=train, key=key)
        if found.shape != (2, spec.classes):
            raise SpecError(
                f"{spec.label} turns examples of shape {list(two.shape)} into {list(found.shape)}; expected "
                f"logits of shape {[2, spec.classes]}: one for each class."
            )
        if not torch.equal(found, learner.apply(first, two, train=train, key=key)[0]):
            how = "in training" if train else "in use (`eval`)"
            raise SpecError(
                f"{spec.label} gives two results {how} for the same model, examples and seed: a run could not be "
                "repeated. Draw from torch's own generator, and in training only."
            )
    _check_buffers(spec, learner, first, two)
    _check_attributes(spec, first, two)
    try:
        one, _ = learner.apply(first, x[:1], train=True, key=key)
    except UserError:
        return 2
    return 1 if one.shape == (1, spec.classes) else 2  # a `squeeze` too many loses a batch of one


def _check_same(spec: LearnerSpec, first: State, again: State) -> None:
    for one, other in zip(first, again, strict=True):
        for name, value in one.items():
            if name not in other or value.shape != other[name].shape or not torch.equal(value, other[name]):
                raise SpecError(
                    f"{spec.label} gives two different `{name}` for the same seed: a run could not be repeated. "
                    "Draw from torch's own generator (or numpy's or Python's global one)."
                )


def _check_buffers(spec: LearnerSpec, learner: Learner, state: State, x: Tensor) -> None:
    """A buffer that is replaced instead of written to would silently stay as it was."""
    module = copy.deepcopy(_made(spec, derive(1, "init"))).train()
    names = Names(module)
    with seeded(7), torch.no_grad():
        module(x)
    after = names.state(module).buffers
    for name, value in learner.apply(state, x, train=True, key=torch.tensor(7))[1].items():
        if not torch.equal(value, after[name]):
            raise SpecError(
                f"{spec.label} replaces its buffer `{names.buffers[name]}` in training, which would be lost. "
                "Write into it instead, with `copy_` or `add_`."
            )


def _check_attributes(spec: LearnerSpec, state: State, x: Tensor) -> None:
    """One module serves all models: what it counts in plain attributes would go from one model to the next."""
    module = _made(spec, derive(1, "init")).train()
    names = Names(module)
    seen: list[dict[str, Hashable]] = []
    for _ in range(2):  # what a first pass alone sets up is a cache
        tensors = {theirs: state.params[ours] for ours, theirs in names.params.items()}
        tensors |= {theirs: state.buffers[ours].clone() for ours, theirs in names.buffers.items()}
        with seeded(7), torch.no_grad():
            functional_call(module, tensors, (x.clone(),))
        seen.append(_attributes(module))
    first, second = seen
    for name, value in second.items():
        if first.get(name) != value:
            raise SpecError(
                f"{spec.label} changes its attribute `{name}` with each pass in training; one module serves all "
                "models, so that what it keeps would go from one to the next. Keep it in a buffer "
                "(`register_buffer`) that is written to with `copy_` or `add_`."
            )


def _attributes(module: nn.Module) -> dict[str, Hashable]:
    """What a module keeps beside tensors that are its state, in a form that can be compared."""
    own = vars(nn.Module())
    return {
        f"{path}.{name}" if path else name: _content(value, 4)
        for path, part in module.named_modules()
        for name, value in vars(part).items()
        if name not in own
    }


def _content(value: Any, depth: int) -> Hashable:
    if isinstance(value, str | bytes | int | float | complex | None):
        return value if value == value else "nan"
    if isinstance(value, Tensor | np.ndarray):
        dense = value.detach().to_dense().to("cpu") if isinstance(value, Tensor) else value
        # numpy has no bfloat16; float32 holds all of its numbers.
        array = np.asarray(dense.float() if isinstance(dense, Tensor) and dense.dtype == torch.bfloat16 else dense)
        return (array.shape, str(array.dtype), array.tobytes())
    if depth == 0 or isinstance(value, nn.Module | type):
        return type(value).__name__
    if isinstance(value, Mapping):
        return tuple((str(key), _content(one, depth - 1)) for key, one in value.items())
    if isinstance(value, list | tuple | deque):
        return tuple(_content(one, depth - 1) for one in value)
    if isinstance(value, set | frozenset):
        return frozenset(_content(one, depth - 1) for one in value)
    return (type(value).__name__, _content(getattr(value, "__dict__", ()), depth - 1))
