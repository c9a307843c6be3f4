"""Suricata's EVE log: what is counted of its events, alone and in the wrapper of AWS Network Firewall."""

import json
import os
from collections import Counter
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import OtherLog, UnknownFormat, UnreadableSource
from pipeline.flowstore import FlowStore
from pipeline.formats import suricata
from tests.formats.helpers import IN_TEXT_RULE, MISSING_RULE, SECONDS_RULE, blocks_of, format_of, read

TEN = 1_764_151_200  # 2025-11-26T10:00Z
HOUR = TEN // 3_600
START = "2025-11-26T10:00:00.250000+0000"
ENDS = {"src_ip": "10.0.0.1", "dest_ip": "10.0.0.9", "src_port": 40_000, "dest_port": 443}
EVENT = {"timestamp": "2025-11-26T12:00:00.000000+0000", "flow_id": 7, "proto": "TCP"} | ENDS
FLOW = EVENT | {"event_type": "flow", "flow": {"start": START, "end": START, "bytes_toserver": 5, "bytes_toclient": 700}}
NETFLOW = EVENT | {"event_type": "netflow", "netflow": {"start": START, "end": START, "bytes": 5}}
ANSWER = NETFLOW | {"src_ip": "10.0.0.9", "dest_ip": "10.0.0.1", "src_port": 443, "dest_port": 40_000}
ALERT = FLOW | {"event_type": "alert", "alert": {"signature_id": 1}}
STATS = {"timestamp": EVENT["timestamp"], "event_type": "stats", "stats": {"flow": {"total": 1}}}
COUNTED = (HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 700)
OTHER = "other kind of event"


def lines(*events):
    return "".join(json.dumps(event) + "\n" for event in events)


def wrapped(event, firewall="use1-fw"):
    """The event as AWS Network Firewall has it, whose own time is a text, and is no flow's."""
    return {"firewall_name": firewall, "availability_zone": "us-east-1b", "event_timestamp": "1601587565", "event": event}


def flow(**changes):
    return FLOW | {"flow": FLOW["flow"] | changes}


# --- What counts -------------------------------------------------------------------------------------------------


def test_a_flow_has_both_directions_and_the_hour_of_its_start():
    assert read(lines(FLOW)).cells == [COUNTED]


def test_the_flow_of_another_event_is_never_counted():
    exchanged = ALERT | {"src_ip": "10.0.0.9", "dest_ip": "10.0.0.1"}
    others = [exchanged, *(ALERT | {"event_type": kind} for kind in ("http", "tls", "dns", "fileinfo", "anomaly")), STATS]
    outcome = read(lines(*others, FLOW, *others))
    assert (outcome.cells, outcome.ignored, outcome.read) == ([COUNTED], {OTHER: 14}, 15)


@pytest.mark.parametrize("events", [[NETFLOW, ANSWER, FLOW], [FLOW, NETFLOW, ANSWER], [NETFLOW, FLOW, ANSWER]])
def test_netflow_is_not_counted_beside_flows(events):
    outcome = read(lines(*events))
    assert (outcome.cells, outcome.ignored) == ([COUNTED], {OTHER: 2})


def test_netflow_counts_where_a_file_has_no_flows():
    outcome = read(lines(ALERT, NETFLOW, ANSWER))
    assert outcome.cells == [(*COUNTED[:4], 5, 0), (*COUNTED[:4], 0, 5)]
    assert outcome.ignored == {OTHER: 1}


def test_each_file_decides_for_itself(tmp_path, unsynced):
    (tmp_path / "both").write_text(lines(NETFLOW, FLOW))
    (tmp_path / "netflow").write_text(lines(ALERT, NETFLOW))
    store = FlowStore(tmp_path / "store", create=True)
    store.ingest([str(tmp_path / "both"), str(tmp_path / "netflow")])
    assert [(row["bytes_tx"], row["bytes_rx"], row["flows"]) for row in store.table(HOUR).to_pylist()] == [(10, 700, 2)]


def test_icmp_has_no_ports_and_ipv6_its_short_form():
    icmp = {key: value for key, value in NETFLOW.items() if not key.endswith("_port")}
    icmp |= {"src_ip": "fe80:0000:0000:0000:fc16:3eff:fe01:3dd2", "dest_ip": "ff02:0000:0000:0000:0000:0000:0000:0002"}
    assert read(lines(icmp)).cells == [(HOUR, "fe80::fc16:3eff:fe01:3dd2", "ff02::2", "-", 5, 0)]


