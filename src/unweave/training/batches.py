"""Which example comes when: index tables, the only way an example is left out of training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._random import Key, generator


def epoch_orders(n: int, rows: NDArray[np.int64], epochs: int, key: Key) -> NDArray[np.int64]:
    """The order in which the rows of a training set are visited, per epoch.

    Each epoch permutes all n rows of D and then drops those outside the training set, so two worlds
    with the same key visit what they share in the same order (paired seeds), and an excluded example
    is never touched: a mask on the loss would still let it move batch statistics.

    Args:
        n: Number of rows of D.
        rows: Rows of the training set, unique, in 0…n−1.
        epochs: Number of epochs.
        key: The replica's key.

    Returns:
        Row numbers [epochs, len(rows)].

    Example:
        >>> sorted(epoch_orders(5, np.array([0, 3, 4]), 1, 7)[0].tolist())
        [0, 3, 4]
    """
    inside = np.zeros(n, dtype=bool)
    inside[rows] = True
    rng = generator(key, "order")
    orders = np.stack([rng.permutation(n) for _ in range(epochs)])
    return orders[inside[orders]].reshape(epochs, len(rows))
