"""Canonical flow records: files that have the six fields of the flow record under their own names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa

from pipeline.formats.format import FlowParser, Format, Parser, Piece, ReadContext
from pipeline.formats.head import Container, Head
from pipeline.schema import COLUMNS, FIELDS
from pipeline.syntax.batch import Batch
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.delimited import CsvParser, read_csv
from pipeline.syntax.jsonlines import JsonParser
from pipeline.syntax.jsonrecords import read_json
from pipeline.syntax.parquet import read_parquet

_COLUMNS = [Column(field.name, Kind.TEXT if pa.types.is_string(field.type) else Kind.INTEGER) for field in FIELDS]


def _names_fields(names: Sequence[str]) -> bool:
    """Whether some names are a flow record's. A few of them do: which are missing is a better message than "unknown"."""
    return len(set(COLUMNS) & set(names)) >= len(COLUMNS) // 2


class _Csv:
    name, option, container = "CSV", "csv", Container.TEXT
    settings = ()

    def recognises(self, head: Head) -> bool:
        return _names_fields(head.split_first_line(","))

    def read(self, stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        return read_csv(stream, lambda header: context.parser(_csv_parser, header))


class _Json:
    name, option, container = "JSON", "json", Container.JSON
    settings = ()

    def recognises(self, head: Head) -> bool:
        return _names_fields(head.json_keys) or head.is_empty_array

    def read(self, stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        parser = context.parser(_json_parser, None)
        for piece in read_json(stream, parser.lines):
            yield _flows(piece, context) if isinstance(piece, Batch) else (parser, piece)


class _Parquet:
    name, option, container = "Parquet", "parquet", Container.PARQUET
    settings = ()

    def recognises(self, head: Head) -> bool:
        return _names_fields(head.parquet_columns)

    def read(self, stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        return (_flows(batch, context) for batch in read_parquet(stream, _COLUMNS))


def _csv_parser(header: bytes, context: ReadContext) -> Parser:
    return FlowParser(CsvParser(header, _COLUMNS), _flows, context)


def _json_parser(told: None, context: ReadContext) -> FlowParser[JsonParser]:
    del told  # all files have the same columns
    return FlowParser(JsonParser(_COLUMNS), _flows, context)


def _flows(batch: Batch, context: ReadContext) -> Batch:
    del context  # the records name their apps and VPCs themselves
    return batch.with_table(batch.table.select(COLUMNS))


FORMATS: tuple[Format, ...] = (_Csv(), _Json(), _Parquet())
