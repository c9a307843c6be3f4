"""200 means on disk: one sync for all that came in meanwhile, and none of them when the disk refuses."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.service import writer
from pipeline.wal import segments
from tests.service.conftest import EXAMPLE, record, running, wait_until


def segment_paths(service):
    store = service.store.locations
    return [store.segment(name) for name in store.segments()]


def logged(service):
    """The records that are in the log's files."""
    lines = [line for path in segment_paths(service) for line in path.read_bytes().splitlines()]
    return [{name: value for name, value in json.loads(line).items() if name != "request"} for line in lines]


class Disk:
    """What the log's writes meet, to be broken and to be held up."""

    def __init__(self, monkeypatch):
        self.error = None
        self.broken = ("append",)
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()
        append, cut, init = segments.SegmentWriter.append, segments.SegmentWriter.cut, segments.SegmentWriter.__init__

        def appending(writer, data):
            self.waiting.set()
            assert self.gate.wait(30)
            if "append" in self.broken and self.error:
                os.pwrite(writer._descriptor, data[: len(data) // 2], writer.size)
                raise self.error
            if "sync" in self.broken and self.error:
                os.pwrite(writer._descriptor, data, writer.size)
                raise self.error
            append(writer, data)

        def cutting(writer):
            if "cut" in self.broken and self.error:
                raise self.error
            cut(writer)

        def making(writer, *arguments):
            if "make" in self.broken and self.error:
                raise self.error
            init(writer, *arguments)

        monkeypatch.setattr(segments.SegmentWriter, "append", appending)
        monkeypatch.setattr(segments.SegmentWriter, "cut", cutting)
        monkeypatch.setattr(segments.SegmentWriter, "__init__", making)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


NO_SPACE = OSError(28, "No space left on device")


def refuse(*_):
    raise OSError(5, "Input/output error")


class TestDurability:
    def test_the_records_are_in_a_file_when_the_answer_comes(self, service):
        assert service.post(EXAMPLE).status == 200
        assert logged(service) == EXAMPLE

    def test_they_were_synced(self, service, monkeypatch):
        synced = []
        sync = os.fsync
        monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(os.fstat(descriptor).st_size), sync(descriptor)))
        service.post(EXAMPLE)
        assert synced[-1] == segment_paths(service)[0].stat().st_size

    def test_a_refused_request_leaves_nothing(self, service):
        assert service.post([record(), record(hour=0)]).status == 400
        assert segment_paths(service) == []

    def test_what_comes_in_meanwhile_shares_one_sync(self, service, disk):
        disk.gate.clear()
        with ThreadPoolExecutor(20) as pool:
            first = pool.submit(service.post, [record()])
            assert disk.waiting.wait(10)
            others = [pool.submit(service.post, [record()]) for _ in range(19)]
            wait_until(lambda: len(service.app.post.writer._queue) == 19)
            assert service.get(hour=1) == []  # what is not acknowledged yet is not seen
            disk.gate.set()
            assert {future.result().status for future in [first, *others]} == {200}
        assert service.app.post.writer.syncs == 2
        assert service.get(hour=1) == [record(bytes_tx=20, bytes_rx=40)]


