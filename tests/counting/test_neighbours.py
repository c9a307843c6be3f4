"""Sources that are counted together: what came of each is what comes of it alone, whatever lies beside it."""

import gc
import gzip
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.counting import pending
from pipeline.counting.count import Limits, count_group
from pipeline.counting.pool import groups_of
from pipeline.counting.sourcecount import Reading
from pipeline.counting.sources import Source
from pipeline.counting.totals import HourlyTotals
from pipeline.counting.validation import validate
from pipeline.kernel.columns import DelimitedLines, JsonLines
from pipeline.options import ReadOptions
from pipeline.syntax.compression import decompressed_small
from tests.formats.oracle import Fails, said_by

CSV = b"hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
OTHER_CSV = b"src_app,dest_app,vpc_id,hour,bytes_rx,bytes_tx\n"
AWS = b"version srcaddr dstaddr srcport dstport bytes start action log-status\n"
GATEWAY = b"version tgw-id srcaddr dstaddr srcport dstport bytes start log-status\n"
BOM = b"\xef\xbb\xbf"
ZEEK = (
    b"#separator \\x09\n#unset_field\t-\n#path\tconn\n#open\t%d\n#fields\tts\tid.orig_h\tid.resp_h\torig_bytes\tresp_bytes\n"
)
ZEEK_HEADERS = [
    ZEEK % 1,
    ZEEK % 2,
    (ZEEK % 3).replace(b"\t-", b"\t?"),
    (ZEEK % 4).replace(b"orig_bytes\tresp_bytes", b"resp_bytes\torig_bytes"),
    (ZEEK % 5).replace(b"conn", b"dns"),
    (ZEEK % 6).replace(b"#path\tconn\n", b""),
    b"#separator \\x09\n",
]

csv_lines = st.sampled_from(
    [
        b"1,a,b,v,1,2",
        b"2,a,b,v,3,4",
        b"2,c,d,w,9007199254740991,0",
        b"0,a,b,v,1,1",
        b"1,,b,v,1,1",
        b"x",
        b"",
        b"1,a,b,v, 5 ,6",
        b'1,"a","b",v,1,2',
        b"1,\xff,b,v,1,1",
        b"1,a,b,v,1\r",
    ]
)
aws_lines = st.sampled_from(
    [
        b"2 10.0.0.1 10.0.0.2 40000 443 7 1440003600 ACCEPT OK",
        b"2 10.0.0.2 10.0.0.1 443 40000 9 1440003600 ACCEPT OK",
        b"2 - - - - - 1440003600 - NODATA",
        b"2 10.0.0.1 10.0.0.2 1 2 5 1440007200 REJECT OK",
        b"2 nobody 10.0.0.2 1 2 5 1440007200 ACCEPT OK",
    ]
)
json_lines = st.sampled_from(
    [
        *[
            b'{"hour":%d,"src_app":"%s","dest_app":"b","vpc_id":"v","bytes_tx":%d,"bytes_rx":2}' % fields
            for fields in [
                (1, b"a", 1),
                (2, b"c", 3),
                (2, b"a", 9007199254740991),
                (0, b"a", 1),
                (1, b"", 1),
                (1, b"\\u0061", 1),
            ]
        ],
        b'{"vpc_id":"v","dest_app":"b","src_app":"a","hour":3,"bytes_tx":5,"bytes_rx":6,"note":{"x":[1,"}\\n{"]}}',
        b'{"hour":1,"src_app":"a","dest_app":"b","vpc_id":"v"}',
        b'{"hour":1,"src_app":"a","dest_app":"b","vpc_id":"v","bytes_tx":7,"bytes_rx":2}' * 2,
        b'{"hour":1,"src_app":"a","dest_app":"b","x":{"vpc_id":"v"}',
        b'{"hour":1,"src_app":"a",',
        b'"dest_app":"b","vpc_id":"v","bytes_tx":1,"bytes_rx":2}',
        b'{"ts":1440003600.5,"id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2","orig_bytes":1,"resp_bytes":2}',
        b'{"hour":1}',
        b"[1]",
        b"{",
        b"",
        b'{"hour":1,"src_app":"\xff","dest_app":"b","vpc_id":"v","bytes_tx":1,"bytes_rx":2}',
        b"\r",
    ]
)
zeek_lines = st.sampled_from(
    [
        b"1440003600.5\t10.0.0.1\t10.0.0.2\t5\t7",
        b"1440007200.0\t10.0.0.2\t10.0.0.1\t-\t7",
        b"1440007200.0\t10.0.0.2\t10.0.0.1\t?\t7",
        b"1440007200.0\t10.0.0.2\tnobody\t1\t7",
        b"",
        b"#path\tdns",
        b"#unset_field\t?",
        b"#open\t7",
        b"#close\t7",
        b"2 1 eni-1 10.0.0.1 10.0.0.2 1 2 6 1 40 1440003600 1440003660 ACCEPT OK",
    ]
)
zeek_ends = st.sampled_from([b"", b"#close\t1\n", b"#close\t2", b"#"])


