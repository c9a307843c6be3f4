"""What people really have, as they would name it: each goes through the command line into a store, and comes out right."""

import bz2
import gzip
import json
from collections import Counter
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

AWS_HEADER = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)
OTHER_ORDER = AWS_HEADER.replace("srcaddr dstaddr", "dstaddr srcaddr").replace("packets bytes", "bytes packets")
V5 = AWS_HEADER + " vpc-id pkt-srcaddr pkt-dstaddr tcp-flags"
SENT = "2 111122223333 eni-01 198.51.100.7 10.20.0.15 54252 443 6 3 400 1764144010 1764144055 ACCEPT OK"
ANSWERED = "2 111122223333 eni-01 10.20.0.15 198.51.100.7 443 54252 6 4 1600 1764144010 1764144055 ACCEPT OK"
REFUSED = "2 111122223333 eni-01 203.0.113.9 10.20.0.15 40478 23 6 1 40 1764144070 1764144099 REJECT OK"
IDLE = "2 111122223333 eni-01 - - - - - - - 1764144100 1764144160 - NODATA"
IN_OTHER_ORDER = "2 111122223333 eni-01 10.20.0.15 198.51.100.7 54252 443 6 400 3 1764144010 1764144055 ACCEPT OK"
FROM_99 = "2 111122223333 eni-01 10.20.0.99 10.20.0.15 54252 443 6 4 1600 1764144010 1764144055 ACCEPT OK"
V5_LINES = (
    "5 111122223333 eni-01 10.0.1.5 203.0.113.7 5001 9001 6 3 400 1764144000 1764144009 ACCEPT OK vpc-0cafe 10.0.9.77 203.0.113.7 18",
    "5 111122223333 eni-01 - - - - - - - 1764144000 1764144009 - NODATA vpc-0cafe - - -",
    "5 111122223333 eni-01 - - - - - - - 1764144000 1764144009 - SKIPDATA vpc-0cafe - - -",
)
GATEWAY = {
    "version": "6",
    "resource-type": "TransitGateway",
    "account-id": "111122223333",
    "tgw-id": "tgw-0123456789abcdef0",
    "tgw-attachment-id": "tgw-attach-0123456789abcdef0",
    "srcaddr": "10.20.0.5",
    "dstaddr": "10.30.0.5",
    "protocol": "6",
    "packets": "10",
    "bytes": "5000",
    "start": "1764144005",
    "end": "1764144065",
    "log-status": "OK",
}
NFDUMP = """ts,te,sa,da,sp,dp,ibyt,obyt
2025-11-26 08:00:00,2025-11-26 08:00:01,10.1.2.3,10.4.5.6,5001,443,152,1012
Summary
flows,bytes,packets,avg_bps,avg_pps,avg_bpp
1,1164,3,9312,3,388
"""
CSV = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx"
CONN = {
    "ts": 1764144001.309996,
    "id.orig_h": "10.1.2.3",
    "id.resp_h": "10.4.5.6",
    "orig_bytes": 100,
    "resp_bytes": 900,
    "conn_state": "SF",
    "orig_ip_bytes": 152,
    "resp_ip_bytes": 1012,
}
BOTH, ONE, TWO = (400, 1600), (152, 1012), (304, 2024)
MARK = "\ufeff"


def text(*lines):
    return "\n".join(lines) + "\n"


def conn(*records, **changed):
    return text(*(json.dumps(CONN | record) for record in records or [changed]))


def zeek(*times, path="conn", between=".", last="#close\t2025-11-26"):
    names = ["ts", "id.orig_h", "id.resp_h", "orig_ip_bytes", "resp_ip_bytes"]
    header = ["#separator \\x09", "#unset_field\t-", f"#path\t{path}", "#fields\t" + "\t".join(names).replace(".", between)]
    return text(*header, *(f"{time}\t10.1.2.3\t10.4.5.6\t152\t1012" for time in times), *([last] if last else []))


