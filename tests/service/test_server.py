"""From the start to the last flush: the command, signals, who may listen and to whom, slow clients, what is logged."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import StoreServed, UsageError
from pipeline.flowstore import FlowStore
from pipeline.service import limits, server
from pipeline.service.hosts import is_loopback
from pipeline.service.server import ServeOptions
from pipeline.store.lock import served
from tests.service.conftest import EXAMPLE, JSON, Service, record, running, wait_until

ROOT = Path(__file__).parents[2]
WITHOUT_EXTRA = """
import sys
from importlib.abc import MetaPathFinder
class Without(MetaPathFinder):
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {"uvloop", "httptools", "msgspec"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Without())
from pipeline.cli import main
main()
"""


@pytest.fixture
def start(tmp_path):
    """Starts `flowlog serve` as a process, on a store in the test's folder."""
    processes = []

    def started(*options, **variables):
        command = [sys.executable, "-m", "pipeline", "serve", "--store", str(tmp_path / "store"), "--port", "0", *options]
        environment = os.environ | variables
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
        processes.append(process)
        said = []
        while not said or " serves the store " not in said[-1]:
            line = process.stderr.readline()
            assert line, said
            said.append(line)
        return process, Service(FlowStore(tmp_path / "store"), int(said[-1].rpartition(":")[2])), said

    yield started
    for process in processes:
        process.kill()
        process.communicate()


