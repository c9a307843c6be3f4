"""Small files read as one text: what came of each is what comes of it alone."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import readers
from pipeline.counting import SourceCounter, lots_of
from pipeline.interpretation import Interpretation
from pipeline.readers.compression import decompressed_small
from pipeline.readers.joined import split_header
from pipeline.resources import Resources
from pipeline.sources import Source
from tests.readers.helpers import format_of

CSV = b"hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
OTHER_CSV = b"src_app,dest_app,vpc_id,hour,bytes_rx,bytes_tx\n"
AWS = b"version srcaddr dstaddr srcport dstport bytes start action log-status\n"

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
        b"2 10.0.0.1 10.0.0.2 40000 443 7 3600 ACCEPT OK",
        b"2 10.0.0.2 10.0.0.1 443 40000 9 3600 ACCEPT OK",
        b"2 - - - - - 3600 - NODATA",
        b"2 10.0.0.1 10.0.0.2 1 2 5 7200 REJECT OK",
        b"2 nobody 10.0.0.2 1 2 5 7200 ACCEPT OK",
    ]
)


def bodies(lines):
    return st.tuples(st.lists(lines, max_size=8), st.sampled_from([b"\n", b""])).map(
        lambda body: b"\n".join(body[0]) + (body[1] if body[0] else b"")
    )


raw_files = st.one_of(
    bodies(csv_lines).map(lambda body: CSV + body),
    bodies(csv_lines).map(lambda body: OTHER_CSV + body),
    bodies(aws_lines).map(lambda body: AWS + body),
    st.sampled_from([b"", CSV[:-1], b"\xef\xbb\xbf" + CSV + b"1,a,b,v,1,1\n", b"no flow log\n", b'{"hour":1}\n']),
)
packings = st.sampled_from([bytes, gzip.compress, lambda text: gzip.compress(text)[:-3]])


def counted(sources, scratch, together):
    counter = SourceCounter(Interpretation(), scratch, Resources(workers=1))
    lots = list(counter.count_all(lots_of(sources) if together else [[source] for source in sources]))
    results = {
        source.name: str(result) if isinstance(result, Exception) else (result.record, rejects_of(result))
        for lot in lots
        for source, result in lot.results
    }
    totals = counter.new_totals()
    for lot in lots:
        totals.absorb(lot.totals)
    return results, {hour: read().to_pylist() for hour, read in totals.by_hour()}


def rejects_of(result):
    return [row for batch in result.rejects.batches() for row in batch.to_pylist()]


@given(st.lists(st.tuples(raw_files, packings), min_size=2, max_size=6))
def test_files_counted_together_count_as_each_does_alone(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("raw")
    sources = []
    for number, (text, pack) in enumerate(contents):
        path = folder / f"{number}.log"
        path.write_bytes(pack(text))
        sources.append(Source.at(path))
    assert counted(sources, folder, together=True) == counted(sources, folder, together=False)


def test_files_with_the_same_header_are_read_as_one_text(tmp_path, monkeypatch):
    opened = []
    real = readers.open_source
    monkeypatch.setattr(readers, "open_source", lambda *arguments: opened.append(1) or real(*arguments))
    for number in range(5):
        (tmp_path / f"{number}.csv").write_bytes(CSV + b"%d,a,b,v,1,1\n" % (number + 1))
    results, totals = counted([Source.at(path) for path in sorted(tmp_path.iterdir())], tmp_path, together=True)
    assert [record.hours for record, _ in results.values()] == [[1], [2], [3], [4], [5]]
    assert sorted(totals) == [1, 2, 3, 4, 5]
    assert not opened  # by which each would have been read alone


def test_a_lot_ends_where_a_big_source_or_a_full_one_comes(tmp_path):
    sizes = [10, 20, 1 << 18, 30, 40, *[(1 << 18) - 1] * 33]
    sources = [Source(tmp_path / f"{i}", f"{i}", size, 0) for i, size in enumerate(sizes)]
    lots = list(lots_of(sources))
    assert [source for lot in lots for source in lot] == sources
    assert [len(lot) for lot in lots] == [2, 1, 33, 2]


@pytest.mark.parametrize("text", [b"", b"no newline", b'a,"b"\n1,2\n', b"a,b\r\n1,2\r\n"])
def test_some_texts_are_never_joined_to_others(text):
    assert split_header(text) is None


@given(raw_files.filter(bool))
def test_the_format_of_a_header_is_the_format_of_the_file(text):
    line = text.split(b"\n")[0].decode()
    if known := readers.format_with_header(line):
        assert format_of(text) == known.name


@pytest.mark.parametrize("line", ["", "{", '{"hour":1}', "2 1 eni-1 10.0.0.1", "#separator \\x09", "a,b,c"])
def test_other_first_lines_are_no_headers(line):
    assert readers.format_with_header(line) is None
    assert readers.format_with_header(line, "csv") is None


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
