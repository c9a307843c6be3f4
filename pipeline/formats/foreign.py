"""Logs that people try and flowlog does not read: what each is, told from its start, and what can be done.

JSON is told from its first objects, text and Parquet from the names of their columns.

Where the facts are from, by log:

- Google: the documentation of VPC Flow Logs, "Access flow logs"; `json_payload` and `log_id` are Log Analytics' names.
- Azure: the documentation of Network Watcher; `category` tells a flow log from all others, whose blobs have the same name.
- Suricata: doc/userguide/output/eve/eve-json-format.rst; AWS Network Firewall: its developer guide, "Contents of a log".
- NetObserv: docs/flows-format.adoc of its operator; Loki: its HTTP API, "Query logs at a single point in time".
- pmacct: CONFIG-KEYS; Logstash: its netflow codec; Argus: ra(1).
- OCSF: the class Network Activity (4001); Hubble: api/v1/flow/flow.proto; Calico: "Flow log data types".
- Columns: nfdump's output_csv.c, nfstat.c, output_fmt.c; rwcut(1) of SiLK; ra(1); pmacct's print_plugin.c; Athena's
  table for VPC flow logs; the schema of Google's sink in BigQuery.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipeline.errors import OtherLog, UnknownFormat

Record = Mapping[str, Any]

_NOT_YET = "flowlog does not read it yet; write its flows as CSV or JSON with the six fields of a flow record"
_BYTES_ELSEWHERE = "it has no byte counts; NetObserv and Calico flow logs have"
_AWS_WRITES = (
    "flowlog reads AWS's own text and Parquet; give it the files in S3, or write the fields out as text with a header"
)
_ZEEK_WRITES = "flowlog reads Zeek's own TSV and JSON; give it the conn.log as Zeek wrote it"
_AZURE = {"NetworkSecurityGroupFlowEvent": "an Azure NSG flow log", "FlowLogFlowEvent": "an Azure VNet flow log"}


def refuse_foreign(records: Iterable[Record]) -> None:
    """Refuses the log that some objects are of, if it is a known one.

    Args:
        records: The first objects of a file, of which the last may be cut off.

    Raises:
        OtherLog: It is a log of something else than flows.
        UnknownFormat: It is a flow log that flowlog does not read.
    """
    refusals = [refusal for record in records for look in _LOOKS if (refusal := look(record))]
    # A Suricata log has alerts beside its flows, and Google's sink has other logs.
    for refusal in refusals:
        if not isinstance(refusal, OtherLog):
            raise refusal
    if refusals:
        raise refusals[0]


def _google(record: Record) -> UnknownFormat | None:
    payload = record.get("jsonPayload", record.get("json_payload"))
    name = str(record.get("logName", record.get("log_id", "")))
    if not isinstance(payload, dict) or not (name or "insertId" in record):
        return None
    is_flow = name.endswith("vpc_flows") or (not name and "connection" in payload)
    if is_flow:
        return UnknownFormat("a Google VPC flow log", _NOT_YET)
    return OtherLog(
        f"a Google Cloud log, {name.replace('%2F', '/').rpartition('/')[2] or 'without a name'}",
        "flowlog reads flow logs only",
    )


def _azure(record: Record) -> UnknownFormat | None:
    if str(record.get("operationName", "")).startswith("NetworkSecurityGroupFlowEvent") and "records" not in record:
        return UnknownFormat("an Azure NSG flow log, as a forwarder rewrote it", _NOT_YET)
    inner = record.get("records")
    first = inner[0] if isinstance(inner, list) and inner else record
    category = first.get("category") if isinstance(first, dict) else None
    if isinstance(category, str) and category in _AZURE:
        return UnknownFormat(_AZURE[category], _NOT_YET)
    if isinstance(category, str) and first.keys() & {"resourceId", "operationName"}:
        return OtherLog(f"an Azure log of the category {category}", "flowlog reads flow logs only")
    return None


def _suricata(record: Record) -> UnknownFormat | None:
    inner = record.get("event")
    event, is_firewall = (inner, True) if "firewall_name" in record and isinstance(inner, dict) else (record, False)
    kind = event.get("event_type")
    if not isinstance(kind, str) or not event.keys() & {"flow_id", "timestamp"}:
        return None
    log = "an AWS Network Firewall log" if is_firewall else "a Suricata EVE log"
    if kind in ("flow", "netflow"):
        return UnknownFormat(log, _NOT_YET)
    return OtherLog(f"{log} without flow events ({kind})", "flowlog reads flow logs only")


def _netobserv(record: Record) -> UnknownFormat | None:
    if "SrcAddr" in record and "DstAddr" in record:
        if record.keys() & {"TimeFlowStartMs", "SrcK8S_Name", "FlowDirection", "AgentIP"} and "SamplerAddress" not in record:
            return UnknownFormat("a NetObserv flow log", _NOT_YET)
        return UnknownFormat("flow records of GoFlow or NetObserv", _NOT_YET)
    data = record.get("data")
    if isinstance(data, dict) and data.get("resultType") == "streams":
        return UnknownFormat("an answer of Loki", _NOT_YET)
    return None


def _collectors(record: Record) -> UnknownFormat | None:
    if isinstance(record.get("netflow"), dict):
        return UnknownFormat(
            "NetFlow records of Logstash or Filebeat", "their fields differ by router; collect them with nfcapd or goflow2"
        )
    if "ip_src" in record and "ip_dst" in record:
        return UnknownFormat("a pmacct flow log, JSON", _NOT_YET)
    if "ArgusData" in record:
        return UnknownFormat("an Argus flow log, JSON", _NOT_YET)
    return None


def _aws(record: Record) -> UnknownFormat | None:
    if record.keys() >= {"srcaddr", "dstaddr"} and record.keys() & {"account_id", "interface_id", "log_status"}:
        if record.keys() & {"tgw_id", "tgw_attachment_id"}:
            return OtherLog("an AWS Transit Gateway flow log", "flowlog reads VPC flow logs only")
        return UnknownFormat("AWS VPC flow log records as JSON objects", _AWS_WRITES)
    if "@message" in record and record.keys() & {"@timestamp", "@ptr"}:
        return UnknownFormat("a result of CloudWatch Logs Insights, JSON", "export it as CSV")
    return None


def _others(record: Record) -> UnknownFormat | None:
    if str(record.get("class_uid")) == "4001":
        return UnknownFormat("OCSF network activity (class 4001)", _NOT_YET)
    if isinstance(record.get("class_uid"), str | int) and "category_uid" in record:
        return OtherLog(f"OCSF events of the class {record['class_uid']}", "flowlog reads flow logs only")
    flow = record.get("flow")
    if isinstance(flow, dict) and ("verdict" in flow or "node_name" in record or flow.get("Type") in ("L3_L4", "L7")):
        return UnknownFormat("a Hubble flow export", _BYTES_ELSEWHERE)
    if "verdict" in record and "node_name" in record:
        return UnknownFormat("a Hubble flow export", _BYTES_ELSEWHERE)
    if "reporter" in record and record.keys() & {"source_name_aggr", "dest_name_aggr", "source_ip"}:
        return UnknownFormat("a Calico flow log", _NOT_YET)
    return None


#: Each says what an object is of, or nothing.
_LOOKS: tuple[Callable[[Record], UnknownFormat | None], ...] = (
    _google,
    _azure,
    _suricata,
    _netobserv,
    _collectors,
    _aws,
    _others,
)


#: Names that a log's columns have, all of them, in the order in which they are asked; what it is; what to do.
_COLUMNS = (
    ("ts te td val", "nfdump's statistics, CSV", "they have no flows; print the flows, without -s"),
    ("firstSeen srcAddr dstAddr", "an nfdump flow log, CSV, without bytes", "print %ibyt and %obyt too"),
    ("srcAddr dstAddr bytes flows", "an nfdump flow log, CSV, without times", "print %tsr too"),
    (
        "firstSeen duration packets bytes",
        "aggregated flows of nfdump, CSV",
        "they lack addresses; print the flows, without -A",
    ),
    ("Date first seen Proto", "an nfdump listing", "it is for people, and rounds; print the flows with -o ndjson"),
    ("sIP dIP", "a SiLK flow listing of rwcut", _NOT_YET),
    ("StartTime SrcAddr DstAddr", "an Argus flow listing of ra", _NOT_YET),
    ("SRC_IP DST_IP BYTES", "a pmacct flow log", _NOT_YET),
    ("SrcAddr DstAddr TimeFlowStartMs", "a NetObserv flow log", _NOT_YET),
    ("type src_addr dst_addr sampler_address", "a goflow2 flow log", "flowlog reads goflow2's JSON"),
    ("jsonPayload.connection.src_ip", "a Google VPC flow log", _NOT_YET),
    ("jsonPayload logName", "a Google Cloud log", _NOT_YET),
    ("event_type flow_id", "a Suricata EVE log", _NOT_YET),
    ("class_uid category_uid", "OCSF events", _NOT_YET),
    ("srcaddr tgw_id", "an AWS Transit Gateway flow log", "flowlog reads VPC flow logs only"),
    ("srcaddr tgw-id", "an AWS Transit Gateway flow log", "flowlog reads VPC flow logs only"),
)
#: The same of the logs that flowlog reads, where they are not written as it reads them.
_OWN_COLUMNS = (
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
