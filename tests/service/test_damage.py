"""A byte that the disk changes costs the request that has it, and no other; it is told until somebody takes the file away."""

import json
import logging
import shutil
import threading

import pytest

from pipeline.flowstore import FlowStore
from pipeline.service import flusher
from pipeline.store import files, transaction
from tests.service.conftest import record, running, wait_until
from tests.service.test_flusher import flowlog


def left_by_a_crash(folder, monkeypatch, requests, flushed=False):
    """A store whose service was killed when it had acknowledged some requests, each of an app of its own and with a key."""
    with running(folder / "first", flush_seconds=3600) as service:
        for app in requests:
            assert service.post([record(src_app=app), record(2, src_app=app)], Idempotency_Key=app).status == 200
        if flushed:  # but not removed
            with monkeypatch.context() as patch:
                patch.setattr(flusher.segments, "remove", fail)
                patch.setattr(flusher, "RETRY_SECONDS", 3600)
                service.start_flush()
                wait_until(lambda: service.app.post.flusher.problem is not None)
        shutil.copytree(folder / "first", folder / "killed")
    return FlowStore(folder / "killed").locations


def fail(*_):
    raise OSError(5, "Input/output error")


def flip(path, offset, change=1):
    content = bytearray(path.read_bytes())
    content[offset] ^= change
    path.write_bytes(content)


def the_segment(store):
    (name,) = store.segments()
    return store.segment(name)


def apps(service):
    return [total["src_app"] for total in service.get(hour=1)]


APPS = ["a", "b", "c", "d"]


class TestAtRest:
    @pytest.mark.parametrize(("request_hit", "part"), [(0, 0.0), (1, 0.3), (2, 0.8), (3, 0.5), (3, 1.0)])
    def test_a_flipped_byte_loses_one_request_and_is_told(self, tmp_path, monkeypatch, caplog, request_hit, part):
        store = left_by_a_crash(tmp_path, monkeypatch, APPS)
        path = the_segment(store)
        length = path.stat().st_size // len(APPS)
        flip(path, int(length * request_hit + part * (length - 1)))
        content = path.read_bytes()
        whole = [app for app in APPS if app != APPS[request_hit]]
        where = f"the bytes {length * request_hit:,} to {length * (request_hit + 1) - 1:,} are damaged"

        checked = flowlog("verify", "--store", store.root)  # before a service looks at it
        assert checked.returncode == 5
        assert f"{path}: {where}" in checked.stderr
        assert "6 acknowledged records wait" in checked.stderr

        for _ in range(2):  # and again when it is started again
            caplog.clear()
            with running(store.root, flush_seconds=3600) as service:
                assert [entry.levelno for entry in caplog.records if where in entry.message] == [logging.ERROR]
                assert apps(service) == whole
                health = service.ask("GET", "/healthz")
                (kept,) = store.damaged_files()
                assert (health.status, kept.name in health.text) == (503, True)
                assert service.post([record(3)], Idempotency_Key="more").status == 200
                for app in whole:  # its key has not been lost
                    assert service.post([record(src_app=app), record(2, src_app=app)], Idempotency_Key=app).status == 200
                assert apps(service) == whole
            assert kept.read_bytes() == content
            assert [problem for problem in service.store.verify().problems if where in problem] == [
                f"{kept}: {where}, and what was acknowledged there does not count"
            ]
        assert service.store.verify().flows == 7
        assert len(service.store.verify().problems) == 1
        kept.unlink()
        with running(store.root) as service:
            assert service.ask("GET", "/healthz").status == 200
        assert service.store.verify().problems == []

    def test_health_is_told_as_soon_as_the_file_is_taken_away(self, tmp_path, monkeypatch):
        store = left_by_a_crash(tmp_path, monkeypatch, APPS)
        flip(the_segment(store), 10)
        with running(store.root) as service:
            assert service.ask("GET", "/healthz").status == 503
            shutil.rmtree(store.damaged)
            assert service.ask("GET", "/healthz").text == "ok\n"

    def test_the_only_request_of_a_segment(self, tmp_path, monkeypatch):
        store = left_by_a_crash(tmp_path, monkeypatch, ["a"])
        content = the_segment(store).read_bytes()
        flip(the_segment(store), len(content) - 1)
        with running(store.root) as service:
            assert service.get(hour=1) == []
            assert service.ask("GET", "/healthz").status == 503
        assert store.segments() == []
        assert len(store.damaged_files()[0].read_bytes()) == len(content)

    @pytest.mark.parametrize("notes", ["whole", "damaged"])
    def test_what_was_in_flows_already_does_not_count_again(self, tmp_path, monkeypatch, notes):
        """The segment that is left has other bytes than the ledger; its path tells that it was counted."""
        store = left_by_a_crash(tmp_path, monkeypatch, APPS, flushed=True)
        flip(the_segment(store), 10)
        if notes == "damaged":
            flip(store.moves, 10)
        with running(store.root, flush_seconds=3600) as service:
            assert apps(service) == APPS
            assert service.get(hour=1)[0] == record(src_app="a")
            wait_until(lambda: not service.app.post.pending.segments)
            assert service.get(hour=1)[0] == record(src_app="a")
            for app in APPS[1:]:
                assert service.post([record(src_app=app), record(2, src_app=app)], Idempotency_Key=app).status == 200
            assert [total["bytes_tx"] for total in service.get(hour=1)] == [1] * 4
        assert service.store.verify().flows == 8
        assert len(service.store.verify().problems) == 1  # the request's key is lost, and with it the file is kept

    @pytest.mark.parametrize("offset", [0, 18, 30, 120, 4096, 4099, -1, -60, -100])
    def test_a_damaged_database_of_keys_loses_one_key_at_most(self, tmp_path, monkeypatch, offset):
        with running(tmp_path / "store", flush_seconds=3600) as service:
            for app in APPS:
                service.post([record(src_app=app)], Idempotency_Key=app)
        store = service.store.locations
        flip(store.keys, offset)
        told = service.store.verify().problems
        with running(tmp_path / "store", flush_seconds=3600) as service:
            for app in APPS:
                assert service.post([record(src_app=app)], Idempotency_Key=app).status == 200
            again = [total["src_app"] for total in service.get(hour=1) if total["bytes_tx"] == 2]
            assert len(again) <= 1
            is_told = service.ask("GET", "/healthz").status == 503
            assert is_told or not again
            assert bool(told) <= is_told


