"""Specs: TOML files, `--set a.b=c` and registered cases, checked into the dataclasses of `problem`."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from unweave._errors import SpecError, UnknownNameError
from unweave.problem import Case
from unweave.records import Json
from unweave.study.cases import CASES, DEFAULT_CASES

SPEC_VERSION = 1
_RUN_KEYS = ("version", "methods", "out", "store", "workers")


@dataclass(frozen=True)
class MethodChoice:
    """A method by name, with the parameters that differ from its defaults."""

    name: str
    params: dict[str, Any]

    @property
    def id(self) -> str:
        """The name, with the parameters in brackets where there are any."""
        inside = ", ".join(f"{key}={value:g}" for key, value in sorted(self.params.items()))
        return f"{self.name}({inside})" if inside else self.name


@dataclass(frozen=True)
class Spec:
    """A whole run: cases, methods (None = all that apply), and where things go (None = default)."""

    cases: tuple[Case, ...]
    methods: tuple[MethodChoice, ...] | None = None
    out: Path | None = None
    store: Path | None = None
    workers: int | None = None


def read_spec(
    file: Path | None = None,
    *,
    cases: Sequence[str] = (),
    settings: Sequence[str] = (),
    methods: Sequence[str] | None = None,
) -> Spec:
    """Build a spec from a TOML file or registered cases, then apply `--set` and `--methods`.

    Args:
        file: A TOML file of one case; paths in it are relative to it.
        cases: Names of registered cases instead of a file; none of both = the default cases.
        settings: `a.b=c`, applied to every case; paths are relative to the working directory.
        methods: Names of methods.

    Raises:
        SpecError: for a file, key or value that is wrong; near names of keys are offered.
        UnknownNameError: for a case that is not registered.
    """
    if file is not None and cases:
        raise SpecError("Give a spec file or --case, not both.")
    if file is not None:
        trees, run = _from_file(file)
    else:
        trees, run = [case_to_tree(CASES[_known(name)]) for name in (cases or DEFAULT_CASES)], {}
    for setting in settings:
        _apply(setting, trees, run)
    if methods is not None:
        run["methods"] = list(methods)
    return Spec(
        tuple(case_from_tree(tree) for tree in trees),
        _methods(run.get("methods")),
        _path(run, "out"),
        _path(run, "store"),
        _workers(run.get("workers")),
    )


def case_to_tree(case: Case) -> dict[str, Any]:
    """A case as nested dictionaries, without what was left at None."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(inner) for key, inner in value.items() if inner is not None}
        return list(value) if isinstance(value, tuple) else value

    return clean(asdict(case))


def case_to_json(case: Case) -> dict[str, Json]:
    """A case as JSON, for records."""
    return json.loads(json.dumps(case_to_tree(case)))


def case_from_tree(tree: Mapping[str, Any]) -> Case:
    """Check nested dictionaries into a case: unknown keys, types, ranges.

    Raises:
        SpecError: for the first thing that is wrong.

    Example:
        >>> case_from_tree({"behaviour": {"kind": "mislabel"}}).behaviour.kind
        'mislabel'
    """
    _check_keys(Case, tree, "")
    try:
        # Through JSON, so that strict checking takes lists for tuples but no 1.0, "1" or true for 1.
        case = _adapter().validate_json(json.dumps(tree), strict=True)
    except TypeError as error:
        raise SpecError(f"The spec holds a value no key expects: {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if isinstance(part, str) and part.isidentifier())
        raise SpecError(f"`{place}` is {first['input']!r}: {first['msg'].lower()}.") from None
    case.check()
    return case


@cache
def _adapter() -> Any:  # beartype does not know the type of an adapter
    return TypeAdapter(Case)


def _check_keys(kind: type, tree: Any, path: str) -> None:
    if not isinstance(tree, Mapping):
        raise SpecError(f"`{path}` is {tree!r}; expected a table of keys.")
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]
    for key, value in tree.items():
        if key not in known:
            raise unknown_key(f"{path}.{key}".lstrip("."), [f"{path}.{name}".lstrip(".") for name in known])
        if is_dataclass(hints[key]):
            _check_keys(hints[key], value, f"{path}.{key}".lstrip("."))


def unknown_key(key: str, known: Sequence[str]) -> SpecError:
    """The error for a key that does not exist, with near ones."""
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else ""
    return SpecError(f"Unknown key `{key}` in the spec.{hint} Known here: {', '.join(sorted(known))}.")


def _known(name: str) -> str:
    if name not in CASES:
        raise UnknownNameError("case", name, CASES)
    return name


def _from_file(file: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"Cannot read the spec {file}: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{file} is not valid TOML: {error}.") from None
    version = tree.pop("version", SPEC_VERSION)
    if version != SPEC_VERSION:
        raise SpecError(f"{file} has version {version!r}; this version of unweave reads {SPEC_VERSION}.")
    run = {key: tree.pop(key) for key in _RUN_KEYS if key in tree}
    for key in ("out", "store"):
        if isinstance(run.get(key), str):
            run[key] = str(file.parent / run[key])
    tree.setdefault("name", file.stem)
    known = [field.name for field in fields(Case)]
    for key in tree:
        if key not in known:
            raise unknown_key(key, [*known, *_RUN_KEYS])
    return [tree], run


def _apply(setting: str, trees: list[dict[str, Any]], run: dict[str, Any]) -> None:
    path, equals, text = setting.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise SpecError(f"--set {setting!r}: expected a.b=c, such as forget.discovery=0.5.")
    try:
        value: Any = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    if keys[0] in _RUN_KEYS:
        if len(keys) > 1:
            raise SpecError(f"--set {setting!r}: `{keys[0]}` has no keys below it.")
        run[keys[0]] = value
        return
    for tree in trees:
        place: Any = tree
        for key in keys[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise SpecError(f"--set {setting!r}: `{key}` has no keys below it.")
        place[keys[-1]] = value


def _methods(given: Any) -> tuple[MethodChoice, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not given:
        raise SpecError(f"`methods` is {given!r}; expected a list of names or tables with a name.")
    choices = tuple(_method(one) for one in given)
    ids = [choice.id for choice in choices]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise SpecError(f"`methods` lists {twice[0]} more than once.")
    return choices


def _method(given: Any) -> MethodChoice:
    if isinstance(given, str):
        return MethodChoice(given.strip(), {})
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise SpecError(f"`methods` holds {given!r}; expected a name, or a table with a name.")
    params = {key: value for key, value in given.items() if key != "name"}
    for key, value in params.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or value != value
            or abs(value) == float("inf")
        ):
            raise SpecError(f"`methods`: {given['name']}.{key} is {value!r}; expected a finite number.")
    return MethodChoice(given["name"], params)


def _path(run: Mapping[str, Any], key: str) -> Path | None:
    value = run.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        raise SpecError(f"`{key}` is {value!r}; expected a path.")
    return Path(value)


def _workers(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1024:
        raise SpecError(f"`workers` is {value!r}; expected a number of processes from 1 to 1024.")
    return value
