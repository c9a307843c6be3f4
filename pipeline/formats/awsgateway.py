"""AWS Transit Gateway Flow Logs: what their records say, and how these are told from a VPC's.

Facts from the AWS documentation, "Transit Gateway Flow Logs": a record covers one direction of a flow in a minute, as an attachment
of the gateway saw it; a packet passes two attachments, so that its bytes are in an `ingress` record, of the one at which it came in,
and in an `egress` record, of the one at which it went out. What was lost within the gateway came in. A flow log without a chosen
format has all fields. A file may hold records of VPCs side by side with these; `resource-type` is `TransitGateway` here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa

from pipeline.errors import UnknownFormat
from pipeline.formats.awsfields import OWN_GATEWAY_FIELDS
from pipeline.formats.record import Endpoint, Record, Reporter, column_of, integers_of, is_answer, rule_of_words, texts_of
from pipeline.formats.syntaxes import Log
from pipeline.options import ReadOptions
from pipeline.syntax.batch import LOST, NO_TRAFFIC, Batch, Fault, Mask
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.dictionary import choose, first_of, is_text, rows_where

OPTION = "aws-tgw"
TYPE = "TransitGateway"
#: The values of log-status.
STATUSES = ("OK", "NODATA", "SKIPDATA")
FOUND = "an AWS Transit Gateway flow log"
_COLUMNS = [
    Column("start", Kind.INTEGER),
    Column("srcaddr", Kind.TEXT),
    Column("dstaddr", Kind.TEXT),
    Column("bytes", Kind.INTEGER),
    Column("flow-direction", Kind.TEXT),
    Column("srcport", Kind.INTEGER, required=False),
    Column("dstport", Kind.INTEGER, required=False),
    Column("tcp-flags", Kind.INTEGER, required=False),
    Column("log-status", Kind.TEXT, required=False),
    Column("account-id", Kind.TEXT, required=False),
    Column("tgw-id", Kind.TEXT, required=False),
    Column("tgw-src-vpc-id", Kind.TEXT, required=False),
    Column("tgw-dst-vpc-id", Kind.TEXT, required=False),
]
#: What a record has that a VPC's has not: its type, or a gateway's or an attachment's id.
_OF_GATEWAY = re.compile(r"(?<!\S)(?:TransitGateway|tgw-(?:attach-)?[0-9a-f]{8,17})(?!\S)")


def is_none_of(batch: Batch, name: str, words: Collection[str]) -> Mask:
    """Which records have something else than these words under a name, in whatever letters, as where the line was cut off within
    one, or another record is glued to it.
    """
    return rows_where(texts_of(batch, name), lambda text: text.upper() not in words)


def fault_of_words(batch: Batch, name: str, words: Sequence[str]) -> Fault:
    """The fault of the records that have something else than these words under a name."""
    return Fault(name, rule_of_words(words), is_none_of(batch, name, words), texts_of(batch, name))


def _ignored(batch: Batch) -> dict[str, Mask]:
    status = texts_of(batch, "log-status")
    return {NO_TRAFFIC: is_text(status, "NODATA"), LOST: is_text(status, "SKIPDATA")}


def _with_direction(batch: Batch, _options: ReadOptions) -> Batch:
    """The records that are whole, and tell at which attachment they were seen: a word that nobody knows could be either of a
    packet's two.
    """
    direction = texts_of(batch, "flow-direction")
    is_known = is_text(direction, "ingress") | is_text(direction, "egress")
    unknown = direction.is_valid().to_numpy(zero_copy_only=False) & ~is_known
    return batch.reject(
        Fault("flow-direction", rule_of_words(("ingress", "egress")), unknown, direction),
        fault_of_words(batch, "log-status", STATUSES),
    )


def _record(batch: Batch, _options: ReadOptions) -> Record:
    ports = integers_of(batch, "srcport", -1), integers_of(batch, "dstport", -1)
    answer = is_answer(*ports, integers_of(batch, "tcp-flags", 0))
    return Record(
        start="start",
        src=Endpoint(("srcaddr",)),
        dst=Endpoint(("dstaddr",)),
        sent=column_of(batch, "bytes", pa.int64()),
        required=("start", "srcaddr", "dstaddr", "bytes", "flow-direction"),
        vpc=_vpc(batch, answer),
        owner=first_of(texts_of(batch, "tgw-id"), texts_of(batch, "account-id")),
        answer=answer,
        end="end",
        reporter=Reporter(
            other=is_text(texts_of(batch, "flow-direction"), "egress"), interface=texts_of(batch, "tgw-attachment-id")
        ),
    )


def _vpc(batch: Batch, answer: Mask) -> pa.DictionaryArray:
    """The VPC of the end that opened the connection, so that both directions of a conversation between two VPCs are in one; the
    other end's where the first is in none.
    """
    src, dst = texts_of(batch, "tgw-src-vpc-id"), texts_of(batch, "tgw-dst-vpc-id")
    return choose(answer, first_of(dst, src), first_of(src, dst))


#: What the fields say, in text, in Parquet and in the messages of CloudWatch's events.
LOG = Log(
    _COLUMNS,
    _record,
    _ignored,
    ends=(Column("end", Kind.INTEGER, required=False),),
    interfaces=(Column("tgw-attachment-id", Kind.TEXT, required=False),),
    prepared=_with_direction,
)


def is_of_gateway(line: str) -> bool:
    """Whether a record is a Transit Gateway's."""
    return _OF_GATEWAY.search(line) is not None


def require_direction(names: Iterable[str]) -> None:
    """Refuses a log that does not tell at which of its two attachments a record was seen.

    Raises:
        UnknownFormat: It has no `flow-direction`.
    """
    if "flow-direction" not in names:
        raise UnknownFormat(
            f"{FOUND} without flow-direction",
            "each packet is in it twice, as it comes into the gateway and as it goes out, and only this field tells the two"
            " apart: add flow-direction to the flow log's format",
        )


def in_unnamed_order(line: str) -> UnknownFormat:
    """The error of a record in an order that nobody named."""
    return UnknownFormat(
        f"{FOUND} of {len(line.split())} fields, without a header",
        f"name its fields, in their order, with --set {OWN_GATEWAY_FIELDS.name}",
    )


def taken_for_a_vpc_s() -> UnknownFormat:
    """The error of a log that the user takes for a VPC's."""
    return UnknownFormat(FOUND, f"leave out --format, or name it with --format {OPTION}")
