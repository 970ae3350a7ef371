"""Code of the user's own: read once, checked against a digest, run, and seeded from a key."""

from __future__ import annotations

import hashlib
import inspect
import random
import sys
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from unweave._errors import SpecError, UserError, by_signal
from unweave.learners.imports import imports_of
from unweave.learners.specs import LearnerSpec


def sha256(file: Path) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        SpecError: if it cannot be read.
    """
    return hashlib.sha256(_read(file)).hexdigest()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SpecError(f"Cannot read the code {file}: {error.strerror}.") from None


_CARRIED: dict[str, bytes] = {}
"""Code that was sent along to a machine that may not have its file, by SHA-256."""


def carry(content: bytes) -> None:
    """Keep code that was sent along; who asks for what has its digest gets it, and reads no file."""
    _CARRIED[hashlib.sha256(content).hexdigest()] = content


def trusted_content(file: Path, digest: str) -> bytes:
    """The bytes of a file that was trusted, or those sent along in its place.

    Raises:
        UserError: if the file is another than was trusted, or cannot be read.
    """
    content = _CARRIED.get(digest) or _read(file)
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise UserError(
            f"{file} has changed since it was trusted (SHA-256 {digest[:12]}… then, {found[:12]}… now), and "
            "models of two codes must not be mixed. Run again."
        )
    return content


def make(spec: LearnerSpec) -> Any:
    """What the function of a learner's own file returns for these data: a module or a classifier.

    Raises:
        UserError: if the file, or what it imports, is not what was trusted, or the function is missing or fails.
    """
    imports = tuple(sorted(spec.config.get("imports", {}).items()))
    function = _function(Path(str(spec.file)), spec.config["function"], spec.config["sha256"], imports)
    with told(spec):
        return function(spec.shape, spec.classes) if _takes_two(function, spec) else function()


@cache
def _function(file: Path, name: str, digest: str, imports: tuple[tuple[str, str], ...]) -> Callable[..., Any]:
    content = trusted_content(file, digest)
    check_imports(file, dict(imports), imports_here(file, content))
    module = run_code(file, content, f"own_code_{digest[:12]}")
    function = getattr(module, name, None)
    if not callable(function):
        own = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise SpecError(
            f"`learner.factory`: {file} has no function `{name}`; its functions are {', '.join(own) or 'none'}."
        )
    return function


def run_code(file: Path, content: bytes, name: str) -> ModuleType:
    """Run trusted code of the user's own as a module of this name: the bytes that were hashed, not the file.

    Raises:
        UserError: with the place in that code, whatever it raises.
    """
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module  # where classes look for the module that they were defined in
    try:
        exec(compile(content, str(file), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        if by_signal(error):
            raise
        raise UserError(f"Running {file} failed: {place(error, file)}.{_hint_of(error)}") from error
    return module


def check_imports(file: Path, then: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse code whose imports are others here than where it was asked for; both as `imports_of` tells them.

    Raises:
        UserError: naming the first that differs.
    """
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            raise UserError(
                f"{file} imports `{name}`, which is not what it was when the run began "
                f"({import_text(then.get(name))} then, {import_text(now.get(name))} here), and models of two "
                "codes must not be mixed. Run again."
            )


_LOADED: dict[str, str] = {}
"""What code of the user's own was when this process loaded it, by the names of its modules."""


def imports_here(file: Path, content: bytes) -> dict[str, str]:
    """What code imports, where this process would run it in that state.

    Raises:
        UserError: if a module of it was loaded before it was changed: Python would run what it was.
    """
    found = imports_of(content)
    for name, what in found.items():
        if name in sys.modules and _LOADED.get(name, what) != what:
            raise UserError(
                f"{file} imports `{name}`, which has changed since this process loaded it, and Python would go on "
                "with what it was. Start Python anew, and run again."
            )
    _LOADED.update(found)
    return found


def import_text(what: str | None) -> str:
    """What was found of an import, in words: versions, the begin of a digest, or that there is none.

    Example:
        >>> import_text("numpy 2.1.0"), import_text("0123456789abcdef"), import_text(None)
        ('numpy 2.1.0', 'SHA-256 0123456789ab…', 'not found')
    """
    return "not found" if what is None else f"SHA-256 {what[:12]}…" if " " not in what else what


def _takes_two(function: Callable[..., Any], spec: LearnerSpec) -> bool:
    signature = inspect.signature(function)
    for arguments in ((spec.shape, spec.classes), ()):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return arguments != ()
    raise SpecError(
        f"`learner.factory`: {spec.label} is `{spec.config['function']}{signature}`; expected a function of "
        "(shape, classes) or of nothing."
    )


def _hint_of(error: BaseException) -> str:
    """What to do where code could not import something; "" for every other error."""
    if not isinstance(error, ImportError):
        return ""
    return " It may import what is installed or on PYTHONPATH; all else must stand in the file itself."


@contextmanager
def told(spec: LearnerSpec) -> Generator[None]:
    """Turn whatever the user's code raises into one message with its place in that code."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if by_signal(error):
            raise
        raise UserError(f"{spec.label} failed: {place(error, Path(str(spec.file)))}.") from error


def place(error: BaseException, file: Path) -> str:
    """An error in words, with the last line of a file that it came by."""
    lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == str(file)]
    where = f" ({file.name}, line {lines[-1]})" if lines else ""
    said = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {said[0].rstrip('.')}{where}"


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """Run code that draws from global generators as a function of a seed, and leave them as they were."""
    ours, numbers = random.getstate(), np.random.get_state()
    torch: Any = sys.modules.get("torch")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        with nullcontext() if torch is None else _seeded_torch(torch, seed):
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(numbers)


@contextmanager
def _seeded_torch(torch: Any, seed: int) -> Generator[None]:
    # A GPU that was not used yet has nothing to put back, and asking would take its memory.
    gpus = torch.cuda.is_initialized()
    tensors, on_gpus = torch.default_generator.get_state(), torch.cuda.get_rng_state_all() if gpus else []
    torch.default_generator.manual_seed(seed)
    if gpus:
        torch.cuda.manual_seed_all(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(tensors)
        if gpus:
            torch.cuda.set_rng_state_all(on_gpus)
