"""What the formats of logs have in common on their way from a log's record to a flow record."""

from __future__ import annotations

import pyarrow as pa

from pipeline.readers.direction import Integers
from pipeline.readers.interface import MISSING, Batch, Fault
from pipeline.schema import CODED_TEXT

NOT_ADDRESS = "must be an IP address"


def column_of(batch: Batch, name: str, type_: pa.DataType) -> pa.Array:
    """A column in one piece; all null where the file does not have it."""
    if name not in batch.table.column_names:
        return pa.nulls(batch.table.num_rows, type_)
    column = batch.table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies, in any case


def texts_of(batch: Batch, name: str) -> pa.DictionaryArray:
    """A column of coded text."""
    return column_of(batch, name, CODED_TEXT)


def integers_of(batch: Batch, name: str, missing: int) -> Integers:
    """A column of integers, with a number for what is missing."""
    column = column_of(batch, name, pa.int64())
    return (column.fill_null(missing) if column.null_count else column).to_numpy()


def missing(batch: Batch, *names: str) -> list[Fault]:
    """The faults of the rows that lack one of these columns, which the file has."""
    columns = {name: batch.table.column(name) for name in names}
    return [
        Fault(name, MISSING, column.is_null().to_numpy(), column) for name, column in columns.items() if column.null_count
    ]
