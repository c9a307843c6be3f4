"""The way back: ranges, filters, groupings, orders; DuckDB is the judge."""

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import BadQuery, StoreDamaged, SumOverflow, UsageError
from pipeline.query import query as query_module
from pipeline.query import sums
from pipeline.query.query import Query, run_query
from pipeline.query.sums import decoded, literally, rows_with, with_own_texts
from pipeline.schema import KEY, TOTALS_SCHEMA, dictionary_encoded
from pipeline.store.layout import Locations
from tests.records import write_totals

SMALL = [
    (1, "a", "b", "v", 10, 1, 1),
    (1, "a", "c", "v", 20, 2, 1),
    (1, "b", "c", "w", 30, 3, 2),
    (2, "a", "b", "v", 40, 4, 1),
    (10, "a", "b", "w", 50, 5, 3),
]


def stored(root, rows):
    """A store with these totals, given in the order of `TOTALS_SCHEMA`."""
    store = Locations(Path(root))
    for hour in {row[0] for row in rows}:
        of_hour = sorted(row for row in rows if row[0] == hour)
        totals = pa.Table.from_pylist(
            [dict(zip(TOTALS_SCHEMA.names, row, strict=True)) for row in of_hour], schema=TOTALS_SCHEMA
        )
        store.partition(hour).parent.mkdir(parents=True)
        write_totals(store.partition(hour), totals)
    return store


@pytest.fixture
def ask(tmp_path):
    """Asks a store with `SMALL`; gives the rows as tuples."""
    store = stored(tmp_path, SMALL)
    return lambda *args, **kwargs: rows_of(run_query(store, Query(*args, **kwargs)))


def rows_of(table):
    return [tuple(row.values()) for row in table.to_pylist()]


