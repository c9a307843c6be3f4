"""Zeek's conn.log, as tab-separated text and as JSON Lines."""

import ipaddress
import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import MissingColumns, OtherLog, SourceError, UnknownFormat, UnreadableSource
from pipeline.formats.apps import AppMap
from tests.formats.helpers import (
    ADDRESS_RULE,
    INTEGER_RULE,
    MISSING_RULE,
    OBJECT_RULE,
    RANGE_RULE,
    SECONDS_RULE,
    blocks_of,
    read,
)

FIELDS = [
    "ts",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "orig_bytes",
    "resp_bytes",
    "conn_state",
    "orig_ip_bytes",
    "resp_ip_bytes",
]
# In hour 2, 10.0.0.1 sends 100 bytes to 10.0.0.2, and gets 900 back; 60 and 860 of them are payload.
CONN = {
    "ts": "1440007200.5",
    "uid": "C1",
    "id.orig_h": "10.0.0.1",
    "id.orig_p": "49152",
    "id.resp_h": "10.0.0.2",
    "id.resp_p": "443",
    "proto": "tcp",
    "orig_bytes": "60",
    "resp_bytes": "860",
    "conn_state": "SF",
    "orig_ip_bytes": "100",
    "resp_ip_bytes": "900",
}
FLOW = (400002, "10.0.0.1", "10.0.0.2", "-", 100, 900)
HEADER = [
    "#separator \\x09",
    "#set_separator\t,",
    "#empty_field\t(empty)",
    "#unset_field\t-",
    "#path\tconn",
    "#open\t2026-11-24",
]


def line(fields=FIELDS, separator="\t", unset="-", **values):
    record = CONN | {
        name.replace("orig_h", "id.orig_h").replace("resp_h", "id.resp_h"): value for name, value in values.items()
    }
    return separator.join(record.get(field, unset) for field in fields)


def log(*lines, fields=FIELDS, header=HEADER):
    return (
        "\n".join([*header, "#fields\t" + "\t".join(fields), "#types\t" + "\t".join("string" for _ in fields), *lines])
        + "\n"
    )


FIRST = len(HEADER) + 3  # the line of the first record


def flow_of(fields=FIELDS, options=None, **values):
    (flow,) = read(log(line(fields, **values), fields=fields), **(options or {})).cells
    return flow


def fault_of(**values):
    outcome = read(log(line(), line(**values), line()))
    assert outcome.rows == [FIRST, FIRST + 2]
    (reject,) = outcome.rejects
    assert (reject.row, reject.raw) == (FIRST + 1, line(**values))
    return reject.field, reject.rule, reject.value


