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

from pipeline.errors import UnknownFormat
from pipeline.hours import SECONDS_PER_HOUR
from pipeline.readers.blocks import TextBlock, text_blocks
from pipeline.readers.coded import arrow_of, choose, codes_of, constant, first_of, is_text
from pipeline.readers.detection import Head
from pipeline.readers.direction import Integers, is_answer
from pipeline.readers.interface import Batch, Container, Fault, Format, Mask, ReadOptions, Split
from pipeline.readers.joined import split_first_line
from pipeline.readers.records import NOT_ADDRESS, integers_of, missing, texts_of
from pipeline.readers.syntax.cells import Column, Kind
from pipeline.readers.syntax.delimited import DelimitedParser, Dialect
from pipeline.readers.syntax.parquet import read_parquet
from pipeline.readers.syntax.times import OUT_OF_RANGE, not_times, seconds_of
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

_HEADER = re.compile(rb"(?=[^\n]*\bsrcaddr\b)[a-z][a-z0-9 \t-]*(?:\r?\n|\r?\Z)")
_FIELD_NAME = re.compile(r"[a-z][a-z0-9-]*")
_LINE = re.compile(r"\d+ \S+ (\S+) .* (ACCEPT|REJECT|-) (OK|NODATA|SKIPDATA)")


class _Text:
    name = "AWS VPC Flow Logs, text"
    option = "aws-vpc"
    container = Container.TEXT

    def recognises(self, head: Head) -> bool:
        first = head.split_first_line(None)
        if _is_of_gateway(first):
            raise UnknownFormat("an AWS Transit Gateway flow log", "flowlog reads VPC flow logs only")
        return _is_header(first) or any(map(_is_default_line, head.text.splitlines()[:50]))

    def split_of(self, head: Head) -> Split | None:
        first = head.split_first_line(None)
        return split_first_line if _is_header(first) and not _is_of_gateway(first) else None

    def read(self, stream: BinaryIO, options: ReadOptions) -> Iterator[Batch]:
        return read_lines(text_blocks(stream, TextBlock), options)


def read_lines(blocks: Iterable[TextBlock], options: ReadOptions) -> Iterator[Batch]:
    """Reads lines of AWS text, with a header or without.

    A header may also stand in the middle: that is what joining files, packed or not, makes.
    """
    parser: DelimitedParser | None = None
    for block in blocks:
        for piece in block.cut_at(_HEADER, b"a", b"z"):
            records = piece
            if (parser is None or piece.line_count == 1) and (found := piece.split_first()):
                fields = found[0].decode("utf-8", "replace").split()
                if _is_header(fields):
                    parser = DelimitedParser(fields, _COLUMNS, _SPACES)
                    records = found[1]
                elif parser is None:
                    parser = DelimitedParser(options.aws_fields or DEFAULT_FIELDS, _COLUMNS, _SPACES)
            if parser is not None:
                yield _flows(parser.parse(records), options)


class _Parquet:
    name = "AWS VPC Flow Logs, Parquet"
    option = "aws-vpc"
    container = Container.PARQUET

    def recognises(self, head: Head) -> bool:
        return _is_header([name.replace("_", "-") for name in head.parquet_columns])

    def split_of(self, head: Head) -> None:
        """It has no lines."""

    def read(self, stream: BinaryIO, options: ReadOptions) -> Iterator[Batch]:
        underscored = [Column(c.name.replace("-", "_"), c.kind, c.required) for c in _COLUMNS]
        for batch in read_parquet(stream, underscored, null_texts=_PARQUET_NULLS):
            hyphened = [name.replace("_", "-") for name in batch.table.column_names]
            yield _flows(batch.with_table(batch.table.rename_columns(hyphened)), options)


FORMATS: tuple[Format, ...] = (_Text(), _Parquet())


def _is_header(cells: Sequence[str]) -> bool:
    """Whether these are names of AWS's fields: no record has two of its fields' names for values."""
    known = {column.name for column in _COLUMNS}
    return len(known.intersection(cells)) >= 2 and all(map(_FIELD_NAME.fullmatch, cells))


