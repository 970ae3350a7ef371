"""What the page draws and unfolds, packed to a tenth: numbers of charts, details, and pictures of examples."""

from __future__ import annotations

import base64
import gzip
import json

_DIGITS = 5


def packed(value: object) -> str:
    """JSON, gzipped, as base64: it can stand inside a script element, and the same value gives the same text.

    Args:
        value: What JSON can hold; floats are kept to five significant digits, more than a pixel of a chart.

    Returns:
        ASCII letters, digits, `+`, `/` and `=`.

    Example:
        >>> gzip.decompress(base64.b64decode(packed({"a": ["</script>", 0.123456789]})))
        b'{"a":["</script>",0.12346]}'
    """
    text = json.dumps(_rounded(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), mtime=0)).decode("ascii")


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return value
