"""OCSF's network activity, in JSON and as Amazon Security Lake writes Parquet."""

import copy
import io
import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import OtherLog, UnknownFormat
from tests.formats.helpers import format_of, read

SAMPLES = Path(os.environ.get("FLOWLOG_SAMPLES") or Path(__file__).parents[3] / "shared" / "samples" / "ocsf")
HOUR, START = 490_040, 1_764_144_010
#: A client (port 40000) sends 400 bytes to a server (port 443), as the client's interface reports.
EVENT = {
    "metadata": {"product": {"name": "Amazon VPC", "version": "5"}, "version": "1.1.0"},
    "cloud": {"account": {"uid": "111122223333"}, "region": "eu-west-1", "provider": "AWS"},
    "src_endpoint": {"ip": "10.0.0.1", "port": 40_000, "interface_uid": "eni-1", "vpc_uid": "vpc-a", "svc_name": "-"},
    "dst_endpoint": {"ip": "10.0.0.9", "port": 443, "interface_uid": None, "vpc_uid": None, "svc_name": "-"},
    "connection_info": {"protocol_num": 6, "tcp_flags": 2, "direction_id": 2},
    "traffic": {"bytes": 400, "packets": 3},
    "time": START * 1000,
    "start_time_dt": START * 1000,
    "end_time_dt": (START + 50) * 1000,
    "status_code": "OK",
    "class_uid": 4001,
    "category_uid": 4,
    "activity_id": 6,
    "action": "Allowed",
    "action_id": 1,
    "disposition": "Allowed",
}
FLOW = (HOUR, "10.0.0.1", "10.0.0.9", "vpc-a", 400, 0)
SILENT = {"traffic": None, "status_code": "NODATA", "action": "-", "action_id": 99, "disposition": "-"}
NOBODY = {"ip": "-", "port": None, "interface_uid": "eni-1", "vpc_uid": "vpc-a", "svc_name": "-"}


def event(**values):
    """An event with other values, by their paths with two underscores between keys."""
    made = copy.deepcopy(EVENT)
    for path, value in values.items():
        *outer, key = path.split("__")
        inside = made
        for way in outer:
            inside = inside[way]
        inside[key] = value
    return made


def lines(*events):
    return "".join(json.dumps(one) + "\n" for one in events)


def security_lake(*events):
    """The events as Security Lake types them: nested columns, text for ids, timestamps for times that end in `_dt`."""
    endpoint = pa.struct(
        [
            ("ip", pa.string()),
            ("port", pa.int32()),
            ("interface_uid", pa.string()),
            ("vpc_uid", pa.string()),
            ("svc_name", pa.string()),
        ]
    )
    schema = pa.schema(
        [
            (
                "metadata",
                pa.struct(
                    [("product", pa.struct([("name", pa.string()), ("version", pa.string())])), ("version", pa.string())]
                ),
            ),
            (
                "cloud",
                pa.struct(
                    [("account", pa.struct([("uid", pa.string())])), ("region", pa.string()), ("provider", pa.string())]
                ),
            ),
            ("src_endpoint", endpoint),
            ("dst_endpoint", endpoint),
            (
                "connection_info",
                pa.struct([("protocol_num", pa.int32()), ("tcp_flags", pa.int32()), ("direction_id", pa.int32())]),
            ),
            ("traffic", pa.struct([("bytes", pa.int64()), ("packets", pa.int64())])),
            ("time", pa.int64()),
            ("start_time_dt", pa.timestamp("ms")),
            ("end_time_dt", pa.timestamp("ms")),
            ("status_code", pa.string()),
            ("class_uid", pa.int32()),
            ("category_uid", pa.int32()),
            ("activity_id", pa.int32()),
            ("action", pa.string()),
            ("action_id", pa.int32()),
            ("disposition", pa.string()),
            ("unmapped", pa.map_(pa.string(), pa.string())),
        ]
    )
    rows = [
        one | {name: datetime.fromtimestamp(one[name] / 1000, UTC) for name in ("start_time_dt", "end_time_dt")}
        for one in events
    ]
    sink = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist([row | {"unmapped": [("sublocation_id", "-")]} for row in rows], schema), sink, row_group_size=3
    )
    return sink.getvalue()


WRITTEN = {
    "lines": lines,
    "an array": lambda *events: json.dumps(events),
    "objects over many lines": lambda *events: "".join(json.dumps(one, indent=2) for one in events),
    "Security Lake": security_lake,
}


@pytest.fixture(params=WRITTEN.values(), ids=WRITTEN)
def written(request):
    return request.param


