"""Text in blocks of whole lines, each with its place in the file.

A block is big enough for Arrow's vectorised parsers and small enough for the processor's cache; memory does not
depend on the size of the file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import BinaryIO, Self, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.errors import UnknownFormat, UnreadableSource
from pipeline.kernel.columns import Survey, lines_with, survey
from pipeline.scalars import MAX_RAW_BYTES, shortened
from pipeline.syntax.batch import RowNumbers
from pipeline.syntax.seekable import is_in_memory
from pipeline.syntax.stream import ReadStream

BLOCK_BYTES = 4 << 20
#: The longest record: a line of text, a record of CSV with its quoted newlines, a value of a JSON document. The longest that
#: are known are envelopes of CloudWatch, which hold up to 1 MiB of events, and an interface's minute in Azure's logs. A record
#: that is longer is none, and must neither fill the memory nor be made into Python objects: "{}," a million times takes a
#: hundred times its text.
MAX_LINE_BYTES = 4 << 20
#: The most lines that are read at once: a block of the shortest ones would have two million, each of which may be rejected.
MAX_LINES_AT_ONCE = 3 << 16
#: Blocks of delimited text are larger than others: what is done once a block is a tenth of the time of one of 4 MiB. Larger ones gain
#: nothing more: they leave the processor's cache.
_TEXT_BYTES = 8 << 20

#: So many bytes of a file are looked at for the last newline in a block.
_LOOKED_AT = 1 << 12

#: The byte order mark, in UTF-8.
BOM = b"\xef\xbb\xbf"
_MARKED_LINE = b"\n" + BOM
_NOT_BLANK = re.compile(rb"^[ \t\r]*[^ \t\r\n][^\n]*", re.MULTILINE)
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
    def survey(self) -> Survey:
        """What a look at all bytes tells."""
        return survey(self.data)

    @cached_property
    def line_count(self) -> int:
        return self.survey.line_count

    def counted(self, lines: int) -> None:
        """Notes how many lines it has, which somebody has counted on the way."""
        vars(self)["line_count"] = lines

    @property
    def nbytes(self) -> int:
        """The memory that it takes, at most: its text, and where each line starts and ends."""
        return len(self.data) + 2 * 8 * self.line_count

    @property
    def is_plain(self) -> bool:
        """Whether Arrow sees the same lines: it takes a carriage return alone for a line's end, too."""
        if b"\0" in self.survey.seen or self.data.startswith(BOM):  # Arrow takes the one for text, and drops the other
            return False
        if b"\r" not in self.survey.seen:
            return True
        returns = self.data.count(b"\r")
        return returns == self.data.count(b"\r\n")

    @property
    def stands_alone(self) -> bool:
        """Whether lines of other files must not lie beside these: some bytes have a whole block read on a slower way."""
        return b"\r" in self.survey.seen or b"\0" in self.survey.seen

    def without_marks(self) -> Self:
        """The block without the byte order marks in front of its lines: they are where files began that were joined to others."""
        if BOM[:1] not in self.survey.seen:
            return self
        return replace(self, data=self.data.removeprefix(BOM).replace(_MARKED_LINE, b"\n"))

    def last_end(self, rest: bytes) -> int:
        """Where the last whole record ends in a text that lacks one, `rest`, and this behind it: the offset behind its newline; 0 if
        there is none.
        """
        end = self.data.rfind(b"\n") + 1
        return len(rest) + end if end else 0

    @cached_property
    def line_ends(self) -> Offsets:
        """Where each line ends: the offset behind its newline."""
        ends = np.flatnonzero(np.frombuffer(self.data, np.uint8) == _NEWLINE) + 1
        return ends if len(ends) == self.line_count else np.append(ends, len(self.data))

    @property
    def record_ends(self) -> Offsets:
        """Where each record ends, behind its newline."""
        return self.line_ends

    @cached_property
    def line_starts(self) -> Offsets:
        return np.concatenate(([0], self.line_ends[:-1]))

    def numbers(self, count: int) -> RowNumbers:
        """The numbers of its lines, of which there are so many."""
        return np.arange(self.first_line, self.first_line + count)

    def index_of(self, number: int) -> int:
        """Which line has that number in the file; the first line of the block is 0."""
        return number - self.first_line

    def rows(self) -> RowNumbers:
        """The numbers of the lines that are not blank, which no reader takes for records."""
        numbers = self.numbers(self.line_count)
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

    def rows_of(self, count: int) -> RowNumbers | None:
        """The numbers of the lines that are not blank, if these are `count` lines; None if they are not.

        The caller has seen that no line holds two records, and that no record spans two lines: where there are as many records as
        lines, each line has one.
        """
        if count == self.line_count:  # one on each line: there is no need to look for blank ones
            return self.numbers(count)
        rows = self.rows()
        return rows if len(rows) == count else None

    def line(self, number: int) -> bytes:
        """The line of that number in the file, without its newline."""
        i = self.index_of(number)
        return self.data[self.line_starts[i] : self.line_ends[i]].rstrip(b"\r\n")

    def part(self, start: int, end: int) -> TextBlock:
        """Its lines from the one with the index `start` to the one before `end`."""
        starts = np.append(self.line_starts, len(self.data))
        return TextBlock(self.data[starts[start] : starts[end]], self.first_line + start)

    def pieces(self) -> Iterator[Self]:
        """The block in pieces of whole records that have at most so many lines, but for records of more: itself, mostly."""
        if len(self.data) <= MAX_LINES_AT_ONCE or self.line_count <= MAX_LINES_AT_ONCE:  # few bytes need not be counted
            yield self
            return
        start, number = 0, self.first_line
        for end in [*self.record_ends[MAX_LINES_AT_ONCE - 1 : -1 : MAX_LINES_AT_ONCE].tolist(), len(self.data)]:
            piece = replace(self, data=self.data[start:end], first_line=number)
            yield piece
            start, number = end, number + piece.line_count

    def lines(self, indices: Offsets) -> ScatteredLines:
        """Some of its lines, from 0 on, in order."""
        starts, ends = self.line_starts[indices].tolist(), self.line_ends[indices].tolist()
        data = b"".join(self.data[start:end] for start, end in zip(starts, ends, strict=True))
        return ScatteredLines(data, self.first_line, self.numbers(self.line_count)[indices], self)

    def cut_at(self, starts: Iterable[int]) -> Iterator[TextBlock]:
        """The block in pieces: each line that starts at one of these offsets alone, and what lies between them."""
        begin, number = 0, self.first_line
        for start in starts:
            end = self.data.find(b"\n", start) + 1 or len(self.data)
            for piece in (self.data[begin:start], self.data[start:end]):
                if piece:
                    block = TextBlock(piece, number)
                    yield block
                    number += block.line_count
            begin = end
        if not begin:
            yield self
        elif begin < len(self.data):
            yield TextBlock(self.data[begin:], number)

    def lines_with(self, text: bytes) -> list[int]:
        """Where the lines start that have these four bytes somewhere."""
        return lines_with(self.data, text)

    def split_first(self) -> tuple[bytes, Self] | None:
        """The first line that is not blank, without its newline, and the lines behind it; None if all are blank."""
        first = _NOT_BLANK.search(self.data)
        if first is None:
            return None
        before = self.data.count(b"\n", 0, first.start()) + 1
        rest = type(self)(self.data[first.end() + 1 :], self.first_line + before)
        if not self.survey.seen:  # nor in the rest, which need not be looked at: there may be letters
            vars(rest)["survey"] = Survey(self.line_count - before, b"", self.survey.has_letters)
        return first[0].rstrip(b"\r"), rest

    def raw_of(self, number: int) -> str:
        """The line of that number as text to be shown."""
        return raw_text(self.line(number))


