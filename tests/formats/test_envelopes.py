"""AWS VPC Flow Logs as CloudWatch Logs gives them out."""

import base64
import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import formats
from pipeline.errors import UnknownFormat, UnreadableSource
from pipeline.formats import envelopes, repeats
from pipeline.formats.repeats import Repeats
from pipeline.syntax import jsontext
from tests.formats.helpers import blocks_of, format_of, read

#: A request of 400 bytes and its answer of 1,600; both start in hour 490,040.
REQUEST = "2 111122223333 eni-01 198.51.100.7 10.20.0.15 54252 443 6 3 400 1764144010 1764144055 ACCEPT OK"
ANSWER = "2 111122223333 eni-01 10.20.0.15 198.51.100.7 443 54252 6 4 1600 1764144010 1764144055 ACCEPT OK"
NODATA = "2 111122223333 eni-01 - - - - - - - 1764144010 1764144055 - NODATA"
BOTH = [("490040", 400, 0), ("490040", 0, 1600)]


def event(message, identity=None, **more):
    return {"timestamp": 1764144000000, "message": message} | ({} if identity is None else {"id": identity}) | more


def envelope(*messages, first=0, **more):
    events = [event(message, str(first + i)) for i, message in enumerate(messages)]
    names = {"messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "vpc", "logStream": "eni-01-all"}
    return names | {"subscriptionFilters": ["f"], "logEvents": events} | more


CONTROL = envelope("CWL CONTROL MESSAGE: Checking health of destination Firehose.", messageType="CONTROL_MESSAGE", first=900)


def sums(outcome):
    return [(str(hour), tx, rx) for hour, _, _, _, tx, rx in outcome.cells]


class TestContainers:
    ENVELOPES = (envelope(REQUEST), CONTROL, envelope(ANSWER, first=1))

    @pytest.mark.parametrize(
        "write",
        [
            lambda found: "".join(map(json.dumps, found)),  # as Firehose joins them
            lambda found: "\n".join(map(json.dumps, found)),
            lambda found: "\n".join(json.dumps(one, indent=2) for one in found),
            json.dumps,
            lambda found: json.dumps(found, indent=4),
        ],
        ids=["side by side", "lines", "pretty", "array", "pretty array"],
    )
    @pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: gzip.compress(gzip.compress(data))])
    def test_the_messages_of_envelopes_are_records_wherever_these_stand(self, write, pack):
        data = pack(write(self.ENVELOPES).encode())
        assert format_of(data) == "AWS VPC Flow Logs, CloudWatch events"
        outcome = read(data)
        assert (sums(outcome), outcome.rows, outcome.ignored) == (BOTH, [1, 3], {"control message": 1})

    def test_envelopes_that_were_packed_one_by_one_may_be_packed_again(self):
        packed = b"".join(gzip.compress(json.dumps(one).encode()) for one in self.ENVELOPES)
        assert sums(read(gzip.compress(packed))) == BOTH

    @pytest.mark.parametrize("broken", ['{"logEvents": [{"id": "x", "mess', '{"no": JSON}'])
    def test_a_broken_line_among_lines_that_are_whole_is_rejected_alone(self, broken):
        first, _, last = map(json.dumps, self.ENVELOPES)
        for lines, row in (([first, broken, last], 2), ([broken, first, last], 1), ([first, last, broken], 3)):
            outcome = read("\n".join(lines))
            assert sums(outcome) == BOTH
            assert (outcome.faults, outcome.raws) == ([(row, "", "must be a JSON object")], {row: broken})

    @pytest.mark.parametrize("first", ["{}", '{"a": 1}'])
    def test_what_is_no_event_before_the_first_is_rejected_alone(self, first):
        outcome = read("\n".join([first, *map(json.dumps, self.ENVELOPES)]))
        assert (sums(outcome), outcome.faults) == (BOTH, [(1, "message", "must be a line of text")])

    def test_what_the_cli_prints_is_read(self):
        printed = {"events": [event(REQUEST, ingestionTime=1), event(ANSWER, ingestionTime=1)], "nextForwardToken": "f/1"}
        for text in (json.dumps(printed), json.dumps(printed, indent=4), "\n".join(map(json.dumps, printed["events"]))):
            assert sums(read(text)) == BOTH

    def test_what_lambda_is_given_is_read(self):
        packed = gzip.compress(json.dumps(envelope(REQUEST, ANSWER)).encode())
        assert sums(read(json.dumps({"awslogs": {"data": base64.b64encode(packed).decode()}}, indent=1))) == BOTH
        with pytest.raises(UnreadableSource, match=r"awslogs\.data is not base64"):
            read(json.dumps({"awslogs": {"data": "?"}}))

    @pytest.mark.parametrize("block_bytes", [7, 100])
    def test_a_large_document_is_read_event_by_event(self, monkeypatch, block_bytes):
        monkeypatch.setattr(jsontext, "LONG_LINE_BYTES", 10)
        text = json.dumps(envelope(REQUEST)) + json.dumps(CONTROL) + json.dumps(envelope(ANSWER, first=1), indent=2)
        with blocks_of(block_bytes):
            outcome = read(text)
            assert (sums(outcome), outcome.ignored) == (BOTH, {"control message": 1})
            assert sums(read(json.dumps({"token": "x", "events": [event(REQUEST), event(ANSWER)], "more": []}))) == BOTH

    @pytest.mark.parametrize("indent", [None, 4])
    def test_a_large_envelope_may_name_its_log_behind_its_events(self, indent):
        """As tools leave it that sort the keys: `jq -S`, for one."""
        text = json.dumps(dict(reversed(envelope(*[REQUEST] * 500).items())), indent=indent)
        assert text.index("logEvents") < 100
        assert len(text) > 64 << 10
        assert read(text).rows == list(range(1, 501))

    def test_a_large_object_without_events_is_refused(self, monkeypatch):
        monkeypatch.setattr(jsontext, "LONG_LINE_BYTES", 10)
        with blocks_of(16), pytest.raises(UnreadableSource, match="is large, and has no array logEvents or events"):
            read(json.dumps(envelope(REQUEST)) + json.dumps({"other": "x" * 100}))

    @pytest.mark.parametrize("cut", [-1, -10, -200])
    def test_a_file_that_stops_within_an_envelope_counts_nothing(self, cut):
        with pytest.raises(UnreadableSource, match="stops short"):
            read("".join(map(json.dumps, self.ENVELOPES))[:cut])


