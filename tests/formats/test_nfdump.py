"""nfdump's outputs: what each says, what is refused, and the older CSV's summary as a proof of its rows."""

import csv
import io
import json
import os
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import formats
from pipeline.errors import EmptySource, UnknownFormat, UnreadableSource
from pipeline.formats.apps import AppMap
from pipeline.formats.format import ReadContext
from pipeline.formats.localcolumns import NOT_LOCAL
from pipeline.options import ReadOptions
from tests.formats.helpers import ADDRESS_RULE, MISSING_RULE, RANGE_RULE, batches_of, blocks_of, format_of, read

SAMPLES = Path(os.environ.get("FLOWLOG_SAMPLES") or Path(__file__).parents[3] / "shared" / "samples")
OLD = "ts,te,td,sa,da,sp,dp,pr,flg,ipkt,ibyt,opkt,obyt"
NEW = "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows"
FAST = "cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,srcAS,dstAS,input,output,flags,srcTos,packets,bytes"
OWN = "firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,inPackets,inBytes,outPackets,outBytes"
TEN = 1_764_151_200  # 2025-11-26T10:00Z
HOUR = TEN // 3600
NO_ADDRESS_RULE = "must be an address, of which the record has none"


def old(start="2025-11-26 10:00:00", src="10.0.0.1", dst="10.0.0.9", ports=("40000", "443"), sent=5, received=0):
    return f"{start},{start},0.000,{src},{dst},{ports[0]},{ports[1]},TCP,...AP.SF,1,{sent},1,{received}"


def new(start="2025-11-26 10:00:00.000", src="10.0.0.1", dst="10.0.0.9", ports=("40000", "443"), sent=5):
    return f"{start},0.500,6,{src},{ports[0]},{dst},{ports[1]},1,{sent},1"


def fast(start=TEN * 1000, src="10.0.0.1", dst="10.0.0.9", ports=("40000", "443"), sent=5):
    return f"1,2,{start},{start},6,{src},{ports[0]},{dst},{ports[1]},0,0,0,0,...AP.SF,0,1,{sent}"


def own(start=f"{TEN}.250", src="10.0.0.1", dst="10.0.0.9", ports=("40000", "443"), sent=5, received=700):
    return f"{start},{start},6,{src},{ports[0]},{dst},{ports[1]},1,{sent},1,{received}"


def record(**fields):
    flow = {
        "cnt": 1,
        "type": "FLOW",
        "export_sysid": 1,
        "first": "2025-11-26T10:00:00.000",
        "last": "2025-11-26T10:00:01.000",
    }
    flow |= {"in_bytes": 5, "proto": 6, "src_port": 40000, "dst_port": 443, "src4_addr": "10.0.0.1", "dst4_addr": "10.0.0.9"}
    return json.dumps({key: value for key, value in (flow | fields).items() if value is not None})


def text(*lines):
    return "".join(f"{line}\n" for line in lines)


def summary(total, flows=1):
    return ("Summary", "flows,bytes,packets,avg_bps,avg_pps,avg_bpp", f"{flows},{total},9,1,2,3")


def notes_of(content, **options):
    """The notes of a file, with how many rows each is about."""
    known, stream = formats.open_source(io.BytesIO(content.encode()), "raw")
    context = ReadContext(ReadOptions(**options), AppMap())
    found = {}
    for batch in batches_of(known.read(stream, context)):
        for note, rows in batch.noted.items():
            found[note] = found.get(note, 0) + len(rows)
    return found


