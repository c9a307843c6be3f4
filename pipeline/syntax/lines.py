"""Text line by line: the regular lines by the kernel, the irregular ones by whatever reads them exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from pipeline.errors import UnreadableSource
from pipeline.kernel.columns import LineParser
from pipeline.syntax.batch import Batch
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.compression import find_packed


def parse_lines(
    parser: LineParser, names: Sequence[str], block: TextBlock, otherwise: Callable[[TextBlock], Batch]
) -> Batch:
    """One batch with all the block's records.

    Args:
        parser: Reads the regular lines.
        names: Of the columns that the parser gives.
        block: The lines.
        otherwise: Reads the irregular lines; its batches have the same columns. Their rows come behind the regular ones.

    Raises:
        UnreadableSource: Among the irregular lines is a packed file, which has more records than lines.
    """
    lines = parser.parse(block.data, lambda: block.survey)
    if lines is not None:
        block.counted(lines.line_count)
    if lines is None or 2 * len(lines.odd) > lines.line_count:  # to take so many out does not pay
        refuse_packed(block)
        return replace(otherwise(block), raw_bytes=block.nbytes)
    rows = block.numbers(lines.line_count)
    regular = Batch(pa.table(lines.columns, names=list(names)), rows, block.raw_of, raw_bytes=block.nbytes)
    if not len(lines.odd):
        return regular
    odd = block.lines(lines.odd)
    refuse_packed(odd)
    return replace(regular, rows=np.delete(rows, lines.odd)).joined_by(otherwise(odd))


def refuse_packed(lines: TextBlock) -> None:
    """Refuses a packed file that was joined to text: a few lines of it have all its records.

    Raises:
        UnreadableSource: There is one among some lines.
    """
    if found := find_packed(lines.data):
        position, codec = found
        number = int(lines.numbers(lines.line_count)[lines.data.count(b"\n", 0, position)])
        raise UnreadableSource(
            f"line {number}: a {codec} file lies behind text; ingest the files that were joined here one by one"
        )
