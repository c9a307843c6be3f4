"""How many hours a source opens."""

from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.counting import distinct_hours
from pipeline.counting.distinct_hours import DistinctHours
from pipeline.errors import UnreadableSource
from pipeline.jobs.ingest import IngestOptions, ingest, ingest_segment
from pipeline.store.layout import Locations
from pipeline.syntax.batch import Batch

HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"

hours = st.none() | st.integers(-1, 8) | st.sampled_from([2**31 - 1, 2**31, 2**63 - 1, -(2**63)])


@given(st.lists(st.lists(hours, max_size=8), max_size=5), st.integers(1, 6))
def test_a_source_is_refused_with_exactly_the_hour_that_is_one_too_many(batches, most):
    found, expected = DistinctHours(), set()
    with patch.object(distinct_hours, "MAX_HOURS_OF_SOURCE", most):
        for batch in batches:
            expected.update(hour for hour in batch if hour is not None and 0 < hour < 2**31)
            flows = Batch(pa.table({"hour": pa.array(batch, pa.int64())}), np.arange(len(batch)), str)
            if len(expected) <= most:
                found.add(flows)
            else:
                with pytest.raises(UnreadableSource, match=f"of more than {most} different hours"):
                    found.add(flows)
                return


@pytest.mark.parametrize("files", [1, 3])
def test_a_file_of_too_many_hours_fails_by_name_and_its_neighbours_count(tmp_path, monkeypatch, unsynced, files):
    monkeypatch.setattr(distinct_hours, "MAX_HOURS_OF_SOURCE", 10)
    for i in range(files - 1):
        (tmp_path / f"good{i}.csv").write_text(HEADER + "".join(f"{hour},a,b,v,{i},1\n" for hour in range(1, 11)))
    (tmp_path / "wide.csv").write_text(HEADER + "".join(f"{hour},a,b,v,1,1\n" for hour in range(1, 12)))
    summary = ingest([str(tmp_path)], Locations(tmp_path / "store"))
    assert [failure.source for failure in summary.failures] == [str(tmp_path / "wide.csv")]
    assert "from 1970-01-01T01 to 1970-01-01T11; if these are right, split it" in summary.failures[0].error
    assert summary.ingested == files - 1


def test_the_hours_of_all_blocks_of_a_file_are_bounded_together(tmp_path, monkeypatch, unsynced):
    monkeypatch.setattr(distinct_hours, "MAX_HOURS_OF_SOURCE", 10)
    rows = [*range(1, 7)] * 43_000 + [7] * 100_000 + [*range(8, 12)]  # enough to be summed apart, and a rest
    (tmp_path / "wide.csv").write_text(HEADER + "".join(f"{hour},a,b,v,1,1\n" for hour in rows))
    (failure,) = ingest([str(tmp_path / "wide.csv")], Locations(tmp_path / "store")).failures
    assert "of more than 10 different hours" in failure.error


def test_the_log_of_the_service_may_have_more_for_it_holds_many_requests(tmp_path, monkeypatch, unsynced):
    monkeypatch.setattr(distinct_hours, "MAX_HOURS_OF_SOURCE", 10)
    store = Locations(tmp_path / "store")
    store.wal.mkdir(parents=True)
    (store.wal / "1.csv").write_text(HEADER + "".join(f"{hour},a,b,v,1,1\n" for hour in range(1, 12)))
    summary = ingest_segment(store.wal / "1.csv", store, IngestOptions(), before_commit=lambda _: None)
    assert summary.ingested == 1
