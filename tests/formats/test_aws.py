"""AWS VPC Flow Logs, as text and as Parquet."""

import io
import ipaddress
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import EmptySource, MissingColumns, UnknownFormat, UnreadableSource
from pipeline.flowstore import FlowStore
from pipeline.formats.apps import AppMap
from tests.formats.helpers import ADDRESS_RULE, INTEGER_RULE, MISSING_RULE, RANGE_RULE, SIZE_RULE, blocks_of, read

V2 = [
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
]
V3 = [*V2, "vpc-id", "subnet-id", "instance-id", "tcp-flags", "type", "pkt-srcaddr", "pkt-dstaddr"]
V4 = [*V3, "region", "az-id", "sublocation-type", "sublocation-id"]
V5 = [*V4, "pkt-src-aws-service", "pkt-dst-aws-service", "flow-direction", "traffic-path"]
V7 = [*V5, "ecs-cluster-arn", "ecs-cluster-name", "ecs-service-name", "ecs-task-id"]
V8 = [*V7, "reject-reason"]
HOUR = 400_002
# A client (port 49152) sends 100 bytes to a server (port 443) at the start of that hour.
OPENING = {
    "version": "2",
    "account-id": "123456789010",
    "interface-id": "eni-1",
    "srcaddr": "10.0.0.1",
    "dstaddr": "10.0.0.2",
    "srcport": "49152",
    "dstport": "443",
    "protocol": "6",
    "packets": "9",
    "bytes": "100",
    "start": "1440007200",
    "end": "1440007260",
    "action": "ACCEPT",
    "log-status": "OK",
}
NO_DATA = dict.fromkeys(["srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes", "action"], "-")
FLOW = (HOUR, "10.0.0.1", "10.0.0.2", "123456789010", 100, 0)


def named(**values):
    """Fields by their names in Python: tcp_flags for tcp-flags."""
    return {name.replace("_", "-"): value for name, value in values.items()}


def line(fields=V2, **values):
    record = OPENING | named(**values)
    return " ".join(record.get(field, "-") for field in fields)


def log(*lines, fields=V2):
    """A file with a header."""
    return "\n".join([" ".join(fields), *lines]) + "\n"


def flow_of(fields=V8, options=None, **values):
    """The flow of a record that differs from OPENING so."""
    (flow,) = read(log(line(fields, **values), fields=fields), **(options or {})).cells
    return flow


def fault_of(**values):
    outcome = read(log(line(V8), line(V8, **values), line(V8), fields=V8))
    assert outcome.rows == [2, 4]
    (reject,) = outcome.rejects
    assert (reject.row, reject.raw) == (3, line(V8, **values))
    return reject.field, reject.rule, reject.value


class TestHeader:
    @pytest.mark.parametrize("fields", [V2, V3, V4, V5, V7, V8], ids=["v2", "v3", "v4", "v5", "v7", "v8"])
    def test_each_version_s_default_fields_are_read(self, fields):
        assert read(log(line(fields), fields=fields)).records == [(2, *FLOW)]

    @pytest.mark.parametrize("seed", range(5))
    def test_fields_may_stand_in_any_order(self, seed):
        fields = random.Random(seed).sample(V8, len(V8))
        assert read(log(line(fields), fields=fields)).cells == [FLOW]

    def test_the_fields_of_a_log_may_be_few(self):
        assert flow_of(["start", "bytes", "dstaddr", "srcaddr"]) == (HOUR, "10.0.0.1", "10.0.0.2", "-", 100, 0)

    @pytest.mark.parametrize("missing", ["srcaddr", "dstaddr", "bytes", "start"])
    def test_a_needed_field_that_is_missing_is_named(self, missing):
        fields = [field for field in V2 if field != missing]
        with pytest.raises(MissingColumns) as error:
            read(log(line(fields), fields=fields))
        assert (error.value.missing, error.value.found) == ([missing], fields)

    def test_a_needed_field_that_stands_there_twice_is_ambiguous(self):
        with pytest.raises(UnreadableSource, match="bytes 2 times"):
            read(log(fields=[*V2, "bytes"]))

    @pytest.mark.parametrize("text", [log(), log().strip(), "\n" + log() + "\n\n"])
    def test_a_header_alone_has_no_records(self, text):
        assert read(text).read == 0

    def test_a_second_header_in_the_middle_names_other_fields(self):
        """Gzip files can be joined by `cat`, and each of them starts with a header of its own."""
        one, other = ["start", "bytes", "srcaddr", "dstaddr"], ["bytes", "start", "dstaddr", "srcaddr"]
        outcome = read(log(line(one), fields=one) + log(line(other), fields=other))
        assert outcome.records == [(2, *FLOW[:3], "-", 100, 0), (4, *FLOW[:3], "-", 100, 0)]
        assert outcome.rejects == []

    def test_windows_line_ends_and_a_missing_last_newline_do_not_matter(self):
        assert read(log(line(), line()).replace("\n", "\r\n").strip()).rows == [2, 3]


