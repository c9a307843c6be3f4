"""JSON Lines: one object a line.

The kernel parses the lines of a block, straight into typed columns, that are plain. The others go through Arrow's
parser. Where it refuses, some line is unfit: they are halved until the unfit lines stand alone among a few, and those
few go one by one through Python's json module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from pipeline.kernel.columns import JsonColumn, JsonLines
from pipeline.schema import dictionary_encoded
from pipeline.syntax.batch import Batch, Reject, RowNumbers
from pipeline.syntax.blocks import TextBlock, raw_text
from pipeline.syntax.cells import SHORT_JSON_INTEGER, Column, Kind, has_odd_numbers, json_cell, parsed_schema
from pipeline.syntax.decimals import EXACT_BELOW, float_of, may_be_beyond
from pipeline.syntax.dictionary import without_text
from pipeline.syntax.jsonobjects import JsonObject, integer_of, object_of
from pipeline.syntax.lines import parse_lines

#: Below this many lines, parsing them one by one costs less than another call of Arrow.
_FEW_LINES = 32

_SHOWN_CHARACTERS = 100

NOT_OBJECT = "must be a JSON object"
#: What is said of a value that Python cannot read for its depth, beside the rule.
TOO_DEEP = "too deeply nested"
NOT_WITHIN = "must be within JSON objects"
ONCE = "must be there once"


#: From the number of a line to the values on it.
ValuesOf = Callable[[int], list[bytes]]


def _no_values(number: int) -> list[bytes]:
    del number  # the line is broken
    return []


_DECODER = json.JSONDecoder(object_pairs_hook=object_of, parse_int=integer_of, parse_float=float_of)


def decoded(value: bytes) -> Any:
    """A JSON value as Arrow reads it, but in Python: an object is a `JsonObject`. Bytes that are not UTF-8 become lone surrogates.

    Raises:
        json.JSONDecodeError: It is not JSON.
        RecursionError: It is nested more deeply than Python can go.
    """
    return _DECODER.decode(value.decode("utf-8", "surrogateescape"))


class JsonParser:
    """Parses blocks of JSON with one object a line. Not for several threads at once.

    Args:
        columns: What is wanted of each.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._names = [column.name for column in columns]
        self._lines = JsonLines(
            [JsonColumn(column.type, column.places, column.in_text, column.in_float, column.as_json) for column in columns]
        )

    def parse(self, block: TextBlock, values_of: ValuesOf = _no_values) -> Batch:
        """One batch with all the block's records.

        Args:
            block: The lines.
            values_of: Gives the values on a line that is not one value, each as JSON, by the line's number; none where it is
                broken.
        """
        otherwise = partial(_parse_otherwise, columns=self._columns, values_of=values_of)
        return self._without_null_texts(parse_lines(self._lines, self._names, block, otherwise))

    def _without_null_texts(self, batch: Batch) -> Batch:
        table = batch.table
        for i, column in enumerate(self._columns):
            if column.null is not None and column.kind is Kind.TEXT:
                cells = without_text(table.column(i).combine_chunks(), column.null)
                table = table.set_column(i, column.name, cells)
        return batch if table is batch.table else batch.with_table(table)


def _parse_otherwise(block: TextBlock, columns: Sequence[Column], values_of: ValuesOf = _no_values) -> Batch:
    rejects: list[Reject] = []
    pieces = [piece for piece in _parse(block, columns, values_of, rejects) if len(piece[1])]
    table = pa.concat_tables([table for table, _ in pieces] or [parsed_schema(columns).empty_table()])
    rows = np.concatenate([rows for _, rows in pieces] or [np.empty(0, np.int64)])
    encoded = dictionary_encoded(table.select([column.name for column in columns if not column.varied]))
    for i, column in enumerate(columns):
        if column.varied:
            encoded = encoded.add_column(i, column.name, table.column(i).combine_chunks())
    return Batch(encoded, rows, block.raw_of, rejects)


