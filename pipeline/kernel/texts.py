"""Texts in the kernel: distinct ones and their codes, and those that are times."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.kernel.library import KernelMemory, check, kernel

Codes = npt.NDArray[np.int32]
#: So many arrays of texts are remembered, with their codes, if they are of so many bytes at most: flow records have three columns of texts.
_REMEMBERED, _REMEMBERED_BYTES = 4, 1 << 20


class Texts(KernelMemory):
    """Distinct texts, numbered in the order in which they came. All are UTF-8.

    Args:
        handle: The kernel's `names`, where something else owns it.
    """

    def __init__(self, handle: int | None = None) -> None:
        self._owned = handle is None
        self.handle = handle or kernel.texts_new()
        if not self.handle:
            raise MemoryError
        self._texts = pa.array([], pa.string())
        self._known: list[tuple[pa.StringArray, Codes]] = []  # the last texts that were looked up, and their codes

    def __del__(self) -> None:
        if self._owned:
            kernel.texts_free(self.handle)

    def __len__(self) -> int:
        return int(kernel.texts_count(self.handle))

    @property
    def nbytes(self) -> int:
        """The bytes of all texts."""
        return int(kernel.texts_bytes(self.handle))

    def texts(self) -> pa.StringArray:
        """All texts, by code."""
        if len(self._texts) != len(self):
            self._texts = self._export(None)
        return self._texts

    def sorted_texts(self) -> tuple[pa.StringArray, Codes]:
        """All texts in the order of their bytes, and the place in it of each code."""
        rank = np.empty(len(self), np.int32)
        return self._export(rank), rank

    def codes_of(self, texts: pa.StringArray) -> Codes:
        """The codes of some texts, which are added where they are new. No text may be null.

        The blocks of a file have mostly the same texts, or those of the block before and some more: only these are looked up.
        """
        for i, (before, known) in enumerate(self._known):
            if len(before) and texts[: len(before)].equals(before):
                if len(texts) == len(before):
                    return known
                del self._known[i]
                return self._remembered(texts, np.concatenate([known, self._look_up(texts[len(before) :])]))
        return self._remembered(texts, self._look_up(texts))

    def _remembered(self, texts: pa.StringArray, codes: Codes) -> Codes:
        if texts.nbytes <= _REMEMBERED_BYTES:
            self._known.append((texts, codes))
            del self._known[:-_REMEMBERED]
        return codes

    def _look_up(self, texts: pa.StringArray) -> Codes:
        codes = np.empty(len(texts), np.int32)
        _, offsets, data = texts.buffers()
        if len(texts):
            start = offsets.address + 4 * texts.offset
            state = kernel.texts_codes(self.handle, len(texts), start, data.address if data else None, codes.ctypes.data)
            check(state)
            if state:
                raise ValueError("a text is not UTF-8")
        return codes

    def _export(self, rank: Codes | None) -> pa.StringArray:
        count, size = len(self), self.nbytes
        offsets, data = pa.allocate_buffer(4 * (count + 1)), pa.allocate_buffer(size)
        check(kernel.texts_export(self.handle, offsets.address, data.address, None if rank is None else rank.ctypes.data))
        return pa.Array.from_buffers(pa.string(), count, [None, offsets, data])


def index_of(texts: pa.StringArray, text: str) -> int:
    """The number of the first of some texts that is a given one; -1 if none is. Arrow takes ten times as long to be asked."""
    if not len(texts):  # Arrow may have no memory for them
        return -1
    if texts.null_count:
        return int(texts.index(text).as_py())
    _, offsets, data = texts.buffers()
    wanted, start = text.encode(), offsets.address + 4 * texts.offset
    return int(kernel.texts_index(len(texts), start, data.address if data else None, wanted, len(wanted)))


def address_of(values: pa.Array) -> ctypes.c_void_p:
    """Where the values of an array of numbers, or the indices of one of codes, start. It must have no nulls."""
    _, data = (values.indices if pa.types.is_dictionary(values.type) else values).buffers()[:2]
    return ctypes.c_void_p((data.address if data else 0) + values.offset * (values.type.bit_width // 8))


@dataclass(frozen=True)
class ReadTimes:
    """What texts say of times.

    Attributes:
        clock: What a clock showed, in microseconds since it showed 1970; 0 where the text is no local time.
        is_local: Where the text is one.
        seconds: Since 1970, of numbers; NaN for all other texts.
        others: The texts, not empty, that are neither, or that cannot be read here.
    """

    clock: npt.NDArray[np.int64]
    is_local: npt.NDArray[np.bool_]
    seconds: npt.NDArray[np.float64]
    others: npt.NDArray[np.bool_]


def read_times(texts: pa.StringArray) -> ReadTimes:
    """Reads texts that are local times, or numbers since 1970 (see `syntax.localtimes`)."""
    count = len(texts)
    clock, seconds, kinds = np.empty(count, np.int64), np.empty(count, np.float64), np.empty(count, np.uint8)
    _, offsets, data = texts.buffers()
    if count:
        start = offsets.address + 4 * texts.offset
        kernel.read_times(
            count, start, data.address if data else None, clock.ctypes.data, seconds.ctypes.data, kinds.ctypes.data
        )
    return ReadTimes(clock, kinds == 1, seconds, kinds == 2)
