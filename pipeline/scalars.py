"""Values, one at a time: the sizes, paths and commands that users type and read, and texts that can be stored and shown.

The module needs no library, so that what must start fast loads none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pipeline.errors import UsageError

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
