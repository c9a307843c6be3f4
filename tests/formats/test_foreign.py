"""JSON that flowlog does not read: each log by its own name."""

import io
import json

import pytest

from pipeline import formats
from pipeline.errors import OtherLog, UnknownFormat

GOOGLE = {
    "insertId": "x",
    "jsonPayload": {"connection": {}},
    "logName": "projects/p/logs/compute.googleapis.com%2Fvpc_flows",
}
AZURE = {"time": "2024-12-31T09:13:37Z", "category": "FlowLogFlowEvent", "operationName": "FlowLogFlowEvent"}
EVE = {"timestamp": "2024-01-09T15:12:24.5+0000", "flow_id": 1, "event_type": "flow"}

FLOWS = [
    (GOOGLE, "a Google VPC flow log"),
    ({"json_payload": {}, "log_id": "compute.googleapis.com/vpc_flows"}, "a Google VPC flow log"),
    ({"records": [AZURE]}, "an Azure VNet flow log"),
    ({"records": [AZURE | {"category": "NetworkSecurityGroupFlowEvent"}]}, "an Azure NSG flow log"),
    ({"operationName": "NetworkSecurityGroupFlowEvents", "flow.0": "1"}, "an Azure NSG flow log, as a forwarder rewrote it"),
    (EVE, "a Suricata EVE log"),
    (EVE | {"event_type": "netflow"}, "a Suricata EVE log"),
    ({"firewall_name": "f", "event": EVE | {"event_type": "netflow"}}, "an AWS Network Firewall log"),
    ({"SrcAddr": "10.0.0.1", "DstAddr": "10.0.0.2", "TimeFlowStartMs": 1}, "a NetObserv flow log"),
    ({"SrcAddr": "10.0.0.1", "DstAddr": "10.0.0.2"}, "flow records of GoFlow or NetObserv"),
    ({"status": "success", "data": {"resultType": "streams", "result": []}}, "an answer of Loki"),
    ({"type": "SFLOW_5", "time_received_ns": 1, "src_addr": "::1"}, "a goflow2 flow log"),
    ({"type": "FLOW", "export_sysid": 1}, "an nfdump flow log, JSON"),
    ({"@timestamp": "2015-05-02T18:38:08Z", "netflow": {"version": 5}}, "NetFlow records of Logstash or Filebeat"),
    ({"ip_src": "10.0.0.1", "ip_dst": "10.0.0.2", "bytes": 1}, "a pmacct flow log, JSON"),
    ({"ArgusData": [{"type": "flow"}]}, "an Argus flow log, JSON"),
    (
        {"srcaddr": "10.0.0.1", "dstaddr": "10.0.0.2", "account_id": "1", "bytes": 412.0},
        "AWS VPC flow log records as JSON objects",
    ),
    ({"@timestamp": "2024-01-01", "@message": "2 1"}, "a result of CloudWatch Logs Insights, JSON"),
    ({"class_uid": 4001, "category_uid": 4}, "OCSF network activity (class 4001)"),
    ({"flow": {"verdict": "FORWARDED"}, "node_name": "n"}, "a Hubble flow export"),
    ({"reporter": "src", "source_name_aggr": "web-*", "bytes_in": 1}, "a Calico flow log"),
]
OTHERS = [
    (GOOGLE | {"logName": "projects/p/logs/cloudaudit.googleapis.com%2Factivity"}, "a Google Cloud log, activity"),
    ({"records": [AZURE | {"category": "AuditEvent"}]}, "an Azure log of the category AuditEvent"),
    (EVE | {"event_type": "alert"}, "a Suricata EVE log without flow events (alert)"),
    ({"class_uid": 3002, "category_uid": 3}, "OCSF events of the class 3002"),
    ({"srcaddr": "::1", "dstaddr": "::2", "account_id": "1", "tgw_id": "tgw-1"}, "an AWS Transit Gateway flow log"),
]


def refusal_of(text):
    with pytest.raises(UnknownFormat) as refusal:
        formats.open_source(io.BytesIO(text.encode()), "raw")
    return refusal.value


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


def test_a_flow_among_other_events_makes_a_log_one_of_flows():
    lines = [EVE | {"event_type": "alert"}, EVE | {"event_type": "dns"}, EVE]
    assert refusal_of("\n".join(map(json.dumps, lines))).found == "a Suricata EVE log"


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
