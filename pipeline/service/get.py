"""GET /flows: the totals of hours, of what is in `flows/` and what is pending in the log, each record once.

No lock keeps a run from publishing while a GET reads. Instead each hour is read between two looks at which pending
segments are in `flows/` already: where the looks agree, it is known what the partition had, and what must be added.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pyarrow as pa

from pipeline.errors import BadQuery
from pipeline.query.query import Query
from pipeline.query.sums import literally, literally_meant, rows_with
from pipeline.schema import PARTITION_ORDER, SUMS
from pipeline.service import limits
from pipeline.service.answers import Answers
from pipeline.service.budget import Budget
from pipeline.service.explain import NAMES
from pipeline.service.pending import Pending, Segment, Sums, TotalsKey
from pipeline.service.problem import problem, too_many_answers
from pipeline.store.layout import Locations
from pipeline.store.partitions import read_in_pieces, summarise_partition

_INTEGER = re.compile(r"[+-]?[0-9]+")
_FILTERS = PARTITION_ORDER
#: How the contract says which rule of `Query` a parameter breaks.
_WORDS = {
    "positive": "must be positive",
    "int64": "must fit into 64 bits",
    "later": "must be larger than the hour value: it is the first hour left out",
    "utf8": "must be valid UTF-8",
}

#: How many pieces of an answer are made at once; where there are fewer, they were the last.
_PIECES_AT_ONCE = 2

_Total: Any = msgspec.defstruct("Total", [(name, Any) for name in NAMES], gc=False)
_encode = msgspec.json.Encoder().encode

#: What pending segments have for one hour.
Additions = list[tuple[Segment, list[tuple[TotalsKey, Sums]]]]


def parse_query(query_string: bytes) -> Query:
    """The query of a query string. Its parameters are filled in one after the other, so that the first wrong one is told.

    Raises:
        Problem: The query cannot be answered.
    """
    given: dict[str, str] = {}
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, errors="surrogateescape"):
        if name in given:
            raise problem(400, f"The {name} value must be there once", field=name)
        if name not in ("hour", "until", *_FILTERS):
            raise problem(400, f"The parameters are hour, until, {', '.join(_FILTERS)}; there is no {name!r}")
        given[name] = value
    if "hour" not in given:
        raise problem(400, "Missing hour parameter in the request query_params", field="hour")
    try:
        query = Query(_integer("hour", given["hour"]))
        if "until" in given:
            query = replace(query, until=_integer("until", given["until"]))
        filters: dict[str, Any] = {name: literally(given[name]) for name in _FILTERS if name in given}
        return replace(query, **filters)
    except BadQuery as error:
        name, rule, _ = error.broken[0]
        raise problem(400, f"The {name} value {_WORDS[rule]}", field=name) from None


def _integer(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise problem(400, f"The {name} value must be an integer", field=name)
    digits = text.lstrip("+-0")[:20]  # 20 digits are too many, and Python refuses to convert thousands
    return int(digits or "0") * (-1 if text.startswith("-") else 1)


class Get:
    """Answers `GET /flows`.

    Args:
        store: The store.
        pending: What is in the log.
        room: The room for answers.
    """

    def __init__(self, store: Locations, pending: Pending, room: Budget) -> None:
        self._store = store
        self._pending = pending
        self._room = room

    async def answer(self, query: Query, answers: Answers) -> None:
        """Answers a query, in pieces where the answer is long.

        Raises:
            Problem: There is no room for the answer.
            StoreError: A partition cannot be read.
            Gone: The client has gone.
        """
        headers = [(b"content-type", b"application/json")]
        async with aclosing(self._pieces(query, answers)) as pieces:
            first = await anext(pieces, b"")
            second = await anext(pieces, None)
            if second is None:
                answers.respond(200, headers, b"[" + first + b"]")
                return
            if not answers.start(headers):
                return
            await answers.write(b"[" + first + b"," + second)
            async for piece in pieces:
                await answers.write(b"," + piece)
            await answers.write(b"]")
            answers.end()

    async def _pieces(self, query: Query, answers: Answers) -> AsyncGenerator[bytes]:
        """The answer in pieces, hour by hour: a year of hours need not be in memory."""
        for hour in await self._hours(query):
            added = await self._take_room(hour, answers)
            try:
                asked = replace(query, hour=hour, until=None)
                some, rest = await asyncio.to_thread(self._read, asked, added)
                if not answers.holds and _is_long(some):
                    del some, rest  # few rows with long names: a request that waits for room should not hold them
                    added = await self._take_room(hour, answers, has_few_rows=False)
                    some, rest = await asyncio.to_thread(self._read, asked, added)
                del added
                while some:
                    for piece in some:
                        yield piece
                    some = await asyncio.to_thread(_take, rest) if len(some) == _PIECES_AT_ONCE else []
            finally:
                self._room.give(answers.holds)
                answers.holds = 0

    async def _take_room(self, hour: int, answers: Answers, *, has_few_rows: bool = True) -> Additions:
        """What is pending for an hour, when there is room for that and for a piece of the partition.

        Args:
            hour: The hour.
            answers: Keeps how much room was taken.
            has_few_rows: Whether few rows need no room.
        """
        summary = await asyncio.to_thread(summarise_partition, self._store, hour)
        published = summary.rows if summary else 0
        added = await additions(self._pending, hour)
        ticket = self._room.ticket()
        is_small = has_few_rows and _count_rows(published, added) <= limits.SMALL_ANSWER_ROWS
        needed = 0 if is_small else _room_for(published, added)
        if needed and not self._room.take_now(needed, ticket):
            del added  # it is a copy, and a request that waits should not hold one
            try:
                await self._room.take(needed, limits.ROOM_SECONDS, ticket)
            except TimeoutError:
                raise too_many_answers() from None
            added = await additions(self._pending, hour)
        answers.holds = needed
        return added

    def _read(self, query: Query, added: Additions) -> tuple[list[bytes], Iterator[bytes]]:
        """An hour's first pieces, and the rest: most hours have one piece, which should cost one visit to a thread."""
        pieces = totals_of(self._store, query, added)
        return _take(pieces), pieces

    async def _hours(self, query: Query) -> list[int]:
        if query.until is None:
            return [query.hour]
        pending = {hour for segment in self._pending.segments for hour in segment.bytes_by_hour}
        published = await asyncio.to_thread(self._store.hours, query.hour, query.until)
        return sorted({hour for hour in pending if query.hour <= hour < query.until}.union(published))


