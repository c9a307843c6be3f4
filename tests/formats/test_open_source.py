"""Whatever a raw file holds, it is read to its end or refused as a source: no other error comes out."""

import bz2
import contextlib
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline import formats
from pipeline.errors import SourceError
from pipeline.formats.apps import AppMap
from pipeline.formats.format import ReadContext
from pipeline.options import ReadOptions
from tests.formats.helpers import batches_of, blocks_of, gather, read

FLOW = {"hour": 1, "src_app": "a", "dest_app": "b", "vpc_id": "v", "bytes_tx": 1, "bytes_rx": 2}
AWS = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"
VNET = {"flows": [{"flowGroups": [{"flowTuples": ["1440007200,10.0.0.1,10.0.0.2,49152,22,6,O,E,NX,1,66,1,66"] * 2}]}]}
NSG = {"Version": 2, "flows": [{"flows": [{"flowTuples": ["1440007200,10.0.0.1,10.0.0.2,49152,22,T,O,A,E,1,66,1,66"] * 2}]}]}
GATEWAY = "version tgw-id srcaddr dstaddr srcport dstport bytes start flow-direction log-status\n"
GATEWAY_LINE = "6 tgw-0a1b2c3d 10.0.0.1 10.0.0.2 49152 22 4249 1440007200 ingress OK\n"
DEFAULT_GATEWAY_LINE = (
    "6 TransitGateway 1 tgw-0a1b2c3d tgw-attach-0a1b2c3d - - - - - - - - - - - 10.0.0.1 10.0.0.2 49152 22 6 20 4249 1440007200 "
    "1440007260 OK IPv4 0 0 0 0 2 us-east-1 ingress - -"
)
OCSF = {
    "class_uid": 4001,
    "category_uid": 4,
    "metadata": {"product": {"name": "Amazon VPC"}},
    "src_endpoint": {"ip": "10.0.0.1"},
    "dst_endpoint": {"ip": "10.0.0.2"},
    "traffic": {"bytes": 1},
    "time": 1440007200000,
}
CONN = {"ts": 1440007200.5, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.2", "orig_ip_bytes": 1, "resp_ip_bytes": 2}

ARGUS = {"stime": 1440007200.5, "saddr": "10.0.0.1", "daddr": "10.0.0.2", "sbytes": 1, "dbytes": 2}
PMACCT = {"timestamp_start": "1440007200.5", "ip_src": "10.0.0.1", "ip_dst": "10.0.0.2", "bytes": 1}
EVE = {"event_type": "flow", "flow_id": 1, "src_ip": "10.0.0.1", "dest_ip": "10.0.0.2"}
EVE |= {"flow": {"start": "2015-08-19T18:00:00.5+0000", "bytes_toserver": 1, "bytes_toclient": 2}}
NETOBSERV = {"TimeFlowStartMs": 1440007200500, "SrcAddr": "10.0.0.1", "DstAddr": "10.0.0.2", "Bytes": 1}


def parquet_file(columns):
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    return target.getvalue()


GOOGLE = {
    "connection": {"src_ip": "10.0.0.1", "src_port": 49152, "dest_ip": "10.0.0.2", "dest_port": 22},
    "reporter": "SRC",
    "bytes_sent": "5",
    "start_time": "2015-08-19T18:00:00Z",
}
#: A good file of each format.
FILES = {
    "Google VPC Flow Logs": (json.dumps({"jsonPayload": GOOGLE, "logName": "projects/p/logs/vpc_flows"}) + "\n").encode()
    * 2,
    "Google VPC Flow Logs, Parquet": parquet_file(
        {"jsonPayload": [GOOGLE] * 2, "logName": ["projects/p/logs/vpc_flows"] * 2}
    ),
    "Google VPC Flow Logs, Log Analytics": json.dumps([{"json_payload": GOOGLE, "log_id": "vpc_flows"}] * 2).encode(),
    "CSV": (",".join(FLOW) + "\n1,a,b,v,1,2\n" * 2).encode(),
    "JSON": (json.dumps(FLOW) + "\n").encode() * 2,
    "JSON, in an array": json.dumps([FLOW] * 2).encode(),
    "JSON, pretty": json.dumps(FLOW, indent=2).encode() * 2,
    "Parquet": parquet_file({name: [value] * 2 for name, value in FLOW.items()}),
    "AWS VPC Flow Logs, text": (
        AWS + "2 1 eni-1 10.0.0.1 10.0.0.2 49152 22 6 20 4249 1440007200 1440007260 ACCEPT OK\n" * 2
    ).encode(),
    "AWS VPC Flow Logs, Parquet": parquet_file(
        {
            "start": [1440007200, 1440007201],
            "srcaddr": ["10.0.0.1", "::1"],
            "dstaddr": ["10.0.0.2", "::2"],
            "bytes": [1, None],
        }
    ),
    "AWS Transit Gateway Flow Logs, text": (GATEWAY + GATEWAY_LINE * 2).encode(),
    "AWS Transit Gateway Flow Logs, Parquet": parquet_file(
        {
            name: [int(cell) if name in ("bytes", "start") else cell] * 2
            for name, cell in zip(GATEWAY.split(), GATEWAY_LINE.split(), strict=True)
        }
    ),
    "AWS Transit Gateway Flow Logs, CloudWatch events": json.dumps(
        {"messageType": "DATA_MESSAGE", "logEvents": [{"id": f"{i}", "message": DEFAULT_GATEWAY_LINE} for i in range(2)]}
    ).encode(),
    "AWS Transit Gateway Flow Logs, JSON": (
        json.dumps(dict(zip(GATEWAY.replace("-", "_").split(), GATEWAY_LINE.split(), strict=True))) + "\n"
    ).encode()
    * 2,
    "AWS VPC Flow Logs, JSON": (
        json.dumps({"srcaddr": "10.0.0.1", "dstaddr": "::1", "bytes": 1.0, "start": 1440007200}) + "\n"
    ).encode()
    * 2,
    "OCSF network activity, JSON": (json.dumps(OCSF) + "\n").encode() * 2,
    "OCSF network activity, Parquet": parquet_file({name: [value] * 2 for name, value in OCSF.items()}),
    "Zeek conn.log, TSV": (
        "#separator \\x09\n#path\tconn\n#fields\t" + "\t".join(CONN) + "\n1440007200.5\t10.0.0.1\t::1\t1\t-\n" * 2
    ).encode(),
    "AWS VPC Flow Logs, CloudWatch events": json.dumps(
        {
            "messageType": "DATA_MESSAGE",
            "logEvents": [
                {"id": f"{i}", "message": "2 1 eni-1 10.0.0.1 10.0.0.2 49152 22 6 20 4249 1440007200 1440007260 ACCEPT OK"}
                for i in range(2)
            ],
        }
    ).encode(),
    "Azure VNet flow log": json.dumps({"records": [{"category": "FlowLogFlowEvent", "flowRecords": VNET}]}).encode(),
    "Azure NSG flow log": json.dumps(
        {"records": [{"category": "NetworkSecurityGroupFlowEvent", "properties": NSG}]}
    ).encode(),
    "SiLK, rwcut": b"sIP|dIP|bytes|sTime|\n" + b"10.0.0.1|10.0.0.2|1|2026/11/24T08:00:00.000|\n" * 2,
    "Argus, CSV": b"StartTime,SrcAddr,DstAddr,SrcBytes,DstBytes\n" + b"1440007200.5,10.0.0.1,10.0.0.2,1,2\n" * 2,
    "Argus, JSON": json.dumps({"ArgusData": [ARGUS | {"stime": "2026/11/24 08:00:00.5"}] * 2}).encode(),
    "Argus, JSON with times since 1970": json.dumps({"ArgusData": [ARGUS] * 2}).encode(),
    "pmacct, JSON": (json.dumps(PMACCT) + "\n").encode() * 2,
    "nfdump, CSV before 1.7.5": b"ts,te,sa,da,sp,dp,ibyt,obyt\n" + b"2025-11-26 10:00:00,,10.0.0.1,10.0.0.9,0,0,5,7\n" * 2,
    "nfdump, CSV": b"firstSeen,srcAddr,dstAddr,inBytes,outBytes\n" + b"1764151200.000,10.0.0.1,10.0.0.9,5,7\n" * 2,
    "nfdump, JSON": b'{"type":"FLOW","export_sysid":1,"first":"2025-11-26T10:00:00.000","src4_addr":"10.0.0.1",'
    b'"dst4_addr":"10.0.0.9","in_bytes":5}\n' * 2,
    "goflow2, JSON": b'{"type":"IPFIX","time_received_ns":1764151200000000000,"src_addr":"10.0.0.1","dst_addr":"10.0.0.9",'
    b'"bytes":5}\n' * 2,
    "Zeek conn.log, JSON": (json.dumps(CONN) + "\n").encode() * 2,
    "Suricata EVE, JSON": (json.dumps(EVE) + "\n").encode() * 2,
    "NetObserv, JSON": (json.dumps(NETOBSERV) + "\n").encode() * 2,
    "NetObserv, answers of Loki": json.dumps(
        {"data": {"resultType": "streams", "result": [{"stream": {}, "values": [["1", json.dumps(NETOBSERV)]] * 2}]}}
    ).encode(),
    "NetObserv, logcli": (json.dumps({"labels": {}, "line": json.dumps(NETOBSERV), "timestamp": ""}) + "\n").encode() * 2,
}
PACKERS = [bytes, gzip.compress, bz2.compress, lambda data: pa.compress(data, codec="zstd", asbytes=True)]


def read_or_refuse(data, option, block_bytes=1 << 20):
    """Only a SourceError may come out; anything else is the test's failure."""
    try:
        with blocks_of(block_bytes):
            return read(data, option=option)
    except SourceError as error:
        return str(error)


def test_there_is_a_good_file_of_every_format():
    found = {formats.open_source(io.BytesIO(data), name)[0].name for name, data in FILES.items()}
    assert found == {known.name for known in formats.FORMATS}
    assert [read(data).read for data in FILES.values()] == [2] * len(FILES)


@pytest.mark.parametrize("known", [*formats.FORMATS], ids=lambda known: known.name)
@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=120), block_bytes=st.integers(1, 60))
@example(data=b"", block_bytes=1)
@example(data=b"\xff\n\xff\n", block_bytes=1)
def test_random_bytes_given_to_a_reader_are_read_or_refused(known, data, block_bytes):
    with contextlib.suppress(SourceError), blocks_of(block_bytes):
        gather(batches_of(known.read(io.BytesIO(data), ReadContext(ReadOptions(), AppMap()))))


