"""One connection: requests in, answers out, one after the other, within `limits`.

A whole head is read first; the application then admits or refuses the request, before a byte of its body is taken. When
its body has come, a task answers the request. Meanwhile nothing is read but what has come already.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from enum import Enum, auto
from typing import Protocol, cast

from pipeline.service import limits
from pipeline.service.answers import Answers, Gone
from pipeline.service.app import App
from pipeline.service.problem import RETRY, Problem, problem
from pipeline.service.request import Ahead, Incoming, Request

_logger = logging.getLogger(__name__)


class Owner(Protocol):
    """The server, to which connections belong.

    Attributes:
        buffer: Where all connections read to, one after the other.
    """

    buffer: memoryview

    @property
    def app(self) -> App:
        """The application."""

    def add(self, connection: Connection) -> bool:
        """Whether a new connection can be taken."""

    def discard(self, connection: Connection) -> None:
        """Forgets a connection that has ended."""


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
        self._ahead = Ahead()
        self._request: Request | None = None
        self._incoming: Incoming | None = None
        self._refusal: Problem | None = None  # what is answered when the body has gone by
        self._room = 0  # what the request has of the room for bodies
        self._ticket = 0  # its place among the requests that wait for room
        self._task: asyncio.Task[None] | None = None

    # --- what the event loop calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._out = Answers(self._transport, self._app.count)
        if not self._owner.add(self):
            self._out.refuse(problem(503, "There are too many connections; try again later", RETRY, closes=True))
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
        """Whether its client has the turn, so that the connection could make room for another."""
        return self._out.unread_since is not None or self._state in (State.HEAD, State.BODY, State.LINGERING)

    def abort(self) -> None:
        """Ends the connection, and the work on its request."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    def shut_down(self) -> None:
        """Ends the connection when its request is answered."""
        self._out.keeps_alive = False
        if self._state is State.LINGERING or (self._state is State.HEAD and not self._ahead):
            self._transport.close()

    def give_up_if_slow(self, now: float, seconds: float, patience: float) -> None:
        """Ends the connection if its client takes too long. To be called from time to time.

        Args:
            now: The loop's time.
            seconds: How long ago this was called before.
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
            self._refuse(problem(408, "The request came too slowly", closes=True))
            self._transport.close()

    def _is_in_the_way(self, waited: float) -> bool:
        """Whether the body comes more slowly than is fair to the requests that wait for its room."""
        is_wanted = self._room > 0 and self._app.bodies.is_short
        return is_wanted and waited > limits.FREE_SECONDS + self._received / limits.LEAST_RATE

    # --- heads ---------------------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _go_on(self) -> None:
        """Reads on if the client has the turn: first what has come already."""
        if self._state is State.HEAD and self._out.unread_since is None:
            self._read_heads()
        has_turn = self._state is State.BODY or (self._state is State.HEAD and self._out.unread_since is None)
        if self._has_ended and (has_turn or self._state is State.LINGERING):
            self._transport.close()  # what the client should send will not come
        elif self._is_paused and (has_turn or self._state is State.LINGERING):
            self._is_paused = False
            self._transport.resume_reading()

    def _read_heads(self) -> None:
        """Begins with each request whose head has come, until one of them needs time."""
        was_idle = not self._ahead.searched and not self._is_new
        while self._ahead and self._state is State.HEAD and self._out.unread_since is None:
            try:
                head = self._ahead.take_head()
            except Problem as refusal:
                self._refuse(refusal)
            else:
                if head is not None:
                    self._begin(head)
                    continue
                if was_idle and self._ahead:
                    self.since = self._loop.time()
                break

    def _begin(self, head: bytes) -> None:
        """Has a request admitted or refused, and its body read."""
        self._is_new = False
        self._request = self._incoming = self._refusal = None
        try:
            self._incoming = Incoming(head, self._app.max_body)
            self._request = request = self._incoming.request
            self._out.begin(request)
            self.is_trusted = self._app.admit(request) or self.is_trusted
        except Problem as refusal:
            self._refuse(refusal)
            return
        if request.length == 0:
            self._answer(request)
        else:
            self._ticket = self._app.bodies.ticket()
            self._start_body()

    # --- bodies --------------------------------------------------------------------------------------------------------

    @property
    def _received(self) -> int:
        return 0 if self._incoming is None else self._incoming.received

    def _start_body(self) -> None:
        """Reads the body, or goes on with it."""
        self._state, self.since = State.BODY, self._loop.time()
        if self._expects_continue() and not self._received and self._refusal is None:
            self._out.go_on()
        ahead, self._ahead = self._ahead, Ahead()
        if ahead:
            self._read_body(memoryview(ahead))

    def _expects_continue(self) -> bool:
        return self._request is not None and self._request.headers.get(b"expect", b"").lower() == b"100-continue"

    def _take_room(self) -> None:
        """Takes room for what has come of a long body. While there is none, nothing more of the body is read."""
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
            self._refuse(problem(503, "There are too many requests at once; try again later", RETRY, closes=True))
            return
        self._task = None
        self._room += size
        if self._state is State.CLOSED:
            self._give_back_room()
        else:
            since = self.since + self._loop.time() - started  # the client did not have the turn meanwhile
            self._start_body()
            self.since = since
            self._go_on()

    def _read_body(self, data: memoryview) -> None:
        incoming = self._incoming
        assert incoming is not None  # noqa: S101 - a body has a head
        try:
            self._ahead += incoming.feed(data, is_kept=self._refusal is None)
        except Problem as refusal:
            self._refuse(refusal)
            return
        if incoming.has_more:  # the client has to send it again
            self._out.keeps_alive = False
        if not incoming.is_complete:
            if self._refusal is None:
                self._take_room()
        elif self._refusal is None:
            self._answer(incoming.request)
        else:
            self._out.refuse(self._refusal)
            self._finish()

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
            except Problem as refusal:
                self._refuse_late(refusal)
            except Gone:
                raise
            except Exception:
                _logger.exception("cannot answer %s %s", request.method, request.path.decode("utf-8", "backslashreplace"))
                self._refuse_late(problem(500, "The service has a bug; its standard error says which", closes=True))
            finally:
                self._give_back_room()
            await self._out.read()
        except Gone:
            return
        finally:
            self._task = None
        self._finish()
        self._go_on()

    def _refuse_late(self, refusal: Problem) -> None:
        """Says why a request is not carried out. An answer that is under way is cut off instead, so that nobody takes it for
        whole.
        """
        if self._out.has_started:
            self._transport.abort()
            raise Gone
        self._out.refuse(refusal)

    def _refuse(self, refusal: Problem) -> None:
        """Answers a request that is not carried out, while it still comes."""
        request = self._request
        if request is None:  # the head has not come, or cannot be read
            self._out.begin(None)
        self._give_back_room()
        has_all = request is not None and request.length == self._received
        is_short = request is not None and request.length is not None and request.length <= limits.SMALL_BODY_BYTES
        if not has_all and is_short and not refusal.closes and not self._expects_continue():
            self._refusal = refusal
            self._start_body()
            return
        self._out.refuse(refusal if has_all else replace(refusal, closes=True))
        self._finish()

    def _finish(self) -> None:
        """Has the next request come, or ends the connection."""
        self.since = self._loop.time()
        self._request = self._incoming = self._refusal = None
        if self._state is State.CLOSED:
            return
        if self._out.keeps_alive:
            self._state = State.HEAD
            return
        # A client that is still sending when the connection is closed may lose the answer: so our side alone is ended first.
        self._state = State.LINGERING
        self._ahead.clear()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._go_on()
