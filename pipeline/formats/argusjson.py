"""Objects of Argus's ra in JSON: in an array within an object, as ra writes them, in an array of such, or taken out of it by a tool."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from pipeline.errors import UnreadableSource
from pipeline.formats.head import Head
from pipeline.syntax.batch import Batch
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.compression import put_back
from pipeline.syntax.jsonlines import JsonParser
from pipeline.syntax.jsonrecords import read_json_batches
from pipeline.syntax.jsontext import JsonText

#: The key of the array.
ARRAY = "ArgusData"
_QUOTED = f'"{ARRAY}"'.encode()
#: The array begins within so much of a file; what ra writes before it is short.
_START_BYTES = 1 << 16


def read_objects(stream: BinaryIO, parser: JsonParser) -> Iterator[Batch]:
    """Reads the objects of a file.

    A row number is that of an object among all of the file's, or of its line, in JSON Lines.

    Args:
        stream: Decompressed text.
        parser: Parses the objects.

    Raises:
        UnreadableSource: The file is no whole JSON; or an object has no array, though the first has one.
    """
    start = stream.read(_START_BYTES)
    stream = put_back(start, stream)
    if _QUOTED in start and (JsonText(io.BytesIO(start)).next_byte() == b"{" or _is_around(start)):
        return map(parser.parse, _within(JsonText(stream)))
    return read_json_batches(stream, parser)


def _is_around(start: bytes) -> bool:
    """Whether the first object has the array."""
    return any(ARRAY in record for record in Head("", start).json_objects[:1])


def _within(text: JsonText) -> Iterator[TextBlock]:
    """The objects in the arrays of some text, numbered from 1 on."""
    first = 1
    for _ in text.each_document():
        line, has_array = text.line, False
        for key in text.each_key():
            if key != ARRAY or text.next_byte() != b"[":
                text.take()
                continue
            has_array = True
            for values in text.elements():
                yield replace(values, first_line=first)
                first += values.line_count
        if not has_array:
            raise UnreadableSource(f"line {line}: an object without the array {ARRAY}, though others have it")