class TestHeadersInTheMiddle:
    """Joining files makes them. What lies behind one is read in its order, or the file fails."""

    TURNED = (*V2[:3], "dstaddr", "srcaddr", *V2[5:8], "bytes", "packets", *V2[10:])
    TWO = log(line(), fields=V2), log(line(TURNED), fields=TURNED)

    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("spell", [str, lambda text: text.replace("-", "_"), lambda text: text.replace(" ", "  ")])
    def test_rows_are_read_in_the_order_of_the_header_above_them(self, mark, end, spell):
        text = "".join(mark + spell(part) for part in (*self.TWO, *self.TWO)).replace("\n", end)
        assert read(text).records == [(row, *FLOW) for row in (2, 4, 6, 8)]

    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_one_that_is_glued_to_a_record_is_refused(self, mark):
        with pytest.raises(UnreadableSource, match="line 2: a header is glued to a record; ingest the files"):
            read(self.TWO[0].rstrip("\n") + mark + self.TWO[1])

    @pytest.mark.parametrize(
        "spell",
        [str.upper, str.title, '"{}"'.format, "${{{}}}".format, "{},".format, lambda name: "#" * (name == "version") + name],
    )
    def test_a_first_one_in_another_spelling_is_refused_and_no_order_is_guessed(self, spell):
        swapped = [{"bytes": "packets", "packets": "bytes"}.get(name, name) for name in V2]
        text = f"{' '.join(map(spell, swapped))}\n{line(swapped)}\n"
        for before in ("", "\n", "\ufeff"):
            with pytest.raises(UnreadableSource, match=r"a header that is not written as AWS writes it; write it in small"):
                read(before + text)

    @pytest.mark.parametrize(
        "before", ["", log(line())[:-1].split("\n")[1] + "\n", log(line())], ids=["none", "a record", "a log"]
    )
    @pytest.mark.parametrize("spell", [str.upper, str.title, lambda name: name.replace("addr", "Addr"), "${{{}}}".format])
    def test_one_in_another_spelling_is_refused_wherever_it_stands(self, before, spell):
        text = f"{before}{' '.join(map(spell, self.TURNED))}\n{line(self.TURNED)}\n"
        with pytest.raises(UnreadableSource, match=f"line {before.count(chr(10)) + 1}: a header that is not written as AWS"):
            read(text)

    def test_a_header_that_lacks_a_column_is_refused_wherever_it_stands(self):
        with pytest.raises(MissingColumns, match="missing columns start, bytes"):
            read(log(line()) + "version srcaddr dstaddr\n")

    @pytest.mark.parametrize("block_bytes", [1, 60, 150, 300, 1000])
    def test_it_does_not_matter_where_blocks_are_cut(self, block_bytes):
        with blocks_of(block_bytes):
            assert read("\ufeff".join(self.TWO * 3)).records == [(row, *FLOW) for row in range(2, 14, 2)]

    def test_a_service_that_is_called_like_a_field_is_no_header(self):
        fields = ["ecs-service-name", *V2]
        records = [line(fields, ecs_service_name=name) for name in ("srcaddr", "my-dstaddr", "addr")]
        assert read(log(*records, fields=fields)).rows == [2, 3, 4]


