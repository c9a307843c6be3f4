"""Sums by key, which do not wrap and do not depend on how the records were split."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.counting import totals
from pipeline.counting.totals import HourlyTotals, merge_sorted, sums_of
from pipeline.errors import SumOverflow, TooManyNames
from pipeline.query.sums import merge, sort_totals
from pipeline.schema import TOTALS_SCHEMA, dictionary_encoded
from tests.records import flows_of, judged, records, rows_of, totals_of


def aggregate(flows):
    """The totals of flow records, held in memory alone, as the store has them."""
    totals = HourlyTotals(Path("nowhere"), budget_bytes=1 << 30)
    totals.add(flows)
    return together(totals)


def together(totals):
    """The hours of some totals one behind the other."""
    hours = [read().cast(TOTALS_SCHEMA) for _, read in totals.by_hour()]
    return pa.concat_tables([TOTALS_SCHEMA.empty_table(), *hours])


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
    assert aggregate(flows).equals(judged(flows))


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


class TestHourlyTotals:
    @given(st.lists(records, max_size=5), st.sampled_from([0, 200, 1 << 20]), st.booleans(), st.booleans())
    def test_totals_that_went_to_disk_are_those_that_did_not(self, tmp_path_factory, parts, budget, at_once, sent):
        gathered = HourlyTotals(tmp_path_factory.mktemp("spill"), budget_bytes=budget)
        for rows in parts:
            source = gathered if at_once else HourlyTotals(gathered.spill_folder, budget_bytes=budget)
            source.add(flows_of(rows))
            if sent:
                source.to_disk()
            if source is not gathered:
                gathered.merge(source)
        everything = judged(flows_of([row for rows in parts for row in rows]))
        assert together(gathered).equals(everything)
        assert [hour for hour, _ in gathered.by_hour()] == gathered.hours() == sorted(set(everything["hour"].to_pylist()))

    def test_what_is_added_is_told_exactly_even_where_it_goes_to_disk(self, tmp_path):
        totals = HourlyTotals(tmp_path, budget_bytes=0)
        rows = [(hour, "a", "b", "v", 2**53 - 1, hour) for hour in range(1, 2000)]
        added = totals.add(flows_of(rows))
        assert (added.bytes_tx, added.bytes_rx) == (1999 * (2**53 - 1), 1999 * 2000 // 2)  # the first is beyond int64

    def test_totals_go_to_disk_only_beyond_the_budget(self, tmp_path):
        flows = flows_of([(hour, "a", "b", "v", 1, 1) for hour in range(1, 100)])
        within, beyond = HourlyTotals(tmp_path, budget_bytes=1 << 20), HourlyTotals(tmp_path, budget_bytes=100)
        for gathered in (within, beyond):
            gathered.add(flows)
        assert len(within.hours()) == len(beyond.hours()) == 99
        assert len(list(tmp_path.iterdir())) == 1

    def test_what_was_written_though_there_was_room_is_merged_in_memory_as_long_as_there_is(self, tmp_path):
        gathered, parts = HourlyTotals(tmp_path, 1 << 18), []
        for _ in range(40):
            part = HourlyTotals(tmp_path, 1 << 18)
            part.add(flows_of([(hour, "a", "b", "v", 1, hour) for hour in range(1, 100)]))
            part.to_disk()
            parts += part.paths
            gathered.merge(part)
        assert gathered.paths == []
        assert len(parts) == 40
        assert rows_of(together(gathered))[9:11] == [(10, "a", "b", "v", 40, 400, 40), (11, "a", "b", "v", 40, 440, 40)]

    def test_where_there_may_be_no_room_for_all_that_is_merged_new_hours_alone_go_to_disk(self, tmp_path):
        def of_hours(*hours):
            totals = HourlyTotals(tmp_path, budget_bytes=150_000)
            totals.add(flows_of([(hour, f"app-{app}", "b", "v", 1, 1) for hour in hours for app in range(400)]))
            return totals

        summed = of_hours(1, 2)
        assert not summed.paths
        for _ in range(10):
            summed.merge(of_hours(1, 2))
        assert not summed.paths
        summed.merge(of_hours(2, 3))
        assert len(summed.paths) == 1
        assert [(hour, read()["flows"].to_pylist()) for hour, read in summed.by_hour()] == [
            (hour, [flows] * 400) for hour, flows in ((1, 11), (2, 12), (3, 1))
        ]

    @pytest.mark.parametrize("budget", [0, 1 << 20])
    def test_several_threads_may_read_its_hours(self, tmp_path, budget):
        rows = [(hour, f"app-{app}", "b", "v", hour, app) for hour in range(1, 50) for app in range(20)]
        totals = HourlyTotals(tmp_path, budget)
        for start in range(0, len(rows), 300):
            totals.add(flows_of(rows[start : start + 300]))
        with ThreadPoolExecutor(8) as pool:
            tables = list(pool.map(lambda pair: pair[1]().cast(TOTALS_SCHEMA), totals.by_hour()))
        assert pa.concat_tables(tables).equals(judged(flows_of(rows)))

    @pytest.mark.parametrize("budget", [0, 1 << 20], ids=["on disk", "in memory"])
    def test_a_sum_beyond_int64_is_refused_wherever_it_comes_about(self, tmp_path, budget):
        totals = HourlyTotals(tmp_path, budget)

        def add_and_read():
            for _ in range(2):
                totals.add(dictionary_encoded(totals_of((7, "a", "b", "v", 2**62, 0, 1))))
            together(totals)

        with pytest.raises(SumOverflow, match=r"bytes_tx for hour 7, src_app 'a'"):
            add_and_read()


class TestMergeSorted:
    """It sums the totals of one hour, which `merge` judges."""

    hour = records.map(lambda rows: [(5, *row[1:]) for row in rows])

    @given(st.lists(hour, max_size=4), st.randoms())
    def test_it_gives_what_merging_gives_in_the_store_s_order(self, parts, random):
        tables = [aggregate(flows_of(rows)) for rows in parts]
        mixed = [
            dictionary_encoded(table) if random.random() < 0.5 else table for table in random.sample(tables, len(tables))
        ]
        assert merge_sorted(mixed).cast(TOTALS_SCHEMA).equals(sort_totals(merge(tables)))

    @given(hour, st.lists(st.integers(0, 30), max_size=4))
    def test_any_split_of_the_records_gives_the_same_sums(self, rows, cuts):
        borders = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
        pieces = [aggregate(flows_of(rows[a:b])) for a, b in pairwise(borders)]
        assert merge_sorted(pieces).cast(TOTALS_SCHEMA).equals(judged(flows_of(rows)))

    def test_a_sum_may_reach_the_largest_int64(self):
        totals = [totals_of((1, "a", "b", "v", 2**62, 0, 1)), totals_of((1, "a", "b", "v", 2**62 - 1, 0, 1))]
        assert rows_of(merge_sorted(totals).cast(TOTALS_SCHEMA)) == [(1, "a", "b", "v", 2**63 - 1, 0, 2)]

    @pytest.mark.parametrize("column", ["bytes_tx", "bytes_rx", "flows"])
    def test_a_sum_beyond_int64_is_refused_by_name(self, column):
        row = {"hour": 7, "src_app": "a", "dest_app": "b", "vpc_id": "v", "bytes_tx": 1, "bytes_rx": 1, "flows": 1}
        full, one = totals_of((row | {column: 2**63 - 1}).values()), totals_of(row.values())
        with pytest.raises(SumOverflow, match=rf"{column} for hour 7, src_app 'a', dest_app 'b', vpc_id 'v'"):
            merge_sorted([full, one])

    def test_a_table_in_several_pieces_counts_whole(self):
        one, two = totals_of((1, "a", "b", "v", 1, 2, 3)), totals_of((1, "b", "b", "v", 1, 2, 3))
        assert rows_of(merge_sorted([pa.concat_tables([two, one, two])]).cast(TOTALS_SCHEMA)) == [
            (1, "a", "b", "v", 1, 2, 3),
            (1, "b", "b", "v", 2, 4, 6),
        ]


class TestLongNames:
    """Arrow's offsets reach 2 GiB of names, and an hour's are in memory all at once."""

    def test_names_that_are_too_many_for_one_table_go_to_disk(self, tmp_path, monkeypatch):
        monkeypatch.setattr(totals, "_HELD_NAMES", 1_000)
        summed, others = HourlyTotals(tmp_path, 1 << 30), HourlyTotals(tmp_path, 1 << 30)
        for each, first in ((summed, 0), (others, 50)):
            for number in range(first, first + 50):
                each.add(flows_of([(7 + number % 2, f"{number:0100d}", "b", "v", 1, 1)]))
        summed.merge(others)
        assert list(tmp_path.iterdir())
        counted = {hour: read().cast(TOTALS_SCHEMA).column("src_app").to_pylist() for hour, read in summed.by_hour()}
        assert counted == {hour: [f"{number:0100d}" for number in range(100) if number % 2 == hour - 7] for hour in (7, 8)}

    def test_those_of_one_hour_that_do_not_fit_stop_the_run_in_words(self, tmp_path, monkeypatch):
        monkeypatch.setattr(totals, "_HELD_NAMES", 1_000)
        monkeypatch.setattr(totals, "_FEW_NAMES", 1_000)
        monkeypatch.setattr(totals, "_MOST_NAMES", 4_000)
        summed = HourlyTotals(tmp_path, 1 << 30)
        for number in range(50):
            summed.add(flows_of([(7, f"{number:0100d}", "b", "v", 1, 1)]))
        ((_, read),) = summed.by_hour()
        with pytest.raises(TooManyNames, match="the distinct names of the hour 7 have 4,"):
            read()


class TestPickling:
    @given(st.lists(records, max_size=4), st.sampled_from([0, 200, 1 << 20]))
    def test_totals_that_travelled_are_those_that_were_sent(self, tmp_path_factory, parts, budget):
        sent = HourlyTotals(tmp_path_factory.mktemp("spill"), budget_bytes=budget)
        for rows in parts:
            sent.add(flows_of(rows))
        got = pickle.loads(pickle.dumps(sent))
        assert [(hour, read().to_pylist()) for hour, read in got.by_hour()] == [
            (hour, read().to_pylist()) for hour, read in sent.by_hour()
        ]

    def test_what_arrived_goes_on_summing(self, tmp_path):
        sent = HourlyTotals(tmp_path, budget_bytes=1 << 20)
        sent.add(flows_of([(1, "a", "b", "v", 1, 2)]))
        got = pickle.loads(pickle.dumps(sent))
        got.add(flows_of([(1, "a", "b", "v", 1, 2), (2, "a", "b", "v", 5, 6)]))
        assert [row["bytes_tx"] for _, read in got.by_hour() for row in read().to_pylist()] == [2, 5]
        assert sent.hours() == [1]