@pytest.mark.parametrize(
    ("start", "hour"),
    [
        ("2025-11-26T10:59:59.999999+0000", HOUR),
        ("2025-11-26T10:30:00.000000+0100", HOUR - 1),
        ("2025-11-26T10:30:00.000000-0530", HOUR + 6),
        ("2025-11-26T10:30:00Z", HOUR),
        ("2025-11-26T10:30:00+00:00", HOUR),
    ],
)
def test_a_start_is_local_with_its_offset(start, hour):
    assert read(lines(flow(start=start))).cells[0][0] == hour


def test_numbers_may_be_texts_as_shippers_write_them():
    assert read(lines(flow(bytes_toserver="5", bytes_toclient="700") | {"src_port": "40000"})).cells == [COUNTED]


# --- AWS Network Firewall ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [lines, lambda *events: json.dumps(events, indent=2), lambda *events: json.dumps(events)])
def test_an_event_of_a_network_firewall_has_the_firewall_as_its_vpc(text):
    outcome = read(text(wrapped(NETFLOW), wrapped(ALERT), wrapped(ANSWER, "use2-fw")), vpc_id="mine")
    assert outcome.cells == [
        (HOUR, "10.0.0.1", "10.0.0.9", "use1-fw", 5, 0),
        (HOUR, "10.0.0.1", "10.0.0.9", "use2-fw", 0, 5),
    ]
    assert outcome.ignored == {OTHER: 1}


def test_elsewhere_the_user_names_the_vpc():
    assert read(lines(FLOW), vpc_id="mine").cells == [(*COUNTED[:3], "mine", 5, 700)]


# --- What is rejected, and refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "field", "rule"),
    [
        ({key: value for key, value in FLOW.items() if key != "flow"}, "flow.start", MISSING_RULE),
        ({key: value for key, value in FLOW.items() if key != "event_type"}, "event_type", MISSING_RULE),
        (FLOW | {"src_ip": None}, "src_ip", MISSING_RULE),
        (flow(bytes_toclient=None), "flow.bytes_toclient", MISSING_RULE),
        (flow(bytes_toserver=5.5), "flow.bytes_toserver", IN_TEXT_RULE),
        (flow(start="yesterday"), "flow.start", SECONDS_RULE),
    ],
)
def test_a_flow_that_lacks_something_is_rejected_alone(event, field, rule):
    outcome = read(lines(FLOW, event, FLOW))
    assert (outcome.faults, outcome.cells) == ([(2, field, rule)], [COUNTED] * 2)


def test_a_line_that_was_cut_off_is_rejected_alone():
    outcome = read(lines(FLOW) + lines(FLOW)[:50] + "\n" + lines(FLOW))
    assert (outcome.rows, [reject.row for reject in outcome.rejects]) == ([1, 3], [2])


@pytest.mark.parametrize("events", [[ALERT], [STATS], [STATS, ALERT] * 40, [wrapped(ALERT)]])
def test_a_log_without_flows_is_another_log(events):
    with pytest.raises(OtherLog, match="without flow events"):
        read(lines(*events))


def test_flows_that_come_late_make_it_a_log_of_flows():
    assert read(lines(*[ALERT] * 300, FLOW)).cells == [COUNTED]


@pytest.mark.parametrize("event", [{"event_type": "login", "timestamp": START}, {"event_type": "flow"}, {"flow_id": 7}])
def test_events_of_others_are_none_of_suricata(event):
    with pytest.raises(UnknownFormat, match="unknown format: JSON with the keys"):
        format_of(lines(event))


# --- Bounded memory ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_bytes", [400, 4_000])
def test_so_much_netflow_without_a_flow_is_counted_before_the_file_ends(block_bytes):
    with mock.patch.object(suricata, "_MOST_HELD_BYTES", 1_000), blocks_of(block_bytes):
        outcome = read(lines(*[NETFLOW, ALERT] * 20))
    assert (outcome.cells, outcome.ignored) == ([(*COUNTED[:4], 5, 0)] * 20, {OTHER: 20})