def bodies(lines):
    return st.tuples(st.lists(lines, max_size=8), st.sampled_from([b"\n", b""])).map(
        lambda body: b"\n".join(body[0]) + (body[1] if body[0] else b"")
    )


raw_files = st.one_of(
    bodies(csv_lines).map(lambda body: CSV + body),
    bodies(csv_lines).map(lambda body: OTHER_CSV + body),
    bodies(aws_lines).map(lambda body: AWS + body),
    bodies(json_lines),
    st.tuples(st.sampled_from(ZEEK_HEADERS), bodies(zeek_lines), zeek_ends).map(b"".join),
    st.sampled_from(
        [b"", CSV[:-1], BOM + CSV + b"1,a,b,v,1,1\n", b"no flow log\n", GATEWAY, GATEWAY + b"6 t a b 1 2 3 4 OK\n"]
    ),
    bodies(json_lines).map(lambda body: BOM + body),
)
packings = st.sampled_from([bytes, gzip.compress, lambda text: gzip.compress(text)[:-3]])


LIMITS = Limits(totals_bytes=1 << 20)


def counted(sources, scratch, together, option="auto"):
    return counted_in(groups_of(sources, 1) if together else [[source] for source in sources], scratch, option)


def counted_in(groups, scratch, option="auto"):
    """What becomes of each source, the rejected rows of all, and the totals by hour."""
    results, rejects, totals = {}, [], HourlyTotals(scratch, LIMITS.totals_bytes)
    for sources in groups:
        group = count_group(sources, ReadOptions(format=option), LIMITS, str(scratch))
        for source, result in zip(sources, group.results, strict=True):
            results[source.name] = str(result) if isinstance(result, Exception) else result
        rejects += [row for batch in group.rejects.batches() for row in batch.to_pylist()]
        totals.merge(group.totals)
    return results, rejects, {hour: read().to_pylist() for hour, read in totals.by_hour()}


@given(st.lists(st.tuples(raw_files, packings), min_size=2, max_size=6), st.sampled_from(["auto", "json", "zeek"]))
def test_files_counted_together_count_as_each_does_alone(tmp_path_factory, contents, option):
    folder = tmp_path_factory.mktemp("raw")
    sources = []
    for number, (text, pack) in enumerate(contents):
        path = folder / f"{number}.log"
        path.write_bytes(pack(text))
        sources.append(Source.at(path))
    assert counted(sources, folder, True, option) == counted(sources, folder, False, option)


