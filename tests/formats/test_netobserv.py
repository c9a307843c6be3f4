"""NetObserv's flow logs: as JSON, and as Loki gives them out."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.counting.count import Limits, count_group
from pipeline.counting.sources import Source
from pipeline.errors import UnknownFormat, UnreadableSource
from pipeline.formats import loki
from pipeline.options import ReadOptions
from tests.formats.helpers import IN_TEXT_RULE, MISSING_RULE, OBJECT_RULE, RANGE_RULE, blocks_of, format_of, read

TEN = 1_764_151_200_000  # 2025-11-26T10:00Z
HOUR = TEN // 3_600_000
FLOW = {
    "TimeFlowStartMs": TEN,
    "TimeFlowEndMs": TEN + 4_000,
    "TimeReceived": TEN // 1_000 + 9_000,
    "SrcAddr": "10.0.0.1",
    "DstAddr": "10.0.0.9",
    "SrcPort": 40_000,
    "DstPort": 8_080,
    "Proto": 6,
    "Bytes": 5,
    "FlowDirection": 0,
}
COUNTED = (HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 0)
REPORTER, OTHER = "other reporter", "other kind of event"
OWNED = {"DstK8S_OwnerName": "db", "DstK8S_Namespace": "shop"}


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def without(*keys, **changes):
    return {key: value for key, value in (FLOW | changes).items() if key not in keys}


def answer(*streams, indent=None):
    """Loki's answer: streams of labels and records."""
    result = [
        {"stream": labels, "values": [["1764151200000000000", record if isinstance(record, str) else json.dumps(record)]]}
        for labels, *records in streams
        for record in records
    ]
    data = {"resultType": "streams", "result": result, "stats": {"summary": {"execTime": 1.5}}}
    return json.dumps({"status": "success", "data": data}, indent=indent)


# --- What counts -------------------------------------------------------------------------------------------------


def test_a_record_has_one_direction_and_the_hour_of_its_start():
    assert read(lines(FLOW)).cells == [COUNTED]


@pytest.mark.parametrize("name", ["Flags", "Duplicate", "Udns"])
@pytest.mark.parametrize("digits", [400, 4_301, 50_000])
def test_a_number_of_many_digits_is_no_bug_where_a_value_may_be_anything(name, digits):
    assert read(lines(FLOW | {name: "?"}).replace('"?"', "1" * digits)).cells == [COUNTED]
    assert read(answer(({}, FLOW)).replace('"1764151200000000000"', "1" * digits)).cells == [COUNTED]


def test_a_direction_that_nobody_knows_is_rejected_where_it_decides():
    outcome = read(lines(FLOW, FLOW | {"FlowDirection": 3}, FLOW | {"FlowDirection": -1}, without("FlowDirection")))
    assert outcome.faults == [(row, "FlowDirection", "must be 0, 1 or 2") for row in (2, 3)]
    assert outcome.rows == [1, 4]
    assert read(lines(FLOW | {"FlowDirection": 3}), both_ends="count").rows == [1]


def test_the_end_is_looked_at_only_where_bytes_are_spread_over_hours():
    record = lines(FLOW | {"TimeFlowEndMs": "soon"}, FLOW)
    assert read(record).cells == [COUNTED, COUNTED]
    spread = read(record, spread="hours")
    assert (spread.cells, [reject.field for reject in spread.rejects]) == ([COUNTED], ["TimeFlowEndMs"])


def test_bytes_that_are_left_out_are_none():
    assert read(lines(without("Bytes", PktDropBytes=700))).cells == [(*COUNTED[:4], 0, 0)]


@pytest.mark.parametrize(("sampling", "factor"), [(50, 50), ("50", 50), (1, 1), (0, 1), (None, 1)])
def test_bytes_are_multiplied_by_the_sampling_of_the_record(sampling, factor):
    assert read(lines(FLOW | {"Sampling": sampling})).cells == [(*COUNTED[:4], 5 * factor, 0)]


@pytest.mark.parametrize(
    ("count", "sampling"),
    [
        (2**53 - 1, 2),
        (2**62, 4),
        (2**63 - 1, 2**63 - 1),
        (2**32, 2**32),
        (-5, 50),
        (5, -50),
        (-5, -2),
        (-(2**63), 2),
        (-(2**62), -4),
    ],
)
def test_a_product_that_is_no_number_of_bytes_is_rejected_and_never_wraps(count, sampling):
    outcome = read(lines(FLOW | {"Bytes": count, "Sampling": sampling}))
    ((_, *_, tx, _),) = outcome.records
    assert not 0 <= tx < 2**53


