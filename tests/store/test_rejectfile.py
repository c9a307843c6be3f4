"""The Parquet file of a run's rejects."""

import pyarrow as pa

from pipeline.schema import REJECT_SCHEMA
from pipeline.store.layout import Locations
from pipeline.store.rejectfile import count_rejects, read_rejects, write_rejects


def test_rejects_are_written_as_they_come_and_read_back_in_order(tmp_path):
    store = Locations(tmp_path)
    batches = [
        pa.RecordBatch.from_pylist(
            [{"source": "s", "row": row, "field": "f", "rule": "r", "value": "", "raw": "x"}], schema=REJECT_SCHEMA
        )
        for row in (3, 1, 2)
    ]
    path = store.rejects_of("run-1")
    path.parent.mkdir(parents=True)
    write_rejects(path, iter(batches))
    (found,) = read_rejects(store, "run-1")
    assert found.equals(pa.Table.from_batches(batches))
    assert list(read_rejects(store, "run-2")) == []
    assert (count_rejects(store, "run-1"), count_rejects(store, "run-2")) == (3, 0)
