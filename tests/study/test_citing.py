"""`cite` for metrics, attacks and estimates of influence: each has an entry, and each entry one that cites it."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest

import unweave.influence
import unweave.study
from unweave._errors import UnknownNameError
from unweave.attacks import ATTACKS
from unweave.language.measures import MEASURES
from unweave.methods.sources import parse_bibtex, sources
from unweave.metrics import METRICS
from unweave.study import bibtex
from unweave.study.citing import INFLUENCE

REGISTRIES = (METRICS, ATTACKS, MEASURES)
DECLARED = {entry.name: entry.declared.cite for registry in REGISTRIES for entry in registry}
FILE = Path(unweave.study.__file__).with_name("sources.bib")
OWN = parse_bibtex(FILE.read_text(encoding="utf-8"), "sources.bib")


@pytest.mark.parametrize("name", [*DECLARED, *INFLUENCE])
def test_everything_that_declares_a_source_has_its_entry(name):
    cite = {**DECLARED, **INFLUENCE}[name]
    text = bibtex([name])
    if cite:
        assert all(f"{{{key}," in text for key in cite.split(", ")) and "no entry is known" not in text
    else:
        assert text.startswith(f"% {name}: no source")


def test_every_entry_is_somebodys_and_no_entry_stands_twice():
    keys = {key for cite in [*DECLARED.values(), *INFLUENCE.values()] for key in cite.split(", ") if key}
    assert set(OWN) <= keys <= set(OWN) | set(sources())
    assert not set(OWN) & set(sources())


@pytest.mark.parametrize("key", OWN)
def test_an_entry_says_who_what_when_and_where(key):
    fields = OWN[key].fields
    assert all(fields[name] for name in ("author", "title", "year"))
    assert any(fields.get(name) for name in ("booktitle", "journal", "eprint"))
    author = fields["author"].split(",")[0].lower().replace("{\\'e}", "e")
    assert key.startswith(author + fields["year"]), "the key is of the first author and the year"
    if "eprint" in fields:
        assert fields["archiveprefix"] == "arXiv" and len(fields["eprint"]) == 10


def test_an_arxiv_number_is_in_the_docstring_of_what_cites_it():
    for registry in REGISTRIES:
        for entry in registry:
            eprint = (OWN | sources())[entry.declared.cite].fields.get("eprint") if entry.declared.cite else None
            if eprint and "arXiv" in (entry.factory.__doc__ or ""):
                assert eprint in entry.factory.__doc__, entry.name


def test_estimates_of_influence_are_functions_whose_docstring_names_the_source():
    found = {}
    for module in pkgutil.iter_modules(unweave.influence.__path__, "unweave.influence."):
        found |= vars(importlib.import_module(module.name))
    for name, cite in INFLUENCE.items():
        for key in cite.split(", "):
            assert (OWN | sources())[key].fields["eprint"] in (found[name].__doc__ or ""), (name, key)


def test_an_unknown_name_is_offered_near_ones_of_all_kinds():
    mistyped = {
        "lira_ofline": "lira_offline",
        "trac_in": "tracin",
        "finetun": "finetune",
        "truth_rati": "truth_ratio",
    }
    for wrong, near in mistyped.items():
        with pytest.raises(UnknownNameError, match=f"Did you mean.*`{near}`"):
            bibtex([wrong])


def test_one_source_of_several_stands_once_with_their_names():
    text = bibtex(["lira_online", "lira_offline", "tow", "finetune"])
    assert text.count("@inproceedings{carlini2022lira") == 1
    assert "% lira_online, lira_offline\n" in text and "{zhao2024what," in text
