"""The store as tables of SQL: DuckDB's views `flows`, `rejects`, `runs` and `sources`, and Athena's table.

The views are plain statements over the store's files, so that a DuckDB shell takes them as `flowlog sql` does. They hold
neither the records of the ledger nor the pages of Parquet files against their checksums, for which `read_parquet` has no option:
that is what `flowlog verify` does.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePath

import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.hours import LAST_HOUR, SECONDS_PER_HOUR, hour_to_text
from pipeline.scalars import is_utf8
from pipeline.schema import PARTITION_SCHEMA, REJECT_SCHEMA
from pipeline.store.layout import Locations

#: Arrow's types as SQL's, of which Athena has another name for one.
_SQL_TYPES = {pa.string(): "VARCHAR", pa.int64(): "BIGINT"}
_ATHENA_TYPES = {pa.string(): "string", pa.int64(): "bigint"}
#: The hours behind the newest one that Athena's table still has: ten years of them.
_HOURS_TO_COME = 10 * 8766
_S3_FOLDER = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[\w!.*()=+@,:/ -]*)?", re.ASCII)

#: What the views need of a run's record (docs/store-format.md).
_RECORD = json.dumps(
    {
        "run_id": "VARCHAR",
        "started": "TIMESTAMPTZ",
        "finished": "TIMESTAMPTZ",
        "hours": "MAP(VARCHAR, JSON)",
        "dropped": "BOOLEAN",
        "forgotten": [{"path": "VARCHAR", "digest": "VARCHAR"}],
        "sources": [
            {
                **dict.fromkeys(("path", "digest", "format"), "VARCHAR"),
                **dict.fromkeys(("size", "mtime_ns", "read", "valid", "rejected", "bytes_tx", "bytes_rx"), "BIGINT"),
                "ignored": "MAP(VARCHAR, BIGINT)",
                "ignored_bytes": "MAP(VARCHAR, BIGINT)",
                "hours": ["BIGINT"],
            }
        ],
    }
)
_SOURCES = """\
WITH counted AS (SELECT run_id AS run, unnest(sources) AS source FROM ledger),
     taken_back AS (SELECT run_id AS run, unnest(forgotten) AS source FROM ledger)
