"""Values, one at a time: the hours, sizes, paths and commands that users type and read, and the digests that identify content.

The module needs no library, so that what must start fast loads none.

An hour, as flowlog counts it, is a number of whole hours since 1970-01-01T00:00 UTC.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from pipeline.errors import UsageError

if TYPE_CHECKING:
    import xxhash

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


#: How much of the text of an hour is its day, and its month.
_PERIODS = {"day": len("2026-11-24"), "month": len("2026-11")}

INT64_MAX = 2**63 - 1
#: Whether a record may have 0 bytes in a direction.
ZeroBytes = Literal["accept", "reject"]
#: What is kept of a rejected cell, and of the row, in bytes. The rest of a long one tells nobody more.
MAX_VALUE_BYTES, MAX_RAW_BYTES = 256, 4096


def shortened(text: bytes | memoryview, most: int) -> str:
    """Some bytes as text to be shown: what is not UTF-8 is escaped; of more than `most` bytes the first, and how many there are."""
    start = bytes(text[:most]).decode("utf-8", "backslashreplace")
    return start if len(text) <= most else f"{start}… ({len(text):,} bytes)"


def printable(text: str) -> str:
    """A text with all that is not to be seen escaped: a name must not move the cursor, recolour or reorder a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def period_of(hour: int, period: str) -> str:
    """The `"day"` (`2026-11-24`) or the `"month"` (`2026-11`) of an hour, in UTC; the hour's number where no calendar reaches it."""
    text = hour_to_text(hour)
    return text[: _PERIODS[period]] if "T" in text else text


#: What pip knows flowlog by.
DISTRIBUTION = "flowlog-pipeline"


def version() -> str:
    """This flowlog's."""
    from importlib import metadata  # slow to import, and seldom asked for

    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:  # used from a checkout that was never installed
        return "0+unknown"


def is_utf8(text: str) -> bool:
    """Whether a Python text can be stored: one that came from bytes that are not UTF-8 has lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def column_named_twice(names: Sequence[str], wanted: Iterable[str]) -> str:
    """What is wrong with a list of columns that has a wanted one more than once, so that its cells are ambiguous; "" where none is."""
    twice = (name for name in wanted if names.count(name) > 1)
    return next((f"names the column {name} {names.count(name)} times" for name in twice), "")


#: The store of commands that name none.
DEFAULT_STORE = Path("data/store")
#: What sets another one for all commands.
STORE_VARIABLE = "FLOWLOG_STORE"


def command_line(*words: str, store: os.PathLike[str]) -> str:
    """A command that can be copied into a shell as it stands; it names the store wherever leaving it out may mean another."""
    from shlex import join  # most commands name no other

    is_meant_anyway = os.fspath(store) == os.fspath(DEFAULT_STORE) and STORE_VARIABLE not in os.environ
    return join(["flowlog", *words, *([] if is_meant_anyway else ["--store", os.fspath(store)])])


def real_path(path: str | os.PathLike[str]) -> Path:
    """A path without links. A path that cannot be followed, as links in a circle, stays as it is: opening it will tell why.

    Python before 3.13 raises RuntimeError in `Path.resolve` for links in a circle.
    """
    try:
        return Path(os.path.realpath(path))
    except ValueError:  # a NUL
        return Path(path)


_SIZE = r"(\d+)\s*([kmgt]?)i?b?"
_SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_size(text: str) -> int:
    """Reads "512M", "2 GiB" or a number of bytes.

    Raises:
        UsageError: It is no size.
    """
    match = re.fullmatch(_SIZE, text.strip(), re.IGNORECASE)
    if match is None or not int(match[1]):
        raise UsageError(f"{text!r} is no amount of memory; write it like 512M or 2G")
    return int(match[1]) * _SIZE_UNITS[match[2].lower()]


_DECIMAL_UNITS = "kMGTPEZ"


def count_to_text(number: int, noun: str) -> str:
    """Some things as people say them: `1 hour`, `1,200 hours`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def bytes_to_text(number: int) -> str:
    """Bytes as people say them: `999 B`, `1.2 GB`; a kB has 1,000 bytes."""
    if abs(number) < 1000:
        return f"{number} B"
    size, unit = number / 1000, "k"
    for larger in _DECIMAL_UNITS[1:]:
        if abs(size) < 999.95:  # which is not written as 1000.0
            break
        size, unit = size / 1000, larger
    return f"{size:,.1f} {unit}B"


def parse_bytes(text: str) -> int:
    """Reads an amount of traffic as `bytes_to_text` writes it, and as `1.5G` or a number of bytes.

    Raises:
        UsageError: It is none.
    """
    match = re.fullmatch(
        rf"(\d{{1,20}})(?:\.(\d{{1,20}}))?\s*([{_DECIMAL_UNITS}]?)b?", text.strip(), re.IGNORECASE | re.ASCII
    )
    if match is None:
        raise UsageError(f"{text[:40]!r} is no number of bytes; write it like 1500, 20kB or 1.5GB")
    whole, fraction, unit = match[1], match[2] or "", match[3].lower()
    scale = 1000 ** (_DECIMAL_UNITS.lower().index(unit) + 1 if unit else 0)
    return int(whole + fraction) * scale // 10 ** len(fraction)


#: What tells without reading that a source is as it was: its name, its size, and its ETag where it has one, else its time of
#: modification, in nanoseconds.
Appearance: TypeAlias = tuple[str, int, int | str]


class Content(NamedTuple):
    """What identifies a content.

    Attributes:
        digest: XXH3-128 of all its bytes, in hexadecimal.
        size: In bytes.
        head: XXH3-64 of its head, in hexadecimal.
    """

    digest: str
    size: int
    head: str


NO_CONTENT = Content("", 0, "")


def new_digest() -> xxhash.xxh3_128:
    """What takes a digest piece by piece."""
    import xxhash  # a query takes no digest

    return xxhash.xxh3_128()


def digest_of_bytes(data: bytes | memoryview) -> str:
    """XXH3-128 of some bytes, in hexadecimal."""
    import xxhash  # as above

    return xxhash.xxh3_128_hexdigest(data)