class TestWhileTheServiceRuns:
    def test_a_flipped_byte_is_found_before_it_is_counted_and_mended_from_memory(self, service, caplog):
        service.post([record(bytes_tx=2)])
        path = the_segment(service.store.locations)
        flip(path, path.read_bytes().index(b'"bytes_tx":2') + len(b'"bytes_tx":'), ord("2") ^ ord("6"))
        assert b'"bytes_tx":6' in path.read_bytes()
        assert service.get(hour=1) == [record(bytes_tx=2)]
        assert [str(path) in problem for problem in service.store.verify().problems] == [True]
        service.flush()
        assert service.get(hour=1) == [record(bytes_tx=2)]
        assert [entry.levelno for entry in caplog.records if f"damaged or lost {path}" in entry.message] == [logging.ERROR]
        assert service.store.verify().problems == []

    def test_so_is_a_file_that_is_gone(self, service):
        service.post([record()])
        the_segment(service.store.locations).unlink()
        service.flush()
        assert service.get(hour=1) == [record()]
        assert service.store.verify().problems == []

    def test_and_one_that_changes_between_that_and_the_job(self, service, monkeypatch):
        monkeypatch.setattr(flusher, "RETRY_SECONDS", 0.1)
        service.post([record(bytes_tx=2)])
        path = the_segment(service.store.locations)
        make_anew = flusher._make_anew_if_damaged
        changed = []

        def change_behind(*arguments):
            make_anew(*arguments)
            if not changed:
                path.write_bytes(path.read_bytes().replace(b'"bytes_tx":2', b'"bytes_tx":6'))
                changed.append(path)

        monkeypatch.setattr(flusher, "_make_anew_if_damaged", change_behind)
        service.start_flush()
        wait_until(lambda: not service.app.post.pending.segments)  # and nobody holds the store any more
        assert changed
        assert service.get(hour=1) == [record(bytes_tx=2)]
        assert service.store.verify().problems == []

    def test_a_get_while_the_log_is_flushed_has_what_was_acknowledged(self, service, monkeypatch):
        publish = transaction.publish
        reached, go = threading.Event(), threading.Event()

        def slowly(*arguments):
            reached.set()
            assert go.wait(20)
            publish(*arguments)

        monkeypatch.setattr(transaction, "publish", slowly)
        service.post([record(bytes_tx=2)])
        path = the_segment(service.store.locations)
        path.write_bytes(path.read_bytes().replace(b'"bytes_tx":2', b'"bytes_tx":6'))
        service.start_flush()
        assert reached.wait(20)
        assert service.get(hour=1) == [record(bytes_tx=2)]
        go.set()
        wait_until(lambda: not service.app.post.pending.segments)
        assert service.get(hour=1) == [record(bytes_tx=2)]


def test_json_of_verify_has_what_waits(service):
    service.post([record()] * 3)
    done = flowlog("verify", "--store", service.store.locations.root, "--json")
    assert (done.returncode, json.loads(done.stdout)["waiting"]) == (0, 3)
    done = flowlog("verify", "--store", service.store.locations.root)
    assert "3 acknowledged records wait in the service's log" in done.stderr
    service.flush()
    assert service.store.verify().waiting == 0


def test_a_disk_that_refuses_the_mending_keeps_the_service_from_starting(tmp_path, monkeypatch):
    store = left_by_a_crash(tmp_path, monkeypatch, APPS)
    flip(the_segment(store), 10)
    content = the_segment(store).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(files, "write", fail)
        with pytest.raises(Exception, match="Input/output error"), running(store.root):
            pass
    assert the_segment(store).read_bytes() == content
    with running(store.root) as service:
        assert apps(service) == APPS[1:]
