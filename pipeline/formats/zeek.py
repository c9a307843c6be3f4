"""Zeek's conn.log, as tab-separated text and as JSON Lines.

Facts from the Zeek documentation, "Zeek Log Formats" and `Conn::Info`: TSV starts with `#` lines that give the
separator, the text for "unset" and the names of the fields, and may end with `#close`; `ts` is the time of the first
packet; `orig_ip_bytes` and `resp_ip_bytes` are bytes on the wire, IP headers included, `orig_bytes` and `resp_bytes`
are payload. A record covers both directions. The originator opened the connection. `duration` is the time from the first
packet to the last, in seconds, and unset where there was one packet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import OtherLog, UnknownFormat
from pipeline.formats.format import Format, Piece, ReadContext
from pipeline.formats.head import Container, Head
from pipeline.formats.record import Endpoint, Record, column_of, texts_of
from pipeline.formats.syntaxes import Log, some_of
from pipeline.formats.zeekheader import read_records
from pipeline.formats.zeeklogs import ADDRESSES, CONN, GROWING, OF_CONN, is_conn, log_of, require_conn, unscoped
from pipeline.options import ReadOptions
from pipeline.syntax.batch import OTHER_EVENT, Batch, Mask
from pipeline.syntax.blocks import TextBlock, text_blocks
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.dictionary import first_of, rows_where
from pipeline.syntax.jsonlines import JsonParser
from pipeline.syntax.jsonrecords import read_json_batches

_COLUMNS = [
    Column("ts", Kind.SECONDS),
    # Some shippers make an object of the record `id`; others, whose databases have trouble with dots, underscores of these.
    Column("id.orig_h", Kind.TEXT, others=(("id", "orig_h"), ("id_orig_h",))),
    Column("id.resp_h", Kind.TEXT, others=(("id", "resp_h"), ("id_resp_h",))),
    Column("orig_ip_bytes", Kind.INTEGER, required=False),
    Column("resp_ip_bytes", Kind.INTEGER, required=False),
    Column("orig_bytes", Kind.INTEGER, required=False, instead_of="orig_ip_bytes"),
    Column("resp_bytes", Kind.INTEGER, required=False, instead_of="resp_ip_bytes"),
]
#: Where JSON has the log's name, if shippers added it.
_PATHS = [Column("_path", Kind.TEXT), Column("@stream", Kind.TEXT)]
_PATH_MEMBER = re.compile(r'"(?:_path|@stream)"\s*:\s*"([^"\\]*)"')
_PATH_LINE = re.compile(r"^#path[ \t]+(\S+)", re.MULTILINE)
_FIRST_LINES = ("#separator", "#fields\t", "#path\t")


def _record(batch: Batch, _options: ReadOptions) -> Record:
    return Record(
        start="ts",
        src=Endpoint(("id.orig_h",)),
        dst=Endpoint(("id.resp_h",)),
        sent=_bytes(batch, "orig"),
        received=_bytes(batch, "resp"),
        required=("ts", "id.orig_h", "id.resp_h"),
        duration="duration",
    )


def _bytes(batch: Batch, side: str) -> pa.Array:
    on_the_wire = column_of(batch, f"{side}_ip_bytes", pa.int64())
    return pc.coalesce(on_the_wire, column_of(batch, f"{side}_bytes", pa.int64())) if on_the_wire.null_count else on_the_wire


_LOG = Log(_COLUMNS, _record, ends=(Column("duration", Kind.SECONDS, required=False),))


def _is_tsv(head: Head) -> bool:
    if not head.first_line.startswith(_FIRST_LINES):
        return False
    paths = _PATH_LINE.findall(head.text)
    for path in paths:
        require_conn(path, head.is_named, CONN in paths)
    return True


def _read_tsv(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    return read_records(text_blocks(stream, TextBlock), _LOG, context)


def _is_json(head: Head) -> bool:
    records = [_keys_of(record) for record in head.json_objects] or [set(head.json_keys)]
    found = set().union(*records)
    keys = set(map(unscoped, found))
    logs = [log_of(set(map(unscoped, record))) for record in records]
    if CONN not in logs and (other := next(filter(None, logs), None)):
        require_conn(other, head.is_named)
    # Shippers add the log's name; where none did, only the file's name can tell an open_conn.log from a conn.log.
    paths = set(_PATH_MEMBER.findall(head.text)) if "ts" in keys else set()
    if len(paths) > 1:  # all of Zeek's logs in one stream
        return True
    if not paths and not keys >= ADDRESSES:
        return False
    growing = GROWING.match(PurePath(head.name).name)
    require_conn(paths.pop() if paths else growing and growing[0], head.is_named)
    if not keys & OF_CONN:
        raise OtherLog("a Zeek log other than conn.log", "flowlog reads conn.log only")
    if not found & {"id.orig_h", "id_orig_h"}:
        raise UnknownFormat("a Zeek conn.log, JSON, with another scope separator", "flowlog reads id.orig_h and id_orig_h")
    return True


def _keys_of(record: dict[str, object]) -> set[str]:
    """The keys of an object, and those of the record `id` where that is an object of its own."""
    inner = record.get("id")
    return {*record, *(f"id.{key}" for key in inner)} if isinstance(inner, dict) else set(record)


def _read_json(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    """Reads JSON, in which shippers may send all of Zeek's logs in one stream.

    Raises:
        OtherLog: None of its records is of a conn.log.
    """
    parser = JsonParser([*_LOG.wanted(context.options), *_PATHS])

    def flows_of(batch: Batch) -> Batch:
        return _LOG.flows(batch.ignore({OTHER_EVENT: _of_other_logs(batch, context.options.is_named)}), context)

    flows = map(flows_of, read_json_batches(stream, parser))
    return some_of(flows, OtherLog("a stream of Zeek's logs without a conn.log", "flowlog reads conn.log only"))


def _of_other_logs(batch: Batch, is_named: bool) -> Mask:
    """Which records are of Zeek's other logs."""
    paths = first_of(*(texts_of(batch, column.name) for column in _PATHS))
    return rows_where(paths, lambda path: not is_conn(path, is_named))


FORMATS = (
    Format("Zeek conn.log, TSV", "zeek", Container.TEXT, _is_tsv, _read_tsv),
    Format("Zeek conn.log, JSON", "zeek", Container.JSON, _is_json, _read_json),
)
