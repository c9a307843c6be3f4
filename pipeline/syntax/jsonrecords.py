"""Records as JSON objects, however they stand in a file: one a line, on many lines each, side by side, or in arrays.

JSON Lines go block by block through the kernel. A line that is not one value is looked at: it may be broken, which is its
row's fault alone; or the file does not keep to lines, and from that line on is read value by value. Such a file has no lines
to fall back to, so that a broken value is the fault of the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from pipeline.kernel.jsonvalues import Behind, Between, Stop, split_json
from pipeline.syntax.batch import Batch
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.jsonlines import JsonParser
from pipeline.syntax.jsontext import LONG_LINE_BYTES, TORN_LINES, JsonText

#: A larger block gains little by being parsed with others.
_SMALL_BYTES = 1 << 18


def read_json(stream: BinaryIO, parser: JsonParser) -> Iterator[TextBlock | Batch]:
    """Reads records: those of a small file of JSON Lines as a block of lines, all others as batches.

    A record's row number is that of its line, in JSON Lines; records that share a line share its number. Where the file is
    written otherwise, from its start or from some line on, the records are counted on from there: the first is 1, or has the
    number of that line.

    Of a block nothing is kept here when more is read, so that the next one takes its memory; nor should a reader keep any. A loop's
    variable does, until it has the next piece; `map` does not.

    Args:
        stream: Decompressed text.
        parser: Parses them.

    Raises:
        UnreadableSource: A value that is not on a line of its own is broken, or the text stops short within it; or a line or
            a value is too long.
    """
    text, first = JsonText(stream), 1
    if text.first_byte() != b"[":
        first_line = text.line
        if len(text.rest) <= _SMALL_BYTES:  # mostly all that there is: the last line, too, where it has no newline
            text.read()
        for block in text.lines():
            if block.first_line == first_line and _stands_for_itself(block) and text.next_lines(1) == (b"", True):
                yield block
                continue
            lines = _Lines(text, block, first_line)
            try:
                batch = parser.parse(block, lines.values_of)
            except _NotLines as found:
                index = block.index_of(found.line)
                text.unread(block.part(index, block.line_count))
                if index:
                    yield parser.parse(block.part(0, index), lines.values_of)
                break
            del block, lines
            yield batch
            del batch  # which keeps the text
        first = 1 if text.line == first_line else text.line
    for values in text.values(first):
        yield parser.parse(values)


def read_json_batches(stream: BinaryIO, parser: JsonParser) -> Iterator[Batch]:
    """The same, all parsed: for a reader that must look at each record before it is one of a flow."""

    def parsed(piece: TextBlock | Batch) -> Batch:
        return piece if isinstance(piece, Batch) else parser.parse(piece)

    return map(parsed, read_json(stream, parser))


def _stands_for_itself(block: TextBlock) -> bool:
    """Whether a block is small and has one whole object on each line, so that nothing around it, or behind it, matters."""
    if len(block.data) > _SMALL_BYTES:
        return False
    lines = block.data.removesuffix(b"\n")
    if not (lines.startswith(b"{") and lines.endswith(b"}")) or lines.count(b"}\n{") != lines.count(b"\n"):
        return False
    found = split_json(lines, Between.IS_LAST)
    return found.stop is Stop.USED_UP and len(found.starts) == block.line_count


class _NotLines(Exception):
    """From this line on, the file does not have one value on each line."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Lines:
    """Looks at the lines of a block that are not one value.

    Args:
        text: What follows the block.
        block: Whole lines.
        first_line: The number of the file's first line that is not blank.
    """

    def __init__(self, text: JsonText, block: TextBlock, first_line: int) -> None:
        self._text = text
        self._block = block
        self._first_line = first_line

    def values_of(self, number: int) -> list[bytes]:
        """The values on a line; none if it is broken.

        Raises:
            _NotLines: Its last value goes on behind it, or one is an array; or it has several values, and is long, or the file's first.
        """
        line, is_first = self._block.line(number), number == self._first_line
        found = split_json(line)
        values = found.lines.splitlines()
        if len(line) >= LONG_LINE_BYTES and len(values) > 1:
            raise _NotLines(number)
        while found.stop is Stop.FULL:
            found = split_json(line, position=found.position, behind=found.behind)
            values += found.lines.splitlines()
        if found.stop is Stop.CUT:
            if self._goes_on(number, len(values)):
                raise _NotLines(number)
            return []
        if found.stop is not Stop.USED_UP:
            return []
        is_list = len(values) > 1 or found.behind is Behind.COMMA
        if (is_list and is_first) or any(value.startswith(b"[") for value in values):
            raise _NotLines(number)
        return values if found.behind is Behind.VALUE else []

    def _goes_on(self, number: int, count: int) -> bool:
        """Whether a value goes on behind its line, which has so many whole values before it.

        Otherwise the line was cut off: the value breaks at one of the next lines. That the file's first line was cut off is
        only sure where the next one stands for itself.
        """
        lines, is_all = self._from(number)
        found = split_json(lines, most=count + 1)
        if len(found.starts) > count or (found.stop is Stop.CUT and not is_all):
            return True
        return number == self._first_line and not _begins_with_values(lines.partition(b"\n")[2])

    def _from(self, number: int) -> tuple[bytes, bool]:
        """A line and those behind it that may be needed to tell whether it was cut off; and whether these are all that are left."""
        block, index = self._block, self._block.index_of(number)
        behind = min(index + 1 + TORN_LINES, block.line_count)
        lines = block.data[block.line_starts[index] : block.line_ends[behind - 1]]
        missing = index + 1 + TORN_LINES - behind
        if not missing:
            return lines, False
        others, is_all = self._text.next_lines(missing)
        return lines + others, is_all


def _begins_with_values(lines: bytes) -> bool:
    """Whether the first of some lines that is not blank has whole values, and nothing else."""
    found = split_json(lines.lstrip().partition(b"\n")[0])
    return found.stop is Stop.USED_UP and found.behind is Behind.VALUE