def _count_rows(published: int, added: Additions) -> int:
    return published + sum(len(totals) for _, totals in added)


def _room_for(published: int, added: Additions) -> int:
    """What an hour's answer takes in memory, in bytes, however long its names are: all that is pending, and a piece of the
    partition.
    """
    return _count_rows(0, added) * limits.BYTES_A_ROW + min(published, limits.PIECE_ROWS) * limits.LONGEST_ROW


def _is_long(some: list[bytes]) -> bool:
    """Whether the first pieces of an answer are not all of it, or longer than an answer without room may be."""
    return len(some) == _PIECES_AT_ONCE or sum(map(len, some)) > limits.SMALL_ANSWER_ROWS * limits.BYTES_A_ROW


def _take(pieces: Iterator[bytes]) -> list[bytes]:
    return list(islice(pieces, _PIECES_AT_ONCE))


async def additions(pending: Pending, hour: int) -> Additions:
    """What is pending for an hour, as it is now. In the event loop's thread, which alone changes it."""
    return [(segment, await segment.totals(hour)) for segment in list(pending.segments) if hour in segment.bytes_by_hour]


def totals_of(store: Locations, query: Query, added: Additions) -> Iterator[bytes]:
    """The totals of an hour as JSON objects with the six fields, sorted by key. In any thread.

    Args:
        store: The store.
        query: The hour, and filters.
        added: What `additions` gave for the hour.

    Returns:
        Pieces, to be joined by commas; none where there are no totals. The partition is opened, and its first rows are read,
        before the first is asked for; taking a later one may raise StoreDamaged.

    Raises:
        StoreDamaged: The partition cannot be read.
    """
    published: Iterator[pa.RecordBatch] = iter(())
    flushed = None
    while flushed != (now_flushed := [segment.is_flushed(store, query.hour) for segment, _ in added]):
        flushed = now_flushed
        published = read_in_pieces(store, query.hour, limits.PIECE_ROWS)
    found = _filtered(published, query)
    wanted = [(_FILTERS.index(name), literally_meant(texts[0])) for name, texts in query.filters.items()]
    rows = [
        (key, sums)
        for (_, totals), is_flushed in zip(added, flushed, strict=True)
        if not is_flushed
        for key, sums in totals
        if all(key[position] == value for position, value in wanted)
    ]
    return _merged_to_json(query.hour, found, rows) if rows else _published_to_json(query.hour, found)


def _filtered(published: Iterator[pa.RecordBatch], query: Query) -> Iterator[pa.RecordBatch]:
    """The rows that pass the query's filters, in pieces whose text is not much longer than it usually is."""
    filters = [((name,), texts) for name, texts in query.filters.items()]
    for batch in published:
        found = rows_with(pa.Table.from_batches([batch]), filters).combine_chunks().to_batches() if filters else [batch]
        for part in found:
            rows = max(1, part.num_rows * limits.PIECE_BYTES // max(part.nbytes, limits.PIECE_BYTES))
            for start in range(0, part.num_rows, rows):
                yield part.slice(start, rows)


def _published_to_json(hour: int, published: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    for piece in published:
        yield _to_json((*row, hour) for row in zip(*_cells(piece), strict=True))


def _merged_to_json(hour: int, published: Iterator[pa.RecordBatch], rows: list[tuple[TotalsKey, Sums]]) -> Iterator[bytes]:
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


def _published(published: Iterator[pa.RecordBatch]) -> Iterator[tuple[TotalsKey, Sums]]:
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
