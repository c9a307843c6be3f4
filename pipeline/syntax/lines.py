"""Text line by line: the plain lines by the kernel, and the others by whatever reads them exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from pipeline.kernel.columns import LineParser
from pipeline.syntax.batch import Batch
from pipeline.syntax.blocks import TextBlock


def parse_lines(
    parser: LineParser, names: Sequence[str], block: TextBlock, otherwise: Callable[[TextBlock], Batch]
) -> Batch:
    """One batch with all the block's records.

    Args:
        parser: Reads the plain lines.
        names: Of the columns that it gives.
        block: The lines.
        otherwise: Reads the lines that are not plain; its batches have the same columns.
    """
    lines = parser.parse(block.data, block.line_count)
    if lines is None or 2 * len(lines.odd) > lines.line_count:  # few are plain: it does not pay to take them out
        return replace(otherwise(block), raw_bytes=block.nbytes)
    rows = block.numbers(lines.line_count)
    plain = Batch(pa.table(lines.columns, names=list(names)), rows, block.raw_of, raw_bytes=block.nbytes)
    if not len(lines.odd):
        return plain
    return replace(plain, rows=np.delete(rows, lines.odd)).joined_by(otherwise(block.lines(lines.odd)))
