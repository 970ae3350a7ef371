"""Connecting to Ray: one that is started here for this run alone, or a cluster that is running already."""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from unweave._errors import UserError
from unweave._threads import ONE_THREAD

_SECONDS_TO_ANSWER = 5.0
_LONGEST_FOLDER = 24  # characters: below it Ray makes sockets, whose paths the system limits to 107


def check_ray() -> None:
    """Refuse to go on without Ray; it is not imported for this.

    Raises:
        UserError: with how to install it.
    """
    found = importlib.util.find_spec("ray")
    if found is None or found.origin is None:  # a folder that happens to be called so is no package
        raise UserError("The engine `ray` needs Ray: `python -m pip install 'unweave[ray]'`.")


@contextmanager
def connected(address: str | None, *, workers: int) -> Generator[Any]:
    """The module `ray`, connected until the block ends; what was started here is gone then.

    Args:
        address: `HOST:PORT` of a cluster to which this machine belongs; None = start Ray here.
        workers: How many tasks a Ray that is started here runs at once.

    Raises:
        UserError: if Ray is not installed, cannot be started, or there is no such cluster.
    """
    check_ray()
    if address is None:
        folder = _folder()
        options = {"address": "local", "num_cpus": workers, "include_dashboard": False}
        try:
            with _environment(_alone()), _session({**options, "_temp_dir": str(folder / "ray")}) as ray:
                _check_alone(ray.get_runtime_context().gcs_address)
                yield ray
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    else:
        _check_answers(address)
        with _session({"address": address}) as ray:
            yield ray


@cache
def _secret() -> dict[str, str]:
    # Ray reads how it identifies itself when it is imported: who did so before has none.
    if "ray" in sys.modules or os.environ.get("RAY_AUTH_MODE"):
        return {}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _alone() -> dict[str, str]:
    """Environment of a Ray that only this user's processes on this machine can reach.

    Without it Ray listens at all addresses of the machine, and whoever reaches it may run code. The first name is
    Ray's for whether a machine may be one of several: with 0 all listen at 127.0.0.1 alone.
    """
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", **_secret()}


def _check_alone(address: str) -> None:
    if not address.startswith("127.0.0.1:"):
        raise UserError(
            f"Ray would listen at {address}, where others may reach it and run code, so it was stopped. Begin the "
            "run in a process that has not imported Ray before."
        )


@contextmanager
def _environment(changes: Mapping[str, str]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _folder() -> Path:
    """A folder of the user's own for sockets, logs and what does not fit into memory."""
    usual = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="unweave-", dir=usual if len(usual) <= _LONGEST_FOLDER else "/tmp"))


@contextmanager
def _session(options: Mapping[str, Any]) -> Generator[Any]:
    ray: Any = importlib.import_module("ray")
    if ray.is_initialized():
        raise UserError("This process is connected to Ray already. Call `ray.shutdown()` before this run.")
    with _silent():
        try:
            _init(ray, options)
            yield ray
        finally:
            ray.shutdown()


def _init(ray: Any, options: Mapping[str, Any]) -> None:
    one_thread = {"env_vars": ONE_THREAD}
    before = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Ray will do in versions to come
            ray.init(**options, log_to_driver=False, logging_level="critical", runtime_env=one_thread)
    except Exception as error:
        where = options["address"]
        what = "start Ray" if where == "local" else f"join the Ray cluster {where}"
        hint = " This machine must belong to it (`ray start --address=…`), and have its token if it asks for one."
        raise UserError(
            f"Cannot {what}: {str(error).strip().rstrip('.')}.{hint if where != 'local' else ''}"
        ) from error
    finally:
        # Ray would end the process on SIGTERM with an exit code of its own, before anything is tidied.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _silent() -> Generator[None]:
    """Keep off this process's stdout what Ray says of dead workers: the run itself counts and names them."""
    worker: Any = importlib.import_module("ray._private.worker")
    before = getattr(worker, "print_to_stdstream", None)
    worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        worker.print_to_stdstream = before


def _check_answers(address: str) -> None:
    # Ray itself would try for a minute, and then end this process.
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise UserError(
            f"No Ray cluster answers at {address}: {error.strerror or error}. `ray status` on one of its machines "
            "tells whether it runs, and `ray start` told its address."
        ) from None
