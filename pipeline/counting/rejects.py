"""Rejected rows, put aside while a source is read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.schema import REJECT_SCHEMA
from pipeline.syntax.batch import Reject

#: What takes more memory than this goes to disk.
_SPOOL_BYTES = 4 << 20
#: The most rows of a batch: a reader has whole batches in memory.
_BATCH_ROWS = 1 << 10


class RejectSpool:
    """Rejects of a source, or of a run, as they come in: in memory as long as they are few, then on disk.

    A source counts whole or not at all, and so do its rejects: they wait in a spool of their own until it was read to
    its end.

    Args:
        folder: Where to write what is too much for the memory.

    Attributes:
        count: How many there are.
        first: The first of them, as a sentence; "" if there is none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[str] = []
        self._in_memory: list[pa.RecordBatch] = []
        self._bytes = 0
        self.count = 0
        self.first = ""

    def add(self, source: str, rejects: Sequence[Reject]) -> None:
        """Takes in some rejects of a source, in any order; the source's next ones come behind them."""
        if not rejects:
            return
        ordered = sorted(rejects, key=lambda reject: reject.row)
        self.first = self.first or f"{source}: {ordered[0]}"
        self.count += len(ordered)
        for start in range(0, len(ordered), _BATCH_ROWS):
            some = ordered[start : start + _BATCH_ROWS]
            columns = zip(*((source, r.row, r.field, r.rule, r.value, r.raw) for r in some), strict=True)
            batch = pa.record_batch([pa.array(list(column)) for column in columns], schema=REJECT_SCHEMA)
            self._hold([batch], batch.nbytes)

    def merge(self, other: RejectSpool) -> None:
        """Takes in all that another has gathered, behind its own; the other must not be used any more."""
        self.first = self.first or other.first
        self.count += other.count
        if other._files:
            self.to_disk()
        self._files += other._files
        self._hold(other._in_memory, other._bytes)

    def to_disk(self) -> None:
        """Writes to disk what is in memory."""
        if self._in_memory:
            descriptor, path = tempfile.mkstemp(".arrow", "rejects-", self._folder)
            os.close(descriptor)
            with pa.ipc.new_stream(path, REJECT_SCHEMA) as writer:
                for batch in self._in_memory:
                    writer.write_batch(batch)
            self._files.append(path)
            self._in_memory, self._bytes = [], 0

    @property
    def paths(self) -> list[str]:
        """The files on disk."""
        return [*self._files]

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return self._bytes

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All of them, in the order in which they came (`schema.REJECT_SCHEMA`)."""
        for path in self._files:
            with pa.OSFile(path) as file:
                yield from pa.ipc.open_stream(file)
        yield from self._in_memory

    def _hold(self, batches: list[pa.RecordBatch], size: int) -> None:
        self._in_memory += batches
        self._bytes += size
        if self._bytes > _SPOOL_BYTES:
            self.to_disk()