SELECT run, source.path, source.digest, source.format, source.size,
       make_timestamp(source.mtime_ns // 1000) AS modified,
       source.read, source.valid, source.rejected,
       coalesce(list_sum(map_values(source.ignored)), 0)::BIGINT AS ignored,
       coalesce(list_sum(map_values(source.ignored_bytes)), 0)::BIGINT AS ignored_bytes,
       source.bytes_tx, source.bytes_rx, source.hours,
       NOT EXISTS (
           FROM taken_back
           WHERE taken_back.source.path = counted.source.path AND taken_back.source.digest = counted.source.digest
             AND taken_back.run::BIGINT > counted.run::BIGINT
       ) AS active
FROM counted
ORDER BY run::BIGINT, source.path"""
_RUNS = """\
SELECT run_id AS run, started AT TIME ZONE 'UTC' AS started, finished AT TIME ZONE 'UTC' AS finished,
       len(ledger.sources)::BIGINT AS sources, len(forgotten)::BIGINT AS forgotten, dropped, cardinality(hours)::BIGINT AS hours,
       counted.* EXCLUDE run
FROM ledger LEFT JOIN (
    SELECT run_id AS run, coalesce(sum(read), 0)::BIGINT AS read, coalesce(sum(valid), 0)::BIGINT AS valid,
           coalesce(sum(rejected), 0)::BIGINT AS rejected, coalesce(sum(ignored), 0)::BIGINT AS ignored,
           coalesce(sum(ignored_bytes), 0)::BIGINT AS ignored_bytes,
           coalesce(sum(bytes_tx), 0)::BIGINT AS bytes_tx, coalesce(sum(bytes_rx), 0)::BIGINT AS bytes_rx
    FROM ledger LEFT JOIN sources ON run = run_id GROUP BY run_id
) AS counted ON run = run_id
ORDER BY run_id::BIGINT"""


def views(store: Locations) -> dict[str, str]:
    """The views of a store: the text of each one's query, by its name, in the order in which they can be made. Times are UTC.

    `ledger` has the records of the runs as they stand; `runs` and `sources` are made from it.

    Raises:
        UsageError: The store's path is not valid UTF-8, in which SQL is written.
    """
    if not is_utf8(str(store.root)):
        raise UsageError(f"SQL cannot name the store {store.root}: its path is not valid UTF-8")
    return {
        "flows": _flows(store),
        "rejects": _rejects(store),
        "ledger": _ledger(store),
        "sources": _SOURCES,
        "runs": _RUNS,
    }


def _flows(store: Locations) -> str:
    columns = ", ".join(PARTITION_SCHEMA.names)
    if not store.hours_within(1, LAST_HOUR + 1):
        return _empty(pa.schema([("hour", pa.int64()), ("time", pa.timestamp("us")), *PARTITION_SCHEMA]))
    files = pattern_of(store.flows, "hour=*/part-0.parquet")
    read = f"read_parquet({files}, hive_partitioning = true, hive_types = {{'hour': BIGINT}})"
    return f"SELECT hour, make_timestamp(hour * {SECONDS_PER_HOUR * 10**6}) AS time, {columns}\nFROM {read}"


def _rejects(store: Locations) -> str:
    if not store.runs_with_rejects():
        return _empty(pa.schema([("run", pa.string()), *REJECT_SCHEMA]))
    files = pattern_of(store.rejects, "run=*/part-0.parquet")
    columns = ", ".join(f'"{name}"' for name in REJECT_SCHEMA.names)
    return f"SELECT run, {columns}\nFROM read_parquet({files}, hive_partitioning = true, hive_types = {{'run': VARCHAR}})"


def _ledger(store: Locations) -> str:
    """The records of all runs. They are read as texts, since DuckDB limits the size of a JSON object in a file."""
    if not store.run_numbers():
        return f"SELECT unnest(from_json('{{}}', '{_RECORD}')) WHERE false"
    is_whole = "json_valid(TRY(decode(content)))"
    text = f"CASE WHEN {is_whole} THEN TRY(decode(content)) ELSE error(filename || ' is no JSON') END"
    return f"SELECT unnest(from_json({text}, '{_RECORD}'))\nFROM read_blob({pattern_of(store.runs, '*.json')})"


def _empty(schema: pa.Schema) -> str:
    types = _SQL_TYPES | {pa.timestamp("us"): "TIMESTAMP"}
    return "SELECT " + ", ".join(f'NULL::{types[field.type]} AS "{field.name}"' for field in schema) + " WHERE false"


def pattern_of(folder: PurePath, pattern: str) -> str:
    """A pattern of files below a folder, as SQL writes it. What the folder's name has of a pattern's characters stands for itself."""
    literal = re.sub(r"([\[*?])", r"[\1]", str(folder.absolute() if isinstance(folder, Path) else folder))
    return text_of(f"{literal}/{pattern}")


def text_of(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def athena_table(store: Locations, folder: str) -> str:
    """The statement that makes Athena's table of a copy of the store in a bucket, with its partitions projected.

    Partition projection: https://docs.aws.amazon.com/athena/latest/ug/partition-projection.html

    Args:
        store: The store, whose hours the table has, and ten years to come.
        folder: Where its copy is: "s3://bucket/flowlog".

    Raises:
        UsageError: The folder cannot be that of a bucket.
    """
    if not _S3_FOLDER.fullmatch(folder):
        raise UsageError(
            f"--athena {folder}: write the folder of the store's copy like s3://bucket/flowlog, without quotes and $ in its name"
        )
    hours = store.hours() or [1]
    first, last = hours[0], min(hours[-1] + _HOURS_TO_COME, LAST_HOUR)
    columns = ",\n".join(f"  {field.name} {_ATHENA_TYPES[field.type]}" for field in PARTITION_SCHEMA)
    location = f"{folder.rstrip('/')}/flows/"
    return f"""\
-- The table has the hours from {hour_to_text(first)} to {hour_to_text(last)}; make it anew before they are over.
-- Name hours in each query, as WHERE hour BETWEEN {first} AND {hours[-1]}: Athena looks for every hour that it is not told to leave out.
-- from_unixtime(hour * {SECONDS_PER_HOUR}) is the time at which an hour starts.
CREATE EXTERNAL TABLE flows (
{columns}
)
PARTITIONED BY (hour bigint)
STORED AS PARQUET
LOCATION '{location}'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.hour.type' = 'integer',
  'projection.hour.range' = '{first},{last}',
  'storage.location.template' = '{location}hour=${{hour}}/'
);
"""
