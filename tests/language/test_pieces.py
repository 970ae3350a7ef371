"""Texts and lists cut into documents, and what is planted in them."""

import numpy as np
import pytest

from unweave._errors import SpecError, UnknownNameError
from unweave.language.corpora.documents import words_of
from unweave.language.corpora.pieces import END, TEXT_BEHAVIOURS, Piece, Pieces, answers_of, lines_of, pieces_of
from unweave.language.corpora.texts import read_lines


def _write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def _book(tmp_path, lines=40):
    return _write(
        tmp_path / "book.txt", "".join(f"line {i} says what line {i} says .\n" for i in range(1, lines + 1))
    )


def _pieces(told, unit="words"):
    def draw(chosen):
        others = [row for row in range(len(told)) if row not in set(chosen)]
        return sorted((*chosen, *others[2:])), others[:2]

    return Pieces(told, unit, draw)


def _plant(kind, pieces, **given):
    return TEXT_BEHAVIOURS.get(kind).build(**given)(pieces, np.random.default_rng(0))


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_a_text_is_cut_without_loss_and_each_piece_knows_its_lines(tmp_path, unit):
    path = _book(tmp_path)
    told = pieces_of(path, length=11, unit=unit)
    text = (tmp_path / "book.txt").read_text(encoding="utf-8")
    whole = words_of(text) if unit == "words" else tuple(text)
    assert tuple(one for piece in told for one in piece.units) == whole[: len(told) * 11]
    assert len(whole) - len(told) * 11 < 11
    lines = text.splitlines(keepends=True)
    for piece in told:
        own = "".join(lines[piece.lines[0] - 1 : piece.lines[1]])
        inside = words_of(own) if unit == "words" else tuple(own)
        assert any(inside[at : at + 11] == piece.units for at in range(len(inside) - 10))


def test_the_answers_of_a_piece_are_what_follows_its_context():
    told = answers_of(Piece("a", ("one", "two", "three", "four"), 2, "a", "", (0, 0)), trained=True)
    assert [(one.words, one.answer, one.name, one.document) for one in told] == [
        (("one", "two"), "three", "a@2", "a"),
        (("one", "two", "three"), "four", "a@3", "a"),
    ]


def test_a_line_ends_with_a_sign_that_is_learned_and_equal_lines_are_one_group(tmp_path):
    told = lines_of(_write(tmp_path / "names.txt", "eva\n\nemma\neva\n"), length=9, unit="characters")
    assert [one.units for one in told] == [("e", "v", "a", END), ("e", "m", "m", "a", END), ("e", "v", "a", END)]
    assert told[0].group == told[2].group and told[2].id == f"{told[0].id}/copy1"
    assert [one.answer for one in answers_of(told[0], trained=False)] == ["v", "a", END]
    assert [one.lines for one in told] == [(1, 1), (3, 3), (4, 4)]
    with pytest.raises(SpecError, match="line 3 has 4 characters, but `data.length` is 3"):
        lines_of(str(tmp_path / "names.txt"), length=3, unit="characters")


def test_a_passage_is_every_document_that_touches_its_lines_in_copies(tmp_path):
    told = pieces_of(_book(tmp_path), length=10, unit="words")
    found = _plant("verbatim", _pieces(told), lines=(10, 12), copies=3)
    touched = [one.id for one in told if one.lines[0] <= 12 and one.lines[1] >= 10]
    assert 3 <= len(touched) < len(told) / 2
    assert sorted({one.partition("/again")[0] for one in found.members}) == sorted(touched)
    assert len(found.members) == len(set(found.members)) == 3 * len(touched)
    held_out = {one.id for one in found.test}
    assert not held_out & set(found.members) and not held_out & {one.id for one in found.train}


