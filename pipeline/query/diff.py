"""What changed between two spans of hours: pairs of apps that are new, pairs that vanished, pairs whose bytes stepped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
from pyarrow._compute import CastOptions, call_function

from pipeline.errors import UsageError
from pipeline.hours import HourRange
from pipeline.query.query import Query, sum_by
from pipeline.query.sums import bytes_of, decoded, merge, sort_rows, total_of
from pipeline.scalars import INT64_MAX
from pipeline.schema import KEY
from pipeline.store.layout import Locations
from pipeline.store.partitions import hours_with_totals

#: Who talks to whom, and in which VPC: what is compared.
PAIR = KEY[1:]
NEW, VANISHED, STEPPED = "new", "vanished", "stepped"
#: In which span a pair is, as a number to be summed.
_IN_BEFORE, _IN_AFTER = 1, 2


@dataclass(frozen=True)
class Span:
    """The hours of one side of a comparison.

    Attributes:
        ranges: The hours that are meant.
        hours: How many of them have totals.
    """

    ranges: tuple[HourRange, ...]
    hours: int

    def __str__(self) -> str:
        return " and ".join(map(str, self.ranges))


class PairBytes(NamedTuple):
    """The bytes of some pairs in both spans, in both directions together; in bytes an hour where a `Difference` says so."""

    before: int
    after: int

    @property
    def change(self) -> int:
        """By how much they grew."""
        return self.after - self.before


@dataclass(frozen=True)
class Difference:
    """What changed between two spans.

    Attributes:
        before: The span that comes first.
        after: The span that is compared with it.
        changes: `kind` ("new", "vanished" or "stepped"), the columns of `PAIR`, `before`, `after` and `change` in bytes; the
            largest change first.
        pairs: How many pairs there are in either span.
        total: The bytes of all pairs.
    """

    before: Span
    after: Span
    changes: pa.Table
    pairs: int
    total: PairBytes

    @property
    def per_hour(self) -> bool:
        """Whether all figures are bytes an hour, since the spans have totals for different numbers of hours."""
        return self.before.hours != self.after.hours

    def other_than(self, changes: pa.Table) -> PairBytes:
        """The bytes of all pairs but those of some rows of `changes`: with theirs, they make the total."""
        return PairBytes(*(whole - total_of(changes.column(name)) for name, whole in self.total._asdict().items()))

    def count(self, kind: str) -> int:
        """How many changes are of a kind."""
        return int(
            call_function("sum", [call_function("equal", [self.changes.column("kind"), pa.scalar(kind)])]).as_py() or 0
        )


def diff(store: Locations, before: HourRange, after: HourRange, min_bytes: int = 0, factor: float = 2.0) -> Difference:
    """Compares two spans of hours.

    What both spans have belongs to `after` alone. If one has totals for more hours than the other, the bytes of both are
    divided by these numbers of hours, and rounded; else they are exact.

    Args:
        store: The store.
        before: The hours to compare with.
        after: The hours that are compared.
        min_bytes: Smaller changes are left to the others.
        factor: A pair that is in both spans stepped if its bytes are so many times as many in the one as in the other.

    Raises:
        UsageError: A span has no totals, so that everything would be new, or nothing.
        StoreDamaged, SumOverflow: As `query.run_query` does.
    """
    if not factor >= 1 or math.isinf(factor):
        raise UsageError(f"the factor must be a number from 1 on, not {factor}")
    if min_bytes < 0:
        raise UsageError(f"the least change must not be negative: {min_bytes}")
    if not (ranges := before.without(after)):
        raise UsageError(f"nothing is left to compare with: the hours {before} are all among {after}")
    spans = [_span(store, ranges), _span(store, (after,))]
    sides = [_side(store, span, place) for place, span in enumerate(spans)]
    both = merge(sides, PAIR, ("before", "after", "seen"))
    total = PairBytes(*(total_of(both.column(name)) for name in PairBytes._fields))
    if spans[0].hours != spans[1].hours:
        for name, span in zip(PairBytes._fields, spans, strict=True):
            both = both.set_column(both.column_names.index(name), name, _per_hour(both.column(name), span.hours))
        total = PairBytes(*((2 * whole + span.hours) // (2 * span.hours) for whole, span in zip(total, spans, strict=True)))
    return Difference(spans[0], spans[1], _changes(both, min_bytes, factor), both.num_rows, total)


def _span(store: Locations, ranges: tuple[HourRange, ...]) -> Span:
    hours = sum(len(hours_with_totals(store, one)) for one in ranges)
    span = Span(ranges, hours)
    if not hours:
        raise UsageError(f"there are no totals of {span} to compare; `flowlog hours` lists the hours that have some")
    return span


def _side(store: Locations, span: Span, place: int) -> pa.Table:
    """The pairs of a span: their bytes as `before` or `after`, and the number that says in which span they are."""
    sums = merge([sum_by(store, Query(one.first, one.until, by=PAIR)) for one in span.ranges], PAIR)
    zeros = _repeated(0, sums.num_rows)
    figures = [bytes_of(sums, PAIR), zeros]
    side = sums.select(list(PAIR))
    for name, figure in zip(PairBytes._fields, figures if place == 0 else figures[::-1], strict=True):
        side = side.append_column(name, figure)
    return side.append_column("seen", _repeated(_IN_AFTER if place else _IN_BEFORE, sums.num_rows))


def _changes(both: pa.Table, min_bytes: int, factor: float) -> pa.Table:
    """The pairs that are new, vanished or stepped, by enough bytes."""
    before, after, seen = (both.column(name) for name in ("before", "after", "seen"))
    change = call_function("subtract", [after, before])
    size = call_function("abs", [change])
    is_new, is_gone = (call_function("equal", [seen, _integer(side)]) for side in (_IN_AFTER, _IN_BEFORE))
    kind = call_function("if_else", [is_gone, pa.scalar(VANISHED), pa.scalar(STEPPED)])
    kind = call_function("if_else", [is_new, pa.scalar(NEW), kind])
    is_change = _any([is_new, is_gone, _has_stepped(before, after, factor)])
    is_large = call_function("greater_equal", [size, _integer(min(min_bytes, INT64_MAX))])
    table = both.drop_columns("seen").add_column(0, "kind", kind).append_column("change", change).append_column("size", size)
    found = call_function("filter", [table, call_function("and", [is_change, is_large])])
    order = [("size", "descending"), *((name, "ascending") for name in PAIR)]
    return decoded(sort_rows(found, order).drop_columns("size"))


def _has_stepped(before: pa.ChunkedArray, after: pa.ChunkedArray, factor: float) -> pa.ChunkedArray:
    one, other = (call_function("cast", [column], CastOptions.unsafe(pa.float64())) for column in (before, after))
    grew, fell = (
        call_function("greater_equal", [more, call_function("multiply", [less, pa.scalar(factor)])])
        for more, less in ((other, one), (one, other))
    )
    return call_function("and", [call_function("not_equal", [before, after]), _any([grew, fell])])


def _any(masks: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    found, *others = masks
    for mask in others:
        found = call_function("or", [found, mask])
    return found


def _per_hour(column: pa.ChunkedArray, hours: int) -> pa.ChunkedArray:
    """Bytes divided by hours, rounded to the nearest byte."""
    whole = call_function("divide", [column, _integer(hours)])
    rest = call_function("subtract", [column, call_function("multiply", [whole, _integer(hours)])])
    is_half = call_function("greater_equal", [call_function("multiply", [rest, _integer(2)]), _integer(hours)])
    return call_function("add", [whole, call_function("cast", [is_half], CastOptions.safe(pa.int64()))])


def _integer(number: int) -> pa.Scalar:
    return pa.scalar(number, pa.int64())


def _repeated(number: int, rows: int) -> pa.Array:
    return pa.repeat(_integer(number), rows)