def envelope(*lines, kind="DATA_MESSAGE"):
    events = [{"id": str(i), "timestamp": 1764144000000, "message": line} for i, line in enumerate(lines)]
    return json.dumps({"messageType": kind, "logGroup": "vpc", "logEvents": events})


def parquet(path, header, *lines):
    rows = [line.split() for line in lines]
    pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(header.split())}), path)


def frame(data):
    return pa.compress(data.encode(), "zstd", asbytes=True)


class Desk:
    """A folder of raw files, a store, and the command line."""

    def __init__(self, folder, flowlog):
        self.raw, self.store, self.flowlog = folder / "raw", folder / "store", flowlog
        self.raw.mkdir()

    def put(self, name, content):
        (self.raw / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def ingest(self, *options, files=None):
        """The exit code, and what became of the rows."""
        done = self.flowlog("ingest", *(files or [self.raw]), "--store", self.store, "--json", *options)
        assert "Traceback" not in done.err
        self.err = done.err
        return done.code

    def rows(self):
        done = self.flowlog("query", "1990-01-01", "--until", "2100-01-01", "--store", self.store, "--json")
        return json.loads(done.out)

    def sums(self):
        """All bytes sent and received; the store is proved on the way."""
        rows = self.rows()
        assert self.flowlog("verify", "--deep", "--store", self.store).code == 0
        return sum(row["bytes_tx"] for row in rows), sum(row["bytes_rx"] for row in rows)


@pytest.fixture
def desk(tmp_path, flowlog):
    return Desk(tmp_path, flowlog)


@pytest.mark.parametrize("names", ["ab", "ba"])
@pytest.mark.parametrize("together", [True, False])
def test_a_header_in_one_log_does_not_leak_into_the_next(desk, names, together):
    joined, plain = text(AWS_HEADER, SENT, OTHER_ORDER, IN_OTHER_ORDER), text(AWS_HEADER, FROM_99)
    for name, content in zip(names, [joined, plain], strict=True):
        desk.put(f"{name}.log", content)
    for files in [[desk.raw]] if together else [[path] for path in sorted(desk.raw.iterdir())]:
        assert desk.ingest(files=files) == 0
    assert desk.sums() == (2400, 0)
    assert Counter({row["src_app"]: row["bytes_tx"] for row in desk.rows()}) == {"198.51.100.7": 800, "10.20.0.99": 1600}


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_transit_gateway_s_records_behind_a_vpc_s_fail_by_name(desk, end):
    desk.put("joined.log", text(AWS_HEADER, SENT, ANSWERED, " ".join(GATEWAY), " ".join(GATEWAY.values())) + end)
    assert (desk.ingest(), desk.rows()) == (3, [])
    assert "joined.log: unknown format: an AWS Transit Gateway flow log" in desk.err


@pytest.mark.parametrize("behind", [[], [AWS_HEADER, SENT]])
def test_a_transit_gateway_log_that_does_not_tell_the_direction_fails_whatever_lies_beside_it(desk, behind):
    desk.put("a.log", text(" ".join(GATEWAY), " ".join(GATEWAY.values()), *behind))
    assert (desk.ingest(), desk.ingest(files=[desk.raw / "a.log"]), desk.rows()) == (3, 3, [])


def test_a_transit_gateway_s_record_in_an_unnamed_order_is_rejected_and_fails_a_file_of_nothing_else(desk):
    desk.put("a.log", text(" ".join(GATEWAY.values()), AWS_HEADER, SENT))
    desk.put("b.log", text(" ".join((GATEWAY | {"bytes": "5001"}).values())))
    assert (desk.ingest(), desk.sums()) == (3, (400, 0))
    assert "b.log: its only row is not valid" in desk.err
    assert "must have 36 fields" in desk.err


@pytest.mark.parametrize("header", [" ".join(GATEWAY), " ".join(GATEWAY).replace("-", "_")])
def test_a_transit_gateway_log_without_directions_as_parquet_fails(desk, header):
    parquet(desk.raw / "tgw.parquet", header, " ".join(GATEWAY.values()))
    assert (desk.ingest(), desk.rows()) == (3, [])
    assert "tgw.parquet: unknown format: an AWS Transit Gateway flow log without flow-direction" in desk.err


def test_a_transit_gateway_log_without_a_header_counts_where_its_fields_are_named(desk):
    record = GATEWAY | {"flow-direction": "ingress"}
    desk.put("tgw.log", text(" ".join(record.values())))
    assert desk.ingest("--aws-fields", " ".join(record), files=[desk.raw / "tgw.log"]) == 0
    assert desk.sums() == (5000, 0)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lambda data: frame(data.decode())])
