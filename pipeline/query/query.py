"""The way back: what the totals of an hour, or of a range of hours, are.

One `Query` value is what the command line, a notebook and the service fill; it is checked once, when it is made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypedDict, TypeVar

import pyarrow as pa

from pipeline.errors import BadQuery
from pipeline.hours import HourRange
from pipeline.scalars import INT64_MAX, is_utf8
from pipeline.schema import COUNT, ENCODED_TOTALS_SCHEMA, KEY, PARTITION_ORDER, SUMS, TOTAL_BYTES, TOTALS_SCHEMA
from pipeline.store.layout import Locations
from pipeline.store.partitions import read_partitions, read_sums, sizes_of_partitions

#: What rows can be summed by: the columns of the key, and the periods that an hour is in.
_PERIODS = ("day", "month")
GROUPINGS = (*KEY, *_PERIODS)
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
        by: The columns of the key to keep; the sums run over the others. "day" and "month" are texts, as `2026-11-24` and
            `2026-11`, in UTC.
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
        for name in FILTERS:  # an iterator gives its texts once, and a filter is asked for them more often
            if not isinstance(wanted := getattr(self, name), str | None):
                object.__setattr__(self, name, tuple(wanted))
        if broken := list(self._broken()):
            raise BadQuery(broken)

    def _broken(self) -> Iterator[tuple[str, str, str]]:
        """The rules that it breaks, as `BadQuery` has them. The service says some of them in other words."""
        if not 0 < self.hour <= INT64_MAX:
            rule = "positive" if self.hour < 1 else "int64"
            yield ("hour", rule, f"the hour {self.hour} must be positive and fit into 64 bits")
        yield from self._broken_filters()
        if self.until is not None and self.until <= self.hour:
            rule = "positive" if self.until < 1 else "later"
            told = f"until ({self.until}) must be later than hour ({self.hour}); it is the first hour that is left out"
            yield ("until", rule, told)
        elif self.until is not None and self.until > INT64_MAX:
            yield ("until", "int64", f"until ({self.until}) must fit into 64 bits")
        if unknown := [name for name in self.by if name not in GROUPINGS]:
            yield ("by", "known", f"cannot group by {', '.join(unknown)}; the columns are {', '.join(GROUPINGS)}")
        if not self.by or len(set(self.by)) < len(self.by):
            yield ("by", "once", "the columns to group by must be one or more, each once")
        if self.sort is not None and self.sort not in (sortable := (*self.by, *SUMS, COUNT, TOTAL_BYTES)):
            yield ("sort", "known", f"cannot sort by {self.sort}; the columns are {', '.join(sortable)}")
        if self.top is not None and self.top < 1:
            yield ("top", "positive", f"top must be at least 1, not {self.top}")

    def _broken_filters(self) -> Iterator[tuple[str, str, str]]:
        for name in FILTERS:
            texts = self._texts(name) or ()
            if not all(isinstance(text, str) for text in texts):
                yield (name, "text", f"{name} must be a text, or several")
            elif not all(map(is_utf8, texts)):
                yield (name, "utf8", f"{name} must be valid UTF-8")

    def _texts(self, name: str) -> tuple[str, ...] | None:
        """The texts of a filter; None if it is not given."""
        wanted = getattr(self, name)
        return (wanted,) if isinstance(wanted, str) else wanted

    @property
    def is_ordered(self) -> bool:
        """Whether the rows are sorted otherwise than by their key."""
        return self.sort is not None or self.top is not None

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
    return pa.concat_tables(each_table(store, query))


def each_table(store: Locations, query: Query) -> Iterator[pa.Table]:
    """The same as several tables, one at the least. Rows that need no sorting come as they are read, in bounded memory."""
    if query.by == KEY and not query.is_ordered:
        yield TOTALS_SCHEMA.empty_table()
        for part in each_part(store, query, partial(passing_rows, store, query)):  # hour by hour, each in its order
            yield _decoded(part, query)
    elif query.by == KEY:
        found = list(each_part(store, query, partial(_read_part, store, query)))
        yield _decoded(first_rows(pa.concat_tables(found), query), query) if found else TOTALS_SCHEMA.empty_table()
    else:
        yield _decoded(first_rows(sum_by(store, query), query), query)


def _decoded(rows: pa.Table, query: Query) -> pa.Table:
    if is_plain(query):
        return rows
    from pipeline.query.sums import decoded  # imports what a plain hour's answer does without

    return decoded(rows)


def is_plain(query: Query) -> bool:
    """Whether the rows are wanted as they stand. Else their text is dictionary-encoded up to the answer: long names stay few."""
    return query.by == KEY and not query.filters and not query.is_ordered


#: Files of so many bytes are read, filtered and handed on as one table: what is done for each table takes longer than a
#: small file's rows. Larger files are read one by one, so that a few of them keep all processors busy, and little memory.
_BYTES_AT_ONCE = 1 << 18

#: Where files wait for answers, a part has so many, one behind the other.
_FETCHED_AT_ONCE = 8
#: And parts of so many bytes together are fetched at once.
_WAITING_BYTES = 1 << 24

Part = TypeVar("Part")


def each_part(store: Locations, query: Query, read: Callable[[Sequence[int]], Part]) -> Iterator[Part]:
    """Reads the hours that are asked for, a few at a time, by several threads.

    Args:
        store: The store.
        query: Which hours.
        read: Makes a part of the answer of some hours, as `passing_rows` does.

    Yields:
        The parts in the order of their hours. Only a few of them wait for whoever takes them.
    """
    yield from _by_threads(store, *_parts(store, query), read)


#: From so many parts on with so many hours each, copies of this process make sums of them sooner than threads: of small files most of
#: the time goes to what has Python's lock, or will have it in a few microseconds.
_WORTH_PARTS, _WORTH_HOURS = 6, 8


def each_sum(store: Locations, query: Query, read: Callable[[Sequence[int]], Part]) -> Iterator[Part]:
    """What `each_part` gives, where parts are far smaller than their rows, so that they may come from copies of this process."""
    parts, largest = _parts(store, query)
    are_small = len(parts) >= _WORTH_PARTS and sum(map(len, parts)) >= _WORTH_HOURS * len(parts)
    if are_small and store.files.threads is None:
        from pipeline.counting.resources import processors  # what a few hours do without
        from pipeline.forks import each_in_copies, may_copy

        if may_copy():
            yield from each_in_copies(read, parts, processors())
            return
    yield from _by_threads(store, parts, largest, read)


def _by_threads(
    store: Locations, parts: Sequence[Sequence[int]], largest: int, read: Callable[[Sequence[int]], Part]
) -> Iterator[Part]:
    if len(parts) <= 1:
        yield from map(read, parts)
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    from pipeline.counting.resources import processors

    # By these threads and not by Arrow's, as `sums.sort_rows` tells.
    threads = max(processors(), min(store.files.threads or 1, _WAITING_BYTES // largest))
    waiting: deque[Future[Part]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for part in parts:
            waiting.append(pool.submit(read, part))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _parts(store: Locations, query: Query) -> tuple[list[list[int]], int]:
    """The hours that are asked for, a few at a time, and the bytes of the largest part's files."""
    if query.until is None or query.until == query.hour + 1:
        return [[query.hour]], _BYTES_AT_ONCE
    parts: list[list[int]] = [[]]
    size, largest = 0, _BYTES_AT_ONCE
    for hour, file_bytes in sizes_of_partitions(store, HourRange(query.hour, query.until)):
        if size >= _BYTES_AT_ONCE or (store.is_listed and len(parts[-1]) == _FETCHED_AT_ONCE):
            parts.append([])
            size = 0
        parts[-1].append(hour)
        size += file_bytes
        largest = max(largest, size)
    return [part for part in parts if part], largest


