"""What failed tasks come to: classes, texts and names, from a worker and from this process."""

from __future__ import annotations

import errno
import json
import re

import pytest

from unweave._errors import (
    CorruptObjectError,
    SpecError,
    StoreError,
    UnknownNameError,
    UnweaveError,
    UserError,
)
from unweave.execute.failures import (
    WorkerError,
    as_answer,
    failure,
    failure_here,
    lost,
    out_of_memory,
    raise_failures,
    starved,
    tells_out_of_memory,
)
from unweave.execute.tasks import Task


class PluginError(SpecError):
    """A subclass that only the plugin knows."""

    def __init__(self, key: str, value: float) -> None:
        super().__init__(f"`{key}` is {value}")


def tasks(count: int) -> list[Task]:
    return [Task("module:name", {}, f"training {number}") for number in range(count)]


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def ended(count: int, errors: dict[int, Exception]) -> UnweaveError:
    """The error of a run of which these tasks failed, each told by a worker."""
    listed = tasks(count)
    failures = {
        number: failure(listed[number], json.loads(json.dumps(as_answer(raised(error)))))
        for number, error in errors.items()
    }
    with pytest.raises(UnweaveError) as caught:
        raise_failures(listed, failures)
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UserError("a ∖ b"), UserError),
        (CorruptObjectError("a ∖ b"), CorruptObjectError),
        (UnweaveError("a ∖ b"), UnweaveError),
        (PluginError("lr", -1.0), SpecError),
        (UnknownNameError("method", "scrap", ["scrub"]), UserError),
    ],
)
def test_what_was_raised_on_purpose_has_its_class_and_text_on_the_other_side(error: UnweaveError, kind: type):
    item = Task("module:name", {})
    for made in (failure(item, as_answer(error)), failure_here(item, error)):
        assert type(made) is kind and str(made) == str(error)


def test_a_bug_is_named_by_its_task_with_the_traceback():
    item = Task("module:name", {}, "training A(D∖S) of digits-trigger")
    error = raised(ZeroDivisionError("by nothing"))
    made = failure(item, as_answer(error))
    assert type(made) is WorkerError
    assert str(made).startswith("Task training A(D∖S) of digits-trigger failed: Traceback (most recent call last)")
    assert "in raised" in str(made) and "ZeroDivisionError: by nothing" in str(made)
    here = failure_here(item, error)
    assert (type(here), str(here), here.__cause__) == (WorkerError, str(made), error)


