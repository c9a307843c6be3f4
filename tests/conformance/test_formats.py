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
