"""The store as notebooks and programs use it."""

from dataclasses import fields
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import pipeline
from pipeline import FlowStore, IngestOptions, Query
from pipeline.errors import StoreDamaged, UsageError
from pipeline.query.query import Selection
from pipeline.schema import TOTALS_SCHEMA

RECORDS = ("foo,bar,vpc-0,100,300,498752", "foo,bar,vpc-0,200,600,498752", "baz,qux,vpc-0,100,500,498753")
FIRST = {
    "hour": 498752,
    "src_app": "foo",
    "dest_app": "bar",
    "vpc_id": "vpc-0",
    "bytes_tx": 300,
    "bytes_rx": 900,
    "flows": 2,
}
SECOND = {
    "hour": 498753,
    "src_app": "baz",
    "dest_app": "qux",
    "vpc_id": "vpc-0",
    "bytes_tx": 100,
    "bytes_rx": 500,
    "flows": 1,
}


@pytest.fixture
def store(ingested):
    return ingested(*RECORDS)


class TestReading:
    @pytest.mark.parametrize("hour", [498752, "498752", "2026-11-24T08", np.int64(498752)])
    def test_an_hour_is_a_number_or_a_text(self, store, hour):
        assert store.table(hour).to_pylist() == [FIRST]

    @pytest.mark.parametrize(
        "hour",
        [
            datetime(2026, 11, 24, 8, tzinfo=UTC),
            pd.Timestamp("2026-11-24T08"),
            pd.Timestamp("2026-11-24T09", tz="Europe/Berlin"),
        ],
    )
    def test_an_hour_is_also_a_time(self, store, hour):
        assert store.table(hour).to_pylist() == [FIRST]

    @pytest.mark.parametrize("day", ["2026-11-24", date(2026, 11, 24)])
    def test_a_day_is_a_range(self, store, day):
        assert store.table(day).to_pylist() == [FIRST, SECOND]
        assert store.table("2026-11-01", until=day).num_rows == 0

    def test_without_an_hour_it_is_the_latest_that_has_totals(self, store):
        assert store.table().to_pylist() == store.frame().to_dict("records") == [SECOND]
        store.locations.partition(498753).unlink()  # as a run leaves it that is cut off
        assert store.table("latest").to_pylist() == [FIRST]

    def test_hours_are_dropped_before_what_is_kept(self, store):
        with pytest.raises(UsageError, match=r"nothing is dropped: .* every=True"):
            store.drop(date(2026, 11, 25))
        assert [hour.hour for hour in store.droppable("latest")] == [498752]
        assert store.drop(pd.Timestamp("2026-11-24T09")).hours == [498752]
        assert store.drop("today", every=True).hours == [498753]

    @pytest.mark.parametrize("until", [498754, "498754", "2026-11-24T10"])
    def test_so_is_the_end_of_a_range(self, store, until):
        assert store.table(498752, until).to_pylist() == [FIRST, SECOND]

    def test_a_table_has_the_types_of_the_totals(self, store):
        assert store.table(498752).schema == TOTALS_SCHEMA

    def test_a_frame_has_whole_numbers_and_text(self, store):
        frame = store.frame(498752, 498754)
        numbers = dict.fromkeys(("hour", "bytes_tx", "bytes_rx", "flows"), np.dtype("int64"))
        texts = dict.fromkeys(("src_app", "dest_app", "vpc_id"), pd.StringDtype(na_value=np.nan))
        assert frame.dtypes.to_dict() == numbers | texts
        assert frame.to_dict("records") == [FIRST, SECOND]

    def test_an_unknown_hour_is_an_empty_frame_of_the_same_types(self, store):
        assert store.frame(1).empty
        assert store.frame(1).dtypes.to_dict() == store.frame(498752).dtypes.to_dict()

    def test_filters_groupings_and_orders_are_the_querys(self, store):
        options = {"by": ["vpc_id"], "sort": "bytes", "top": 1, "vpc_id": "vpc-0"}
        expected = {"vpc_id": "vpc-0", "bytes_tx": 400, "bytes_rx": 1400, "flows": 3}
        assert store.table(498752, 498754, **options).to_pylist() == [expected]
        assert store.frame(498752, 498754, **options).to_dict("records") == [expected]
        assert store.table(498752, 498754, src_app="foo").to_pylist() == [FIRST]
        assert store.table(498752, 498754, dest_app="qux").to_pylist() == [SECOND]

    def test_names_may_come_from_a_frame(self, store):
        names = pd.Series(["foo", "nobody"])
        for wanted in (names, names.to_numpy(), names.unique(), set(names), pd.Index(names), iter(names)):
            assert store.table(498752, 498754, src_app=wanted).to_pylist() == [FIRST]
        with pytest.raises(UsageError, match="src_app must be a text, or several"):
            store.table(498752, src_app=pd.Series(["foo", None]))

    def test_a_page_has_the_sums_of_the_rows_that_are_not_on_it(self, store):
        page = store.page(498752, 498754, top=1)
        assert (page.rows.to_pylist(), page.others) == ([FIRST], 1)
        assert (page.other, page.total) == ((100, 500, 1), (400, 1400, 3))

    @pytest.mark.parametrize("options", [{}, {"src_app": "foo"}, {"top": 1}, {"by": "vpc_id"}, {"dest_app": "nobody"}])
    def test_a_long_answer_can_be_taken_a_table_at_a_time(self, store, options):
        tables = store.each_table(498752, 498754, **options)
        assert pa.concat_tables(tables).equals(store.table(498752, 498754, **options))

    def test_spans_are_compared(self, store):
        difference = store.diff("2026-11-24T08", pd.Timestamp("2026-11-24T09"))
        assert difference.changes.column("kind").to_pylist() == ["vanished", "new"]
        assert difference.total == (1200, 600)

    def test_a_table_takes_all_that_a_query_has(self):
        own = {"hour", "until", "by"}
        assert own | Selection.__annotations__.keys() == {field.name for field in fields(Query)}

    def test_a_column_to_group_by_may_stand_alone(self, store):
        assert store.table(498752, by="vpc_id").to_pylist() == store.table(498752, by=["vpc_id"]).to_pylist()


