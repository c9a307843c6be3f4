"""Argus's flows, as ra prints them in CSV (`-c ,`) and in JSON (`-M json`).

Facts from ra(1), and from argus_util.c of the clients: CSV has the titles of the fields that the user chose. JSON has the fields'
short names, in an array `ArgusData`; what looks like a number is one there, so that a time is a number with `-u` alone, and a port is
one where it is not written in hexadecimal. Times are local and, by default, have no year. A record covers both directions of a flow,
or a part of a flow; the counts of parts are increments. Bytes are counted from the link layer on. The direction says who opened the
flow: `->` and `?>` the source, `<-` and `<?` the destination, all others (`<->`, `<?>`, `who`) neither. Records of type `man` and
`evt` are about Argus itself; those of ARP and of other protocols of the link layer have no IP addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UnknownFormat
from pipeline.formats.argusjson import ARRAY, read_objects
from pipeline.formats.format import Format, Parser, Piece, ReadContext, Reader
from pipeline.formats.head import Container, Head, split_cells
from pipeline.formats.record import Endpoint, Record, column_of, is_answer, texts_of
from pipeline.formats.syntaxes import FlowParser, Log
from pipeline.options import ReadOptions
from pipeline.syntax.batch import OTHER_EVENT, Batch, Integers, Mask
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.delimited import CsvParser, Dialect, read_csv
from pipeline.syntax.dictionary import codes_of, rows_where
from pipeline.syntax.jsonlines import JsonParser

_CSV = Dialect(",", quoted=True, null="")
_UNIX = "print it with ra -u, which writes seconds since 1970"
_YEARLESS = re.compile(r"(?:[A-Z][a-z]{2} )?(?:\d\d/\d\d[. ])?\d\d:\d\d:\d\d")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_LINK_ADDRESS = r"^(?:[0-9a-fA-F]{1,2}:){5}[0-9a-fA-F]{1,2}$"
_NOT_IP = {"man", "evt", "arp", "rarp"}
_ABOUT_ARGUS = {"man", "event", "evnt"}
_LOOKED_AT = 50
#: What is said of records that have one count of bytes for both directions.
IN_ONE = (
    "have the bytes of both directions in one number, and all count as sent; print SrcBytes and DstBytes (sbytes, dbytes)"
)


@dataclass(frozen=True)
class _Names:
    """What a syntax calls the fields."""

    start: str
    end: str
    duration: str
    protocol: str
    src: str
    src_port: str
    direction: str
    dst: str
    dst_port: str
    sent: str
    received: str
    total: str
    type: str


_TITLES = _Names(
    start="StartTime",
    end="LastTime",
    duration="Dur",
    protocol="Proto",
    src="SrcAddr",
    src_port="Sport",
    direction="Dir",
    dst="DstAddr",
    dst_port="Dport",
    sent="SrcBytes",
    received="DstBytes",
    total="TotBytes",
    type="Type",
)
_KEYS = _Names(
    start="stime",
    end="ltime",
    duration="dur",
    protocol="proto",
    src="saddr",
    src_port="sport",
    direction="dir",
    dst="daddr",
    dst_port="dport",
    sent="sbytes",
    received="dbytes",
    total="bytes",
    type="type",
)


def _log(names: _Names, time: Kind, port: Kind) -> Log:
    """What the fields say.

    Args:
        names: The fields'.
        time: Of texts, local times; or seconds since 1970.
        port: Of texts; or integers, beside which there are texts in hexadecimal, which then are not known.
    """
    texts = [names.protocol, names.src, names.direction, names.dst, names.type]
    ports = [
        # Nobody looks at a port that cannot be read, where the record has an address.
        Column(
            name, port, required=False, instead_of=names.src if port is Kind.INTEGER else None, in_text=True, in_float=True
        )
        for name in (names.src_port, names.dst_port)
    ]
    return Log(
        [
            Column(names.start, time),
            *(Column(name, Kind.TEXT, required=name in (names.src, names.dst)) for name in texts),
            *ports,
            *(
                Column(name, Kind.INTEGER, required=False, in_text=True, in_float=True)
                for name in (names.sent, names.received, names.total)
            ),
        ],
        lambda batch, options: _record(batch, options, names),
        lambda batch: {OTHER_EVENT: _is_no_flow(batch, names)},
        local=(names.start, names.end) if time is Kind.TEXT else (),
        prepared=lambda batch, options: _with_notes(batch, options, names),
        ends=(Column(names.end, time, required=False), Column(names.duration, Kind.SECONDS, required=False)),
    )


def _record(batch: Batch, _options: ReadOptions, names: _Names) -> Record:
    sent, received = _bytes(batch, names)
    direction = texts_of(batch, names.direction)
    by_ports = is_answer(_ports(batch, names.src_port), _ports(batch, names.dst_port))
    is_known = rows_where(direction, lambda text: text.strip() in ("->", "?>"))
    return Record(
        start=names.start,
        src=Endpoint((names.src,)),
        dst=Endpoint((names.dst,)),
        sent=sent,
        received=received,
        required=(names.start, names.src, names.dst),
        answer=rows_where(direction, lambda text: text.strip() in ("<-", "<?")) | (by_ports & ~is_known),
        end=names.end,
        duration=names.duration,
    )


def _bytes(batch: Batch, names: _Names) -> tuple[pa.Array, pa.Array]:
    """The bytes of each direction; where a record has the sum alone, all as sent."""
    sent, received, total = (column_of(batch, name, pa.int64()) for name in (names.sent, names.received, names.total))
    sent = pc.coalesce(sent, pc.subtract(total, received), total)
    return sent, pc.coalesce(received, pc.subtract(total, sent))


def _is_no_flow(batch: Batch, names: _Names) -> Mask:
    return np.logical_or.reduce(
        [
            rows_where(texts_of(batch, names.type), lambda text: text.strip().lower() in _ABOUT_ARGUS),
            rows_where(texts_of(batch, names.protocol), lambda text: text.strip().lower() in _NOT_IP),
            *(_is_of_link(texts_of(batch, name)) for name in (names.src, names.dst)),
        ]
    )


def _is_of_link(column: pa.DictionaryArray) -> Mask:
    """Which addresses are of the link layer: by Arrow, as there may be many."""
    found = pc.match_substring_regex(column.dictionary, _LINK_ADDRESS).to_numpy(zero_copy_only=False)
    return np.append(found, False)[codes_of(column)]


def _with_notes(batch: Batch, _options: ReadOptions, names: _Names) -> Batch:
    """The batch with a note of the records that have one count for both directions."""
    present = {name: column_of(batch, name, pa.int64()).is_valid() for name in (names.sent, names.received, names.total)}
    sent, received, total = (np.asarray(mask) for mask in present.values())
    return batch.note({IN_ONE: total & ~sent & ~received})


def _ports(batch: Batch, name: str) -> Integers:
    """Ports as numbers; -1 where there is none, or a service's name."""
    if name in batch.table.column_names and batch.table.schema.field(name).type == pa.int64():
        return np.asarray(column_of(batch, name, pa.int64()).fill_null(-1))
    column = texts_of(batch, name)
    ports = [*map(_port, column.dictionary.to_pylist()), -1]  # the last is that of the code -1, which is null
    return np.array(ports, np.int64)[codes_of(column)]