class TestWhich:
    def test_an_hour_gives_its_totals_in_the_order_of_their_key(self, ask):
        assert ask(1) == SMALL[:3]

    def test_an_unknown_hour_is_an_empty_table_of_the_same_shape(self, tmp_path):
        table = run_query(stored(tmp_path, SMALL), Query(3))
        assert table.num_rows == 0
        assert table.schema == TOTALS_SCHEMA

    def test_an_empty_store_has_nothing_to_say(self, tmp_path):
        assert rows_of(run_query(Locations(tmp_path), Query(1, 9))) == []
        assert rows_of(run_query(Locations(tmp_path), Query(1, 9, by=("src_app",)))) == []

    @pytest.mark.parametrize(
        ("hour", "until", "hours"),
        [
            (1, 2, [1]),
            (1, 3, [1, 2]),
            (2, 10, [2]),
            (2, 11, [2, 10]),  # by number: as text, 10 comes before 2
            (3, 10, []),
            (11, 12, []),
            (1, 2**63 - 1, [1, 2, 10]),
        ],
    )
    def test_a_range_leaves_its_last_hour_out(self, ask, hour, until, hours):
        assert ask(hour, until) == [row for row in SMALL if row[0] in hours]
        assert [row[0] for row in ask(hour, until, by=("hour",))] == hours

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"src_app": "a"}, [0, 1, 3, 4]),
            ({"dest_app": "c"}, [1, 2]),
            ({"vpc_id": "w"}, [2, 4]),
            ({"src_app": "a", "dest_app": "b", "vpc_id": "v"}, [0, 3]),
            ({"src_app": "b", "vpc_id": "v"}, []),
            ({"src_app": "A"}, []),
            ({"src_app": ""}, []),
            ({"src_app": "%"}, []),
        ],
    )
    def test_filters_are_exact_and_hold_together(self, ask, filters, expected):
        assert ask(1, 11, **filters) == [SMALL[i] for i in expected]

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"src_app": ["a"]}, [0, 1, 3, 4]),
            ({"src_app": ("a", "b")}, [0, 1, 2, 3, 4]),
            ({"src_app": []}, []),  # one of none
            ({"app": "b"}, [0, 2, 3, 4]),
            ({"app": ["b", "c"], "vpc_id": "v"}, [0, 1, 3]),
            ({"dest_app": "*"}, [0, 1, 2, 3, 4]),
        ],
    )
    def test_several_texts_mean_any_of_them_and_an_app_is_on_either_side(self, ask, filters, expected):
        assert ask(1, 11, **filters) == [SMALL[i] for i in expected]

    @given(st.lists(st.text("aB*\\.\n\u00fc", max_size=5), min_size=1, max_size=8), st.text("aB*.\n\u00fc", max_size=5))
    def test_a_star_stands_for_any_text_and_all_else_for_itself(self, names, pattern):
        table = pa.table({"src_app": names})
        expression = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
        found = rows_with(table, [(("src_app",), [pattern])]).column("src_app").to_pylist()
        assert found == [name for name in names if expression.fullmatch(name)]

    @given(st.lists(st.text("a*\\", max_size=4), min_size=1, max_size=8))
    def test_a_name_taken_literally_finds_itself_alone(self, names):
        table = pa.table({"src_app": names})
        for name in names:
            found = rows_with(table, [(("src_app",), [literally(name)])]).column("src_app").to_pylist()
            assert set(found) == {name}

    @given(st.lists(st.text("a*\\\n", max_size=4), max_size=8), st.text("a*\\\n", max_size=5))
    def test_dictionary_encoded_text_passes_a_filter_as_plain_text_does(self, names, pattern):
        table = pa.table({"src_app": pa.array(names, pa.string())})
        filters = [(("src_app",), [pattern])]
        assert decoded(rows_with(dictionary_encoded(table), filters)).equals(rows_with(table, filters))

    def test_texts_that_no_row_has_any_more_are_let_go(self):
        found = rows_with(dictionary_encoded(pa.table({"src_app": ["a", "b", "c", "b"]})), [(("src_app",), ["b"])])
        assert with_own_texts(found).column("src_app").chunk(0).dictionary.to_pylist() == ["b"]
        assert decoded(with_own_texts(found)).column("src_app").to_pylist() == ["b", "b"]

    def test_text_is_decoded_a_few_rows_at_a_time(self, ask, monkeypatch):
        monkeypatch.setattr(sums, "_DECODED_ROWS", 2)
        assert ask(1, 11, app=["*"]) == SMALL

    @pytest.mark.parametrize("query", [{}, {"src_app": "a"}, {"top": 9}, {"by": ("src_app",)}, {"sort": "src_app"}])
    def test_text_is_plain_in_every_answer(self, tmp_path, query):
        for hour in (1, 3):
            table = run_query(stored(tmp_path / str(hour), SMALL), Query(hour, **query))
            names = [*query.get("by", KEY), "bytes_tx", "bytes_rx", "flows"]
            assert table.schema == pa.schema([TOTALS_SCHEMA.field(name) for name in names])

    def test_apps_whose_names_join_to_the_same_text_stay_apart(self, tmp_path):
        rows = [(1, "a", "bc", "v", 1, 1, 1), (1, "ab", "c", "v", 2, 2, 1)]
        assert rows_of(run_query(stored(tmp_path, rows), Query(1))) == rows

    def test_only_the_hours_that_are_asked_for_are_read(self, tmp_path):
        store = stored(tmp_path, SMALL)
        store.partition(2).write_bytes(b"torn")
        assert rows_of(run_query(store, Query(1, 2))) == SMALL[:3]
        with pytest.raises(StoreDamaged, match=r"hour=2/part-0\.parquet"):
            run_query(store, Query(1, 3))

    @pytest.mark.parametrize("until", [3, 2**40])
    def test_an_hour_without_a_file_is_nothing_and_one_with_an_empty_file_damage(self, tmp_path, until):
        store = stored(tmp_path, SMALL)
        store.partition(2).unlink()  # a run that was cut off left its folder
        assert rows_of(run_query(store, Query(1, until)))[:3] == SMALL[:3]
        store.partition(2).touch()
        with pytest.raises(StoreDamaged, match=r"hour=2/part-0\.parquet"):
            run_query(store, Query(1, until))

    @pytest.mark.parametrize("at_once", [1, 1 << 18])
    def test_of_several_damaged_hours_the_first_is_told(self, tmp_path, monkeypatch, at_once):
        monkeypatch.setattr(query_module, "_BYTES_AT_ONCE", at_once)
        store = stored(tmp_path, [(hour, "a", "b", "v", 1, 1, 1) for hour in range(1, 31)])
        for hour in (9, 10, 20):
            store.partition(hour).write_bytes(b"torn")
        with pytest.raises(StoreDamaged, match=r"hour=9/part-0\.parquet"):
            run_query(store, Query(1, 31))

    def test_rows_come_as_their_hours_are_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(query_module, "_BYTES_AT_ONCE", 1)  # a table an hour
        monkeypatch.setattr("pipeline.counting.resources.processors", lambda: 1)
        store = stored(tmp_path, [(hour, "a", "b", "v", 1, 1, 1) for hour in range(1, 9)])
        store.partition(8).write_bytes(b"torn")
        for query in (Query(1, 9), Query(1, 9, src_app="a")):
            tables = query_module.each_table(store, query)
            assert next(tables).num_rows == 0
            assert [next(tables).column("hour").to_pylist() for _ in range(6)] == [[hour] for hour in range(1, 7)]
            with pytest.raises(StoreDamaged):
                list(tables)

    @pytest.mark.parametrize(("at_once", "parts"), [(1, [[1], [2], [10]]), (1 << 18, [[1, 2, 10]])])
    def test_small_files_are_read_together_and_large_ones_one_by_one(self, tmp_path, monkeypatch, at_once, parts):
        monkeypatch.setattr(query_module, "_BYTES_AT_ONCE", at_once)
        found, _ = query_module._parts(stored(tmp_path, SMALL), Query(1, 11))
        assert [[hour for hour in part if hour in (1, 2, 10)] for part in found] == parts


