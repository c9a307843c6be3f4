"""AWS VPC Flow Logs, as text and as Parquet.

Facts from the AWS documentation, "Flow log records": fields are split by a space and `-` is "no value"; files on S3
start with a header of field names in any order and subset, CloudWatch has none; a record covers one direction of a
flow within an aggregation interval; `start` is when its first packet was seen, `end` when its last was (seconds; milliseconds
have been seen).
A `NODATA` line says that an interface was idle, a `SKIPDATA` line that AWS lost records, a `REJECT` record that its
packets were dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from pipeline.formats.awsfields import OWN_FIELDS, hyphened, is_header, names_gateway
from pipeline.formats.awsgateway import STATUSES, fault_of_words, is_none_of, taken_for_a_vpc_s
from pipeline.formats.awstext import NULL, TextReader, is_gateway_text, lines_of
from pipeline.formats.cloudwatch import messages_under
from pipeline.formats.format import Format, Piece, ReadContext
from pipeline.formats.head import Container, Head
from pipeline.formats.record import Endpoint, Record, Reporter, column_of, integers_of, is_answer, texts_of
from pipeline.formats.syntaxes import Log, parquet
from pipeline.options import ReadOptions
from pipeline.syntax.batch import DENIED, LOST, NO_TRAFFIC, Batch, Mask
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.dictionary import codes_of, is_text, rows_where

#: What is noted of rows with a direction that AWS does not have: their bytes are traffic at whichever end.
_UNKNOWN_END = (
    "have a flow-direction that is neither ingress nor egress: --logged and the share from both ends leave them aside"
)
PARQUET_NULLS = (NULL, "None")  # Python tools that convert text to Parquet write their None so
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


def _ignored(batch: Batch) -> dict[str, Mask]:
    status = texts_of(batch, "log-status")
    return {
        NO_TRAFFIC: is_text(status, "NODATA") | _is_without_data(batch),
        LOST: is_text(status, "SKIPDATA"),
        DENIED: is_text(texts_of(batch, "action"), "REJECT") & ~is_none_of(batch, "log-status", STATUSES),
    }


def _is_without_data(batch: Batch) -> Mask:
    """Which records say that there was nothing, in a log that has no column to say so."""
    count = batch.table.column("bytes")
    if "log-status" in batch.table.column_names or not count.null_count:
        return np.zeros(batch.table.num_rows, bool)
    is_null = [batch.table.column(name).is_null().to_numpy() for name in ("srcaddr", "dstaddr", "bytes")]
    return np.logical_and.reduce(is_null)


def _record(batch: Batch, _options: ReadOptions) -> Record:
    return Record(
        start="start",
        src=_endpoint(batch, "srcaddr", "egress"),
        dst=_endpoint(batch, "dstaddr", "ingress"),
        sent=column_of(batch, "bytes", pa.int64()),
        required=("start", "srcaddr", "dstaddr", "bytes"),
        vpc=texts_of(batch, "vpc-id"),
        owner=texts_of(batch, "account-id"),
        answer=_answers(batch),
        reporter=_reporter(batch),
        end="end",
    )


def _reporter(batch: Batch) -> Reporter:
    """The interface that reports, and, from version 5 on, at which end of the flow it is: no other field tells."""
    interface = texts_of(batch, "interface-id")
    if "flow-direction" not in batch.table.column_names:
        return Reporter(interface=interface)
    direction = texts_of(batch, "flow-direction")
    return Reporter(
        sender=is_text(direction, "egress"),
        receiver=is_text(direction, "ingress"),
        interface=interface,
        untold=codes_of(direction) < 0,
    )


def _prepared(batch: Batch, _options: ReadOptions) -> Batch:
    """The records that are whole, as far as their words tell, with a note of those whose direction nobody knows."""
    batch = batch.reject(
        fault_of_words(batch, "log-status", STATUSES), fault_of_words(batch, "action", ("ACCEPT", "REJECT"))
    )
    return batch.note({_UNKNOWN_END: is_unknown(texts_of(batch, "flow-direction"))})


def is_unknown(direction: pa.DictionaryArray) -> Mask:
    """Which records have a direction that is neither of the two that AWS has."""
    return rows_where(direction, lambda word: word not in ("ingress", "egress"))


def _endpoint(batch: Batch, address: str, direction: str) -> Endpoint:
    """The end of a flow at which the interface stands that reports a record of that direction."""
    addresses = (f"pkt-{address}", address)
    if "ecs-service-name" not in batch.table.column_names:
        return Endpoint(addresses)
    return Endpoint(addresses, texts_of(batch, "ecs-service-name"), is_text(texts_of(batch, "flow-direction"), direction))


def _answers(batch: Batch) -> Mask:
    ports = integers_of(batch, "srcport", -1), integers_of(batch, "dstport", -1)
    return is_answer(*ports, integers_of(batch, "tcp-flags", 0) if "tcp-flags" in batch.table.column_names else None)


#: What the fields say, in text, in Parquet and in the messages of CloudWatch's events.
LOG = Log(
    _COLUMNS,
    _record,
    _ignored,
    ends=(Column("end", Kind.INTEGER, required=False),),
    interfaces=(Column("interface-id", Kind.TEXT, required=False),),
    prepared=_prepared,
)


def _is_text(head: Head) -> bool:
    is_gateway = is_gateway_text(head)
    if is_gateway:  # nobody asks in vain whose log it is, unless the user names this format
        raise taken_for_a_vpc_s()
    return is_gateway is not None or messages_under(head.first_line) is not None


def _read_text(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    return TextReader(LOG, context).read(lines_of(stream))


def _is_parquet(head: Head) -> bool:
    names = [hyphened(name) for name in head.parquet_columns]
    if names_gateway(names) and "srcaddr" in names:
        raise taken_for_a_vpc_s()
    return is_header(names)


TEXT = Format("AWS VPC Flow Logs, text", "aws-vpc", Container.TEXT, _is_text, _read_text, (OWN_FIELDS,))
_PARQUET = Format(
    "AWS VPC Flow Logs, Parquet",
    "aws-vpc",
    Container.PARQUET,
    _is_parquet,
    parquet(LOG, null_texts=PARQUET_NULLS, name_of=hyphened),
)

FORMATS = (TEXT, _PARQUET)
