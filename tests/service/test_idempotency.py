"""An Idempotency-Key counts once."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from pipeline.wal.idempotency import KEPT_SECONDS
from tests.service.conftest import record, running
from tests.service.test_writer import disk  # noqa: F401 - a fixture


class TestRetries:
    @pytest.mark.parametrize("flushed", [False, True])
    def test_the_same_request_counts_once_however_often_it_comes(self, service, flushed):
        for _ in range(3):
            answer = service.post([record()], Idempotency_Key="k")
            assert (answer.status, answer.body) == (200, b"")
            if flushed:
                service.flush()
        assert service.get(hour=1) == [record()]
        assert service.post([record()], Idempotency_Key="other").status == 200
        assert service.get(hour=1) == [record(bytes_tx=2, bytes_rx=4)]

    def test_across_restarts(self, tmp_path):
        for _ in range(3):
            with running(tmp_path / "store") as service:
                assert service.post([record()], Idempotency_Key="k").status == 200
                assert service.get(hour=1) == [record()]
        assert service.store.verify().flows == 1

    @pytest.mark.parametrize("flushed", [False, True])
    def test_422_for_the_same_key_with_other_records(self, service, flushed):
        service.post([record()], Idempotency_Key="k")
        if flushed:
            service.flush()
        answer = service.post([record(src_app="other")], Idempotency_Key="k")
        assert (answer.status, answer.text) == (
            422,
            "The Idempotency-Key came before with other records; nothing was counted",
        )
        assert service.get(hour=1) == [record()]

    def test_the_same_records_written_otherwise_are_the_same(self, service):
        service.post([record()], Idempotency_Key="k")
        shuffled = dict(reversed(record().items())) | {"more": 1}
        assert service.post([shuffled], Idempotency_Key="k").status == 200
        assert service.get(hour=1) == [record()]

    def test_a_refused_request_does_not_use_its_key_up(self, service):
        assert service.post([record(hour=0)], Idempotency_Key="k").status == 400
        assert service.post([record()], Idempotency_Key="k").status == 200
        assert service.get(hour=1) == [record()]

    def test_one_that_comes_while_the_first_is_written_waits_for_it(self, service, disk):  # noqa: F811
        disk.gate.clear()
        with ThreadPoolExecutor(5) as pool:
            posts = [pool.submit(service.post, [record()], Idempotency_Key="k") for _ in range(5)]
            other = pool.submit(service.post, [record(2)], Idempotency_Key="k")
            assert disk.waiting.wait(10)
            time.sleep(0.2)
            assert not any(post.done() for post in posts[1:])
            disk.gate.set()
            statuses = [post.result().status for post in [*posts, other]]
        assert sorted(statuses) == [200] * 5 + [422]
        assert len(service.get(hour=1, until=3)) == 1

    def test_and_fails_with_it(self, service, disk):  # noqa: F811
        disk.error = OSError(28, "No space left on device")
        disk.gate.clear()
        with ThreadPoolExecutor(3) as pool:
            posts = [pool.submit(service.post, [record()], Idempotency_Key="k") for _ in range(3)]
            time.sleep(0.2)
            disk.gate.set()
            assert {post.result().status for post in posts} == {503}
        disk.error = None
        assert service.post([record()], Idempotency_Key="k").status == 200
        assert service.get(hour=1) == [record()]

    @pytest.mark.parametrize("flushed", [False, True])
    def test_it_is_forgotten_after_a_day(self, service, flushed):
        keys = service.app.post.keys
        service.post([record()], Idempotency_Key="k")
        if flushed:
            service.flush()
        keys._before += KEPT_SECONDS - 5
        service.post([record()], Idempotency_Key="k")
        assert service.get(hour=1) == [record()]
        keys._before += 10
        service.post([record()], Idempotency_Key="k")
        assert service.get(hour=1) == [record(bytes_tx=2, bytes_rx=4)]
        service.flush()
        keys._before += 2 * KEPT_SECONDS
        service.post([record()])
        service.flush()
        with closing(sqlite3.connect(service.store.locations.keys)) as database:
            assert database.execute("SELECT count(*) FROM keys WHERE day >= 0").fetchone() == (0,)

    @pytest.mark.parametrize("jump", [-2 * KEPT_SECONDS, 2 * KEPT_SECONDS])
    @pytest.mark.parametrize("flushed", [False, True])
    def test_a_clock_that_jumps_forgets_nothing(self, tmp_path, monkeypatch, jump, flushed):
        now = time.time()
        with running(tmp_path / "store", flush_seconds=3600) as service:
            service.post([record()], Idempotency_Key="before")
            monkeypatch.setattr(time, "time", lambda: now + jump)
            service.post([record()], Idempotency_Key="meanwhile")
            if flushed:
                service.flush()
            monkeypatch.undo()
            for key in ("before", "meanwhile"):
                assert service.post([record()], Idempotency_Key=key).status == 200
            assert service.get(hour=1) == [record(bytes_tx=2, bytes_rx=4)]
        monkeypatch.setattr(time, "time", lambda: now + jump)
        with running(tmp_path / "store", flush_seconds=3600) as service:
            for key in ("before", "meanwhile"):
                assert service.post([record()], Idempotency_Key=key).status == 200
            assert service.get(hour=1) == [record(bytes_tx=2, bytes_rx=4)]

    @pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\xe9"])
    def test_400_for_an_odd_key(self, service, key):
        answer = service.post([record()], Idempotency_Key=key)
        assert (answer.status, answer.text) == (400, "The Idempotency-Key must have 1 to 255 visible ASCII characters")
        assert service.get(hour=1) == []
