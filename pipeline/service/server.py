"""uvicorn, signals, slow clients: the service from its start to its last move."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline.errors import StoreDamaged, UsageError
from pipeline.flowstore import FlowStore
from pipeline.output import printable
from pipeline.schema import ZeroBytes, flow_schema
from pipeline.service.app import MAX_PENDING, App
from pipeline.service.log import Log
from pipeline.service.mover import Mover, find_move
from pipeline.service.pending import Pending, Segment, bytes_by_hour
from pipeline.service.records import read_lines
from pipeline.store import wal
from pipeline.store.keys import Keys
from pipeline.store.locations import Locations
from pipeline.store.lock import served

_logger = logging.getLogger(__name__)

#: How long a client may take to send a request, and how long it may leave an answer unread.
REQUEST_SECONDS = 60.0
_KEEP_ALIVE_SECONDS = 60
_SHUTDOWN_SECONDS = 15
_MAX_CONNECTIONS = 512
_SWEEP_SECONDS = 1.0
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True)
class ServeOptions:
    """How to serve.

    Attributes:
        host: The address to listen on; port: the port, 0 for any that is free.
        zero_bytes: Whether a record may have 0 bytes in a direction.
        max_body: The longest body of a request, in bytes.
        flush_seconds: Move the log into `flows/` when its oldest record has waited so long;
        flush_bytes: or when it has so many bytes.
        token: The bearer token that clients must give, if one is asked for.
    """

    host: str = "127.0.0.1"
    port: int = 3000
    zero_bytes: ZeroBytes = "reject"
    max_body: int = 32 << 20
    flush_seconds: float = 60
    flush_bytes: int = 32 << 20
    token: str | None = None

    def __post_init__(self) -> None:
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token.strip()):
            raise UsageError("the token must be visible ASCII characters; is a variable of the shell not set?")


def serve(path: Path, options: ServeOptions) -> None:
    """Serves a store until SIGINT or SIGTERM, and then moves what is in its log.

    Raises:
        UsageError: The address cannot be listened on.
        StoreServed: Another service has the store.
        StoreError: The store cannot be used.
    """
    store = FlowStore(path, create=True)
    flow_schema(options.zero_bytes)  # imports pandas and pandera: the first move would hold all requests up with that
    with _listening(options) as listener, served(store.locations):
        _log_escaped()
        if options.token is None and not _is_loopback(listener):
            _logger.warning("anybody who reaches %s can read and write: set --token, or FLOWLOG_TOKEN", _url(listener))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(store, options, listener))


async def _serve(store: FlowStore, options: ServeOptions, listener: socket.socket) -> None:
    async with opened(store, options) as app:
        await make_server(app, f"flowlog serves the store {store.locations.root} on {_url(listener)}").serve([listener])
        _logger.info("flowlog moves what is in the log into flows, and ends")


@asynccontextmanager
async def opened(store: FlowStore, options: ServeOptions) -> AsyncIterator[App]:
    """The application on a store, whose service's lock must be held. At its end the log is moved.

    Raises:
        StoreDamaged: The log cannot be read.
        StoreUnwritable: It cannot be mended.
    """
    pending = Pending(store.locations)
    for segment in _recovered(store):
        pending.add(segment)
    log = Log(store.locations, options.zero_bytes, pending)
    keys = Keys(store.locations)
    keys.go_on_from(pending.newest_key)
    for problem in wal.put_aside_problems(store.locations):
        _logger.error("%s", problem)
    mover = Mover(store, log, pending, keys, options.flush_seconds, options.flush_bytes)
    moving = asyncio.create_task(mover.run())
    max_pending = MAX_PENDING * options.flush_bytes
    try:
        yield App(store, options.zero_bytes, options.token, options.max_body, max_pending, log, pending, keys, mover)
    finally:
        mover.stop()
        await moving
        with suppress(OSError):  # the mover has said so
            await log.close()
        keys.close()


def _recovered(store: FlowStore) -> Iterator[Segment]:
    """What a service that was killed has left: the whole requests of each segment, with their totals and keys."""
    moves = _known_moves(store.locations)
    for name in store.locations.segments():
        segment = Segment(name, time.monotonic(), run_id=moves.get(name))
        for logged in wal.mend(store.locations, name).requests:
            try:
                records = read_lines(logged.data)
            except msgspec.DecodeError as error:
                raise StoreDamaged(str(store.locations.segment(name)), f"its records are none: {error}") from error
            segment.add(logged.data, len(records), bytes_by_hour(records), logged.mark)
        if segment.size:
            _logger.info("found %d acknowledged records in %s", segment.records, name)
            yield segment


def _known_moves(store: Locations) -> dict[str, str]:
    """The run that was to move each segment, by the notes; where one of these is damaged, by the ledger."""
    moves = wal.noted_moves(store)
    if not moves.is_damaged:
        return moves.runs
    _logger.error("%s is damaged; the ledger tells what was moved, and the file is made anew", store.moves)
    found = {name: moves.runs.get(name) or find_move(store, name) for name in store.segments()}
    runs = {name: run_id for name, run_id in found.items() if run_id is not None}
    wal.note_moves(store, runs)
    return runs


def make_server(app: App, greeting: str) -> uvicorn.Server:
    """Uvicorn for an application; it logs the greeting when it listens."""
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    return _Server(config, greeting)


class _Connection(HttpToolsProtocol):
    """uvicorn's HTTP, which has no limit on how long a client may take.

    Attributes:
        waiting_since: Since when the client is to send, or to read, and has not; None while it need not.
    """

    waiting_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.waiting_since = self.loop.time()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.waiting_since = self.loop.time()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.waiting_since = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self.waiting_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.waiting_since = None

    def give_up_if_slow(self, now: float) -> None:
        """Ends a connection whose client has taken too long."""
        if self.waiting_since is None or now - self.waiting_since < REQUEST_SECONDS or self.transport.is_closing():
            return
        if self.flow.write_paused:
            self.transport.abort()
            return
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self.transport.write(_TOO_SLOW)
        self.transport.close()


class _Server(uvicorn.Server):
    """uvicorn's server, which ends slow connections, and comes back when it was told to end."""

    def __init__(self, config: uvicorn.Config, greeting: str) -> None:
        super().__init__(config)
        self._greeting = greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _logger.info("%s", self._greeting)  # who reads it may connect, and may end the service in good order

    async def main_loop(self) -> None:
        sweeping = asyncio.create_task(self._sweep())
        try:
            await super().main_loop()
        finally:
            sweeping.cancel()

    async def _sweep(self) -> None:
        """One timer for all: a timer for each request would cost more than reading most of them."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for connection in list(self.server_state.connections):
                if isinstance(connection, _Connection):
                    connection.give_up_if_slow(loop.time())

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn would raise the signal again when its connections are closed: before the last move, and for good."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
        yield


@contextmanager
def _listening(options: ServeOptions) -> Iterator[socket.socket]:
    where = f"{options.host}:{options.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot listen on {where}: {error}") from None
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except (OSError, OverflowError) as error:
            raise UsageError(f"cannot listen on {where}: {error}") from None
        yield listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


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
