"""A seekable file of bytes that are no file of this machine."""

from __future__ import annotations

import io
from typing import BinaryIO

from pipeline.syntax.stream import ReadStream


class SeekableBytes(ReadStream):
    """Knows where it is; what is read from there is up to its subclasses.

    Args:
        size: How many bytes there are.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._position = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(origin + offset, 0)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Reads so many bytes, or fewer at the end; all that are left if `size` is negative or None."""
        raise NotImplementedError


class BytesInMemory(SeekableBytes):
    """Bytes that are in memory; `io.BytesIO` would copy them first."""

    def __init__(self, content: bytearray) -> None:
        super().__init__(len(content))
        self._content = memoryview(content)

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else self._position + size
        data = bytes(self._content[self._position : stop])
        self._position += len(data)
        return data


def is_in_memory(stream: BinaryIO) -> bool:
    """Whether a stream, or that which it watches (`watched`), is `BytesInMemory`."""
    return isinstance(getattr(stream, "watched", stream), BytesInMemory)
