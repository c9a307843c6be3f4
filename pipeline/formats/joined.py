"""Small files that start alike, read as one text: what a reader costs for each file is then paid once."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pipeline.formats.apps import AppMap
from pipeline.formats.format import Format, Split
from pipeline.kernel.columns import count_lines
from pipeline.options import ReadOptions
from pipeline.syntax.batch import Batch, RowNumbers

#: Bytes whose reading depends on what lies beside them: a return alone may be a line's end; and NUL, and the first byte of
#: a byte order mark, which are in no text that must be fast.
_APART = (b"\r", b"\0", b"\xef")
_QUOTE = b'"'  # what it opens may go on in the next text


class JoinedText:
    """The text of some files.

    Args:
        known: Their format.
        header: What they all start with: whole lines, or b"" where the first line is a record.
    """

    def __init__(self, known: Format, header: bytes) -> None:
        self.format = known
        self._parts = [header]
        self._first_row = 1 + count_lines(header)
        self._starts = [self._first_row]  # the line on which each file's records start; one more for the next

    def add(self, records: bytes) -> None:
        """Adds a file: all that it has behind its header."""
        self._parts.append(records if records.endswith(b"\n") else records + b"\n" * bool(records))
        self._starts.append(self._starts[-1] + count_lines(records))

    def read(self, options: ReadOptions, apps: AppMap) -> Iterator[Batch]:
        """The batches of all files, in their order; `place` tells whose row is whose.

        Raises:
            SourceError: One of the files cannot be counted; which one, only reading it alone can tell.
        """
        return self.format.read(io.BytesIO(b"".join(self._parts)), options, apps)

    def borders(self, rows: RowNumbers) -> npt.NDArray[np.intp]:
        """Where each file's rows begin among some row numbers in order, and behind the last file's their end."""
        return np.searchsorted(rows, self._starts)

    def place(self, rows: RowNumbers) -> tuple[npt.NDArray[np.int64], RowNumbers]:
        """From row numbers of the batches: the number of the file, and the row number in it."""
        starts = np.array(self._starts)
        files = np.searchsorted(starts, rows, side="right") - 1
        return files, rows - starts[files] + self._first_row


def parts_of(text: bytes, split: Split) -> tuple[bytes, bytes] | None:
    """A text's header, and the records behind it; None if the text must not be joined to others.

    Nothing that a text holds may change how another is read. So a text is joined only if its records are lines that each
    stand for themselves: what its format reads otherwise (a further header, a directive) is for `split` to see.
    """
    return None if any(byte in text for byte in _APART) else split(text)


def split_first_line(text: bytes) -> tuple[bytes, bytes] | None:
    """The first line of a text, and what is behind it (see `interface.Split`)."""
    end = text.find(b"\n") + 1
    return (text[:end], text[end:]) if end and _QUOTE not in text else None
