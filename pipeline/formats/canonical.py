"""Canonical flow records: files that have the six fields of the flow record under their own names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

from pipeline.formats.apps import AppMap
from pipeline.formats.format import Format, Setting, Split
from pipeline.formats.head import Container, Head
from pipeline.formats.joined import split_first_line
from pipeline.options import ReadOptions
from pipeline.schema import COLUMNS, FIELDS
from pipeline.syntax.batch import Batch
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.delimited import read_csv
from pipeline.syntax.jsonrecords import read_json, split_objects
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
    syntax: Callable[[BinaryIO, Sequence[Column]], Iterator[Batch]]
    settings: tuple[Setting, ...] = ()

    def split_of(self, head: Head) -> Split | None:
        if self.syntax is read_csv and self.recognises(head):
            return split_first_line
        if self.syntax is read_json and head.json_records and self.recognises(head):
            return split_objects
        return None

    def read(self, stream: BinaryIO, options: ReadOptions, apps: AppMap) -> Iterator[Batch]:
        del options, apps  # the records name their apps and VPCs themselves
        return (batch.with_table(batch.table.select(COLUMNS)) for batch in self.syntax(stream, _COLUMNS))


FORMATS: tuple[Format, ...] = (
    _Canonical("CSV", "csv", Container.TEXT, lambda head: _names_fields(head.split_first_line(",")), read_csv),
    _Canonical("JSON", "json", Container.JSON, lambda head: _names_fields(head.json_keys) or head.is_empty_array, read_json),
    _Canonical("Parquet", "parquet", Container.PARQUET, lambda head: _names_fields(head.parquet_columns), read_parquet),
)
