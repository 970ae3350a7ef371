"""Specs: TOML files, `--set a.b=c` and registered cases, checked into the dataclasses of `problem`."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError

from unweave._errors import SpecError, UnknownNameError
from unweave.problem import BehaviourChoice, Case
from unweave.records import Json
from unweave.study.asked import MeasureChoice, read_measures
from unweave.study.cases import CASES, DEFAULT_CASES, small_form
from unweave.study.choices import Fair, read_fair, read_methods
from unweave.study.choices import MethodChoice as MethodChoice
from unweave.study.choices import shown as shown
from unweave.study.corpora import starts_there
from unweave.study.device import PROCESSES, device_name, engine_name
from unweave.study.id_files import place_paths, read_ids

SPEC_VERSION = 1
_RUN_KEYS = ("methods", "fair", "measures", "force", "out", "store", "workers", "device", "engine", "sweep")
_ONE_OF = {"forget": ("discovery", "count", "ids")}
"""Keys of which a case has at most one: `--set` of one of them replaces the others."""
_WHOLE = {"learner": "name", "behaviour": "kind"}
"""Tables whose other keys belong to the value of this one."""

_HALF_A_FLOAT = re.compile(r"[+-]?(\.\d+|\d+\.)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Spec:
    """A whole run: cases, methods and measures (None = the default ones), and where things go (None = default).

    `sweep` is the table of that name as it stands, for `unweave sweep`; `instead` are names of the methods that a
    preset takes in place of the default ones. `trust_code` and `plugins` are files that
    may be run; a spec in a file cannot name them: it might come from anywhere.
    """

    cases: tuple[Case, ...]
    methods: tuple[MethodChoice, ...] | None = None
    out: Path | None = None
    store: Path | None = None
    workers: int | None = None
    device: str = "cpu"
    engine: str = PROCESSES
    trust_code: tuple[Path, ...] = ()
    plugins: tuple[Path, ...] = ()
    fair: Fair = Fair()
    measures: tuple[MeasureChoice, ...] | None = None
    force: bool = False
    sweep: Any = None
    instead: tuple[str, ...] = ()


def read_spec(
    file: Path | None = None,
    *,
    cases: Sequence[str] = (),
    settings: Sequence[str] = (),
    methods: Sequence[str] | None = None,
    forget_ids: Sequence[int | str] | None = None,
    quick: bool = False,
) -> Spec:
    """Build a spec from a TOML file or registered cases, then apply `--set` and `--methods`.

    Where a file names S by its ids or a model as deployed, and says nothing of a behaviour, that is unknown.

    Args:
        file: A TOML file of one case; paths in it are relative to it.
        cases: Names of registered cases instead of a file; none of both = the default cases.
        settings: `a.b=c`, applied to every case; paths are relative to the working directory.
        methods: Names of methods.
        forget_ids: Ids of S, in place of what the cases say of it; `forget.allow_unknown` still holds.
        quick: Take the small form of registered cases.

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
    if quick:
        for tree in trees:
            _merge(tree, small_form(tree["name"]) if file is None else _no_small_form(file))
    changes = [_parse(setting) for setting in settings]
    for keys, value in changes:
        _make_room(keys, value, trees)
    for setting, (keys, value) in zip(settings, changes, strict=True):
        _apply(setting, keys, value, trees, run)
    for tree in trees:
        if forget_ids is not None:
            tree["forget"] = {"ids": list(forget_ids)} | _tolerance(tree.get("forget"))
        read_ids(tree, Path())
    if methods is not None:
        run["methods"] = list(methods)
    return Spec(
        tuple(_case(tree) for tree in trees),
        read_methods(run.get("methods")),
        _path(run, "out"),
        _path(run, "store"),
        _workers(run.get("workers")),
        device_name(run.get("device", "cpu")),
        engine_name(run.get("engine", PROCESSES)),
        fair=read_fair(run.get("fair")),
        measures=read_measures(run.get("measures")),
        force=_switch(run, "force"),
        sweep=run.get("sweep"),
    )


def _case(tree: Mapping[str, Any]) -> Case:
    case = case_from_tree(tree)
    # A model as deployed has not met what would be planted by default, so that nothing would be true of it.
    deployed = case.learner.checkpoint is not None and not starts_there(case)
    if "behaviour" not in tree and (case.forget.ids is not None or deployed):
        return replace(case, behaviour=BehaviourChoice("unknown"))
    return case


