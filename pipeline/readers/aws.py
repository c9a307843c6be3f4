"""AWS VPC Flow Logs, as text and as Parquet.

Facts from the AWS documentation, "Flow log records": fields are split by a space and `-` is "no value"; files on S3
start with a header of field names in any order and subset, CloudWatch has none; a record covers one direction of a
flow within an aggregation interval; `start` is when its first packet was seen (seconds; milliseconds have been seen).
A `NODATA` line says that an interface was idle, a `SKIPDATA` line that AWS lost records, a `REJECT` record that its
packets were dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UnknownFormat
from pipeline.hours import SECONDS_PER_HOUR
from pipeline.readers.blocks import TextBlock, text_blocks
from pipeline.readers.detection import Head
from pipeline.readers.direction import Integers, is_answer
from pipeline.readers.interface import Batch, Container, Fault, Format, Mask, ReadOptions
from pipeline.readers.records import NOT_ADDRESS, column_of, missing
from pipeline.readers.syntax.cells import RULES, Column, Kind
from pipeline.readers.syntax.delimited import DelimitedParser, Dialect
from pipeline.readers.syntax.parquet import read_parquet
from pipeline.schema import FLOW_SCHEMA

#: The fields of version 2, which is what a flow log without a chosen format has, and CloudWatch without a header.
DEFAULT_FIELDS = tuple(  # as AWS writes them down
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status".split()  # noqa: SIM905
)

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
_SPACES = Dialect(delimiter=" ", null=_NULL)

_MILLISECONDS_FROM, _TIMES_BELOW = 10**11, 10**14  # as seconds: the years 5138 and 3170843

_HEADER = re.compile(rb"^(?=[^\n]*\bsrcaddr\b)[a-z][a-z0-9 \t-]*(?:\r?\n|\r?\Z)", re.MULTILINE)
_FIELD_NAME = re.compile(r"[a-z][a-z0-9-]*")
_LINE = re.compile(r"\d+ \S+ (\S+) .* (ACCEPT|REJECT|-) (OK|NODATA|SKIPDATA)")


class _Text:
    name = "AWS VPC Flow Logs, text"
    option = "aws-vpc"
    container = Container.TEXT

    def recognises(self, head: Head) -> bool:
        first = head.split_first_line(None)
        if "tgw-id" in first or "tgw-attachment-id" in first:
            raise UnknownFormat("an AWS Transit Gateway flow log", "flowlog reads VPC flow logs only")
        return _is_header(first) or any(map(_is_default_line, head.text.splitlines()[:50]))

    def read(self, stream: BinaryIO, options: ReadOptions) -> Iterator[Batch]:
        parser: DelimitedParser | None = None
        for block in text_blocks(stream):
            # A header may also stand in the middle: that is what joining files, packed or not, makes.
            for piece in block.cut_at(_HEADER) if b"srcaddr" in block.data else [block]:
                first = _first_line(piece) if parser is None or piece.line_count == 1 else []
                records = piece
                if _is_header(first):
                    parser = DelimitedParser(first, _COLUMNS, _SPACES)
                    records = piece.behind(int(piece.rows()[0]))
                elif parser is None and first:
                    parser = DelimitedParser(options.aws_fields or DEFAULT_FIELDS, _COLUMNS, _SPACES)
                if parser is not None:
                    yield _flows(parser.parse(records), options)


def _first_line(block: TextBlock) -> list[str]:
    """The words of the first line that is not blank; none if all are."""
    line = re.search(rb"[^\r\n]+", block.data)
    return line[0].decode("utf-8", "replace").split() if line else []


class _Parquet:
    name = "AWS VPC Flow Logs, Parquet"
    option = "aws-vpc"
    container = Container.PARQUET

    def recognises(self, head: Head) -> bool:
        return _is_header([name.replace("_", "-") for name in head.parquet_columns])

    def read(self, stream: BinaryIO, options: ReadOptions) -> Iterator[Batch]:
        underscored = [Column(c.name.replace("-", "_"), c.kind, c.required) for c in _COLUMNS]
        for batch in read_parquet(stream, underscored, null_texts=_PARQUET_NULLS):
            hyphened = batch.with_table(batch.table.rename_columns([column.name for column in _COLUMNS]))
            yield _flows(hyphened, options)


FORMATS: tuple[Format, ...] = (_Text(), _Parquet())


def _is_header(cells: Sequence[str]) -> bool:
    """Whether these are names of AWS's fields: no record has two of its fields' names for values."""
    known = {column.name for column in _COLUMNS}
    return len(known.intersection(cells)) >= 2 and all(map(_FIELD_NAME.fullmatch, cells))


def _is_default_line(line: str) -> bool:
    match = _LINE.fullmatch(line.rstrip())
    return match is not None and len(line.split()) == len(DEFAULT_FIELDS) and not match[1].startswith("tgw-")


def _flows(batch: Batch, options: ReadOptions) -> Batch:
    """Turns AWS records into flow records."""
    for status in ("NODATA", "SKIPDATA"):
        batch = batch.ignore(_is(batch, "log-status", status), status)
    batch = batch.ignore(_is(batch, "action", "REJECT"), "REJECT")
    batch = _reject_unfit(batch)
    vpc_ids = _vpc_ids(batch, options)
    src_apps, bad_src = options.apps.apps_of(_original(batch, "srcaddr"), vpc_ids)
    dest_apps, bad_dest = options.apps.apps_of(_original(batch, "dstaddr"), vpc_ids)
    src_apps = _service_of(batch, "egress", src_apps)
    dest_apps = _service_of(batch, "ingress", dest_apps)
    answers = is_answer(_integers(batch, "srcport", -1), _integers(batch, "dstport", -1), _integers(batch, "tcp-flags", 0))
    tx, rx = _split_bytes(column_of(batch, "bytes"), answers)
    flows = pa.table(
        [
            pa.array(_seconds(batch) // SECONDS_PER_HOUR),
            pc.if_else(pa.array(answers), dest_apps, src_apps),
            pc.if_else(pa.array(answers), src_apps, dest_apps),
            vpc_ids,
            tx,
            rx,
        ],
        schema=FLOW_SCHEMA,
    )
    return batch.with_table(flows).reject(
        *_not_addresses(batch, "srcaddr", bad_src), *_not_addresses(batch, "dstaddr", bad_dest)
    )


def _reject_unfit(batch: Batch) -> Batch:
    """Rejects the records that lack what every record with data has."""
    start = _integers(batch, "start", 0)
    return batch.reject(
        *missing(batch, "start", "srcaddr", "dstaddr", "bytes"),
        Fault("start", RULES[Kind.SECONDS], (start < 0) | (start >= _TIMES_BELOW), column_of(batch, "start")),
    )


def _seconds(batch: Batch) -> Integers:
    start = _integers(batch, "start", 0)
    return np.where(start >= _MILLISECONDS_FROM, start // 1000, start)


def _vpc_ids(batch: Batch, options: ReadOptions) -> pa.Array:
    """The record's own VPC; else the user's; else the account, within which a VPC's addresses are mostly unique."""
    fallback = pa.scalar(options.vpc_id, pa.string())
    return pc.coalesce(column_of(batch, "vpc-id"), fallback, column_of(batch, "account-id"), _NULL)


