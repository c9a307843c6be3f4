"""Which format a file is of, told from its first bytes."""

import bz2
import gzip
import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import formats
from pipeline.errors import EmptySource, UnknownFormat, UnreadableSource
from pipeline.formats.head import read_head
from tests.formats.helpers import format_of, read

CSV_HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
FLOW = {"hour": 1, "src_app": "a", "dest_app": "b", "vpc_id": "v", "bytes_tx": 1, "bytes_rx": 2}
AWS_HEADER = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"
)
AWS_LINE = "2 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK\n"
CONN = {"ts": 1.5, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.2", "orig_bytes": 1, "conn_state": "SF"}


def parquet(*names):
    target = io.BytesIO()
    pq.write_table(pa.table({name: pa.array([], pa.int64()) for name in names}), target)
    return target.getvalue()


def underscored(record):
    return {key.replace(".", "_"): value for key, value in record.items()}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (CSV_HEADER, "CSV"),
        ("\ufeff" + CSV_HEADER, "CSV"),
        ("\n\r\n" + CSV_HEADER, "CSV"),
        ('"hour","src_app","dest_app","vpc_id","bytes_tx","bytes_rx"\n', "CSV"),
        ("bytes_rx, hour ,x,src_app\r\n", "CSV"),  # three of the six: which are missing is for the reader to say
        (json.dumps(FLOW) + "\n", "JSON"),
        ("\n \t" + json.dumps(FLOW) + "\n", "JSON"),
        ("{broken\n" + json.dumps(FLOW) + "\n", "JSON"),
        ('{"a": 1}\n' * 49 + json.dumps(FLOW) + "\n", "JSON"),
        (json.dumps(FLOW)[:-1], "JSON"),  # no object is whole, but keys can be seen
        (json.dumps([FLOW]), "JSON"),
        ("\ufeff" + json.dumps([FLOW], indent=4), "JSON"),
        ("[]", "JSON"),
        (" [ ] \n", "JSON"),
        ("[[[{" + json.dumps(FLOW)[1:], "JSON"),
        (parquet(*FLOW), "Parquet"),
        (parquet("bytes_rx", "hour", "x", "src_app"), "Parquet"),
        (AWS_HEADER, "AWS VPC Flow Logs, text"),
        ("start srcaddr\n", "AWS VPC Flow Logs, text"),
        (AWS_LINE, "AWS VPC Flow Logs, text"),
        ("cut off ACCEPT OK\n" * 49 + AWS_LINE, "AWS VPC Flow Logs, text"),
        ("2 123456789010 eni-1 - - - - - - - 1431280876 1431280934 - NODATA\n", "AWS VPC Flow Logs, text"),
        (parquet("srcaddr", "dstaddr", "account_id"), "AWS VPC Flow Logs, Parquet"),
        ("# exported by hand\n" + AWS_LINE, "AWS VPC Flow Logs, text"),
        ("#separator \\x09\n#path\tconn\n", "Zeek conn.log, TSV"),
        ("#separator \\x09\n#path\tconn\n" + AWS_LINE, "Zeek conn.log, TSV"),
        ("#fields\tts\tid.orig_h\n", "Zeek conn.log, TSV"),
        ("#path\tconn\n#fields\tts\n", "Zeek conn.log, TSV"),
        (json.dumps(CONN), "Zeek conn.log, JSON"),
        (json.dumps(underscored(CONN)), "Zeek conn.log, JSON"),
    ],
)
def test_a_format_is_known_by_its_start(data, name):
    assert format_of(data) == name


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lambda data: pa.compress(data, codec="zstd", asbytes=True)])
def test_it_is_known_through_its_compression(pack):
    assert format_of(pack(AWS_LINE.encode())) == "AWS VPC Flow Logs, text"
    assert format_of(pack(parquet(*FLOW))) == "Parquet"


@pytest.mark.parametrize("name", ["flows.json", "flows.parquet", "flows.csv.gz", "open_conn.log", "conn.log"])
def test_the_name_of_a_file_says_nothing_about_its_format(name):
    assert format_of(CSV_HEADER, name) == "CSV"


def test_the_file_is_given_back_at_its_start():
    for data in (CSV_HEADER.encode(), gzip.compress(CSV_HEADER.encode())):
        raw = io.BytesIO(data)
        _, stream = formats.open_source(raw, "raw")
        assert stream.read() == CSV_HEADER.encode()
    raw = io.BytesIO(parquet(*FLOW))
    _, stream = formats.open_source(raw, "raw")
    assert stream.tell() == 0
    assert not raw.closed


