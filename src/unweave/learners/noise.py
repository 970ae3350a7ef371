"""Random numbers as a pure function of a key tensor, so that they work under `vmap`.

A generator with a state cannot be stacked: the numbers of replica k would depend on which replicas
it was stacked with. Here number j of key κ is splitmix64(κ + (j+1)·φ64), the finaliser of
Steele, Lea & Flood (2014), "Fast splittable pseudorandom number generators", in int64 arithmetic.
"""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = -0x61C8864680B583EB  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX1 = -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9
_MIX2 = -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB


def _shift(bits: Tensor, by: int) -> Tensor:
    # torch shifts int64 arithmetically; the mask makes it the logical shift that splitmix64 means.
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift(bits, 30)) * _MIX1
    bits = (bits ^ _shift(bits, 27)) * _MIX2
    return bits ^ _shift(bits, 31)


def key_tensor(keys: list[int], device: torch.device | str = "cpu") -> Tensor:
    """Keys as an int64 tensor [K], the form in which they enter stacked functions."""
    return torch.tensor(keys, dtype=torch.int64, device=device)


def fold_in(key: Tensor, number: int | Tensor) -> Tensor:
    """A new key from a key and an integer, such as a step number; many integers are broadcast with the key."""
    counter = torch.full_like(key, number + 1) if isinstance(number, int) else number + 1
    return _mix(key + _mix(counter * _GOLDEN))


def uniform(key: Tensor, *shape: int) -> Tensor:
    """Uniform float32 numbers in [0, 1) of a shape, determined by the key alone.

    Args:
        key: A scalar int64 tensor (one replica; batched under `vmap`).
        shape: Shape of the result.

    Example:
        >>> bool((uniform(key_tensor([7])[0], 3) == uniform(key_tensor([7, 8])[0], 3)).all())
        True
    """
    count = 1
    for length in shape:
        count *= length
    counter = torch.arange(1, count + 1, dtype=torch.int64, device=key.device) * _GOLDEN
    bits = _shift(_mix(key + counter), 40)
    return (bits.to(torch.float32) * 2.0**-24).reshape(shape)


def coins(keys: Tensor, count: int, p: float) -> Tensor:
    """Independent draws of 1 with probability p and else 0 for many keys, determined by each key alone.

    Four to each number of splitmix64, each by 16 bits of it: p is rounded to a multiple of 2⁻¹⁶.

    Args:
        keys: int64 [n].
        count: Draws per key.
        p: In [0, 1].

    Returns:
        float32 [n, count].

    Example:
        >>> keys = key_tensor([7, 8])
        >>> bool((coins(keys, 5, 0.5)[1] == coins(keys[1:], 5, 0.5)[0]).all())
        True
    """
    counter = torch.arange(1, -(-count // 4) + 1, dtype=torch.int64, device=keys.device) * _GOLDEN
    # As they lie in memory, the last 16 bits of each number first, and in int32 without their sign.
    parts = _mix(keys[:, None] + counter).view(torch.int16)[:, :count].to(torch.int32)
    return ((parts & 0xFFFF) < round(p * 2**16)).to(torch.float32)


def normal(key: Tensor, *shape: int) -> Tensor:
    """Standard normal float32 numbers of a shape, determined by the key alone, within ±5.5.

    √2·erfinv(2u − 1) of uniform u, taken in the middle of its 2⁻²⁴ steps.

    Example:
        >>> bool(normal(key_tensor([7])[0], 1000).std() > 0.9)
        True
    """
    middle = uniform(key, *shape).to(torch.float64) + 2.0**-25
    return (torch.erfinv(2 * middle - 1) * 2**0.5).to(torch.float32)
