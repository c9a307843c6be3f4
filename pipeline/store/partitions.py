"""The Parquet files of hours: the totals that people read."""

from __future__ import annotations

import io
import os
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from typing import Any

import pyarrow as pa
from pyarrow._parquet import ParquetReader

from pipeline.digests import new_digest
from pipeline.errors import StoreDamaged, StoreError
from pipeline.hours import HourRange
from pipeline.scalars import INT64_MAX
from pipeline.schema import (
    COUNT,
    ENCODED_TOTALS_SCHEMA,
    PARTITION_ORDER,
    PARTITION_SCHEMA,
    SUMS,
    TOTALS_SCHEMA,
    dictionary_encoded,
)
from pipeline.store.files import Files
from pipeline.store.layout import Locations
from pipeline.store.parquetfile import READ_OPTIONS, WRITE_OPTIONS, check_columns, damage

#: Rows in a row group: what a reader that wants one app may skip.
_ROW_GROUP_ROWS = 131_072
#: And the bytes of their distinct names, which a reader has in memory all at once: usual names stay far below.
_ROW_GROUP_TEXT = 16 << 20
#: The key of the Parquet metadata that holds a partition's sums, so that listing the hours reads footers alone.
_SUMMARY_KEYS = {name: f"flowlog.{name}".encode() for name in (*SUMS, COUNT)}
#: Only encodings that every Parquet reader of the last six years knows: Spark 3.2 and older warehouses fail on the DELTA
#: encodings. Sums are nearly all different, and a dictionary of them would be made for nothing; counts of flows are few and
#: small. Without Arrow's own schema in the file, which would have readers get the text dictionary-encoded.
_PARTITION_OPTIONS: dict[str, Any] = {
    "use_dictionary": [*PARTITION_ORDER, COUNT],
    "store_schema": False,
}


#: `schema.PARTITION_SCHEMA` with its text dictionary-encoded.
_ENCODED_PARTITION_SCHEMA = ENCODED_TOTALS_SCHEMA.remove(0)


@dataclass(frozen=True)
class PartitionSummary:
    """An hour in short.

    Attributes:
        hour: Hours since the epoch.
        rows: Its number of keys.
        flows: The records that were summed.
        bytes_tx: Their sum, in bytes; bytes_rx alike.
        file_bytes: The size of its file.
    """

    hour: int
    rows: int
    flows: int
    bytes_tx: int
    bytes_rx: int
    file_bytes: int


#: The key of the run that has made the file, in a bucket: there no content may ever come back (see `transaction`).
_RUN_KEY = b"flowlog.run"
#: The key of what proves that the sums are those of the pages: no page need then be unpacked for the sums alone.
_PROOF_KEY = b"flowlog.proof"


def encode_partition(totals: pa.Table, sums: Mapping[str, int], run: str = "") -> memoryview:
    """The content of an hour's file.

    The bytes depend on nothing but what is given, so that a run that was interrupted and repeated leaves the same.

    Args:
        totals: `schema.TOTALS_SCHEMA` or `schema.PARTITION_SCHEMA`, in the store's order; its text may be encoded, if each
            column's texts are in the order in which they come.
        sums: Of its `bytes_tx`, `bytes_rx` and `flows`, as `counting.totals.sums_of` gives them.
        run: The run whose content this is; "" if contents may come back.
    """
    import pyarrow.parquet as pq

    summary = {key: str(sums[name]).encode() for name, key in _SUMMARY_KEYS.items()}
    table = dictionary_encoded(totals.select(PARTITION_SCHEMA.names))
    content = io.BytesIO()
    options = WRITE_OPTIONS | _PARTITION_OPTIONS
    with pq.ParquetWriter(content, table.schema, sorting_columns=_sorting_columns(), **options) as writer:
        for group in _row_groups(table):
            writer.write_table(group)
        with content.getbuffer() as pages:
            proof = {_PROOF_KEY: _proof_of(pages, summary)}
        writer.add_key_value_metadata(summary | proof | ({_RUN_KEY: run.encode()} if run else {}))
    return content.getbuffer()


def _proof_of(pages: memoryview, footer: Mapping[bytes, bytes]) -> bytes:
    """XXH3-128 of all bytes before a file's footer, and behind them of the sums that the footer has, each with a line break."""
    digest = new_digest()
    digest.update(pages)
    digest.update(b"".join(footer[key] + b"\n" for key in _SUMMARY_KEYS.values()))
    return digest.hexdigest().encode()


def _row_groups(table: pa.Table) -> Iterator[pa.Table]:
    """Splits a table of which the text is dictionary-encoded. Each part has the names alone that its rows have."""
    if table.num_rows <= _ROW_GROUP_ROWS:
        yield from _halves(table)
        return
    for start in range(0, table.num_rows, _ROW_GROUP_ROWS):
        yield from _halves(_with_own_texts(table.slice(start, _ROW_GROUP_ROWS)))


