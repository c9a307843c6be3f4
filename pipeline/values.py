"""Limits and tests of values that need no library, so that what must start fast need not load one."""

from __future__ import annotations

INT64_MAX = 2**63 - 1


#: What is kept of a rejected cell, and of the row, in bytes. The rest of a long one tells nobody more.
MAX_VALUE_BYTES, MAX_RAW_BYTES = 256, 4096


def shortened(text: bytes | memoryview, most: int) -> str:
    """Some bytes as text to be shown: what is not UTF-8 is escaped; of more than `most` bytes the first, and how many there are."""
    start = bytes(text[:most]).decode("utf-8", "backslashreplace")
    return start if len(text) <= most else f"{start}… ({len(text):,} bytes)"


def version() -> str:
    """This flowlog's."""
    from importlib import metadata  # slow to import, and seldom asked for

    try:
        return metadata.version("flowlog")
    except metadata.PackageNotFoundError:  # used from a checkout that was never installed
        return "0+unknown"


def is_utf8(text: str) -> bool:
    """Whether a Python text can be stored: one that came from bytes that are not UTF-8 has lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