class TestForced:
    @pytest.mark.parametrize(
        ("data", "option", "name"),
        [
            ("a,b\n", "csv", "CSV"),
            ("1 2 3\n", "aws-vpc", "AWS VPC Flow Logs, text"),
            ("ts\tid.orig_h\n", "zeek", "Zeek conn.log, TSV"),
            ('{"a": 1}\n', "json", "JSON"),
            ('[{"a": 1}]\n', "json", "JSON"),
            ('{"a": 1}\n', "zeek", "Zeek conn.log, JSON"),
            (parquet("a"), "parquet", "Parquet"),
            (parquet("a"), "aws-vpc", "AWS VPC Flow Logs, Parquet"),
        ],
    )
    def test_the_named_format_is_taken_where_the_content_says_nothing(self, data, option, name):
        assert format_of(data, option=option) == name

    def test_the_named_format_goes_before_the_one_that_would_be_found(self):
        assert format_of(CSV_HEADER, option="aws-vpc") == "AWS VPC Flow Logs, text"

    @pytest.mark.parametrize(
        ("data", "option"),
        [
            (CSV_HEADER, "json"),
            (CSV_HEADER, "parquet"),
            ('{"hour": 1}', "csv"),
            (parquet("a"), "csv"),
            (parquet("a"), "zeek"),
        ],
    )
    def test_a_file_that_is_not_written_so_is_refused_all_the_same(self, data, option):
        with pytest.raises(UnknownFormat):
            format_of(data, option=option)

    @pytest.mark.parametrize(
        ("data", "option"),
        [
            (AWS_HEADER + AWS_LINE, "json"),
            (AWS_LINE, "parquet"),
            (
                "#separator \\x09\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.resp_h\n1764144000.309996\tCHhAvVGS1DHFjwGM9\t10.1.2.3\t::1\n",
                "json",
            ),
            (json.dumps(CONN), "csv"),
            (parquet("srcaddr", "dstaddr", "bytes", "start", "account_id"), "zeek"),
        ],
    )
    def test_a_log_that_another_format_reads_is_not_said_to_be_unreadable(self, data, option):
        with pytest.raises(UnknownFormat, match="the format that --format names is not written so; leave out --format"):
            format_of(data, option=option)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("\n" * 70_000 + "x", "64 KiB of blank lines"),
        ("hello, world\n", "text that starts with 'hello, world'"),
        ("x" * 200, f"text that starts with '{'x' * 80}'"),
        ("a;b;c\n", "text that starts with 'a;b;c'"),
        (b"\x00\x01\x02", "binary data"),
        ('{"a": 1, "b": {"c": 2}}\n', "JSON with the keys a, b"),
        ('[{"a": 1}, {"b": 2}]', "JSON with the keys a, b"),
        ('{"a": 1', "JSON with the keys a"),
        (f'{{"{"k" * 200}": 1, "b": 2}}', f"JSON with the keys {'k' * 80}, b"),
        ("[1, 2]", "text that starts with '[1, 2]'"),
        (parquet("a", "b"), "a Parquet file with the columns a, b"),
        (b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00", "a packet capture"),
        (b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00", "a packet capture"),
        (b"\xa1\xb2\x3c\x4d\x00\x02\x00\x04", "a packet capture"),
        (b"\x0c\xa5\x01\x00\x00\x00\x00\x00", "a file of nfcapd"),
        (b"\x0c\xa5\x02\x00\x01\x07\x00\x00", "a file of nfcapd"),
        (b"\x00\x0a\x00\x68" + b"\x69" * 12 + b"\x00\x02\x00\x58", "a file of IPFIX messages"),
        (b"\xde\xad\xbe\xef\x01\x10\x0c\x00", "a SiLK file"),
        (b"conn.log" + bytes(249) + b"ustar\x0000", "a tar archive"),
        (b"Obj\x01\x04\x14avro.codec", "an Avro file"),
        (b"ORC\x11\x00", "an ORC file"),
        (b"ARROW1\x00\x00", "an Arrow file"),
        (b"SQLite format 3\x00", "a SQLite database"),
        (gzip.compress(gzip.compress(b"a", mtime=0), mtime=0), "text that starts with 'a'"),
    ],
)
def test_what_is_not_read_is_refused_by_name(data, found):
    with pytest.raises(UnknownFormat) as refusal:
        format_of(data)
    assert refusal.value.found == found


@pytest.mark.parametrize("option", ["auto", "csv", "json", "aws-vpc", "zeek", "suricata", "netobserv"])
@pytest.mark.parametrize("text", [b"", b"\xef\xbb\xbf", b"\n", b" \r\n\t\n", b"\xef\xbb\xbf\r\n", b"\n" * 200_000])
@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, bz2.compress, lambda text: pa.compress(text, codec="zstd", asbytes=True)],
    ids=["plain", "gzip", "bzip2", "zstd"],
)
def test_nothing_and_blank_lines_are_said_to_be_empty(option, text, pack):
    with pytest.raises(EmptySource, match="it is empty"):
        format_of(pack(text), option=option)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("count", [1, 4096, 65_536, 70_000, 1 << 20])
