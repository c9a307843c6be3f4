"""Whether two folders of Parquet, partitioned by hour, hold the same totals.

    python -m benchmarks.check OURS THEIRS

DuckDB compares the hour, the key and both sums of every row, and how often each row is there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb


def difference(ours: Path, theirs: Path) -> str | None:
    """What is different, in a sentence; None if nothing is."""
    duckdb.sql(f"CREATE OR REPLACE TEMP VIEW ours AS {_totals(ours)}")
    duckdb.sql(f"CREATE OR REPLACE TEMP VIEW theirs AS {_totals(theirs)}")
    if not duckdb.sql("FROM ours LIMIT 1").fetchall():
        return "there are no totals"  # that two jobs did nothing must not pass for a proof
    for one, other in (("ours", "theirs"), ("theirs", "ours")):
        if found := duckdb.sql(f"FROM (FROM {one} EXCEPT ALL FROM {other}) LIMIT 1").fetchall():
            return f"{found[0]} is in {one} only"
    return None


def _totals(folder: Path) -> str:
    # ClickHouse also leaves the hour in the files; that of the folder's name goes before it.
    files = f"read_parquet('{folder}/*/*.parquet', hive_partitioning=true, hive_types={{hour: BIGINT}})"
    return f"SELECT hour, src_app, dest_app, vpc_id, bytes_tx, bytes_rx FROM {files}"


if __name__ == "__main__":
    if problem := difference(*map(Path, sys.argv[1:])):
        sys.exit(problem)
