"""Logs that flowlog does not read: each by its own name."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import formats
from pipeline.errors import OtherLog, UnknownFormat

AZURE = {"time": "2024-12-31T09:13:37Z", "category": "AuditEvent", "operationName": "x"}

FLOWS = [
    ({"SrcAddr": "10.0.0.1", "DstAddr": "10.0.0.2"}, "flow records of GoFlow or NetObserv"),
    ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "an answer of Loki or Prometheus with numbers"),
    ({"@timestamp": "2015-05-02T18:38:08Z", "netflow": {"version": 5}}, "NetFlow records of Logstash or Filebeat"),
    ({"ip_src": "10.0.0.1", "ip_dst": "10.0.0.2", "bytes": 1}, "a pmacct flow log without times"),
    ({"@timestamp": "2024-01-01", "@message": "2 1"}, "a result of CloudWatch Logs Insights, JSON"),
    ({"flow": {"verdict": "FORWARDED"}, "node_name": "n"}, "a Hubble flow export"),
    ({"reporter": "src", "source_name_aggr": "web-*", "bytes_in": 1}, "a Calico flow log"),
]
OTHERS = [
    ({"records": [AZURE]}, "an Azure log of the category AuditEvent"),
]
COLUMNS = [
    ("cidr,app,vpc_id", "a mapping file from addresses to apps"),
    ("firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,flows", "an nfdump flow log, CSV, without bytes"),
    ("proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows", "an nfdump flow log, CSV, without times"),
    ("firstSeen,duration,srcAddr,packets,bytes,bps,bpp,flows", "aggregated flows of nfdump, CSV"),
    ("ts,te,td,pr,val,fl,flP,ipkt,ipktP", "nfdump's statistics, CSV"),
    ("Date first seen         Duration Proto      Src IP Addr:Port          Dst IP Addr:Port", "an nfdump listing"),
    ("     sIP|        dIP|sPort|dPort|pro|   packets|     bytes|   flags|", "a SiLK flow listing without sTime"),
    ("sIP,dIP,sPort,dPort,pro,packets,sTime", "a SiLK flow listing without bytes"),
    ("StartTime,Flgs,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,TotPkts", "an Argus flow listing without byte counts"),
    (
        "         StartTime      Flgs  Proto            SrcAddr  Sport   Dir            DstAddr",
        "an Argus flow listing for people",
    ),
    ("TAG,SRC_IP,DST_IP,SRC_PORT,DST_PORT,PROTOCOL,PACKETS,BYTES", "a pmacct flow log in columns"),
    ("SRC_IP          DST_IP           PACKETS     BYTES", "a pmacct flow log in columns"),
    ("AgentIP,SrcAddr,DstAddr,Bytes,TimeFlowStartMs", "a NetObserv flow log in columns"),
    ("type,time_received_ns,sampler_address,src_addr,dst_addr,bytes", "a goflow2 flow log in columns"),
    ("insertId,jsonPayload.bytes_sent,jsonPayload.connection.src_ip", "a Google VPC flow log in columns"),
    ("jsonPayload,logName,timestamp", "a Google Cloud log in columns"),
    ("json_payload,log_id,timestamp", "a Google Cloud log in columns"),
    ("timestamp,flow_id,event_type,src_ip", "a Suricata EVE log"),
    (
        '"version","account_id","tgw_id","srcaddr","dstaddr","bytes"',
        "AWS Transit Gateway flow log records in columns that AWS does not write",
    ),
    ('"version","account_id","srcaddr","dstaddr","bytes"', "AWS VPC flow log records in columns that AWS does not write"),
    ("ts,uid,id.orig_h,id.resp_h", "a Zeek log in columns that Zeek does not write"),
    ("ts,uid,id_orig_h,id_resp_h", "a Zeek log in columns that Zeek does not write"),
]
V5 = "5 111122223333 eni-01 10.0.1.5 203.0.113.7 5001 9001 6 3 400 1764144000 1764144009 ACCEPT OK vpc-0cafe 10.0.9.77"


def refusal_of(text):
    with pytest.raises(UnknownFormat) as refusal:
        formats.open_source(io.BytesIO(text if isinstance(text, bytes) else text.encode()), "raw")
    return refusal.value


@pytest.mark.parametrize(("header", "found"), COLUMNS, ids=[header[:30] for header, _ in COLUMNS])
@pytest.mark.parametrize("end", ["", "\n", "\r\n1,2\r\n"])
def test_a_flow_log_in_columns_is_named_by_its_header(header, found, end):
    refusal = refusal_of(header + end)
    assert (type(refusal), refusal.found) == (UnknownFormat, found)
    assert refusal.advice


def parquet(*names):
    target = io.BytesIO()
    pq.write_table(pa.table({name: [1] for name in names}), target)
    return target.getvalue()


def test_parquet_is_named_by_its_columns():
    assert refusal_of(parquet("type", "src_addr", "dst_addr", "sampler_address")).found == "a goflow2 flow log in columns"
    assert refusal_of(parquet("ts", "id.orig_h", "id.resp_h")).found == "a Zeek log in columns that Zeek does not write"


@pytest.mark.parametrize("line", [V5, V5.replace("ACCEPT OK", "- NODATA"), V5.partition(" eni-01 ")[2], "x\n" + V5])
def test_records_of_aws_whose_fields_are_unknown_point_to_the_option_that_names_them(line):
    refusal = refusal_of(line + "\n")
    assert refusal.found.startswith(f"AWS VPC flow log records of {len(line.split(chr(10))[-1].split())} fields, without a")
    assert "--aws-fields" in refusal.advice


@pytest.mark.parametrize("line", ["IN=eth0 OUT= ACCEPT 1764144000 1764144009", "OK ACCEPT", "eni-01 OK"])
def test_a_word_or_two_make_no_record_of_aws(line):
    assert refusal_of(line).found.startswith("text that starts with")


def test_connections_that_were_taken_out_of_zeek_s_log_without_its_header():
    refusal = refusal_of("1764144000.309996\tCHhAvVGS1DHFjwGM9\t10.1.2.3\t5\t10.4.5.6\t80\n")
    assert refusal.found == "a Zeek log without its # lines"


def containers(record):
    yield json.dumps(record)
    yield json.dumps(record) * 2
    yield json.dumps(record, indent=2) + "\n"
    yield json.dumps([record, record])
    yield json.dumps([record], indent=4)
    yield json.dumps(record)[:-1] + ', "long": "' + "x" * 70_000  # the head does not have all of it


@pytest.mark.parametrize(("record", "found"), FLOWS, ids=[found for _, found in FLOWS])
def test_a_flow_log_that_is_not_read_is_named_in_whatever_container(record, found):
    for text in containers(record):
        refusal = refusal_of(text)
        assert (type(refusal), refusal.found) == (UnknownFormat, found)
        assert refusal.advice


@pytest.mark.parametrize(("record", "found"), OTHERS, ids=[found for _, found in OTHERS])
def test_a_log_of_something_else_is_named_as_that(record, found):
    for text in containers(record):
        refusal = refusal_of(text)
        assert (type(refusal), refusal.found) == (OtherLog, found)


@pytest.mark.parametrize(
    "record", [{"records": []}, {"records": [{"a": 1}]}, {"event_type": "x"}, {"flow": {}}, {"type": "FLOW"}]
)
def test_one_key_alone_makes_no_log(record):
    assert refusal_of(json.dumps(record)).found == f"JSON with the keys {', '.join(record)}"


@pytest.mark.parametrize("odd", [5, None, "text", [], [5], {}, {"a": {}}])
@pytest.mark.parametrize(
    "key",
    ["records", "jsonPayload", "event", "flow", "data", "netflow", "category", "event_type", "type", "class_uid", "logName"],
)
def test_odd_values_under_the_keys_of_others_are_no_bug(key, odd):
    more = {"insertId": 1, "timestamp": 1, "firewall_name": "f", "node_name": 1}
    for record in ({key: odd}, {key: odd} | more):
        assert refusal_of(json.dumps(record)).found
