"""How many hours a source opens: each is a folder of the store, and costs as much as thousands of rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.counting.spread import span_of, spanned_hours
from pipeline.errors import UnreadableSource
from pipeline.scalars import LAST_HOUR, hour_to_text
from pipeline.schema import MAX_HOURS_OF_SOURCE
from pipeline.syntax.batch import Batch


class DistinctHours:
    """The hours of a source's rows, as its batches come."""

    def __init__(self) -> None:
        self._hours = np.empty(0, np.int64)

    def add(self, batch: Batch) -> None:
        """Takes note of the hours that flow records open; what is no hour will be rejected, and opens none.

        Raises:
            UnreadableSource: They are more than a source may have.
        """
        column = batch.table.column("hour")
        hours = (column.fill_null(0) if column.null_count else column).to_numpy()
        if (span := span_of(batch)) is not None:
            hours = spanned_hours(span)
        if len(hours) and not self._has_all_between(int(hours.min()), int(hours.max())):
            changed = hours[_changes(hours)]
            self._hours = np.union1d(self._hours, changed[(changed > 0) & (changed <= LAST_HOUR) & ~self._has(changed)])
        if len(self._hours) > MAX_HOURS_OF_SOURCE:
            first, last = hour_to_text(int(self._hours[0])), hour_to_text(int(self._hours[-1]))
            raise UnreadableSource(
                f"its rows are of more than {MAX_HOURS_OF_SOURCE:,} different hours, from {first} to {last}; "
                "if these are right, split it into files of a year"
            )

    def _has(self, hours: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        places = np.searchsorted(self._hours, hours)
        return np.append(self._hours, 0)[places] == hours

    def _has_all_between(self, first: int, last: int) -> bool:
        """Whether all hours between two are known, as mostly, and one look tells."""
        start, end = np.searchsorted(self._hours, (first, last + 1))
        return bool(end - start == last - first + 1)


def _changes(hours: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which rows have another hour than the row before them: few, where rows come in the order of their times."""
    return np.append(True, hours[1:] != hours[:-1])