@pytest.mark.parametrize("together", [True, False])
def test_a_log_that_was_gzipped_by_rotation_counts_once(desk, pack, together):
    desk.put("conn.log", zeek("1764144000.5"))
    assert together or desk.ingest() == 0
    desk.put("conn.log.gz", pack((desk.raw / "conn.log").read_bytes()))
    assert (desk.ingest(), desk.sums()) == (0, ONE)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_log_that_was_counted_before_it_was_whole_is_changed_and_can_be_replaced(desk, pack):
    whole = zeek("1764144000.5", "1764144001.5")
    desk.put("conn.log", text(*whole.splitlines()[:-2]))
    assert (desk.ingest(), desk.sums()) == (0, ONE)
    (desk.raw / "conn.log").unlink()
    desk.put("conn.08:00-09:00.log", pack(whole.encode()))
    assert desk.ingest() == 3
    assert (desk.ingest("--replace-changed"), desk.sums()) == (0, TWO)


@pytest.mark.parametrize("fields", [V5, V5.replace("-", "_")])
def test_fields_given_with_underscores_are_those_with_hyphens(desk, fields):
    desk.put("nohdr.log", text(*V5_LINES))
    assert (desk.ingest("--aws-fields", fields), desk.sums()) == (0, (0, 400))
    assert [(r["src_app"], r["dest_app"], r["vpc_id"]) for r in desk.rows()] == [("203.0.113.7", "10.0.9.77", "vpc-0cafe")]


def test_a_field_that_no_version_has_is_a_mistake_of_usage(desk):
    desk.put("nohdr.log", text(*V5_LINES))
    assert desk.ingest("--aws-fields", V5.replace("srcaddr", "source", 1)) == 2
    assert not desk.store.exists()


@pytest.mark.parametrize("header", [V5, V5.replace("-", "_")])
def test_parquet_with_hyphens_in_its_names(desk, header):
    parquet(desk.raw / "hyphen.parquet", header, *V5_LINES)
    assert (desk.ingest(), desk.sums()) == (0, (0, 400))


@pytest.mark.parametrize("end", ["\n", ""], ids=["whole", "glued"])
@pytest.mark.parametrize(
    ("first", "second", "right"),
    [
        (
            (CSV, "498752,web,db,v,100,7"),
            ("hour,src_app,dest_app,vpc_id,bytes_rx,bytes_tx", "498752,web,db,v,7,100"),
            (200, 14),
        ),
        ((AWS_HEADER, SENT), (OTHER_ORDER, IN_OTHER_ORDER), (800, 0)),
    ],
    ids=["csv", "aws"],
)
def test_joined_files_each_with_a_byte_order_mark_are_right_or_fail(desk, first, second, right, end):
    desk.put("all.log", MARK + "\n".join(first) + end + MARK + text(*second))
    code = desk.ingest()
    assert (code, desk.sums()) in [(0, right), (3, (0, 0))]


@pytest.mark.parametrize(
    "content",
    [
        conn({"ts": 1764144000309}, {"ts": 1764144000999}),
        conn({"ts": 1764144000309999}, {"ts": 1764144000999999}),
        text(json.dumps(CONN, indent=2), json.dumps(CONN, indent=2)),
        json.dumps([CONN, CONN], indent=2),
        json.dumps(CONN) * 2,
        zeek("2025-11-26T08:00:00+0000", "2025-11-26T08:00:01+0000"),
        zeek("1764144000.5", "1764144001.5", between="_"),
        zeek("1764144000.5", "1764144001.5").replace("\n", "\r\n"),
    ],
    ids=["milliseconds", "microseconds", "jq", "pretty array", "side by side", "zeek-cut -d", "scope separator", "Windows"],
)
def test_zeek_s_log_as_people_have_it(desk, content):
    desk.put("conn.log", content)
    assert (desk.ingest(), desk.sums()) == (0, TWO)
    assert {row["hour"] for row in desk.rows()} == {490040}


