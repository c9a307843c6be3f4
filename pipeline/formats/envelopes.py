"""AWS VPC Flow Logs as CloudWatch Logs gives them out: lines of AWS text as the messages of events, in JSON.

Facts from the documentation of Amazon CloudWatch Logs:

- "Using subscription filters": an envelope has `messageType`, `owner`, `logGroup`, `logStream`, `subscriptionFilters` and
  `logEvents`, whose events have `id`, `timestamp` (milliseconds) and `message`. The type `CONTROL_MESSAGE` says that CloudWatch
  Logs looks whether the destination can be reached. Firehose writes envelopes one behind the other, without a newline, and
  may pack again what was packed. Lambda is given an envelope packed with gzip, in base64: `{"awslogs": {"data": …}}`.
- The CLI's `get-log-events` and `filter-log-events` print `{"events": [{"timestamp", "message", "ingestionTime", …}]}`, the
  latter with an `eventId`.

The time of a record is its line's own; an event's is when it came in. What is delivered twice has the same id, time and
message both times. The ids of some forwarders repeat, so that the id alone does not tell.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
import xxhash

from pipeline.errors import UnknownFormat, UnreadableSource
from pipeline.formats.aws import LOG
from pipeline.formats.awsfields import OWN_FIELDS, OWN_GATEWAY_FIELDS
from pipeline.formats.awsgateway import OPTION as GATEWAY_OPTION
from pipeline.formats.awsgateway import in_unnamed_order, is_of_gateway
from pipeline.formats.awstext import TextReader, is_default_gateway_line
from pipeline.formats.format import Format, Parser, Piece, ReadContext
from pipeline.formats.head import Container, Head
from pipeline.formats.repeats import Repeats
from pipeline.formats.reporters import sizes_of
from pipeline.options import ReadOptions
from pipeline.syntax.batch import CONTROL, REPEATED, Batch, Integers, LeftOut, Reject
from pipeline.syntax.blocks import TextBlock, raw_text
from pipeline.syntax.compression import decompressed
from pipeline.syntax.jsonlines import NOT_OBJECT, TOO_DEEP
from pipeline.syntax.jsonobjects import value_of
from pipeline.syntax.jsontext import JsonText, elements_in

_CONTROL_TYPE, _CONTROL_TEXT = "CONTROL_MESSAGE", "CWL CONTROL MESSAGE"

#: The records that can be told without their fields' names: version 2, as AWS writes it by default.
_DEFAULT_RECORD = re.compile(r"2 \S+ \S+(?: \S+){9} (?:ACCEPT|REJECT|-) (?:OK|NODATA|SKIPDATA)")
_NAMES_FIELDS = re.compile(r"(?=.*\bsrcaddr\b)[a-z][a-z0-9 _-]*")
_NEWLINES = re.compile(r"[\r\n]+")

_BLOCK_EVENTS = 1 << 14


def _is_events(head: Head) -> bool:
    if not any(_around(record) is not None or _is_event(record) for record in head.json_objects):
        return False
    _refuse_json(_first_message(head))
    return True


def _is_gateway_s(head: Head) -> bool:
    return _is_events(head) and is_of_gateway(_first_message(head))


def _first_message(head: Head) -> str:
    """The first message that is no control message's; "" where there is none in the file's start."""
    messages = (message for record in head.json_objects for message in _messages_of(record))
    return next((message for message in messages if not message.startswith(_CONTROL_TEXT)), "")


def _read(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    events, parser = _Messages(stream, context.options), None
    for parser, lines in TextReader(LOG, context).read(events.blocks()):
        yield parser.parse(lines)
        yield from events.left_out(parser)
    yield from events.left_out(parser)


FORMATS = (
    Format(
        "AWS Transit Gateway Flow Logs, CloudWatch events",
        GATEWAY_OPTION,
        Container.JSON,
        _is_gateway_s,
        _read,
        (OWN_GATEWAY_FIELDS,),
    ),
    Format("AWS VPC Flow Logs, CloudWatch events", "aws-vpc", Container.JSON, _is_events, _read, (OWN_FIELDS,)),
)


def _is_event(record: dict[str, Any]) -> bool:
    return "message" in record and "timestamp" in record and bool(record.keys() & {"id", "eventId", "ingestionTime"})


def _around(record: dict[str, Any]) -> str | None:
    """The key of what an object has around its events; None if it has none."""
    log_events = record.get("logEvents")
    if "logEvents" in record and (
        record.keys() & {"messageType", "logGroup"} or (log_events and _have_messages(log_events))
    ):
        return "logEvents"
    if isinstance(record.get("awslogs"), dict) and "data" in record["awslogs"]:
        return "awslogs"
    return "events" if _have_messages(record.get("events")) else None


def _have_messages(events: Any) -> bool:
    """Whether these are events, of which there may be none."""
    return isinstance(events, list) and (not events or (isinstance(events[0], dict) and "message" in events[0]))


def _messages_of(record: dict[str, Any]) -> Iterator[str]:
    for key in ("logEvents", "events"):
        events = record.get(key)
        for event in events if isinstance(events, list) else ():
            if isinstance(event, dict) and isinstance(event.get("message"), str):
                yield event["message"]
    if isinstance(record.get("message"), str):
        yield record["message"]


def _refuse_json(message: str) -> None:
    """Refuses messages that are objects with the fields' names."""
    if message.startswith("{"):
        raise UnknownFormat(
            "CloudWatch Logs events whose messages are JSON", "flowlog reads flow logs whose messages are lines of text"
        )


