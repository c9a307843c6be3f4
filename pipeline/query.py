"""The way back: what the totals of an hour, or of a range of hours, are.

One `Query` value is what the command line, a notebook and the service fill; it is checked once, when it is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.schema import COUNT, KEY, SUMS, TOTALS_SCHEMA
from pipeline.store.locations import Locations
from pipeline.store.partitions import read_partition
from pipeline.values import INT64_MAX, is_utf8

#: What rows can be sorted by beside their columns: the bytes of both directions.
TOTAL_BYTES = "bytes"


@dataclass(frozen=True)
class Query:
    """Which totals, and how.

    Attributes:
        hour: The hour, or the first of a range; hours since the epoch.
        until: The hour behind the last of the range; None for one hour.
        src_app: Only this source app; dest_app and vpc_id alike.
        by: The columns of the key to keep; the sums run over the others.
        sort: A column, or "bytes" for the bytes of both directions: sums sort the largest first, the others from the
            smallest. None sorts by the key; with `top`, by "bytes".
        top: How many rows at the most.

    Raises:
        UsageError: It cannot be answered; the message lists all that is wrong.
    """

    hour: int
    until: int | None = None
    src_app: str | None = None
    dest_app: str | None = None
    vpc_id: str | None = None
    by: tuple[str, ...] = KEY
    sort: str | None = None
    top: int | None = None

    def __post_init__(self) -> None:
        if complaints := list(self._complaints()):
            raise UsageError("; ".join(complaints))

    def _complaints(self) -> Iterator[str]:
        if not 0 < self.hour <= INT64_MAX:
            yield f"the hour {self.hour} must be positive and fit into 64 bits"
        for name in ("src_app", "dest_app", "vpc_id"):
            if not is_utf8(getattr(self, name) or ""):
                yield f"{name} must be valid UTF-8"
        if self.until is not None and self.until <= self.hour:
            yield f"until ({self.until}) must be later than hour ({self.hour}); it is the first hour that is left out"
        if unknown := [name for name in self.by if name not in KEY]:
            yield f"cannot group by {', '.join(unknown)}; the columns are {', '.join(KEY)}"
        if not self.by or len(set(self.by)) < len(self.by):
            yield "the columns to group by must be one or more, each once"
        if self.sort is not None and self.sort not in (sortable := (*self.by, *SUMS, COUNT, TOTAL_BYTES)):
            yield f"cannot sort by {self.sort}; the columns are {', '.join(sortable)}"
        if self.top is not None and self.top < 1:
            yield f"top must be at least 1, not {self.top}"


def run_query(store: Locations, query: Query) -> pa.Table:
    """Answers a query.

    Returns:
        The columns `query.by`, then `bytes_tx`, `bytes_rx` and `flows`; sorted, and without rows where nothing is.

    Raises:
        StoreDamaged: A partition cannot be read.
        SumOverflow: A sum over several rows does not fit into int64.
    """
    tables = _read_each(store, query)
    if query.by != KEY:
        return _top(_merge_each(tables, query.by), query)
    return _top(pa.concat_tables([TOTALS_SCHEMA.empty_table(), *tables]), query)  # hour by hour, each in its order


#: So many hours are read at a time, by several threads; not by Arrow's, as `merging.sort_rows` tells.
_HOURS_AT_ONCE = 64


def _read_each(store: Locations, query: Query) -> Iterator[pa.Table]:
    """The rows of each hour that are asked for."""

    def read(hour: int) -> pa.Table:
        return _filtered(read_partition(store, hour), query)

    hours = _hours(store, query)
    if len(hours) == 1:
        yield read(hours[0])
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(hours), _HOURS_AT_ONCE):
            yield from pool.map(read, hours[start : start + _HOURS_AT_ONCE])


def _hours(store: Locations, query: Query) -> Sequence[int]:
    if query.until is None:
        return [query.hour]
    return [hour for hour in store.hours() if query.hour <= hour < query.until]


def _filtered(totals: pa.Table, query: Query) -> pa.Table:
    wanted = {"src_app": query.src_app, "dest_app": query.dest_app, "vpc_id": query.vpc_id}
    given = {name: value for name, value in wanted.items() if value is not None}
    if not given:
        return totals
    import pyarrow.compute as pc  # its import takes as long as all else that a plain hour's answer needs

    return totals.filter(reduce(pc.and_, (pc.equal(totals.column(name), value) for name, value in given.items())))


#: Rows that are gathered before they are merged: each merge has a fixed cost, and a year has 8,760 hours.
_MERGE_ROWS = 1 << 20


def _merge_each(tables: Iterator[pa.Table], by: tuple[str, ...]) -> pa.Table:
    """Merges as the hours come, so that a long range needs little more memory than its answer."""
    from pipeline.merging import merge, sort_totals  # imports pyarrow.compute

    gathered: list[pa.Table] = []
    rows = 0
    for table in tables:
        gathered.append(table.select([*by, *SUMS, COUNT]))
        rows += table.num_rows
        if rows > _MERGE_ROWS:
            gathered = [merge(gathered, by)]
            rows = 0
    return sort_totals(merge(gathered, by), by)


def _top(totals: pa.Table, query: Query) -> pa.Table:
    sort = query.sort or (TOTAL_BYTES if query.top is not None else None)
    if sort is not None:
        from pipeline.merging import sort_rows  # imports pyarrow.compute

        largest_first = sort in (*SUMS, COUNT, TOTAL_BYTES)
        order = [("sort", "descending" if largest_first else "ascending"), *((name, "ascending") for name in query.by)]
        column = _total_bytes(totals) if sort == TOTAL_BYTES else totals.column(sort)
        totals = sort_rows(totals.append_column("sort", column), order).drop_columns("sort")
    return totals if query.top is None else totals.slice(0, min(query.top, totals.num_rows))


def _total_bytes(totals: pa.Table) -> pa.ChunkedArray:
    """Both directions together, in a type that has room for two sums of int64."""
    import pyarrow.compute as pc

    tx, rx = (totals.column(name).cast(pa.decimal128(19)) for name in SUMS)
    return pc.add(tx, rx)