def _parse(
    block: TextBlock, columns: Sequence[Column], values_of: ValuesOf, rejects: list[Reject]
) -> Iterator[tuple[pa.Table, RowNumbers]]:
    if not block.data.strip(b"\r\n"):  # there may be millions of blank lines
        return
    table = _parse_arrow(block, columns)
    rows = None if table is None else block.rows_of(table.num_rows)
    if rows is not None:
        yield table, rows
    elif block.line_count <= _FEW_LINES:
        yield _parse_lines(block, columns, values_of, rejects)
    else:
        middle = block.line_count // 2
        for half in (block.part(0, middle), block.part(middle, block.line_count)):
            yield from _parse(half, columns, values_of, rejects)


def _parse_arrow(block: TextBlock, columns: Sequence[Column]) -> pa.Table | None:
    if any(column.as_json for column in columns) or not _has_one_object_a_line(block):
        return None
    try:
        table = pa_json.read_json(
            pa.BufferReader(block.data),
            read_options=pa_json.ReadOptions(use_threads=False, block_size=len(block.data) + 1),
            parse_options=pa_json.ParseOptions(explicit_schema=_arrow_schema(columns), unexpected_field_behavior="ignore"),
        )
        table.validate(full=True)  # Arrow's JSON parser takes bytes that are not UTF-8 for text
    except pa.ArrowInvalid:
        return None
    flat = _flattened(table, columns, block.data)
    return None if flat is None or has_odd_numbers(flat, columns, block.data) else flat