@given(st.integers(0, 2**40), st.integers(0, 2**13))
@settings(max_examples=50)
def test_any_product_is_exact(count, sampling):
    (cells,) = read(lines(FLOW | {"Bytes": count, "Sampling": sampling})).cells
    assert cells[4] == count * (sampling or 1)


# --- Which of two reports counts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("egress", [1, "1"])
def test_the_sender_s_report_is_left_out_where_the_receiver_has_an_owner(egress):
    outcome = read(lines(FLOW | OWNED, FLOW | OWNED | {"FlowDirection": egress}, FLOW | OWNED | {"FlowDirection": 2}))
    assert (len(outcome.records), outcome.ignored) == (2, {REPORTER: 1})


@pytest.mark.parametrize("owner", [{}, {"DstK8S_OwnerName": None}, {"DstK8S_OwnerName": ""}])
def test_the_sender_s_report_counts_where_the_receiver_has_none(owner):
    assert read(lines(FLOW | owner | {"FlowDirection": 1})).cells == [COUNTED]


def test_a_further_report_of_an_old_agent_is_left_out():
    outcome = read(lines(*(FLOW | {"Duplicate": value} for value in (True, False, None, "true"))))
    assert (outcome.rows, outcome.ignored) == ([2, 3], {REPORTER: 2})


def test_records_of_connections_repeat_bytes_and_are_left_out():
    kinds = ["flowLog", "newConnection", "heartbeat", "endConnection", None, ""]
    outcome = read(lines(*(FLOW | {"_RecordType": kind} for kind in kinds)))
    assert (outcome.rows, outcome.ignored) == ([1, 5, 6], {OTHER: 3})


# --- Which end opened --------------------------------------------------------------------------------------------

SYN, SYN_ACK, ACK = 2, 256, 16


@pytest.mark.parametrize(
    ("flags", "is_answer"),
    [
        (SYN_ACK, True),
        (SYN_ACK | ACK, True),
        (["ACK", "SYN_ACK"], True),
        (["SYN_ACK", "SYN"], True),
        (str(SYN_ACK), True),
        (SYN | ACK, False),
        (["SYN"], False),
        (["SYN", "SYN"], False),
        (ACK, False),
        ([], False),
        ([None, 5], False),
        ({}, False),
        (None, False),
        (10**30, False),
        (-1, False),
    ],
)
def test_flags_tell_who_opened_before_the_ports_do(flags, is_answer):
    ports = {"SrcPort": 40_000, "DstPort": 30_000}  # which tell nothing
    (cells,) = read(lines(FLOW | ports | {"Flags": flags})).cells
    assert cells[4:] == ((0, 5) if is_answer else (5, 0))


def test_a_syn_to_a_high_port_stays_as_it_is_and_where_flags_say_nothing_ports_tell():
    ports = {"SrcPort": 443, "DstPort": 40_000}
    outcome = read(lines(FLOW | ports | {"Flags": ["SYN"]}, FLOW | ports | {"Flags": ["ACK"]}))
    assert [cells[1:3] for cells in outcome.cells] == [("10.0.0.1", "10.0.0.9"), ("10.0.0.9", "10.0.0.1")]


# --- Names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "app"),
    [
        ({"SrcK8S_OwnerName": "web", "SrcK8S_Namespace": "shop"}, "shop/web"),
        ({"SrcK8S_OwnerName": "node-1"}, "node-1"),
        ({"SrcK8S_OwnerName": "node-1", "SrcK8S_Namespace": ""}, "node-1"),
        ({"SrcK8S_Namespace": "shop"}, "10.0.0.1"),
        ({"SrcSubnetLabel": "Pods"}, "Pods"),
        ({"SrcK8S_OwnerName": "web", "SrcK8S_Namespace": "shop", "SrcSubnetLabel": "Pods"}, "shop/web"),
        ({"SrcK8S_OwnerName": "w\u00e9b", "SrcK8S_Namespace": 'a"b'}, 'a"b/w\u00e9b'),
    ],
)
def test_an_app_is_the_owner_in_its_namespace_or_the_label_of_the_subnet(fields, app):
    # Beside others, as the pairs of a block are numbered together.
    others = [FLOW | {"SrcK8S_OwnerName": "web", "SrcK8S_Namespace": "other"}, FLOW]
    outcome = read(lines(*others, FLOW | fields, *others))
    assert [cells[1] for cells in outcome.cells] == ["other/web", "10.0.0.1", app, "other/web", "10.0.0.1"]