def test_a_flow_behind_so_much_netflow_fails_the_file():
    with mock.patch.object(suricata, "_MOST_HELD_BYTES", 1_000), blocks_of(400):
        assert read(lines(FLOW, *[NETFLOW] * 20)).ignored == {OTHER: 20}
        with pytest.raises(UnreadableSource, match="the same traffic; give flowlog the events of one type"):
            read(lines(*[NETFLOW] * 20, FLOW))


# --- Against a plain program -------------------------------------------------------------------------------------


def plain_totals(events):
    """Bytes by hour and addresses, the direction of netflow aside."""
    events = [{**event.get("event", event), "vpc": event.get("firewall_name", "-")} for event in events]
    kind = "flow" if any(event["event_type"] == "flow" for event in events) else "netflow"
    totals = Counter()
    for event in events:
        if event["event_type"] == kind:
            found = event[kind]
            count = found["bytes"] if kind == "netflow" else found["bytes_toserver"] + found["bytes_toclient"]
            hour = int(datetime.fromisoformat(found["start"]).timestamp() // 3600)
            ends = sorted(str(ip_address(event[key])) for key in ("src_ip", "dest_ip"))
            totals[hour, *ends, event["vpc"]] += count
    return +totals


def totals_of(outcome):
    totals = Counter()
    for hour, src, dest, vpc, tx, rx in outcome.cells:
        totals[hour, *sorted([src, dest]), vpc] += tx + rx
    return +totals


EVENTS = st.sampled_from(
    [FLOW, NETFLOW, ANSWER, ALERT, STATS, flow(start="2025-11-26T10:30:00.0+0900", bytes_toserver=2**40)]
)


@settings(max_examples=40)
@given(st.lists(EVENTS | EVENTS.map(wrapped), min_size=1, max_size=12), st.sampled_from([50, 700, 1 << 20]))
def test_any_mixture_is_counted_as_a_plain_program_counts_it(events, block_bytes):
    kinds = {event.get("event", event)["event_type"] for event in events}
    if kinds.isdisjoint({"flow", "netflow"}):
        return
    with blocks_of(block_bytes):
        outcome = read(lines(*events), option="suricata")
    assert totals_of(outcome) == plain_totals(events)
    assert outcome.read == len(events) == len(outcome.records) + outcome.ignored[OTHER]


# --- Real logs ---------------------------------------------------------------------------------------------------

SHARED = Path(os.environ.get("FLOWLOG_SHARED") or Path(__file__).parents[3] / "shared")
SAMPLES = SHARED / "samples" / "suricata"
INTEGRATIONS = "integrations__packages__suricata__data_stream__eve___dev__test__pipeline__test-eve-6-0.log"
FIREWALL = "opensearch-catalog__integrations__observability__amazon_networkfirewall__data__sample.json"
#: By name: the records, and the bytes that are counted, as their index says; the events of other types.
SUMS = {
    FIREWALL: (13, 12_352, 5),
    "id23209753707__AWS_Network_Firewall_netflow.json": (1, 60, 0),
    INTEGRATIONS: (3, 23_766, 1),
    "intake-formats__Suricata__suricata__tests__flow.json#message.json": (1, 12_928, 0),
    "intake-formats__Suricata__suricata__tests__icmp.json#message.json": (1, 70, 0),
}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there is no folder of real logs at {SAMPLES}")
@pytest.mark.parametrize("name", SUMS)
def test_a_real_log_has_the_sums_of_its_index(name):
    text = (SAMPLES / name).read_text()
    outcome = read(text, name)
    total = sum(tx + rx for *_, tx, rx in outcome.cells)
    assert (outcome.read, total, outcome.ignored[OTHER]) == SUMS[name]
    events = json.loads(text) if text.startswith("[") else [json.loads(text)] if text.startswith("{\n") else None
    events = events or [json.loads(line) for line in text.splitlines()]
    assert totals_of(outcome) == plain_totals(events)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there is no folder of real logs at {SAMPLES}")
def test_the_directions_of_a_real_log_are_those_of_its_index():
    cells = read((SAMPLES / INTEGRATIONS).read_text()).cells
    assert [sum(cell[i] for cell in cells) for i in (4, 5)] == [11_895, 11_871]