def test_zeek_s_other_logs_joined_with_conn_log_do_not_take_it_along_silently(desk):
    for parts in (("conn", "dns"), ("dns", "conn")):
        desk.put("all.log", "".join(zeek("1764144000.5", path=path) for path in parts))
        assert (desk.ingest(), desk.rows()) == (3, [])
        assert "ingest the logs that were joined here one by one" in desk.err


def test_parquet_files_joined_as_text_is_are_refused(desk):
    for name, count in (("a", 400), ("b", 500)):
        parquet(desk.raw / name, AWS_HEADER, SENT.replace(" 400 ", f" {count} "))
    joined = (desk.raw / "a").read_bytes() + (desk.raw / "b").read_bytes()
    (desk.raw / "b").unlink()
    desk.put("a", joined)
    assert (desk.ingest(), desk.rows()) == (3, [])
    assert "one behind the other" in desk.err


@pytest.mark.parametrize(
    "pack",
    [lambda data: gzip.compress(data, mtime=1764144000), bz2.compress, partial(pa.compress, codec="zstd", asbytes=True)],
)
@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize(
    "content",
    [
        text(AWS_HEADER, SENT),
        text("timestamp,message", f"1764144060000,{SENT}"),
        zeek("1764144000.5"),
        conn({}, {}, {}),
        text(CSV, "498752,a,b,v,1,2"),
        text(envelope(SENT), envelope(ANSWERED)),
        NFDUMP,
    ],
    ids=["aws", "console", "zeek", "json", "csv", "envelopes", "nfdump"],
)
def test_a_packed_log_joined_to_a_plain_one_is_not_a_few_rejected_rows(desk, content, end, pack):
    """As `cat conn.log conn.1.log.gz` makes it: three lines of what is packed may have all records of a day."""
    more = 50 * content
    desk.put("all.log", content.removesuffix("\n").encode() + end.encode() + pack(more.encode()))
    assert (desk.ingest(), desk.rows()) == (3, [])


def test_a_member_that_is_packed_twice_among_others_is_not_a_few_rejected_rows(desk):
    packed = [gzip.compress(text(AWS_HEADER, line).encode()) for line in (SENT, ANSWERED)]
    desk.put("all.gz", packed[0] + gzip.compress(packed[1]))
    assert (desk.ingest(), desk.rows()) == (3, [])
    assert "line 3: a gzip file lies behind text; ingest the files that were joined here one by one" in desk.err


def test_canonical_records_pretty_printed(desk):
    record = {"hour": 498752, "src_app": "a", "dest_app": "b", "vpc_id": "v", "bytes_tx": 1, "bytes_rx": 2}
    desk.put("flows.json", text(json.dumps(record, indent=1), json.dumps(record | {"bytes_tx": 5}, indent=1)))
    assert (desk.ingest(), desk.sums()) == (0, (6, 4))


def test_an_hour_beyond_32_bits_is_rejected(desk):
    desk.put("c.csv", text(CSV, "498752,web,db,v,10,20", "498753,web,db,v,11,21", "1795507200000,web,db,v,12,22"))
    assert (desk.ingest(), desk.sums()) == (0, (21, 41))


def test_zstd_that_begins_with_a_skippable_frame(desk):
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00\x01\x01\x01\x01"
    desk.put("x.zst", skippable + frame(text(AWS_HEADER, SENT)) + skippable + frame(text(ANSWERED)))
    assert (desk.ingest(), desk.sums()) == (0, BOTH)


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b""), bz2.compress(b""), frame(""), b"\n\n \n", gzip.compress(b"\n")],
    ids=["gzip", "bzip2", "zstd", "blank lines", "a packed blank line"],
)
def test_a_file_of_nothing_is_skipped_as_empty(desk, content):
    desk.put("x.gz", content)
    assert (desk.ingest(), desk.rows()) == (0, [])


