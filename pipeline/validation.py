"""Every row against the pandera schema: what passes goes on, what does not is rejected with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.readers.interface import MISSING, Batch, Fault
from pipeline.schema import COLUMNS

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
    import pandas as pd  # here, and not at the top, so that a run that finds nothing new starts without pandas
    from pandera.errors import SchemaErrors

    if not batches:
        return []
    flows = pa.concat_tables([batch.table for batch in batches])
    try:
        schema.validate(flows.to_pandas(types_mapper=pd.ArrowDtype), lazy=True)
    except SchemaErrors as errors:
        return _without_faulty(batches, errors.schema_errors)
    return list(batches)


def _without_faulty(batches: Sequence[Batch], errors: list[Any]) -> list[Batch]:
    """Takes the faulty rows out: pandera's errors are a column, a check, and the index of each failing cell.

    The error's own message is never built: it would list every failing value.
    """
    borders = np.cumsum([0, *(batch.table.num_rows for batch in batches)])
    faults: list[list[Fault]] = [[] for _ in batches]
    for error in errors:
        column = error.schema.name
        if column not in COLUMNS or error.failure_cases is None or "index" not in error.failure_cases:
            raise error  # not about rows: the readers made a table of another shape, which is a bug
        bad = np.zeros(borders[-1], dtype=bool)
        bad[error.failure_cases["index"].to_numpy(dtype=np.int64)] = True
        rule = getattr(error.check, "error", None) or MISSING
        for batch, found, (start, end) in zip(batches, faults, pairwise(borders.tolist()), strict=True):
            found.append(Fault(column, rule, bad[start:end], batch.table.column(column)))
    return [batch.reject(*found) for batch, found in zip(batches, faults, strict=True)]