class TestGrouping:
    @pytest.mark.parametrize(
        ("by", "expected"),
        [
            (("src_app",), [("a", 120, 12, 6), ("b", 30, 3, 2)]),
            (("dest_app",), [("b", 100, 10, 5), ("c", 50, 5, 3)]),
            (("hour",), [(1, 60, 6, 4), (2, 40, 4, 1), (10, 50, 5, 3)]),
            (("vpc_id", "src_app"), [("v", "a", 70, 7, 3), ("w", "a", 50, 5, 3), ("w", "b", 30, 3, 2)]),
            (("src_app", "vpc_id"), [("a", "v", 70, 7, 3), ("a", "w", 50, 5, 3), ("b", "w", 30, 3, 2)]),
        ],
    )
    def test_sums_run_over_the_other_columns_and_rows_are_sorted_by_the_columns_as_given(self, ask, by, expected):
        assert ask(1, 11, by=by) == expected

    def test_a_sum_may_reach_the_last_64_bit_integer(self, tmp_path):
        store = stored(tmp_path, [(1, "a", "b", "v", 2**62, 1, 1), (2, "a", "b", "v", 2**62 - 1, 1, 1)])
        assert rows_of(run_query(store, Query(1, 3, by=("src_app",)))) == [("a", 2**63 - 1, 2, 2)]

    @pytest.mark.parametrize("last", [1, 2**62])
    def test_a_sum_beyond_it_is_refused_by_column_and_key(self, tmp_path, last):
        hours = [(hour, "a", "b", "v", 1, 2**62, 1) for hour in (1, 2)]
        store = stored(tmp_path, [*hours, (3, "a", "b", "v", 1, last, 1), (3, "z", "b", "v", 1, 1, 1)])
        with pytest.raises(SumOverflow, match="the sum of bytes_rx for src_app 'a' does not fit into 64 bits"):
            run_query(store, Query(1, 4, by=("src_app",)))
        assert len(rows_of(run_query(store, Query(1, 4)))) == 4  # nothing is summed there


