"""Rejected rows: put aside while a source is read, kept by the run that counts it, and shown again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.readers.interface import Batch
from pipeline.schema import REJECT_SCHEMA
from pipeline.store.locations import Locations
from pipeline.store.partitions import read_rejects

_SPOOL_BYTES = 4 << 20

#: What `rejects_by` counts by, and the columns that each stands for.
GROUPINGS = {"run": ("run",), "source": ("source",), "reason": ("field", "rule")}


class RejectSpool:
    """The rejects of one source, in memory as long as they are few, then on disk.

    A source counts whole or not at all, and so do its rejects: they wait here until it was read to its end.

    Args:
        source: The source's path.
        folder: Where to put a temporary file.

    Attributes:
        count: How many there are.
        first: The first of them, as a sentence; "" if there is none.
    """

    def __init__(self, source: str, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None
        self.count = 0
        self.first = ""

    def add(self, batch: Batch) -> None:
        """Takes in a batch's rejects."""
        if not batch.rejects:
            return
        rejects = sorted(batch.rejects, key=lambda reject: reject.row)
        self.first = self.first or f"{self._source}: {rejects[0]}"
        self.count += len(rejects)
        if self._writer is None:
            self._file = tempfile.SpooledTemporaryFile(_SPOOL_BYTES, dir=str(self._folder))  # noqa: SIM115 - until it is garbage
            self._writer = pa.ipc.new_stream(self._file, REJECT_SCHEMA)
        columns = zip(*((self._source, r.row, r.field, r.rule, r.value, r.raw) for r in rejects), strict=True)
        self._writer.write_batch(pa.record_batch([pa.array(list(column)) for column in columns], schema=REJECT_SCHEMA))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All of them, in the order of their rows (`schema.REJECT_SCHEMA`). Nothing can be added behind this."""
        if self._writer is not None and self._file is not None:
            self._writer.close()
            self._file.seek(0)
            yield from pa.ipc.open_stream(self._file)


def find_rejects(store: Locations, run: str | None = None, source: str | None = None, reason: str | None = None) -> pa.Table:
    """The rejected rows of a store, oldest run first.

    Args:
        store: The store.
        run: Only of this run.
        source: Only of sources whose path contains this text.
        reason: Only those whose field or rule contains this text.

    Returns:
        The columns of `schema.REJECT_SCHEMA`, and `run` before them.

    Raises:
        UsageError: There is no such run.
    """
    if run is not None and run not in store.run_ids():
        raise UsageError(f"there is no run {run}; `flowlog runs` lists them")
    tables = [_with_run(read_rejects(store, run_id), run_id) for run_id in ([run] if run else store.runs_with_rejects())]
    table = pa.concat_tables(tables) if tables else _with_run(REJECT_SCHEMA.empty_table(), "")
    if source is not None:
        table = table.filter(pc.match_substring(table.column("source"), source))
    if reason is not None:
        where = pc.binary_join_element_wise(table.column("field"), table.column("rule"), " ")
        table = table.filter(pc.match_substring(where, reason))
    return table


def rejects_by(rejects: pa.Table, grouping: str) -> pa.Table:
    """Counts rejected rows (what `find_rejects` gives) by one of `GROUPINGS`; the most frequent first.

    Returns:
        The grouping's columns, and `rows`.
    """
    columns = GROUPINGS[grouping]
    counted = rejects.group_by(list(columns), use_threads=False).aggregate([([], "count_all")])
    counted = counted.select([*columns, "count_all"]).rename_columns([*columns, "rows"])
    return counted.sort_by([("rows", "descending"), *((name, "ascending") for name in columns)])


def _with_run(rejects: pa.Table, run_id: str) -> pa.Table:
    return rejects.add_column(0, "run", pa.repeat(pa.scalar(run_id, pa.string()), rejects.num_rows))
