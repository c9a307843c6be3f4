"""The same job in Polars, by its streaming engine.

    python -m benchmarks.peers.polars W2 RAW OUT
    python -m benchmarks.peers.polars hour STORE/flows HOUR

Tried, without a difference that could be told from chance: `low_memory`, larger batches, the in-memory engine, `collect`
before writing, no statistics, no limit of a file's size. LZ4 saves some 4 % of the time, for files up to a third larger;
it is zstd here as it is everywhere. Categorical names pay only where there are many keys. No quote character would be
faster, but CSV has quotes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "2"  # read at import

import polars as pl

from benchmarks.peers.fields import AWS, INTEGERS, MAX_BYTES, NFDUMP, ZEEK

NAMES = ["src_app", "dest_app", "vpc_id"]
KEY = ["hour", *NAMES]
SUMS = ["bytes_tx", "bytes_rx"]

TYPES: dict[str, Any] = {"ts": pl.Float64} | dict.fromkeys(INTEGERS, pl.Int64)


def schema(names: list[str]) -> dict[str, Any]:
    return {name: TYPES.get(name, pl.String) for name in names}


def flow_schema(text: Any = pl.String) -> dict[str, Any]:
    return {name: text if name in NAMES else pl.Int64 for name in KEY + SUMS}


def are_named() -> pl.Expr:
    return (pl.col("hour") > 0) & pl.all_horizontal(pl.col(name) != "" for name in NAMES)


def are_bytes(*names: str) -> pl.Expr:
    return pl.all_horizontal(pl.col(name).is_between(0, MAX_BYTES) for name in names)


def totals(flows: pl.LazyFrame) -> pl.LazyFrame:
    return flows.filter(are_named(), are_bytes(*SUMS)).group_by(KEY).agg(pl.col(SUMS).sum())


def csv(raw: Path, text: Any = pl.String) -> pl.LazyFrame:
    return totals(pl.scan_csv(f"{raw}/*", schema=flow_schema(text)))


def csv_of_many_keys(raw: Path) -> pl.LazyFrame:
    return csv(raw, pl.Categorical).with_columns(pl.col(NAMES).cast(pl.String))


def json_lines(raw: Path) -> pl.LazyFrame:
    return totals(pl.scan_ndjson(f"{raw}/*", schema=flow_schema()))


def aws(raw: Path) -> pl.LazyFrame:
    """Sums by address first, so that the apps are looked up for few rows."""
    src_port, dst_port = pl.col("srcport"), pl.col("dstport")
    is_answer = (src_port < dst_port) & (src_port >= 0) & ((src_port < 1024) | (dst_port >= 32768))
    records = pl.scan_csv(f"{raw}/*", separator=" ", schema=schema(AWS), null_values="-", quote_char=None)
    by_address = (
        records.filter(pl.col("log-status") == "OK", pl.col("action") == "ACCEPT", are_bytes("bytes"))
        .select(
            "srcaddr",
            "dstaddr",
            "bytes",
            hour=pl.col("start") // 3600,
            vpc_id="account-id",
            answer=is_answer.fill_null(False),
        )
        .group_by("hour", "srcaddr", "dstaddr", "vpc_id", "answer")
        .agg(pl.col("bytes").sum())
    )
    apps = pl.scan_csv(f"{raw}.apps.csv").select(address=pl.col("cidr").str.strip_suffix("/32"), app="app")
    named = by_address.join(apps.rename({"app": "src"}), left_on="srcaddr", right_on="address", how="left").join(
        apps.rename({"app": "dest"}), left_on="dstaddr", right_on="address", how="left"
    )
    answer, size = pl.col("answer"), pl.col("bytes")
    src, dest = pl.coalesce("src", "srcaddr"), pl.coalesce("dest", "dstaddr")
    turned = named.select(
        "hour",
        "vpc_id",
        src_app=pl.when(answer).then(dest).otherwise(src),
        dest_app=pl.when(answer).then(src).otherwise(dest),
        bytes_tx=pl.when(answer).then(0).otherwise(size),
        bytes_rx=pl.when(answer).then(size).otherwise(0),
    )
    return turned.filter(are_named()).group_by(KEY).agg(pl.col(SUMS).sum())


def zeek(raw: Path) -> pl.LazyFrame:
    records = pl.scan_csv(
        f"{raw}/*",
        separator="\t",
        has_header=False,
        comment_prefix="#",
        schema=schema(ZEEK),
        null_values="-",
        quote_char=None,
    )
    return totals(
        records.select(
            hour=(pl.col("ts") / 3600).floor().cast(pl.Int64),
            src_app="id.orig_h",
            dest_app="id.resp_h",
            vpc_id=pl.lit("-"),
            bytes_tx=pl.coalesce("orig_ip_bytes", "orig_bytes"),
            bytes_rx=pl.coalesce("resp_ip_bytes", "resp_bytes"),
        )
    )


HOUR_MS = 3_600_000


def is_answer(src_port: pl.Expr, dst_port: pl.Expr) -> pl.Expr:
    answer = (src_port < dst_port) & (src_port >= 0) & ((src_port < 1024) | (dst_port >= 32768))
    return answer.fill_null(False)


def turned(records: pl.LazyFrame) -> pl.LazyFrame:
    """Flows of hour, src, dst, vpc_id, src_port, dst_port, sent and received."""
    answer = is_answer(pl.col("src_port"), pl.col("dst_port"))

    def either(these: str, others: str) -> pl.Expr:
        return pl.when(answer).then(pl.col(others)).otherwise(pl.col(these))

    return totals(
        records.select(
            "hour",
            "vpc_id",
            src_app=either("src", "dst"),
            dest_app=either("dst", "src"),
            bytes_tx=either("sent", "received"),
            bytes_rx=either("received", "sent"),
        )
    )


def ndjson(raw: Path, texts: str, integers: str, **others: Any) -> pl.LazyFrame:
    types = dict.fromkeys(texts.split(), pl.String) | dict.fromkeys(integers.split(), pl.Int64) | others
    return pl.scan_ndjson(f"{raw}/*", schema=types)


def hour_of(text: pl.Expr) -> pl.Expr:
    """The hour of a time as ISO 8601 has it, in UTC: its first 16 characters say it."""
    return text.str.head(16).str.to_datetime("%Y-%m-%dT%H:%M", time_unit="ms", strict=True).cast(pl.Int64) // HOUR_MS


def gcp(raw: Path) -> pl.LazyFrame:
    end = pl.Struct({"managed_instance_group": pl.Struct({"name": pl.String}), "vm_name": pl.String})
    connection = pl.Struct({"src_ip": pl.String, "dest_ip": pl.String, "src_port": pl.Int64, "dest_port": pl.Int64})
    texts = dict.fromkeys(("bytes_sent", "reporter", "start_time"), pl.String)
    ends = {"src_instance": end, "dest_instance": end, "src_vpc": pl.Struct({"vpc_name": pl.String})}
    payload = pl.Struct({**texts, "connection": connection, **ends})
    records = ndjson(raw, "logName", "", jsonPayload=payload).filter(pl.col("logName").str.ends_with("vpc_flows"))
    records = records.select(pl.col("jsonPayload").struct.unnest()).filter(pl.col("reporter") == "SRC")
    connection_of = pl.col("connection").struct.field

    def app(side: str) -> pl.Expr:
        instance = pl.col(f"{side}_instance").struct.field
        return pl.coalesce(
            instance("managed_instance_group").struct.field("name"), instance("vm_name"), connection_of(f"{side}_ip")
        )

    return turned(
        records.select(
            hour=hour_of(pl.col("start_time")),
            src=app("src"),
            dst=app("dest"),
            vpc_id=pl.col("src_vpc").struct.field("vpc_name").fill_null("-"),
            src_port=connection_of("src_port"),
            dst_port=connection_of("dest_port"),
            sent=pl.col("bytes_sent").cast(pl.Int64),
            received=pl.lit(0),
        )
    )


def suricata(raw: Path) -> pl.LazyFrame:
    flow = pl.Struct({"bytes_toserver": pl.Int64, "bytes_toclient": pl.Int64, "start": pl.String})
    records = ndjson(raw, "event_type src_ip dest_ip", "", flow=flow).filter(pl.col("event_type") == "flow")
    field = pl.col("flow").struct.field
    return totals(
        records.select(
            hour=hour_of(field("start")),
            src_app="src_ip",
            dest_app="dest_ip",
            vpc_id=pl.lit("-"),
            bytes_tx=field("bytes_toserver"),
            bytes_rx=field("bytes_toclient"),
        )
    )


def azure(raw: Path) -> pl.LazyFrame:
    group = pl.Struct({"flowTuples": pl.List(pl.String)})
    flows = pl.Struct({"flows": pl.List(pl.Struct({"flowGroups": pl.List(group)}))})
    record = pl.Struct({"targetResourceID": pl.String, "flowRecords": flows})
    records = ndjson(raw, "", "", records=pl.List(record)).explode("records").select(pl.col("records").struct.unnest())
    tuples = records.select(
        vpc_id=pl.col("targetResourceID").str.split("/").list.last(), flows=pl.col("flowRecords").struct.field("flows")
    )
    for field in ("flows", "flowGroups", "flowTuples"):
        tuples = tuples.explode("flows")
        if field != "flowTuples":
            tuples = tuples.with_columns(
                flows=pl.col("flows").struct.field("flowGroups" if field == "flows" else "flowTuples")
            )
    cells = tuples.with_columns(pl.col("flows").str.split_exact(",", 12).struct.unnest())
    return totals(
        cells.filter(pl.col("field_7").is_in(["C", "E"])).select(
            hour=pl.col("field_0").cast(pl.Int64) // HOUR_MS,
            src_app="field_1",
            dest_app="field_2",
            vpc_id="vpc_id",
            bytes_tx=pl.col("field_10").cast(pl.Int64),
            bytes_rx=pl.col("field_12").cast(pl.Int64),
        )
    )


def netobserv(raw: Path) -> pl.LazyFrame:
    records = ndjson(
        raw,
        "SrcAddr DstAddr SrcK8S_Namespace SrcK8S_OwnerName DstK8S_Namespace DstK8S_OwnerName _RecordType",
        "TimeFlowStartMs Bytes Sampling FlowDirection SrcPort DstPort",
    )
    elsewhere = (pl.col("FlowDirection") == 1) & pl.col("DstK8S_OwnerName").is_not_null()

    def app(side: str) -> pl.Expr:
        return pl.coalesce(pl.col(f"{side}K8S_Namespace") + "/" + pl.col(f"{side}K8S_OwnerName"), f"{side}Addr")

    return turned(
        records.filter(pl.col("_RecordType").fill_null("flowLog") == "flowLog", ~elsewhere.fill_null(False)).select(
            hour=pl.col("TimeFlowStartMs") // HOUR_MS,
            src=app("Src"),
            dst=app("Dst"),
            vpc_id=pl.lit("-"),
            src_port="SrcPort",
            dst_port="DstPort",
            sent=pl.col("Bytes") * pl.max_horizontal(pl.col("Sampling").fill_null(1), 1),
            received=pl.lit(0),
        )
    )


def nfdump_csv(raw: Path) -> pl.LazyFrame:
    return turned(
        pl.scan_csv(f"{raw}/*", schema=schema(NFDUMP)).select(
            hour=pl.col("firstSeen") // HOUR_MS,
            src="srcAddr",
            dst="dstAddr",
            vpc_id=pl.lit("-"),
            src_port="srcPort",
            dst_port="dstPort",
            sent="bytes",
            received=pl.lit(0),
        )
    )


def nfdump_ndjson(raw: Path) -> pl.LazyFrame:
    records = ndjson(raw, "type first src4_addr dst4_addr src6_addr dst6_addr", "in_bytes out_bytes src_port dst_port")
    return turned(
        records.filter(pl.col("type") == "FLOW").select(
            "src_port",
            "dst_port",
            hour=hour_of(pl.col("first")),
            src=pl.coalesce("src4_addr", "src6_addr"),
            dst=pl.coalesce("dst4_addr", "dst6_addr"),
            vpc_id=pl.lit("-"),
            sent="in_bytes",
            received="out_bytes",
        )
    )


def goflow2(raw: Path) -> pl.LazyFrame:
    records = ndjson(
        raw, "src_addr dst_addr etype", "time_flow_start_ns time_received_ns bytes sampling_rate src_port dst_port"
    )
    start = pl.when(pl.col("time_flow_start_ns") == 0).then("time_received_ns").otherwise("time_flow_start_ns")
    return turned(
        records.filter(pl.col("etype").is_in(["IPv4", "IPv6"])).select(
            "src_port",
            "dst_port",
            hour=start // (HOUR_MS * 1_000_000),
            src="src_addr",
            dst="dst_addr",
            vpc_id=pl.lit("-"),
            sent=pl.col("bytes") * pl.max_horizontal("sampling_rate", 1),
            received=pl.lit(0),
        )
    )


SOURCES: dict[str, Callable[[Path], pl.LazyFrame]] = {
    "W1": csv_of_many_keys,
    "W2": csv,
    "W3": json_lines,
    "W4": aws,
    "W5": csv,
    "W6": zeek,
    "W9": gcp,
    "W10": suricata,
    "W11": azure,
    "W12": netobserv,
    "W13": nfdump_csv,
    "W13n": nfdump_ndjson,
    "W14": goflow2,
}


def ingest(source: pl.LazyFrame, out: Path) -> None:
    by_hour = pl.PartitionBy(out, key="hour", include_key=False)
    source.sink_parquet(by_hour, engine="streaming", mkdir=True, maintain_order=False, compression="zstd")


# --- Queries: the files of the hours that are asked for, and no others -------------------------------------


def partitions(flows: Path, first: int, until: int) -> pl.LazyFrame:
    paths = (flows / f"hour={hour}/part-0.parquet" for hour in range(first, until))
    return pl.scan_parquet([path for path in paths if path.exists()], hive_partitioning=True)


def one_hour(flows: Path, first: int) -> pl.LazyFrame:
    return partitions(flows, first, first + 1).select(*KEY, *SUMS, "flows").sort(KEY)


def day_by_app(flows: Path, first: int) -> pl.LazyFrame:
    sums = partitions(flows, first, first + 24).group_by("src_app").agg(pl.col(*SUMS, "flows").sum())
    return sums.sort(pl.sum_horizontal(SUMS), "src_app", descending=[True, False]).head(10)


def month_of_app(flows: Path, first: int) -> pl.LazyFrame:
    found = partitions(flows, first, first + 720).filter(pl.col("src_app") == "app-00012")
    return found.select(*KEY, *SUMS, "flows").sort(KEY)


QUERIES: dict[str, Callable[[Path, int], pl.LazyFrame]] = {"hour": one_hour, "day": day_by_app, "month": month_of_app}


if __name__ == "__main__":
    job, where, last = sys.argv[1:]
    if job in QUERIES:
        sys.stdout.write(QUERIES[job](Path(where), int(last)).collect().write_csv())
    else:
        ingest(SOURCES[job](Path(where)), Path(last))
