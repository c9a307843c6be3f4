"""Google's VPC Flow Logs: entries of Cloud Logging, in JSON."""

import io
import json
import os
from collections import Counter
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import OtherLog, SourceError, UnknownFormat, UsageError
from pipeline.flowstore import FlowStore
from pipeline.formats import check_settings
from pipeline.formats.apps import AppMap
from pipeline.options import ReadOptions
from tests.formats.helpers import ADDRESS_RULE, IN_TEXT_RULE, MISSING_RULE, WITHIN_RULE, blocks_of, format_of
from tests.formats.helpers import read as read_file

SAMPLES = Path(os.environ.get("FLOWLOG_SAMPLES") or Path(__file__).parents[3] / "shared" / "samples") / "gcp"
HOUR = 498_754  # 2026-11-24T10:00Z
LOG = "projects/acme/logs/compute.googleapis.com%2Fvpc_flows"
VM, POD = {"vm_name": "vm-1", "project_id": "acme"}, {"cluster": {"cluster_name": "main"}}
OUT, BACK = ("10.0.0.1", 40_000, "10.0.0.2", 443), ("10.0.0.2", 443, "10.0.0.1", 40_000)


def entry(reporter="SRC", sent="100", connection=OUT, log=LOG, **payload):
    """An entry that reports 100 bytes from 10.0.0.1 to 10.0.0.2, and what else its payload has."""
    if isinstance(connection, tuple):
        names = ("src_ip", "src_port", "dest_ip", "dest_port")
        connection = dict(zip(names, connection, strict=True)) | {"protocol": 6}
    flow = {
        "connection": connection,
        "reporter": reporter,
        "bytes_sent": sent,
        "packets_sent": "4",
        "start_time": "2026-11-24T10:59:59.123456789Z",
        "end_time": "2026-11-24T11:00:03.000000001Z",
    }
    return {"insertId": "x", "jsonPayload": flow | payload, "logName": log, "timestamp": "2026-11-24T11:10:00Z"}


def without(record, *keys):
    return record | {"jsonPayload": {key: value for key, value in record["jsonPayload"].items() if key not in keys}}


def lines(*entries):
    return "".join(json.dumps(found) + "\n" for found in entries)


def read(*entries, reporter=None, **options):
    given_settings = {} if reporter is None else {"settings": {"gcp.reporter": reporter}}
    return read_file(lines(*entries), **given_settings, **options)


def sums(outcome):
    """Bytes there and back, by pair of apps."""
    found = Counter()
    for _, _, src, dest, _, tx, rx in outcome.records:
        found.update({(src, dest, "tx"): tx, (src, dest, "rx"): rx})
    return dict(+found)


def flow_of(**payload):
    (flow,) = read(entry(**payload)).cells
    return flow


def in_parquet(*entries):
    """The same entries in a file as BigQuery exports it: ports as floating-point numbers, counts and times as texts."""
    found = json.loads(json.dumps(entries))
    for connection in (one["jsonPayload"]["connection"] for one in found):
        connection.update({key: float(connection[key]) for key in ("src_port", "dest_port", "protocol")})
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(found), sink)
    return sink.getvalue()


class TestParquet:
    def test_the_sinks_table_says_the_same(self):
        silent = without(entry(), "bytes_sent")
        dropped = without(entry(disposition="DROPPED", bytes_dropped="9"), "bytes_sent")
        answer = entry("DEST", connection=BACK, src_instance=VM)
        entries = [entry(), answer, entry("DEST"), silent, dropped, entry(log="projects/acme/logs/other"), entry("X")]
        outcome, expected = read_file(in_parquet(*entries)), read(*entries)
        assert format_of(in_parquet(*entries)) == "Google VPC Flow Logs, Parquet"
        assert (outcome.records, outcome.faults) == (expected.records, expected.faults)
        assert (outcome.ignored, outcome.ignored_bytes) == (expected.ignored, expected.ignored_bytes)

    def test_columns_that_no_record_had_are_not_there(self):
        bare = {name: entry()["jsonPayload"][name] for name in ("connection", "bytes_sent", "start_time")}
        assert read_file(in_parquet({"jsonPayload": bare, "logName": LOG})).cells == [
            (HOUR, "10.0.0.1", "10.0.0.2", "acme", 100, 0)
        ]

    def test_other_logs_are_none(self):
        with pytest.raises(OtherLog, match="Google Cloud logs without a VPC flow log"):
            read_file(in_parquet(entry(log="projects/acme/logs/other")))


