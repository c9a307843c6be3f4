"""Rows on their way into the totals: lines wait to be parsed together, batches to be validated together.

What a call of a parser or of pandera costs depends little on the number of rows. So the lines of small sources that have the
same parser are parsed as one block, and some hundred thousand rows, of however many sources, are validated by one call. Each
source gets its own rows back by their lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from pipeline.counting.distinct_hours import DistinctHours
from pipeline.counting.reports import Reports
from pipeline.counting.sourcecount import Reading
from pipeline.counting.spread import span_of, spread
from pipeline.counting.totals import HourlyTotals
from pipeline.counting.validation import validate
from pipeline.errors import SourceError
from pipeline.formats.format import Parser, Piece
from pipeline.kernel.totals import Added
from pipeline.schema import ZeroBytes, flow_schema, keep_rules
from pipeline.syntax.batch import Batch, Integers
from pipeline.syntax.blocks import BLOCK_BYTES, MAX_LINES_AT_ONCE, TextBlock
from pipeline.syntax.gathered import GatheredBlock, gathered

#: Rows are validated so many at a time, or as many as take so much memory: twice as many took a worker 60 MB more, and were hardly faster.
_ROWS_AT_ONCE, _BYTES_AT_ONCE = 1 << 19, 1 << 26
#: The memory of a batch beside its rows: there may be many without one.
_BATCH_BYTES = 1 << 13


@dataclass(frozen=True)
class _Parsed:
    """A batch, and whose its rows are.

    Attributes:
        batch: Its rows are numbered as in the gathered block, where there is one.
        readings: The source of each part of that block; or the source of all rows.
        block: The gathered block; None where all rows are of one source, and numbered as there.
    """

    batch: Batch
    readings: Sequence[Reading]
    block: GatheredBlock | None = None

    def add(self, batch: Batch, totals: HourlyTotals) -> Added:
        """Adds the batch, validated, to the totals, and takes note of the hours over which its bytes are spread."""
        span = span_of(batch)
        if span is None:
            return totals.add(batch.table)
        added = Added()
        for records, flows in spread(batch.table, span):
            added += totals.add(flows)
            rows = batch.rows[records]
            parts = self.block.place(rows)[0] if self.block else np.zeros_like(rows)
            # Many rows open the same hour. A part and an hour are one number here, as such are sorted much faster than pairs.
            for number in np.unique(parts << 32 | flows.column("hour").to_numpy()).tolist():
                self.readings[number >> 32].count.hours.add(number & 0xFFFFFFFF)
        return added

    def note(self, batch: Batch, added: Added) -> None:
        """Takes note of the batch, validated and added to the totals, at the sources."""
        if self.block is None:
            self.readings[0].add(batch, added)
            return
        rows, columns = batch.rows, [batch.table.column(name).to_numpy() for name in ("hour", "bytes_tx", "bytes_rx")]
        if (rows[1:] < rows[:-1]).any():  # irregular lines come last in a batch
            order = np.argsort(rows)
            rows, columns = rows[order], [column[order] for column in columns]
        offsets = np.searchsorted(rows, self.block.starts)
        tx, rx = _sums_between(columns[1], offsets), _sums_between(columns[2], offsets)
        valid = np.diff(offsets).tolist()
        for reading, count, more_tx, more_rx in zip(self.readings, valid, tx, rx, strict=True):
            reading.count.read += count
            reading.count.valid += count
            reading.count.bytes_tx += more_tx
            reading.count.bytes_rx += more_rx
        for part, hour in _hours_between(columns[0], offsets):
            self.readings[part].count.hours.add(hour)
        self._note_others(batch, self.block)

    def _note_others(self, batch: Batch, block: GatheredBlock) -> None:
        """Takes note of the rows that were not added, and of those of which a user should know something."""
        parts, rows = block.place(np.array([reject.row for reject in batch.rejects], np.int64))
        for reject, part, row in zip(batch.rejects, parts.tolist(), rows.tolist(), strict=True):
            self.readings[part].count.read += 1
            self.readings[part].reject([replace(reject, row=row)])
        for reason, left_out in batch.left_out.items():
            for part, size in zip(block.place(left_out.rows)[0].tolist(), left_out.sizes.tolist(), strict=True):
                self.readings[part].count.leave_out(reason, 1, size)
        for note, noted in batch.noted.items():
            for part, count in zip(*np.unique(block.place(noted)[0], return_counts=True), strict=True):
                self.readings[part].count.note(note, int(count))


def _sums_between(values: Integers, offsets: npt.NDArray[np.intp]) -> list[int]:
    """The sum from each offset to the next, exactly: no sum of the numbers' high or low bits can wrap."""
    high, low = (np.concatenate([[0], np.cumsum(bits)])[offsets] for bits in (values >> 32, values & 0xFFFFFFFF))
    return [(more << 32) + less for more, less in zip(np.diff(high).tolist(), np.diff(low).tolist(), strict=True)]


