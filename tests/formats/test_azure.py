"""Azure's VNet flow logs, version 4, and NSG flow logs, versions 1 and 2."""

import io
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli.reporting import ingest_notes
from pipeline.errors import OtherLog, UnknownFormat, UnreadableSource
from pipeline.flowstore import FlowStore
from pipeline.formats import azure, repeats
from pipeline.formats.azurerecords import records_of
from pipeline.formats.syntaxes import Log
from pipeline.jobs.ingest import IngestOptions
from pipeline.syntax import blocks, jsontext
from tests.formats.helpers import blocks_of, format_of, read

SAMPLES = Path(os.environ.get("FLOWLOG_SAMPLES") or Path(__file__).parents[3] / "shared" / "samples") / "azure"

TEN = 1_764_151_200  # 2025-11-26T10:00Z
HOUR = TEN // 3_600
VNET_ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/Shop-VNet"
NSG_ID = "/SUBSCRIPTIONS/S/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/WEB-NSG"
MAC = "000D3AF87856"

#: A flow's states: 5 bytes to the server and 700 back, then 6 and 800.
CONTINUES = f"{TEN}001,10.0.0.1,10.0.0.9,40000,443,6,O,C,NX,1,5,2,700"
ENDS = f"{TEN + 60}001,10.0.0.1,10.0.0.9,40000,443,6,O,E,NX,1,6,2,800"
BEGINS = f"{TEN}000,10.0.0.1,10.0.0.9,40000,443,6,O,B,NX,0,0,0,0"
DENIED = f"{TEN}000,192.0.2.1,10.0.0.9,40000,22,6,I,D,NX,0,0,0,0"
NSG_CONTINUES = f"{TEN},10.0.0.1,10.0.0.9,40000,443,T,O,A,C,1,5,2,700"
NSG_BEGINS = f"{TEN},10.0.0.1,10.0.0.9,40000,443,T,O,A,B,,,,"
NSG_DENIED = f"{TEN},192.0.2.1,10.0.0.9,40000,22,T,I,D,B,,,,"
NSG_OLD = f"{TEN},10.0.0.1,10.0.0.9,40000,443,T,O,A"

FIRST = (HOUR, "10.0.0.1", "10.0.0.9", "shop-vnet", 5, 700)
SECOND = (HOUR, "10.0.0.1", "10.0.0.9", "shop-vnet", 6, 800)
NSG_FIRST = (HOUR, "10.0.0.1", "10.0.0.9", "web-nsg", 5, 700)


def vnet(*tuples, time="2025-11-26T10:00:59Z", **more):
    """A record of a VNet flow log, each of whose tuples is of a rule of its own."""
    groups = [{"rule": f"r{i}", "flowTuples": [found]} for i, found in enumerate(tuples)]
    return {
        "time": time,
        "flowLogGUID": "g",
        "macAddress": MAC,
        "category": "FlowLogFlowEvent",
        "targetResourceID": VNET_ID,
        "flowLogVersion": 4,
        "flowRecords": {"flows": [{"aclID": "/a", "flowGroups": groups}]},
    } | more


def nsg(*tuples, version=2, time="2025-11-26T10:00:59Z", **more):
    flows = [{"rule": "r", "flows": [{"mac": MAC, "flowTuples": list(tuples)}]}]
    return {
        "time": time,
        "systemId": "s",
        "category": "NetworkSecurityGroupFlowEvent",
        "resourceId": NSG_ID,
        "properties": {"Version": version, "flows": flows},
    } | more


AUDIT = {"time": "2025-11-26T10:00:59Z", "category": "AuditEvent", "operationName": "x", "resourceId": "/r"}


def document(*records):
    return {"records": list(records)}


def text(*records):
    return json.dumps(document(*records))


RECORDS = (vnet(CONTINUES, DENIED), vnet(BEGINS, ENDS, time="2025-11-26T10:01:59Z"))
WRITTEN = {
    "a document": text(*RECORDS),
    "a pretty document": json.dumps(document(*RECORDS), indent=2),
    "a record a line": "\n".join(map(json.dumps, RECORDS)),
    "a document a line": "\n".join(map(text, RECORDS)),
    "documents side by side": "".join(map(text, RECORDS)),
    "an array of records": json.dumps(RECORDS),
    "an array of documents": json.dumps([document(record) for record in RECORDS], indent=1),
    "with a byte order mark": "\ufeff" + text(*RECORDS),
    "with pairs of line ends": json.dumps(document(*RECORDS), indent=2).replace("\n", "\r\n"),
    "records before and behind which is more": json.dumps({"a": [1], "records": RECORDS, "z": {"b": "]}"}}),
}


