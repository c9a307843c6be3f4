"""Rejected rows: put aside, kept by their run, found again."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import output
from pipeline.counting import rejects
from pipeline.counting.rejects import RejectSpool
from pipeline.errors import StoreDamaged, UsageError
from pipeline.flowstore import FlowStore
from pipeline.query.rejects import each_reject, find_rejects, rejects_by
from pipeline.schema import REJECT_SCHEMA
from pipeline.store import rejectfile
from pipeline.syntax.batch import Reject
from tests.conftest import ingest_records


def reject(row, rule="must be positive"):
    return Reject(row, "hour", rule, "0", f"raw {row}")


def spool_of(folder, *added):
    """A spool with some rejects: (source, rows), in the order in which they come."""
    spool = RejectSpool(folder)
    for source, rows in added:
        spool.add(source, [reject(row) for row in rows])
    return spool


def contents(spool):
    return [
        (source, row)
        for batch in spool.batches()
        for source, row in zip(*map(pa.Array.to_pylist, batch.columns[:2]), strict=True)
    ]


class TestSpool:
    def test_rejects_come_back_whole_with_their_source_and_in_the_order_of_their_rows(self, tmp_path):
        spool = spool_of(tmp_path, ("a.csv", [3, 2]), ("a.csv", []), ("a.csv", [9]))
        assert contents(spool) == [("a.csv", 2), ("a.csv", 3), ("a.csv", 9)]
        (first, *_) = pa.Table.from_batches(spool.batches(), REJECT_SCHEMA).to_pylist()
        assert first == {
            "source": "a.csv",
            "row": 2,
            "field": "hour",
            "rule": "must be positive",
            "value": "0",
            "raw": "raw 2",
        }

    def test_it_knows_how_many_there_are_and_which_is_the_first(self, tmp_path):
        spool = spool_of(tmp_path)
        assert (spool.count, spool.first, contents(spool)) == (0, "", [])
        spool = spool_of(tmp_path, ("a.csv", [3, 2]), ("b.csv", [1]))
        assert spool.count == 3
        assert spool.first == "a.csv: row 2: hour must be positive, not '0'"

    def test_a_run_takes_in_the_rejects_of_its_sources_behind_its_own(self, tmp_path):
        run = spool_of(tmp_path)
        run.merge(spool_of(tmp_path))
        run.merge(spool_of(tmp_path, ("a.csv", [7, 8])))
        run.merge(spool_of(tmp_path, ("b.csv", [1])))
        assert contents(run) == [("a.csv", 7), ("a.csv", 8), ("b.csv", 1)]
        assert (run.count, run.first) == (3, "a.csv: row 7: hour must be positive, not '0'")

    def test_few_stay_in_memory_and_many_go_to_the_given_folder(self, tmp_path, monkeypatch):
        spool_of(tmp_path, ("a.csv", [1, 2, 3]))
        assert list(tmp_path.iterdir()) == []
        monkeypatch.setattr(rejects, "_SPOOL_BYTES", 0)
        spool = spool_of(tmp_path, ("a.csv", [1, 2, 3]), ("a.csv", [4]))
        assert list(tmp_path.iterdir())
        assert [row for _, row in contents(spool)] == [1, 2, 3, 4]

    @given(
        st.lists(
            st.lists(st.tuples(st.sampled_from(["a", "b"]), st.lists(st.integers(1, 9), max_size=3)), max_size=4), max_size=4
        ),
        st.sampled_from([0, 100, 1 << 20]),
    )
    def test_where_they_are_held_changes_nothing(self, tmp_path_factory, sources, memory):
        folder = tmp_path_factory.mktemp("spool")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rejects, "_SPOOL_BYTES", memory)
            run = RejectSpool(folder)
            for added in sources:
                run.merge(spool_of(folder, *added))
            expected = [(source, row) for added in sources for source, rows in added for row in sorted(rows)]
            assert contents(run) == expected
            assert run.count == len(expected)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two runs: three rejects in the first, one in the second; a third run without."""
    folder = tmp_path_factory.mktemp("built")
    ingest_records(folder, "a,b,v,1,1,1", "a,b,v,-1,1,1", "a,,v,1,1,1", "a,b,v,x,1,1")
    ingest_records(folder, "a,b,v,1,1,0", "a,b,v,1,1,3")
    ingest_records(folder, "a,b,v,1,1,2")
    return folder


@pytest.fixture
def store(built, tmp_path):
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return FlowStore(tmp_path / "store")


def found(store, **filters):
    return [(row["row"], row["field"], row["rule"]) for row in find_rejects(store.locations, **filters).to_pylist()]


NEGATIVE = (3, "bytes_tx", "must be at least 0")
EMPTY = (4, "dest_app", "must not be empty")
TEXT = (5, "bytes_tx", "must be an integer")
ZERO = (2, "hour", "must be positive")


