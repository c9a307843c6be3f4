"""The flow record: its columns, and the one statement of the rules that each must keep.

`FIELDS` is that statement. The Arrow schemas that travel between the modules, the schema of the store's files and
the pandera schema that checks every row are all derived from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.scalars import LAST_HOUR
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
        (
            "row",
            pa.int64(),
        ),  # line number in text, record number in Parquet and in JSON that is not one record a line; both start at 1
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
        A schema to be used with `lazy=True`; the text of each check is the rule that a user reads in `rejects`.
    """
    # Imported here, and not at the top, because pandas and pandera take half a second that a query need not pay.
    import pandas as pd
    import pandera.pandas as pandera

    def checks(field: Field) -> list[Any]:
        if pa.types.is_string(field.type):
            rules = {
                "must not be empty": partial(_has_length, least=field.minimum),
                rule_of_length(field.maximum): partial(_has_length, most=field.maximum),
            }
        else:
            minimum = minimum_of(field, zero_bytes)
            rules = {
                rule_of_minimum(minimum): partial(_is_within, least=minimum),
                rule_of_maximum(field.maximum): partial(_is_within, most=field.maximum),
            }
        # Nulls are left to `nullable`. The checks know of them, and pandera need not look for them before each.
        return [pandera.Check(check, error=rule, ignore_na=False) for rule, check in rules.items()]

    return pandera.DataFrameSchema(
        {
            field.name: pandera.Column(
                pd.ArrowDtype(FLOW_SCHEMA.field(field.name).type),
                checks(field),
                nullable=False,
                description=field.description,
            )
            for field in FIELDS
        },
        strict=True,
        ordered=True,
        name="flow record",
    )


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


def _is_within(column: pd.Series[int], least: int = -(2**63), most: int = 2**63 - 1) -> bool | pd.Series[bool]:
    """Checks a column of integers: its extremes, and the rows only if one is too small or too large."""
    import pyarrow.compute as pc  # what reads schemas alone starts faster without it

    cells = column.array.__arrow_array__()  # type: ignore[attr-defined]  # of every extension array
    if _are_within(cells, least, most):
        return True
    return _rows(column, pc.and_(pc.greater_equal(cells, least), pc.less_equal(cells, most)))


def _has_length(column: pd.Series[str], least: int = 0, most: int = 2**31) -> bool | pd.Series[bool]:
    """Checks a column of dictionary-encoded text: the distinct texts, and the rows only if a text is too short or too long."""
    import pyarrow.compute as pc  # as above

    chunks = column.array.__arrow_array__().chunks  # type: ignore[attr-defined]  # as above
    lengths = [pc.binary_length(chunk.dictionary) for chunk in chunks]
    if all(_are_within(length, least, most) for length in lengths):
        return True
    fit = [pc.and_(pc.greater_equal(length, least), pc.less_equal(length, most)) for length in lengths]
    return _rows(column, pa.chunked_array([texts.take(chunk.indices) for texts, chunk in zip(fit, chunks, strict=True)]))


def _are_within(numbers: pa.Array | pa.ChunkedArray, least: int, most: int) -> bool:
    """Whether all numbers are, but for nulls."""
    import pyarrow.compute as pc  # as above

    extremes = pc.min_max(numbers).as_py()
    return extremes["min"] is None or (least <= extremes["min"] and extremes["max"] <= most)


def _rows(column: pd.Series[Any], fit: pa.ChunkedArray) -> pd.Series[bool]:
    """Which rows are fit, as pandera has it. A null is."""
    import pandas as pd

    return pd.Series(fit.fill_null(True).to_numpy(), index=column.index)
