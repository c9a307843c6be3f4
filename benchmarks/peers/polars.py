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

from benchmarks.peers.fields import AWS, INTEGERS, MAX_BYTES, ZEEK

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


SOURCES: dict[str, Callable[[Path], pl.LazyFrame]] = {
    "W1": csv_of_many_keys,
    "W2": csv,
    "W3": json_lines,
    "W4": aws,
    "W5": csv,
    "W6": zeek,
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
