"""Delimited text: CSV with its quotes (RFC 4180), and logs whose fields are split by a space or a tab.

The kernel parses the lines of a block, straight into typed columns, that are plain: no quotes, and every cell as it
must be. The others, or a whole block with quotes, go through Arrow's parser. Where it refuses, some cell is unfit: the
lines are parsed again into bytes, and `cells` finds the unfit cells, vectorised. What Arrow would read differently from
RFC 4180 (stray quotes, lone carriage returns) goes record by record through Python's csv module.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from pipeline.errors import UnreadableSource
from pipeline.kernel.columns import DelimitedLines
from pipeline.schema import dictionary_encoded
from pipeline.syntax.batch import Batch, Reject, RowNumbers
from pipeline.syntax.blocks import MAX_LINE_BYTES, TextBlock, text_blocks
from pipeline.syntax.cells import Column, Kind, has_odd_numbers, is_utf8_bytes, parse_cells, parsed_schema, present_columns
from pipeline.syntax.csvrecords import CsvBlock
from pipeline.syntax.lines import parse_lines

csv.field_size_limit(MAX_LINE_BYTES)  # Arrow has no limit of its own, and the two must agree


@dataclass(frozen=True)
class Dialect:
    """How a kind of delimited text is written.

    Attributes:
        delimiter: Between two cells.
        quoted: Whether cells may be quoted, and then hold delimiters and newlines.
        null: What stands for "no value"; None where nothing does.
        mended: From lines as some tools write them to the same lines as they should be; the kernel is asked first.
    """

    delimiter: str
    quoted: bool = False
    null: str | None = None
    mended: Callable[[bytes], bytes] | None = None


Parser = TypeVar("Parser")

#: The rule that a row breaks in which there are bytes of zeros, as a crash or a truncation leaves them.
NUL = "must not contain NUL bytes"
CSV = Dialect(",", quoted=True)


class DelimitedParser:
    """Parses blocks of delimited text whose header is known. Not for several threads at once.

    Args:
        header: The names of all columns, in the file's order.
        columns: Those that are wanted.
        dialect: How the text is written.

    Raises:
        MissingColumns: A required column is not in the header.
        UnreadableSource: A wanted column is there twice.
    """

    def __init__(self, header: Sequence[str], columns: Sequence[Column], dialect: Dialect) -> None:
        self._present = present_columns(columns, header)
        self._positions = [header.index(column.name) for column in self._present]
        self._width = len(header)
        self._has_seconds = any(column.kind is Kind.SECONDS for column in self._present)
        self._dialect = dialect
        at = dict(zip(self._positions, self._present, strict=True))
        self._names = [at[position].name for position in sorted(at)]  # in the file's order
        types = [at[position].kind.value if position in at else None for position in range(self._width)]
        null = None if dialect.null is None else dialect.null.encode()
        self._lines = DelimitedLines(types, dialect.delimiter.encode(), dialect.quoted, null)

    def parse(self, block: TextBlock) -> Batch:
        """One batch with all the block's records, typed; of the wanted columns it has those that the header has."""
        batch = parse_lines(self._lines, self._names, block, self._parse_mended)
        return batch.with_table(batch.table.select([column.name for column in self._present]))

    def parse_as(self, block: TextBlock, data: bytes) -> Batch:
        """The same as if the block had these lines for its own, which still are what its rejects show."""
        return _shown_as(block, self.parse(replace(block, data=data)))

    def _parse_mended(self, block: TextBlock) -> Batch:
        mended = self._dialect.mended(block.data) if self._dialect.mended else block.data
        if mended == block.data:
            return self._parse_otherwise(block)
        return _shown_as(block, parse_lines(self._lines, self._names, replace(block, data=mended), self._parse_otherwise))

    def _parse_otherwise(self, block: TextBlock) -> Batch:
        batch = self._parse_typed(block) or self._parse_exactly(block)
        return batch.with_table(dictionary_encoded(batch.table.select(self._names)))

    def _parse_typed(self, block: TextBlock) -> Batch | None:
        """By Arrow; None where some cell is unfit, or might be read otherwise than the exact path reads it."""
        if not block.is_plain or _may_have_hexadecimals(block.data) or (self._has_seconds and b"+" in block.data):
            return None
        try:
            batch = self._parse_arrow(block, {column.name: column.kind.parsed_type for column in self._present})
        except pa.ArrowInvalid:
            return None
        return None if batch is None or has_odd_numbers(batch.table, self._present, block.data) else self._trimmed(batch)

    def _parse_exactly(self, block: TextBlock) -> Batch:
        rows = block.rows()
        if not len(rows):
            return Batch(parsed_schema(self._present).empty_table(), rows, block.raw_of)
        return self._trimmed(parse_cells(self._parse_bytes(block, rows), self._present))

    def _trimmed(self, batch: Batch) -> Batch:
        """Without the blanks around the texts of CSV: they are no part of a cell, in quotes or not, as Arrow cannot tell."""
        if not self._dialect.quoted:
            return batch
        columns = [
            pc.utf8_trim(column, " \t") if pa.types.is_string(column.type) else column for column in batch.table.columns
        ]
        return batch.with_table(pa.table(columns, schema=batch.table.schema))

    def _parse_bytes(self, block: TextBlock, rows: RowNumbers) -> Batch:
        if block.is_plain:
            try:
                batch = self._parse_arrow(block, {column.name: pa.binary() for column in self._present})
            except pa.ArrowInvalid:  # a line with too few or too many cells that is not UTF-8
                batch = None
            if batch is not None:
                return batch
        return self._parse_records(block, rows)

    def _parse_arrow(self, block: TextBlock, types: dict[str, pa.DataType]) -> Batch | None:
        """Parses with Arrow; None where it sees other records than the block has, which must not happen unnoticed."""
        dialect, misshapen = self._dialect, []

        def skip(row: pa_csv.InvalidRow) -> str:
            misshapen.append((row.number - 1, row.actual_columns))
            return "skip"

        names = [f"{position}" for position in range(self._width)]
        table = pa_csv.read_csv(
            pa.BufferReader(block.data),
            read_options=pa_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(block.data) + 1),
            parse_options=pa_csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char='"' if dialect.quoted else False,
                newlines_in_values=dialect.quoted,
                # Arrow hands over such a row as a text, and cannot if it is not UTF-8; without the handler it raises.
                invalid_row_handler=skip if is_utf8_bytes(block.data) else None,
            ),
            convert_options=pa_csv.ConvertOptions(
                include_columns=[names[position] for position in self._positions],
                column_types={names[p]: types[c.name] for p, c in zip(self._positions, self._present, strict=True)},
                null_values=[] if dialect.null is None else [dialect.null],
                strings_can_be_null=dialect.null is not None,
                quoted_strings_can_be_null=False,
            ),
        ).rename_columns([column.name for column in self._present])
        rows = block.rows_of(table.num_rows + len(misshapen))
        if rows is None:
            return None
        rejects = [self._misshapen(int(rows[i]), count, block) for i, count in misshapen]
        return Batch(table, np.delete(rows, [i for i, _ in misshapen]), block.raw_of, rejects)

    def _parse_records(self, block: TextBlock, rows: RowNumbers) -> Batch:
        """The slow path: record by record, into columns of bytes."""
        null = None if self._dialect.null is None else self._dialect.null.encode()
        records: list[list[bytes | None]] = []
        kept: list[int] = []
        rejects: list[Reject] = []
        for row in rows.tolist():
            line = block.line(row)
            if b"\0" in line:
                rejects.append(Reject(row, "", NUL, "", block.raw_of(row)))
                continue
            try:
                cells = self._split(line)
            except csv.Error as error:
                rejects.append(Reject(row, "", "must be well-formed CSV", str(error), block.raw_of(row)))
                continue
            if len(cells) != self._width:
                rejects.append(self._misshapen(row, len(cells), block))
                continue
            records.append([None if cells[p] == null else cells[p] for p in self._positions])
            kept.append(row)
        columns = list(zip(*records, strict=True)) if records else [()] * len(self._present)
        table = pa.table({c.name: pa.array(cells, pa.binary()) for c, cells in zip(self._present, columns, strict=True)})
        return Batch(table, np.array(kept, np.int64), block.raw_of, rejects)

    def _split(self, record: bytes) -> list[bytes]:
        if not self._dialect.quoted:
            return record.split(self._dialect.delimiter.encode())
        text = record.decode("utf-8", "surrogateescape")
        cells = next(csv.reader([text], delimiter=self._dialect.delimiter, skipinitialspace=True, strict=True))
        return [cell.encode("utf-8", "surrogateescape") for cell in cells]

    def _misshapen(self, row: int, count: int, block: TextBlock) -> Reject:
        return Reject(row, "", f"must have {self._width} fields", str(count), block.raw_of(row))


