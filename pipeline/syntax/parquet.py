"""Parquet files, read row group by row group."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import MissingColumns, UnreadableSource
from pipeline.scalars import MAX_VALUE_BYTES, shortened
from pipeline.schema import MAX_NAME_BYTES, dictionary_encoded, rule_of_length
from pipeline.syntax.batch import Batch, Fault, Mask
from pipeline.syntax.blocks import MAX_LINE_BYTES, raw_text
from pipeline.syntax.cells import NOT_EXACT, RULES, TOO_LARGE, Broken, Column, Kind, faults_of, parse_column, present_columns
from pipeline.syntax.decimals import floats_of_integers

#: So many rows are read at once, or as many as have so many bytes in the file once it is unpacked.
_BATCH_ROWS, _BATCH_BYTES = 131_072, 8 << 20
#: As many where text comes as it is, each as often as it is there; and what Arrow says of a file of which it cannot give distinct texts.
_PLAIN_ROWS, _NOT_DISTINCT = 8_192, re.compile(r"Not yet implemented: .*Dict.*Delta\w*ByteArray")
#: The most bytes of a row group, unpacked: Arrow takes several times as many of a column that is read.
_MAX_GROUP_BYTES = 512 << 20
#: The longest footer; a hundred bytes a column and row group. And how many bytes end a file: the footer's length, and "PAR1".
_MAX_FOOTER_BYTES, _FOOTER_END = 16 << 20, 8
_SPOOL_BYTES = 64 << 20
#: What a file begins with, and what it ends with, behind the size of its footer. So many bytes are looked through at once.
_MAGIC, _SIZE_BYTES, _LOOK_BYTES = b"PAR1", 4, 1 << 20
#: What joins files may put between them: a newline, a byte order mark.
_BETWEEN = 4
#: What a footer starts with: the header of its first field, an integer, in Thrift's compact protocol.
_FOOTER_START = b"\x15"
#: What a text breaks that is too long, and how much of it is kept, so that this and a note of its length can be shown.
_TOO_LONG, _SHOWN_BYTES = rule_of_length(MAX_NAME_BYTES), MAX_VALUE_BYTES - 32


def read_parquet(
    stream: BinaryIO,
    columns: Sequence[Column],
    null_texts: Sequence[str] | None = None,
    name_of: Callable[[str], str] = str,
) -> Iterator[Batch]:
    """Reads the columns of a Parquet file. A row's number is its place in the file, from 1.

    Integers may be floating-point numbers, NaN for "no value": pandas makes these of integers with missing ones.

    Args:
        stream: The file, which can seek (see `seekable`).
        columns: What is wanted.
        null_texts: Where given, a column may also be written in another type than its kind: numbers as text, with
            these texts for "no value", and text as numbers. Some tools write AWS's fields so.
        name_of: From a column's name in the file to the name that `columns` has for it.

    Raises:
        MissingColumns: A required column is not there.
        UnreadableSource: The file is damaged, or a column has a type that cannot hold what it must.
    """
    with _reading("cannot be read to its end:"):
        schema = _schema_of(stream)
        _refuse_joined(stream)
        wanted = _present(columns, schema, name_of)
        for column, found in wanted:
            for _, type_ in found:
                _check_type(column, type_, null_texts)
        leaves = [".".join(path) for _, found in wanted for path, _ in found]
        text = [".".join(path) for _, found in wanted for path, type_ in found if _is_text(type_)]
        first = 1
        for record_batch in _record_batches(stream, leaves, text):
            batch = _batch(record_batch, first, wanted, null_texts)
            yield batch.with_table(dictionary_encoded(batch.table))
            first += record_batch.num_rows


def _record_batches(stream: BinaryIO, leaves: Sequence[str], text: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, some at a time.

    Text comes as its distinct texts, as it mostly stands in the file: a page of a kilobyte may have a name of 100 kB once, and a
    million rows that point to it. Where text is written in a delta encoding, as by DuckDB and Spark in pages of version 2, Arrow does not
    read it so.

    Args:
        stream: The file.
        leaves: The columns that are wanted.
        text: Those of them that are text.
    """
    file, most = _opened(stream, text), _BATCH_ROWS
    for group in range(file.num_row_groups):
        rows, given = _rows_at_once(file.metadata.row_group(group), group), 0
        try:
            for record_batch in file.iter_batches(min(rows, most), [group], leaves, use_threads=False):
                yield record_batch
                given += record_batch.num_rows
        except (OSError, pa.ArrowNotImplementedError) as error:
            if most == _PLAIN_ROWS or not _NOT_DISTINCT.search(str(error)):
                raise
            file, most = _opened(stream), _PLAIN_ROWS
            for record_batch in file.iter_batches(min(rows, most), [group], leaves, use_threads=False):
                known = min(given, record_batch.num_rows)
                given -= known
                if known < record_batch.num_rows:
                    yield record_batch.slice(known)


