"""Real raw logs, against an independent computation in plain Python, and against the numbers of their index.

The files are no part of the project: they lie in `../shared/realdata` beside the checkout, or where FLOWLOG_REALDATA says.
"""

import csv
import gzip
import json
import os
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import duckdb
import pytest

from pipeline.errors import UnknownFormat
from tests.formats.helpers import read

FOLDER = Path(os.environ.get("FLOWLOG_REALDATA") or Path(__file__).parents[3] / "shared" / "realdata")
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"there is no folder of real logs at {FOLDER}")

AWS_V2 = [
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
]
AWS_V2 += ["start", "end", "action", "log-status"]
OTEL = "opentelemetry-collector-contrib__"
AWS_TEXT = [
    "aws/VPCFlowReporter__data__acceptRaw.dat",
    "aws/VPCFlowReporter__data__sample.dat",
    f"aws/{OTEL}valid_vpc_flow_log.log",
    f"aws/{OTEL}valid_vpc_flow_log_ecs.log",
    f"aws/{OTEL}valid_vpc_flow_log_multi.log",
    f"aws/{OTEL}vpc_flow_log_too_few_fields.log",
    f"aws/{OTEL}vpc_flow_log_too_many_fields.log",
]
AWS_EVENTS = f"aws/{OTEL}valid_vpc_flow_cw.json"
AWS_GATEWAY = f"aws/{OTEL}valid_tgw_flow_log.log"
AWS_PARQUET = "aws/flowlogs-reader__tests__data__flows.parquet"
OPENSEARCH = "aws/opensearch-catalog__integrations__observability__amazon_vpc_flow__data__sample.json"
VAST, VAST_GZIPPED = (
    "zeek/vast__libvast_test__artifacts__logs__zeek__conn.log",
    "zeek/vast__vast__integration__data__zeek__conn.log.gz",
)
ZEEK = [
    "zeek/ParseZeekLogs__examples__conn.log",
    "zeek/Security-Datasets__datasets__compound__apt29__day2__zeek__individual_zeek_logs__UTICA-A_conn.log",
    "zeek/brobeat-OLD__data__conn.log",
    "zeek/trace-summary__testing__Files__conn.log",
    "zeek/trace-summary__testing__Files__conn.log_json",
    VAST,
    "zeek/vast__libvast_test__artifacts__logs__zeek__small_conn.log",
    "zeek/vast__vast__integration__data__json__conn.log.json.gz",
    "zeek/vast__vast__integration__data__pcap__zeek__conn.log.gz",
    VAST_GZIPPED,
    "zeek/zat__data__conn.log",
    "zeek/zat__data__conn_date_issue.log",
    "zeek/zat__data__json__conn.log",
]
GOOGLE = [
    f"gcp/{OTEL}vpc-flow-log-google-service.ndjson",
    f"gcp/{OTEL}vpc-flow-log-managed-instance.ndjson",
    f"gcp/{OTEL}vpc-flow-log-w-dest-vpc.json",
]
FOREIGN = {
    "netobserv/flowlogs-pipeline__contrib__benchmarks__baseline__log-lines.json": "flow records of GoFlow or NetObserv",
    OPENSEARCH: "JSON with the keys @timestamp, body, event, attributes, cloud, aws, communication",
}


def test_every_file_of_the_folder_is_looked_at():
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert found == {"INDEX.md", AWS_PARQUET, AWS_EVENTS, AWS_GATEWAY, *AWS_TEXT, *ZEEK, *GOOGLE, *FOREIGN}


@cache
def read_file(name):
    """What the pipeline makes of a file."""
    return read((FOLDER / name).read_bytes(), name)


@cache
def index():
    """INDEX.md: a file's number of records, of distinct hours, and the sum of its bytes; None where it says nothing."""
    rows = csv.reader((FOLDER / "INDEX.md").read_text().splitlines(), delimiter="|")
    cells = [row[1:] for row in rows if len(row) > 7 and "/" in row[1]]
    return {row[0]: tuple(int(number) if number else None for number in row[3:6]) for row in cells}


@cache
def lines_of(name):
    data = (FOLDER / name).read_bytes()
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line]


# --- AWS ---------------------------------------------------------------------------------------------------------


