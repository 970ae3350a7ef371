"""Tasks that fail: how a worker tells it, the error it is here, and the one error that ends a run of tasks."""

from __future__ import annotations

import errno
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unweave import _errors
from unweave._errors import UnweaveError
from unweave.execute.tasks import Task

TRIES = 3
"""How often a task is tried that loses its worker or runs out of memory; its own errors are not tried again."""

Failed = Callable[[int, UnweaveError], None]
"""Called with the number of a failed task and its error."""

_IN_FULL = 3
_BY_NAME = 20
_ADVICE = "Try fewer --workers, or a machine with more memory."
_NO_MEMORY = "MemoryError"
_SIGNS_OF_NO_MEMORY = ("can't allocate memory", "DefaultCPUAllocator", "out of memory")  # in what torch says


class WorkerError(UnweaveError):
    """A task failed on its own account: its traceback, or that it lost worker after worker, or memory."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, the system's or torch's, of processor or GPU."""
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)  # torch is not loaded for this
        or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS_OF_NO_MEMORY))
    )


def as_answer(error: Exception) -> dict[str, str]:
    """An error as a worker tells it, JSON: its text, and the name of the class that it has here.

    The text of what is no UnweaveError is its traceback, but of memory that ran out one line.
    """
    if out_of_memory(error):
        return {"error": traceback.format_exception_only(error)[-1].strip(), "class": _NO_MEMORY}
    if isinstance(error, UnweaveError):
        return {"error": str(error), "class": _nearest(type(error)).__name__}
    return {"error": "".join(traceback.format_exception(error)), "class": ""}


def _nearest(kind: type[UnweaveError]) -> type[UnweaveError]:
    # A plugin's own subclass of UserError is a user's error on the other side too; a class with a constructor
    # of its own (UnknownNameError) is not made from a text, and has said all in it.
    known = (one for one in kind.__mro__ if one.__module__ == _errors.__name__)
    return next(one for one in known if one.__init__ is Exception.__init__)


def tells_out_of_memory(answer: Mapping[str, Any]) -> bool:
    """Whether an answer is an error that says that memory ran out."""
    return answer.get("class") == _NO_MEMORY


def failure(item: Task, answer: Mapping[str, str]) -> UnweaveError:
    """The error of a task from what `as_answer` made of it: class and text of what unweave raised on purpose.

    A bug is a WorkerError with the name of the task and the traceback.
    """
    known = getattr(_errors, answer["class"], None)
    if isinstance(known, type) and issubclass(known, UnweaveError):
        return known(answer["error"])
    return WorkerError(f"{_head(item)}{answer['error']}")


def failure_here(item: Task, error: Exception) -> UnweaveError:
    """The error of a task that was run in this process: as if a worker had told it, with its cause."""
    answer = as_answer(error)
    made = starved(item, answer["error"], tries=1) if tells_out_of_memory(answer) else failure(item, answer)
    made.__cause__ = error
    return made


def lost(item: Task, how: str, *, memory: bool = False) -> WorkerError:
    """The error of a task whose last worker died `how`: "by signal 11"; and whether memory may be to blame."""
    guess = f" That is how a system ends a process when memory runs out. {_ADVICE}" if memory else ""
    return WorkerError(f"{_head(item)}its worker died {TRIES} times over it, last {how}.{guess}")


def starved(item: Task, what: str, *, tries: int = TRIES) -> WorkerError:
    """The error of a task for which there was not memory enough: what was said of it, and what to do."""
    times = "" if tries == 1 else f" {tries} times"
    return WorkerError(f"{_head(item)}memory ran out{times} over it: {what.rstrip('.')}. {_ADVICE}")


def raise_failures(tasks: Sequence[Task], failures: Mapping[int, UnweaveError]) -> None:
    """Raise what the failures of a run come to; without any, do nothing.

    Args:
        tasks: All tasks of the run, each of which has ended.
        failures: The error of each task that failed, by its number.

    Raises:
        UnweaveError: of one failed task, its own class, its text first; of several the class they share, with the
            first errors that differ in full and the other tasks by name. One WorkerError makes it a WorkerError.
    """
    if not failures:
        return
    first = min(failures)
    if len(tasks) == 1:
        raise failures[first]
    if len(failures) == 1:
        named = "" if isinstance(failures[first], WorkerError) else f"This was in task {tasks[first].name}. "
        text = f"{str(failures[first]).rstrip()}\n{named}{_others(len(tasks) - 1)}"
    else:
        text = _several(tasks, failures)
    raise _shared_class(list(failures.values()))(text) from failures[first]


def _shared_class(errors: Sequence[UnweaveError]) -> type[UnweaveError]:
    if any(isinstance(error, WorkerError) for error in errors):
        return WorkerError
    kinds = {type(error) for error in errors}
    return next(one for one in type(errors[0]).__mro__ if all(issubclass(kind, one) for kind in kinds))


def _several(tasks: Sequence[Task], failures: Mapping[int, UnweaveError]) -> str:
    alike: dict[str, list[Task]] = {}
    for number, error in sorted(failures.items()):
        text = str(error).removeprefix(_head(tasks[number])).rstrip()
        alike.setdefault(text, []).append(tasks[number])
    done = len(tasks) - len(failures)
    lines = [f"{len(failures)} of {len(tasks)} tasks failed." + (f" {_others(done)}" if done else "")]
    for text, (first, *same) in list(alike.items())[:_IN_FULL]:
        lines.append(f"{_head(first)}{text}")
        if same:
            lines.append(f"The same in: {_names(same)}.")
    rest = [item for items in list(alike.values())[_IN_FULL:] for item in items]
    if rest:
        lines.append(f"Other errors in: {_names(rest)}.")
    return "\n".join(lines)


def _head(item: Task) -> str:
    return f"Task {item.name} failed: "


def _others(count: int) -> str:
    if count == 1:
        return "The other task is done and what it made is stored."
    return f"The other {count} tasks are done and what they made is stored."


def _names(items: Sequence[Task]) -> str:
    counted = Counter(item.name for item in items)
    shown = [name if times == 1 else f"{name} ({times} tasks)" for name, times in counted.items()]
    more = len(shown) - _BY_NAME
    return "; ".join(shown[:_BY_NAME]) + (f"; and {more} more" if more > 0 else "")
