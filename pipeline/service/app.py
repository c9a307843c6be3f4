"""HTTP: who may do what, and what is read.

`/flows` is answered here, as plain ASGI: at one record a request, routing, middleware and response objects took more
than half of the time. FastAPI has the rest of the paths, and the documentation of all.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence
from itertools import count, islice
from typing import Any

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest

from pipeline.errors import RunStopped, StoreError
from pipeline.flowstore import FlowStore
from pipeline.schema import ZeroBytes
from pipeline.service import metrics
from pipeline.service.log import Log, Request
from pipeline.service.metrics import Metric
from pipeline.service.mover import RETRY_SECONDS, Mover
from pipeline.service.openapi import describe
from pipeline.service.pending import Pending, bytes_by_hour
from pipeline.service.records import MAX_HOURS, MAX_RECORDS, Checker, Problem, TooManyRecords, Unfit, to_lines
from pipeline.service.refusals import Refused, refused, say
from pipeline.service.totals import Additions, Question, additions, parse_question, totals_of
from pipeline.store.keys import KEPT_SECONDS, Keys
from pipeline.store.wal import Mark, digest_of, seal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: How many bytes of requests may be in memory at once, whoever sends them.
MAX_IN_FLIGHT = 256 << 20
#: How much log may wait to be moved, in `--flush-bytes`, before a POST must wait, and then is refused: what bounds memory
#: and disk while another run holds the store, or records come faster than they can be moved.
MAX_PENDING = 4

#: How many pieces of an answer are made at once; where there are fewer, they were the last.
_PIECES_AT_ONCE = 2

_JSON = b"application/json"
_KEY = re.compile(rb"[!-~]{1,255}")
_ALLOWED = ("GET", "HEAD", "POST")
_RETRY = ((b"retry-after", b"%d" % RETRY_SECONDS),)

_COUNTED: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
_NOTHING: Message = {"type": "http.response.body", "body": b""}


class Gone(Exception):
    """The client has gone; nobody waits for an answer."""


class App:
    """The service as an ASGI application.

    Args:
        store: The store.
        zero_bytes: Whether a record may have 0 bytes in a direction.
        token: The bearer token that is asked for, if one is.
        max_body: The longest body, in bytes.
        max_pending: How much log may wait to be moved, in bytes.
        log: Where records go; pending, keys and mover are what belongs to it.
    """

    def __init__(
        self,
        store: FlowStore,
        zero_bytes: ZeroBytes,
        token: str | None,
        max_body: int,
        max_pending: int,
        log: Log,
        pending: Pending,
        keys: Keys,
        mover: Mover,
    ) -> None:
        self._store = store
        self._checker = Checker(zero_bytes)
        self._token = None if token is None else token.encode()
        self._max_body = max_body
        self._max_pending = max_pending
        self._log = log
        self._pending = pending
        self._keys = keys
        self._mover = mover
        self._requests: Counter[tuple[str, int]] = Counter()
        self._records = 0
        self._in_flight = 0
        self._under_key: dict[str, tuple[str, asyncio.Future[None]]] = {}
        self._name = secrets.token_hex(8)  # no other service has the same, so that no two requests in any log have
        self._numbers = count()
        self._rest = self._make_rest(zero_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        try:
            if scope["path"] == "/flows":
                await self._flows(scope, receive, send)
            else:
                if scope["path"] == "/metrics":
                    self._authorise(dict(scope["headers"]))
                await self._rest(scope, receive, self._counting(scope, send))
        except Refused as refusal:
            await self._refuse(scope, send, refusal)
        except Gone:
            pass

    # --- what every answer has in common ------------------------------------------------------------------------

    def _authorise(self, headers: dict[bytes, bytes]) -> None:
        """Compares in constant time: how long it takes tells nothing of how much of a guess is right."""
        if self._token is None:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            raise refused(401, "A bearer token is needed", [(b"www-authenticate", b"Bearer")])

    async def _refuse(self, scope: Scope, send: Send, refusal: Refused) -> None:
        content_type, body = say(dict(scope["headers"]), refusal.status, refusal.problems)
        await self._respond(scope, send, refusal.status, content_type, body, refusal.headers)

    async def _respond(
        self,
        scope: Scope,
        send: Send,
        status: int,
        content_type: bytes,
        body: bytes,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        self._requests[_known_method(scope["method"]), status] += 1
        length = b"%d" % len(body)
        said = [(b"content-type", content_type), (b"content-length", length), (b"vary", b"accept"), *headers]
        await send({"type": "http.response.start", "status": status, "headers": said})
        await send({"type": "http.response.body", "body": body})

    def _counting(self, scope: Scope, send: Send) -> Send:
        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._requests[_known_method(scope["method"]), message["status"]] += 1
            await send(message)

        return counting

    # --- /flows ---------------------------------------------------------------------------------------------------

    async def _flows(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        self._authorise(headers)
        method = scope["method"]
        try:
            if method == "POST":
                await self._post(headers, receive)
                self._requests["POST", 200] += 1
                await send(_COUNTED)
                await send(_NOTHING)
            elif method in _ALLOWED:
                await self._get(scope, send, parse_question(scope["query_string"]))
            else:
                raise refused(405, "The methods are GET, HEAD and POST", [(b"allow", ", ".join(_ALLOWED).encode())])
        except Unfit as unfit:
            raise Refused(400, unfit.problems) from None
        except TooManyRecords:
            raise refused(413, f"The request data must have at most {MAX_RECORDS} records") from None
        except (StoreError, RunStopped) as error:
            raise refused(503, f"The store cannot be used: {error}", _RETRY) from error

    async def _post(self, headers: dict[bytes, bytes], receive: Receive) -> None:
        self._check_headers(headers)
        body = await self._read_body(receive)
        try:
            if not body:
                raise Unfit([Problem("Missing request data")])
            if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != _JSON:
                raise refused(415, "The request data must be application/json")
            await self._count(body, headers.get(b"idempotency-key"))
        finally:
            self._in_flight -= len(body)
            self._mover.poke()

    def _check_headers(self, headers: dict[bytes, bytes]) -> None:
        """Refuses what need not be read."""
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise refused(415, "The request data must not be encoded", [(b"accept-encoding", b"identity")])
        if int(headers.get(b"content-length", 0)) > self._max_body:  # the parser of HTTP lets nothing but digits through
            # Who waits to be told to go on may send the body now, or may not: the connection is of no use any more.
            raise self._too_long([(b"connection", b"close")] if b"expect" in headers else [])

    def _too_long(self, headers: Sequence[tuple[bytes, bytes]] = ()) -> Refused:
        return refused(413, f"The request data must have at most {self._max_body} bytes", headers)

    async def _read_body(self, receive: Receive) -> bytes:
        """Reads a body; while it is in memory, it is part of what is in flight."""
        pieces: list[bytes] = []
        length = 0
        try:
            more = True
            while more:
                piece, more = await _receive(receive)
                pieces.append(piece)
                length += len(piece)
                self._take_in(len(piece), length)
        except BaseException:
            self._in_flight -= length
            raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take_in(self, added: int, length: int) -> None:
        self._in_flight += added
        if length > self._max_body:
            raise self._too_long()
        if self._in_flight > MAX_IN_FLIGHT:
            raise refused(503, "There are too many requests at once; try again later", _RETRY)

    async def _count(self, body: bytes, key: bytes | None) -> None:
        """Returns when the records are on disk."""
        records = await self._checker.read(body)
        lines = to_lines(records)
        if key is None:
            await self._append(records, lines, self._mark())
        elif not _KEY.fullmatch(key):
            raise Unfit([Problem("The Idempotency-Key must have 1 to 255 visible ASCII characters")])
        else:
            await self._count_once(records, lines, key.decode(), digest_of(lines))

    async def _count_once(self, records: Sequence[Any], lines: bytes, key: str, content: str) -> None:
        """As often as it comes within a day. One that comes while the first is being written has the first's fate."""
        first, fate = self._under_key.get(key, (None, None))
        if first is None:
            since = self._keys.now() - KEPT_SECONDS
            first = self._pending.find_key(key, since) or self._keys.find(key)
        if first is not None:
            if first != content:
                raise refused(422, "The Idempotency-Key came before with other records; nothing was counted")
            if fate is not None:
                await asyncio.shield(fate)
            return
        fate = asyncio.get_running_loop().create_future()
        self._under_key[key] = content, fate
        try:
            await self._append(records, lines, self._mark(key, content))
            fate.set_result(None)
        except BaseException as error:
            fate.set_exception(error)
            fate.exception()  # whether somebody waits for it or not
            raise
        finally:
            del self._under_key[key]

    def _mark(self, key: str | None = None, content: str | None = None) -> Mark:
        return Mark(f"{self._name}-{next(self._numbers)}", self._keys.now(), key, content)

    async def _append(self, records: Sequence[Any], lines: bytes, mark: Mark) -> None:
        added = bytes_by_hour(records)
        if len(added) > MAX_HOURS:
            raise refused(413, f"The request data must have at most {MAX_HOURS} different hours")
        while True:
            if not await self._mover.has_room(self._max_pending):
                raise refused(503, "The log is full, since it cannot be moved into flows; try again later", _RETRY)
            await self._pending.look_at(added)
            if not self._mover.is_full(self._max_pending):  # others may have come in meanwhile
                break
        for hour, sum_of_bytes in added.items():
            if not self._pending.has_room(hour, sum_of_bytes):
                raise Unfit([Problem(f"The sum of the bytes of hour {hour} must fit into 64 bits", field="hour")])
        written = asyncio.get_running_loop().create_future()
        self._log.append(Request(seal(lines, mark), len(records), added, mark, written))
        try:
            await written
        except OSError as error:
            text = f"The records could not be written, and none of them counts: {error.strerror}"
            raise refused(503, text, _RETRY) from error
        self._records += len(records)

    async def _get(self, scope: Scope, send: Send, question: Question) -> None:
        pieces = self._pieces(question)
        first = await anext(pieces, b"")
        second = await anext(pieces, None)
        if second is None:
            await self._respond(scope, send, 200, _JSON, b"[" + first + b"]")
            return
        self._requests[scope["method"], 200] += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", _JSON)]})
        await send({"type": "http.response.body", "body": b"[" + first + b"," + second, "more_body": True})
        async for piece in pieces:
            await send({"type": "http.response.body", "body": b"," + piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"]"})

    async def _pieces(self, question: Question) -> AsyncIterator[bytes]:
        """The answer in pieces, hour by hour: a year of hours need not be in memory."""
        for hour in await self._hours(question):
            added = await additions(self._pending, hour)
            some, rest = await asyncio.to_thread(self._read, question, hour, added)
            while some:
                for piece in some:
                    yield piece
                some = await asyncio.to_thread(_take, rest) if len(some) == _PIECES_AT_ONCE else []

    def _read(self, question: Question, hour: int, added: Additions) -> tuple[list[bytes], Iterator[bytes]]:
        """An hour's first pieces, and the rest: most hours have one piece, which should cost one visit to a thread."""
        pieces = totals_of(self._store, question, hour, added)
        return _take(pieces), pieces

    async def _hours(self, question: Question) -> list[int]:
        if question.until is None:
            return [question.hour]
        pending = {hour for segment in self._pending.segments for hour in segment.bytes_by_hour}
        published = await asyncio.to_thread(self._store.locations.hours)
        return sorted(hour for hour in pending.union(published) if question.hour <= hour < question.until)

    # --- the rest -------------------------------------------------------------------------------------------------

    def _make_rest(self, zero_bytes: ZeroBytes) -> FastAPI:
        rest = FastAPI(
            title="flowlog",
            version="1",  # of the contract, not of flowlog
            description="Flow records in, hourly totals out.",
            redoc_url=None,
            redirect_slashes=False,
        )

        @rest.exception_handler(HTTPException)
        async def refuse(request: HttpRequest, error: HTTPException) -> Response:
            content_type, body = say(dict(request.scope["headers"]), error.status_code, [Problem(error.detail)])
            return Response(body, error.status_code, error.headers, content_type.decode())

        @rest.get("/healthz", response_class=PlainTextResponse, responses={503: {"description": "Records are stuck."}})
        async def healthz() -> PlainTextResponse:
            """Whether records are moved into flows, where not they are safe in the log; and whether the disk has damaged any."""
            trouble = await asyncio.to_thread(self._mover.trouble)
            return PlainTextResponse("ok\n") if trouble is None else PlainTextResponse(f"{trouble}\n", 503)

        @rest.get("/metrics", response_class=PlainTextResponse)
        async def prometheus() -> Response:
            """Numbers for Prometheus."""
            return Response(metrics.render(self._requests, self._metrics()), media_type=metrics.CONTENT_TYPE)

        make = rest.openapi

        def openapi() -> dict[str, Any]:
            if rest.openapi_schema is None:
                describe(make(), zero_bytes, self._token is not None)
            return make()

        rest.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
        return rest

    def _metrics(self) -> Iterable[Metric]:
        oldest = self._pending.segments[0].since if self._pending.segments else time.monotonic()
        yield Metric("flowlog_records_total", self._records, True, "Records acknowledged.")
        yield Metric("flowlog_log_syncs_total", self._log.syncs, True, "Times the log was synced.")
        yield Metric("flowlog_moved_segments_total", self._mover.moves, True, "Segments moved into flows.")
        yield Metric("flowlog_moved_records_total", self._mover.records, True, "Records moved into flows.")
        yield Metric("flowlog_move_failing", self._mover.problem is not None, False, "Whether the last move failed.")
        yield Metric("flowlog_pending_records", self._pending.records, False, "Records in the log.")
        yield Metric("flowlog_pending_bytes", self._pending.size, False, "Bytes of the log.")
        yield Metric("flowlog_pending_seconds", time.monotonic() - oldest, False, "Age of the log's oldest record.")
        yield Metric("flowlog_in_flight_bytes", self._in_flight, False, "Bytes of requests in memory.")


async def _receive(receive: Receive) -> tuple[bytes, bool]:
    """The next piece of a body, and whether more follows."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    return message["body"], message["more_body"]


def _take(pieces: Iterator[bytes]) -> list[bytes]:
    return list(islice(pieces, _PIECES_AT_ONCE))


def _known_method(method: str) -> str:
    """A method as metrics may have it: a client can invent any number of others."""
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
