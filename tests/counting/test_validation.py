"""Every row against the schema."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.counting import validation
from pipeline.counting.validation import validate
from pipeline.schema import FLOW_SCHEMA, flow_schema, keep_rules
from pipeline.syntax.batch import Batch, Fault

GOOD = {"hour": 1, "src_app": "a", "dest_app": "b", "vpc_id": "v", "bytes_tx": 1, "bytes_rx": 2}


def batch_of(*records, first_row=1):
    table = pa.Table.from_pylist([GOOD | record for record in records], schema=FLOW_SCHEMA)
    rows = np.arange(first_row, first_row + len(records))
    return Batch(table, rows, lambda row: f"raw {row}")


def verdict(record, zero_bytes="accept"):
    """The first rule that a record breaks, as (field, rule, value); None if it is valid."""
    (batch,) = validate([batch_of(record)], flow_schema(zero_bytes))
    return next(((r.field, r.rule, r.value) for r in batch.rejects), None)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, None),
        ({"hour": 0}, ("hour", "must be positive", "0")),
        ({"hour": -7}, ("hour", "must be positive", "-7")),
        ({"hour": 2**31 - 1}, None),
        ({"hour": 2**31}, ("hour", "must be at most 2147483647", "2147483648")),
        ({"hour": 2**63 - 1}, ("hour", "must be at most 2147483647", "9223372036854775807")),
        ({"src_app": "é" * 2048}, None),  # 4,096 bytes
        ({"hour": None}, ("hour", "must not be missing", "")),
        ({"src_app": ""}, ("src_app", "must not be empty", "")),
        ({"dest_app": ""}, ("dest_app", "must not be empty", "")),
        ({"vpc_id": None}, ("vpc_id", "must not be missing", "")),
        ({"src_app": " "}, None),
        ({"bytes_tx": 0}, None),
        ({"bytes_tx": -1}, ("bytes_tx", "must be at least 0", "-1")),
        ({"bytes_rx": 2**53 - 1}, None),
        ({"bytes_rx": 2**53}, ("bytes_rx", "must be at most 9007199254740991", "9007199254740992")),
        ({"hour": 0, "bytes_rx": -1}, ("hour", "must be positive", "0")),  # the first, in the order of the columns
    ],
)
def test_a_row_is_rejected_for_the_first_rule_that_it_breaks(record, expected):
    assert verdict(record) == expected


def test_zero_bytes_are_refused_where_the_user_says_so():
    assert not keep_rules(batch_of({"bytes_tx": 0}).table, "reject")
    assert verdict({"bytes_tx": 0}, "reject") == ("bytes_tx", "must be positive", "0")
    assert verdict({"bytes_tx": 1, "bytes_rx": 1}, "reject") is None


def test_a_reject_has_its_row_number_and_raw_text():
    (checked,) = validate([batch_of({}, {"hour": 0}, {}, first_row=41)], flow_schema())
    assert [(reject.row, reject.raw) for reject in checked.rejects] == [(42, "raw 42")]
    assert checked.rows.tolist() == [41, 43]


def test_an_empty_batch_is_valid():
    (checked,) = validate([Batch(FLOW_SCHEMA.empty_table(), np.empty(0, np.int64), str)], flow_schema())
    assert checked.table.num_rows == 0
    assert not checked.rejects


def test_no_batches_stay_none():
    assert list(validate([], flow_schema())) == []


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_each_batch_keeps_its_own_rows_and_rejects(monkeypatch, at_once):
    monkeypatch.setattr(validation, "_FAULTY_AT_ONCE", at_once)
    batches = [batch_of({}, {"hour": 0}, first_row=1), batch_of(), batch_of({"src_app": ""}, {}, first_row=11)]
    checked = list(validate(batches, flow_schema()))
    assert [batch.rows.tolist() for batch in checked] == [[1], [], [12]]
    assert [[reject.row for reject in batch.rejects] for batch in checked] == [[2], [], [11]]


def test_what_a_batch_was_rejected_and_ignored_before_stays():
    before = batch_of({}, {"hour": 0}, {})
    batch = before.reject(Fault("hour", "must be odd", np.array([False, False, True]), before.table.column("hour")))
    (checked,) = validate([batch.ignore({"idle": np.array([True, False])})], flow_schema())
    assert [(reject.row, reject.rule) for reject in checked.rejects] == [(3, "must be odd"), (2, "must be positive")]
    assert (checked.rows.tolist(), len(checked.left_out["idle"]), checked.read) == ([], 1, 3)


def test_a_text_that_only_other_rows_had_breaks_no_rule():
    encoded = pa.DictionaryArray.from_arrays(pa.array([1, 1], pa.int32()), pa.array(["", "a"]))
    batch = batch_of({}, {})
    batch = batch.with_table(batch.table.set_column(1, "src_app", encoded))
    (checked,) = validate([batch], flow_schema())
    assert (checked.rows.tolist(), checked.rejects) == ([1, 2], ())


cells = {
    "hour": st.sampled_from([None, -1, 0, 1, 498752, 2**31 - 1, 2**31]),
    "src_app": st.sampled_from([None, "", "a", "ü", "a" * 4096, "a" * 4097]),
    "dest_app": st.sampled_from([None, "", "b"]),
    "vpc_id": st.sampled_from([None, "", "v"]),
    "bytes_tx": st.sampled_from([None, -1, 0, 2**53 - 1, 2**53]),
    "bytes_rx": st.sampled_from([None, -5, 0, 7]),
}


def is_valid(record):
    texts = all(record[name] and len(record[name].encode()) <= 4096 for name in ("src_app", "dest_app", "vpc_id"))
    counts = all(record[name] is not None and 0 <= record[name] < 2**53 for name in ("bytes_tx", "bytes_rx"))
    return texts and counts and record["hour"] is not None and 0 < record["hour"] < 2**31


@given(st.lists(st.lists(st.fixed_dictionaries(cells), max_size=10), min_size=1, max_size=3))
@settings(max_examples=settings.default.max_examples // 2)  # pandera takes long to tell why
def test_exactly_the_rows_that_keep_all_rules_pass(lots):
    batches = [batch_of(*records) for records in lots]
    for records, batch, checked in zip(lots, batches, validate(batches, flow_schema()), strict=True):
        good = [row for row, record in enumerate(records, start=1) if is_valid(record)]
        assert checked.rows.tolist() == good
        assert sorted(reject.row for reject in checked.rejects) == sorted(set(range(1, len(records) + 1)) - set(good))
        assert checked.table.to_pylist() == [records[row - 1] for row in good]
        assert checked.read == batch.read


@given(st.lists(st.fixed_dictionaries(cells), max_size=2))
def test_it_is_known_before_whether_a_batch_keeps_all_rules(records):
    assert keep_rules(batch_of(*records).table, "accept") is all(map(is_valid, records))
