"""The formats that flowlog reads. A further one is one more entry of `CASES`: without it, the suite fails."""

import io
import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.formats import FORMATS
from tests.conformance.formats import Case, FormatClaims

TEN = 1_764_151_200  # 2025-11-26T10:00Z
HOUR = TEN // 3_600


def parquet(**columns):
    """A Parquet file of these columns, in small row groups."""
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, row_group_size=2)
    return sink.getvalue()


def rows(*records):
    """A Parquet file of these objects."""
    return parquet(**pa.Table.from_pylist(records).to_pydict())


def lines(*records):
    return "".join(f"{record if isinstance(record, str) else json.dumps(record)}\n" for record in records).encode()


def ocsf(src, dst, sport, dport, count, status="OK", action="Allowed"):
    """An event of a VPC's record."""
    return {
        "class_uid": 4001,
        "category_uid": 4,
        "metadata": {"product": {"name": "Amazon VPC"}},
        "src_endpoint": {"ip": src, "port": sport, "vpc_uid": "vpc-a"},
        "dst_endpoint": {"ip": dst, "port": dport},
        "traffic": {"bytes": count},
        "time": TEN * 1000,
        "status_code": status,
        "action": action,
    }


OCSF_FLOWS = [(HOUR, "10.0.0.1", "10.0.0.9", "vpc-a", 5, 0), (HOUR, "10.0.0.1", "10.0.0.9", "vpc-a", 0, 700)]
OCSF_IGNORED = {"no traffic": 1, "denied": 1}
OCSF_EVENTS = [
    ocsf("10.0.0.1", "10.0.0.9", 40_000, 443, 5),
    ocsf("10.0.0.9", "10.0.0.1", 443, 40_000, 700),
    ocsf("-", "-", None, None, None, "NODATA", "-"),
    ocsf("10.0.0.1", "10.0.0.9", 40_000, 443, 6, action="Denied"),
    ocsf("10.0.0.1", "ten", 40_000, 443, 7),
]
OCSF_OTHERS = [{"class_uid": 4003, "category_uid": 4, "metadata": {"product": {"name": "Route 53"}}}]


def gateway_line(ends, count, direction):
    """A Transit Gateway's record in the order of AWS."""
    unset = " ".join("-" * 11)
    return f"6 TransitGateway 111 tgw-0a1b2c3d tgw-attach-0a1b2c3d {unset} {ends} 6 1 {count} {TEN} {TEN} OK IPv4 0 0 0 0 0 - {direction} - -"


CANONICAL = {"hour": HOUR, "src_app": "web", "dest_app": "db", "vpc_id": "v", "bytes_tx": 5, "bytes_rx": 7}
CANONICAL_FLOWS = [(HOUR, "web", "db", "v", 5, 7), (HOUR + 1, "web", "db", "v", 5, 0)]

# A request, its answer, a record of no traffic, one that was dropped, and one whose receiver is no address.
AWS_FLOWS = [(HOUR, "10.0.0.1", "10.0.0.9", "111", 5, 0), (HOUR, "10.0.0.1", "10.0.0.9", "111", 0, 700)]
AWS_IGNORED = {"no traffic": 1, "denied": 1}
AWS_LINES = [
    f"2 111 eni-1 10.0.0.1 10.0.0.9 40000 443 6 1 5 {TEN} {TEN} ACCEPT OK",
    f"2 111 eni-1 10.0.0.9 10.0.0.1 443 40000 6 1 700 {TEN} {TEN} ACCEPT OK",
    f"2 111 eni-1 - - - - - - - {TEN} {TEN} - NODATA",
    f"2 111 eni-1 10.0.0.1 10.0.0.9 40000 443 6 1 6 {TEN} {TEN} REJECT OK",
    f"2 111 eni-1 10.0.0.1 ten 40000 443 6 1 7 {TEN} {TEN} ACCEPT OK",
]
#: The fields of a payload for which a record is rejected.
GOOGLE = (
    "{0}.start_time {0}.connection.src_ip {0}.connection.src_port {0}.connection.dest_ip {0}.connection.dest_port {0}.bytes_sent"
    " {0}.reporter {0}.src_instance.vm_name"
)
AWS_HEADER = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)

