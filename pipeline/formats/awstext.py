"""Lines of AWS text: fields that are split by a space, with a header that names them or without, and with what exports put around.

A file on S3 starts with a header. A header may also stand in the middle, which is what joining files makes: the lines behind it
are read in its order. Lines without a header have the fields of version 2, unless the user names others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import BinaryIO

import numpy as np

from pipeline.errors import UnreadableSource
from pipeline.formats.awsfields import (
    ALL_FIELDS,
    DEFAULT_FIELDS,
    DEFAULT_GATEWAY_FIELDS,
    OWN_FIELDS,
    OWN_GATEWAY_FIELDS,
    hyphened,
    is_header,
    names_gateway,
)
from pipeline.formats.awsgateway import LOG as GATEWAY_LOG
from pipeline.formats.awsgateway import OPTION, STATUSES, TYPE, in_unnamed_order, is_of_gateway, require_direction
from pipeline.formats.cloudwatch import messages_under, without_times
from pipeline.formats.format import Parser, ReadContext
from pipeline.formats.head import Head
from pipeline.formats.syntaxes import FlowParser, Log
from pipeline.kernel.columns import find_four
from pipeline.scalars import MAX_RAW_BYTES
from pipeline.syntax.batch import Batch
from pipeline.syntax.blocks import ScatteredLines, TextBlock, text_blocks
from pipeline.syntax.delimited import DelimitedParser, Dialect
from pipeline.syntax.lines import refuse_packed

#: What stands for "no value".
NULL = "-"
_LOOKED_AT = 50  # so many lines of a file's start may be a record in the order of AWS
_LINE_END = re.compile(rb"\r?\n")
_ADDR = b"addr"  # is in every header: without addresses a log cannot be counted
_FIELD_NAME = re.compile(r"[a-z][a-z0-9-]*")
_AROUND_NAMES = "\"'#,;${}"  # what stands around the names of fields that others than AWS have written
_DEFAULT_LINE = re.compile(r"\d+ .* (ACCEPT|REJECT|-) (OK|NODATA|SKIPDATA)")
_GATEWAY_STATUS = DEFAULT_GATEWAY_FIELDS.index("log-status")
#: The lines that are a Transit Gateway's records in the order of AWS, whatever is around them: the second field is their type.
_TYPED = re.compile(rb"\n[ \t]*(?:\d{4}-\d\d-\d\dT[\d:.]+Z[ \t]+)?\d+[ \t]+TransitGateway(?=\s|\Z)")
#: And in any order: somewhere is their type, or the id of a gateway or an attachment.
_OF_GATEWAY = re.compile(rb"\n(?:[^\n]*[ \t])?(?:TransitGateway|tgw-(?:attach-)?[0-9a-f]{8,17})(?=\s|\Z)")
_STARTS = (b"Tran", b"tgw-")  # one of these is in each
_MAY_NAME_GATEWAY = "resource-id"  # of a VPC's fields
_BLANKS, _EDGES = re.compile(rb"[ \t]{2,}|\t"), re.compile(rb"^ | (?=\r?$)", re.MULTILINE)


def _mended(lines: bytes) -> bytes:
    """Lines as AWS writes them, from exports that put a time before them, or their fields in columns."""
    return _EDGES.sub(b"", _BLANKS.sub(b" ", without_times(lines)))


_SPACES = Dialect(delimiter=" ", null=NULL, mended=_mended)


def names_in(line: str) -> list[str]:
    """The words of a line as the names of fields."""
    return [hyphened(cell) for cell in line.split()]


def fields_of(line: str) -> list[str] | None:
    """The names of the fields that a line lists; None if the line is no header."""
    names = names_in(line)
    return names if all(map(_FIELD_NAME.fullmatch, names)) and is_header(names) else None


def _names_fields(line: str) -> bool:
    """Whether a line has names of fields for words, in whatever spelling: no record has three of them for values."""
    return len(ALL_FIELDS.intersection(_spelt(line))) > 2


def _spelt(line: str) -> set[str]:
    """The words of a line, as AWS would write them if they were names of fields."""
    return {hyphened(word.strip(_AROUND_NAMES)) for word in line.casefold().split()}


def is_default_line(line: str) -> bool:
    """Whether a line is a record of version 2, in the order of AWS."""
    cells = _cells_of(line)
    return len(cells) == len(DEFAULT_FIELDS) and _DEFAULT_LINE.fullmatch(" ".join(cells)) is not None


def is_default_gateway_line(line: str) -> bool:
    """Whether a line is a Transit Gateway's record with all fields, in the order of AWS."""
    cells = _cells_of(line)
    return len(cells) == len(DEFAULT_GATEWAY_FIELDS) and cells[1] == TYPE and cells[_GATEWAY_STATUS] in STATUSES


