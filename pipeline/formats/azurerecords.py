"""The records of a stream of Azure's flow logs: one a minute and interface, each with many flows (see `azurerecord`).

Azure writes `{"records": […]}`, and writes it anew as it grows. Exports have a record or a document on each line, or in an array.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from pipeline.formats.azurerecord import (
    TUPLES,
    AnyRecord,
    CutTuples,
    FlowRecord,
    Outline,
    UnfitRecord,
    outline_of,
    record_of,
)
from pipeline.kernel.jsonvalues import cut_arrays
from pipeline.syntax.blocks import TextBlock, raw_text
from pipeline.syntax.jsonlines import NOT_OBJECT, decoded
from pipeline.syntax.jsonobjects import JsonObject
from pipeline.syntax.jsontext import JsonText, elements_in

#: How a record begins that Azure writes.
_TIME = re.compile(rb'\{"time":"([0-9TZ:.+-]+)(?=")')
_MOST_OUTLINES = 1 << 12
#: A record of a firewall that has a thousand new flows a second, each of which begins, goes on and ends.
_LONGEST_RECORD = 16 << 20
_RECORDS_AT_ONCE, _BYTES_AT_ONCE = 1 << 14, 1 << 20
_NOT_TOO_DEEP = "must be less deeply nested"


def records_of(stream: BinaryIO) -> Iterator[list[AnyRecord]]:
    """The records of a stream, some of them together.

    Args:
        stream: Decompressed text.

    Raises:
        UnreadableSource: It is not whole JSON, as a file that is still being written; where each line has an object, a broken line is
            an unfit record.
    """
    outlines, found, size = _Outlines(), list[AnyRecord](), 0
    for block in JsonText(stream, _LONGEST_RECORD).values(1, around=("records",), keeps_torn=True):
        for record in _records_on(block, outlines):
            found.append(record)
            if len(found) == _RECORDS_AT_ONCE:
                yield found
                found, size = [], 0
        size += len(block.data)
        if size >= _BYTES_AT_ONCE:  # around a broken line, blocks have a record each
            yield found
            found, size = [], 0
    yield found


def _records_on(block: TextBlock, outlines: _Outlines) -> Iterator[AnyRecord]:
    """The records of a block of documents. Nearly all of their text is tuples, of which no Python objects need be made."""
    cut, first = cut_arrays(block.data, TUPLES), 0
    for number, (line, count) in enumerate(cut.lines, block.first_line):
        if count >= 0:
            tuples = CutTuples(cut, first)
            records = outlines.records_of(line, tuples)
            first += count
            if (
                records is not None
                and tuples.taken == count
                and not any(isinstance(record, UnfitRecord) for record in records)
            ):
                yield from records
                continue
        yield from _records_of_line(block.line(number))  # a reject shows the record, which must be whole


def _records_of_line(line: bytes) -> list[AnyRecord]:
    try:
        return [record_of(record) for record in records_in(decoded(line))]
    except json.JSONDecodeError:
        return [UnfitRecord("", NOT_OBJECT, raw_text(line))]
    except RecursionError:
        return [_alone(record) for record in elements_in(line, ("records",))]


def _alone(line: bytes) -> AnyRecord:
    """A record that may be nested too deeply, of a document whose others are not."""
    try:
        return record_of(decoded(line))
    except RecursionError:
        return UnfitRecord("", _NOT_TOO_DEEP, raw_text(line))


class _Outlines:
    """Remembers the outlines of the records on lines of their own. An interface's records say the same each minute, but for the time
    and the tuples.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Outline] = {}

    def records_of(self, line: bytes, tuples: CutTuples) -> list[AnyRecord] | None:
        """The records on a line out of which the tuples were cut; None if the line is torn, or nested too deeply."""
        begun = _TIME.match(line)
        rest = line[begun.end() :] if begun else b""
        if begun and (outline := self._known.get(rest)):
            return [outline.filled(begun[1].decode(), tuples)]
        try:
            value = decoded(line)
            values = records_in(value)
            records = [record_of(record, tuples) for record in values]
        except (json.JSONDecodeError, RecursionError):
            return None
        if begun and values == [value] and isinstance(records[0], FlowRecord):
            if len(self._known) == _MOST_OUTLINES:
                self._known.clear()
            self._known[rest] = outline_of(value, records[0].layout, is_cut=True)
        return records


def records_in(value: Any) -> list[Any]:
    """The records of a document; of any other value, itself."""
    records = value.get("records") if isinstance(value, dict) else None
    is_ambiguous = isinstance(value, JsonObject) and "records" in value.repeated
    return records if isinstance(records, list) and not is_ambiguous else [value]
