"""Times in raw files: a number since 1970, whose size tells its unit, or a text as ISO 8601 has it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.kernel import records
from pipeline.syntax.batch import Integers, Mask

#: The rule that a number breaks which is no time of a flow.
OUT_OF_RANGE = "must be a time between 1990 and 2200"

_EARLIEST = 631_152_000  # 1990 began: no flow log is older, and a date written as a number (20251126) is far below
_LATEST = 7_258_118_400  # 2200 begins: what is later is a date written as a number (20251126080000, as milliseconds)
#: From so large a number on, so many units make a second: nano-, micro- and milliseconds. Each range ends where the next
#: begins, and holds its unit's times from 1973 to 5138; nanoseconds end with 64 bits.
_UNITS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3))
_TIME_OF_DAY = re.compile(r"[Tt ]\d\d")
#: How BigQuery writes the zone.
_UTC = " UTC"

Times = TypeVar("Times", npt.NDArray[np.int64], npt.NDArray[np.float64])


def seconds_of(times: Times) -> Times:
    """Times since 1970 in seconds, from seconds, milliseconds, microseconds or nanoseconds, each told by its size.

    Integers are rounded down; a floating-point number keeps its fraction, as far as it has the digits.
    """
    if times.max(initial=0) < _LATEST:
        return times
    is_integer = times.dtype.kind == "i"
    in_seconds = [times // unit if is_integer else times / unit for _, unit in _UNITS]
    return np.select([times >= smallest for smallest, _ in _UNITS], in_seconds, times)


def nanoseconds_of(times: Times) -> npt.NDArray[np.int64]:
    """Times since 1970, as `seconds_of` tells them, in nanoseconds; floating-point numbers to the microsecond.

    Returns:
        0 for what is before all times of flows, and the end of these times for what is behind them.
    """
    seconds = seconds_of(times)
    fits = (seconds >= _EARLIEST) & (seconds < _LATEST)
    if times.dtype.kind == "i":
        found = np.select([times >= s for s, _ in _UNITS], [times * (10**9 // unit) for _, unit in _UNITS], times * 10**9)
    else:
        parts, whole = np.modf(np.where(fits, seconds, 0))
        # A fraction that is rounded up to a second would move a time into the next one, and perhaps into the next hour.
        microseconds = np.minimum(np.rint(parts * 10**6), 10**6 - 1)
        found = whole.astype(np.int64) * 10**9 + microseconds.astype(np.int64) * 1000
    return np.where(fits, found, np.where(seconds >= _LATEST, _LATEST * 10**9, 0))


def not_times(seconds: Times) -> Mask | None:
    """Which numbers, in seconds, are no time of a flow: those before 1990, and what is no number; None if all are times."""
    if not len(seconds) or _EARLIEST <= seconds.min() <= seconds.max() < _LATEST:
        return None
    return ~((seconds >= _EARLIEST) & (seconds < _LATEST))


def hours_of(times: Times) -> Integers | None:
    """The hours since 1970 of times, as `seconds_of` tells them; None if one is no time of a flow."""
    return records.hours_of(times, _EARLIEST, _LATEST)


def seconds_of_text(text: str) -> float | None:
    """A time as ISO 8601 or BigQuery has it in seconds since 1970, in UTC where it names no zone; None if the text is no such time.

    A date alone is no time: the hour would be midnight, which nobody said.
    """
    if not _TIME_OF_DAY.search(text):
        return None
    try:
        moment = datetime.fromisoformat(text.removesuffix(_UTC) + "Z" if text.endswith(_UTC) else text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
