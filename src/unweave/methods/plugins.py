"""Methods from outside: of installed packages, by entry point, and of files that the user trusts."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
import traceback
import uuid
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from unweave._errors import UnknownNameError, UnweaveError, UserError, by_signal
from unweave._registry import Entry, Origin
from unweave.learners.imports import imports_of
from unweave.learners.own_code import imports_here, place, run_code, trusted_content
from unweave.methods.contract import METHODS, Declared, Method
from unweave.methods.refinement import Assignment

GROUP = "unweave.methods"
"""Group of the entry points by which an installed package says that it has methods."""

_FILES: dict[str, Origin] = {}  # by the names of the modules that were made of them
_NAME = re.compile(r"[A-Za-z][\w.-]*")


def method_entry(name: str) -> Entry[Declared]:
    """The method of a name; installed packages are loaded only for a name that is not known without them.

    Raises:
        UnknownNameError: for a name that nobody registered.
        UserError: for a package that cannot be loaded.
    """
    if name not in METHODS:
        load_packages()
    try:
        return METHODS.get(name)
    except UnknownNameError as error:
        error.args = (f"{error} One of a file of your own needs `--plugin FILE` (in Python: plugins=[FILE]).",)
        raise


@contextmanager
def plugged_in(files: Mapping[str, str]) -> Generator[list[str]]:
    """Methods of the user's own files are registered while the block runs.

    Args:
        files: Absolute path → SHA-256 that the file had when the user trusted it.

    Yields:
        Names of the methods.

    Raises:
        UserError: for a file that changed, cannot be run, has no method or one whose name is taken.
    """
    with ExitStack() as held:
        yield [name for file, digest in files.items() for name in held.enter_context(_plugged(Path(file), digest))]


@contextmanager
def _plugged(file: Path, digest: str) -> Generator[list[str]]:
    # A script may have imported the same file, or an earlier state of it.
    hidden = METHODS.take(lambda entry: _source(entry) == str(file))
    mine: list[Entry[Declared]] = []
    try:
        imports = imports_here(file, trusted_content(file, digest))
        for entry in _methods_of(file, digest, tuple(imports.items())):
            try:
                METHODS.put(entry)
            except ValueError as error:
                raise UserError(f"Running {file} failed: {error}") from None
            mine.append(entry)
        yield [entry.name for entry in mine]
    finally:
        METHODS.take(lambda entry: any(entry is one for one in mine))
        for entry in hidden:
            METHODS.put(entry)


@cache
def _methods_of(file: Path, digest: str, imports: tuple[tuple[str, str], ...]) -> list[Entry[Declared]]:
    """The methods of a file, which is run once; they are left out of the registry."""
    content = trusted_content(file, digest)
    name = f"plugin_{file.stem}_{digest[:12]}"
    _FILES[name] = Origin("file", str(file), digest, imports)

    def is_mine(entry: Entry[Declared]) -> bool:
        return _module(entry) == name

    try:
        run_code(file, content, name)
    except (UserError, SystemExit):
        METHODS.take(is_mine)
        raise
    found = METHODS.take(is_mine)
    if not found:
        raise UserError(
            f"{file} registers no method; expected a function under @unweave.methods.method(...) in it."
        )
    _check(found, str(file))
    return found


@cache
def load_packages() -> dict[str, Origin]:
    """Load what installed packages register; returns their origins by the names of their modules.

    Raises:
        UserError: for a package that cannot be loaded, has no method or one whose name is taken.
    """
    return dict(_load(point) for point in entry_points(group=GROUP))


def _load(point: EntryPoint) -> tuple[str, Origin]:
    dist = point.dist
    name, top = (dist.name if dist else point.name), point.module.partition(".")[0]
    owner = f"the package {name}"
    before = METHODS.names()
    try:
        point.load()
    except (Exception, SystemExit) as error:
        METHODS.take(lambda entry: entry.name not in before)
        if by_signal(error):
            raise
        raise UserError(
            f"The installed package {name} cannot be loaded (entry point `{point.name} = {point.value}` of "
            f"{GROUP}): {_said(error)}. Mend it, or remove it with `python -m pip uninstall {name}`."
        ) from error
    mine = [entry for entry in METHODS if _module(entry).partition(".")[0] == top]
    if not mine:
        raise UserError(
            f"The installed package {name} has the entry point `{point.name} = {point.value}` of {GROUP}, but "
            "loading it registered no method: it must name the module that holds @unweave.methods.method(...)."
        )
    _check(mine, owner)
    return top, Origin("package", f"{name} {dist.version if dist else ''}".strip(), _digest_of(top))


def _check(entries: Iterable[Entry[Declared]], owner: str) -> None:
    """Refuse what could be registered but neither named nor recorded."""
    for entry in entries:
        if not _NAME.fullmatch(entry.name):
            raise UserError(
                f"{owner} registers a method named {entry.name!r}; expected letters, digits, `_`, `.` and `-`."
            )
        for one in inspect.signature(entry.factory).parameters.values():
            number = isinstance(one.default, int | float) and not isinstance(one.default, bool)
            if one.kind is not one.KEYWORD_ONLY or not number:
                raise UserError(
                    f"The parameter `{one.name}` of the method `{entry.name}` ({owner}) must be keyword-only and "
                    f"have a number as its default: def {entry.factory.__name__}(*, {one.name}: float = 1.0)."
                )


def build_method(entry: Entry[Declared], params: Mapping[str, float]) -> Method:
    """Build one method; what its author's factory raises is one message.

    Raises:
        UserError: if the factory fails, or returns something else.
    """
    made = build_entry(entry, params)
    if isinstance(made, Assignment):
        raise UserError(f"`{entry.name}` is a method for each part of S; expected one for all of S.")
    return made


def build_entry(entry: Entry[Declared], params: Mapping[str, float]) -> Method | Assignment:
    """Build a method, or one for each part of S; what an author's factory raises is one message.

    Raises:
        UserError: if a factory fails, or returns something else.
    """
    try:
        made: Any = entry.build(**params)
    except UnweaveError:
        raise
    except Exception as error:
        raise UserError(f"The method `{entry.name}` cannot be built: {_said(error)}.") from error
    for one in made.methods if isinstance(made, Assignment) else (made,):
        if not isinstance(one, Method):
            raise UserError(
                f"The factory of the method `{entry.name}` returned {type(one).__name__}; expected an "
                "unweave.methods.Method."
            )
        for stage in one.stages():
            _check_arguments(stage, entry.name)
    return made


_ARGUMENTS = {
    "step": "net, aux, batches, i, key",
    "prepare": "net, given, key",
    "update_mask": "aux",
    "passes": "plan",
    "prepare_cost": "n_forget, n_retain",
    "respond": "net, aux, batches, i, key",
    "project": "aux, update",
    "until": "net, aux, given",
}
"""What the functions of a method are called with, each by its place."""


def _check_arguments(stage: Method, name: str) -> None:
    """Refuse a function that cannot be called as it will be, before anything is trained."""
    for hook, wanted in _ARGUMENTS.items():
        function = getattr(stage, hook)
        if function is None:
            continue
        try:
            signature = inspect.signature(function)
        except ValueError:  # what is compiled may have none to look at
            continue
        try:
            signature.bind(*wanted.split(", "))
        except TypeError:
            raise UserError(
                f"`{hook}` of the method `{name}` is {hook}{signature}; expected {hook}({wanted})."
            ) from None


def origin_of(entry: Entry[Declared]) -> Origin | None:
    """Where a method is from; None = it is one of unweave's own."""
    module = _module(entry)
    top = module.partition(".")[0]
    if top == "unweave":
        return None
    return _FILES.get(module) or load_packages().get(top) or _script(entry)