class TestRecord:
    def test_a_payload_that_is_no_object_is_its_records_fault_alone(self):
        for payload in ("{}", 5, [], True):
            outcome = read(entry() | {"jsonPayload": payload}, entry())
            assert (outcome.rows, outcome.faults) == ([2], [(1, "jsonPayload.reporter", WITHIN_RULE)])

    def test_a_record_is_a_flow_at_its_start(self):
        assert flow_of() == (HOUR, "10.0.0.1", "10.0.0.2", "acme", 100, 0)

    def test_the_record_of_the_server_is_turned_round(self):
        assert flow_of(connection=BACK) == (HOUR, "10.0.0.1", "10.0.0.2", "acme", 0, 100)

    def test_icmp_has_no_ports(self):
        assert flow_of(connection={"src_ip": "10.0.0.1", "dest_ip": "10.0.0.2", "protocol": 1})[4:] == (100, 0)

    @pytest.mark.parametrize("sent", ["100", 100, 100.0, "100.0", "1e2"])
    @pytest.mark.parametrize("port", [40_000, 40_000.0, "40000", "40000.0"])
    def test_bigquery_writes_integers_as_texts_or_floats(self, sent, port):
        assert flow_of(sent=sent, connection=("10.0.0.2", 443.0, "10.0.0.1", port))[4:] == (0, 100)

    @pytest.mark.parametrize("start", ["2026-11-24 10:00:00 UTC", "2026-11-24 10:59:59.999999 UTC", "2026-11-24 10:00:00"])
    def test_times_may_be_as_bigquery_prints_them(self, start):
        assert flow_of(start_time=start)[0] == HOUR

    def test_packets_without_payload_have_0_bytes(self):
        assert flow_of(sent="0")[4:] == (0, 0)

    @pytest.mark.parametrize(
        ("payload", "vpc_id"),
        [
            ({"src_vpc": {"vpc_name": "a"}, "dest_vpc": {"vpc_name": "b"}}, "a"),
            ({"reporter": "DEST", "src_vpc": {"vpc_name": "a"}, "dest_vpc": {"vpc_name": "b"}}, "b"),
            ({"reporter": "DEST", "src_vpc": {"vpc_name": "a"}}, "acme"),
            ({"reporter": "SRC_GATEWAY", "src_gateway": {"name": "g", "vpc": {"vpc_name": "c"}}}, "c"),
            ({"reporter": "DEST_GATEWAY", "dest_gateway": {"name": "g", "vpc": {"vpc_name": "c"}}}, "c"),
            ({"log": "organizations/5/logs/compute.googleapis.com%2Fvpc_flows"}, "-"),
        ],
    )
    def test_the_vpc_is_that_of_the_reporter_s_end_and_else_the_project(self, payload, vpc_id):
        assert flow_of(**payload)[3] == vpc_id

    def test_what_the_user_says_of_the_vpc_goes_before_the_project(self):
        assert read(entry(), vpc_id="mine").cells[0][3] == "mine"


class TestApps:
    ALL: ClassVar = {
        "src_gke_details": {
            "cluster": {"cluster_name": "main"},
            "pod": {"pod_name": "web-1", "pod_workload": {"workload_name": "web"}},
            "service": {"service_name": "web-service"},
        },
        "src_instance": {"vm_name": "vm-1", "managed_instance_group": {"name": "group"}},
        "src_google_service": {"service_name": "storage"},
    }

    def test_the_nearest_name_is_the_app(self):
        details, instance = self.ALL["src_gke_details"], self.ALL["src_instance"]
        without_pod = self.ALL | {"src_gke_details": details | {"pod": None}}
        without_gke = self.ALL | {"src_gke_details": {"cluster": details["cluster"]}}
        without_group = without_gke | {"src_instance": {"vm_name": instance["vm_name"]}}
        without_vm = without_group | {"src_instance": {}}
        found = [flow_of(**payload)[1] for payload in (self.ALL, without_pod, without_gke, without_group, without_vm, {})]
        assert found == ["web", "web-service", "group", "vm-1", "storage", "10.0.0.1"]

    def test_both_ends_have_one(self):
        assert flow_of(src_instance=VM, dest_google_service={"service_name": "storage"})[1:3] == ("vm-1", "storage")

    def test_the_mapping_file_s_word_goes_first(self):
        apps = AppMap([(ip_network("10.0.0.1"), "mine", None)])
        record = entry(src_instance=VM, dest_instance={"vm_name": "vm-2"})
        assert read(record, apps=apps).cells[0][1:3] == ("mine", "vm-2")