def passing_rows(store: Locations, query: Query, hours: Sequence[int]) -> pa.Table:
    """The rows of some hours that pass the query's filters, in the store's order, with the columns that it needs; text
    dictionary-encoded if it is not plain. Where it needs no text, some rows may stand there as one.
    """
    columns = {*query.by, *SUMS, COUNT, *(column for name in query.filters for column in FILTERS[name])}
    if columns.isdisjoint(PARTITION_ORDER):
        return read_sums(store, hours)
    totals = read_partitions(store, hours, encoded=not is_plain(query), columns=columns)
    if filters := query.filters:
        from pipeline.query.sums import rows_with, with_own_texts  # as above

        rows = totals.num_rows
        totals = rows_with(totals, [(FILTERS[name], texts) for name, texts in filters.items()])
        return with_own_texts(totals) if totals.num_rows < rows else totals
    return totals


def _read_part(store: Locations, query: Query, hours: Sequence[int]) -> pa.Table:
    return best_rows(passing_rows(store, query, hours), query)


def best_rows(totals: pa.Table, query: Query) -> pa.Table:
    """The rows of a part of which those of the answer are some."""
    if query.top is None or totals.num_rows <= query.top:
        return totals
    from pipeline.query.sums import with_own_texts  # as above

    return with_own_texts(first_rows(totals, query))


