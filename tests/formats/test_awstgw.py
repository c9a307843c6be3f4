"""AWS Transit Gateway Flow Logs, alone and beside a VPC's records."""

import io
import json
import os
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import OtherLog, UnknownFormat
from pipeline.flowstore import FlowStore
from pipeline.formats.awsfields import DEFAULT_FIELDS, DEFAULT_GATEWAY_FIELDS
from pipeline.options import IngestOptions
from tests.formats.helpers import blocks_of, format_of, read

SAMPLES = Path(os.environ.get("FLOWLOG_SAMPLES") or Path(__file__).parents[3] / "shared" / "samples")
HOUR, START = 490_040, 1_764_144_010
TEXT, EVENTS = "AWS Transit Gateway Flow Logs, text", "AWS Transit Gateway Flow Logs, CloudWatch events"
#: A client in one VPC (port 40000) sends 5,000 bytes to a server in another one (port 443), as they come into the gateway.
REQUEST = {
    "version": "6",
    "resource-type": "TransitGateway",
    "account-id": "111122223333",
    "tgw-id": "tgw-0a1b2c3d4e5f60001",
    "tgw-attachment-id": "tgw-attach-0a1b2c3d4e5f6000a",
    "tgw-src-vpc-id": "vpc-a",
    "tgw-dst-vpc-id": "vpc-b",
    "tgw-pair-attachment-id": "tgw-attach-0a1b2c3d4e5f6000b",
    "srcaddr": "10.1.0.1",
    "dstaddr": "10.2.0.1",
    "srcport": "40000",
    "dstport": "443",
    "protocol": "6",
    "packets": "10",
    "bytes": "5000",
    "start": str(START),
    "end": str(START + 60),
    "log-status": "OK",
    "type": "IPv4",
    "packets-lost-no-route": "3",
    "tcp-flags": "2",
    "flow-direction": "ingress",
}
ANSWER = {
    "tgw-src-vpc-id": "vpc-b",
    "tgw-dst-vpc-id": "vpc-a",
    "srcaddr": "10.2.0.1",
    "dstaddr": "10.1.0.1",
    "srcport": "443",
    "dstport": "40000",
    "bytes": "7000",
    "tcp-flags": "18",
}
EGRESS = {"flow-direction": "egress"}
NO_DATA = dict.fromkeys(["srcaddr", "dstaddr", "srcport", "dstport", "bytes", "packets", "flow-direction"], "-")
FLOW, ANSWERED = (HOUR, "10.1.0.1", "10.2.0.1", "vpc-a", 5000, 0), (HOUR, "10.1.0.1", "10.2.0.1", "vpc-a", 0, 7000)
#: A VPC's record under the default fields, and its flow.
VPC_LINE = f"2 111122223333 eni-1 10.1.0.1 10.2.0.1 40000 443 6 10 5000 {START} {START} ACCEPT OK"
VPC_FLOW = (HOUR, "10.1.0.1", "10.2.0.1", "111122223333", 5000, 0)


def line(fields=DEFAULT_GATEWAY_FIELDS, **values):
    record = REQUEST | {name.replace("_", "-"): value for name, value in values.items()}
    return " ".join(record.get(name, "-") for name in fields)


def pair(**values):
    """A packet's two records."""
    return [line(**values), line(**values | EGRESS)]


def text(*lines):
    return "".join(f"{line}\n" for line in lines)


def header(*without):
    return " ".join(name for name in DEFAULT_GATEWAY_FIELDS if name not in without)


def test_the_default_has_the_36_fields_of_version_6():
    assert len(DEFAULT_GATEWAY_FIELDS) == len(set(DEFAULT_GATEWAY_FIELDS)) == 36
    assert (DEFAULT_GATEWAY_FIELDS[1], DEFAULT_GATEWAY_FIELDS[22], DEFAULT_GATEWAY_FIELDS[33]) == (
        "resource-type",
        "bytes",
        "flow-direction",
    )