def _shown_as(block: TextBlock, batch: Batch) -> Batch:
    """The batch with the lines of another block, by their numbers, as its raw text."""
    rejects = [replace(reject, raw=block.raw_of(reject.row)) for reject in batch.rejects]
    return replace(batch, raw_of=block.raw_of, rejects=rejects, raw_bytes=batch.raw_bytes + block.nbytes)


def _may_have_hexadecimals(data: bytes) -> bool:
    """Whether there is a 0x10, which Arrow takes for the integer 16."""
    # Looking for the x first is many times faster where there is none.
    return (b"x" in data and b"0x" in data) or (b"X" in data and b"0X" in data)


class CsvParser(DelimitedParser):
    """Parses blocks of CSV. Behind the header of the file, a further one is refused wherever it stands.

    Args:
        header: The header line.
        columns: Those that are wanted.
        dialect: How the records are written.

    Raises:
        MissingColumns: A required column is not in the header.
        UnreadableSource: The header cannot be read, or has a wanted column twice.
    """

    def __init__(self, header: bytes, columns: Sequence[Column], dialect: Dialect = CSV) -> None:
        super().__init__(_names_in(header), columns, dialect)
        self._required = {column.name.casefold() for column in columns if column.required}

    def parse(self, block: TextBlock) -> Batch:
        batch = super().parse(block)
        for reject in batch.rejects:
            self._refuse_header(reject.row, block)
        return batch

    def _refuse_header(self, row: int, block: TextBlock) -> None:
        """What lies behind the header of a second file that was joined on may be in another order. The header is among the
        rejects, as names are no integers; its first name may be glued to a record, and its letters may be large ones.
        """
        cells = {cell.strip(' \t\r\n"') for cell in block.line(row).decode("utf-8", "replace").casefold().split(",")}
        if 2 * len(self._required & cells) > len(self._required):
            raise UnreadableSource(f"line {row}: a second header; ingest the files that were joined here one by one")