class TestReporters:
    """Each flow counts once, whoever reports it."""

    VMS: ClassVar = {"src_instance": VM, "dest_instance": VM | {"vm_name": "vm-2"}}

    def both_ends(self, **ends):
        return [
            entry(reporter, sent, connection, **(ends if connection is OUT else self.turned(ends)))
            for connection, sent in ((OUT, "1224"), (BACK, "5342"))
            for reporter in ("SRC", "DEST")
        ]

    @staticmethod
    def turned(ends):
        sides = {"src": "dest", "dest": "src"}
        return {sides[name.partition("_")[0]] + "_" + name.partition("_")[2]: value for name, value in ends.items()}

    @pytest.mark.parametrize(
        ("reporter", "tx", "rx", "left_out"), [("auto", 1224, 5342, 2), ("src", 1224, 5342, 2), ("dest", 1224, 5342, 2)]
    )
    def test_two_vms_report_four_records_of_a_conversation(self, reporter, tx, rx, left_out):
        outcome = read(*self.both_ends(**self.VMS), reporter=reporter)
        assert sums(outcome) == {("vm-1", "vm-2", "tx"): tx, ("vm-1", "vm-2", "rx"): rx}
        assert outcome.ignored == {"other reporter": left_out}

    def test_all_of_them_may_be_asked_for(self):
        outcome = read(*self.both_ends(**self.VMS), reporter="all")
        assert sums(outcome) == {("vm-1", "vm-2", "tx"): 2 * 1224, ("vm-1", "vm-2", "rx"): 2 * 5342}

    @pytest.mark.parametrize(
        "ends",
        [
            {"src_gke_details": POD, "dest_gke_details": POD},
            {"src_gke_details": POD, "dest_instance": VM},
            {"src_instance": {"project_id": "acme"}, "dest_instance": {"project_id": "acme"}},
        ],
    )
    def test_so_do_pods(self, ends):
        outcome = read(*self.both_ends(**ends))
        assert sum(sums(outcome).values()) == 1224 + 5342
        assert outcome.ignored == {"other reporter": 2}

    def test_a_reporter_that_nobody_knows_is_rejected_where_it_decides(self):
        outcome = read(entry(), entry("CLIENT"), entry("src"))
        assert outcome.rows == [1]
        rule = "must be SRC, DEST, SRC_GATEWAY or DEST_GATEWAY"
        assert outcome.faults == [(row, "jsonPayload.reporter", rule) for row in (2, 3)]
        assert read(entry("CLIENT"), reporter="all").rows == read(entry("CLIENT"), both_ends="count").rows == [1]

    def test_a_record_without_a_reporter_counts_and_is_noted(self, tmp_path):
        (tmp_path / "raw").write_text(lines(entry(), without(entry(), "reporter")))
        summary = FlowStore(tmp_path / "store", create=True).ingest([str(tmp_path / "raw")])
        assert summary.valid == 2
        assert summary.notes == {
            "do not say who reported them (reporter), so that their flows may be in other records, too": 1
        }

    def test_a_vm_reports_both_directions_of_what_it_does_on_the_internet(self):
        out = entry("SRC", "1224", ("10.0.0.1", 40_000, "198.51.100.7", 443), src_instance=VM)
        back = entry("DEST", "5342", ("198.51.100.7", 443, "10.0.0.1", 40_000), dest_instance=VM)
        assert sums(read(out, back)) == {("vm-1", "198.51.100.7", "tx"): 1224, ("vm-1", "198.51.100.7", "rx"): 5342}
        assert sums(read(out, back, reporter="src")) == {("vm-1", "198.51.100.7", "tx"): 1224}

    def test_two_vms_that_meet_by_external_addresses_report_different_ones(self):
        sent = entry("SRC", "100", ("10.0.0.1", 40_000, "203.0.113.2", 443), **self.VMS)
        received = entry("DEST", "100", ("203.0.113.1", 40_000, "10.0.0.2", 443), **self.VMS)
        assert sums(read(sent, received)) == {("vm-1", "vm-2", "tx"): 100}

    GATEWAY, SERVICE = {"name": "vlan-1"}, {"service_name": "storage"}

    @pytest.mark.parametrize(
        ("reports", "payload"),
        [
            (["SRC", "DEST_GATEWAY"], {"src_instance": VM, "dest_gateway": GATEWAY}),
            (["SRC", "DEST_GATEWAY"], {"src_gke_details": POD, "dest_gateway": GATEWAY}),
            (["DEST", "SRC_GATEWAY"], {"src_gateway": GATEWAY, "dest_instance": VM}),
            (["DEST", "SRC_GATEWAY"], {"src_gateway": GATEWAY, "dest_gke_details": POD}),
            (["SRC_GATEWAY", "DEST_GATEWAY"], {"src_gateway": GATEWAY, "dest_gateway": GATEWAY}),
            (["SRC_GATEWAY"], {"src_gateway": GATEWAY, "dest_google_service": SERVICE}),
            (["DEST_GATEWAY"], {"src_google_service": SERVICE, "dest_gateway": GATEWAY}),
        ],
    )
    def test_what_a_gateway_passes_counts_once(self, reports, payload):
        outcome = read(*(entry(reporter, **payload) for reporter in reports))
        assert sum(sums(outcome).values()) == 100
        assert outcome.ignored == ({"other reporter": 1} if len(reports) == 2 else {})

    def test_without_metadata_both_ends_count(self):
        assert sums(read(*self.both_ends())) == {
            ("10.0.0.1", "10.0.0.2", "tx"): 2 * 1224,
            ("10.0.0.1", "10.0.0.2", "rx"): 2 * 5342,
        }

    def test_a_setting_is_checked(self):
        with pytest.raises(UsageError, match=r"gcp\.reporter: 'sender' must be auto, src, dest or all"):
            check_settings(ReadOptions(settings={"gcp.reporter": "sender"}))


