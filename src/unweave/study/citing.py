"""Sources of methods, metrics, attacks, measures of language models and estimates of influence as BibTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unweave._errors import UnknownNameError
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


INFLUENCE: dict[str, str] = {
    "self_influence": "feldman2020does, feldman2020what",
    "cross_influence": "feldman2020what",
    "learning_events": "jiang2021characterizing, zhao2024scalability",
    "forgetting_events": "toneva2019empirical",
    "el2n": "paul2021deep",
    "loss_curvature": "zhao2024scalability, garg2023memorization",
    "holdout_retraining": "carlini2019distribution, zhao2024what",
    "tracin": "pruthi2020estimating",
    "influence_functions": "koh2017influence",
    "datainf": "kwon2024datainf",
    "trak": "park2023trak",
    "linear_datamodeling_score": "park2023trak",
    "entanglement": "zhao2024what",
    "trak_to_forget": "park2023trak",
    "spectral_signatures": "tran2018spectral",
    "activation_clustering": "chen2018activation",
    "confident_learning": "northcutt2021confident",
}
"""Keys of the sources of what `unweave.influence` estimates, by the name of the function."""


def bibtex(names: Sequence[str], *, plugins: Sequence[Path] = ()) -> str:
    """The BibTeX entries of what has these names and of unweave, each once, after a line that says whose it is.

    Args:
        names: Of methods, metrics, attacks, measures of language models and estimates of influence; `all` of
            the methods.
        plugins: Files of the user's own that register methods.

    Raises:
        UnknownNameError: for a name that stands for none of them; near names are offered.
        UserError: for a file or package whose methods cannot be registered.

    Example:
        >>> print(bibtex(["noop"]).splitlines()[0])
        % noop: no source
        >>> "Membership Inference Attacks From First Principles" in bibtex(["lira_offline"])
        True
    """
    from unweave.methods import METHODS
    from unweave.methods.plugins import load_packages
    from unweave.methods.sources import parse_bibtex, sources

    with plugins_of(plugins):
        if "all" in names:
            load_packages()
            names = METHODS.names()
        whose: dict[str, list[str]] = {}
        lines: list[str] = []
        here = Path(__file__).with_name("sources.bib")
        known = sources() | parse_bibtex(here.read_text(encoding="utf-8"), here.name)
        for name in dict.fromkeys(names):
            cite, entries = _cited(name)
            if not cite:
                lines.append(f"% {name}: no source")
                continue
            own = parse_bibtex(entries, f"the method {name}")
            for key in cite.split(", "):  # several methods under one name have a source each
                found = own.get(key) or known.get(key)
                if found is None:
                    lines.append(f"% {name}: its source is {key}, of which no entry is known")
                else:
                    whose.setdefault(found.text, []).append(name)
    lines += [f"\n% {', '.join(of)}\n{text}" for text, of in whose.items()]
    return "\n".join([*lines, f"\n% unweave itself\n{_ITSELF}"]).lstrip("\n")


def _cited(name: str) -> tuple[str, str]:
    """Keys of the sources of what has a name, and entries of its own where it is a method that brings them."""
    from unweave.attacks import ATTACKS
    from unweave.language.measures import MEASURES
    from unweave.methods import METHODS
    from unweave.methods.plugins import method_entry
    from unweave.metrics import METRICS

    for registry in (METRICS, ATTACKS, MEASURES):
        if name in registry:
            return registry.get(name).declared.cite, ""
    if name in INFLUENCE:
        return INFLUENCE[name], ""
    try:
        declared = method_entry(name).declared
    except UnknownNameError:
        if " " in name:  # it names several methods, and the message says which part is wrong
            raise
        known = [*METHODS.names(), *METRICS.names(), *ATTACKS.names(), *MEASURES.names(), *INFLUENCE]
        raise UnknownNameError("method, metric, attack, measure or estimate of influence", name, known) from None
    return declared.cite, declared.bibtex