class _Messages:
    """The messages of a stream of envelopes and events.

    An event's row number is its place among the stream's events, from 1, those included that are left out.

    Args:
        stream: Decompressed text.
        options: May have the names of the fields.
    """

    def __init__(self, stream: BinaryIO, options: ReadOptions) -> None:
        self._events = _events_in(stream)
        self._options = options
        self._is_known = options.format == GATEWAY_OPTION  # whose messages need not tell whose they are
        self._repeats = Repeats()
        self._controls: list[int] = []
        self._repeated: dict[int, str] = {}
        self._rejects: list[Reject] = []

    def blocks(self) -> Iterator[TextBlock]:
        """The messages, one a line. The line of an event that is left out is blank, which is no record."""
        first = 1
        while events := list(islice(self._events, _BLOCK_EVENTS)):
            lines, keys = [], []
            for number, (event, is_control) in enumerate(events, first):
                lines.append(self._line_of(number, event, is_control))
                keys.append(_key_of(event))
            for i in np.flatnonzero(~self._repeats.are_new(keys)).tolist():
                if lines[i]:
                    self._repeated[first + i], lines[i] = lines[i], ""
            yield TextBlock("".join(line + "\n" for line in lines).encode("utf-8", "surrogatepass"), first)
            first += len(events)

    def _line_of(self, number: int, event: Any, is_control: bool) -> str:
        if isinstance(event, _Unfit):
            self._rejects.append(Reject(number, "", NOT_OBJECT, event.problem, raw_text(event.line)))
            return ""
        message = event.get("message") if isinstance(event, dict) else None
        if not isinstance(message, str) or not message.strip():
            shown = _shown(event)
            self._rejects.append(Reject(number, "message", "must be a line of text", "", raw_text(shown.encode())))
            return ""
        if is_control or message.startswith(_CONTROL_TEXT):
            self._controls.append(number)
            return ""
        if not self._is_known:
            _require_order(message, self._options)
            self._is_known = True
        return _NEWLINES.sub(" ", message.strip()) if "\n" in message or "\r" in message else message

    def left_out(self, parser: Parser | None) -> Iterator[Batch]:
        """What became of the other events, since it was last asked.

        Args:
            parser: Parses the messages; None where none was a record.
        """
        left_out = {}
        if self._controls:
            left_out[CONTROL] = LeftOut.of(np.array(self._controls, np.int64))
        if self._repeated:
            numbers = np.array(list(self._repeated), np.int64)
            left_out[REPEATED] = (
                LeftOut(numbers, _sizes(list(self._repeated.values()), parser)) if parser else LeftOut.of(numbers)
            )
        if left_out or self._rejects:
            yield Batch.without_rows(self._rejects, left_out)
            self._controls, self._repeated, self._rejects = [], {}, []


