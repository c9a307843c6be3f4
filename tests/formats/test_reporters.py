"""Which records are left out, since another record has their bytes."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.formats.apps import AppMap
from pipeline.formats.conversion import to_flows
from pipeline.formats.record import Endpoint, Record, Reporter
from pipeline.formats.reporters import REPORTED_BY, SCALED, sizes_of
from pipeline.options import ReadOptions
from pipeline.schema import DICTIONARY_TEXT
from pipeline.syntax.batch import OTHER_REPORTER, Batch

NOON = 1_764_158_400
SENDERS = ("10.0.0.1", "10.0.0.2", "8.8.8.8", "10.0.0.3")


def texts(*values):
    return pa.array(values, DICTIONARY_TEXT)


def mask(*marks):
    return np.array(marks, bool)


def flows(reporter, senders=SENDERS, scaled=None, when=NOON, **options):
    """Four records, of 1, 2, 4 and 8 bytes."""
    table = pa.table({"when": pa.array([NOON, NOON, NOON, when]), "src": texts(*senders), "dst": texts(*["10.0.0.9"] * 4)})
    record = Record(
        start="when",
        src=Endpoint(("packet_src", "src")),
        dst=Endpoint(("dst",)),
        sent=pa.array([1, 2, 4, 8]),
        required=("when",),
        reporter=reporter,
        scaled=scaled,
    )
    return to_flows(Batch(table, np.arange(1, 5), str), record, ReadOptions(**options), AppMap())


def left_out(batch):
    """The rows that another record has, and their bytes."""
    assert set(batch.left_out) <= {OTHER_REPORTER}
    left = batch.left_out.get(OTHER_REPORTER)
    return {} if left is None else dict(zip(left.rows.tolist(), left.sizes.tolist(), strict=True))


class TestOnce:
    RECEIVED = Reporter(receiver=mask(1, 0, 1, 0), sender=mask(0, 1, 0, 1))

    def test_what_the_formats_own_rule_says_is_left_out(self):
        batch = flows(Reporter(other=mask(0, 1, 0, 1)))
        assert left_out(batch) == {2: 2, 4: 8}
        assert (batch.rows.tolist(), batch.read) == ([1, 3], 4)

    def test_what_a_receiver_reports_counts_unless_the_senders_network_is_logged(self):
        assert left_out(flows(self.RECEIVED)) == {}
        assert left_out(flows(self.RECEIVED, logged=("10.0.0.0/8",))) == {1: 1}
        assert left_out(flows(self.RECEIVED, logged=("8.0.0.0/8", "10.0.0.0/8"))) == {1: 1, 3: 4}

    def test_the_name_of_a_hop_may_be_in_another_case(self):
        assert len(flows(Reporter(interface=texts("00AABB", "b", "c", "d")), hop=("00aabb",)).left_out[OTHER_REPORTER]) == 1

    def test_rows_that_do_not_say_at_which_end_they_were_reported_are_noted(self):
        names = texts("a", "b", "c", "d")
        (note,) = flows(Reporter(interface=names), logged=("10.0.0.0/8",)).notes.items()
        assert note[0].startswith("do not say at which end they were reported")
        assert len(note[1]) == 4
        assert not flows(Reporter(interface=names)).notes

    def test_of_a_log_whose_rows_tell_those_are_noted_that_do_not(self):
        reporter = Reporter(receiver=mask(1, 0, 0, 0), sender=mask(0, 1, 0, 0), untold=mask(0, 0, 1, 1))
        (rows,) = flows(reporter, logged=("10.0.0.0/8",)).notes.values()
        assert rows.tolist() == [3, 4]

    def test_the_hops_that_are_met_are_known(self):
        reporter = Reporter(interface=texts("NAT", "nat", "eni-1", None))
        assert flows(reporter, hop=("nat", "eni-2")).hops == {"nat"}
        assert flows(reporter).hops == flows(Reporter(), hop=("nat",)).hops == frozenset()

    def test_what_a_hop_reports_is_left_out_at_whichever_end(self):
        reporter = Reporter(receiver=mask(1, 0, 1, 0), interface=texts("nat", "nat", "eni-1", None))
        assert left_out(flows(reporter, hop=("eni-2", "nat"))) == {1: 1, 2: 2}

    def test_a_row_counts_as_left_out_once(self):
        reporter = Reporter(mask(1, 0, 0, 0), None, mask(1, 0, 0, 0), texts(*["nat"] * 4))
        batch = flows(reporter, logged=("10.0.0.0/8",), hop=("nat",))
        assert {reason: len(left) for reason, left in batch.left_out.items()} == {OTHER_REPORTER: 4}

    def test_the_packets_own_address_goes_before_the_interfaces(self):
        batch = flows(self.RECEIVED, ("172.16.0.1", *SENDERS[1:]), logged=("10.0.0.0/8",))
        assert left_out(batch) == {}

    @pytest.mark.parametrize("logged", [(), ("10.0.0.0/8",)])
    def test_a_row_that_is_at_fault_is_rejected_and_not_left_out(self, logged):
        batch = flows(Reporter(other=mask(0, 0, 1, 1)), when=None, logged=logged)
        assert [reject.row for reject in batch.rejects] == [4]
        assert left_out(batch) == {3: 4}


def test_with_count_nothing_is_left_out():
    assert left_out(flows(Reporter(other=mask(1, 1, 1, 1)), both_ends="count")) == {}


@pytest.mark.parametrize(
    ("sent", "received", "sizes"),
    [
        ([1, None, -5], None, [1, 0, 0]),
        ([1, None, 2**53], [10, 20, None], [11, 20, 0]),
        ([2**53 - 1], [2**53 - 1], [2**54 - 2]),
    ],
)
def test_bytes_that_no_record_may_have_are_none(sent, received, sizes):
    columns = (pa.array(sent, pa.int64()), received and pa.array(received, pa.int64()))
    assert sizes_of(*columns).tolist() == sizes


class TestMarks:
    ENDS = Reporter(sender=mask(1, 0, 0, 0), receiver=mask(0, 1, 0, 0))

    def test_a_log_that_tells_nothing_has_none(self):
        assert flows(None).marks is None
        assert flows(Reporter(interface=texts(*["eni"] * 4))).marks is None
        assert flows(Reporter(sender=mask(0, 0, 0, 0)), scaled=mask(0, 0, 0, 0)).marks is None

    def test_they_say_at_which_end_whatever_the_user_calls_logged(self):
        assert flows(self.ENDS).marks.column(REPORTED_BY).to_pylist() == [1, 2, 0, 0]
        assert flows(self.ENDS, logged=("9.9.9.9/32",)).marks.column(REPORTED_BY).to_pylist() == [1, 2, 0, 0]
        assert flows(self.ENDS, logged=("10.0.0.0/8",)).marks.column(REPORTED_BY).to_pylist() == [1, 0, 0]
        assert flows(self.ENDS, both_ends="count").marks is None

    def test_they_leave_with_the_rows_that_are_rejected_and_left_out(self):
        reporter = Reporter(other=mask(1, 0, 0, 0))
        batch = flows(reporter, ("10.0.0.1", "x", "10.0.0.2", "10.0.0.3"), scaled=mask(1, 1, 1, 0))
        assert (batch.rows.tolist(), batch.marks.column(SCALED).to_pylist()) == ([3, 4], [True, False])