def _cells_of(line: str) -> list[str]:
    return _mended(line.encode("utf-8", "replace")).decode().split(" ")


def is_gateway_text(head: Head) -> bool | None:
    """Whether a file starts as a Transit Gateway's log does; False if as a VPC's; None if as neither."""
    if names := fields_of(head.first_line):
        return names_gateway(names)
    lines = head.text.splitlines()[:_LOOKED_AT]
    if messages := messages_under(head.first_line):
        lines = messages("\n".join(lines).encode("utf-8", "replace")).decode("utf-8", "replace").splitlines()
    for line in lines:
        if is_of_gateway(line):
            return True
        if is_default_line(line):
            return False
    return None


def lines_of(stream: BinaryIO) -> Iterator[TextBlock]:
    """The lines of a stream of text, in blocks."""
    return text_blocks(stream, TextBlock, is_header=lambda line: fields_of(line.decode("utf-8", "replace")) is not None)


@dataclass(frozen=True)
class _Layout:
    """How the lines behind a header, or without one, are written.

    Attributes:
        fields: The names of the fields of a VPC's records, in order; None where all records are a Transit Gateway's.
        gateway_fields: Those of a Transit Gateway's records, where a header or the user names them.
        messages_header: Of the CSV of whose rows the lines are the messages; None where each line is a record.
    """

    fields: tuple[str, ...] | None
    gateway_fields: tuple[str, ...] | None
    messages_header: str | None = None


class TextReader:
    """Reads lines of AWS text, and follows their headers.

    Args:
        log: What the fields of a VPC's records say.
        context: What is known beside the file.
    """

    def __init__(self, log: Log, context: ReadContext) -> None:
        self._log = log
        self._context = context
        self._own_gateway_fields = OWN_GATEWAY_FIELDS.of(context.options)
        self._parser: _RecordParser | None = None

    def read(self, blocks: Iterable[TextBlock]) -> Iterator[tuple[Parser, TextBlock]]:
        """The records of some blocks, with what parses them.

        Raises:
            UnknownFormat: Some of them are a Transit Gateway's, and these cannot be read.
            UnreadableSource: A header is glued to a record, or is not written as AWS writes it.
        """
        for block in blocks:
            if self._parser is not None and not block.survey.has_letters:
                yield self._parser.of_a_vpc, block
            else:
                yield from self._between_headers(block)
            del block  # and its text, before more is read

    def _between_headers(self, block: TextBlock) -> Iterator[tuple[Parser, TextBlock]]:
        for piece in block.cut_at(_headers(block)):
            records = self._behind_header(piece)
            if self._parser is not None and records.data:
                yield self._parser, records

    def _behind_header(self, piece: TextBlock) -> TextBlock:
        """The records of lines among which only the first may be a header, which then changes the parser."""
        if self._parser is not None and piece.line_count != 1:
            return piece
        found = piece.split_first()
        if not found:
            return piece
        line = found[0].decode("utf-8", "replace")
        if fields := fields_of(line):
            self._parser = self._parser_of(self._layout_under(tuple(fields)))
            return found[1]
        if self._parser is not None:
            return piece
        if _names_fields(line):
            raise _misspelt(piece.first_line)
        header = line if messages_under(line) else None
        self._parser = self._parser_of(self._layout_without_header(header))
        return found[1] if header else piece

    def _layout_under(self, fields: tuple[str, ...]) -> _Layout:
        if not names_gateway(fields) and not self._is_gateway_s:
            return _Layout(fields, self._own_gateway_fields)
        require_direction(fields)
        return _Layout(None, fields)

    def _layout_without_header(self, messages_header: str | None) -> _Layout:
        fields = None if self._is_gateway_s else OWN_FIELDS.of(self._context.options) or DEFAULT_FIELDS
        return _Layout(fields, self._own_gateway_fields, messages_header)

    @property
    def _is_gateway_s(self) -> bool:
        """Whether the user says that all records are a Transit Gateway's."""
        return self._context.options.format == OPTION

    def _parser_of(self, layout: _Layout) -> _RecordParser:
        return self._context.parser(_parser_of, (layout, self._log))


def _parser_of(told: tuple[_Layout, Log], context: ReadContext) -> _RecordParser:
    return _RecordParser(*told, context)


