"""What a report shows, in exact numbers: totals over time, by app, by pair of apps, and what is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
from pyarrow._compute import call_function

from pipeline.errors import StoreError
from pipeline.flowstore import FlowStore
from pipeline.hours import HourRange
from pipeline.query.page import NOTHING, Total, total_of_rows
from pipeline.query.query import Query, Selection, merge_parts, sum_by
from pipeline.query.sums import merge, sort_rows, total_bytes
from pipeline.report.timeline import APPS, PeriodSums, Timeline, places_of_pairs, span_and_width, timeline_of
from pipeline.schema import COUNT, ENCODED_TOTALS_SCHEMA, SUMS, TOTAL_BYTES
from pipeline.store.layout import Locations
from pipeline.store.partitions import hours_with_totals

#: How many apps have an area of their own; how many rows and columns the matrix has; how many pairs the flow shows, and how
#: many names a list.
STACKED, MATRIX, PAIRS, LISTED = 8, 12, 20, 15
#: How often the hours are read until no run has changed them meanwhile.
_LOOKS = 5


@dataclass(frozen=True)
class Ranked:
    """The names with the most bytes, and what all others have: together the total.

    Attributes:
        names: One text for each column that was summed by.
        totals: Of each of these.
        other: The sums of the others; others: how many these are.
    """

    names: Sequence[tuple[str, ...]]
    totals: Sequence[Total]
    other: Total
    others: int


@dataclass(frozen=True)
class Matrix:
    """Bytes of both directions by source app (rows) and destination app (columns).

    Attributes:
        sources: The source apps with the most bytes; destinations alike.
        cells: A row for each source, and a last one for all others; in each a cell for each destination, and a last one.
    """

    sources: Sequence[str]
    destinations: Sequence[str]
    cells: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Span:
    """Some hours.

    Attributes:
        range: Which.
        hours: How many of them have totals.
        total: The sums of all of them.
    """

    range: HourRange
    hours: int
    total: Total

    @property
    def length(self) -> int:
        """How many hours there are, with totals or without."""
        return self.range.until - self.range.first


@dataclass(frozen=True)
class Figures:
    """What a report shows.

    Attributes:
        span: The hours.
        before: As many hours before them, or as many as there can be.
        timeline: Bytes over time.
        sources: The source apps; destinations and pairs (source app, destination app) alike.
        matrix: The pairs of the apps with the most bytes.
        new: The pairs that the hours before did not have.
        known: Where the hours have no totals: the hours from the store's first to its last that have some, if there are any.
    """

    span: Span
    before: Span
    timeline: Timeline
    sources: Ranked
    destinations: Ranked
    pairs: Ranked
    matrix: Matrix
    new: Ranked
    known: HourRange | None


def figures_of(store: FlowStore, span: HourRange, selection: Selection | None = None) -> Figures:
    """Reads what a report shows of some hours.

    The hours are read once, and again where their sums are too many to keep; then all over where a run has changed them in between.
    Memory grows with the number of pairs of apps, not with the number of hours.

    Args:
        store: The store.
        span: The hours.
        selection: Which rows count, as `query.Query` has it; None for all.

    Raises:
        StoreDamaged: A file of the store cannot be read.
        StoreError: Runs change the hours all the time.
        SumOverflow: A sum does not fit into int64.
    """
    chosen: Selection = selection or {}
    for _ in range(_LOOKS):
        figures = _read(store.locations, span, chosen)
        if sum(figures.timeline.by_source.totals) == figures.span.total.bytes:
            return figures
    raise StoreError(f"runs change the store {store.locations.root} all the time while it is read; try again later")


def _read(store: Locations, span: HourRange, selection: Selection) -> Figures:
    query = Query(span.first, span.until, by=("hour", *APPS), **selection)  # which says what is wrong with the hours
    before = hours_before(span)
    hours = hours_with_totals(store, span)
    shown = span_and_width(span, hours)
    sums = PeriodSums(store, query, shown[1])
    pairs = merge_parts(chain([ENCODED_TOTALS_SCHEMA.empty_table()], sums), APPS)
    earlier = _pairs(store, before, selection)
    sources, destinations = ranked(pairs, APPS[:1], LISTED), ranked(pairs, APPS[1:], LISTED)
    stacked = [[name for (name,) in side.names[:STACKED]] for side in (sources, destinations)]
    return Figures(
        span=Span(span, len(hours), total_of_rows(pairs)),
        before=Span(before, len(hours_with_totals(store, before)), total_of_rows(earlier)),
        timeline=timeline_of(sums, shown, hours, *stacked),
        sources=sources,
        destinations=destinations,
        pairs=ranked(pairs, APPS, PAIRS),
        matrix=_matrix(pairs, *([name for (name,) in side.names[:MATRIX]] for side in (sources, destinations))),
        new=ranked(_without(pairs, earlier), APPS, LISTED),
        known=None if hours else _known(store),
    )


def hours_before(span: HourRange) -> HourRange:
    """As many hours before some, or as many as there can be."""
    return HourRange(max(1, 2 * span.first - span.until), span.first)


def _known(store: Locations) -> HourRange | None:
    hours = store.hours()
    return HourRange(hours[0], hours[-1] + 1) if hours else None


def _pairs(store: Locations, span: HourRange, selection: Selection) -> pa.Table:
    """The sums by pair of some hours; of none, no rows."""
    some = HourRange(span.first, span.first + 1) if span.first == span.until else span
    pairs = sum_by(store, Query(some.first, some.until, by=APPS, **selection))
    return pairs if some == span else pairs.slice(0, 0)


def ranked(rows: pa.Table, by: Sequence[str], most: int) -> Ranked:
    """The names with the most bytes among rows that have at least the columns `by` and the sums."""
    sums = merge([rows], by)
    order = [(TOTAL_BYTES, "descending"), *((name, "ascending") for name in by)]
    sums = sort_rows(sums.append_column(TOTAL_BYTES, total_bytes(sums)), order)
    shown = sums.slice(0, most).to_pylist()
    return Ranked(
        names=[tuple(row[name] for name in by) for row in shown],
        totals=[Total(*(row[name] for name in Total._fields)) for row in shown],
        other=total_of_rows(sums.slice(most)) if sums.num_rows > most else NOTHING,
        others=max(0, sums.num_rows - most),
    )


def _matrix(pairs: pa.Table, sources: Sequence[str], destinations: Sequence[str]) -> Matrix:
    places = dict(zip(("row", "column"), places_of_pairs(pairs, sources, destinations), strict=True))
    cells = [[0] * (len(destinations) + 1) for _ in range(len(sources) + 1)]
    table = pa.table(places | {name: pairs.column(name) for name in SUMS})
    for cell in merge([table], ("row", "column"), SUMS).to_pylist():
        cells[cell["row"]][cell["column"]] = cell["bytes_tx"] + cell["bytes_rx"]
    return Matrix(sources, destinations, cells)


def _without(pairs: pa.Table, known: pa.Table) -> pa.Table:
    """The pairs that are not among the known ones, with their sums."""
    nothing, one = (pa.repeat(pa.scalar(number, pa.int64()), known.num_rows) for number in (0, 1))
    marks = known.select(APPS)
    for name in (*SUMS, COUNT):
        marks = marks.append_column(name, nothing)
    marks = marks.append_column("marks", one)
    marked = pairs.append_column("marks", pa.repeat(pa.scalar(0, pa.int64()), pairs.num_rows))
    both = merge([marked, marks], APPS, (*SUMS, COUNT, "marks"))
    return call_function("filter", [both, call_function("equal", [both.column("marks"), pa.scalar(0, pa.int64())])])
