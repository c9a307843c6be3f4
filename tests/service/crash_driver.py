"""Kills a service under load, starts it again, and compares what it has with what it acknowledged.

    python -m tests.service.crash_driver FOLDER [--kills 50] [--seconds 600] [--ingest]

It ends behind so many kills, or behind so many seconds. The service is forked from this process, so that the imports are
paid once; each is a process that SIGKILL ends without any clean-up. With `--ingest`, the batch job adds files to the same
store and the same hours all the time. Prints what was done, and each thing that was wrong.

What must hold: a request that was acknowledged is there once; one that was not, once or not at all; each request whole or
not at all; one with an Idempotency-Key, sent until it is acknowledged, once.
"""

import argparse
import http.client
import itertools
import json
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd  # noqa: F401 - see tests/conftest.py

from pipeline.flowstore import FlowStore
from pipeline.jobs import imports
from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.service.server import ServeOptions, serve

HOURS = 5
CLIENTS = 6
PARTS = ("x", "y", "z")
HEADER = "src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\n"


class Client(threading.Thread):
    """Sends requests until the service is gone. Each has apps of its own, so that it can be told how often it counts."""

    def __init__(self, port, names, half_sent, problems):
        super().__init__()
        self.port = port
        self.names = names
        self.half_sent = half_sent  # requests with a key that were not acknowledged: to be sent again
        self.problems = problems
        self.acknowledged = []
        self.uncertain = []
        self.asked = 0

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            while True:
                name, hour, has_key = self.next_request()
                body = json.dumps([flow(name, hour, part) for part in PARTS])
                headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": name} if has_key else {})
                try:
                    connection.request("POST", "/flows", body, headers)
                    response = connection.getresponse()
                    response.read()
                except (OSError, http.client.HTTPException):
                    (self.half_sent if has_key else self.uncertain).append((name, hour))
                    raise
                if response.status == 200:
                    self.acknowledged.append((name, hour))
                else:
                    self.problems.append(f"{name}: {response.status}")
                if self.acknowledged and random.random() < 0.5:  # one that is in the log, being flushed, or flushed
                    self.ask(connection, *random.choice(self.acknowledged[-40:]))
        except (OSError, http.client.HTTPException):
            connection.close()

    def next_request(self):
        if self.half_sent and random.random() < 0.5:
            try:
                return (*self.half_sent.pop(), True)
            except IndexError:
                pass
        name = next(self.names)
        return name, 1 + hash(name) % HOURS, random.random() < 0.3

    def ask(self, connection, name, hour):
        """What was acknowledged before is seen, once, whether it is in the log or flushed."""
        connection.request("GET", f"/flows?hour={hour}&src_app={name}")
        response = connection.getresponse()
        found = json.loads(response.read())
        self.asked += 1
        if found != [flow(name, hour, part) for part in PARTS]:
            self.problems.append(f"{name} was acknowledged, and a GET has {found}")


def flow(name, hour, part):
    return {"src_app": name, "dest_app": part, "vpc_id": "v", "bytes_tx": 7, "bytes_rx": 11, "hour": hour}


def ingest_until_told(store, folder, stop_at):
    number = 0
    while not stop_at.exists():
        path = folder / f"{number}.csv"
        path.write_text(HEADER + "".join(f"file-{number},b,v,7,11,{hour + 1}\n" for hour in range(HOURS)))
        ingest([str(path)], store.locations, IngestOptions(workers=1, wait_seconds=60))
        number += 1
        time.sleep(0.05)
    os._exit(0)


def forked(function, *arguments):
    child = os.fork()
    if child == 0:
        try:
            function(*arguments)
        finally:
            os._exit(0)
    return child


def wait_for(port):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.005)
        else:
            return
    raise TimeoutError("the service does not start")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def counts(store):
    """How many of a request's parts there are, and how often each counts, by request and hour; and the files alike."""
    found = {}
    for hour in range(1, HOURS + 1):
        for total in store.table(hour).to_pylist():
            per_name = found.setdefault((total["src_app"], hour), {})
            per_name[total["dest_app"]] = (total["bytes_tx"], total["bytes_rx"], total["flows"])
    return found


def compare(store, acknowledged, uncertain, files):
    found = counts(store)
    once = dict.fromkeys(PARTS, (7, 11, 1))
    for request in acknowledged:
        if found.pop(request, None) != once:
            yield f"{request} was acknowledged, and is not there once"
    for request in uncertain:
        if found.pop(request, once) != once:
            yield f"{request} was not acknowledged, and is there neither once nor not at all"
    for number in range(files):
        for hour in range(1, HOURS + 1):
            if found.pop((f"file-{number}", hour), None) != {"b": (7, 11, 1)}:
                yield f"file {number} does not count once in hour {hour}"
    yield from (f"{request} is there, and was never sent" for request in found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--kills", type=int, default=sys.maxsize)
    parser.add_argument("--seconds", type=float, default=sys.maxsize)
    parser.add_argument("--ingest", action="store_true")
    arguments = parser.parse_args()
    if arguments.folder is None:
        arguments.folder = Path(tempfile.mkdtemp(prefix="flowlog-soak-"))
    result = soak(arguments.folder, arguments.kills, arguments.seconds, arguments.ingest)
    sys.stdout.write(json.dumps(result) + "\n")
    sys.exit(1 if result["wrong"] else 0)


def soak(folder, kills, seconds, with_ingest):
    imports.finish()
    store = FlowStore(folder / "store", create=True)
    raw = folder / "raw"
    raw.mkdir(parents=True)
    port = free_port()
    options = ServeOptions(port=port, flush_seconds=0.15)
    names = (f"r{number}" for number in itertools.count())
    acknowledged, uncertain, half_sent, problems = [], [], [], []
    asked = killed = 0
    stop_at = folder / "stop"
    ingesting = forked(ingest_until_told, store, raw, stop_at) if with_ingest else None
    end = time.monotonic() + seconds
    while killed < kills and time.monotonic() < end:
        service = forked(serve, store.locations.root, options)
        wait_for(port)
        clients = [Client(port, names, half_sent, problems) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(random.uniform(0.0, 0.35))
        os.kill(service, signal.SIGKILL)
        os.waitpid(service, 0)
        killed += 1
        for client in clients:
            client.join()
            acknowledged += client.acknowledged
            uncertain += client.uncertain
            asked += client.asked
    service = forked(serve, store.locations.root, options)
    wait_for(port)
    last = Client(port, iter(()), half_sent, problems)
    last.next_request = lambda: (*half_sent.pop(), True)  # until it raises
    try:
        last.run()
    except IndexError:
        acknowledged += last.acknowledged
    os.kill(service, signal.SIGTERM)
    _, status = os.waitpid(service, 0)
    problems += [f"the service ended with {status}"] if status else []
    if ingesting:
        stop_at.touch()
        os.waitpid(ingesting, 0)
    files = len(list(raw.iterdir()))
    problems += compare(store, acknowledged, uncertain, files)
    problems += store.verify().problems
    problems += [f"the log still has {name}" for name in store.locations.segments()]
    return {
        "kills": killed,
        "acknowledged": len(acknowledged),
        "uncertain": len(uncertain),
        "asked": asked,
        "files": files,
        "runs": len(store.locations.run_ids()),
        "wrong": problems,
    }


if __name__ == "__main__":
    main()
