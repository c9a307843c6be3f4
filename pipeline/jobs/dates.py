"""Dates in paths: `{yyyy}/{mm}/{dd}/{hh}`, as logs are filed by whoever delivers them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pipeline.hours import SECONDS_PER_HOUR

#: How each part is looked for, and how it is written.
_PARTS = {
    "{yyyy}": ("[0-9]" * 4, "%Y"),
    "{mm}": ("[0-9]" * 2, "%m"),
    "{dd}": ("[0-9]" * 2, "%d"),
    "{hh}": ("[0-9]" * 2, "%H"),
}
_PART = "|".join(map(re.escape, _PARTS))
#: The dates may be those of any time zone (from 12 hours behind UTC to 14 ahead of it), and of a clock that is an hour wrong.
_BEHIND, _AHEAD = 12 + 1, 14 + 1


def has_dates(path: str) -> bool:
    """Whether a path has parts that stand for dates."""
    return any(part in path for part in _PARTS)


def without_dates(path: str, since: int | None, now: datetime | None = None) -> list[str]:
    """The patterns for which a path with dates stands.

    Args:
        path: The path.
        since: The first hour that is meant; None for all dates, which are then looked for.
        now: The end of what is meant; None for the clock's time.
    """
    if since is None:
        return [re.sub(_PART, lambda part: _PARTS[part[0]][0], path)]
    first = max(since - _BEHIND, 0)
    until = int((now or datetime.now(UTC)).timestamp()) // SECONDS_PER_HOUR + _AHEAD + 1
    return list(dict.fromkeys(_at(hour, path) for hour in range(first, until)))


def _at(hour: int, path: str) -> str:
    moment = datetime.fromtimestamp(hour * SECONDS_PER_HOUR, UTC)
    return re.sub(_PART, lambda part: moment.strftime(_PARTS[part[0]][1]), path)


def nothing_matches(path: str, since: int | None) -> str:
    """What is said of a pattern that nothing matches."""
    return f"nothing matches {path}" + (
        " since the time that --since names" if since is not None and has_dates(path) else ""
    )
