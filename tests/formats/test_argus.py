"""Argus's listings, in CSV and in JSON."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UnknownFormat
from pipeline.flowstore import FlowStore
from pipeline.jobs.ingest import IngestOptions
from pipeline.syntax import jsontext
from tests.formats.helpers import blocks_of, format_of, read

TEN = 1_764_151_200  # 2025-11-26T10:00Z
HOUR = TEN // 3_600
SAMPLE = Path(os.environ.get("FLOWLOG_SHARED") or Path(__file__).parents[3] / "shared") / "samples" / "argus"
OTHER = "other kind of event"
CSV = {"StartTime": f"{TEN}.250000", "Dur": "9.5", "Proto": "tcp", "SrcAddr": "10.0.0.1", "Sport": "40000", "Dir": "   ->"}
CSV |= {"DstAddr": "10.0.0.9", "Dport": "443", "SrcBytes": "5", "DstBytes": "700"}
JSON = {"type": "flow", "stime": TEN + 0.25, "dur": 9.5, "proto": "tcp", "saddr": "10.0.0.1", "sport": 40_000, "dir": " ->"}
JSON |= {"daddr": "10.0.0.9", "dport": 443, "sbytes": 5, "dbytes": 700}
COUNTED = (HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 700)
TURNED = (HOUR, "10.0.0.9", "10.0.0.1", "-", 700, 5)


def listing(*flows):
    return "".join(",".join(cells) + "\n" for cells in (flows[0], *(flow.values() for flow in flows)))


def objects(*flows):
    """What `ra -M json` writes."""
    return '{"ArgusData":[' + ",\n".join(map(json.dumps, flows)) + "]}\n"


@pytest.mark.parametrize("time", [f"{TEN}.250000", f"{TEN}", "2025/11/26 10:00:00.250000", "2025-11-26 10:00:00.250"])
def test_a_flow_has_both_directions_and_the_hour_of_its_start(time):
    assert read(listing(CSV | {"StartTime": time})).cells == [COUNTED]


@pytest.mark.parametrize("time", [TEN + 0.25, TEN, "2025/11/26 10:00:00.250000"])
def test_json_says_the_same(time):
    assert read(objects(JSON | {"stime": time})).cells == [COUNTED]


def test_local_times_are_read_in_the_zone_that_the_user_names():
    for text in (listing(CSV | {"StartTime": "2025/11/26 10:00:00"}), objects(JSON | {"stime": "2025/11/26 10:00:00"})):
        assert read(text, timezone="+02:00").cells == [(HOUR - 2, *COUNTED[1:])]


class TestDirection:
    @pytest.mark.parametrize("arrow", ["->", "   ?>", " ->"])
    def test_the_source_opened_it_whatever_the_ports_say(self, arrow):
        assert read(listing(CSV | {"Dir": arrow, "Sport": "80", "Dport": "50000"})).cells == [COUNTED]

    @pytest.mark.parametrize("arrow", ["<-", "  <?"])
    def test_the_destination_opened_it(self, arrow):
        assert read(listing(CSV | {"Dir": arrow})).cells == [TURNED]

    @pytest.mark.parametrize("arrow", ["<->", "  <?>", "who", ""])
    @pytest.mark.parametrize("port", ["80", "0x0050"])
    def test_elsewhere_the_ports_tell(self, arrow, port):
        assert read(listing(CSV | {"Dir": arrow})).cells == [COUNTED]
        assert read(listing(CSV | {"Dir": arrow, "Sport": port, "Dport": "50000"})).cells == [TURNED]

    @pytest.mark.parametrize("port", ["", "domain", "0x"])
    def test_what_is_no_number_tells_nothing(self, port):
        assert read(listing(CSV | {"Dir": "<->", "Sport": port, "Dport": "50000"})).cells == [COUNTED]

    def test_json_has_hexadecimal_ports_as_texts(self):
        flows = [JSON | {"dir": "<->", "sport": port, "dport": 50_000} for port in (80, "0x0050", None)]
        assert read(objects(*flows)).cells == [TURNED, COUNTED, COUNTED]


class TestBytes:
    def flow(self, **counts):
        return {name: cell for name, cell in CSV.items() if not name.endswith("Bytes")} | counts

    def test_of_the_sum_and_one_direction_the_other_follows(self):
        assert read(listing(self.flow(TotBytes="705", SrcBytes="5"))).cells == [COUNTED]

    def test_a_sum_alone_counts_as_sent_and_the_run_says_so(self, tmp_path, unsynced):
        path = tmp_path / "ra.csv"
        path.write_text(listing(self.flow(TotBytes="705")))
        assert read(path.read_bytes()).cells == [(*COUNTED[:4], 705, 0)]
        summary = FlowStore(tmp_path / "store", create=True).ingest([str(path)], IngestOptions())
        assert any("both directions in one number" in note for note in summary.notes)

    def test_a_direction_that_is_larger_than_the_sum_is_rejected(self, tmp_path, unsynced):
        path = tmp_path / "ra.csv"
        path.write_text(listing(self.flow(TotBytes="705", SrcBytes="5"), self.flow(TotBytes="5", SrcBytes="705")))
        store = FlowStore(tmp_path / "store", create=True)
        assert store.ingest([str(path)], IngestOptions()).rejected == 1

    def test_without_any_the_listing_is_refused_by_name(self):
        with pytest.raises(UnknownFormat, match=r"without byte counts; print SrcBytes and DstBytes"):
            read(listing(self.flow(TotPkts="5")))


class TestOthers:
    @pytest.mark.parametrize(
        "changes",
        [
            {"Proto": "man", "SrcAddr": "0", "Dir": "", "DstAddr": "0", "SrcBytes": "", "DstBytes": ""},
            {"Proto": "arp", "Dir": "  who"},
            {"Proto": "llc", "SrcAddr": "00:15:17:2c:e5:2d", "DstAddr": "01:80:c2:00:00:00"},
        ],
        ids=lambda changes: changes["Proto"],
    )
    def test_what_is_no_flow_of_ip_is_ignored(self, changes):
        outcome = read(listing(CSV, CSV | changes))
        assert (outcome.cells, outcome.ignored, outcome.rejects) == ([COUNTED], {OTHER: 1}, [])

    def test_json_has_events_and_management_records_beside_the_flows(self):
        outcome = read(
            objects({"type": "event", "stime": TEN, "proto": "evt"}, JSON, {"type": "man", "stime": TEN, "pkts": 4})
        )
        assert (outcome.cells, outcome.ignored) == ([COUNTED], {OTHER: 2})

    @pytest.mark.parametrize(
        ("field", "cell"), [("SrcAddr", "ten"), ("SrcAddr", ""), ("SrcBytes", "x"), ("StartTime", "soon")]
    )
    def test_a_row_with_an_unfit_cell_is_rejected(self, field, cell):
        outcome = read(listing(CSV, CSV | {field: cell}))
        assert (outcome.cells, [(reject.row, reject.field) for reject in outcome.rejects]) == ([COUNTED], [(3, field)])


def test_one_time_without_a_year_is_its_rows_fault_alone():
    outcome = read(listing(CSV | {"StartTime": "10:00:00.5"}, CSV))
    assert (len(outcome.records), outcome.faults) == (1, [(2, "StartTime", "must be a time like 2026-11-26 08:00:00")])


@pytest.mark.parametrize("time", ["11/26.10:00:00.250000", "10:00:00.250000", "Wed 11/26 10:00:00"])
def test_times_without_a_year_are_refused_by_name(time):
    for text in (listing(CSV | {"StartTime": time}), objects(JSON | {"stime": time}), json.dumps(JSON | {"stime": time})):
        with pytest.raises(UnknownFormat, match="whose times have no year; print it with ra -u"):
            read(text)


def test_a_listing_for_people_is_refused_by_name():
    with pytest.raises(UnknownFormat, match="an Argus flow listing for people; print it with ra -c , -u"):
        read(
            "         StartTime      Flgs  Proto            SrcAddr  Sport   Dir            DstAddr  Dport  TotPkts   TotBytes State\n"
        )


class TestContainers:
    FLOWS = tuple(JSON | {"sbytes": number} for number in range(60))

    @pytest.mark.parametrize(
        "text",
        [
            objects(*FLOWS),
            objects(*FLOWS).replace("\n", ""),
            json.dumps({"ArgusData": FLOWS}, indent=2),
            objects(*FLOWS[:20]) + objects(*FLOWS[20:]),
            objects(*FLOWS[:20]).strip() + objects(*FLOWS[20:]),
            json.dumps(FLOWS),
            "".join(json.dumps(flow) + "\n" for flow in FLOWS),
            f"[{objects(*FLOWS[:20])}, {objects(*FLOWS[20:])}]",
            f"[{objects(*FLOWS[:20])}] {objects(*FLOWS[20:])}",
        ],
        ids=[
            "as ra writes it",
            "on one line",
            "pretty",
            "twice",
            "side by side",
            "an array",
            "lines",
            "an array of such",
            "and more",
        ],
    )
    @pytest.mark.parametrize("is_large", [False, True])
    def test_flows_are_found_and_numbered_in_each(self, text, is_large, monkeypatch):
        if is_large:
            monkeypatch.setattr(jsontext, "LONG_LINE_BYTES", 1000)
        with blocks_of(500):
            outcome = read(text)
        assert [cells[4] for cells in outcome.cells] == list(range(60))
        assert outcome.rows == list(range(1, 61))

    @pytest.mark.parametrize("indent", [None, 1, "\t"])
    def test_an_array_of_arrays_may_be_longer_than_the_head_on_whatever_lines(self, indent):
        text = json.dumps([{"ArgusData": [JSON] * 500}], indent=indent)
        assert len(text) > 64 << 10
        assert read(text).rows == list(range(1, 501))

    def test_a_file_that_is_cut_off_fails(self):
        with pytest.raises(Exception, match="truncated"):
            read(objects(*self.FLOWS)[:-200])

    def test_flows_in_an_array_may_name_it(self):
        assert read(json.dumps([JSON | {"user": "ArgusData"}, JSON])).cells == [COUNTED] * 2

    def test_an_array_without_flows_has_none(self):
        assert read('{"ArgusData":[]}').read == 0


flows = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1, max_size=8)


@given(flows)
@settings(max_examples=50)
def test_both_syntaxes_have_the_bytes_that_a_reader_of_few_lines_finds(records):
    texts = [CSV | {"StartTime": str(TEN + start), "SrcBytes": str(tx), "DstBytes": str(rx)} for start, tx, rx in records]
    expected = [((TEN + start) // 3600, tx, rx) for start, tx, rx in records]
    for text in (
        listing(*texts),
        objects(*(JSON | {"stime": TEN + s, "sbytes": tx, "dbytes": rx} for s, tx, rx in records)),
    ):
        assert [(hour, tx, rx) for hour, _, _, _, tx, rx in read(text).cells] == expected


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"there are no samples at {SAMPLE}")
def test_the_sample_is_refused_and_with_a_year_has_the_sum_of_its_index():
    """Of 5,632 bytes, 60 are a frame of LLDP, whose addresses are no IP addresses."""
    text = (SAMPLE / "clients__pythonlib__test__argus.out.json").read_text()
    with pytest.raises(UnknownFormat, match="no year"):
        read(text)
    dated = re.sub(r'"(\d\d)/(\d\d)\.', r'"2021/\1/\2 ', text)
    outcome = read(dated)
    assert format_of(dated) == "Argus, JSON"
    assert (outcome.read, outcome.ignored, outcome.rejects) == (20, {OTHER: 2}, [])
    assert sum(tx + rx for *_, tx, rx in outcome.cells) == 5_632 - 60
