"""The same job in ClickHouse, as the library chDB.

    python -m benchmarks.peers.chdb W2 RAW OUT

Tried and not faster: LowCardinality names (more than twice as slow), one thread that inserts, other compressions, sorting
by hour first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import chdb

from benchmarks.peers.fields import INTEGERS, MAX_BYTES, ZEEK

FLOW = "hour Int64, src_app String, dest_app String, vpc_id String, bytes_tx Int64, bytes_rx Int64"
NAMED = "src_app != '' AND dest_app != '' AND vpc_id != '' AND hour > 0"
VALID = f"{NAMED} AND bytes_tx BETWEEN 0 AND {MAX_BYTES} AND bytes_rx BETWEEN 0 AND {MAX_BYTES}"

#: Zeek's header is 8 lines; its trailer is one of two fields, which `zeek` leaves out.
SETTINGS = {
    "max_threads": "2",
    "max_partitions_per_insert_block": "0",
    "format_tsv_null_representation": "'-'",
    "input_format_tsv_skip_first_lines": "8",
    "input_format_tsv_allow_variable_number_of_columns": "1",
}


def csv(raw: Path) -> str:
    return f"file('{raw}/*', 'CSVWithNames', '{FLOW}') WHERE {VALID}"


def json_lines(raw: Path) -> str:
    return f"file('{raw}/*', 'JSONEachRow', '{FLOW}') WHERE {VALID}"


def aws(raw: Path) -> str:
    """Cuts the lines itself: the CSV format refuses a space between fields, and CustomSeparated takes a third more.

    It sums by address first, so that the apps are looked up for few rows.
    """
    is_answer = "ifNull(src_port < dst_port AND src_port >= 0 AND (src_port < 1024 OR dst_port >= 32768), false)"
    return f"""(
        WITH apps AS (
            SELECT splitByChar('/', cidr)[1] AS address, app
            FROM file('{raw}.apps.csv', 'CSVWithNames', 'cidr String, app String, vpc_id String')
        ), records AS (
            SELECT splitByChar(' ', line) AS cells, cells[2] AS vpc_id, cells[4] AS srcaddr, cells[5] AS dstaddr,
                toInt64OrNull(cells[6]) AS src_port, toInt64OrNull(cells[7]) AS dst_port,
                toInt64OrNull(cells[10]) AS size, toInt64OrNull(cells[11]) AS start
            FROM file('{raw}/*', 'LineAsString', 'line String', 'gz')
            WHERE cells[14] = 'OK' AND cells[13] = 'ACCEPT' AND NOT startsWith(line, 'version ')
        ), by_address AS (
            SELECT intDiv(assumeNotNull(start), 3600) AS hour, srcaddr, dstaddr, vpc_id, {is_answer} AS answer,
                sum(assumeNotNull(size)) AS total
            FROM records
            WHERE start > 0 AND size BETWEEN 0 AND {MAX_BYTES}
            GROUP BY hour, srcaddr, dstaddr, vpc_id, answer
        ), named AS (
            SELECT hour, vpc_id, answer, total, if(s.app = '', srcaddr, s.app) AS src, if(d.app = '', dstaddr, d.app) AS dest
            FROM by_address LEFT JOIN apps AS s ON s.address = srcaddr LEFT JOIN apps AS d ON d.address = dstaddr
        )
        SELECT hour, if(answer, dest, src) AS src_app, if(answer, src, dest) AS dest_app, vpc_id,
            if(answer, 0, total) AS bytes_tx, if(answer, total, 0) AS bytes_rx
        FROM named
    ) WHERE {NAMED}"""


def zeek(raw: Path) -> str:
    columns = ", ".join(f"`{name}` {'Nullable(Int64)' if name in INTEGERS else 'String'}" for name in ZEEK)
    return f"""(
        SELECT toInt64(floor(toFloat64(ts) / 3600)) AS hour, `id.orig_h` AS src_app, `id.resp_h` AS dest_app, '-' AS vpc_id,
            coalesce(orig_ip_bytes, orig_bytes) AS bytes_tx, coalesce(resp_ip_bytes, resp_bytes) AS bytes_rx
        FROM file('{raw}/*', 'TSV', '{columns}')
        WHERE NOT startsWith(ts, '#')
    ) WHERE {VALID}"""


SOURCES: dict[str, Callable[[Path], str]] = {"W1": csv, "W2": csv, "W3": json_lines, "W4": aws, "W5": csv, "W6": zeek}


def ingest(source: str, out: Path) -> None:
    target = f"file('{out}/hour={{_partition_id}}/part-0.parquet', 'Parquet', '{FLOW}')"
    settings = ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())
    chdb.query(f"""
        INSERT INTO FUNCTION {target} PARTITION BY hour
        SELECT hour, src_app, dest_app, vpc_id, sum(bytes_tx), sum(bytes_rx) FROM {source}
        GROUP BY hour, src_app, dest_app, vpc_id
        SETTINGS {settings}""")


if __name__ == "__main__":
    workload, raw, out = sys.argv[1:]
    ingest(SOURCES[workload](Path(raw)), Path(out))
