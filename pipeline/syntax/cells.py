"""Cells: what counts as an integer, a text and a time, in text and in JSON alike."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import MissingColumns, UnreadableSource
from pipeline.scalars import column_named_twice, is_utf8
from pipeline.schema import DICTIONARY_TEXT
from pipeline.syntax.batch import Batch, Fault, Mask
from pipeline.syntax.decimals import EXACT_BELOW, float_of, floats_of, may_be_beyond
from pipeline.syntax.jsonobjects import integer_of
from pipeline.syntax.times import seconds_of_text


class Kind(Enum):
    """What a cell must be. The value is the Arrow type of a column of them, as a batch has it."""

    INTEGER = pa.int64()
    TEXT = DICTIONARY_TEXT
    #: A time: a number since 1970, in a unit that `times.seconds_of` tells; or ISO 8601, which becomes seconds.
    SECONDS = pa.float64()

    @property
    def parsed_type(self) -> pa.DataType:
        """The Arrow type of a column of them as Arrow's parsers make it."""
        return pa.string() if self is Kind.TEXT else self.value


#: The most columns that a file may have, as many as a spreadsheet: what is done for each column costs more than its name.
MAX_COLUMNS = 16_384

#: Which cells of a column break a rule, by rule.
Broken = dict[str, Mask]

RULES = {
    Kind.INTEGER: "must be an integer",
    Kind.TEXT: "must be text",
    Kind.SECONDS: "must be a time, in seconds since 1970 or ISO 8601",
}
TOO_LARGE = "must fit into 64 bits"
NOT_EXACT = "must be an integer that a floating-point number holds exactly"
NOT_UTF8 = "must be valid UTF-8"
NOT_INTEGER_TEXT = "must be an integer, bare or as a text"


@dataclass(frozen=True)
class Column:
    """A column that a format asks a syntax for.

    Attributes:
        name: Its name in the file; of a JSON format the keys of `path`, joined by dots, which is what messages say.
        kind: What its cells must be.
        required: Whether a file without it is refused; else the column is all null there.
        instead_of: The column whose place it takes where that has no value; elsewhere nobody looks at its cells, and so
            these may be anything.
        path: In JSON, the keys that lead to it, from the outermost on; empty where `name` is the only one. A key is an element,
            never a part of one: `("a", "b.c")` is in an object `a`, under the key `b.c`. See `at`.
        others: In JSON, further paths at which a record may have it, as `("id", "orig_h")` for `id.orig_h`; the first path that
            has a value counts.
        in_text: In JSON, whether an integer may also be written as a text, as protobuf does with 64 bits: `"1234"`; of a column
            of text, whether a bare integer counts as the text of its digits.
        in_float: In JSON, whether an integer may also be written as a floating-point number, as languages do whose numbers are
            such: `1234.0`, `1.234e3`; with `in_text`, within a text, too.
        null: In JSON, the text that stands for no value; None where none does.
        as_json: In JSON, whether a value of any type may stand there: the column of text has it as JSON, blanks aside.
        varied: In JSON, whether nearly all of its texts differ, as times do: then they are not dictionary-encoded.
    """

    name: str
    kind: Kind
    required: bool = True
    instead_of: str | None = None
    path: tuple[str, ...] = ()
    others: tuple[tuple[str, ...], ...] = ()
    in_text: bool = False
    in_float: bool = False
    null: str | None = None
    as_json: bool = False
    varied: bool = False

    @property
    def type(self) -> pa.DataType:
        """The Arrow type of the column, as a batch has it."""
        return pa.string() if self.varied else self.kind.value

    @classmethod
    def at(
        cls,
        *path: str,
        kind: Kind,
        required: bool = True,
        instead_of: str | None = None,
        in_text: bool = False,
        in_float: bool = False,
        null: str | None = None,
    ) -> Column:
        """A column of JSON objects within objects, by the keys that lead to it, from the outermost on."""
        return cls(".".join(path), kind, required, instead_of, path=path, in_text=in_text, in_float=in_float, null=null)

    @property
    def places(self) -> list[tuple[str, ...]]:
        """The paths at which JSON may have it; a value at an earlier one counts before one at a later one."""
        return [self.path or (self.name,), *self.others]


def parsed_schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema of these columns as Arrow's parsers make them."""
    return pa.schema([(column.name, column.kind.parsed_type) for column in columns])


