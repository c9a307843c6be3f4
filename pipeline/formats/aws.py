"""AWS VPC Flow Logs, as text and as Parquet.

Facts from the AWS documentation, "Flow log records": fields are split by a space and `-` is "no value"; files on S3
start with a header of field names in any order and subset, CloudWatch has none; a record covers one direction of a
flow within an aggregation interval; `start` is when its first packet was seen (seconds; milliseconds have been seen).
A `NODATA` line says that an interface was idle, a `SKIPDATA` line that AWS lost records, a `REJECT` record that its
packets were dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from pipeline.errors import OtherLog, UnknownFormat, UnreadableSource
from pipeline.formats.awsfields import DEFAULT_FIELDS, FIELDS, fields_given, hyphened, is_header, is_of_gateway
from pipeline.formats.cloudwatch import messages_under, without_times
from pipeline.formats.conversion import to_flows
from pipeline.formats.format import FlowParser, Format, Parser, Piece, ReadContext, Setting
from pipeline.formats.head import Container, Head
from pipeline.formats.record import Endpoint, Record, column_of, integers_of, is_answer, texts_of
from pipeline.scalars import MAX_RAW_BYTES
from pipeline.syntax.batch import Batch, Mask
from pipeline.syntax.blocks import TextBlock, text_blocks
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.delimited import DelimitedParser, Dialect
from pipeline.syntax.dictionary import is_text, only
from pipeline.syntax.parquet import read_parquet

_NULL = "-"
_PARQUET_NULLS = (_NULL, "None")  # Python tools that convert text to Parquet write their None so
_COLUMNS = [
    Column("start", Kind.INTEGER),
    Column("srcaddr", Kind.TEXT),
    Column("dstaddr", Kind.TEXT),
    Column("bytes", Kind.INTEGER),
    Column("srcport", Kind.INTEGER, required=False),
    Column("dstport", Kind.INTEGER, required=False),
    Column("tcp-flags", Kind.INTEGER, required=False),
    Column("action", Kind.TEXT, required=False),
    Column("log-status", Kind.TEXT, required=False),
    Column("account-id", Kind.TEXT, required=False),
    Column("vpc-id", Kind.TEXT, required=False),
    # The packet's own addresses, where an interface in between (a NAT gateway, a Kubernetes node) has srcaddr, dstaddr.
    Column("pkt-srcaddr", Kind.TEXT, required=False),
    Column("pkt-dstaddr", Kind.TEXT, required=False),
    # The service of the ECS task behind the interface: the sender's of an egress record, the receiver's of an ingress.
    Column("ecs-service-name", Kind.TEXT, required=False),
    Column("flow-direction", Kind.TEXT, required=False),
]
_LINE_END = re.compile(rb"\r?\n")
_ADDR = b"addr"  # is in every header: without addresses a log cannot be counted
_FIELD_NAME = re.compile(r"[a-z][a-z0-9-]*")
_LINE = re.compile(r"\d+ .* (ACCEPT|REJECT|-) (OK|NODATA|SKIPDATA)")
#: What a Transit Gateway's record has, and a VPC's has not: its type, or a gateway's or an attachment's id.
_OF_GATEWAY = re.compile(r"(?<!\S)(?:TransitGateway|tgw-(?:attach-)?[0-9a-f]{8,17})(?!\S)")

_BLANKS, _EDGES = re.compile(rb"[ \t]{2,}|\t"), re.compile(rb"^ | (?=\r?$)", re.MULTILINE)


OWN_FIELDS = Setting(
    "aws-vpc.fields",
    "The fields of AWS text without a header line, in order, split by spaces.",
    lambda text: fields_given(text.split()),
)


def _mended(lines: bytes) -> bytes:
    """Lines as AWS writes them, from exports that put a time before them, or their fields in columns."""
    return _EDGES.sub(b"", _BLANKS.sub(b" ", without_times(lines)))


_SPACES = Dialect(delimiter=" ", null=_NULL, mended=_mended)


class _Text:
    name = "AWS VPC Flow Logs, text"
    option = "aws-vpc"
    container = Container.TEXT
    settings = (OWN_FIELDS,)

    def recognises(self, head: Head) -> bool:
        lines = head.text.splitlines()[:50]
        if any(map(_is_of_gateway, lines)):
            is_first = _is_of_gateway(head.first_line) or is_of_gateway(_names_in(head.first_line))
            raise _gateway_records() if not is_first or any(map(_is_of_vpc, head.text.splitlines())) else _gateway_log()
        is_header = _fields_of(head.first_line) or messages_under(head.first_line)
        return is_header is not None or any(map(_is_default_line, lines))

    def read(self, stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        return read_lines(text_blocks(stream, TextBlock), context)


def read_lines(blocks: Iterable[TextBlock], context: ReadContext) -> Iterator[tuple[Parser, TextBlock]]:
    """Reads lines of AWS text, with a header or without.

    A header may also stand in the middle, which is what joining files makes: the lines behind it are read in its order.

    Raises:
        UnknownFormat: Some of them are a Transit Gateway's.
        UnreadableSource: A header is glued to a record.
    """
    parser: Parser | None = None
    header: str | None = None
    for block in blocks:
        for piece in block.cut_at(_headers(block)):
            records = piece
            if (parser is None or piece.line_count == 1) and (found := piece.split_first()):
                line = found[0].decode("utf-8", "replace")
                if fields := _fields_of(line):
                    parser = context.parser(_parser_of, (tuple(fields), header))
                    records = found[1]
                elif parser is None:
                    header = line if messages_under(line) else None
                    parser = context.parser(_parser_of, (tuple(OWN_FIELDS.of(context.options) or DEFAULT_FIELDS), header))
                    records = found[1] if header else piece
            if parser is not None and records.data:
                yield parser, records


def _parser_of(told: tuple[Sequence[str], str | None], context: ReadContext) -> Parser:
    return FlowParser(_Lines(*told), _flows, context)


class _Lines:
    """Parses lines of AWS text whose fields are known.

    Args:
        fields: The names of the fields, in the lines' order.
        header: Of the CSV of whose rows the lines are the messages; None where each line is a record.
    """

    def __init__(self, fields: Sequence[str], header: str | None) -> None:
        self._parser = DelimitedParser(fields, _COLUMNS, _SPACES)
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
        if _fields_of(line):
            yield start
        elif sum(hyphened(cell) in FIELDS for cell in line.split()) > 2:
            number = block.first_line + block.data.count(b"\n", 0, start)
            raise UnreadableSource(
                f"line {number}: a header is glued to a record; ingest the files that were joined here one by one"
            )


def _refuse_gateway(batch: Batch) -> None:
    """A file may hold the records of VPCs and of Transit Gateways side by side; the latter have more fields."""
    accounts = texts_of(batch, "account-id")  # whose dictionary may have the texts of other files
    if is_text(accounts, "TransitGateway").any() or any(_is_of_gateway(reject.raw) for reject in batch.rejects):
        raise _gateway_records()


class _Parquet:
    name = "AWS VPC Flow Logs, Parquet"
    option = "aws-vpc"
    container = Container.PARQUET
    settings = ()

    def recognises(self, head: Head) -> bool:
        names = [hyphened(name) for name in head.parquet_columns]
        if is_of_gateway(names) and "srcaddr" in names:
            raise _gateway_log()
        return is_header(names)

    def read(self, stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        for batch in read_parquet(stream, _COLUMNS, null_texts=_PARQUET_NULLS, name_of=hyphened):
            yield _flows(batch, context)


TEXT = _Text()
FORMATS: tuple[Format, ...] = (TEXT, _Parquet())


def _gateway_log() -> OtherLog:
    return OtherLog("an AWS Transit Gateway flow log", "flowlog reads VPC flow logs only")


def _gateway_records() -> UnknownFormat:
    """A log whose other records are a VPC's is no other log, which a folder may hold: those would be lost."""
    return UnknownFormat("an AWS Transit Gateway flow log", "flowlog reads VPC flow logs only")


