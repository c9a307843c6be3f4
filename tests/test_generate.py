"""The generators of raw flow logs: of the sample in `data/raw`, and of inputs for benchmarks."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from benchmarks import generate as bulk

DATA = Path(__file__).parents[1] / "data"
FORMATS = ["csv", "jsonl", "aws", "zeek", "parquet"]

Key = tuple[int, str, str, str]  # hour, source, destination, VPC


def load_generator() -> ModuleType:
    """The script as a module; `data/` is no package."""
    spec = importlib.util.spec_from_file_location("generate", DATA / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module  # dataclasses look there for the module of their class
    spec.loader.exec_module(module)
    return module


generate = load_generator()
SAMPLE: dict[str, bytes] = generate.sample_files(seed=7)


def sample(ending: str) -> list[str]:
    """The lines of the one file of the sample whose path ends like this."""
    (content,) = (content for path, content in SAMPLE.items() if path.endswith(ending))
    return text_of(content).splitlines()


def text_of(content: bytes) -> str:
    return (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode()


def aws_records(lines: list[str]) -> list[dict[str, str]]:
    return [dict(zip(lines[0].split(" "), line.split(" "), strict=True)) for line in lines[1:]]


def is_outside(address: str) -> bool:
    return any(ip_address(address) in ip_network(cidr) for cidr in ("203.0.113.0/24", "198.51.100.0/24", "2001:db8::/32"))


def zeek_records(lines: list[str]) -> list[dict[str, str]]:
    (fields,) = (line.split("\t")[1:] for line in lines if line.startswith("#fields"))
    return [dict(zip(fields, line.split("\t"), strict=True)) for line in lines if not line.startswith("#")]


# --- The sample ---------------------------------------------------------------------------------------------


def test_the_committed_sample_is_what_the_default_seed_makes() -> None:
    raw = DATA / "raw"
    committed = {path.relative_to(raw).as_posix(): path.read_bytes() for path in raw.rglob("*") if path.is_file()}
    assert committed | {"../apps.csv": (DATA / "apps.csv").read_bytes()} == SAMPLE


def test_the_command_writes_the_sample_and_the_apps_beside_its_folder(tmp_path: Path) -> None:
    command = [sys.executable, DATA / "generate.py", "--out", tmp_path / "raw"]
    subprocess.run(command, check=True)
    assert {path: (tmp_path / "raw" / path).read_bytes() for path in SAMPLE} == SAMPLE
    assert (tmp_path / "apps.csv").exists()


def test_the_listing_of_rwcut_is_padded_and_has_each_direction_that_had_packets() -> None:
    lines = sample("silk/rwcut.txt")
    titles, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    assert titles == [*generate.SILK_FIELDS.split(), ""]
    assert len(set(map(len, lines))) == 1
    assert 20 < len(rows) <= 40


def test_the_listing_of_ra_has_twenty_flows_and_a_request_of_arp() -> None:
    *flows, request = csv.DictReader(sample("argus/ra.csv"))
    assert len(flows) == 20
    assert {flow["Dir"].strip() for flow in flows} == {"->", "<->"}
    assert all(int(flow["SrcBytes"]) > generate.FRAME_HEADERS for flow in flows)
    assert (request["Proto"], request["Dir"].strip()) == ("arp", "who")


def test_the_flows_of_pmacct_have_times_and_both_directions() -> None:
    flows = [json.loads(line) for line in sample("pmacct/flows.json")]
    assert 20 < len(flows) <= 40
    assert all(float(flow["timestamp_start"]) <= float(flow["timestamp_end"]) for flow in flows)


def test_the_eve_log_has_each_flow_again_as_netflow_alerts_with_a_partial_flow_and_a_line_that_was_cut_off() -> None:
    *lines, cut = sample("suricata/eve.json")
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)
    events = [json.loads(line) for line in lines]
    types = Counter(event["event_type"] for event in events)
    assert (types["flow"], types["netflow"]) == (30, 30)
    assert types["alert"] > 0
    assert {event["flow"]["bytes_toclient"] for event in events if event["event_type"] == "alert"} == {0}


def test_the_flow_logs_of_a_cluster_have_both_reports_and_a_heartbeat() -> None:
    records = [json.loads(line) for line in sample("netobserv/flows.json")]
    assert Counter(record["_RecordType"] for record in records)["heartbeat"] == 1
    reports = Counter(
        record["FlowDirection"] for record in records if record.keys() >= {"SrcK8S_OwnerName", "DstK8S_OwnerName"}
    )
    assert reports[0] > 10
    assert reports[1] == reports[0] - (records[-1]["FlowDirection"] == 0)
    assert any("DstK8S_OwnerName" not in record for record in records)
    assert all(list(record) == sorted(record) for record in records)


def test_the_same_seed_makes_the_same_sample_and_another_seed_another() -> None:
    assert generate.sample_files(seed=7) == SAMPLE
    other = generate.sample_files(seed=8)
    assert [path for path in SAMPLE if other[path] == SAMPLE[path]] == ["../apps.csv"]


def test_the_sample_of_a_transit_gateway_has_each_packet_as_it_comes_in_and_as_it_goes_out() -> None:
    (content,) = (content for path, content in SAMPLE.items() if path.startswith("aws-tgw/"))
    records = [record for record in aws_records(text_of(content).splitlines()) if record["log-status"] == "OK"]
    keys = ("srcaddr", "dstaddr", "srcport", "dstport", "bytes", "start")
    seen = {
        way: Counter(tuple(r[key] for key in keys) for r in records if r["flow-direction"] == way)
        for way in ("ingress", "egress")
    }
    assert seen["ingress"] == seen["egress"]
    assert len(records) == 60


def test_the_sample_is_small() -> None:
    assert sum(map(len, SAMPLE.values())) < 500_000


def test_the_csv_sample_has_each_fault_once_among_valid_rows() -> None:
    header, *rows = csv.reader(sample("flows-2026-11-24.csv"))
    assert header == ["hour", "src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx"]
    faults: dict[str, Callable[[list[str]], bool]] = {
        "too few cells": lambda cells: len(cells) == 5,
        "too many cells": lambda cells: len(cells) == 7,
        "hour 0": lambda cells: cells[0] == "0",
        "empty app": lambda cells: cells[1] == "",
        "no number": lambda cells: cells[4:5] == ["12x"],
        "negative": lambda cells: cells[5:] == ["-880"],
        "above 2**53 - 1": lambda cells: cells[5:] == ["9007199254740992"],
    }
    assert {name: sum(map(fault, rows)) for name, fault in faults.items()} == dict.fromkeys(faults, 1)
    valid = [row for row in rows if not any(fault(row) for fault in faults.values())]
    assert len(valid) == 593
    for hour, *names, bytes_tx, bytes_rx in valid:
        assert 498_750 <= int(hour) < 498_756
        assert all(names)
        assert min(int(bytes_tx), int(bytes_rx)) >= 0


def test_the_jsonl_sample_has_each_fault_once_among_valid_records() -> None:
    lines = sample(".jsonl")
    assert text_of(SAMPLE["flows-2026-11-24.jsonl"]).endswith("\n")
    (cut,) = (line for line in lines if not line.endswith("}"))
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)
    records: list[dict[str, Any]] = [json.loads(line) for line in lines if line != cut]
    assert [record["bytes_tx"] for record in records if type(record["bytes_tx"]) is str] == ["5"]
    assert [record["bytes_tx"] for record in records if type(record["bytes_tx"]) is float] == [5.0]
    assert [record["bytes_tx"] for record in records if type(record["bytes_tx"]) is bool] == [True]
    assert sum("vpc_id" not in record for record in records) == 1
    assert len(records) == 395 + 4


@pytest.mark.parametrize(("ending", "hour"), [("0900Z_1a2b3c4d.log.gz", 498_753), ("1000Z_1a2b3c4d.log.gz", 498_754)])
def test_an_aws_file_holds_what_ended_in_its_hour_and_a_little_that_started_before(ending: str, hour: int) -> None:
    records = aws_records(sample(ending))
    assert {int(record["end"]) // 3600 for record in records} == {hour}
    assert 2 <= sum(int(record["start"]) // 3600 == hour - 1 for record in records) <= 20


@pytest.mark.parametrize("ending", ["0900Z_1a2b3c4d.log.gz", "1000Z_1a2b3c4d.log.gz"])
class TestAwsSample:
    def test_it_has_lines_without_traffic_and_refused_connections(self, ending: str) -> None:
        records = aws_records(sample(ending))
        statuses, actions = (Counter(record[field] for record in records) for field in ("log-status", "action"))
        assert (statuses["NODATA"], statuses["SKIPDATA"], actions["REJECT"]) == (5, 2, 8)
        assert statuses["OK"] == actions["ACCEPT"] + 8 > 270
        for record in records:
            if record["log-status"] != "OK":
                known = {field for field, value in record.items() if value != "-"}
                assert known == {"version", "account-id", "interface-id", "start", "end", "log-status"}

    def test_a_tcp_conversation_is_two_records_that_say_who_opened_it(self, ending: str) -> None:
        flags = {
            (record["srcaddr"], record["srcport"], record["dstaddr"], record["dstport"]): record["tcp-flags"]
            for record in aws_records(sample(ending))
            if record["action"] == "ACCEPT" and record["protocol"] == "6"
        }
        pairs = Counter((flags[key], flags[key[2:] + key[:2]]) for key in flags if int(key[1]) >= 32_768)
        assert set(pairs) == {("2", "18"), ("3", "19"), ("0", "0")}
        assert 2 * pairs.total() == len(flags)

    def test_what_two_of_the_shops_interfaces_say_to_each_other_is_there_from_both(self, ending: str) -> None:
        ways: dict[tuple[str, ...], list[str]] = {}
        fields = ("srcaddr", "srcport", "dstaddr", "dstport", "start", "end", "bytes")
        for record in aws_records(sample(ending)):
            if record["action"] == "ACCEPT":
                key = tuple(record[field] for field in fields)
                ways.setdefault(key, []).append(record["flow-direction"])
        for (source, _, target, *_), found in ways.items():
            interfaces = {"egress": source, "ingress": target}
            assert sorted(found) == [way for way, address in interfaces.items() if not is_outside(address)]
        assert 100 < sum(len(found) == 2 for found in ways.values()) < len(ways)

    def test_it_has_dns_pings_and_ipv6(self, ending: str) -> None:
        records = aws_records(sample(ending))
        assert any(record["protocol"] == "17" and record["dstport"] == "53" for record in records)
        assert {(record["srcport"], record["dstport"]) for record in records if record["protocol"] == "1"} == {("0", "0")}
        assert any(":" in record["srcaddr"] for record in records)

    def test_its_gzip_header_has_no_name_and_no_time(self, ending: str) -> None:
        (content,) = (content for path, content in SAMPLE.items() if path.endswith(ending))
        assert content[:10] == b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"


def test_the_zeek_sample_is_a_whole_conn_log() -> None:
    lines = sample("conn.log")
    assert [line.split("\t")[0] for line in lines if line.startswith("#")] == [
        r"#separator \x09",
        "#set_separator",
        "#empty_field",
        "#unset_field",
        "#path",
        "#open",
        "#fields",
        "#types",
        "#close",
    ]
    assert lines[-1].startswith("#close")
    records = zeek_records(lines)
    assert len(records) == 150
    assert any(":" in record["id.orig_h"] for record in records)


def test_zeek_knows_the_wire_bytes_of_a_packet_whose_payload_is_unset() -> None:
    unset = [record for record in zeek_records(sample("conn.log")) if record["duration"] == "-"]
    assert len(unset) >= 5
    for record in unset:
        assert (record["orig_bytes"], record["resp_bytes"]) == ("-", "-")
        assert int(record["orig_ip_bytes"]) > 0


def test_the_google_sample_has_a_direction_between_two_vms_from_both_of_them() -> None:
    (content,) = (content for path, content in SAMPLE.items() if path.startswith("gcp/"))
    records = [json.loads(line)["jsonPayload"] for line in content.splitlines()]
    dropped = [record for record in records if record.get("disposition") == "DROPPED"]
    assert len(dropped) == 3
    assert not any("bytes_sent" in record for record in dropped)
    reporters: dict[str, set[str]] = {}
    for record in records:
        if "bytes_sent" in record:
            key = json.dumps([record["connection"], record["start_time"]])
            reporters.setdefault(key, set()).add(record["reporter"])
            assert {"SRC": "src_instance", "DEST": "dest_instance"}[record["reporter"]] in record
    assert Counter(map(len, reporters.values())).keys() == {1, 2}


def test_the_azure_sample_is_an_hour_of_one_interface() -> None:
    (content,) = (content for path, content in SAMPLE.items() if path.startswith("azure/"))
    records = json.loads(content)["records"]
    assert records[-1] == records[-2]
    assert all(records[i] != records[i + 1] for i in range(len(records) - 2))
    tuples = [
        found.split(",")
        for record in records
        for flow in record["flowRecords"]["flows"]
        for group in flow["flowGroups"]
        for found in group["flowTuples"]
    ]
    assert {int(cells[0]) // 3_600_000 for cells in tuples} == {498_751}
    assert all(len(cells) == 13 and "10.20.1.10" in cells[1:3] for cells in tuples)
    assert {cells[7] for cells in tuples} == set("BCED")
    assert all((cells[2] == "10.20.1.10") == (cells[6] == "I") for cells in tuples)


def test_the_apps_name_most_addresses_but_not_those_outside() -> None:
    header, *rows = csv.reader(sample("apps.csv"))
    assert header == ["cidr", "app", "vpc_id"]
    networks = [ip_network(cidr) for cidr, _, _ in rows]
    assert {network.version for network in networks} == {4, 6}
    addresses = {
        ip_address(record[side])
        for ending in ("0900Z_1a2b3c4d.log.gz", "1000Z_1a2b3c4d.log.gz")
        for record in aws_records(sample(ending))
        for side in ("srcaddr", "dstaddr")
        if record[side] != "-"
    }
    outside = {address for address in addresses if not any(address in network for network in networks)}
    assert 0 < len(outside) < len(addresses) / 2
    assert all(map(is_outside, map(str, outside)))


def test_the_apps_need_the_longest_prefix_and_the_vpc() -> None:
    rows = list(csv.DictReader(sample("apps.csv")))
    apps = {(row["cidr"], row["vpc_id"]): row["app"] for row in rows}
    assert (apps["10.30.0.0/16", ""], apps["10.30.7.0/24", ""]) == ("orders-db", "cache")
    shared = {row["vpc_id"]: row["app"] for row in rows if row["cidr"] == "10.99.0.0/24"}
    assert sorted(shared.values()) == ["metrics", "search"]
    assert all(shared)


# --- Inputs for benchmarks ----------------------------------------------------------------------------------


def run(*arguments: object) -> Result:
    return CliRunner().invoke(bulk.cli, [str(argument) for argument in arguments])


def make(out: Path, raw_format: str, *options: object) -> list[list[Key]]:
    """Makes files and reads back the key of each record, file by file."""
    result = run(out, "--format", raw_format, *options)
    assert result.exit_code == 0, result.output
    return [keys(path, raw_format) for path in sorted(out.iterdir())]


def keys(path: Path, raw_format: str) -> list[Key]:
    if raw_format == "parquet":
        return [flow_key(record) for record in pq.read_table(path).to_pylist()]
    lines = text_of(path.read_bytes()).splitlines()
    if raw_format == "csv":
        return [flow_key(record) for record in csv.DictReader(lines)]
    if raw_format == "jsonl":
        return [flow_key(json.loads(line)) for line in lines]
    if raw_format == "aws":
        return [aws_key(record) for record in aws_records(lines)]
    return [zeek_key(record) for record in zeek_records(lines)]


def flow_key(record: dict[str, Any]) -> Key:
    assert list(record) == ["hour", "src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx"]
    return int(record["hour"]), record["src_app"], record["dest_app"], record["vpc_id"]


def aws_key(record: dict[str, str]) -> Key:
    client, server = record["srcaddr"], record["dstaddr"]
    if int(record["srcport"]) < int(record["dstport"]):  # the server's answer
        client, server = server, client
    return int(record["start"]) // 3600, client, server, record["account-id"]


def zeek_key(record: dict[str, str]) -> Key:
    return int(float(record["ts"])) // 3600, record["id.orig_h"], record["id.resp_h"], "-"


@pytest.mark.parametrize("raw_format", FORMATS)
class TestFlows:
    def test_rows_files_hours_and_pairs_are_as_asked(self, tmp_path: Path, raw_format: str) -> None:
        numbers = ("--rows", 1000, "--files", 3, "--apps", 30, "--pairs", 90, "--hours", 5, "--skew", 1.5)
        files = make(tmp_path / "flows", raw_format, *numbers)
        assert [len(file) for file in files] == [333, 333, 334]
        records = [key for file in files for key in file]
        assert {hour for hour, *_ in records} == set(range(498_750, 498_755))
        assert len({key[1:] for key in records}) == 90

    def test_the_same_seed_makes_the_same_files_and_another_seed_others(self, tmp_path: Path, raw_format: str) -> None:
        for name, seed in (("first", 1), ("again", 1), ("other", 2)):
            make(tmp_path / name, raw_format, "--rows", 100, "--pairs", 50, "--files", 2, "--seed", seed)
        first, again, other = (
            [path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in ("first", "again", "other")
        )
        assert first == again
        assert not set(first) & set(other)

    def test_without_pairs_most_keys_are_distinct(self, tmp_path: Path, raw_format: str) -> None:
        (records,) = make(tmp_path / "flows", raw_format, "--rows", 1000, "--apps", 1000, "--pairs", 0)
        assert len(set(records)) > 990


def test_a_skew_gives_the_first_pairs_most_rows(tmp_path: Path) -> None:
    numbers = ("--rows", 2000, "--pairs", 20, "--hours", 1)
    (even,) = make(tmp_path / "even", "csv", *numbers)
    (skewed,) = make(tmp_path / "skewed", "csv", *numbers, "--skew", 2)
    assert max(Counter(even).values()) < 200
    assert max(Counter(skewed).values()) > 1000


def test_text_can_be_packed_with_gzip(tmp_path: Path) -> None:
    options = ("--rows", 100, "--pairs", 50, "--files", 2)
    assert make(tmp_path / "packed", "csv", *options, "--gzip") == make(tmp_path / "plain", "csv", *options)
    packed = sorted((tmp_path / "packed").iterdir())
    assert [path.name for path in packed] == ["flows-00000.csv.gz", "flows-00001.csv.gz"]
    assert all(path.read_bytes().startswith(b"\x1f\x8b") for path in packed)


def test_the_hours_start_where_asked(tmp_path: Path) -> None:
    (records,) = make(tmp_path / "flows", "csv", "--rows", 100, "--pairs", 50, "--hours", 2, "--first-hour", 7)
    assert {hour for hour, *_ in records} == {7, 8}


@pytest.mark.parametrize("raw_format", ["aws", "zeek"])
def test_a_format_of_addresses_comes_with_the_apps_beside_its_folder(tmp_path: Path, raw_format: str) -> None:
    (records,) = make(tmp_path / "flows", raw_format, "--rows", 500, "--apps", 10, "--pairs", 90)
    lines = (tmp_path / "flows.apps.csv").read_text().splitlines()
    apps = {row["cidr"]: row["app"] for row in csv.DictReader(lines)}
    assert len(set(apps.values())) == 10
    assert {f"{address}/32" for _, src, dest, _ in records for address in (src, dest)} == set(apps)


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        (("--apps", 2, "--pairs", 9), "2 apps make 8 pairs at most"),
        (("--rows", 10, "--pairs", 11), "10 rows cannot hold 11 pairs"),
        (("--rows", 10, "--pairs", 0, "--hours", 11), "10 rows cannot hold 0 pairs in 11 hours"),
        (("--pairs", 0, "--skew", 1), "--skew needs --pairs"),
        (("--format", "parquet", "--gzip"), "--gzip is for text"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(tmp_path: Path, numbers: tuple[object, ...], problem: str) -> None:
    result = run(tmp_path / "flows", *numbers)
    assert result.exit_code == 2
    assert problem in result.output


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.csv").touch()
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "not empty" in result.output
