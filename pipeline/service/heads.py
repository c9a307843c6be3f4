"""The head of a request: parsed by llhttp (`httptools`), strictly, and refused where two readers could understand it differently."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

import httptools

from pipeline.service import limits
from pipeline.service.refusals import refused

#: Headers of which two make no sense, or two different ones: whoever stands in front may have looked at the other one.
_ONCE = frozenset((b"host", b"authorization", b"content-type", b"content-length", b"idempotency-key", b"origin"))
#: An offer to speak another protocol from here on. llhttp would take it for accepted, and read no body; nobody need accept it.
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade:[^\r\n]*\r\n", re.IGNORECASE)
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class Request:
    """A request.

    Attributes:
        method: Its method; path: the path that it is for, decoded; query: what stands behind the question mark.
        host: The `host:port` that it is for; None where HTTP/1.0 says none.
        headers: Its headers, by their names in small letters.
        length: How many bytes its body has; None where it comes in chunks.
        keeps_alive: Whether the client wants to send another.
        is_old: Whether it is HTTP/1.0, to which no answer in chunks can be given.
        body: Its body, when it is there.
    """

    method: str
    path: bytes
    query: bytes
    host: bytes | None
    headers: dict[bytes, bytes]
    length: int | None
    keeps_alive: bool
    is_old: bool
    body: bytes | bytearray = field(default=b"")


class Events:
    """What llhttp says while it reads a request.

    Attributes:
        body: What has come of a body in chunks.
        is_complete: Whether the request is there to its end; has_more: whether another one began behind it.
    """

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.keeps_alive = False
        self.body = bytearray()
        self.is_complete = False
        self.has_more = False
        self._is_head = True
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.has_more = self.is_complete

    def on_url(self, part: bytes) -> None:
        if not self.has_more:
            self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_head:  # behind the body they would be trailers, which mean nothing here
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._is_head:
            self.keeps_alive = self.parser.should_keep_alive()
        self._is_head = False

    def on_body(self, part: bytes) -> None:
        if not self.has_more:
            self.body += part

    def on_message_complete(self) -> None:
        self.is_complete = True


def read_head(head: bytes) -> tuple[Request, Events]:
    """The request whose head this is, and the parser that can go on with a body in chunks.

    Raises:
        Refused: It is none, or an ambiguous one. The connection is of no use any more.
    """
    if b"\r\nupgrade:" in head.lower():
        head = _UPGRADE.sub(b"", head)
    events = Events()
    try:
        events.parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        raise refused(405, "The service is no proxy", closes=True) from None
    except httptools.HttpParserError as error:
        raise refused(400, f"The request is not valid HTTP/1.1: {error}", closes=True) from None
    return _request_of(events), events


def _request_of(events: Events) -> Request:
    version = events.parser.get_http_version()
    if version not in ("1.1", "1.0"):
        raise refused(505, "The request must be HTTP/1.1 or HTTP/1.0", closes=True)
    if len(events.headers) > limits.MAX_HEADERS:
        raise refused(431, f"The request must have at most {limits.MAX_HEADERS} headers", closes=True)
    headers = _headers_of(events.headers)
    host = headers.get(b"host")
    if host is None and version == "1.1":
        raise refused(400, "The Host header is missing", closes=True)
    target = events.target
    if absolute := _ABSOLUTE.fullmatch(target):
        host, target = absolute[1], absolute[2]
    path, _, query = target.partition(b"#")[0].partition(b"?")
    method = events.parser.get_method().decode("ascii")
    return Request(
        method,
        unquote_to_bytes(path),
        query,
        host,
        headers,
        _length_of(headers),
        events.keeps_alive,
        is_old=version == "1.0",
    )


def _headers_of(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        if name not in headers:
            headers[name] = value.strip(b" \t")
        elif name in _ONCE:
            raise refused(400, f"The {name.decode('ascii').title()} header must be there once", closes=True)
        else:
            headers[name] += b", " + value
    return headers


def _length_of(headers: dict[bytes, bytes]) -> int | None:
    if (encoding := headers.get(b"transfer-encoding")) is not None:
        if encoding.lower() != b"chunked":
            raise refused(501, "The Transfer-Encoding must be chunked", closes=True)
        return None
    digits = headers.get(b"content-length", b"0").lstrip(b"0")  # llhttp has seen to it that they are digits, of 64 bits
    return int(digits or b"0")