class TestTheCommand:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_ends_with_0_when_it_is_told_and_has_moved_its_log(self, start, tmp_path, number):
        process, service, _ = start()
        assert service.post(EXAMPLE).status == 200
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "Traceback" not in said
        store = FlowStore(tmp_path / "store")
        assert store.verify().flows == 5
        assert store.locations.segments() == []

    def test_answers_what_is_under_way_when_it_is_told_to_end(self, start):
        process, service, _ = start()
        whole = json.dumps([record()]).encode()
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            head = f"POST /flows HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(whole)}\r\n"
            connection.sendall(head.encode() + b"expect: 100-continue\r\n\r\n")
            assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"  # it is under way
            connection.sendall(whole[:10])
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(whole[10:])
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert process.wait(30) == 0
        assert service.store.verify().flows == 1

    def test_a_killed_one_is_recovered_by_the_next(self, start):
        process, service, _ = start()
        assert service.post(EXAMPLE).status == 200
        process.kill()
        process.wait()
        assert service.store.locations.hours() == []
        _, service, said = start("--flush-seconds", "0.1")
        assert any("found 5 acknowledged records in " in line for line in said)
        assert [total["src_app"] for total in service.get(hour=1)] == ["baz", "foo"]

    def test_takes_its_options_from_the_environment(self, start):
        _, service, _ = start(FLOWLOG_TOKEN="secret", FLOWLOG_ZERO_BYTES="accept", FLOWLOG_MAX_BODY="500")
        assert service.post([record()]).status == 401
        headers = {"Authorization": "Bearer secret"}
        assert service.post([record(bytes_tx=0)], **headers).status == 200
        assert service.post([record()] * 10, **headers).status == 413

    def test_a_second_one_on_the_same_store_is_refused(self, start, flowlog, tmp_path):
        process, _, _ = start()
        done = flowlog("serve", "--store", tmp_path / "store", "--port", 0)
        assert (done.code, done.out) == (5, "")
        assert f"is served by process {process.pid} on " in done.err

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_while_it_starts_ends_it_with_0(self, tmp_path, number):
        command = [
            sys.executable,
            "-X",
            "importtime",
            "-m",
            "pipeline",
            "serve",
            "--store",
            str(tmp_path / "store"),
            "--port",
            "0",
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        imported = iter(process.stderr.readline, "")
        assert any("pipeline.service.limits" in line for line in imported)  # in the midst of its imports
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "Traceback" not in said
        assert "flowlog serves the store" in said

    def test_the_token_is_never_said(self, start):
        process, service, said = start("--token", "hush-hush")
        service.ask("GET", "/flows?hour=1", headers={"Authorization": "Bearer hush-hush"})
        service.ask("GET", "/flows?hour=1&hush-hush", headers={"Authorization": "Bearer hush-hush2"})
        process.terminate()
        assert "hush" not in "".join(said) + process.communicate(timeout=30)[1]
        assert "hush" not in repr(ServeOptions(token="hush-hush"))

    def test_without_the_extra_it_says_how_to_install_it_and_the_rest_works(self, tmp_path, ingested):
        ingested("foo,bar,v,1,1,1")

        def run(*arguments):
            command = [sys.executable, "-c", WITHOUT_EXTRA, *arguments, "--store", str(tmp_path / "store")]
            return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

        done = run("serve")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("flowlog: the service needs the package ")
        assert "pip install 'flowlog-pipeline[serve]'" in done.stderr
        assert run("query", "--hour", "1").returncode == 0
        assert run("ingest", str(tmp_path / "raw")).returncode == 0


class TestListening:
    def test_a_port_that_is_taken_is_a_users_error(self, flowlog, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = flowlog("serve", "--store", tmp_path / "store", "--port", taken.getsockname()[1])
        assert done.code == 2
        assert "cannot listen on 127.0.0.1:" in done.err
        assert "Address already in use; --host and --port name another address\n" in done.err

    def test_so_is_one_that_another_has_bound_and_listens_on_only_now(self, tmp_path):
        with server._listening(ServeOptions(port=0)) as late:
            port = late.getsockname()[1]
            with server._listening(ServeOptions(port=port)) as early, pytest.raises(UsageError, match="already in use"):
                early.listen()
                with running(tmp_path / "store", bound=late):
                    pass

    @pytest.mark.parametrize("host", ["no.such.host.invalid", "256.0.0.1", "", "x" * 300, "a\x1b[2J"])
    def test_so_is_an_address_that_is_none(self, host):
        with pytest.raises(UsageError) if host else pytest.raises((UsageError, StopIteration)):  # noqa: SIM117
            with server._listening(ServeOptions(host=host, port=0)) as listener:
                assert not is_loopback(listener.getsockname()[0])
                raise StopIteration

    @pytest.mark.parametrize("token", ["", " ", "a\nb", "é"])
    def test_so_is_a_token_that_no_header_can_have(self, token, flowlog):
        done = flowlog("serve", "--token", token)
        assert (done.code, done.out) == (2, "")
        assert "visible ASCII" in done.err

    @pytest.mark.parametrize(
        ("host", "loopback"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False)]
    )
    def test_loopback_is_told_from_the_rest(self, host, loopback):
        with server._listening(ServeOptions(host=host, port=0)) as listener:
            assert is_loopback(listener.getsockname()[0]) is loopback

    def test_an_open_door_is_warned_of(self, start):
        _, service, said = start("--host", "0.0.0.0")
        assert any("WARNING anybody who reaches http://0.0.0.0:" in line for line in said)
        assert service.ask("GET", "/healthz").status == 200

    @pytest.mark.parametrize("options", [(), ("--host", "0.0.0.0", "--token", "secret")])
    def test_a_closed_one_is_not(self, start, options):
        assert not any("WARNING" in line for line in start(*options)[2])

    def test_one_service_a_store(self, service):
        with pytest.raises(StoreServed), served(service.store.locations):
            pass


class TestSlowClients:
    @pytest.fixture
    def impatient(self, tmp_path, monkeypatch):
        monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.3)
        monkeypatch.setattr(server, "_SWEEP_SECONDS", 0.05)
        with running(tmp_path / "store", flush_seconds=3600) as service:
            yield service

    @pytest.mark.parametrize(
        "start",
        [
            b"",
            b"POST /fl",
            b"POST /flows HTTP/1.1\r\nhost: localhost\r\n",
            b"POST /flows HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n[{",
            b"POST /flows HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[{\r\n",
        ],
    )
    def test_who_does_not_go_on_is_told_and_cut_off(self, impatient, start):
        with socket.create_connection(("127.0.0.1", impatient.port), timeout=10) as connection:
            connection.sendall(start)
            answer = b"".join(iter(lambda: connection.recv(1000), b""))
        assert answer.startswith(b"HTTP/1.1 408 ")
        wait_until(lambda: impatient.app.bodies.used == 0)

    def test_who_drips_as_well(self, impatient):
        with socket.create_connection(("127.0.0.1", impatient.port), timeout=10) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\n")
            with pytest.raises(OSError):
                for _ in range(250):  # 5 seconds, and as much more as the machine takes for both
                    connection.sendall(b"x: y\r\n")
                    time.sleep(0.02)

    def test_who_does_not_read(self, impatient, monkeypatch):
        monkeypatch.setattr(limits, "REQUEST_SECONDS", 60)  # ten megabytes may take longer than the others have
        assert impatient.post([record(src_app=f"{number:0500}") for number in range(20_000)]).status == 200
        wait_until(lambda: not impatient.server.connections)
        monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.3)
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", impatient.port))
            connection.sendall(b"GET /flows?hour=1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
            wait_until(lambda: impatient.server.connections)
            wait_until(lambda: not impatient.server.connections)

    def test_a_quick_one_is_left_alone(self, impatient):
        with socket.create_connection(("127.0.0.1", impatient.port), timeout=10) as connection:
            for _ in range(3):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                assert connection.recv(1000).endswith(b"ok\n")
                time.sleep(0.5)


class TestManyConnections:
    @pytest.fixture
    def small(self, tmp_path, monkeypatch):
        monkeypatch.setattr(limits, "MAX_CONNECTIONS", 4)
        with running(tmp_path / "store", flush_seconds=3600, token="s") as service:
            yield service

    def connect(self, service, request=b""):
        connection = socket.create_connection(("127.0.0.1", service.port), timeout=10)
        connection.sendall(request)
        if request:
            assert connection.recv(1000)
        return connection

    def test_idle_ones_make_room_for_a_new_one(self, small):
        idle = [self.connect(small) for _ in range(20)]
        assert small.ask("GET", "/healthz").status == 200
        assert small.post([record()], Authorization="Bearer s").status == 200
        assert idle[0].recv(10) == b""
        for connection in idle:
            connection.close()

    def test_first_those_that_have_shown_no_token(self, small):
        asks = b"GET /flows?hour=1 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer s\r\n\r\n"
        trusted = [self.connect(small, asks) for _ in range(3)]
        strangers = [self.connect(small, asks.replace(b"Bearer s", b"Bearer x")) for _ in range(20)]
        for connection in trusted:
            connection.sendall(asks)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        for connection in (*trusted, *strangers):
            connection.close()


class TestWhatIsLogged:
    def test_nothing_of_a_client_is_unescaped(self):
        record = logging.LogRecord("x", logging.ERROR, "", 0, "said %s", ("a\nFORGED \x1b[2J\u202e",), None)
        assert server._Escaped("%(levelname)s %(message)s").format(record) == r"ERROR said a\nFORGED \x1b[2J\u202e"
        try:
            int("\x1b[2J\u202e")
        except ValueError:
            record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), sys.exc_info())
        shown = server._Escaped("%(message)s").format(record)
        assert shown.startswith("failed\nTraceback (most recent call last):\n")
        assert r"\x1b[2J" in shown
        assert "\x1b" not in shown

    def test_odd_requests_leave_odd_text_out(self, start):
        process, service, _ = start()
        odd = b"\x1b[31m\r\nFORGED"
        for request in (
            odd,
            b"GET /" + odd + b" HTTP/1.1\r\n\r\n",
            b"GET /flows?hour=%1b%0a HTTP/1.1\r\nhost: localhost\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", service.port)) as connection:
                connection.sendall(request)
                connection.recv(1000)
        service.ask("POST", "/flows", b'[{"src_app": "\x1b[31m"}]', JSON)
        process.terminate()
        _, said = process.communicate(timeout=30)
        assert "\x1b" not in said
        assert not any(line.startswith("FORGED") for line in said.splitlines())


def test_many_connections_at_once(service):
    answers = []

    def post():
        answers.extend(service.post([record()]).status for _ in range(10))

    threads = [threading.Thread(target=post) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 400
    assert service.get(hour=1) == [record(bytes_tx=400, bytes_rx=800)]
