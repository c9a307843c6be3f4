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

from pipeline.kernel.columns import JsonLines
from pipeline.schema import coded
from pipeline.syntax.batch import Batch, Reject, RowNumbers
from pipeline.syntax.blocks import TextBlock, raw_text
from pipeline.syntax.cells import Column, has_odd_numbers, json_cell, parsed_schema
from pipeline.syntax.jsonobjects import JsonObject, integer_of, object_of
from pipeline.syntax.lines import parse_lines

#: Below this many lines, parsing them one by one costs less than another call of Arrow.
_FEW_LINES = 32

_SHOWN_CHARACTERS = 100

NOT_OBJECT = "must be a JSON object"


#: From the number of a line to the values on it.
ValuesOf = Callable[[int], list[bytes]]


def _no_values(number: int) -> list[bytes]:
    del number  # the line is broken
    return []


#: Reads one JSON value as Arrow does, but into Python.
DECODER = json.JSONDecoder(object_pairs_hook=object_of, parse_int=integer_of)


class JsonParser:
    """Parses blocks of JSON with one object a line. Not for several threads at once.

    Args:
        columns: What is wanted of each.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        types = {column.name: column.kind.value for column in columns}
        self._names, self._lines = list(types), JsonLines(types)

    def parse(self, block: TextBlock, values_of: ValuesOf = _no_values) -> Batch:
        """One batch with all the block's records.

        Args:
            block: The lines.
            values_of: Gives the values on a line that is not one value, each as JSON, by the line's number; none where it is
                broken.
        """
        otherwise = partial(_parse_otherwise, columns=self._columns, values_of=values_of)
        return parse_lines(self._lines, self._names, block, otherwise)


def _parse_otherwise(block: TextBlock, columns: Sequence[Column], values_of: ValuesOf = _no_values) -> Batch:
    rejects: list[Reject] = []
    pieces = list(_parse(block, columns, values_of, rejects))
    table = pa.concat_tables([table for table, _ in pieces] or [parsed_schema(columns).empty_table()])
    rows = np.concatenate([rows for _, rows in pieces] or [np.empty(0, np.int64)])
    return Batch(coded(table), rows, block.raw_of, rejects)


def _parse(
    block: TextBlock, columns: Sequence[Column], values_of: ValuesOf, rejects: list[Reject]
) -> Iterator[tuple[pa.Table, RowNumbers]]:
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
    if not _has_one_object_a_line(block):
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
    table = _flattened(table, columns)
    return None if has_odd_numbers(table, columns) else table


def _arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema of these columns, and of the objects within which some of them may be."""
    outers: dict[str, list[pa.Field]] = {}
    for column in columns:
        if column.outer:
            field = pa.field(column.name.removeprefix(f"{column.outer}."), column.kind.parsed_type)
            outers.setdefault(column.outer, []).append(field)
    schema = parsed_schema(columns)
    for name, fields in outers.items():
        schema = schema.append(pa.field(name, pa.struct(fields)))
    return schema


def _flattened(table: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """The columns, with the cells of those that are within an object where they are not beside it."""
    cells = []
    for column in columns:
        found = table.column(column.name)
        if column.outer and found.null_count:
            inner = pc.struct_field(table.column(column.outer), column.name.removeprefix(f"{column.outer}."))
            found = pc.coalesce(found, inner)
        cells.append(found)
    return pa.table(cells, schema=parsed_schema(columns))


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
        value = DECODER.decode(line.decode("utf-8", "surrogateescape"))
    except RecursionError:  # Python cannot go as deep as Arrow
        table = _parse_arrow(TextBlock(line, row), columns)
        if table is None or table.num_rows != 1:
            return Reject(row, "", NOT_OBJECT, "too deeply nested", raw)
        return list(table.to_pylist()[0].values())
    return json_record(value, columns, row, raw)


def json_record(value: Any, columns: Sequence[Column], row: int, raw: str) -> list[Any] | Reject:
    """The cells of one record, or why it is none."""
    if not isinstance(value, JsonObject):
        return Reject(row, "", NOT_OBJECT, _shown(value), raw)
    record = []
    for column in columns:
        found, key = _place_of(column, value)
        cell, broken = json_cell(found.get(key), column.kind)
        if key in found.repeated:
            cell, broken = None, "must be there once"
        if broken and (column.instead_of is None or value.get(column.instead_of) is None):
            return Reject(row, column.name, broken, _shown(found[key]), raw)
        record.append(cell)
    return record


def _place_of(column: Column, value: JsonObject) -> tuple[JsonObject, str]:
    """The object that has a column, and its key there: where a record has no key `a.b`, it may have an object `a` with `b`."""
    if value.get(column.name) is None and column.outer:
        inner = value.get(column.outer)
        if isinstance(inner, JsonObject):
            return inner, column.name.removeprefix(f"{column.outer}.")
    return value, column.name


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