@pytest.mark.parametrize(
    ("fields", "vpc"),
    [
        ({"K8S_ClusterName": "east", "SrcK8S_NetworkName": "blue"}, "east"),
        ({"SrcK8S_NetworkName": "blue", "DstK8S_NetworkName": "red"}, "blue"),
        ({"DstK8S_NetworkName": "red", "Udns": ["green"]}, "red"),
        ({"Udns": ["", "green"]}, "green"),
        ({"Udns": "green"}, "green"),
        ({"Udns": []}, "mine"),
        ({}, "mine"),
    ],
)
def test_a_vpc_is_the_cluster_or_a_network_or_the_user_s(fields, vpc):
    assert [cells[3] for cells in read(lines(FLOW | fields), vpc_id="mine").cells] == [vpc]


# --- What is rejected, and refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "field", "rule"),
    [
        (without("TimeFlowStartMs"), "TimeFlowStartMs", MISSING_RULE),
        (without("SrcAddr"), "SrcAddr", MISSING_RULE),
        (FLOW | {"TimeFlowStartMs": 0}, "TimeFlowStartMs", RANGE_RULE),
        (FLOW | {"Bytes": 5.5}, "Bytes", IN_TEXT_RULE),
        (FLOW | {"FlowDirection": "egress"}, "FlowDirection", IN_TEXT_RULE),
        (5, "", OBJECT_RULE),
    ],
)
def test_a_record_that_lacks_something_is_rejected_alone(record, field, rule):
    outcome = read(lines(FLOW, record, FLOW))
    assert (outcome.faults, outcome.cells) == ([(2, field, rule)], [COUNTED] * 2)


def test_a_record_that_its_pipeline_made_of_netflow_is_no_record_of_the_agent():
    with pytest.raises(UnknownFormat, match="flow records of GoFlow or NetObserv"):
        format_of(lines(without("TimeFlowStartMs", TimeFlowStart=0)))


# --- Containers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        lines(FLOW, FLOW),
        json.dumps([FLOW, FLOW], indent=2),
        json.dumps(FLOW) + ",\n" + json.dumps(FLOW) + ",\n",  # as the command-line client writes
        json.dumps(FLOW) * 2,
    ],
)
def test_records_stand_in_whatever_container(text):
    assert read(text).cells == [COUNTED] * 2


LABELS = {"FlowDirection": "1", "_RecordType": "flowLog", "app": "netobserv-flowcollector"} | OWNED


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("block_bytes", [30, 1_000, 1 << 20])
def test_the_labels_of_a_stream_are_a_part_of_its_records(indent, block_bytes):
    line = without("FlowDirection", "_RecordType")
    text = answer((LABELS, line, line), (LABELS | {"FlowDirection": "0"}, line), indent=indent)
    with blocks_of(block_bytes):
        outcome = read(text)
    assert (outcome.rows, outcome.ignored) == ([3], {REPORTER: 2})
    assert outcome.cells == [(HOUR, "10.0.0.1", "shop/db", "-", 5, 0)]


@pytest.mark.parametrize("around", ["%s", "[%s]", "[\n%s\n]"])
@pytest.mark.parametrize("notes", range(8))
def test_an_answer_in_many_lines_that_is_longer_than_the_head_is_known_as_one(around, notes):
    """The streams within are whole objects, and of no format; the head may end anywhere in a record, as in an escape."""
    streams = [({"FlowDirection": "0"}, without("FlowDirection", note="n" * notes))] * 150
    text = around % answer(*streams, indent=4)
    assert len(text) > 64 << 10
    assert format_of(text) == "NetObserv, answers of Loki"
    assert read(text).rows == list(range(1, 151))


def test_the_labels_of_a_stream_may_stand_behind_its_values(monkeypatch):
    stream = {"values": [["1", json.dumps(FLOW)]] * 3, "stream": LABELS | {"FlowDirection": "0"}}
    text = json.dumps({"data": {"result": [stream] * 2, "resultType": "streams"}})
    assert read(text).cells == [(HOUR, "10.0.0.1", "shop/db", "-", 5, 0)] * 6
    with pytest.raises(UnreadableSource, match="a stream of Loki without labels"):
        read(text.replace('"stream"', '"labels"', 1))
    monkeypatch.setattr(loki, "_MOST_HELD_BYTES", 100)
    with pytest.raises(UnreadableSource, match="a stream of Loki has more than 0 MiB of values before its labels"):
        read(text)