class TestRecords:
    def test_an_event_is_a_record_of_one_direction(self, written):
        answer = event(
            src_endpoint=EVENT["dst_endpoint"] | {"port": 443},
            dst_endpoint=EVENT["src_endpoint"],
            connection_info__direction_id=1,
            connection_info__tcp_flags=18,
            traffic__bytes=1600,
        )
        data = written(EVENT, answer)
        assert format_of(data) == f"OCSF network activity, {'Parquet' if isinstance(data, bytes) else 'JSON'}"
        assert read(data).cells == [FLOW, (*FLOW[:4], 0, 1600)]

    def test_what_is_no_traffic_is_ignored_under_its_reason(self, written):
        nobody = {"src_endpoint": NOBODY, "dst_endpoint": NOBODY | {"vpc_uid": None}}
        outcome = read(
            written(
                EVENT,
                event(**SILENT, **nobody),
                event(**(SILENT | {"status_code": "SKIPDATA"}), **nobody),
                event(action="Denied", action_id=2),
                event(disposition="Blocked"),
                event(class_uid=4003),
            )
        )
        assert (outcome.cells, outcome.rejects) == ([FLOW], [])
        assert outcome.ignored == {"no traffic": 1, "lost by the source": 1, "denied": 2, "other kind of event": 1}

    def test_activity_does_not_tell_what_was_denied(self, written):
        assert read(written(event(activity_id=5))).cells == [FLOW]

    def test_the_vpc_is_the_reporter_s_or_else_the_account(self, written):
        received = event(src_endpoint__vpc_uid=None, dst_endpoint__vpc_uid="vpc-b")
        nowhere = event(src_endpoint__vpc_uid="-")
        assert [cells[3] for cells in read(written(received, nowhere)).cells] == ["vpc-b", "111122223333"]

    def test_a_record_without_its_bytes_or_an_address_is_rejected(self, written):
        outcome = read(written(EVENT, event(traffic__bytes=None), event(traffic=None), event(dst_endpoint__ip="ten")))
        assert outcome.faults == [
            (2, "traffic.bytes", "must not be missing"),
            (3, "traffic.bytes", "must not be missing"),
            (4, "dst_endpoint.ip", "must be an IP address"),
        ]
        assert "ten" in outcome.raws[4]

    @pytest.mark.parametrize(
        "time", [START, START * 1000, float(START), "2025-11-26T08:00:10.000Z", "2025-11-26 08:00:10+00:00"]
    )
    def test_times_may_be_in_several_units(self, time):
        assert read(lines(event(start_time=time))).cells == [FLOW]
        assert read(lines({**event(time=time), "start_time_dt": None})).cells == [FLOW]

    def test_counts_may_be_floating_point_numbers_or_texts(self):
        loose = event(
            traffic__bytes=400.0, src_endpoint__port="40000", dst_endpoint__port=443.0, connection_info__tcp_flags="-"
        )
        assert read(lines(loose)).cells == [FLOW]

    def test_an_event_without_a_class_is_rejected_and_not_passed_over(self, written):
        outcome = read(written(EVENT, event(class_uid=None)))
        assert (outcome.cells, outcome.faults) == ([FLOW], [(2, "class_uid", "must not be missing")])

    def test_who_reports_is_told_by_the_direction(self, written):
        received = event(connection_info__direction_id=1)
        outcome = read(written(EVENT, received), logged=("10.0.0.0/8",))
        assert (outcome.cells, outcome.ignored) == ([FLOW], {"other reporter": 1})
        assert read(written(EVENT, received), hop=("eni-1",)).ignored == {"other reporter": 2}


class TestOthers:
    @pytest.mark.parametrize("name", ["Zeek", "SiLK", None])
    def test_another_product_is_refused_by_name_wherever_it_stands(self, written, name):
        other = event(metadata__product__name=name)
        for events in ([other], [EVENT, other], [EVENT] * 60 + [other]):
            with pytest.raises(
                UnknownFormat,
                match=f"network activity .class 4001. (of {name}|that names no product); flowlog reads that of",
            ):
                read(written(*events))

    def test_events_of_other_classes_alone_are_another_log(self, written):
        with pytest.raises(OtherLog, match="OCSF events of other classes"):
            read(written(*[event(class_uid=3002)] * 60))
        assert read(written(*[event(class_uid=3002)] * 60, EVENT)).ignored == {"other kind of event": 60}

    def test_parquet_of_another_class_is_another_log(self):
        sink = io.BytesIO()
        pq.write_table(pa.table({"class_uid": [3002], "category_uid": [3], "api": ["x"]}), sink)
        with pytest.raises(OtherLog):
            read(sink.getvalue())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 50),
            st.integers(0, 2**50),
            st.sampled_from(["OK", "NODATA"]),
            st.sampled_from([1, 2]),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_json_and_parquet_have_the_sums_that_a_plain_program_finds(records):
    events = []
    for hour, count, status, action, is_allowed in records:
        start = (START + 3600 * hour) * 1000
        made = event(traffic__bytes=count, time=start, start_time_dt=start, status_code=status)
        events.append(made | {"action_id": action, "disposition": "Allowed" if is_allowed else "Blocked"})
    expected = Counter()
    for one in events:
        if one["status_code"] == "OK" and one["action_id"] == 1 and one["disposition"] == "Allowed":
            expected[one["time"] // 3_600_000] += one["traffic"]["bytes"]
    for data in (lines(*events), security_lake(*events)):
        found = Counter()
        for hour, _, _, _, tx, rx in read(data).cells:
            found[hour] += tx + rx
        assert found == expected


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there is no folder of samples at {SAMPLES}")
class TestSamples:
    def read(self, number):
        return read(
            (SAMPLES / f"intake-formats__OCSF__ocsf__tests__test_network_activity_{number}.json#message.json").read_bytes()
        )

    def test_aws_s(self):
        assert self.read(1).cells == [
            (1_653_200_100 // 3600, "192.168.1.10", "192.168.1.20", "vpc-44444444444444444", 85, 0)
        ]
        outcome = self.read(7)
        assert (outcome.read, outcome.ignored) == (1, {"no traffic": 1})

    @pytest.mark.parametrize(("number", "name"), [(3, "SiLK"), (4, "Zeek")])
    def test_other_products_are_refused_by_name(self, number, name):
        with pytest.raises(UnknownFormat, match=f"of {name}; flowlog reads that of Amazon VPC"):
            self.read(number)
