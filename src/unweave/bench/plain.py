"""The other side: what research code does, one model after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from unweave.learners.contract import Learner, Params, State


class _InOrder(Sampler[int]):
    """The order of each epoch in turn, so that the plain loop meets the batches that the engine does."""

    def __init__(self, orders: NDArray[np.int64]):
        self.orders, self.epoch = orders, 0

    def __iter__(self) -> Iterator[int]:
        order = self.orders[self.epoch]
        self.epoch += 1
        return iter(order.tolist())

    def __len__(self) -> int:
        return self.orders.shape[1]


def module_of(learner: Learner, state: State) -> nn.Module:
    """The net as a `torch.nn.Module` with the weights of a state, written the usual way."""
    config, params = learner.spec.config, state.params
    if learner.spec.name == "mlp":
        sizes = [params["0.weight"].shape[1], *[config["width"]] * config["depth"], learner.spec.classes]
        layers: list[nn.Module] = [nn.Flatten()]
        for into, out in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Linear(into, out), nn.ReLU()]
        module = nn.Sequential(*layers[:-1])
    else:
        c, (colours, height, width) = config["channels"], learner.spec.image
        module = nn.Sequential(
            nn.Unflatten(1, (1, height)), nn.Conv2d(colours, c, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(c, 2 * c, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(params["2.weight"].shape[1], learner.spec.classes),
        )  # fmt: skip
        assert width == height
    own = [part for part in module if isinstance(part, nn.Linear | nn.Conv2d)]
    with torch.no_grad():
        for number, layer in enumerate(own):
            layer.load_state_dict({"weight": _as_usual(learner, params, number), "bias": params[f"{number}.bias"]})
    return module


def weights_of(learner: Learner, module: nn.Module) -> Params:
    """The weights of such a module by the learner's names, and in its order."""
    own = [part for part in module.children() if isinstance(part, nn.Linear | nn.Conv2d)]
    found: Params = {}
    for number, layer in enumerate(own):
        weight, bias = layer.state_dict()["weight"], layer.state_dict()["bias"]
        if weight.ndim == 2 and learner.spec.name == "cnn":  # channels last within a row
            height, width = _places(learner)
            weight = weight.view(len(weight), -1, height, width).permute(0, 2, 3, 1).flatten(1)
        found[f"{number}.weight"], found[f"{number}.bias"] = weight, bias
    return found


def _places(learner: Learner) -> tuple[int, int]:
    _, height, width = learner.spec.image
    return (height + 1) // 4, (width + 1) // 4


def _as_usual(learner: Learner, params: Params, number: int) -> Tensor:
    weight = params[f"{number}.weight"]
    if weight.ndim == 2 and learner.spec.name == "cnn":
        height, width = _places(learner)
        return weight.view(len(weight), height, width, -1).permute(0, 3, 1, 2).flatten(1)
    return weight


def train(learner: Learner, x: Tensor, y: Tensor, module: nn.Module, orders: NDArray[np.int64]) -> None:
    """The loop: a `DataLoader`, `zero_grad`, a forward and a backward pass, a step of `torch.optim.SGD`."""
    recipe = learner.recipe
    loader = DataLoader(TensorDataset(x, y), batch_size=recipe.batch_size, sampler=_InOrder(orders))
    optimiser = torch.optim.SGD(
        module.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    loss = nn.CrossEntropyLoss()
    module.train()
    for _ in range(len(orders)):
        for xb, yb in loader:
            optimiser.zero_grad()
            loss(module(xb), yb).backward()
            optimiser.step()


def softmax_one_by_one(
    x: NDArray[np.float64], y: NDArray[np.int64], rows: Sequence[NDArray[np.int64]], penalty: float
) -> NDArray[np.float64]:
    """Softmax regressions by scikit-learn's default, lbfgs: weights without intercepts [K, classes, d]."""
    from sklearn.linear_model import LogisticRegression

    return np.stack(
        [LogisticRegression(C=1 / (penalty * len(own)), max_iter=5000).fit(x[own], y[own]).coef_ for own in rows]
    )


def ridge_one_by_one(
    x: NDArray[np.float64], y: NDArray[np.float64], rows: Sequence[NDArray[np.int64]], penalty: float
) -> NDArray[np.float64]:
    """Ridge regressions by scikit-learn, each by itself: weights and intercept [K, c, d + 1]."""
    from sklearn.linear_model import Ridge

    found: list[NDArray[np.float64]] = []
    for own in rows:
        model = Ridge(alpha=penalty).fit(x[own], y[own])
        found.append(np.column_stack([model.coef_, model.intercept_]))
    return np.stack(found)