def _script(entry: Entry[Declared]) -> Origin:
    file = Path(_source(entry))
    # Cells of a notebook have no file: what such a method did is never taken for what it does.
    known = file.read_bytes() if file.is_file() else uuid.uuid4().bytes
    imports = imports_of(known) if file.is_file() else {}
    return Origin("script", str(file), hashlib.sha256(known).hexdigest(), tuple(imports.items()))


def _digest_of(top: str) -> str:
    """SHA-256 over all Python files of a package, as they are when it is loaded."""
    module = sys.modules[top]
    roots = [Path(one) for one in getattr(module, "__path__", [])]
    files = [(root, file) for root in roots for file in sorted(root.rglob("*.py"))]
    if module.__file__ and not roots:
        files = [(Path(module.__file__).parent, Path(module.__file__))]
    digest = hashlib.sha256()
    for root, file in files:
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _module(entry: Entry[Declared]) -> str:
    return str(getattr(entry.factory, "__module__", ""))


def _source(entry: Entry[Declared]) -> str:
    code = getattr(inspect.unwrap(entry.factory), "__code__", None)
    return "" if code is None else str(code.co_filename)


def _said(error: BaseException) -> str:
    """An error in words, with the last line of a file that it came by."""
    passed = [one.filename for one in traceback.extract_tb(error.__traceback__) if one.filename[:1] != "<"]
    return place(error, Path(passed[-1] if passed else ""))
