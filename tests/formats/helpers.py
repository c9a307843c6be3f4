"""What the tests of the readers share: raw bytes read to their end, and what came of them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from pipeline import formats
from pipeline.formats import aws
from pipeline.formats.apps import AppMap
from pipeline.formats.format import Piece, ReadContext
from pipeline.options import ReadOptions
from pipeline.schema import FLOW_SCHEMA
from pipeline.syntax import blocks, jsontext
from pipeline.syntax.batch import Batch, Reject
from pipeline.syntax.cells import Column, Kind

#: One column of each kind, for the tests of a syntax.
COLUMNS = [Column("n", Kind.INTEGER), Column("t", Kind.TEXT), Column("s", Kind.SECONDS)]

INTEGER_RULE = "must be an integer"
SECONDS_RULE = "must be a time, in seconds since 1970 or ISO 8601"
RANGE_RULE = "must be a time between 1990 and 2200"
TEXT_RULE = "must be text"
SIZE_RULE = "must fit into 64 bits"
UTF8_RULE = "must be valid UTF-8"
OBJECT_RULE = "must be a JSON object"
ONCE_RULE = "must be there once"
WITHIN_RULE = "must be within JSON objects"
IN_TEXT_RULE = "must be an integer, bare or as a text"
EXACT_RULE = "must be an integer that a floating-point number holds exactly"
MISSING_RULE = "must not be missing"
ADDRESS_RULE = "must be an IP address"


@dataclass(frozen=True)
class Outcome:
    """What came of a source.

    Attributes:
        records: (row number, cell, …) of each record that is still in, in order.
        rejects: The others, by row number.
        ignored: How many were left out, by reason.
        read: The sum of the batches' `read`.
        ignored_bytes: The bytes of those that were left out, by reason.
    """

    records: list[tuple[Any, ...]]
    rejects: list[Reject]
    ignored: Counter[str]
    read: int
    ignored_bytes: Counter[str]

    @property
    def cells(self) -> list[tuple[Any, ...]]:
        return [cells for _, *rest in self.records for cells in [tuple(rest)]]

    @property
    def rows(self) -> list[int]:
        return [row for row, *_ in self.records]

    @property
    def faults(self) -> list[tuple[int, str, str]]:
        return [(reject.row, reject.field, reject.rule) for reject in self.rejects]

    @property
    def raws(self) -> dict[int, str]:
        return {reject.row: reject.raw for reject in self.rejects}


def gather(pieces: Iterable[Piece]) -> Outcome:
    """Reads pieces to their end, each parsed alone; checks that each has a row number for each record, and rejects that can be stored."""
    records: list[tuple[Any, ...]] = []
    rejects: list[Reject] = []
    ignored: Counter[str] = Counter()
    ignored_bytes: Counter[str] = Counter()
    read = 0
    for batch in batches_of(pieces):
        columns = [column.to_pylist() for column in batch.table.columns]
        records += zip(batch.rows.tolist(), *columns, strict=True)
        for reject in batch.rejects:
            f"{reject.value}{reject.raw}".encode()
        rejects += batch.rejects
        ignored += Counter({reason: len(left) for reason, left in batch.left_out.items()})
        ignored_bytes += Counter({reason: sum(left.sizes.tolist()) for reason, left in batch.left_out.items()})
        read += batch.read
    # A batch need not have its rows in the file's order: the lines that are not plain come last.
    records.sort(key=lambda record: record[0])
    return Outcome(records, sorted(rejects, key=lambda reject: reject.row), ignored, read, ignored_bytes)


def batches_of(pieces: Iterable[Piece]) -> Iterator[Batch]:
    """The batches of some pieces, each parsed alone."""
    return (piece if isinstance(piece, Batch) else piece[0].parse(piece[1]) for piece in pieces)


def raw_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def read(text: str | bytes, name: str = "raw", option: str = "auto", apps: AppMap | None = None, **options: Any) -> Outcome:
    """Reads a raw file as `ingest` does: its format found out, then read to its end, into flow records."""
    settings = options.pop("settings", {})
    if "aws_fields" in options:
        settings = settings | {aws.OWN_FIELDS.name: " ".join(options.pop("aws_fields"))}
    known, stream = formats.open_source(io.BytesIO(raw_bytes(text)), name, option, settings)
    context = ReadContext(ReadOptions(format=option, settings=settings, **options), apps or AppMap())
    return gather(_flows(known.read(stream, context)))


def _flows(pieces: Iterator[Piece]) -> Iterator[Batch]:
    for batch in batches_of(pieces):
        assert batch.table.schema == FLOW_SCHEMA
        yield batch


def format_of(text: str | bytes, name: str = "raw", option: str = "auto") -> str:
    return formats.open_source(io.BytesIO(raw_bytes(text)), name, option)[0].name


@contextmanager
def blocks_of(block_bytes: int) -> Iterator[None]:
    """Lets the readers cut text into blocks of about this size, so that a few lines cross many borders."""
    sizes = [(blocks, "_TEXT_BYTES"), (jsontext, "BLOCK_BYTES"), (jsontext, "_MOST_BYTES_AT_ONCE")]
    with ExitStack() as stack:
        for module, size in sizes:
            stack.enter_context(mock.patch.object(module, size, block_bytes))
        yield


def comparable(outcome: Outcome) -> tuple[Any, ...]:
    """An outcome in a form in which equal ones are equal: NaN as itself, and -0.0 as 0.0."""
    records = [tuple(repr(cell + 0.0) if isinstance(cell, float) else cell for cell in record) for record in outcome.records]
    return records, outcome.rejects, outcome.ignored, outcome.read