@cache
def aws_records(name):
    """(line number, fields) of each line that is no header; None for the fields of a line of another shape."""
    lines = lines_of(name)
    header = lines[0][1].startswith("version ")
    names = lines[0][1].split(" ") if header else AWS_V2
    split = [(number, line.split(" ")) for number, line in lines[header:]]
    return [(number, dict(zip(names, cells, strict=True)) if len(cells) == len(names) else None) for number, cells in split]


REASONS = {"NODATA": "no traffic", "SKIPDATA": "lost by the source"}


def conversation(hour, one, other, count):
    """A one-way record without its direction, which only the ports tell."""
    return hour, *sorted([str(ip_address(one)), str(ip_address(other))]), count


@pytest.mark.parametrize("name", AWS_TEXT)
def test_an_aws_log_is_read_as_a_plain_program_reads_it(name):
    expected, rejected, ignored = [], [], Counter()
    for number, record in aws_records(name):
        if record is None:
            rejected.append(number)
        elif record["log-status"] != "OK":
            ignored[REASONS[record["log-status"]]] += 1
        elif record["action"] == "REJECT":
            ignored["denied"] += 1
        else:
            start, count = int(record["start"]), int(record["bytes"])
            expected.append((number, *conversation(start // 3600, record["srcaddr"], record["dstaddr"], count)))
    outcome = read_file(name)
    found = [(row, *conversation(hour, src, dest, tx + rx)) for row, hour, src, dest, _, tx, rx in outcome.records]
    assert found == expected
    assert ([reject.row for reject in outcome.rejects], outcome.ignored) == (rejected, ignored)
    assert outcome.read == len(aws_records(name))
    assert {record[4] for record in outcome.records} <= {record["account-id"] for _, record in aws_records(name) if record}
    assert all(tx == 0 or rx == 0 for *_, tx, rx in outcome.records)


@pytest.mark.parametrize("name", AWS_TEXT)
def test_an_aws_log_has_as_many_records_as_its_index_says(name):
    records, hours, count = index()[name]
    assert read_file(name).read == len(aws_records(name)) == records
    if count is not None:  # the index counts what was refused too
        known = [record for _, record in aws_records(name)]
        assert len({int(record["start"]) // 3600 for record in known}) == hours
        assert sum(int(record["bytes"]) for record in known if record["bytes"] != "-") == count


def test_what_the_sample_of_real_records_holds():
    """Counted once by hand, so that the plain program above is not the only witness."""
    outcome = read_file("aws/VPCFlowReporter__data__acceptRaw.dat")
    assert (outcome.read, outcome.ignored, outcome.records) == (19, {"denied": 19}, [])
    outcome = read_file(f"aws/{OTEL}valid_vpc_flow_log_multi.log")
    assert outcome.records == [(2, 1418530010 // 3600, "172.31.16.139", "172.31.16.21", "123456789010", 4249, 0)]


def test_a_transit_gateway_s_log_counts_what_comes_in():
    outcome = read_file(AWS_GATEWAY)
    assert outcome.cells == [(1_700_000_000 // 3600, "10.0.0.1", "10.0.1.1", "vpc-0abc12345def67890", 1000, 0)]
    assert index()[AWS_GATEWAY] == (outcome.read, 0, None)  # by whose author it was refused


def test_aws_parquet_is_read_as_duckdb_reads_it():
    query = 'SELECT "start", srcaddr, dstaddr, account_id, bytes, action, log_status FROM read_parquet(?)'
    rows = duckdb.execute(query, [str(FOLDER / AWS_PARQUET)]).fetchall()
    assert len(rows) == index()[AWS_PARQUET][0] == read_file(AWS_PARQUET).read == 3
    expected = [
        (start // 3600, dst, src, str(account), 0, int(count))  # from port 443 to 49152: an answer
        for start, src, dst, account, count, action, status in rows
        if (action, status) == ("ACCEPT", "OK")
    ]
    assert read_file(AWS_PARQUET).cells == expected
    assert read_file(AWS_PARQUET).ignored == Counter(REASONS[row[6]] for row in rows if row[6] != "OK")


def test_the_lines_inside_opensearch_s_sample_say_what_its_fields_say():
    documents = json.loads((FOLDER / OPENSEARCH).read_text())
    assert len(documents) == index()[OPENSEARCH][0]
    assert read("\n".join(document["body"] for document in documents)).read == len(documents)
    # In the other half of the documents the vendor's fields are those of the answer, and the line is not.
    agreeing = [
        document
        for document in documents
        if [str(document["aws"]["vpc"][name]) for name in AWS_V2] == document["body"].split(" ")
    ]
    assert len(agreeing) == 11
    assert read("\n".join(document["body"] for document in agreeing)).cells == [
        (int(field["start"]) // 3600, field["srcaddr"], field["dstaddr"], field["account-id"], field["bytes"], 0)
        for field in (document["aws"]["vpc"] for document in agreeing)
    ]


# --- Zeek --------------------------------------------------------------------------------------------------------


@cache
def zeek_records(name):
    """(line number, fields) of each record; unset fields are left out."""
    lines = lines_of(name)
    if lines[0][1].startswith("{"):
        records = [(number, json.loads(line)) for number, line in lines]
        return [(number, {key.replace("id_", "id."): value for key, value in record.items()}) for number, record in records]
    names = next(line for _, line in lines if line.startswith("#fields")).split("\t")[1:]
    split = [(number, line.split("\t")) for number, line in lines if not line.startswith("#")]
    return [
        (number, {key: cell for key, cell in zip(names, cells, strict=True) if cell not in ("-", "(empty)")})
        for number, cells in split
    ]


def zeek_hour(ts):
    if isinstance(ts, str) and "T" in ts:
        return int((datetime.fromisoformat(ts) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) // 3600
    return int(str(ts).split(".")[0]) // 3600


def zeek_bytes(record, side):
    count = record.get(f"{side}_ip_bytes", record.get(f"{side}_bytes"))
    return None if count is None else int(count)


@pytest.mark.parametrize("name", ZEEK)
def test_a_zeek_log_is_read_as_a_plain_program_reads_it(name):
    outcome = read_file(name)
    assert outcome.records == [
        (
            number,
            zeek_hour(record["ts"]),
            str(ip_address(record["id.orig_h"])),
            str(ip_address(record["id.resp_h"])),
            "-",
            zeek_bytes(record, "orig"),
            zeek_bytes(record, "resp"),
        )
        for number, record in zeek_records(name)
    ]
    assert (outcome.rejects, outcome.ignored) == ([], {})


@pytest.mark.parametrize("name", [name for name in ZEEK if "trace-summary" not in name])  # which the index leaves out
def test_a_zeek_log_has_the_records_hours_and_payload_that_its_index_says(name):
    records, hours, payload = index()[name]
    known = [record for _, record in zeek_records(name)]
    assert read_file(name).read == len(known) == records
    assert len({hour for hour, *_ in read_file(name).cells}) == len({zeek_hour(record["ts"]) for record in known}) == hours
    assert sum(int(record.get("orig_bytes", 0)) + int(record.get("resp_bytes", 0)) for record in known) == payload


def test_the_two_copies_of_one_log_hold_the_same_records():
    assert read_file(VAST).records == read_file(VAST_GZIPPED).records
    assert read_file(VAST).read == 8462


def test_the_two_spellings_of_one_capture_hold_the_same_flows():
    text, as_json = (read_file(f"zeek/trace-summary__testing__Files__conn.log{end}") for end in ("", "_json"))
    assert sorted(text.cells) == sorted(as_json.cells)


def test_the_events_of_a_subscription_are_records():
    outcome = read_file(AWS_EVENTS)
    assert [cells[4:] for cells in outcome.cells] == [(4249, 0)]
    assert (outcome.ignored, outcome.rejects) == ({"denied": 1}, [])


# --- Google ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOOGLE)
def test_a_google_log_has_the_records_hours_and_bytes_that_its_index_says(name):
    outcome = read_file(name)
    hours = {hour for hour, *_ in outcome.cells}
    assert (outcome.read, len(hours), sum(tx + rx for *_, tx, rx in outcome.cells)) == index()[name]
    assert (outcome.rejects, outcome.ignored) == ([], {})


# --- others ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_format_is_refused_by_name(name):
    with pytest.raises(UnknownFormat) as refusal:
        read_file(name)
    assert refusal.value.found == FOREIGN[name]
    assert refusal.value.advice