class TestHeader:
    def test_a_log_is_read(self):
        assert read(log(line())).records == [(FIRST, *FLOW)]

    @pytest.mark.parametrize(
        "header",
        [
            [],
            ["#separator \\x09"],
            ["#separator\t\\x09"],  # seen in the wild
            ["#path\tconn"],
            ["#separator \\x09", "#path\tconn", "#a-line-of-the-future\tx"],
            ["#separator \\x09", "#path"],
        ],
    )
    def test_lines_that_it_could_do_without_may_be_missing(self, header):
        assert read(log(line(), header=header)).cells == [FLOW]

    @pytest.mark.parametrize("between", ["_", "-", "$", "::", "/", " "])
    def test_another_scope_separator(self, between):
        """Zeek's Log::default_scope_sep, which some set because dots trouble their databases."""
        fields = [field.replace("id.", f"id{between}") for field in FIELDS]
        assert read(log(line(), header=HEADER).replace("\t".join(FIELDS), "\t".join(fields))).cells == [FLOW]

    def test_an_address_in_two_spellings_is_ambiguous(self):
        with pytest.raises(UnreadableSource, match=r"id\.orig_h 2 times"):
            read(log(fields=[*FIELDS, "id_orig_h"]))

    def test_fields_may_stand_in_any_order_among_others(self):
        fields = ["x", *reversed(FIELDS), "id.vlan"]
        assert flow_of(fields) == FLOW

    @pytest.mark.parametrize(
        ("escaped", "separator"),
        [("\\x2c", ","), ("\\x20", " "), ("\\x7c", "|"), ("|", "|"), (",", ","), ("\\x3B", ";"), ("\\x22", '"')],
    )
    def test_another_separator(self, escaped, separator):
        lines = [f"#separator {escaped}", *(text.replace("\t", separator) for text in HEADER[1:])]
        lines += ["#fields" + separator + separator.join(FIELDS), line(separator=separator)]
        assert read("\n".join(lines)).cells == [FLOW]

    @pytest.mark.parametrize("escaped", ["ab", "\\x09\\x09", "\\xe9", "é"])
    def test_a_separator_that_is_no_single_character_is_refused(self, escaped):
        with pytest.raises(UnreadableSource, match="is not a single character"):
            read(f"#separator {escaped}\n#fields\tts\n")

    @pytest.mark.parametrize(("escaped", "separator"), [("\\x0a", "\n"), ("\\x0d", "\r"), ("\\x00", "\0"), ("\\x23", "#")])
    def test_an_absurd_separator_is_used_or_the_file_s_fault(self, escaped, separator):
        try:
            outcome = read(
                f"#separator {escaped}\n#fields{separator}" + separator.join(FIELDS) + f"\n{line(separator=separator)}\n"
            )
        except SourceError:
            return
        assert outcome.cells == [FLOW]

    def test_another_text_for_unset(self):
        header = ["#separator \\x09", "#unset_field\tNULL"]
        assert read(log(line(orig_ip_bytes="NULL"), header=header)).cells == [(*FLOW[:4], 60, 900)]
        assert read(log(line(orig_ip_bytes="-"), header=header)).faults == [(5, "orig_ip_bytes", INTEGER_RULE)]

    def test_the_empty_text_may_stand_for_unset(self):
        header = ["#separator \\x09", "#unset_field\t"]
        assert read(log(line(orig_ip_bytes=""), header=header)).cells == [(*FLOW[:4], 60, 900)]

    def test_missing_fields_are_named_with_what_the_log_has(self):
        with pytest.raises(MissingColumns) as error:
            read(log(fields=["ts", "uid", "id.orig_h"]))
        assert (error.value.missing, error.value.found) == (["id.resp_h"], ["ts", "uid", "id.orig_h"])

    def test_a_record_before_the_fields_are_named_is_refused(self):
        with pytest.raises(UnreadableSource, match="line 3: a record before the #fields line"):
            read("#separator \\x09\n#path\tconn\n" + line())

    @pytest.mark.parametrize("text", [log(), log().strip(), log("#close\t2026-11-24"), "\n" + log("", "")])
    def test_a_header_alone_has_no_records(self, text):
        assert read(text).read == 0

    def test_lines_that_start_with_a_hash_are_no_records(self):
        outcome = read(log(line(), "#close\t2026-11-24-10-00-00", "", line(), "#x", "#", line()))
        assert outcome.rows == [FIRST, FIRST + 3, FIRST + 6]

    @pytest.mark.parametrize("end", ["\r\n", "\n"])
    def test_line_ends_and_a_byte_order_mark_do_not_matter(self, end):
        assert read("\ufeff" + log(line(), "#close").replace("\n", end).strip()).records == [(FIRST, *FLOW)]

    def test_a_second_header_in_the_middle_names_other_fields(self):
        few = ["id.resp_h", "id.orig_h", "ts", "resp_bytes", "orig_bytes"]
        again = ["#close", "#separator \\x2c", "#unset_field,?", "#path,conn", "#fields," + ",".join(few)]
        outcome = read(log(line(), *again, line(few, ","), line(few, ",", orig_bytes="?"), line(few)))
        assert outcome.records == [(FIRST, *FLOW), (FIRST + 6, *FLOW[:4], 60, 860), (FIRST + 7, *FLOW[:4], None, 860)]
        assert outcome.faults == [(FIRST + 8, "", "must have 5 fields")]


@pytest.mark.parametrize("bad", [line() + "\0", "\0" * 9 + line(), "\0", line(orig_h="10.0.0.1\0")])
def test_a_line_with_a_nul_is_rejected(bad):
    outcome = read(log(line(), bad, line()))
    assert (outcome.rows, outcome.faults) == ([FIRST, FIRST + 2], [(FIRST + 1, "", "must not contain NUL bytes")])


