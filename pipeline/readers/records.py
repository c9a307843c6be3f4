"""What the formats of logs have in common on their way from a log's record to a flow record."""

from __future__ import annotations

import pyarrow as pa

from pipeline.readers.interface import MISSING, Batch, Fault

NOT_ADDRESS = "must be an IP address"


def column_of(batch: Batch, name: str) -> pa.Array:
    """A column in one piece."""
    return batch.table.column(name).combine_chunks()


def missing(batch: Batch, *names: str) -> list[Fault]:
    """The faults of the rows that lack one of these columns."""
    columns = {name: column_of(batch, name) for name in names}
    return [
        Fault(name, MISSING, column.is_null().to_numpy(zero_copy_only=False), column) for name, column in columns.items()
    ]
