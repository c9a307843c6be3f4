"""What a GET asks, and what it gets: the totals of hours, of what is in `flows/` and what is pending, each record once.

No lock keeps a run from publishing while a GET reads. Instead each hour is read between two looks at which pending
segments are in `flows/` already: where the looks agree, it is known what the partition had, and what must be added.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pyarrow as pa

from pipeline.flowstore import FlowStore
from pipeline.query.sums import literally, rows_with
from pipeline.scalars import INT64_MAX, is_utf8
from pipeline.schema import PARTITION_ORDER, SUMS
from pipeline.service import limits
from pipeline.service.body import NAMES, Problem, Unfit
from pipeline.service.pending import Key, Pending, Segment, Sums
from pipeline.store.partitions import read_in_pieces

_INTEGER = re.compile(r"[+-]?[0-9]+")
_FILTERS = PARTITION_ORDER

_Total: Any = msgspec.defstruct("Total", [(name, Any) for name in NAMES], gc=False)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Question:
    """What a GET asks.

    Attributes:
        hour: The hour, or the first of a range.
        until: The hour behind the last of the range; None for one hour.
        filters: The columns of the key whose values are given.
    """

    hour: int
    until: int | None
    filters: Mapping[str, Any]


def parse_question(query_string: bytes) -> Question:
    """Reads a GET's query string.

    Raises:
        Unfit: It cannot be answered.
    """
    given: dict[str, str] = {}
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, errors="surrogateescape"):
        if name in given:
            raise Unfit([Problem(f"The {name} value must be there once", field=name)])
        if name not in ("hour", "until", *_FILTERS):
            raise Unfit([Problem(f"The parameters are hour, until, {', '.join(_FILTERS)}; there is no {name!r}")])
        given[name] = value
    if "hour" not in given:
        raise Unfit([Problem("Missing hour parameter in the request query_params", field="hour")])
    hour = _positive("hour", given["hour"])
    until = _positive("until", given["until"]) if "until" in given else None
    if until is not None and until <= hour:
        raise Unfit(
            [Problem("The until value must be larger than the hour value: it is the first hour left out", field="until")]
        )
    filters = {name: given[name] for name in _FILTERS if name in given}
    for name, value in filters.items():
        if not is_utf8(value):
            raise Unfit([Problem(f"The {name} value must be valid UTF-8", field=name)])
    return Question(hour, until, filters)


def _positive(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise Unfit([Problem(f"The {name} value must be an integer", field=name)])
    digits = text.lstrip("+-").lstrip("0")
    if text.startswith("-") or not digits:
        raise Unfit([Problem(f"The {name} value must be positive", field=name)])
    if len(digits) > 19 or int(digits) > INT64_MAX:  # Python refuses to convert thousands of digits
        raise Unfit([Problem(f"The {name} value must fit into 64 bits", field=name)])
    return int(digits)


#: What pending segments have for one hour.
Additions = list[tuple[Segment, list[tuple[Key, Sums]]]]


async def additions(pending: Pending, hour: int) -> Additions:
    """What is pending for an hour, as it is now. In the event loop's thread, which alone changes it."""
    return [(segment, await segment.totals(hour)) for segment in list(pending.segments) if hour in segment.bytes_by_hour]


def totals_of(store: FlowStore, question: Question, hour: int, added: Additions) -> Iterator[bytes]:
    """The totals of an hour as JSON objects with the six fields, sorted by key. In any thread.

    Args:
        store: The store.
        question: Its filters are heeded.
        hour: The hour.
        added: What `additions` gave.

    Returns:
        Pieces, to be joined by commas; none where nothing is. The partition is opened, and its first rows are read, before the
        first is asked for; taking a later one may raise StoreDamaged.

    Raises:
        StoreDamaged: The partition cannot be read.
    """
    published: Iterator[pa.RecordBatch] = iter(())
    moved = None
    while moved != (now_moved := [segment.is_moved(store.locations, hour) for segment, _ in added]):
        moved = now_moved
        published = read_in_pieces(store.locations, hour, limits.PIECE_ROWS)
    found = _filtered(published, question)
    wanted = [(position, question.filters[name]) for position, name in enumerate(_FILTERS) if name in question.filters]
    rows = [
        (key, sums)
        for (_, totals), is_moved in zip(added, moved, strict=True)
        if not is_moved
        for key, sums in totals
        if all(key[position] == value for position, value in wanted)
    ]
    return _merged_to_json(hour, found, rows) if rows else _published_to_json(hour, found)


def _filtered(published: Iterator[pa.RecordBatch], question: Question) -> Iterator[pa.RecordBatch]:
    """The rows that pass the question's filters, in pieces whose text is not much longer than it usually is."""
    filters = [((name,), (literally(value),)) for name, value in question.filters.items()]
    for batch in published:
        found = rows_with(pa.Table.from_batches([batch]), filters).combine_chunks().to_batches() if filters else [batch]
        for part in found:
            rows = max(1, part.num_rows * limits.PIECE_BYTES // max(part.nbytes, limits.PIECE_BYTES))
            for start in range(0, part.num_rows, rows):
                yield part.slice(start, rows)


def _published_to_json(hour: int, published: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    for piece in published:
        yield _to_json((*row, hour) for row in zip(*_cells(piece), strict=True))


def _merged_to_json(hour: int, published: Iterator[pa.RecordBatch], rows: list[tuple[Key, Sums]]) -> Iterator[bytes]:
    """With what is pending: in Python, whose integers hold any sum, and which for few rows is faster than Arrow.

    Both are in the order of their keys, and go by as they stand: a copy of a long hour would take several times its memory.
    """
    rows.sort()  # by code points, which is the order of the UTF-8 bytes: the store's
    merged = groupby(merge(_published(published), rows), key=itemgetter(0))
    totals = ((*key, *_sum(sums for _, sums in same), hour) for key, same in merged)
    while piece := _up_to(totals, limits.PIECE_BYTES):
        yield _to_json(piece)


def _up_to(totals: Iterator[tuple[Any, ...]], size: int) -> list[tuple[Any, ...]]:
    """The next totals, up to so many characters of text, and not more than a piece has rows."""
    piece: list[tuple[Any, ...]] = []
    for total in islice(totals, limits.PIECE_ROWS):
        piece.append(total)
        size -= len(total[0]) + len(total[1]) + len(total[2])
        if size <= 0:
            break
    return piece


def _published(published: Iterator[pa.RecordBatch]) -> Iterator[tuple[Key, Sums]]:
    for piece in published:
        for src, dest, vpc, tx, rx in zip(*_cells(piece), strict=True):
            yield (src, dest, vpc), (tx, rx)


def _sum(sums: Iterable[Sums]) -> Sums:
    tx = rx = 0
    for added_tx, added_rx in sums:
        tx += added_tx
        rx += added_rx
    return tx, rx


def _cells(piece: pa.RecordBatch) -> list[list[Any]]:
    """The columns of `NAMES`, but for the hour."""
    return [piece.column(name).to_pylist() for name in (*_FILTERS, *SUMS)]


def _to_json(rows: Iterable[tuple[Any, ...]]) -> bytes:
    return _encode([_Total(*row) for row in rows])[1:-1]
