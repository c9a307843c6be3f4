"""The start of a raw file, and what can be told from it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import BinaryIO

from pipeline.errors import EmptySource, UnknownFormat, UnreadableSource
from pipeline.syntax.blocks import BOM
from pipeline.syntax.compression import put_back
from pipeline.syntax.parquet import parquet_schema, seekable


class Container(Enum):
    """How a file is written, whatever it says."""

    TEXT = "lines of text"
    JSON = "JSON objects, however they follow one another"
    PARQUET = "Parquet"


#: So much of a file is looked at.
HEAD_BYTES = 64 << 10
_BLANKS, PRINTABLE = b" \t\r\n", bytes(range(0x20, 0x7F))
_JSON_RECORDS = 50  # how many records are looked at; the first may be unfit
_UNFIT_RECORDS = 3  # where all are unfit, so many may be whole but for their end
_MOST_LEVELS = 100
_LONGEST_WORD = len("\\u1234")  # of which a half is unfit as a whole: of an escape, or of `false`
_NOT_BLANK = re.compile(rb"[^ \t\r\n]")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[][{},]', re.DOTALL)
_GAP = re.compile(r"[][ \t\r\n,\ufeff]*")  # also where an array ends or begins, which may be empty
_EMPTY_ARRAYS = re.compile(r"\s*(?:\[\s*\]\s*)+")
_KEY = re.compile(r'"([^"\\]+)"\s*:')


@dataclass(frozen=True)
class Head:
    """The start of a raw file, decompressed, and what can be told from it.

    Attributes:
        name: The file's name, for the few formats that differ in nothing else.
        data: Its first bytes, up to 64 KiB.
        parquet_columns: The names of its columns if it is a Parquet file; else empty.
        is_named: Whether the user has named the format.
    """

    name: str
    data: bytes
    parquet_columns: tuple[str, ...] = ()
    is_named: bool = False

    @cached_property
    def text(self) -> str:
        return _decoded(self.data)

    @cached_property
    def container(self) -> Container:
        """How the file is written, whatever it says."""
        if self.data.startswith(b"PAR1"):
            return Container.PARQUET
        first = self.data[:1].decode("ascii", "replace")  # of most files it tells, and no text need be made of all
        first = first if " " < first <= "~" else self.text.lstrip()[:1]
        return Container.JSON if first in ("{", "[") else Container.TEXT

    @property
    def ends_in_returns(self) -> bool:
        """Whether its lines end in carriage returns alone, as far as can be seen; the last one may be half of a pair."""
        return b"\n" not in self.data and b"\r" in self.data[:-1] and self.container is not Container.PARQUET

    @cached_property
    def first_line(self) -> str:
        """The first line that is not blank."""
        start = _decoded(self.data[: self.data.find(b"\n") + 1])  # of most files this is it, and no other need be made text
        return _first_line(start) or _first_line(self.text)

    def split_first_line(self, delimiter: str | None) -> list[str]:
        """The first line's cells."""
        return split_cells(self.first_line, delimiter)

    @cached_property
    def json_objects(self) -> list[dict[str, object]]:
        """The first objects of JSON in whatever container, as far as they are whole; where none is, what there is of the first."""
        records, unfit = self._json_start
        cut = (_completed(self.text[position:]) for position in unfit[:_UNFIT_RECORDS])
        return records or [found for found in cut if found][:1]

    @cached_property
    def json_keys(self) -> list[str]:
        """The keys of the first objects; where there is none, whatever looks like a key."""
        keys = [key for record in self.json_objects for key in record]
        return list(dict.fromkeys(keys or _KEY.findall(self.text)))

    @property
    def json_fault(self) -> str:
        """Why no object of JSON is whole; "" where one is, or where the first is only cut off."""
        if self.json_objects:
            return ""
        try:
            json.JSONDecoder(parse_int=str).raw_decode(self.text, len(self.text) - len(self.text.lstrip(" \t\r\n[")))
        except RecursionError:
            return "it is too deeply nested"
        except json.JSONDecodeError as error:
            if error.pos < len(self.text.rstrip()) and not self._is_cut_off(error):
                return f"line {error.lineno}, character {error.colno}: {error.msg}"
        return ""

    @cached_property
    def _json_start(self) -> tuple[list[dict[str, object]], list[int]]:
        """The first whole objects, and the places where something else than an object stands."""
        decoder = json.JSONDecoder(parse_int=str)
        records: list[dict[str, object]] = []
        unfit: list[int] = []
        position = _GAP.match(self.text).end()  # type: ignore[union-attr]  # it matches the empty string
        while len(records) < _JSON_RECORDS:
            try:
                value, position = decoder.raw_decode(self.text, position)
            except (ValueError, RecursionError) as error:
                unfit.append(position)
                if self._is_cut_off(error):  # what it has within is no object of its own
                    break
                if (newline := self.text.find("\n", position)) < 0:
                    break
                position = newline  # this line is unfit; the next may not be
            else:
                if isinstance(value, dict):
                    records.append(value)
            position = _GAP.match(self.text, position).end()  # type: ignore[union-attr]  # as above
        return records, unfit

    def _is_cut_off(self, error: Exception) -> bool:
        """Whether a value is unfit only as the file goes on behind its start."""
        if len(self.data) < HEAD_BYTES or not isinstance(error, json.JSONDecodeError):
            return False
        return error.msg.startswith("Unterminated") or error.pos + _LONGEST_WORD > len(self.text.rstrip())

    @property
    def is_empty_array(self) -> bool:
        """Whether there is nothing but an empty array, or several."""
        return _EMPTY_ARRAYS.fullmatch(self.text) is not None