class TestFinding:
    def test_each_has_its_run_file_row_reason_and_raw_text(self, store, built):
        first = find_rejects(store.locations).to_pylist()[0]
        assert first == {
            "run": store.runs()[0].run_id,
            "source": str(built / "raw" / "1.flows"),
            "row": 3,
            "field": "bytes_tx",
            "rule": "must be at least 0",
            "value": "-1",
            "raw": "a,b,v,-1,1,1",
        }

    def test_the_oldest_run_comes_first(self, store):
        assert found(store) == [NEGATIVE, EMPTY, TEXT, ZERO]

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"reason": "bytes_tx"}, [NEGATIVE, TEXT]),
            ({"reason": "must be"}, [NEGATIVE, TEXT, ZERO]),
            ({"reason": "dest_app must not"}, [EMPTY]),
            ({"reason": "nope"}, []),
            ({"source": "2.flows"}, [ZERO]),
            ({"source": "."}, [NEGATIVE, EMPTY, TEXT, ZERO]),
            ({"source": "1.fl.ws"}, []),  # a text, not a pattern
            ({"source": "1.flows", "reason": "integer"}, [TEXT]),
        ],
    )
    def test_filters_hold_together(self, store, filters, expected):
        assert found(store, **filters) == expected

    def test_one_run_can_be_asked_for(self, store):
        first, second, third = (record.run_id for record in store.runs())
        assert found(store, run=first) == [NEGATIVE, EMPTY, TEXT]
        assert found(store, run=second) == [ZERO]
        assert found(store, run=third) == []

    @pytest.mark.parametrize("run", ["nope", "", ".."])
    def test_an_unknown_run_is_refused(self, store, run):
        with pytest.raises(UsageError, match="there is no run"):
            find_rejects(store.locations, run=run)

    def test_a_store_without_rejects_has_an_empty_table_of_the_same_shape(self, ingested):
        table = find_rejects(ingested("a,b,v,1,1,1").locations)
        assert table.num_rows == 0
        assert table.column_names == ["run", *REJECT_SCHEMA.names]

    def test_a_damaged_file_is_named(self, store):
        path = store.locations.rejects_of(store.runs()[0].run_id)
        path.write_bytes(b"torn")
        with pytest.raises(StoreDamaged, match=path.parent.name):
            find_rejects(store.locations)

    def test_a_file_with_other_columns_is_damaged(self, store):
        path = store.locations.rejects_of(store.runs()[0].run_id)
        pq.write_table(pa.table({"x": [1, 2, 3]}), path)
        with pytest.raises(StoreDamaged, match=path.parent.name):
            find_rejects(store.locations)


class TestStreaming:
    def test_they_are_written_and_read_some_at_a_time_however_they_came(self, tmp_path, monkeypatch):
        monkeypatch.setattr(rejectfile, "_GROUP_ROWS", 4)
        few = ["a,b,v,-1,1,1"] * 3
        ingest_records(tmp_path, "a,b,v,1,1,1", *few, *few, *few)
        store = FlowStore(tmp_path / "store").locations
        tables = list(each_reject(store))
        assert [table.num_rows for table in tables] == [4, 4, 1]
        assert pa.concat_tables(tables).equals(find_rejects(store))
        assert rejects_by(tables, "reason").to_pylist() == [{"field": "bytes_tx", "rule": "must be at least 0", "rows": 9}]

    def test_many_of_one_row_do_not_make_as_many_row_groups(self, tmp_path):
        spool = spool_of(tmp_path, *[(f"{i}.csv", [1]) for i in range(50)])
        rejectfile.write_rejects(tmp_path / "rejects.parquet", spool.batches())
        assert pq.read_metadata(tmp_path / "rejects.parquet").num_row_groups == 1

    def test_long_ones_are_cut_with_a_note_of_their_length(self, ingested):
        (found,) = find_rejects(ingested("a,b,v,1,1,1", "a,b,v," + "9" * 10_000 + ",1,1").locations).to_pylist()
        assert found["value"] == "9" * 256 + "… (10,000 bytes)"
        assert found["raw"] == "a,b,v," + "9" * 4090 + "… (10,010 bytes)"

    def test_a_table_shows_a_page_and_says_how_many_more_there_are(self, flowlog, tmp_path, monkeypatch):
        monkeypatch.setattr(output, "PAGE_ROWS", 2)
        ingest_records(tmp_path, "a,b,v,1,1,1", *["a,b,v,-1,1,1"] * 5)
        shown = flowlog("rejects", "--store", str(tmp_path / "store"))
        assert shown.out.count("\n") == 3
        assert shown.err.startswith("3 more rows: --json has all")
        assert len(json.loads(flowlog("rejects", "--json", "--store", str(tmp_path / "store")).out)) == 5


class TestCounting:
    def test_by_reason(self, ingested):
        store = ingested("a,b,v,-1,1,1", "a,b,v,1,1,0", "a,b,v,-2,1,1", "a,b,v,1,-1,1", "a,b,v,1,1,1")
        assert rejects_by([find_rejects(store.locations)], "reason").to_pylist() == [
            {"field": "bytes_tx", "rule": "must be at least 0", "rows": 2},
            {"field": "bytes_rx", "rule": "must be at least 0", "rows": 1},  # equal counts by name
            {"field": "hour", "rule": "must be positive", "rows": 1},
        ]

    def test_by_run_and_by_source(self, store, built):
        first, second, _ = (record.run_id for record in store.runs())
        table = find_rejects(store.locations)
        assert rejects_by([table], "run").to_pylist() == [{"run": first, "rows": 3}, {"run": second, "rows": 1}]
        assert rejects_by([table], "source").to_pylist() == [
            {"source": str(built / "raw" / "1.flows"), "rows": 3},
            {"source": str(built / "raw" / "2.flows"), "rows": 1},
        ]

    def test_of_nothing_is_nothing(self, ingested):
        assert rejects_by(each_reject(ingested("a,b,v,1,1,1").locations), "reason").to_pylist() == []
