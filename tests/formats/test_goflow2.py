"""goflow2's JSON: its versions and spellings, sampling, times of reception, and the routers that count."""

import base64
import io
import json
import os
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import formats
from pipeline.errors import UsageError
from pipeline.formats.apps import AppMap
from pipeline.formats.format import ReadContext
from pipeline.options import ReadOptions
from tests.formats.helpers import batches_of, format_of, read

SAMPLES = Path(os.environ.get("FLOWLOG_SAMPLES") or Path(__file__).parents[3] / "shared" / "samples")
TEN = 1_764_151_200  # 2025-11-26T10:00Z
HOUR, NANO = TEN // 3600, 10**9
FLOW = (HOUR, "10.0.0.1", "10.0.0.9", "-", 500, 0)
NO_START = "have no time of their start, and count in the hour in which they were received"
NO_RATE = "have no sampling rate: their bytes are not multiplied"

V2 = {
    "type": "NETFLOW_V9",
    "time_received_ns": (TEN + 3600) * NANO,
    "sampling_rate": 100,
    "sampler_address": "192.0.2.1",
    "time_flow_start_ns": TEN * NANO,
    "time_flow_end_ns": (TEN + 1) * NANO,
    "bytes": 5,
    "src_addr": "10.0.0.1",
    "dst_addr": "10.0.0.9",
    "etype": "IPv4",
    "proto": "TCP",
    "src_port": 40000,
    "dst_port": 443,
}
V1 = {
    "Type": "NETFLOW_V9",
    "TimeReceived": TEN + 3600,
    "SamplingRate": 100,
    "SamplerAddress": "192.0.2.1",
    "TimeFlowStart": TEN,
    "TimeFlowEnd": TEN + 1,
    "Bytes": 5,
    "SrcAddr": "10.0.0.1",
    "DstAddr": "10.0.0.9",
    "Etype": 2048,
    "Proto": 6,
    "SrcPort": 40000,
    "DstPort": 443,
}


def packed(address):
    return base64.b64encode(ip_address(address).packed).decode()


PROTOJSON = {
    "type": "NETFLOW_V9",
    "timeReceivedNs": str((TEN + 3600) * NANO),
    "samplingRate": "100",
    "samplerAddress": packed("192.0.2.1"),
    "timeFlowStartNs": str(TEN * NANO),
    "bytes": "5",
    "srcAddr": packed("10.0.0.1"),
    "dstAddr": packed("10.0.0.9"),
    "etype": 2048,
    "proto": 6,
    "srcPort": 40000,
    "dstPort": 443,
}
SPELLINGS = {"version 2": V2, "version 1": V1, "protobuf's JSON": PROTOJSON}


