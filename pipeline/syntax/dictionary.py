"""Columns of dictionary-encoded text (`schema.DICTIONARY_TEXT`): work on the distinct texts, and on the numbers of the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.syntax.batch import Mask

Codes = npt.NDArray[np.int32]


def arrow_of(values: npt.NDArray[np.int64] | Codes) -> pa.Array:
    """Numbers as an Arrow array, without a copy, and without `pyarrow.array`, which imports pandas at its first call."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def codes_of(column: pa.DictionaryArray) -> Codes:
    """The number of each row's text; -1 for null."""
    codes = column.indices if not column.null_count else pc.fill_null(column.indices, -1)
    return codes.to_numpy()


def with_dictionary(codes: Codes, texts: pa.StringArray) -> pa.DictionaryArray:
    """The column of these texts, where -1 stands for null. A text may be there more than once."""
    indices = arrow_of(codes)
    if (codes < 0).any():
        is_valid = pa.py_buffer(np.packbits(codes >= 0, bitorder="little"))
        indices = pa.Array.from_buffers(pa.int32(), len(codes), [is_valid, indices.buffers()[1]])
    return pa.DictionaryArray.from_arrays(indices, texts, safe=False)


def constant(text: str, count: int) -> pa.DictionaryArray:
    """A column with the same text in each row."""
    return with_dictionary(np.zeros(count, np.int32), pa.array([text], pa.string()))


def is_text(column: pa.DictionaryArray, text: str) -> Mask:
    """Which rows have that text."""
    code = column.dictionary.index(text).as_py()
    return np.zeros(len(column), bool) if code < 0 else codes_of(column) == code


def rows_where(column: pa.DictionaryArray, is_it: Callable[[str], bool], null: bool = False) -> Mask:
    """Which rows have such a text, each distinct text being looked at once.

    Args:
        column: The texts.
        is_it: Whether a text is such a one.
        null: What is said of null.
    """
    said = [*map(is_it, column.dictionary.to_pylist()), null]  # the last is that of the code -1
    return np.array(said, bool)[codes_of(column)]


def without_text(column: pa.DictionaryArray, text: str) -> pa.DictionaryArray:
    """The column with null in the rows that have that text."""
    has = is_text(column, text)
    return with_dictionary(np.where(has, np.int32(-1), codes_of(column)), column.dictionary) if has.any() else column


@dataclass(frozen=True)
class Renaming:
    """New texts for the distinct values of a column.

    Attributes:
        texts: By code; "" where there is none.
        nameless: Which have none.
    """

    texts: pa.StringArray
    nameless: Mask

    @classmethod
    def of(cls, names: Sequence[str | None]) -> Renaming:
        """Gives the values these texts, in their order; None for none."""
        nameless = np.array([new is None for new in names], bool)
        return cls(pa.array(["" if new is None else new for new in names], pa.string()), nameless)

    def and_of(self, more: Renaming) -> Renaming:
        """The same for further distinct values, behind these."""
        return Renaming(pa.concat_arrays([self.texts, more.texts]), np.concatenate([self.nameless, more.nameless]))


def renamed(column: pa.DictionaryArray, new: Renaming) -> tuple[pa.DictionaryArray, Mask]:
    """The column with other texts.

    Returns:
        The column, null where it was null or its value has no new text; and a mask of the rows of the latter.
    """
    codes = codes_of(column)
    if not new.nameless.any():
        return with_dictionary(codes, new.texts), np.zeros(len(codes), bool)
    without = (codes >= 0) & new.nameless[codes]
    return with_dictionary(np.where(without, np.int32(-1), codes), new.texts), without


def choose(mask: Mask, these: pa.DictionaryArray, others: pa.DictionaryArray) -> pa.DictionaryArray:
    """The cells of `these` where the mask says so, and of `others` elsewhere."""
    codes, other_codes, texts = _with_one_dictionary(these, others)
    return with_dictionary(np.where(mask, codes, other_codes), texts)


def exchanged(
    mask: Mask, these: pa.DictionaryArray, others: pa.DictionaryArray
) -> tuple[pa.DictionaryArray, pa.DictionaryArray]:
    """Both columns, with their cells exchanged where the mask says so."""
    codes, other_codes, texts = _with_one_dictionary(these, others)
    # `numpy.where` takes twice as long, as nobody can foresee what the mask says next.
    turned = (codes ^ other_codes) & -mask.astype(np.int32)
    return with_dictionary(codes ^ turned, texts), with_dictionary(other_codes ^ turned, texts)


def first_of(*columns: pa.DictionaryArray) -> pa.DictionaryArray:
    """The cells of the first column, those of the next where these are null, and so on."""
    telling: list[pa.DictionaryArray] = []
    for column in columns:
        if column.null_count < len(column):
            telling.append(column)
        if not column.null_count:
            break
    if len(telling) < 2:
        return telling[0] if telling else columns[-1]
    last = codes_of(telling[-1])
    texts, count = [telling[-1].dictionary], len(telling[-1].dictionary)
    for column in reversed(telling[:-1]):
        codes = codes_of(column)
        last = np.where(codes >= 0, codes + np.int32(count), last)
        texts.append(column.dictionary)
        count += len(column.dictionary)
    return with_dictionary(last, pa.concat_arrays(texts))


def _with_one_dictionary(these: pa.DictionaryArray, others: pa.DictionaryArray) -> tuple[Codes, Codes, pa.StringArray]:
    """The codes of two columns in a dictionary that holds the texts of both, and that dictionary."""
    other_codes = codes_of(others)
    moved = other_codes + np.int32(len(these.dictionary))
    if others.null_count:
        moved = np.where(other_codes < 0, other_codes, moved)
    return codes_of(these), moved, pa.concat_arrays([these.dictionary, others.dictionary])