def _is_of_gateway(line: str) -> bool:
    """Whether a record is a Transit Gateway's."""
    return _OF_GATEWAY.search(line) is not None


def _is_of_vpc(line: str) -> bool:
    """Whether a line is certainly a record of a VPC, or the header of such records."""
    names = _names_in(line)
    return _is_default_line(line) or (is_header(names) and not is_of_gateway(names))


def _names_in(line: str) -> list[str]:
    return [hyphened(cell) for cell in line.split()]


def _fields_of(line: str) -> list[str] | None:
    """The names of the fields that a line lists; None if it is no header.

    Raises:
        UnknownFormat: It is the header of a Transit Gateway's log.
    """
    names = _names_in(line)
    if not all(map(_FIELD_NAME.fullmatch, names)):
        return None
    if is_of_gateway(names):
        raise _gateway_log()
    return names if is_header(names) else None


def _is_default_line(line: str) -> bool:
    cells = _mended(line.encode()).decode().split(" ")
    return len(cells) == len(DEFAULT_FIELDS) and _LINE.fullmatch(" ".join(cells)) is not None


def _flows(batch: Batch, context: ReadContext) -> Batch:
    batch = batch.ignore(_ignored(batch))
    return to_flows(batch, _record_of(batch), context.options, context.apps)


def _ignored(batch: Batch) -> dict[str, Mask]:
    status = texts_of(batch, "log-status")
    return {
        "NODATA": is_text(status, "NODATA") | _is_without_data(batch),
        "SKIPDATA": is_text(status, "SKIPDATA"),
        "REJECT": is_text(texts_of(batch, "action"), "REJECT"),
    }


def _record_of(batch: Batch) -> Record:
    return Record(
        start="start",
        src=Endpoint(("pkt-srcaddr", "srcaddr"), _services(batch, "egress")),
        dst=Endpoint(("pkt-dstaddr", "dstaddr"), _services(batch, "ingress")),
        sent=column_of(batch, "bytes", pa.int64()),
        required=("start", "srcaddr", "dstaddr", "bytes"),
        vpc=texts_of(batch, "vpc-id"),
        owner=texts_of(batch, "account-id"),
        answer=_answers(batch),
    )


def _is_without_data(batch: Batch) -> Mask:
    """Which records say that there was nothing, in a log that has no column to say so."""
    count = batch.table.column("bytes")
    if "log-status" in batch.table.column_names or not count.null_count:
        return np.zeros(batch.table.num_rows, bool)
    is_null = [batch.table.column(name).is_null().to_numpy() for name in ("srcaddr", "dstaddr", "bytes")]
    return np.logical_and.reduce(is_null)


def _answers(batch: Batch) -> Mask:
    ports = integers_of(batch, "srcport", -1), integers_of(batch, "dstport", -1)
    return is_answer(*ports, integers_of(batch, "tcp-flags", 0) if "tcp-flags" in batch.table.column_names else None)


def _services(batch: Batch, direction: str) -> pa.DictionaryArray | None:
    """The services behind the interfaces that report, where these stand at that end of the flow."""
    if "ecs-service-name" not in batch.table.column_names:
        return None
    return only(is_text(texts_of(batch, "flow-direction"), direction), texts_of(batch, "ecs-service-name"))
