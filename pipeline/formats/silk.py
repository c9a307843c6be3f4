"""SiLK's flow listings, as rwcut prints them.

Facts from rwcut(1) of SiLK 3: the first line has the titles of the fields that the user chose, in the user's order; cells are
parted by a bar, or by what `--column-separator` names, padded with blanks unless `--no-columns` is given, and a separator ends
each line unless `--no-final-delimiter` is. Titles of narrow columns are cut off (`sen`, `pro`). Times are UTC as
`2026/11/24T08:00:00.000`, or by `--timestamp-format` seconds since 1970 or with a blank, and local time where SiLK was built so.
A record covers one direction; its flags are those of all its packets, so that both ends show a SYN and an ACK. ICMP has type and
code in `dPort`, and no port of the sender. `bytes` are those of the record alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from pipeline.errors import UnknownFormat, UnreadableSource
from pipeline.formats.format import Format, Parser, Piece, ReadContext
from pipeline.formats.head import Container, Head
from pipeline.formats.record import Endpoint, Record, column_of, integers_of, is_answer, texts_of
from pipeline.formats.syntaxes import FlowParser, Log
from pipeline.options import ReadOptions
from pipeline.syntax.batch import Batch, Integers
from pipeline.syntax.blocks import TextBlock, text_blocks
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.delimited import DelimitedParser, Dialect

_COLUMNS = [
    Column("sIP", Kind.TEXT),
    Column("dIP", Kind.TEXT),
    Column("sPort", Kind.INTEGER, required=False),
    Column("dPort", Kind.INTEGER, required=False),
    Column("bytes", Kind.INTEGER),
    Column("sTime", Kind.TEXT),
    Column("sensor", Kind.TEXT, required=False),
]
_ENDS = (Column("eTime", Kind.TEXT, required=False), Column("duration", Kind.SECONDS, required=False))
#: Titles that versions of SiLK have for the same fields.
_OTHERS = {"sTime+msec": "sTime", "eTime+msec": "eTime", "dur+msec": "duration", "dur": "duration", "durat": "duration"}
_REQUIRED = ("sIP", "dIP", "bytes", "sTime")
_ADVICE = "print it with rwcut --fields=sIP,dIP,sPort,dPort,bytes,sTime,eTime,sensor"

_SIP, _DIP = b"sIP", b"dIP"
_TITLE = re.compile(r" *[A-Za-z][A-Za-z+]* *([^\w .:+\x80-\U0010ffff-])")  # rwcut takes one byte
_BLANK, _LINE_FEED, _CARRIAGE_RETURN = b" \n\r"
_BLANK_IN_TIME = re.compile(rb"-([0-9][0-9]) ([0-9][0-9]:)")
_UNTITLED = re.compile(r" *[0-9a-fA-F.:]+\| *[0-9a-fA-F.:]+\|.*\| *[0-9]{4}/[0-9]{2}/[0-9]{2}T")


def _record(batch: Batch, _options: ReadOptions) -> Record:
    return Record(
        start="sTime",
        src=Endpoint(("sIP",)),
        dst=Endpoint(("dIP",)),
        sent=column_of(batch, "bytes", pa.int64()),
        required=_REQUIRED,
        owner=texts_of(batch, "sensor"),
        answer=is_answer(_ports(batch, "sPort"), _ports(batch, "dPort")),
        end="eTime",
        duration="duration",
    )


def _ports(batch: Batch, name: str) -> Integers:
    """The ports of one side, -1 where there is none: the sender's is 0 where the protocol has no ports."""
    ports = integers_of(batch, name, 0)
    return np.where(integers_of(batch, "sPort", 0) == 0, -1, ports)


_LOG = Log(_COLUMNS, _record, local=("sTime", "eTime"), ends=_ENDS)


def _titles_of(line: str) -> tuple[str, list[str]] | None:
    """The separator of a line of titles, and the names of the fields; None if the line has no titles of rwcut."""
    found = _TITLE.match(line)
    if not found:
        return None
    names = [_name_of(title.strip(" \r")) for title in line.split(found[1])]
    return (found[1], names) if {"sIP", "dIP"} <= set(names) else None


