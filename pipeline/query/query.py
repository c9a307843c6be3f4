"""The way back: what the totals of an hour, or of a range of hours, are.

One `Query` value is what the command line, a notebook and the service fill; it is checked once, when it is made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypedDict

import pyarrow as pa

from pipeline.errors import BadQuery
from pipeline.scalars import INT64_MAX, is_utf8
from pipeline.schema import COUNT, KEY, SUMS, TOTALS_SCHEMA
from pipeline.store.layout import Locations
from pipeline.store.partitions import partition_bytes, read_partitions

#: What rows can be sorted by beside their columns: the bytes of both directions.
TOTAL_BYTES = "bytes"
#: The filters, and the columns of which one must have the text.
FILTERS = {"src_app": ("src_app",), "dest_app": ("dest_app",), "vpc_id": ("vpc_id",), "app": ("src_app", "dest_app")}

#: What a filter lets pass: one text, or any of some.
Wanted = str | Sequence[str] | None


class Selection(TypedDict, total=False):
    """The fields of a `Query` that are passed on to it as they are, by whoever takes them as keyword arguments."""

    src_app: Wanted
    dest_app: Wanted
    vpc_id: Wanted
    app: Wanted
    sort: str | None
    top: int | None


@dataclass(frozen=True)
class Query:
    r"""Which totals, and how.

    Attributes:
        hour: The hour, or the first of a range; hours since the epoch.
        until: The hour behind the last of the range; None for one hour.
        src_app: Only this source app, or any of these; `*` stands for any text, `\*` for a `*`. dest_app and vpc_id alike.
        app: Only rows with this app, or any of these, on either side.
        by: The columns of the key to keep; the sums run over the others.
        sort: A column, or "bytes" for the bytes of both directions: sums sort the largest first, the others from the
            smallest. None sorts by the key; with `top`, by "bytes".
        top: How many rows at the most.

    Raises:
        BadQuery: The query cannot be answered.
    """

    hour: int
    until: int | None = None
    src_app: Wanted = None
    dest_app: Wanted = None
    vpc_id: Wanted = None
    app: Wanted = None
    by: tuple[str, ...] = KEY
    sort: str | None = None
    top: int | None = None

    def __post_init__(self) -> None:
        if broken := list(self._broken()):
            raise BadQuery(broken)

    def _broken(self) -> Iterator[tuple[str, str, str]]:
        """The rules that it breaks, as `BadQuery` has them. The service says some of them in other words."""
        if not 0 < self.hour <= INT64_MAX:
            rule = "positive" if self.hour < 1 else "int64"
            yield ("hour", rule, f"the hour {self.hour} must be positive and fit into 64 bits")
        for name in FILTERS:
            if not all(map(is_utf8, self._texts(name) or ())):
                yield (name, "utf8", f"{name} must be valid UTF-8")
        if self.until is not None and self.until <= self.hour:
            rule = "positive" if self.until < 1 else "later"
            told = f"until ({self.until}) must be later than hour ({self.hour}); it is the first hour that is left out"
            yield ("until", rule, told)
        elif self.until is not None and self.until > INT64_MAX:
            yield ("until", "int64", f"until ({self.until}) must fit into 64 bits")
        if unknown := [name for name in self.by if name not in KEY]:
            yield ("by", "known", f"cannot group by {', '.join(unknown)}; the columns are {', '.join(KEY)}")
        if not self.by or len(set(self.by)) < len(self.by):
            yield ("by", "once", "the columns to group by must be one or more, each once")
        if self.sort is not None and self.sort not in (sortable := (*self.by, *SUMS, COUNT, TOTAL_BYTES)):
            yield ("sort", "known", f"cannot sort by {self.sort}; the columns are {', '.join(sortable)}")
        if self.top is not None and self.top < 1:
            yield ("top", "positive", f"top must be at least 1, not {self.top}")

    def _texts(self, name: str) -> tuple[str, ...] | None:
        """The texts of a filter; None if it is not given."""
        wanted: Wanted = getattr(self, name)
        return (wanted,) if isinstance(wanted, str) else wanted if wanted is None else tuple(wanted)

    @property
    def filters(self) -> dict[str, tuple[str, ...]]:
        """The texts of each filter that is given."""
        return {name: texts for name in FILTERS if (texts := self._texts(name)) is not None}


def run_query(store: Locations, query: Query) -> pa.Table:
    """Answers a query.

    Returns:
        The columns `query.by`, then `bytes_tx`, `bytes_rx` and `flows`; sorted, and without rows where nothing is.

    Raises:
        StoreDamaged: A partition cannot be read.
        SumOverflow: A sum over several rows does not fit into int64.
    """
    tables = _read_each(store, query)
    if _is_plain(query):
        return pa.concat_tables([TOTALS_SCHEMA.empty_table(), *tables])  # hour by hour, each in its order
    from pipeline.query.sums import decoded  # imports what a plain hour's answer does without

    if query.by != KEY:
        return decoded(_top(_merge_each(tables, query.by), query))
    found = list(tables)
    return decoded(_top(pa.concat_tables(found), query)) if found else TOTALS_SCHEMA.empty_table()


def _is_plain(query: Query) -> bool:
    """Whether the rows are wanted as they stand. Else their text is dictionary-encoded up to the answer: long names stay few."""
    return query.by == KEY and not query.filters and query.sort is None and query.top is None


#: Files of so many bytes are read, filtered and handed on as one table: what is done for each table takes longer than a
#: small file's rows. Larger files are read one by one, so that a few of them keep all processors busy, and little memory.
_BYTES_AT_ONCE = 1 << 18


def _read_each(store: Locations, query: Query) -> Iterator[pa.Table]:
    """The rows that are asked for, in the order of their hours."""
    parts = list(_parts(store, query))
    read = partial(_read_part, store, query)
    if len(parts) <= 1:
        yield from map(read, parts)
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    from pipeline.counting.resources import processors

    # By these threads and not by Arrow's, as `sums.sort_rows` tells. Only a few tables wait for whoever takes them.
    threads = processors()
    waiting: deque[Future[pa.Table]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for part in parts:
            waiting.append(pool.submit(read, part))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _parts(store: Locations, query: Query) -> Iterator[list[int]]:
    """The hours that are asked for, a few at a time."""
    if query.until is None:
        yield [query.hour]
        return
    part, size = [], 0
    for hour in store.hours_within(query.hour, query.until):
        part.append(hour)
        size += partition_bytes(store, hour)
        if size >= _BYTES_AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part


def _read_part(store: Locations, query: Query, hours: Sequence[int]) -> pa.Table:
    totals = read_partitions(store, hours, encoded=not _is_plain(query))
    rows = totals.num_rows
    if filters := query.filters:
        from pipeline.query.sums import rows_with  # as above

        totals = rows_with(totals, [(FILTERS[name], texts) for name, texts in filters.items()])
    if query.top is not None and query.by == KEY and totals.num_rows > query.top:
        totals = _top(totals, query)  # the answer's rows are among the best of each part
    if totals.num_rows < rows:
        from pipeline.query.sums import with_own_texts  # as above

        return with_own_texts(totals)
    return totals


#: Rows that are gathered before they are merged: each merge has a fixed cost, and a year has 8,760 hours.
_MERGE_ROWS = 1 << 20


def _merge_each(tables: Iterator[pa.Table], by: tuple[str, ...]) -> pa.Table:
    """Merges as the hours come, so that a long range needs little more memory than its answer."""
    from pipeline.query.sums import merge, sort_totals  # as above

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
        from pipeline.query.sums import sort_rows, total_bytes  # as above

        largest_first = sort in (*SUMS, COUNT, TOTAL_BYTES)
        order = [("sort", "descending" if largest_first else "ascending"), *((name, "ascending") for name in query.by)]
        column = total_bytes(totals) if sort == TOTAL_BYTES else totals.column(sort)
        totals = sort_rows(totals.append_column("sort", column), order).drop_columns("sort")
    return totals if query.top is None else totals.slice(0, min(query.top, totals.num_rows))
