"""Bytes of flows that span hours, shared over these by time.

A record is validated whole, and spread on its way into the totals. The shares of its bytes are integers by largest remainder: they
sum to the record's bytes, and each is within one byte of the exact share. The record counts as a flow in the hour of its start
alone. An hour of which it has no byte is not opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa

from pipeline.formats.spans import SPAN
from pipeline.kernel.library import kernel
from pipeline.schema import COUNT, KEY, SUMS
from pipeline.syntax.batch import Batch, Integers
from pipeline.syntax.dictionary import arrow_of

#: So many rows are made at once, and a flow's more: a small file of flows that last for months becomes many.
_ROWS_AT_ONCE = 1 << 18
_HOUR = 3600 * 10**9


#: When flows started and ended, in nanoseconds since 1970.
Span = tuple[Integers, Integers]


def span_of(batch: Batch) -> Span | None:
    """When the flows of a batch lasted; None where all count in the hour that their record names."""
    if batch.marks is None or SPAN[0] not in batch.marks.column_names:
        return None
    started, ended = (batch.marks.column(name).to_numpy() for name in SPAN)
    return started, ended


def spread(flows: pa.Table, span: Span) -> Iterator[tuple[Integers, pa.Table]]:
    """Spreads valid flow records (`schema.FLOW_SCHEMA`).

    Yields:
        Some rows with these columns and `flows`; before them, of each of them the position of its record.
    """
    first, last = _hours(span)
    room = np.append(0, np.cumsum(last - first + 1))
    cuts = np.searchsorted(room, np.arange(0, room[-1], _ROWS_AT_ONCE))
    for start, end in pairwise(np.unique(np.append(cuts, len(first))).tolist()):
        part = flows.slice(start, end - start), (span[0][start:end], span[1][start:end])
        records, made = _spread(*part, int(room[end] - room[start]))
        yield records + start, made


def _spread(flows: pa.Table, span: Span, room: int) -> tuple[Integers, pa.Table]:
    given = [*span, *(flows.column(name).to_numpy() for name in SUMS)]
    made = [np.empty(room, np.int64) for _ in range(5)]
    count = kernel.spread(flows.num_rows, *(column.ctypes.data for column in (*given, *made)))
    rows, hours, *sums = (column[:count] for column in made)
    texts = flows.select(KEY[1:]).take(arrow_of(rows))
    return rows, pa.table([arrow_of(hours), *texts.columns, *map(arrow_of, sums)], names=[*KEY, *SUMS, COUNT])


def spanned_hours(span: Span) -> Integers:
    """The distinct hours from the starts of flows to their ends, in order."""
    first, last = _hours(span)
    if not len(first):
        return first
    lowest, length = first.min(), last.max() - first.min() + 2
    begun, over = (np.bincount(hours - lowest, minlength=length) for hours in (first, last + 1))
    return lowest + np.flatnonzero(np.cumsum(begun - over))


def _hours(span: Span) -> tuple[Integers, Integers]:
    """The hours in which flows started, and those in which they ended: where an hour ends, the next is not touched."""
    started, ended = span
    return started // _HOUR, np.maximum(started, ended - 1) // _HOUR
