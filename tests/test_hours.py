"""How an hour is read and written."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.hours import hour_to_text, parse_hour

LAST_OF_THE_CALENDAR = 70389527  # 9999-12-31T23


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("1", 1),
        ("498752", 498752),
        ("+7", 7),
        ("0012", 12),
        (str(2**63 - 1), 2**63 - 1),
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
def test_an_hour_is_an_integer_or_a_utc_time(text, hour):
    assert parse_hour(text) == hour


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "neither an integer"),
        ("now", "neither an integer"),
        ("1.0", "neither an integer"),
        ("1e3", "neither an integer"),
        ("1_000", "neither an integer"),
        (" 1", "neither an integer"),
        ("1\n", "neither an integer"),
        ("0x10", "neither an integer"),
        ("2026-11-24", "neither an integer"),
        ("2026-11-24T8", "neither an integer"),
        ("2026-11-24T08:30", "neither an integer"),
        ("2026-11-24T08:00:01", "neither an integer"),
        ("2026-11-24T08+01:00", "neither an integer"),
        ("24.11.2026 08", "neither an integer"),
        ("2026-02-30T08", "not on the calendar"),
        ("2026-13-01T08", "not on the calendar"),
        ("2026-11-24T25", "not on the calendar"),
        ("0", "must be positive"),
        ("-1", "must be positive"),
        ("1970-01-01T00", "must be positive"),
        ("1969-12-31T23", "must be positive"),
        (str(2**63), "fit into 64 bits"),
        pytest.param("9" * 5000, "fit into 64 bits", id="more digits than Python converts"),
    ],
)
def test_anything_else_is_refused_with_its_reason(text, complaint):
    with pytest.raises(UsageError, match=complaint):
        parse_hour(text)


@given(st.text() | st.text("0123456789+-") | st.tuples(*[st.integers(0, 99)] * 5).map("%02d%02d-%02d-%02dT%02d".__mod__))
def test_any_text_is_a_positive_hour_or_refused(text):
    try:
        hour = parse_hour(text)
    except UsageError:
        return
    assert 0 < hour < 2**63


@given(st.integers(1, LAST_OF_THE_CALENDAR))
def test_an_hour_is_written_as_the_utc_time_at_which_it_starts_and_read_back(hour):
    text = hour_to_text(hour)
    assert text == f"{datetime.fromtimestamp(hour * 3600, UTC):%Y-%m-%dT%H}"
    assert parse_hour(text) == hour


@pytest.mark.parametrize("hour", [LAST_OF_THE_CALENDAR + 1, 2**40, 2**63 - 1])
def test_an_hour_beyond_the_calendar_is_written_as_its_number(hour):
    assert hour_to_text(hour) == str(hour)