def _is_of_gateway(cells: Sequence[str]) -> bool:
    """Whether these are names of fields that a Transit Gateway's flow log has."""
    return "tgw-id" in cells or "tgw-attachment-id" in cells


def _is_default_line(line: str) -> bool:
    match = _LINE.fullmatch(line.rstrip())
    return match is not None and len(line.split()) == len(DEFAULT_FIELDS) and not match[1].startswith("tgw-")


def _flows(batch: Batch, options: ReadOptions) -> Batch:
    """Turns AWS records into flow records."""
    unwanted = {status: is_text(texts_of(batch, "log-status"), status) for status in ("NODATA", "SKIPDATA")}
    batch = batch.ignore(unwanted | {"REJECT": is_text(texts_of(batch, "action"), "REJECT")})
    batch = _reject_unfit(batch)
    vpc_ids = _vpc_ids(batch, options)
    src_apps, bad_src = options.apps.apps_of(_original(batch, "srcaddr"), vpc_ids)
    dest_apps, bad_dest = options.apps.apps_of(_original(batch, "dstaddr"), vpc_ids)
    src_apps = _service_of(batch, "egress", src_apps)
    dest_apps = _service_of(batch, "ingress", dest_apps)
    answers = _answers(batch)
    counts = integers_of(batch, "bytes", 0)
    flows = pa.table(
        [
            arrow_of(_seconds(batch) // SECONDS_PER_HOUR),
            choose(answers, dest_apps, src_apps),
            choose(answers, src_apps, dest_apps),
            vpc_ids,
            arrow_of(np.where(answers, 0, counts)),
            arrow_of(np.where(answers, counts, 0)),
        ],
        schema=FLOW_SCHEMA,
    )
    faults = [*_not_addresses(batch, "srcaddr", bad_src), *_not_addresses(batch, "dstaddr", bad_dest)]
    return batch.with_table(flows).reject(*faults) if faults else batch.with_table(flows)


def _answers(batch: Batch) -> Mask:
    ports = integers_of(batch, "srcport", -1), integers_of(batch, "dstport", -1)
    return is_answer(*ports, integers_of(batch, "tcp-flags", 0) if "tcp-flags" in batch.table.column_names else None)


def _reject_unfit(batch: Batch) -> Batch:
    """Rejects the records that lack what every record with data has."""
    faults = missing(batch, "start", "srcaddr", "dstaddr", "bytes")
    if (unfit := not_times(_seconds(batch))) is not None:
        faults.append(Fault("start", OUT_OF_RANGE, unfit, batch.table.column("start")))
    return batch.reject(*faults) if faults else batch


def _seconds(batch: Batch) -> Integers:
    return seconds_of(integers_of(batch, "start", 0))


def _vpc_ids(batch: Batch, options: ReadOptions) -> pa.DictionaryArray:
    """The record's own VPC; else the user's; else the account, within which a VPC's addresses are mostly unique."""
    fallback = texts_of(batch, "account-id") if options.vpc_id is None else constant(options.vpc_id, batch.table.num_rows)
    return first_of(first_of(texts_of(batch, "vpc-id"), fallback), constant(_NULL, batch.table.num_rows))


def _original(batch: Batch, name: str) -> pa.DictionaryArray:
    return first_of(texts_of(batch, f"pkt-{name}"), texts_of(batch, name))


def _not_addresses(batch: Batch, name: str, bad: Mask) -> list[Fault]:
    if not bad.any():
        return []
    original = texts_of(batch, f"pkt-{name}")
    is_original = codes_of(original) >= 0
    return [
        Fault(f"pkt-{name}", NOT_ADDRESS, bad & is_original, original),
        Fault(name, NOT_ADDRESS, bad & ~is_original, texts_of(batch, name)),
    ]


def _service_of(batch: Batch, direction: str, apps: pa.DictionaryArray) -> pa.DictionaryArray:
    if "ecs-service-name" not in batch.table.column_names:
        return apps
    services = texts_of(batch, "ecs-service-name")
    is_named = is_text(texts_of(batch, "flow-direction"), direction) & (codes_of(services) >= 0)
    return choose(is_named, services, apps)