def _original(batch: Batch, name: str) -> pa.Array:
    return pc.coalesce(column_of(batch, f"pkt-{name}"), column_of(batch, name))


def _not_addresses(batch: Batch, name: str, bad: Mask) -> list[Fault]:
    original = column_of(batch, f"pkt-{name}")
    is_original = original.is_valid().to_numpy(zero_copy_only=False)
    return [
        Fault(f"pkt-{name}", NOT_ADDRESS, bad & is_original, original),
        Fault(name, NOT_ADDRESS, bad & ~is_original, column_of(batch, name)),
    ]


def _service_of(batch: Batch, direction: str, apps: pa.Array) -> pa.Array:
    named = pc.if_else(pa.array(_is(batch, "flow-direction", direction)), column_of(batch, "ecs-service-name"), None)
    return pc.coalesce(named, apps)


def _split_bytes(counts: pa.Array, answers: Mask) -> tuple[pa.Array, pa.Array]:
    """(bytes_tx, bytes_rx): an answer's bytes went from the server to the client."""
    mask = pa.array(answers)
    return pc.if_else(mask, 0, counts), pc.if_else(mask, counts, 0)


def _integers(batch: Batch, name: str, missing: int) -> Integers:
    return column_of(batch, name).fill_null(missing).to_numpy(zero_copy_only=False)


def _is(batch: Batch, name: str, value: str) -> Mask:
    return pc.equal(column_of(batch, name), value).fill_null(False).to_numpy(zero_copy_only=False)