class TestOtherRecords:
    def test_dropped_packets_are_ignored_with_and_without_bytes(self):
        dropped = entry(disposition="DROPPED", drop_reason="FIREWALL", bytes_dropped="60")
        outcome = read(without(dropped, "bytes_sent"), dropped, entry())
        assert (outcome.rows, outcome.ignored) == ([3], {"denied": 2})

    def test_what_is_left_out_is_told_with_its_bytes(self, tmp_path, unsynced):
        dropped = without(entry(disposition="DROPPED", bytes_dropped="60"), "bytes_sent")
        (tmp_path / "raw.json").write_text(lines(dropped, entry(), entry("DEST", src_instance=VM), entry(bytes_dropped="x")))
        summary = FlowStore(tmp_path / "store", create=True).ingest([str(tmp_path / "raw.json")])
        assert summary.ignored_bytes == {"denied": 60, "other reporter": 100}
        assert summary.bytes_tx == 200

    @pytest.mark.parametrize(
        ("payload", "field", "rule"),
        [
            ({"bytes_sent": None}, "bytes_sent", MISSING_RULE),
            ({"start_time": None}, "start_time", MISSING_RULE),
            ({"connection": {}}, "connection.src_ip", MISSING_RULE),
            ({"connection": 5}, "connection.src_ip", WITHIN_RULE),
            ({"bytes_sent": "5.5"}, "bytes_sent", IN_TEXT_RULE),
            ({"bytes_sent": ""}, "bytes_sent", IN_TEXT_RULE),
            ({"connection": ("x", 1, "10.0.0.2", 2)}, "connection.src_ip", ADDRESS_RULE),
        ],
    )
    def test_a_flow_that_lacks_what_it_needs_is_rejected(self, payload, field, rule):
        assert read(entry(), entry(**payload)).faults == [(2, f"jsonPayload.{field}", rule)]

    def test_a_negative_count_is_rejected_by_the_schema_s_rule(self):
        assert flow_of(sent="-5")[4] == -5  # which no flow record may have

    @pytest.mark.parametrize("log", ["networkmanagement.googleapis.com%2Fvpc_flows", "compute.googleapis.com/vpc_flows"])
    def test_flows_have_two_logs_in_two_spellings(self, log):
        assert flow_of(log=f"projects/acme/logs/{log}")[4] == 100

    OTHER = entry(log="projects/acme/logs/compute.googleapis.com%2Ffirewall", disposition="ALLOWED")
    AUDIT: ClassVar = {
        "protoPayload": {},
        "insertId": "y",
        "logName": "projects/acme/logs/cloudaudit.googleapis.com%2Factivity",
    }

    def test_entries_of_other_logs_in_the_stream_are_ignored(self):
        outcome = read(self.OTHER, entry(), self.AUDIT)
        assert (outcome.rows, outcome.ignored) == ([2], {"other kind of event": 2})

    @pytest.mark.parametrize(("other", "name"), [(OTHER, "firewall"), (AUDIT, "activity")])
    def test_a_file_of_another_log_is_left_alone_by_its_name(self, other, name):
        with pytest.raises(OtherLog, match=f"a Google Cloud log, {name}; flowlog reads flow logs only"):
            read(*[other] * 3)

    @pytest.mark.parametrize("count", [70, 1_000])
    def test_flows_may_follow_many_entries_of_other_logs(self, count):
        padded = self.AUDIT | {"protoPayload": {"x": "y" * 1_000}}
        assert read(*[padded] * count, entry()).ignored == {"other kind of event": count}
        with pytest.raises(OtherLog, match="Google Cloud logs without a VPC flow log"):
            read(*[padded] * count)

    def test_a_payload_that_is_text_is_refused_with_what_to_do(self):
        record = {"json_payload": json.dumps(entry()["jsonPayload"]), "log_id": "compute.googleapis.com/vpc_flows"}
        with pytest.raises(UnknownFormat, match=r"whose json_payload is text; .* jq -c '\.json_payload \|= fromjson'"):
            read(record)


