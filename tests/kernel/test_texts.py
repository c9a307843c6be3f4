"""Distinct texts and their codes."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.kernel.texts import Texts, index_of
from tests.kernel.lines import NAMES, NOT_UTF8, SCRIPTS

TEXTS = [text.decode() for text in (*NAMES, *SCRIPTS, b"", b"\0", b"\0\0", b"n", b"n\0", b"n\0\0")]
texts = st.one_of(st.sampled_from(TEXTS), st.text("ab\0é☃🙂", max_size=40), st.text())


def strings(values):
    return pa.array(values, pa.string())


def bytes_as_text(*values):
    """A column of text that says of any bytes that they are UTF-8."""
    binary = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())


@given(st.lists(st.lists(texts, max_size=20), max_size=5))
def test_they_are_a_dict_of_texts_to_numbers(columns):
    names, known = Texts(), {}
    for column in columns:
        codes = names.codes_of(strings(column))
        assert codes.tolist() == [known.setdefault(text, len(known)) for text in column]
        assert names.texts().to_pylist() == list(known)
    assert len(names) == len(known)


@given(st.lists(texts, max_size=20), st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=12))
def test_columns_that_grow_and_shrink_by_turns_keep_their_codes(column, turns):
    names, known = Texts(), {}
    columns = [column, column[::-1]]
    for which, size in turns:
        some = columns[which][:size]
        assert names.codes_of(strings(some)).tolist() == [known.setdefault(text, len(known)) for text in some]


@given(st.lists(texts, max_size=30))
def test_sorted_they_are_in_the_order_of_their_bytes(column):
    names = Texts()
    codes = names.codes_of(strings(column))
    ordered, rank = names.sorted_texts()
    ordered.validate(full=True)
    assert ordered.to_pylist() == sorted(set(column), key=str.encode)
    assert sorted(rank.tolist()) == list(range(len(names)))
    assert [ordered[rank[code]].as_py() for code in codes.tolist()] == column


@given(st.lists(texts, min_size=1, max_size=20), st.data())
def test_a_piece_of_a_column_counts_alone(column, data):
    start = data.draw(st.integers(0, len(column)))
    piece = strings(column)[start : data.draw(st.integers(start, len(column)))]
    names = Texts()
    codes = names.codes_of(piece)
    assert names.texts().take(pa.array(codes)).equals(piece)
    assert set(names.texts().to_pylist()) == set(piece.to_pylist())


@given(st.lists(st.none() | texts, max_size=20), texts, st.data())
def test_the_first_of_a_text_is_found_as_arrow_finds_it(column, text, data):
    piece = strings(column)[data.draw(st.integers(0, len(column))) :]
    wanted = data.draw(st.sampled_from([text, *(other for other in column if other is not None)]))
    assert index_of(piece, wanted) == piece.index(wanted).as_py()


def test_codes_stay_as_the_names_grow():
    """Beyond 100,000, of every length: through many doublings of the table and of its bytes."""
    column = [f"{i:x}".rjust(i % 37, "-") for i in range(150_000)]
    names = Texts()
    pieces = [names.codes_of(strings(column[start : start + 7_000])) for start in range(0, len(column), 7_000)]
    expected = {text: code for code, text in enumerate(dict.fromkeys(column))}
    assert len(names) == len(expected) > 100_000
    assert np.concatenate(pieces).tolist() == [expected[text] for text in column]
    assert names.codes_of(strings(column[::-1])).tolist() == [expected[text] for text in column[::-1]]
    assert names.texts().equals(strings(list(expected)))
    assert names.sorted_texts()[0].equals(strings(sorted(expected, key=str.encode)))


@pytest.mark.parametrize("place", [0, 8, 16, 20, 32])
def test_many_long_texts_may_differ_in_a_few_bytes_anywhere(place):
    """So many that each meets others in the table: what is not kept there in words is compared as well."""
    column = ["n" * place + f"{i:05}" + "n" * (37 - place) for i in range(20_000)]
    names = Texts()
    assert names.codes_of(strings(column)).tolist() == list(range(20_000))
    assert names.codes_of(strings(column[::-1])).tolist() == list(range(20_000))[::-1]


def test_what_was_exported_stays_as_it_was():
    names = Texts()
    names.codes_of(strings(["a", "b"]))
    before = names.texts()
    names.codes_of(strings(["c" * 5000]))
    assert before.to_pylist() == ["a", "b"]
    assert names.texts().to_pylist() == ["a", "b", "c" * 5000]
    del names
    assert before.to_pylist() == ["a", "b"]


def test_nothing_has_no_codes():
    names = Texts()
    assert names.codes_of(strings([])).tolist() == []
    assert (len(names), names.texts().to_pylist(), names.sorted_texts()[0].to_pylist()) == (0, [], [])


def test_the_empty_text_is_one():
    names = Texts()
    assert names.codes_of(strings(["", "", "a", ""])).tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("text", NOT_UTF8)
def test_what_is_not_utf8_is_refused_and_leaves_the_others(text):
    names = Texts()
    with pytest.raises(ValueError, match="a text is not UTF-8"):
        names.codes_of(bytes_as_text(b"before", text, b"behind"))
    assert names.codes_of(strings(["before", "later"])).tolist() == [0, 1]
    names.texts().validate(full=True)


def test_not_even_in_a_long_text_at_its_very_end():
    for length in range(64):
        with pytest.raises(ValueError, match="a text is not UTF-8"):
            Texts().codes_of(bytes_as_text(b"a" * length + b"\xe2\x98"))
