"""The service in a thread of this process, and a client for it."""

import asyncio
import http.client
import json
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest
import uvloop

from pipeline.flowstore import FlowStore
from pipeline.service import server
from pipeline.store.lock import served

EXAMPLE = [
    {"src_app": "foo", "dest_app": "bar", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 300, "hour": 1},
    {"src_app": "foo", "dest_app": "bar", "vpc_id": "vpc-0", "bytes_tx": 200, "bytes_rx": 600, "hour": 1},
    {"src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 500, "hour": 1},
    {"src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 500, "hour": 2},
    {"src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-1", "bytes_tx": 100, "bytes_rx": 500, "hour": 2},
]
JSON = {"Content-Type": "application/json"}


def record(hour=1, **changes):
    return {"src_app": "a", "dest_app": "b", "vpc_id": "v", "bytes_tx": 1, "bytes_rx": 2, "hour": hour} | changes


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Service:
    """A running service.

    Attributes:
        app: The application; its parts can be looked at, and damaged.
        loop: Its event loop.
        server: Its server.
    """

    store: FlowStore
    port: int
    app: object = None
    loop: object = None
    server: object = None
    ready: threading.Event = field(default_factory=threading.Event)

    def ask(self, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()

    def post(self, records, **headers):
        body = records if isinstance(records, bytes) else json.dumps(records).encode()
        return self.ask("POST", "/flows", body, JSON | {name.replace("_", "-"): value for name, value in headers.items()})

    def get(self, **question):
        answer = self.ask("GET", f"/flows?{urlencode(question)}")
        assert answer.status == 200, answer
        return answer.json

    def call(self, function, *arguments):
        """Runs a coroutine function, or a function, in the service's loop."""

        async def called():
            result = function(*arguments)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(30)

    def start_flush(self):
        """Has the log flushed once, now; does not wait for it."""
        flusher = self.app.post.flusher
        wait_until(lambda: not flusher._due.is_set())  # what a POST has set is no second time

        def make_due():
            flusher._seconds = 0
            flusher._due.set()

        self.call(make_due)

    def flush(self):
        """Has the log flushed now."""
        flusher = self.app.post.flusher
        seconds = flusher._seconds
        self.start_flush()
        # A problem is forgotten a little later than the last segment goes.
        wait_until(lambda: not self.app.post.pending.segments and flusher.problem is None)
        flusher._seconds = seconds


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def running(folder, bound=None, **options):
    """The service on `folder`, until the end of the context; then its log is flushed, as at any end.

    It listens on a socket that is bound, or on any port that is free.
    """
    store = FlowStore(folder, create=True)
    options = server.ServeOptions(port=0, **options)
    failed = []

    async def main(service, listener):
        async with server.opened(store, options, listener) as app:
            service.app, service.loop, service.server = app, asyncio.get_running_loop(), server.Server(app, "ready")
            if bound is None:
                listener.listen(128)
            service.ready.set()
            await service.server.serve(listener)

    def run(service, listener):
        try:
            with served(store.locations), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main(service, listener))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the test's thread
            failed.append(error)
            service.ready.set()

    with nullcontext(bound) if bound else server._listening(options) as listener:
        service = Service(store, listener.getsockname()[1])
        thread = threading.Thread(target=run, args=(service, listener))
        thread.start()
        service.ready.wait(30)
        try:
            if not failed:
                yield service
        finally:
            if service.server:
                with suppress(RuntimeError):  # its loop is closed: the test has ended it
                    service.loop.call_soon_threadsafe(service.server.stop)
            thread.join(60)
    if failed:
        raise failed[0]


@pytest.fixture
def service(tmp_path):
    """A service that flushes its log only when it is told to."""
    with running(tmp_path / "store", flush_seconds=3600) as service:
        yield service


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The same, for tests that only ask, or add to hours of their own."""
    with running(tmp_path_factory.mktemp("served") / "store", flush_seconds=3600) as service:
        yield service
