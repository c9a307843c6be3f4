"""A batch keeps its promise at every step: read = rows still in it + rejected + ignored."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.syntax.batch import DENIED, REPEATED, Batch, Fault, Reject


def batch_of(*values, first=11):
    rows = np.arange(first, first + len(values))
    return Batch(pa.table({"a": pa.array(values, pa.int64())}), rows, "raw {}".format)


def fault(batch, *bad, column="a", rule="must be odd"):
    return Fault(column, rule, np.array([bool(mark) for mark in bad]), batch.table.column("a"))


def ignored(batch):
    """How many records were left out, by reason."""
    return Counter({reason: len(left_out) for reason, left_out in batch.left_out.items()})


def test_rejected_rows_leave_with_their_number_cell_and_raw_text():
    batch = batch_of(1, 2, 3)
    left = batch.reject(fault(batch, 0, 1, 0))
    assert left.rejects == [Reject(12, "a", "must be odd", "2", "raw 12")]
    assert (left.table.column("a").to_pylist(), left.rows.tolist(), left.read) == ([1, 3], [11, 13], 3)
    assert batch.read == batch.table.num_rows == 3


def test_a_row_is_rejected_once_for_the_first_of_its_faults():
    batch = batch_of(1, 2, 3)
    left = batch.reject(fault(batch, 0, 1, 1), fault(batch, 1, 1, 0, column="b", rule="must be b"))
    assert [(reject.row, reject.field) for reject in left.rejects] == [(12, "a"), (13, "a"), (11, "b")]
    assert left.read == 3


def test_a_null_is_missing_whatever_the_rule_is():
    batch = batch_of(None)
    assert batch.reject(fault(batch, 1)).rejects == [Reject(11, "a", "must not be missing", "", "raw 11")]


def test_bytes_that_are_not_utf8_are_shown_escaped():
    batch = batch_of(1)
    cells = pa.array([b"caf\xe9"])
    assert batch.reject(Fault("a", "rule", np.array([True]), cells)).rejects[0].value == "caf\\xe9"


def test_no_fault_changes_nothing():
    batch = batch_of(1, 2)
    assert batch.reject(fault(batch, 0, 0)) is batch
    assert batch.reject() is batch
    assert batch.ignore({"idle": np.array([False, False])}) is batch
    assert batch.ignore({}) is batch


def test_what_is_left_out_is_counted_by_reason():
    batch = batch_of(1, 2, 3, 4)
    left = batch.ignore({"idle": np.array([True, False, True, False])}).ignore({"lost": np.array([False, True])})
    assert (ignored(left), left.rows.tolist(), left.read) == (Counter(idle=2, lost=1), [12], 4)


def test_what_is_noted_of_rows_is_told_of_those_that_are_still_in():
    batch = batch_of(1, 2, 3).note({"have no name": np.array([True, False, True]), "have no end": np.zeros(3, bool)})
    assert {note: rows.tolist() for note, rows in batch.noted.items()} == {"have no name": [11, 13]}
    later = batch.note({"have no name": np.array([False, True, False])}).reject(fault(batch, 1, 0, 0))
    assert {note: sorted(rows.tolist()) for note, rows in later.noted.items()} == {"have no name": [12, 13]}


def test_a_row_that_is_left_out_for_two_reasons_counts_under_the_first():
    idle, lost = np.array([True, False, True]), np.array([False, True, True])
    left = batch_of(1, 2, 3).ignore({"idle": idle, "lost": lost, "never": np.zeros(3, bool)})
    assert (ignored(left), left.rows.tolist(), left.read) == (Counter(idle=2, lost=1), [], 3)
    assert list(ignored(left)) == ["idle", "lost"]


def test_what_is_left_out_keeps_its_bytes_where_it_is_traffic():
    sizes = np.array([10, 20, 30, 40])
    batch = batch_of(1, 2, 3, 4).ignore({"idle": np.array([True, False, False, False])}, sizes)
    batch = batch.ignore({DENIED: np.array([True, False, True])}, sizes[1:]).ignore({REPEATED: np.array([True])})
    left = {reason: (left.rows.tolist(), left.sizes.tolist()) for reason, left in batch.left_out.items()}
    assert left == {"idle": ([11], [0]), DENIED: ([12, 14], [20, 40]), REPEATED: ([13], [0])}


def test_rows_of_two_batches_of_the_same_lines_are_left_out_together():
    one = batch_of(1, 2).ignore({DENIED: np.array([True, False])}, np.array([5, 6]))
    other = batch_of(3).ignore({DENIED: np.array([True])}, np.array([7]))
    left = one.joined_by(other).left_out[DENIED]
    assert (left.rows.tolist(), left.sizes.tolist()) == ([11, 11], [5, 7])


def test_some_of_its_rows_have_nothing_of_the_others():
    batch = batch_of(1, 2, 3).ignore({DENIED: np.array([True, False, False])})
    some = batch.of_rows(np.array([False, True]))
    assert (some.rows.tolist(), some.read) == ([13], 1)


@pytest.mark.parametrize(
    ("reject", "sentence"),
    [
        (Reject(3, "hour", "must be an integer", "x", "raw"), "row 3: hour must be an integer, not 'x'"),
        (Reject(3, "hour", "must not be missing", "", "raw"), "row 3: hour must not be missing"),
        (Reject(3, "", "must have 3 fields", "2", "raw"), "row 3: must have 3 fields, not '2'"),
    ],
)
def test_a_reject_reads_as_a_sentence(reject, sentence):
    assert str(reject) == sentence


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.booleans()] * 4), max_size=8))
def test_no_row_is_lost_or_counted_twice(marks):
    batch = batch_of(*range(len(marks)), first=0)
    idle, lost, one, other = (np.array(column, bool) for column in (zip(*marks, strict=True) if marks else [[]] * 4))
    out = idle | lost
    left = batch.ignore({"idle": idle, "lost": lost})
    left = left.reject(*(Fault("a", "rule", mask[~out], left.table.column("a")) for mask in (one, other)))
    assert left.read == len(marks)
    assert ignored(left) == Counter(idle=sum(idle), lost=sum(lost & ~idle))
    assert sorted(reject.row for reject in left.rejects) == np.flatnonzero((one | other) & ~out).tolist()
    assert left.rows.tolist() == left.table.column("a").to_pylist() == np.flatnonzero(~(one | other | out)).tolist()