class TestContainers:
    @pytest.mark.parametrize("written", WRITTEN)
    @pytest.mark.parametrize("large", [False, True])
    def test_the_tuples_are_rows_wherever_the_records_stand(self, written, large, monkeypatch):
        if large and "document" in written and "array" not in written:  # a record is never large, nor what is in an array
            monkeypatch.setattr(jsontext, "LONG_LINE_BYTES", 10)
        with blocks_of(64 if large else 1 << 20):
            outcome = read(WRITTEN[written])
        assert format_of(WRITTEN[written]) == "Azure VNet flow log"
        assert (outcome.cells, outcome.rows) == ([FIRST, SECOND], [1, 4])
        assert outcome.ignored == {"denied": 1, "no traffic": 1}

    @pytest.mark.parametrize("write", [json.dumps, text], ids=["a record a line", "a document a line"])
    @pytest.mark.parametrize("broken", ['{"time": 1, "x', '{"time" 1}', "}", "no JSON", '{"records": [{'])
    @pytest.mark.parametrize("block_bytes", [40, 1 << 20])
    def test_a_broken_line_among_lines_that_are_whole_is_rejected_alone(self, write, broken, block_bytes):
        first, second = map(write, RECORDS)
        for written, row in (
            ([first, broken, second], 3),
            ([broken, first, second], 1),
            ([first, second, broken], 5),
            ([first, broken, "", broken, second], 3),
        ):
            if row == 1 and not broken.startswith("{"):
                continue  # which is no start of JSON
            with blocks_of(block_bytes):
                outcome = read("\r\n".join(written))
            assert outcome.cells == [FIRST, SECOND]
            assert outcome.faults[0] == (row, "", "must be a JSON object")
            assert set(outcome.raws.values()) == {broken}

    def test_records_around_broken_lines_are_parsed_together(self):
        """Else 7 MB of such lines took more than a minute."""
        lines = "".join(f'{json.dumps(record)}\n{{"time": 1, "x\n' for record in 50 * RECORDS)
        assert [len(found) for found in records_of(io.BytesIO(lines.encode()))] == [200]

    @pytest.mark.parametrize(
        "written",
        [
            json.dumps(document(*RECORDS), indent=2).replace('"macAddress":', '"macAddress"'),
            json.dumps(RECORDS).replace('"macAddress":', '"macAddress"'),
            text(*RECORDS) + text(*RECORDS)[:-9] + "\n" + text(*RECORDS),
            json.dumps(RECORDS[0])[:-9],
        ],
        ids=["a pretty document", "an array", "side by side", "the only line"],
    )
    def test_of_what_has_no_lines_a_broken_part_is_the_files_fault(self, written):
        with pytest.raises(UnreadableSource, match="is not whole JSON"):
            read(written, option="azure")

    def test_a_record_of_a_busy_firewall_is_read(self):
        long = vnet() | {"flowRecords": {"flows": [{"flowGroups": [{"flowTuples": [CONTINUES] * 100_000}]}]}}
        written = text(long, vnet(ENDS))
        assert len(written) > 6 << 20
        outcome = read(written)
        assert (len(outcome.rows), outcome.cells[-1]) == (100_001, SECOND)

    def test_a_record_that_does_not_end_is_none(self):
        with pytest.raises(UnreadableSource, match="is longer than 16 MiB"):
            read('{"records": [' + json.dumps(vnet())[:-1] + ', "x": "' + "x" * (17 << 20))

    @pytest.mark.parametrize("cut", [1, 2, 5, 40, 300])
    def test_a_file_that_stops_short_counts_nothing(self, cut):
        with pytest.raises(UnreadableSource, match="truncated"):
            read(text(*RECORDS)[:-cut])

    def test_a_blob_that_was_counted_and_grew_is_reported_and_not_added(self, tmp_path, unsynced):
        blob = tmp_path / "raw" / "PT1H.json"
        blob.parent.mkdir()
        store = FlowStore(tmp_path / "store", create=True)
        blob.write_text(text(*RECORDS)[:-2])
        assert "truncated" in store.ingest([str(blob.parent)]).failures[0].error
        blob.write_text(text(RECORDS[0]))
        assert store.ingest([str(blob.parent)]).valid == 1
        blob.write_text(text(*RECORDS))
        summary = store.ingest([str(blob.parent)])
        assert (len(summary.changed), summary.valid) == (1, 0)
        store.ingest([str(blob.parent)], IngestOptions(replace_changed=True))
        assert [(row["bytes_tx"], row["bytes_rx"]) for row in store.table(HOUR, HOUR + 1).to_pylist()] == [(11, 1500)]


