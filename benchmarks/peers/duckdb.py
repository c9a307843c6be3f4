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

from benchmarks.peers.fields import AWS, INTEGERS, MAX_BYTES, NFDUMP, ZEEK

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


#: A flow goes to the server unless its ports tell that it is the answer.
IS_ANSWER = "coalesce(src_port < dst_port AND src_port >= 0 AND (src_port < 1024 OR dst_port >= 32768), false)"


def one_way(records: str) -> str:
    """Flows of records that have one direction: hour, src, dst, vpc_id, both ports and bytes."""
    return f"""
        FROM (
            SELECT hour, if(answer, dst, src) AS src_app, if(answer, src, dst) AS dest_app, vpc_id,
                if(answer, 0, bytes) AS bytes_tx, if(answer, bytes, 0) AS bytes_rx
            FROM (SELECT *, {IS_ANSWER} AS answer FROM ({records}))
        ) WHERE {VALID}"""


def json(raw: Path, columns: str) -> str:
    return f"read_json('{raw}/*', columns={{{columns}}}, format='newline_delimited')"


def gcp(raw: Path) -> str:
    end = 'STRUCT(managed_instance_group STRUCT("name" VARCHAR), vm_name VARCHAR)'
    connection = "STRUCT(src_ip VARCHAR, dest_ip VARCHAR, src_port BIGINT, dest_port BIGINT)"
    vpc = "STRUCT(vpc_name VARCHAR)"
    payload = f"STRUCT(bytes_sent BIGINT, connection {connection}, reporter VARCHAR, start_time TIMESTAMP, src_instance {end}, dest_instance {end}, src_vpc {vpc})"
    return one_way(f"""
        SELECT epoch_ms(p.start_time) // 3600000 AS hour,
            coalesce(p.src_instance.managed_instance_group.name, p.src_instance.vm_name, p.connection.src_ip) AS src,
            coalesce(p.dest_instance.managed_instance_group.name, p.dest_instance.vm_name, p.connection.dest_ip) AS dst,
            coalesce(p.src_vpc.vpc_name, '-') AS vpc_id, p.connection.src_port AS src_port, p.connection.dest_port AS dst_port,
            p.bytes_sent AS bytes
        FROM (SELECT "jsonPayload" AS p, "logName" AS log FROM {json(raw, f"'jsonPayload': '{payload}', 'logName': 'VARCHAR'")})
        WHERE p.reporter = 'SRC' AND log LIKE '%vpc_flows'""")


def suricata(raw: Path) -> str:
    flow = 'STRUCT(bytes_toserver BIGINT, bytes_toclient BIGINT, "start" TIMESTAMPTZ)'
    columns = f"'event_type': 'VARCHAR', 'src_ip': 'VARCHAR', 'dest_ip': 'VARCHAR', 'flow': '{flow}'"
    return f"""
        FROM (
            SELECT epoch_ms(flow.start) // 3600000 AS hour, src_ip AS src_app, dest_ip AS dest_app, '-' AS vpc_id,
                flow.bytes_toserver AS bytes_tx, flow.bytes_toclient AS bytes_rx
            FROM {json(raw, columns)} WHERE event_type = 'flow'
        ) WHERE {VALID}"""


def azure(raw: Path) -> str:
    groups = "STRUCT(flowTuples VARCHAR[])[]"
    record = f"STRUCT(category VARCHAR, targetResourceID VARCHAR, flowRecords STRUCT(flows STRUCT(flowGroups {groups})[]))[]"
    documents = f"read_json('{raw}/*', columns={{'records': '{record}'}}, maximum_object_size=100000000)"
    return f"""
        FROM (
            WITH records AS (SELECT unnest(records) AS r FROM {documents}),
            flows AS (SELECT split_part(r."targetResourceID", '/', -1) AS vpc_id, unnest(r."flowRecords".flows) AS f FROM records),
            groups AS (SELECT vpc_id, unnest(f."flowGroups") AS g FROM flows),
            tuples AS (SELECT vpc_id, string_split(unnest(g."flowTuples"), ',') AS t FROM groups)
            SELECT t[1]::BIGINT // 3600000 AS hour, t[2] AS src_app, t[3] AS dest_app, vpc_id,
                t[11]::BIGINT AS bytes_tx, t[13]::BIGINT AS bytes_rx
            FROM tuples WHERE t[8] IN ('C', 'E')
        ) WHERE {VALID}"""


