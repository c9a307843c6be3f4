"""Parquet files, read row group by row group."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import UnreadableSource
from pipeline.readers.blocks import raw_text
from pipeline.readers.interface import Batch, Fault
from pipeline.readers.syntax.cells import (
    NOT_EXACT,
    RULES,
    TOO_LARGE,
    Broken,
    Column,
    Kind,
    faults_of,
    parse_column,
    parsed_schema,
    present_columns,
)
from pipeline.schema import coded

_BATCH_ROWS = 131_072
_SPOOL_BYTES = 64 << 20


def read_parquet(
    stream: BinaryIO,
    columns: Sequence[Column],
    null_texts: Sequence[str] | None = None,
    name_of: Callable[[str], str] = str,
) -> Iterator[Batch]:
    """Reads the columns of a Parquet file. A row's number is its place in the file, from 1.

    Integers may be floating-point numbers, NaN for "no value": pandas makes these of integers with missing ones.

    Args:
        stream: The file; where it cannot seek (Parquet packed once more, as `.parquet.gz`), a temporary copy is made.
        columns: What is wanted.
        null_texts: Where given, a column may also be written in another type than its kind: numbers as text, with
            these texts for "no value", and text as numbers. Some tools write AWS's fields so.
        name_of: From a column's name in the file to the name that `columns` has for it.

    Raises:
        MissingColumns: A required column is not there.
        UnreadableSource: The file is damaged, or a column has a type that cannot hold what it must.
    """
    with _seekable(stream) as seekable, _reading("cannot be read to its end:"):
        file = pq.ParquetFile(seekable, page_checksum_verification=True, pre_buffer=False)
        names = [name_of(name) for name in file.schema_arrow.names]
        wanted = present_columns(columns, names)
        fields = [file.schema_arrow.field(names.index(column.name)) for column in wanted]
        for column, field in zip(wanted, fields, strict=True):
            _check_type(column, field.type, null_texts)
        first = 1
        for record_batch in file.iter_batches(_BATCH_ROWS, columns=[field.name for field in fields], use_threads=False):
            table = pa.table(record_batch).select([field.name for field in fields])
            batch = _batch(table, first, wanted, null_texts)
            yield batch.with_table(coded(batch.table))
            first += table.num_rows


def parquet_schema(stream: BinaryIO) -> pa.Schema:
    """The schema in a Parquet file's footer.

    Raises:
        UnreadableSource: There is none: the file is damaged or cut off.
    """
    with _seekable(stream) as seekable, _reading("has no readable footer; is it cut off?"):
        return pq.read_schema(seekable)


@contextmanager
def _reading(problem: str) -> Iterator[None]:
    """Says what Arrow finds wrong with a Parquet file in this project's words; a UnicodeDecodeError is a ValueError."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableSource(f"the Parquet file {problem} {error}") from None


@contextmanager
def _seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """The stream, or a temporary copy of it where it cannot seek."""
    if stream.seekable():
        yield stream
        return
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as copy:
        shutil.copyfileobj(stream, copy, _SPOOL_BYTES)
        copy.seek(0)
        yield cast("BinaryIO", copy)


def _check_type(column: Column, found: pa.DataType, null_texts: Sequence[str] | None) -> None:
    """Refuses a column whose type cannot hold what it must: its every row would be rejected, for one reason."""
    if pa.types.is_null(found) and not column.required:  # what pandas makes of a column without a value
        return
    is_number = pa.types.is_integer(found) or pa.types.is_floating(found)
    if _holds(column.kind, found) or (null_texts is not None and (_is_text(found) or is_number)):
        return
    kind = {Kind.INTEGER: "an integer", Kind.TEXT: "a text", Kind.SECONDS: "a number"}[column.kind]
    raise UnreadableSource(f"the column {column.name} has the type {found}; it must have {kind} type")


def _holds(kind: Kind, found: pa.DataType) -> bool:
    if kind is Kind.TEXT:
        return _is_text(found)
    return pa.types.is_integer(found) or pa.types.is_floating(found)


def _is_text(found: pa.DataType) -> bool:
    """Text, also as a dictionary, or as bytes: some writers do not mark their text as UTF-8."""
    plain = found.value_type if pa.types.is_dictionary(found) else found
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
    )
    return any(test(plain) for test in tests)


def _batch(table: pa.Table, first: int, columns: Sequence[Column], null_texts: Sequence[str] | None) -> Batch:
    def raw_of(row: int) -> str:
        cells = {name: raw.column(name)[row - first].as_py() for name in raw.column_names}
        return raw_text(json.dumps(cells, default=_json_bytes).encode())

    # Text as bytes: Parquet's readers do not check that it is UTF-8.
    raw = pa.table({name: _plain(table.column(name).combine_chunks()) for name in table.column_names})
    renamed = raw.rename_columns([column.name for column in columns])
    typed: list[pa.Array] = []
    faults: list[Fault] = []
    for column in columns:
        cells = renamed.column(column.name).combine_chunks()
        values, broken = _parse(cells, column.kind, null_texts)
        typed.append(values)
        faults += faults_of(column, cells, broken, renamed)
    rows = np.arange(first, first + table.num_rows)
    return Batch(pa.table(typed, schema=parsed_schema(columns)), rows, raw_of).reject(*faults)


def _plain(cells: pa.Array) -> pa.Array:
    """A column's cells without a dictionary, text as bytes, and null for NaN, which pandas writes for it."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if pa.types.is_floating(cells.type):
        return pc.if_else(pc.is_nan(cells), None, cells)
    return cells.cast(pa.binary()) if _is_text(cells.type) else cells


def _json_bytes(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


#: From so large a number on, a floating-point number of this type stands for several integers.
_EXACT_BELOW = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): 2**53}


def _integers_in_floats(cells: pa.Array) -> tuple[pa.Array, Broken]:
    numbers = cells.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False)
    too_large = np.abs(numbers) >= _EXACT_BELOW[cells.type]
    is_fraction = ~too_large & (numbers != np.trunc(numbers))
    kept = np.where(too_large | is_fraction, 0, numbers).astype(np.int64)
    integers = pa.array(kept, mask=too_large | is_fraction | ~cells.is_valid().to_numpy(zero_copy_only=False))
    return integers, {RULES[Kind.INTEGER]: is_fraction, NOT_EXACT: too_large}


def _parse(cells: pa.Array, kind: Kind, null_texts: Sequence[str] | None) -> tuple[pa.Array, Broken]:
    if pa.types.is_null(cells.type):
        return cells.cast(kind.parsed_type), {}
    if pa.types.is_floating(cells.type) and kind is not Kind.SECONDS:
        whole, broken = _integers_in_floats(cells)
        if kind is Kind.INTEGER:
            return whole, broken
        return whole.cast(pa.string()), broken
    if _holds(kind, cells.type) and kind is not Kind.TEXT:
        if cells.type != pa.uint64():
            return cells.cast(kind.parsed_type), {}
        too_large = pc.greater(cells, pa.scalar(2**63 - 1, pa.uint64())).fill_null(False)
        return pc.if_else(too_large, None, cells).cast(kind.parsed_type), {
            TOO_LARGE: too_large.to_numpy(zero_copy_only=False)
        }
    raw = cells if pa.types.is_binary(cells.type) else cells.cast(pa.string()).cast(pa.binary())
    if null_texts is not None:
        raw = pc.if_else(pc.is_in(raw, pa.array([text.encode() for text in null_texts])), None, raw)
    return parse_column(raw, kind)
