"""Limits and tests of values that need no library, so that what must start fast need not load one."""

from __future__ import annotations

INT64_MAX = 2**63 - 1


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
