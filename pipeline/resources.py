"""What a run may take of the machine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from pipeline.errors import UsageError

MIB = 1 << 20
#: The part of the machine's memory that a run takes unless it is told otherwise, and the least that it takes then.
DEFAULT_PART, DEFAULT_LEAST = 32, 512 * MIB
#: What a run takes beside totals: the interpreter, its libraries, and freed memory that is kept; and for each worker the
#: rows that wait to be validated. Measured.
_BASE, _FOR_EACH_WORKER = 288 * MIB, 64 * MIB
#: What totals may take however little is left for them: less would make many small files of them.
_LEAST_FOR_TOTALS = 4 * MIB

#: GNU's malloc.h; and how large a piece, and how much at the top of the memory, is kept.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT, _MOST_KEPT = 8 * MIB, 64 * MIB

_SIZE = re.compile(r"(\d+)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True)
class Resources:
    """What a run may take of the machine.

    Attributes:
        workers: How many sources are read, and hours written, at once; None for one a processor.
        memory_bytes: The most memory that it should take; None for a fixed part of the machine's. Totals that do not
            fit go to disk; one hour's must fit.
    """

    workers: int | None = None
    memory_bytes: int | None = None

    @property
    def threads(self) -> int:
        """How many sources are read, and hours written, at once."""
        return self.workers or os.cpu_count() or 1

    @property
    def totals_bytes(self) -> int:
        """The memory for one table of totals: the run's, that of each source being read, and one that waits to be merged."""
        memory = self.memory_bytes or default_memory()
        left = memory - _BASE - self.threads * _FOR_EACH_WORKER
        return max(left // (1 + self.threads + 1), _LEAST_FOR_TOTALS)


def default_memory() -> int:
    """The memory that a run takes unless it is told otherwise, in bytes."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(machine // DEFAULT_PART, DEFAULT_LEAST)


def keep_freed_memory() -> None:
    """Has the C library, if it is GNU's, keep what is freed for what is needed next, for the rest of the process.

    It would give blocks of a file and columns of an hour back to the system at once, and get the next ones from there, page
    by page: a tenth of a run's time.
    """
    import ctypes  # a run that is refused its options does without

    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)


def parse_size(text: str) -> int:
    """Reads "512M", "2 GiB" or a number of bytes.

    Raises:
        UsageError: It is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or not int(match[1]):
        raise UsageError(f"{text!r} is no amount of memory; write it like 512M or 2G")
    return int(match[1]) * _UNITS[match[2].lower()]
