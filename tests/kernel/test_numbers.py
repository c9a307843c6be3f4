"""Columns of numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.kernel.numbers import distinct

CLOSE = st.integers(-3000, 3000)


@given(st.lists(CLOSE | st.sampled_from([-(2**63), 2**63 - 1]), max_size=30), st.sampled_from([0, 495_000]))
def test_the_distinct_values_are_those_of_a_set_in_order(values, more):
    values = [value + more if abs(value) < 2**40 else value for value in values]
    assert distinct(np.array(values, np.int64)).tolist() == sorted(set(values))
