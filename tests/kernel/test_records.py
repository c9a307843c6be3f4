"""Columns on their way to flow records: the kernel against ten lines of numpy."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.formats.record import is_answer
from pipeline.kernel.records import exchanged_codes, exchanged_numbers
from pipeline.syntax.times import hours_of, not_times, seconds_of

_INTEGERS = st.integers(-(2**63), 2**63 - 1)
_TIME = st.builds(
    lambda second, unit: second * unit, st.integers(631_152_000, 7_258_118_399), st.sampled_from([1, 10**3, 10**6, 10**9])
)
_EDGE = st.builds(
    lambda hour, unit, more: hour * 3600 * unit + more,
    st.integers(175_319, 175_330) | st.integers(2_016_140, 2_016_145),
    st.sampled_from([1, 10**3, 10**6, 10**9]),
    st.integers(-2, 2),
)
_PORT = st.integers(-1, 65_536) | st.sampled_from([0, 1, 1023, 1024, 32_767, 32_768])


def _hours_by_numpy(times: np.ndarray) -> np.ndarray | None:
    seconds = seconds_of(times)
    return None if not_times(seconds) is not None else np.floor(seconds / 3600).astype(np.int64)


def _agree(times: np.ndarray) -> bool:
    found, expected = hours_of(times), _hours_by_numpy(times)
    return found is expected if found is None or expected is None else found.tolist() == expected.tolist()


@given(st.lists(_TIME | _EDGE | _INTEGERS))
@example([1_795_501_126_004, 1_795_501_126_004 + 3_600_000, 1_795_501_126, 5])
def test_hours_of_integers_are_those_of_numpy(times: list[int]) -> None:
    fit = [time for time in times if -(2**63) <= time < 2**63]
    assert _agree(np.array(fit, np.int64))


@given(st.lists((_TIME | _EDGE).map(float) | st.floats()))
def test_hours_of_decimals_are_those_of_numpy(times: list[float]) -> None:
    assert _agree(np.array(times, np.float64))


@given(st.lists(st.tuples(st.integers(498_000, 498_010), st.floats(-1e-6, 1e-6) | st.floats(0, 3600)), max_size=50))
def test_a_decimal_at_the_edge_of_an_hour_is_of_the_hour_that_numpy_gives_it(times: list[tuple[int, float]]) -> None:
    assert _agree(np.array([hour * 3600 + more for hour, more in times], np.float64))


def test_one_that_is_no_time_leaves_all_without_hours() -> None:
    assert hours_of(np.array([1_795_501_126, 0])) is None
    assert hours_of(np.array([1_795_501_126, np.nan])) is None
    assert hours_of(np.array([], np.int64)).tolist() == []


@given(st.lists(st.tuples(_PORT | _INTEGERS, _PORT | _INTEGERS, st.integers(0, 255))), st.booleans())
def test_answers_are_told_by_flags_and_then_by_ports(rows: list[tuple[int, int, int]], has_flags: bool) -> None:
    src, dst, flags = (np.array([row[i] for row in rows], np.int64) for i in range(3))
    by_ports = ((src < 1024) | (dst >= 32_768)) & (src < dst) & (src >= 0)
    opened = flags & 0x12
    by_flags = (opened == 0x12) | (((opened & 0x02) == 0) & by_ports)
    found = is_answer(src, dst, flags if has_flags else None)
    assert found.tolist() == (by_flags if has_flags else by_ports).tolist()


@given(st.lists(st.tuples(st.booleans(), st.integers(-1, 99), st.integers(-1, 99), _INTEGERS, _INTEGERS)))
def test_cells_are_exchanged_where_the_mask_says_so(rows: list[tuple[bool, int, int, int, int]]) -> None:
    mask = np.array([row[0] for row in rows], bool)
    codes = [np.array([row[i] for row in rows], np.int32) for i in (1, 2)]
    numbers = [np.array([row[i] for row in rows], np.int64) for i in (3, 4)]
    first, second = exchanged_codes(mask, *codes, shift=100)
    moved = np.where(codes[1] < 0, codes[1], codes[1] + 100)
    assert first.tolist() == np.where(mask, moved, codes[0]).tolist()
    assert second.tolist() == np.where(mask, codes[0], moved).tolist()
    first, second = exchanged_numbers(mask, *numbers)
    assert first.tolist() == np.where(mask, numbers[1], numbers[0]).tolist()
    assert second.tolist() == np.where(mask, numbers[0], numbers[1]).tolist()


@pytest.mark.parametrize("step", [2, -1])
def test_columns_with_gaps_between_their_cells_are_read_all_the_same(step: int) -> None:
    times = np.arange(1_795_501_126, 1_795_601_126, 1000)[::step]
    assert _agree(times)
    mask = times % 3000 == 126
    assert exchanged_numbers(mask, times, times + 1)[0].tolist() == np.where(mask, times + 1, times).tolist()
