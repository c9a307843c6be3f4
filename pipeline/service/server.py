"""The service from its start to its last flush: its parts, its socket, its connections and its signals."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import PurePath

import uvloop

from pipeline.errors import UsageError
from pipeline.flowstore import FlowStore
from pipeline.scalars import printable
from pipeline.schema import flow_schema
from pipeline.service import limits
from pipeline.service.app import App
from pipeline.service.body import Checker
from pipeline.service.budget import Budget
from pipeline.service.connection import Connection
from pipeline.service.flusher import Flusher
from pipeline.service.get import Get
from pipeline.service.hosts import Hosts, is_loopback
from pipeline.service.options import ServeOptions
from pipeline.service.page import Page
from pipeline.service.pending import Pending, recover
from pipeline.service.post import PENDING_FLUSHES, Post
from pipeline.service.writer import LogWriter
from pipeline.store.lock import served
from pipeline.wal.idempotency import IdempotencyKeys
from pipeline.wal.inspection import damaged_file_problems

_logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 1.0
_BACKLOG = 1024


def serve(path: PurePath, options: ServeOptions, told_to_end: threading.Event | None = None) -> None:
    """Serves a store until SIGINT or SIGTERM, and then flushes its log.

    Args:
        path: The store.
        options: How.
        told_to_end: Set where a signal came before the service could take it.

    Raises:
        UsageError: The address cannot be listened on.
        StoreServed: Another service has the store.
        StoreError: The store cannot be used.
    """
    store = FlowStore(path, create=True)
    flow_schema(options.zero_bytes)  # imports pandas and pandera, for which the first flush would hold up all requests
    with _listening(options) as listener, served(store.locations):
        _log_escaped()
        if options.token is None and not is_loopback(listener.getsockname()[0]):
            _logger.warning("anybody who reaches %s can read and write: set --token, or FLOWLOG_TOKEN", _url(listener))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(store, options, listener, told_to_end or threading.Event()))


async def _serve(store: FlowStore, options: ServeOptions, listener: socket.socket, told_to_end: threading.Event) -> None:
    async with opened(store, options, listener) as app:
        server = Server(app, f"flowlog serves the store {store.locations.root} on {_url(listener)}")
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        if told_to_end.is_set():  # only now is a signal that comes not lost
            server.stop()
        await server.serve(listener)
        _logger.info("flowlog moves what is in the log into flows, and ends")


@asynccontextmanager
async def opened(store: FlowStore, options: ServeOptions, listener: socket.socket) -> AsyncIterator[App]:
    """The application on a store, whose service's lock must be held, for a socket. At its end the log is flushed.

    Raises:
        StoreDamaged: The log cannot be read.
        StoreUnwritable: The log cannot be mended.
    """
    pending = Pending(store.locations)
    for segment in recover(store.locations):
        pending.add(segment)
    writer = LogWriter(store.locations, options.zero_bytes, pending)
    keys = IdempotencyKeys(store.locations)
    keys.go_on_from(pending.newest_key)
    for problem in damaged_file_problems(store.locations):
        _logger.error("%s", problem)
    flusher = Flusher(store, writer, pending, keys, options.flush_seconds, options.flush_bytes)
    flushing = asyncio.create_task(flusher.run())
    answers = Budget(limits.ANSWERS_BYTES)
    has_token = options.token is not None
    try:
        yield App(
            Post(Checker(options.zero_bytes), writer, pending, keys, flusher, PENDING_FLUSHES * options.flush_bytes),
            Get(store.locations, pending, answers),
            Page(store, pending, answers),
            Hosts(listener.getsockname()[0], options.host, options.allowed_hosts, has_token=has_token),
            options.zero_bytes,
            options.token,
            options.max_body,
            Budget(limits.BODIES_BYTES),
            answers,
        )
    finally:
        flusher.stop()
        await flushing
        with suppress(OSError):  # the flusher has said so
            await writer.close()
        keys.close()


class Server:
    """Takes connections, and ends those whose clients are too slow, or in the way of others.

    Args:
        app: What answers.
        greeting: Logged when the service listens, and can be ended in good order.

    Attributes:
        app: As above.
        buffer: Where all connections read to, one after the other.
        connections: The open connections.
    """

    def __init__(self, app: App, greeting: str) -> None:
        self.app = app
        self.buffer = memoryview(bytearray(limits.READ_BYTES))
        self.connections: set[Connection] = set()
        self._greeting = greeting
        self._told_to_end = asyncio.Event()
        self._is_empty = asyncio.Event()

    def add(self, connection: Connection) -> bool:
        """Takes a new connection. Where there are as many as may be, the one whose client can best be given up makes room.

        That is one whose client has the turn, preferably one that has not shown that it may see data, since connections that
        fill the service need no token; among those, the one that has waited for the longest.
        """
        if len(self.connections) >= limits.MAX_CONNECTIONS:
            waiting = [other for other in self.connections if other.may_be_given_up]
            if not waiting:
                return False
            victim = min(waiting, key=lambda other: (other.is_trusted, other.since))
            self.connections.discard(victim)
            victim.abort()
        self.connections.add(connection)
        return True

    def discard(self, connection: Connection) -> None:
        """Forgets a connection that has ended."""
        self.connections.discard(connection)
        if not self.connections:
            self._is_empty.set()

    def stop(self) -> None:
        """Has `serve` end when the requests under way are answered."""
        self._told_to_end.set()

    async def serve(self, listener: socket.socket) -> None:
        """Serves until `stop` is called.

        Raises:
            UsageError: The address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            listener.listen(_BACKLOG)  # where this fails, uvloop would not say so
        except OSError as error:  # another process has bound the same address, and listens since then
            raise _cannot_listen(_url(listener), error) from None
        server = await loop.create_server(lambda: Connection(self), sock=listener, backlog=_BACKLOG)
        sweeping = asyncio.create_task(self._sweep())
        try:
            _logger.info("%s", self._greeting)
            await self._told_to_end.wait()
            server.close()
            await self._end_connections()
        finally:
            sweeping.cancel()
            server.close()

    async def _sweep(self) -> None:
        """One timer for all: a timer for each request would cost more than reading most of them."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = loop.time()
            for connection in list(self.connections):
                connection.give_up_if_slow(now, now - last, limits.REQUEST_SECONDS)
            last = now

    async def _end_connections(self) -> None:
        for connection in list(self.connections):
            connection.shut_down()
        if self.connections:
            self._is_empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_empty.wait(), limits.SHUTDOWN_SECONDS)
        for connection in list(self.connections):
            connection.abort()


@contextmanager
def _listening(options: ServeOptions) -> Iterator[socket.socket]:
    where = f"{options.host}:{options.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(where, error) from None
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for direction in (socket.SO_RCVBUF, socket.SO_SNDBUF):  # the connections inherit it
                listener.setsockopt(socket.SOL_SOCKET, direction, limits.SOCKET_BYTES)
            listener.bind(address)
        except (OSError, OverflowError) as error:
            raise _cannot_listen(where, error) from None
        yield listener


def _cannot_listen(where: str, error: Exception) -> UsageError:
    return UsageError(f"cannot listen on {where}: {error}; --host and --port name another address")


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Escaped(logging.Formatter):
    """No text of a client may forge a line of a log, or drive a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(printable(line) for line in super().format(record).split("\n"))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = printable(record.message)
        return super().formatMessage(record)


def _log_escaped() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Escaped("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
