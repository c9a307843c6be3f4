"""An hour, as flowlog counts it: whole hours since 1970-01-01T00:00 UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from pipeline.errors import UsageError

SECONDS_PER_HOUR = 3600
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2})(?::00(?::00)?)?(?:Z|\+00:00)?")


def parse_hour(text: str) -> int:
    """Reads an hour as a user writes it.

    Args:
        text: An integer (`498752`) or a UTC time on the hour (`2026-11-24T08`, also `…T08:00Z`).

    Raises:
        UsageError: It is neither, or not a positive hour.
    """
    if re.fullmatch(r"[+-]?\d+", text):
        hour = int(text) if len(text) < 30 else 2**63  # Python refuses to convert thousands of digits
    elif match := _TIME.fullmatch(text):
        try:
            moment = datetime.fromisoformat(f"{match[1]}T{match[2]}:00:00+00:00")
        except ValueError as error:
            raise UsageError(f"the hour {text!r} is not on the calendar: {error}") from None
        hour = int((moment - _EPOCH).total_seconds()) // SECONDS_PER_HOUR
    else:
        raise UsageError(f"the hour {text[:40]!r} is neither an integer (498752) nor a UTC time (2026-11-24T08)")
    if not 0 < hour < 2**63:
        raise UsageError(f"the hour {text[:40]} must be positive and fit into 64 bits")
    return hour


def hour_to_text(hour: int) -> str:
    """The UTC time at which an hour starts, as `2026-11-24T08`; the number itself where no calendar reaches it."""
    try:
        return (_EPOCH + timedelta(hours=hour)).strftime("%Y-%m-%dT%H")
    except OverflowError:
        return str(hour)
