"""Columns of coded text (`schema.CODED_TEXT`): working on the distinct texts, and on the numbers that stand for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.readers.interface import Mask

Codes = npt.NDArray[np.int32]


def arrow_of(values: npt.NDArray[np.int64] | Codes) -> pa.Array:
    """Numbers as an Arrow array, without a copy, and without `pyarrow.array`, which imports pandas at its first call."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def codes_of(column: pa.DictionaryArray) -> Codes:
    """The number of each row's text; -1 for null."""
    codes = column.indices if not column.null_count else pc.fill_null(column.indices, -1)
    return codes.to_numpy()


def coded(codes: Codes, texts: pa.StringArray) -> pa.DictionaryArray:
    """The column of these texts, where -1 stands for null. A text may be there more than once."""
    is_null = codes < 0
    indices = pa.array(codes, mask=is_null) if is_null.any() else arrow_of(codes)
    return pa.DictionaryArray.from_arrays(indices, texts, safe=False)


def constant(text: str, count: int) -> pa.DictionaryArray:
    """A column with the same text in each row."""
    return coded(np.zeros(count, np.int32), pa.array([text], pa.string()))


def is_text(column: pa.DictionaryArray, text: str) -> Mask:
    """Which rows have that text."""
    code = column.dictionary.index(text).as_py()
    return np.zeros(len(column), bool) if code < 0 else codes_of(column) == code


def renamed(column: pa.DictionaryArray, name: Callable[[Any], str | None]) -> tuple[pa.DictionaryArray, Mask]:
    """Gives each distinct value of a column a text.

    Returns:
        The column of these texts, null where it was null or `name` gives None; and a mask of the rows of the latter.
    """
    names = [name(value) for value in column.dictionary.to_pylist()]
    nameless = np.array([new is None for new in names], bool)
    codes = codes_of(column)
    texts = pa.array(["" if new is None else new for new in names], pa.string())
    if not nameless.any():
        return coded(codes, texts), np.zeros(len(codes), bool)
    without = (codes >= 0) & nameless[codes]
    return coded(np.where(without, np.int32(-1), codes), texts), without


def choose(mask: Mask, these: pa.DictionaryArray, others: pa.DictionaryArray) -> pa.DictionaryArray:
    """The cells of `these` where the mask says so, and of `others` elsewhere."""
    codes, other_codes = codes_of(these), codes_of(others)
    moved = np.where(other_codes < 0, other_codes, other_codes + np.int32(len(these.dictionary)))
    return coded(np.where(mask, codes, moved), pa.concat_arrays([these.dictionary, others.dictionary]))


def first_of(these: pa.DictionaryArray, others: pa.DictionaryArray) -> pa.DictionaryArray:
    """The cells of `these`, and those of `others` where these are null."""
    if not these.null_count:
        return these
    if these.null_count == len(these):
        return others
    return choose(codes_of(these) >= 0, these, others)
