"""One connection: requests in, answers out, one after the other, within `limits`.

A head is read when it is whole; the application then admits or refuses it, before a byte of its body is taken; with its
body it is answered by a task. Meanwhile no more is read than what has come already.
"""

from __future__ import annotations

import asyncio
import logging
import re
from enum import Enum, auto
from typing import Protocol, cast

import httptools

from pipeline.service import limits
from pipeline.service.answers import Answers, Gone
from pipeline.service.budget import Budget
from pipeline.service.heads import Events, Request, read_head
from pipeline.service.refusals import Refused, refused

_logger = logging.getLogger(__name__)

_RETRY = ((b"retry-after", b"5"),)
#: Lines end with both: who sees an end where another sees none can be made to see two requests in one.
_BARE_LF = re.compile(rb"(?<!\r)\n")
#: How a request begins. Who speaks something else, as TLS, should hear of it before it has sent a whole head.
_METHOD = re.compile(rb"[A-Z-]{1,24}(?: |\Z)")
_LINE = re.compile(rb"[A-Z-]+ [!-~]+ HTTP/[0-9]\.[0-9]\r\n")


class App(Protocol):
    """What answers requests.

    Attributes:
        max_body: The longest body, in bytes.
        bodies: The room for bodies; answers: the room for answers.
    """

    max_body: int
    bodies: Budget
    answers: Budget

    def admit(self, request: Request) -> bool:
        """Whether its client has shown that it may see data. Raises Refused for what need not be read."""

    async def answer(self, request: Request, answers: Answers) -> None:
        """Answers a request, with its body. Raises Refused, or Gone."""

    def count(self, method: str, status: int) -> None:
        """Is told of each answer."""

    def too_long(self) -> Refused:
        """What is said of a body that is too long."""


class Owner(Protocol):
    """The server, to which connections belong.

    Attributes:
        buffer: Where all connections read to, one after the other.
    """

    buffer: memoryview

    @property
    def app(self) -> App:
        """What answers."""

    def add(self, connection: Connection) -> bool:
        """Whether a new connection can be taken."""

    def discard(self, connection: Connection) -> None:
        """Is told that a connection is no more."""


class State(Enum):
    """What a connection is about."""

    HEAD = auto()  # the client has the turn: to send a head, or nothing
    WAITING = auto()  # for room for the body
    BODY = auto()  # the client has the turn: to send the body
    ANSWERING = auto()
    LINGERING = auto()  # the last answer is sent, and what still comes is thrown away
    CLOSED = auto()


