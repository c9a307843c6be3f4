"""The CSV of nfdump up to 1.7.4, which says behind its rows how many bytes they have.

Behind the rows stand a line `Summary`, the names `flows,bytes,packets,…` and their values (PrintSummary in nfdump.c). Its bytes
are those of both directions of all rows, so that they prove that no row is missing; its flows may be more than the rows, which
may be aggregated. Files that were joined have a header and a summary each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from pipeline.errors import UnreadableSource
from pipeline.formats.format import ReadContext
from pipeline.formats.record import numbers_of
from pipeline.formats.syntaxes import Log
from pipeline.syntax.batch import Batch, exact_sum
from pipeline.syntax.blocks import TextBlock, text_blocks
from pipeline.syntax.cells import Column
from pipeline.syntax.delimited import DelimitedParser, Dialect
from pipeline.syntax.lines import refuse_packed

_COMMAS = Dialect(",")
_HEADER, _SUMMARY, _NAMES = b"ts,te,", b"Summary", b"flows,bytes,"
#: The line that stands in place of rows, in the words of all versions.
NOTHING_BEGINS = b"No match"
NOTHING = re.compile(rb"^%b(?:ed|ing) flows(?=\r?$)" % NOTHING_BEGINS, re.MULTILINE)
_BYTES = ("ibyt", "obyt")


def read_sections(stream: BinaryIO, log: Log, context: ReadContext) -> Iterator[Batch]:
    """The flow records of all sections of a file: a header, rows, and mostly a summary, which is held against the rows.

    Args:
        stream: Decompressed text.
        log: What the columns say.
        context: What is known beside the file.

    Raises:
        UnreadableSource: A summary has other bytes than its rows.
        MissingColumns: A header lacks a column.
    """
    section = _Section(log.wanted(context.options))
    for block in text_blocks(stream, TextBlock):
        for piece in block.cut_at(_marks(block)):
            batch = section.records(piece)
            if batch is not None:
                yield log.flows(batch, context)


def _marks(block: TextBlock) -> list[int]:
    """Where the lines start that are no rows, but for the values of a summary."""
    return sorted(
        start
        for mark in (_HEADER, _SUMMARY, _NAMES, NOTHING_BEGINS)
        for start in block.lines_with(mark[:4])
        if block.data.startswith(mark, start)
    )


@dataclass
class _Section:
    """What of a file belongs together.

    Attributes:
        columns: Those that are wanted.
        parser: Parses the rows; None before the first header.
        sum: The bytes of the rows so far, rejected ones among them.
        unread: How many rows could not be read.
        names: The names in a summary whose values come next; empty elsewhere.
    """

    columns: Sequence[Column]
    parser: DelimitedParser | None = None
    sum: int = 0
    unread: int = 0
    names: tuple[bytes, ...] = ()

    def records(self, piece: TextBlock) -> Batch | None:
        """The columns of the rows of a piece, of which at most the first line is not a row; None if there are no rows."""
        found = piece.split_first()
        if found is None:
            return None
        line, rest = found
        if self.names:
            self._check(line, rest.first_line - 1)
        elif self.parser is None or line.startswith(_HEADER):
            names = [name.strip() for name in line.decode("utf-8", "replace").split(",")]
            self.parser = DelimitedParser(names, self.columns, _COMMAS)
        elif line.startswith((_SUMMARY, _NAMES)):
            self.names = tuple(line.split(b",")) if line.startswith(_NAMES) else ()
            return None
        elif NOTHING.fullmatch(line):
            return None
        else:
            rest = piece
        return self._added(self.parser.parse(rest)) if self.parser and rest.data else None

    def _added(self, batch: Batch) -> Batch:
        """The columns of some rows, once their bytes are added up."""
        for name in _BYTES:
            self.sum += exact_sum(numbers_of(batch.table.column(name).combine_chunks()))
        self.unread += len(batch.rejects)
        return batch

    def _check(self, values: bytes, number: int) -> None:
        """Holds a summary against the rows. Those that cannot be read are rejected already, and may have what is lacking."""
        refuse_packed(TextBlock(values, number))
        try:
            promised = int(dict(zip(self.names, values.split(b","), strict=True))[b"bytes"])
        except (KeyError, ValueError):
            raise UnreadableSource(f"line {number}: nfdump's summary cannot be read; is the file cut off?") from None
        if promised != self.sum and not (self.unread and self.sum < promised):
            raise UnreadableSource(
                f"line {number}: nfdump's summary says {promised:,} bytes, and the rows above have {self.sum:,}:"
                " rows are missing or there twice; print all flows anew, without -n"
            )
        self.sum, self.unread, self.names = 0, 0, ()