def _sizes(lines: list[str], parser: Parser) -> Integers:
    """The bytes that each of some lines would count, or would have been left out with."""
    flows = parser.parse(TextBlock("".join(line + "\n" for line in lines).encode("utf-8", "surrogatepass"), 1))
    sizes = np.zeros(len(lines), np.int64)
    sizes[flows.rows - 1] = sizes_of(flows.table.column("bytes_tx"), flows.table.column("bytes_rx"))
    for left in flows.left_out.values():
        sizes[left.rows - 1] = left.sizes
    return sizes


def _key_of(event: Any) -> bytes | None:
    """What tells an event from all others; None where it has no id."""
    identity = event.get("id", event.get("eventId")) if isinstance(event, dict) else None
    if identity is None:
        return None
    parts = f"{identity}\0{event.get('timestamp')}\0{event.get('message')}"
    return xxhash.xxh3_128_digest(parts.encode("utf-8", "surrogatepass"))


def _require_order(message: str, options: ReadOptions) -> None:
    """Refuses messages whose fields nobody names, and cannot be told from the first of them."""
    _refuse_json(message)
    line = message.strip()
    if is_of_gateway(line):
        if not (is_default_gateway_line(line) or OWN_GATEWAY_FIELDS.of(options)):
            raise in_unnamed_order(line)
    elif not (_DEFAULT_RECORD.fullmatch(line) or _NAMES_FIELDS.fullmatch(line) or OWN_FIELDS.of(options)):
        raise UnknownFormat(
            f"CloudWatch Logs events whose messages are no VPC flow log records of version 2, as {message[:80]!r}",
            "if they are records in an order of your own, give its fields with --aws-fields",
        )


def _events_in(stream: BinaryIO, is_packed: bool = False) -> Iterator[tuple[Any, bool]]:
    """The events of a stream, and whether each is a control message's; `_Unfit` for what is not an event.

    Args:
        stream: Decompressed text.
        is_packed: Whether the stream was packed in another's envelope; then it has none that is packed again.
    """
    text = JsonText(stream)
    for block in text.values(1, around=("logEvents", "events"), keeps_torn=True):
        is_control = text.members.get("messageType", b"").strip(b'"\n').decode("utf-8", "replace") == _CONTROL_TYPE
        for line in block.data.splitlines():
            try:
                value = value_of(line)
            except json.JSONDecodeError:
                yield _Unfit(line), False
                continue
            except RecursionError:
                yield from ((_alone(event), is_control) for event in elements_in(line, ("logEvents", "events")))
                continue
            key = _around(value) if isinstance(value, dict) else None
            if key == "awslogs" and not is_packed:
                yield from _events_in(_unpacked(value[key]["data"]), is_packed=True)
            elif key in ("logEvents", "events") and isinstance(value[key], list):
                yield from ((event, value.get("messageType") == _CONTROL_TYPE) for event in value[key])
            else:
                yield value, is_control


@dataclass(frozen=True)
class _Unfit:
    """A line that is broken, among lines that are not, or what Python cannot read for its depth; and why."""

    line: bytes
    problem: str = ""


def _alone(line: bytes) -> Any:
    """An event that may be nested too deeply, of an envelope whose others are not."""
    try:
        return value_of(line)
    except RecursionError:
        return _Unfit(line, TOO_DEEP)


def _shown(event: Any) -> str:
    try:
        return json.dumps(event)
    except RecursionError:
        return TOO_DEEP


def _unpacked(data: Any) -> BinaryIO:
    try:
        return decompressed(io.BytesIO(base64.b64decode(data, validate=True)))
    except (TypeError, ValueError, binascii.Error):
        raise UnreadableSource("awslogs.data is not base64") from None
