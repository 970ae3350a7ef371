"""Where models are trained: checked before anything is."""

from __future__ import annotations

import re
from typing import Any

from unweave._errors import SpecError, UserError

_DEVICE = re.compile(r"cpu|cuda(:[0-9]{1,3})?")


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