@pytest.mark.parametrize("option", ["auto", "zeek", "csv"])
def test_what_copytruncate_leaves_is_named_with_what_to_do(count, pack, option):
    text = b"#separator \\x09\n#path\tconn\n"
    with pytest.raises(UnreadableSource, match=f"it begins with {count:,} NUL bytes, .* remove them, as with tr"):
        format_of(pack(bytes(count) + text), option=option)


@pytest.mark.parametrize("count", [1, 70_000])
def test_a_file_of_nul_bytes_alone_is_named(count):
    with pytest.raises(UnreadableSource, match=f"it is {count:,} NUL bytes and nothing else; is it still being written"):
        format_of(bytes(count))


def test_what_has_nul_bytes_for_a_reason_is_binary():
    with pytest.raises(UnknownFormat, match="binary data"):
        format_of(b"\0\0\1\xba")


@pytest.mark.parametrize("option", ["auto", "csv"])
def test_a_spreadsheet_in_utf_16_is_told_to_be_converted(option):
    with pytest.raises(UnknownFormat, match="UTF-16 or UTF-32 text; convert it to UTF-8"):
        read((CSV_HEADER + "1,a,b,v,1,2\n").encode("utf-16"), option=option)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [CSV_HEADER, json.dumps(FLOW), AWS_LINE])
def test_so_is_utf_16_that_does_not_say_what_it_is(encoding, text):
    with pytest.raises(UnknownFormat, match="UTF-16 or UTF-32 text; convert it to UTF-8"):
        format_of(text.encode(encoding))


def test_a_parquet_file_without_its_footer_is_unreadable():
    for data in (b"PAR1", parquet(*FLOW)[:-1], parquet(*FLOW)[:-8] + b"PAR1"):
        with pytest.raises(UnreadableSource, match="no readable footer; is it cut off"):
            format_of(data)


@pytest.mark.parametrize("start", ["{", "[", '{"a":[', "[{"])
def test_bottomless_nesting_at_the_start_is_no_bug(start):
    with pytest.raises(UnknownFormat):
        format_of(start * 30_000)


def test_a_first_record_longer_than_the_head_is_known_by_the_keys_in_sight():
    long = json.dumps({"hour": 1, "src_app": "a", "dest_app": "b", "note": "x" * 70_000}) + "\n"
    assert format_of(long) == "JSON"


def test_a_first_record_that_is_longer_than_the_head_is_not_said_to_be_broken():
    with pytest.raises(UnknownFormat) as raised:
        read(json.dumps({"note": "x" * 70_000}))
    assert "JSON with the keys note;" in str(raised.value)


def test_the_head_holds_the_file_s_first_64_kib():
    raw = io.BytesIO(b"x" * 100_000)
    head, stream = read_head(raw, "raw")
    assert len(head.data) == 64 << 10
    assert stream.read() == b"x" * 100_000


@pytest.mark.parametrize("before", ["[]", "[]\n", "[]\n[ ]\n", "[\n]\n"])
@pytest.mark.parametrize("indent", [None, 1])
def test_behind_an_empty_array_is_another(before, indent):
    """As of calls whose outputs are joined, of which the first found nothing."""
    flow = {"type": "FLOW", "export_sysid": 1}
    assert format_of(before + json.dumps([flow], indent=indent)) == "nfdump, JSON"
    assert format_of(before + before) == "JSON"


@pytest.mark.parametrize("first", ["# made by hand", "null", "x"])
def test_json_behind_a_line_that_is_none_is_told_as_that_and_taken_for_no_other_log(first):
    """The category of its first record would have a folder's file left alone."""
    records = [{"category": "AuditEvent", "operationName": "x"}, {"event_type": "flow", "flow_id": 1}, FLOW]
    for record in records:
        with pytest.raises(UnknownFormat, match=f"JSON objects behind something else, '{first}'"):
            read(first + "\n" + json.dumps(record))


@pytest.mark.parametrize("text", ['{"records": [{"category": "x",}]}', '{"stime": 1, "saddr" 5}', '{"a": 1, "b": 05}'])
def test_json_that_is_broken_is_said_to_be(text):
    with pytest.raises(UnknownFormat, match=r"JSON with the keys .*, which is broken \(line 1, character \d+: "):
        read(text)


def test_lines_of_blanks_before_a_header_are_blank():
    assert read("  \n\t\n" + CSV_HEADER + "1,a,b,v,1,2\n").records == [(4, 1, "a", "b", "v", 1, 2)]
    assert len(read("  \n" + AWS_HEADER + AWS_LINE).records) == 1


@pytest.mark.parametrize(
    "content",
    [AWS_LINE * 3, "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n1,a,b,v,1,2\n", json.dumps(FLOW) + "\n"],
    ids=["AWS text", "CSV", "JSON"],
)
@pytest.mark.parametrize("option", ["auto", "aws-vpc"])
def test_an_archive_is_one_whatever_is_in_it(content, option):
    """Its lines are those of the files within, but for the first of each."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("a.log", "b.log"):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    with pytest.raises(UnknownFormat, match="a tar archive; unpack it"):
        read(packed.getvalue(), option=option)
