"""`expand(NAME)` as an entry: the method's own parameters, sources and needs; what it does not go around."""

from __future__ import annotations

import pytest

from unweave._errors import SpecError, UnknownNameError
from unweave.methods import METHODS
from unweave.methods.expansion import expanded_name
from unweave.methods.meta import parts_of
from unweave.methods.plugins import build_entry


def test_it_is_the_method_with_another_forget_set():
    entry, own = METHODS.get(" expand ( scrub ) "), METHODS.get("scrub")
    assert entry.name == expanded_name("scrub") == "expand(scrub)" and entry.defaults() == own.defaults()
    assert build_entry(entry, {"lr": 0.5})[1:3] == build_entry(own, {"lr": 0.5})[1:3]
    assert entry.declared.cite == own.declared.cite and entry.declared.identity == own.declared.identity
    assert entry.declared.authors_aim == "unlearning" and entry.declared.family == "meta"
    assert [one.name for one in parts_of(entry)] == ["scrub"] and "scrub on all of it" in entry.summary


def test_what_the_method_needs_is_needed():
    assert METHODS.get("expand(rem_etd)").declared.trains == "etd"
    assert METHODS.get("expand(amnesiac)").declared.needs >= {"history", "forget", "retain"}
    row = METHODS.get("expand(ssd then finetune)")
    assert set(row.defaults()) == {"ssd.alpha", "ssd.strength", "finetune.epochs", "finetune.lr"}
    assert len(row.build().stages()) == 2


@pytest.mark.parametrize(
    "name", ["expand", "expand()", "expand(ssd", "expand(expand(ssd))", "expand(ssd) then npo"]
)
def test_it_goes_around_all_of_it_and_once(name):
    with pytest.raises(SpecError, match="goes around one method or several in a row, and once"):
        METHODS.get(name)


def test_names_within_are_offered_near_ones():
    with pytest.raises(UnknownNameError, match="Did you mean `scrub`"):
        METHODS.get("expand(scrubs)")
    with pytest.raises(UnknownNameError, match="parameter of `scrub`"):
        METHODS.get("expand(scrub)").build(rate=1.0)
    with pytest.raises(SpecError, match="for each part of S cannot be expanded"):
        METHODS.get("expand(noop / scrub by confidence)")