class TestOutputs:
    @pytest.mark.parametrize(
        ("header", "row", "name"),
        [
            (OLD, old(received=700), "nfdump, CSV before 1.7.5"),
            (OWN, own(), "nfdump, CSV"),
            (None, record(out_bytes=700), "nfdump, JSON"),
            (None, record(first=None, t_first="2025-11-26T10:00:00.5", out_bytes=700), "nfdump, JSON"),
        ],
    )
    def test_a_record_of_both_directions(self, header, row, name):
        content = text(*filter(None, [header, row]))
        assert format_of(content) == name
        assert read(content).cells == [(HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 700)]
        assert not notes_of(content)

    @pytest.mark.parametrize(("header", "row"), [(NEW, new()), (FAST, fast())])
    def test_an_output_of_one_direction_says_so_and_what_to_print_instead(self, header, row):
        content = text(header, row, row, row)
        assert read(content).cells == [(HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 0)] * 3
        ((note, rows),) = notes_of(content).items()
        assert rows == 3
        assert "ndjson" in note

    @pytest.mark.parametrize(
        "lines",
        [
            (OLD, old(src="10.0.0.9", dst="10.0.0.1", ports=("443", "40000"))),
            (NEW, new(src="10.0.0.9", dst="10.0.0.1", ports=("443", "40000"))),
            (FAST, fast(src="10.0.0.9", dst="10.0.0.1", ports=("443", "40000"))),
            (record(src4_addr="10.0.0.9", dst4_addr="10.0.0.1", src_port=443, dst_port=40000),),
        ],
    )
    def test_the_record_of_an_answer_is_turned_by_its_ports(self, lines):
        assert read(text(*lines)).cells == [(HOUR, "10.0.0.1", "10.0.0.9", "-", 0, 5)]

    @pytest.mark.parametrize(
        "lines",
        [
            (OLD, old(ports=("0", "8.0"))),
            (NEW, new(ports=("0", "8.0"))),
            (FAST, fast(ports=("0", "2048"))),
            (record(src_port=None, dst_port=None, icmp_type=8),),
        ],
    )
    def test_icmp_has_no_ports_and_is_not_turned(self, lines):
        assert read(text(*lines)).cells == [(HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 0)]

    def test_an_address_of_version_6(self):
        content = text(record(src4_addr=None, dst4_addr=None, src6_addr="fe80::1", dst6_addr="fe80::2"))
        assert read(content).cells == [(HOUR, "fe80::1", "fe80::2", "-", 5, 0)]

    def test_the_user_s_columns_may_come_in_any_order_and_without_ports(self):
        content = text("outBytes,dstAddr,srcAddr,inBytes,firstSeen", f"7,10.0.0.9,10.0.0.1,5,{TEN}.000")
        assert read(content).cells == [(HOUR, "10.0.0.1", "10.0.0.9", "-", 5, 7)]

    def test_a_firewall_s_event_is_no_flow(self):
        outcome = read(text(record(), record(type="EVENT", in_bytes=None, first=None)))
        assert (len(outcome.records), outcome.ignored) == (1, {"other kind of event": 1})

    def test_sampled_bytes_were_multiplied_by_the_collector(self):
        assert read(text(record(sampled=1))).cells[0][4] == 5

    def test_local_times_are_read_in_the_zone_that_the_user_names(self):
        for content in (text(OLD, old()), text(NEW, new()), text(record())):
            assert read(content, timezone="America/New_York").cells[0][0] == HOUR + 5
        for content in (text(FAST, fast()), text(OWN, own())):
            assert read(content, timezone="America/New_York").cells[0][0] == HOUR

    def test_an_hour_that_is_there_twice_is_named(self):
        content = text(OLD, old("2024-10-27 02:30:00"), old("2024-10-27 03:30:00"))
        (note,) = notes_of(content, timezone="Europe/Berlin")
        assert note.startswith("have a time that two hours share, 2024-10-27T02 in Europe/Berlin")


