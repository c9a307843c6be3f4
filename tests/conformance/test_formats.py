"""The formats that flowlog reads. A further one is one more entry of `CASES`: without it, the suite fails."""

import io
import json

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


def lines(*records):
    return "".join(f"{record if isinstance(record, str) else json.dumps(record)}\n" for record in records).encode()


CANONICAL = {"hour": HOUR, "src_app": "web", "dest_app": "db", "vpc_id": "v", "bytes_tx": 5, "bytes_rx": 7}
CANONICAL_FLOWS = [(HOUR, "web", "db", "v", 5, 7), (HOUR + 1, "web", "db", "v", 5, 0)]

# A request, its answer, a record of no traffic, one that was dropped, and one whose receiver is no address.
AWS_FLOWS = [(HOUR, "10.0.0.1", "10.0.0.9", "111", 5, 0), (HOUR, "10.0.0.1", "10.0.0.9", "111", 0, 700)]
AWS_IGNORED = {"NODATA": 1, "REJECT": 1}
AWS_LINES = [
    f"2 111 eni-1 10.0.0.1 10.0.0.9 40000 443 6 1 5 {TEN} {TEN} ACCEPT OK",
    f"2 111 eni-1 10.0.0.9 10.0.0.1 443 40000 6 1 700 {TEN} {TEN} ACCEPT OK",
    f"2 111 eni-1 - - - - - - - {TEN} {TEN} - NODATA",
    f"2 111 eni-1 10.0.0.1 10.0.0.9 40000 443 6 1 6 {TEN} {TEN} REJECT OK",
    f"2 111 eni-1 10.0.0.1 ten 40000 443 6 1 7 {TEN} {TEN} ACCEPT OK",
]
AWS_HEADER = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)

ZEEK_FLOWS = [(HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 700), (HOUR + 1, "10.0.0.1", "10.0.0.9", "-", 6, 800)]
ZEEK = {"ts": TEN + 0.5, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.9", "orig_ip_bytes": 5, "resp_ip_bytes": 700}

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


def test_each_format_has_a_case():
    assert list(CASES) == [known.name for known in FORMATS]


@pytest.fixture(scope="module")
def cases():
    return CASES


@pytest.fixture(scope="module", params=FORMATS, ids=lambda known: known.name)
def known(request):
    return request.param


@pytest.fixture(scope="module")
def case(known):
    return CASES[known.name]


class TestFormats(FormatClaims):
    pass