def _halves(group: pa.Table) -> Iterator[pa.Table]:
    size = sum(group.column(name).chunk(0).dictionary.nbytes for name in PARTITION_ORDER)
    if group.num_rows < 2 or size <= _ROW_GROUP_TEXT:
        yield group
        return
    half = group.num_rows // 2
    for part in (group.slice(0, half), group.slice(half)):
        yield from _halves(_with_own_texts(part))


def _with_own_texts(group: pa.Table) -> pa.Table:
    import numpy as np  # what reads does without

    for place, name in enumerate(group.column_names):
        (column,) = group.column(name).chunks
        if pa.types.is_dictionary(column.type):
            used, codes = np.unique(column.indices.to_numpy(), return_inverse=True)
            texts = column.dictionary.take(pa.array(used))
            group = group.set_column(place, name, pa.DictionaryArray.from_arrays(codes.astype(np.int32), texts))
    return group


def read_partition(store: Locations, hour: int) -> pa.Table:
    """Reads an hour's totals, to be summed or checked: a name that stands in many rows is in memory once.

    Args:
        store: The store.
        hour: Hours since the epoch.

    Returns:
        `schema.TOTALS_SCHEMA`, but with text dictionary-encoded, sorted by key, each column in one piece; empty for an unknown hour.

    Raises:
        StoreDamaged: The file is no partition of a flowlog store, or a checksum fails.
    """
    return decode_partition(store, hour, fetch_partition(store, hour)[0])


def fetch_partition(store: Locations, hour: int) -> tuple[bytes | None, str]:
    """The content of an hour's file, which `decode_partition` reads, and its version; None and "" if there is no file."""
    try:
        return store.files.read_with_version(store.partition_name(hour))
    except FileNotFoundError:
        return None, ""


def decode_partition(store: Locations, hour: int, content: bytes | None) -> pa.Table:
    """What `read_partition` gives, from what `fetch_partition` gave."""
    return _with_hour(_decoded(store.partition_name(hour), content, encoded=True), hour)


def examine_partition(store: Locations, hour: int, content: bytes | None) -> tuple[pa.Table, PartitionSummary | None]:
    """An hour's totals as `read_partition` gives them, but without `hour`, and the hour in short as `summarise_partition` does.

    Args:
        store: The store.
        hour: Hours since the epoch.
        content: What `fetch_partition` gave.

    Raises:
        StoreDamaged: As these two.
    """
    path = store.partition_name(hour)
    if content is None:
        return _no_rows(PARTITION_SCHEMA), None
    with damage(path):
        reader = _opened(path, pa.BufferReader(content), encoded=True)
        table = reader.read_all(range(len(PARTITION_SCHEMA)), use_threads=False)
    return _in_one_piece(table), _summary_of(path, hour, reader.metadata, len(content))


def _with_hour(table: pa.Table, hour: int) -> pa.Table:
    """An hour's rows as `read_partition` gives them."""
    if not table.num_rows:
        return dictionary_encoded(_no_rows(TOTALS_SCHEMA))
    totals = _in_one_piece(table.replace_schema_metadata(None))
    return totals.add_column(0, "hour", pa.repeat(pa.scalar(hour, pa.int64()), totals.num_rows))


def _in_one_piece(rows: pa.Table) -> pa.Table:
    return rows.combine_chunks() if rows.column(0).num_chunks > 1 else rows


def read_partitions(
    store: Locations, hours: Sequence[int], encoded: bool = False, columns: Collection[str] = PARTITION_SCHEMA.names
) -> pa.Table:
    """Reads the totals of some hours, one behind the other.

    Args:
        store: The store.
        hours: One or more; hours since the epoch.
        encoded: Whether the text is dictionary-encoded, so that a name that stands in many rows is in memory once.
        columns: Those beside the hour that are wanted: in small files each takes as long as opening two of them.

    Returns:
        `schema.TOTALS_SCHEMA`, but for the text of `encoded` and what `columns` leaves out; each hour's rows sorted by key.

    Raises:
        StoreDamaged: A file is no partition of a flowlog store, or a checksum fails.
    """
    tables, hour_of_each = [], array("q")
    for hour in hours:
        content, _ = fetch_partition(store, hour)
        table = _decoded(store.partition_name(hour), content, encoded=encoded, columns=columns)
        if table.num_rows:
            tables.append(table)
            hour_of_each.extend(array("q", [hour]) * table.num_rows)
    if not tables:
        none = _no_rows(ENCODED_TOTALS_SCHEMA if encoded else TOTALS_SCHEMA)
        return none.select([name for name in none.column_names if name == "hour" or name in columns])
    return _with_hours(tables, hour_of_each)


