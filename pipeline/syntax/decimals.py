"""Decimals as floating-point numbers, so that no time moves into the next hour.

A decimal becomes the nearest float64, as everywhere, unless that is whole and beyond the decimal: 1700002799.99999999 seconds would
become 1700002800, the next hour's first. Then it becomes the float64 before that.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

#: From here on, a floating-point number stands for several integers.
EXACT_BELOW = 2**53
#: A number of fewer digits, with its point, is the only such number that its float64 stands for.
_MANY_DIGITS = re.compile(rb"[0-9.]{16}")
_FEW_DIGITS = r"^[ \t]*-?([0-9.]{1,15}|[0-9]{1,15}\.0*)[ \t]*$"


def float_of(number: str | int) -> float:
    """A decimal, or an integer, as a float.

    Raises:
        OverflowError: The integer is too large.
    """
    nearest = float(number)
    if not nearest or not nearest.is_integer():
        return nearest
    exact = Decimal(number.strip(" \t") if isinstance(number, str) else number)
    is_beyond = exact < nearest if nearest > 0 else exact > nearest
    return math.nextafter(nearest, 0.0) if is_beyond else nearest


def floats_of(numbers: pa.StringArray) -> pa.DoubleArray:
    """Decimals, or nulls, as floats; there may be blanks around them."""
    floats = pc.utf8_trim(numbers, " \t").cast(pa.float64())
    is_whole = pc.equal(floats, pc.trunc(floats))
    return _corrected(floats, numbers, pc.and_not(is_whole, pc.match_substring_regex(numbers, _FEW_DIGITS)))


def floats_of_integers(numbers: pa.Array) -> pa.DoubleArray:
    """Integers, or nulls, as floats."""
    floats = numbers.cast(pa.float64(), safe=False)
    return _corrected(floats, numbers, pc.greater_equal(pc.abs(floats), EXACT_BELOW))


def _corrected(floats: pa.DoubleArray, numbers: pa.Array, suspects: pa.BooleanArray) -> pa.DoubleArray:
    """The floats, and for the suspects among the numbers what `float_of` says."""
    suspects = suspects.fill_null(False)
    if not pc.any(suspects).as_py():
        return floats
    return pc.replace_with_mask(
        floats, suspects, pa.array(map(float_of, numbers.filter(suspects).to_pylist()), pa.float64())
    )


def may_be_beyond(floats: pa.ChunkedArray, text: bytes) -> bool:
    """Whether some floats, each the nearest to a number that stands in a text, may be whole and beyond that number."""
    if not pc.any(pc.equal(floats, pc.trunc(floats))).as_py():
        return False
    return _MANY_DIGITS.search(text) is not None or pc.any(pc.greater_equal(pc.abs(floats), EXACT_BELOW)).as_py() is True
