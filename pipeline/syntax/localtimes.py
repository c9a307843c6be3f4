"""Columns of local times: texts without an offset, as the clocks of some zone showed them.

A clock that is set back shows an hour twice, and nothing in a text tells which of the two is meant: the first is taken, and the
rows are marked, so that the run can say so. A clock that is set forward skips an hour: a text within it was not written in that
zone, so it is no time. A text that has its own offset, and a number since 1970, need no zone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.syntax.batch import Integers, Mask
from pipeline.syntax.dictionary import codes_of, with_dictionary
from pipeline.syntax.times import seconds_of

Seconds = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

_DECIMAL = r"^[0-9]+\.[0-9]+$"
_MOST_WHOLE = 19  # digits: int64 holds all such numbers that begin with less than a 9
_SHAPE = "dddd-dd-ddTdd:dd:dd"  # and behind it a fraction, or nothing
_DIGITS = [i for i, sign in enumerate(_SHAPE) if sign == "d"]
_BETWEEN = {4: b"-/", 7: b"-/", 10: b"T ", 13: b":", 16: b":"}
_MOST_DIGITS = 9  # of a fraction; a float64 holds microseconds
_MICROSECONDS, _LAST_MICROSECOND = 6, 0.999_999
_MINUTE, _HOUR = 60, 3600
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


def local_times(column: pa.DictionaryArray, zone: tzinfo) -> LocalTimes:
    """Reads a column of local times: `2024-10-27 02:00:00.123`, with `T` or a blank, `-` or `/`.

    Args:
        column: Dictionary-encoded text.
        zone: Whose clocks showed the times.
    """
    if 2 * len(column.dictionary) > len(column):  # nearly all texts differ, and those of other blocks may be among them
        column = _each_apart(column)
    texts: pa.StringArray = column.dictionary
    clock, is_local = _clock_times(texts)
    seconds, skipped, shared = _since_1970(clock, is_local, zone)
    _read_others(texts, ~is_local, seconds)
    codes = codes_of(column)
    if not len(texts):
        nothing = np.zeros(len(codes), bool)
        return LocalTimes(np.full(len(codes), np.nan), nothing, nothing, {})
    is_valid = codes >= 0
    hours = np.unique(clock[shared] // (_HOUR * 10**_MICROSECONDS)).tolist()
    return LocalTimes(
        np.where(is_valid, seconds[codes], np.nan),
        is_valid & (np.isnan(seconds) & ~skipped)[codes],
        is_valid & skipped[codes],
        {
            f"{_EPOCH + timedelta(hours=hour):%Y-%m-%dT%H}": is_valid
            & (shared & (clock // (_HOUR * 10**_MICROSECONDS) == hour))[codes]
            for hour in hours
        },
    )


def _each_apart(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """The same column, with a text of its own for each row."""
    codes = np.arange(len(column), dtype=np.int32)
    if column.null_count:
        codes[codes_of(column) < 0] = -1
    return with_dictionary(codes, pc.fill_null(pc.cast(column, pa.string()), ""))


def _clock_times(texts: pa.StringArray) -> tuple[Integers, Mask]:
    """What the clock showed, in microseconds since it showed 1970, and which texts say so; 0 for the others."""
    lengths = pc.binary_length(texts).to_numpy()
    clock, is_local = np.zeros(len(texts), np.int64), np.zeros(len(texts), bool)
    for length in np.unique(lengths).tolist():
        fraction = length - len(_SHAPE)
        if fraction == 0 or 2 <= fraction <= 1 + _MOST_DIGITS:
            these = np.flatnonzero(lengths == length)
            clock[these], is_local[these] = _of_one_length(_cells(texts, these, length))
    return clock, is_local


def _cells(texts: pa.StringArray, these: npt.NDArray[np.intp], length: int) -> Bytes:
    """The bytes of some texts of one length, a row each."""
    start, end = texts.offset, texts.offset + len(texts) + 1
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[start:end]
    data = np.frombuffer(texts.buffers()[2], np.uint8)
    if len(these) == len(texts):
        return data[offsets[0] : offsets[-1]].reshape(-1, length)
    return data[offsets[these, None] + np.arange(length)]


def _number(digits: Bytes, places: Iterable[int]) -> Integers:
    """The number whose digits stand at these places of each row."""
    value = np.zeros(len(digits), np.int64)
    for place in places:
        value = value * 10 + digits[:, place]
    return value


def _of_one_length(cells: Bytes) -> tuple[Integers, Mask]:
    """The same for texts of one length, a row each."""
    digits = cells - np.uint8(ord("0"))  # what is no digit becomes a large number
    fraction = list(range(len(_SHAPE) + 1, cells.shape[1]))
    good = (digits[:, _DIGITS + fraction] <= 9).all(axis=1)
    for place, allowed in _BETWEEN.items():
        good &= np.isin(cells[:, place], np.frombuffer(allowed, np.uint8))
    good &= cells[:, 4] == cells[:, 7]
    if fraction:
        good &= cells[:, len(_SHAPE)] == ord(".")

    def number(first: int, behind: int) -> Integers:
        return _number(digits, range(first, behind))

    month, day = number(5, 7), number(8, 10)
    hour, minute, second = number(11, 13), number(14, 16), number(17, 19)
    good &= (month >= 1) & (month <= 12) & (day >= 1) & (hour < 24) & (minute < 60) & (second < 60)
    year = number(0, 4)
    good &= year > 0  # which Python's calendar lacks
    months = (year - 1970) * 12 + month - 1
    first, behind = (
        moment.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) for moment in (months, months + 1)
    )
    good &= day <= behind - first
    seconds = (first + day - 1) * 86_400 + hour * _HOUR + minute * _MINUTE + second
    used = fraction[:_MICROSECONDS]  # rounding could move a time into the next hour
    micros = number(used[0], used[-1] + 1) * 10 ** (_MICROSECONDS - len(used)) if used else 0
    return np.where(good, seconds * 10**_MICROSECONDS + micros, 0), good


def _since_1970(clock: Integers, is_local: Mask, zone: tzinfo) -> tuple[Seconds, Mask, Mask]:
    """The moments at which a zone's clocks showed some times; which they never showed; and which they showed twice."""
    hours = np.unique(clock[is_local] // (_HOUR * 10**_MICROSECONDS)).tolist()
    offsets = {_offset_of_hour(zone, hour) for hour in hours}
    if len(offsets) == 1 and (offset := offsets.pop()):  # as in most blocks
        nowhere = np.zeros(len(clock), bool)
        return np.where(is_local, clock / 10**_MICROSECONDS - offset[0], np.nan), nowhere, nowhere
    minutes, which = np.unique(clock[is_local] // (_MINUTE * 10**_MICROSECONDS), return_inverse=True)
    # Mostly all minutes of an hour have one offset; where a clock is set, each is looked at.
    found = [_offset_of_hour(zone, minute // 60) or _offset_of(zone, minute) for minute in minutes.tolist()]
    first, second = np.array(found, np.int64).reshape(-1, 2).T[:, which]
    seconds = np.full(len(clock), np.nan)
    seconds[is_local] = clock[is_local] / 10**_MICROSECONDS - first
    skipped, shared = np.zeros(len(clock), bool), np.zeros(len(clock), bool)
    skipped[is_local], shared[is_local] = first < second, first > second
    seconds[skipped] = np.nan
    return seconds, skipped, shared


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
    """Writes the times of the texts that are no local times among the seconds: of numbers, and of texts with an offset."""
    lengths = pc.binary_length(texts).to_numpy()
    others = others & (lengths > 0)
    for length in np.unique(lengths[others]).tolist():
        if length <= _MOST_WHOLE:
            these = np.flatnonzero(others & (lengths == length))
            found, are_numbers = _numbers(_cells(texts, these, length))
            seconds[these[are_numbers]] = found[are_numbers]
            others[these[are_numbers]] = False
    if not others.any():
        return
    decimals = pc.match_substring_regex(texts, _DECIMAL).to_numpy(zero_copy_only=False) & others
    seconds[decimals] = seconds_of(texts.filter(pa.array(decimals)).cast(pa.float64()).to_numpy())
    for i in np.flatnonzero(others & ~decimals).tolist():
        seconds[i] = _with_offset(texts[i].as_py())


def _numbers(cells: Bytes) -> tuple[Seconds, Mask]:
    """The times that texts of one length are as numbers, and which are any, with a point where the first text has it, or without."""
    length, points = cells.shape[1], np.flatnonzero(cells[0] == ord("."))
    point = int(points[0]) if len(points) == 1 and 0 < points[0] < length - 1 else length
    places = [place for place in range(length) if place != point]
    digits = cells - np.uint8(ord("0"))
    good: Mask = np.logical_and.reduce(digits[:, places] <= 9, axis=1)
    if point < length:
        good &= cells[:, point] == ord(".")
        return seconds_of(_number(digits, places) / 10 ** (length - point - 1)), good
    if length == _MOST_WHOLE:
        good &= digits[:, 0] < 9
    return _exact_seconds(_number(digits, places)), good


def _exact_seconds(times: Integers) -> Seconds:
    """Whole numbers since 1970 in seconds. A floating-point number does not hold nanoseconds, and rounding must not move a time
    into the next second.
    """
    return np.minimum(seconds_of(times.astype(np.float64)), seconds_of(times) + _LAST_MICROSECOND)


def _with_offset(text: str) -> float:
    """The time of a text that has its own offset, in seconds since 1970; NaN where it is no such text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    return moment.timestamp() if moment.tzinfo else math.nan