class TestOrder:
    @pytest.mark.parametrize(
        ("sort", "hours"),
        [
            ("bytes_tx", [3, 1, 2, 4]),  # sums: the largest first; equal ones by their key
            ("bytes_rx", [4, 1, 2, 3]),
            ("flows", [2, 3, 4, 1]),
            ("bytes", [4, 3, 1, 2]),  # 20, 12, 11, 11
            ("hour", [1, 2, 3, 4]),  # the others: from the smallest
            ("src_app", [2, 4, 1, 3]),
            ("dest_app", [3, 1, 2, 4]),
        ],
    )
    def test_sums_sort_the_largest_first_the_others_from_the_smallest_and_ties_by_key(self, tmp_path, sort, hours):
        rows = [
            (1, "b", "y", "v", 5, 6, 1),
            (2, "a", "y", "v", 5, 6, 4),
            (3, "b", "x", "v", 10, 2, 3),
            (4, "a", "z", "v", 0, 20, 3),
        ]
        found = rows_of(run_query(stored(tmp_path, rows), Query(1, 5, sort=sort)))
        assert found == [rows[hour - 1] for hour in hours]

    def test_text_sorts_by_its_utf8_bytes(self, tmp_path):
        apps = ["A", "Z", "a", "é", "\uff5a", "𐀀"]  # UTF-16 would have the last two the other way round
        rows = [(1, app, "b", "v", 1, 1, 1) for app in reversed(apps)]
        store = stored(tmp_path, rows)
        for query in (Query(1), Query(1, sort="src_app"), Query(1, by=("src_app",)), Query(1, sort="flows")):
            assert run_query(store, query).column("src_app").to_pylist() == apps

    def test_both_directions_together_may_pass_64_bits(self, tmp_path):
        rows = [(1, "a", "b", "v", 2**63 - 1, 0, 1), (1, "b", "b", "v", 2**63 - 1, 2**63 - 1, 1)]
        assert rows_of(run_query(stored(tmp_path, rows), Query(1, sort="bytes"))) == rows[::-1]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"top": 1}, [4]),  # without --sort: the most bytes
            ({"top": 2}, [4, 3]),
            ({"top": 99}, [4, 3, 2, 1, 0]),
            ({"top": 2, "sort": "flows"}, [4, 2]),
            ({"top": 2, "sort": "src_app"}, [0, 1]),
            ({"top": 1, "src_app": "b"}, [2]),
        ],
    )
    def test_top_takes_the_first_rows(self, ask, query, expected):
        assert ask(1, 11, **query) == [SMALL[i] for i in expected]

    @pytest.mark.parametrize("at_once", [1, 1 << 18])
    def test_top_of_a_range_is_the_top_of_its_hours(self, tmp_path, monkeypatch, at_once):
        monkeypatch.setattr(query_module, "_BYTES_AT_ONCE", at_once)
        rows = [(hour, app, "b", "v", 1, (hour * ord(app)) % 5, 1) for hour in range(1, 9) for app in "abcdef"]
        expected = sorted(rows, key=lambda row: (-row[5], row[:4]))[:4]
        assert rows_of(run_query(stored(tmp_path, rows), Query(1, 9, top=4))) == expected

    def test_top_takes_from_the_sums(self, ask):
        assert ask(1, 11, by=("dest_app",), top=1) == [("b", 100, 10, 5)]


class TestComplaints:
    @pytest.mark.parametrize(
        ("query", "complaint"),
        [
            ({"hour": 0}, "the hour 0 must be positive"),
            ({"hour": -1}, "the hour -1 must be positive"),
            ({"hour": 2**63}, "must be positive and fit into 64 bits"),
            ({"until": 1}, r"until \(1\) must be later than hour \(1\)"),
            ({"until": -5}, r"until \(-5\) must be later"),
            ({"until": 2**63}, r"until \(\d+\) must fit into 64 bits"),
            ({"by": ("src",)}, "cannot group by src; the columns are hour, src_app, dest_app, vpc_id"),
            ({"by": ("bytes_tx",)}, "cannot group by bytes_tx"),
            ({"by": ("hour", "hour")}, "each once"),
            ({"by": ()}, "one or more"),
            ({"sort": "nope"}, "cannot sort by nope; the columns are hour, .*, flows, bytes"),
            ({"sort": ""}, "cannot sort by "),
            ({"by": ("src_app",), "sort": "hour"}, "cannot sort by hour; the columns are src_app, bytes_tx"),
            ({"top": 0}, "top must be at least 1, not 0"),
            ({"top": -1}, "top must be at least 1, not -1"),
        ],
    )
    def test_a_question_that_cannot_be_answered_is_refused_with_what_is_allowed(self, query, complaint):
        with pytest.raises(UsageError, match=complaint):
            Query(**{"hour": 1} | query)

    def test_all_that_is_wrong_is_said_at_once(self):
        with pytest.raises(UsageError, match=r"the hour 0.*; until .*; cannot group by x.*; cannot sort by y.*; top .*"):
            Query(0, 0, by=("x",), sort="y", top=0)

    def test_a_program_is_told_which_rules_are_broken(self):
        with pytest.raises(BadQuery) as refused:
            Query(2**63, 5, src_app="\ud800")
        rules = [(name, rule) for name, rule, _ in refused.value.broken]
        assert rules == [("hour", "int64"), ("src_app", "utf8"), ("until", "later")]


