"""A GET has each acknowledged record once: while it is in the log, while it is flushed, and behind that."""

import json
import shutil
import threading

import pytest

from pipeline.errors import StoreUnpublished
from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.query.query import Query
from pipeline.service import flusher, get, limits
from pipeline.service.get import parse_query
from pipeline.store import transaction
from tests.service.conftest import record, running, wait_until


class TestReadYourWrites:
    def test_through_hundreds_of_flushes(self, tmp_path):
        """A client that posts and asks, another that only asks, and a service that flushes as often as it can."""
        seen = []
        with running(tmp_path / "store", flush_seconds=0.01) as service:
            stop = threading.Event()

            def watch():
                while not stop.is_set():
                    seen.extend(total["bytes_tx"] for total in service.get(hour=7))

            watcher = threading.Thread(target=watch)
            watcher.start()
            try:
                for count in range(1, 301):
                    assert service.post([record(7), record(7), record(8)]).status == 200
                    assert service.get(hour=7) == [record(7, bytes_tx=2 * count, bytes_rx=4 * count)]
                    assert service.get(hour=7, until=9)[1:] == [record(8, bytes_tx=count, bytes_rx=2 * count)]
            finally:
                stop.set()
                watcher.join()
            assert service.app.post.flusher.flushes > 20
        assert len(seen) > 1
        assert seen == sorted(seen)  # never more than there is, never less than there was
        assert all(value % 2 == 0 for value in seen)  # a request is seen whole
        assert service.store.table(7).to_pylist() == [record(7, bytes_tx=600, bytes_rx=1200, flows=600)]

    def test_a_filter_means_the_same_for_what_is_flushed_and_what_is_not(self, service):
        """A star in a question's filter is the star of a name: the command line's patterns are not the service's."""
        records = [record(1) | {"src_app": name} for name in ("a*", "ab", "a")]
        for flushed in (1, 2):
            service.post(records)
            expected = [records[0] | {"bytes_tx": flushed, "bytes_rx": 2 * flushed}]
            assert service.get(hour=1, src_app="a*") == expected
            service.flush()
            assert service.get(hour=1, src_app="a*") == expected
        assert service.get(hour=2**40, src_app="*") == []

    def test_what_was_posted_while_the_log_is_flushed(self, service, monkeypatch):
        publish = transaction.publish
        reached, go = threading.Event(), threading.Event()

        def slowly(store, run_id):
            reached.set()
            assert go.wait(20)
            publish(store, run_id)

        monkeypatch.setattr(transaction, "publish", slowly)
        service.post([record()])
        service.start_flush()
        assert reached.wait(20)  # committed, and nothing is in flows
        assert not service.store.locations.hours()
        assert service.get(hour=1) == [record()]
        service.post([record()])
        assert service.get(hour=1) == [record(bytes_tx=2, bytes_rx=4)]
        go.set()
        wait_until(lambda: service.store.locations.hours() == [1])
        assert service.get(hour=1) == [record(bytes_tx=2, bytes_rx=4)]


