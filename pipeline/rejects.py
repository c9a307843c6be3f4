"""Rejected rows: put aside while a source is read, kept by the run that counts it, and shown again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.merging import sort_rows
from pipeline.readers.interface import Reject
from pipeline.schema import REJECT_SCHEMA
from pipeline.store.locations import Locations
from pipeline.store.partitions import read_rejects
from pipeline.values import is_utf8

_SPOOL_BYTES = 4 << 20

#: What `rejects_by` counts by, and the columns that each stands for.
GROUPINGS = {"run": ("run",), "source": ("source",), "reason": ("field", "rule")}


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
        """Takes in some rejects of a source; the source's next ones come behind them."""
        if not rejects:
            return
        ordered = sorted(rejects, key=lambda reject: reject.row)
        self.first = self.first or f"{source}: {ordered[0]}"
        self.count += len(ordered)
        columns = zip(*((source, r.row, r.field, r.rule, r.value, r.raw) for r in ordered), strict=True)
        batch = pa.record_batch([pa.array(list(column)) for column in columns], schema=REJECT_SCHEMA)
        self._hold([batch], batch.nbytes)

    def absorb(self, other: RejectSpool) -> None:
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


def find_rejects(store: Locations, run: str | None = None, source: str | None = None, reason: str | None = None) -> pa.Table:
    """The rejected rows of a store, oldest run first, as one table; see `each_reject`."""
    return pa.concat_tables([_with_run(REJECT_SCHEMA.empty_table(), ""), *each_reject(store, run, source, reason)])


def each_reject(
    store: Locations, run: str | None = None, source: str | None = None, reason: str | None = None
) -> Iterator[pa.Table]:
    """The rejected rows of a store, oldest run first, some thousands at a time.

    Args:
        store: The store.
        run: Only of this run, by its number, with or without the zeros before it.
        source: Only of sources whose path contains this text.
        reason: Only those whose field or rule contains this text.

    Yields:
        The columns of `schema.REJECT_SCHEMA`, and `run` before them.

    Raises:
        UsageError: There is no such run.
        StoreDamaged: A file cannot be read.
    """
    for text in (source, reason):
        if not is_utf8(text or ""):
            raise UsageError("a text to look for must be valid UTF-8")
    for run_id in store.runs_with_rejects() if run is None else [store.find_run(run)]:
        for rejects in read_rejects(store, run_id):
            if (found := _with(rejects, source, reason)).num_rows:
                yield _with_run(found, run_id)


def _with(rejects: pa.Table, source: str | None, reason: str | None) -> pa.Table:
    if source is not None:
        rejects = rejects.filter(pc.match_substring(rejects.column("source"), source))
    if reason is not None:
        where = pc.binary_join_element_wise(rejects.column("field"), rejects.column("rule"), " ")
        rejects = rejects.filter(pc.match_substring(where, reason))
    return rejects


def rejects_by(rejects: Iterable[pa.Table], grouping: str) -> pa.Table:
    """Counts rejected rows (what `each_reject` gives) by one of `GROUPINGS`; the most frequent first.

    Returns:
        The grouping's columns, and `rows`.
    """
    columns = GROUPINGS[grouping]
    schema = pa.schema([*((name, pa.string()) for name in columns), ("rows", pa.int64())])
    counted = schema.empty_table()
    for some in rejects:
        counts = _grouped(some, columns, [([], "count_all")])
        counted = _grouped(pa.concat_tables([counted, counts.rename_columns(schema.names)]), columns, [("rows", "sum")])
        counted = counted.rename_columns(schema.names)
    return sort_rows(counted, [("rows", "descending"), *((name, "ascending") for name in columns)])


def _grouped(table: pa.Table, columns: Sequence[str], sums: list[tuple[str | list[str], str]]) -> pa.Table:
    """The distinct values of some columns, and behind them a sum."""
    grouped = table.group_by(list(columns), use_threads=False).aggregate(sums)
    return grouped.select([*columns, *(name for name in grouped.column_names if name not in columns)])


def _with_run(rejects: pa.Table, run_id: str) -> pa.Table:
    return rejects.add_column(0, "run", pa.repeat(pa.scalar(run_id, pa.string()), rejects.num_rows))
