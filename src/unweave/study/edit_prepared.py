"""A request that was checked, before anything is trained for it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave.records import Aim
from unweave.study.assemble import Assembly
from unweave.study.choices import MethodChoice
from unweave.study.expansion import Found
from unweave.study.given import GivenModel

RETRAIN = "retrain"


class Prepared(NamedTuple):
    """A request that was checked, and has cost nothing yet.

    Attributes:
        assembly: D without earlier requests, and S in it.
        model: The latest model; None for a learner of which only outputs are known.
        file: Where it is.
        number: Of the request in its log, from 1.
        aim: What is asked for.
        choice: The method; its name may be `RETRAIN`.
        cost: As a multiple of one retraining.
        large: What is large about the request, or "".
        folder: Where model, record and spec will stand.
        found: What S was expanded to; None for a method that is run on S.
    """

    assembly: Assembly
    model: GivenModel | None
    file: Path | None
    number: int
    aim: Aim
    choice: MethodChoice
    cost: float
    large: str
    folder: Path
    found: Found | None = None


def retained(assembly: Assembly) -> NDArray[np.int64]:
    """Rows of D∖S."""
    return np.setdiff1d(assembly.worlds["original"].rows, assembly.forget)
