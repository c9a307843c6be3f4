"""How users say which hours they mean, and how an hour is written."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.hours import LAST_HOUR, HourRange, end_of, hour_to_text, hours_of

LAST_OF_THE_CALENDAR = 70389527  # 9999-12-31T23
NOW = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)


def meant(when, now=NOW):
    return hours_of(when, lambda: 7, now)


def hour(when):
    """The hour that is meant, where it is a single one."""
    found = meant(when)
    assert found.until == found.first + 1
    return found.first


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("498752", 498752),
        ("+7", 7),
        ("0012", 12),
        ("latest", 7),
        ("1970-01-01T01", 1),
        ("1970-01-02T00", 24),
        ("2026-11-24T08", 498752),
        ("2026-11-24 08", 498752),
        ("2026-11-24T08:00", 498752),
        ("2026-11-24T08:00:00", 498752),
        ("2026-11-24T08Z", 498752),
        ("2026-11-24T08:00Z", 498752),
        ("2026-11-24T08:00:00+00:00", 498752),
        ("2024-02-29T00", 474768),
        ("9999-12-31T23", LAST_OF_THE_CALENDAR),
    ],
)
def test_an_hour_is_an_integer_a_utc_time_or_the_latest(text, number):
    assert hour(text) == number


@pytest.mark.parametrize(
    ("text", "first", "until"),
    [
        ("2026-11-24", "2026-11-24T00", "2026-11-25T00"),
        ("2024-02-29", "2024-02-29T00", "2024-03-01T00"),
        ("9999-12-31", "9999-12-31T00", LAST_OF_THE_CALENDAR + 1),
        ("1970-01-01", 1, 24),  # its first hour is the hour 0, which no record can have
        ("today", "2026-11-24T00", "2026-11-25T00"),
        ("yesterday", "2026-11-23T00", "2026-11-24T00"),
        ("-1h", "2026-11-24T08", "2026-11-24T09"),
        ("-24h", "2026-11-23T09", "2026-11-24T09"),
        ("-1d", "2026-11-23T09", "2026-11-24T09"),
        ("-7d", "2026-11-17T09", "2026-11-24T09"),
        ("-999999999999999d", 1, "2026-11-24T09"),
    ],
)
def test_a_day_and_a_span_are_ranges(text, first, until):
    bounds = [bound if isinstance(bound, int) else hour(bound) for bound in (first, until)]
    assert meant(text) == HourRange(*bounds)


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=10))])
def test_today_is_the_day_in_utc_wherever_the_clock_stands(zone):
    assert meant("today", NOW.astimezone(zone)) == meant("2026-11-24")
    assert meant("-24h", NOW.astimezone(zone)) == meant("-24h")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "neither an integer"),
        ("now", "neither an integer"),
        ("Today", "neither an integer"),
        ("1.0", "neither an integer"),
        ("1e3", "neither an integer"),
        ("1_000", "neither an integer"),
        (" 1", "neither an integer"),
        ("1\n", "neither an integer"),
        ("0x10", "neither an integer"),
        ("2026-11", "neither an integer"),
        ("2026-11-24\n", "neither an integer"),
        ("2026-11-24T8", "neither an integer"),
        ("2026-11-24T08:30", "neither an integer"),
        ("2026-11-24T08:00:01", "neither an integer"),
        ("2026-11-24T08+01:00", "neither an integer"),
        ("24.11.2026 08", "neither an integer"),
        ("-30m", "neither an integer"),
        ("24h", "neither an integer"),
        ("--24h", "neither an integer"),
        ("-0h", "at least one hour"),
        ("2026-02-30", "not on the calendar"),
        ("2026-02-30T08", "not on the calendar"),
        ("2026-13-01T08", "not on the calendar"),
        ("2026-11-24T25", "not on the calendar"),
        ("0", "must be positive"),
        ("-1", "must be positive"),
        ("1969-12-31", "must be positive"),
        ("1970-01-01T00", "must be positive"),
        ("1969-12-31T23", "must be positive"),
        ("300000000000", "must be at most 2147483647"),
        pytest.param("9" * 5000, "must be at most 2147483647", id="more digits than Python converts"),
    ],
)
def test_anything_else_is_refused_with_its_reason(text, complaint):
    with pytest.raises(UsageError, match=complaint):
        meant(text)


@pytest.mark.parametrize(
    ("digits", "advice"),
    [
        ("20261124", "looks like a date: write 2026-11-24$"),
        ("2026112408", "looks like a date: write 2026-11-24T08$"),
        ("202611240830", "looks like a date: write 2026-11-24T08$"),
        ("20261124083000", "looks like a date: write 2026-11-24T08$"),
        ("+20261124", "looks like a date: write 2026-11-24$"),
        ("1795507200", r"looks like a time in seconds: that is the hour 498752 \(2026-11-24T08\)"),
        ("1795510799", r"looks like a time in seconds: that is the hour 498752 \(2026-11-24T08\)"),
        ("1795507200123", r"looks like a time in milliseconds: that is the hour 498752 \(2026-11-24T08\)"),
        ("1795507200123456", r"looks like a time in microseconds: that is the hour 498752 \(2026-11-24T08\)"),
        ("1795507200123456789", r"looks like a time in nanoseconds: that is the hour 498752 \(2026-11-24T08\)"),
    ],
)
def test_digits_that_look_like_another_unit_are_refused_with_what_was_meant(digits, advice):
    with pytest.raises(UsageError, match=advice):
        meant(digits)


@pytest.mark.parametrize("digits", ["20261301", "20260230", "30001124", "70389527"])
def test_digits_that_are_no_date_are_an_hour(digits):
    assert hour(digits) == int(digits)


def test_the_last_hour_is_one_and_the_hour_behind_it_can_end_a_range():
    assert meant(str(LAST_HOUR)) == meant(LAST_HOUR) == HourRange(LAST_HOUR, LAST_HOUR + 1)
    for end in (LAST_HOUR + 1, str(LAST_HOUR + 1)):
        assert end_of(end, lambda: 7, NOW) == LAST_HOUR + 1
        with pytest.raises(UsageError, match="looks like a time in seconds"):
            meant(end)
    for beyond in (LAST_HOUR + 2, 1795507200):
        with pytest.raises(UsageError, match="looks like a time in seconds"):
            end_of(str(beyond), lambda: 7, NOW)


def test_a_range_ends_before_the_first_hour_that_its_end_means():
    assert end_of("2026-11-24", lambda: 7, NOW) == meant("2026-11-24").first


@given(st.integers(10**9, 4_102_444_799).filter(lambda seconds: seconds != LAST_HOUR))  # to the end of 2099
def test_no_time_of_a_log_passes_for_an_hour_in_any_unit(seconds):
    moment = datetime.fromtimestamp(seconds, UTC)
    digits = [str(seconds * 10**digits) for digits in (0, 3, 6, 9)]
    for text in [*digits, f"{moment:%Y%m%d}", f"{moment:%Y%m%d%H}", f"{moment:%Y%m%d%H%M}", f"{moment:%Y%m%d%H%M%S}"]:
        with pytest.raises(UsageError, match="looks like"):
            meant(text)


class TestFromPrograms:
    @pytest.mark.parametrize(
        "when",
        [
            498752,
            np.int64(498752),
            NOW.replace(minute=0, tzinfo=None),  # without a time zone it is UTC
            datetime(2026, 11, 24, 8, tzinfo=UTC),
            datetime(2026, 11, 24, 13, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            pd.Timestamp("2026-11-24T08"),
            pd.Timestamp("2026-11-24T09", tz="Europe/Berlin"),
        ],
    )
    def test_an_hour_is_a_number_or_a_time(self, when):
        assert hour(when) == 498752

    def test_midnight_is_an_hour_and_a_date_its_day(self):
        assert hour(datetime(2026, 11, 24, tzinfo=UTC)) == 498744
        assert meant(date(2026, 11, 24)) == meant("2026-11-24")

    @pytest.mark.parametrize("number", [20261124, 1795507200, LAST_HOUR])
    def test_a_number_up_to_the_last_hour_is_what_it_says_as_the_store_may_have_given_it(self, number):
        assert hour(number) == number

    @pytest.mark.parametrize(
        ("when", "complaint"),
        [
            (0, "must be positive"),
            (1795507200_000, "milliseconds: that is the hour 498752"),
            (LAST_HOUR + 1, "seconds: that is the hour 596523"),
            (2**38, "must be at most"),
            (1.0, "neither an integer, a text"),
            (None, "neither an integer, a text"),
            (NOW, r"not on the hour; \.replace\(minute=0"),
            (datetime(2026, 11, 24, 8, tzinfo=timezone(timedelta(minutes=30))), "not on the hour"),
            (pd.Timestamp("2026-11-24T08") + pd.Timedelta(1, "ns"), "not on the hour"),
            (pd.NaT, "not on the hour"),
            (datetime(1969, 12, 31, 23, tzinfo=UTC), "must be positive"),
            (date(1969, 12, 31), "must be positive"),
            (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "not on the calendar"),
        ],
    )
    def test_anything_else_is_refused(self, when, complaint):
        with pytest.raises(UsageError, match=complaint):
            meant(when)


@given(
    st.text()
    | st.text("0123456789+-hd")
    | st.from_regex(r"\A-\d+[hd]\Z")
    | st.tuples(*[st.integers(0, 99)] * 5).map("%02d%02d-%02d-%02dT%02d".__mod__)
    | st.tuples(*[st.integers(0, 99)] * 4).map("%02d%02d-%02d-%02d".__mod__)
)
def test_any_text_is_hours_that_a_store_can_have_or_refused(text):
    try:
        found = meant(text)
    except UsageError:
        return
    assert 0 < found.first < found.until <= LAST_HOUR + 1


@given(st.integers(1, LAST_OF_THE_CALENDAR))
def test_an_hour_is_written_as_the_utc_time_at_which_it_starts_and_read_back(number):
    text = hour_to_text(number)
    assert text == f"{datetime.fromtimestamp(number * 3600, UTC):%Y-%m-%dT%H}"
    assert hour(text) == number


@pytest.mark.parametrize("number", [LAST_OF_THE_CALENDAR + 1, 2**31 - 1, 2**63 - 1])
def test_an_hour_beyond_the_calendar_is_written_as_its_number(number):
    assert hour_to_text(number) == str(number)