class TestEvents:
    def test_an_event_that_was_delivered_twice_counts_once(self):
        twice = json.dumps(envelope(REQUEST, ANSWER, REQUEST)) * 2
        outcome = read(twice)  # the third has an id of its own
        assert (outcome.rows, outcome.ignored) == ([1, 2, 3], {"repeated record": 3})
        assert read(json.dumps({"events": [event(REQUEST, eventId="7")] * 2})).ignored == {"repeated record": 1}

    def test_what_is_repeated_keeps_its_bytes(self):
        refused = REQUEST.replace("ACCEPT", "REJECT")
        outcome = read(json.dumps(envelope(REQUEST, refused, "2 cut off")) * 2)
        size = int(REQUEST.split()[9])
        assert outcome.ignored == {"denied": 1, "repeated record": 3}
        assert outcome.ignored_bytes == {"denied": size, "repeated record": 2 * size}

    def test_an_id_alone_does_not_make_an_event_another_s_repeat(self):
        assert sums(read(json.dumps(envelope(REQUEST)) + json.dumps(envelope(ANSWER)))) == BOTH

    def test_events_without_an_id_are_never_repeats(self):
        assert len(read(json.dumps({"events": [event(REQUEST)] * 3})).rows) == 3

    def test_an_event_s_number_is_its_place_in_the_file(self):
        messages = [REQUEST, NODATA, "2 cut off", ANSWER.replace("1600", "many"), ANSWER]
        outcome = read(json.dumps(CONTROL) + json.dumps(envelope(*messages)))
        assert (outcome.rows, outcome.ignored) == ([2, 6], {"control message": 1, "no traffic": 1})
        assert [(reject.row, reject.field, reject.raw) for reject in outcome.rejects] == [
            (4, "", "2 cut off"),
            (5, "bytes", messages[3]),
        ]
        assert outcome.read == 6

    @pytest.mark.parametrize("odd", [{"id": "8"}, event(None), event(""), event(5), 5, "text", [], None])
    def test_an_event_without_a_message_is_rejected(self, odd):
        one = envelope(REQUEST)
        one["logEvents"].append(odd)
        outcome = read(json.dumps(one))
        assert (outcome.rows, outcome.faults) == ([1], [(2, "message", "must be a line of text")])
        assert json.loads(outcome.raws[2]) == odd

    def test_a_message_over_several_lines_is_one_record(self):
        assert read(json.dumps(envelope(REQUEST + "\n", ANSWER + "\r\nmore"))).faults[0][0] == 2

    @pytest.mark.parametrize("depth", [100, *range(940, 1_000, 3), 2_000])
    @pytest.mark.parametrize("write", [json.dumps, lambda found: "\n".join(map(json.dumps, found["logEvents"]))])
    def test_an_event_that_is_deeply_nested_is_read_or_rejected_alone(self, depth, write):
        events = [event(REQUEST, "1"), event(REQUEST, "2", extra="?"), {"id": "3", "extra": "?"}, event(ANSWER, "4")]
        text = write(envelope() | {"logEvents": events}).replace('"?"', "[" * depth + "]" * depth)
        outcome = read(text, option="aws-vpc")
        assert sums(outcome) in (BOTH, [BOTH[0], *BOTH])
        assert len(outcome.cells) + len(outcome.rejects) == 4
        if depth > 1_000:
            assert [(reject.row, reject.value) for reject in outcome.rejects] == [
                (2, "too deeply nested"),
                (3, "too deeply nested"),
            ]


