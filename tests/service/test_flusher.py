"""The log is flushed in time, by the batch job, beside other runs; what cannot be flushed stays and is said."""

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import xxhash

from pipeline.flowstore import FlowStore
from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.service import flusher, post, writer
from pipeline.store.lock import locked
from tests.service.conftest import EXAMPLE, record, running, wait_until

ROOT = Path(__file__).parents[2]
HEADER = "src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\n"


def flowlog(*arguments):
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ)


class TestWhen:
    def test_after_so_many_seconds(self, tmp_path):
        with running(tmp_path / "store", flush_seconds=0.2) as service:
            service.post(EXAMPLE)
            assert service.store.locations.hours() == []
            wait_until(lambda: service.store.locations.hours() == [1, 2])

    def test_at_so_many_bytes(self, tmp_path):
        with running(tmp_path / "store", flush_seconds=3600, flush_bytes=1000) as service:
            service.post([record()])
            service.post([record(2)] * 10)
            wait_until(lambda: service.store.locations.hours() == [1, 2])

    def test_at_the_end(self, tmp_path):
        with running(tmp_path / "store", flush_seconds=3600) as service:
            service.post(EXAMPLE)
        assert service.store.locations.hours() == [1, 2]
        assert service.store.locations.segments() == []

    def test_nothing_is_committed_where_nothing_came(self, tmp_path):
        with running(tmp_path / "store", flush_seconds=0.01) as service:
            wait_until(lambda: service.ask("GET", "/healthz").status == 200)
        assert service.store.runs() == []


class TestHours:
    def test_too_many_hours_in_a_request_are_refused(self, service, monkeypatch):
        """Each is a file that a flush makes anew, while it holds the store."""
        answer = service.post([record(hour) for hour in range(1, 1002)])
        assert (answer.status, answer.text) == (413, "The request data must have at most 1000 different hours")
        monkeypatch.setattr(post, "MAX_HOURS", 5)
        assert service.post([record(hour) for hour in range(1, 6)] * 2).status == 200
        assert service.post([record(hour) for hour in range(1, 7)]).status == 413
        assert len(service.get(hour=1, until=2000)) == 5

    def test_many_requests_with_many_hours_are_several_segments(self, service, monkeypatch):
        monkeypatch.setattr(writer, "MAX_SEGMENT_HOURS", 10)
        monkeypatch.setattr(flusher.Flusher, "poke", lambda self: None)
        with ThreadPoolExecutor(8) as pool:
            bodies = [[record(10 * number + hour) for hour in range(1, 7)] for number in range(8)]
            assert {answer.status for answer in pool.map(service.post, bodies)} == {200}
        assert service.post([record(1)] * 5).status == 200
        assert len(service.app.post.pending.segments) >= 8
        assert max(len(segment.bytes_by_hour) for segment in service.app.post.pending.segments) <= 10
        assert len(service.get(hour=1, until=100)) == 48
        service.flush()
        assert service.store.verify().flows == 53
        assert service.store.verify().problems == []