def _name_of(title: str) -> str:
    return "sensor" if len(title) > 2 and "sensor".startswith(title) else _OTHERS.get(title, title)


def _is_silk(head: Head) -> bool:
    titles = _titles_of(head.first_line)
    if titles is None:
        if _UNTITLED.match(head.first_line):
            raise UnknownFormat("a SiLK flow listing without titles", "print it without --no-titles")
        return False
    if missing := [name for name in _REQUIRED if name not in titles[1]]:
        raise UnknownFormat(f"a SiLK flow listing without {' and '.join(missing)}", _ADVICE)
    return True


def _read(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    """Reads listings, of which several may stand one behind the other.

    Raises:
        UnreadableSource: A line of titles is missing, or glued to a record.
    """
    parser: Parser | None = None
    for block in text_blocks(stream, TextBlock):
        for piece in block.cut_at(_titled_lines(block)):
            if piece.line_count == 1 and (titles := _titles_of(piece.data.decode("utf-8", "replace").rstrip("\r\n"))):
                parser = context.parser(_parser_of, (titles[0], tuple(titles[1])))
            elif parser is not None:
                yield parser, piece
            elif piece.data.strip():
                raise UnreadableSource(f"line {piece.first_line}: a record before the titles of its fields; {_ADVICE}")


def _titled_lines(block: TextBlock) -> Iterator[int]:
    """Where the lines start that have titles."""
    found = block.data.find(_SIP)
    while found >= 0:
        start, end = block.data.rfind(b"\n", 0, found) + 1, block.data.find(b"\n", found)
        line = block.data[start : end if end >= 0 else None]
        if _titles_of(line.decode("utf-8", "replace")):
            yield start
        elif _DIP in line:
            number = block.first_line + block.data.count(b"\n", 0, start)
            raise UnreadableSource(
                f"line {number}: titles are glued to a record; ingest the files that were joined here one by one"
            )
        found = block.data.find(_SIP, end) if end >= 0 else -1


def _parser_of(told: tuple[str, Sequence[str]], context: ReadContext) -> Parser:
    return FlowParser(_Lines(*told, _LOG.wanted(context.options)), _LOG, context)


class _Lines:
    """Parses lines whose fields are known.

    Args:
        separator: Between two cells.
        names: Of all fields, in the lines' order; "" behind a separator that ends a line.
        wanted: The columns that are wanted.
    """

    def __init__(self, separator: str, names: Sequence[str], wanted: Sequence[Column]) -> None:
        self._separator = ord(separator)
        self._parser = DelimitedParser(names, wanted, Dialect(separator, null=""))

    def parse(self, block: TextBlock) -> Batch:
        """The records. Blanks around a cell are padding."""
        return self._parser.parse_as(block, _without_padding(_BLANK_IN_TIME.sub(rb"-\1T\2", block.data), self._separator))


def _without_padding(lines: bytes, separator: int) -> bytes:
    """Some lines without the blanks around their cells; most of what rwcut prints is such blanks."""
    characters = np.frombuffer(lines, np.uint8)
    is_text = characters != _BLANK
    places, text = np.flatnonzero(is_text), characters[is_text]
    is_edge = (text == separator) | (text == _LINE_FEED) | (text == _CARRIAGE_RETURN)
    is_within = (np.diff(places) > 1) & ~is_edge[:-1] & ~is_edge[1:]
    if is_within.any():  # as in the flags, which show those that are not set as blanks
        steps = np.zeros(len(lines) + 1, np.int8)
        steps[places[:-1][is_within] + 1] += 1
        steps[places[1:][is_within]] -= 1
        text = characters[is_text | np.cumsum(steps[:-1], dtype=np.int8).astype(bool)]
    return text.tobytes()


FORMATS = (Format("SiLK, rwcut", "silk", Container.TEXT, _is_silk, _read),)
