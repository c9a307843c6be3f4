"""Other tools read the store's folder in their plainest way, and see the same totals.

`make engines` does the same with those that the suite does not install: Spark, fastparquet, DataFusion, and old versions.
"""

import sys
from pathlib import Path

import dask.dataframe
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from pipeline.schema import TOTALS_SCHEMA
from tests.engines.__main__ import Engine, ask
from tests.records import write_totals

COLUMNS = ["hour", "src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx", "flows"]
TOTALS = [
    (2, "baz", "qux", "vpc-0", 100, 500, 1),
    (2, "foo", "bar", "vpc-0", 300, 900, 2),
    (10, "baz", "qux", "vpc-0", 100, 500, 1),
    (10, "baz", "qux", "vpc-1", 7, 0, 1),
    (498752, "ü", "b c", "v/1", 2**53 - 1, 0, 1),
]
BY_HOUR = {2: 400, 10: 107, 498752: 2**53 - 1}


@pytest.fixture
def flows(ingested):
    """The folder `flows/` after two runs, one of which left rejects, and the second of which changed an hour's file."""
    ingested("foo,bar,vpc-0,100,300,2", "baz,qux,vpc-0,100,500,10", "x,y,vpc-0,-1,0,2", "baz,qux,vpc-1,7,0,10")
    store = ingested("foo,bar,vpc-0,200,600,2", "baz,qux,vpc-0,100,500,2", f"ü,b c,v/1,{2**53 - 1},0,498752")
    return str(store.locations.flows)


def rows_of(frame):
    """A pandas frame's rows, sorted by key."""
    return sorted(frame.astype({"hour": "int64"})[COLUMNS].itertuples(index=False, name=None))


def test_pandas(flows):
    frame = pd.read_parquet(flows)
    assert rows_of(frame) == TOTALS
    sums = frame.groupby("hour", observed=True)["bytes_tx"].sum()
    assert {int(hour): tx for hour, tx in sums.items()} == BY_HOUR


@pytest.mark.parametrize("read", [pl.read_parquet, lambda flows: pl.scan_parquet(flows).collect()], ids=["read", "scan"])
def test_polars(flows, read):
    frame = read(flows)
    assert frame.schema["hour"] == pl.Int64
    assert sorted(frame.select(COLUMNS).rows()) == TOTALS
    assert dict(frame.group_by("hour").agg(pl.col("bytes_tx").sum()).rows()) == BY_HOUR


def test_polars_finds_one_hour(flows):
    found = pl.scan_parquet(flows).filter(pl.col("hour") == 10).select("vpc_id").collect()
    assert sorted(found["vpc_id"]) == ["vpc-0", "vpc-1"]


@pytest.mark.parametrize("options", ["", ", hive_partitioning = true"])
def test_duckdb(flows, options):
    table = f"read_parquet('{flows}/**/*.parquet'{options})"
    assert duckdb.sql(f"SELECT {', '.join(COLUMNS)} FROM {table} ORDER BY ALL").fetchall() == TOTALS
    assert dict(duckdb.sql(f"SELECT hour, sum(bytes_tx) FROM {table} GROUP BY hour").fetchall()) == BY_HOUR
    assert duckdb.sql(f"SELECT bytes_rx FROM {table} WHERE hour = 2 AND src_app = 'foo'").fetchall() == [(900,)]


# Dask resets an index in place, which pandas 3.1 deprecates.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index")
def test_dask(flows):
    frame = dask.dataframe.read_parquet(flows)
    assert rows_of(frame.compute(scheduler="sync")) == TOTALS
    sums = frame.groupby("hour", observed=True)["bytes_tx"].sum().compute(scheduler="sync")
    assert {int(hour): tx for hour, tx in sums.items()} == BY_HOUR


def test_arrow_datasets(flows):
    table = pyarrow.dataset.dataset(flows, partitioning="hive").to_table(columns=COLUMNS)
    assert sorted(tuple(row.values()) for row in table.to_pylist()) == TOTALS


def test_a_file_has_no_encoding_that_older_readers_lack(tmp_path):
    """Names of more bytes than a dictionary may have, and sums of all sizes: what a writer falls back to is seen, too."""
    rows = range(40_000)
    columns = [[5] * len(rows), [f"{i:060}" for i in rows], ["b"] * len(rows), ["v"] * len(rows), rows, rows, rows]
    write_totals(tmp_path / "part-0.parquet", pa.table([list(column) for column in columns], schema=TOTALS_SCHEMA))
    group = pq.read_metadata(tmp_path / "part-0.parquet").row_group(0)
    encodings = {encoding for i in range(group.num_columns) for encoding in group.column(i).encodings}
    assert encodings == {"PLAIN", "RLE", "RLE_DICTIONARY"}


def test_the_folder_of_the_other_engines_may_be_named_from_the_current_one(flows, tmp_path, monkeypatch):
    python = tmp_path / "engines" / "installed" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    assert ask(Engine((), "answer = [[2, 400, 1900, 4]]"), Path("engines", "installed"), Path(flows)) == [[2, 400, 1900, 4]]
