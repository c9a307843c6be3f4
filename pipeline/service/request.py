"""A request as it comes in: its head, and its body, of a length or in chunks.

llhttp (`httptools`) parses both, strictly. What two readers could understand differently is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

import httptools

from pipeline.service import limits
from pipeline.service.problem import Problem, problem

#: Headers that a request has once: of two, a proxy in front may have looked at the other.
_ONCE = frozenset((b"host", b"authorization", b"content-type", b"content-length", b"idempotency-key", b"origin"))
#: An offer to speak another protocol from here on, which a server may ignore. llhttp would take it for accepted, and read no
#: body.
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade:[^\r\n]*\r\n", re.IGNORECASE)
#: A line feed alone. Where one reader sees an end of a line and another sees none, one request can be made to look like two.
_BARE_LF = re.compile(rb"(?<!\r)\n")
#: How a request begins. A client that speaks another protocol, as TLS, should hear of it before it has sent a whole head.
_METHOD = re.compile(rb"[A-Z-]{1,24}(?: |\Z)")
_LINE = re.compile(rb"[A-Z-]+ [!-~]+ HTTP/[0-9]\.[0-9]\r\n")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class Request:
    """A request.

    Attributes:
        method: Its method; path: its path, decoded; query: what stands behind the question mark.
        host: The `host:port` that it is sent to; None where HTTP/1.0 does not say.
        headers: Its headers, by their names in small letters.
        length: How many bytes its body has; None for a body in chunks.
        keeps_alive: Whether the client wants to send another request.
        is_old: Whether it is HTTP/1.0, which knows no answers in chunks.
        body: Its body, once that has come.
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