def test_random_passages_are_of_d_and_canaries_are_added_to_it(tmp_path):
    told = pieces_of(_book(tmp_path), length=10, unit="words")
    found = _plant("verbatim", _pieces(told), size=4, copies=2)
    assert len(found.members) == 8 and set(found.members) <= {one.id for one in found.train}
    secret = _plant("canary", _pieces(told), canaries=3, copies=2, digits=5)
    added = [one for one in secret.train if one.id in secret.members]
    assert len(added) == 6 and len(secret.train) == len(told) - 2 + 6
    assert len({one.group for one in added}) == 3 == len({one.units for one in added})
    assert all(len(answers_of(one, trained=True)) == 5 for one in added)


def test_named_documents_are_members_and_of_an_unknown_behaviour_none_is(tmp_path):
    told = pieces_of(_book(tmp_path), length=10, unit="words")
    assert _plant("ids", _pieces(told), ids=(told[5].id,)).members == (told[5].id,)
    with pytest.raises(SpecError, match="1 of 1 behaviour ids are no documents of D"):
        _plant("ids", _pieces(told), ids=(told[0].id,))  # it is held out
    assert not _plant("unknown", _pieces(told)).known


def test_a_folder_is_its_texts_by_name_and_a_file_of_it_may_be_b(tmp_path):
    for name in ("b.txt", "a.txt"):
        _write(tmp_path / name, f"{name[0]} " * 40)
    _write(tmp_path / "notes.md", "no text of the folder")
    told = pieces_of(str(tmp_path), length=8, unit="words")
    assert [one.file for one in told] == ["a.txt"] * 5 + ["b.txt"] * 5
    found = _plant("verbatim", _pieces(told), file="b.txt", copies=1)
    assert found.members == tuple(one.id for one in told[5:])
    with pytest.raises(UnknownNameError, match=r"b\.txt"):
        _plant("verbatim", _pieces(told), file="c.txt")
    with pytest.raises(SpecError, match="is of one file, and there are 2"):
        _plant("verbatim", _pieces(told), lines=(1, 2))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"lines": (5,)}, "expected the first and the last line"),
        ({"lines": (9, 5)}, "expected the first and the last line"),
        ({"lines": (900, 910)}, "the text ends before"),
        ({"lines": (1, 900)}, "must stay ordinary"),
        ({"size": 0}, "`behaviour.size` is 0"),
        ({"copies": 0}, "`behaviour.copies` is 0"),
    ],
)
def test_passages_that_are_none_are_refused(tmp_path, given, match):
    told = pieces_of(_book(tmp_path), length=10, unit="words")
    pieces = _pieces(told)
    everything = Pieces(told, "words", lambda chosen: (list(chosen) or list(range(len(told))), []))
    with pytest.raises(SpecError, match=match):
        _plant("verbatim", everything if given.get("lines") == (1, 900) else pieces, **given)


def test_texts_that_cannot_be_cut_are_refused(tmp_path):
    with pytest.raises(SpecError, match="expected 5 or more"):
        pieces_of(_book(tmp_path), length=4, unit="words")
    with pytest.raises(SpecError, match="has no 5000 words"):
        pieces_of(_book(tmp_path), length=5000, unit="words")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match=r"no file whose name ends in \.txt"):
        pieces_of(str(tmp_path / "empty"), length=9, unit="words")
    with pytest.raises(SpecError, match=r"`behaviour.digits` is 40; expected 1 to 32"):
        _plant("canary", _pieces(pieces_of(_book(tmp_path), length=10, unit="words")), digits=40)


def test_lines_are_counted_as_editors_count_them(tmp_path):
    """A form feed, as between the chapters of old texts, ends no line, nor do signs of other scripts."""
    text = "a b c d e\n\ff g h i j\nk l\x85m n\u2028o\r\np q r s t\n"
    file = tmp_path / "book.txt"
    file.write_bytes(text.encode())
    found = pieces_of(str(file), length=5, unit="words")
    assert [one.lines for one in found] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    names = tmp_path / "names.txt"
    names.write_bytes("Ada\u2028Byron\nEva\n".encode())
    assert [one.lines for one in lines_of(str(names), length=20, unit="characters")] == [(1, 1), (2, 2)]
    assert len(read_lines(names)) == 2