class TestTuples:
    def test_vnet_and_nsg_records_have_their_states_in_other_fields(self):
        outcome = read(text(vnet(CONTINUES, BEGINS, DENIED), nsg(NSG_CONTINUES, NSG_BEGINS, NSG_DENIED)))
        assert outcome.cells == [FIRST, NSG_FIRST]
        assert outcome.rows == [1, 4]
        assert outcome.ignored == {"denied": 2, "no traffic": 2}

    @pytest.mark.parametrize(
        ("record", "name"), [(vnet(CONTINUES), "Azure VNet flow log"), (nsg(NSG_CONTINUES), "Azure NSG flow log")]
    )
    def test_the_first_flow_record_names_the_format(self, record, name):
        assert format_of(text(AUDIT, record)) == name

    def test_times_are_seconds_or_milliseconds_whatever_the_kind(self):
        in_seconds = CONTINUES.replace(f"{TEN}001", f"{TEN + 3_600}")
        in_milliseconds = NSG_CONTINUES.replace(f"{TEN}", f"{TEN + 3_600}999")
        assert [cells[0] for cells in read(text(vnet(in_seconds), nsg(in_milliseconds))).cells] == [HOUR + 1, HOUR + 1]

    @pytest.mark.parametrize("counts", ["0,0,0,0", ",,,"])
    def test_a_flow_that_begins_or_is_denied_counts_nothing_however_it_says_so(self, counts):
        begins, denied = BEGINS.replace("0,0,0,0", counts), DENIED.replace("0,0,0,0", counts)
        outcome = read(text(vnet(begins, denied), nsg(NSG_BEGINS.replace(",,,,", f",{counts}"))))
        assert (outcome.cells, outcome.ignored) == ([], {"no traffic": 2, "denied": 1})

    def test_a_flow_that_begins_counts_the_bytes_that_it_has_all_the_same(self):
        assert read(text(vnet(BEGINS.replace("0,0,0,0", "1,5,2,700")))).cells == [FIRST]

    def test_a_flow_that_goes_on_without_bytes_is_a_record_of_none(self):
        outcome = read(text(vnet(CONTINUES.replace("1,5,2,700", "0,0,0,0"))))
        assert [cells[4:] for cells in outcome.cells] == [(0, 0)]

    @pytest.mark.parametrize(
        ("unfit", "field", "rule"),
        [
            (CONTINUES.replace(",5,", ",x,"), "bytes_sent", "must be an integer"),
            (CONTINUES.replace(",700", ",-700"), "bytes_received", None),
            (CONTINUES.replace(",5,", ",,"), "bytes_sent", "must not be missing"),
            (CONTINUES.replace("10.0.0.9", "ten"), "destination", "must be an IP address"),
            (CONTINUES.replace("10.0.0.1", ""), "source", "must not be missing"),
            (CONTINUES.replace(f"{TEN}001", "0"), "time", "must be a time between 1990 and 2200"),
            (CONTINUES.replace(",C,", ",X,"), "state", "must be B, C, D or E"),
            (CONTINUES.replace(",C,", ",,"), "state", "must not be missing"),
            (CONTINUES.replace(",O,", ",i,"), "direction", "must be I or O"),
            (CONTINUES.replace(",O,", ",,"), "direction", "must not be missing"),
            (CONTINUES + ",0", "", "must have 13 fields"),
            (CONTINUES.rpartition(",")[0], "", "must have 13 fields"),
            ("", "", "must have 13 fields"),
            ("\r", "", "must have 13 fields"),
            (" \n ", "", "must have 13 fields"),
            (CONTINUES.replace("443", "4\n43"), None, None),
            ("\0", "", "must not contain NUL bytes"),
            ("\ud800" + CONTINUES, "time", "must be an integer"),
            (5, "", "must have 13 fields"),
            (None, "", "must have 13 fields"),
            ([CONTINUES], None, None),
        ],
    )
    def test_a_tuple_that_is_unfit_is_one_rejected_row(self, unfit, field, rule):
        outcome = read(text(vnet(BEGINS, unfit, ENDS)))
        if rule is None:
            assert outcome.read == 3
            assert outcome.rows[-1] == 3
            return
        assert (outcome.cells, outcome.rows) == ([SECOND], [3])
        assert outcome.faults == [(2, field, rule)]

    def test_a_reject_shows_the_tuple(self):
        unfit = CONTINUES.replace(",5,", ",x,")
        assert read(text(AUDIT, vnet(CONTINUES, unfit))).raws == {3: unfit}

    def test_endless_short_tuples_are_read_in_pieces(self, monkeypatch):
        monkeypatch.setattr(blocks, "MAX_LINES_AT_ONCE", 2)
        record = vnet(time="1")
        record["flowRecords"]["flows"][0]["flowGroups"] = [{"rule": "r", "flowTuples": ["", ENDS, "", CONTINUES, ENDS]}]
        outcome = read(text(vnet(CONTINUES), AUDIT, vnet(CONTINUES), record, nsg("x")))
        assert (outcome.cells, outcome.rows) == ([FIRST, SECOND, FIRST, SECOND], [1, 5, 7, 8])
        assert [(reject.row, reject.raw) for reject in outcome.rejects] == [(4, " "), (6, " "), (9, "x")]
        assert outcome.read == 9

    def test_an_nsg_tuple_has_a_decision(self):
        outcome = read(text(nsg(NSG_CONTINUES.replace(",A,", ",Z,"), NSG_CONTINUES.replace(",C,", ",D,"))))
        assert outcome.faults == [(1, "decision", "must be A or D"), (2, "state", "must be B, C or E")]

    def test_tuples_of_version_1_have_no_bytes_beside_those_of_version_2_that_have(self):
        outcome = read(text(nsg(NSG_OLD, NSG_OLD, version=1), nsg(NSG_CONTINUES)))
        lacks = "must have byte counts, which the tuples of version 1 of NSG flow logs lack"
        assert outcome.cells == [NSG_FIRST]
        assert outcome.faults == [(1, "", lacks), (2, "", lacks)]

    def test_a_tuple_of_eight_fields_is_no_old_one_in_a_vnet_flow_log(self):
        assert read(text(vnet(NSG_OLD))).faults == [(1, "", "must have 13 fields")]

    def test_a_file_of_version_1_alone_fails_and_says_why(self, tmp_path, unsynced):
        (tmp_path / "PT1H.json").write_text(text(nsg(NSG_OLD, version=1)))
        (failure,) = FlowStore(tmp_path / "store", create=True).ingest([str(tmp_path / "PT1H.json")]).failures
        assert "which the tuples of version 1 of NSG flow logs lack" in failure.error


