"""AWS's flow logs as JSON objects."""

import json
import os
from pathlib import Path

import pytest

from pipeline.errors import UnknownFormat
from tests.formats.helpers import format_of, read

SAMPLES = Path(os.environ.get("FLOWLOG_SAMPLES") or Path(__file__).parents[3] / "shared" / "samples" / "aws-envelopes")
HOUR, START = 490_040, 1_764_144_010
RECORD = {
    "version": 5,
    "account_id": "111122223333",
    "interface_id": "eni-1",
    "srcaddr": "10.0.0.1",
    "dstaddr": "10.0.0.9",
    "srcport": 40_000,
    "dstport": 443,
    "bytes": 400,
    "start": START,
    "end": START + 60,
    "action": "ACCEPT",
    "log_status": "OK",
    "vpc_id": "-",
    "pkt_srcaddr": "-",
    "tcp_flags": 2,
}
FLOW = (HOUR, "10.0.0.1", "10.0.0.9", "111122223333", 400, 0)
SILENT = dict.fromkeys(["srcaddr", "dstaddr", "srcport", "dstport", "bytes", "action", "tcp_flags"], "-")


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize("spell", [str, lambda name: name.replace("_", "-")], ids=["underscores", "hyphens"])
@pytest.mark.parametrize("number", [int, float, str])
def test_keys_may_have_hyphens_and_numbers_may_be_of_any_kind(spell, number):
    record = {spell(name): number(cell) if isinstance(cell, int) else cell for name, cell in RECORD.items()}
    for data in (lines(record), json.dumps([record]), json.dumps(record, indent=1)):
        assert format_of(data) == "AWS VPC Flow Logs, JSON"
        assert read(data).cells == [FLOW]


@pytest.mark.parametrize("none", ["-", None])
def test_what_is_no_traffic_is_ignored_and_a_dash_is_no_value(none):
    silent = RECORD | dict.fromkeys(SILENT, none)
    outcome = read(
        lines(RECORD, silent | {"log_status": "NODATA"}, silent | {"log_status": "SKIPDATA"}, RECORD | {"action": "REJECT"})
    )
    assert (outcome.cells, outcome.rejects) == ([FLOW], [])
    assert outcome.ignored == {"no traffic": 1, "lost by the source": 1, "denied": 1}


def test_a_cell_that_is_unfit_rejects_its_record():
    outcome = read(lines(RECORD, RECORD | {"bytes": 1.5}, RECORD | {"bytes": "-"}, RECORD | {"dstaddr": "ten"}))
    assert [(row, field) for row, field, _ in outcome.faults] == [(2, "bytes"), (3, "bytes"), (4, "dstaddr")]


class TestTransitGateways:
    RECORD = RECORD | {"tgw_id": "tgw-0a1b2c3d", "tgw_src_vpc_id": "vpc-a", "flow_direction": "ingress"}

    def test_their_records_are_read_by_their_own_rule(self):
        data = lines(self.RECORD, self.RECORD | {"flow_direction": "egress"})
        assert format_of(data) == "AWS Transit Gateway Flow Logs, JSON"
        outcome = read(data)
        assert (outcome.cells, outcome.ignored) == ([(*FLOW[:3], "vpc-a", 400, 0)], {"other reporter": 1})

    def test_without_directions_they_are_refused(self):
        record = {name: cell for name, cell in self.RECORD.items() if name != "flow_direction"}
        with pytest.raises(UnknownFormat, match="without flow-direction"):
            read(lines(record))

    def test_among_a_vpc_s_they_are_refused(self):
        with pytest.raises(UnknownFormat, match="among a VPC's records"):
            read(lines(*[RECORD] * 60, self.RECORD))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there is no folder of samples at {SAMPLES}")
class TestSamples:
    V5 = (
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id "
        "subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id "
        "pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path"
    )

    def data(self, name):
        return (SAMPLES / f"intake-formats__AWS__aws-flow-logs__tests__{name}.json#message.txt").read_bytes()

    @pytest.mark.parametrize(
        ("name", "count"), [("accept_structured", 2610), ("network_traffic", 412), ("ipv6traffic", 8855), ("nodata", 0)]
    )
    def test_each_has_the_bytes_that_the_index_says(self, name, count):
        outcome = read(self.data(name))
        assert (outcome.read, outcome.rejects, sum(tx + rx for *_, tx, rx in outcome.cells)) == (1, [], count)

    def test_a_line_in_an_order_of_its_own_needs_the_fields_names(self):
        with pytest.raises(UnknownFormat, match="of 29 fields, without a header"):
            read(self.data("custom"))
        assert sum(tx + rx for *_, tx, rx in read(self.data("custom"), aws_fields=self.V5.split()).cells) == 73

    def test_an_envelope_whose_lines_have_neither_bytes_nor_times_is_refused(self):
        name = "opentelemetry-collector-contrib__vpc-flow-log__testdata__valid_vpc_flow_cw_custom.json"
        with pytest.raises(UnknownFormat, match="no VPC flow log records of version 2"):
            read((SAMPLES / name).read_bytes())
