"""Where models are trained, and what runs the workers: checked before anything is."""

from __future__ import annotations

import re
from typing import Any

from unweave._errors import SpecError, UserError
from unweave.execute import check_ray

PROCESSES = "processes"
"""The engine that needs nothing: worker processes of this machine."""

_DEVICE = re.compile(r"cpu|cuda(:[0-9]{1,3})?")
_ENGINE = re.compile(r"processes|ray(:(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5})?")


def device_name(device: Any) -> str:
    """A device as it was named, once that is a name of one.

    Raises:
        SpecError: for what is no device.
    """
    if not isinstance(device, str) or not _DEVICE.fullmatch(device):
        raise SpecError(f"`device` is {device!r}; expected cpu, cuda, or one of several GPUs such as cuda:1.")
    return device


def check_device(device: Any) -> None:
    """Refuse a device that is not here; torch is imported only where one is asked for.

    Raises:
        SpecError: for what is no device.
        UserError: for a GPU where torch sees none, or not so many.

    Example:
        >>> check_device("cpu")
    """
    if device_name(device) == "cpu":
        return
    import torch

    remedy = "Leave `device` out to train on the CPU, or install a build of torch for this machine's GPU."
    if not torch.cuda.is_available():
        raise UserError(f"`device` is {device}, and torch {torch.__version__} sees no GPU here. {remedy}")
    count, number = torch.cuda.device_count(), int(device.partition(":")[2] or 0)
    if number >= count:
        raise UserError(f"`device` is {device}, and torch sees {count} GPU{'s' * (count != 1)} here, from cuda:0.")


def name_of_device(device: str) -> str:
    """The GPU in words, for the provenance of a result; "" for the CPU."""
    if device == "cpu":
        return ""
    import torch

    return f", {torch.cuda.get_device_name(device)}"


def engine_name(engine: Any) -> str:
    """An engine as it was named, once that is a name of one.

    Raises:
        SpecError: for what is no engine.

    Example:
        >>> engine_name("ray:10.0.0.5:6379")
        'ray:10.0.0.5:6379'
    """
    if not isinstance(engine, str) or not _ENGINE.fullmatch(engine):
        raise SpecError(
            f"`engine` is {engine!r}; expected {PROCESSES}, ray, or ray:HOST:PORT of a running Ray cluster."
        )
    return engine


def address_of(engine: str) -> str | None:
    """Where the Ray cluster of an engine is; None = Ray is to be started here."""
    return engine.partition(":")[2] or None


def check_engine(engine: Any, device: Any) -> None:
    """Refuse an engine that is not here, and a device that it cannot have; nothing is started.

    Raises:
        SpecError: for what is no engine or no device, or a GPU by number where Ray chooses it.
        UserError: without Ray, or without a GPU where one is asked for and tasks run here.
    """
    if engine_name(engine) == PROCESSES:
        return check_device(device)
    if device_name(device) not in ("cpu", "cuda"):
        raise SpecError(f"`device` is {device}, but Ray gives each task a GPU of its own choice: say cuda.")
    check_ray()