def present_columns(columns: Sequence[Column], header: Sequence[str]) -> list[Column]:
    """Those of the columns that a file with this header has.

    Raises:
        MissingColumns: A required one is not there.
        UnreadableSource: One stands there twice, so that its cells are ambiguous; or there are too many.
    """
    if len(header) > MAX_COLUMNS:
        raise UnreadableSource(f"the header names {len(header):,} columns; at most {MAX_COLUMNS:,} are read")
    if missing := [column.name for column in columns if column.required and column.name not in header]:
        raise MissingColumns(missing, list(header))
    if problem := column_named_twice(header, [column.name for column in columns]):
        raise UnreadableSource(f"the header {problem}")
    return [column for column in columns if column.name in header]


def has_odd_numbers(table: pa.Table, columns: Sequence[Column], text: bytes) -> bool:
    """Whether a column of times that Arrow's parsers read from a text has a "nan" or an "inf", which these take for numbers, or
    perhaps a number that they rounded as `decimals` does not.
    """
    seconds = [table.column(column.name) for column in columns if column.kind is Kind.SECONDS]
    return any(pc.all(pc.is_finite(column)).as_py() is False or may_be_beyond(column, text) for column in seconds)


# --- cells of text, as columns of bytes --------------------------------------------------------------------------

_SHORT_INTEGER = r"^[ \t]*-?[0-9]{1,18}[ \t]*$"  # any such number fits into int64
_LONG_INTEGER = re.compile(rb"[ \t]*(-?)([0-9]+)[ \t]*")
_NUMBER = r"^[ \t]*-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?[ \t]*$"


def parse_cells(batch: Batch, columns: Sequence[Column]) -> Batch:
    """Turns columns of bytes into typed columns, rejecting the rows whose cells do not parse.

    This is the exact path. The syntaxes take it for the blocks that Arrow's typed parsers refuse; the two agree on
    every block that Arrow accepts.

    Args:
        batch: Its table has one binary column for each of `columns`, null where the file says "no value".
        columns: What they must be.
    """
    typed: list[pa.Array] = []
    faults: list[Fault] = []
    for column in columns:
        cells = batch.table.column(column.name).combine_chunks()
        values, broken = parse_column(cells, column.kind)
        typed.append(values)
        faults += faults_of(column, cells, broken, batch.table)
    return batch.with_table(pa.table(typed, schema=parsed_schema(columns))).reject(*faults)


def faults_of(column: Column, cells: pa.Array, broken: Broken, table: pa.Table) -> list[Fault]:
    """The faults of a column's cells, as far as these matter.

    Args:
        column: Which it is.
        cells: As they stand in the file.
        broken: Which of them break a rule.
        table: All columns as they stand in the file.
    """
    if column.instead_of in table.column_names:
        is_used = table.column(column.instead_of).is_null().to_numpy()
        broken = {rule: bad & is_used for rule, bad in broken.items()}
    return [Fault(column.name, rule, bad, cells) for rule, bad in broken.items() if bad.any()]


def parse_column(cells: pa.Array, kind: Kind) -> tuple[pa.Array, Broken]:
    """Turns one column of bytes into a typed one: its values, null where they do not parse, and which do not, by rule."""
    return {Kind.INTEGER: _integers, Kind.TEXT: _texts, Kind.SECONDS: _times}[kind](cells)


def _integers(cells: pa.Array) -> tuple[pa.Array, Broken]:
    short = _mask(pc.match_substring_regex(cells, _SHORT_INTEGER))
    values = _cast_where(cells, short, pa.int64())
    bad, too_large = np.zeros(len(cells), dtype=bool), np.zeros(len(cells), dtype=bool)
    found: dict[int, int] = {}
    for i in np.flatnonzero(~short & _mask(cells.is_valid())):
        match = _LONG_INTEGER.fullmatch(cells[int(i)].as_py())
        if match is None:
            bad[i] = True
        elif fits(number := _to_int(match[1], match[2])):
            found[int(i)] = number
        else:
            too_large[i] = True
    if found:
        mask = np.zeros(len(cells), dtype=bool)
        mask[list(found)] = True
        values = pc.replace_with_mask(values, pa.array(mask), pa.array(list(found.values()), pa.int64()))
    return values, {RULES[Kind.INTEGER]: bad, TOO_LARGE: too_large}


def _times(cells: pa.Array) -> tuple[pa.Array, Broken]:
    good = _mask(pc.match_substring_regex(cells, _NUMBER))
    values = floats_of(_text_where(cells, good))
    good &= _mask(pc.is_finite(values))  # 1e400 is a number, but no float
    others = pa.array(~good & _mask(cells.is_valid()))
    values = pc.replace_with_mask(values, others, _iso_times(cells.filter(others)))
    bad = _mask(pc.and_(cells.is_valid(), values.is_null()))
    return values, {RULES[Kind.SECONDS]: bad}