def _with_hours(tables: Sequence[pa.Table], hour_of_each: array[int]) -> pa.Table:
    """Hours' rows one behind the other, with the hour of each."""
    totals = pa.concat_tables(tables).replace_schema_metadata(None)
    if len(tables) > 1:  # a small file's piece costs as much as its rows; the copy of a single large hour is spared
        totals = totals.combine_chunks()
    return totals.add_column(0, "hour", _integers(hour_of_each))


def _integers(values: array[int]) -> pa.Array:
    """An array of Arrow in the memory of one of Python."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def read_sums(store: Locations, hours: Sequence[int]) -> pa.Table:
    """Reads rows that have the sums of some hours: one of each hour whose footer proves them, and all of any other.

    Args:
        store: The store.
        hours: One or more; hours since the epoch.

    Returns:
        `hour`, `bytes_tx`, `bytes_rx` and `flows`, in no order of the hours; none for an hour without rows.

    Raises:
        StoreDamaged: A file is no partition of a flowlog store, or a checksum fails.
    """
    tables, hour_of_each = [], array("q")
    proved, hours_proved = {name: array("q") for name in _SUMS_SCHEMA.names}, array("q")
    places = [PARTITION_SCHEMA.get_field_index(name) for name in _SUMS_SCHEMA.names]
    for hour in hours:
        content, _ = fetch_partition(store, hour)
        if content is None:
            continue
        path = store.partition_name(hour)
        with damage(path):
            reader = _opened(path, pa.BufferReader(content), encoded=False)
            if sums := _proved_sums(content, reader.metadata):
                hours_proved.append(hour)
                for name, values in proved.items():
                    values.append(sums[name])
            else:
                tables.append(reader.read_all(places, use_threads=False))
                hour_of_each.extend(array("q", [hour]) * tables[-1].num_rows)
    tables.append(pa.table([*map(_integers, proved.values())], _SUMS_SCHEMA))
    return _with_hours(tables, hour_of_each + hours_proved)


#: The columns of `schema.PARTITION_SCHEMA` that are summed.
_SUMS_SCHEMA = pa.schema([PARTITION_SCHEMA.field(name) for name in (*SUMS, COUNT)])


def read_in_pieces(store: Locations, hour: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Reads an hour's totals a few rows at a time: the memory depends on these, and not on the hour.

    The file is opened at once, so all pieces are of the hour as it is now, whatever is put in the file's place meanwhile.

    Args:
        store: The store.
        hour: Hours since the epoch.
        rows: The most rows of a piece.

    Returns:
        Pieces with `schema.PARTITION_SCHEMA`, in the order of their keys; none for an unknown hour. Taking one may raise
        StoreDamaged.

    Raises:
        StoreDamaged: The file is no partition of a flowlog store, or a checksum of the first piece fails.
    """
    pieces = _pieces(store.files, store.partition_name(hour), rows)
    return chain(list(islice(pieces, 1)), pieces)


#: A file up to here is read in one go; of a longer one, this much of each column is read at a time.
_READ_BYTES = 1 << 18


def _pieces(files: Files, path: str, rows: int) -> Iterator[pa.RecordBatch]:
    with suppress(FileNotFoundError), damage(path), files.opened(path) as file:
        is_small = file.seek(0, os.SEEK_END) <= _READ_BYTES
        file.seek(0)
        content = pa.BufferReader(file.readall()) if is_small else pa.PythonFile(file, mode="r")
        reader = ParquetReader()
        reader.open(content, buffer_size=0 if is_small else _READ_BYTES, **READ_OPTIONS)
        check_columns(path, reader.schema_arrow, PARTITION_SCHEMA)
        yield from reader.iter_batches(rows, range(reader.num_row_groups), use_threads=False)


def partition_bytes(store: Locations, hour: int) -> int:
    """The size of an hour's file; 0 if there is none, or if it cannot be looked at, of which its reader will say why."""
    try:
        return store.files.size(store.partition_name(hour))
    except (FileNotFoundError, StoreError):
        return 0


def sizes_of_partitions(store: Locations, hours: HourRange) -> Iterator[tuple[int, int]]:
    """The hours among some that may have totals, in order, each with the size of its file, as `partition_bytes` has it."""
    if store.is_listed:
        yield from sorted(store.listed_within(hours.first, hours.until).items())
    else:
        for hour in store.hours_within(hours.first, hours.until):
            yield hour, partition_bytes(store, hour)


def hours_with_totals(store: Locations, hours: HourRange) -> list[int]:
    """Those of some hours that have totals, in order, by a look at their files alone."""
    return [hour for hour, size in sizes_of_partitions(store, hours) if size]