class TestABrokenDisk:
    @pytest.mark.parametrize("broken", ["append", "sync", "make"])
    @pytest.mark.parametrize("before", [0, 2])
    def test_503_and_none_of_the_records_counts(self, tmp_path, disk, broken, before):
        with running(tmp_path / "store", flush_seconds=3600) as service:
            for _ in range(before):
                assert service.post([record()]).status == 200
            if broken == "make":
                service.call(service.app.post.writer.end_segment)
            disk.broken, disk.error = (broken,), NO_SPACE
            answer = service.post([record(src_app="lost")] * 3)
            assert answer.status == 503
            assert answer.text == "The records could not be written, and none of them counts: No space left on device"
            assert answer.headers["retry-after"] == "5"
            disk.error = None
            assert service.post([record(src_app="kept")]).status == 200
            expected = [record(bytes_tx=before, bytes_rx=2 * before)] * bool(before) + [record(src_app="kept")]
            assert service.get(hour=1) == expected
            assert len(logged(service)) == before + 1
            service.flush()
            assert service.get(hour=1) == expected
        assert service.store.verify().problems == []
        assert [total["src_app"] for total in service.store.table(1).to_pylist()] == [total["src_app"] for total in expected]

    def test_nothing_is_written_or_flushed_while_what_failed_cannot_be_cut_off(self, service, disk):
        service.post([record()])
        disk.broken, disk.error = ("sync", "cut"), OSError(5, "Input/output error")
        assert service.post([record(src_app="lost")]).status == 503
        assert service.post([record(src_app="lost")]).status == 503
        wait_until(lambda: service.app.post.flusher.problem == "the log cannot be mended: Input/output error")
        assert service.ask("GET", "/healthz").status == 503
        assert service.store.locations.run_ids() == []
        assert service.get(hour=1) == [record()]
        disk.error = None
        service.flush()
        assert service.ask("GET", "/healthz").status == 200
        assert service.get(hour=1) == [record()]
        assert segment_paths(service) == []

    def test_a_segment_that_cannot_be_removed_is_cut_off_again_through_its_own_descriptor(self, service, disk, monkeypatch):
        disk.error = NO_SPACE
        assert service.post([record(src_app="lost")]).status == 503  # and is the first of a segment, which is removed
        disk.error = None
        with monkeypatch.context() as patch:
            patch.setattr(writer, "remove", refuse)
            assert service.post([record(src_app="lost")]).status == 503
        assert service.post([record()]).status == 200
        assert service.get(hour=1) == [record()]
        assert len(segment_paths(service)) == 1

    def test_a_key_whose_records_were_not_written_is_not_used_up(self, service, disk):
        disk.error = NO_SPACE
        assert service.post([record()], Idempotency_Key="k").status == 503
        disk.error = None
        assert service.post([record()], Idempotency_Key="k").status == 200
        assert service.post([record()], Idempotency_Key="k").status == 200
        assert service.get(hour=1) == [record()]

    def test_a_bug_is_500_and_the_service_goes_on(self, service, monkeypatch, caplog):
        with monkeypatch.context() as patch:
            patch.setattr(segments.SegmentWriter, "append", lambda writer, data: 1 / 0)
            assert service.post([record()]).status == 500
        assert "ZeroDivisionError" in caplog.text
        assert service.post([record()]).status == 200
        assert service.get(hour=1) == [record()]


class TestRestart:
    def test_finds_what_was_acknowledged_and_cuts_the_rest(self, tmp_path, monkeypatch):
        with running(tmp_path / "store", flush_seconds=3600) as service:
            service.post(EXAMPLE)
            service.post([record(7)], Idempotency_Key="k")
            (path,) = segment_paths(service)
            content = path.read_bytes()
        fresh = tmp_path / "fresh"
        (fresh / "wal").mkdir(parents=True)
        (fresh / "wal" / path.name).write_bytes(content + content[:100])
        monkeypatch.setattr("pipeline.service.flusher.Flusher._flush_all", lambda self: _nothing())
        with running(fresh, flush_seconds=3600) as service:
            assert [total["hour"] for total in service.get(hour=1, until=10)] == [1, 1, 2, 2, 7]
            assert segment_paths(service)[0].read_bytes() == content
            assert service.post([record(7)], Idempotency_Key="k").status == 200
            assert service.get(hour=7) == [record(7)]
        monkeypatch.undo()
        with running(fresh):
            pass
        assert service.store.verify().flows == 6
        assert segment_paths(service) == []

    def test_a_log_that_was_written_with_zeros_is_flushed_by_a_service_that_refuses_them(self, tmp_path, monkeypatch):
        with running(tmp_path / "store", flush_seconds=3600, zero_bytes="accept") as service:
            assert service.post([record(bytes_tx=0)]).status == 200
            (path,) = segment_paths(service)
            content = path.read_bytes()
        fresh = tmp_path / "fresh"
        (fresh / "wal").mkdir(parents=True)
        (fresh / "wal" / path.name).write_bytes(content)
        with running(fresh, zero_bytes="reject") as service:
            assert service.post([record(bytes_tx=0)]).status == 400
            assert service.get(hour=1) == [record(bytes_tx=0)]
        assert service.store.runs()[0].interpretation["zero_bytes"] == "accept"
        assert service.store.verify().problems == []


async def _nothing():
    pass