class OutOfMemoryError(RuntimeError):
    """As torch calls its own."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OutOfMemoryError("Tried to allocate 2.00 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:131] . DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
    ],
    ids=str,
)
def test_memory_that_ran_out_is_told_from_other_errors(error: Exception):
    answer = as_answer(raised(error))
    assert out_of_memory(error) and tells_out_of_memory(answer)
    assert "Traceback" not in answer["error"] and str(error) in answer["error"]
    here = failure_here(Task("module:name", {}, "training 1"), error)
    assert type(here) is WorkerError
    assert str(here).startswith(f"Task training 1 failed: memory ran out over it: {answer['error'].rstrip('.')}.")
    assert "--workers" in str(here)


@pytest.mark.parametrize(
    "error",
    [ValueError("out of memory"), OSError(errno.ENOSPC, "No space left"), RuntimeError("shapes differ")],
    ids=str,
)
def test_other_errors_are_not_taken_for_it(error: Exception):
    assert not out_of_memory(error) and not tells_out_of_memory(as_answer(raised(error)))
    assert not tells_out_of_memory({"value": 1})


def test_torch_itself_is_understood():
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(caught.value) and out_of_memory(torch.OutOfMemoryError("of a GPU"))


def test_a_task_that_lost_its_workers_or_memory_says_how():
    item = tasks(1)[0]
    assert str(lost(item, "by signal 11")) == (
        "Task training 0 failed: its worker died 3 times over it, last by signal 11."
    )
    assert str(lost(item, "by signal 9", memory=True)) == (
        "Task training 0 failed: its worker died 3 times over it, last by signal 9. That is how a system ends a "
        "process when memory runs out. Try fewer --workers, or a machine with more memory."
    )
    assert str(starved(item, "MemoryError")) == (
        "Task training 0 failed: memory ran out 3 times over it: MemoryError. "
        "Try fewer --workers, or a machine with more memory."
    )


def test_without_failures_nothing_is_raised():
    raise_failures(tasks(3), {})


def test_the_error_of_a_single_task_is_raised_as_it_is():
    error = failure(tasks(1)[0], as_answer(SpecError("`lr` is −1.")))
    with pytest.raises(SpecError) as caught:
        raise_failures(tasks(1), {0: error})
    assert caught.value is error and str(error) == "`lr` is −1."


def test_one_failure_of_many_keeps_class_and_text_and_says_what_became_of_the_others():
    error = ended(300, {17: SpecError("`lr` is −1.")})
    assert type(error) is SpecError
    assert str(error) == (
        "`lr` is −1.\nThis was in task training 17. The other 299 tasks are done and what they made is stored."
    )
    assert str(error.__cause__) == "`lr` is −1."
    assert str(ended(2, {0: UserError("no")})).endswith("The other task is done and what it made is stored.")


def test_one_bug_of_many_names_its_task_once():
    error = ended(300, {17: KeyError("seed")})
    assert type(error) is WorkerError
    assert str(error).startswith("Task training 17 failed: Traceback")
    assert str(error).endswith("KeyError: 'seed'\nThe other 299 tasks are done and what they made is stored.")
    assert str(error).count("training 17") == 1


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([SpecError("a"), SpecError("b")], SpecError),
        ([UserError("a"), SpecError("b")], UserError),
        ([SpecError("a"), PluginError("lr", 1.0)], SpecError),
        ([CorruptObjectError("a"), StoreError("b")], StoreError),
        ([CorruptObjectError("a"), SpecError("b")], UnweaveError),
        ([SpecError("a"), ValueError("b")], WorkerError),
        ([ValueError("a"), SpecError("b"), SpecError("c")], WorkerError),
    ],
)
def test_several_failures_have_the_class_they_share(errors: list[Exception], kind: type):
    assert type(ended(9, dict(enumerate(errors)))) is kind


def test_several_failures_are_counted_and_what_is_alike_is_said_once():
    errors: dict[int, Exception] = {number: ZeroDivisionError("division") for number in (5, 4, 7)}
    errors |= {2: SpecError("bad `x`."), 3: SpecError("bad `x`.")}
    text = str(ended(9, errors))
    head, first, same, *trace, last = text.splitlines()
    assert head == "5 of 9 tasks failed. The other 4 tasks are done and what they made is stored."
    assert (first, same) == ("Task training 2 failed: bad `x`.", "The same in: training 3.")
    assert trace[0] == "Task training 4 failed: Traceback (most recent call last):"
    assert trace[-1] == "ZeroDivisionError: division" and text.count("Traceback") == 1
    assert last == "The same in: training 5; training 7."


def test_of_many_different_failures_the_first_are_told_in_full_and_the_others_named():
    text = str(ended(50, {number: UserError(f"bad {number}.") for number in range(50)}))
    assert text.startswith("50 of 50 tasks failed.\nTask training 0 failed: bad 0.\n")
    assert re.findall(r"bad \d+", text) == ["bad 0", "bad 1", "bad 2"]
    assert "Other errors in: training 3; training 4; " in text
    assert text.endswith("training 22; and 27 more.")


def test_tasks_without_labels_are_named_by_function_and_counted():
    listed = [Task("module:name", {})] * 4
    with pytest.raises(UserError) as caught:
        raise_failures(listed, {number: UserError("bad.") for number in range(3)})
    assert str(caught.value) == (
        "3 of 4 tasks failed. The other task is done and what it made is stored.\n"
        "Task module:name failed: bad.\nThe same in: module:name (2 tasks)."
    )