def extent_of_partition(store: Locations, hour: int) -> tuple[int, int]:
    """How many rows an hour has, and how many bytes they are unpacked, with each name once a row group; 0 if there is none.

    Raises:
        StoreDamaged: The file is not Parquet.
    """
    found = _footer_of(store.files, store.partition_name(hour))
    if found is None:
        return 0, 0
    footer, _ = found
    return footer.num_rows, sum(footer.row_group(place).total_byte_size for place in range(footer.num_row_groups))


def summarise_partition(store: Locations, hour: int) -> PartitionSummary | None:
    """An hour in short, from its file's footer alone; None if there is none.

    Raises:
        StoreDamaged: The file is no partition of a flowlog store.
    """
    path = store.partition_name(hour)
    found = _footer_of(store.files, path)
    return None if found is None else _summary_of(path, hour, *found)


def _summary_of(path: str, hour: int, footer: Any, file_bytes: int) -> PartitionSummary:
    try:
        sums = {name: int(footer.metadata[key]) for name, key in _SUMMARY_KEYS.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(path, f"not a partition of a flowlog store: {error}") from error
    return PartitionSummary(hour=hour, rows=footer.num_rows, file_bytes=file_bytes, **sums)


#: A footer stands at the end of its file, and has its length there; nearly all are far shorter than this.
_FOOTER_BYTES, _FOOTER_END = 1 << 14, 8


def _footer_of(files: Files, path: str) -> tuple[Any, int] | None:
    """What a Parquet file's footer says, and the file's size; None if there is no file.

    Raises:
        StoreDamaged: The file is not Parquet.
    """
    with suppress(FileNotFoundError), damage(path, "not a partition of a flowlog store: "):
        end, size = _end_of(files, path)
        reader = ParquetReader()
        reader.open(pa.BufferReader(end), **READ_OPTIONS)
        return reader.metadata, size
    return None


def _end_of(files: Files, path: str) -> tuple[bytes, int]:
    """The end of a Parquet file, with the whole footer, and the file's size. A year of hours is listed so: of each file only the
    end is read, in one go.
    """
    with files.opened(path) as file:
        size = file.seek(0, os.SEEK_END)

        def end(length: int) -> bytes:
            file.seek(-min(length, size), os.SEEK_END)
            return file.readall()

        content = end(_FOOTER_BYTES)
        length = _footer_bytes(content)
        return (content if length <= len(content) else end(length)), size


def _footer_bytes(end: bytes) -> int:
    """How long a Parquet file's footer is with what stands behind it, by the file's end."""
    return int.from_bytes(end[-_FOOTER_END:-4], "little") + _FOOTER_END


def _decoded(
    path: str, content: bytes | None, *, encoded: bool, columns: Collection[str] = PARTITION_SCHEMA.names
) -> pa.Table:
    """Some columns of an hour's file, with the text dictionary-encoded or not; no rows if there is no file."""
    if content is None:
        return _no_rows(PARTITION_SCHEMA)
    with damage(path):
        reader = _opened(path, pa.BufferReader(content), encoded=encoded)
        places = [place for place, name in enumerate(PARTITION_SCHEMA.names) if name in columns]
        return reader.read_all(places, use_threads=False)


def _proved_sums(content: bytes, footer: Any) -> dict[str, int] | None:
    """The sums that a file's footer has, where they are proved and fit into int64. Files of before there was a proof have none."""
    said = footer.metadata or {}
    if not footer.num_rows or _PROOF_KEY not in said:
        return None
    pages = memoryview(content)[: -_footer_bytes(content)]
    if not said.keys() >= {*_SUMMARY_KEYS.values()} or _proof_of(pages, said) != said[_PROOF_KEY]:
        return None
    sums = {name: int(said[key]) for name, key in _SUMMARY_KEYS.items()}
    return sums if max(sums.values()) <= INT64_MAX else None


def _opened(path: str, content: pa.BufferReader, *, encoded: bool) -> ParquetReader:
    """A partition's reader, once its columns are known to be those of a partition; raises what `damage` makes a StoreDamaged of."""
    reader = ParquetReader()
    try:
        reader.open(content, read_dictionary=PARTITION_ORDER if encoded else (), **READ_OPTIONS)
        is_ours = reader.schema_arrow.equals(_ENCODED_PARTITION_SCHEMA if encoded else PARTITION_SCHEMA)
    except KeyError:  # there is no such column
        is_ours = False
    if not is_ours:
        reader = ParquetReader()
        reader.open(content, **READ_OPTIONS)
        check_columns(path, reader.schema_arrow, PARTITION_SCHEMA)
    return reader


@cache
def _sorting_columns() -> list[Any]:
    import pyarrow.parquet as pq

    return [pq.SortingColumn(PARTITION_SCHEMA.get_field_index(name)) for name in PARTITION_ORDER]


@cache
def _no_rows(schema: pa.Schema) -> pa.Table:
    """Made when it is first asked for: Arrow imports pandas to make it, where it may."""
    return schema.empty_table()
