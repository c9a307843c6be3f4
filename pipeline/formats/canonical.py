"""Canonical flow records: files that have the six fields of the flow record under their own names."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipeline.formats.format import Format
from pipeline.formats.head import Container, Head
from pipeline.formats.syntaxes import Log, csv, json, parquet
from pipeline.schema import COLUMNS, FIELDS
from pipeline.syntax.cells import Column, Kind

_LOG = Log([Column(field.name, Kind.TEXT if pa.types.is_string(field.type) else Kind.INTEGER) for field in FIELDS])
_NAMES = frozenset(COLUMNS)


def _names_fields(names: Sequence[str]) -> bool:
    """Whether some names are a flow record's. A few of them do: which are missing is a better message than "unknown"."""
    return len(_NAMES.intersection(names)) >= len(_NAMES) // 2


def _is_csv(head: Head) -> bool:
    return _names_fields(head.split_first_line(","))


def _is_json(head: Head) -> bool:
    return _names_fields(head.json_keys) or head.is_empty_array


def _is_parquet(head: Head) -> bool:
    return _names_fields(head.parquet_columns)


FORMATS = (
    Format("CSV", "csv", Container.TEXT, _is_csv, csv(_LOG)),
    Format("JSON", "json", Container.JSON, _is_json, json(_LOG)),
    Format("Parquet", "parquet", Container.PARQUET, _is_parquet, parquet(_LOG)),
)