class TestRecords:
    @pytest.mark.parametrize(
        ("target", "vpc"),
        [
            (VNET_ID, "shop-vnet"),
            (VNET_ID.upper(), "shop-vnet"),
            (f"{VNET_ID}/subnets/front", "shop-vnet"),
            ("/subscriptions/s/providers/Microsoft.Network/networkInterfaces/Vm1-Nic", "vm1-nic"),
            ("/subscriptions/s/other/x", "-"),
            (None, "-"),
        ],
    )
    def test_the_vpc_is_the_network_that_the_log_is_kept_for(self, target, vpc):
        assert [cells[3] for cells in read(text(vnet(CONTINUES, targetResourceID=target))).cells] == [vpc]

    def test_a_record_without_a_network_gets_the_user_s_vpc(self):
        assert read(text(vnet(CONTINUES, targetResourceID=None)), vpc_id="mine").cells[0][3] == "mine"
        assert read(text(vnet(CONTINUES)), vpc_id="mine").cells == [FIRST]

    def test_a_record_that_stands_twice_in_a_file_counts_once(self):
        record = vnet(CONTINUES, DENIED, "?")
        outcome = read(text(record, record) + json.dumps(dict(reversed(record.items()))))
        assert (outcome.cells, outcome.rows) == ([FIRST], [1])
        assert [reject.row for reject in outcome.rejects] == [3]
        assert outcome.ignored == {"denied": 1, "repeated record": 6}

    @pytest.mark.parametrize(
        "other",
        [
            vnet(CONTINUES, time="2025-11-26T10:01:59Z"),
            vnet(CONTINUES, macAddress="000D3AF87857"),
            vnet(CONTINUES, flowLogGUID="h"),
            vnet(CONTINUES, CONTINUES),
            nsg(NSG_CONTINUES),
        ],
    )
    def test_a_record_that_differs_in_anything_counts_too(self, other):
        assert len(read(text(vnet(CONTINUES), other)).rows) > 1
        assert not read(text(vnet(CONTINUES), other)).ignored

    def test_records_on_lines_that_differ_in_time_and_tuples_alone_are_read_as_those_of_one_document(self):
        minutes = [vnet(CONTINUES, ENDS), vnet(ENDS, time="2025-11-26T10:01:59Z"), vnet(BEGINS, ENDS, time="x")]
        others = [
            vnet(CONTINUES, time="y"),
            AUDIT,
            vnet(time="y"),
            vnet(ENDS, time="z", macAddress="M"),
            vnet("é", time="z"),
        ]
        records = [*minutes, *others, *minutes]
        lines, together = read("\n".join(map(json.dumps, records)), azure.VNET), read(text(*records), azure.VNET)
        for outcome in (lines, together):
            assert (outcome.rows, outcome.ignored) == (
                [1, 2, 3, 5, 6, 8],
                {"other kind of event": 1, "no traffic": 1, "repeated record": 5},
            )

    def test_a_record_without_a_time_is_never_a_repeat(self):
        record = {key: value for key, value in vnet(CONTINUES).items() if key != "time"}
        assert read(text(record, record)).cells == [FIRST, FIRST]

    def test_equal_tuples_of_one_record_are_as_many_flows(self):
        assert read(text(vnet(CONTINUES, CONTINUES))).cells == [FIRST, FIRST]

    def test_endless_records_do_not_fill_the_memory(self, monkeypatch):
        monkeypatch.setattr(repeats, "MOST_RECORDS", 3)
        with pytest.raises(UnreadableSource, match="split it"):
            read(text(*(vnet(CONTINUES, time=str(i)) for i in range(4))))

    def test_a_record_of_another_log_is_left_out(self):
        outcome = read(text(AUDIT, vnet(CONTINUES), AUDIT))
        assert (outcome.cells, outcome.rows, outcome.ignored) == ([FIRST], [2], {"other kind of event": 2})

    def test_a_record_without_tuples_is_no_row(self):
        empty = vnet() | {"flowRecords": {"flows": []}}
        outcome = read(text(empty, vnet(), vnet(CONTINUES)))
        assert (outcome.rows, outcome.read) == ([1], 1)

    @pytest.mark.parametrize(
        ("unfit", "field", "rule"),
        [
            (vnet(flowLogVersion=5), "flowLogVersion", "must be 4"),
            (nsg(version=3), "properties.Version", "must be 1 or 2"),
            (vnet(flowRecords=None), "flows", "must be an array"),
            (vnet(flowRecords={"flows": [5]}), "flowGroups", "must be an array"),
            (vnet(flowRecords={"flows": [{"flowGroups": [{"flowTuples": "x"}]}]}), "flowTuples", "must be an array"),
            (vnet(macAddress=5), "macAddress", "must be text"),
            (vnet(targetResourceID="/virtualNetworks/\ud800"), "targetResourceID", "must be text"),
            ({"hello": 1}, "", "must be a record of an Azure flow log"),
            (5, "", "must be a JSON object"),
            (None, "", "must be a JSON object"),
        ],
    )
    def test_a_record_that_is_written_otherwise_is_one_rejected_row(self, unfit, field, rule):
        outcome = read(text(vnet(CONTINUES), unfit, vnet(ENDS)))
        assert (outcome.cells, outcome.rows) == ([FIRST, SECOND], [1, 3])
        assert outcome.faults == [(2, field, rule)]
        assert json.loads(outcome.raws[2]) == unfit

    @pytest.mark.parametrize("key", ["category", "time", "flowRecords", "flows", "flowGroups", "flowTuples", "records"])
    def test_a_key_that_is_there_twice_is_ambiguous(self, key):
        written = text(vnet(CONTINUES))
        start = written.index(f'"{key}":')
        outcome = read(f'{written[:start]}"{key}": null, {written[start:]}' + text(vnet(ENDS)), option="azure")
        assert (outcome.cells, outcome.faults) == ([SECOND], [(1, key, "must be there once")])

    @pytest.mark.parametrize("depth", [100, 900, *range(950, 1_000, 3), 2_000])
    @pytest.mark.parametrize(
        "write", [text, lambda *records: "\n".join(map(json.dumps, records)), lambda *records: f"[{text(*records)}]"]
    )
    def test_a_record_that_is_deeply_nested_is_rejected_alone_where_it_is_not_read(self, depth, write):
        deep = "[" * depth + "]" * depth
        records = [vnet(CONTINUES), vnet(CONTINUES, time="2025-11-26T10:02:59Z") | {"x": "?"}, {"x": "?"}, vnet(ENDS)]
        outcome = read(write(*records).replace('"?"', deep), option="azure")
        cells = Counter(outcome.cells)
        assert cells - Counter([FIRST]) in (Counter([FIRST, SECOND]), Counter([SECOND]))
        assert len(outcome.cells) + len(outcome.rejects) == outcome.read == len(records)
        assert {reject.rule for reject in outcome.rejects} <= {
            "must be less deeply nested",
            "must be a record of an Azure flow log",
        }
        assert all(reject.raw for reject in outcome.rejects)
        if depth > 1_000:
            assert [reject.rule for reject in outcome.rejects] == ["must be less deeply nested"] * 2

    def test_a_forwarder_s_keys_are_tuples(self):
        forwarded = {
            "operationName": "NetworkSecurityGroupFlowEvents",
            "resourceId": NSG_ID,
            "macAddress": MAC,
            "time": "2025-11-26T10:00:59Z",
            "flow.0": NSG_CONTINUES,
            "flow.1": NSG_BEGINS,
            "flow": NSG_CONTINUES,
        }
        outcome = read(json.dumps(forwarded))
        assert (outcome.cells, outcome.ignored) == ([NSG_FIRST], {"no traffic": 1})

    def test_an_nsg_flow_log_has_the_interface_of_each_group(self):
        record = nsg(NSG_CONTINUES, macAddress="A")
        record["properties"]["flows"].append({"rule": "r", "flows": [{"flowTuples": [NSG_CONTINUES]}]})
        assert reported(text(record)) == [("O", MAC), ("O", "A")]

    def test_the_sender_s_interface_reports_what_goes_out_and_the_receiver_s_what_comes_in(self):
        assert reported(text(vnet(CONTINUES, ENDS.replace(",O,", ",I,")))) == [("O", MAC), ("I", MAC)]


