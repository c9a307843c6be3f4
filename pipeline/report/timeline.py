"""Bytes over time, by app: hour by hour, or in days and weeks where there are many hours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count

import pyarrow as pa
from pyarrow._compute import SetLookupOptions, call_function

from pipeline.hours import HourRange
from pipeline.query.query import Query, each_sum, passing_rows
from pipeline.query.sums import merge
from pipeline.schema import SUMS
from pipeline.store.layout import Locations

#: The most periods that a picture shows: a fortnight in hours, a year in days.
MOST_PERIODS = 372
#: A span of more hours is cut to those that have totals.
_LONGEST_SPAN = MOST_PERIODS * 24
_DAY, _WEEK = 24, 7 * 24
#: The hour 96 begins the first Monday.
_MONDAY = 96
#: A pair of apps in all VPCs together; a pair of `diff` is one in a VPC.
APPS = ("src_app", "dest_app")
_PLACES = ("src_place", "dest_place")


@dataclass(frozen=True)
class Series:
    """Bytes of both directions in each period, by the apps of one side.

    Attributes:
        names: The apps with the most bytes.
        bytes: Of each of these a number for each period.
        other: What all other apps have in each period.
    """

    names: Sequence[str]
    bytes: Sequence[Sequence[int]]
    other: Sequence[int]

    @property
    def totals(self) -> list[int]:
        """What each period has."""
        return [sum(values) for values in zip(*self.bytes, self.other, strict=True)]


@dataclass(frozen=True)
class Timeline:
    """Bytes over time.

    Attributes:
        width: How many hours a period has; the first and the last may have fewer.
        periods: The periods; is_empty: which of them have no totals at all.
        by_source: By source app; by_destination alike.
    """

    width: int
    periods: Sequence[HourRange]
    is_empty: Sequence[bool]
    by_source: Series
    by_destination: Series

    @property
    def unit(self) -> str:
        """What a period is."""
        return {1: "hour", _DAY: "day", _WEEK: "week"}.get(self.width) or f"{self.width // _WEEK} weeks"


class PeriodSums:
    """The sums of some hours by period and pair of apps, a few hours at a time: `period`, the pair, and the sums.

    They are kept where they are few, and read again each time where they are not, so that the memory does not grow with the hours.

    Args:
        store: The store.
        query: The hours, as a range, and the filters.
        width: How many hours a period has.
    """

    def __init__(self, store: Locations, query: Query, width: int) -> None:
        self._read = partial(each_sum, store, query, partial(_sums_of_part, store, query, width))
        self._kept: list[pa.Table] | None = None

    def __iter__(self) -> Iterator[pa.Table]:
        """Taking them may raise StoreDamaged, or SumOverflow where a sum does not fit into int64."""
        if self._kept is not None:
            yield from self._kept
            return
        kept, size = list[pa.Table](), 0
        for part in self._read():
            size += part.nbytes
            if size <= _KEPT_BYTES:
                kept.append(part)
            yield part
        if size <= _KEPT_BYTES:
            self._kept = kept


#: A year of hours of some hundred pairs of apps each; a second reading takes as long as the first.
_KEPT_BYTES = 64 << 20


def _sums_of_part(store: Locations, query: Query, width: int, hours: Sequence[int]) -> pa.Table:
    rows = passing_rows(store, query, hours)
    since_period_0 = call_function("add", [rows.column("hour"), _integer(_ahead(width))])
    rows = rows.append_column("period", call_function("divide", [since_period_0, _integer(width)]))  # as `_number`
    return merge([rows], ("period", *APPS))


def span_and_width(span: HourRange, hours: Sequence[int]) -> tuple[HourRange, int]:
    """Which of some hours a picture shows, those with totals being known, and how many of them a period has."""
    if span.until - span.first > _LONGEST_SPAN and hours:
        span = HourRange(hours[0], hours[-1] + 1)
    return span, _width(span.until - span.first)


def timeline_of(
    parts: Iterable[pa.Table],
    shown: tuple[HourRange, int],
    hours: Sequence[int],
    sources: Sequence[str],
    destinations: Sequence[str],
) -> Timeline:
    """The bytes over time.

    Args:
        parts: What `PeriodSums` gives.
        shown: The hours, and how many of them a period has, as `span_and_width` has it.
        hours: Those that have totals.
        sources: The source apps that are told from all others.
        destinations: The destination apps alike.

    Raises:
        StoreDamaged: A file of the store cannot be read.
        SumOverflow: A sum does not fit into int64.
    """
    span, width = shown
    periods = _periods(span, width)
    first = _number(span.first, width)
    sides = (sources, destinations)
    cells = [[[0] * len(periods) for _ in range(len(names) + 1)] for names in sides]
    found = [_by_places(part, sides) for part in parts]
    for row in merge(found, ("period", *_PLACES), SUMS).to_pylist() if found else ():
        if 0 <= (period := row["period"] - first) < len(periods):  # else a run has added an hour since
            for rows, place in zip(cells, _PLACES, strict=True):
                rows[row[place]][period] += row["bytes_tx"] + row["bytes_rx"]
    filled = {_number(hour, width) - first for hour in hours}
    series = [Series(names, rows[:-1], rows[-1]) for names, rows in zip(sides, cells, strict=True)]
    return Timeline(width, periods, [place not in filled for place in range(len(periods))], *series)


def _by_places(part: pa.Table, sides: Sequence[Sequence[str]]) -> pa.Table:
    columns = {"period": part.column("period")} | dict(zip(_PLACES, places_of_pairs(part, *sides), strict=True))
    columns |= {name: part.column(name) for name in SUMS}
    return merge([pa.table(columns)], ("period", *_PLACES), SUMS)


def _width(hours: int) -> int:
    """How many hours a period has, so that so many hours are not too many periods, the cut ones at the ends among them."""
    widths = chain((1, _DAY), (_WEEK * 2**power for power in count()))
    return next(width for width in widths if -(-hours // width) + (width > 1) <= MOST_PERIODS)


def _periods(span: HourRange, width: int) -> list[HourRange]:
    starts = range(span.first - (span.first - _MONDAY) % width, span.until, width)
    return [HourRange(max(start, span.first), min(start + width, span.until)) for start in starts]


def _number(hour: int, width: int) -> int:
    """The number of the period that an hour is in."""
    return (hour + _ahead(width)) // width


def _ahead(width: int) -> int:
    """How many hours before hour 0 period 0 begins, so that a period begins at `_MONDAY`."""
    return width - _MONDAY % width


def places_of_pairs(rows: pa.Table, sources: Sequence[str], destinations: Sequence[str]) -> Iterator[pa.Array]:
    """For each row the place of its source app among some, and that of its destination app; behind the last for all others.

    Args:
        rows: Their text is dictionary-encoded.
        sources: The source apps.
        destinations: The destination apps.
    """
    for name, apps in (("src_app", sources), ("dest_app", destinations)):
        column = rows.column(name).combine_chunks()
        places = call_function("index_in", [column.dictionary], SetLookupOptions(pa.array(apps, pa.string())))
        places = call_function("coalesce", [places, pa.scalar(len(apps), pa.int32())])
        yield call_function("take", [places, column.indices])


def _integer(number: int) -> pa.Scalar:
    return pa.scalar(number, pa.int64())
