"""Which format a file is of, told from its first bytes, never from its name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from pipeline.errors import EmptySource, UnknownFormat, UnreadableSource
from pipeline.readers.compression import decompressed
from pipeline.readers.foreign import refuse_foreign
from pipeline.readers.interface import Container, Format
from pipeline.readers.syntax.parquet import parquet_schema

#: So much of a file is looked at.
HEAD_BYTES = 64 << 10
_BOM, _BLANKS, _PRINTABLE = b"\xef\xbb\xbf", b" \t\r\n", bytes(range(0x20, 0x7F))
_JSON_RECORDS = 50  # how many records are looked at; the first may be unfit
_UNFIT_RECORDS = 3  # where all are unfit, so many may be whole but for their end
_MOST_LEVELS = 100
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[][{},]', re.DOTALL)
_GAP = re.compile(r"[ \t\r\n,\ufeff]*")
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
        return self.data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")

    @cached_property
    def container(self) -> Container:
        """How the file is written, whatever it says."""
        if self.data.startswith(b"PAR1"):
            return Container.PARQUET
        return Container.JSON if self.text.lstrip()[:1] in ("{", "[") else Container.TEXT

    @property
    def ends_in_returns(self) -> bool:
        """Whether its lines end in carriage returns alone, as far as can be seen; the last one may be half of a pair."""
        return self.container is not Container.PARQUET and b"\r" in self.data[:-1] and b"\n" not in self.data

    @cached_property
    def first_line(self) -> str:
        """The first line that is not blank."""
        return next((line for line in self.text.splitlines() if line.strip()), "")

    def split_first_line(self, delimiter: str | None) -> list[str]:
        """The first line's cells."""
        return split_cells(self.first_line, delimiter)

    @cached_property
    def json_records(self) -> list[dict[str, object]]:
        """The first objects of JSON in whatever container, as far as they are whole."""
        return self._json_start[0]

    @cached_property
    def json_objects(self) -> list[dict[str, object]]:
        """The same; where none is whole, what there is of the first."""
        records, unfit = self._json_start
        cut = (_completed(self.text[position:]) for position in unfit[:_UNFIT_RECORDS])
        return records or [found for found in cut if found][:1]

    @cached_property
    def json_keys(self) -> list[str]:
        """The keys of the first objects; where there is none, whatever looks like a key."""
        keys = [key for record in self.json_objects for key in record]
        return list(dict.fromkeys(keys or _KEY.findall(self.text)))

    @cached_property
    def _json_start(self) -> tuple[list[dict[str, object]], list[int]]:
        """The first whole objects, and where stands what is none."""
        decoder = json.JSONDecoder(parse_int=str)
        records: list[dict[str, object]] = []
        unfit: list[int] = []
        position = len(self.text) - len(self.text.lstrip(" \t\r\n["))
        while len(records) < _JSON_RECORDS:
            try:
                value, position = decoder.raw_decode(self.text, position)
            except (ValueError, RecursionError):
                unfit.append(position)
                if (newline := self.text.find("\n", position)) < 0:
                    break
                position = newline  # this line is unfit; the next may not be
            else:
                if isinstance(value, dict):
                    records.append(value)
            position = _GAP.match(self.text, position).end()  # type: ignore[union-attr]  # it matches the empty string
        return records, unfit

    @property
    def is_empty_array(self) -> bool:
        return self.text.split() in (["[]"], ["[", "]"])


def _completed(text: str) -> dict[str, object] | None:
    """An object whose text was cut off, with what is whole of it; None if that is nothing, or no JSON."""
    brackets, end = "", 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("{", "["):
            brackets, end = brackets + ("}" if token[0] == "{" else "]"), token.end()
            if len(brackets) > _MOST_LEVELS:
                return None
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


def read_head(raw: BinaryIO, name: str, is_named: bool = False) -> Head:
    """Reads the start of a raw file, and leaves it at its start again.

    Raises:
        EmptySource: It has no content, or blank lines alone.
        SourceError: It is not even readable.
    """
    stream = decompressed(raw)
    data = stream.read(HEAD_BYTES)
    _refuse_nothing(data, stream)
    columns: tuple[str, ...] = ()
    raw.seek(0)
    if data.startswith(b"PAR1"):
        columns = tuple(parquet_schema(decompressed(raw)).names)
        raw.seek(0)
    return Head(name, data, columns, is_named)


def _refuse_nothing(data: bytes, stream: BinaryIO) -> None:
    """Refuses a stream of nothing, and one that starts with what a truncation left behind.

    Args:
        data: The stream's start.
        stream: The rest.
    """
    if not data.removeprefix(_BOM).strip(_BLANKS):
        if not _skip(stream, _BLANKS)[1]:
            raise EmptySource
    elif data.startswith(b"\0"):
        rest = data.lstrip(b"\0")
        count = len(data) - len(rest)
        if not rest:
            more, rest = _skip(stream, b"\0")
            count += more
        if not rest:
            raise UnreadableSource(f"it is {count:,} NUL bytes and nothing else; is it still being written?")
        if rest[:1] in _PRINTABLE:
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


def detect(head: Head, formats: Sequence[Format], otherwise: Format | None = None) -> Format:
    """The format of a file that starts so.

    Args:
        head: The file's start.
        formats: Those that come into question.
        otherwise: What it is, if it is written so, and nobody recognises it.

    Raises:
        UnknownFormat: It is none of these; the message names what it is, where that can be told.
    """
    candidates = [known for known in formats if known.container is head.container]
    for known in candidates:
        if known.recognises(head):
            return known
    if head.is_named and candidates:  # the user says that it is one of these
        return candidates[0]
    refuse_foreign(head.json_objects)
    for foreign, (is_it, advice) in _FOREIGN.items():
        if is_it(head):
            raise UnknownFormat(foreign, advice)
    if otherwise and otherwise.container is head.container and b"\0" not in head.data:
        return otherwise
    if head.is_named:
        raise UnknownFormat(_described(head), "the format that --format names is not written so; leave out --format")
    raise UnknownFormat(_described(head), "name the format with --format if you know it to be one that flowlog reads")


def _described(head: Head) -> str:
    if head.parquet_columns:
        return f"a Parquet file with the columns {', '.join(head.parquet_columns[:20])}"
    if head.json_keys:
        return f"JSON with the keys {', '.join(head.json_keys[:20])}"
    if b"\0" in head.data:
        return "binary data"
    if not head.first_line:
        return "64 KiB of blank lines"
    return f"text that starts with {head.first_line[:80]!r}"


def _starts(*signatures: bytes) -> Callable[[Head], bool]:
    return lambda head: head.data.startswith(signatures)


#: What people try that flowlog does not read: how it is told, and what to do instead.
_FOREIGN: dict[str, tuple[Callable[[Head], bool], str]] = {
    "a packet capture": (
        _starts(b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x0a\x0d\x0d\x0a", b"\x4d\x3c\xb2\xa1"),
        "let Zeek make a conn.log of it",
    ),
    "UTF-16 or UTF-32 text": (_starts(b"\xff\xfe", b"\xfe\xff"), "convert it to UTF-8"),
    "an Avro file": (_starts(b"Obj\x01"), "convert it to Parquet"),
    "an ORC file": (_starts(b"ORC"), "convert it to Parquet"),
    "an Arrow file": (_starts(b"ARROW1"), "convert it to Parquet"),
    "a SQLite database": (_starts(b"SQLite format 3\0"), "export a table as CSV or Parquet"),
}