class TestFields:
    CUSTOM = "eni-01 198.51.100.7 10.20.0.15 400 1764144010"
    NAMES = ("interface-id", "srcaddr", "dstaddr", "bytes", "start")

    def test_messages_in_an_order_of_one_s_own_need_the_fields_names(self):
        text = json.dumps(envelope(self.CUSTOM))
        with pytest.raises(
            UnknownFormat, match=r"no VPC flow log records of version 2, as 'eni-01 .*give its fields with --aws-fields"
        ):
            read(text)
        assert sums(read(text, aws_fields=self.NAMES)) == [("490040", 400, 0)]

    def test_fourteen_fields_alone_are_not_the_default_order(self):
        with pytest.raises(UnknownFormat):
            read(json.dumps(envelope(" ".join(REQUEST.split()[::-1]))))

    def test_messages_that_are_json_are_refused_by_name(self):
        with pytest.raises(UnknownFormat, match="CloudWatch Logs events whose messages are JSON"):
            read(json.dumps(envelope(json.dumps({"srcaddr": "10.0.0.1"}))))


class TestRepeats:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.lists(st.none() | st.integers(0, 30), max_size=8), max_size=12))
    def test_a_key_is_new_once(self, batches):
        met, found = set(), Repeats()
        for batch in batches:
            keys = [None if number is None else number.to_bytes(16, "little") for number in batch]
            expected = []
            for key in keys:
                expected.append(key is None or key not in met)
                met.add(key)
            assert found.are_new(keys).tolist() == expected

    def test_a_file_of_endless_events_does_not_fill_the_memory(self, monkeypatch):
        monkeypatch.setattr(repeats, "MOST_RECORDS", 3)
        with pytest.raises(UnreadableSource, match="more than 3 records that may stand twice; split it"):
            read(json.dumps(envelope(*[REQUEST] * 4)))


def test_batches_of_events_have_borders(monkeypatch):
    monkeypatch.setattr(envelopes, "_BLOCK_EVENTS", 2)
    outcome = read(json.dumps(envelope(REQUEST, ANSWER, REQUEST, NODATA, ANSWER)) + json.dumps(CONTROL))
    assert (outcome.rows, outcome.ignored) == ([1, 2, 3, 5], {"no traffic": 1, "control message": 1})


def test_other_json_is_not_taken_for_events():
    for found in ({"events": [{"name": "x"}]}, {"events": 5}, {"message": "x"}, {"awslogs": 5}, {"logEvents": []}):
        with pytest.raises(UnknownFormat, match="JSON with the keys"):
            formats.open_source(io.BytesIO(json.dumps(found).encode()), "raw")
