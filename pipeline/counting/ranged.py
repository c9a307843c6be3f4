"""A large object as a file: read by ranges, the next ones ahead."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_BLOCK = 1 << 22
#: So many blocks are on their way while the one before them is read in order, and so many are in memory at the most. A Parquet
#: reader goes back and forth among the columns of a row group.
_AHEAD, _BLOCKS = 2, 4


class RangedFile(io.RawIOBase):
    """Bytes that are elsewhere, as a seekable file.

    Args:
        first: The first bytes.
        size: How many bytes there are.
        read_range: Gives the bytes from one place on and before another; whatever it raises, a read raises.
    """

    def __init__(self, first: bytes, size: int, read_range: Callable[[int, int], bytes]) -> None:
        self._first, self._size, self._read_range = first, size, read_range
        self._position = 0
        self._blocks = OrderedDict[int, Future[bytes]]()  # by their numbers; the one that was used last is the last
        self._threads = ThreadPoolExecutor(_AHEAD + 1, thread_name_prefix="range")  # none starts before it is needed

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(origin + offset, 0)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._position + size, self._size)
        pieces = []
        while self._position < stop:
            start, data = self._around(self._position)
            pieces.append(data[self._position - start : stop - start])
            self._position += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._blocks.clear()
        super().close()

    def _around(self, position: int) -> tuple[int, bytes]:
        """Bytes around a place, and where they start."""
        if position < len(self._first):
            return 0, self._first
        number = position // _BLOCK
        in_order = not number or number - 1 in self._blocks
        for asked in range(number, min(number + _AHEAD if in_order else number, (self._size - 1) // _BLOCK) + 1):
            if asked not in self._blocks:
                self._blocks[asked] = self._threads.submit(
                    self._read_range, self._start_of(asked), self._start_of(asked + 1)
                )
        block = self._blocks[number]
        self._blocks.move_to_end(number)
        while len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)[1].cancel()
        return self._start_of(number), block.result()

    def _start_of(self, number: int) -> int:
        return min(max(number * _BLOCK, len(self._first)), self._size)
