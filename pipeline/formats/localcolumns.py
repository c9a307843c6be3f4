"""Columns of local times become seconds since 1970, as a record has them, in the zone that the user names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipeline.formats.record import texts_of
from pipeline.syntax.batch import Batch, Fault
from pipeline.syntax.localtimes import Seconds, local_times
from pipeline.syntax.times import OUT_OF_RANGE, not_times
from pipeline.zones import zone_of

#: The rule of a text that should be a local time.
NOT_LOCAL = "must be a time like 2026-11-26 08:00:00"


def with_local_times(batch: Batch, names: Sequence[str], zone: str) -> Batch:
    """Reads columns of local times.

    Args:
        batch: It has the columns as dictionary-encoded text; those of them that the file lacks stay away.
        names: The columns, first that of the time at which a flow started.
        zone: The zone whose clocks showed the times, as `--timezone` has it.

    Returns:
        The batch with the columns as seconds since 1970 (float64), null where there is no value. Rejected are the rows whose
        start is no time of a flow, or lies in an hour that the zone's clocks skipped; other columns are null there. The rows
        whose start the clocks showed twice are noted.
    """
    table, faults = batch.table, []
    for name in names:
        if name not in table.column_names:
            continue
        texts = texts_of(batch, name)
        times = local_times(texts, zone_of(zone))
        if name == names[0]:
            faults = [
                Fault(name, NOT_LOCAL, times.unfit, texts),
                Fault(name, f"must be a time that the clocks of {zone} showed (--timezone)", times.skipped, texts),
            ]
            if (outside := not_times(times.seconds)) is not None:
                faults.append(Fault(name, OUT_OF_RANGE, outside & ~np.isnan(times.seconds), texts))
            batch = batch.note({_shared_note(hour, zone): mask for hour, mask in times.shared.items()})
        table = table.set_column(table.column_names.index(name), name, nullable(times.seconds))
    return batch.with_table(table).reject(*(fault for fault in faults if fault.bad.any()))


def _shared_note(hour: str, zone: str) -> str:
    return f"have a time that two hours share, {hour} in {zone}: the first of the two was taken"


def nullable(seconds: Seconds) -> pa.Array:
    """The numbers as an Arrow array, null for NaN."""
    missing = np.isnan(seconds)
    is_valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    return pa.Array.from_buffers(pa.float64(), len(seconds), [is_valid, pa.py_buffer(np.where(missing, 0.0, seconds))])