AWS_ORDERS = [
    b"version srcaddr dstaddr srcport dstport bytes start action log-status",
    b"version dstaddr srcaddr srcport dstport bytes start action log-status",
    b"version srcaddr dstaddr srcport dstport start bytes action log-status",
    b"start bytes srcaddr dstaddr action log-status",
]
ZEEK_ORDERS = [b"ts\tid.orig_h\tid.resp_h\torig_bytes\tresp_bytes", b"ts\tid.resp_h\tid.orig_h\tresp_bytes\torig_bytes"]
CSV_ORDERS = [CSV.rstrip(b"\n"), OTHER_CSV.rstrip(b"\n"), b"hour,dest_app,src_app,vpc_id,bytes_tx,bytes_rx"]


def aws_row(order, src, dest, count, status=b"OK", action=b"ACCEPT"):
    cells = {b"version": b"2", b"srcaddr": src, b"dstaddr": dest, b"srcport": b"40000", b"dstport": b"443"}
    cells |= {b"bytes": b"%d" % count, b"start": b"1440003600", b"action": action, b"log-status": status}
    return b" ".join(cells[name] for name in order.split())


aws_rows = st.tuples(
    st.sampled_from(AWS_ORDERS),
    st.sampled_from([b"10.0.0.1", b"10.0.0.2", b"nobody"]),
    st.sampled_from([b"10.0.0.8", b"10.0.0.9"]),
    st.integers(1, 999),
    st.sampled_from([b"OK", b"OK", b"OK", b"NODATA"]),
    st.sampled_from([b"ACCEPT", b"ACCEPT", b"REJECT"]),
)
zeek_rows = st.tuples(
    st.sampled_from([b"10.0.0.1", b"10.0.0.2"]), st.sampled_from([b"10.0.0.8", b"nobody"]), st.integers(1, 999)
)
csv_rows = st.tuples(st.sampled_from([b"a", b"b", b""]), st.sampled_from([b"c", b"d"]), st.integers(1, 999))


@st.composite
def sections(draw, kind):
    """A header and some rows, most in its order."""
    if kind == "aws":
        order = draw(st.sampled_from(AWS_ORDERS))
        spelt = draw(
            st.sampled_from([order, order, order.replace(b"-", b"_"), b"version tgw-id srcaddr dstaddr bytes start"])
        )
        rows = [
            aws_row(draw(st.sampled_from([order, order, order, other])), *cells)
            for other, *cells in draw(st.lists(aws_rows, max_size=4))
        ]
        return [spelt, *rows, *draw(st.sampled_from([[], [], [], [b"6 TransitGateway 1 tgw-0a1b2c3d4e5f60001"]]))]
    if kind == "zeek":
        path, order = draw(st.sampled_from([b"conn", b"conn", b"conn", b"dns"])), draw(st.sampled_from(ZEEK_ORDERS))
        rows = [
            b"1440003600\t%b\t%b\t%d\t7" % row
            if order is ZEEK_ORDERS[0]
            else b"1440003600\t%b\t%b\t7\t%d" % (row[1], row[0], row[2])
            for row in draw(st.lists(zeek_rows, max_size=4))
        ]
        end = draw(st.sampled_from([[], [b"#close\t9"]]))
        return [b"#separator \\x09", b"#path\t" + path, b"#fields\t" + order, *rows, *end]
    order = draw(st.sampled_from(CSV_ORDERS))
    rows = [
        b",".join(
            {b"hour": b"5", b"src_app": src, b"dest_app": dest, b"vpc_id": b"v", b"bytes_tx": b"%d" % tx, b"bytes_rx": b"3"}[
                name
            ]
            for name in order.split(b",")
        )
        for src, dest, tx in draw(st.lists(csv_rows, max_size=4))
    ]
    return [order, *rows]


@st.composite
def texts_of_sections(draw):
    """One to three of them, joined as people join files: with byte order marks, or without the newline between."""
    kind = draw(st.sampled_from(["aws", "aws", "zeek", "csv"]))
    count = draw(st.sampled_from([1, 1, 1, 2, 3]))
    text = b""
    for number in range(count):
        mark = draw(st.sampled_from([b"", b"", b"", BOM]))
        text += mark + b"\n".join(draw(sections(kind))) + (b"" if draw(st.integers(0, 5)) == 5 else b"\n") * (number < count)
    return text