def _opened(stream: BinaryIO, distinct: Sequence[str] = ()) -> pq.ParquetFile:
    """A Parquet file, of which some columns come as their distinct texts."""
    stream.seek(0)
    return pq.ParquetFile(stream, page_checksum_verification=True, pre_buffer=False, read_dictionary=list(distinct))


#: Where a file has a column: the path to it from the top of the schema, and its type there.
Places = list[tuple[tuple[str, ...], pa.DataType]]


def _present(columns: Sequence[Column], schema: pa.Schema, name_of: Callable[[str], str]) -> list[tuple[Column, Places]]:
    """Those of the columns that a file has, with their places in it.

    Raises:
        MissingColumns: A required one is not there.
        UnreadableSource: One stands there twice, so that its cells are ambiguous; or there are too many.
    """
    plain = [name_of(name) for name in schema.names]
    named = present_columns([column for column in columns if not column.path], plain)
    found: list[tuple[Column, Places]] = []
    for column in columns:
        if column in named:
            field = schema.field(plain.index(column.name))
            found.append((column, [((field.name,), field.type)]))
        elif column.path and (places := _places(column, schema)):
            found.append((column, places))
        elif column.path and column.required:
            raise MissingColumns([column.name], plain)
    return found


def _places(column: Column, schema: pa.Schema) -> Places:
    """Where a file has a column that lies within columns."""
    found: Places = []
    for path in column.places:
        type_: Any = pa.struct(list(schema))
        for key in path:
            index = type_.get_field_index(key) if pa.types.is_struct(type_) else -1
            if index < 0:
                break
            type_ = type_.field(index).type
        else:
            found.append((path, type_))
    return found


def parquet_schema(stream: BinaryIO) -> pa.Schema:
    """The schema in a Parquet file's footer.

    Raises:
        UnreadableSource: There is none: the file is damaged or cut off.
    """
    with _reading("has no readable footer; is it cut off?"):
        return _schema_of(stream)


def _schema_of(stream: BinaryIO) -> pa.Schema:
    """The schema of a Parquet file whose footer is not too long: what is made of it takes many times as much."""
    length = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, length - _FOOTER_END))
    end = stream.read(_FOOTER_END)
    size = int.from_bytes(end[:4], "little")
    if _MAX_FOOTER_BYTES < size < length and end.endswith(b"PAR1"):
        most = f"at most {_MAX_FOOTER_BYTES >> 20} MiB are read"
        raise UnreadableSource(f"the Parquet file has a footer of {size >> 20} MiB, {most}: write larger row groups")
    stream.seek(0)
    return pq.read_schema(stream)


def _refuse_joined(stream: BinaryIO) -> None:
    """Refuses files that were joined as text is: the last one's footer counts, and finds the first one's rows at its places."""
    for position, size in _possible_joints(stream):
        stream.seek(position - size)
        if stream.read(1) == _FOOTER_START:
            raise UnreadableSource("two or more Parquet files lie one behind the other in it; ingest them one by one")


def _possible_joints(stream: BinaryIO) -> list[tuple[int, int]]:
    """What looks like the end of a file and the start of another: the position behind a footer, and the footer's size."""
    found, end, data = [], 0, b""
    stream.seek(0)
    while chunk := stream.read(_LOOK_BYTES):
        # All but the last byte of a joint may be in the chunk before.
        data = data[1 - _SIZE_BYTES - 2 * len(_MAGIC) - _BETWEEN :] + chunk
        end += len(chunk)
        at = data.find(_MAGIC)
        while at >= 0:
            position = end - len(data) + at - _SIZE_BYTES
            size = int.from_bytes(data[max(0, at - _SIZE_BYTES) : at], "little")
            behind = at + len(_MAGIC)
            if 0 < size < position and _MAGIC in data[behind : behind + _BETWEEN + len(_MAGIC)]:
                found.append((position, size))
            at = data.find(_MAGIC, at + 1)
    return found


