"""Blocks of several files as one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.csvrecords import CsvBlock
from pipeline.syntax.gathered import gathered

blocks = st.builds(
    TextBlock,
    st.lists(st.sampled_from(["", "a", "bc"]), min_size=1, max_size=4).map("\n".join).map(str.encode),
    st.integers(1, 9),
).filter(lambda block: block.data)


@given(st.lists(blocks, min_size=1, max_size=5))
def test_each_line_is_found_again_in_its_own_file(parts):
    whole = gathered(parts)
    numbers = np.arange(1, whole.block.line_count + 1)
    found = [
        (part, number, whole.block.line(row))
        for row, part, number in zip(numbers.tolist(), *(a.tolist() for a in whole.place(numbers)), strict=True)
    ]
    assert found == [
        (i, number, block.line(number))
        for i, block in enumerate(parts)
        for number in range(block.first_line, block.first_line + block.line_count)
    ]


def test_the_blocks_kind_is_kept():
    assert isinstance(gathered([CsvBlock(b"a\n", 2), CsvBlock(b"b", 2)]).block, CsvBlock)


@pytest.mark.parametrize(
    ("block", "stands_alone"),
    [
        (TextBlock(b"a b\n", 1), False),
        (TextBlock(b'"a\n', 1), False),
        (TextBlock(b"a\r\n", 1), True),
        (TextBlock(b"\0\n", 1), True),
        (CsvBlock(b"a,b\n", 1), False),
        (CsvBlock(b'"a\n', 1), True),
    ],
)
def test_bytes_that_change_how_a_whole_block_is_read_stand_alone(block, stands_alone):
    assert block.stands_alone == stands_alone
