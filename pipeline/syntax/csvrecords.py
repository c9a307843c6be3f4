"""Where the records of CSV end: a quoted cell may hold line breaks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.errors import UnreadableSource
from pipeline.syntax.batch import RowNumbers
from pipeline.syntax.blocks import Offsets, TextBlock

_QUOTE = ord('"')
# One CSV record. Possessive quantifiers: a long block must neither backtrack nor recurse.
_FIELD = rb'(?:"(?:[^"]++|"")*+"[^,\n]*+|[^",\n][^,\n]*+|)'
_RECORD = re.compile(rb"%b(?:,%b)*+\n" % (_FIELD, _FIELD))


@dataclass(frozen=True)
class CsvBlock(TextBlock):
    """Whole CSV records. A record may span lines; it has the number of its first line."""

    @property
    def _has_quotes(self) -> bool:
        return b'"' in self.survey.seen

    @property
    def stands_alone(self) -> bool:
        return self._has_quotes or super().stands_alone  # what a quote opens may go on in the next block

    def last_end(self, rest: bytes) -> int:
        if b'"' not in rest and not self._has_quotes:
            return super().last_end(rest)
        ends = csv_record_ends(rest + self.data)
        return int(ends[-1]) if len(ends) else 0

    @property
    def is_plain(self) -> bool:
        """Whether Arrow reads the block as RFC 4180 has it."""
        return super().is_plain and (not self._has_quotes or _quotes_are_regular(self.data))

    @cached_property
    def record_ends(self) -> Offsets:
        ends = csv_record_ends(self.data)
        if len(ends) and ends[-1] == len(self.data):
            return ends
        tail = self.data[ends[-1] if len(ends) else 0 :]  # the file's last record, without a newline
        if not len(csv_record_ends(tail + b"\n")):
            line = self.first_line + self.data.count(b"\n", 0, len(self.data) - len(tail))
            raise UnreadableSource(f"line {line}: a quote is opened that is never closed; is the file cut off?")
        return np.append(ends, len(self.data))

    @cached_property
    def _record_starts(self) -> Offsets:
        return np.concatenate(([0], self.record_ends[:-1]))

    @cached_property
    def _record_lines(self) -> RowNumbers:
        """The number of the line on which each record starts."""
        return self.first_line + np.searchsorted(self.line_ends, self._record_starts, side="right")

    def rows(self) -> RowNumbers:
        if not self._has_quotes:
            return super().rows()
        blank = [
            not self.data[start:end].strip(b"\r\n")
            for start, end in zip(self._record_starts.tolist(), self.record_ends.tolist(), strict=True)
        ]
        return self._record_lines[~np.array(blank)]

    def line(self, number: int) -> bytes:
        if not self._has_quotes:
            return super().line(number)
        i = int(np.searchsorted(self._record_lines, number))
        return self.data[self._record_starts[i] : self.record_ends[i]].rstrip(b"\r\n")

    def behind(self, number: int) -> CsvBlock:
        """The records behind the one that starts on that line."""
        end = int(self.record_ends[np.searchsorted(self._record_lines, number)])
        return CsvBlock(self.data[end:], self.first_line + self.data.count(b"\n", 0, end))


def csv_record_ends(data: bytes) -> Offsets:
    """Where each whole record ends in some CSV that starts with a record: the offsets behind their newlines."""
    if b'"' in data and not _quotes_are_regular(data):
        return _irregular_record_ends(data)
    buffer = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(buffer == ord("\n"))
    quotes = np.flatnonzero(buffer == _QUOTE)
    return newlines[np.searchsorted(quotes, newlines) % 2 == 0] + 1  # an even number of quotes before: outside of all


def _quotes_are_regular(data: bytes) -> bool:
    """Whether each quote opens a cell, closes one, or is one of a doubled pair inside, as RFC 4180 has it."""
    buffer = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(buffer == _QUOTE)
    doubled = np.diff(quotes) == 1
    opening, closing = quotes[0::2], quotes[1::2]
    before = np.where(opening > 0, buffer[opening - 1], ord("\n"))
    after = np.where(closing + 1 < len(buffer), buffer[np.minimum(closing + 1, len(buffer) - 1)], ord("\n"))
    reopens = np.concatenate(([False], doubled[1::2]))[: len(opening)]
    recloses = np.append(doubled[1::2], False)[: len(closing)]
    opens = np.isin(before, (ord(","), ord("\n"))) | reopens
    closes = np.isin(after, (ord(","), ord("\n"), ord("\r"))) | recloses
    return bool(opens.all() and closes.all())


def _irregular_record_ends(data: bytes) -> Offsets:
    ends, position = [], 0
    while match := _RECORD.match(data, position):
        position = match.end()
        ends.append(position)
    return np.array(ends, np.int64)
