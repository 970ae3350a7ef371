"""JSON that notices when it was changed: its own digest stands in it, and it has one spelling only."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_DIGEST = "digest"


def seal(tree: dict[str, Any]) -> bytes:
    """A tree as JSON with its SHA-256 in it.

    Example:
        >>> unseal(seal({"a": 1}))
        {'a': 1}
    """
    plain = json.loads(_text(tree))  # as it will be read: keys that are numbers are texts, and sorted as such
    return _text({**plain, _DIGEST: hashlib.sha256(_text(plain)).hexdigest()})


def unseal(text: bytes) -> dict[str, Any]:
    """The inverse of `seal`.

    Raises:
        ValueError: if one byte differs from what was written.
    """
    try:
        tree: Any = json.loads(text)
        rest = {name: value for name, value in tree.items() if name != _DIGEST}
        # Spelled as it was, so that no two texts pass for the same tree.
        whole = tree[_DIGEST] == hashlib.sha256(_text(rest)).hexdigest() and _text(tree) == text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("it does not hold what was written to it") from None
    if not whole:
        raise ValueError("it does not hold what was written to it")
    return rest


def _text(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree, sort_keys=True).encode()
