"""Times: numbers in four units, and ISO 8601."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.syntax.times import not_times, seconds_of, seconds_of_text

UNITS = (1, 10**3, 10**6, 10**9)
#: From 1990 to 2199.
SECONDS = st.integers(631_152_000, 7_258_118_399)


@given(SECONDS, st.sampled_from(UNITS), st.floats(0, 1, exclude_max=True))
def test_an_integer_is_a_time_in_the_unit_that_its_size_tells(seconds, unit, fraction):
    time = seconds * unit + int(fraction * unit)
    assert seconds_of(np.array([time])).tolist() == [seconds]
    assert not_times(seconds_of(np.array([time]))) is None


@given(SECONDS, st.sampled_from(UNITS[:3]), st.integers(0, 999_999))
def test_a_number_with_a_fraction_keeps_it(seconds, unit, micros):
    (found,) = seconds_of(np.array([(seconds * 10**6 + micros) * unit / 10**6]))
    assert found // 3600 == seconds // 3600
    assert abs(found - seconds - micros / 10**6) < 2e-6


@pytest.mark.parametrize("type_", [np.int64, np.float64])
def test_units_may_be_mixed(type_):
    mixed = np.array([1_440_007_200 * unit for unit in UNITS] + [5, -5], type_)
    assert seconds_of(mixed).tolist() == [1_440_007_200] * 4 + [5, -5]
    assert not_times(seconds_of(mixed)).tolist() == [False] * 4 + [True] * 2


def test_none_have_no_unit():
    assert len(seconds_of(np.array([], np.float64))) == 0
    assert not_times(np.array([], np.int64)) is None


@pytest.mark.parametrize(
    "number", [float("nan"), float("inf"), -float("inf"), 1e300, 10.0**11, 7_258_118_400.0, 631_151_999.9, 0.0]
)
def test_other_numbers_are_no_times(number):
    assert not_times(np.array([number])).tolist() == [True]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2015-08-19T18:00:00Z", 1_440_007_200.0),
        ("2015-08-19t18:00:00.25+00:00", 1_440_007_200.25),
        ("20150819T180000Z", 1_440_007_200.0),
        ("2015-08-19 20:00+0200", 1_440_007_200.0),
        ("2015-W34-3T18", 1_440_007_200.0),
        ("2015-08-19 18:00:00 UTC", 1_440_007_200.0),
        ("2015-08-19 18:00:00.25 UTC", 1_440_007_200.25),
        *[(text, None) for text in ("2015-08-19", "20150819", "2015W34", "2015-W34-3", "18:00", "", "noon", "2015-08-19T")],
        ("2015-08-19T18:00:00Z\n", None),
        ("2015-02-30T18:00:00Z", None),
        ("2015-08-19T18:00:00Z UTC", None),
        ("2015-08-19T18:00:00+02:00 UTC", None),
        ("2015-08-19 UTC", None),
    ],
)
def test_a_text_is_a_time_if_it_has_a_date_and_a_time_of_day(text, seconds):
    assert seconds_of_text(text) == seconds
