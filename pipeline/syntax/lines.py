"""Text line by line: the regular lines by the kernel, the irregular ones by whatever reads them exactly."""

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
        parser: Reads the regular lines.
        names: Of the columns that the parser gives.
        block: The lines.
        otherwise: Reads the irregular lines; its batches have the same columns. Their rows come behind the regular ones.
    """
    lines = parser.parse(block.data, block.survey)
    if lines is None or 2 * len(lines.odd) > lines.line_count:  # to take so many out does not pay
        return replace(otherwise(block), raw_bytes=block.nbytes)
    rows = block.numbers(lines.line_count)
    regular = Batch(pa.table(lines.columns, names=list(names)), rows, block.raw_of, raw_bytes=block.nbytes)
    if not len(lines.odd):
        return regular
    return replace(regular, rows=np.delete(rows, lines.odd)).joined_by(otherwise(block.lines(lines.odd)))
