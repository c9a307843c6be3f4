"""A proxy before a server of buckets, which counts its requests and does to each what a test says.

It speaks HTTP/1.1 with bodies of a stated length or in chunks. Addresses in requests and answers stay as they are, so
signatures hold.
"""

import asyncio
import re
import threading
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """A request as the proxy has read it; `number` counts from 1."""

    number: int
    method: str
    target: str
    head: bytes = field(repr=False)


@dataclass(frozen=True)
class Fault:
    """What the proxy does to a request.

    Attributes:
        seconds: How long it waits before anything else.
        status: What it answers itself, without asking the server.
        is_late: Whether it asks the server all the same, before it answers so.
        is_cut: Whether it closes the connection without asking the server.
        is_swallowed: Whether it closes the connection when the server has acted, without the answer.
        keeps: How many bytes of the answer's body it lets through, before it closes the connection.
    """

    seconds: float = 0
    status: int | None = None
    is_late: bool = False
    is_cut: bool = False
    is_swallowed: bool = False
    keeps: int | None = None


CUT = Fault(is_cut=True)
SWALLOWED = Fault(is_swallowed=True)
PASSED = Fault()


class Proxy:
    """A proxy before a port of this machine, in a thread of its own.

    Attributes:
        port: Where it listens.
        requests: The requests up to now.
        fault: What is done to a request, given the request; it may take its time, and others go on.
    """

    def __init__(self, upstream):
        self.upstream = upstream
        self.requests = []
        self.fault = lambda request: PASSED
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()

    def __enter__(self):
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def reset(self, fault=lambda request: PASSED):
        """Counts from nothing again, with another fault."""
        self.requests = []
        self.fault = fault

    def _run(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def _serve(self, reader, writer):
        upstream = None
        try:
            while head := await _head(reader):
                upstream = upstream or await asyncio.open_connection("127.0.0.1", self.upstream)
                if not await self._exchange(head, reader, writer, *upstream):
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            if upstream:
                upstream[1].close()

    async def _exchange(self, head, reader, writer, from_server, to_server):
        """One request and its answer; gives whether the connection goes on."""
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        body = await _body(head, reader)
        request = Request(len(self.requests) + 1, method, target, head)
        self.requests.append(request)
        fault = await self._loop.run_in_executor(None, self.fault, request)
        await asyncio.sleep(fault.seconds)
        if fault.is_cut:
            return False
        if fault.status and not fault.is_late:
            return await _refuse(writer, fault.status)
        to_server.write(head + body)
        await to_server.drain()
        answer = await _head(from_server)
        is_empty = method == "HEAD" or answer.split(b" ", 2)[1] in (b"204", b"304")
        answered = b"" if is_empty else await _body(answer, from_server)
        if fault.is_swallowed:
            return False
        if fault.status:
            return await _refuse(writer, fault.status)
        writer.write(answer + answered[: fault.keeps])
        await writer.drain()
        return bool(answer) and fault.keeps is None and b"connection: close" not in answer.lower()


async def _refuse(writer, status):
    writer.write(b"HTTP/1.1 %d Fault\r\nContent-Length: 0\r\n\r\n" % status)
    await writer.drain()
    return True


async def _head(reader):
    """The lines up to the empty one; nothing at the end of the connection."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def _body(head, reader):
    """The body as it is on the wire, chunks and all."""
    if length := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head):
        return await reader.readexactly(int(length[1]))
    if not re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
        return b""
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        body += line + await reader.readexactly(size + 2)
        if size == 0:
            return body
