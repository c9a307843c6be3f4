"""Text in blocks of whole lines, each with its place in the file.

A block is big enough for Arrow's vectorised parsers and small enough for the processor's cache; memory does not
depend on the size of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from pipeline.errors import UnknownFormat, UnreadableSource

BLOCK_BYTES = 4 << 20
#: No log line comes near it; a "line" that does is not one, and must not fill the memory.
MAX_LINE_BYTES = 32 << 20
#: A raw row is kept in `rejects` up to this length.
MAX_RAW_CHARACTERS = 4096

_BOM = b"\xef\xbb\xbf"
_NEWLINE, _RETURN = ord("\n"), ord("\r")

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TextBlock:
    """Some consecutive whole lines of a file.

    Attributes:
        data: Their bytes. The last line of a file may lack its newline.
        first_line: The number of the first line in its file; the file's first line is 1.
    """

    data: bytes
    first_line: int

    @cached_property
    def line_count(self) -> int:
        return self.data.count(b"\n") + bool(self.data and not self.data.endswith(b"\n"))

    @property
    def is_plain(self) -> bool:
        """Whether Arrow sees the same lines: it takes a carriage return alone for a line's end, too."""
        if self.data.startswith(_BOM):  # Arrow takes it off from each text that it is given; here it is data
            return False
        returns = self.data.count(b"\r")
        return not returns or returns == self.data.count(b"\r\n")

    @cached_property
    def line_ends(self) -> Offsets:
        """Where each line ends: the offset behind its newline."""
        ends = np.flatnonzero(np.frombuffer(self.data, np.uint8) == _NEWLINE) + 1
        return ends if len(ends) == self.line_count else np.append(ends, len(self.data))

    @cached_property
    def line_starts(self) -> Offsets:
        return np.concatenate(([0], self.line_ends[:-1]))

    def rows(self) -> npt.NDArray[np.int64]:
        """The numbers of the lines that are not blank, which no reader takes for records."""
        numbers = np.arange(self.first_line, self.first_line + self.line_count)
        if b"\n\n" in self.data or b"\n\r" in self.data or self.data[:1] in (b"\n", b"\r"):
            numbers = numbers[~self._blank_lines()]
        return numbers

    def _blank_lines(self) -> npt.NDArray[np.bool_]:
        first = np.frombuffer(self.data, np.uint8)[self.line_starts]
        length = self.line_ends - self.line_starts
        blank = (first == _NEWLINE) | ((first == _RETURN) & (length <= len("\r\n")))
        for i in np.flatnonzero((first == _RETURN) & ~blank):  # more returns in a row than any system writes
            blank[i] = not self.data[self.line_starts[i] : self.line_ends[i]].strip(b"\r\n")
        return blank

    def rows_of(self, count: int) -> npt.NDArray[np.int64] | None:
        """The same, if there are so many of them; None if there are not.

        Whoever asks has seen that no line holds two records, and no record two lines: as many records as lines are one
        on each.
        """
        if count == self.line_count:  # one on each line: there is no need to look for blank ones
            return np.arange(self.first_line, self.first_line + count)
        rows = self.rows()
        return rows if len(rows) == count else None

    def line(self, number: int) -> bytes:
        """The line of that number in the file, without its newline."""
        i = number - self.first_line
        return self.data[self.line_starts[i] : self.line_ends[i]].rstrip(b"\r\n")

    def cut_at(self, line: re.Pattern[bytes]) -> Iterator[TextBlock]:
        """The block in pieces: each line that matches alone, and what lies between them.

        Args:
            line: Matches a whole line with its newline, in multi-line mode.
        """
        start, number = 0, self.first_line
        for match in line.finditer(self.data):
            for begin, end in ((start, match.start()), match.span()):
                if begin < end:
                    piece = TextBlock(self.data[begin:end], number)
                    yield piece
                    number += piece.line_count
            start = match.end()
        if start < len(self.data):
            yield TextBlock(self.data[start:], number)

    def behind(self, number: int) -> TextBlock:
        """The lines behind the one of that number in the file."""
        return TextBlock(self.data[self.line_ends[number - self.first_line] :], number + 1)

    def raw_of(self, number: int) -> str:
        """The line of that number as text to be shown."""
        return raw_text(self.line(number))


def raw_text(raw: bytes) -> str:
    """A raw row as text: what is not UTF-8 is escaped, and a very long row is cut with a note of its length."""
    if len(raw) <= MAX_RAW_CHARACTERS:
        return raw.decode("utf-8", "backslashreplace")
    return raw[:MAX_RAW_CHARACTERS].decode("utf-8", "backslashreplace") + f"… ({len(raw):,} bytes)"


def text_blocks(
    stream: BinaryIO,
    cut: Callable[[bytes], int] = lambda data: data.rfind(b"\n") + 1,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[TextBlock]:
    """Reads a stream in blocks of whole lines.

    Args:
        stream: Decompressed text.
        cut: Where in some bytes the last whole record ends: the offset behind it, 0 if none does.
        block_bytes: About how many bytes a block has.

    Raises:
        UnknownFormat: The text is UTF-16 or UTF-32.
        UnreadableSource: A line is longer than `MAX_LINE_BYTES`.
    """
    line = 1
    start = stream.read(len(_BOM))
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnknownFormat("UTF-16 or UTF-32 text", "convert it to UTF-8")
    rest = start.removeprefix(_BOM)
    while chunk := stream.read(block_bytes):
        data = rest + chunk
        end = cut(data)
        if end:
            block = TextBlock(data[:end], line)
            yield block
            line += block.line_count
        rest = data[end:]
        if len(rest) > MAX_LINE_BYTES:
            raise UnreadableSource(f"line {line} is longer than {MAX_LINE_BYTES >> 20} MiB; this is no flow log")
    if rest:
        yield TextBlock(rest, line)
