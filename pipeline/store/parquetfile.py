"""How the store reads and writes Parquet: checksums, and what is said of a file that cannot be read.

Files are read by the class of Arrow on which its `pyarrow.parquet.ParquetFile` stands. That module brings file systems, with
them the encryption of networks, and takes longer to import than an hour's file to read; only what writes imports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from pipeline.errors import StoreDamaged

#: `pre_buffer` would start a thread, as `query.sums.sort_rows` tells.
READ_OPTIONS: dict[str, Any] = {"page_checksum_verification": True, "pre_buffer": False}
#: What reading a damaged file may raise; UnicodeDecodeError is a ValueError.
_UNREADABLE = (pa.ArrowException, OSError, ValueError)
WRITE_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "write_page_checksum": True,  # a reader that checks them, as `verify` does, finds a flipped bit
}


@contextmanager
def damage(path: str | PurePath, problem: str = "") -> Iterator[None]:
    """Says that a file is damaged where Arrow cannot read it; not where there is none.

    Args:
        path: The file.
        problem: What is said before Arrow's own words, which may be several lines.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise StoreDamaged(str(path), problem + " ".join(str(error).split())) from error


def check_columns(path: str | PurePath, found: pa.Schema, expected: pa.Schema) -> None:
    """Raises StoreDamaged where a file has other columns than it must have."""
    if not found.equals(expected):
        columns = ", ".join(f"{field.name}: {field.type}" for field in found)  # a name need not be UTF-8
        raise StoreDamaged(str(path), f"its columns are {columns}")
