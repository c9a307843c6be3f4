"""Objects of Argus's ra in JSON: in an array within an object, as ra writes them, or as a tool took them out of it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from pipeline.syntax.batch import Batch
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.compression import put_back
from pipeline.syntax.jsonlines import JsonParser
from pipeline.syntax.jsonrecords import read_json
from pipeline.syntax.jsontext import JsonText

#: The key of the array.
ARRAY = "ArgusData"
_AROUND = re.compile(rb'\s*\{\s*"ArgusData"\s*:\s*')
_START_BYTES = 256


def read_objects(stream: BinaryIO, parser: JsonParser) -> Iterator[Batch]:
    """Reads the objects of a file.

    A row number is that of an object among all of the file's, or of its line, in JSON Lines.

    Args:
        stream: Decompressed text.
        parser: Parses the objects.

    Raises:
        UnreadableSource: The file is no whole JSON.
    """
    start = stream.read(_START_BYTES)
    stream = put_back(start, stream)
    if _AROUND.match(start):
        return map(parser.parse, _within(JsonText(stream), 1))
    return (piece if isinstance(piece, Batch) else parser.parse(piece) for piece in read_json(stream, parser))


def _within(text: JsonText, first: int) -> Iterator[TextBlock]:
    """The objects in the arrays of some text, numbered from `first` on."""
    for block in text.values(first, around=(ARRAY,)):
        for values in _opened(block, first) if _AROUND.match(block.data) else (replace(block, first_line=first),):
            yield values
            first += values.line_count


def _opened(block: TextBlock, first: int) -> Iterator[TextBlock]:
    """The objects in the arrays of small objects, which `JsonText` gives whole."""
    for line in block.data.splitlines():
        found = _AROUND.match(line)
        array = line[found.end() : line.rindex(b"}")] if found else line
        for values in JsonText(io.BytesIO(array)).values(first):
            yield values
            first += values.line_count
