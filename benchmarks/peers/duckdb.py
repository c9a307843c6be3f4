"""The same job in DuckDB, as its guides say that it is fastest.

    python -m benchmarks.peers.duckdb W2 RAW OUT
    python -m benchmarks.peers.duckdb hour STORE/flows HOUR

Tried and not faster: `preserve_insertion_order`, other compressions, a table in between, sorting by hour first, other
limits of open partitions. Letting DuckDB detect the CSV dialect costs a fifth more. `store_rejects` costs nothing: it has
malformed rows of CSV reported in a table (line, column, reason, raw text), and the rest of the file read. JSON has no such table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import duckdb

from benchmarks.peers.fields import AWS, INTEGERS, MAX_BYTES, ZEEK

FLOW = "{hour: 'BIGINT', src_app: 'VARCHAR', dest_app: 'VARCHAR', vpc_id: 'VARCHAR', bytes_tx: 'BIGINT', bytes_rx: 'BIGINT'}"
NAMED = "src_app <> '' AND dest_app <> '' AND vpc_id <> '' AND hour > 0"
VALID = f"{NAMED} AND bytes_tx BETWEEN 0 AND {MAX_BYTES} AND bytes_rx BETWEEN 0 AND {MAX_BYTES}"

TYPES = {"ts": "DOUBLE"} | dict.fromkeys(INTEGERS, "BIGINT")


def columns(names: list[str]) -> str:
    return "{" + ", ".join(f"'{name}': '{TYPES.get(name, 'VARCHAR')}'" for name in names) + "}"


def csv(raw: Path, more: str = "") -> str:
    dialect = r"""delim=',', quote='"', escape='"', new_line='\n', header=true, auto_detect=false, store_rejects=true"""
    return f"FROM read_csv('{raw}/*', columns={FLOW}, {dialect}{more}) WHERE {VALID}"


def small_gzip_csv(raw: Path) -> str:
    # By default each file gets a buffer of 32 MB, which takes longer to have than a small file to read.
    return csv(raw, ", compression=gzip, buffer_size=1000000, max_line_size=500000")


def json_lines(raw: Path) -> str:
    return f"FROM read_json('{raw}/*', columns={FLOW}, format='newline_delimited') WHERE {VALID}"


def aws(raw: Path) -> str:
    """Sums by address first, so that the apps are looked up for few rows; that saves an eighth."""
    dialect = r"delim=' ', quote='', escape='', new_line='\n', header=true, nullstr='-', auto_detect=false, compression=gzip, store_rejects=true"
    records = f"read_csv('{raw}/*', columns={columns(AWS)}, {dialect})"
    apps = f"SELECT split_part(cidr, '/', 1) AS address, app FROM read_csv('{raw}.apps.csv', header=true, all_varchar=true)"
    is_answer = "coalesce(srcport < dstport AND srcport >= 0 AND (srcport < 1024 OR dstport >= 32768), false)"
    return f"""
        FROM (
            WITH apps AS ({apps}), by_address AS (
                SELECT "start" // 3600 AS hour, srcaddr, dstaddr, "account-id" AS vpc_id, {is_answer} AS answer, sum("bytes") AS total
                FROM {records}
                WHERE "log-status" = 'OK' AND "action" = 'ACCEPT' AND "bytes" BETWEEN 0 AND {MAX_BYTES}
                GROUP BY ALL
            ), named AS (
                SELECT hour, vpc_id, answer, total, coalesce(s.app, srcaddr) AS src, coalesce(d.app, dstaddr) AS dest
                FROM by_address LEFT JOIN apps AS s ON s.address = srcaddr LEFT JOIN apps AS d ON d.address = dstaddr
            )
            SELECT hour, if(answer, dest, src) AS src_app, if(answer, src, dest) AS dest_app, vpc_id,
                if(answer, 0, total) AS bytes_tx, if(answer, total, 0) AS bytes_rx
            FROM named
        ) WHERE {NAMED}"""


def zeek(raw: Path) -> str:
    dialect = r"delim='\t', quote='', escape='', new_line='\n', header=false, comment='#', nullstr='-', auto_detect=false, store_rejects=true"
    records = f"read_csv('{raw}/*', columns={columns(ZEEK)}, {dialect})"
    return f"""
        FROM (
            SELECT floor(ts / 3600)::BIGINT AS hour, "id.orig_h" AS src_app, "id.resp_h" AS dest_app, '-' AS vpc_id,
                coalesce(orig_ip_bytes, orig_bytes) AS bytes_tx, coalesce(resp_ip_bytes, resp_bytes) AS bytes_rx
            FROM {records}
        ) WHERE {VALID}"""


SOURCES: dict[str, Callable[[Path], str]] = {
    "W1": csv,
    "W2": csv,
    "W3": json_lines,
    "W4": aws,
    "W5": small_gzip_csv,
    "W6": zeek,
}


def ingest(source: str, out: Path) -> None:
    sums = "sum(bytes_tx)::BIGINT AS bytes_tx, sum(bytes_rx)::BIGINT AS bytes_rx"  # the cast refuses a sum that would wrap
    totals = f"SELECT hour, src_app, dest_app, vpc_id, {sums} {source} GROUP BY ALL"
    connection().execute(f"COPY ({totals}) TO '{out}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (hour))")


def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 2, "preserve_insertion_order": False})


# --- Queries: the files of the hours that are asked for, and no others -------------------------------------


def partitions(flows: Path, first: int, until: int) -> str:
    paths = (flows / f"hour={hour}/part-0.parquet" for hour in range(first, until))
    files = [str(path) for path in paths if path.exists()]
    return f"read_parquet({files}, hive_partitioning=true, hive_types={{hour: BIGINT}})"


def one_hour(flows: Path, first: int) -> str:
    found = partitions(flows, first, first + 1)
    return f"SELECT hour, src_app, dest_app, vpc_id, bytes_tx, bytes_rx, flows FROM {found} ORDER BY ALL"


def day_by_app(flows: Path, first: int) -> str:
    sums = "sum(bytes_tx)::BIGINT AS bytes_tx, sum(bytes_rx)::BIGINT AS bytes_rx, sum(flows)::BIGINT AS flows"
    order = "sum(bytes_tx) + sum(bytes_rx) DESC, src_app"
    found = partitions(flows, first, first + 24)
    return f"SELECT src_app, {sums} FROM {found} GROUP BY src_app ORDER BY {order} LIMIT 10"


def month_of_app(flows: Path, first: int) -> str:
    found = partitions(flows, first, first + 720)
    return f"SELECT hour, src_app, dest_app, vpc_id, bytes_tx, bytes_rx, flows FROM {found} WHERE src_app = 'app-00012' ORDER BY ALL"


QUERIES: dict[str, Callable[[Path, int], str]] = {"hour": one_hour, "day": day_by_app, "month": month_of_app}


if __name__ == "__main__":
    job, where, last = sys.argv[1:]
    if job in QUERIES:
        query = QUERIES[job](Path(where), int(last))
        connection().execute(f"COPY ({query}) TO '/dev/stdout' (FORMAT csv)")
    else:
        ingest(SOURCES[job](Path(where)), Path(last))