class TestTimes:
    def test_time_is_a_utc_timestamp_beside_the_hour(self, store):
        table = store.table(498752, timestamps=True)
        assert table.column_names[:2] == ["hour", "time"]
        assert table.schema.field("time").type == pa.timestamp("s", tz="UTC")
        frame = store.frame(498752, timestamps=True)
        assert isinstance(frame["time"].dtype, pd.DatetimeTZDtype)
        assert frame["time"].tolist() == [pd.Timestamp("2026-11-24T08:00", tz="UTC")]
        assert frame["hour"].tolist() == [498752]

    def test_sums_by_hour_have_their_time_too(self, store):
        assert store.table(498752, by=["src_app", "hour"], timestamps=True).column_names[:3] == ["src_app", "hour", "time"]

    def test_rows_without_an_hour_have_no_time(self, store):
        with pytest.raises(UsageError, match="only where the rows have their hour"):
            store.table(498752, by=["src_app"], timestamps=True)


class TestErrors:
    def test_where_there_is_no_store_is_said_with_what_makes_one(self, tmp_path):
        with pytest.raises(UsageError, match=r"no store in .*nowhere; `flowlog ingest --store .*nowhere` makes one"):
            FlowStore(tmp_path / "nowhere")
        assert not (tmp_path / "nowhere").exists()

    def test_a_folder_of_other_things_is_no_store(self, tmp_path):
        (tmp_path / "notes.txt").write_text("x")
        with pytest.raises(UsageError, match="no store"):
            FlowStore(tmp_path)

    @pytest.mark.parametrize(
        ("question", "complaint"),
        [
            ({"hour": "noon"}, "neither an integer"),
            ({"hour": 0}, "must be positive"),
            ({"hour": 2, "until": "2"}, "must be later"),
            ({"hour": 1, "by": ["nope"]}, "cannot group by nope"),
            ({"hour": 1, "by": []}, "one or more"),
            ({"hour": 1, "sort": "nope"}, "cannot sort by nope"),
            ({"hour": 1, "top": 0}, "top must be"),
        ],
    )
    def test_a_wrong_question_is_a_usage_error(self, store, question, complaint):
        with pytest.raises(UsageError, match=complaint):
            store.table(**question)

    def test_a_damaged_file_is_named(self, store):
        store.locations.partition(498752).write_bytes(b"torn")
        with pytest.raises(StoreDamaged, match=r"hour=498752/part-0\.parquet"):
            store.frame(498752)


class TestTheRest:
    def test_a_path_may_be_text(self, store):
        assert FlowStore(str(store.locations.root)).table(498752).to_pylist() == [FIRST]

    def test_hours_are_listed_each_in_short(self, store):
        (first, second) = store.hours()
        assert (first.hour, first.rows, first.flows, first.bytes_tx, first.bytes_rx) == (498752, 1, 2, 300, 900)
        assert (second.hour, second.rows, second.flows, second.bytes_tx, second.bytes_rx) == (498753, 1, 1, 100, 500)
        assert first.file_bytes == store.locations.partition(498752).stat().st_size

    def test_runs_are_listed_oldest_first_with_their_sources(self, store, ingested, tmp_path):
        ingested("x,y,vpc-0,1,1,1")
        first, second = store.runs()
        assert [source.path for source in first.sources] == [str(tmp_path / "raw" / "1.flows")]
        assert [source.path for source in second.sources] == [str(tmp_path / "raw" / "2.flows")]
        assert first.run_id < second.run_id
        assert first.hours == {
            498752: {"bytes_tx": 300, "bytes_rx": 900, "flows": 2},
            498753: {"bytes_tx": 100, "bytes_rx": 500, "flows": 1},
        }

    def test_rejects_can_be_asked_for(self, ingested):
        store = ingested("foo,bar,v,-1,0,1", "foo,bar,v,1,0,0", "foo,bar,v,1,0,1")
        assert store.rejects().select(["row", "field"]).to_pylist() == [
            {"row": 2, "field": "bytes_tx"},
            {"row": 3, "field": "hour"},
        ]
        assert store.rejects(reason="bytes_tx").column("row").to_pylist() == [2]

    def test_a_store_can_be_filled_and_proved(self, tmp_path):
        (tmp_path / "a.jsonl").write_text(
            '{"hour": 1, "src_app": "a", "dest_app": "b", "vpc_id": "v", "bytes_tx": 0, "bytes_rx": 2}\n'
        )
        store = FlowStore(tmp_path / "store", create=True)
        assert store.ingest([str(tmp_path / "a.jsonl")], IngestOptions(zero_bytes="accept")).valid == 1
        assert FlowStore(tmp_path / "store").verify().problems == []

    def test_the_package_has_no_other_names(self):
        assert all(hasattr(pipeline, name) for name in pipeline.__all__)
        with pytest.raises(AttributeError, match="no attribute 'nope'"):
            pipeline.nope  # noqa: B018
