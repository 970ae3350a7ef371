"""Tasks as data: the name of a registered function and JSON arguments; no closures, no pickles."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Function = Callable[..., Any]
AnyFunction = TypeVar("AnyFunction", bound=Function)

_FUNCTIONS: dict[str, Function] = {}


@dataclass(frozen=True)
class Task:
    """A function `module:name` and its JSON arguments; running it twice must do no harm."""

    function: str
    arguments: dict[str, Any]


def task(function: AnyFunction) -> AnyFunction:
    """Register a module-level function, so that workers may run it by name."""
    _FUNCTIONS[f"{function.__module__}:{function.__name__}"] = function
    return function


def call(function: str, arguments: dict[str, Any]) -> Any:
    """Run a registered function; its module is imported first, which registers it.

    Raises:
        KeyError: for a function that its module did not register.
    """
    importlib.import_module(function.partition(":")[0])
    return _FUNCTIONS[function](**arguments)
