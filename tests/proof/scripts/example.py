"""Run a Python example of a document as it stands there: the first block that holds a text."""

import re
import sys
from pathlib import Path


def block(page: str, text: str) -> str:
    """The first Python block of a page with this text in it."""
    return next(one for one in re.findall(r"```python\n(.*?)```", page, re.S) if text in one)


if __name__ == "__main__":
    code = block(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2])
    exec(compile(code, sys.argv[1], "exec"), {"__name__": "__main__"})