class TestJoinedLogs:
    """What joining logs makes: each is read as its own header says, or the file fails."""

    TURNED = (*FIELDS[:-2], "resp_ip_bytes", "orig_ip_bytes")
    ANOTHER = log(line(TURNED), "#close\t2026-11-24", fields=TURNED)

    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_columns_may_have_another_order_in_the_second(self, mark, end):
        text = (log(line()) + mark + self.ANOTHER + mark + log(line())).replace("\n", end)
        assert read(text).cells == [FLOW] * 3

    @pytest.mark.parametrize("last", [line(), "#close\t2026-11-24"])
    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_a_header_that_is_glued_to_a_line_is_refused(self, last, mark):
        text = log(line(), last)[:-1] + mark + self.ANOTHER
        with pytest.raises(UnreadableSource, match=f"line {FIRST + 1}: #separator is glued to the end of a line"):
            read(text)

    def test_the_second_forgets_what_the_first_said(self):
        header = ["#separator \\x09", "#unset_field\tNULL"]
        text = log(line(orig_ip_bytes="NULL"), header=header) + log(line(orig_ip_bytes="-"), header=header[:1])
        assert read(text).cells == [(*FLOW[:4], 60, 900)] * 2
        with pytest.raises(UnreadableSource, match="line 10: a record before the #fields line"):
            read(log(line()).replace(HEADER[1] + "\n", "") + "#separator \\x09\n" + line())

    @pytest.mark.parametrize("name", ["fields", "path", "unset_field"])
    def test_a_line_that_is_written_with_another_separator_is_refused(self, name):
        with pytest.raises(UnreadableSource, match=f"the line '#{name},x' is not written with the separator"):
            read(log(line(), f"#{name},x", line()))


