"""Hours, and the ranges of hours that users mean.

An hour, as flowlog counts it, is a number of whole hours since 1970-01-01T00:00 UTC. The module needs no library, so that what must
start fast loads none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from operator import index
from typing import NamedTuple

from pipeline.errors import UsageError

SECONDS_PER_HOUR = 3600
#: Readers of Hive partitions take an hour for an int32, and one larger hour turns the whole column into text for them.
LAST_HOUR = 2**31 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What says which hours are meant: an hour's number, or a text, a day or a time.
When = int | str | date
# These are compiled when they are asked for: a query needs one of them.
_NUMBER = r"[+-]?\d+"
_DAY = r"\d{4}-\d{2}-\d{2}"
_TIME = r"(\d{4}-\d{2}-\d{2})[T ](\d{2})(?::00(?::00)?)?(?:Z|\+00:00)?"
#: Digits that are a date or a time, by how many there are; and how far such years reach, in which alone they look like one.
_CALENDAR = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_YEARS = range(1970, 2100)
#: Times since 1970 in other units than hours, as they are from 2001 to 2286.
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_SECONDS = range(10**9, 10**10)
#: How much of the text of an hour is its day, and its month.
_PERIODS = {"day": len("2026-11-24"), "month": len("2026-11")}


class HourRange(NamedTuple):
    """Hours without a gap: from `first` on, and before `until`."""

    first: int
    until: int

    def __str__(self) -> str:
        first, last = hour_to_text(self.first), hour_to_text(self.until - 1)
        return first if first == last else f"{first} to {last}"

    def without(self, other: HourRange) -> tuple[HourRange, ...]:
        """The hours that another range has not: one range, two where the other is in its middle, or none."""
        rest = (HourRange(self.first, min(self.until, other.first)), HourRange(max(self.first, other.until), self.until))
        return tuple(part for part in rest if part.first < part.until)


def end_of(when: When, latest: Callable[[], int], now: datetime | None = None) -> int:
    """The first hour behind a range, as a user means it; as `hours_of`, but that it may be the one behind the last hour."""
    return hours_of(when, latest, now, LAST_HOUR + 1).first


def hours_of(when: When, latest: Callable[[], int], now: datetime | None = None, largest: int = LAST_HOUR) -> HourRange:
    """The hours that a user means.

    Args:
        when: An hour (`498752`, `"498752"`, a UTC time on the hour as `"2026-11-24T08"`, or a `datetime`, which is UTC if
            it has no time zone), a day in UTC (`"2026-11-24"`, a `date`, `"today"`, `"yesterday"`), `"latest"`, or the
            hours up to the one that is running (`"-24h"`; `"-7d"` is `"-168h"`).
        latest: Gives the hour that `"latest"` means.
        now: What `"today"` and the like start from; None for the clock's.
        largest: The largest number that an hour may have.

    Raises:
        UsageError: It is none of these; a text of digits also where it looks like a date or a time in another unit.
    """
    if isinstance(when, str):
        return _of_text(when, latest, now or datetime.now(UTC), largest)
    if isinstance(when, datetime):
        return _one(_hour_of(when))
    if isinstance(when, date):
        return _day(when)
    try:
        number = index(when)
    except TypeError:
        raise UsageError(f"the hour {when!r} is neither an integer, a text, a date nor a time") from None
    if number > largest:  # up to there, a program's number is what it says: the store itself may have given it
        _refuse_other_units(str(number))
    return _one(number, largest)


def is_span(text: str) -> bool:
    """Whether a text is a span up to now, as `-24h` and `-7d`."""
    return text.startswith("-") and text.endswith(("h", "d")) and text[1:-1].isdecimal()


def _of_text(text: str, latest: Callable[[], int], now: datetime, largest: int) -> HourRange:
    if text == "latest":
        return _one(latest())
    if text in ("today", "yesterday"):
        return _day(_in_utc(now).date() - timedelta(days=text == "yesterday"))
    if is_span(text):
        return _span(int(text[1:-1][:9]) * (24 if text.endswith("d") else 1), _hour_number(_in_utc(now)))
    if re.fullmatch(_NUMBER, text):
        if text not in (str(LAST_HOUR), str(largest)):  # the last hour, which the store itself may have given
            _refuse_other_units(text)
        return _one(int(text) if len(text) < 30 else largest + 1, largest)  # Python refuses to convert thousands of digits
    try:
        if re.fullmatch(_DAY, text):
            return _day(date.fromisoformat(text))
        if match := re.fullmatch(_TIME, text):
            return _one(_hour_of(datetime.fromisoformat(f"{match[1]}T{match[2]}:00:00+00:00")))
    except ValueError as error:
        raise UsageError(f"the hour {text!r} is not on the calendar: {error}") from None
    raise UsageError(
        f"the hour {text[:40]!r} is neither an integer (498752) nor a UTC time on the hour (2026-11-24T08), a day (2026-11-24),"
        " latest, today, yesterday, or a span up to now (-24h, -7d)"
    )


def _one(hour: int, largest: int = LAST_HOUR) -> HourRange:
    if hour < 1:
        raise UsageError(f"the hour {hour} must be positive")
    if hour > largest:
        raise UsageError(f"the hour must be at most {largest}")
    return HourRange(hour, hour + 1)


def _day(day: date) -> HourRange:
    until = _hour_number(datetime(day.year, day.month, day.day, 23, tzinfo=UTC)) + 1
    if until < 24:
        raise UsageError(f"the hours of the day {day} must be positive")
    return HourRange(max(until - 24, 1), until)


def _span(hours: int, running: int) -> HourRange:
    if not hours:
        raise UsageError("a span must have at least one hour")
    return HourRange(max(running + 1 - hours, 1), running + 1)


def _hour_of(moment: datetime) -> int:
    """The hour that starts at a time, of Python's class or pandas'."""
    try:
        utc = _in_utc(moment)
    except (OverflowError, ValueError) as error:
        raise UsageError(f"the time {moment} is not on the calendar: {error}") from None
    if utc.minute or utc.second or utc.microsecond or getattr(utc, "nanosecond", 0):
        raise UsageError(f"the time {moment} is not on the hour; .replace(minute=0, second=0, microsecond=0) makes it so")
    return _hour_number(utc)


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _hour_number(utc: datetime) -> int:
    return (utc.toordinal() - _EPOCH.toordinal()) * 24 + utc.hour


def _refuse_other_units(text: str) -> None:
    """Refuses digits that look like a date or a time in another unit: as an hour they are far from any log.

    Raises:
        UsageError: They do; the message says what was meant.
    """
    digits = text.lstrip("+").lstrip("0")
    if form := _CALENDAR.get(len(digits)):
        try:
            moment = datetime.strptime(digits, form).replace(tzinfo=UTC)
        except ValueError:
            moment = _EPOCH.replace(year=1)
        if moment.year in _YEARS:
            meant = moment.strftime("%Y-%m-%d" if len(digits) == 8 else "%Y-%m-%dT%H")
            raise UsageError(f"the hour {digits} looks like a date: write {meant}")
    if not digits.isdecimal() or len(digits) > 20:
        return
    for unit, in_a_second in _UNITS.items():
        if (seconds := int(digits) // in_a_second) in _SECONDS:
            hour = seconds // SECONDS_PER_HOUR
            raise UsageError(
                f"the hour {digits} looks like a time in {unit}: that is the hour {hour} ({hour_to_text(hour)})"
            )


def hour_to_text(hour: int) -> str:
    """The UTC time at which an hour starts, as `2026-11-24T08`; the number itself where no calendar reaches it."""
    try:
        return (_EPOCH + timedelta(hours=hour)).strftime("%Y-%m-%dT%H")
    except OverflowError:
        return str(hour)


def period_of(hour: int, period: str) -> str:
    """The `"day"` (`2026-11-24`) or the `"month"` (`2026-11`) of an hour, in UTC; the hour's number where no calendar reaches it."""
    text = hour_to_text(hour)
    return text[: _PERIODS[period]] if "T" in text else text
