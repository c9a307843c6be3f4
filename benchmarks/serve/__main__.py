"""How many records a second are accepted, and how long the answers take: the service against the original's design.

    make bench-serve
    python -m benchmarks.serve --seconds 5 --rounds 1 --only 100

Each server is started anew for each measurement; they take turns, round by round, and medians are shown. Behind each,
what a GET has is held against what was acknowledged. The service runs with its defaults: each acknowledged record was
synced, and the log is moved into Parquet meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.serve.client import HOURS

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CONNECTIONS = 64
READERS = 4
SERVERS = {
    "flowlog serve": [sys.executable, "-m", "pipeline", "serve", "--store", "{store}", "--port", "{port}"],
    "Flask, its own server": [sys.executable, "-m", "benchmarks.serve.original", "{port}"],
    "Flask, waitress": [str(BIN / "waitress-serve"), "--listen=127.0.0.1:{port}", "--threads=8", "benchmarks.serve.original:app"],
    "Flask, gunicorn": [
        str(BIN / "gunicorn"), "--bind=127.0.0.1:{port}", "--worker-class=gthread", "--threads=8", "benchmarks.serve.original:app",
    ],
}  # fmt: skip
OURS = "flowlog serve"


@contextmanager
def serving(name: str) -> Iterator[tuple[int, int]]:
    """A server, started anew; its process and its port."""
    folder = tempfile.mkdtemp(prefix="flowlog-bench-")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = [part.format(port=port, store=f"{folder}/store") for part in SERVERS[name]]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield process.pid, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(folder)


def wait_for(port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the server does not start")


def load(port: int, *options: object) -> dict[str, Any]:
    """Runs the client, and checks that what was acknowledged is what a GET has, and that nothing was refused."""
    command = [sys.executable, "-m", "benchmarks.serve.client", str(port), *map(str, options)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    found = 0
    for hour in HOURS:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/flows?hour={hour}") as answer:
            found += sum(total["bytes_tx"] for total in json.load(answer))
    if found != result["bytes_tx"]:
        raise SystemExit(f"what was acknowledged has {result['bytes_tx']} bytes, but a GET has {found}")
    if result["refused"] or not result["requests"]:
        raise SystemExit(f"{result['requests']} requests were accepted, {result['refused']} refused")
    return result


def memory_of(process: int) -> int:
    """The resident memory of a process, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def race(records: int, seconds: float, rounds: int) -> None:
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in SERVERS}
    for _ in range(rounds):
        for name, found in results.items():
            with serving(name) as (_, port):
                found.append(load(port, "--records", records, "--connections", CONNECTIONS, "--seconds", seconds))
    print(f"\n{records:,} records a request, {CONNECTIONS} connections")
    print(f"{'':24}{'records/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'ours is':>10}")
    ours = median(result["records_per_second"] for result in results[OURS])
    for name, found in results.items():
        speed, p50, p99 = (median(result[key] for result in found) for key in ("records_per_second", "p50_ms", "p99_ms"))
        print(f"{name:24}{speed:12,.0f}{p50:10.2f}{p99:10.2f}{ours / speed:9.1f}x", flush=True)


def race_of_readers(seconds: float, rounds: int) -> None:
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in SERVERS}
    for _ in range(rounds):
        for name, found in results.items():
            with serving(name) as (_, port):
                found.append(load(port, "--connections", CONNECTIONS, "--seconds", seconds, "--readers", READERS))
    print(f"\nGET on {READERS} connections, while {CONNECTIONS} post 100 records a request")
    print(f"{'':24}{'GET/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'records/s':>12}")
    for name, found in results.items():
        reads, p50, p99, speed = (
            median(result[key] for result in found) for key in ("reads", "read_p50_ms", "read_p99_ms", "records_per_second")
        )
        print(f"{name:24}{reads / seconds:12,.0f}{p50:10.2f}{p99:10.2f}{speed:12,.0f}", flush=True)


def memory(records: int, steps: int) -> None:
    """Watches the memory of the service while so many records come in."""
    print(f"\nmemory of {OURS}, in MiB of resident memory, 100 records a request")
    with serving(OURS) as (process, port):
        print(f"{'at the start':24}{memory_of(process):12,}")
        for step in range(1, steps + 1):
            options = ("--connections", CONNECTIONS, "--seconds", 3600, "--stop-at", records // steps // 100)
            command = [sys.executable, "-m", "benchmarks.serve.client", str(port), *map(str, options)]
            subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
            print(f"{f'after {step * records // steps:,} records':24}{memory_of(process):12,}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve")
    parser.add_argument("--seconds", type=float, default=10, help="how long each measurement takes")
    parser.add_argument("--rounds", type=int, default=3, help="how often each server has its turn")
    parser.add_argument("--only", default="1,100,10000,get,memory", help="records a request, and get, and memory")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, shared by server and client; load before: {os.getloadavg()[0]:.1f}", flush=True)
    for part in options.only.split(","):
        if part == "get":
            race_of_readers(options.seconds, options.rounds)
        elif part == "memory":
            memory(10_000_000, 10)
        else:
            race(int(part), options.seconds, options.rounds)


if __name__ == "__main__":
    main()
