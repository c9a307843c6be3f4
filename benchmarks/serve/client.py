"""The client, the same for all: keeps connections busy for some seconds, each with its next request as soon as it has its answer.

    python -m benchmarks.serve.client PORT --records 100 --connections 64 --seconds 10 [--readers 4] [--stop-at 10000000]

Prints a JSON object: what was acknowledged, and how long the answers took. A process of its own, and on uvloop, so that
it takes as little as it can of what it measures; the requests are made before the clock starts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from typing import cast

import uvloop

HOURS = range(498_752, 498_755)
_DISTINCT = 64


def payload(seed: int, records: int) -> tuple[bytes, int]:
    """A POST, and the sum of its bytes_tx: a service graph of 50 by 37 apps, in three hours."""
    rng = random.Random(seed)
    flows = [
        {
            "src_app": f"app-{rng.randrange(50)}",
            "dest_app": f"app-{rng.randrange(37)}",
            "vpc_id": "vpc-0f3c5a91d2b7e4680",
            "bytes_tx": rng.randrange(1, 1_000_000),
            "bytes_rx": rng.randrange(1, 1_000_000),
            "hour": rng.choice(HOURS),
        }
        for _ in range(records)
    ]
    body = json.dumps(flows).encode()
    head = (
        f"POST /flows HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body, sum(int(str(flow["bytes_tx"])) for flow in flows)


def question(hour: int) -> bytes:
    """A GET."""
    return f"GET /flows?hour={hour} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


class Load:
    """What all connections share."""

    def __init__(self, port: int, requests: list[tuple[bytes, int]], seconds: float, stop_at: int) -> None:
        self.port = port
        self.requests = requests
        self.latencies: list[float] = []
        self.bytes_tx = 0
        self.refused = 0
        self.stop_at = stop_at
        self.end = time.perf_counter() + seconds
        self.open = 0

    @property
    def is_over(self) -> bool:
        return time.perf_counter() > self.end or len(self.latencies) >= self.stop_at


class Connection(asyncio.Protocol):
    """One connection, which asks and waits for the answer."""

    def __init__(self, load: Load, first: int) -> None:
        self.load = load
        self.next = first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.load.open += 1
        self.answer = b""
        self.ask()

    def ask(self) -> None:
        if self.load.is_over:
            self.transport.close()
            return
        request, self.bytes_tx = self.load.requests[self.next % len(self.load.requests)]
        self.next += 1
        self.started = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        head, found, body = self.answer.partition(b"\r\n\r\n")
        if not found:
            return
        head = head.lower()
        if b"transfer-encoding: chunked" in head:
            if not body.endswith(b"0\r\n\r\n"):
                return
        elif len(body) < int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return
        self.answer = b""
        self.load.latencies.append(time.perf_counter() - self.started)
        if head[9:12] == b"200":
            self.load.bytes_tx += self.bytes_tx
        else:
            self.load.refused += 1
        if b"connection: close" not in head:
            self.ask()
        else:  # the server that the original's README starts keeps no connection
            self.transport.close()
            if not self.load.is_over:
                asyncio.get_running_loop().create_task(connect(self.load, self.next))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.load.open -= 1


async def connect(load: Load, first: int) -> None:
    await asyncio.get_running_loop().create_connection(lambda: Connection(load, first), "127.0.0.1", load.port)


async def run(load: Load, connections: int, readers: Load, reading: int) -> None:
    for number in range(connections):
        await connect(load, number)
    for number in range(reading):
        await connect(readers, number)
    while not load.is_over or load.open or readers.open:
        await asyncio.sleep(0.05)
        if load.is_over:
            readers.end = 0


def percentile(latencies: list[float], part: float) -> float:
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--records", type=int, default=100)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--readers", type=int, default=0)
    parser.add_argument("--stop-at", type=int, default=sys.maxsize, help="stop behind so many requests")
    options = parser.parse_args()
    requests = [payload(seed, options.records) for seed in range(_DISTINCT)]
    load = Load(options.port, requests, options.seconds, options.stop_at)
    readers = Load(options.port, [(question(hour), 0) for hour in HOURS], options.seconds, sys.maxsize)
    started = time.perf_counter()
    uvloop.run(run(load, options.connections, readers, options.readers))
    seconds = time.perf_counter() - started
    accepted = len(load.latencies) - load.refused
    result = {
        "requests": accepted,
        "records": accepted * options.records,
        "refused": load.refused + readers.refused,
        "bytes_tx": load.bytes_tx,
        "seconds": seconds,
        "records_per_second": accepted * options.records / seconds,
        "p50_ms": 1000 * percentile(load.latencies, 0.5),
        "p99_ms": 1000 * percentile(load.latencies, 0.99),
        "reads": len(readers.latencies),
        "read_p50_ms": 1000 * percentile(readers.latencies, 0.5),
        "read_p99_ms": 1000 * percentile(readers.latencies, 0.99),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
