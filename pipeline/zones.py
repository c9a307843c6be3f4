"""Time zones, as users name them: IANA's names, and fixed offsets."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo

from pipeline.errors import UsageError

#: The zone of a log that writes local times, where the user names none.
DEFAULT_ZONE = "UTC"
_OFFSET = r"([+-])(\d\d):?([0-5]\d)"
_MOST_HOURS = 14  # no place on earth is farther from UTC
#: "localtime" is a file that says something else on each machine, and the totals of a run must not depend on that.
_OF_THE_MACHINE = "localtime"


def zone_of(name: str) -> tzinfo:
    """The time zone of a name like `Europe/Berlin`, or an offset like `+02:00`.

    Raises:
        UsageError: There is none; the message has the nearest names.
    """
    if name == DEFAULT_ZONE:
        return UTC
    if offset := re.fullmatch(_OFFSET, name):
        sign, hours, minutes = offset.groups()
        if int(hours) <= _MOST_HOURS:
            return timezone((1 if sign == "+" else -1) * timedelta(hours=int(hours), minutes=int(minutes)), name)
    elif name != _OF_THE_MACHINE:
        from zoneinfo import ZoneInfo  # few logs need it

        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # no such name; no name at all, as "../x"; a folder of names, as "Europe"
            pass
    near = _nearest(name)
    raise UsageError(
        f"--timezone: there is no time zone {name!r}"
        + (f"; did you mean {' or '.join(near)}?" if near else "; give a name like Europe/Berlin, or an offset like +02:00")
    )


def _nearest(name: str) -> list[str]:
    """The names that are most like a text, whole or in their last part: Berlin is Europe/Berlin."""
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    names = {known.lower(): known for known in available_timezones() - {_OF_THE_MACHINE}}
    cities = {known.rpartition("/")[2]: known for known in names}
    wanted = name.lower().replace(" ", "_")
    found = [*get_close_matches(wanted, names, n=2), *(cities[city] for city in get_close_matches(wanted, cities, n=2))]
    return [names[known] for known in dict.fromkeys(found)]
