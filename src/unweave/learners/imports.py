"""What code of the user's own imports: which versions, and which code of theirs."""

from __future__ import annotations

import ast
import hashlib
import site
import sys
import sysconfig
from functools import cache
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

_WITHOUT = frozenset({*sys.stdlib_module_names, "unweave"})


def imports_of(content: bytes) -> dict[str, str]:
    """What code imports, anywhere in it: name → versions of an installed package, or SHA-256 of own code.

    Models of other imports are other models. The standard library is left out, and so is unweave, whose versions
    every key has. A module that stands outside of what is installed is hashed, a package of such by all of its
    `.py` files, and what they import is looked at in turn. What cannot be found is left out: running the code will
    say so.

    Args:
        content: Python code, as bytes of a file.

    Example:
        >>> sorted(imports_of(b"import json, numpy as np; from sklearn.tree import Tree"))
        ['numpy', 'sklearn']
    """
    found: dict[str, str] = {}
    asked = _names(content)
    while asked:
        name = asked.pop()
        own = [file.read_bytes() for file in _own_files(name)]
        found[name] = _sha256(own) if own else _versions(name)
        asked |= {one for code in own for one in _names(code)} - found.keys()
    return {name: what for name, what in sorted(found.items()) if what}


def _names(content: bytes) -> set[str]:
    """Top-level names that code imports."""
    try:
        parsed = ast.parse(content)
    except (SyntaxError, ValueError):  # running it will say so
        return set()
    names: set[str] = set()
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - _WITHOUT


def _sha256(files: list[bytes]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in files)).hexdigest()


def _versions(name: str) -> str:
    return ", ".join(f"{one} {version(one)}" for one in sorted(set(_distributions().get(name, ()))))


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _own_files(name: str) -> list[Path]:
    """Files of a module or package that stands outside of what is installed; none of one that is installed."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # a module that was made by hand has no spec
        return []
    if spec is None:
        return []
    folders = [Path(one) for one in spec.submodule_search_locations or () if not _installed(Path(one))]
    if folders or not spec.has_location or not spec.origin:
        return [file for folder in folders for file in sorted(folder.rglob("*.py"))]
    return [] if _installed(Path(spec.origin)) else [Path(spec.origin)]


def _installed(place: Path) -> bool:
    return any(place.resolve().is_relative_to(one) for one in _installations())


@cache
def _installations() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    named = (
        paths["purelib"],
        paths["platlib"],
        paths["stdlib"],
        site.getusersitepackages(),
        *site.getsitepackages(),
    )
    return tuple({Path(one).resolve() for one in named})