# A flow that goes on, one that begins, one that was denied, and one whose receiver is no address. The record stands twice.
AZURE_VNET = [
    f"{TEN}000,10.0.0.1,10.0.0.9,40000,443,6,O,C,NX,1,5,2,700",
    f"{TEN}000,10.0.0.1,10.0.0.9,40000,443,6,O,B,NX,0,0,0,0",
    f"{TEN}000,10.0.0.1,10.0.0.9,40000,443,6,I,D,NX,0,0,0,0",
    f"{TEN}000,10.0.0.1,ten,40000,443,6,O,E,NX,1,5,2,700",
]
AZURE_NSG = [
    f"{TEN},10.0.0.1,10.0.0.9,40000,443,T,O,A,C,1,5,2,700",
    f"{TEN},10.0.0.1,10.0.0.9,40000,443,T,O,A,B,,,,",
    f"{TEN},10.0.0.1,10.0.0.9,40000,443,T,I,D,B,,,,",
    f"{TEN},10.0.0.1,ten,40000,443,T,O,A,E,1,5,2,700",
]
AZURE_IGNORED = {"no traffic": 1, "denied": 1, "repeated record": 4, "other kind of event": 1}


def azure(**record):
    """A document with a record of another log, and the given one twice."""
    record |= {"time": "2025-11-26T10:01:00Z"}
    return json.dumps({"records": [{"category": "AuditEvent", "operationName": "x"}, record, record]}).encode()


# A request as it comes into the gateway and as it goes out, its answer, idle minutes, and one whose receiver is no address.
GATEWAY_FIELDS = (
    "version tgw-id tgw-src-vpc-id tgw-dst-vpc-id srcaddr dstaddr srcport dstport bytes start log-status flow-direction"
)
GATEWAY_FLOWS = [(HOUR, "10.0.0.1", "10.0.0.9", "vpc-a", 5, 0), (HOUR, "10.0.0.1", "10.0.0.9", "vpc-a", 0, 700)]
GATEWAY_IGNORED = {"other reporter": 1, "no traffic": 1, "lost by the source": 1}
GATEWAY_ROWS = [
    ("vpc-a", "vpc-b", "10.0.0.1", "10.0.0.9", 40_000, 443, 5, "OK", "ingress"),
    ("vpc-a", "vpc-b", "10.0.0.1", "10.0.0.9", 40_000, 443, 5, "OK", "egress"),
    ("vpc-b", "vpc-a", "10.0.0.9", "10.0.0.1", 443, 40_000, 700, "OK", "ingress"),
    (None, None, None, None, None, None, None, "NODATA", None),
    (None, None, None, None, None, None, None, "SKIPDATA", None),
    ("vpc-a", "vpc-b", "10.0.0.1", "ten", 40_000, 443, 7, "OK", "ingress"),
]
GATEWAY_COLUMNS = [
    "tgw_src_vpc_id",
    "tgw_dst_vpc_id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "bytes",
    "log_status",
    "flow_direction",
]
GATEWAY_LINES = [
    " ".join("-" if cell is None else str(cell) for cell in (6, "tgw-0a1b2c3d", *row[:7], TEN, *row[7:]))
    for row in GATEWAY_ROWS
]

