"""Sealed JSON comes back as it was, or not at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.references import seal, unseal

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
trees = st.dictionaries(st.text(max_size=6).filter(lambda name: name != "digest"), json_values, max_size=4)


@given(trees)
def test_what_was_sealed_comes_back(tree):
    assert unseal(seal(tree)) == tree


def test_keys_that_are_numbers_come_back_as_json_has_them():
    tree = {"params": {10: 1, 9: 2}, "pair": (1, 2)}
    assert unseal(seal(tree)) == {"params": {"10": 1, "9": 2}, "pair": [1, 2]}


@given(trees, st.data())
def test_any_changed_byte_is_noticed(tree, data):
    text = bytearray(seal(tree))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="does not hold what was written"):
        unseal(bytes(text))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"null", b"7", b'{"digest": 1}', b"[" * 100_000, b"\xff"])
def test_what_is_no_seal(text):
    with pytest.raises(ValueError, match="does not hold what was written"):
        unseal(text)


@pytest.mark.parametrize(
    "spelt",
    [
        lambda text: text + b"\n",
        lambda text: text.replace(b": ", b":"),
        lambda text: json.dumps(json.loads(text), indent=1).encode(),
    ],
)
def test_another_spelling_is_another_text(spelt):
    with pytest.raises(ValueError, match="does not hold what was written"):
        unseal(spelt(seal({"a": 1, "b": 2})))