def test_what_a_record_has_itself_counts_before_the_label():
    """As of a query with `| json`, which makes labels of all fields."""
    labels = {name: str(value) for name, value in FLOW.items()} | {"Bytes": "9", "FlowDirection": "1"}
    assert read(answer((labels, FLOW))).cells == [COUNTED]
    note = without("Bytes", SrcK8S_Name='"Bytes":7')
    assert read(answer((labels, note))).cells == [(*COUNTED[:4], 9, 0)]


def test_several_answers_follow_one_another():
    outcome = read(answer(({}, FLOW)) + "\n" + answer(({}, FLOW, FLOW)))
    assert (outcome.rows, outcome.cells) == ([1, 2, 3], [COUNTED] * 3)


def test_answers_may_be_in_an_array():
    text = f"[{answer(({}, FLOW))},\n{answer(({}, FLOW, FLOW), indent=1)}]"
    assert format_of(text) == "NetObserv, answers of Loki"
    outcome = read(text)
    assert (outcome.cells, outcome.rows) == ([COUNTED] * 3, [1, 2, 3])


def test_an_answer_without_records_has_none():
    assert (read(answer()).read, format_of(answer())) == (0, "NetObserv, answers of Loki")


@pytest.mark.parametrize("line", ["", " ", "level=info", "[]", '{"TimeFlowStartMs":', "5", '"{}"', "{", "{}"])
def test_a_line_of_an_answer_that_is_no_record_is_rejected_alone(line):
    for labels in ({}, LABELS):
        outcome = read(answer((labels, FLOW, line)))
        assert (outcome.read, [reject.row for reject in outcome.rejects]) == (2, [2])


def test_a_value_of_an_answer_that_is_no_line_is_rejected_alone():
    text = answer(({}, FLOW)).replace('"values": [', '"values": [5, ["1"], ["1", {}], ')
    assert [reject.row for reject in read(text).rejects] == [1, 2, 3]


def test_a_stream_longer_than_the_longest_record_is_read():
    values = [["1", json.dumps(FLOW | {"x": "y" * 1_000})]] * 6_000
    streams = [{"stream": LABELS | {"FlowDirection": "0"}, "values": values}] * 2
    outcome = read(json.dumps({"data": {"result": streams, "resultType": "streams"}}))
    assert (len(outcome.records), outcome.rows[-1]) == (12_000, 12_000)


def test_an_answer_that_stops_short_fails():
    text = answer(({}, FLOW, FLOW))
    for end in (len(text) // 2, len(text) - 1, len(text) - 60):
        with pytest.raises(UnreadableSource):
            read(text[:end])


@pytest.mark.parametrize(
    "other",
    [
        {"status": "error", "error": "too many outstanding requests"},
        {"status": "success", "data": "streams"},
        {"status": "success", "data": {"resultType": "streams", "result": None}},
        {"status": "success", "data": {"resultType": "streams", "result": [{"stream": {}}]}},
    ],
)
def test_an_answer_without_records_beside_others_fails_and_is_not_passed_over(other):
    text = answer(({}, FLOW))
    with pytest.raises(
        UnreadableSource,
        match=r"line \d+: (an answer of Loki without the array data.result|a stream of Loki without values)",
    ):
        read(f"{text}\n{json.dumps(other)}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (answer(({"app": "web"}, "level=info")), "an answer of Loki, of other logs than NetObserv's"),
        (json.dumps({"data": {"resultType": "matrix", "result": []}}), "an answer of Loki or Prometheus with numbers"),
        (
            lines({"labels": {}, "line": "level=info", "timestamp": "x"}),
            "what logcli prints, of other logs than NetObserv's",
        ),
    ],
)
def test_what_else_loki_has_is_refused(text, found):
    with pytest.raises(UnknownFormat) as refusal:
        format_of(text)
    assert refusal.value.found == found


def test_what_logcli_prints_is_read_line_by_line():
    entry = {"labels": LABELS | {"FlowDirection": "0"}, "line": json.dumps(without("FlowDirection")), "timestamp": "x"}
    text = lines(entry) + lines(entry)[:90] + "\n\n" + lines(entry | {"labels": None}, entry | {"line": 5}, [])
    outcome = read(text)
    assert outcome.cells == [(HOUR, "10.0.0.1", "shop/db", "-", 5, 0), COUNTED]
    assert ([reject.row for reject in outcome.rejects], outcome.read) == ([2, 5, 6], 5)


