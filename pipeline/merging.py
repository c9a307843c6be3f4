"""Sums of sums by any columns of their key, and orders of rows: what a query needs, in Arrow alone.

A query starts without numpy and without the kernel; `aggregation` has what a run needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import SumOverflow
from pipeline.schema import COUNT, KEY, SUMS, TOTALS_SCHEMA
from pipeline.values import INT64_MAX


def merge(totals: Iterable[pa.Table], by: Sequence[str] = KEY) -> pa.Table:
    """Sums totals by their key. Associative and commutative.

    Args:
        totals: Tables with `schema.TOTALS_SCHEMA`.
        by: The columns of the key that are kept; the sums run over the others.

    Returns:
        One row for each distinct `by`: those columns, and the sums.

    Raises:
        SumOverflow: A sum does not fit into int64.
    """
    summed = (*SUMS, COUNT)
    schema = pa.schema([TOTALS_SCHEMA.field(name) for name in (*by, *summed)])
    table = pa.concat_tables([schema.empty_table(), *(table.select(schema.names) for table in totals)])
    if all(_cannot_wrap(table.column(name)) for name in summed):
        return _group(table, by, summed).cast(schema)
    # Arrow's sum of integers wraps silently; its sum of decimals has room for 2**63 sums of int64.
    for name in summed:
        wide = table.column(name).cast(pa.decimal128(38))
        table = table.set_column(table.column_names.index(name), name, wide)
    grouped = _group(table, by, summed)
    for name in summed:
        _refuse_overflow(grouped, by, name)
    return grouped.cast(schema)


def _group(table: pa.Table, by: Sequence[str], summed: Sequence[str]) -> pa.Table:
    # Threads are used over sources, not within: the sums of small blocks are not worth handing around.
    grouped = table.group_by(list(by), use_threads=False).aggregate([(name, "sum") for name in summed])
    return grouped.rename_columns({f"{name}_sum": name for name in summed}).select([*by, *summed])


def _cannot_wrap(column: pa.ChunkedArray) -> bool:
    """Whether the sum of the whole column, and so of any group, stays far below int64's end.

    No value is negative. A float's rounding (one part in 2**53) is nothing beside the margin.
    """
    total = pc.sum(column.cast(pa.float64(), safe=False)).as_py() or 0.0
    return bool(total < INT64_MAX // 2)


def _refuse_overflow(grouped: pa.Table, by: Sequence[str], name: str) -> None:
    over = pc.greater(grouped.column(name), pa.scalar(INT64_MAX).cast(pa.decimal128(38)))
    if pc.any(over).as_py():
        row = grouped.filter(over).slice(0, 1).to_pylist()[0]
        raise SumOverflow(name, ", ".join(f"{key} {row[key]!r}" for key in by))


def sort_totals(totals: pa.Table, by: Sequence[str] = KEY) -> pa.Table:
    """The rows sorted by their key, text by its UTF-8 bytes: the store's order."""
    return sort_rows(totals, [(name, "ascending") for name in by]).combine_chunks()


def sort_rows(table: pa.Table, order: Sequence[tuple[str, str]]) -> pa.Table:
    """Rows sorted by columns, each "ascending" or "descending".

    Not by `Table.sort_by`: that starts Arrow's pool of threads, as filtering by an expression and Parquet's `pre_buffer` do,
    and of the processes that end right behind it, as a query does, one in a hundred was aborted ("terminate called").
    """
    return table.take(pc.sort_indices(table, list(order)))
