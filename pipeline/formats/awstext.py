"""Lines of AWS text: fields that are split by a space, with a header that names them or without, and with what exports put around.

A file on S3 starts with a header. A header may also stand in the middle, which is what joining files makes: the lines behind it
are read in its order. Lines without a header have the fields of version 2, unless the user names others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pipeline.errors import UnreadableSource
from pipeline.formats.awsfields import DEFAULT_FIELDS, FIELDS, OWN_FIELDS, hyphened, is_header
from pipeline.formats.awsgateway import gateway_log, gateway_records, is_of_gateway, names_gateway
from pipeline.formats.cloudwatch import messages_under, without_times
from pipeline.formats.format import Parser, ReadContext
from pipeline.formats.record import texts_of
from pipeline.formats.syntaxes import FlowParser, Log
from pipeline.scalars import MAX_RAW_BYTES
from pipeline.syntax.batch import Batch
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.cells import Column
from pipeline.syntax.delimited import DelimitedParser, Dialect
from pipeline.syntax.dictionary import is_text

#: What stands for "no value".
NULL = "-"
_LINE_END = re.compile(rb"\r?\n")
_ADDR = b"addr"  # is in every header: without addresses a log cannot be counted
_FIELD_NAME = re.compile(r"[a-z][a-z0-9-]*")
_DEFAULT_LINE = re.compile(r"\d+ .* (ACCEPT|REJECT|-) (OK|NODATA|SKIPDATA)")
_BLANKS, _EDGES = re.compile(rb"[ \t]{2,}|\t"), re.compile(rb"^ | (?=\r?$)", re.MULTILINE)


def _mended(lines: bytes) -> bytes:
    """Lines as AWS writes them, from exports that put a time before them, or their fields in columns."""
    return _EDGES.sub(b"", _BLANKS.sub(b" ", without_times(lines)))


_SPACES = Dialect(delimiter=" ", null=NULL, mended=_mended)


def names_in(line: str) -> list[str]:
    """The words of a line as the names of fields."""
    return [hyphened(cell) for cell in line.split()]


def fields_of(line: str) -> list[str] | None:
    """The names of the fields that a line lists; None if the line is no header.

    Raises:
        OtherLog: It is the header of a Transit Gateway's log.
    """
    names = names_in(line)
    if not all(map(_FIELD_NAME.fullmatch, names)):
        return None
    if names_gateway(names):
        raise gateway_log()
    return names if is_header(names) else None


def is_default_line(line: str) -> bool:
    """Whether a line is a record of version 2, in the order of AWS."""
    cells = _mended(line.encode()).decode().split(" ")
    return len(cells) == len(DEFAULT_FIELDS) and _DEFAULT_LINE.fullmatch(" ".join(cells)) is not None


class TextReader:
    """Reads lines of AWS text, and follows their headers.

    Args:
        log: What the fields say.
        context: What is known beside the file.
    """

    def __init__(self, log: Log, context: ReadContext) -> None:
        self._log = log
        self._context = context
        self._parser: Parser | None = None
        self._messages_header: str | None = None

    def read(self, blocks: Iterable[TextBlock]) -> Iterator[tuple[Parser, TextBlock]]:
        """The records of some blocks, with what parses them.

        Raises:
            UnknownFormat: Some of them are a Transit Gateway's.
            UnreadableSource: A header is glued to a record.
        """
        for block in blocks:
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
            self._parser = self._parser_of(fields)
            return found[1]
        if self._parser is not None:
            return piece
        self._messages_header = line if messages_under(line) else None
        self._parser = self._parser_of(OWN_FIELDS.of(self._context.options) or DEFAULT_FIELDS)
        return found[1] if self._messages_header else piece

    def _parser_of(self, fields: Sequence[str]) -> Parser:
        return self._context.parser(_parser_of, (tuple(fields), self._messages_header, self._log))


def _parser_of(told: tuple[Sequence[str], str | None, Log], context: ReadContext) -> Parser:
    fields, header, log = told
    return FlowParser(_Lines(fields, header, log.wanted(context.options)), log, context)


class _Lines:
    """Parses lines of AWS text whose fields are known.

    Args:
        fields: The names of the fields, in the lines' order.
        header: Of the CSV of whose rows the lines are the messages; None where each line is a record.
        wanted: The columns that are wanted.
    """

    def __init__(self, fields: Sequence[str], header: str | None, wanted: Sequence[Column]) -> None:
        self._parser = DelimitedParser(fields, wanted, _SPACES)
        self._messages = None if header is None else messages_under(header)

    def parse(self, block: TextBlock) -> Batch:
        messages = self._messages
        batch = self._parser.parse_as(block, messages(block.data)) if messages else self._parser.parse(block)
        _refuse_gateway(batch)
        return batch


def _headers(block: TextBlock) -> Iterator[int]:
    """Where the lines start that are headers."""
    for start in block.lines_with(_ADDR):
        line = _LINE_END.split(block.data[start : start + MAX_RAW_BYTES], 1)[0].decode("utf-8", "replace")
        if fields_of(line):
            yield start
        elif sum(hyphened(cell) in FIELDS for cell in line.split()) > 2:
            number = block.first_line + block.data.count(b"\n", 0, start)
            raise UnreadableSource(
                f"line {number}: a header is glued to a record; ingest the files that were joined here one by one"
            )


def _refuse_gateway(batch: Batch) -> None:
    """A file may hold the records of VPCs and of Transit Gateways side by side; the latter have more fields."""
    accounts = texts_of(batch, "account-id")  # whose dictionary may have the texts of other files
    if is_text(accounts, "TransitGateway").any() or any(is_of_gateway(reject.raw) for reject in batch.rejects):
        raise gateway_records()
