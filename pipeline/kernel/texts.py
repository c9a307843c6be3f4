"""Distinct texts and their codes."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.kernel.library import KernelMemory, check, kernel

Codes = npt.NDArray[np.int32]


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
        """The codes of some texts, which are added where they are new. No text may be null."""
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


def address_of(values: pa.Array) -> ctypes.c_void_p:
    """Where the values of an array of numbers, or the indices of one of codes, start. It must have no nulls."""
    _, data = (values.indices if pa.types.is_dictionary(values.type) else values).buffers()[:2]
    return ctypes.c_void_p((data.address if data else 0) + values.offset * (values.type.bit_width // 8))