class TestRefusals:
    @pytest.mark.parametrize("path", ["conn_internal", "conn-dmz", "conn.vlan7", "site2_conn"])
    def test_a_part_of_conn_log_is_read_if_the_user_says_so(self, path):
        text = log(line(), header=["#separator \\x09", f"#path\t{path}"])
        with pytest.raises(UnknownFormat, match=f"a Zeek {path} log; if no other log has .*, read it with --format zeek"):
            read(text)
        assert read(text, option="zeek").cells == [FLOW]
        assert read(as_json(_path=path), option="zeek").cells == [FLOW]

    @pytest.mark.parametrize("path", ["open_conn", "conn_long", "open_conn_internal", "dns", "connections", "http"])
    def test_what_counts_twice_or_is_another_log_is_refused_whatever_the_user_says(self, path):
        with pytest.raises(UnknownFormat, match=rf"a Zeek {path} log; flowlog reads conn\.log only"):
            read(log(line(), header=["#separator \\x09", f"#path\t{path}"]), option="zeek")

    @pytest.mark.parametrize("path", ["open_conn", "dns", "http", "conn_long", "weird"])
    def test_another_log_is_refused_by_name(self, path):
        with pytest.raises(UnknownFormat, match=rf"a Zeek {path} log; flowlog reads conn\.log only"):
            read(log(line(), header=["#separator \\x09", f"#path\t{path}"]))
        with pytest.raises(UnknownFormat, match=rf"a Zeek {path} log; flowlog reads conn\.log only"):
            read("\n".join(["#separator \\x2c", f"#path,{path}", "#fields," + ",".join(FIELDS), line(separator=",")]))

    def test_another_log_in_the_middle_is_refused_by_name(self):
        with pytest.raises(UnknownFormat, match="a Zeek open_conn log"):
            read(log(line(), "#path\topen_conn", line()))

    @pytest.mark.parametrize("records", [1, 5000])
    def test_a_log_that_was_joined_with_a_conn_log_fails_and_is_not_left_alone(self, records):
        conn = log(*[line()] * records)
        dns = "#separator \\x09\n#path\tdns\n#fields\tts\tquery\n1.5\texample.org\n"
        for text in (conn + dns, dns + conn):
            with pytest.raises(
                UnknownFormat, match=r"a Zeek dns log joined with a conn\.log; ingest .* one by one"
            ) as error:
                read(text)
            assert not isinstance(error.value, OtherLog)  # which a folder leaves alone
        with pytest.raises(OtherLog, match="a Zeek dns log"):
            read(dns + dns)

    @pytest.mark.parametrize("key", ["_path", "@stream"])
    @pytest.mark.parametrize("path", ["open_conn", "dns"])
    def test_another_log_in_json_is_refused_by_the_name_that_shippers_add(self, key, path):
        with pytest.raises(UnknownFormat, match=rf"a Zeek {path} log; flowlog reads conn\.log only"):
            read(as_json(**{key: path}))

    @pytest.mark.parametrize(
        "name", ["open_conn.log", "logs/current/open_conn.log", "open_conn.2026-11-24.log.gz", "conn_long.log"]
    )
    def test_a_log_of_open_connections_in_json_is_refused_by_its_file_s_name(self, name):
        with pytest.raises(UnknownFormat, match=r"a Zeek (open_conn|conn_long) log"):
            read(as_json(), name=name)

    def test_the_name_that_a_shipper_adds_goes_before_the_file_s(self):
        assert read(as_json(_path="conn"), name="open_conn.log").cells == [FLOW]

    @pytest.mark.parametrize("key", ["_path", "@stream"])
    def test_of_all_logs_in_one_stream_conn_log_counts(self, key):
        others = [as_json(**{key: "open_conn"}), json.dumps({"ts": 1440007200.5, key: "files", "fuid": "F1"})]
        dns = json.dumps({"ts": 1.5, "id.orig_h": "nobody", "id.resp_h": "10.0.0.2", "query": "example.org", key: "dns"})
        for lines in ([*others, as_json(**{key: "conn"}), dns], [dns, *others, as_json(**{key: "conn"})]):
            outcome = read("\n".join(lines))
            assert (outcome.cells, outcome.ignored, outcome.rejects) == ([FLOW], {"other kind of event": 3}, [])
        with pytest.raises(OtherLog, match=r"a stream of Zeek's logs without a conn\.log"):
            read("\n".join([dns, *others]))
        with pytest.raises(UnknownFormat, match="a Zeek conn_internal log; if no other log has its connections"):
            read("\n".join([as_json(_path="conn"), as_json(_path="conn_internal")]))

    @pytest.mark.parametrize(
        ("name", "fields"),
        [
            ("dns", {"trans_id": 5, "query": "example.org", "qtype_name": "A"}),
            ("http", {"trans_depth": 1, "method": "GET", "request_body_len": 0}),
            ("ssl", {"established": True, "resumed": False}),
            ("weird", {"name": "bad_checksum", "notice": False, "peer": "zeek"}),
            ("notice", {"note": "Scan::Port_Scan", "msg": "a scan"}),
        ],
    )
    def test_another_log_in_json_is_told_by_its_fields(self, name, fields):
        record = {"ts": 1.5, "uid": "C1", "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.2"} | fields
        with pytest.raises(OtherLog, match=f"a Zeek {name} log"):
            read(json.dumps(record, indent=1))

    @pytest.mark.parametrize("path", [{}, {"_path": "dns"}])
    def test_another_log_s_fields_beside_connections_do_not_hide_these(self, path):
        dns = {"ts": 1.5, "uid": "C1", "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.2", "query": "a", "trans_id": 5} | path
        conn = as_json(_path="conn") if path else as_json()
        for lines in ([conn, json.dumps(dns)], [json.dumps(dns), conn]):
            outcome = read("\n".join(lines))
            assert (outcome.cells, outcome.read) == ([FLOW], 2)  # the other row is ignored, or rejected

    def test_a_log_in_json_that_is_no_conn_log_is_refused(self):
        record = {"ts": 1.5, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.2", "query": "example.org"}
        with pytest.raises(UnknownFormat, match=r"a Zeek log other than conn\.log"):
            read(json.dumps(record))


class TestBytes:
    @pytest.mark.parametrize(
        ("values", "sums"),
        [
            ({}, (100, 900)),
            ({"orig_ip_bytes": "-"}, (60, 900)),
            ({"resp_ip_bytes": "-"}, (100, 860)),
            ({"orig_ip_bytes": "0"}, (0, 900)),  # 0 is a number, not "unset"
            ({"orig_ip_bytes": "-", "orig_bytes": "-"}, (None, 900)),  # for the schema to refuse
        ],
    )
    def test_bytes_on_the_wire_go_before_payload(self, values, sums):
        assert flow_of(**values)[4:] == sums

    def test_a_log_without_the_bytes_on_the_wire_has_its_payload(self):
        assert flow_of(FIELDS[:-2])[4:] == (60, 860)

    @pytest.mark.parametrize("side", ["orig", "resp"])
    @pytest.mark.parametrize("value", ["x", "1.5", "", "(empty)", "0x10"])
    def test_what_is_no_count_is_rejected(self, side, value):
        on_the_wire = f"{side}_ip_bytes"
        assert fault_of(**{on_the_wire: value}) == (on_the_wire, INTEGER_RULE, value)
        assert fault_of(**{on_the_wire: "-", f"{side}_bytes": value}) == (f"{side}_bytes", INTEGER_RULE, value)

    @pytest.mark.parametrize("value", ["18446744073709551615", "x", ""])
    def test_payload_that_is_not_used_may_be_anything(self, value):
        assert flow_of(orig_bytes=value, resp_bytes=value) == FLOW
        assert fault_of(orig_bytes=value, orig_ip_bytes="-")[0] == "orig_bytes"


class TestIdentity:
    def test_the_vpc_is_the_user_s(self):
        assert flow_of(options={"vpc_id": "vpc-1"})[3] == "vpc-1"
        assert flow_of()[3] == "-"

    def test_apps_are_looked_up_in_that_vpc(self):
        apps = AppMap(
            [(ipaddress.ip_network("10.0.0.1/32"), "web", "vpc-1"), (ipaddress.ip_network("10.0.0.0/8"), "net", None)]
        )
        assert flow_of(options={"apps": apps, "vpc_id": "vpc-1"})[1:3] == ("web", "net")
        assert flow_of(options={"apps": apps})[1:3] == ("net", "net")

    def test_an_ipv6_address_has_one_spelling(self):
        assert flow_of(orig_h="FE80::0:1", resp_h="ff02:0::fb")[1:3] == ("fe80::1", "ff02::fb")

    def test_who_opened_the_connection_is_never_turned_round(self):
        fields = [*FIELDS, "history"]
        flow = read(log(line(fields).replace("49152", "80").replace("443", "50000"), fields=fields)).cells
        assert flow == [FLOW]

    @pytest.mark.parametrize(("name", "field"), [("orig_h", "id.orig_h"), ("resp_h", "id.resp_h")])
    def test_what_is_no_address_is_rejected(self, name, field):
        assert fault_of(**{name: "web"}) == (field, ADDRESS_RULE, "web")
        assert fault_of(**{name: "-"}) == (field, MISSING_RULE, "")


class TestHour:
    @pytest.mark.parametrize(
        ("ts", "hour"),
        [
            ("631152000", 175320),  # 1990 begins
            ("1440007199", 400001),
            ("1440007199.999999", 400001),
            ("1440007200.000000", 400002),
            ("1258531199.999999", 349591),
            ("1258531200.000000", 349592),
            ("1.2585312e9", 349592),
            ("7258118399.9", 2016143),
            ("1440007199999", 400001),  # milliseconds
            ("1440007199999.999", 400001),
            ("1440007200000", 400002),
            ("1440007199999999", 400001),  # microseconds
            ("1440007200000000", 400002),
            ("1440007200000000000", 400002),  # nanoseconds
        ],
    )
    def test_it_is_the_hour_of_the_first_packet(self, ts, hour):
        assert flow_of(ts=ts)[0] == hour
        assert read(as_json(ts=float(ts))).cells[0][0] == hour

    @settings(deadline=None)
    @given(st.integers(700_000_000, 4_000_000_000), st.sampled_from([0, 1, 2, 499_999, 500_000, 999_998, 999_999]))
    def test_microseconds_are_counted_exactly_at_the_border_of_an_hour(self, seconds, micros):
        border = seconds // 3600 * 3600
        times = [f"{second}.{micros:06}" for second in (seconds, border, border + 3599)]
        hours = [hour for hour, *_ in read(log(*(line(ts=ts) for ts in times))).cells]
        assert hours == [int(Fraction(ts) / 3600) for ts in times]

    @pytest.mark.parametrize("ts", ["1e400", "x", "", "2011-08-15", "2011-08-15T", "2025W48", "2011-08-15T25:00:00Z"])
    def test_what_is_no_time_is_rejected(self, ts):
        assert fault_of(ts=ts)[:2] == ("ts", SECONDS_RULE)

    @pytest.mark.parametrize("ts", ["-1", "0", "0.5", "20251126", "631151999.9", "100000000000", "1e30", "-1440007200"])
    def test_a_number_that_is_no_time_of_a_flow_log_is_rejected(self, ts):
        assert fault_of(ts=ts)[:2] == ("ts", RANGE_RULE)
        assert fault_of_json(ts=float(ts)) == ("ts", RANGE_RULE)

    @pytest.mark.parametrize(
        "ts",
        [
            "2015-08-19T18:00:00+0000",  # as `zeek-cut -d` prints it
            "2015-08-19T18:00:00.500000Z",
            "2015-08-19T20:30:00+02:30",
            "2015-08-19T14:59:59.999999-0400",
            "2015-08-19T18:00:00",  # without a zone: UTC
            "2015-08-19 18:00:00",
        ],
    )
    def test_times_may_be_written_as_iso_8601_has_them(self, ts):
        assert flow_of(ts=ts)[0] == 400002
        assert read(log(line(ts=ts), line(), line(ts="x"), line(ts=ts))).rows == [FIRST, FIRST + 1, FIRST + 3]

    @pytest.mark.parametrize("ts", ["20251126", "2025-11-26", "2025W48"])
    def test_a_date_is_no_time(self, ts):
        assert fault_of(ts=ts)[0] == "ts"
        assert fault_of_json(ts=ts) == ("ts", SECONDS_RULE)

    @pytest.mark.parametrize("ts", ["nan", "inf", "+5"])
    def test_what_python_might_take_for_a_number_is_rejected(self, ts):
        assert fault_of(ts=ts) == ("ts", SECONDS_RULE, ts)

    def test_an_unset_time_is_missing(self):
        assert fault_of(ts="-") == ("ts", MISSING_RULE, "")


def as_json(spell=str, **values):
    numbers = {"ts": 1440007200.5, "id.orig_p": 49152, "id.resp_p": 443, "orig_bytes": 60, "resp_bytes": 860}
    record = CONN | numbers | {"orig_ip_bytes": 100, "resp_ip_bytes": 900} | values
    return json.dumps({spell(key): value for key, value in record.items() if value is not ...})


def fault_of_json(**values):
    (fault,) = read(as_json() + "\n" + as_json(**values) + "\n" + as_json()).faults
    return fault[1:]


class TestJson:
    @pytest.mark.parametrize("spell", [str, lambda key: key.replace(".", "_")], ids=["dotted", "underscored"])
    def test_a_log_is_read(self, spell):
        lines = [as_json(spell), as_json(spell, orig_ip_bytes=...), as_json(spell, resp_ip_bytes=None)]
        assert read("\n".join(lines)).records == [(1, *FLOW), (2, *FLOW[:4], 60, 900), (3, *FLOW[:4], 100, 860)]

    def test_the_addresses_may_be_in_an_object_of_their_own(self):
        def nested(**values):
            record = json.loads(as_json(**values))
            names = [key for key in record if key.startswith("id.")]
            return json.dumps(record | {"id": {key.removeprefix("id."): record.pop(key) for key in names}})

        lines = [nested(), as_json(), nested(**{"id.resp_h": 5}), nested(**{"id.orig_h": ...}), nested(x={"y": 1})]
        outcome = read("\n".join(lines))
        assert (outcome.rows, outcome.cells) == ([1, 2, 5], [FLOW] * 3)
        assert outcome.faults == [(3, "id.resp_h", "must be text"), (4, "id.orig_h", MISSING_RULE)]
        assert read("\n".join([nested()] * 100)).cells == [FLOW] * 100

    def test_another_scope_separator_is_refused_by_name(self):
        with pytest.raises(UnknownFormat, match="with another scope separator; flowlog reads"):
            read(as_json(lambda key: key.replace(".", ":")))

    def test_it_may_be_in_any_container(self):
        one = json.loads(as_json())
        for text in (
            json.dumps(one, indent=2) * 2,
            as_json() * 2,
            f"[{as_json()},\n{as_json()}]",
            json.dumps([one] * 2, indent=4),
        ):
            assert read(text).records == [(1, *FLOW), (2, *FLOW)]

    def test_spellings_may_be_mixed(self):
        assert read(as_json() + "\n" + as_json(lambda key: key.replace(".", "_"))).cells == [FLOW, FLOW]

    @pytest.mark.parametrize(
        "ts",
        [
            1440007200,
            1440007200.5,
            1440007200000,
            1440007200000000,
            "2015-08-19T18:00:00Z",
            "2015-08-19T18:59:59.999999Z",
            "2015-08-19T20:30:00+02:00",
            "2015-08-19T18:00:00",
        ],
    )
    def test_times_are_seconds_or_iso_8601(self, ts):
        assert read(as_json(ts=ts)).cells == [FLOW]

    @pytest.mark.parametrize(
        ("values", "field", "rule"),
        [
            ({"ts": ...}, "ts", MISSING_RULE),
            ({"ts": None}, "ts", MISSING_RULE),
            ({"ts": "noon"}, "ts", SECONDS_RULE),
            ({"ts": True}, "ts", SECONDS_RULE),
            ({"ts": 7200}, "ts", RANGE_RULE),
            ({"ts": "1440007200.5"}, "ts", SECONDS_RULE),
            ({"id.orig_h": ...}, "id.orig_h", MISSING_RULE),
            ({"id.resp_h": "web"}, "id.resp_h", ADDRESS_RULE),
            ({"id.resp_h": 5}, "id.resp_h", "must be text"),
            ({"orig_ip_bytes": 5.0}, "orig_ip_bytes", INTEGER_RULE),
            ({"orig_ip_bytes": "5"}, "orig_ip_bytes", INTEGER_RULE),
            ({"resp_bytes": True, "resp_ip_bytes": ...}, "resp_bytes", INTEGER_RULE),
            ({"resp_bytes": True}, None, ""),  # nobody looks at it
            ({"orig_bytes": 2**64 - 1}, None, ""),
            ({"orig_bytes": 2**64 - 1, "orig_ip_bytes": None}, "orig_bytes", "must fit into 64 bits"),
            ({"orig_ip_bytes": 2**64 - 1}, "orig_ip_bytes", "must fit into 64 bits"),
        ],
    )
    def test_an_unfit_value_is_rejected(self, values, field, rule):
        outcome = read(as_json() + "\n\n" + as_json(**values) + "\n" + as_json())
        assert outcome.faults == ([] if field is None else [(3, field, rule)])
        assert outcome.read == 3

    def test_a_line_that_is_no_object_is_rejected(self):
        outcome = read(as_json() + "\n" + as_json()[:-5] + "\n" + as_json())
        assert (outcome.rows, outcome.faults) == ([1, 3], [(2, "", OBJECT_RULE)])


@pytest.mark.parametrize("block_bytes", [1, 40, 300])
def test_it_does_not_matter_where_blocks_are_cut(block_bytes):
    again = ["#fields\t" + "\t".join(reversed(FIELDS)), line(list(reversed(FIELDS)))]
    text = log(line(), "", line(ts="x"), "#close", line(orig_h="?"), line() + "\t1", *again, "#close")
    whole = read(text)
    assert (whole.rows, [row for row, *_ in whole.faults]) == ([FIRST, FIRST + 7], [FIRST + 2, FIRST + 4, FIRST + 5])
    with blocks_of(block_bytes):
        assert read(text) == whole


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "x", "-", "1440007200.5"]),
            st.sampled_from(["10.0.0.1", "?", "-"]),
            st.sampled_from(["5", "-"]),
        ),
        max_size=9,
    )
)
def test_every_record_is_a_flow_or_a_reject(found):
    outcome = read(log(*(line(ts=ts, orig_h=address, orig_bytes=count) for ts, address, count in found), "#close"))
    assert outcome.read == len(found) == len(outcome.records) + len(outcome.rejects)
