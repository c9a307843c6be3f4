"""Columns of dictionary-encoded text do what columns of text would."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.schema import DICTIONARY_TEXT
from pipeline.syntax.dictionary import (
    Renaming,
    arrow_of,
    choose,
    codes_of,
    constant,
    first_of,
    is_text,
    renamed,
    with_dictionary,
)


@st.composite
def columns(draw, length=None):
    """A column, as it comes or as a piece of a longer one; some of its texts may be in no row."""
    texts = draw(st.lists(st.sampled_from(["", "a", "b", "é", "10.0.0.1"]), unique=True, max_size=5))
    code = st.none() if not texts else st.one_of(st.none(), st.integers(0, len(texts) - 1))
    size = draw(st.integers(0, 8)) if length is None else length
    before, behind = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    codes = draw(st.lists(code, min_size=before + size + behind, max_size=before + size + behind))
    whole = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(texts, pa.string()))
    return whole[before : before + size]


pairs = st.integers(0, 8).flatmap(lambda length: st.tuples(columns(length), columns(length)))


def checked(column):
    column.validate(full=True)
    assert column.type == DICTIONARY_TEXT
    return column.to_pylist()


@given(columns())
def test_its_codes_and_texts_make_it_again(column):
    assert checked(with_dictionary(codes_of(column), column.dictionary)) == column.to_pylist()


@given(columns(), st.sampled_from(["", "a", "é", "never"]))
def test_the_rows_that_have_a_text_are_found(column, text):
    assert is_text(column, text).tolist() == [cell == text for cell in column.to_pylist()]


@given(columns())
def test_distinct_texts_get_new_ones(column):
    names = {"": None, "a": "x", "b": "x", "é": "é", "10.0.0.1": None}
    new, nameless = renamed(column, Renaming.of([names[text] for text in column.dictionary.to_pylist()]))
    assert checked(new) == [names.get(cell) for cell in column.to_pylist()]
    assert nameless.tolist() == [cell is not None and names[cell] is None for cell in column.to_pylist()]


@given(pairs, st.data())
def test_cells_are_chosen_from_two_columns(pair, data):
    these, others = pair
    mask = data.draw(st.lists(st.booleans(), min_size=len(these), max_size=len(these)))
    chosen = checked(choose(np.array(mask, bool), these, others))
    assert chosen == [a if wanted else b for wanted, a, b in zip(mask, these.to_pylist(), others.to_pylist(), strict=True)]


@given(pairs)
def test_the_first_that_is_there_is_taken(pair):
    these, others = pair
    expected = [b if a is None else a for a, b in zip(these.to_pylist(), others.to_pylist(), strict=True)]
    assert checked(first_of(these, others)) == expected


def test_one_text_may_stand_in_all_rows():
    assert checked(constant("-", 3)) == ["-", "-", "-"]
    assert checked(constant("-", 0)) == []


def test_numbers_become_arrow_s_without_a_copy():
    numbers = np.array([1, -2, 2**62])
    array = arrow_of(numbers)
    assert array.equals(pa.array([1, -2, 2**62], pa.int64()))
    assert array.buffers()[1].address == numbers.ctypes.data
