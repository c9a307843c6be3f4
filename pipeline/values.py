"""Limits and tests of values that need no library, so that what must start fast need not load one."""

from __future__ import annotations

INT64_MAX = 2**63 - 1


def is_utf8(text: str) -> bool:
    """Whether a Python text can be stored: one that came from bytes that are not UTF-8 has lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
