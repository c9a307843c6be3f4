"""A large object as a file: read by ranges, the next ones ahead.

A Parquet file is read from its start to its end, where it is held against its digest, and its columns here and there. So what was
read of one goes to disk, in a file without a name, and is not asked for again.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import BinaryIO, cast

from pipeline.syntax.seekable import SeekableBytes

_BLOCK = 1 << 22
#: So many blocks are on their way while the one before them is read in order, and so many are in memory at the most.
_AHEAD, _BLOCKS = 2, 4
_PARQUET = b"PAR1"


def nameless_file() -> BinaryIO:
    """A new file of this machine, which is gone once nobody has it open."""
    from tempfile import TemporaryFile  # which files do without

    return cast("BinaryIO", TemporaryFile(prefix="flowlog-", buffering=0))


class RangedFile(SeekableBytes):
    """Bytes that are elsewhere, as a seekable file.

    Args:
        first: The first bytes.
        size: How many bytes there are.
        read_range: Gives the bytes from one place on and before another; whatever it raises, a read raises.
    """

    def __init__(self, first: bytes, size: int, read_range: Callable[[int, int], bytes]) -> None:
        super().__init__(size)
        self._first, self._read_range = first, read_range
        self._blocks = OrderedDict[int, Future[bytes]]()  # by their numbers; the one that was used last is the last
        self._kept: BinaryIO | None = None
        self._kept_blocks: set[int] = set()
        self._threads = ThreadPoolExecutor(_AHEAD + 1, thread_name_prefix="range")  # none starts before it is needed

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._position + size, self._size)
        pieces = []
        while self._position < stop:
            pieces.append(self._piece(self._position, stop))
            self._position += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._blocks.clear()
        if self._kept:
            self._kept.close()
        super().close()

    def _piece(self, position: int, stop: int) -> bytes:
        """Some bytes from a place on, and before another."""
        if position < len(self._first):
            return self._first[position:stop]
        number = position // _BLOCK
        if self._kept and number in self._kept_blocks:
            return os.pread(self._kept.fileno(), min(stop, self._start_of(number + 1)) - position, position)
        start = self._start_of(number)
        return self._block(number)[position - start : stop - start]

    def _block(self, number: int) -> bytes:
        in_order = not number or number - 1 in self._blocks
        for asked in range(number, min(number + _AHEAD if in_order else number, (self._size - 1) // _BLOCK) + 1):
            if asked not in self._blocks and asked not in self._kept_blocks:
                self._blocks[asked] = self._threads.submit(
                    self._read_range, self._start_of(asked), self._start_of(asked + 1)
                )
        block = self._blocks[number]
        self._blocks.move_to_end(number)
        while len(self._blocks) > _BLOCKS:
            self._put_aside(*self._blocks.popitem(last=False))
        return block.result()

    def _put_aside(self, number: int, block: Future[bytes]) -> None:
        if block.cancel() or not self._first.startswith(_PARQUET):
            return
        with suppress(OSError):  # the disk is full
            self._kept = self._kept or nameless_file()
            if os.pwrite(self._kept.fileno(), data := block.result(), self._start_of(number)) == len(data):
                self._kept_blocks.add(number)

    def _start_of(self, number: int) -> int:
        return min(max(number * _BLOCK, len(self._first)), self._size)