@dataclass(frozen=True)
class NumberedLines(TextBlock):
    """Lines whose numbers grow, with gaps between them.

    Attributes:
        line_numbers: Of each.
    """

    line_numbers: RowNumbers

    @property
    def stands_alone(self) -> bool:
        return True  # among others, a line is told by how far it is behind the first one of its block

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.line_numbers.nbytes

    def numbers(self, count: int) -> RowNumbers:
        return self.line_numbers[:count]

    def index_of(self, number: int) -> int:
        return int(np.searchsorted(self.line_numbers, number))

    def part(self, start: int, end: int) -> Self:
        data = super().part(start, end).data
        return replace(self, data=data, first_line=int(self.line_numbers[start]), line_numbers=self.line_numbers[start:end])

    def pieces(self) -> Iterator[Self]:
        if self.line_count <= MAX_LINES_AT_ONCE:
            yield self
            return
        for start in range(0, self.line_count, MAX_LINES_AT_ONCE):
            yield self.part(start, min(start + MAX_LINES_AT_ONCE, self.line_count))


@dataclass(frozen=True)
class ScatteredLines(NumberedLines):
    """Some lines of a file that do not lie side by side there.

    Attributes:
        whole: The block that they are from.
    """

    whole: TextBlock

    def raw_of(self, number: int) -> str:
        return self.whole.raw_of(number)


