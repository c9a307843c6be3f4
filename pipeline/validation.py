"""Every row against the pandera schema: what passes goes on, what does not is rejected with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.readers.interface import MISSING, Batch, Fault
from pipeline.schema import COLUMNS

if TYPE_CHECKING:
    import pandera.pandas as pandera


def validate(batch: Batch, schema: pandera.DataFrameSchema) -> Batch:
    """Checks a batch of flow records.

    Args:
        batch: Its table has `schema.FLOW_SCHEMA`.
        schema: What `schema.flow_schema` gives.

    Returns:
        The batch with the rows that keep every rule; the others are among its rejects, each with the first rule that
        it breaks, in the order of the columns.
    """
    import pandas as pd  # here, and not at the top, so that a run that finds nothing new starts without pandas
    from pandera.errors import SchemaErrors

    frame = batch.table.to_pandas(types_mapper=pd.ArrowDtype)
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        return batch.reject(*_faults(batch, errors.schema_errors))
    return batch


def _faults(batch: Batch, errors: list[Any]) -> list[Fault]:
    """Pandera's errors (a column, a check, and the index of each failing cell) as faults of the batch.

    The error's own message is never built: it would list every failing value.
    """
    faults = []
    for error in errors:
        column = error.schema.name
        if column not in COLUMNS or error.failure_cases is None or "index" not in error.failure_cases:
            raise error  # not about rows: the readers made a table of another shape, which is a bug
        bad = np.zeros(batch.table.num_rows, dtype=bool)
        bad[error.failure_cases["index"].to_numpy(dtype=np.int64)] = True
        rule = getattr(error.check, "error", None) or MISSING
        faults.append(Fault(column, rule, bad, batch.table.column(column)))
    return faults
