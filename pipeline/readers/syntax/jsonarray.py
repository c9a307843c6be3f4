"""A JSON array of objects, read element by element so that memory does not depend on its size."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from pipeline.errors import UnreadableSource
from pipeline.readers.blocks import BLOCK_BYTES, MAX_LINE_BYTES, raw_text
from pipeline.readers.interface import Batch, Reject
from pipeline.readers.syntax.cells import Column
from pipeline.readers.syntax.jsonlines import DECODER, json_record, records_table
from pipeline.schema import coded

#: What a number may go on with, behind the window's edge as well.
_IN_NUMBERS = "+-.0123456789eE"
_WHITESPACE = " \t\n\r"
_BATCH_RECORDS = 16_384


def read_json_array(stream: BinaryIO, columns: Sequence[Column]) -> Iterator[Batch]:
    """Reads a JSON array of records. A record's row number is its place in the array, from 1.

    Raises:
        UnreadableSource: The text is not one whole JSON array.
    """
    records: list[list[Any]] = []
    raws: dict[int, str] = {}
    rejects: list[Reject] = []
    size = 0
    for row, (value, raw) in enumerate(_elements(_Window(stream)), start=1):
        record = json_record(value, columns, row, raw)
        if isinstance(record, Reject):
            rejects.append(replace(record, raw=_shown(raw)))
        else:
            records.append(record)
            raws[row] = raw
        size += len(raw)
        if len(records) + len(rejects) >= _BATCH_RECORDS or size >= BLOCK_BYTES:
            yield _batch(records, raws, rejects, columns)
            records, raws, rejects, size = [], {}, [], 0
    yield _batch(records, raws, rejects, columns)


def _batch(records: list[list[Any]], raws: dict[int, str], rejects: list[Reject], columns: Sequence[Column]) -> Batch:
    rows = np.fromiter(raws, np.int64, len(raws))
    return Batch(coded(records_table(records, columns)), rows, lambda row: _shown(raws[row]), rejects)


def _shown(raw: str) -> str:
    return raw_text(raw.encode("utf-8", "surrogateescape"))


class _Window:
    """The part of the text that is being decoded, refilled from the stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.text = ""
        self.position = 0
        self.at_end = False

    def refill(self) -> None:
        chunk = self._stream.read(BLOCK_BYTES)
        self.at_end = not chunk
        self.text = self.text[self.position :] + self._decoder.decode(chunk, final=self.at_end)
        self.position = 0

    def peek(self) -> str:
        """The next character that is not white space; "" at the end of the text."""
        while True:
            while self.position < len(self.text) and self.text[self.position] in _WHITESPACE:
                self.position += 1
            if self.position < len(self.text):
                return self.text[self.position]
            if self.at_end:
                return ""
            self.refill()

    def take(self, row: int) -> tuple[Any, str]:
        """Decodes the value at the position: it and its text.

        Raises:
            UnreadableSource: There is no whole value.
        """
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.position)
                if self.at_end or (end < len(self.text) and self.text[end] not in _IN_NUMBERS):
                    break
            except RecursionError:
                raise UnreadableSource(f"element {row} of the array is too deeply nested") from None
            except json.JSONDecodeError as error:
                if self.at_end or len(self.text) - self.position > MAX_LINE_BYTES:
                    problem = f"{error.msg}, {error.pos - self.position} characters into it"
                    raise UnreadableSource(f"element {row} of the array is not whole JSON ({problem})") from None
            self.refill()
        raw = self.text[self.position : end]
        self.position = end
        return value, raw


def _elements(window: _Window) -> Iterator[tuple[Any, str]]:
    """The array's elements, each with its text."""
    if window.peek() == "\ufeff":  # a byte order mark
        window.position += 1
    if window.peek() != "[":
        raise UnreadableSource("the text is not a JSON array: it does not start with [")
    window.position += 1
    row = 1
    if window.peek() != "]":
        yield window.take(row)
        while window.peek() == ",":
            window.position += 1
            window.peek()
            row += 1
            yield window.take(row)
        if window.peek() != "]":
            found = window.peek()
            raise UnreadableSource(f"the array {f'has {found!r}' if found else 'stops short'} behind element {row}")
    window.position += 1
    if window.peek():
        raise UnreadableSource(f"there is more text behind the array's end ({window.peek()!r})")
