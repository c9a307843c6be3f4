"""The Parquet file of a run's rejects: the rows that it rejected, with why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
from pyarrow._parquet import ParquetReader

from pipeline.schema import REJECT_SCHEMA
from pipeline.store.layout import Locations
from pipeline.store.parquetfile import READ_OPTIONS, WRITE_OPTIONS, check_columns, damage

#: Rows in a row group; and the bytes of their text, which may be long.
_GROUP_ROWS, _GROUP_BYTES = 65_536, 8 << 20


def write_rejects(path: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Writes a run's rejects (`schema.REJECT_SCHEMA`) as they come, to a new file of this machine.

    Its row groups are small enough to be read one by one: reading them takes no more memory than writing them.
    """
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, REJECT_SCHEMA, **WRITE_OPTIONS) as writer:
        for group in _in_groups(batches):
            writer.write_table(group)


def _in_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches, which may be of one row or of many, as row groups: a group costs as much in the footer as many rows."""
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _GROUP_ROWS):
            piece = batch.slice(start, _GROUP_ROWS)
            group.append(piece)
            rows, size = rows + piece.num_rows, size + piece.nbytes
            if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
                yield pa.Table.from_batches(group)
                group, rows, size = [], 0, 0
    if group:
        yield pa.Table.from_batches(group)


def read_rejects(store: Locations, run_id: str) -> Iterator[pa.Table]:
    """The rows that a run rejected (`schema.REJECT_SCHEMA`), in the order of their sources and rows, some at a time.

    Raises:
        StoreDamaged: The file cannot be read.
    """
    path = store.rejects_of(run_id)
    with suppress(FileNotFoundError), damage(path), store.files.opened(path) as file:
        reader = ParquetReader()
        reader.open(pa.PythonFile(file, mode="r"), **READ_OPTIONS)
        for group in range(reader.num_row_groups):
            table = reader.read_row_group(group, use_threads=False)
            check_columns(path, table.schema, REJECT_SCHEMA)
            yield table


def count_rejects(store: Locations, run_id: str) -> int:
    """How many rows a run rejected, from its file's footer alone; 0 if there is no file.

    Raises:
        StoreDamaged: The file is not one of a run's rejects; StoreUnreadable: the operating system refuses to read it.
    """
    import pyarrow.parquet as pq

    path = store.rejects_of(run_id)
    with suppress(FileNotFoundError), damage(path), store.files.opened(path) as file:
        footer = pq.read_metadata(file)
        check_columns(path, footer.schema.to_arrow_schema(), REJECT_SCHEMA)
        return int(footer.num_rows)
    return 0
