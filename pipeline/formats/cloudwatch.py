"""Lines of a log as they come out of CloudWatch, with something around each.

An export to S3 puts the time of ingestion in front of each line (`2025-11-26T08:00:10.000Z 2 1111… OK`). The console, and
Logs Insights, give CSV: `timestamp,message` or `@timestamp,@message`, perhaps with more columns, where the message is the
line. The line has its own time; CloudWatch's is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_EXPORTED_AT = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z[ \t]+", re.MULTILINE)
_CELL = rb'(?:"(?:[^"\n]|"")*"|[^",\n]*)'
_NOT_MESSAGE = re.compile(rb'^[^\n]*[",][^\n]*$', re.MULTILINE)  # no line of a flow log has these
_MESSAGE = rb'(?:"([^"\n]*)"|([^",\n]*))'


def without_times(lines: bytes) -> bytes:
    """Lines of an export to S3 without the times before them; other lines stay as they are."""
    return _EXPORTED_AT.sub(b"", lines)


def messages_under(header: str) -> Callable[[bytes], bytes] | None:
    """How to make the messages, one a line, of the lines of a CSV file; None if this is not the header of one.

    A line that is not such a row becomes a line that will be rejected; a second header, as in files that were joined, becomes a blank
    line.
    """
    names = [cell.strip().strip('"').removeprefix("@") for cell in header.split(",")]
    if "timestamp" not in names or "message" not in names:
        return None
    place = names.index("message")
    before, behind = _CELL + b",", b"," + _CELL
    row = re.compile(
        rb"^(?:%b){%d}%b(?:%b){%d}(?=\r?$)" % (before, place, _MESSAGE, behind, len(names) - place - 1), re.MULTILINE
    )
    again = re.compile(rb"^%b(?=\r?$)" % re.escape(header.encode("utf-8", "surrogateescape")), re.MULTILINE)
    return lambda lines: _NOT_MESSAGE.sub(b"?", row.sub(rb"\1\2", again.sub(b" ", lines)))
