"""Everything that strangers can send at once: the service stays small, says that it is well, and serves its clients.

Memory is what the kernel has measured (`VmHWM`). The suite runs a small one; with FLOWLOG_SOAK it has the full size.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.service import attacks

ROOT = Path(__file__).parents[2]
IS_SOAK = bool(os.environ.get("FLOWLOG_SOAK"))
SCALE = 1.0 if IS_SOAK else 0.06
BUSY_HOUR = 498_752
KEYS = 1_000_000 if IS_SOAK else 30_000
READERS = 40 if IS_SOAK else 6
CLIENTS = 8
CEILING_MIB = 1024 if IS_SOAK else 450
#: A machine that does other things as well answers later; what is held is that nothing takes the loop for long.
HEALTH_SECONDS = 1.0 if IS_SOAK else 3.0


def peak_mib(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) // 1024


def ask(port, method, path, body=None, headers=()):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.fixture
def process(tmp_path):
    """A service as a process, with an hour of many keys in `flows/`, and what it says on standard error in a file."""
    raw = tmp_path / "raw.csv"
    with raw.open("w") as file:
        file.write("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\n")
        for number in range(KEYS):
            file.write(f"app-{number % 5000},service-{number:07d},vpc-0f3c5a91d2b7e4680,{number + 1},7,{BUSY_HOUR}\n")
    store = tmp_path / "store"
    flowlog = [sys.executable, "-m", "pipeline"]
    subprocess.run([*flowlog, "ingest", str(raw), "--store", str(store)], cwd=ROOT, check=True, capture_output=True)
    said = tmp_path / "said"
    with said.open("w") as stderr:
        command = [*flowlog, "serve", "--store", str(store), "--port", "0", "--flush-seconds", "2"]
        process = subprocess.Popen(command, cwd=ROOT, stderr=stderr)
    deadline = time.monotonic() + 60
    while " serves the store " not in said.read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.port = int(re.search(r" on http://\S+:(\d+)", said.read_text())[1])
    process.said = said
    yield process
    process.terminate()
    process.wait(60)


class Clients:
    """Those who mean well: each posts its own records and looks whether they count; one more asks how the service is."""

    def __init__(self, port):
        self.port = port
        self.ends = threading.Event()
        self.late = 0.0
        self.rounds = [0] * CLIENTS
        self.wrong = []
        self.threads = [threading.Thread(target=self.work, args=(number,)) for number in range(CLIENTS)]
        self.threads.append(threading.Thread(target=self.look))

    def work(self, number):
        flow = {"src_app": f"client-{number}", "dest_app": "b", "vpc_id": "v", "bytes_tx": 1, "bytes_rx": 1, "hour": 7}
        while not self.ends.is_set():
            try:
                status, _ = ask(self.port, "POST", "/flows", json.dumps([flow] * 50), {"Content-Type": "application/json"})
                self.rounds[number] += 1
                _, answer = ask(self.port, "GET", f"/flows?hour=7&src_app=client-{number}")
                found = json.loads(answer)[0]["bytes_tx"]
                if (status, found) != (200, 50 * self.rounds[number]):
                    self.wrong.append((number, status, found, self.rounds[number]))
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.wrong.append((number, repr(error)))

    def look(self):
        while not self.ends.is_set():
            started = time.monotonic()
            try:
                if ask(self.port, "GET", "/healthz") != (200, b"ok\n"):
                    self.wrong.append("/healthz")
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(("/healthz", repr(error)))
            self.late = max(self.late, time.monotonic() - started)
            time.sleep(0.1)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        for thread in self.threads:
            thread.join()


ATTACKS = (
    (attacks.many_header_lines, 4),
    (attacks.one_long_header, 4),
    (attacks.one_long_target, 4),
    (attacks.nested_body, 6),
    (attacks.deep_body, 6),
    (attacks.empty_objects, 20),
)
#: What may be answered; nothing where the client was still sending a head when the connection was cut off.
STATUSES = {
    "many_header_lines": {b"431", b""},
    "one_long_header": {b"431", b""},
    "one_long_target": {b"414", b""},
    "nested_body": {b"400", b"503"},
    "deep_body": {b"400", b"503"},
    "empty_objects": {b"400", b"503"},
}


def attack(port):
    """All of it at once; what was answered to each attack."""
    seconds = 20 if IS_SOAK else 4
    with ThreadPoolExecutor(200) as pool:
        idle = attacks.idle_connections(port, 600)
        silent = [pool.submit(attacks.unread_answer, port, BUSY_HOUR, seconds) for _ in range(READERS)]
        silent += [pool.submit(attacks.half_a_body, port, seconds, SCALE) for _ in range(8)]
        told = {one.__name__: [pool.submit(one, port, SCALE) for _ in range(times)] for one, times in ATTACKS}
        answers = {name: [answer.result() for answer in waiting] for name, waiting in told.items()}
        for waiting in silent:
            waiting.result()
        for connection in idle:
            connection.close()
    return answers


def test_everything_at_once(process):
    with Clients(process.port) as clients:
        answers = attack(process.port)
    assert not clients.wrong
    assert min(clients.rounds) >= 2, clients.rounds
    assert clients.late < HEALTH_SECONDS
    assert peak_mib(process.pid) < CEILING_MIB
    for name, given in answers.items():
        assert {answer[9:12] for answer in given} <= STATUSES[name], name
    assert all(len(answer) < 20_000 for answer in answers["empty_objects"])
    assert "Traceback" not in process.said.read_text()
    status, whole = ask(process.port, "GET", f"/flows?hour={BUSY_HOUR}")
    assert (status, len(json.loads(whole))) == (200, KEYS)
