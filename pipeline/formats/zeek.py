"""Zeek's conn.log, as tab-separated text and as JSON Lines.

Facts from the Zeek documentation, "Zeek Log Formats" and `Conn::Info`: TSV starts with `#` lines that give the
separator, the text for "unset" and the names of the fields, and may end with `#close`; `ts` is the time of the first
packet; `orig_ip_bytes` and `resp_ip_bytes` are bytes on the wire, IP headers included, `orig_bytes` and `resp_bytes`
are payload. A record covers both directions. The originator opened the connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import OtherLog, UnknownFormat, UnreadableSource
from pipeline.formats.conversion import to_flows
from pipeline.formats.format import FlowParser, Format, Parser, Piece, ReadContext
from pipeline.formats.head import Container, Head
from pipeline.formats.record import Endpoint, Record, column_of, texts_of
from pipeline.kernel.columns import lines_from
from pipeline.syntax.batch import OTHER_EVENT, Batch, Mask
from pipeline.syntax.blocks import TextBlock, text_blocks
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.delimited import DelimitedParser, Dialect
from pipeline.syntax.dictionary import codes_of, first_of
from pipeline.syntax.jsonlines import JsonParser
from pipeline.syntax.jsonrecords import read_json

_PATH = "conn"
_GROWING = r"open_conn|conn_long"
_PATH_LINE = re.compile(r"^#path[ \t]+(\S+)", re.MULTILINE)
_FIRST_LINES = ("#separator", "#fields\t", "#path\t")
#: Such a line names its values behind the separator.
_WITH_VALUES = re.compile(r"#(?:fields|path|unset_field)(?![a-z_])")
_GLUED = re.compile(
    rb"(?<!\n)(?<!\A)#(?:separator|set_separator|empty_field|unset_field|path|open|close|fields|types)(?![a-z_])"
)
#: The fields of the record `id`, whatever Zeek's `Log::default_scope_sep` puts between the two names.
_SCOPED = re.compile(r"id[^A-Za-z0-9]{1,3}((?:orig|resp)_[hp])")
_COLUMNS = [
    Column("ts", Kind.SECONDS),
    Column("id.orig_h", Kind.TEXT, outer="id"),
    Column("id.resp_h", Kind.TEXT, outer="id"),
    Column("orig_ip_bytes", Kind.INTEGER, required=False),
    Column("resp_ip_bytes", Kind.INTEGER, required=False),
    Column("orig_bytes", Kind.INTEGER, required=False, instead_of="orig_ip_bytes"),
    Column("resp_bytes", Kind.INTEGER, required=False, instead_of="resp_ip_bytes"),
]
#: Where JSON has the log's name, if shippers added it.
_PATHS = [Column("_path", Kind.TEXT), Column("@stream", Kind.TEXT)]
_PATH_MEMBER = re.compile(r'"(?:_path|@stream)"\s*:\s*"([^"\\]*)"')
#: The fields of the record `id` as shippers write them whose databases have trouble with dots.
_UNDERSCORED = re.compile(r"id_((?:orig|resp)_[hp])")
_SPELLED = [Column(f"id_{side}_h", Kind.TEXT, required=False) for side in ("orig", "resp")]
#: What every conn.log has, and what Zeek's other logs have not.
_ADDRESSES, _OF_CONN = {"ts", "id.orig_h", "id.resp_h"}, {"conn_state", "orig_bytes", "orig_ip_bytes"}
#: What tells Zeek's other logs, as its documentation has them, where nothing else does: some of their fields.
_TYPICAL = {
    "dns": {"ts", "uid", "query", "trans_id"},
    "http": {"ts", "uid", "trans_depth", "request_body_len"},
    "smtp": {"ts", "uid", "trans_depth", "helo"},
    "ssl": {"ts", "uid", "established", "resumed"},
    "ssh": {"ts", "uid", "auth_attempts"},
    "files": {"ts", "fuid", "seen_bytes"},
    "x509": {"ts", "certificate.serial"},
    "weird": {"ts", "name", "notice", "peer"},
    "notice": {"ts", "note", "msg"},
    "dhcp": {"ts", "uids", "msg_types"},
    "ntp": {"ts", "uid", "stratum"},
    "software": {"ts", "software_type"},
    "tunnel": {"ts", "tunnel_type"},
    "capture_loss": {"ts", "percent_lost"},
    "stats": {"ts", "pkts_proc"},
}


def _is_conn(path: object, is_named: bool) -> bool:
    """Whether a log is conn.log, or a part of it.

    Args:
        path: The log's name. A filter of Zeek's may write a part of conn.log under another one, as `conn_internal`, or
            everything once more. An `open_conn` or a `conn_long` log repeats what conn.log will have in the end.
        is_named: Whether the user says that it is a conn.log.

    Raises:
        UnknownFormat: It is a part, and the user must say whether it counts.
    """
    if path in (None, _PATH):
        return True
    is_part = bool(re.search(r"(?:^|[^a-z])conn(?:$|[^a-z])", str(path))) and not re.search(_GROWING, str(path))
    if is_part and not is_named:
        raise UnknownFormat(f"a Zeek {path} log", "if no other log has its connections, too, read it with --format zeek")
    return is_part


def _require_conn(path: object, is_named: bool, has_conn: bool = False) -> None:
    """Refuses Zeek's other logs (see `_is_conn`).

    Args:
        path: The log's name.
        is_named: Whether the user says that it is a conn.log.
        has_conn: Whether the file has a conn.log, too: then it is no other log, which a folder may hold, or that would be lost.
    """
    if _is_conn(path, is_named):
        return
    if has_conn:
        raise UnknownFormat(f"a Zeek {path} log joined with a conn.log", "ingest the logs that were joined here one by one")
    raise OtherLog(f"a Zeek {path} log", "flowlog reads conn.log only")


class _Tsv:
    name = "Zeek conn.log, TSV"
    option = "zeek"
    container = Container.TEXT
    settings = ()

    def recognises(self, head: Head) -> bool:
        if not head.first_line.startswith(_FIRST_LINES):
            return False
        paths = _PATH_LINE.findall(head.text)
        for path in paths:
            _require_conn(path, head.is_named, _PATH in paths)
        return True

    def read(self, stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        header = _Header(context.options.is_named)
        parser: Parser | None = None
        for block in text_blocks(stream, TextBlock):
            for piece in block.cut_at(lines_from(block.data, b"#", b"#")):
                _refuse_glued(piece)
                if piece.data.startswith(b"#"):
                    if header.take(piece.line(piece.first_line)):
                        parser = header.parser(context) if header.fields else None
                elif parser is not None:
                    yield parser, piece
                elif piece.data.strip():
                    raise UnreadableSource(
                        f"line {piece.first_line}: a record before the #fields line that names its columns"
                    )


def _refuse_glued(lines: TextBlock) -> None:
    """Joining files makes this where the last line of one has no newline: what the `#` line says would be lost."""
    if b"#" in lines.data and (found := _GLUED.search(lines.data)):
        number = lines.first_line + lines.data.count(b"\n", 0, found.start())
        raise UnreadableSource(
            f"line {number}: {found[0].decode()} is glued to the end of a line; ingest the files that were joined here one by one"
        )


@dataclass
class _Header:
    """What the `#` lines say.

    Attributes:
        is_named: Whether the user says that this is a conn.log.
        has_conn: Whether one of the logs that were joined is.
    """

    is_named: bool
    has_conn: bool = False
    separator: str = "\t"
    unset: str = "-"
    fields: list[str] = field(default_factory=list)

    def parser(self, context: ReadContext) -> Parser:
        """What parses the records that follow."""
        return context.parser(_parser_of, (tuple(self.fields), Dialect(self.separator, null=self.unset)))

    def take(self, line: bytes) -> bool:
        """Reads one `#` line. Returns whether it changes how the records that follow are read."""
        text = line.decode("utf-8", "replace")
        if text.startswith("#separator"):  # a log begins
            self.unset, self.fields = "-", []
            escaped = text.removeprefix("#separator").strip(" \t") or self.separator
            self.separator = re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), escaped)
            if len(self.separator) != 1 or not self.separator.isascii() or self.separator in "\n\r\0#":
                raise UnreadableSource(f"the separator {escaped!r} is not a single character that can separate")
            return True
        name, *values = text.split(self.separator)
        if (found := _WITH_VALUES.match(text)) and found[0] != name:
            raise UnreadableSource(f"the line {text[:40]!r} is not written with the separator {self.separator!r}")
        if name == "#unset_field" and values:
            self.unset = values[0]
        elif name == "#path":
            _require_conn(values[0] if values else None, self.is_named, self.has_conn)
            self.has_conn = True
        elif name == "#fields":
            self.fields = [_SCOPED.sub(r"id.\1", field) if _SCOPED.fullmatch(field) else field for field in values]
        return name == "#fields"


def _parser_of(told: tuple[Sequence[str], Dialect], context: ReadContext) -> Parser:
    fields, dialect = told
    return FlowParser(DelimitedParser(fields, _COLUMNS, dialect), _flows, context)


class _Json:
    name = "Zeek conn.log, JSON"
    option = "zeek"
    container = Container.JSON
    settings = ()

    def recognises(self, head: Head) -> bool:
        records = [_keys_of(record) for record in head.json_objects] or [set(head.json_keys)]
        found = set().union(*records)
        keys = {_key_of(key) for key in found}
        logs = [_log_of({_key_of(key) for key in record}) for record in records]
        if _PATH not in logs and (other := next(filter(None, logs), None)):
            _require_conn(other, head.is_named)
        # Shippers add the log's name; where none did, only the file's name can tell an open_conn.log from a conn.log.
        paths = set(_PATH_MEMBER.findall(head.text)) if "ts" in keys else set()
        if len(paths) > 1:  # all of Zeek's logs in one stream
            return True
        if not paths and not keys >= _ADDRESSES:
            return False
        growing = re.match(_GROWING, PurePath(head.name).name)
        _require_conn(paths.pop() if paths else growing and growing[0], head.is_named)
        if not keys & _OF_CONN:
            raise OtherLog("a Zeek log other than conn.log", "flowlog reads conn.log only")
        if not found & {"id.orig_h", "id_orig_h"}:
            raise UnknownFormat(
                "a Zeek conn.log, JSON, with another scope separator", "flowlog reads id.orig_h and id_orig_h"
            )
        return True

    def read(self, stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        parser, connections, others = JsonParser([*_COLUMNS, *_SPELLED, *_PATHS]), 0, 0
        for piece in read_json(stream, parser):
            batch = piece if isinstance(piece, Batch) else parser.parse(piece)
            own = batch.ignore({OTHER_EVENT: _of_other_logs(batch, context.options.is_named)})
            others += len(own.left_out.get(OTHER_EVENT, ()))
            connections += own.read - len(own.left_out.get(OTHER_EVENT, ()))
            table = own.table
            for column in _SPELLED:
                dotted = _key_of(column.name)
                cells = first_of(texts_of(own.with_table(table), dotted), texts_of(own, column.name))
                table = table.set_column(table.column_names.index(dotted), dotted, cells)
            yield _flows(own.with_table(table), context)
        if others and not connections:
            raise OtherLog("a stream of Zeek's logs without a conn.log", "flowlog reads conn.log only")


def _keys_of(record: dict[str, object]) -> set[str]:
    """The keys of an object, and those of the record `id`, which some shippers make an object of its own."""
    inner = record.get("id")
    return {*record, *(f"id.{key}" for key in inner)} if isinstance(inner, dict) else set(record)


def _log_of(keys: set[str]) -> str | None:
    """Which log an object with these keys is of, where they tell."""
    other = next((name for name, typical in _TYPICAL.items() if typical <= keys), None)
    return other or (_PATH if keys >= _ADDRESSES and keys & _OF_CONN else None)


def _key_of(key: str) -> str:
    """A key as Zeek writes it by default."""
    match = _SCOPED.fullmatch(key) or _UNDERSCORED.fullmatch(key)
    return f"id.{match[1]}" if match else key


def _of_other_logs(batch: Batch, is_named: bool) -> Mask:
    """Which records are of Zeek's other logs: shippers send all of them in one stream."""
    paths = first_of(*(texts_of(batch, column.name) for column in _PATHS))
    other = np.array([not _is_conn(path, is_named) for path in paths.dictionary.to_pylist()], bool)
    codes = codes_of(paths)
    return (codes >= 0) & other[codes] if other.any() else np.zeros(len(codes), bool)


FORMATS: tuple[Format, ...] = (_Tsv(), _Json())


def _flows(batch: Batch, context: ReadContext) -> Batch:
    return to_flows(batch, _record_of(batch), context.options, context.apps)


def _record_of(batch: Batch) -> Record:
    return Record(
        start="ts",
        src=Endpoint(("id.orig_h",)),
        dst=Endpoint(("id.resp_h",)),
        sent=_bytes(batch, "orig"),
        received=_bytes(batch, "resp"),
        required=("ts", "id.orig_h", "id.resp_h"),
    )


def _bytes(batch: Batch, side: str) -> pa.Array:
    on_the_wire = column_of(batch, f"{side}_ip_bytes", pa.int64())
    return pc.coalesce(on_the_wire, column_of(batch, f"{side}_bytes", pa.int64())) if on_the_wire.null_count else on_the_wire