class TestOneTruth:
    def test_a_segment_is_a_source_of_a_run(self, service):
        service.post(EXAMPLE)
        (name,) = service.store.locations.segments()
        service.flush()
        (run,) = service.store.runs()
        (source,) = run.sources
        assert source.path == str(service.store.locations.segment(name))
        assert (source.format, source.read, source.valid, source.rejected) == ("JSON", 5, 5, 0)
        assert service.store.verify().problems == []

    def test_equal_requests_are_not_taken_for_the_same(self, service):
        for _ in range(2):
            service.post(EXAMPLE)
            service.flush()
        assert service.store.verify().flows == 10

    def test_ingest_and_query_work_meanwhile(self, tmp_path):
        with running(tmp_path / "store", flush_seconds=0.05) as service:
            stop = threading.Event()
            posted = []

            def post():
                while not stop.is_set():
                    assert service.post([record(5)]).status == 200
                    posted.append(1)

            poster = threading.Thread(target=post)
            poster.start()
            try:
                for number in range(6):
                    path = tmp_path / f"{number}.csv"
                    path.write_text(HEADER + f"f,b,v,{number + 1},1,5\n")
                    ingest([str(path)], service.store.locations, IngestOptions(wait_seconds=20))
                    assert service.get(hour=5, src_app="f") == [
                        record(5, src_app="f", bytes_tx=(number + 1) * (number + 2) // 2, bytes_rx=number + 1)
                    ]
                path.write_text(HEADER + "f,b,v,100,1,5\ng,b,v,1,1,5\n")
                (tmp_path / "last.csv").write_text(HEADER + "g,b,v,1,1,5\n")
                done = flowlog("ingest", tmp_path / "last.csv", "--store", tmp_path / "store", "--wait", 20, "--json")
                assert done.returncode == 0, done.stderr
                asked = flowlog("query", "--store", tmp_path / "store", "--hour", 5, "--format", "json")
                assert [total["src_app"] for total in json.loads(asked.stdout)] == ["a", "f", "g"]
                checked = flowlog("verify", "--store", tmp_path / "store")
                assert checked.returncode in (0, 5), checked.stderr
                assert checked.returncode == 0 or "in use" in checked.stderr
            finally:
                stop.set()
                poster.join()
            assert service.get(hour=5, src_app="a") == [record(5, bytes_tx=len(posted), bytes_rx=2 * len(posted))]
        assert service.store.verify().problems == []
        assert service.store.verify().flows == len(posted) + 7

    def test_the_log_is_no_raw_file_for_others(self, service, tmp_path):
        service.post(EXAMPLE)
        store = service.store.locations
        for raw in (store.root, store.wal, store.segment(store.segments()[0])):
            done = flowlog("ingest", raw, "--store", store.root)
            assert done.returncode == 2
            assert "is part of the store, and no raw file" in done.stderr
        done = flowlog("ingest", tmp_path, "--store", store.root)
        assert (done.returncode, FlowStore(store.root).runs()) == (0, [])

    def test_what_was_acknowledged_cannot_be_forgotten(self, service, tmp_path):
        (tmp_path / "raw.csv").write_text(HEADER + "f,b,v,1,1,1\n")
        ingest([str(tmp_path / "raw.csv")], service.store.locations)
        service.post(EXAMPLE)
        service.flush()
        before = service.get(hour=1, until=3)
        (source,) = service.store.runs()[-1].sources
        moved_store = service.store.locations.root.with_name("renamed")
        shutil.copytree(service.store.locations.root, moved_store)
        for store in (service.store.locations.root, moved_store):
            for name in (source.path, source.digest):
                done = flowlog("forget", name, "--store", store)
                assert (done.returncode, done.stdout) == (2, "")
                assert done.stderr == (
                    f"flowlog: {source.path} was the service's log: its records were acknowledged and stand nowhere else, so they"
                    f" are not taken back; only whole hours can go, and `flowlog drop --before HOUR --dry-run --store {store}`"
                    " shows which\n"
                )
        done = flowlog("forget", tmp_path / "raw.csv", "--store", service.store.locations.root)
        assert done.returncode == 2
        assert f"{source.path} was the service's log, whose records stand nowhere else" in done.stderr
        assert service.get(hour=1, until=3) == before

    def test_verify_is_sound_while_something_is_pending(self, service):
        service.post(EXAMPLE)
        service.flush()
        service.post(EXAMPLE)
        found = service.store.verify()
        assert (found.problems, found.flows) == ([], 5)


class TestWhatCannotBeMoved:
    def test_waits_while_another_run_holds_the_store(self, tmp_path, monkeypatch):
        monkeypatch.setattr(flusher, "LOCK_SECONDS", 0.1)
        monkeypatch.setattr(flusher, "RETRY_SECONDS", 0.1)
        with running(tmp_path / "store", flush_seconds=0.05) as service:
            with locked(service.store.locations):
                service.post(EXAMPLE)
                wait_until(lambda: service.ask("GET", "/healthz").status == 503)
                assert "is in use by process" in service.app.post.flusher.problem
                assert "process" not in service.ask("GET", "/healthz").text
                assert service.post(EXAMPLE).status == 200
                assert service.get(hour=1, src_app="foo")[0]["bytes_tx"] == 600
                assert service.store.locations.hours() == []
            wait_until(lambda: service.ask("GET", "/healthz").status == 200)
            assert service.get(hour=1, src_app="foo")[0]["bytes_tx"] == 600
        assert service.store.verify().flows == 10

    def test_and_posts_are_refused_when_the_log_is_full(self, tmp_path, monkeypatch):
        monkeypatch.setattr(flusher, "LOCK_SECONDS", 0.1)
        monkeypatch.setattr(flusher, "RETRY_SECONDS", 0.1)
        with running(tmp_path / "store", flush_bytes=1000) as service:
            accepted = 0
            with locked(service.store.locations):
                while (answer := service.post([record()] * 5)).status == 200:
                    accepted += 5
                assert answer.status == 503
                assert answer.text.startswith("The log is full")
                assert service.get(hour=1) == [record(bytes_tx=accepted, bytes_rx=2 * accepted)]
            wait_until(lambda: service.post([record()]).status == 200)
        assert service.store.verify().flows == accepted + 1

    def test_who_sends_too_fast_is_slowed_down_and_not_refused(self, tmp_path):
        with running(tmp_path / "store", flush_bytes=2000) as service, ThreadPoolExecutor(8) as pool:
            sizes = []

            def post(_):
                status = service.post([record()] * 20).status
                sizes.append(service.app.post.pending.size)
                return status

            assert list(pool.map(post, range(150))) == [200] * 150
            assert max(sizes) <= 4 * 2000 + 2200  # and the one that came when there was room
            assert service.app.post.pending.size <= 4 * 2000 + 2200
        assert service.store.verify().flows == 3000

    def test_the_end_does_not_wait_for_ever(self, tmp_path, monkeypatch, caplog):
        monkeypatch.setattr(flusher, "LOCK_SECONDS", 0.1)
        store = FlowStore(tmp_path / "store", create=True)
        with locked(store.locations), running(tmp_path / "store", flush_seconds=3600) as service:
            service.post(EXAMPLE)
            service.call(service.server.stop)
            wait_until(lambda: "its records stay there, for the next start" in caplog.text)
        assert len(store.locations.segments()) == 1
        with running(tmp_path / "store"):
            pass
        assert store.verify().flows == 5

    def test_a_sum_that_does_not_fit_is_said_and_keeps_nobody_else_from_going_on(self, service, tmp_path, monkeypatch):
        monkeypatch.setattr(flusher, "RETRY_SECONDS", 0.1)
        service.post([record(1, bytes_tx=2**53 - 1)])
        rows = "".join(f"a,b,v,{2**53 - 1},1,1\n" for _ in range(1023))
        (tmp_path / "large.csv").write_text(HEADER + rows + "a,b,v,1024,1,1\n")
        ingest([str(tmp_path / "large.csv")], service.store.locations)  # between the acknowledgement and the flush
        service.start_flush()
        wait_until(lambda: service.app.post.flusher.problem is not None)
        assert "does not fit into 64 bits" in service.app.post.flusher.problem
        assert service.get(hour=1) == [record(1, bytes_tx=2**63, bytes_rx=1026)]
        service.post([record(2)])
        wait_until(lambda: service.store.locations.hours() == [1, 2])
        assert service.get(hour=2) == [record(2)]
        wait_until(lambda: len(service.store.locations.segments()) == 1)  # the one that cannot be flushed

    def test_a_record_that_the_schema_refuses_is_said_and_not_lost(self, service, monkeypatch):
        """It cannot be; were it so all the same, nothing would be dropped."""
        monkeypatch.setattr(flusher, "RETRY_SECONDS", 0.1)
        service.post([record(1)])
        (name,) = service.store.locations.segments()
        path = service.store.locations.segment(name)
        (segment,) = service.app.post.pending.segments
        segment.entries[0] = segment.entries[0].replace(b'"bytes_tx":1', b'"bytes_tx":0')
        segment._digest = xxhash.xxh3_128(segment.entries[0])
        service.start_flush()
        wait_until(lambda: service.app.post.flusher.problem is not None)
        assert "bytes_tx must be positive" in service.app.post.flusher.problem
        assert service.store.locations.segments() == [name]
        assert path.read_bytes() == segment.entries[0]


@pytest.mark.parametrize("content", [b'{"src_app":"a"}\n', b'{"a":1,"request":{"id":"x","at":1,"bytes":100,"xxh3":"'])
def test_a_segment_that_is_no_request_is_cut(tmp_path, content):
    store = FlowStore(tmp_path / "store", create=True)
    store.locations.wal.mkdir(parents=True)
    (store.locations.wal / "20261124T000000-000000-00000000.reject.jsonl").write_bytes(content)
    with running(tmp_path / "store") as service:
        assert service.get(hour=1) == []
    assert store.locations.segments() == []