class _RecordParser:
    """Parses lines of AWS text whose fields are known: the records of VPCs and of Transit Gateways, which may lie side by side.

    Args:
        layout: How the lines are written.
        log: What the fields of a VPC's records say.
        context: What is known beside the file.
        may_be_gateway_s: Whether there may be records of Transit Gateways where there are those of VPCs.
    """

    def __init__(self, layout: _Layout, log: Log, context: ReadContext, *, may_be_gateway_s: bool = True) -> None:
        self._layout = layout
        self._log = log
        self._context = context
        self._messages = None if layout.messages_header is None else messages_under(layout.messages_header)
        self._vpc = None if layout.fields is None else self._parser(layout.fields, log)
        self._may_be_gateway_s = may_be_gateway_s

    @cached_property
    def of_a_vpc(self) -> _RecordParser:
        """The same for lines among which there is no record of a Transit Gateway."""
        return _RecordParser(self._layout, self._log, self._context, may_be_gateway_s=False)

    @cached_property
    def _gateway(self) -> Parser:
        return self._parser(self._layout.gateway_fields or DEFAULT_GATEWAY_FIELDS, GATEWAY_LOG)

    def _parser(self, fields: Sequence[str], log: Log) -> Parser:
        return FlowParser(DelimitedParser(fields, log.wanted(self._context.options), _SPACES), log, self._context)

    def parse(self, block: TextBlock) -> Batch:
        if self._messages is None:
            return self._parse(block)
        messages = ScatteredLines(self._messages(block.data), block.first_line, block.numbers(block.line_count), block)
        batch = self._parse(messages)
        if batch.rejects:
            refuse_packed(block)  # of which no message has a byte
        return replace(batch, raw_bytes=batch.raw_bytes + block.nbytes)

    def _parse(self, block: TextBlock) -> Batch:
        batch = self._of_both(block)
        for reject in batch.rejects:  # a header in large letters is among them, as names are no integers
            if "addr" in reject.raw.casefold() and _names_fields(reject.raw):
                raise _misspelt(reject.row)
            if self._messages and messages_under(reject.raw):
                raise UnreadableSource(
                    f"line {reject.row}: a second header; ingest the files that were joined here one by one"
                )
        return batch

    def _of_both(self, block: TextBlock) -> Batch:
        if self._vpc is None:
            return self._gateway.parse(block)
        starts = self._starts_of_gateway_s(block.data) if self._may_be_gateway_s else []
        if not starts:
            return self._vpc.parse(block)
        if len(starts) == block.line_count:
            return self._gateway.parse(block)
        is_gateway_s = np.isin(block.line_starts, starts)
        theirs = self._gateway.parse(block.lines(np.flatnonzero(is_gateway_s)))
        joined = self._vpc.parse(block.lines(np.flatnonzero(~is_gateway_s))).joined_by(theirs)
        return replace(joined, raw_bytes=2 * block.nbytes)

    def _starts_of_gateway_s(self, data: bytes) -> list[int]:
        """Where the lines start that are a Transit Gateway's records; of a pure log of a VPC no line need be looked at.

        Raises:
            UnknownFormat: One is not in the order of AWS, and nobody names its fields.
        """
        if all(find_four(data, start) < 0 for start in _STARTS):
            return []
        behind_newline = b"\n" + data
        typed = [found.start() for found in _TYPED.finditer(behind_newline)]
        if self._layout.fields and _MAY_NAME_GATEWAY in self._layout.fields:
            return typed
        starts = [found.start() for found in _OF_GATEWAY.finditer(behind_newline)]
        if self._layout.gateway_fields is None and (others := set(starts).difference(typed)):
            first = min(others)
            raise in_unnamed_order(_LINE_END.split(data[first : first + MAX_RAW_BYTES], 1)[0].decode("utf-8", "replace"))
        return starts


def _headers(block: TextBlock) -> Iterator[int]:
    """Where the lines start that are headers."""
    for start in block.lines_with(_ADDR):
        line = _LINE_END.split(block.data[start : start + MAX_RAW_BYTES], 1)[0].decode("utf-8", "replace")
        if fields_of(line):
            yield start
        elif _names_fields(line):
            number = block.first_line + block.data.count(b"\n", 0, start)
            if ALL_FIELDS.issuperset(_spelt(line)):
                raise _misspelt(number)
            raise UnreadableSource(
                f"line {number}: a header is glued to a record; ingest the files that were joined here one by one"
            )


def _misspelt(number: int) -> UnreadableSource:
    """What is wrong with a line that names fields and is no header: what lies behind it may be in any order."""
    return UnreadableSource(
        f"line {number}: a header that is not written as AWS writes it; write it in small letters, split by spaces, as"
        f" {' '.join(DEFAULT_FIELDS[:4])}, or remove it and name the fields with --aws-fields"
    )
