"""Dates in paths, and --since."""

import os
from datetime import UTC, datetime

import pytest

from pipeline.errors import UsageError
from pipeline.hours import hours_of
from pipeline.jobs.dates import has_dates, without_dates
from pipeline.jobs.find import find

NOW = datetime(2026, 11, 24, 20, 30, tzinfo=UTC)


def since(text):
    return hours_of(text, lambda: 1, NOW).first


def test_without_since_each_part_stands_for_its_digits():
    assert without_dates("b/{yyyy}-{mm}/h={hh}", None) == [f"b/{'[0-9]' * 4}-{'[0-9]' * 2}/h={'[0-9]' * 2}"]
    assert not has_dates("b/{region}/x")


def test_the_days_are_those_since_then_and_what_the_zones_of_the_world_add():
    assert without_dates("{yyyy}/{mm}/{dd}/x", since("2026-11-24T14"), NOW) == ["2026/11/24/x", "2026/11/25/x"]
    assert without_dates("{yyyy}/{mm}/{dd}", since("2026-11-24T12"), NOW) == [f"2026/11/{day}" for day in (23, 24, 25)]
    assert without_dates("{yyyy}", since("2025-06-01"), NOW) == ["2025", "2026"]


def test_hours_too():
    hours = without_dates("{dd}T{hh}", since("-1h"), NOW)
    assert (hours[0], hours[-1], len(hours)) == ("24T07", "25T11", 13 + 1 + 15)


def test_the_first_day_of_all_is_no_error():
    assert without_dates("{yyyy}", 1, datetime(1970, 1, 1, tzinfo=UTC)) == ["1970"]


@pytest.fixture
def days(raw):
    today = datetime.now(UTC)
    for day in ("2020/01/01", today.strftime("%Y/%m/%d")):
        (raw / "by" / day).mkdir(parents=True)
        (raw / "by" / day / "x.csv").write_text(day)
    return [str(raw / "by" / day / "x.csv") for day in ("2020/01/01", today.strftime("%Y/%m/%d"))]


def test_paths_with_dates_go_by_these_and_not_by_the_time_of_modification(days):
    os.utime(days[1], (0, 0))
    assert find(["by/{yyyy}/{mm}/{dd}"]).files == days
    found = find(["by/{yyyy}/{mm}/{dd}"], since=hours_of("-2d", lambda: 1).first)
    assert (found.files, found.left_alone) == (days[1:], {})


def test_other_paths_go_by_the_time_of_modification_also_where_a_file_is_named(days):
    os.utime(days[0], (0, 0))
    for raw in (["by"], days, ["by/*/*/*/x.csv"]):
        found = find(raw, since=hours_of("-2d", lambda: 1).first)
        assert found.files == days[1:]
        assert found.left_alone == {days[0]: "modified before the time that --since names"}
        assert found.failed == []


def test_dates_of_which_there_is_nothing_are_an_error_that_says_so(days):
    with pytest.raises(UsageError, match=r"nothing matches by/{yyyy}-{mm} since the time that --since names"):
        find(["by/{yyyy}-{mm}"], since=hours_of("-2d", lambda: 1).first)