@pytest.mark.parametrize("quote", ["", '"'])
def test_what_cloudwatch_exports(desk, quote):
    lines = (SENT, ANSWERED, REFUSED, IDLE)
    desk.put("000000.gz", gzip.compress(text(*(f"2025-11-26T08:00:10.000Z {line}" for line in lines)).encode()))
    assert (desk.ingest(), desk.sums()) == (0, BOTH)
    desk.put("console.csv", text("timestamp,message", *(f"1764144060000,{quote}{line}{quote}" for line in lines)))
    assert (desk.ingest(), desk.sums()) == (0, (800, 3200))


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, bytes])
def test_a_subscription_s_envelopes_packed_twice_side_by_side(desk, pack, unpacked):
    parts = [
        envelope("CWL CONTROL MESSAGE: health", kind="CONTROL_MESSAGE"),
        envelope(SENT, IDLE),
        envelope(ANSWERED, REFUSED),
    ]
    members = [part.encode() if unpacked else gzip.compress(part.encode()) for part in parts]
    desk.put("fh.gz", pack(b"".join(members)))
    assert (desk.ingest(), desk.sums()) == (0, BOTH)


def test_a_subscription_s_envelopes_of_another_log_fail_by_name(desk):
    desk.put("lambda.json", envelope("START RequestId: 1"))
    assert desk.ingest() == 3
    assert "CloudWatch Logs" in desk.err


def test_a_line_of_dashes_without_a_log_status_is_idle(desk):
    header = AWS_HEADER.removeprefix("version ").removesuffix(" action log-status")
    cells = [line.removeprefix("2 ").rsplit(" ", 2)[0] for line in (SENT, IDLE)]
    desk.put("nostatus.log", text(header, *cells))
    assert (desk.ingest(), desk.sums()) == (0, (400, 0))


def test_payload_beyond_64_bits_beside_good_bytes_on_the_wire(desk):
    desk.put("conn.log", conn({"orig_bytes": 2**64 - 1}, {"resp_bytes": 2**64 - 1}))
    assert (desk.ingest(), desk.sums()) == (0, TWO)


def test_a_part_of_conn_log_under_another_name_counts_if_the_user_says_so(desk):
    desk.put("conn_internal.log", zeek("1764144000.5", path="conn_internal"))
    assert desk.ingest() == 3
    assert "--format zeek" in desk.err
    assert (desk.ingest("--format", "zeek"), desk.sums()) == (0, ONE)


def test_an_ipv4_address_in_ipv6_has_the_app_of_the_ipv4_network(desk, tmp_path):
    (tmp_path / "apps.csv").write_text("cidr,app\n10.0.0.0/8,inside\n")
    desk.put("conn.log", conn(**{"id.orig_h": "::ffff:10.1.2.3"}))
    assert (desk.ingest("--apps", tmp_path / "apps.csv"), desk.sums()) == (0, ONE)
    assert [(row["src_app"], row["dest_app"]) for row in desk.rows()] == [("inside", "inside")]


def test_aws_text_in_columns(desk):
    desk.put("c.log", text(*(line.replace(" ", "   ") for line in (AWS_HEADER, SENT, ANSWERED))))
    assert (desk.ingest(), desk.sums()) == (0, BOTH)


def test_csv_with_blanks_behind_its_commas_names_no_other_app(desk):
    desk.put("f.csv", text(CSV.replace(",", ", "), "498752, a, b, c, 1, 2", "498752,a,b,c,1,2"))
    assert (desk.ingest(), desk.sums(), len(desk.rows())) == (0, (2, 4), 1)