class TestBothEnds:
    #: 705 bytes that are reported by both ends of a flow, and 806 by the receiver's of another.
    RECORDS = (
        vnet(CONTINUES),
        vnet(CONTINUES.replace(",O,", ",I,"), macAddress="B"),
        vnet(ENDS.replace(",O,", ",I,").replace("10.0.0.1", "192.0.2.1"), macAddress="B"),
    )

    def ingest(self, folder, *records, **options):
        (folder / "PT1H.json").write_text(text(*records))
        return FlowStore(folder / "store", create=True).ingest([str(folder / "PT1H.json")], IngestOptions(**options))

    def test_both_reports_count_and_the_run_says_so(self, tmp_path, unsynced):
        summary = self.ingest(tmp_path, *self.RECORDS)
        assert (summary.bytes_tx + summary.bytes_rx, summary.both_ends.bytes) == (2 * 705 + 806, 705)

    def test_what_is_sent_within_networks_that_are_logged_counts_as_the_sender_reports_it(self, tmp_path, unsynced):
        summary = self.ingest(tmp_path, *self.RECORDS, logged=("10.0.0.0/8",))
        assert (summary.bytes_tx + summary.bytes_rx, summary.ignored_bytes) == (705 + 806, {"other reporter": 705})

    def test_the_reports_of_an_interface_on_the_way_are_left_out(self, tmp_path, unsynced):
        summary = self.ingest(tmp_path, *self.RECORDS, hop=("B",))
        assert (summary.bytes_tx + summary.bytes_rx, summary.ignored_bytes) == (705, {"other reporter": 705 + 806})

    def test_what_stands_twice_is_told_with_its_bytes(self, tmp_path, unsynced):
        record = vnet(CONTINUES, DENIED.replace("0,0,0,0", "1,66,0,0"), "?", BEGINS)
        summary = self.ingest(tmp_path, record, record)
        assert summary.ignored == {"denied": 1, "no traffic": 1, "repeated record": 4}
        assert summary.ignored_bytes == {"denied": 66, "repeated record": 705 + 66}

    def test_a_run_that_reads_vnet_and_nsg_flow_logs_says_that_these_may_overlap(self, tmp_path, unsynced):
        raw, store = tmp_path / "raw", FlowStore(tmp_path / "store", create=True)
        raw.mkdir()
        said = []
        for name, record in (("a", vnet(CONTINUES)), ("b", nsg(NSG_CONTINUES)), ("c", vnet(ENDS)), ("d", nsg(NSG_BEGINS))):
            (raw / name).write_text(text(record))
            if name != "c":
                said.append(any("VNet and NSG" in line for line in ingest_notes(store.ingest([str(raw)]))))
        assert said == [False, False, True]


