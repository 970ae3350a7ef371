"""Sources of methods as BibTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unweave._version import __version__
from unweave.study.plugins import plugins_of

_ITSELF = f"""@misc{{unweave,
  author = {{{{The unweave authors}}}},
  title = {{{{unweave}}: untraining or unlearning? {{Reference}} models by the hundred, with intervals}},
  year = {{2026}},
  version = {{{__version__}}},
  note = {{Software; the distinction is that of arXiv 2604.07962}},
}}
"""


def bibtex(names: Sequence[str], *, plugins: Sequence[Path] = ()) -> str:
    """The BibTeX entries of methods and of unweave, each once, after a line that says whose it is.

    Args:
        names: Of methods; `all` of them.
        plugins: Files of the user's own that register methods.

    Raises:
        UnknownNameError: for a method that is not registered; near names are offered.
        UserError: for a file or package whose methods cannot be registered.

    Example:
        >>> print(bibtex(["noop"]).splitlines()[0])
        % noop: no source
    """
    from unweave.methods import METHODS
    from unweave.methods.plugins import load_packages, method_entry
    from unweave.methods.sources import parse_bibtex, sources

    with plugins_of(plugins):
        if "all" in names:
            load_packages()
            names = METHODS.names()
        whose: dict[str, list[str]] = {}
        lines: list[str] = []
        for name in dict.fromkeys(names):
            declared = method_entry(name).declared
            if not declared.cite:
                lines.append(f"% {name}: no source")
                continue
            own = parse_bibtex(declared.bibtex, f"the method {name}")
            for key in declared.cite.split(", "):  # several methods under one name have a source each
                found = own.get(key) or sources().get(key)
                if found is None:
                    lines.append(f"% {name}: its source is {key}, of which no entry is known")
                else:
                    whose.setdefault(found.text, []).append(name)
    lines += [f"\n% {', '.join(methods)}\n{text}" for text, methods in whose.items()]
    return "\n".join([*lines, f"\n% unweave itself\n{_ITSELF}"]).lstrip("\n")