def _hours_between(hours: Integers, offsets: npt.NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """The hours that lie between each offset and the next, each with the offset's number; mostly once."""
    begins = np.ones(len(hours), bool)
    np.not_equal(hours[1:], hours[:-1], out=begins[1:])
    begins[offsets[offsets < len(hours)]] = True
    runs = np.flatnonzero(begins)
    return zip((np.searchsorted(offsets, runs, side="right") - 1).tolist(), hours[runs].tolist(), strict=True)


@dataclass
class Pending:
    """Rows that are not yet in the totals.

    Attributes:
        new_totals: Makes the totals into which they go.
        zero_bytes: Whether a record may have 0 bytes in a direction.
        is_strict: Whether no row may be rejected.
        is_bounded: Whether a source may have rows of so many hours only.
        told: Is told of rows that were read.
        totals: Of the rows that were validated; None as long as none were.
        reports: What these rows say of who reports them.
        rows: How many wait to be validated.
        nbytes: The memory that they take.
    """

    new_totals: Callable[[], HourlyTotals]
    zero_bytes: ZeroBytes
    is_strict: bool
    is_bounded: bool
    told: Callable[[int], None]
    totals: HourlyTotals | None = None
    reports: Reports = field(default_factory=Reports)
    rows: int = 0
    nbytes: int = 0
    _pieces: list[tuple[Reading, Piece]] = field(default_factory=list)
    _piece_bytes: int = 0
    _piece_lines: int = 0
    _parsed: list[_Parsed] = field(default_factory=list)

    def is_full(self, beside: Pending | None = None) -> bool:
        """Whether the rows, with those of another, are enough to be validated."""
        rows, size = (beside.rows, beside.nbytes) if beside else (0, 0)
        return self.rows + rows >= _ROWS_AT_ONCE or self.nbytes + size >= _BYTES_AT_ONCE

    def put(self, reading: Reading, piece: Piece) -> None:
        """Takes in the next piece of a source, which is the only one here.

        Raises:
            SourceError: The source cannot be counted.
        """
        self._pieces.append((reading, piece))
        if isinstance(piece, Batch):
            self._piece_bytes += piece.nbytes
        else:
            self._piece_bytes += len(piece[1].data)
            self._piece_lines += piece[1].line_count
        if self._piece_bytes >= BLOCK_BYTES or self._piece_lines >= MAX_LINES_AT_ONCE:
            self.parse_alone()

    def parse_alone(self) -> None:
        """Parses the pieces of the only source that is here, one by one.

        Raises:
            SourceError: The source cannot be counted.
        """
        for reading, piece in self._take_pieces():
            self._hold(self._alone(reading, piece))

    def end(self) -> None:
        """Parses what is left of a source of which a part was parsed alone, so that the hours of all its blocks are known.

        Raises:
            SourceError: The source cannot be counted.
        """
        if self.totals or self._parsed:
            self.parse_alone()

    def take(self, other: Pending) -> None:
        """Takes over a source's rows, of which none is in the totals yet. The source was read to its end."""
        if self._would_be_more_than_a_block(other):
            self._parse_together()
        for parsed in other._parsed:
            self._hold(parsed)
        self._pieces += other._pieces
        self._piece_bytes += other._piece_bytes
        self._piece_lines += other._piece_lines

    def _would_be_more_than_a_block(self, other: Pending) -> bool:
        return (
            self._piece_bytes + other._piece_bytes > BLOCK_BYTES
            or self._piece_lines + other._piece_lines > MAX_LINES_AT_ONCE
        )

    def settle(self) -> None:
        """Parses and validates all rows, and adds them to the totals and to what is known of their sources.

        Raises:
            StrictRunStopped: A row was rejected, and none may be.
            SumOverflow: A sum does not fit into int64.
        """
        self._parse_together()
        parsed, self._parsed, self.rows, self.nbytes = self._parsed, [], 0, 0
        if not parsed:
            return  # and wait for no import
        totals = self.totals = self.totals or self.new_totals()
        checked = validate([one.batch for one in parsed], flow_schema(self.zero_bytes))
        for one, batch in zip(parsed, checked, strict=True):
            one.note(batch, one.add(batch, totals))
            self.reports.add(batch)
            if one.block is None and one.readings[0].has_many_rejects:
                one.readings[0].settle(self.is_strict)
        for reading in {id(reading): reading for one in parsed for reading in one.readings}.values():
            reading.settle(self.is_strict)

    def _parse_together(self) -> None:
        """Parses the pieces of all sources. Where that fails, each is parsed alone, and only the culprit's rows are dropped."""
        pieces = self._take_pieces()
        try:
            parsed, hours = list(self._gathered(pieces)), DistinctHours()
            for one in parsed if self.is_bounded else ():
                hours.add(one.batch)
        except SourceError:
            parsed = []
            for reading, piece in pieces:
                try:
                    parsed.append(self._alone(reading, piece))
                except SourceError as error:
                    reading.error = reading.error or error
            parsed = [one for one in parsed if one.readings[0].error is None]
        for one in parsed:
            self._hold(one)

    def _take_pieces(self) -> list[tuple[Reading, Piece]]:
        pieces, self._pieces, self._piece_bytes, self._piece_lines = self._pieces, [], 0, 0
        return pieces

    def _alone(self, reading: Reading, piece: Piece) -> _Parsed:
        batch = self._without_text(piece if isinstance(piece, Batch) else piece[0].parse(piece[1]))
        if self.is_bounded:
            reading.hours.add(batch)
        return _Parsed(batch, [reading])

    def _without_text(self, batch: Batch) -> Batch:
        """The batch without its text, where no row will need it: lines of JSON are ten times as large as what is read of them, and
        would leave room for a tenth as many rows in a call of pandera.
        """
        return batch.without_raw() if keep_rules(batch.table, self.zero_bytes) else batch

    def _gathered(self, pieces: Sequence[tuple[Reading, Piece]]) -> Iterator[_Parsed]:
        """Parses the blocks of each parser as one, but for those beside which no others may lie."""
        by_parser: dict[Parser, list[tuple[Reading, TextBlock]]] = {}
        for reading, piece in pieces:
            if isinstance(piece, Batch):
                yield _Parsed(self._without_text(piece), [reading])
            elif piece[1].stands_alone:
                yield _Parsed(self._without_text(piece[0].parse(piece[1])), [reading])
            else:
                by_parser.setdefault(piece[0], []).append((reading, piece[1]))
        for parser, blocks in by_parser.items():
            readings = [reading for reading, _ in blocks]
            if len(blocks) == 1:
                yield _Parsed(self._without_text(parser.parse(blocks[0][1])), readings)
            else:
                block = gathered([block for _, block in blocks])
                yield _Parsed(parser.parse(block.block), readings, block)

    def _hold(self, parsed: _Parsed) -> None:
        self._parsed.append(parsed)
        self.rows += parsed.batch.read
        self.nbytes += parsed.batch.nbytes + _BATCH_BYTES
        self.told(parsed.batch.read)
