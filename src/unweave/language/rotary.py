"""Rotary positions: by which angles the place of a token turns the vectors of queries and keys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unweave._errors import SpecError


@dataclass(frozen=True)
class Scaling:
    """Frequencies made slower, so that a model reads longer documents than it was first trained on.

    Attributes:
        kind: `linear`: all of them; `llama3`: those of long waves, as Llama 3.1 and later have it.
        factor: By how much, ≥ 1 [factor].
        low: Waves longer than `context` / low tokens are slowed by all of it [low_freq_factor].
        high: Waves shorter than `context` / high tokens are left alone [high_freq_factor].
        context: Tokens that the model was first trained on [original_max_position_embeddings].
    """

    kind: str
    factor: float
    low: float = 1.0
    high: float = 4.0
    context: float = 8192.0

    def __post_init__(self) -> None:
        """Refuse what makes no frequencies.

        Raises:
            SpecError: naming the field.
        """
        for field in ("factor", "low", "high", "context"):
            if not 0 < getattr(self, field) < math.inf:
                raise SpecError(f"Scaled rotary positions: `{field}` is {getattr(self, field)}; expected above 0.")
        if self.high <= self.low:
            raise SpecError(
                f"Scaled rotary positions: `high_freq_factor` is {self.high}; expected more than "
                f"`low_freq_factor`, {self.low}."
            )


def scaling_of(settings: Mapping[str, Any], where: Path | str) -> Scaling | None:
    """What `rope_scaling` or `rope_parameters` of a `config.json` says; None for plain positions.

    Raises:
        SpecError: for another type, or one that lacks a number.

    Example:
        >>> scaling_of({"type": "linear", "factor": 2.0}, "model").factor, scaling_of({}, "model")
        (2.0, None)
    """
    kind = settings.get("rope_type", settings.get("type", "default"))
    if kind == "default":
        return None
    if kind not in _READ:
        raise SpecError(
            f"{where}: this model has rope_type = {kind}, which unweave does not compute; "
            f"{' and '.join(_READ)} and plain positions are."
        )
    given: dict[str, float] = {}
    for own, theirs in _READ[kind].items():
        value = settings.get(theirs)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SpecError(f"{where}: `{theirs}` of rope_type {kind} is {value!r}; expected a number.")
        given[own] = float(value)
    return Scaling(kind, **given)


_READ = {
    "linear": {"factor": "factor"},
    "llama3": {
        "factor": "factor",
        "low": "low_freq_factor",
        "high": "high_freq_factor",
        "context": "original_max_position_embeddings",
    },
}


def frequencies(size: int, theta: float, scaling: Scaling | None, device: torch.device) -> Tensor:
    """Radians per token of each pair of numbers of a head: f_i = θ^(−2i/size), [size / 2].

    `linear` takes f/factor. `llama3` looks at the wave λ = 2π/f: f where λ < context/high, f/factor where
    λ > context/low, and between the two (1 − s)·f/factor + s·f with s = (context/λ − low)/(high − low).

    Args:
        size: Numbers of a head's vectors, even.
        theta: θ.
        scaling: None = plain.
        device: Where they are needed.

    Source: Su et al. (2021), arXiv 2104.09864; Chen et al. (2023), arXiv 2306.15595 (`linear`); Llama 3.1, as
        `transformers` computes it.

    Example:
        >>> cpu = torch.device("cpu")
        >>> (frequencies(4, 100.0, None, cpu) / frequencies(4, 100.0, Scaling("linear", 2.0), cpu)).tolist()
        [2.0, 2.0]
    """
    even = torch.arange(0, size, 2, dtype=torch.int64, device=device).float()
    plain = 1.0 / theta ** (even / size)
    if scaling is None:
        return plain
    slow = plain / scaling.factor
    if scaling.kind == "linear":
        return slow
    wave = 2 * math.pi / plain
    share = ((scaling.context / wave - scaling.low) / (scaling.high - scaling.low)).clamp(0.0, 1.0)
    return (1 - share) * slow + share * plain