class TestRecords:
    def test_what_is_glued_to_the_last_word_rejects_the_line(self):
        fields = [*(name for name in DEFAULT_GATEWAY_FIELDS if name != "log-status"), "log-status"]
        outcome = read(text(" ".join(fields), line(fields) + '{"version":6,"bytes":7}', line(fields)))
        assert (outcome.cells, [(reject.row, reject.field) for reject in outcome.rejects]) == ([FLOW], [(2, "log-status")])

    @pytest.mark.parametrize("before", [[], [header()], ["\ufeff" + header()], [header().replace("-", "_")]])
    def test_what_comes_in_counts_and_what_goes_out_is_another_reporter_s(self, before):
        data = text(*before, *pair(), *pair(**ANSWER))
        assert format_of(data) == TEXT
        outcome = read(data)
        assert (outcome.cells, outcome.ignored, outcome.rejects) == ([FLOW, ANSWERED], {"other reporter": 2}, [])

    @pytest.mark.parametrize(
        ("given", "vpc_id"),
        [
            ({}, "vpc-a"),
            ({"tgw_src_vpc_id": "-"}, "vpc-b"),
            ({"tgw_src_vpc_id": "-", "tgw_dst_vpc_id": "-"}, REQUEST["tgw-id"]),
            ({"tgw_src_vpc_id": "-", "tgw_dst_vpc_id": "-", "tgw_id": "-"}, REQUEST["account-id"]),
            (ANSWER, "vpc-a"),
            (ANSWER | {"tgw-dst-vpc-id": "-"}, "vpc-b"),
        ],
    )
    def test_the_vpc_is_that_of_the_end_that_opened_the_connection_or_else_the_other_s(self, given, vpc_id):
        assert [cells[3] for cells in read(text(header(), line(**given))).cells] == [vpc_id]

    def test_the_user_s_vpc_goes_before_the_gateway_s_id(self):
        nowhere = line(tgw_src_vpc_id="-", tgw_dst_vpc_id="-")
        assert [cells[3] for cells in read(text(nowhere, line()), vpc_id="v").cells] == ["v", "vpc-a"]

    def test_idle_and_lost_minutes_are_ignored_under_their_reasons(self):
        idle = [line(**NO_DATA, log_status=status) for status in ("NODATA", "SKIPDATA", "NODATA")]
        assert read(text(*idle, line())).ignored == {"no traffic": 2, "lost by the source": 1}

    def test_a_record_that_does_not_tell_its_direction_is_rejected(self):
        outcome = read(text(line(), line(flow_direction="-"), line(bytes="many"), line()[:-10]))
        assert outcome.faults == [
            (2, "flow-direction", "must not be missing"),
            (3, "bytes", "must be an integer"),
            (4, "", "must have 36 fields"),
        ]

    @pytest.mark.parametrize("named", ["tgw-id", "transit-gateway-id", "transit_gateway_id"])
    def test_the_gateway_s_id_has_several_names(self, named):
        fields = [name for name in DEFAULT_GATEWAY_FIELDS if "vpc-id" not in name]
        data = text(" ".join(fields).replace("tgw-id", named), line(fields))
        assert read(data).cells == [(*FLOW[:3], REQUEST["tgw-id"], 5000, 0)]


class TestWithoutDirection:
    """Such a log has each packet twice, and nothing tells the two apart."""

    @pytest.mark.parametrize("before", ["", text(" ".join(DEFAULT_FIELDS), VPC_LINE)])
    @pytest.mark.parametrize("option", ["auto", "aws-tgw"])
    def test_text_is_refused_with_what_to_do(self, before, option):
        with pytest.raises(
            UnknownFormat, match=r"without flow-direction; .*add flow-direction to the flow log's format"
        ) as error:
            read(before + header("flow-direction") + "\n", option=option)
        assert not isinstance(error.value, OtherLog)

    def test_parquet_is_refused(self):
        with pytest.raises(UnknownFormat, match="an AWS Transit Gateway flow log without flow-direction"):
            read(parquet(line(), without="flow-direction"))


class TestOwnOrder:
    FIELDS = ("start", "bytes", "srcaddr", "dstaddr", "flow-direction", "tgw-attachment-id", "tgw-src-vpc-id")

    def test_text_without_a_header_needs_its_fields_names(self):
        data = text(*(line(self.FIELDS, **given) for given in ({}, EGRESS)))
        with pytest.raises(UnknownFormat, match=r"of 7 fields, without a header; name its fields, .* --set aws-tgw\.fields"):
            read(data)
        outcome = read(data, settings={"aws-tgw.fields": " ".join(self.FIELDS)})
        assert (outcome.cells, outcome.ignored) == ([FLOW], {"other reporter": 1})

    def test_as_many_fields_as_a_vpc_s_record_has_are_not_a_vpc_s(self):
        fields = [{"interface-id": "tgw-id", "action": "flow-direction"}.get(name, name) for name in DEFAULT_FIELDS]
        for data in (text(line(fields)), text(VPC_LINE, line(fields)), text(*[VPC_LINE] * 60, line(fields))):
            with pytest.raises(UnknownFormat, match="of 14 fields, without a header"):
                read(data)

    def test_records_that_do_not_tell_whose_they_are_need_the_format_s_name(self):
        fields = self.FIELDS[:5]
        own = {"aws-tgw.fields": " ".join(fields)}
        assert read(text(line(fields)), option="aws-tgw", settings=own).cells == [(*FLOW[:3], "-", 5000, 0)]

    def test_a_vpc_s_field_may_have_a_gateway_s_id(self):
        fields = [*DEFAULT_FIELDS, "resource-id"]
        data = text(" ".join(fields), f"{VPC_LINE} tgw-0a1b2c3d4e5f60001", line())
        assert read(data).cells == [VPC_FLOW, FLOW]