def reported(found):
    """By whom each record is reported: from which end, and by which interface."""
    seen = []

    def record(batch, options):
        made = azure._record(batch, options)
        reporter = made.reporter
        ends = ["O" if sent else "I" if got else "" for sent, got in zip(reporter.sender, reporter.receiver, strict=True)]
        seen.extend(zip(ends, reporter.interface.to_pylist(), strict=True))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(azure, "_LOG", Log(azure._COLUMNS, record, azure._ignored))
        read(found)
    return seen


class TestDetection:
    def test_a_log_of_another_category_is_left_alone_by_its_name(self):
        with pytest.raises(OtherLog, match="an Azure log of the category AuditEvent"):
            read(text(AUDIT))

    @pytest.mark.parametrize("found", [{"records": []}, {"records": [{"a": 1}]}, {"records": 5}, {"flows": []}])
    def test_other_json_is_not_taken_for_a_flow_log(self, found):
        with pytest.raises(UnknownFormat, match="JSON with the keys"):
            read(json.dumps(found))

    def test_a_record_that_does_not_say_its_category_is_told_by_its_shape(self):
        for record, flow in ((vnet(CONTINUES), FIRST), (nsg(NSG_CONTINUES), NSG_FIRST)):
            assert read(text({key: value for key, value in record.items() if key != "category"})).cells == [flow]

    def test_a_first_record_that_is_longer_than_what_is_looked_at_is_known(self):
        assert len(read(text(vnet(*[CONTINUES] * 2_000))).rows) == 2_000

    def test_a_flow_log_behind_long_records_needs_its_name(self):
        found = text(*[AUDIT | {"properties": "x" * 1_000}] * 100, vnet(CONTINUES))
        with pytest.raises(OtherLog):
            read(found)
        assert read(found, option="azure").cells == [FIRST]