class TestExports:
    """What tools put around the lines, and between their fields."""

    RECORDS = (line(), line(action="REJECT"), line(**NO_DATA, log_status="NODATA"), "x " + line(), line(bytes="7"))
    FEW = ("dstaddr", "start", "srcaddr", "bytes", "vpc-id")

    def same(self, text, raws, first=1, **options):
        """Whether a text says the same as the records do by themselves."""
        alone, found = read("\n".join(self.RECORDS)), read(text, **options)
        assert [(row - first + 1, *cells) for row, *cells in found.records] == alone.records
        assert found.ignored == alone.ignored == {"denied": 1, "no traffic": 1}
        assert [(reject.row - first + 1, reject.rule, reject.raw) for reject in found.rejects] == [
            (4, "must have 14 fields", raws[3])
        ]
        assert found.read == 5

    @pytest.mark.parametrize("time", ["2025-11-26T08:00:10.000Z ", "2025-11-26T08:00:10Z\t"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_cloudwatch_exports_to_s3_with_a_time_in_front(self, time, end):
        raws = [time + record for record in self.RECORDS]
        self.same(end.join(raws), raws)

    @pytest.mark.parametrize(
        ("header", "row"),
        [
            ("timestamp,message", "1764144060000,{}"),
            ('"timestamp","message"', '"1764144060000","{}"'),
            ("@timestamp,@message", "2025-11-26 08:00:10.000,{}"),
            ("@message,@timestamp", '"{}",2025-11-26 08:00:10.000'),
            ("@timestamp,@logStream,@message,@log", '2025-11-26 08:00:10.000,"eni-1,all",{},"1:a""b"'),
        ],
    )
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("option", ["auto", "aws-vpc"])
    def test_cloudwatch_s_console_gives_csv(self, header, row, end, option):
        raws = [row.format(record) for record in self.RECORDS]
        self.same(end.join([header, *raws]), raws, first=2, option=option)

    @pytest.mark.parametrize("header", ["timestamp,message", '"@timestamp","@message"'])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_the_header_of_csv_may_come_again_where_files_were_joined(self, header, end):
        row = f"1764144060000,{line()}"
        text = end.join([header, row, "\ufeff" + header, row, row, header])
        assert read(text).records == [(number, *FLOW) for number in (2, 4, 5)]
        assert read(text).rejects == []

    def test_another_header_of_csv_is_refused(self):
        text = f"timestamp,message\n1764144060000,{line()}\nmessage,timestamp\n{line()},1764144060000\n"
        with pytest.raises(
            UnreadableSource, match="line 3: a second header; ingest the files that were joined here one by one"
        ):
            read(text)

    def test_with_fields_of_the_user_s_own(self):
        record = line(self.FEW, vpc_id="vpc-1")
        expected = [(*FLOW[:3], "vpc-1", 100, 0)]
        for text in (
            record,
            "2025-11-26T08:00:10.000Z " + record,
            f"timestamp,message\n1764144060000,{record}\n",
            f'timestamp,message\n1764144060000,"{record}"\n',
            f"  {record.replace(' ', '   ')} ",
        ):
            assert read(text, aws_fields=self.FEW).cells == expected

    @pytest.mark.parametrize("blanks", ["  ", "\t", " \t ", "   "])
    @pytest.mark.parametrize("around", ["", "  ", "\t"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_fields_may_stand_in_columns(self, blanks, around, end):
        raws = [around + record.replace(" ", blanks) + around for record in self.RECORDS]
        self.same(end.join(raws), raws, option="aws-vpc")
        self.same(end.join([" ".join(V2).replace(" ", blanks), *raws]), raws, first=2)

    def test_a_few_such_lines_among_others(self):
        others = [line().replace(" ", "  "), "2025-11-26T08:00:10.000Z " + line(), line() + " "]
        outcome = read(log(*[line()] * 5, *others, *[line()] * 5))
        assert (outcome.rows, outcome.rejects) == (list(range(2, 15)), [])

    def test_what_is_no_row_of_the_csv_is_rejected_as_it_stands(self):
        text = f'timestamp,message\n1,{line()}\nnothing\n"1,{line()}\n1,"{line()}"x\n'
        outcome = read(text)
        assert (outcome.rows, outcome.raws.keys()) == ([2], {3, 4, 5})
        assert outcome.raws[3] == "nothing"

    def test_a_log_in_csv_under_other_names_is_not_one_of_these(self):
        with pytest.raises(UnknownFormat):
            read(f"time,message\n1,{line()}\n")


class TestWithoutLogStatus:
    """A line of dashes says that there was nothing, where no column says so."""

    FIELDS = V2[:-2]

    def test_it_is_ignored(self):
        outcome = read(log(line(self.FIELDS), line(self.FIELDS, **NO_DATA), fields=self.FIELDS))
        assert (outcome.cells, outcome.ignored, outcome.rejects) == ([FLOW], {"no traffic": 1}, [])

    @pytest.mark.parametrize("field", ["srcaddr", "dstaddr", "bytes"])
    def test_a_record_that_lacks_less_is_rejected(self, field):
        outcome = read(log(line(self.FIELDS, **NO_DATA | {field: OPENING[field]}), fields=self.FIELDS))
        assert (outcome.ignored, len(outcome.rejects)) == ({}, 1)

    def test_where_a_column_says_so_dashes_alone_are_a_fault(self):
        assert fault_of(**NO_DATA, log_status="OK") == ("srcaddr", MISSING_RULE, "")


class TestWithoutHeader:
    def test_naming_the_fields_is_naming_the_format(self):
        fields = ("dstaddr", "start", "srcaddr", "bytes")
        assert read(line(fields), aws_fields=fields).cells == [(*FLOW[:3], "-", 100, 0)]
        for foreign in ("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n1,a,b,v,1,1\n", '{"a": 1}', "\1\2\0"):
            try:
                outcome = read(foreign, aws_fields=fields)
            except UnknownFormat:
                continue
            assert outcome.cells == [(1, "a", "b", "v", 1, 1)]

    def test_the_fields_are_those_of_version_2(self):
        assert read(line() + "\n" + line(bytes="7")).records == [(1, *FLOW), (2, *FLOW[:4], 7, 0)]

    def test_the_user_can_say_which_fields_there_are(self):
        fields = ["dstaddr", "start", "srcaddr", "bytes", "vpc-id"]
        outcome = read(line(fields, vpc_id="vpc-1"), option="aws-vpc", aws_fields=tuple(fields))
        assert outcome.records == [(1, HOUR, "10.0.0.1", "10.0.0.2", "vpc-1", 100, 0)]

    def test_a_header_goes_before_what_the_user_says(self):
        assert read(log(line()), aws_fields=("start", "bytes", "srcaddr", "dstaddr")).cells == [FLOW]

    def test_a_first_line_that_is_unfit_is_rejected_alone(self):
        outcome = read("cut off\n\n" + line())
        assert (outcome.rows, outcome.faults) == ([3], [(1, "", "must have 14 fields")])

    def test_blank_lines_alone_have_no_records(self):
        assert read("x\n", option="aws-vpc").read == 1
        with pytest.raises(EmptySource):
            read("\n\r\n", option="aws-vpc")


class TestWhatIsLeftOut:
    def test_idle_and_lost_and_refused_are_counted_apart(self):
        no_data, skipped = line(**NO_DATA, log_status="NODATA"), line(**NO_DATA, log_status="SKIPDATA")
        refused = line(action="REJECT")
        outcome = read(log(line(), no_data, skipped, no_data, refused, refused, refused, line()))
        assert outcome.rows == [2, 9]
        assert outcome.ignored == {"no traffic": 2, "lost by the source": 1, "denied": 3}
        assert (outcome.rejects, outcome.read) == ([], 8)

    def test_a_line_is_left_out_for_one_reason(self):
        outcome = read(log(line(log_status="SKIPDATA", action="REJECT"), line(log_status="NODATA", action="REJECT")))
        assert outcome.ignored == {"lost by the source": 1, "no traffic": 1}

    def test_a_refused_record_need_not_be_complete(self):
        assert read(log(line(action="REJECT", bytes="-", srcaddr="-"))).ignored == {"denied": 1}

    @pytest.mark.parametrize(
        "values", [{"action": "-"}, {"log_status": "-"}, {"action": "accept"}, {"log_status": "nodata"}]
    )
    def test_other_texts_leave_nothing_out(self, values):
        assert flow_of(**values) == FLOW

    @pytest.mark.parametrize("action", ["ACCEPT", "REJECT"])
    @pytest.mark.parametrize("more", ['{"version":2,"bytes":7}', "x", "Y"])
    def test_what_is_glued_to_the_last_word_rejects_the_line(self, action, more):
        """Joining files makes it where the last line of one has no newline: what is glued would be lost."""
        (reject,) = read(log(line(action=action) + more, line())).rejects
        assert (reject.row, reject.field, reject.rule) == (2, "log-status", "must be OK, NODATA or SKIPDATA")

    @pytest.mark.parametrize("cut", ["R", "REJEC", "ACC"])
    def test_an_action_that_is_cut_off_is_none(self, cut):
        fields = [name for name in V2 if name != "log-status"]
        outcome = read(log(line(fields), line(fields, action=cut), fields=fields).rstrip())
        assert [(reject.row, reject.field, reject.rule) for reject in outcome.rejects] == [
            (3, "action", "must be ACCEPT or REJECT")
        ]

    def test_a_log_without_these_fields_leaves_nothing_out(self):
        assert read(log(line(V2[:-2]), fields=V2[:-2])).cells == [FLOW]


class TestHour:
    @pytest.mark.parametrize(
        ("start", "hour"),
        [
            ("631152000", 175320),  # 1990 begins
            ("1440007199", 400001),
            ("1440007200", 400002),
            ("1418530010", 394036),
            ("1418530010123", 394036),  # milliseconds
            ("7258118399", 2016143),  # 2199 ends
            ("631152000000", 175320),  # from 100000000000 on they are milliseconds
            ("7258118399999", 2016143),
            ("1440007199999999", 400001),  # microseconds
            ("1440007199999999999", 400001),  # nanoseconds
            ("1440007200000000000", 400002),
        ],
    )
    def test_it_is_the_hour_in_which_the_flow_started(self, start, hour):
        assert flow_of(start=start, end="9999999999")[0] == hour

    @pytest.mark.parametrize(
        "start",
        ["-1", "-1440007200", "0", "20251126", "631151999", "7258118400", "100000000000", "631151999999", "20251126080000"],
    )
    def test_a_number_that_is_no_time_of_a_flow_log_is_rejected(self, start):
        assert fault_of(start=start) == ("start", RANGE_RULE, start)

    @pytest.mark.parametrize(
        ("start", "rule"),
        [("noon", INTEGER_RULE), ("1440007200.5", INTEGER_RULE), ("9" * 20, SIZE_RULE), ("0x10", INTEGER_RULE)],
    )
    def test_what_is_no_time_is_rejected(self, start, rule):
        assert fault_of(start=start) == ("start", rule, start)

    @settings(deadline=None)
    @given(st.integers(631_152_000, 7_258_118_398))
    def test_every_unit_gives_the_same_hour(self, seconds):
        last = [seconds * unit + unit - 1 for unit in (1, 10**3, 10**6, 10**9)]  # before the next second
        assert [hour for hour, *_ in read(log(*(line(start=str(start)) for start in last))).cells] == [seconds // 3600] * 4


class TestDirection:
    @pytest.mark.parametrize(
        ("srcport", "dstport", "tcp_flags", "turned"),
        [
            ("49152", "443", "-", False),
            ("443", "49152", "-", True),
            ("8080", "40000", "-", True),
            ("5000", "6000", "-", False),
            ("-", "-", "-", False),
            ("0", "0", "0", False),
            ("443", "49152", "2", False),  # who sends a SYN has opened the connection
            ("443", "49152", "3", False),
            ("49152", "443", "18", True),  # who answers it has not
            ("49152", "443", "19", True),
            ("443", "49152", "1", True),
            ("443", "49152", "0", True),
        ],
    )
    def test_an_answer_is_turned_round(self, srcport, dstport, tcp_flags, turned):
        flow = flow_of(srcport=srcport, dstport=dstport, tcp_flags=tcp_flags)
        straight = (HOUR, "10.0.0.1", "10.0.0.2", "123456789010", 100, 0)
        assert flow == ((HOUR, "10.0.0.2", "10.0.0.1", "123456789010", 0, 100) if turned else straight)

    def test_a_conversation_s_two_records_have_one_key(self):
        answer = line(srcaddr="10.0.0.2", dstaddr="10.0.0.1", srcport="443", dstport="49152", bytes="900")
        opening, turned = read(log(line(), answer)).cells
        assert opening[:4] == turned[:4]
        assert (opening[4:], turned[4:]) == ((100, 0), (0, 900))

    @pytest.mark.parametrize("field", ["srcport", "dstport", "tcp_flags"])
    def test_what_is_no_port_or_flag_is_rejected(self, field):
        assert fault_of(**{field: "http"}) == (field.replace("_", "-"), INTEGER_RULE, "http")


class TestIdentity:
    @pytest.mark.parametrize(
        ("fields", "vpc_id", "option", "expected"),
        [
            (V8, "vpc-1", "vpc-2", "vpc-1"),  # the record's own
            (V8, "-", "vpc-2", "vpc-2"),  # else the user's
            (V2, "-", "vpc-2", "vpc-2"),
            (V8, "-", None, "123456789010"),  # else the account
            (V2, "-", None, "123456789010"),
            (["start", "bytes", "dstaddr", "srcaddr"], "-", None, "-"),
        ],
    )
    def test_the_vpc(self, fields, vpc_id, option, expected):
        assert flow_of(fields, {"vpc_id": option}, vpc_id=vpc_id)[3] == expected

    def test_the_interface_is_read_where_the_user_names_some_alone(self):
        """To find its name among those that are known takes as long as to find an address."""
        text = log(line(interface_id="eni-X"), line(interface_id="eni-2")).encode().replace(b"eni-X", b"\xff")
        assert read(text).cells == [FLOW, FLOW]
        found = read(text, hop=("eni-2",))
        assert (found.cells, found.ignored["other reporter"]) == ([], 1)
        assert found.faults == [(2, "interface-id", "must be valid UTF-8")]

    def test_the_packet_s_own_addresses_go_before_those_of_what_lies_between(self):
        assert flow_of(pkt_srcaddr="10.1.0.1", pkt_dstaddr="10.1.0.2")[1:3] == ("10.1.0.1", "10.1.0.2")
        assert flow_of(pkt_srcaddr="10.1.0.1", pkt_dstaddr="-")[1:3] == ("10.1.0.1", "10.0.0.2")

    @pytest.mark.parametrize(
        ("direction", "apps"),
        [
            ("egress", ("billing", "10.0.0.2")),
            ("ingress", ("10.0.0.1", "billing")),
            ("-", ("10.0.0.1", "10.0.0.2")),
            ("sideways", ("10.0.0.1", "10.0.0.2")),
        ],
    )
    def test_an_ecs_service_names_the_app_on_its_side(self, direction, apps):
        assert flow_of(flow_direction=direction, ecs_service_name="billing")[1:3] == apps

    def test_a_direction_that_nobody_knows_is_noted_and_counts(self, tmp_path):
        words = ("egress", "sideways", "-", "Ingress")
        (tmp_path / "raw").write_text(log(*(line(V5, flow_direction=word) for word in words), fields=V5))
        summary = FlowStore(tmp_path / "store", create=True).ingest([str(tmp_path / "raw")])
        assert (summary.valid, summary.bytes_tx) == (4, 400)
        ((note, count),) = summary.notes.items()
        assert note.startswith("have a flow-direction that is neither ingress nor egress")
        assert count == 2

    def test_the_mapping_file_goes_before_an_ecs_service(self):
        apps = AppMap([(ipaddress.ip_network("10.0.0.1"), "mine", None)])
        values = {"flow_direction": "egress", "ecs_service_name": "billing"}
        assert flow_of(options={"apps": apps}, **values)[1:3] == ("mine", "10.0.0.2")
        assert flow_of(options={"apps": apps}, **values, srcaddr="10.0.0.3")[1:3] == ("billing", "10.0.0.2")

    def test_a_service_s_answer_is_turned_round_with_its_name(self):
        answer = flow_of(srcport="443", dstport="49152", flow_direction="egress", ecs_service_name="billing")
        assert answer == (HOUR, "10.0.0.2", "billing", "123456789010", 0, 100)

    def test_a_service_name_needs_the_direction(self):
        fields = [field for field in V8 if field != "flow-direction"]
        assert flow_of(fields, ecs_service_name="billing")[1:3] == ("10.0.0.1", "10.0.0.2")

    def test_apps_are_looked_up_in_the_record_s_vpc(self):
        network = ipaddress.ip_network("10.0.0.0/24")
        apps = AppMap([(network, "one", "vpc-1"), (network, "any", None)])
        assert flow_of(options={"apps": apps}, vpc_id="vpc-1")[1:3] == ("one", "one")
        assert flow_of(options={"apps": apps}, vpc_id="vpc-2")[1:3] == ("any", "any")

    def test_an_ipv6_address_has_one_spelling(self):
        assert flow_of(srcaddr="2001:0DB8:0:0::1", dstaddr="2001:db8::0001")[1:3] == ("2001:db8::1", "2001:db8::1")

    @pytest.mark.parametrize("field", ["srcaddr", "dstaddr", "pkt_srcaddr", "pkt_dstaddr"])
    def test_what_is_no_address_is_rejected_under_its_own_name(self, field):
        assert fault_of(**{field: "10.0.0"}) == (field.replace("_", "-"), ADDRESS_RULE, "10.0.0")

    @pytest.mark.parametrize("field", ["srcaddr", "dstaddr", "bytes", "start"])
    def test_what_a_record_with_data_must_have_is_rejected_where_it_is_missing(self, field):
        assert fault_of(**{field: "-"}) == (field, MISSING_RULE, "")

    def test_a_row_is_rejected_once(self):
        assert fault_of(srcaddr="x", dstaddr="y") == ("srcaddr", ADDRESS_RULE, "x")
        assert fault_of(srcaddr="x", bytes="-") == ("bytes", MISSING_RULE, "")


class TestShape:
    @pytest.mark.parametrize("bad", [line() + "\0", "\0" * 9 + line(), line(srcaddr="10.0.0.1\0"), "\0", line() + " \0"])
    @pytest.mark.parametrize("spell", [str, lambda text: text.replace(" ", "  ")], ids=["plain", "in columns"])
    def test_a_line_with_a_nul_is_rejected(self, bad, spell):
        outcome = read(log(line(), spell(bad), spell(line())))
        assert (outcome.rows, outcome.faults) == ([2, 4], [(3, "", "must not contain NUL bytes")])

    @pytest.mark.parametrize("bad", [line() + " more", line()[:-3], "-", line().replace("eni-1 ", " ")])
    def test_a_line_with_too_few_or_too_many_fields_is_rejected(self, bad):
        outcome = read(log(line(), bad, line()))
        assert (outcome.rows, outcome.faults, outcome.raws) == ([2, 4], [(3, "", "must have 14 fields")], {3: bad})

    @pytest.mark.parametrize("header", [True, False])
    @pytest.mark.parametrize("block_bytes", [1, 50, 200])
    def test_it_does_not_matter_where_blocks_are_cut(self, header, block_bytes):
        lines = [
            line(),
            "",
            line(bytes="x"),
            line(action="REJECT"),
            line() + " 1",
            line(srcaddr="?"),
            line(start="-"),
            line(),
        ]
        text = log(*lines) if header else "\n".join(lines)
        whole = read(text)
        with blocks_of(block_bytes):
            assert read(text) == whole
        assert whole.read == 7
        assert [row - header for row in whole.rows] == [1, 8]


PARQUET_TYPES = {
    **dict.fromkeys(["version", "srcport", "dstport", "protocol", "tcp_flags"], pa.int32()),
    **dict.fromkeys(["packets", "bytes", "start", "end"], pa.int64()),
}


class TestParquet:
    def parquet(self, *records, fields=V8, types=PARQUET_TYPES):
        """A file as AWS writes it: names with underscores, numbers as numbers, null for "-"."""
        columns = {}
        for field in fields:
            name = field.replace("-", "_")
            texts = [None if (OPENING | record).get(field, "-") == "-" else (OPENING | record)[field] for record in records]
            kind = types.get(name, pa.string())
            columns[name] = pa.array([text if text is None or kind == pa.string() else int(text) for text in texts], kind)
        target = io.BytesIO()
        pq.write_table(pa.table(columns), target)
        return target.getvalue()

    def test_it_says_what_the_text_says(self):
        records = [
            {},
            named(bytes="7", vpc_id="vpc-1", pkt_srcaddr="10.1.0.1"),
            named(srcport="443", dstport="49152", tcp_flags="19"),
            named(flow_direction="egress", ecs_service_name="billing"),
            named(action="REJECT"),
            named(**NO_DATA, log_status="NODATA"),
            named(srcaddr="x"),
            named(bytes="-"),
            named(start="-1"),
        ]
        text, found = (
            read(log(*(line(V8, **values) for values in self._python(records)), fields=V8)),
            read(self.parquet(*records)),
        )
        assert found.cells == text.cells
        assert found.ignored == text.ignored == {"denied": 1, "no traffic": 1}
        assert found.rows == [row - 1 for row in text.rows] == [1, 2, 3, 4]  # the text has a header line
        assert [(row, field.replace("_", "-"), rule) for row, field, rule in found.faults] == [
            (row - 1, field, rule) for row, field, rule in text.faults
        ]

    @staticmethod
    def _python(records):
        return [{field.replace("-", "_"): value for field, value in record.items()} for record in records]

    @pytest.mark.parametrize("spell", [str, lambda name: name.replace("_", "-")], ids=["underscores", "hyphens"])
    def test_numbers_may_be_floating_point_with_nan_for_what_is_missing(self, spell):
        nan = float("nan")
        columns = {
            "account_id": [123456789010.0, nan, 1.0, 1.0],
            "srcaddr": ["10.0.0.1", None, "10.0.0.1", "10.0.0.1"],
            "dstaddr": ["10.0.0.2", None, "10.0.0.2", "10.0.0.2"],
            "srcport": [49152.0, nan, 1.0, 1.0],
            "dstport": [443.0, nan, 1.0, 1.0],
            "bytes": [100.0, nan, 0.5, 2.0**53],
            "start": [1440007200.0] * 4,
            "tcp_flags": [nan] * 4,
            "vpc_id": [nan] * 4,
        }
        target = io.BytesIO()
        pq.write_table(pa.table({spell(name): pa.array(cells) for name, cells in columns.items()}), target)
        outcome = read(target.getvalue())
        assert (outcome.records, outcome.ignored) == ([(1, *FLOW)], {"no traffic": 1})
        assert [row for row, *_ in outcome.faults] == [3, 4]

    def test_few_columns_are_enough_and_missing_ones_are_named(self):
        few = ["start", "bytes", "dstaddr", "srcaddr"]
        assert read(self.parquet({}, fields=few)).records == [(1, HOUR, "10.0.0.1", "10.0.0.2", "-", 100, 0)]
        with pytest.raises(MissingColumns, match="missing column bytes; the file has: start, dstaddr, srcaddr"):
            read(self.parquet({}, fields=["start", "dstaddr", "srcaddr"]))

    def test_python_tools_may_have_written_numbers_as_text_and_none_as_a_word(self):
        target = io.BytesIO()
        columns = {"start": [1440007200, 1440007200], "srcaddr": ["10.0.0.1", "-"], "dstaddr": ["10.0.0.2", "-"]}
        columns |= {"bytes": ["100", "None"], "account_id": [123456789010] * 2, "log_status": ["OK", "NODATA"]}
        pq.write_table(pa.table(columns), target)
        outcome = read(target.getvalue())
        assert (outcome.records, outcome.ignored) == ([(1, *FLOW)], {"no traffic": 1})


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["100", "0", "-", "x"]),
            st.sampled_from(["ACCEPT", "REJECT", "-"]),
            st.sampled_from(["OK", "NODATA", "SKIPDATA"]),
            st.sampled_from(["10.0.0.1", "-", "?"]),
        ),
        max_size=12,
    )
)
def test_every_line_is_a_flow_or_a_reject_or_left_out(found):
    lines = [
        line(bytes=count, action=action, log_status=status, srcaddr=address) for count, action, status, address in found
    ]
    outcome = read(log(*lines))
    assert outcome.read == len(lines) == len(outcome.records) + len(outcome.rejects) + outcome.ignored.total()


def test_a_value_that_has_a_fields_name_in_it_is_no_header():
    text = "interface-id srcaddr dstaddr bytes start ecs-service-name\neni-1 10.0.0.1 10.0.0.2 5 1440007200 my-srcaddr-svc\n"
    outcome = read(text)
    assert (outcome.rejects, outcome.rows, outcome.read) == ([], [2], 1)