class TestRejected:
    @pytest.mark.parametrize(
        ("header", "good", "bad", "fault"),
        [
            (OLD, old(), old("1970-01-01 00:00:00"), ("ts", RANGE_RULE)),
            (NEW, new(), new("0000-00-00 00:00:00.000"), ("firstSeen", NOT_LOCAL)),
            (FAST, fast(), fast(0), ("firstSeen", RANGE_RULE)),
            (OWN, own(), own("0.000"), ("firstSeen", RANGE_RULE)),
            (record(), record(), record(first=None), ("first", MISSING_RULE)),
            (record(), record(), record(in_bytes=None), ("in_bytes", MISSING_RULE)),
            (record(), record(), record(dst4_addr=None), ("dst4_addr", MISSING_RULE)),
            (record(), record(), record(src4_addr="0.0.0.0"), ("src4_addr", NO_ADDRESS_RULE)),
            (OLD, old(), old(src="0.0.0.0", dst="0.0.0.0"), ("sa", NO_ADDRESS_RULE)),
            (NEW, new(), new(dst="0.0.0.0"), ("dstAddr", NO_ADDRESS_RULE)),
            (FAST, fast(), fast(src=""), ("srcAddr", NO_ADDRESS_RULE)),
            (FAST, fast(), fast(dst="        "), ("dstAddr", NO_ADDRESS_RULE)),
            (NEW, new(), new(src="ten"), ("srcAddr", ADDRESS_RULE)),
            (OLD, old(), old(sent="5.5"), ("ibyt", "must be an integer")),
            (OLD, old(), old()[:-4], ("", "must have 13 fields")),
        ],
    )
    def test_a_row_without_a_time_an_address_or_bytes(self, header, good, bad, fault):
        outcome = read(text(header, good, bad))
        assert [(reject.field, reject.rule) for reject in outcome.rejects] == [fault]
        assert {reject.row for reject in outcome.rejects} == {3}


class TestSummary:
    def test_a_summary_that_agrees_is_no_row(self):
        outcome = read(text(OLD, old(sent=5), old(sent=6, received=7), *summary(18, flows=131)))
        assert (outcome.read, len(outcome.records), outcome.rejects) == (2, 2, [])

    def test_rejected_rows_are_part_of_the_sum(self):
        outcome = read(text(OLD, old(sent=5), old("1970-01-01 00:00:00", sent=100), *summary(105)))
        assert (len(outcome.records), len(outcome.rejects)) == (1, 1)

    @pytest.mark.parametrize("promised", [17, 19, 0])
    def test_a_summary_that_disagrees_fails_the_file_with_both_figures(self, promised):
        with pytest.raises(
            UnreadableSource, match=f"line 6: nfdump's summary says {promised} bytes, and the rows above have 18"
        ):
            read(text(OLD, old(sent=5), old(sent=13), *summary(promised)))

    def test_a_row_that_cannot_be_read_may_have_what_is_lacking_but_not_less(self):
        torn = old(sent=50)[:-10]
        assert len(read(text(OLD, old(sent=5), torn, *summary(55))).rejects) == 1
        with pytest.raises(UnreadableSource, match="says 4 bytes, and the rows above have 5"):
            read(text(OLD, old(sent=5), torn, *summary(4)))

    def test_a_sum_beyond_64_bits_is_exact(self):
        most = 2**63 - 1
        outcome = read(text(OLD, old(sent=most, received=most), old(sent=most), *summary(3 * most)))
        assert outcome.read == 2

    @pytest.mark.parametrize("values", ["1,18", "1,x,9,1,2,3"])
    def test_a_summary_that_is_cut_off_fails_the_file(self, values):
        with pytest.raises(UnreadableSource, match="cannot be read; is the file cut off"):
            read(text(OLD, old(sent=18), *summary(18)[:2], values))

    @pytest.mark.parametrize("lines", range(3))
    def test_a_file_without_its_summary_has_all_its_rows(self, lines):
        assert len(read(text(OLD, old(), *summary(9)[:lines])).records) == 1

    def test_joined_files_have_a_summary_each(self):
        content = text(OLD, old(sent=5), *summary(5), OLD, old(sent=6), old(sent=7), *summary(13), OLD, *summary(0))
        assert sum(tx for *_, tx, _ in read(content).cells) == 18
        with pytest.raises(UnreadableSource, match=r"line 11: .* says 12 bytes, and the rows above have 13"):
            read(content.replace(",13,", ",12,"))

    def test_a_further_header_may_have_another_order(self):
        content = text(OLD, old(sent=5), *summary(5), "ts,te,da,sa,obyt,ibyt", "2025-11-26 10:00:00,,10.0.0.9,10.0.0.1,7,6")
        assert read(content).cells[1] == (HOUR, "10.0.0.1", "10.0.0.9", "-", 6, 7)

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("size", [64, 200, 1 << 20])
    def test_blocks_may_end_anywhere(self, size, end):
        lines = [OLD, *(old(sent=i) for i in range(9)), *summary(36), OLD, old(sent=1), *summary(1)]
        with blocks_of(size):
            assert sum(tx for *_, tx, _ in read(end.join(lines)).cells) == 37


