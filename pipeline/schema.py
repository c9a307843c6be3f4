"""The flow record: its columns, and the one statement of the rules that each must keep.

`FIELDS` is that statement. The Arrow schemas that travel between the modules, the schema of the store's files and
the pandera schema that checks every row are all derived from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.hours import LAST_HOUR
from pipeline.scalars import ZeroBytes as ZeroBytes  # noqa: PLC0414 - the modules above take it from here

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pandera


#: The largest integer that a float64, and so JavaScript and most JSON tools, can hold exactly.
MAX_RECORD_BYTES = 2**53 - 1
#: The longest name, in characters, that the service takes from the network.
MAX_NAME_LENGTH = 1024
#: The longest name that a file may have, in bytes of UTF-8: no app and no VPC comes near it, and an hour's names must fit into
#: memory.
MAX_NAME_BYTES = 4096
#: The most hours of which one source may have rows: five years and eight months. Each is a file and a folder of the store, and a
#: hundred thousand of them, in a file of a kilobyte, take minutes.
MAX_HOURS_OF_SOURCE = 50_000
#: The most days that a flow may last whose bytes are spread over its hours: of a longer one the end is no end.
MAX_DAYS_OF_FLOW = 366


@dataclass(frozen=True)
class Field:
    """One column of the flow record.

    Attributes:
        name: The column's name, in every format and in the store.
        type: Its Arrow type. Text is UTF-8 by type.
        minimum: The smallest value of an integer; for text, the smallest length in bytes.
        maximum: The largest value of an integer; for text, the largest length in bytes.
        description: What it holds.
    """

    name: str
    type: pa.DataType
    minimum: int
    maximum: int
    description: str


FIELDS = (
    Field("hour", pa.int64(), 1, LAST_HOUR, "hours since the Unix epoch, UTC; or the hour that the record itself names"),
    Field("src_app", pa.string(), 1, MAX_NAME_BYTES, "the app that opened the connection"),
    Field("dest_app", pa.string(), 1, MAX_NAME_BYTES, "the app that it talks to"),
    Field("vpc_id", pa.string(), 1, MAX_NAME_BYTES, "the virtual network in which they talk"),
    Field("bytes_tx", pa.int64(), 0, MAX_RECORD_BYTES, "bytes from src_app to dest_app"),
    Field("bytes_rx", pa.int64(), 0, MAX_RECORD_BYTES, "bytes from dest_app to src_app"),
)

COLUMNS = tuple(field.name for field in FIELDS)
KEY = ("hour", "src_app", "dest_app", "vpc_id")
SUMS = ("bytes_tx", "bytes_rx")
COUNT = "flows"
#: The bytes of both directions, which rows can be sorted by, too.
TOTAL_BYTES = "bytes"

#: Text on its way through the program: each distinct text once, and for each row the number of its own. What is done to
#: a text, as checking it or finding the app of an address, is so done once for many rows.
DICTIONARY_TEXT = pa.dictionary(pa.int32(), pa.string())
#: A flow record as the readers produce it: any cell may be null until `validation` has seen it.
FLOW_SCHEMA = pa.schema([(field.name, DICTIONARY_TEXT if field.type == pa.string() else field.type) for field in FIELDS])
#: An hourly total: the key, the two sums, and the number of records that were summed.
TOTALS_SCHEMA = pa.schema([(field.name, field.type) for field in FIELDS]).append(pa.field(COUNT, pa.int64()))
#: The same with its text dictionary-encoded.
ENCODED_TOTALS_SCHEMA = FLOW_SCHEMA.append(TOTALS_SCHEMA.field(COUNT))
#: A row of `flows/hour=N/part-0.parquet`: the hour is in the folder's name, not in the file.
PARTITION_SCHEMA = TOTALS_SCHEMA.remove(TOTALS_SCHEMA.get_field_index("hour"))
#: The order of the rows in a partition.
PARTITION_ORDER = KEY[1:]

#: A row of `rejects/run=R/part-0.parquet`.
REJECT_SCHEMA = pa.schema(
    [
        ("source", pa.string()),  # the raw file's path
        # The line's number in text, the record's in Parquet and in JSON that is not one record a line; both start at 1.
        ("row", pa.int64()),
        ("field", pa.string()),  # the column that breaks a rule; "" if the row as a whole does
        ("rule", pa.string()),
        ("value", pa.string()),  # the offending cell
        ("raw", pa.string()),  # the row as it stands in the file
    ]
)


def minimum_of(field: Field, zero_bytes: ZeroBytes) -> int:
    """The smallest value of an integer; for text, the smallest length."""
    return 1 if field.name in SUMS and zero_bytes == "reject" else field.minimum


def rule_of_minimum(minimum: int) -> str:
    """The rule that an integer breaks which is smaller, as a user reads it."""
    return "must be positive" if minimum == 1 else f"must be at least {minimum}"


def rule_of_maximum(maximum: int) -> str:
    """The rule that an integer breaks which is larger, as a user reads it."""
    return f"must be at most {maximum}"


def rule_of_length(maximum: int) -> str:
    """The rule that a text breaks which is longer, as a user reads it."""
    return f"must have at most {maximum:,} bytes"


@cache
def flow_schema(zero_bytes: ZeroBytes = "accept") -> pandera.DataFrameSchema:
    """The rules of `FIELDS` as a pandera schema over the Arrow-backed pandas columns of `FLOW_SCHEMA`.

    Args:
        zero_bytes: Whether a record may have 0 in `bytes_tx` or `bytes_rx`. Real logs are full of one-way flows, so
            files accept it; the service that this project grew out of does not.

    Returns:
        A schema to be used with `lazy=True`. A column has one check, as each costs a call of pandera a tenth of a millisecond in
        which Python's lock is held. The check's text is the rule that a cell breaks which is too small, as a user reads it in
        `rejects`; `validation` tells which cells are too large.
    """
    # Imported here, and not at the top, because pandas and pandera take half a second that a query need not pay.
    import pandas as pd
    import pandera.pandas as pandera

    def check(field: Field) -> pandera.Check:
        minimum = minimum_of(field, zero_bytes)
        if pa.types.is_string(field.type):
            rule, fits = "must not be empty", partial(_has_length, least=minimum, most=field.maximum)
        else:
            rule, fits = rule_of_minimum(minimum), partial(_is_within, least=minimum, most=field.maximum)
        # Nulls are left to `nullable`. The checks know of them, and pandera need not look for them before each.
        return pandera.Check(fits, error=rule, ignore_na=False)

    return pandera.DataFrameSchema(
        {
            field.name: pandera.Column(
                pd.ArrowDtype(FLOW_SCHEMA.field(field.name).type),
                check(field),
                nullable=False,
                description=field.description,
            )
            for field in FIELDS
        },
        strict=True,
        ordered=True,
        name="flow record",
    )


def keep_rules(flows: pa.Table, zero_bytes: ZeroBytes) -> bool:
    """Whether no cell of some flow records (`FLOW_SCHEMA`) is missing, too small or too large: then pandera, which has the last word on
    every row, will reject none.
    """
    for field in FIELDS:
        column = flows.column(field.name)
        is_text = pa.types.is_dictionary(column.type)
        if column.null_count or (is_text and any(chunk.dictionary.null_count for chunk in column.chunks)):
            return False
        if not _are_within(lengths_of(column) if is_text else column, minimum_of(field, zero_bytes), field.maximum):
            return False
    return True


def dictionary_encoded(table: pa.Table) -> pa.Table:
    """A table with its text dictionary-encoded, and each column in one piece: itself, if it is so."""
    if all(column.num_chunks == 1 and not pa.types.is_string(column.type) for column in table.columns):
        return table
    return pa.table(
        [
            column.combine_chunks().dictionary_encode() if pa.types.is_string(column.type) else column.combine_chunks()
            for column in table.columns
        ],
        names=table.column_names,
    )


def _is_within(column: pd.Series[int], least: int, most: int) -> bool | pd.Series[bool]:
    """Checks a column of integers: its extremes, and the rows only if one is too small or too large."""
    cells = column.array.__arrow_array__()  # type: ignore[attr-defined]  # of every extension array
    return _are_within(cells, least, most) or _rows(column, _fit(cells, least, most))


def _has_length(column: pd.Series[str], least: int, most: int) -> bool | pd.Series[bool]:
    """Checks a column of dictionary-encoded text: the distinct texts, and the rows only if a text is too short or too long."""
    import pyarrow.compute as pc  # what reads schemas alone starts faster without it

    texts = column.array.__arrow_array__()  # type: ignore[attr-defined]  # as above
    if _are_within(lengths_of(texts), least, most):
        return True
    fit = [_fit(pc.binary_length(chunk.dictionary), least, most).take(chunk.indices) for chunk in texts.chunks]
    return _rows(column, pa.chunked_array(fit))


def lengths_of(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The bytes of each distinct text of a dictionary-encoded column."""
    import pyarrow.compute as pc  # as above

    return pc.binary_length(pa.chunked_array([chunk.dictionary for chunk in column.chunks], pa.string()))


def _are_within(numbers: pa.Array | pa.ChunkedArray, least: int, most: int) -> bool:
    """Whether all numbers are, but for nulls."""
    import pyarrow.compute as pc  # as above

    extremes = pc.min_max(numbers).as_py()
    return extremes["min"] is None or (least <= extremes["min"] and extremes["max"] <= most)


def _fit(numbers: pa.Array | pa.ChunkedArray, least: int, most: int) -> pa.Array | pa.ChunkedArray:
    """Which of some numbers are neither too small nor too large."""
    import pyarrow.compute as pc  # as above

    return pc.and_(pc.greater_equal(numbers, least), pc.less_equal(numbers, most))


def _rows(column: pd.Series[Any], fit: pa.ChunkedArray) -> pd.Series[bool]:
    """Which rows are fit, as pandera has it. A null is."""
    import pandas as pd

    return pd.Series(fit.fill_null(True).to_numpy(), index=column.index)