@pytest.mark.parametrize("option", formats.format_options())
@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=120), pack=st.sampled_from(PACKERS))
def test_random_bytes_are_read_or_refused_whatever_they_are_said_to_be(option, data, pack):
    assert read_or_refuse(pack(data), option)


starts = st.sampled_from(
    [
        b"PAR1",
        b"{",
        b"[",
        b"[{",
        b"#separator \\x",
        b"#fields\t",
        b"hour,src_app,dest_app\n",
        AWS.encode(),
        b"\x1f\x8b\x08",
        b"BZh9",
    ]
)


@settings(max_examples=80, deadline=None)
@given(starts, st.binary(max_size=60))
def test_random_bytes_behind_a_promising_start_are_read_or_refused(start, data):
    assert read_or_refuse(start + data, "auto")


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=30, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 4), st.binary(max_size=4)), min_size=1, max_size=4),
    block_bytes=st.integers(1, 200),
)
def test_a_damaged_file_is_read_or_refused(name, changes, block_bytes):
    data = FILES[name]
    for position, removed, added in changes:
        at = position % (len(data) + 1)
        data = data[:at] + added + data[at + removed :]
    assert read_or_refuse(data, "auto", block_bytes)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_off_anywhere_is_read_or_refused(name):
    for length in range(0, len(FILES[name]), 3):
        assert read_or_refuse(FILES[name][:length], "auto")


@pytest.mark.parametrize("name", [name for name in FILES if "Parquet" not in name])
@pytest.mark.parametrize("line", [b"\xff", b"\0", b"\xff\xff \xff", b"{}", b"[]", b'"', b"\r", b"\t", b","])
def test_a_line_of_noise_at_the_end_is_read_or_refused(name, line):
    outcome = read_or_refuse(FILES[name] + line + b"\n", "auto")
    assert isinstance(outcome, str) or outcome.read in (2, 3)
