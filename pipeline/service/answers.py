"""What goes out on a connection: one answer after the other, never faster than the client reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus

from pipeline.service import limits
from pipeline.service.problem import Header, Problem
from pipeline.service.request import Request

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\ndate: ".encode() for status in HTTPStatus if status >= 200
}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Gone(Exception):
    """The client has gone, or was given up, so that an answer is of no use."""


class Answers:
    """The outgoing side of a connection.

    Args:
        transport: Where the bytes go.
        count: Called with the method and the status of each answer.

    Attributes:
        keeps_alive: Whether another request may follow.
        has_started: Whether a part of the answer is sent.
        holds: How much of the room for answers the answer has.
        unread_since: Since when the client has not read what waits for it; None while nothing waits.
    """

    def __init__(self, transport: asyncio.Transport, count: Callable[[str, int], None]) -> None:
        transport.set_write_buffer_limits(limits.WRITE_BYTES)
        self.keeps_alive = True
        self.has_started = False
        self.holds = 0
        self.unread_since: float | None = None
        self._transport = transport
        self._count = count
        self._request: Request | None = None
        self._in_chunks = False
        self._drained: asyncio.Future[None] | None = None
        self._is_gone = False
        self._sent = 0
        self._unsent = 0
        self._unread_seconds = 0.0

    def begin(self, request: Request | None) -> None:
        """Starts with the next request; None for a request that could not be read."""
        self._request = request
        self.has_started = self._in_chunks = False
        self._sent = 0
        self._unread_seconds = 0.0
        if request is not None and not request.keeps_alive:
            self.keeps_alive = False

    def go_on(self) -> None:
        """Asks for the body that a client has announced."""
        self._transport.write(_CONTINUE)

    def respond(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """Gives an answer."""
        head = self._head(status, [*headers, (b"content-length", b"%d" % len(body))])
        self._transport.write(head if self._is_head_only else head + body)

    def refuse(self, refusal: Problem) -> None:
        """Says what is wrong with a request."""
        if refusal.closes:
            self.keeps_alive = False
        accept = b"" if self._request is None else self._request.headers.get(b"accept", b"")
        content_type, body = refusal.answer(accept)
        self.respond(refusal.status, [(b"content-type", content_type), (b"vary", b"accept"), *refusal.headers], body)

    def start(self, headers: Iterable[Header]) -> bool:
        """Starts an answer in pieces. Returns whether pieces are wanted, as they are not for HEAD."""
        self._in_chunks = self._request is None or not self._request.is_old
        if not self._in_chunks:
            self.keeps_alive = False  # the end of the connection is the end of the answer
        self._transport.write(
            self._head(200, [*headers, (b"transfer-encoding", b"chunked")] if self._in_chunks else [*headers])
        )
        return not self._is_head_only

    async def write(self, piece: bytes) -> None:
        """Sends a piece, and waits until the client has read most of it.

        Raises:
            Gone: The client does not read any more.
        """
        if self._is_gone:
            raise Gone
        self._transport.writelines([b"%x\r\n" % len(piece), piece, b"\r\n"] if self._in_chunks else [piece])
        self._sent += len(piece)
        await self.read()

    def end(self) -> None:
        """Ends an answer in pieces."""
        if self._in_chunks:
            self._transport.write(b"0\r\n\r\n")

    async def read(self) -> None:
        """Waits until the client has read most of what was sent.

        Raises:
            Gone: The client does not read any more.
        """
        if self._drained is not None:
            await self._drained
        if self._is_gone:
            raise Gone

    def pause(self) -> None:
        """Called when the client does not read."""
        self._drained = asyncio.get_running_loop().create_future()
        self._unsent = 0
        self.unread_since = asyncio.get_running_loop().time()

    def resume(self) -> None:
        """Called when the client reads on."""
        self.unread_since = None
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def lose(self) -> None:
        """Called when the client has gone."""
        self._is_gone = True
        self.resume()

    def is_stuck(self, now: float, seconds: float, patience: float, *, is_short: bool) -> bool:
        """Whether the client leaves an answer unread for too long. To be called from time to time, while it does not read.

        Args:
            now: The loop's time.
            seconds: How long ago this was called before.
            patience: How long a client may read nothing.
            is_short: Whether other answers wait for room; then the client must also be quick.
        """
        unsent = self._transport.get_write_buffer_size()
        if self.unread_since is None or unsent != self._unsent:
            self._unsent, self.unread_since = unsent, now
        self._unread_seconds += seconds
        free = limits.FREE_SECONDS + (self._sent - unsent) / limits.LEAST_RATE
        return (is_short and self.holds > 0 and self._unread_seconds > free) or now - self.unread_since >= patience

    @property
    def _is_head_only(self) -> bool:
        return self._request is not None and self._request.method == "HEAD"

    def _head(self, status: int, headers: Iterable[Header]) -> bytes:
        self.has_started = True
        method = "other" if self._request is None else self._request.method
        # A client can invent any number of other methods, which must not become names in the metrics.
        self._count(method if method in _METHODS else "other", status)
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        close = b"" if self.keeps_alive else b"connection: close\r\n"
        return b"%b%b\r\n%b%b\r\n" % (_STATUS_LINES[status], _date(), lines, close)


_date_of_second: tuple[int, bytes] = (0, b"")


def _date() -> bytes:
    """The time, as HTTP has it; made once a second."""
    global _date_of_second  # noqa: PLW0603 - a cache of one
    now = int(time.time())
    if _date_of_second[0] != now:
        _date_of_second = (now, formatdate(now, usegmt=True).encode())
    return _date_of_second[1]
