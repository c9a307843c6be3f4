"""Every row against the pandera schema: what passes goes on, what does not is rejected with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.schema import COLUMNS, FIELDS, FLOW_SCHEMA, MAX_NAME_BYTES, flow_schema, rule_of_length
from pipeline.syntax.batch import MISSING, Batch, Fault, Mask

if TYPE_CHECKING:
    import pandera.pandas as pandera


def validate(batches: Sequence[Batch], schema: pandera.DataFrameSchema) -> list[Batch]:
    """Checks batches of flow records, all at once: what a call of pandera costs depends little on the number of rows.

    Args:
        batches: Their tables have `schema.FLOW_SCHEMA`.
        schema: What `schema.flow_schema` gives.

    Returns:
        The batches with the rows that keep every rule; the others are among their rejects, each with the first rule
        that it breaks, in the order of the columns.
    """
    if not batches:
        return []
    flows, too_long = _without_long(pa.concat_tables([batch.table for batch in batches]))
    errors = _errors(flows, schema)
    return _without_faulty(batches, errors, too_long) if errors else list(batches)


def _without_long(flows: pa.Table) -> tuple[pa.Table, dict[str, Mask]]:
    """The same flow records with each text that is too long made empty, and the rows that had one, by column.

    pandera keeps what each row of a rule's has: a name of a megabyte that stands once in a dictionary would be there a
    hundred thousand times.
    """
    too_long: dict[str, Mask] = {}
    for field in FIELDS:
        column = flows.column(field.name)
        if not pa.types.is_dictionary(column.type) or not any(_longest(chunk) > field.maximum for chunk in column.chunks):
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


def _longest(column: pa.DictionaryArray) -> int:
    return pc.max(pc.binary_length(column.dictionary)).as_py() or 0


def prepare() -> None:
    """Imports pandas and pandera, with what they leave to their first use: half a second, in which rows can be read."""
    _errors(FLOW_SCHEMA.empty_table(), flow_schema())


def _errors(flows: pa.Table, schema: pandera.DataFrameSchema) -> list[Any]:
    """What pandera finds: a column, a check, and the index of each failing cell."""
    import pandas as pd  # here, and not at the top, so that a run that finds nothing new starts without pandas
    from pandera.errors import SchemaErrors

    try:
        # As `Table.to_pandas` would make it, in a third of the time and without Arrow's threads.
        columns = {name: pd.arrays.ArrowExtensionArray(flows.column(name)) for name in flows.column_names}
        schema.validate(pd.DataFrame(columns, copy=False), lazy=True)
    except SchemaErrors as errors:
        return list(errors.schema_errors)
    return []


def _without_faulty(batches: Sequence[Batch], errors: list[Any], too_long: dict[str, Mask]) -> list[Batch]:
    """Takes the faulty rows out. What is too long was made empty for pandera, and so is among its errors.

    The error's own message is never built: it would list every failing value.
    """
    offsets = np.cumsum([0, *(batch.table.num_rows for batch in batches)])
    faults: list[list[Fault]] = [[] for _ in batches]

    def note(column: str, rule: str, bad: Mask) -> None:
        for batch, found, (start, end) in zip(batches, faults, pairwise(offsets.tolist()), strict=True):
            found.append(Fault(column, rule, bad[start:end], batch.table.column(column)))

    for error in errors:
        column = error.schema.name
        if column not in COLUMNS or error.failure_cases is None or "index" not in error.failure_cases:
            raise error  # not about rows: the readers made a table of another shape, which is a bug
        if column in too_long:
            note(column, rule_of_length(MAX_NAME_BYTES), too_long.pop(column))
        bad = np.zeros(offsets[-1], dtype=bool)
        bad[error.failure_cases["index"].to_numpy(dtype=np.int64)] = True
        note(column, getattr(error.check, "error", None) or MISSING, bad)
    return [batch.reject(*found) for batch, found in zip(batches, faults, strict=True)]