class TestAFlushThatIsCutOff:
    @pytest.fixture
    def half(self, tmp_path, monkeypatch):
        """A service whose flush has published one hour of two, and then failed."""
        publish = transaction.publish

        def broken(store, run_id):
            hour = store.partition(1)
            if not hour.exists():
                hour.parent.mkdir(parents=True)
                store.staged(run_id, hour).rename(hour)
            raise StoreUnpublished(run_id, str(store.partition(2)), "Input/output error")

        monkeypatch.setattr(flusher, "RETRY_SECONDS", 3600)  # or it mends itself
        with running(tmp_path / "store", flush_seconds=3600) as service:
            monkeypatch.setattr(transaction, "publish", broken)
            service.post([record(1), record(2)])
            half_flusher = service.app.post.flusher
            service.start_flush()
            wait_until(lambda: half_flusher.problem is not None)
            half_flusher._seconds = 3600
            assert "is committed, but cannot be published" in half_flusher.problem
            monkeypatch.setattr(transaction, "publish", publish)
            yield service

    def test_each_hour_has_the_record_once(self, half):
        assert half.store.locations.hours() == [1]
        assert half.get(hour=1, until=3) == [record(1), record(2)]

    def test_whoever_finishes_it(self, half, tmp_path):
        (tmp_path / "more.csv").write_text("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,10,10,2\n")
        summary = ingest([str(tmp_path / "more.csv")], half.store.locations, IngestOptions())
        assert len(summary.recovered) == 1
        assert half.get(hour=1, until=3) == [record(1), record(2, bytes_tx=11, bytes_rx=12)]
        half.flush()
        assert half.get(hour=1, until=3) == [record(1), record(2, bytes_tx=11, bytes_rx=12)]
        assert half.store.verify().problems == []

    def test_a_service_that_starts_then_knows_it_by_the_note(self, half, tmp_path):
        copy = tmp_path / "copy"
        shutil.copytree(half.store.locations.root, copy)  # what a crash leaves
        with running(copy, flush_seconds=3600) as restarted:
            assert restarted.get(hour=1, until=3) == [record(1), record(2)]
            wait_until(lambda: restarted.store.locations.segments() == [])
            assert restarted.get(hour=1, until=3) == [record(1), record(2)]
        assert restarted.store.verify().problems == []
        assert restarted.store.verify().flows == 2


def test_a_damaged_partition_is_503(service):
    service.post([record(1)])
    service.flush()
    service.store.locations.partition(1).write_bytes(b"torn")
    answer = service.ask("GET", "/flows?hour=1")
    assert answer.status == 503
    assert answer.text.startswith("The store cannot be used: the store is damaged: ")
    assert service.post([record(1)]).status == 503
    assert service.post([record(2)]).status == 200


def test_links_in_a_circle_are_no_bug_of_the_service(service):
    service.post([record(1)])
    service.flush()
    flows = service.store.locations.flows
    flows.rename(flows.with_name("moved"))
    flows.symlink_to(flows.name)
    answer = service.ask("GET", "/flows?hour=1")
    assert answer.status == 503
    assert answer.text.startswith("The store cannot be used: cannot look at ")


class TestLongNames:
    """What an answer takes of the service's memory does not depend on the length of the names."""

    NAMES = tuple(f"{number:03d}" + "é" * 1_000 for number in range(200))

    @pytest.mark.parametrize("flushed", [False, True])
    def test_come_in_short_pieces(self, service, monkeypatch, flushed):
        monkeypatch.setattr(limits, "PIECE_BYTES", 10_000)
        service.post([record(1, src_app=name) for name in self.NAMES])
        if flushed:
            service.flush()
        added = service.call(get.additions, service.app.post.pending, 1)
        pieces = list(get.totals_of(service.store.locations, Query(1), added))
        assert max(map(len, pieces)) < 25_000
        assert json.loads(b"[" + b",".join(pieces) + b"]") == [record(1, src_app=name) for name in self.NAMES]

    def test_need_room_even_in_few_rows(self, service, monkeypatch):
        answers, taken = service.app.answers, []
        take_now = answers.take_now
        monkeypatch.setattr(answers, "take_now", lambda size, *rest: taken.append(size) or take_now(size, *rest))
        service.post([record(hour, src_app=name[:length]) for hour, length in ((1, None), (2, 20)) for name in self.NAMES])
        service.flush()
        assert len(service.get(hour=2)) == 200
        assert taken == []
        assert len(service.get(hour=1)) == 200
        assert taken == [200 * limits.LONGEST_ROW]
        assert answers.used == 0


def test_a_query_string_is_a_query_whose_filters_mean_what_they_say():
    query = parse_query(b"hour=007&until=9&src_app=a%26b+c*&vpc_id=")
    assert query == Query(7, 9, src_app=r"a&b c\*", vpc_id="")
