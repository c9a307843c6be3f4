"""Sums by key, which do not wrap and do not depend on how the records were split."""

from functools import reduce
from itertools import pairwise

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregation import HourlyTotals, aggregate, merge, sort_totals, sums_of
from pipeline.errors import SumOverflow
from pipeline.schema import FLOW_SCHEMA, TOTALS_SCHEMA

NAMES = ["hour", "src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx", "flows"]

records = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from(["ab", "a", "ü"]),
        st.sampled_from(["c", "bc"]),
        st.sampled_from(["v", "w"]),
        st.integers(0, 2**53 - 1),
        st.integers(0, 10),
    ),
    max_size=30,
)


def flows_of(rows):
    return pa.Table.from_pylist([dict(zip(NAMES[:6], row, strict=True)) for row in rows], schema=FLOW_SCHEMA)


def rows_of(totals):
    return [tuple(row.values()) for row in sort_totals(totals).to_pylist()]


def totals_of(*rows):
    return pa.Table.from_pylist([dict(zip(NAMES, row, strict=True)) for row in rows], schema=TOTALS_SCHEMA)


def test_records_with_the_same_key_are_summed_and_counted():
    flows = flows_of([(1, "foo", "bar", "v", 100, 300), (1, "foo", "bar", "v", 200, 600), (2, "foo", "bar", "v", 5, 0)])
    assert rows_of(aggregate(flows)) == [(1, "foo", "bar", "v", 300, 900, 2), (2, "foo", "bar", "v", 5, 0, 1)]


def test_the_key_is_a_tuple_and_not_a_joined_text():
    flows = flows_of([(1, "ab", "c", "v", 1, 1), (1, "a", "bc", "v", 2, 2)])
    assert rows_of(aggregate(flows)) == [(1, "a", "bc", "v", 2, 2, 1), (1, "ab", "c", "v", 1, 1, 1)]


def test_no_records_have_no_totals():
    assert aggregate(flows_of([])).equals(TOTALS_SCHEMA.empty_table())


@given(records)
def test_sums_equal_those_of_duckdb(rows):
    flows = flows_of(rows)
    query = """SELECT hour, src_app, dest_app, vpc_id, sum(bytes_tx)::BIGINT, sum(bytes_rx)::BIGINT, count(*)
               FROM flows GROUP BY ALL ORDER BY hour, src_app, dest_app, vpc_id"""
    assert rows_of(aggregate(flows)) == duckdb.sql(query).fetchall()


@given(records, st.lists(st.integers(0, 30), max_size=4))
def test_any_split_of_the_records_gives_the_same_sums(rows, cuts):
    flows = flows_of(rows)
    borders = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
    pieces = [aggregate(flows.slice(a, b - a)) for a, b in pairwise(borders)]
    assert rows_of(merge(pieces)) == rows_of(aggregate(flows))


@given(st.lists(records, min_size=1, max_size=4), st.randoms())
def test_merging_is_associative_and_commutative(parts, random):
    pieces = [aggregate(flows_of(rows)) for rows in parts]
    shuffled = random.sample(pieces, len(pieces))
    assert rows_of(reduce(lambda left, right: merge([left, right]), shuffled)) == rows_of(merge(pieces))


def test_a_sum_may_reach_the_largest_int64():
    totals = [totals_of((1, "a", "b", "v", 2**62, 0, 1)), totals_of((1, "a", "b", "v", 2**62 - 1, 0, 1))]
    assert rows_of(merge(totals)) == [(1, "a", "b", "v", 2**63 - 1, 0, 2)]


@pytest.mark.parametrize("column", ["bytes_tx", "bytes_rx", "flows"])
def test_a_sum_beyond_int64_is_refused_by_name(column):
    row = {"hour": 7, "src_app": "a", "dest_app": "b", "vpc_id": "v", "bytes_tx": 1, "bytes_rx": 1, "flows": 1}
    full = pa.Table.from_pylist([row | {column: 2**63 - 1}], schema=TOTALS_SCHEMA)
    with pytest.raises(SumOverflow, match=rf"{column} for hour 7, src_app 'a'"):
        merge([full, pa.Table.from_pylist([row], schema=TOTALS_SCHEMA)])


def test_large_sums_of_different_keys_do_not_disturb_each_other():
    totals = totals_of((1, "a", "b", "v", 2**63 - 1, 0, 1), (1, "x", "y", "v", 2**63 - 1, 0, 1))
    assert rows_of(merge([totals])) == rows_of(totals)


def test_the_sum_over_all_rows_is_exact_beyond_int64():
    totals = totals_of((1, "a", "b", "v", 2**63 - 1, 0, 1), (2, "a", "b", "v", 2**63 - 1, 5, 2))
    assert sums_of(totals) == {"bytes_tx": 2**64 - 2, "bytes_rx": 5, "flows": 3}


def test_rows_sort_by_the_utf8_bytes_of_the_key():
    names = ["é", "z", "Z", "a", "ab", "€", "𝄞"]
    totals = totals_of(*((1, name, "b", "v", 1, 1, 1) for name in names))
    assert [row[1] for row in rows_of(totals)] == sorted(names, key=lambda name: name.encode())


@given(st.lists(records, max_size=5), st.sampled_from([0, 200, 1 << 20]))
def test_totals_that_went_to_disk_are_those_that_did_not(tmp_path_factory, parts, budget):
    gathered = HourlyTotals(tmp_path_factory.mktemp("spill"), budget_bytes=budget)
    for rows in parts:
        source = HourlyTotals(gathered.spill_folder, budget_bytes=budget)
        source.add(aggregate(flows_of(rows)))
        gathered.absorb(source)
    everything = rows_of(aggregate(flows_of([row for rows in parts for row in rows])))
    by_hour = dict(gathered.each_hour())
    assert [row for totals in by_hour.values() for row in rows_of(totals)] == everything
    assert list(by_hour) == gathered.hours() == sorted({row[0] for row in everything})
    for totals in by_hour.values():
        assert totals.equals(sort_totals(totals))


def test_totals_go_to_disk_only_beyond_the_budget(tmp_path):
    totals = aggregate(flows_of([(hour, "a", "b", "v", 1, 1) for hour in range(1, 100)]))
    within, beyond = HourlyTotals(tmp_path, budget_bytes=1 << 20), HourlyTotals(tmp_path, budget_bytes=100)
    for gathered in (within, beyond):
        gathered.add(totals)
    assert len(within.hours()) == len(beyond.hours()) == 99
    assert len(list(tmp_path.iterdir())) == 1