def test_a_date_is_no_time(desk):
    desk.put("conn.log", conn({"ts": "20251126"}, {"ts": "2025-11-26"}, {"ts": "2025W48"}))
    assert (desk.ingest(), desk.rows()) == (3, [])
    assert "none of its 3 rows is valid" in desk.err


@pytest.mark.parametrize("bad", [0.5, 2.0**53 + 2])
def test_integers_as_floating_point_numbers(desk, bad):
    rows = [line.split() for line in (SENT, ANSWERED, IDLE, SENT)]
    columns = {name: [None if row[i] == "-" else row[i] for row in rows] for i, name in enumerate(AWS_HEADER.split())}
    for name in ("bytes", "start", "srcport", "dstport"):
        columns[name] = pa.array([float(cell) if cell else float("nan") for cell in columns[name]], pa.float64())
    columns["bytes"] = pa.array([*columns["bytes"].to_pylist()[:3], bad])
    pq.write_table(pa.table(columns), desk.raw / "f.parquet")
    assert (desk.ingest(), desk.sums()) == (0, BOTH)


def test_what_copytruncate_leaves_fails_and_says_so(desk):
    desk.put("conn.log", b"\0" * 70_000 + zeek("1764144000.5").encode())
    assert desk.ingest() == 3
    assert "begins with 70,000 NUL bytes" in desk.err


@pytest.mark.parametrize("content", [text(CSV, "498752,a,b,c,400,1600"), text(AWS_HEADER, SENT, ANSWERED)])
def test_lines_that_end_in_carriage_returns_alone(desk, content):
    desk.put("f.csv", content.replace("\n", "\r"))
    assert (desk.ingest(), desk.sums()) == (0, BOTH)


@pytest.mark.parametrize("forced", ["aws-vpc", "json", "csv", "parquet"])
@pytest.mark.parametrize("content", [zeek("1764144000.5"), conn()], ids=["tsv", "json"])
def test_a_wrong_format_fails_and_the_right_one_counts_afterwards(desk, forced, content):
    desk.put("conn.log", content)
    assert (desk.ingest("--format", forced), desk.rows()) == (3, [])
    assert (desk.ingest(), desk.sums()) == (0, ONE)


def test_two_bad_files_with_equal_content_both_fail(desk):
    desk.put("a.log", "hello\n")
    desk.put("b.log", "hello\n")
    assert (desk.ingest(), desk.err.count("unknown format"), "is counted" in desk.err) == (3, 2, False)


def test_an_open_conn_log_does_not_hide_the_conn_log_of_the_same_bytes(desk):
    for name in ("a_open", "b"):
        (desk.raw / name).mkdir()
    desk.put("a_open/open_conn.log", conn())
    desk.put("b/conn.log", conn())
    assert (desk.ingest(), desk.sums()) == (0, ONE)


def test_json_with_records_is_not_yet_an_azure_log(desk):
    desk.put("x.json", '{"records": [{"a": 1}]}')
    assert (desk.ingest(), "Azure" in desk.err) == (3, False)


def test_a_pattern_that_matches_nothing_makes_no_store(desk):
    assert (desk.ingest(files=[desk.raw / "nosuch" / "*.log"]), desk.store.exists()) == (2, False)


def test_a_date_without_hyphens_drops_nothing(desk):
    desk.put("c.csv", text(CSV, "498752,web,db,v,10,20"))
    desk.ingest()
    assert (desk.flowlog("drop", "--before", "20261124", "--store", desk.store).code, desk.sums()) == (2, (10, 20))


def test_an_app_filter_given_twice_means_either_and_a_name_tells_the_format(desk, tmp_path):
    desk.put("c.csv", text(CSV, "498752,web,db,v,1,0", "498752,cart,db,v,2,0", "498752,mail,db,v,4,0"))
    desk.ingest()
    out = tmp_path / "x.parquet"
    filters = ("--src-app", "web", "--src-app", "cart")
    assert desk.flowlog("query", "498752", *filters, "--store", desk.store, "--output", out).code == 0
    assert sum(pq.read_table(out)["bytes_tx"].to_pylist()) == 3
