"""Blocks of several files as one, so that what a parser costs for each block is paid once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.syntax.batch import RowNumbers
from pipeline.syntax.blocks import TextBlock


@dataclass(frozen=True)
class GatheredBlock:
    """Blocks of several files as one.

    Attributes:
        block: All their lines, numbered from 1.
        starts: The number of each part's first line there; and one more, of the line behind the last.
        first_lines: The number of each part's first line in its own file.
    """

    block: TextBlock
    starts: RowNumbers
    first_lines: RowNumbers

    def place(self, rows: RowNumbers) -> tuple[npt.NDArray[np.intp], RowNumbers]:
        """From row numbers of the whole block: which part each is from, from 0 on, and its number in its own file."""
        parts = np.searchsorted(self.starts, rows, side="right") - 1
        return parts, rows - self.starts[parts] + self.first_lines[parts]


def gathered(blocks: Sequence[TextBlock]) -> GatheredBlock:
    """Blocks of one kind, none of which must stand alone, as one."""
    data = b"".join([block.data if block.data.endswith(b"\n") else block.data + b"\n" for block in blocks])
    starts = np.cumsum([1, *(block.line_count for block in blocks)])
    return GatheredBlock(type(blocks[0])(data, 1), starts, np.array([block.first_line for block in blocks]))
