"""Local times: what the clocks of a zone showed, against `datetime`."""

import math
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.syntax.localtimes import local_times

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata", "America/New_York"]


def read(*texts, zone=BERLIN):
    return local_times(pa.array(texts, pa.string()).dictionary_encode(), zone)


def seconds(text, zone=UTC):
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-26 08:00:00",
        "2026-11-26T08:00:00",
        "2026/11/26 08:00:00",
        "2026/11/26T08:00:00.000",
        "2026-11-26 08:00:00.0",
    ],
)
def test_a_local_time_is_written_in_these_ways(text):
    assert read(text).seconds.tolist() == [seconds("2026-11-26T07:00:00")]


def test_texts_of_several_lengths_stand_beside_each_other():
    found = read("2026-11-26 08:00:00", None, "2026-11-26 08:00:00.25", "x", "2026-11-26 08:00:00.5", zone=UTC)
    start = seconds("2026-11-26T08:00:00")
    assert np.array_equal(found.seconds, [start, math.nan, start + 0.25, math.nan, start + 0.5], equal_nan=True)
    assert found.unfit.tolist() == [False, False, False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "0000-00-00 00:00:00.000", "2026-11-26", "2026-11-26 08", "2026-11-26 08:00", "2026-11-26 08:00:00."),
        *("2026-02-29 00:00:00", "2026-13-01 00:00:00", "2026-00-01 00:00:00", "2026-11-26 24:00:00", "2026-11-26 08:60:00"),
        *(
            "2026-11/26 08:00:00",
            "2026-11-26_08:00:00",
            "2026-11-26 08-00-00",
            "0000-01-01 00:00:00",
            "2026-11-26 08:00:00.x",
        ),
        *("2026-11-26 08:00:00,5", "2026-11-26 08:00:00.1234567890", "٢٠٢٦-11-26 08:00:00"),
    ],
)
def test_nothing_else_is_a_time(text):
    found = read(text)
    assert found.unfit.tolist() == [True]
    assert math.isnan(found.seconds[0])


def test_a_fraction_is_cut_to_microseconds_so_that_no_time_moves_into_the_next_hour():
    assert read("2026-11-26 08:59:59.999999999", zone=UTC).seconds[0] < seconds("2026-11-26T09:00:00")


def test_an_offset_of_its_own_wins():
    found = read("2026-11-26T08:00:00+05:00", "2026-11-26T08:00:00Z", "2026-11-26 08:00:00.5-0330")
    assert found.seconds.tolist() == [
        seconds("2026-11-26T03:00:00"),
        seconds("2026-11-26T08:00:00"),
        seconds("2026-11-26T11:30:00.5"),
    ]


def test_a_number_since_1970_needs_no_zone():
    texts = ["1473524255.661", "1473524255", "1473524255661", "147352425566.1", "1473524255.662"]
    seconds_of_texts = [1473524255.661, 1473524255, 1473524255.661, 147352425.5661, 1473524255.662]
    assert read(*texts).seconds.tolist() == seconds_of_texts


def test_of_the_hour_that_autumn_has_twice_the_first_is_taken_and_named():
    found = read("2024-10-27 01:59:59", "2024-10-27 02:00:00", "2024-10-27 02:59:59", "2024-10-27 03:00:00")
    start = seconds("2024-10-26T23:59:59")
    assert found.seconds.tolist() == [start, start + 1, start + 3600, start + 2 * 3600 + 1]
    assert {hour: mask.tolist() for hour, mask in found.shared.items()} == {"2024-10-27T02": [False, True, True, False]}


def test_the_hour_that_spring_skips_is_no_time_of_the_zone():
    found = read("2024-03-31 01:59:59", "2024-03-31 02:00:00", "2024-03-31 02:59:59.9", "2024-03-31 03:00:00")
    assert found.skipped.tolist() == [False, True, True, False]
    assert not found.unfit.any()
    assert found.seconds[3] - found.seconds[0] == 1


def test_clocks_that_are_set_within_an_hour():
    found = read("2024-04-07 01:29:59", "2024-04-07 01:30:00", "2024-04-07 01:59:59", zone=ZoneInfo("Australia/Lord_Howe"))
    assert found.shared["2024-04-07T01"].tolist() == [False, True, True]


def test_a_fixed_offset_is_a_zone():
    assert read("2026-11-26 08:00:00", zone=timezone(timedelta(hours=2))).seconds.tolist() == [
        seconds("2026-11-26T06:00:00")
    ]


def test_a_column_without_values():
    assert np.isnan(read(None, None).seconds).all()
    assert not len(read().seconds)


def test_a_part_of_a_column():
    column = pa.array(["2020-01-01 00:00:00", "2026-11-26 08:00:00"], pa.string())[1:].dictionary_encode()
    assert local_times(column, UTC).seconds.tolist() == [seconds("2026-11-26T08:00:00")]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.lists(
        st.datetimes(min_value=datetime.fromisoformat("1991-01-01"), max_value=datetime.fromisoformat("2036-01-01")),
        min_size=1,
        max_size=5,
    ),
)
def test_any_time_is_what_datetime_makes_of_it(name, moments):
    zone = ZoneInfo(name)
    found = read(*(moment.isoformat(" ", "microseconds") for moment in moments), zone=zone)
    for moment, got, skipped in zip(moments, found.seconds, found.skipped, strict=True):
        there = moment.replace(tzinfo=zone, fold=0)  # of two moments that share a time the first is taken
        exists = there.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment
        assert skipped == (not exists)
        assert not exists or got == pytest.approx(there.timestamp(), abs=1e-6)
