"""A spec as TOML text, ready to be copied into a file and run again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def _string(text: str) -> str:
    # JSON's escapes are TOML's, but TOML also forbids a raw DEL and cannot hold half a surrogate pair.
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _value(value: object) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value if item is not None) + "]"
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items() if item is not None)
        return f"{{ {inner} }}" if inner else "{}"
    return json.dumps(value)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _lines(table: Mapping[str, object], prefix: str) -> list[str]:
    nested = {key: value for key, value in table.items() if isinstance(value, dict) or _is_tables(value)}
    plain = {key: value for key, value in table.items() if value is not None and key not in nested}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in nested.items():
        name = prefix + _key(key)
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *_lines(value, f"{name}.")]
        elif isinstance(value, list):
            for item in value:
                lines += ["", f"[[{name}]]", *_lines(item, f"{name}.")]
    return lines


def toml_text(spec: Mapping[str, object]) -> str:
    """Write a spec as TOML; keys without a value are left out, since TOML has no null.

    Args:
        spec: plain JSON values; dictionaries become tables and lists of dictionaries arrays of tables.

    Example:
        >>> print(toml_text({"seed": 0, "forget": {"discovery": 0.2}}), end="")
        seed = 0
        <BLANKLINE>
        [forget]
        discovery = 0.2
    """
    return "\n".join(_lines(spec, "")).lstrip("\n") + "\n"
