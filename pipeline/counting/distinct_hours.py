"""How many hours a source opens: each is a folder of the store, and costs as much as thousands of rows."""

from __future__ import annotations

from pipeline.counting.spread import span_of, spanned_hours
from pipeline.errors import UnreadableSource
from pipeline.hours import LAST_HOUR, hour_to_text
from pipeline.schema import MAX_HOURS_OF_SOURCE
from pipeline.syntax.batch import Batch


class DistinctHours:
    """The hours of a source's rows, as its batches come."""

    def __init__(self) -> None:
        self._hours: set[int] = set()

    def add(self, batch: Batch) -> None:
        """Takes note of the hours that flow records open; what is no hour will be rejected, and opens none.

        Raises:
            UnreadableSource: They are more than a source may have.
        """
        span = span_of(batch)
        hours = batch.hours if span is None else spanned_hours(span)
        self._hours.update(hours[(hours > 0) & (hours <= LAST_HOUR)].tolist())
        if len(self._hours) > MAX_HOURS_OF_SOURCE:
            first, last = hour_to_text(min(self._hours)), hour_to_text(max(self._hours))
            raise UnreadableSource(
                f"its rows are of more than {MAX_HOURS_OF_SOURCE:,} different hours, from {first} to {last}; "
                "if these are right, split it into files of a year"
            )