class Connection(asyncio.BufferedProtocol):
    """A connection.

    Attributes:
        is_trusted: Whether its client has shown that it may see data.
        since: Since when its client has the turn.
    """

    def __init__(self, owner: Owner) -> None:
        self.is_trusted = False
        self._owner = owner
        self._app = owner.app
        self._loop = asyncio.get_running_loop()
        self.since = self._loop.time()
        self._state = State.HEAD
        self._is_new = True
        self._is_paused = False
        self._has_ended = False
        self._ahead = bytearray()  # what has come and was not looked at
        self._searched = 0
        self._request: Request | None = None
        self._events: Events | None = None  # of a body in chunks
        self._refusal: Refused | None = None  # to be said when the body has gone by
        self._received = 0
        self._framed = 0
        self._room = 0  # what it has of the room for bodies
        self._ticket = 0  # its place among those who wait for that
        self._task: asyncio.Task[None] | None = None

    # --- what the event loop calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._out = Answers(self._transport, self._app.count)
        if not self._owner.add(self):
            self._out.refuse(refused(503, "There are too many connections; try again later", _RETRY, closes=True))
            self._state = State.CLOSED
            self._transport.close()

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._owner.buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = self._owner.buffer[:nbytes]
        if self._state in (State.LINGERING, State.CLOSED):
            return
        if self._state is State.BODY:
            self._read_body(data)
        else:
            self._ahead += data
        if self._state is State.HEAD and self._out.unread_since is None:
            self._read_heads()
        elif self._ahead:
            self._pause()

    def eof_received(self) -> bool:
        self._has_ended = True  # a client may close its half and wait for its answers
        self._loop.call_soon(self._go_on)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._state is State.WAITING and self._task is not None:
            self._task.cancel()
        if self._state is not State.ANSWERING:
            self._give_back_room()
        self._state = State.CLOSED
        self._ahead.clear()
        self._out.lose()
        self._owner.discard(self)

    def pause_writing(self) -> None:
        self._out.pause()

    def resume_writing(self) -> None:
        self._out.resume()
        self._go_on()

    # --- what the server calls -----------------------------------------------------------------------------------------

    @property
    def may_be_given_up(self) -> bool:
        """Whether its client has the turn: it could make room for another."""
        return self._out.unread_since is not None or self._state in (State.HEAD, State.BODY, State.LINGERING)

    def abort(self) -> None:
        """Ends it, and what is done for it."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    def shut_down(self) -> None:
        """Ends it when its request is answered."""
        self._out.keeps_alive = False
        if self._state is State.LINGERING or (self._state is State.HEAD and not self._ahead):
            self._transport.close()

    def give_up_if_slow(self, now: float, seconds: float, patience: float) -> None:
        """Ends it if its client takes too long. To be called from time to time.

        Args:
            now: The loop's time.
            seconds: How long ago it was called before.
            patience: How long a client may take to send a request, and how long it may read nothing.
        """
        waited = now - self.since
        if self._out.unread_since is not None:
            if self._out.is_stuck(now, seconds, patience, is_short=self._app.answers.is_short):
                self._transport.abort()
        elif self._state is State.LINGERING:
            if waited > limits.LINGER_SECONDS:
                self._transport.abort()
        elif self._state is State.HEAD and not self._is_new and not self._ahead:
            if waited > limits.KEEP_ALIVE_SECONDS:
                self._transport.close()
        elif self._state in (State.HEAD, State.BODY) and (waited >= patience or self._is_in_the_way(waited)):
            self._refuse(refused(408, "The request came too slowly", closes=True))
            self._transport.close()

    def _is_in_the_way(self, waited: float) -> bool:
        """Whether a body comes slower than is fair to others who wait for its room."""
        is_wanted = self._room > 0 and self._app.bodies.is_short
        return is_wanted and waited > limits.FREE_SECONDS + self._received / limits.LEAST_RATE

    # --- heads ---------------------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _go_on(self) -> None:
        """Reads on where the client has the turn: first what has come already."""
        if self._state is State.HEAD and self._out.unread_since is None:
            self._read_heads()
        has_turn = self._state is State.BODY or (self._state is State.HEAD and self._out.unread_since is None)
        if self._has_ended and (has_turn or self._state is State.LINGERING):
            self._transport.close()  # what it should send will not come
        elif self._is_paused and (has_turn or self._state is State.LINGERING):
            self._is_paused = False
            self._transport.resume_reading()

    def _read_heads(self) -> None:
        """Begins with each request whose head has come, until one of them needs time."""
        was_idle = not self._searched and not self._is_new
        while self._ahead and self._state is State.HEAD and self._out.unread_since is None:
            if self._ahead[0] in b"\r\n":  # some send an empty line behind a body
                self._ahead = self._ahead.lstrip(b"\r\n")
                continue
            end = self._ahead.find(b"\r\n\r\n", max(0, self._searched - 3), limits.MAX_HEAD_BYTES) + 4
            part = self._ahead[:end] if end > 3 else self._ahead
            searched, self._searched = self._searched, len(self._ahead)
            if refusal := _refusal_of(part, searched):
                self._refuse(refusal)
            elif end > 3:
                del self._ahead[:end]
                self._searched = 0
                self._begin(bytes(part))
            else:
                if was_idle:
                    self.since = self._loop.time()
                break

    def _begin(self, head: bytes) -> None:
        """Has a request admitted or refused, and its body read."""
        self._is_new = False
        self._request = self._events = self._refusal = None
        self._received = self._framed = 0
        try:
            self._request, events = read_head(head)
            self._out.begin(self._request)
            if self._request.length is None:
                self._events = events
            self.is_trusted = self._app.admit(self._request) or self.is_trusted
        except Refused as refusal:
            self._refuse(refusal)
            return
        if self._request.length == 0:
            self._answer(self._request)
        else:
            self._ticket = self._app.bodies.ticket()
            self._start_body()

    # --- bodies --------------------------------------------------------------------------------------------------------

    def _start_body(self) -> None:
        """Reads the body, or goes on with it."""
        self._state, self.since = State.BODY, self._loop.time()
        if self._expects_continue() and not self._received and self._refusal is None:
            self._out.go_on()
        ahead, self._ahead = self._ahead, bytearray()
        if ahead:
            self._read_body(memoryview(ahead))

    def _expects_continue(self) -> bool:
        return self._request is not None and self._request.headers.get(b"expect", b"").lower() == b"100-continue"

    def _take_room(self) -> None:
        """Takes room for what has come of a long body. Where there is none, nothing more of it is read until there is."""
        size = self._received - self._room
        if self._received <= limits.SMALL_BODY_BYTES:
            return
        if self._app.bodies.take_now(size, self._ticket, self._room):
            self._room += size
        else:
            self._state = State.WAITING
            self._task = self._loop.create_task(self._wait_for_room(size))

    async def _wait_for_room(self, size: int) -> None:
        started = self._loop.time()
        try:
            await self._app.bodies.take(size, limits.ROOM_SECONDS, self._ticket, self._room)
        except TimeoutError:
            self._task = None
            self._refuse(refused(503, "There are too many requests at once; try again later", _RETRY, closes=True))
            return
        self._task = None
        self._room += size
        if self._state is State.CLOSED:
            self._give_back_room()
        else:
            since = self.since + self._loop.time() - started  # the client had not the turn meanwhile
            self._start_body()
            self.since = since
            self._go_on()

    def _read_body(self, data: memoryview) -> None:
        request = self._request
        assert request is not None  # noqa: S101 - a body has a head
        if self._events is not None or request.length is None:
            self._read_chunks(request, data)
            return
        part = data[: request.length - self._received]
        self._ahead += data[len(part) :]
        self._received += len(part)
        if self._refusal is None:
            if not isinstance(request.body, bytearray):
                request.body = bytearray()
            request.body += part
        if self._received == request.length:
            if self._refusal is None:
                self._answer(request)
            else:
                self._out.refuse(self._refusal)
                self._finish()
        elif self._refusal is None:
            self._take_room()

    def _read_chunks(self, request: Request, data: memoryview) -> None:
        events = self._events
        assert events is not None  # noqa: S101 - they belong to a body in chunks
        self._framed += len(data)
        try:
            events.parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not events.is_complete:  # else it is what follows that is wrong
                self._refuse(refused(400, f"The request is not valid HTTP/1.1: {error}", closes=True))
                return
            events.has_more = True
        self._received = len(events.body)
        if self._received > self._app.max_body:
            self._refuse(self._app.too_long())
        elif self._framed > limits.SMALL_BODY_BYTES + limits.MAX_FRAMING * self._received:
            self._refuse(refused(400, "The chunks of the request data have too much around them", closes=True))
        elif events.is_complete:
            if events.has_more:  # where it begins in what was fed cannot be known: the client has to ask again
                self._out.keeps_alive = False
            request.body, self._events = events.body, None
            self._answer(request)
        else:
            self._take_room()

    def _give_back_room(self) -> None:
        room, self._room = self._room, 0
        if room:
            self._app.bodies.give(room)

    # --- answers -------------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> None:
        self._state = State.ANSWERING
        self._task = self._loop.create_task(self._run(request))

    async def _run(self, request: Request) -> None:
        try:
            try:
                await self._app.answer(request, self._out)
            except Refused as refusal:
                self._refuse_late(refusal)
            except Gone:
                raise
            except Exception:
                _logger.exception("cannot answer %s %s", request.method, request.path.decode("utf-8", "backslashreplace"))
                self._refuse_late(refused(500, "The service has a bug; its standard error says which", closes=True))
            finally:
                self._give_back_room()
            await self._out.read()
        except Gone:
            return
        finally:
            self._task = None
        self._finish()
        self._go_on()

    def _refuse_late(self, refusal: Refused) -> None:
        """Says that a request is not carried out, unless the answer is under way: then that is cut off, so that it is not
        taken for whole.
        """
        if self._out.has_started:
            self._transport.abort()
            raise Gone
        self._out.refuse(refusal)

    def _refuse(self, refusal: Refused) -> None:
        """Answers a request that is not carried out, in the middle of its coming."""
        request = self._request
        if request is None:  # its head has not come, or cannot be read
            self._out.begin(None)
        self._give_back_room()
        has_all = request is not None and request.length == self._received
        is_short = request is not None and request.length is not None and request.length <= limits.SMALL_BODY_BYTES
        if not has_all and is_short and not refusal.closes and not self._expects_continue():
            self._refusal = refusal
            self._start_body()
            return
        self._out.refuse(refusal if has_all else Refused(refusal.status, refusal.problems, refusal.headers, closes=True))
        self._finish()

    def _finish(self) -> None:
        """Has the next request come, or ends the connection."""
        self.since = self._loop.time()
        self._request = self._events = self._refusal = None
        if self._state is State.CLOSED:
            return
        if self._out.keeps_alive:
            self._state = State.HEAD
            return
        # Who is still sending when the connection is closed may lose the answer: so the sending is ended first.
        self._state = State.LINGERING
        self._ahead.clear()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._go_on()


def _refusal_of(head: bytearray, searched: int) -> Refused | None:
    """What is wrong with a head, or with its beginning, if that can be told before it is parsed.

    Args:
        head: As much of it as is there.
        searched: How much of it was there when nothing was wrong.
    """
    line = head.find(b"\n") + 1
    if (line or len(head)) > limits.MAX_TARGET_BYTES:
        return refused(414, f"The target must have at most {limits.MAX_TARGET_BYTES:,} bytes", closes=True)
    if _BARE_LF.search(head, searched):
        return refused(400, "The request is not valid HTTP/1.1: lines must end with CR and LF", closes=True)
    if not (_LINE.match(head) if line else _METHOD.match(head)):
        return refused(400, "The request is not valid HTTP/1.1: it must begin with a method and a target", closes=True)
    if len(head) > limits.MAX_HEAD_BYTES:
        return refused(431, f"The head must have at most {limits.MAX_HEAD_BYTES:,} bytes", closes=True)
    return None