#: Rows that are gathered before they are merged: each merge has a fixed cost, and a year has 8,760 hours.
_MERGE_ROWS = 1 << 20


def sum_by(store: Locations, query: Query) -> pa.Table:
    """The sums by `query.by` of the rows that pass the filters, sorted by these columns; text is dictionary-encoded.

    The hours are merged as they come, so that a long range needs little more memory than its answer.

    Raises:
        StoreDamaged, SumOverflow: As `run_query` does.
    """
    from pipeline.query.sums import sort_totals  # as above

    none = _by_columns(ENCODED_TOTALS_SCHEMA.empty_table(), query)
    parts = each_sum(store, query, partial(_sums_of_part, store, query))
    return sort_totals(merge_parts(chain([none], parts), query.by), query.by)


def _sums_of_part(store: Locations, query: Query, hours: Sequence[int]) -> pa.Table:
    from pipeline.query.sums import merge  # as above

    rows = _by_columns(passing_rows(store, query, hours), query)
    return rows if len(hours) == 1 else merge([rows], query.by)  # a large hour is merged once, with the others


def _by_columns(rows: pa.Table, query: Query) -> pa.Table:
    """Rows with the columns that the query sums by, and those that are summed."""
    from pipeline.query.sums import with_periods  # as above

    return with_periods(rows, [name for name in _PERIODS if name in query.by]).select([*query.by, *SUMS, COUNT])


def merge_parts(parts: Iterable[pa.Table], by: Sequence[str]) -> pa.Table:
    """What `sums.merge` gives of one part or more, which are merged as they come; raises what that raises."""
    from pipeline.query.sums import merge  # as above

    gathered: list[pa.Table] = []
    rows = 0
    for part in parts:
        gathered.append(part)
        rows += part.num_rows
        if rows > _MERGE_ROWS:
            gathered = [merge(gathered, by)]
            rows = 0
    return merge(gathered, by)


def first_rows(totals: pa.Table, query: Query) -> pa.Table:
    """The rows in the query's order, and the first of them if it wants no more."""
    if query.is_ordered:
        from pipeline.query.sums import sort_rows, total_bytes  # as above

        sort = TOTAL_BYTES if query.sort is None else query.sort
        largest_first = sort in (*SUMS, COUNT, TOTAL_BYTES)
        order = [("sort", "descending" if largest_first else "ascending"), *((name, "ascending") for name in query.by)]
        column = total_bytes(totals) if sort == TOTAL_BYTES else totals.column(sort)
        totals = sort_rows(totals.append_column("sort", column), order).drop_columns("sort")
    return totals if query.top is None else totals.slice(0, min(query.top, totals.num_rows))
