"""The largest numbers, the most keys, the most hours."""

import pytest

from pipeline.flowstore import FlowStore
from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.query.query import Query, run_query
from pipeline.store.layout import Locations

HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
LAST_HOUR = 2**31 - 1


@pytest.fixture(autouse=True)
def _unsynced(unsynced):
    """These tests lose no power."""


@pytest.fixture
def store(tmp_path):
    return Locations(tmp_path / "store")


def write(path, rows):
    with path.open("w") as file:
        file.write(HEADER)
        file.writelines(rows)


def test_a_million_keys_in_one_hour(store, tmp_path):
    write(tmp_path / "a.csv", (f"1,app-{i},b,v,1,2\n" for i in range(1_000_000)))
    assert ingest([str(tmp_path / "a.csv")], store).valid == 1_000_000
    write(tmp_path / "b.csv", (f"1,app-{i},b,v,1,2\n" for i in range(500_000, 1_000_001)))
    ingest([str(tmp_path / "b.csv")], store)
    totals = run_query(store, Query(1, sort="flows"))
    assert totals.num_rows == 1_000_001
    assert totals.column("flows").to_pylist()[499_998:500_002] == [2, 2, 1, 1]
    assert verify(store).problems == []


def test_thousands_of_hours_in_one_file(store, tmp_path):
    write(tmp_path / "a.csv", (f"{hour},a,b,v,{hour},0\n" for hour in range(1, 3_001)))
    summary = ingest([str(tmp_path / "a.csv")], store)
    assert summary.hours == list(range(1, 3_001))
    totals = run_query(store, Query(1, until=3_001, by=("src_app",)))
    assert totals.column("bytes_tx").to_pylist() == [3_000 * 3_001 // 2]


def test_the_last_hour_that_there_is(store, tmp_path):
    write(tmp_path / "a.csv", [f"{LAST_HOUR},a,b,v,1,2\n", f"{LAST_HOUR + 1},a,b,v,1,2\n", f"{2**63},a,b,v,1,2\n"])
    summary = ingest([str(tmp_path / "a.csv")], store)
    assert (summary.hours, summary.rejected) == ([LAST_HOUR], 2)
    assert run_query(store, Query(LAST_HOUR)).num_rows == 1
    assert FlowStore(store.root).table(LAST_HOUR, until=LAST_HOUR + 1).num_rows == 1
    assert verify(store).problems == []


def test_one_row_with_the_largest_numbers(store, tmp_path):
    write(tmp_path / "a.csv", [f"1,a,b,v,{2**53 - 1},{2**53 - 1}\n", f"1,a,b,v,{2**53},0\n"])
    summary = ingest([str(tmp_path / "a.csv")], store)
    assert (summary.bytes_tx, summary.bytes_rx, summary.rejected) == (2**53 - 1, 2**53 - 1, 1)


def test_a_sum_may_come_within_one_record_of_the_end(store, tmp_path):
    write(tmp_path / "a.csv", [f"1,a,b,v,{2**53 - 1},0\n"] * 1024)
    ingest([str(tmp_path / "a.csv")], store)
    assert run_query(store, Query(1)).column("bytes_tx").to_pylist() == [1024 * (2**53 - 1)]
    assert verify(store).problems == []