def _tolerance(forget: Any) -> dict[str, Any]:
    """What a case says of ids that are not there, which holds for other ids as well."""
    kept = forget if isinstance(forget, Mapping) else {}
    return {key: value for key, value in kept.items() if key == "allow_unknown"}


def case_to_tree(case: Case) -> dict[str, Any]:
    """A case as nested dictionaries, without what was left at None."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(inner) for key, inner in value.items() if inner is not None}
        if isinstance(value, np.ndarray | np.generic):  # a script may well take ids and seeds from arrays
            return value.tolist()
        return [clean(inner) for inner in value] if isinstance(value, list | tuple) else value

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
    except ValidationError as error:
        raise _as_spec_error(error.errors()[0]) from None
    case.check()
    return case


@cache
def _adapter() -> Any:  # beartype does not know the type of an adapter
    return TypeAdapter(Case)


_EXPECTED = {
    "string_type": "text (in a file and in --set within quotes where it looks like a number)",
    "int_type": "a whole number, without quotes or decimal point",
    "int_from_float": "a whole number",
    "float_type": "a number, without quotes",
    "bool_type": "true or false",
    "tuple_type": "a list, such as [1, 2, 3]",
}


def _as_spec_error(first: Any) -> SpecError:
    # A union adds the name of each of its types to the place, and a list its position.
    place: list[str] = []
    kind: Any = Case
    for part in first["loc"]:
        if not is_dataclass(kind) or part not in (field.name for field in fields(kind)):
            break
        place.append(str(part))
        kind = get_type_hints(kind)[part]
    expected = _EXPECTED.get(first["type"]) or first.get("ctx", {}).get("expected")
    said = f"expected {expected}" if expected else first["msg"].lower()
    verb = "holds" if any(isinstance(part, int) for part in first["loc"]) else "is"
    return SpecError(f"`{'.'.join(place)}` {verb} {shown(first['input'])}; {said}.")


def _check_keys(kind: type, tree: Any, path: str) -> None:
    if not isinstance(tree, Mapping):
        raise SpecError(f"`{path}` is {shown(tree)}; expected a table of keys.")
    hints = get_type_hints(kind)
    for key, value in tree.items():
        place = f"{path}.{key}".lstrip(".")
        if key not in hints:
            raise unknown_key(place, [f"{path}.{name}".lstrip(".") for name in hints])
        if is_dataclass(hints[key]):
            _check_keys(hints[key], value, place)
        else:
            several = isinstance(value, list | tuple)
            for one in value if several else [value]:
                if expected := _not_plain(one):
                    verb = "holds" if several else "is"
                    raise SpecError(f"`{place}` {verb} {shown(one)}; expected {expected}.")


def _not_plain(value: Any) -> str:
    """What was expected where JSON cannot carry a value to the checks, else nothing."""
    if isinstance(value, int) and abs(value) >= 2**63:
        return "a whole number below 2**63"
    if isinstance(value, str) and not _is_unicode(value):
        return "valid Unicode text"
    plain = value is None or isinstance(value, str | int | float)
    return "" if plain else "a number, text, true, false or a list of them"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def unknown_key(key: str, known: Sequence[str]) -> SpecError:
    """The error for a key that does not exist, with near ones of its table and equal ones of others."""
    own = {name.rpartition(".")[2]: name for name in known}
    last = key.rpartition(".")[2]
    near = [own[name] for name in difflib.get_close_matches(last, own, n=3, cutoff=0.6)]
    near += [path for path in _paths(Case, "") if path.rpartition(".")[2] == last and path not in near]
    hint = f" Did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else ""
    return SpecError(f"Unknown key `{key}` in the spec.{hint} Known here: {', '.join(sorted(known))}.")


def _paths(kind: type, path: str) -> list[str]:
    found: list[str] = []
    for name, hint in get_type_hints(kind).items():
        inner = isinstance(hint, type) and is_dataclass(hint)
        found += _paths(hint, f"{path}{name}.") if inner else [path + name]
    return found


def _top_keys() -> list[str]:
    return [*(field.name for field in fields(Case)), *_RUN_KEYS]


def _known(name: str) -> str:
    if name not in CASES:
        raise UnknownNameError("case", name, CASES)
    return name


def _from_file(file: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    tree = _read_toml(file)
    version = tree.pop("version", SPEC_VERSION)
    if isinstance(version, bool) or version != SPEC_VERSION:
        raise SpecError(
            f"{file} has version {shown(version)}; this version of unweave reads version {SPEC_VERSION}."
        )
    for key in tree:
        if key not in _top_keys():
            raise unknown_key(key, ["version", *_top_keys()])
    run = {key: tree.pop(key) for key in _RUN_KEYS if key in tree}
    for key in ("out", "store"):
        if isinstance(run.get(key), str) and run[key]:
            run[key] = str(file.parent / run[key])
    read_ids(tree, file.parent)
    place_paths(tree, file.parent)
    tree.setdefault("name", "".join(letter if letter.isprintable() else "_" for letter in file.stem))
    return [tree], run


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        hint = f" For the case of this name: --case {file}." if str(file) in CASES else ""
        raise SpecError(f"Cannot read the spec {file}: {error.strerror}.{hint}") from None
    except UnicodeDecodeError:
        raise SpecError(f"Cannot read the spec {file}: it is not text in UTF-8.") from None
    except (ValueError, RecursionError) as error:  # a number of 5000 digits is neither TOML nor its error
        raise SpecError(f"{file} is not valid TOML: {str(error).rstrip('.')}.") from None


def _parse(setting: str) -> tuple[list[str], Any]:
    path, equals, text = setting.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise SpecError(f"--set {shown(setting)}: expected a.b=c, such as forget.discovery=0.5.")
    if keys[0] not in _top_keys():
        raise unknown_key(keys[0], _top_keys())
    try:
        tree = tomllib.loads(f"value = {text.strip()}")
    except (ValueError, RecursionError):
        # TOML wants a digit on both sides of the point; on a command line .5 is a number all the same.
        return keys, float(text) if _HALF_A_FLOAT.fullmatch(text.strip()) else text.strip()
    # More than one key comes of a line break, and is no value of this one.
    return keys, tree["value"] if len(tree) == 1 else text.strip()


def _no_small_form(file: Path) -> dict[str, Any]:
    raise SpecError(
        f"--quick is the small form of registered cases, and {file} is a file; set what is to be small."
    )


def _merge(tree: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping):
            _merge(tree.setdefault(key, {}), value)
        else:
            tree[key] = value


def _make_room(keys: Sequence[str], value: Any, trees: Sequence[dict[str, Any]]) -> None:
    """Drop what a case had in place of the key about to be set; two in --set are still an error.

    Another learner or kind of behaviour takes the place of the whole table: its parameters fit no other.
    """
    table, key = (*keys, "", "")[:2]
    if _WHOLE.get(table) == key:
        for tree in trees:
            if isinstance(tree.get(table), dict) and tree[table].get(key) != value:
                tree[table] = {}
        return
    others = _ONE_OF.get(keys[0], ())
    if len(keys) != 2 or keys[1] not in others:
        return
    for tree in trees:
        place = tree.get(keys[0])
        if isinstance(place, dict):
            for other in others:
                place.pop(other, None)


def _apply(
    setting: str, keys: Sequence[str], value: Any, trees: Sequence[dict[str, Any]], run: dict[str, Any]
) -> None:
    if keys[0] in ("fair", "sweep") and len(keys) == 2:
        held = run.setdefault(keys[0], {})
        run[keys[0]] = {**(held if isinstance(held, dict) else {}), keys[1]: value}
        return
    if keys[0] in _RUN_KEYS:
        if len(keys) > 1:
            raise SpecError(f"--set {shown(setting)}: `{keys[0]}` has no keys below it.")
        run[keys[0]] = value
        return
    for tree in trees:
        place: Any = tree
        for key in keys[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise SpecError(f"--set {shown(setting)}: `{key}` has no keys below it.")
        place[keys[-1]] = value


def _path(run: Mapping[str, Any], key: str) -> Path | None:
    value = run.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        raise SpecError(f"`{key}` is {shown(value)}; expected a path.")
    return Path(value)


def _switch(run: Mapping[str, Any], key: str) -> bool:
    value = run.get(key, False)
    if not isinstance(value, bool):
        raise SpecError(f"`{key}` is {shown(value)}; expected true or false.")
    return value


def _workers(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1024:
        raise SpecError(f"`workers` is {shown(value)}; expected a number of processes from 1 to 1024.")
    return value
