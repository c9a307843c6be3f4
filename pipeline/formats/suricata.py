"""Suricata's EVE log, as Suricata writes it and as AWS Network Firewall does, which wraps each event.

Facts from Suricata's src/output-json-flow.c, output-json-netflow.c and flow.c, and its user guide, "Eve JSON Format"; of the
wrapper from the developer guide of AWS Network Firewall, "Contents of a log":

- An event `flow` is written once, at a flow's end. The event has both directions of the flow; its source is the client.
- An event `netflow` has one direction of a flow: the same traffic as `flow`. So a file's netflow counts if it has no flow.
- Events of other types (`alert`, `http`, …) carry an object `flow`, too: with the bytes so far, and perhaps with exchanged ends.
- Bytes are those of whole frames, Ethernet's header included. ICMP has no ports.
- `start` and `end` are local times with an offset without a colon; `timestamp` is when the event was written.
- The wrapper is `{"firewall_name", "availability_zone", "event_timestamp", "event": {…}}`; it has no `flow`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from pipeline.errors import OtherLog, UnreadableSource
from pipeline.formats.format import Format, Piece, ReadContext
from pipeline.formats.head import Container, Head
from pipeline.formats.record import Endpoint, Record, column_of, integers_of, is_answer, texts_of
from pipeline.formats.syntaxes import Log
from pipeline.options import ReadOptions
from pipeline.syntax.batch import MISSING, OTHER_EVENT, Batch, Fault, Mask
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.dictionary import is_text
from pipeline.syntax.jsonlines import JsonParser
from pipeline.syntax.jsonrecords import read_json_batches

#: So much of a file is kept until its first flow is met. Suricata writes a flow's netflow and flow next to each other.
_MOST_HELD_BYTES = 64 << 20
#: The types of events that may be of no flow, and so have no `flow_id`.
_WITHOUT_FLOW = {"alert", "anomaly", "arp", "drop", "engine", "packet", "stats"}


def _column(*path: str, kind: Kind = Kind.INTEGER) -> Column:
    """A column of an event, which may stand in a wrapper. Shippers may make texts of numbers."""
    is_number = kind is Kind.INTEGER
    return Column(".".join(path), kind, path=path, others=(("event", *path),), in_text=is_number, in_float=is_number)


_COLUMNS = [
    Column("firewall_name", Kind.TEXT),
    _column("event_type", kind=Kind.TEXT),
    _column("src_ip", kind=Kind.TEXT),
    _column("dest_ip", kind=Kind.TEXT),
    _column("src_port"),
    _column("dest_port"),
    _column("flow", "start", kind=Kind.SECONDS),
    _column("flow", "bytes_toserver"),
    _column("flow", "bytes_toclient"),
    _column("netflow", "start", kind=Kind.SECONDS),
    _column("netflow", "bytes"),
]
_ENDS = [_column("flow", "end", kind=Kind.SECONDS), _column("netflow", "end", kind=Kind.SECONDS)]


def _flow(batch: Batch, _options: ReadOptions) -> Record:
    return Record(
        start="flow.start",
        end="flow.end",
        src=Endpoint(("src_ip",)),
        dst=Endpoint(("dest_ip",)),
        sent=column_of(batch, "flow.bytes_toserver", pa.int64()),
        received=column_of(batch, "flow.bytes_toclient", pa.int64()),
        required=("flow.start", "src_ip", "dest_ip", "flow.bytes_toserver", "flow.bytes_toclient"),
        vpc=texts_of(batch, "firewall_name"),
    )


def _netflow(batch: Batch, _options: ReadOptions) -> Record:
    return Record(
        start="netflow.start",
        end="netflow.end",
        src=Endpoint(("src_ip",)),
        dst=Endpoint(("dest_ip",)),
        sent=column_of(batch, "netflow.bytes", pa.int64()),
        required=("netflow.start", "src_ip", "dest_ip", "netflow.bytes"),
        vpc=texts_of(batch, "firewall_name"),
        answer=is_answer(integers_of(batch, "src_port", -1), integers_of(batch, "dest_port", -1)),
    )


def _others_than(event_type: str) -> Callable[[Batch], dict[str, Mask]]:
    return lambda batch: {OTHER_EVENT: ~_is(batch, event_type)}


_FLOW = Log(_COLUMNS, _flow, _others_than("flow"), ends=_ENDS)
_NETFLOW = Log(_COLUMNS, _netflow, _others_than("netflow"), ends=_ENDS)


def _is(batch: Batch, event_type: str) -> Mask:
    return is_text(texts_of(batch, "event_type"), event_type)


def _read(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    """Reads the events of a file. The netflow that comes before the first flow is kept until one comes, or the file ends.

    Raises:
        OtherLog: The file has events, and none is a flow.
        UnreadableSource: A flow comes behind so much netflow that this was counted.
    """
    log: Log | None = None  # what counts, once that is known
    held: list[Batch] = []
    has_others = has_rejects = False
    for batch in _batches(stream, context):
        has_others, has_rejects = has_others or batch.table.num_rows > 0, has_rejects or bool(batch.rejects)
        if _is(batch, "flow").any():
            if log is _NETFLOW:
                raise UnreadableSource(
                    f"it has flow events behind more than {_MOST_HELD_BYTES >> 20} MiB of netflow events, which are the same"
                    " traffic; give flowlog the events of one type, without those of the other"
                )
            log = _FLOW
        if log is None and not _is(batch, "netflow").any():
            yield _FLOW.flows(batch, context)  # in which nothing counts
            del batch
            continue
        held.append(batch)
        del batch  # of what is held nothing is kept when more is read
        if log is None and sum(one.nbytes for one in held) > _MOST_HELD_BYTES:
            log = _NETFLOW
        if log is not None:
            yield from (log.flows(one, context) for one in held)
            held.clear()
    yield from (_NETFLOW.flows(one, context) for one in held)
    if has_others and not (log or held or has_rejects):
        raise OtherLog("a Suricata log without flow events", "flowlog reads the events flow and netflow only")


def _batches(stream: BinaryIO, context: ReadContext) -> Iterator[Batch]:
    """The events of a file; the objects that are not events are rejected."""

    def events_of(batch: Batch) -> Batch:
        types = texts_of(batch, "event_type")
        return batch.reject(Fault("event_type", MISSING, types.is_null().to_numpy(False), types))

    return map(events_of, read_json_batches(stream, context.parser(_parser_of, None)))


def _parser_of(told: None, context: ReadContext) -> JsonParser:
    del told  # all files have the same columns
    return JsonParser(_FLOW.wanted(context.options))


def _is_eve(head: Head) -> bool:
    return any(map(_is_event, head.json_objects))


def _is_event(record: dict[str, Any]) -> bool:
    inner = record.get("event")
    event = inner if "firewall_name" in record and isinstance(inner, dict) else record
    event_type = event.get("event_type")
    if not isinstance(event_type, str):
        return False
    has_own = event_type in _WITHOUT_FLOW and isinstance(event.get("timestamp"), str)
    return "flow_id" in event or has_own or (event_type in ("flow", "netflow") and isinstance(event.get(event_type), dict))


FORMATS = (Format("Suricata EVE, JSON", "suricata", Container.JSON, _is_eve, _read),)