def raw_text(raw: bytes) -> str:
    """A raw row as text to be shown."""
    return shortened(raw, MAX_RAW_BYTES)


Block = TypeVar("Block", bound=TextBlock)


def text_blocks(
    stream: BinaryIO,
    kind: type[Block],
    is_header: Callable[[bytes], bool] = lambda _: False,
) -> Iterator[Block]:
    """Reads a stream in blocks of whole lines.

    A byte order mark in front of a line is dropped: it is where a file began that was joined to another.

    Args:
        stream: Decompressed text.
        kind: The blocks' class, which says where in a text the last whole record ends.
        is_header: Whether a first line is a header. It is then a block of its own where looking ahead costs nothing: to cut it off
            would copy the lines behind it.

    Raises:
        UnknownFormat: The text is UTF-16 or UTF-32.
        UnreadableSource: A line is longer than `MAX_LINE_BYTES`.
    """
    line, rest = 1, b""
    chunk = _header_of(stream, is_header) or read_lines(stream, max(_TEXT_BYTES, len(BOM)))
    if chunk.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnknownFormat("UTF-16 or UTF-32 text", "convert it to UTF-8")
    chunk = chunk.removeprefix(BOM) or stream.read(_TEXT_BYTES)
    while chunk:
        block = kind(chunk, line)
        if end := block.last_end(rest):
            if rest or end < len(chunk):  # the text is copied once at the most
                block = kind(b"".join((rest[:end], memoryview(chunk)[: max(0, end - len(rest))])), line)
            block = block.without_marks()
            yield from block.pieces()
            line += block.line_count
        rest = rest[end:] + chunk[max(0, end - len(rest)) :]
        del block, chunk  # so that the next block takes their memory
        chunk = read_lines(stream, _TEXT_BYTES)
        if _is_too_long(rest, chunk):
            raise UnreadableSource(f"line {line} is longer than {MAX_LINE_BYTES >> 20} MiB; this is no flow log")
    if rest:
        yield from kind(rest, line).without_marks().pieces()


def read_lines(stream: BinaryIO, size: int) -> bytes:
    """Reads up to so many bytes; where looking ahead costs nothing, so many that a line ends there: then no text need be copied to have
    whole lines. A copy takes time, in which Python's lock is held.
    """
    if size <= _LOOKED_AT or not _is_at_hand(stream):
        return stream.read(size)
    start = stream.tell()
    stream.seek(start + size - _LOOKED_AT)
    end = stream.read(_LOOKED_AT).rfind(b"\n") + 1
    stream.seek(start)
    return stream.read(size - _LOOKED_AT + end if end else size)


def _header_of(stream: BinaryIO, is_header: Callable[[bytes], bool]) -> bytes:
    """Reads the first line of a stream if it is a header; nothing if it is none, or to look at it costs something."""
    if not _is_at_hand(stream):
        return b""
    start = stream.tell()
    line = stream.read(_LOOKED_AT)
    line = line[: line.find(b"\n") + 1]
    found = line if line and is_header(line) else b""
    stream.seek(start + len(found))
    return found


def _is_at_hand(stream: BinaryIO) -> bool:
    """Whether a stream is in memory, or a file of this machine, and looking ahead saves a copy."""
    if type(stream) is io.BytesIO:  # it gives all that it has at once, as it is
        return False
    if is_in_memory(stream):
        return True
    try:
        return stream.fileno() >= 0
    except OSError:
        return False


class LinesOfReturns(ReadStream):
    """Text whose lines end in carriage returns alone, as old Macs and some spreadsheets write it, with newlines instead.

    Raises:
        UnreadableSource: By `read`, where there is a newline all the same.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        if b"\n" in data:
            raise UnreadableSource(
                "its lines end in carriage returns at first, and in newlines later; let all end in newlines"
            )
        return data.replace(b"\r", b"\n")


def _is_too_long(rest: bytes, chunk: bytes) -> bool:
    """Whether what starts with `rest`, and goes on in `chunk` to its first newline at the least, is too long a record."""
    if len(rest) + len(chunk) <= MAX_LINE_BYTES:
        return False
    newline = chunk.find(b"\n")
    return len(rest) + (newline if newline >= 0 else len(chunk)) > MAX_LINE_BYTES
