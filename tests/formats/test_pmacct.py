"""pmacct's JSON: whatever its configuration asked for."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UnknownFormat
from tests.formats.helpers import RANGE_RULE, read

TEN = 1_764_151_200  # 2025-11-26T10:00Z
HOUR = TEN // 3_600
SAMPLES = Path(os.environ.get("FLOWLOG_SHARED") or Path(__file__).parents[3] / "shared") / "samples" / "pmacct"
ENDS = {"ip_src": "10.0.0.1", "ip_dst": "10.0.0.9", "port_src": 40_000, "port_dst": 443, "ip_proto": "tcp", "bytes": 5}
FLOW = ENDS | {"timestamp_start": f"{TEN}.250000"}
COUNTED = (HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 0)


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize("key", ["timestamp_start", "stamp_inserted"])
@pytest.mark.parametrize(
    "time", [f"{TEN}.250000", f"{TEN}", "2025-11-26 10:00:00.250000", "2025-11-26 10:00:00", "2025-11-26T12:00:00.25+02:00"]
)
def test_a_flow_counts_in_the_hour_of_its_start_or_of_its_bin(key, time):
    assert read(lines(ENDS | {key: time})).cells == [COUNTED]


def test_the_flow_s_own_time_goes_before_that_of_its_bin():
    assert read(lines(FLOW | {"stamp_inserted": str(TEN + 3600)})).cells == [COUNTED]


def test_local_times_are_read_in_the_zone_that_the_user_names():
    record = ENDS | {"timestamp_start": "2025-11-26 10:00:00"}
    assert read(lines(record), timezone="Europe/Berlin").cells == [(HOUR - 1, *COUNTED[1:])]


def test_the_server_s_record_is_turned_round():
    answer = FLOW | {"ip_src": "10.0.0.9", "ip_dst": "10.0.0.1", "port_src": 443, "port_dst": 40_000}
    assert read(lines(answer)).cells == [(HOUR, "10.0.0.1", "10.0.0.9", "-", 0, 5)]


def test_without_ports_a_record_stays_as_it_is():
    record = {name: value for name, value in FLOW.items() if not name.startswith("port_")}
    assert read(lines(record)).cells == [COUNTED]


def test_markers_without_flows_are_an_idle_time_s():
    outcome = read(lines({"event_type": "purge_init", "writer_id": "p"}, {"event_type": "purge_close", "writer_id": "p"}))
    assert (outcome.cells, outcome.ignored) == ([], {"other kind of event": 2})


def test_markers_are_ignored_and_the_events_of_brokers_are_flows():
    outcome = read(lines({"event_type": "purge_init", "writer_id": "p"}, FLOW | {"event_type": "purge"}))
    assert (outcome.cells, outcome.ignored) == ([COUNTED], {"other kind of event": 1})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"bytes": None}, "bytes"),
        ({"bytes": "5.5"}, "bytes"),
        ({"ip_src": ""}, "ip_src"),
        ({"timestamp_start": "x"}, "timestamp_start"),
    ],
)
def test_a_record_with_an_unfit_value_is_rejected(changes, field):
    outcome = read(lines(FLOW, FLOW | changes))
    assert (outcome.cells, [(reject.row, reject.field) for reject in outcome.rejects]) == ([COUNTED], [(2, field)])


@pytest.mark.parametrize("time", ["0.000000", "1970-01-01 00:00:00"])
def test_a_time_that_the_exporter_did_not_send_is_none(time):
    assert read(lines(FLOW, FLOW | {"timestamp_start": time})).faults == [(2, "timestamp_start", RANGE_RULE)]


def test_what_does_not_say_enough_is_refused_by_name():
    with pytest.raises(UnknownFormat, match=r"a pmacct flow log without times; have pmacct write them: timestamp_start"):
        read(lines(ENDS))
    with pytest.raises(UnknownFormat, match="a pmacct flow log without byte counts"):
        read(lines({name: value for name, value in FLOW.items() if name != "bytes"}))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**12)), min_size=1, max_size=8))
@settings(max_examples=50)
def test_the_bytes_are_those_that_a_reader_of_few_lines_finds(records):
    text = lines(*(FLOW | {"timestamp_start": f"{TEN + start}.5", "bytes": count} for start, count in records))
    expected = [
        (int(float(record["timestamp_start"])) // 3600, record["bytes"]) for record in map(json.loads, text.splitlines())
    ]
    assert [(hour, tx + rx) for hour, *_, tx, rx in read(text).cells] == expected


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there are no samples at {SAMPLES}")
class TestSamples:
    def test_the_one_with_times_has_the_sum_of_its_index(self):
        outcome = read(next(SAMPLES.glob("*102-NFv9*")).read_bytes())
        assert (len(outcome.cells), outcome.rejects) == (35, [])
        assert sum(tx + rx for *_, tx, rx in outcome.cells) == 7_594

    @pytest.mark.parametrize("name", ["100-IPFIXv10", "104-IPFIXv10", "110-IPFIXv10"])
    def test_those_without_times_are_refused(self, name):
        with pytest.raises(UnknownFormat, match="without times"):
            read(next(SAMPLES.glob(f"*{name}*")).read_bytes())
