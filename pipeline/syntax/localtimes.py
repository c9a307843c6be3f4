"""Columns of local times: texts without an offset, as the clocks of some zone showed them.

A clock that is set back shows an hour twice, and nothing in a text tells which of the two is meant: the first is taken, and the
rows are marked, so that the run can say so. A clock that is set forward skips an hour: a text within it was not written in that
zone, so it is no time. A text that has its own offset, and a number since 1970, need no zone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.kernel.texts import read_times
from pipeline.syntax.batch import Integers, Mask
from pipeline.syntax.decimals import floats_of
from pipeline.syntax.dictionary import Codes, codes_of
from pipeline.syntax.times import seconds_of

Seconds = npt.NDArray[np.float64]

_DECIMAL = r"^[0-9]+\.[0-9]+$"
_MICROSECONDS = 6  # as many digits; a float64 holds them
_MINUTE, _HOUR = 60, 3600
_HOUR_MICROSECONDS = _HOUR * 10**_MICROSECONDS
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local times are what this is about


@dataclass(frozen=True)
class LocalTimes:
    """The times of a column's rows.

    Attributes:
        seconds: Since 1970, float64; NaN for null, and where there is none.
        unfit: The rows whose text is no time.
        skipped: The rows whose time the zone's clocks never showed.
        shared: The rows whose time was shown twice, by the hour on the clock: "2024-10-27T02". The first of the two is taken.
    """

    seconds: Seconds
    unfit: Mask
    skipped: Mask
    shared: dict[str, Mask]

    def of_rows(self, codes: Codes) -> LocalTimes:
        """The times of rows that have these texts; -1 is null, which has none."""
        return LocalTimes(
            np.append(self.seconds, np.nan)[codes],
            np.append(self.unfit, False)[codes],
            np.append(self.skipped, False)[codes],
            {hour: np.append(mask, False)[codes] for hour, mask in self.shared.items()},
        )


def local_times(column: pa.DictionaryArray | pa.StringArray, zone: tzinfo) -> LocalTimes:
    """Reads a column of local times: `2024-10-27 02:00:00.123`, with `T` or a blank, `-` or `/`.

    Args:
        column: Text, dictionary-encoded or not.
        zone: Whose clocks showed the times.
    """
    if pa.types.is_dictionary(column.type) and 2 * len(column.dictionary) <= len(column):
        return _times_of(column.dictionary, zone).of_rows(codes_of(column))
    return _times_of(column.cast(pa.string()), zone)  # nearly all texts differ, and those of other blocks may be among them


def _times_of(texts: pa.StringArray, zone: tzinfo) -> LocalTimes:
    """The times of some texts, or nulls."""
    read = read_times(texts)
    seconds, skipped, shared = _since_1970(read.clock, read.is_local, read.seconds, zone)
    if read.others.any():
        _read_others(texts, read.others, seconds)
    unfit = np.isnan(seconds)
    unfit &= ~skipped
    if texts.null_count:
        unfit &= texts.is_valid().to_numpy(zero_copy_only=False)
    hours = read.clock[shared] // _HOUR_MICROSECONDS
    return LocalTimes(
        seconds,
        unfit,
        skipped,
        {
            f"{_EPOCH + timedelta(hours=hour):%Y-%m-%dT%H}": shared & (read.clock // _HOUR_MICROSECONDS == hour)
            for hour in np.unique(hours).tolist()
        },
    )


def _since_1970(clock: Integers, is_local: Mask, seconds: Seconds, zone: tzinfo) -> tuple[Seconds, Mask, Mask]:
    """The moments at which a zone's clocks showed some times; which they never showed; and which they showed twice.

    Args:
        clock: What the clocks showed, in microseconds.
        is_local: Where they did.
        seconds: The moments of the other times.
        zone: The zone.
    """
    nowhere = np.zeros(len(clock), bool)
    if not is_local.any():
        return seconds, nowhere, nowhere
    offset = zone.utcoffset(None)
    offsets = {(int(offset.total_seconds()),) * 2} if offset is not None else _offsets_of_hours(clock[is_local], zone)
    if len(offsets) == 1 and (both := offsets.pop()):  # as in most blocks
        return np.where(is_local, clock / 10**_MICROSECONDS - both[0], seconds), nowhere, nowhere
    minutes, which = np.unique(clock[is_local] // (_MINUTE * 10**_MICROSECONDS), return_inverse=True)
    # Mostly all minutes of an hour have one offset; where a clock is set, each is looked at.
    found = [_offset_of_hour(zone, minute // 60) or _offset_of(zone, minute) for minute in minutes.tolist()]
    first, second = np.array(found, np.int64).reshape(-1, 2).T[:, which]
    seconds[is_local] = clock[is_local] / 10**_MICROSECONDS - first
    skipped, shared = nowhere, nowhere.copy()
    skipped[is_local], shared[is_local] = first < second, first > second
    seconds[skipped] = np.nan
    return seconds, skipped, shared


def _offsets_of_hours(clock: Integers, zone: tzinfo) -> set[tuple[int, int] | None]:
    """The offsets of the hours in which some times lie."""
    hours = clock // _HOUR_MICROSECONDS
    runs = hours[np.diff(hours, prepend=-1) != 0]  # records stand mostly in the order of time
    return {_offset_of_hour(zone, hour) for hour in np.unique(runs).tolist()}


@lru_cache(maxsize=1 << 16)
def _offset_of_hour(zone: tzinfo, hour: int) -> tuple[int, int] | None:
    """The offset of a whole hour on the clock; None where it is not the same for all of the hour."""
    first, last = _offset_of(zone, 60 * hour), _offset_of(zone, 60 * hour + 59)
    return first if first == last and first[0] == first[1] else None


def _offset_of(zone: tzinfo, minute: int) -> tuple[int, int]:
    """The offsets of a minute on the clock, in seconds, as PEP 495 has them.

    Returns:
        Twice the same, for most minutes. The first is the larger where the clock shows the minute twice: the offset at the first
        time, and at the second. The first is the smaller where the clock is set forward over the minute.
    """
    moment = (_EPOCH + timedelta(minutes=minute)).replace(tzinfo=zone)
    first, second = ((moment.replace(fold=fold).utcoffset() or timedelta()) for fold in (0, 1))
    return int(first.total_seconds()), int(second.total_seconds())


def _read_others(texts: pa.StringArray, others: Mask, seconds: Seconds) -> None:
    """Writes the times of some of the texts among the seconds: of long numbers, and of texts with an offset."""
    decimals = pc.fill_null(pc.match_substring_regex(texts, _DECIMAL), False).to_numpy(zero_copy_only=False) & others
    seconds[decimals] = seconds_of(floats_of(texts.filter(pa.array(decimals))).to_numpy())
    for i in np.flatnonzero(others & ~decimals).tolist():
        seconds[i] = _with_offset(texts[i].as_py())


def _with_offset(text: str) -> float:
    """The time of a text that has its own offset, in seconds since 1970; NaN where it is no such text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    return moment.timestamp() if moment.tzinfo else math.nan