def _rows_at_once(group: Any, number: int) -> int:
    """How many rows of a row group are read at once, by the bytes that its footer names.

    Not by those of the columns that are wanted: to ask the footer of a damaged file for a column ends the process in Arrow 26.

    Raises:
        UnreadableSource: The bytes are too many: how they lie among the rows nobody knows.
    """
    size = group.total_byte_size
    if size > min(_MAX_GROUP_BYTES, max(1, group.num_rows) * MAX_LINE_BYTES):
        most = f"at most {_MAX_GROUP_BYTES >> 20} MiB, and {MAX_LINE_BYTES >> 20} MiB a row, are read"
        raise UnreadableSource(
            f"row group {number} has {size >> 20} MiB in {group.num_rows:,} rows; {most}: write smaller row groups"
        )
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * group.num_rows // max(1, size)))


@contextmanager
def _reading(problem: str) -> Iterator[None]:
    """Says what Arrow finds wrong with a Parquet file in this project's words; a UnicodeDecodeError is a ValueError."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableSource(f"the Parquet file {problem} {error}") from None


class _Copy(tempfile.SpooledTemporaryFile[bytes]):
    """A temporary file that is gone with its last reader."""

    def __del__(self) -> None:
        self.close()


def seekable(stream: BinaryIO) -> BinaryIO:
    """The stream, or a temporary copy of it where it cannot seek: Parquet packed once more, as `.parquet.gz`."""
    if stream.seekable():
        return stream
    copy = _Copy(_SPOOL_BYTES)
    shutil.copyfileobj(stream, copy, _SPOOL_BYTES)
    copy.seek(0)
    return cast("BinaryIO", copy)


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
    if kind is Kind.SECONDS and pa.types.is_timestamp(found):
        return True
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


def _batch(
    record_batch: pa.RecordBatch, first: int, wanted: Sequence[tuple[Column, Places]], null_texts: Sequence[str] | None
) -> Batch:
    def raw_of(row: int) -> str:
        cells = {name: raw.column(name)[row - first].as_py() for name in raw.column_names}
        return raw_text(json.dumps(cells, default=_json_bytes).encode())

    read = [[_as_bytes(_cells_at(record_batch, path)) for path, _ in found] for _, found in wanted]
    names = [".".join(path) for _, found in wanted for path, _ in found]
    raw = pa.table([cells for places in read for cells, _ in places], names=names)
    renamed = pa.table([places[0][0] for places in read], names=[column.name for column, _ in wanted])
    typed: list[pa.Array] = []
    faults: list[Fault] = []
    for (column, _), places in zip(wanted, read, strict=True):
        values: pa.Array | None = None
        for cells, is_long in places:
            parsed, broken = _parse_dictionary(cells, column.kind, null_texts)
            broken = {_TOO_LONG: is_long} | broken
            if values is not None:  # nobody looks at what is behind a value
                is_used = values.is_null().to_numpy(zero_copy_only=False)
                broken = {rule: bad & is_used for rule, bad in broken.items()}
            faults += faults_of(column, cells, broken, renamed)
            values = parsed if values is None else _first_of(values, parsed, column.kind)
        typed.append(values)
    rows = np.arange(first, first + record_batch.num_rows)
    table = pa.table(typed, names=[column.name for column, _ in wanted])
    return Batch(table, rows, raw_of, raw_bytes=raw.nbytes).reject(*faults)


def _cells_at(record_batch: pa.RecordBatch, path: tuple[str, ...]) -> pa.Array:
    cells = record_batch.column(path[0])
    for key in path[1:]:
        cells = pc.struct_field(cells, (key,))  # null where what is around it is null
    return cells


def _first_of(values: pa.Array, others: pa.Array, kind: Kind) -> pa.Array:
    """The values, and where there is none, those at a later place."""
    if kind is Kind.TEXT:
        values, others = (cells.cast(kind.parsed_type) for cells in (values, others))
    return pc.coalesce(values, others)


def _as_bytes(cells: pa.Array) -> tuple[pa.Array, Mask]:
    """A column as it stands in the file.

    Returns:
        Text as bytes, as Parquet's readers do not check that it is UTF-8, and each distinct text once; all else as it is. And which
        rows have a text that is too long, of which the start alone is kept, to be shown.
    """
    if pa.types.is_floating(cells.type):  # pandas writes NaN for null
        cells = pc.if_else(pc.is_nan(cells), None, cells)
    if not _is_text(cells.type):
        return cells, np.zeros(len(cells), dtype=bool)
    if not pa.types.is_dictionary(cells.type):
        cells = cells.cast(pa.binary()).dictionary_encode()
    codes, texts = cells.indices.cast(pa.int32()), cells.dictionary.cast(pa.binary())
    if len(texts) > len(codes):  # a batch's texts are those of all batches before it, where there are many
        used = codes.dictionary_encode()
        codes, texts = used.indices, texts.take(used.dictionary)
    is_long = pc.greater(pc.binary_length(texts), MAX_NAME_BYTES).fill_null(False)
    if pc.any(is_long).as_py():
        starts = [shortened(text.as_buffer(), _SHOWN_BYTES).encode() for text in texts.filter(is_long)]
        texts = pc.replace_with_mask(texts, is_long, pa.array(starts, pa.binary()))
    return pa.DictionaryArray.from_arrays(codes, texts, safe=False), _of_rows(is_long, codes)


def _of_rows(mask: pa.Array, codes: pa.Array) -> Mask:
    """Which rows have a text that a mask of the distinct ones marks."""
    return mask.take(codes).fill_null(False).to_numpy(zero_copy_only=False)


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


def _parse_dictionary(cells: pa.Array, kind: Kind, null_texts: Sequence[str] | None) -> tuple[pa.Array, Broken]:
    """Parses a column; of text the distinct ones, each once."""
    if not pa.types.is_dictionary(cells.type):
        return _parse(cells, kind, null_texts)
    distinct, broken = _parse(cells.dictionary, kind, null_texts)
    codes = cells.indices
    broken = {rule: _of_rows(pa.array(bad), codes) for rule, bad in broken.items()}
    if kind is not Kind.TEXT:
        return distinct.take(codes), broken
    if distinct.null_count:
        codes, distinct = pc.if_else(distinct.is_valid().take(codes), codes, None), distinct.fill_null("")
    return pa.DictionaryArray.from_arrays(codes, distinct, safe=False), broken


def _parse(cells: pa.Array, kind: Kind, null_texts: Sequence[str] | None) -> tuple[pa.Array, Broken]:
    if pa.types.is_timestamp(cells.type):
        cells = cells.cast(pa.int64())  # whose size tells the unit, as that of all numbers
    if pa.types.is_null(cells.type):
        return cells.cast(kind.parsed_type), {}
    if pa.types.is_floating(cells.type) and kind is not Kind.SECONDS:
        whole, broken = _integers_in_floats(cells)
        if kind is Kind.INTEGER:
            return whole, broken
        return whole.cast(pa.string()), broken
    if _holds(kind, cells.type) and kind is not Kind.TEXT:
        if cells.type != pa.uint64():
            return _as_numbers(cells, kind), {}
        too_large = pc.greater(cells, pa.scalar(2**63 - 1, pa.uint64())).fill_null(False)
        return _as_numbers(pc.if_else(too_large, None, cells), kind), {TOO_LARGE: too_large.to_numpy(zero_copy_only=False)}
    raw = cells if pa.types.is_binary(cells.type) else cells.cast(pa.string()).cast(pa.binary())
    if null_texts is not None:
        raw = pc.if_else(pc.is_in(raw, pa.array([text.encode() for text in null_texts])), None, raw)
    return parse_column(raw, kind)


def _as_numbers(cells: pa.Array, kind: Kind) -> pa.Array:
    """Integers, or floats of any width, as the kind wants numbers."""
    if kind is Kind.SECONDS and pa.types.is_integer(cells.type):
        return floats_of_integers(cells)
    return cells.cast(kind.parsed_type)
