"""One model, as a method calls it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from unweave.learners.contract import Learner, Params, State
from unweave.learners.noise import fold_in


class Net:
    """One model to be called: `net(x)` gives logits, with the buffers it leaves in `net.buffers`.

    Logits that are `known`, as pairs of x and logits, are given where `net` is called with that very x and has the
    parameters it was made with.
    """

    def __init__(
        self,
        learner: Learner,
        state: State,
        *,
        train: bool = True,
        key: Tensor | None = None,
        known: Sequence[tuple[Tensor, Tensor]] = (),
    ) -> None:
        self.learner = learner
        self.params: Params = state.params
        self.buffers: Params = state.buffers
        self._train = train
        self._key = key
        self._known = known
        self._given = dict(state.params)
        self._calls = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Logits [batch, classes], or [batch, classes, A] where an example has A labels."""
        for asked, logits in self._known:
            if x is asked and all(value is self._given.get(name) for name, value in self.params.items()):
                return logits
        state = State(self.params, self.buffers)
        # Each call has noise of its own: two batches of one step must not share a dropout mask.
        # Plain relu nets draw nothing.
        key = None if self._key is None or self.learner.dense is not None else fold_in(self._key, self._calls)
        self._calls += 1
        logits, self.buffers = self.learner.apply(state, x, train=self._train, key=key)
        return logits

    def in_use(self, x: Tensor) -> Tensor:
        """Logits as the model gives them in use, in a step too: running statistics, no dropout; buffers stay."""
        if self.learner.dense is not None:  # nothing in these nets differs between training and use
            return self(x)
        return self.learner.apply(State(self.params, self.buffers), x, train=False, key=None)[0]

    def features(self, x: Tensor) -> Tensor:
        """Features [batch, width] on which the last layer works."""
        return self.learner.features(State(self.params, self.buffers), x)

    def middle(self, x: Tensor) -> Tensor:
        """Vectors half-way through the net [batch, width] or [batch, A, width]; features where it has none."""
        return (self.learner.middle or self.learner.features)(State(self.params, self.buffers), x)

    def encode(self, x: Tensor) -> Tensor:
        """Features as the net itself gets them: standardised and one-hot, where the learner does that."""
        return x if self.learner.encode is None else self.learner.encode(self.buffers, x)