class TestContainers:
    RECORDS = (entry(), entry(connection=BACK, sent="7"), entry(sent="x"))

    @pytest.mark.parametrize(
        "text",
        [
            lines(*RECORDS),
            json.dumps(RECORDS),
            json.dumps(RECORDS, indent=2),
            "\n".join(json.dumps(record, indent=2) for record in RECORDS),
            "".join(map(json.dumps, RECORDS)),
            lines(*(dict(reversed(record.items())) for record in RECORDS)),
        ],
        ids=["lines", "array", "pretty array", "pretty objects", "side by side", "other order"],
    )
    def test_entries_may_follow_one_another_in_any_way(self, text):
        outcome = read_file(text)
        assert [flow[4:] for flow in outcome.cells] == [(100, 0), (0, 7)]
        assert [(row, field) for row, field, _ in outcome.faults] == [(3, "jsonPayload.bytes_sent")]

    @pytest.mark.parametrize("names", [("log_name",), ("log_id",), ("log_name", "log_id")])
    def test_log_analytics_has_other_names(self, names):
        logs = {"log_name": LOG, "log_id": "compute.googleapis.com/vpc_flows"}
        record = {"json_payload": entry(src_instance=VM)["jsonPayload"], **{name: logs[name] for name in names}}
        assert format_of(lines(record)) == "Google VPC Flow Logs, Log Analytics"
        vpc_id = "acme" if "log_name" in names else "-"
        assert read(record).cells == [(HOUR, "vm-1", "10.0.0.2", vpc_id, 100, 0)]
        with pytest.raises(OtherLog, match="firewall"):
            read(record | dict.fromkeys(names, "compute.googleapis.com/firewall"))

    def test_an_entry_without_the_log_s_name_is_told_by_its_payload(self):
        assert read({"jsonPayload": entry()["jsonPayload"]}).cells[0][4] == 100


# --- laws ---------------------------------------------------------------------------------------------------------


