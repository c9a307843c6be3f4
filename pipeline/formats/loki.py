"""Records that were written to Loki, as Loki gives them out: each is a line of JSON, and the labels of its stream are part of it.

Facts from Loki's HTTP API, "Query logs within a range of time", and pkg/logcli/output/jsonl.go:

- An answer is `{"status", "data": {"resultType": "streams", "result": [{"stream": {…}, "values": [["ns", "line"], …]}, …]}}`,
  where `stream` has the labels, as texts. Other types of result are numbers.
- `logcli -o jsonl` prints `{"labels": {…}, "line": "…", "timestamp": "…"}`, one a line.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from pipeline.errors import UnreadableSource
from pipeline.kernel.jsonvalues import Behind, Stop, split_json
from pipeline.syntax.blocks import NumberedLines, TextBlock
from pipeline.syntax.jsonobjects import integer_of, value_of
from pipeline.syntax.jsontext import JsonText

Labels = Mapping[str, Any]
#: A line that will be rejected: it stands for what is not a record.
_NO_RECORD = b'""'
#: What is raised of a line that is no entry; as it lacks the fields of a record, it is rejected.
_NO_ENTRY = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
#: So much of a stream is kept until its labels come. Loki writes them first.
_MOST_HELD_BYTES = 64 << 20


def answers(stream: BinaryIO, fields: Collection[str]) -> Iterator[TextBlock]:
    """The records of one answer, or of several that follow one another or are in an array, each on a line.

    A line's number is that of its record among all records, from 1.

    Args:
        stream: Decompressed text.
        fields: Those that are taken from the labels, where a record itself lacks them.

    Raises:
        UnreadableSource: It is no whole JSON.
    """
    text, first = JsonText(stream), 1
    for _ in text.each_document():
        for labels, values in _values(text):
            line_of = _Joined({name: labels[name] for name in fields if name in labels})
            block = TextBlock(b"".join(line_of.value(value) + b"\n" for value in values), first)
            first += len(values)
            yield block


def printed(stream: BinaryIO, fields: Collection[str]) -> Iterator[TextBlock]:
    """The same of what `logcli` prints; a record's number is that of its line."""
    for block in JsonText(stream).lines():
        on_lines = [_records_on(line, fields) for line in block.data.splitlines()]
        data = b"".join(record + b"\n" for records in on_lines for record in records)
        counts = list(map(len, on_lines))
        if max(counts, default=1) == 1:
            yield TextBlock(data, block.first_line)
        else:
            yield NumberedLines(data, block.first_line, np.repeat(block.numbers(len(counts)), counts))


def _records_on(line: bytes, fields: Collection[str]) -> list[bytes]:
    """The record of a line; of a line of several objects, as where files were joined, the record of each."""
    try:
        return [_printed_record(line, fields)] if line.strip() else [line]
    except _NO_ENTRY:
        found = split_json(line)
        entries = found.lines.splitlines() if found.stop is Stop.USED_UP and found.behind is Behind.VALUE else []
        return [line] if entries in ([], [line]) else [record for entry in entries for record in _records_on(entry, fields)]


def _printed_record(line: bytes, fields: Collection[str]) -> bytes:
    entry = value_of(line)
    labels = entry.get("labels") or {}
    return _Joined({name: labels[name] for name in fields if name in labels}).line(entry["line"])


def _values(text: JsonText) -> Iterator[tuple[Labels, list[Any]]]:
    """The values of an answer, some at a time, with their labels.

    Raises:
        UnreadableSource: The answer has none, so that it says nothing of its records.
    """
    line, has_result = text.line, False
    for key in text.each_key():
        if key != "data" or text.next_byte() != b"{":
            text.take()
            continue
        for inner in text.each_key():
            if inner != "result" or text.next_byte() != b"[":
                text.take()
                continue
            has_result = True
            for _ in text.each_item():
                yield from _values_of_stream(text)
    if not has_result:
        raise UnreadableSource(f"line {line}: an answer of Loki without the array data.result")


def _values_of_stream(text: JsonText) -> Iterator[tuple[Labels, list[Any]]]:
    line, labels, has_values = text.line, None, False
    held: list[TextBlock] = []  # the values that stand before the labels
    for key in text.each_key():
        if key == "stream":
            labels = _loads(text.take())
        elif key == "values":
            has_values = True
            for block in text.elements():
                if isinstance(labels, dict):
                    yield labels, _values_in(block)
                else:
                    held.append(block)
                    _check_held(held, line)
        else:
            text.take()
    if not has_values or not isinstance(labels, dict):
        raise UnreadableSource(f"line {line}: a stream of Loki without {'labels' if has_values else 'values'}")
    yield from ((labels, _values_in(block)) for block in held)


def _values_in(block: TextBlock) -> list[Any]:
    found: list[Any] = _loads(b"[" + b",".join(block.data.splitlines()) + b"]")
    return found


def _check_held(blocks: Sequence[TextBlock], line: int) -> None:
    if sum(block.nbytes for block in blocks) > _MOST_HELD_BYTES:
        most = f"more than {_MOST_HELD_BYTES >> 20} MiB of values"
        raise UnreadableSource(f"line {line}: a stream of Loki has {most} before its labels; write its labels first")


def _loads(data: bytes) -> Any:
    """A value of an answer, without which the answer cannot be read."""
    try:
        return value_of(data)
    except (RecursionError, ValueError) as error:
        raise UnreadableSource(f"the value that begins with {data[:40]!r} cannot be read: {error}") from None


class _Joined:
    """Joins records with the labels of their stream.

    Args:
        labels: Those that are wanted.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._keys = [json.dumps(name) for name in labels]
        self._members = _members(labels)

    def value(self, value: Any) -> bytes:
        """The record of a value of an answer."""
        is_value = isinstance(value, list) and len(value) > 1 and isinstance(value[1], str)
        return self.line(value[1]) if is_value else _NO_RECORD

    def line(self, line: str) -> bytes:
        """A record with the labels that it does not have itself, on a line."""
        record = line.strip()
        if not record.startswith("{"):
            return json.dumps(line).encode()  # a text, which is rejected
        if "\n" in record or "\r" in record:
            record = record.replace("\n", " ").replace("\r", " ")
        members, inner = self._members, record[1:].lstrip()
        if any(key in record for key in self._keys):
            members = _members(self._missing_in(record))
        comma = "," if members and not inner.startswith("}") else ""
        return f"{{{members}{comma}{inner}".encode("utf-8", "surrogateescape")

    def _missing_in(self, record: str) -> Labels:
        try:
            found = json.loads(record, parse_int=integer_of)
        except (RecursionError, ValueError):
            return {}  # the record is broken, with labels or without
        return {name: label for name, label in self._labels.items() if name not in found}


def _members(labels: Labels) -> str:
    return json.dumps(labels, separators=(",", ":"))[1:-1]
