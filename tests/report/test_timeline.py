"""Which periods a picture of some hours has."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.hours import HourRange, hour_to_text
from pipeline.query.query import Query
from pipeline.report import timeline as timeline_module
from pipeline.report.timeline import MOST_PERIODS, PeriodSums, span_and_width
from pipeline.store.layout import Locations
from tests.query.test_query import stored

DAY = 498744  # 2026-11-24T00, a Tuesday


def timeline_of(store, first, until, *hours):
    shown = span_and_width(HourRange(first, until), hours)
    query = Query(first, until, by=("hour", "src_app", "dest_app"))
    return timeline_module.timeline_of(PeriodSums(store, query, shown[1]), shown, hours, ["a"], ["b"])


@pytest.mark.parametrize(
    ("hours", "unit"),
    [(1, "hour"), (14 * 24, "hour"), (MOST_PERIODS, "hour"), (21 * 24, "day"), (365 * 24, "day"), (366 * 24, "day")],
)
def test_many_hours_are_shown_day_by_day(tmp_path, hours, unit):
    timeline = timeline_of(Locations(tmp_path), DAY, DAY + hours)
    assert timeline.unit == unit
    assert len(timeline.periods) == hours // (1 if unit == "hour" else 24)
    assert all(timeline.is_empty)


@pytest.mark.parametrize(("years", "unit"), [(2, "week"), (7, "week"), (10, "2 weeks"), (100, "16 weeks")])
def test_of_years_the_weeks_begin_on_monday(tmp_path, years, unit):
    hours = [DAY - years * 365 * 24, DAY]
    timeline = timeline_of(stored(tmp_path, [(hour, "a", "b", "v", 1, 0, 1) for hour in hours]), 1, 10**6, *hours)
    assert timeline.unit == unit
    assert hour_to_text(timeline.periods[-1].first).endswith("T00")
    assert (timeline.periods[-1].first - 96) % 168 == 0
    assert (timeline.is_empty[0], timeline.is_empty[1], timeline.is_empty[-1]) == (False, True, False)


def test_longer_spans_are_cut_to_the_hours_that_have_totals(tmp_path):
    store = stored(tmp_path, [(DAY, "a", "b", "v", 1, 2, 1), (DAY + 3, "x", "b", "v", 5, 0, 1)])
    timeline = timeline_of(store, 1, 10**6, DAY, DAY + 3)
    assert timeline.periods == [HourRange(DAY + hour, DAY + hour + 1) for hour in range(4)]
    assert timeline.by_source.bytes == [[3, 0, 0, 0]]
    assert timeline.by_source.other == [0, 0, 0, 5]
    assert timeline.by_destination.bytes == [[3, 0, 0, 5]]
    assert timeline.is_empty == [False, True, True, False]


@given(st.integers(1, 10**6), st.integers(1, 2**31))
def test_the_periods_are_the_hours_each_once_and_never_too_many(first, hours):
    timeline = timeline_of(Locations(Path("none")), first, first + hours)
    assert timeline.periods[0].first == first
    assert timeline.periods[-1].until == first + hours
    assert all(one.until == other.first for one, other in zip(timeline.periods, timeline.periods[1:], strict=False))
    assert len(timeline.periods) <= MOST_PERIODS
    assert all(period.until - period.first == timeline.width for period in timeline.periods[1:-1])


@pytest.mark.parametrize(("kept_bytes", "readings"), [(1 << 20, 1), (0, 2)])
def test_hours_are_read_again_only_where_their_sums_are_too_many_to_keep(tmp_path, monkeypatch, kept_bytes, readings):
    store = stored(tmp_path, [(DAY, "a", "b", "v", 1, 2, 1), (DAY, "a", "b", "w", 5, 0, 1)])
    read, passing_rows = [], timeline_module.passing_rows
    monkeypatch.setattr(timeline_module, "_KEPT_BYTES", kept_bytes)
    monkeypatch.setattr(timeline_module, "passing_rows", lambda *asked: read.append(asked) or passing_rows(*asked))
    sums = PeriodSums(store, Query(DAY, DAY + 1, by=("hour", "src_app", "dest_app")), 1)
    looks = [[row for part in sums for row in part.to_pylist()] for _ in range(2)]
    row = {"period": looks[0][0]["period"], "src_app": "a", "dest_app": "b", "bytes_tx": 6, "bytes_rx": 2, "flows": 2}
    assert looks == [[row], [row]]
    assert len(read) == readings
