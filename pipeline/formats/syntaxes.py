"""How a log is read that is written in one of the usual syntaxes: CSV with a header, JSON in any container, Parquet.

A format whose syntax is its own reads its lines itself, and gives each piece a `FlowParser` (see `awstext`, `zeekheader`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Generic, TypeVar

import numpy as np

from pipeline.errors import OtherLog
from pipeline.formats.conversion import to_flows
from pipeline.formats.format import Parser, Piece, ReadContext, Reader
from pipeline.formats.localcolumns import with_local_times
from pipeline.formats.record import Record
from pipeline.formats.reporters import sizes_of
from pipeline.options import ReadOptions
from pipeline.schema import COLUMNS
from pipeline.syntax.batch import OF_TRAFFIC, OTHER_EVENT, Batch, Integers, Mask
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.cells import Column
from pipeline.syntax.delimited import CsvParser, read_csv
from pipeline.syntax.jsonlines import JsonParser
from pipeline.syntax.jsonrecords import read_json
from pipeline.syntax.parquet import read_parquet


@dataclass(frozen=True, eq=False)
class Log:
    """The columns of a log, and what they say, in whatever syntax the log is written.

    Attributes:
        columns: The columns that are wanted of a file.
        record: What the columns of a batch say, and the user of them; None where they are a flow record's own.
        ignored: The rows of a batch that are left out, by reason, as they report no traffic or no flow; None where no rows are.
        local: The columns of text that have times without an offset, first that of the start; they become seconds since 1970.
        ends: The columns that say when a flow ended. They are wanted only where bytes are spread over hours, so that else they
            cost nothing, and may hold anything.
        interfaces: The columns that name the reporting interface. They are wanted only where the user names some (`--hop`), likewise.
        prepared: Makes of the columns what only this log needs: computes further ones, rejects what stands for no value, notes what
            a user should know of the records; None where there is nothing to do.
    """

    columns: Sequence[Column]
    record: Callable[[Batch, ReadOptions], Record] | None = None
    ignored: Callable[[Batch], Mapping[str, Mask]] | None = None
    local: Sequence[str] = ()
    ends: Sequence[Column] = ()
    interfaces: Sequence[Column] = ()
    prepared: Callable[[Batch, ReadOptions], Batch] | None = None

    def wanted(self, options: ReadOptions) -> Sequence[Column]:
        """The columns that are wanted of a file under these options."""
        ends = self.ends if options.spread == "hours" else ()
        return [*self.columns, *ends, *(self.interfaces if options.hop else ())]

    def flows(self, batch: Batch, context: ReadContext) -> Batch:
        """The flow records (`schema.FLOW_SCHEMA`, unvalidated) of a batch of these columns."""
        if self.record is None:
            return batch.with_table(batch.table.select(COLUMNS))
        if self.ignored:
            unwanted = self.ignored(batch)
            batch = batch.ignore(unwanted, self._sizes(batch, unwanted, self.record, context.options))
        if self.local:
            batch = with_local_times(batch, self.local, context.options.timezone)
        if self.prepared:
            batch = self.prepared(batch, context.options)
        return to_flows(batch, self.record(batch, context.options), context.options, context.apps)

    @staticmethod
    def _sizes(
        batch: Batch, unwanted: Mapping[str, Mask], record: Callable[[Batch, ReadOptions], Record], options: ReadOptions
    ) -> Integers | None:
        """The bytes of the rows that are left out though they are of traffic; None where there are none."""
        of_traffic = [unwanted[reason] for reason in OF_TRAFFIC & unwanted.keys()]
        if not of_traffic or not (wanted := np.logical_or.reduce(of_traffic)).any():
            return None
        sizes = np.zeros(batch.table.num_rows, np.int64)
        found = record(batch.of_rows(wanted), options)
        sizes[wanted] = sizes_of(found.sent, found.received)
        return sizes


def some_of(batches: Iterable[Batch], error: OtherLog) -> Iterator[Batch]:
    """The batches of a stream in which records of other kinds may stand beside those of a log (`OTHER_EVENT`).

    Raises:
        OtherLog: The given one, at the end: all of the records are of other kinds.
    """
    own = others = 0
    for batch in batches:
        left_out = len(batch.left_out.get(OTHER_EVENT, ()))
        own, others = own + batch.read - left_out, others + left_out
        yield batch
        del batch  # and its text, before more is read
    if others and not own:
        raise error


Lines = TypeVar("Lines", bound=Parser)


@dataclass(frozen=True, eq=False)
class FlowParser(Generic[Lines]):
    """A parser of a syntax, and a log's way from the columns to flow records.

    Attributes:
        lines: Parses the lines into columns.
        log: Says what the columns are.
        context: What is known beside the file.
    """

    lines: Lines
    log: Log
    context: ReadContext

    def parse(self, block: TextBlock) -> Batch:
        return self.log.flows(self.lines.parse(block), self.context)


def csv(log: Log) -> Reader:
    """Reads CSV whose first line names the columns."""

    def parser_of(header: bytes, context: ReadContext) -> Parser:
        return FlowParser(CsvParser(header, log.wanted(context.options)), log, context)

    def read(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        return read_csv(stream, lambda header: context.parser(parser_of, header))

    return read


def json(log: Log) -> Reader:
    """Reads JSON objects, however they follow one another."""

    def parser_of(told: None, context: ReadContext) -> FlowParser[JsonParser]:
        del told  # all files have the same columns
        return FlowParser(JsonParser(log.wanted(context.options)), log, context)

    def read(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        parser = context.parser(parser_of, None)

        def flows_of(piece: Batch | TextBlock) -> Piece:
            return log.flows(piece, context) if isinstance(piece, Batch) else (parser, piece)

        return map(flows_of, read_json(stream, parser.lines))

    return read


def parquet(log: Log, null_texts: Sequence[str] | None = None, name_of: Callable[[str], str] = str) -> Reader:
    """Reads Parquet files.

    Args:
        log: What the columns say.
        null_texts: Where given, columns may be of other types than their kinds (see `syntax.parquet.read_parquet`).
        name_of: From a column's name in the file to the name that `log` has for it.
    """

    def read(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        columns = log.wanted(context.options)
        return (log.flows(batch, context) for batch in read_parquet(stream, columns, null_texts, name_of))

    return read