def outcome_of(results, rejects, totals):
    """What came of each file, and of all."""
    del rejects  # the other reader only counts them
    found = {
        name: None
        if isinstance(result, str)
        else Counter(counted=result.valid, rejected=result.rejected, ignored=sum(result.ignored.values()))
        for name, result in results.items()
    }
    sums = Counter()
    for hour, rows in totals.items():
        for row in rows:
            for column in ("bytes_tx", "bytes_rx"):
                sums[hour, row["src_app"], row["dest_app"], column] += row[column]
    return found, +sums


@given(st.lists(st.tuples(texts_of_sections(), packings), min_size=1, max_size=7), st.data())
@settings(max_examples=settings.default.max_examples // 2)
def test_the_rows_of_a_source_do_not_depend_on_what_lies_beside_it(tmp_path_factory, contents, data):
    """In whatever order and number they come: held against a reader of plain Python, which reads each file by itself."""
    folder = tmp_path_factory.mktemp("raw")
    sources, expected, sums = [], {}, Counter()
    for number, (text, pack) in enumerate(contents):
        path = folder / f"{number}.log"
        path.write_bytes(pack(text))
        sources.append(Source.at(path))
        try:
            said = said_by(text)
            gzip.decompress(pack(text)) if pack(text) != text else None
        except (Fails, EOFError):
            expected[sources[-1].name] = None
        else:
            counts = said.rows["counted"] or not said.rows["rejected"]  # a file of which no row is valid fails
            expected[sources[-1].name] = said.rows if counts else None
            sums += said.sums if counts else Counter()
    shuffled, size = data.draw(st.permutations(sources)), data.draw(st.integers(1, len(sources)))
    groups = [shuffled[start : start + size] for start in range(0, len(sources), size)]
    assert outcome_of(*counted_in(groups, folder)) == (expected, sums)


def small_files(folder, *texts):
    for number, text in enumerate(texts):
        (folder / f"{number}.log").write_bytes(text)
    return [Source.at(path) for path in sorted(folder.iterdir())]


CSV_FILES = [CSV + b"%d,a,b,v,1,1\n" % hour for hour in range(1, 6)]
JSON_FILES = [
    b'{"hour":%d,"src_app":"a","dest_app":"b","vpc_id":"v","bytes_tx":1,"bytes_rx":1}\n' % hour for hour in range(1, 6)
]
ZEEK_FILES = [
    (ZEEK + b"%d\t10.0.0.1\t10.0.0.2\t1\t1\n#close\t%d\n") % (hour, (400_000 + hour) * 3600, hour) for hour in range(1, 6)
]


AWS_FILES = [AWS + b"2 10.0.0.1 10.0.0.2 40000 443 7 %d ACCEPT OK\n" % ((400_000 + h) * 3600) for h in range(1, 6)]


@pytest.mark.parametrize(
    ("texts", "parser"),
    [(CSV_FILES, DelimitedLines), (JSON_FILES, JsonLines), (ZEEK_FILES, DelimitedLines), (AWS_FILES, DelimitedLines)],
    ids=["CSV", "JSON Lines", "Zeek", "AWS"],
)
def test_the_lines_of_files_that_start_alike_are_parsed_by_one_call(tmp_path, monkeypatch, texts, parser):
    calls, real = [], parser.parse
    monkeypatch.setattr(parser, "parse", lambda *arguments: calls.append(1) or real(*arguments))
    results, _, totals = counted(small_files(tmp_path, *texts), tmp_path, together=True)
    assert [hour % 400_000 for count in results.values() for hour in count.hours] == [1, 2, 3, 4, 5]
    assert [hour % 400_000 for hour in sorted(totals)] == [1, 2, 3, 4, 5]
    assert len(calls) == 1


@pytest.mark.parametrize("texts", [CSV_FILES, JSON_FILES, ZEEK_FILES, [CSV_FILES[0], JSON_FILES[1], ZEEK_FILES[2]]])
def test_small_files_are_validated_by_one_call_whatever_they_are(tmp_path, monkeypatch, texts):
    calls = []
    monkeypatch.setattr(pending, "validate", lambda *arguments: calls.append(1) or validate(*arguments))
    _, _, totals = counted(small_files(tmp_path, *texts), tmp_path, together=True)
    assert len(totals) == len(texts)
    assert len(calls) == 1


def test_of_a_source_that_fails_after_some_of_it_was_summed_nothing_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(pending, "_ROWS_AT_ONCE", 1)
    monkeypatch.setattr(pending, "BLOCK_BYTES", 1)
    whole = ZEEK_FILES[0]
    fails = whole + b"1440003600\t10.0.0.1\t10.0.0.2\t1\t1#path\tconn\n"
    summed = []
    monkeypatch.setattr(pending, "validate", lambda *arguments: summed.append(1) or validate(*arguments))
    results, _, totals = counted(small_files(tmp_path, whole, fails), tmp_path, together=True)
    assert "#path is glued to the end of a line" in list(results.values())[1]
    assert [(hour, row["bytes_tx"]) for hour, rows in totals.items() for row in rows] == [(400_001, 1)]
    assert len(summed) >= 2  # the failing one's first rows, too


def test_what_was_known_of_a_group_s_sources_goes_with_the_group(tmp_path):
    def known():
        return {id(one) for one in gc.get_objects() if isinstance(one, Reading)}

    gc.collect()
    before = known()  # what other tests have left
    counted(small_files(tmp_path, CSV + b"1,a,b,v,1,2\n"), tmp_path, together=True)
    assert known() <= before


def sized(tmp_path, *sizes):
    return [Source(f"{tmp_path / str(i)}", size, 0) for i, size in enumerate(sizes)]


def test_groups_are_shares_of_what_is_left_so_that_the_last_ones_are_small(tmp_path):
    sources = sized(tmp_path, *[1 << 20] * 400)
    groups = list(groups_of(sources, 2))
    assert [source for group in groups for source in group] == sources
    sizes = [len(group) for group in groups]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (32, 1)


@pytest.mark.parametrize("sizes", [[10, 20, 1 << 28, 30, 40], [1 << 20] * 8])
def test_a_few_sources_are_spread_over_all_workers(tmp_path, sizes):
    groups = list(groups_of(sized(tmp_path, *sizes), 2))
    assert max(sum(source.size for source in group) for group in groups) == max(sizes)


def test_a_group_has_so_many_sources_only(tmp_path):
    assert [len(group) for group in groups_of(sized(tmp_path, *[0] * 2500), 1)] == [1024, 1024, 452]


def test_a_torn_object_at_a_file_s_end_takes_nothing_from_the_next(tmp_path):
    texts = [JSON_FILES[0] + b'{"hour":', JSON_FILES[1], b'{"hour":2,\n"x":\n' + JSON_FILES[2], b"}\n" + JSON_FILES[3]]
    for order in (texts, texts[::-1]):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        sources = small_files(folder, *order)
        assert counted(sources, tmp_path, True, "json") == counted(sources, tmp_path, False, "json")


FAULTS = {
    "a quote that is never closed": CSV + b'1,"a,b,v,1,1\n',
    "quotes": CSV + b'1,"a\n",b,v,1,1\n',
    "carriage returns": CSV.replace(b"\n", b"\r\n") + b"1,a,b,v,1,1\r\n",
    "a carriage return at the end": CSV + b"1,a,b,v,1,1\r",
    "NUL": CSV + b"1,\0,b,v,1,1\n2,a,b,v,1,1\n",
    "no UTF-8": CSV + b"1,\xff,b,v,1,1\n2,a,b,v,1,1\n",
    "a second header": CSV + b"1,a,b,v,1,1\n" + OTHER_CSV,
    "another order": OTHER_CSV + b"a,b,v,1,2,3\n",
    "a long name": CSV + b"1," + b"x" * 5000 + b",b,v,1,1\n2,a,b,v,1,1\n",
    "many hours": CSV + b"".join(b"%d,a,b,v,1,1\n" % hour for hour in range(1, 50_002)),
    "AWS with a gateway's record": AWS + b"6 TransitGateway 1 tgw-0a1b2c3d4e5f60001\n",
    "AWS with a header in the middle": AWS + AWS_FILES[0] + AWS_ORDERS[1] + b"\n",
    "Zeek of another log in the middle": ZEEK_FILES[0] + b"#path\tdns\n",
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_is_peculiar_in_a_file_touches_no_neighbour(tmp_path, fault):
    texts = [CSV_FILES[0], AWS_FILES[0], fault, ZEEK_FILES[0], CSV_FILES[1], AWS_FILES[1]]
    for order in (texts, texts[::-1]):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        sources = small_files(folder, *order)
        assert counted(sources, tmp_path, True) == counted(sources, tmp_path, False)


def test_the_gateway_s_records_of_an_earlier_file_are_not_another_s(tmp_path):
    """Files with one header share a parser, which knows the texts of all of them."""
    fields = b"account-id " + AWS
    fails = fields + b"TransitGateway 2 10.0.0.1 10.0.0.2 40000 443 7 1440003600 ACCEPT OK\n"
    good = fields + b"1 2 10.0.0.1 10.0.0.2 40000 443 7 1440003600 ACCEPT OK\n"
    results, _, _ = counted(small_files(tmp_path, fails, good, good), tmp_path, together=True)
    assert [isinstance(result, str) for result in results.values()] == [True, False, False]


def test_rejects_come_in_the_order_of_the_files_and_of_the_rows(tmp_path):
    orders = [AWS, AWS_ORDERS[1] + b"\n", AWS]
    bad = b"2 nobody 10.0.0.2 1 2 5 1440007200 ACCEPT OK\n"
    mixed = b"".join(header + bad + AWS_FILES[0].split(b"\n")[1] + b"\n" for header in orders)
    _, rejects, _ = counted(small_files(tmp_path, mixed, AWS + bad * 2 + mixed, mixed), tmp_path, together=True)
    where = [(row["source"], row["row"]) for row in rejects]
    assert where == sorted(where)
    assert [row["row"] for row in rejects] == [2, 5, 8, 2, 3, 5, 8, 11, 2, 5, 8]


class TestDecompressingAtOnce:
    TEXT = json.dumps({"a": 1}).encode() * 50

    def test_it_gives_what_is_not_packed_and_simple_gzip(self):
        assert decompressed_small(self.TEXT, 10_000) == self.TEXT
        assert decompressed_small(gzip.compress(self.TEXT), 10_000) == self.TEXT

    PACKED = gzip.compress(TEXT, mtime=0)

    @pytest.mark.parametrize(
        "data",
        [PACKED + PACKED, PACKED[:-1], PACKED + b"x", b"BZh91AY&SY", gzip.compress(bytes(10_001), mtime=0), bytes(10_001)],
        ids=["two members", "cut off", "more behind it", "another packing", "large when unpacked", "large"],
    )
    def test_it_leaves_all_else_to_those_who_can_say_what_is_wrong(self, data):
        assert decompressed_small(data, 10_000) is None

    def test_no_flipped_bit_gives_other_content(self):
        whole = gzip.compress(self.TEXT, mtime=0)
        for position in range(2, len(whole)):
            damaged = bytearray(whole)
            damaged[position] ^= 0x10
            assert decompressed_small(bytes(damaged), 10_000) in (None, self.TEXT)