@pytest.mark.parametrize("between", ["\n\ufeff", "", "\ufeff", "\n"])
def test_what_logcli_printed_may_be_joined(between):
    entry = {"labels": LABELS | {"FlowDirection": "0"}, "line": json.dumps(without("FlowDirection")), "timestamp": "x"}
    one = json.dumps(entry)
    outcome = read(f"{one}{between}{one}\n{one[:-9]}\n{one}\n")
    assert (len(outcome.cells), [reject.row for reject in outcome.rejects]) == (3, [2 + between.count("\n")])


def test_what_logcli_printed_counts_beside_other_files_as_alone(tmp_path):
    one = json.dumps(
        {"labels": LABELS | {"FlowDirection": "0"}, "line": json.dumps(without("FlowDirection")), "timestamp": "x"}
    )
    for name, content in (("a", f"{one}\n"), ("b", f"{one}{one}\n{one}\n"), ("c", f"{one}\n{one}\n")):
        (tmp_path / name).write_text(content)
    sources = [Source.at(tmp_path / name) for name in "abc"]
    counted = count_group(sources, ReadOptions(), Limits(1 << 20), str(tmp_path))
    assert [result.valid for result in counted.results] == [1, 3, 2]


# --- Against a plain program -------------------------------------------------------------------------------------


def plain_records(text):
    """(hour, bytes) of what counts, and how many records there are."""
    found = json.loads(text) if text.startswith("{\n") or '"data"' in text[:40] else None
    if found:
        streams = found["data"]["result"]
        records = [stream["stream"] | json.loads(line) for stream in streams for _, line in stream["values"]]
    else:
        records = [json.loads(line) for line in text.splitlines()]
    counted = [
        (record["TimeFlowStartMs"] // 3_600_000, record.get("Bytes", 0) * (record.get("Sampling") or 1))
        for record in records
        if record.get("_RecordType", "flowLog") == "flowLog"
        and not (str(record["FlowDirection"]) == "1" and "DstK8S_OwnerName" in record)
        and not record.get("Duplicate")
    ]
    return Counter(counted), len(records)


RECORDS = st.fixed_dictionaries(
    {"TimeFlowStartMs": st.integers(TEN, TEN + 10**7), "FlowDirection": st.integers(0, 2)},
    optional={
        "Bytes": st.integers(0, 10**9),
        "Sampling": st.sampled_from([0, 1, 50]),
        "DstK8S_OwnerName": st.sampled_from(["db", "d\\b", "é"]),
        "DstK8S_Namespace": st.just("shop"),
        "_RecordType": st.sampled_from(["flowLog", "heartbeat"]),
        "Duplicate": st.booleans(),
        "Flags": st.sampled_from([16, 256, ["SYN"], ["SYN_ACK"]]),
    },
).map(lambda fields: without("Bytes") | fields)


@given(st.lists(RECORDS, min_size=1, max_size=8), st.sampled_from([40, 500, 1 << 20]))
@settings(max_examples=40)
def test_any_records_are_counted_as_a_plain_program_counts_them(records, block_bytes):
    labelled = [({"FlowDirection": str(record["FlowDirection"])}, record) for record in records]
    for text in (lines(*records), answer(*((labels, record) for labels, record in labelled))):
        with blocks_of(block_bytes):
            outcome = read(text)
        found = Counter((hour, tx + rx) for hour, *_, tx, rx in outcome.cells)
        assert (found, outcome.read) == plain_records(text)


# --- Real logs ---------------------------------------------------------------------------------------------------

SHARED = Path(os.environ.get("FLOWLOG_SHARED") or Path(__file__).parents[3] / "shared")
SAMPLES = SHARED / "samples" / "netobserv"
MOCKS = "network-observability-console-plugin__mocks__loki__flow_records"
#: By name: the records, the bytes that are counted, and the reports that are not, as their index says.
SUMS = {"": (50, 56_415, 13), "_has_dropped": (50, 8_368, 0), "_dropped": (0, 0, 0)}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there is no folder of real logs at {SAMPLES}")
@pytest.mark.parametrize("name", SUMS)
def test_a_real_answer_has_the_sums_of_its_index(name):
    text = (SAMPLES / f"{MOCKS}{name}.json").read_text()
    outcome = read(text)
    total = sum(tx + rx for *_, tx, rx in outcome.cells)
    assert (outcome.read, total, outcome.ignored[REPORTER]) == SUMS[name]
    assert (Counter((hour, tx + rx) for hour, *_, tx, rx in outcome.cells), outcome.read) == plain_records(text)