def _iso_times(cells: pa.Array) -> pa.Array:
    """The times that some texts say, in seconds; null where one says none. Many records share a second, and so a text."""
    distinct = cells.dictionary_encode()
    texts = [cell.decode("ascii", "replace").strip(" \t") for cell in distinct.dictionary.to_pylist()]
    return pa.array(map(seconds_of_text, texts), pa.float64()).take(distinct.indices)


def _texts(cells: pa.Array) -> tuple[pa.Array, Broken]:
    try:
        return cells.cast(pa.string()), {}
    except pa.ArrowInvalid:
        pass  # some cell is not UTF-8: find out which
    bad = np.array([cell is not None and not is_utf8_bytes(cell) for cell in cells.to_pylist()])
    return pc.if_else(pa.array(bad), None, cells).cast(pa.string()), {NOT_UTF8: bad}


def _cast_where(cells: pa.Array, good: Mask, target: pa.DataType) -> pa.Array:
    return pc.utf8_trim(_text_where(cells, good), " \t").cast(target)


def _text_where(cells: pa.Array, good: Mask) -> pa.StringArray:
    return pc.if_else(pa.array(good), cells, None).cast(pa.string())


def _mask(booleans: pa.Array) -> Mask:
    return booleans.fill_null(False).to_numpy(zero_copy_only=False)


def is_utf8_bytes(data: bytes) -> bool:
    """Whether some bytes are UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def fits(number: int) -> bool:
    """Whether an integer fits into int64."""
    return -(2**63) <= number < 2**63


def _to_int(sign: bytes, digits: bytes) -> int:
    """Python refuses to convert more than 4,300 digits; no number of more than 19 fits into 64 bits anyway."""
    significant = digits.lstrip(b"0") or b"0"
    return int(sign + significant) if len(significant) <= 19 else 2**64


# --- cells of JSON, as Python values -----------------------------------------------------------------------------


_JSON_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_JSON_NUMBER = re.compile(_JSON_INTEGER.pattern + r"(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
#: An integer in a text that fits into int64 in any case: a pattern of Arrow's.
SHORT_JSON_INTEGER = r"^-?(?:0|[1-9][0-9]{0,17})$"


def json_cell(
    value: Any, kind: Kind, in_text: bool = False, in_float: bool = False, as_json: bool = False
) -> tuple[Any, str | None]:
    """Reads a JSON value as a cell.

    Args:
        value: What `json` makes of it.
        kind: What it must be.
        in_text: Whether an integer may also stand in a text (see `Column`), which then has what JSON has for it, and nothing else;
            or whether a bare integer is a text.
        in_float: Whether an integer may also be a floating-point number, if such a number holds it exactly.
        as_json: Whether it may be anything (see `Column`).

    Returns:
        The value as the column's type wants it (null stays None), and the rule that it breaks, if it does.
    """
    if value is None:
        return None, None
    if as_json:
        return _json_anything(value)
    if kind is Kind.INTEGER:
        return _json_integer(_number_in(value) if in_text else value, in_text, in_float)
    if kind is Kind.TEXT:
        return _json_text(str(value) if in_text and type(value) is int else value)
    return _json_seconds(value)


def _json_anything(value: Any) -> tuple[Any, str | None]:
    try:
        return json.dumps(value), None
    except RecursionError:
        return None, "must be less deeply nested"


def _number_in(value: Any) -> Any:
    """The number that a text has; the value itself where it is no such text."""
    if not isinstance(value, str) or not _JSON_NUMBER.fullmatch(value):
        return value
    return integer_of(value) if _JSON_INTEGER.fullmatch(value) else float_of(value)


def _json_integer(value: Any, in_text: bool, in_float: bool) -> tuple[Any, str | None]:
    if in_float and isinstance(value, float):
        if abs(value) >= EXACT_BELOW:
            return None, NOT_EXACT
        value = int(value) if value.is_integer() else value
    if type(value) is not int:  # bool is a subclass of int
        return None, NOT_INTEGER_TEXT if in_text else RULES[Kind.INTEGER]
    return (value, None) if fits(value) else (None, TOO_LARGE)


def _json_text(value: Any) -> tuple[Any, str | None]:
    if not isinstance(value, str):
        return None, RULES[Kind.TEXT]
    return (value, None) if is_utf8(value) else (None, NOT_UTF8)


def _json_seconds(value: Any) -> tuple[Any, str | None]:
    if isinstance(value, str):
        seconds = seconds_of_text(value)
        return seconds, None if seconds is not None else RULES[Kind.SECONDS]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, RULES[Kind.SECONDS]
    try:
        seconds = value if isinstance(value, float) else float_of(value)
    except OverflowError:
        return None, RULES[Kind.SECONDS]
    return (seconds, None) if math.isfinite(seconds) else (None, RULES[Kind.SECONDS])
