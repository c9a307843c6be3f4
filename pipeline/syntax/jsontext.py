"""A stream of JSON: its lines, as long as each holds what it should, or its values, whatever stands between them.

The values of a stream are its top-level values, and of an array among them the elements. They may stand one a line, on many
lines each (as `jq` prints them), side by side (as Firehose joins them), or with commas between them. Memory depends on the
largest value, not on the stream.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from pipeline.errors import UnreadableSource
from pipeline.kernel.jsonvalues import Behind, Between, Stop, Values, count_newlines, split_json
from pipeline.syntax.batch import RowNumbers
from pipeline.syntax.blocks import (
    BLOCK_BYTES,
    BOM,
    MAX_LINE_BYTES,
    MAX_LINES_AT_ONCE,
    Offsets,
    ScatteredLines,
    TextBlock,
    raw_text,
    read_lines,
)
from pipeline.syntax.lines import refuse_packed

#: A line of so many bytes with several values is none: it need not end. An object of so many is large.
LONG_LINE_BYTES = 4 << 20
#: What is done once a block costs as much as to parse thousands of lines. So the next block has as many lines as there may be, if they are
#: as long as those before, and no more bytes than glibc keeps for the next one (see `process.keep_freed_memory`).
_MOST_BYTES_AT_ONCE = 28 << 20
#: A member of a large object is kept if it is no longer.
_MEMBER_BYTES = 1 << 10
_GAP = re.compile(rb"[ \t\r\n]*")
#: A line that was cut off is followed by other records: among so many lines behind it must be an object, if the stream has an
#: object on each line, and the value that begins on it breaks within them. A value that goes on for longer was written over
#: many lines.
TORN_LINES = 8
#: To count among so few bytes, a call of the kernel takes longer than Python.
_FEW_BYTES = 1 << 10
#: The most blanks with which such a line may begin.
_INDENT = 64


@dataclass(frozen=True)
class ValueBlock(TextBlock):
    """Consecutive values of a stream, each on a line of its own, whatever stood between them there.

    Attributes:
        first_line: The number of the first value among the stream's.
        text: What they were taken off.
        starts: Where in it each begins.
        ends: Where in it each ends.
    """

    text: bytes
    starts: Offsets
    ends: Offsets

    @property
    def nbytes(self) -> int:
        return super().nbytes + len(self.text) + self.starts.nbytes + self.ends.nbytes

    def value(self, number: int) -> bytes:
        """The value of that number as it stands in the stream."""
        i = self.index_of(number)
        return self.text[self.starts[i] : self.ends[i]]

    def raw_of(self, number: int) -> str:
        return raw_text(self.value(number))

    def part(self, start: int, end: int) -> TextBlock:
        part = super().part(start, end)
        numbers: RowNumbers = self.numbers(len(self.starts))[start:end]
        return ScatteredLines(part.data, part.first_line, numbers, self)


class JsonText:
    """Reads a stream of JSON.

    Args:
        stream: Decompressed text.
        longest: The bytes of the longest line, or value; None for `MAX_LINE_BYTES`.

    Attributes:
        line: The number of the line on which begins what was not yet given out.
        is_last: Whether the stream is used up behind what was read.
        members: The short members of the large object whose array is being given out, as JSON.
    """

    def __init__(self, stream: BinaryIO, longest: int | None = None) -> None:
        self._stream = stream
        self._longest = MAX_LINE_BYTES if longest is None else longest
        self._data = read_lines(stream, max(BLOCK_BYTES, len(BOM))).removeprefix(BOM)
        self._at = 0  # what is before it was given out
        self._bytes_at_once = BLOCK_BYTES
        self._begins_line = True  # whether what was not yet given out does, blanks aside
        self.line = 1
        self.is_last = False
        self.members: dict[str, bytes] = {}

    @property
    def rest(self) -> bytes:
        """What was read of the stream and not yet given out."""
        return self._data[self._at :] if self._at else self._data

    def read(self) -> None:
        """Reads more of the stream."""
        chunk, rest = self._stream.read(BLOCK_BYTES), self.rest
        self.is_last = not chunk
        self._data, self._at = rest + chunk if rest else chunk, 0

    def lines(self) -> Iterator[TextBlock]:
        """Blocks of whole lines, up to the stream's end, or up to a long line with several values, which is no line at all.

        Raises:
            UnreadableSource: A line is longer than `longest`.
        """
        while data := self._take_lines():
            block = TextBlock(data, self.line)
            yield block
            self.line += block.line_count  # which the parser has counted meanwhile
            wanted = len(data) * MAX_LINES_AT_ONCE // block.line_count
            self._bytes_at_once = min(max(wanted, BLOCK_BYTES), _MOST_BYTES_AT_ONCE)
            del data, block  # their memory is free for the next ones

    def _take_lines(self) -> bytes:
        while not (end := self._data.rfind(b"\n", self._at) + 1) and not self.is_last:
            rest = self.rest
            if len(rest) >= LONG_LINE_BYTES and self._has_two_values():
                return b""
            self._check_length(f"line {self.line}")
            chunk = read_lines(self._stream, self._bytes_at_once)
            self.is_last = not chunk
            if rest and (end := chunk.rfind(b"\n") + 1):  # the lines are copied once
                self._data, self._at = chunk[end:], 0
                return b"".join((rest, memoryview(chunk)[:end]))
            self._data, self._at = rest + chunk if rest else chunk, 0
        end = len(self._data) if self.is_last else end
        taken, self._data, self._at = self._data[self._at : end], self._data[end:], 0  # of what was taken nothing is kept
        return taken

    def _has_two_values(self) -> bool:
        return len(split_json(self._data, Between(0), self._at, most=2).starts) == 2

    def unread(self, lines: TextBlock) -> None:
        """Takes back lines that were the last to be given out."""
        self._data, self._at = lines.data + self.rest, 0
        self.line = lines.first_line

    def next_lines(self, count: int) -> tuple[bytes, bool]:
        """What was not yet given out: so many lines of it, and whether the stream ends with them."""
        while (end := self._end_of_lines(count)) < 0 and not self.is_last and len(self._data) - self._at <= MAX_LINE_BYTES:
            self.read()
        return (self.rest, self.is_last) if end < 0 else (self._data[self._at : end], False)

    def _end_of_lines(self, count: int) -> int:
        """Where the last of the next lines ends, before its newline; -1 if so many were not read yet."""
        end = self._at - 1
        for _ in range(count):
            end = self._data.find(b"\n", end + 1)
            if end < 0:
                break
        return end

    def first_byte(self) -> bytes:
        """The next byte that is not blank; b"" at the end. Blank lines are passed over."""
        byte, at = self.next_byte(), self._at
        self._at = self._data.rfind(b"\n", 0, at) + 1
        return byte

    def next_byte(self) -> bytes:
        """The next byte that is not blank; b"" at the end. Blanks are passed over."""
        while True:
            self._pass(_GAP.match(self._data, self._at).end())  # type: ignore[union-attr]  # it matches the empty string
            if self._at < len(self._data) or self.is_last:
                return self._data[self._at : self._at + 1]
            self.read()

    def values(self, first: int, around: Collection[str] = (), *, keeps_torn: bool = False) -> Iterator[ValueBlock]:
        """The values up to the stream's end.

        Args:
            first: The number of the first.
            around: The keys of arrays. Of a large object that has one of them, the array's elements are given out, one by one;
                `members` then has what the object has before it.
            keeps_torn: Whether a line that is broken, among lines that each hold an object, is given out as a value that is none.

        Raises:
            UnreadableSource: A value is no whole JSON, or larger than `longest`.
        """
        number, between, behind, in_object = first, Between.ENTERS_ARRAYS, Behind.START, False
        while True:
            found = split_json(self._data, self._mode(between), self._at, behind)
            if len(found.starts):
                yield ValueBlock(found.lines, number, self._data, found.starts, found.ends)
                number += len(found.starts)
            self._pass(found.position)
            behind = found.behind
            if found.stop is Stop.ENTERED:
                self._pass(self._at + 1)
                between, behind = Between.IN_ARRAY, Behind.START
            elif found.stop is Stop.CLOSED:
                in_object = in_object and self._enter_array(around, is_first=False)
                between, behind = (Between.IN_ARRAY, Behind.START) if in_object else (Between.ENTERS_ARRAYS, Behind.VALUE)
            elif found.stop is Stop.USED_UP and self.is_last and between is Between.ENTERS_ARRAYS:
                return
            elif found.stop is Stop.CUT and around and between is Between.ENTERS_ARRAYS and self._is_large_object():
                self._open_object(around, number)
                between, behind, in_object = Between.IN_ARRAY, Behind.START, True
            elif (
                keeps_torn
                and between is Between.ENTERS_ARRAYS
                and (found.stop is Stop.BROKEN or (found.stop is Stop.CUT and self.is_last))
                and (torn := self._torn_line(number, is_first=number == first))
            ):
                yield torn
                number, behind = number + 1, Behind.START
            elif found.stop is not Stop.FULL:
                self._go_on(found, f"element {number} of the array" if between is Between.IN_ARRAY else f"record {number}")
            if not in_object:
                self.members.clear()

    def _torn_line(self, number: int, *, is_first: bool) -> ValueBlock | None:
        """Takes the line with which the stream goes on, if it is broken alone: an object is on one of the lines behind it, on the very
        next where the line is the stream's first; or it is the last line, and not the first.

        Args:
            number: That of the value that begins there.
            is_first: Whether no value was taken before.
        """
        if not self._begins_line:
            return None
        lines, is_all = self.next_lines(1 + TORN_LINES)
        first, *behind = lines.split(b"\n")
        others = [other for other in behind if other.strip()]
        if not (any(map(_is_object, others[:1] if is_first else others)) or (is_all and not others and not is_first)):
            return None
        refuse_packed(TextBlock(first, self.line))
        self._pass(min(self._at + len(first) + 1, len(self._data)))
        line = first.rstrip().replace(b"\r", b" ")
        return ValueBlock(line + b"\n", number, line, np.array([0]), np.array([len(line)]))

    def each_key(self) -> Iterator[str]:
        """The keys of the object that comes next. Behind each, its value is to be taken: by this, or by what is below.

        Raises:
            UnreadableSource: There is no object, or it is no whole JSON.
        """
        self._expect(b"{")
        is_first = True
        while self.next_byte() != b"}":
            if not is_first:
                self._expect(b",")
            key, is_first = self._take_key(), False
            self._expect(b":")
            yield key
        self._expect(b"}")

    def each_item(self) -> Iterator[None]:
        """Stops before each element of the array that comes next. There, the element is to be taken, as behind a key."""
        self._expect(b"[")
        is_first = True
        while self.next_byte() != b"]":
            if not is_first:
                self._expect(b",")
            is_first = False
            yield
        self._expect(b"]")

    def each_document(self) -> Iterator[None]:
        """Stops before each value up to the stream's end; of an array, before each element. There, the value is to be taken.

        A byte order mark before a value is where a file began that was joined to another.
        """
        while byte := self.next_byte():
            if byte == BOM[:1]:
                for place in range(len(BOM)):  # the rest of the mark may not be read yet
                    self._expect(BOM[place : place + 1])
            elif byte == b"[":
                yield from self.each_item()
            else:
                yield

    def elements(self) -> Iterator[ValueBlock]:
        """The elements of the array that comes next, many at a time, numbered from 1."""
        self._expect(b"[")
        number, behind = 1, Behind.START
        while True:
            found = split_json(self._data, self._mode(Between.IN_ARRAY), self._at, behind)
            if len(found.starts):
                yield ValueBlock(found.lines, number, self._data, found.starts, found.ends)
                number += len(found.starts)
            self._pass(found.position)
            behind = found.behind
            if found.stop is Stop.CLOSED:
                return
            if found.stop is not Stop.FULL:
                self._go_on(found, f"element {number} of the array")

    def _mode(self, between: Between) -> Between:
        return between | Between.IS_LAST if self.is_last else between

    def _is_large_object(self) -> bool:
        return len(self._data) - self._at >= LONG_LINE_BYTES and self._data.startswith(b"{", self._at)

    def _open_object(self, around: Collection[str], number: int) -> None:
        line = self.line
        self._expect(b"{")
        if not self._enter_array(around, is_first=True):
            raise UnreadableSource(f"record {number}, on line {line}, is large, and has no array {' or '.join(around)}")

    def _enter_array(self, keys: Collection[str], is_first: bool) -> bool:
        """From before a member of an object to behind the bracket of the array that has one of these keys.

        Args:
            keys: Of the array.
            is_first: Whether the member is the object's first.

        Returns:
            Whether there is such an array; else the object is passed over.
        """
        while self.next_byte() != b"}":
            if not is_first:
                self._expect(b",")
            name, is_first = self._take_key(), False
            self._expect(b":")
            if name in keys and self.next_byte() == b"[":
                self._expect(b"[")
                return True
            value = self.take()
            if len(value) <= _MEMBER_BYTES:
                self.members[name] = value
        self._expect(b"}")
        return False

    def _take_key(self) -> str:
        if self.next_byte() != b'"':
            self._expect(b'"')
        return str(json.loads(self.take().decode("utf-8", "replace")))

    def take(self) -> bytes:
        """The next value, on a line.

        Raises:
            UnreadableSource: It is no whole JSON, or larger than `longest`.
        """
        self.next_byte()
        while True:
            found = split_json(self._data, Between.IS_LAST if self.is_last else Between(0), self._at, most=1)
            if len(found.starts):
                self._pass(int(found.ends[0]))
                return found.lines
            self._pass(found.position)
            self._go_on(found, "a value")

    def _expect(self, byte: bytes) -> None:
        if self.next_byte() != byte:
            raise UnreadableSource(f"line {self.line} is not whole JSON: {raw_text(byte)!r} was expected")
        self._pass(self._at + 1)

    def _go_on(self, found: Values, what: str) -> None:
        """Reads on behind the last whole value, if that can help."""
        where = f"{what}, on line {self.line},"
        if found.stop is Stop.TOO_DEEP:
            raise UnreadableSource(f"{where} is too deeply nested")
        if found.stop is Stop.BROKEN:
            broken = self.line + self._data.count(b"\n", found.position, found.error)
            shown = raw_text(self._data[found.error : found.error + 1])
            raise UnreadableSource(f"{where} is not whole JSON: it is broken on line {broken}, at {shown!r}")
        if self.is_last:
            raise UnreadableSource(
                f"{where} is not whole JSON: the text stops short (truncated); repair or fetch the file again"
            )
        self._check_length(where)
        self.read()

    def _check_length(self, where: str) -> None:
        """Checks that what is not yet given out may be one line, or one value."""
        if len(self._data) - self._at > self._longest:
            raise UnreadableSource(f"{where} is longer than {self._longest >> 20} MiB; this is no flow log")

    def _pass(self, position: int) -> None:
        if position > self._at:
            self._begins_line = self._data[max(self._at, position - _INDENT) : position].rstrip(b" \t\r").endswith(b"\n")
        self.line += _newlines(self._data, self._at, position)
        self._at = position


def elements_in(value: bytes, keys: Collection[str]) -> Iterator[bytes]:
    """The elements of the array that an object has under one of these keys, each as JSON on a line; the value itself where it has none.

    They are found without Python's json module, which fails where one of them is nested more deeply than Python can go.
    """
    text, found, arrays = JsonText(io.BytesIO(value)), [], 0
    for key in text.each_key() if text.next_byte() == b"{" else ():
        if key in keys and text.next_byte() == b"[":
            arrays += 1
            found += [line for block in text.elements() for line in block.data.splitlines()]
        else:
            text.take()
    return iter(found if arrays == 1 else [value])


def _newlines(data: bytes, start: int, end: int) -> int:
    return count_newlines(data, start, end) if end - start > _FEW_BYTES else data.count(b"\n", start, end)


def _is_object(line: bytes) -> bool:
    """Whether a line has whole objects, and nothing else."""
    found = split_json(line)
    return found.stop is Stop.USED_UP and found.behind is Behind.VALUE and found.lines.startswith(b"{")
