"""Hidden units that a method adds to a net for its own use, and takes away again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from unweave.learners.contract import Learner, State
from unweave.learners.nets import build
from unweave.learners.noise import fold_in
from unweave.learners.specs import P_MEM, without_tied_variant
from unweave.learners.tied import KEY
from unweave.methods.contract import Widening
from unweave.methods.layers import fresh

_WEIGHTS, _MASKS = 0, 1  # streams of a key


def widened(learner: Learner) -> Learner:
    """The net with as many units of memorisation again in each hidden layer, beside those of all examples.

    In use the added units are off, so that it computes what the net computes; in training each example has a fifth
    of them, `P_MEM`. A net that has such units, or of which no such variant exists, is given back as it is.

    Example:
        >>> from unweave.learners import specify
        >>> net = widened(build(specify("mlp", (4,), 2, config={"width": 8})))
        >>> net.spec.config["width"], int(net.tied.general.sum())
        (16, 8)
    """
    spec = learner.spec
    if spec.tied or spec.opaque or without_tied_variant(spec):
        return learner
    doubled = {name: 2 * spec.config[name] for name in ("width", "channels") if name in spec.config}
    config = {**spec.config, **doubled, "etd": P_MEM, "p_gen": 0.5}
    return replace(build(replace(spec, config=config)), stacked=learner.stacked)


def own_places(learner: Learner, name: str, own: torch.Size, wide: torch.Size) -> Tensor:
    """Where the entries of a tensor lie in that of the widened net, both flat and in their order.

    Args:
        learner: The net before.
        name: Of the parameter.
        own: Its shape: [out], [out, in] or [out, in, height, width].
        wide: That in the widened net.

    Returns:
        Places, int64, one for each entry.

    Example:
        >>> from unweave.learners import specify
        >>> net = build(specify("mlp", (1,), 2, config={"width": 2}))
        >>> own_places(net, "1.weight", torch.Size([2, 2]), torch.Size([2, 4])).tolist()
        [0, 1, 4, 5]
    """
    kept = (torch.arange(wide[0]) < own[0]).reshape(-1, *[1] * (len(wide) - 1))
    if len(wide) > 1:
        # The last layer of a net of convolutions reads all channels of one pixel, then those of the next.
        channels = 2 * learner.spec.config["channels"] if learner.spec.name == "cnn" and len(own) == 2 else own[1]
        group = channels * wide[1] // own[1]
        kept = kept & (torch.arange(wide[1]) % group < channels).reshape(1, -1, *[1] * (len(wide) - 2))
    return kept.expand(wide).reshape(-1).nonzero()[:, 0]


def enter(learner: Learner) -> Callable[[State, Tensor], State]:
    """How one model gets added units, whose weights are drawn as those of the wider net are before training.

    Args:
        learner: Of the model.

    Returns:
        `(state, key) → state` of `widened(learner)`, which in use gives the same logits; the scalar key tensor is
        that of the added weights, and of whose the units are.
    """
    wide = widened(learner)
    if wide is learner:
        return lambda state, key: state
    # Outside of a stack, in which no generator may be asked.
    like, places = wide.init(0).params, _places(learner, wide)

    def grow(state: State, key: Tensor) -> State:
        blank = {name: like[name].to(key.device) for name in sorted(like)}
        drawn, params = fresh(blank, fold_in(key, _WEIGHTS)), {}
        for name, value in state.params.items():
            flat = drawn[name].reshape(-1).scatter(0, places[name].to(key.device), value.reshape(-1))
            params[name] = flat.reshape(like[name].shape)
        return State(params, {**state.buffers, KEY: fold_in(key, _MASKS)})

    return grow


def leave(learner: Learner) -> Callable[[State], State]:
    """How one model of `widened(learner)` loses the added units: what stays is what of it is in use."""
    wide = widened(learner)
    if wide is learner:
        return lambda state: state
    shapes = {name: value.shape for name, value in learner.init(0).params.items()}
    places = _places(learner, wide)

    def cut(state: State) -> State:
        params = {
            name: value.reshape(-1).index_select(0, places[name].to(value.device)).reshape(shapes[name])
            for name, value in state.params.items()
        }
        return State(params, {name: value for name, value in state.buffers.items() if name != KEY})

    return cut


def _places(learner: Learner, wide: Learner) -> dict[str, Tensor]:
    own, more = learner.init(0).params, wide.init(0).params
    return {name: own_places(learner, name, value.shape, more[name].shape) for name, value in own.items()}


TWICE = Widening(widened, enter, leave)
"""As many units again."""