class TestWithoutFlows:
    """An empty rotation of nfcapd, of which nfdump prints a line that says so."""

    @pytest.mark.parametrize("header", [OLD, NEW, FAST, OWN])
    @pytest.mark.parametrize("line", ["No matched flows", "No matching flows"])
    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_csv_has_no_rows(self, header, line, end):
        outcome = read(f"{header}\n{line}{end}")
        assert (outcome.read, outcome.cells, outcome.rejects) == (0, [], [])

    def test_the_older_csv_has_a_summary_all_the_same(self):
        empty = f"{OLD}\nNo matching flows\nSummary\nflows,bytes,packets\n0,0,0\n"
        assert read(empty).read == 0
        assert len(read(f"{empty}{OLD}\n{old()}\nSummary\nflows,bytes,packets\n1,5,1\n").cells) == 1

    def test_joined_to_rows_the_line_is_none_of_them(self):
        outcome = read(f"{NEW}\nNo matching flows\n{new()}\n{new(sent=6)}\nNo matching flows\n")
        assert (outcome.read, outcome.rows) == (2, [3, 4])

    @pytest.mark.parametrize("text", ["No matching flows\n", "[\nNo matching flows\n\n]\n", "[\r\nNo matched flows\r\n]"])
    def test_json_is_empty(self, text):
        with pytest.raises(EmptySource):
            read(text)

    def test_whatever_else_such_a_line_stands_before_is_not_passed_over(self):
        with pytest.raises(UnknownFormat):
            read(f"No matching flows\n{record()}\n")


class TestRefused:
    @pytest.mark.parametrize(
        ("line", "found", "advice"),
        [
            ("ts,te,td,pr,val,fl,flP,ipkt,ipktP,ibyt,ibytP", "nfdump's statistics, CSV", "without -s"),
            ("firstSeen,duration,srcAddr,packets,bytes,bps,bpp,flows", "aggregated flows of nfdump, CSV", "without -A"),
            ("srcAddr,dstAddr,bytes,flows", "an nfdump flow log, CSV, without times", "%tsr"),
            ("firstSeen,srcAddr,dstAddr,packets", "an nfdump flow log, CSV, without bytes", "%ibyt"),
            ("Date first seen         Duration Proto  Src IP Addr:Port", "an nfdump listing", "-o ndjson"),
            (old(), "an nfdump flow log, CSV, without the names of its columns", "without -q"),
            (new(), "an nfdump flow log, CSV, without the names of its columns", "without -q"),
        ],
    )
    def test_what_has_no_flows_is_refused_with_what_to_print(self, line, found, advice):
        with pytest.raises(UnknownFormat) as error:
            format_of(line + "\n")
        assert error.value.found == found
        assert advice in error.value.advice

    def test_a_file_of_nfcapd_is_to_be_printed(self):
        with pytest.raises(UnknownFormat, match="nfdump -o ndjson"):
            format_of(b"\x0c\xa5\x02\x00\x01\x07\x00\x00")


STARTS, SOURCES = ("ts", "firstSeen", "first"), ("sa", "srcAddr", "src4_addr", "src6_addr")
BYTES = ("ibyt", "obyt", "bytes", "inBytes", "outBytes", "in_bytes", "out_bytes")