# --- against a plain program -----------------------------------------------------------------------------------------


def plain(documents):
    """What a few lines make of documents: (hour, source, destination, sent, received), and why tuples do not count."""
    flows, ignored, met = [], Counter(), set()
    for record in (record for found in documents for record in found["records"]):
        is_vnet = record["category"] == "FlowLogFlowEvent"
        flat = json.dumps(record, sort_keys=True)
        for found in [t for f in (record["flowRecords"] if is_vnet else record["properties"])["flows"]
                      for g in f["flowGroups" if is_vnet else "flows"] for t in g["flowTuples"]]:  # fmt: skip
            ts, src, dst, *_, seventh, eighth, _, sent, _, received = found.split(",")
            decision, state = (seventh, seventh) if is_vnet else (seventh, eighth)
            why = "repeated record" if flat in met else "denied" if decision == "D" else ""
            why = why or ("no traffic" if state == "B" and not int(sent or 0) + int(received or 0) else "")
            ignored[why] += 1
            if not why:
                hour = int(ts) // (3_600_000 if len(ts) == 13 else 3_600)
                flows.append((hour, src, dst, int(sent), int(received)))
        met.add(flat)
    del ignored[""]
    return flows, ignored


@st.composite
def tuples(draw, is_vnet):
    start = f"{draw(st.integers(TEN, TEN + 9_999))}{'123' if draw(st.booleans()) else ''}"
    state = draw(st.sampled_from("BCDE" if is_vnet else "BCE"))
    decision = draw(st.sampled_from("AD"))
    empty = ",,," if draw(st.booleans()) else "0,0,0,0"
    counts = ",".join(map(str, draw(st.tuples(*[st.integers(0, 2**40)] * 4))))
    counts = empty if state in "BD" and draw(st.booleans()) else counts
    middle = f"{state},NX" if is_vnet else f"{decision},{state}"
    return f"{start},10.0.0.{draw(st.integers(0, 3))},fd00::{draw(st.integers(1, 3))},1,2,6,{draw(st.sampled_from('IO'))},{middle},{counts}"


