"""The first rows of an answer, and what all of its rows add up to: as much as somebody reads, of an answer of any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import pyarrow as pa

from pipeline.query.query import Query, best_rows, each_part, first_rows, is_plain, passing_rows, sum_by
from pipeline.schema import KEY, TOTALS_SCHEMA
from pipeline.store.layout import Locations
from pipeline.store.partitions import read_in_pieces


class Total(NamedTuple):
    """The sums of some rows; they may be beyond 64 bits."""

    bytes_tx: int
    bytes_rx: int
    flows: int

    @property
    def bytes(self) -> int:
        """Both directions together."""
        return self.bytes_tx + self.bytes_rx

    def plus(self, other: Total) -> Total:
        """The sums of these rows and of some others."""
        return Total(*map(sum, zip(self, other, strict=True)))


NOTHING = Total(0, 0, 0)


@dataclass(frozen=True)
class Page:
    """The first rows of an answer.

    Attributes:
        rows: These rows, as `query.run_query` gives them.
        count: How many rows the answer has without `top`.
        total: The sums of all of them.
    """

    rows: pa.Table
    count: int
    total: Total

    @property
    def others(self) -> int:
        """How many rows are not on the page."""
        return self.count - self.rows.num_rows

    @property
    def other(self) -> Total:
        """The sums of the rows that are not on the page: with those that are, they make the total."""
        return Total(*(whole - shown for whole, shown in zip(self.total, total_of_rows(self.rows), strict=True)))


def read_page(store: Locations, query: Query, most: int) -> Page:
    """The first rows of a query's answer, with the sums of all.

    The hours are summed up as they come, in one pass, so that the memory depends on the page and on a few hours.

    Args:
        store: The store.
        query: What is asked; its `top` shortens the page.
        most: The most rows of the page.

    Raises:
        StoreDamaged, SumOverflow: As `query.run_query` does.
    """
    shown = min(most, query.top or most)
    if query.by != KEY:
        from pipeline.query.sums import decoded  # imports what a plain hour's answer does without

        sums = sum_by(store, query)
        return Page(decoded(first_rows(sums, query).slice(0, shown)), sums.num_rows, total_of_rows(sums))
    pages = each_part(store, query, partial(_page_of_part, store, query, shown))
    rows, count, total = TOTALS_SCHEMA.empty_table(), 0, NOTHING
    for page in pages:
        rows = pa.concat_tables([rows, page.rows])
        if query.is_ordered:
            rows = first_rows(rows, replace(query, top=shown))
        rows = rows.slice(0, shown)
        count += page.count
        total = total.plus(page.total)
    return Page(rows, count, total)


def _page_of_part(store: Locations, query: Query, most: int, hours: Sequence[int]) -> Page:
    if is_plain(query) and len(hours) == 1:
        return _page_of_hour(store, hours[0], most)
    found = passing_rows(store, query, hours)
    first = best_rows(found, replace(query, top=most)) if query.is_ordered else found.slice(0, most)
    if not is_plain(query):
        from pipeline.query.sums import decoded  # as above

        first = decoded(first)
    return Page(first, found.num_rows, total_of_rows(found))


#: So many rows of an hour are in memory at once.
_PIECE_ROWS = 65_536


def _page_of_hour(store: Locations, hour: int, most: int) -> Page:
    """The start of an hour as it stands: what is not on the page is summed as it is read."""
    rows, count, total = TOTALS_SCHEMA.empty_table(), 0, NOTHING
    for batch in read_in_pieces(store, hour, _PIECE_ROWS):
        piece = pa.Table.from_batches([batch])
        first = piece.slice(0, most - rows.num_rows)
        if first.num_rows:
            hours = pa.repeat(pa.scalar(hour, pa.int64()), first.num_rows)
            rows = pa.concat_tables([rows, first.replace_schema_metadata(None).add_column(0, "hour", hours)])
        count += piece.num_rows
        total = total.plus(total_of_rows(piece))
    return Page(rows, count, total)


#: So many rows are summed by Python, which needs no library for that.
_FEW_ROWS = 1000


def total_of_rows(rows: pa.Table) -> Total:
    """The sums of some rows."""
    columns = [rows.column(name) for name in Total._fields]
    if rows.num_rows <= _FEW_ROWS:
        return Total(*(sum(column.to_pylist()) for column in columns))
    from pipeline.query.sums import total_of  # as above

    return Total(*map(total_of, columns))