class TestMixed:
    """Files with the records of VPCs and of Transit Gateways: each counts under its own rule."""

    LINES = (VPC_LINE, *pair(), VPC_LINE.replace("ACCEPT", "REJECT"), *pair(**ANSWER), VPC_LINE)
    FLOWS = (VPC_FLOW, FLOW, ANSWERED, VPC_FLOW)

    @pytest.mark.parametrize("before", [[], [" ".join(DEFAULT_FIELDS)]])
    @pytest.mark.parametrize("block_bytes", [50, 300, 1 << 20])
    def test_line_by_line(self, before, block_bytes):
        data = text(*before, *self.LINES)
        assert format_of(data) == "AWS VPC Flow Logs, text"
        with blocks_of(block_bytes):
            outcome = read(data)
        assert tuple(outcome.cells) == self.FLOWS
        assert (outcome.read, outcome.ignored["other reporter"]) == (7, 2)
        assert outcome.rows == [row + len(before) for row in (1, 2, 5, 7)]

    def test_beside_records_that_say_who_reports_them(self, tmp_path):
        fields = " ".join([*DEFAULT_FIELDS, "flow-direction"])
        (tmp_path / "raw").write_text(text(fields, f"{VPC_LINE} egress", *pair(), f"{VPC_LINE} ingress"))
        store = FlowStore(tmp_path / "store", create=True)
        store.ingest([str(tmp_path / "raw")], IngestOptions())
        assert sorted(row["bytes_tx"] for row in store.table(HOUR).to_pylist()) == [5000, 10_000]

    def test_header_by_header(self):
        data = text(header(), *pair(), " ".join(DEFAULT_FIELDS), VPC_LINE, header(), *pair(**ANSWER))
        assert read(data).cells == [FLOW, VPC_FLOW, ANSWERED]

    def test_in_an_order_that_the_user_names(self):
        fields = TestOwnOrder.FIELDS
        data = text(VPC_LINE, line(fields), VPC_LINE)
        assert read(data, settings={"aws-tgw.fields": " ".join(fields)}).cells == [VPC_FLOW, FLOW, VPC_FLOW]

    def test_a_reject_has_the_line_of_its_own_file(self):
        bad = line(bytes="many")
        outcome = read(text(VPC_LINE, bad, VPC_LINE, "2 cut"))
        assert outcome.raws == {2: bad, 4: "2 cut"}

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["vpc", "ingress", "egress", "idle"]), st.integers(0, 9), st.integers(0, 10**9)),
            max_size=12,
        )
    )
    def test_any_mixture_has_the_sums_that_a_plain_program_finds(self, records):
        lines, expected = [VPC_LINE], Counter({(HOUR, "10.1.0.1"): 5000})
        for kind, hour, count in records:
            start = START + 3600 * hour
            if kind == "vpc":
                lines.append(VPC_LINE.replace(" 5000 ", f" {count} ").replace(str(START), str(start)))
            elif kind == "idle":
                lines.append(line(**NO_DATA, log_status="NODATA"))
            else:
                lines.append(line(bytes=str(count), start=str(start), flow_direction=kind))
            if kind in ("vpc", "ingress"):
                expected[HOUR + hour, "10.1.0.1"] += count
        found = Counter()
        outcome = read(text(*lines))
        for hour, src, _, _, tx, rx in outcome.cells:
            found[hour, src] += tx + rx
        assert (found, outcome.read) == (expected, len(lines))


