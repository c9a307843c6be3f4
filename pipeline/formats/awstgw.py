"""AWS Transit Gateway Flow Logs, as text and as Parquet; `awsgateway` says what their records mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from pipeline.formats import aws, awsgateway
from pipeline.formats.awsfields import OWN_GATEWAY_FIELDS, hyphened, is_header, names_gateway
from pipeline.formats.awstext import TextReader, fields_of, is_gateway_text, lines_of
from pipeline.formats.format import Format, Piece, ReadContext
from pipeline.formats.head import Container, Head
from pipeline.formats.syntaxes import parquet


def _is_text(head: Head) -> bool:
    if not is_gateway_text(head):
        return False
    if names := fields_of(head.first_line):
        awsgateway.require_direction(names)
    return True


def _read_text(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    return TextReader(aws.LOG, context).read(lines_of(stream))


def _is_parquet(head: Head) -> bool:
    names = [hyphened(name) for name in head.parquet_columns]
    if not (names_gateway(names) and is_header(names)):
        return False
    awsgateway.require_direction(names)
    return True


FORMATS = (
    Format(
        "AWS Transit Gateway Flow Logs, text",
        awsgateway.OPTION,
        Container.TEXT,
        _is_text,
        _read_text,
        (OWN_GATEWAY_FIELDS,),
    ),
    Format(
        "AWS Transit Gateway Flow Logs, Parquet",
        awsgateway.OPTION,
        Container.PARQUET,
        _is_parquet,
        parquet(awsgateway.LOG, null_texts=aws.PARQUET_NULLS, name_of=hyphened),
    ),
)
