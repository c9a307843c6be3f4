"""`docs/store-format.md` says what is in a store."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.jobs.ingest import ingest
from pipeline.store.layout import Locations
from tests.service.conftest import record, running

PAGE = (Path(__file__).parents[2] / "docs" / "store-format.md").read_text()


def section(title):
    return PAGE.split(f"## {title}")[1].split("\n## ")[0]


def first_columns(title, width):
    """The cells of the section's table, `width` to a row, without the markup."""
    rows = [line for line in section(title).splitlines() if line.startswith("| `")]
    return [tuple(cell.strip(" `") for cell in row.split("|")[1 : width + 1]) for row in rows]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("format")
    (folder / "raw.csv").write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n498752,a,b,v,1,2\n498752,,b,v,1,2\n")
    store = Locations(folder / "store")
    ingest([str(folder / "raw.csv")], store)
    with running(store.root) as service:  # and its log is moved
        assert service.post([record()], Idempotency_Key="k").status == 200
    return store


def test_the_page_lists_what_lies_in_a_store(store):
    listed = set(re.findall(r"^  ([a-z.]+)", PAGE, re.MULTILINE))
    assert {path.name for path in store.root.iterdir()} == listed


@pytest.mark.parametrize("title", ["flows/hour=N/part-0.parquet", "rejects/run=R/part-0.parquet"])
def test_the_page_has_the_columns_of_a_parquet_file(store, title):
    path = next(store.root.glob(title.replace("=N", "=498752").replace("=R", "=*")))
    assert [(field.name, str(field.type)) for field in pq.read_schema(path)] == first_columns(title, 2)


def test_the_page_has_the_footers_sums_and_the_files_properties(store):
    footer = pq.read_metadata(store.partition(498752))
    keys = {key.decode() for key in footer.metadata if key.startswith(b"flowlog.")}
    assert keys == set(re.findall(r"`(flowlog\.\w+)`", section("flows")))
    assert footer.row_group(0).column(0).compression == "ZSTD"


def test_the_page_has_the_keys_of_a_runs_record(store):
    run_id = store.run_ids()[0]
    record = json.loads(store.record_of(run_id).read_text())
    listed = {name for (cell,) in first_columns("runs/R.json", 1) for name in re.split("`, `", cell)}
    assert set(record) == listed
    row = next(line for line in section("runs/R.json").splitlines() if line.startswith("| `interpretation`"))
    assert {"interpretation", *record["interpretation"]} == set(re.findall(r"`(\w+)`", row))
    documented = set(re.findall(r"`(\w+)`", section("runs/R.json")))
    assert set(record["sources"][0]) <= documented
    assert set(record["hours"]["498752"]) <= documented


def test_the_page_has_the_files_of_the_log_and_what_a_request_says(tmp_path):
    with running(tmp_path / "store", flush_seconds=3600) as service:
        service.post([record(1)])
        service.flush()
        service.post([record(), record()], Idempotency_Key="k")
        store = service.store.locations
        listed = {name for (cell,) in first_columns("wal/", 1) for name in re.split("`, `", cell)}
        (segment,) = store.segments()
        expected = {segment.replace(segment.split(".")[0], "S"), "moves.jsonl", "keys.sqlite", "lock"}
        assert {path.name.replace(segment.split(".")[0], "S") for path in store.wal.iterdir()} - {
            "keys.sqlite-wal",
            "keys.sqlite-shm",
        } == expected
        assert expected <= listed
        *records, last = [json.loads(line) for line in store.segment(segment).read_text().splitlines()]
    assert set(last) - set(records[0]) == {"request"}
    assert set(last["request"]) <= listed
    assert listed - expected - set(last["request"]) == {"S.accept.jsonl", "damaged/"}