class TestCloudWatch:
    def test_an_export_to_s3_and_the_console_s_csv_are_read(self):
        lines = TestMixed.LINES
        prefixed = text(*(f"2025-11-26T08:00:10.000Z {line}" for line in lines))
        console = text("timestamp,message", *(f"1764144000000,{line}" for line in lines))
        quoted = text("timestamp,message", *(f'1764144000000,"{line}"' for line in lines))
        for data in (prefixed, console, quoted):
            assert tuple(read(data).cells) == TestMixed.FLOWS
        assert format_of(text("timestamp,message", f"1,{line()}")) == format_of(f"2025-11-26T08:00:10.000Z {line()}") == TEXT

    def envelope(self, *messages):
        events = [{"id": str(i), "timestamp": 1, "message": message} for i, message in enumerate(messages)]
        return json.dumps({"messageType": "DATA_MESSAGE", "logGroup": "g", "logEvents": events})

    def test_envelopes_are_read(self):
        data = self.envelope(*pair(), VPC_LINE)
        assert format_of(data) == EVENTS
        assert (read(data).cells, read(data).ignored) == ([FLOW, VPC_FLOW], {"other reporter": 1})
        assert format_of(self.envelope(VPC_LINE, line())) == "AWS VPC Flow Logs, CloudWatch events"
        assert read(self.envelope(VPC_LINE, line())).cells == [VPC_FLOW, FLOW]

    def test_envelopes_in_an_order_of_one_s_own_need_the_fields_names(self):
        data = self.envelope(line(TestOwnOrder.FIELDS))
        with pytest.raises(UnknownFormat, match=r"--set aws-tgw\.fields"):
            read(data)
        assert read(data, settings={"aws-tgw.fields": " ".join(TestOwnOrder.FIELDS)}).cells == [FLOW]


def parquet(*lines, without="", spell=lambda name: name.replace("-", "_")):
    """The default fields as AWS types them, numbers as int64, and without a value null."""
    rows = [dict(zip(DEFAULT_GATEWAY_FIELDS, line.split(), strict=True)) for line in lines]
    numbers = {"version", "srcport", "dstport", "protocol", "packets", "bytes", "start", "end", "tcp-flags"}
    columns = {}
    for name in DEFAULT_GATEWAY_FIELDS:
        cells = [None if row[name] == "-" else int(row[name]) if name in numbers else row[name] for row in rows]
        if name != without:
            columns[spell(name)] = pa.array(cells, pa.int64() if name in numbers else pa.string())
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


@pytest.mark.parametrize("spell", [str, lambda name: name.replace("-", "_")], ids=["hyphens", "underscores"])
def test_parquet_is_read_like_text(spell):
    lines = [*pair(), *pair(**ANSWER), line(**NO_DATA, log_status="NODATA")]
    data = parquet(*lines, spell=spell)
    assert format_of(data) == "AWS Transit Gateway Flow Logs, Parquet"
    outcome = read(data)
    assert (outcome.cells, outcome.ignored) == ([FLOW, ANSWERED], {"other reporter": 2, "no traffic": 1})


@pytest.mark.parametrize("data", [text(header(), line()), text(line()), parquet(line())], ids=["header", "none", "Parquet"])
def test_the_user_cannot_have_it_read_as_a_vpc_s(data):
    with pytest.raises(UnknownFormat, match="leave out --format, or name it with --format aws-tgw"):
        read(data, option="aws-vpc")


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there is no folder of samples at {SAMPLES}")
class TestSamples:
    def test_opentelemetry_s_envelope_in_an_order_of_its_own(self):
        data = (
            SAMPLES / "aws-envelopes/opentelemetry-collector-contrib__vpc-flow-log__testdata__valid_tgw_flow_cw.json"
        ).read_bytes()
        with pytest.raises(UnknownFormat, match="of 27 fields, without a header"):
            read(data)
        lost = "packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired "
        fields = (
            "version account-id tgw-id tgw-attachment-id tgw-src-vpc-id tgw-dst-vpc-id tgw-src-subnet-id tgw-dst-subnet-id "
            "tgw-src-eni tgw-dst-eni tgw-src-az-id tgw-dst-az-id tgw-pair-attachment-id srcaddr dstaddr srcport dstport protocol "
            f"packets bytes {lost}start end log-status type tcp-flags flow-direction region"
        ).replace(lost, "")
        outcome = read(data, settings={"aws-tgw.fields": fields})
        assert outcome.cells == [(1_700_000_000 // 3600, "10.0.0.1", "10.0.1.1", "vpc-0abc12345def67890", 1000, 0)]


def test_a_record_of_an_unknown_direction_is_rejected_as_it_may_be_either_of_two():
    records = (REQUEST | {"flow-direction": direction} for direction in ("ingress", "egress", "EGRESS"))
    outcome = read(
        "".join(json.dumps({key.replace("-", "_"): cell for key, cell in each.items()}) + "\n" for each in records)
    )
    assert outcome.faults == [(3, "flow-direction", "must be ingress or egress")]
    assert sum(tx + rx for *_, tx, rx in outcome.cells) == 5_000
