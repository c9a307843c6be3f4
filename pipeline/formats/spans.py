"""From when to when flows lasted, for bytes that are spread over hours (`--spread hours`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.formats.record import Record, column_of, numbers_of
from pipeline.schema import MAX_DAYS_OF_FLOW
from pipeline.syntax.batch import Batch, Fault
from pipeline.syntax.dictionary import arrow_of
from pipeline.syntax.times import nanoseconds_of

#: The columns of `Batch.marks` that a batch has where bytes are to be spread, and some of its flows span hours: when each flow
#: started and ended, in nanoseconds since 1970 (int64); the end is the start where none is known.
SPAN = ("started", "ended")
#: The rule that an end, or a duration, breaks with which a flow would have lasted for years.
TOO_LONG = f"must not be more than {MAX_DAYS_OF_FLOW} days after the start"

_SECOND, _HOUR, _LONGEST = 10**9, 3600 * 10**9, MAX_DAYS_OF_FLOW * 86_400 * 10**9

Nanoseconds = npt.NDArray[np.int64]


def too_long(batch: Batch, record: Record) -> list[Fault]:
    """The fault of the rows whose flows would have lasted for years: one of them would have bytes in ten thousand hours."""
    started, ended = _span(batch, record)
    bad = ended - started > _LONGEST
    if not bad.any():
        return []
    names = [name for name in (record.end, record.duration) if name and name in batch.table.column_names]
    columns = {name: batch.table.column(name) for name in names}
    return [Fault(name, TOO_LONG, bad & column.is_valid().to_numpy(), column) for name, column in columns.items()]


def with_span(batch: Batch, record: Record) -> Batch:
    """The batch with `SPAN` among its marks, if some flow spans hours; else as it is.

    Args:
        batch: The columns of the log; all starts are times of flows.
        record: What the columns say.
    """
    started, ended = _span(batch, record)
    if (started // _HOUR == (ended - 1) // _HOUR)[ended > started].all():
        return batch
    span = pa.table([arrow_of(started), arrow_of(ended)], names=list(SPAN))
    return replace(
        batch,
        marks=span if batch.marks is None else pa.table([*batch.marks, *span], names=[*batch.marks.column_names, *SPAN]),
    )


def _span(batch: Batch, record: Record) -> tuple[Nanoseconds, Nanoseconds]:
    """When each flow started and ended. A flow ends where it starts if its log does not tell, or tells an earlier time."""
    started = ended = nanoseconds_of(numbers_of(column_of(batch, record.start, pa.int64())))
    if record.duration:
        seconds = numbers_of(column_of(batch, record.duration, pa.float64()))
        microseconds = np.rint(np.fmin(np.fmax(seconds, 0), 2 * _LONGEST / _SECOND) * 10**6)
        ended = started + microseconds.astype(np.int64) * 1000
    if record.end:
        told = nanoseconds_of(numbers_of(column_of(batch, record.end, pa.int64())))
        ended = np.where(told > 0, np.maximum(started, told), ended)
    return started, ended