def _arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema of the objects that have these columns."""
    tree: dict[str, Any] = {}
    for column in columns:
        for *outer, key in column.places:
            inside = tree
            for way in outer:
                inside = inside.setdefault(way, {})
            inside[key] = _arrow_type(column)
    return pa.schema(_arrow_fields(tree))


def _arrow_type(column: Column) -> pa.DataType:
    if column.in_text:
        return pa.string()
    return pa.float64() if column.in_float else column.kind.parsed_type


def _arrow_fields(tree: dict[str, Any]) -> list[pa.Field]:
    return [
        pa.field(key, pa.struct(_arrow_fields(found)) if isinstance(found, dict) else found) for key, found in tree.items()
    ]


def _flattened(table: pa.Table, columns: Sequence[Column], text: bytes) -> pa.Table | None:
    """The columns, from wherever they are in the objects. None if a text or a number may not be the integer that it must be."""
    flat = []
    for column in columns:
        found = pc.coalesce(*(_cells_at(table, path) for path in column.places))
        if column.in_text and column.kind is Kind.INTEGER:
            if pc.all(pc.match_substring_regex(found, SHORT_JSON_INTEGER)).as_py() is False:
                return None
            found = found.cast(pa.int64())
        elif column.in_float:
            is_exact = pc.and_(pc.less(pc.abs(found), EXACT_BELOW), pc.equal(found, pc.trunc(found)))
            if pc.all(is_exact).as_py() is False or may_be_beyond(found, text):
                return None
            found = found.cast(pa.int64())
        flat.append(found)
    return pa.table(flat, schema=parsed_schema(columns))


def _cells_at(table: pa.Table, path: tuple[str, ...]) -> pa.ChunkedArray:
    found = table.column(path[0])
    for key in path[1:]:
        found = pc.struct_field(found, (key,))  # a text alone might be taken for a path
    return found


def _has_one_object_a_line(block: TextBlock) -> bool:
    """Whether each line starts and ends with a brace. Between two lines of JSON that do, no value can go on, so that
    Arrow, which does not care about lines, sees one object in each.
    """
    data = block.data.removesuffix(b"\n").removesuffix(b"\r")
    breaks = data.count(b"\n")
    return data.startswith(b"{") and data.endswith(b"}") and data.count(b"}\n{") + data.count(b"}\r\n{") == breaks


def _parse_lines(
    block: TextBlock, columns: Sequence[Column], values_of: ValuesOf, rejects: list[Reject]
) -> tuple[pa.Table, RowNumbers]:
    records, kept = [], []
    for row in block.rows().tolist():
        for record in _parse_line(block, row, columns, values_of):
            if isinstance(record, Reject):
                rejects.append(record)
            else:
                records.append(record)
                kept.append(row)
    return records_table(records, columns), np.array(kept, np.int64)


def _parse_line(block: TextBlock, row: int, columns: Sequence[Column], values_of: ValuesOf) -> Iterator[list[Any] | Reject]:
    line, raw = block.line(row), block.raw_of(row)
    if line.lstrip().startswith(b"["):
        values_of(row)  # which ends the lines here if this is an array: its elements may be records
    try:
        yield _record_of(line, columns, row, raw)
    except json.JSONDecodeError as error:
        values = values_of(row)
        if not values:
            problem = f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
            yield Reject(row, "", NOT_OBJECT, problem, raw)
        for value in values:
            yield _record_of(value, columns, row, raw_text(value))


def _record_of(line: bytes, columns: Sequence[Column], row: int, raw: str) -> list[Any] | Reject:
    try:
        value = decoded(line)
    except RecursionError:  # Python cannot go as deep as Arrow
        table = _parse_arrow(TextBlock(line, row), columns)
        if table is None or table.num_rows != 1:
            return Reject(row, "", NOT_OBJECT, TOO_DEEP, raw)
        return list(table.to_pylist()[0].values())
    return json_record(value, columns, row, raw)


def json_record(value: Any, columns: Sequence[Column], row: int, raw: str) -> list[Any] | Reject:
    """The cells of one record, or why it is none."""
    if not isinstance(value, JsonObject):
        return Reject(row, "", NOT_OBJECT, _shown(value), raw)
    record = []
    for column in columns:
        found, barred = _value_of(column, value)
        if column.null is not None and found == column.null and not barred:
            found = None
        cell, broken = json_cell(found, column.kind, column.in_text, column.in_float, column.as_json)
        broken = barred or broken
        if broken and not _has_other(column, columns, value):
            return Reject(row, column.name, broken, _shown(found), raw)
        record.append(None if broken else cell)
    return record


def _has_other(column: Column, columns: Sequence[Column], record: JsonObject) -> bool:
    """Whether nobody looks at a column's cell, as the column has a value whose place it would take."""
    others = (other for other in columns if other.name == column.instead_of)
    return any(_value_of(other, record)[0] is not None for other in others)


def _value_of(column: Column, record: JsonObject) -> tuple[Any, str | None]:
    """What a record has for a column, and the rule that the way there breaks, if it breaks one."""
    first, *others = [_value_at(path, record) for path in column.places]
    if not others:
        return first
    there = [found for found in (first, *others) if found[1] != NOT_WITHIN]  # what is no object has none of the keys
    return next(
        (found for found in there if found[0] is not None), next((found for found in there if found[1]), (None, None))
    )


def _value_at(path: Sequence[str], record: JsonObject) -> tuple[Any, str | None]:
    """The same, for a path. It ends where something is null or not there."""
    value: Any = record
    for key in path:
        if value is None:
            break
        if not isinstance(value, JsonObject):
            return value, NOT_WITHIN
        value, is_repeated = value.get(key), key in value.repeated
        if is_repeated:
            return value, ONCE
    return value, None


def _shown(value: Any) -> str:
    try:
        return json.dumps(value)[:_SHOWN_CHARACTERS]
    except RecursionError:
        return "…"


def records_table(records: Sequence[Sequence[Any]], columns: Sequence[Column]) -> pa.Table:
    """The records that `json_record` gave, as a table."""
    cells = zip(*records, strict=True) if records else [()] * len(columns)
    return pa.table(
        [pa.array(list(column_cells), column.kind.parsed_type) for column, column_cells in zip(columns, cells, strict=True)],
        schema=parsed_schema(columns),
    )