apps = st.sampled_from(["a", "b", "ab", "Z", "é", "𐀀", "o'brien", "10.0.0.1"])
rows = st.tuples(
    st.sampled_from([1, 2, 10, 498752, 2**40]),
    apps,
    apps,
    st.sampled_from(["v", "w"]),
    st.integers(0, 2**53 - 1) | st.sampled_from([0, 7, 2**63 - 1]),
    st.integers(0, 9),
    st.integers(1, 3),
)
queries = st.fixed_dictionaries(
    {"hour": st.sampled_from([1, 2, 3, 10, 498752])},
    optional={
        "until": st.sampled_from([498753, 2**41]),
        "src_app": apps,
        "dest_app": apps,
        "vpc_id": st.sampled_from(["v", "w"]),
        "by": st.permutations(KEY).flatmap(lambda by: st.integers(1, 4).map(lambda n: tuple(by[:n]))),
        "sort": st.sampled_from(["bytes_tx", "bytes_rx", "flows", "bytes"]),
        "top": st.integers(1, 5),
    },
)


def judged(store, query):
    """DuckDB's answer from the same files, before `top`."""
    tests = {name: query[name] for name in KEY[1:] if name in query}
    by = query.get("by", KEY)
    sort = query.get("sort", "bytes" if "top" in query else None)
    order = {"bytes_tx": "tx DESC,", "bytes_rx": "rx DESC,", "flows": "n DESC,", "bytes": "tx + rx DESC,", None: ""}[sort]
    return duckdb.sql(
        f"""
        SELECT {", ".join(by)}, sum(bytes_tx) AS tx, sum(bytes_rx) AS rx, sum(flows) AS n
        FROM read_parquet('{store.flows}/**/*.parquet', hive_partitioning = true, hive_types = {{'hour': BIGINT}})
        WHERE hour >= ? AND hour < ? {"".join(f" AND {name} = ?" for name in tests)}
        GROUP BY {", ".join(by)}
        ORDER BY {order} {", ".join(by)}
        """,
        params=[query["hour"], query.get("until", query["hour"] + 1), *tests.values()],
    ).fetchall()


@settings(max_examples=50)
@given(
    st.lists(rows, min_size=1, max_size=12, unique_by=lambda row: row[:4]),
    st.lists(queries, min_size=1, max_size=4),
    st.sampled_from([0, 3, 1 << 20]),
    st.sampled_from([1, 2000, 1 << 18]),
)
def test_every_answer_is_duckdbs(rows, queries, gathered, at_once):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(query_module, "_MERGE_ROWS", gathered)
        patch.setattr(query_module, "_BYTES_AT_ONCE", at_once)
        store = stored(folder, rows)
        for query in queries:
            expected = judged(store, query)
            if any(number >= 2**63 for row in expected for number in row[-3:]):
                with pytest.raises(SumOverflow):
                    run_query(store, Query(**query))
            else:
                assert rows_of(run_query(store, Query(**query))) == expected[: query.get("top")]


def test_a_range_is_read_by_as_many_threads_as_the_process_may_use(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("pipeline.counting.resources.processors", lambda: 3)
    monkeypatch.setattr(query_module, "_BYTES_AT_ONCE", 1)  # a table an hour
    monkeypatch.setattr(
        "concurrent.futures.ThreadPoolExecutor", lambda threads: started.append(threads) or ThreadPoolExecutor(threads)
    )
    assert run_query(stored(tmp_path, SMALL), Query(1, 11)).num_rows == len(SMALL)
    assert started == [3]
