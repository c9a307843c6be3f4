"""Canonical flow records: files that have the six fields of the flow record under their own names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

from pipeline.formats.format import FlowParser, Format, Parser, Piece, ReadOptions
from pipeline.formats.head import Container, Head
from pipeline.schema import COLUMNS, FIELDS
from pipeline.syntax.batch import Batch
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.delimited import read_csv
from pipeline.syntax.jsonrecords import read_json
from pipeline.syntax.parquet import read_parquet

_COLUMNS = [Column(field.name, Kind.TEXT if pa.types.is_string(field.type) else Kind.INTEGER) for field in FIELDS]


def _names_fields(names: Sequence[str]) -> bool:
    """Whether some names are a flow record's. A few of them do: which are missing is a better message than "unknown"."""
    return len(set(COLUMNS) & set(names)) >= len(COLUMNS) // 2


@dataclass(frozen=True)
class _Canonical:
    name: str
    option: str
    container: Container
    recognises: Callable[[Head], bool]
    syntax: Callable[[BinaryIO, Sequence[Column]], Iterator[tuple[Parser, TextBlock] | Batch]]

    def read(self, stream: BinaryIO, options: ReadOptions) -> Iterator[Piece]:
        for piece in self.syntax(stream, _COLUMNS):
            if isinstance(piece, Batch):
                yield _flows(piece, options)
            else:
                parser, block = piece
                yield FlowParser(parser, _flows, options), block


def _flows(batch: Batch, options: ReadOptions) -> Batch:
    del options  # the records name their apps and VPCs themselves
    return batch.with_table(batch.table.select(COLUMNS))


FORMATS: tuple[Format, ...] = (
    _Canonical("CSV", "csv", Container.TEXT, lambda head: _names_fields(head.split_first_line(",")), read_csv),
    _Canonical("JSON", "json", Container.JSON, lambda head: _names_fields(head.json_keys) or head.is_empty_array, read_json),
    _Canonical("Parquet", "parquet", Container.PARQUET, lambda head: _names_fields(head.parquet_columns), read_parquet),
)