class Ahead(bytearray):
    """What has come on a connection and was not looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.searched = 0  # how much of it was searched for the end of a head

    def take_head(self) -> bytes | None:
        """Takes the next head, once it is whole.

        Raises:
            Problem: What is there does not begin a head. The connection is of no use any more.
        """
        if self.startswith((b"\r", b"\n")):  # some clients send an empty line behind a body
            self[:] = self.lstrip(b"\r\n")
        if not self:
            return None
        end = self.find(b"\r\n\r\n", max(0, self.searched - 3), limits.MAX_HEAD_BYTES) + 4
        part = self[:end] if end > 3 else self
        searched, self.searched = self.searched, len(self)
        _refuse_early(part, searched)
        if end == 3:
            return None
        del self[:end]
        self.searched = 0
        return bytes(part)


def _refuse_early(head: bytearray, searched: int) -> None:
    """Refuses a head, or its beginning, for what can be told before it is parsed.

    Args:
        head: As much of the head as has come.
        searched: How much of it had come when nothing was wrong.
    """
    line = head.find(b"\n") + 1
    if (line or len(head)) > limits.MAX_TARGET_BYTES:
        raise problem(414, f"The target must have at most {limits.MAX_TARGET_BYTES:,} bytes", closes=True)
    if _BARE_LF.search(head, searched):
        raise _not_http("lines must end with CR and LF")
    if not (_LINE.match(head) if line else _METHOD.match(head)):
        raise _not_http("it must begin with a method and a target")
    if len(head) > limits.MAX_HEAD_BYTES:
        raise problem(431, f"The head must have at most {limits.MAX_HEAD_BYTES:,} bytes", closes=True)


class Incoming:
    """A request while it comes; its callbacks are what llhttp calls.

    Args:
        head: The whole head.
        max_body: The longest body, in bytes.

    Attributes:
        request: The request, which gets its body.
        received: How many bytes of the body have come, without the framing of chunks.
        is_complete: Whether the body has come to its end.
        has_more: Whether another request began behind a body in chunks. Where it begins cannot be known.

    Raises:
        Problem: It is not a head, or an ambiguous one. The connection is of no use any more.
    """

    def __init__(self, head: bytes, max_body: int) -> None:
        self.received = 0
        self.is_complete = False
        self.has_more = False
        self._max_body = max_body
        self._framed = 0
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._keeps_alive = False
        self._is_head = True
        self._chunks = bytearray()
        self._parser = httptools.HttpRequestParser(self)
        if b"\r\nupgrade:" in head.lower():
            head = _UPGRADE.sub(b"", head)
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            raise problem(405, "The service is not a proxy", closes=True) from None
        except httptools.HttpParserError as error:
            raise _not_http(error) from None
        method = self._parser.get_method().decode("ascii")
        self.request = _request_of(
            method, self._target, self._headers, self._parser.get_http_version(), keeps_alive=self._keeps_alive
        )

    def on_message_begin(self) -> None:
        self.has_more = self.is_complete

    def on_url(self, part: bytes) -> None:
        if not self.has_more:
            self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_head:  # behind the body they would be trailers, which mean nothing here
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._is_head:
            self._keeps_alive = self._parser.should_keep_alive()
        self._is_head = False

    def on_body(self, part: bytes) -> None:
        if not self.has_more:
            self._chunks += part

    def on_message_complete(self) -> None:
        self.is_complete = True

    def feed(self, data: memoryview, *, is_kept: bool) -> memoryview:
        """Takes in what has come of the body.

        Args:
            data: The bytes.
            is_kept: Whether a body with a length is kept, or only gone through.

        Returns:
            What stands behind the body.

        Raises:
            Problem: The chunks are not valid, too long, or have too much around them.
        """
        request = self.request
        if request.length is None:
            self._feed_chunks(data)
            return data[:0]
        part = data[: request.length - self.received]
        self.received += len(part)
        if is_kept:
            if not isinstance(request.body, bytearray):
                request.body = bytearray()
            request.body += part
        self.is_complete = self.received == request.length
        return data[len(part) :]

    def _feed_chunks(self, data: memoryview) -> None:
        self._framed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self.is_complete:  # else what follows the body is wrong
                raise _not_http(error) from None
            self.has_more = True
        self.received = len(self._chunks)
        if self.received > self._max_body:
            raise too_long(self._max_body)
        if self._framed > limits.SMALL_BODY_BYTES + limits.MAX_FRAMING * self.received:
            raise problem(400, "The chunks of the request data have too much around them", closes=True)
        self.request.body = self._chunks


def _request_of(
    method: str, target: bytes, fields: list[tuple[bytes, bytes]], version: str, *, keeps_alive: bool
) -> Request:
    if version not in ("1.1", "1.0"):
        raise problem(505, "The request must be HTTP/1.1 or HTTP/1.0", closes=True)
    if len(fields) > limits.MAX_HEADERS:
        raise problem(431, f"The request must have at most {limits.MAX_HEADERS} headers", closes=True)
    headers = _headers_of(fields)
    host = headers.get(b"host")
    if host is None and version == "1.1":
        raise problem(400, "The Host header is missing", closes=True)
    if absolute := _ABSOLUTE.fullmatch(target):
        host, target = absolute[1], absolute[2]
    path, _, query = target.partition(b"#")[0].partition(b"?")
    length = _length_of(headers)
    return Request(method, unquote_to_bytes(path), query, host, headers, length, keeps_alive, is_old=version == "1.0")


def _headers_of(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        if name not in headers:
            headers[name] = value.strip(b" \t")
        elif name in _ONCE:
            raise problem(400, f"The {name.decode('ascii').title()} header must be there once", closes=True)
        else:
            headers[name] += b", " + value
    return headers


def _length_of(headers: dict[bytes, bytes]) -> int | None:
    if (encoding := headers.get(b"transfer-encoding")) is not None:
        if encoding.lower() != b"chunked":
            raise problem(501, "The Transfer-Encoding must be chunked", closes=True)
        return None
    digits = headers.get(b"content-length", b"0").lstrip(b"0")  # llhttp has checked that these are digits, of 64 bits
    return int(digits or b"0")


def too_long(max_body: int) -> Problem:
    """The problem of a body that is longer than so many bytes."""
    return problem(413, f"The request data must have at most {max_body} bytes")


def _not_http(why: object) -> Problem:
    return problem(400, f"The request is not valid HTTP/1.1: {why}", closes=True)
