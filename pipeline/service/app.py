"""What is answered on which path, and to whom."""

from __future__ import annotations

import binascii
import hmac
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.errors import FlowlogError
from pipeline.schema import ZeroBytes
from pipeline.service import openapi
from pipeline.service.answers import Answers
from pipeline.service.budget import Budget
from pipeline.service.get import Get, parse_query
from pipeline.service.hosts import Hosts
from pipeline.service.page import Page
from pipeline.service.post import Post
from pipeline.service.problem import PLAIN, RETRY, problem
from pipeline.service.request import Request, too_long

_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Route:
    """What a path has.

    Attributes:
        methods: The methods that it takes.
        is_open: Whether it has no data, so that no token is asked for.
        answer: Answers a request.
        is_for_browsers: Whether the token may also come as the password that a browser asks for.
    """

    methods: tuple[str, ...]
    is_open: bool
    answer: Callable[[Request, Answers], Awaitable[None]]
    is_for_browsers: bool = False


class App:
    """The service, as a connection sees it.

    Args:
        post: Takes in records.
        get: Answers queries.
        page: Shows the totals to people.
        hosts: The names under which the service may be asked.
        zero_bytes: Whether a record may have 0 bytes in a direction.
        token: The bearer token that clients must give, if one is asked for.
        max_body: The longest body, in bytes.
        bodies: The room for bodies.
        answers: The room for answers.
    """

    def __init__(
        self,
        post: Post,
        get: Get,
        page: Page,
        hosts: Hosts,
        zero_bytes: ZeroBytes,
        token: str | None,
        max_body: int,
        bodies: Budget,
        answers: Budget,
    ) -> None:
        self.max_body = max_body
        self.bodies = bodies
        self.answers = answers
        self.post = post
        self._get = get
        self._page = page
        self._hosts = hosts
        self._zero_bytes: ZeroBytes = zero_bytes
        self._token = None if token is None else token.encode()
        self._answered: Counter[tuple[str, int]] = Counter()
        look = ("GET", "HEAD")
        self._routes = {
            b"/": Route(look, is_open=False, answer=self._home, is_for_browsers=True),
            b"/flows": Route((*look, "POST"), is_open=False, answer=self._flows),
            b"/metrics": Route(look, is_open=False, answer=self._metrics_page),
            b"/healthz": Route(look, is_open=True, answer=self._healthz),
            b"/openapi.json": Route(look, is_open=True, answer=self._openapi),
            b"/docs": Route(look, is_open=True, answer=self._docs),
        }

    def count(self, method: str, status: int) -> None:
        """Counts an answer. The method is one of HTTP's, or "other": it becomes a part of a metric's name."""
        self._answered[method, status] += 1

    def admit(self, request: Request) -> bool:
        """Whether a request's client has shown that it may see data. Every request is admitted before it is answered.

        Raises:
            Problem: The request is refused, and its body need not be read.
        """
        self._hosts.check(request)
        route = self._routes.get(request.path)
        if route is None:
            raise problem(404, "Not Found")
        if not route.is_open:
            self._authorise(request.headers, route)
        if request.method not in route.methods:
            *most, last = route.methods
            allow = ", ".join(route.methods).encode()
            raise problem(405, f"The methods are {', '.join(most)} and {last}", [(b"allow", allow)])
        if request.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise problem(415, "The request data must not be encoded", [(b"accept-encoding", b"identity")])
        if (request.length or 0) > self.max_body:
            raise too_long(self.max_body)
        return not route.is_open

    def _authorise(self, headers: dict[bytes, bytes], route: Route) -> None:
        """Compares in constant time, so that the time does not tell how much of a guess is right."""
        if self._token is None:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if route.is_for_browsers and scheme.lower() == b"basic":
            token = _password_of(given)
        else:
            token = given.strip() if scheme.lower() == b"bearer" else None
        if token is not None and hmac.compare_digest(token, self._token):
            return
        if route.is_for_browsers:
            raise problem(401, "The token is needed, as the password", [(b"www-authenticate", b'Basic realm="flowlog"')])
        raise problem(401, "A bearer token is needed", [(b"www-authenticate", b"Bearer")])

    async def answer(self, request: Request, answers: Answers) -> None:
        """Answers a request that was admitted, and whose body has come.

        Raises:
            Problem: The request is not carried out.
            Gone: The client has gone.
        """
        try:
            await self._routes[request.path].answer(request, answers)
        except FlowlogError as error:  # also a UsageError, as of links in a circle
            raise problem(503, f"The store cannot be used: {error}", RETRY) from error

    async def _flows(self, request: Request, answers: Answers) -> None:
        if request.method == "POST":
            await self.post.take(request)
            answers.respond(200, (), b"")
        else:
            await self._get.answer(parse_query(request.query), answers)

    async def _home(self, request: Request, answers: Answers) -> None:
        await self._page.answer(request.query, answers)

    async def _healthz(self, _: Request, answers: Answers) -> None:
        """Whether the log is flushed, and whether the disk has damaged any of it."""
        trouble = self.post.flusher.trouble()  # not in a thread: long answers may have all of them
        if trouble is None:
            answers.respond(200, [(b"content-type", PLAIN)], b"ok\n")
        else:
            answers.respond(503, [(b"content-type", PLAIN)], f"{trouble}\n".encode())

    async def _openapi(self, _: Request, answers: Answers) -> None:
        answers.respond(200, [(b"content-type", b"application/json")], openapi.to_json(self._document))

    async def _docs(self, _: Request, answers: Answers) -> None:
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", openapi.PAGE_POLICY)]
        answers.respond(200, headers, openapi.to_page(self._document))

    @cached_property
    def _document(self) -> dict[str, Any]:
        return openapi.document(self._zero_bytes, needs_token=self._token is not None)

    async def _metrics_page(self, _: Request, answers: Answers) -> None:
        """Prometheus's text format, version 0.0.4."""
        lines = ["# HELP flowlog_requests_total Requests answered.", "# TYPE flowlog_requests_total counter"]
        for (method, status), count in sorted(self._answered.items()):
            lines.append(f'flowlog_requests_total{{method="{method}",status="{status}"}} {count}')
        for name, value, help_ in self._metrics():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP {name} {help_}", f"# TYPE {name} {kind}", f"{name} {value:.15g}"]
        answers.respond(200, [(b"content-type", _PROMETHEUS)], ("\n".join(lines) + "\n").encode())

    def _metrics(self) -> Iterator[tuple[str, float, str]]:
        """The name of each metric, its value, and its help."""
        pending, flusher = self.post.pending, self.post.flusher
        now = time.monotonic()
        oldest = pending.segments[0].since if pending.segments else now
        yield "flowlog_records_total", self.post.records, "Records acknowledged."
        yield "flowlog_log_syncs_total", self.post.writer.syncs, "Times the log was synced."
        yield "flowlog_moved_segments_total", flusher.flushes, "Segments moved into flows."
        yield "flowlog_moved_records_total", flusher.records, "Records moved into flows."
        yield "flowlog_move_failing", flusher.problem is not None, "Whether the last move failed."
        yield "flowlog_pending_records", pending.records, "Records in the log."
        yield "flowlog_pending_bytes", pending.size, "Bytes of the log."
        yield "flowlog_pending_seconds", now - oldest, "Age of the log's oldest record."
        yield "flowlog_in_flight_bytes", self.bodies.used, "Bytes of requests in memory, but for small ones."
        yield "flowlog_answer_bytes", self.answers.used, "Bytes of answers in memory, but for small ones."


def _password_of(credentials: bytes) -> bytes | None:
    """The password of HTTP Basic (RFC 7617); None if the credentials are none. The name is anybody's."""
    try:
        return binascii.a2b_base64(credentials.strip(), strict_mode=True).partition(b":")[2]
    except binascii.Error:
        return None