def _port(text: str | None) -> int:
    try:
        return int(text or "", 0) & 0xFFFF
    except ValueError:
        return -1


def _refuse(starts: list[str], has_bytes: bool) -> None:
    """Refuses a listing that does not say when its flows were, or how large.

    Args:
        starts: The first times. One among others that have a year is its row's fault alone.
        has_bytes: Whether there is a count of bytes.

    Raises:
        UnknownFormat: It is that.
    """
    if (given := [start for start in starts if start]) and all(map(_YEARLESS.match, given)):
        raise UnknownFormat("an Argus flow listing whose times have no year", _UNIX)
    if not has_bytes:
        raise UnknownFormat(
            "an Argus flow listing without byte counts", "print SrcBytes and DstBytes (ra -s +sbytes +dbytes)"
        )


def _is_csv(head: Head) -> bool:
    titles = head.split_first_line(",")
    if not {_TITLES.start, _TITLES.src, _TITLES.dst} <= set(titles):
        return False
    place = titles.index(_TITLES.start)
    rows = [split_cells(line, ",") for line in head.text.splitlines()[:_LOOKED_AT]]
    starts = [cells[place] for cells in rows if len(cells) > place and cells != titles]
    _refuse(starts, bool({_TITLES.sent, _TITLES.total} & set(titles)))
    return True


def _starts_in(head: Head) -> list[str]:
    """The first times of flows in JSON; none if it is not of Argus.

    Raises:
        UnknownFormat: It is, and cannot be counted.
    """
    flows = [flow for record in head.json_objects for flow in _flows_of(record)]
    flows = [flow for flow in flows if {_KEYS.start, _KEYS.src} <= flow.keys()]
    starts = [str(flow[_KEYS.start]) for flow in flows]
    if flows:
        _refuse(starts, any(flow.keys() & {_KEYS.sent, _KEYS.total} for flow in flows))
    return starts


def _flows_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    inner = record.get(ARRAY, [record])
    return [flow for flow in inner if isinstance(flow, dict)] if isinstance(inner, list) else []


def _is_json_of_texts(head: Head) -> bool:
    starts = _starts_in(head)
    return not _NUMBER.fullmatch(starts[0]) if starts else any(ARRAY in record for record in head.json_objects)


def _is_json_of_numbers(head: Head) -> bool:
    starts = _starts_in(head)
    return bool(starts) and _NUMBER.fullmatch(starts[0]) is not None


_LISTING = _log(_TITLES, Kind.TEXT, Kind.TEXT)


def _csv_parser(header: bytes, context: ReadContext) -> Parser:
    return FlowParser(CsvParser(header, _LISTING.wanted(context.options), _CSV), _LISTING, context)


def _read_csv(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    return read_csv(stream, lambda header: context.parser(_csv_parser, header))


def _json(log: Log) -> Reader:
    def read(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        lines = JsonParser(log.wanted(context.options))
        return map(partial(log.flows, context=context), read_objects(stream, lines))

    return read


FORMATS = (
    Format("Argus, CSV", "argus", Container.TEXT, _is_csv, _read_csv),
    Format(
        "Argus, JSON",
        "argus",
        Container.JSON,
        _is_json_of_texts,
        _json(_log(_KEYS, Kind.TEXT, Kind.INTEGER)),
    ),
    Format(
        "Argus, JSON with times since 1970",
        "argus",
        Container.JSON,
        _is_json_of_numbers,
        _json(_log(_KEYS, Kind.SECONDS, Kind.INTEGER)),
    ),
)