def counted_once(entries):
    """The bytes of each pair of addresses, there and back, in plain Python."""
    found = Counter()
    for payload in (found["jsonPayload"] for found in entries):
        src, dest = (any(payload.get(f"{side}_{key}") for key in ("instance", "gke_details")) for side in ("src", "dest"))
        gateway, reporter = payload.get("src_gateway"), payload["reporter"]
        doubled = {"SRC": False, "DEST": src, "SRC_GATEWAY": dest, "DEST_GATEWAY": src or gateway}[reporter]
        if not doubled and payload.get("disposition") != "DROPPED":
            ends = payload["connection"]
            src_port, dest_port = ends["src_port"], ends["dest_port"]
            pair, column = (ends["src_ip"], ends["dest_ip"]), "tx"
            if src_port < dest_port and (src_port < 1024 or dest_port >= 32768):
                pair, column = pair[::-1], "rx"
            found[*pair, column] += int(payload["bytes_sent"])
    return dict(+found)


_entries = st.builds(
    entry,
    reporter=st.sampled_from(["SRC", "DEST", "SRC_GATEWAY", "DEST_GATEWAY"]),
    sent=st.integers(0, 2**53 - 1).map(str),
    connection=st.tuples(
        st.sampled_from(["10.0.0.1", "192.0.2.1"]), st.sampled_from([80, 5000, 40_000]), st.just("10.0.0.2"), st.just(443)
    ).flatmap(lambda ends: st.sampled_from([ends, (*ends[2:], *ends[:2])])),
    disposition=st.sampled_from([None, None, "ALLOWED", "DROPPED"]),
    src_instance=st.sampled_from([None, {"project_id": "acme"}]),
    dest_instance=st.sampled_from([None, {"project_id": "acme"}]),
    src_gke_details=st.sampled_from([None, None, POD]),
    dest_gke_details=st.sampled_from([None, None, POD]),
    src_gateway=st.sampled_from([None, None, {"name": "vlan-1"}]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_entries, min_size=1, max_size=6), st.sampled_from([lines, lambda *found: json.dumps(found, indent=1)]))
def test_it_agrees_with_ten_lines_of_plain_python(entries, written):
    assert sums(read_file(written(*entries))) == counted_once(entries)


@settings(max_examples=30, deadline=None)
@given(st.lists(_entries, min_size=1, max_size=5), st.data())
def test_a_file_that_was_cut_is_read_to_there_or_refused(entries, data):
    text = lines(*entries)
    cut = text[: data.draw(st.integers(1, len(text)))]
    try:
        outcome = read_file(cut)
    except SourceError:
        return
    assert outcome.read == cut.count("\n") + (not cut.endswith("\n"))


# --- real logs ----------------------------------------------------------------------------------------------------

needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there are no samples at {SAMPLES}")


@needs_samples
@pytest.mark.parametrize(
    ("end_of_name", "tx", "rx", "count"),
    [
        ("extended.json#last24.json", 287_336, 149_520, 24),
        ("0-bytes-sent.json", 0, 0, 1),
        ("from-computeengine-2.json", 0, 0, 1),
        ("w-internet-routing-details.json", 800, 0, 1),
        ("flow_logs_gke.json#message.json", 0, 1_872, 1),
        ("flow_logs_gke2.json#message.json", 0, 33_792, 1),
    ],
)
def test_a_real_log_has_the_sums_of_its_index(end_of_name, tx, rx, count):
    (path,) = (found for found in SAMPLES.iterdir() if found.name.endswith(end_of_name))
    outcome = read_file(path.read_bytes())
    assert (outcome.read, len(outcome.records), outcome.rejects) == (count, count, [])
    assert [sum(column) for column in list(zip(*outcome.cells, strict=True))[4:]] == [tx, rx]
    with blocks_of(1_000):
        assert read_file(path.read_bytes()).cells == outcome.cells


@needs_samples
def test_the_sources_reports_alone_lose_two_thirds_of_a_real_log():
    (path,) = SAMPLES.glob("*extended*")
    outcome = read_file(path.read_bytes(), settings={"gcp.reporter": "src"})
    assert sum(sums(outcome).values()) == 146_512
    assert {datetime.fromtimestamp(hour * 3600, UTC).isoformat() for hour, *_ in outcome.cells} == {
        "2025-11-07T21:00:00+00:00"
    }
