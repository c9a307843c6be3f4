"""What the records of a run say of who reports them, in whatever order and groups they come."""

import pickle
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.counting import reports
from pipeline.counting.reports import BothEnds, Reports
from pipeline.formats.reporters import DST, RECEIVER, REPORTED_BY, SCALED, SENDER, SRC
from pipeline.schema import DICTIONARY_TEXT
from pipeline.syntax.batch import Batch

ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "8.8.8.8"]
rows = st.lists(
    st.tuples(
        st.sampled_from(ADDRESSES),
        st.sampled_from(ADDRESSES),
        st.sampled_from([0, SENDER, RECEIVER]),
        st.integers(0, 2**53 - 1),
        st.integers(0, 2**53 - 1),
    ),
    max_size=8,
)


def batch_of(rows):
    """A batch of valid flow records, with the marks that tell who reports them."""
    src, dst, ends, sent, received = (list(column) for column in zip(*rows, strict=True)) if rows else ([] for _ in range(5))
    marks = {
        REPORTED_BY: pa.array(ends, pa.int8()),
        SRC: pa.array(src, DICTIONARY_TEXT),
        DST: pa.array(dst, DICTIONARY_TEXT),
    }
    table = pa.table({"bytes_tx": pa.array(sent, pa.int64()), "bytes_rx": pa.array(received, pa.int64())})
    return Batch(table, np.arange(len(rows)), str, marks=pa.table(marks))


def reports_of(*batches):
    found = Reports()
    for batch in batches:
        found.add(batch_of(batch))
    return found


def judged(rows):
    """What is reported from both ends, by the definition."""
    if not rows:
        return None
    reporters = {src for src, _, end, *_ in rows if end == SENDER} | {dst for _, dst, end, *_ in rows if end == RECEIVER}
    return BothEnds(sum(tx + rx for src, _, end, tx, rx in rows if end == RECEIVER and src in reporters))


@given(st.lists(rows, max_size=5), st.integers(0, 5), st.randoms(use_true_random=False))
@settings(max_examples=settings.default.max_examples // 2)
def test_order_and_groups_change_nothing(batches, cut, random):
    expected = judged([row for batch in batches for row in batch])
    random.shuffle(batches)
    first, second = reports_of(*batches[:cut]), pickle.loads(pickle.dumps(reports_of(*batches[cut:])))
    first.merge(second)
    assert first.both_ends() == expected


def test_a_reporter_may_be_met_after_what_is_received_from_it():
    received, sent = ("10.0.0.1", "10.0.0.2", RECEIVER, 5, 1), ("10.0.0.1", "8.8.8.8", SENDER, 7, 0)
    assert reports_of([received]).both_ends() == BothEnds(0)
    assert reports_of([received], [sent]).both_ends() == BothEnds(6)


def test_an_address_that_only_sends_from_outside_is_no_reporters():
    assert reports_of([("8.8.8.8", "10.0.0.2", RECEIVER, 5, 0)]).both_ends() == BothEnds(0)


def test_where_no_record_tells_nothing_is_said():
    assert Reports().both_ends() is None


def test_rows_that_were_scaled_are_counted():
    found = Reports()
    batch = batch_of([("10.0.0.1", "10.0.0.2", 0, 1, 1)] * 3)
    marks = pa.table({SCALED: pa.array([True, False, True])})
    found.add(Batch(batch.table, batch.rows, str, marks=marks))
    assert (found.scaled, found.both_ends()) == (2, None)


class TestOfTooManyAddresses:
    @pytest.fixture(autouse=True)
    def _few(self, monkeypatch):
        monkeypatch.setattr(reports, "_MOST_ADDRESSES", 1000)

    def rows(self):
        """Ten thousand addresses, of which each second is a reporter's; what comes from these is half of the bytes."""
        addresses = [f"10.0.{number >> 8}.{number & 255}" for number in range(10_000)]
        senders = [(address, "9.9.9.9", SENDER, 1, 0) for address in addresses[::2]]
        return senders + [(address, "9.9.9.9", RECEIVER, 100, 0) for address in addresses]

    def test_what_is_kept_of_some_stands_for_the_rest(self):
        found = reports_of(self.rows()).both_ends()
        assert not found.is_exact
        assert found.bytes == pytest.approx(500_000, rel=0.15)

    def test_order_and_groups_change_nothing(self):
        rows = self.rows()
        expected = reports_of(rows).both_ends()
        Random(3).shuffle(rows)
        assert reports_of(*(rows[start : start + 700] for start in range(0, len(rows), 700))).both_ends() == expected
        merged = Reports()
        for start in range(0, len(rows), 5000):
            merged.merge(reports_of(rows[start : start + 5000]))
        assert merged.both_ends() == expected
