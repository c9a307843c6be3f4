"""Every row against the pandera schema: what passes goes on, what does not is rejected with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.schema import COLUMNS, FIELDS, FLOW_SCHEMA, flow_schema, lengths_of, rule_of_length, rule_of_maximum
from pipeline.syntax.batch import MISSING, Batch, Fault, Mask

if TYPE_CHECKING:
    import pandera.pandas as pandera

#: The faults of so many rows, or of one batch, are told at once: pandera keeps each failing cell, in ten times the memory of a row.
_FAULTY_AT_ONCE = 1 << 18


def validate(batches: Sequence[Batch], schema: pandera.DataFrameSchema) -> Iterator[Batch]:
    """Checks batches of flow records, all at once: what a call of pandera costs depends little on the number of rows.

    Args:
        batches: Their tables have `schema.FLOW_SCHEMA`.
        schema: What `schema.flow_schema` gives.

    Yields:
        The batches with the rows that keep every rule; the others are among their rejects, each with the first rule
        that it breaks, in the order of the columns.
    """
    if not batches or not _errors(_flows_of(batches)[0], schema, is_lazy=False):
        yield from batches
        return
    group: list[Batch] = []
    for batch in batches:
        if group and sum(one.table.num_rows for one in (*group, batch)) > _FAULTY_AT_ONCE:
            yield from _without_faulty(group, schema)
            group = []
        group.append(batch)
    yield from _without_faulty(group, schema)


def _flows_of(batches: Sequence[Batch]) -> tuple[pa.Table, dict[str, Mask]]:
    return _without_long(pa.concat_tables([batch.table for batch in batches]))


def _without_long(flows: pa.Table) -> tuple[pa.Table, dict[str, Mask]]:
    """The same flow records with each text that is too long made empty, and the rows that had one, by column.

    pandera keeps what each row of a rule's has: a name of a megabyte that stands once in a dictionary would be there a
    hundred thousand times.
    """
    too_long: dict[str, Mask] = {}
    for field in FIELDS:
        column = flows.column(field.name)
        if not pa.types.is_dictionary(column.type) or (pc.max(lengths_of(column)).as_py() or 0) <= field.maximum:
            continue
        emptied, found = [], []
        for chunk in column.chunks:
            is_long = pc.greater(pc.binary_length(chunk.dictionary), field.maximum).fill_null(False)
            texts = pc.if_else(is_long, "", chunk.dictionary)
            emptied.append(pa.DictionaryArray.from_arrays(chunk.indices, texts, safe=False))
            found.append(is_long.take(chunk.indices).fill_null(False))
        too_long[field.name] = pa.chunked_array(found).to_numpy()
        flows = flows.set_column(flows.column_names.index(field.name), field.name, pa.chunked_array(emptied, column.type))
    return flows, too_long


def prepare() -> None:
    """Imports pandas and pandera, with what they leave to their first use: half a second, in which rows can be read."""
    _errors(FLOW_SCHEMA.empty_table(), flow_schema())


def _errors(flows: pa.Table, schema: pandera.DataFrameSchema, is_lazy: bool = True) -> list[Any]:
    """What pandera finds: a column, a check, and the index of each failing cell. The first of these alone, unless it is lazy."""
    import pandas as pd  # here, and not at the top, so that a run that finds nothing new starts without pandas
    from pandera.errors import SchemaError, SchemaErrors

    try:
        # As `Table.to_pandas` would make it, in a third of the time and without Arrow's threads.
        columns = {name: pd.arrays.ArrowExtensionArray(flows.column(name)) for name in flows.column_names}
        schema.validate(pd.DataFrame(columns, copy=False), lazy=is_lazy, inplace=True)
    except SchemaError as error:
        return [error]
    except SchemaErrors as errors:
        return list(errors.schema_errors)
    return []


def _without_faulty(batches: Sequence[Batch], schema: pandera.DataFrameSchema) -> Iterator[Batch]:
    """Takes the faulty rows out. What is too long was made empty for pandera, and so is among its errors.

    The error's own message is never built: it would list every failing value.
    """
    flows, too_long = _flows_of(batches)
    maxima = {field.name: field.maximum for field in FIELDS}
    offsets = np.cumsum([0, *(batch.table.num_rows for batch in batches)])
    faults: list[list[Fault]] = [[] for _ in batches]

    def note(column: str, rule: str, bad: Mask) -> None:
        for batch, found, (start, end) in zip(batches, faults, pairwise(offsets.tolist()), strict=True):
            found.append(Fault(column, rule, bad[start:end], batch.table.column(column)))

    for error in _errors(flows, schema):
        column = error.schema.name
        if column not in COLUMNS or error.failure_cases is None or "index" not in error.failure_cases:
            raise error  # not about rows: the readers made a table of another shape, which is a bug
        if column in too_long:
            note(column, rule_of_length(maxima[column]), too_long[column])
        elif not pa.types.is_dictionary(flows.column(column).type):
            too_large = pc.greater(flows.column(column), maxima[column]).fill_null(False)
            note(column, rule_of_maximum(maxima[column]), too_large.to_numpy())
        bad = np.zeros(offsets[-1], dtype=bool)
        bad[error.failure_cases["index"].to_numpy(dtype=np.int64)] = True
        note(column, getattr(error.check, "error", None) or MISSING, bad)
    for batch, found in zip(batches, faults, strict=True):
        yield batch.reject(*found)
