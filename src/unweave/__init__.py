"""unweave: did your method untrain or unlearn? Reference models by the hundred, with intervals."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unweave._errors import UnweaveError as UnweaveError
from unweave._errors import UserError as UserError
from unweave._version import __version__ as __version__

if TYPE_CHECKING:
    from unweave._types import Estimate as Estimate
    from unweave._types import NotMeasured as NotMeasured
    from unweave.problem import BehaviourChoice as BehaviourChoice
    from unweave.problem import Case as Case
    from unweave.problem import DataChoice as DataChoice
    from unweave.problem import ForgetChoice as ForgetChoice
    from unweave.problem import LearnerChoice as LearnerChoice
    from unweave.problem import ProbeChoice as ProbeChoice
    from unweave.problem import ReferenceChoice as ReferenceChoice
    from unweave.study import Comparison as Comparison
    from unweave.study import Sweep as Sweep
    from unweave.study import compare as compare
    from unweave.study import sweep as sweep

# Loaded when first asked for: a worker and `--help` begin without half a second of imports that they do not need.
_HOMES = {
    "unweave._types": ("Estimate", "NotMeasured"),
    "unweave.problem": (
        "BehaviourChoice",
        "Case",
        "DataChoice",
        "ForgetChoice",
        "LearnerChoice",
        "ProbeChoice",
        "ReferenceChoice",
    ),
    "unweave.study": ("Comparison", "Sweep", "compare", "sweep"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [
    "BehaviourChoice",
    "Case",
    "Comparison",
    "DataChoice",
    "Estimate",
    "ForgetChoice",
    "LearnerChoice",
    "NotMeasured",
    "ProbeChoice",
    "ReferenceChoice",
    "Sweep",
    "UnweaveError",
    "UserError",
    "__version__",
    "compare",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'unweave' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
