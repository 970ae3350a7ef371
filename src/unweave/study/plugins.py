"""Methods from outside in a comparison: which there are, where each is from, and how a worker finds it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave._errors import SpecError, UserError
from unweave.learners.own_code import check_imports, import_text, trusted_content
from unweave.study.methods import DEFAULT_METHODS, check_methods, expanded
from unweave.study.own_code import trusted_files
from unweave.study.spec import MethodChoice, Spec

if TYPE_CHECKING:
    from unweave._registry import Entry, Origin
    from unweave.methods.contract import Declared


@contextmanager
def plugins_of(files: Sequence[Path]) -> Generator[list[str]]:
    """Methods of the user's own files are registered while the block runs; yields their names.

    Raises:
        UserError: whatever is wrong with a file, as one message.
    """
    if not files:
        yield []
        return
    from unweave.methods.plugins import plugged_in

    with plugged_in(trusted_files(files)) as names:
        yield names


def methods_of(spec: Spec, names: Sequence[str]) -> tuple[MethodChoice, ...]:
    """The methods that a spec asks for, checked, each with where it is from.

    Args:
        spec: A spec; without methods it asks for the default ones.
        names: Names of the methods of its files, which are then asked for as well.

    Raises:
        UserError: for a name, parameter or package that is wrong.
    """
    asked = None if spec.methods is None else expanded(spec.methods)
    if asked is None:
        asked = tuple(MethodChoice(name, {}) for name in (*(spec.instead or DEFAULT_METHODS), *names))
    if spec.methods is not None or spec.instead or names:
        check_methods(asked)
    return tuple(_placed(choice) for choice in asked)


def _placed(choice: MethodChoice) -> MethodChoice:
    if choice.name in DEFAULT_METHODS:  # so that they need not be imported to know where they are from
        return choice
    from unweave.methods.plugins import method_entry

    found = _origins(method_entry(choice.name))
    if len(found) > 1:
        raise SpecError(
            f"`methods`: the parts of {choice.name!r} are of {len(found)} files or packages; expected one beside "
            "unweave's own. Put them into one file."
        )
    return replace(choice, origin=next(iter(found), None))


def _origins(entry: Entry[Declared]) -> set[Origin]:
    """Where a method, or the parts that it is made of, are from; none for unweave's own."""
    from unweave.methods.meta import parts_of
    from unweave.methods.plugins import origin_of

    return {origin for part in parts_of(entry) if (origin := origin_of(part)) is not None}


def told_of(methods: Sequence[MethodChoice]) -> list[str]:
    """What a record says of methods that are not of unweave: a sentence each."""
    said: list[str] = []
    for name, own in {one.name: one.origin for one in methods if one.origin is not None}.items():
        if own.kind == "script":
            told = (
                f"The method {name} is of the program that asked for it ({own.name}), where no worker finds it: "
                "it runs in one process. `plugins` takes a file."
            )
        else:
            short = Path(own.name).name if own.kind == "file" else own.name
            told = (
                f"The method {name} is not of unweave but of the {own.kind} {short} (SHA-256 {own.digest[:12]}…)."
            )
        imports = [f"{module} ({import_text(what)})" for module, what in own.imports]
        said.append(told + (f" It imports {', '.join(imports)}." if imports else ""))
    return said


def runs_here(choice: MethodChoice) -> bool:
    """Whether no worker could find a method: this program registered it, and nothing says where."""
    return choice.origin is not None and choice.origin.kind == "script"


def code_name(choice: MethodChoice) -> tuple[str, ...]:
    """Name of what has to be sent along to a machine that may not have a method's file; none for others."""
    own = choice.origin
    return (f"plugin:{own.digest}",) if own is not None and own.kind == "file" else ()


def plugin_fields(choice: MethodChoice) -> dict[str, Any]:
    """What identifies the code of a method that is not of unweave: its digest, and what it imports."""
    own = choice.origin
    if own is None:
        return {}
    return {"plugin": own.digest, **({"imports": dict(own.imports)} if own.imports else {})}


def code_sent(methods: Sequence[MethodChoice]) -> dict[str, bytes]:
    """What is sent along, by `code_name`.

    Raises:
        UserError: if a file is no longer what it was.
    """
    return {
        name: trusted_content(Path(choice.origin.name), choice.origin.digest)
        for choice in methods
        if choice.origin is not None
        for name in code_name(choice)
    }


@contextmanager
def at_hand(choice: MethodChoice) -> Generator[Any]:
    """The registered entry of a method while the block runs, wherever it is from.

    Raises:
        UserError: if its code is another here than where it was asked for.
    """
    from unweave.methods.plugins import load_packages, method_entry, plugged_in

    origin = choice.origin
    files = {origin.name: origin.digest} if origin is not None and origin.kind == "file" else {}
    with plugged_in(files) if files else nullcontext():
        if origin is not None and origin.kind == "package" and origin not in load_packages().values():
            raise UserError(
                f"The package {origin.name} with the method {choice.name} has changed since the run began, or is "
                "another on this worker: methods of two codes must not be mixed. Install the same everywhere, and "
                "run again."
            )
        entry = method_entry(choice.name)
        if origin is not None and files:
            here = next(iter(_origins(entry)))
            check_imports(Path(origin.name), dict(origin.imports), dict(here.imports))
        yield entry