def netobserv(raw: Path) -> str:
    texts = "SrcAddr DstAddr SrcK8S_Namespace SrcK8S_OwnerName DstK8S_Namespace DstK8S_OwnerName _RecordType".split()
    integers = "TimeFlowStartMs Bytes Sampling FlowDirection SrcPort DstPort".split()
    types = dict.fromkeys(texts, "VARCHAR") | dict.fromkeys(integers, "BIGINT")
    return one_way(f"""
        SELECT "TimeFlowStartMs" // 3600000 AS hour, "SrcPort" AS src_port, "DstPort" AS dst_port, '-' AS vpc_id,
            coalesce("SrcK8S_Namespace" || '/' || "SrcK8S_OwnerName", "SrcAddr") AS src,
            coalesce("DstK8S_Namespace" || '/' || "DstK8S_OwnerName", "DstAddr") AS dst,
            "Bytes" * greatest(coalesce("Sampling", 1), 1) AS bytes
        FROM {json(raw, ", ".join(f"'{name}': '{type_}'" for name, type_ in types.items()))}
        WHERE coalesce("_RecordType", 'flowLog') = 'flowLog' AND NOT ("FlowDirection" = 1 AND "DstK8S_OwnerName" IS NOT NULL)""")


def nfdump_csv(raw: Path) -> str:
    dialect = r"""delim=',', quote='"', escape='"', new_line='\n', header=true, auto_detect=false, store_rejects=true"""
    return one_way(f"""
        SELECT "firstSeen" // 3600000 AS hour, "srcAddr" AS src, "dstAddr" AS dst, '-' AS vpc_id, "srcPort" AS src_port,
            "dstPort" AS dst_port, bytes
        FROM read_csv('{raw}/*', columns={columns(NFDUMP)}, {dialect})""")


def nfdump_ndjson(raw: Path) -> str:
    wanted = (
        "'type': 'VARCHAR', 'first': 'TIMESTAMP', 'src4_addr': 'VARCHAR', 'dst4_addr': 'VARCHAR', 'src6_addr': 'VARCHAR',"
    )
    wanted += (
        " 'dst6_addr': 'VARCHAR', 'in_bytes': 'BIGINT', 'out_bytes': 'BIGINT', 'src_port': 'BIGINT', 'dst_port': 'BIGINT'"
    )
    return f"""
        FROM (
            SELECT hour, if(answer, dst, src) AS src_app, if(answer, src, dst) AS dest_app, '-' AS vpc_id,
                if(answer, out_bytes, in_bytes) AS bytes_tx, if(answer, in_bytes, out_bytes) AS bytes_rx
            FROM (
                SELECT epoch_ms("first") // 3600000 AS hour, coalesce(src4_addr, src6_addr) AS src,
                    coalesce(dst4_addr, dst6_addr) AS dst, in_bytes, out_bytes, {IS_ANSWER} AS answer
                FROM {json(raw, wanted)} WHERE type = 'FLOW'
            )
        ) WHERE {VALID}"""


def goflow2(raw: Path) -> str:
    texts = "src_addr dst_addr etype".split()
    integers = "time_flow_start_ns time_received_ns bytes sampling_rate src_port dst_port".split()
    types = dict.fromkeys(texts, "VARCHAR") | dict.fromkeys(integers, "BIGINT")
    return one_way(f"""
        SELECT coalesce(nullif(time_flow_start_ns, 0), time_received_ns) // 3600000000000 AS hour, src_addr AS src, dst_addr AS dst,
            '-' AS vpc_id, src_port, dst_port, bytes * greatest(sampling_rate, 1) AS bytes
        FROM {json(raw, ", ".join(f"'{name}': '{type_}'" for name, type_ in types.items()))}
        WHERE etype IN ('IPv4', 'IPv6')""")