def text(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def flow(**fields):
    return {key: value for key, value in (V2 | fields).items() if value is not None}


def notes_of(*records, **options):
    known, stream = formats.open_source(io.BytesIO(text(*records).encode()), "raw")
    found = {}
    for batch in batches_of(known.read(stream, ReadContext(ReadOptions(**options), AppMap()))):
        for note, rows in batch.noted.items():
            found[note] = found.get(note, 0) + len(rows)
    return found


@pytest.mark.parametrize("record", SPELLINGS.values(), ids=SPELLINGS)
def test_each_spelling_is_read(record):
    assert format_of(text(record)) == "goflow2, JSON"
    assert read(text(record)).cells == [FLOW]


@pytest.mark.parametrize("indent", [None, 4])
def test_a_record_may_stand_on_many_lines(indent):
    assert read(json.dumps(V2, indent=indent)).cells == [FLOW]


@pytest.mark.parametrize(
    "fields",
    [
        {"etype": 2048, "proto": 6},
        {"etype": "", "proto": ""},
        {"etype": None, "proto": None},
        {"type": 4},
        {"bytes": "5", "sampling_rate": "100", "src_port": "40000"},
        {"time_flow_start_ns": "2025-11-26T10:00:00.123456789Z"},
        {"time_flow_start_ns": "2025-11-26T11:00:00+01:00"},
        {"time_flow_start_ns": TEN * 1000},
        {"time_flow_start_ns": (TEN + 3600) * NANO - 1},
        {"src_addr": "::ffff:10.0.0.1"},
    ],
)
def test_names_and_numbers_stand_for_each_other(fields):
    assert read(text(flow(**fields))).cells == [FLOW]


def test_addresses_in_base64_have_4_bytes_or_16():
    content = text(PROTOJSON | {"srcAddr": packed("2001:db8::1"), "dstAddr": packed("2001:db8::2")})
    assert read(content).cells == [(HOUR, "2001:db8::1", "2001:db8::2", "-", 500, 0)]


def test_an_answer_is_turned_by_its_ports():
    content = text(flow(src_addr="10.0.0.9", dst_addr="10.0.0.1", src_port=443, dst_port=40000))
    assert read(content).cells == [(HOUR, "10.0.0.1", "10.0.0.9", "-", 0, 500)]


class TestSampling:
    @pytest.mark.parametrize(("rate", "sent"), [(0, 5), (None, 5), (1, 5), (2, 10), (4096, 20480)])
    def test_bytes_are_multiplied_by_the_rate_of_their_record(self, rate, sent):
        assert read(text(flow(sampling_rate=rate))).cells[0][4] == sent

    def test_the_user_may_say_that_they_are_multiplied_already(self):
        assert _read(text(V2), {"goflow2.scale": "no"}) == [(*FLOW[:4], 5, 0)]
        assert _read(text(V2), {"goflow2.scale": "yes"}) == [FLOW]

    def test_an_unknown_rate_is_told(self):
        records = [flow(sampling_rate=0), flow(sampling_rate=None), flow(sampling_rate=1), V2]
        assert notes_of(*records) == {NO_RATE: 2}
        assert notes_of(*records, settings={"goflow2.scale": "no"}) == {}

    @pytest.mark.parametrize("rate", [2**62, 2**53])
    def test_a_product_that_does_not_fit_is_rejected(self, rate):
        outcome = read(text(flow(sampling_rate=rate, bytes=2**40), V2))
        assert outcome.cells[0][4] == 2**63 - 1  # of which validation says that it is too large
        assert outcome.cells[1] == FLOW

    @pytest.mark.parametrize("fields", [{"sampling_rate": -1}, {"bytes": -5}])
    def test_neither_is_negative(self, fields):
        (reject,) = read(text(V2, flow(**fields))).rejects
        assert (reject.field, reject.rule) == (*fields, "must not be negative")


class TestTimes:
    @pytest.mark.parametrize("start", [0, None, "", 5 * 10**17, 12345, "1970-01-01T00:00:00Z", "never"])
    def test_without_a_start_the_time_of_reception_counts(self, start):
        record = flow(time_flow_start_ns=start)
        assert read(text(record)).cells == [(HOUR + 1, *FLOW[1:])]
        assert notes_of(record, V2) == {NO_START: 1}

    def test_of_rows_that_are_rejected_after_all_nothing_is_noted(self):
        assert notes_of(flow(time_flow_start_ns=0, time_received_ns=0), V2) == {}

    def test_the_time_of_reception_may_be_a_text(self):
        record = flow(time_flow_start_ns=0, time_received_ns="2025-11-26T10:59:59.999999999Z")
        assert read(text(record)).cells == [FLOW]

    @pytest.mark.parametrize("start", [0, None, "never"])
    def test_without_both_the_row_is_rejected(self, start):
        (reject,) = read(text(V2, flow(time_flow_start_ns=start, time_received_ns=0))).rejects
        assert (reject.row, reject.field) == (2, "time_flow_start_ns")


class TestLeftOut:
    @pytest.mark.parametrize(
        "fields",
        [
            {"etype": "ARP"},
            {"etype": 2054},
            {"etype": 34887, "src_addr": None, "dst_addr": None},
            {"etype": "", "src_addr": "", "dst_addr": ""},
            {"etype": None, "src_addr": None, "dst_addr": None},
        ],
    )
    def test_what_is_no_ip_is_another_kind_of_event(self, fields):
        outcome = read(text(V2, flow(**fields)))
        assert (len(outcome.records), outcome.ignored, outcome.rejects) == (1, {"other kind of event": 1}, [])

    @pytest.mark.parametrize(
        "fields", [{"src_addr": None}, {"dst_addr": ""}, {"src_addr": "AAA="}, {"bytes": None}, {"dst_addr": "x"}]
    )
    def test_ip_without_an_address_or_bytes_is_rejected(self, fields):
        (reject,) = read(text(V2, flow(**fields))).rejects
        assert (reject.row, reject.field) == (2, *fields)

    def test_only_the_routers_that_the_user_names_count(self):
        records = [
            V2,
            flow(sampler_address="192.0.2.2"),
            flow(sampler_address=packed("192.0.2.3")),
            flow(sampler_address=None),
        ]
        settings_ = {"goflow2.exporter": "192.0.2.1, 192.0.2.3"}
        assert _read(text(*records), settings_) == [FLOW, FLOW]

    @pytest.mark.parametrize("given", ["192.0.2.1", "::ffff:192.0.2.1"])
    def test_a_router_is_the_same_however_its_address_is_spelt(self, given):
        """A collector's socket for both families has `::ffff:192.0.2.1`."""
        spelt = ["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201", packed("::ffff:192.0.2.1"), "no address"]
        records = [flow(sampler_address=address) for address in spelt]
        assert _read(text(*records), {"goflow2.exporter": given}) == [FLOW] * 4


def _read(content, settings_):
    known, stream = formats.open_source(io.BytesIO(content.encode()), "raw")
    context = ReadContext(ReadOptions(settings=settings_), AppMap())
    return [tuple(row.values()) for batch in batches_of(known.read(stream, context)) for row in batch.table.to_pylist()]


@pytest.mark.parametrize(
    "setting",
    [
        {"goflow2.scale": "maybe"},
        {"goflow2.exporter": "router"},
        {"goflow2.exporter": "fe80::1%eth0"},
        {"goflow2.exporter": ""},
        {"goflow2.x": ""},
    ],
)
def test_settings_that_are_unfit_are_refused(setting):
    with pytest.raises(UsageError, match=f"--set.* {next(iter(setting))}"):
        formats.check_settings(ReadOptions(settings=setting))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there is no folder of samples at {SAMPLES}")
@pytest.mark.parametrize(
    ("name", "total"), [("goflow2__README.md#sample.json", 150_000), ("id214442772__unit-test__ipfix-sampling0.ndjson", 143)]
)
def test_a_sample_has_the_sum_of_its_index(name, total):
    outcome = read((SAMPLES / "goflow2" / name).read_bytes())
    assert [tx + rx for *_, tx, rx in outcome.cells] == [total]


_starts = st.one_of(st.just(0), st.integers(TEN * NANO, (TEN + 7200) * NANO))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(_starts, st.integers(0, 2**32), st.integers(0, 5000)), min_size=1, max_size=8))
def test_any_records_add_up_as_an_independent_reader_has_it(rows):
    records = [flow(time_flow_start_ns=start, bytes=sent, sampling_rate=rate) for start, sent, rate in rows]
    expected = [((start or V2["time_received_ns"]) // (3600 * NANO), sent * (rate or 1)) for start, sent, rate in rows]
    assert [(hour, tx) for hour, *_, tx, _ in read(text(*records)).cells] == expected
