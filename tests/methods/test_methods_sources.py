"""The sources of methods: each has an entry, each entry a method, and the small reader reads them right."""

from __future__ import annotations

import pytest

from unweave._errors import UserError
from unweave.methods import METHODS
from unweave.methods.sources import parse_bibtex, sources

VENUES = ("booktitle", "journal", "publisher", "school", "eprint")


def test_every_cited_source_has_an_entry_and_every_entry_a_method():
    several = METHODS.get("noop / noop by confidence").declared.cite  # of what has no entry of its own
    assert {entry.declared.cite for entry in METHODS if entry.declared.cite} | {several} == set(sources())


@pytest.mark.parametrize("key", sources())
def test_an_entry_says_who_what_when_and_where(key):
    found = sources()[key]
    assert all(found.fields[name] for name in ("author", "title", "year"))
    assert any(found.fields.get(name) for name in VENUES)
    assert found.fields["author"].split(",")[0].lower().replace(" ", "") in key.split("20")[0].split("19")[0]
    assert found.fields["year"].isdigit() and 1990 <= int(found.fields["year"]) <= 2030
    if "eprint" in found.fields:
        assert found.fields["archiveprefix"] == "arXiv" and len(found.fields["eprint"]) == 10


def test_one_key_never_names_two_papers():
    from pathlib import Path

    import unweave.methods

    text = Path(unweave.methods.__file__).with_name("sources.bib").read_text(encoding="utf-8")
    titles: dict[str, set[str]] = {}
    for part in text.split("\n@"):
        for key, found in parse_bibtex(f"@{part}", "a part").items():
            titles.setdefault(key, set()).add(found.fields["title"].lower())
    assert set(titles) == set(sources())
    assert all(len(one) == 1 for one in titles.values())


def test_the_reader():
    text = """
    % a comment
    @Article{one2020first, author = "A. B. and {C, D}", title = {A {Nested {Title}}},
       year = 2020 , eprint={1} }
    words between
    @misc{two2021second,title={T},year={2021},}
    @misc{one2020first, title = {another}}
    """
    found = parse_bibtex(text, "here")
    assert list(found) == ["one2020first", "two2021second"]
    one = found["one2020first"]
    assert one.kind == "article"
    assert one.fields == {
        "author": "A. B. and {C, D}",
        "title": "A {Nested {Title}}",
        "year": "2020",
        "eprint": "1",
    }
    assert one.text.startswith("@Article{one2020first") and one.text.endswith("}\n")
    assert parse_bibtex("", "here") == {}
    # Files may be put one after the other.
    assert parse_bibtex(one.text + found["two2021second"].text, "here") == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@misc{a2020b, title = {x}", "a brace without its end"),
        ("@misc{a2020b, title = {x, year = 2020}", "a brace without its end"),
        ('@misc{a2020b, title = "x}', "a quote without its end"),
        ("@misc{a2020b, title = {x} year}", "cannot be read at 'year'"),
    ],
)
def test_what_cannot_be_read_is_one_message(text, said):
    with pytest.raises(UserError, match=f"The BibTeX of here .*{said}"):
        parse_bibtex(text, "here")