def read_csv(stream: BinaryIO, parser_of: Callable[[bytes], Parser]) -> Iterator[tuple[Parser, CsvBlock]]:
    """Reads CSV whose first line that is not blank is the header: its records in blocks, each with what parses it.

    Args:
        stream: Decompressed text.
        parser_of: Gives what parses the records behind a header line; what it raises, this raises.

    Raises:
        UnreadableSource: The file cannot be read to its end.
    """
    parser: Parser | None = None
    for block in text_blocks(stream, CsvBlock, is_header=lambda _: True):
        records = block
        if parser is None:
            header, records = _split_header(block)
            if header is None:
                continue
            parser = parser_of(header)
        if records.data:
            yield parser, records
        del block, records  # and their text, before more is read


def _split_header(block: CsvBlock) -> tuple[bytes | None, CsvBlock]:
    """The first record that is not blank, None if there is none; and those behind it."""
    found = block.split_first()
    if found is None:
        return None, block
    line, rest = found
    if line.count(b'"') % 2 == 0:
        return line, rest
    row = int(block.rows()[0])  # it goes on on the next line
    return block.line(row), block.behind(row)


def _names_in(line: bytes) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line.decode()], skipinitialspace=True, strict=True))]
    except (csv.Error, UnicodeDecodeError) as error:
        problem: object = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
        if b"\r" in line:
            problem = "a carriage return stands inside it"
        raise UnreadableSource(
            f"the header line cannot be read: {problem}; mend it, or name another format by --format"
        ) from None