def sums_of(content):
    """An independent reader: bytes by hour, without the rows that lack a time or an address."""
    rows, sums = list(csv.DictReader(content.partition("Summary")[0].splitlines())), {}
    if content[0] in "[{":
        rows = json.loads(content) if content[0] == "[" else [json.loads(line) for line in content.splitlines()]
    for row in rows:
        start, source = ("".join(str(row.get(name, "")) for name in names).strip() for names in (STARTS, SOURCES))
        if source not in ("", "0.0.0.0") and not start.startswith(("0", "1970")):
            is_text = start[4] == "-"
            seconds = datetime.fromisoformat(start + "+00:00").timestamp() if is_text else float(start)
            hour = int(seconds / (3600 if seconds < 1e11 else 3_600_000))
            sums[hour] = sums.get(hour, 0) + sum(int(row.get(name) or 0) for name in BYTES)
    return sums


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there is no folder of samples at {SAMPLES}")
class TestSamples:
    """The sums are those of the samples' index."""

    @pytest.mark.parametrize(
        ("name", "records", "total"),
        [
            ("1.7.1__nfgen__csv.csv", 35, 994_842_391),
            ("1.7.1__nfgen__json.json", 35, 945_817_810),
            ("1.7.8__nfgen__csv.csv", 35, 281_935_559),
            ("1.7.8__nfgen__csv-fast.csv", 35, 281_935_559),
            ("1.7.8__nfgen__json.json", 35, 994_842_391),
            ("1.7.8__nfgen__ndjson.ndjson", 35, 994_842_391),
            ("1.7.1__logstash-codec-packets__csv.csv", 187, 179_719),
            ("1.7.8__logstash-codec-packets__csv.csv", 187, 179_719),
            ("1.7.8__logstash-codec-packets__json.json", 187, 179_719),
            ("1.7.8__logstash-codec-packets__ndjson.ndjson", 187, 179_719),
            ("1.7.8__logstash-codec-packets__bidir-custom.csv", 144, 179_719),
        ],
    )
    def test_a_sample_has_the_sums_of_its_index(self, name, records, total):
        content = (SAMPLES / "nfdump" / f"nfdump-{name}").read_text(encoding="utf-8")
        outcome = read(content)
        sums = {}
        for hour, *_, tx, rx in outcome.cells:
            sums[hour] = sums.get(hour, 0) + tx + rx
        assert (outcome.read, sum(sums.values())) == (records, total)
        assert sums == sums_of(content)

    def test_a_listing_for_people_is_refused(self):
        with pytest.raises(UnknownFormat, match="-o ndjson"):
            format_of((SAMPLES / "nfdump/nfdump-1.7.8__logstash-codec-packets__long.txt").read_bytes())


_moments = st.datetimes(datetime.fromisoformat("2024-01-01"), datetime.fromisoformat("2026-01-01"))
_addresses = st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"])
_rows = st.tuples(_moments, _addresses, _addresses, st.integers(0, 2**40), st.integers(0, 2**40))


@settings(max_examples=50, deadline=None)
@given(st.lists(_rows, min_size=1, max_size=6), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]))
def test_both_outputs_with_both_directions_say_the_same_in_any_zone(rows, zone):
    zoned = ZoneInfo(zone)
    there = [(when, when.replace(tzinfo=zoned)) for when, *_ in rows]
    skips = [moment.astimezone(ZoneInfo("UTC")).astimezone(zoned).replace(tzinfo=None) != when for when, moment in there]
    older = [old(f"{when:%Y-%m-%d %H:%M:%S}", src, dst, ("0", "0"), sent, got) for when, src, dst, sent, got in rows]
    newer = [
        record(
            first=when.isoformat("T", "milliseconds"),
            src4_addr=src,
            dst4_addr=dst,
            src_port=0,
            dst_port=0,
            in_bytes=sent,
            out_bytes=got,
        )
        for when, src, dst, sent, got in rows
    ]
    total = sum(sent + got for *_, sent, got in rows)
    one, other = read(text(OLD, *older, *summary(total)), timezone=zone), read(text(*newer), timezone=zone)
    expected = [
        (int(moment.timestamp() // 3600), src, dst, "-", sent, got)
        for (_, src, dst, sent, got), (_, moment), skipped in zip(rows, there, skips, strict=True)
        if not skipped
    ]
    assert one.cells == other.cells == expected
    assert len(one.rejects) == len(other.rejects) == sum(skips)
