"""What is answered on which path: who may ask, what is read, what goes into the log and what comes out of the store."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from itertools import count as numbers
from itertools import islice
from typing import Any

from pipeline.errors import RunStopped, StoreError
from pipeline.flowstore import FlowStore
from pipeline.schema import ZeroBytes
from pipeline.service import limits, metrics, openapi
from pipeline.service.answers import Answers
from pipeline.service.body import MAX_HOURS, MAX_RECORDS, Checker, Problem, TooManyRecords, Unfit, to_lines
from pipeline.service.budget import Budget
from pipeline.service.heads import Request as HttpRequest
from pipeline.service.hosts import Hosts, name_of
from pipeline.service.log import Log, Request
from pipeline.service.metrics import Metric
from pipeline.service.mover import RETRY_SECONDS, Mover
from pipeline.service.pending import Pending, bytes_by_hour
from pipeline.service.refusals import Refused, refused
from pipeline.service.totals import Additions, Question, additions, parse_question, totals_of
from pipeline.store.partitions import summarise_partition
from pipeline.wal.idempotency import KEPT_SECONDS, Keys
from pipeline.wal.segments import Mark, digest_of, seal

#: How much log may wait to be moved, in `--flush-bytes`, before a POST must wait, and then is refused: what bounds memory
#: and disk while another run holds the store, or records come faster than they can be moved.
MAX_PENDING = 4

#: How many pieces of an answer are made at once; where there are fewer, they were the last.
_PIECES_AT_ONCE = 2

_JSON = b"application/json"
_PLAIN = b"text/plain; charset=utf-8"
_KEY = re.compile(rb"[!-~]{1,255}")
_RETRY = ((b"retry-after", b"%d" % RETRY_SECONDS),)


@dataclass(frozen=True, slots=True)
class Route:
    """What a path has.

    Attributes:
        methods: The methods that it takes.
        is_open: Whether it has no data, so that no token is asked for.
        answer: What answers.
    """

    methods: tuple[str, ...]
    is_open: bool
    answer: Callable[[HttpRequest, Answers], Awaitable[None]]


class App:
    """The service, as `connection` asks it.

    Args:
        store: The store.
        zero_bytes: Whether a record may have 0 bytes in a direction.
        token: The bearer token that is asked for, if one is.
        max_body: The longest body, in bytes.
        max_pending: How much log may wait to be moved, in bytes.
        log: Where records go; pending, keys and mover are what belongs to it.
        hosts: The names under which the service may be asked.

    Attributes:
        max_body: As above.
        bodies: The room for bodies; answers: the room for answers.
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
        hosts: Hosts,
    ) -> None:
        self.max_body = max_body
        self.bodies = Budget(limits.BODIES_BYTES)
        self.answers = Budget(limits.ANSWERS_BYTES)
        self._store = store
        self._zero_bytes: ZeroBytes = zero_bytes
        self._checker = Checker(zero_bytes)
        self._token = None if token is None else token.encode()
        self._max_pending = max_pending
        self._log = log
        self._pending = pending
        self._keys = keys
        self._mover = mover
        self._hosts = hosts
        self._requests: Counter[tuple[str, int]] = Counter()
        self._records = 0
        self._under_key: dict[str, tuple[str, asyncio.Future[None]]] = {}
        self._name = secrets.token_hex(8)  # no other service has the same, so that no two requests in any log have
        self._numbers = numbers()
        look = ("GET", "HEAD")
        self._routes = {
            b"/flows": Route((*look, "POST"), is_open=False, answer=self._flows),
            b"/metrics": Route(look, is_open=False, answer=self._metrics_page),
            b"/healthz": Route(look, is_open=True, answer=self._healthz),
            b"/openapi.json": Route(look, is_open=True, answer=self._openapi),
            b"/docs": Route(look, is_open=True, answer=self._docs),
        }

    def count(self, method: str, status: int) -> None:
        """Is told of each answer."""
        self._requests[method, status] += 1

    # --- before a body is read -----------------------------------------------------------------------------------------

    def admit(self, request: HttpRequest) -> bool:
        """Whether a request's client has shown that it may see data; every request comes by here before it is answered.

        Raises:
            Refused: It is not to be answered, and its body need not be read.
        """
        self._check_names(request)
        route = self._routes.get(request.path)
        if route is None:
            raise refused(404, "Not Found")
        if not route.is_open:
            self._authorise(request.headers)
        if request.method not in route.methods:
            *most, last = route.methods
            allow = ", ".join(route.methods).encode()
            raise refused(405, f"The methods are {', '.join(most)} and {last}", [(b"allow", allow)])
        if request.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise refused(415, "The request data must not be encoded", [(b"accept-encoding", b"identity")])
        if (request.length or 0) > self.max_body:
            raise self.too_long()
        return not route.is_open

    def too_long(self) -> Refused:
        """What is said of a body that is too long."""
        return refused(413, f"The request data must have at most {self.max_body} bytes")

    def _check_names(self, request: HttpRequest) -> None:
        """Refuses what a page in a browser asks that is not the service's own; see `hosts`."""
        named = [request.host, request.headers.get(b"host")]  # a target with a host of its own goes before the header
        for authority in named:
            if authority is not None and not self._hosts.allows(authority):
                name = name_of(authority)
                if name is None:
                    raise refused(400, "The Host header must be a host, or host:port", closes=True)
                raise refused(
                    421,
                    f"The service does not answer to the name {name!r}; its option --allowed-host {name} allows this name",
                )
        origin = request.headers.get(b"origin")
        if origin is not None and not self._hosts.allows_origin(origin, request.host):
            raise refused(403, "The service does not answer to pages of this origin")

    def _authorise(self, headers: dict[bytes, bytes]) -> None:
        """Compares in constant time: how long it takes tells nothing of how much of a guess is right."""
        if self._token is None:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            raise refused(401, "A bearer token is needed", [(b"www-authenticate", b"Bearer")])

    async def answer(self, request: HttpRequest, answers: Answers) -> None:
        """Answers a request that was admitted, and whose body is there.

        Raises:
            Refused: It is not carried out.
            Gone: Nobody waits for its answer any more.
        """
        try:
            await self._routes[request.path].answer(request, answers)
        except Unfit as unfit:
            raise Refused(400, unfit.problems, more=unfit.more) from None
        except TooManyRecords:
            raise refused(413, f"The request data must have at most {MAX_RECORDS} records") from None
        except (StoreError, RunStopped) as error:
            raise refused(503, f"The store cannot be used: {error}", _RETRY) from error

    # --- /flows --------------------------------------------------------------------------------------------------------

    async def _flows(self, request: HttpRequest, answers: Answers) -> None:
        if request.method != "POST":
            await self._get(answers, parse_question(request.query))
            return
        try:
            if not request.body:
                raise Unfit([Problem("Missing request data")])
            if request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != _JSON:
                raise refused(415, "The request data must be application/json")
            body, request.body = request.body, b""
            await self._count(body, request.headers.get(b"idempotency-key"))
        finally:
            self._mover.poke()
        answers.respond(200, (), b"")

    async def _count(self, body: bytes | bytearray, key: bytes | None) -> None:
        """Returns when the records are on disk."""
        records = await self._checker.read(body)
        lines, count, added = to_lines(records), len(records), bytes_by_hour(records)
        del body, records  # several times the lines, which alone are needed from here on
        if key is None:
            await self._append(lines, count, added, self._mark())
        elif not _KEY.fullmatch(key):
            raise Unfit([Problem("The Idempotency-Key must have 1 to 255 visible ASCII characters")])
        else:
            await self._count_once(lines, count, added, key.decode(), digest_of(lines))

    async def _count_once(self, lines: bytes, count: int, added: dict[int, int], key: str, content: str) -> None:
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
            await self._append(lines, count, added, self._mark(key, content))
            fate.set_result(None)
        except BaseException as error:
            fate.set_exception(error)
            fate.exception()  # whether somebody waits for it or not
            raise
        finally:
            del self._under_key[key]

    def _mark(self, key: str | None = None, content: str | None = None) -> Mark:
        return Mark(f"{self._name}-{next(self._numbers)}", self._keys.now(), key, content)

    async def _append(self, lines: bytes, count: int, added: dict[int, int], mark: Mark) -> None:
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
        self._log.append(Request(seal(lines, mark), count, added, mark, written))
        try:
            await written
        except OSError as error:
            text = f"The records could not be written, and none of them counts: {error.strerror}"
            raise refused(503, text, _RETRY) from error
        self._records += count

    async def _get(self, answers: Answers, question: Question) -> None:
        async with aclosing(self._pieces(question, answers)) as pieces:
            first = await anext(pieces, b"")
            second = await anext(pieces, None)
            if second is None:
                answers.respond(200, [(b"content-type", _JSON)], b"[" + first + b"]")
                return
            if not answers.start([(b"content-type", _JSON)]):
                return
            await answers.write(b"[" + first + b"," + second)
            async for piece in pieces:
                await answers.write(b"," + piece)
            await answers.write(b"]")
            answers.end()

    async def _pieces(self, question: Question, answers: Answers) -> AsyncGenerator[bytes]:
        """The answer in pieces, hour by hour: a year of hours need not be in memory."""
        for hour in await self._hours(question):
            added = await self._take_room(hour, answers)
            try:
                some, rest = await asyncio.to_thread(self._read, question, hour, added)
                if not answers.holds and _is_long(some):
                    del some, rest  # few rows with long names: whoever waits for room should not have them
                    added = await self._take_room(hour, answers, has_few_rows=False)
                    some, rest = await asyncio.to_thread(self._read, question, hour, added)
                del added
                while some:
                    for piece in some:
                        yield piece
                    some = await asyncio.to_thread(_take, rest) if len(some) == _PIECES_AT_ONCE else []
            finally:
                self.answers.give(answers.holds)
                answers.holds = 0

    async def _take_room(self, hour: int, answers: Answers, *, has_few_rows: bool = True) -> Additions:
        """What is pending for an hour, when there is room for that and for a piece of the partition.

        Args:
            hour: The hour.
            answers: Is told how much room was taken.
            has_few_rows: Whether few rows need no room.
        """
        summary = await asyncio.to_thread(summarise_partition, self._store.locations, hour)
        published = summary.rows if summary else 0
        added = await additions(self._pending, hour)
        ticket = self.answers.ticket()
        needed = (
            0 if has_few_rows and _count_rows(published, added) <= limits.SMALL_ANSWER_ROWS else _room_for(published, added)
        )
        if needed and not self.answers.take_now(needed, ticket):
            del added  # a copy, and who waits should not have one
            try:
                await self.answers.take(needed, limits.ROOM_SECONDS, ticket)
            except TimeoutError:
                raise refused(503, "There are too many long answers at once; try again later", _RETRY) from None
            added = await additions(self._pending, hour)
        answers.holds = needed
        return added

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

    # --- the rest ------------------------------------------------------------------------------------------------------

    async def _healthz(self, _: HttpRequest, answers: Answers) -> None:
        """Whether records are moved into flows, where not they are safe in the log; and whether the disk has damaged any."""
        trouble = self._mover.trouble()  # not in a thread: long answers may have all of them
        if trouble is None:
            answers.respond(200, [(b"content-type", _PLAIN)], b"ok\n")
        else:
            answers.respond(503, [(b"content-type", _PLAIN)], f"{trouble}\n".encode())

    async def _metrics_page(self, _: HttpRequest, answers: Answers) -> None:
        page = metrics.render(self._requests, self._metrics())
        answers.respond(200, [(b"content-type", metrics.CONTENT_TYPE.encode())], page.encode())

    async def _openapi(self, _: HttpRequest, answers: Answers) -> None:
        answers.respond(200, [(b"content-type", _JSON)], openapi.to_json(self._document))

    async def _docs(self, _: HttpRequest, answers: Answers) -> None:
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", openapi.PAGE_POLICY)]
        answers.respond(200, headers, openapi.to_page(self._document))

    @cached_property
    def _document(self) -> dict[str, Any]:
        return openapi.document(self._zero_bytes, needs_token=self._token is not None)

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
        yield Metric("flowlog_in_flight_bytes", self.bodies.used, False, "Bytes of requests in memory, but for small ones.")
        yield Metric("flowlog_answer_bytes", self.answers.used, False, "Bytes of answers in memory, but for small ones.")


def _count_rows(published: int, added: Additions) -> int:
    return published + sum(len(totals) for _, totals in added)


def _room_for(published: int, added: Additions) -> int:
    """What an hour's answer takes in memory, in bytes, however long its names are: all that is pending, and a piece of the
    partition.
    """
    return _count_rows(0, added) * limits.BYTES_A_ROW + min(published, limits.PIECE_ROWS) * limits.LONGEST_ROW


def _is_long(some: list[bytes]) -> bool:
    """Whether the first pieces of an answer are not all of it, or longer than an answer without room may be."""
    return len(some) == _PIECES_AT_ONCE or sum(map(len, some)) > limits.SMALL_ANSWER_ROWS * limits.BYTES_A_ROW


def _take(pieces: Iterator[bytes]) -> list[bytes]:
    return list(islice(pieces, _PIECES_AT_ONCE))