@st.composite
def documents(draw):
    def record():
        is_vnet = draw(st.booleans())
        minute = str(draw(st.integers(0, 2)))
        return (vnet if is_vnet else nsg)(*draw(st.lists(tuples(is_vnet), max_size=4)), time=minute)

    records = [record() for _ in range(draw(st.integers(1, 6)))]
    chosen = [draw(st.sampled_from(records)) for _ in range(draw(st.integers(1, 10)))]
    cut = draw(st.integers(1, len(chosen)))
    return [document(*part) for part in (chosen[:cut], chosen[cut:]) if part]


@settings(max_examples=80, deadline=None)
@given(documents(), st.sampled_from([None, 2]), st.sampled_from([30, 500, 1 << 20]))
def test_documents_are_read_as_a_plain_program_reads_them(found, indent, block_bytes):
    written = "\n".join(json.dumps(one, indent=indent) for one in found)
    with blocks_of(block_bytes), pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsontext, "LONG_LINE_BYTES", 1_000)
        outcome = read(written, option="azure")
    flows, ignored = plain(found)
    assert [(hour, src, dst, sent, received) for hour, src, dst, _, sent, received in outcome.cells] == flows
    assert (outcome.ignored, outcome.rejects) == (ignored, [])


def test_the_sample_of_the_project_is_read_as_a_plain_program_reads_it():
    (path,) = Path(__file__).parents[2].glob("data/raw/azure/**/PT1H.json")
    outcome, (flows, ignored) = read(path.read_bytes()), plain([json.loads(path.read_bytes())])
    assert [(*cells[:3], *cells[4:]) for cells in outcome.cells] == flows != []
    assert outcome.ignored == ignored
    assert ignored.keys() == {"denied", "no traffic", "repeated record"}


# --- real and published samples --------------------------------------------------------------------------------------

TESTS = "intake-formats__Azure__azure-network-watcher__tests__"
SUMO = "sumologic-azure-function__BlockBlobReader__tests__blob_fixtures_"
#: Bytes sent and received by the samples' index, and what is ignored.
KNOWN = {
    f"{SUMO}networkinterfaceflowlogs.json": (2_481_443, 3_678_052, {"denied": 31, "no traffic": 9, "repeated record": 12}),
    f"{SUMO}vnetflowlogs.json": (35_278, 41_032, {"denied": 67, "no traffic": 5, "repeated record": 83}),
    "integrations__packages__azure_network_watcher_nsg___dev__deploy__docker__sample_logs__testdata.log": (
        25_533,
        21_128,
        {"denied": 7, "no traffic": 1},
    ),
    f"{TESTS}continue.json#message.json": (99, 167, {}),
    f"{TESTS}test_begin.json#message.json": (0, 0, {"no traffic": 1}),
    f"{TESTS}test_end.json#message.json": (74, 74, {}),
    f"{TESTS}test_short.json#message.json": (0, 0, {}),
}


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there is no folder of samples at {SAMPLES}")
@pytest.mark.parametrize("name", KNOWN)
def test_a_sample_has_the_sums_of_its_index(name):
    outcome = read((SAMPLES / name).read_bytes())
    sent, received, ignored = KNOWN[name]
    assert (sum(cells[4] for cells in outcome.cells), sum(cells[5] for cells in outcome.cells)) == (sent, received)
    assert outcome.ignored == ignored
    assert len(outcome.rejects) == ("test_short" in name)
