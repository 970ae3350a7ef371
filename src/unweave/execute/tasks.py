"""Tasks as data: the name of a registered function and JSON arguments; no closures, no pickles."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from unweave._errors import by_signal

Function = Callable[..., Any]
AnyFunction = TypeVar("AnyFunction", bound=Function)

_FUNCTIONS: dict[str, Function] = {}


@dataclass(frozen=True)
class Task:
    """A function `module:name` and its JSON arguments; running it twice must do no harm.

    Attributes:
        function: Its name, as `call` takes it.
        arguments: What it is called with; JSON.
        label: What it does, for people: messages name a task by it.
        inputs: Names of what it reads besides its arguments. An engine whose workers have no disk in common with
            the driver sends these along; the others leave them where they are. The task itself knows one of
            several words by the first: what the driver calls "case digits" is its "case".
    """

    function: str
    arguments: dict[str, Any]
    label: str = ""
    inputs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The task as messages call it."""
        return self.label or self.function


@dataclass(frozen=True)
class Away:
    """What a task away from the driver's disk is given, and what it made: the driver alone stores that.

    An engine that sends tasks away passes it as the argument `away`.
    """

    inputs: Mapping[str, Any]
    made: list[Any] = field(default_factory=list[Any])


def task(function: AnyFunction) -> AnyFunction:
    """Register a module-level function, so that workers may run it by name."""
    _FUNCTIONS[f"{function.__module__}:{function.__name__}"] = function
    return function


def call(function: str, arguments: Mapping[str, Any]) -> Any:
    """Run a registered function; its module is imported first, which registers it.

    Raises:
        KeyError: for a function that its module did not register.
        RuntimeError: for one that would end the program.
    """
    importlib.import_module(function.partition(":")[0])
    try:
        return _FUNCTIONS[function](**arguments)
    except SystemExit as error:  # an error of the task as any other: a worker that ended would be tried again
        if by_signal(error):
            raise
        raise RuntimeError(
            f"The task {function} would have ended the program (exit code {error.code})."
        ) from error