SOURCES: dict[str, Callable[[Path], str]] = {
    "W1": csv,
    "W2": csv,
    "W3": json_lines,
    "W4": aws,
    "W5": small_gzip_csv,
    "W6": zeek,
    "W9": gcp,
    "W10": suricata,
    "W11": azure,
    "W12": netobserv,
    "W13": nfdump_csv,
    "W13n": nfdump_ndjson,
    "W14": goflow2,
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


SUMS = "sum(bytes_tx)::BIGINT AS bytes_tx, sum(bytes_rx)::BIGINT AS bytes_rx, sum(flows)::BIGINT AS flows"


def year(flows: Path) -> str:
    return f"read_parquet('{flows}/*/*.parquet', hive_partitioning=true, hive_types={{hour: BIGINT}})"


def days(flows: Path, _first: int) -> str:
    sums = f"SELECT hour // 24 AS number, {SUMS} FROM {year(flows)} GROUP BY number"
    return (
        f"SELECT (DATE '1970-01-01' + number::INTEGER)::VARCHAR AS day, bytes_tx, bytes_rx, flows FROM ({sums}) ORDER BY day"
    )


def hours(flows: Path, _first: int) -> str:
    said = f"SELECT file_name, key::VARCHAR AS key, value::VARCHAR AS value FROM parquet_kv_metadata('{flows}/*/*.parquet')"
    sums = ", ".join(f"max(value) FILTER (key = 'flowlog.{name}') AS {name}" for name in ("flows", "bytes_tx", "bytes_rx"))
    return f"SELECT regexp_extract(file_name, 'hour=([0-9]+)', 1)::BIGINT AS hour, {sums} FROM ({said}) GROUP BY hour ORDER BY hour"


def verify(flows: Path, _first: int) -> str:
    """Whether each hour has the sums that the runs added, no key is there twice, and each file has a digest."""
    columns = "{hours: 'MAP(BIGINT, STRUCT(flows BIGINT, bytes_tx BIGINT, bytes_rx BIGINT))'}"
    return f"""
        WITH records AS (
            SELECT unnest(map_entries(hours)) AS added
            FROM read_json('{flows.parent}/runs/*.json', format='unstructured', columns={columns})
        ), expected AS (
            SELECT added.key AS hour, sum(added.value.bytes_tx)::BIGINT AS bytes_tx, sum(added.value.bytes_rx)::BIGINT AS bytes_rx,
                sum(added.value.flows)::BIGINT AS flows
            FROM records GROUP BY hour
        ), keys AS (
            SELECT hour, {SUMS}, count(*) AS rows FROM {year(flows)} GROUP BY hour, src_app, dest_app, vpc_id
        ), found AS (SELECT hour, {SUMS}, max(rows) AS rows FROM keys GROUP BY hour)
        SELECT (SELECT count(*) FROM (FROM expected EXCEPT SELECT hour, bytes_tx, bytes_rx, flows FROM found)) AS differing,
            (SELECT max(rows) FROM found) AS rows_of_a_key,
            (SELECT bit_xor(hash(md5(content))) FROM read_blob('{flows}/*/*.parquet')) AS digests"""


def report(flows: Path, first: int) -> str:
    """The sums that the page shows, and whether the store is sound."""
    pairs = f"SELECT count(*) FROM (SELECT src_app, dest_app, {SUMS} FROM {year(flows)} GROUP BY ALL)"
    sides = (
        f"SELECT count(*) FROM (SELECT hour // 24, {side}, {SUMS} FROM {year(flows)} GROUP BY ALL)"
        for side in ("src_app", "dest_app")
    )
    return f"SELECT ({pairs}) AS pairs, {', '.join(f'({side})' for side in sides)}, proof.* FROM ({verify(flows, first)}) AS proof"


QUERIES: dict[str, Callable[[Path, int], str]] = {
    "hour": one_hour,
    "day": day_by_app,
    "month": month_of_app,
    "days": days,
    "hours": hours,
    "verify": verify,
    "report": report,
}


if __name__ == "__main__":
    job, where, last = sys.argv[1:]
    if job in QUERIES:
        query = QUERIES[job](Path(where), int(last))
        connection().execute(f"COPY ({query}) TO '/dev/stdout' (FORMAT csv)")
    else:
        ingest(SOURCES[job](Path(where)), Path(last))
