"""Decimals as floating-point numbers: the nearest, but never a whole one beyond the decimal."""

import math
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.syntax.decimals import float_of, floats_of, floats_of_integers, may_be_beyond
from pipeline.syntax.times import seconds_of

#: Just before the hour 472223, or at its start, in each of the units.
END = 472_223 * 3600
BEFORE = [
    f"{END - 1}.{'9' * 7}",
    f"{END - 1}.{'9' * 30}",
    f"{END * 1000 - 1}.{'9' * 5}",
    f"{END * 10**6 - 1}.9",
    f"{END * 10**9 - 1}",
    f"{END * 10**9 - 1}.5",
    "1.70000279999999999e9",
]
AT = [f"{END}", f"{END}.0", f"{END}.{'0' * 20}", f"{END}.00000000001", f"{END * 10**9}", "1.7000028e9", f"{END * 1000}.0"]


def hour_of(number):
    return math.floor(seconds_of(pa.array([number], pa.float64()).to_numpy())[0] / 3600)


@pytest.mark.parametrize("text", BEFORE)
def test_the_last_moment_of_an_hour_is_in_that_hour(text):
    assert hour_of(float_of(text)) == 472_222


@pytest.mark.parametrize("text", AT)
def test_the_first_is_in_the_next(text):
    assert hour_of(float_of(text)) == 472_223


@given(st.integers(0, 2**70), st.integers(0, 30))
def test_none_is_whole_and_beyond_its_decimal(digits, places):
    whole, fraction = divmod(digits, 10**places)
    text, exact = f"{whole}.{fraction:0{places}}" if places else f"{whole}", Fraction(digits, 10**places)
    found, nearest = float_of(text), float(text)
    assert found == nearest or (nearest.is_integer() and found == math.nextafter(nearest, 0))
    assert found <= exact or not found.is_integer()
    assert float_of("-" + text) == -found


@given(st.integers(631_152_000, 7_258_118_399), st.sampled_from([1, 10**3, 10**6, 10**9]), st.integers(1, 10**30))
def test_the_hour_is_that_of_the_exact_decimal(second, unit, before):
    """In each unit, at any distance before a second's end, from 1990 to 2200."""
    exact = Fraction(second + 1) * unit - Fraction(min(before, 10**21 * unit - 1), 10**21)
    scaled = math.floor(exact * 10**21)
    text = f"{scaled // 10**21}.{scaled % 10**21:021}"
    assert hour_of(float_of(text)) == math.floor(exact / unit) // 3600


@given(st.lists(st.one_of(st.none(), st.sampled_from(BEFORE + AT), st.from_regex(r"[ \t]*-?[0-9]{1,20}(\.[0-9]{1,20})?[ ]*", fullmatch=True))))  # fmt: skip
def test_many_are_as_each(texts):
    found = floats_of(pa.array(texts, pa.string())).to_pylist()
    assert found == [None if text is None else float_of(text) for text in texts]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_so_are_many_integers(numbers):
    found = floats_of_integers(pa.array(numbers, pa.int64())).to_pylist()
    assert found == [None if number is None else float_of(number) for number in numbers]


@given(st.from_regex(r"[0-9]{1,20}(\.[0-9]{1,20})?", fullmatch=True))
def test_what_is_not_the_nearest_is_suspected(text):
    assert float(text) == float_of(text) or may_be_beyond(pa.chunked_array([[float(text)]]), text.encode())


def test_times_to_the_second_or_a_fraction_of_it_are_not_suspected():
    assert not may_be_beyond(pa.chunked_array([[1700002800.0]]), b"1700002800 192.168.100.200")
    assert not may_be_beyond(pa.chunked_array([[1700002799.25]]), b"1700002799.2500000000")
    assert not may_be_beyond(pa.chunked_array([pa.array([None], pa.float64())]), b"1700002799.2500000000")