ZEEK_FLOWS = [(HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 700), (HOUR + 1, "10.0.0.1", "10.0.0.9", "-", 6, 800)]
ZEEK = {"ts": TEN + 0.5, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.9", "orig_ip_bytes": 5, "resp_ip_bytes": 700}

GOOGLE_FLOWS = [(HOUR, "web", "10.0.0.9", "acme", 5, 0), (HOUR, "web", "10.0.0.9", "acme", 0, 700)]
GOOGLE_IGNORED = {"other reporter": 1, "denied": 1, "other kind of event": 1}
GOOGLE_OUT = {"src_ip": "10.0.0.1", "src_port": 40_000, "dest_ip": "10.0.0.9", "dest_port": 443.0}
GOOGLE_BACK = {"src_ip": "10.0.0.9", "src_port": 443, "dest_ip": "10.0.0.1", "dest_port": 40_000}
GOOGLE_WEB = {"vm_name": "web"}


def google(payload, name):
    """Google's entries: a request, its answer from outside, the request once more, what was dropped, another log's, a bad one."""

    def entry(reporter, sent, connection, log="vpc_flows", **more):
        flow = {"reporter": reporter, "bytes_sent": sent, "connection": connection, "start_time": "2025-11-26T10:00:00.5Z"}
        return {payload: flow | more, name: f"projects/acme/logs/compute.googleapis.com%2F{log}"}

    return lines(
        entry("SRC", "5", GOOGLE_OUT, src_instance=GOOGLE_WEB),
        entry("DEST", "700", GOOGLE_BACK, dest_instance=GOOGLE_WEB),
        entry("DEST", "5", GOOGLE_OUT, src_instance=GOOGLE_WEB),
        entry("DEST", None, GOOGLE_BACK, disposition="DROPPED"),
        entry("DEST", None, GOOGLE_BACK, log="firewall"),
        entry("SRC", "5.5", GOOGLE_OUT),
    )


def argus(start):
    """A flow of Argus's JSON, what Argus says of itself, and a flow of which an address is none."""
    flow = {"type": "flow", "stime": start, "dur": 9.5, "proto": "tcp", "saddr": "10.0.0.1", "sport": 40_000, "dir": " ->"}
    flow |= {"daddr": "10.0.0.9", "dport": 443, "sbytes": 5, "dbytes": 700}
    return [flow, {"type": "evnt", "stime": start, "proto": "evt"}, flow | {"daddr": "ten"}]


ARGUS_FLOWS = [(HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 700)]
ARGUS_OUTCOME = ARGUS_FLOWS, {3: ("daddr", '"ten"')}, {"other kind of event": 1}
PMACCT = {"ip_src": "10.0.0.1", "ip_dst": "10.0.0.9", "port_src": 40_000, "port_dst": 443, "ip_proto": "tcp", "bytes": 5}
PMACCT |= {"timestamp_start": f"{TEN}.250000", "timestamp_end": f"{TEN + 9}.250000"}

EVE = {"timestamp": "2025-11-26T11:00:00.5+0100", "flow_id": 1, "src_ip": "10.0.0.1", "dest_ip": "10.0.0.9"}
EVE_FLOW = {"start": "2025-11-26T11:00:00.25+0100", "bytes_toserver": 5, "bytes_toclient": 700}

NETOBSERV = {"TimeFlowStartMs": TEN * 1_000, "SrcAddr": "10.0.0.1", "DstAddr": "10.0.0.9", "Bytes": 5, "Sampling": 2}
NETOBSERV |= {"SrcPort": 40_000, "DstPort": 443, "SrcK8S_Namespace": "shop", "SrcK8S_OwnerName": "web"}
NETOBSERV_RECORDS = [
    NETOBSERV,
    NETOBSERV | {"DstK8S_OwnerName": "db", "FlowDirection": 1},
    NETOBSERV | {"_RecordType": "heartbeat"},
    NETOBSERV | {"DstAddr": "ten"},
]
NETOBSERV_FLOWS = [(HOUR, "shop/web", "10.0.0.9", "-", 10, 0)]
NETOBSERV_IGNORED = {"other reporter": 1, "other kind of event": 1}

# A request with its answer in one record, an answer that is a record of its own, and one whose receiver is no address.
NETFLOW = [
    ("10.0.0.1", 40000, "10.0.0.9", 443, 5),
    ("10.0.0.9", 443, "10.0.0.1", 40000, 700),
    ("10.0.0.1", 40000, "ten", 443, 6),
]
NETFLOW_FLOWS = [(HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 0), (HOUR, "10.0.0.1", "10.0.0.9", "-", 0, 700)]
NFDUMP = {"type": "FLOW", "export_sysid": 1, "first": "2025-11-26T10:00:00.000", "last": "2025-11-26T10:00:01.000"}
GOFLOW2 = {"type": "IPFIX", "time_received_ns": TEN * 10**9, "time_flow_start_ns": TEN * 10**9, "sampling_rate": 1}

CASES = {
    "CSV": Case(
        lines(
            "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx",
            f"{HOUR},web,db,v,5,7",
            f"{HOUR},web,db,v,five,7",
            f"{HOUR + 1},web,db,v,5,0",
        ),
        CANONICAL_FLOWS,
        {3: ("bytes_tx", "five")},
        {},
    ),
    "JSON": Case(
        lines(CANONICAL, CANONICAL | {"bytes_tx": "five"}, CANONICAL | {"hour": HOUR + 1, "bytes_rx": 0}),
        CANONICAL_FLOWS,
        {2: ("bytes_tx", '"five"')},
        {},
    ),
    "Parquet": Case(
        parquet(
            hour=[HOUR, HOUR, HOUR + 1],
            src_app=["web"] * 3,
            dest_app=["db"] * 3,
            vpc_id=["v"] * 3,
            bytes_tx=[5.0, 5.5, 5.0],
            bytes_rx=[7, 7, 0],
        ),
        CANONICAL_FLOWS,
        {2: ("bytes_tx", "5.5")},
        {},
    ),
    "Zeek conn.log, TSV": Case(
        lines(
            "#separator \\x09",
            "#path\tconn",
            "#fields\tts\tid.orig_h\tid.resp_h\torig_ip_bytes\tresp_ip_bytes",
            f"{TEN}.5\t10.0.0.1\t10.0.0.9\t5\t700",
            f"{TEN}.5\t10.0.0.1\t-\t5\t700",
            f"{TEN + 3_600}\t10.0.0.1\t10.0.0.9\t6\t800",
            "#close\t2025-11-26-11-00-00",
        ),
        ZEEK_FLOWS,
        {5: ("id.resp_h", "10.0.0.1\t-\t5")},
        {},
    ),
    "Zeek conn.log, JSON": Case(
        lines(
            {"_path": "conn"} | ZEEK,
            {"_path": "dns", "ts": TEN, "query": "example.com"},
            {"_path": "conn"} | ZEEK | {"id.resp_h": None},
            {"_path": "conn"} | ZEEK | {"ts": TEN + 3_600, "orig_ip_bytes": 6, "resp_ip_bytes": 800},
        ),
        ZEEK_FLOWS,
        {3: ("id.resp_h", '"id.resp_h": null')},
        {"other kind of event": 1},
    ),
    "SiLK, rwcut": Case(
        lines(
            "     sIP|     dIP|sPort|dPort|pro| bytes|                  sTime|                  eTime|sen|",
            "10.0.0.1|10.0.0.9|40000|  443|  6|     5|2025/11/26T10:00:00.250|2025/11/26T10:00:09.250| S0|",
            "10.0.0.9|10.0.0.1|  443|40000|  6|   700|2025/11/26T10:00:00.250|2025/11/26T10:00:09.250| S0|",
            "10.0.0.1|     ten|40000|  443|  6|     6|2025/11/26T10:00:00.250|2025/11/26T10:00:09.250| S0|",
        ),
        [(HOUR, "10.0.0.1", "10.0.0.9", "S0", 5, 0), (HOUR, "10.0.0.1", "10.0.0.9", "S0", 0, 700)],
        {4: ("dIP", "ten")},
        {},
    ),
    "Argus, CSV": Case(
        lines(
            "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,TotBytes,SrcBytes,Label",
            f"{TEN}.250000,9.5,tcp,10.0.0.1,40000,   ->,10.0.0.9,443,705,5,a",
            f"{TEN}.250000,9.5,arp,10.0.0.1,,  who,10.0.0.9,,42,42,a",
            f"{TEN}.250000,9.5,tcp,10.0.0.1,40000,   ->,ten,443,705,5,a",
        ),
        ARGUS_FLOWS,
        {4: ("DstAddr", ",ten,")},
        {"other kind of event": 1},
    ),
    "Argus, JSON": Case(lines({"ArgusData": argus("2025/11/26 10:00:00.250000")}), *ARGUS_OUTCOME),
    "Argus, JSON with times since 1970": Case(lines({"ArgusData": argus(TEN + 0.25)}), *ARGUS_OUTCOME),
    "pmacct, JSON": Case(
        lines(
            PMACCT,
            PMACCT | {"ip_dst": "ten"},
            {"event_type": "purge_close", "writer_id": "print", "tot_elems": 2},
        ),
        [(HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 0)],
        {2: ("ip_dst", '"ten"')},
        {"other kind of event": 1},
    ),
    "AWS Transit Gateway Flow Logs, text": Case(
        lines(GATEWAY_FIELDS, *GATEWAY_LINES), GATEWAY_FLOWS, {7: ("dstaddr", " ten ")}, GATEWAY_IGNORED
    ),
    "AWS Transit Gateway Flow Logs, Parquet": Case(
        parquet(
            tgw_id=["tgw-0a1b2c3d"] * 6,
            start=[TEN] * 6,
            **dict(zip(GATEWAY_COLUMNS, map(list, zip(*GATEWAY_ROWS, strict=True)), strict=True)),
        ),
        GATEWAY_FLOWS,
        {6: ("dstaddr", '"ten"')},
        GATEWAY_IGNORED,
    ),
    "nfdump, CSV before 1.7.5": Case(
        lines(
            "ts,te,td,sa,da,sp,dp,pr,ibyt,obyt",
            *(
                f"2025-11-26 10:00:00,2025-11-26 10:00:01,1.000,{src},{dst},{src_port},{dst_port},TCP,{sent},0"
                for src, src_port, dst, dst_port, sent in NETFLOW
            ),
        ),
        NETFLOW_FLOWS,
        {4: ("da", ",ten,")},
        {},
    ),
    "nfdump, CSV": Case(
        lines(
            "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows",
            *(
                f"2025-11-26 10:00:00.000,1.000,6,{src},{src_port},{dst},{dst_port},1,{sent},1"
                for src, src_port, dst, dst_port, sent in NETFLOW
            ),
        ),
        NETFLOW_FLOWS,
        {4: ("dstAddr", ",ten,")},
        {},
    ),
    "nfdump, JSON": Case(
        lines(
            *(
                NFDUMP | {"src4_addr": src, "src_port": src_port, "dst4_addr": dst, "dst_port": dst_port, "in_bytes": sent}
                for src, src_port, dst, dst_port, sent in NETFLOW
            ),
            NFDUMP | {"type": "EVENT"},
        ),
        NETFLOW_FLOWS,
        {3: ("dst4_addr", '"ten"')},
        {"other kind of event": 1},
    ),
    "goflow2, JSON": Case(
        lines(
            *(
                GOFLOW2 | {"src_addr": src, "src_port": src_port, "dst_addr": dst, "dst_port": dst_port, "bytes": sent}
                for src, src_port, dst, dst_port, sent in NETFLOW
            ),
            GOFLOW2 | {"etype": "ARP", "bytes": 64},
        ),
        NETFLOW_FLOWS,
        {3: ("dst_addr", '"ten"')},
        {"other kind of event": 1},
    ),
    "AWS VPC Flow Logs, text": Case(lines(AWS_HEADER, *AWS_LINES), AWS_FLOWS, {6: ("dstaddr", " ten ")}, AWS_IGNORED),
    "AWS VPC Flow Logs, Parquet": Case(
        parquet(
            account_id=["111"] * 5,
            srcaddr=["10.0.0.1", "10.0.0.9", None, "10.0.0.1", "10.0.0.1"],
            dstaddr=["10.0.0.9", "10.0.0.1", None, "10.0.0.9", "ten"],
            srcport=[40_000, 443, None, 40_000, 40_000],
            dstport=[443, 40_000, None, 443, 443],
            bytes=[5, 700, None, 6, 7],
            start=[TEN] * 5,
            action=["ACCEPT", "ACCEPT", None, "REJECT", "ACCEPT"],
            log_status=["OK", "OK", "NODATA", "OK", "OK"],
        ),
        AWS_FLOWS,
        {5: ("dstaddr", '"ten"')},
        AWS_IGNORED,
    ),
    "AWS Transit Gateway Flow Logs, JSON": Case(
        lines(
            *(
                {"tgw_id": "tgw-0a1b2c3d", "start": TEN, **dict(zip(GATEWAY_COLUMNS, row, strict=True))}
                for row in GATEWAY_ROWS
            )
        ),
        GATEWAY_FLOWS,
        {6: ("dstaddr", '"ten"')},
        GATEWAY_IGNORED,
    ),
    "AWS VPC Flow Logs, JSON": Case(
        lines(*(dict(zip(AWS_HEADER.replace("-", "_").split(), line.split(), strict=True)) for line in AWS_LINES)),
        AWS_FLOWS,
        {5: ("dstaddr", '"ten"')},
        AWS_IGNORED,
    ),
    "AWS Transit Gateway Flow Logs, CloudWatch events": Case(
        lines(
            {
                "events": [
                    {"timestamp": TEN * 1_000, "message": gateway_line("10.0.0.1 10.0.0.9 40000 443", 5, "ingress")},
                    {"timestamp": TEN * 1_000, "message": gateway_line("10.0.0.1 10.0.0.9 40000 443", 5, "egress")},
                    {"timestamp": TEN * 1_000, "message": gateway_line("10.0.0.9 10.0.0.1 443 40000", 700, "ingress")},
                    {"timestamp": TEN * 1_000, "message": gateway_line("10.0.0.1 ten 40000 443", 7, "ingress")},
                ]
            }
        ),
        [(HOUR, "10.0.0.1", "10.0.0.9", "tgw-0a1b2c3d", tx, rx) for tx, rx in ((5, 0), (0, 700))],
        {4: ("dstaddr", " ten ")},
        {"other reporter": 1},
    ),
    "AWS VPC Flow Logs, CloudWatch events": Case(
        lines(
            {
                "messageType": "DATA_MESSAGE",
                "logGroup": "flows",
                "logEvents": [
                    {"id": str(number), "timestamp": TEN * 1_000, "message": line} for number, line in enumerate(AWS_LINES)
                ],
            },
            {"messageType": "CONTROL_MESSAGE", "logGroup": "", "logEvents": [{"id": "", "timestamp": 1, "message": "CWL"}]},
        ),
        AWS_FLOWS,
        {5: ("dstaddr", " ten ")},
        AWS_IGNORED | {"control message": 1},
    ),
    "Google VPC Flow Logs, JSON": Case(
        google("jsonPayload", "logName"), GOOGLE_FLOWS, {6: ("jsonPayload.bytes_sent", '"5.5"')}, GOOGLE_IGNORED
    ),
    "Google VPC Flow Logs, Parquet": Case(
        rows(*map(json.loads, google("jsonPayload", "logName").splitlines())),
        GOOGLE_FLOWS,
        {6: ("jsonPayload.bytes_sent", '"5.5"')},
        GOOGLE_IGNORED,
    ),
    "Google VPC Flow Logs, Log Analytics": Case(
        google("json_payload", "log_name"), GOOGLE_FLOWS, {6: ("json_payload.bytes_sent", '"5.5"')}, GOOGLE_IGNORED
    ),
    "Azure VNet flow log": Case(
        azure(
            category="FlowLogFlowEvent",
            targetResourceID="/providers/Microsoft.Network/virtualNetworks/shop",
            flowRecords={"flows": [{"aclID": "a", "flowGroups": [{"rule": "r", "flowTuples": AZURE_VNET}]}]},
        ),
        [(HOUR, "10.0.0.1", "10.0.0.9", "shop", 5, 700)],
        {5: ("destination", ",ten,")},
        AZURE_IGNORED,
    ),
    "Azure NSG flow log": Case(
        azure(
            category="NetworkSecurityGroupFlowEvent",
            resourceId="/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/WEB",
            properties={"Version": 2, "flows": [{"rule": "r", "flows": [{"mac": "M", "flowTuples": AZURE_NSG}]}]},
        ),
        [(HOUR, "10.0.0.1", "10.0.0.9", "web", 5, 700)],
        {5: ("destination", ",ten,")},
        AZURE_IGNORED,
    ),
    "OCSF network activity, JSON": Case(
        lines(*OCSF_EVENTS, *OCSF_OTHERS),
        OCSF_FLOWS,
        {5: ("dst_endpoint.ip", '"ten"')},
        OCSF_IGNORED | {"other kind of event": 1},
    ),
    "OCSF network activity, Parquet": Case(
        parquet(**{name: [event[name] for event in OCSF_EVENTS] for name in OCSF_EVENTS[0]}),
        OCSF_FLOWS,
        {5: ("dst_endpoint.ip", '"ten"')},
        OCSF_IGNORED,
    ),
    "Suricata EVE, JSON": Case(
        lines(
            EVE | {"event_type": "flow", "flow": EVE_FLOW},
            EVE | {"event_type": "alert", "flow": EVE_FLOW},
            EVE | {"event_type": "flow", "flow": EVE_FLOW, "dest_ip": "ten"},
            EVE | {"event_type": "netflow", "netflow": {"start": "2025-11-26T10:00:00Z", "bytes": 5}},
        ),
        [(HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 700)],
        {3: ("dest_ip", '"ten"')},
        {"other kind of event": 2},
    ),
    "NetObserv, JSON": Case(lines(*NETOBSERV_RECORDS), NETOBSERV_FLOWS, {4: ("DstAddr", '"ten"')}, NETOBSERV_IGNORED),
    "NetObserv, answers of Loki": Case(
        lines(
            {
                "status": "success",
                "data": {
                    "resultType": "streams",
                    "result": [
                        {
                            "stream": {"app": "netobserv-flowcollector", "K8S_ClusterName": "-"},
                            "values": [[f"{TEN}000000000", json.dumps(record)] for record in NETOBSERV_RECORDS],
                        }
                    ],
                },
            }
        ),
        NETOBSERV_FLOWS,
        {4: ("DstAddr", '"ten"')},
        NETOBSERV_IGNORED,
    ),
    "NetObserv, logcli": Case(
        lines(*({"labels": {}, "line": json.dumps(record), "timestamp": ""} for record in NETOBSERV_RECORDS)),
        NETOBSERV_FLOWS,
        {4: ("DstAddr", '"ten"')},
        NETOBSERV_IGNORED,
    ),
}


#: The fields for which a row is rejected where one of its cells cannot be read; in Parquet, where one is null. Not of formats of
#: which a line is no record. What is missing from the flow records of canonical Parquet is found where these are validated.
COLUMNS = {
    "CSV": "hour bytes_tx bytes_rx",
    "JSON": "hour src_app dest_app vpc_id bytes_tx bytes_rx",
    "Parquet": "",
    "Zeek conn.log, TSV": "ts id.orig_h id.resp_h orig_ip_bytes resp_ip_bytes",
    "Zeek conn.log, JSON": "_path ts id.orig_h id.resp_h orig_ip_bytes resp_ip_bytes",
    "Suricata EVE, JSON": "event_type src_ip dest_ip flow.start flow.bytes_toserver flow.bytes_toclient",
    "NetObserv, JSON": ("TimeFlowStartMs SrcAddr SrcPort DstAddr DstPort Bytes Sampling SrcK8S_Namespace SrcK8S_OwnerName"),
    "NetObserv, logcli": "TimeFlowStartMs",  # a line that is no text has no field
    "nfdump, CSV before 1.7.5": "ts sa da ibyt obyt",
    "nfdump, CSV": "firstSeen srcAddr dstAddr bytes",
    "nfdump, JSON": "type first src4_addr src_port dst4_addr dst_port in_bytes",
    "goflow2, JSON": "time_received_ns time_flow_start_ns src_addr src_port dst_addr dst_port bytes sampling_rate",
    "SiLK, rwcut": "sIP dIP sPort dPort bytes sTime",
    "Argus, CSV": "StartTime SrcAddr DstAddr SrcBytes TotBytes",
    "pmacct, JSON": "timestamp_start ip_src port_src ip_dst port_dst bytes",
    "Google VPC Flow Logs, JSON": f"logName {GOOGLE.format('jsonPayload')}",
    "Google VPC Flow Logs, Parquet": "jsonPayload.start_time",  # what is around all is null
    "Google VPC Flow Logs, Log Analytics": f"log_name {GOOGLE.format('json_payload')}",
    "OCSF network activity, JSON": (
        "class_uid time src_endpoint.ip src_endpoint.port src_endpoint.vpc_uid dst_endpoint.ip dst_endpoint.port traffic.bytes"
        " status_code action"
    ),
    "OCSF network activity, Parquet": "class_uid time src_endpoint.ip dst_endpoint.ip traffic.bytes",
    "AWS Transit Gateway Flow Logs, text": "start srcaddr srcport dstaddr dstport bytes flow-direction log-status",
    "AWS Transit Gateway Flow Logs, Parquet": "start srcaddr dstaddr bytes flow-direction",
    "AWS Transit Gateway Flow Logs, JSON": (
        "start srcaddr srcport dstaddr dstport bytes flow-direction log-status tgw-id tgw-src-vpc-id tgw-dst-vpc-id"
    ),
    "AWS VPC Flow Logs, text": "start srcaddr srcport dstaddr dstport bytes action log-status",
    "AWS VPC Flow Logs, Parquet": "start srcaddr dstaddr bytes",
    "AWS VPC Flow Logs, JSON": "start srcaddr srcport dstaddr dstport bytes action log-status account-id interface-id",
}
CASES |= {name: replace(CASES[name], columns=set(columns.split())) for name, columns in COLUMNS.items()}


def test_each_format_has_a_case():
    assert sorted(CASES) == sorted(known.name for known in FORMATS)


@pytest.fixture(scope="module")
def cases():
    return CASES


@pytest.fixture(scope="module", params=[*FORMATS], ids=lambda known: known.name)
def known(request):
    return request.param


@pytest.fixture(scope="module")
def case(known):
    return CASES[known.name]


class TestFormats(FormatClaims):
    pass
