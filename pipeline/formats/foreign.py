"""Logs that people try and flowlog does not read: what each is, told from its start, and what can be done.

JSON is told from its first objects, text and Parquet from the names of their columns.

Where the facts are from, by log:

- Azure: the documentation of Network Watcher; `category` tells a flow log from all others, whose blobs have the same name.
- NetObserv: docs/flows-format.adoc of its operator; Loki: its HTTP API, "Query logs at a single point in time".
- pmacct: CONFIG-KEYS; Logstash: its netflow codec; Argus: ra(1).
- Hubble: api/v1/flow/flow.proto; Calico: "Flow log data types".
- Columns: nfdump's output_csv.c, nfstat.c, output_fmt.c; rwcut(1) of SiLK; ra(1); pmacct's print_plugin.c; Athena's
  table for VPC flow logs; the schema of Google's sink in BigQuery.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipeline.errors import OtherLog, UnknownFormat
from pipeline.formats.azurerecord import Layout

JsonObject = Mapping[str, Any]

_NOT_YET = "flowlog does not read it yet; write its flows as CSV or JSON with the six fields of a flow record"
_BYTES_ELSEWHERE = "it has no byte counts; NetObserv and Calico flow logs have"
_AWS_WRITES = (
    "flowlog reads AWS's own text and Parquet, and objects of JSON one a line; give it the files in S3, or write the fields out"
    " as text with a header"
)
_ZEEK_WRITES = "flowlog reads Zeek's own TSV and JSON; give it the conn.log as Zeek wrote it"
_GOOGLE_WRITES = "flowlog reads Google's flow logs as JSON; export the table as JSON, or the sink's table as Parquet"


def refuse_foreign(records: Iterable[JsonObject]) -> None:
    """Refuses the log that some objects are of, if it is a known one.

    Args:
        records: The first objects of a file, of which the last may be cut off.

    Raises:
        OtherLog: It is a log of something else than flows.
        UnknownFormat: It is a flow log that flowlog does not read.
    """
    refusals = [refusal for record in records for look in _LOOKS if (refusal := look(record))]
    # Google's sink has other logs beside its flows.
    for refusal in refusals:
        if not isinstance(refusal, OtherLog):
            raise refusal
    if refusals:
        raise refusals[0]


def _azure(record: JsonObject) -> UnknownFormat | None:
    inner = record.get("records")
    records = inner if isinstance(inner, list) and inner else [record]
    categories = [one.get("category") if isinstance(one, dict) else None for one in records]
    is_azure_s = isinstance(categories[0], str) and records[0].keys() & {"resourceId", "operationName"}
    if is_azure_s and not any(layout.value in categories for layout in Layout):  # of flows the user names another format
        return OtherLog(f"an Azure log of the category {categories[0]}", "flowlog reads flow logs only")
    return None


def _netobserv(record: JsonObject) -> UnknownFormat | None:
    if "SrcAddr" in record and "DstAddr" in record:
        return UnknownFormat(
            "flow records of GoFlow or NetObserv", "flowlog reads goflow2's JSON and the flow logs of NetObserv's own agent"
        )
    data = record.get("data")
    if isinstance(data, dict) and data.get("resultType") in ("matrix", "vector", "scalar"):
        return UnknownFormat("an answer of Loki or Prometheus with numbers", "ask Loki for the records themselves")
    return None


def _collectors(record: JsonObject) -> UnknownFormat | None:
    if isinstance(record.get("netflow"), dict):
        return UnknownFormat(
            "NetFlow records of Logstash or Filebeat", "their fields differ by router; collect them with nfcapd or goflow2"
        )
    return None


def _aws(record: JsonObject) -> UnknownFormat | None:
    if "@message" in record and record.keys() & {"@timestamp", "@ptr"}:
        return UnknownFormat("a result of CloudWatch Logs Insights, JSON", "export it as CSV")
    return None


def _others(record: JsonObject) -> UnknownFormat | None:
    flow = record.get("flow")
    if isinstance(flow, dict) and ("verdict" in flow or "node_name" in record or flow.get("Type") in ("L3_L4", "L7")):
        return UnknownFormat("a Hubble flow export", _BYTES_ELSEWHERE)
    if "verdict" in record and "node_name" in record:
        return UnknownFormat("a Hubble flow export", _BYTES_ELSEWHERE)
    if "reporter" in record and record.keys() & {"source_name_aggr", "dest_name_aggr", "source_ip"}:
        return UnknownFormat("a Calico flow log", _NOT_YET)
    return None


#: Each says what an object is of, or nothing.
_LOOKS: tuple[Callable[[JsonObject], UnknownFormat | None], ...] = (
    _azure,
    _netobserv,
    _collectors,
    _aws,
    _others,
)


#: Names that a log's columns have, all of them, in the order in which they are asked; what it is; what to do.
_COLUMNS = (
    ("cidr app", "a mapping file from addresses to apps", "name it with --apps instead"),
    ("ts te td val", "nfdump's statistics, CSV", "they have no flows; print the flows, without -s"),
    ("firstSeen srcAddr dstAddr", "an nfdump flow log, CSV, without bytes", "print %ibyt and %obyt too"),
    ("srcAddr dstAddr bytes flows", "an nfdump flow log, CSV, without times", "print %tsr too"),
    (
        "firstSeen duration packets bytes",
        "aggregated flows of nfdump, CSV",
        "they lack addresses; print the flows, without -A",
    ),
    ("Date first seen Proto", "an nfdump listing", "it is for people, and rounds; print the flows with -o ndjson"),
    ("StartTime SrcAddr DstAddr", "an Argus flow listing for people", "print it with ra -c , -u"),
    ("SRC_IP DST_IP BYTES", "a pmacct flow log in columns", "have pmacct write JSON (print_output: json)"),
    ("SrcAddr DstAddr TimeFlowStartMs", "a NetObserv flow log in columns", "flowlog reads NetObserv's JSON"),
    ("type src_addr dst_addr sampler_address", "a goflow2 flow log in columns", "flowlog reads goflow2's JSON"),
    ("jsonPayload.connection.src_ip", "a Google VPC flow log in columns", _GOOGLE_WRITES),
    ("jsonPayload logName", "a Google Cloud log in columns", _GOOGLE_WRITES),
    ("json_payload log_id", "a Google Cloud log in columns", _GOOGLE_WRITES),
    (
        "event_type flow_id",
        "a Suricata EVE log",
        "flowlog reads its events as Suricata writes them, as JSON objects one a line",
    ),
)
#: The same of the logs that flowlog reads, where they are not written as it reads them.
_OWN_COLUMNS = (
    ("srcaddr tgw_id", "AWS Transit Gateway flow log records in columns that AWS does not write", _AWS_WRITES),
    ("srcaddr tgw-id", "AWS Transit Gateway flow log records in columns that AWS does not write", _AWS_WRITES),
    ("srcaddr dstaddr bytes", "AWS VPC flow log records in columns that AWS does not write", _AWS_WRITES),
    ("id.orig_h id.resp_h", "a Zeek log in columns that Zeek does not write", _ZEEK_WRITES),
    ("id_orig_h id_resp_h", "a Zeek log in columns that Zeek does not write", _ZEEK_WRITES),
)
_BETWEEN = re.compile(r'[\s,;|"]+')


def refuse_columns(names: Iterable[str], is_read_otherwise: bool = False) -> None:
    """Refuses the log that has such columns, if it is a known one.

    Args:
        names: Of the columns; or the first line of a text alone, whatever divides its cells.
        is_read_otherwise: Whether a format that was not asked may read the log.

    Raises:
        UnknownFormat: It is a flow log that flowlog does not read.
    """
    given = {word for name in names for word in _BETWEEN.split(name)}
    for columns, found, advice in _COLUMNS if is_read_otherwise else _COLUMNS + _OWN_COLUMNS:
        if given.issuperset(columns.split()):
            raise UnknownFormat(found, advice)


#: The times of nfdump's CSV, of which `-q` leaves the header out.
_NFDUMP_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:,\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,|\.\d{3},)\d+\.\d{3},")
#: Zeek's time and identifier at the start of a line, and the parts of an AWS record that are like nothing else.
_ZEEK_LINE = re.compile(r"\d{9,10}\.\d{1,6}\tC[0-9A-Za-z]{8,24}\t")
_AWS_PARTS = (
    re.compile(r"(?<!\S)(?:eni|vpc|subnet)-[0-9a-z]+(?!\S)"),
    re.compile(r"(?<!\S)(?:ACCEPT|REJECT)(?!\S)"),
    re.compile(r"(?<!\S)(?:OK|NODATA|SKIPDATA)(?!\S)"),
    re.compile(r"(?<!\S)1\d{9} 1\d{9}(?!\S)"),
)
_AWS_LEAST = 3


def refuse_unnamed(lines: Iterable[str]) -> None:
    """Refuses the lines of a log that flowlog reads, where the names of their columns are lost.

    Raises:
        UnknownFormat: They are that.
    """
    for line in lines:
        if _ZEEK_LINE.match(line):
            raise UnknownFormat("a Zeek log without its # lines", "give flowlog the whole file; zeek-cut keeps them with -C")
        if _NFDUMP_LINE.match(line):
            raise UnknownFormat("an nfdump flow log, CSV, without the names of its columns", "print the flows without -q")
        if sum(part.search(line) is not None for part in _AWS_PARTS) >= _AWS_LEAST:
            raise UnknownFormat(
                f"AWS VPC flow log records of {len(line.split())} fields, without a header",
                "name their fields, in their order, with --aws-fields",
            )
