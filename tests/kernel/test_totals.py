"""Sums by key in the kernel: DuckDB's, however the records come."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SumOverflow
from pipeline.kernel.totals import Added, SortedTotals, Totals
from pipeline.schema import FLOW_SCHEMA, TOTALS_SCHEMA, dictionary_encoded
from tests.kernel.lines import NAMES, SCRIPTS
from tests.records import flows_of, judged, records, totals_of

#: Texts that a hash or a comparison of words could mix up, or sort wrongly.
TEXTS = [name.decode() for name in (*NAMES, *SCRIPTS, b"n", b"z", b"Z", b"\0", b"n\0")]


def totals_from(*tables):
    totals = Totals()
    for table in tables:
        totals.add(table)
    return totals


def tables_of(totals):
    by_hour = SortedTotals(totals)
    return [by_hour.table(hour) for hour in by_hour.hours]


def rows_in(totals):
    """All rows by hour, and within an hour in the order in which it gives them."""
    hours = [table.cast(TOTALS_SCHEMA) for table in tables_of(totals)]
    return pa.concat_tables([TOTALS_SCHEMA.empty_table(), *hours])


def full(**sums):
    """The totals of one key."""
    row = {"hour": 7, "src_app": "a", "dest_app": "b", "vpc_id": "v", "bytes_tx": 1, "bytes_rx": 1, "flows": 1}
    return dictionary_encoded(totals_of((row | sums).values()))


def many(keys, seed=1):
    """Flow records of so many keys, in no order."""
    numbers = np.random.default_rng(seed).permutation(keys)
    names = pa.array([f"app-{i}" for i in range(1000)])
    columns = {
        "hour": pa.array(numbers // 100_000 + 1),
        "src_app": pa.DictionaryArray.from_arrays(pa.array(numbers % 1000, pa.int32()), names),
        "dest_app": pa.DictionaryArray.from_arrays(pa.array(numbers // 1000 % 100, pa.int32()), names),
        "vpc_id": pa.DictionaryArray.from_arrays(pa.array(np.zeros(keys, np.int32)), pa.array(["v"])),
        "bytes_tx": pa.array(numbers * 1_000_003),
        "bytes_rx": pa.array(numbers % 7),
    }
    return pa.table(columns, schema=FLOW_SCHEMA)


class TestSums:
    @given(records)
    def test_they_equal_those_of_duckdb(self, rows):
        flows = flows_of(rows)
        totals = totals_from(flows)
        assert rows_in(totals).equals(judged(flows))
        assert len(totals) == judged(flows).num_rows

    @given(
        st.lists(
            st.tuples(st.integers(1, 3), *[st.sampled_from(TEXTS)] * 3, st.integers(0, 9), st.integers(0, 9)), max_size=60
        )
    )
    def test_so_they_do_for_names_that_are_nearly_alike(self, rows):
        flows = flows_of(rows)
        assert rows_in(totals_from(flows)).equals(judged(flows))

    @given(records, st.lists(st.integers(0, 30), max_size=4), st.randoms(), st.booleans())
    def test_any_split_in_any_order_gives_the_same(self, rows, cuts, random, at_once):
        flows = flows_of(rows)
        borders = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
        pieces = [flows.slice(a, b - a) for a, b in pairwise(borders)]
        random.shuffle(pieces)
        tables = [pa.concat_tables(pieces)] if at_once and pieces else pieces
        assert rows_in(totals_from(*tables)).equals(judged(flows))

    @given(st.lists(records, max_size=4), st.randoms())
    def test_one_that_absorbs_others_has_the_sums_of_all(self, parts, random):
        held = [totals_from(flows_of(rows)) for rows in parts]
        random.shuffle(held)
        whole = Totals()
        for one in held:
            whole.absorb(one)
        assert rows_in(whole).equals(judged(flows_of([row for rows in parts for row in rows])))

    @given(records, records)
    def test_what_was_absorbed_is_empty_and_can_be_filled_anew(self, rows, later):
        whole, other = Totals(), totals_from(flows_of(rows))
        whole.absorb(other)
        assert (len(other), other.hours()) == (0, [])
        other.add(flows_of(later))
        assert rows_in(other).equals(judged(flows_of(later)))
        assert rows_in(whole).equals(judged(flows_of(rows)))

    @given(records, records, records)
    def test_one_may_take_over_the_hours_alone_that_it_has(self, rows, others, later):
        whole, other = totals_from(flows_of(rows)), totals_from(flows_of(others))
        whole.absorb(other, known_hours_alone=True)
        known = {row[0] for row in rows}
        assert rows_in(whole).equals(judged(flows_of([*rows, *(row for row in others if row[0] in known)])))
        left = [row for row in others if row[0] not in known]
        assert rows_in(other).equals(judged(flows_of(left)))
        other.add(flows_of(later))
        assert rows_in(other).equals(judged(flows_of([*left, *later])))

    @given(records)
    def test_totals_can_be_added_again_with_their_counts(self, rows):
        flows = flows_of(rows)
        again = totals_from(*tables_of(totals_from(flows, flows)))
        assert rows_in(again).equals(judged(pa.concat_tables([flows, flows])))

    def test_pieces_whose_texts_have_other_codes_are_one(self):
        one, two = flows_of([(1, "a", "b", "v", 1, 2), (1, "x", "b", "v", 1, 2)]), flows_of([(1, "x", "a", "w", 1, 2)])
        assert rows_in(totals_from(pa.concat_tables([one, two, one]))).equals(judged(pa.concat_tables([one, two, one])))

    def test_nothing_has_no_rows(self):
        totals = totals_from(flows_of([]))
        assert (len(totals), totals.hours(), rows_in(totals).num_rows) == (0, [], 0)
        totals.absorb(Totals())
        assert totals.add(flows_of([])) == Added(0, 0)

    def test_texts_that_no_row_has_make_none(self):
        flows = flows_of([(1, "a", "b", "v", 1, 2), (1, "x", "y", "w", 1, 2)]).slice(1, 1)
        (table,) = tables_of(totals_from(flows))
        assert [table[name].combine_chunks().dictionary.to_pylist() for name in ("src_app", "dest_app", "vpc_id")] == [
            *(["x"], ["y"], ["w"])
        ]


class TestGrowth:
    def test_many_keys_are_summed_and_sorted(self):
        flows = many(310_000)
        totals = totals_from(flows, flows.slice(5_000, 100_000))
        totals.absorb(totals_from(flows.slice(77, 200_000)))
        everything = pa.concat_tables([flows, flows.slice(5_000, 100_000), flows.slice(77, 200_000)])
        assert len(totals) == 310_000
        assert rows_in(totals).equals(judged(everything))
        assert totals.hours() == [1, 2, 3, 4]

    @pytest.mark.parametrize("name", ["hour", "src_app", "dest_app", "vpc_id"])
    def test_keys_that_differ_in_one_column_only_are_different(self, name):
        """So many that hashes must meet."""
        numbers, zeros = np.arange(300_000), pa.array(np.zeros(300_000, np.int32))
        same = pa.DictionaryArray.from_arrays(zeros, pa.array(["same"]))
        texts = pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array([f"{i:06}" for i in range(300_000)]))
        columns = {"hour": pa.array(np.ones(300_000, np.int64)), "src_app": same, "dest_app": same, "vpc_id": same}
        columns |= {name: pa.array(numbers + 1) if name == "hour" else texts}
        sums = pa.array(numbers)
        totals = totals_from(pa.table(columns | {"bytes_tx": sums, "bytes_rx": sums}, schema=FLOW_SCHEMA))
        assert len(totals) == 300_000
        if name != "hour":  # that many tables would take their time
            assert rows_in(totals)["bytes_tx"].equals(pa.chunked_array([sums]))

    def test_it_takes_at_least_the_memory_of_its_rows(self):
        few, some = totals_from(many(10)), totals_from(many(50_000))
        assert few.nbytes < 100_000 < 50_000 * (8 + 3 * 4 + 3 * 8) < some.nbytes < 50_000 * 200

    def test_hours_may_be_many_and_far_apart(self):
        hours = [*range(1, 6_000, 2), *(2**40 + 3 * i for i in range(3_000)), 2**63 - 1]
        rows = [(hour, "a", "b", "v", i, 1) for i, hour in enumerate(hours)]
        totals = totals_from(flows_of(rows[::-1]), flows_of(rows[:10]))
        assert totals.hours() == SortedTotals(totals).hours == hours
        assert rows_in(totals).equals(judged(flows_of([*rows, *rows[:10]])))


class TestOverflow:
    @pytest.mark.parametrize("name", ["bytes_tx", "bytes_rx", "flows"])
    @pytest.mark.parametrize("way", ["added", "absorbed"])
    def test_a_sum_may_reach_the_largest_int64_and_no_more(self, name, way):
        totals = totals_from(full(**{name: 2**62}))

        def take(table):
            totals.absorb(totals_from(table)) if way == "absorbed" else totals.add(table)

        take(full(**{name: 2**62 - 1}))
        assert rows_in(totals)[name].to_pylist() == [2**63 - 1]
        with pytest.raises(SumOverflow) as error:
            take(full(**{name: 1}))
        assert str(error.value).startswith(f"the sum of {name} for hour 7, src_app 'a', dest_app 'b', vpc_id 'v'")

    @pytest.mark.parametrize("place", [0, 1, 31, 32, 33, 999])
    def test_the_key_is_named_wherever_it_is(self, place):
        rows = [(hour, f"app-{hour}", "b", "v", 2**53 - 1, 1, 1) for hour in range(1, 1001)]
        hour, *key = rows[place][:4]
        totals = totals_from(dictionary_encoded(totals_of(*rows)))
        with pytest.raises(SumOverflow, match=f"bytes_tx for hour {hour}, src_app '{key[0]}', dest_app 'b', vpc_id 'v'"):
            totals.add(dictionary_encoded(totals_of(*rows[:place], (hour, *key, 2**63 - 1, 1, 1))))

    def test_the_sums_over_all_that_is_added_are_exact_beyond_int64(self):
        keys = [(hour, "a", "b", "v", 2**63 - 1, 2**32 + hour, 1) for hour in range(1, 101)]
        assert Totals().add(dictionary_encoded(totals_of(*keys))) == Added(100 * (2**63 - 1), 100 * 2**32 + 5050)

    @given(records)
    def test_they_are_told_for_any_records(self, rows):
        assert Totals().add(flows_of(rows)) == Added(sum(row[4] for row in rows), sum(row[5] for row in rows))


class TestOrder:
    @given(st.sets(st.tuples(*[st.one_of(st.sampled_from(TEXTS), st.text(max_size=12))] * 3), max_size=40), st.randoms())
    def test_rows_come_in_the_order_of_their_names_bytes(self, keys, random):
        rows = [(5, *key, 1, 1) for key in random.sample(sorted(keys), len(keys))]
        found = [tuple(row.values())[1:4] for row in rows_in(totals_from(flows_of(rows))).to_pylist()]
        assert found == sorted(keys, key=lambda key: [name.encode() for name in key])

    @pytest.mark.parametrize("count", [1, 255, 256, 257, 65_535, 65_536, 65_537])
    def test_however_many_names_there_are(self, count):
        """They are sorted by one byte of their ranks after the other, and by no more of these than are in use."""
        names = [f"{i * 7919 % count:06}" for i in range(count)]
        flows = flows_of([(1, name, names[i // 2], "v", i, 1) for i, name in enumerate(names)])
        assert rows_in(totals_from(flows)).equals(judged(flows))

    def test_each_text_of_an_hour_is_there_once(self):
        flows = flows_of([(hour, f"s{i % 5}", f"d{i % 3}", "v", 1, 1) for hour in (1, 2) for i in range(30)])
        for table in tables_of(totals_from(flows)):
            for name, texts in (("src_app", 5), ("dest_app", 3), ("vpc_id", 1)):
                dictionary = table[name].combine_chunks().dictionary
                assert len(dictionary) == len(dictionary.unique()) == texts

    def test_an_hour_is_there_or_not(self):
        ordered = SortedTotals(totals_from(flows_of([(3, "a", "b", "v", 1, 1)])))
        assert [hour in ordered for hour in (2, 3)] == [False, True]


def test_several_threads_read_tables_at_once():
    flows = many(300_000)
    flows = flows.set_column(0, "hour", pa.array(np.arange(300_000) % 60 + 1))
    ordered = SortedTotals(totals_from(flows))
    with ThreadPoolExecutor(8) as pool:
        tables = list(pool.map(ordered.table, [*ordered.hours, *reversed(ordered.hours)] * 2))
    expected = judged(flows)
    assert pa.concat_tables([table.cast(TOTALS_SCHEMA) for table in tables[:60]]).equals(expected)
    for hours in (tables[60:120][::-1], tables[120:180], tables[180:][::-1]):
        assert all(table.equals(first) for table, first in zip(hours, tables[:60], strict=True))


def test_rows_outlive_the_totals_that_they_came_from():
    ordered = SortedTotals(totals_from(flows_of([(1, "a", "b", "v", 1, 2)])))
    table = ordered.table(1)
    del ordered
    assert table.to_pylist() == [dict(zip(TOTALS_SCHEMA.names, (1, "a", "b", "v", 1, 2, 1), strict=True))]
