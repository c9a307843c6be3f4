"""Rejected rows, chosen and counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.query.sums import sort_rows
from pipeline.scalars import is_utf8
from pipeline.schema import REJECT_SCHEMA
from pipeline.store.layout import Locations
from pipeline.store.rejectfile import read_rejects

#: What `rejects_by` counts by, and the columns that each stands for.
GROUPINGS = {"run": ("run",), "source": ("source",), "reason": ("field", "rule")}


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