def _decoded(data: bytes) -> str:
    return data.removeprefix(BOM).decode("utf-8", "replace")


def _first_line(text: str) -> str:
    """The first line that is not blank; "" if there is none."""
    return next((line for line in text.splitlines() if line.strip()), "")


def _completed(text: str) -> dict[str, object] | None:
    """An object whose text was cut off, or is deeply nested from some place on, with what is whole before; None if that is nothing, or
    no JSON.
    """
    brackets, end = "", 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("{", "["):
            brackets, end = brackets + ("}" if token[0] == "{" else "]"), token.end()
            if len(brackets) > _MOST_LEVELS:  # what is deeper says nothing of the format
                break
        elif token[0] in ("}", "]"):
            brackets, end = brackets[:-1], token.end()
        elif token[0] == ",":
            end = token.start()
    try:
        value = json.loads(text[:end] + brackets[::-1], parse_int=str)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value else None


def split_cells(line: str, delimiter: str | None) -> list[str]:
    """A line's cells; their quotes and surrounding blanks are taken off."""
    return [cell.strip(' \t\r\n"') for cell in line.split(delimiter)]


def read_head(stream: BinaryIO, name: str, is_named: bool = False) -> tuple[Head, BinaryIO]:
    """Reads the start of a decompressed raw file.

    Returns:
        The start, and the stream from its start on.

    Raises:
        EmptySource: It has no content, or blank lines alone.
        SourceError: It is not even readable.
    """
    data = stream.read(HEAD_BYTES)
    _refuse_nothing(data, stream)
    stream = put_back(data, stream)
    columns: tuple[str, ...] = ()
    if data.startswith(b"PAR1"):
        stream = seekable(stream)
        columns = tuple(parquet_schema(stream).names)
        stream.seek(0)
    return Head(name, data, columns, is_named), stream


def _refuse_nothing(data: bytes, stream: BinaryIO) -> None:
    """Refuses a stream of nothing, and one that starts with what a truncation left behind.

    Args:
        data: The stream's start.
        stream: The rest.
    """
    if not _NOT_BLANK.search(data.removeprefix(BOM)):
        if not _skip(stream, _BLANKS)[1]:
            raise EmptySource
        raise UnknownFormat(f"{HEAD_BYTES >> 10} KiB of blank lines", "if records follow them, remove the blank lines")
    if data.startswith(b"\0") and not is_utf_16(data):
        rest = data.lstrip(b"\0")
        count = len(data) - len(rest)
        if not rest:
            more, rest = _skip(stream, b"\0")
            count += more
        if not rest:
            raise UnreadableSource(f"it is {count:,} NUL bytes and nothing else; is it still being written?")
        if rest[:1] in PRINTABLE:
            raise UnreadableSource(
                f"it begins with {count:,} NUL bytes, as a log does that was truncated while its writer went on "
                "(logrotate's copytruncate); remove them, as with tr -d '\\000', to have the rest counted"
            )


def _skip(stream: BinaryIO, leading: bytes) -> tuple[int, bytes]:
    """Reads behind all leading bytes that are among these: how many there were, and some of what follows."""
    count = 0
    while chunk := stream.read(HEAD_BYTES):
        rest = chunk.lstrip(leading)
        count += len(chunk) - len(rest)
        if rest:
            return count, rest
    return count, b""


def is_utf_16(data: bytes) -> bool:
    """Whether a text has two bytes for each character, at least for its first ones, and nothing that says so."""
    start = data[:16]
    return len(start) > 2 and any(
        set(start[i::2]) == {0} and all(byte in PRINTABLE for byte in start[1 - i :: 2]) for i in (0, 1)
    )
