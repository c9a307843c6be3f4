"""Raw objects in a bucket, from the first run to the proof: each counted once, by few requests."""

import gzip
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from pipeline.counting import objects
from pipeline.counting.count import Limits, count_group
from pipeline.counting.objects import Kept, ObjectSource, fetched_ahead
from pipeline.errors import BucketDenied, SourceChanged
from pipeline.flowstore import FlowStore
from pipeline.jobs import plan
from pipeline.jobs.find import find
from pipeline.jobs.verify import DeepOptions
from pipeline.options import IngestOptions, ReadOptions

CHANGED = "the file changed while it was being read; it will be tried again by the next run"
HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"


@pytest.fixture
def store(tmp_path, unsynced):
    return FlowStore(tmp_path / "store", create=True)


def content(*rows, packed=False):
    text = (HEADER + "".join(f"{row}\n" for row in rows)).encode()
    return gzip.compress(text, mtime=0) if packed else text


def bytes_tx(store, hour=1):
    return sum(store.table(hour).column("bytes_tx").to_pylist())


class TestOnceIsOnce:
    def test_the_first_run_asks_once_for_each_object_and_the_second_for_none(self, logs, store):
        for number in range(5):
            logs.put(f"in/{number}.csv.gz", content(f"1,a,b,v,{10**number},0", packed=True))
        first = store.ingest(["s3://logs/in/"])
        assert (first.ingested, bytes_tx(store)) == (5, 11111)
        assert first.traffic.requests == {"list": 1, "head": 0, "get": 5, "put": 0, "delete": 0}
        second = store.ingest(["s3://logs/in/"])
        assert (second.run_id, second.skipped) == (None, 5)
        assert (second.traffic.requests["get"], second.traffic.bytes_read) == (0, 0)
        assert second.to_json()["requests"]["list"] == 1

    def test_an_object_that_was_written_again_as_it_was_is_known(self, logs, store):
        logs.put("a.csv", content("1,a,b,v,5,0"))
        store.ingest(["s3://logs/a.csv"])
        logs.put("a.csv", content("1,a,b,v,5,0"))  # this store in memory has another ETag for it
        for requests in (1, 0):
            again = store.ingest(["s3://logs/a.csv"])
            assert (again.ingested, again.skipped, again.traffic.requests["get"]) == (0, 1, requests)

    def test_the_same_content_elsewhere_is_the_same_source(self, logs, store, tmp_path):
        (tmp_path / "a.csv").write_bytes(content("1,a,b,v,5,0"))
        logs.put("a.csv.gz", content("1,a,b,v,5,0", packed=True))
        logs.put("b.csv", content("1,a,b,v,5,0"))
        summary = store.ingest([str(tmp_path / "a.csv"), "s3://logs/"])
        assert (summary.ingested, len(summary.duplicates), bytes_tx(store)) == (1, 2, 5)

    def test_where_equal_contents_count_each_object_counts(self, logs, store):
        for key in "ab":
            logs.put(f"{key}.csv", content("1,a,b,v,5,0"))
        store.ingest(["s3://logs/"], IngestOptions(same_content="count"))
        assert bytes_tx(store) == 10

    def test_the_ledger_has_urls_and_etags(self, logs, store):
        logs.put("a.csv", content("1,a,b,v,5,0"))
        store.ingest(["s3://logs/a.csv"])
        (source,) = store.runs()[0].sources
        assert (source.path, source.etag) == ("s3://logs/a.csv", logs.head("a.csv").etag.strip('"'))

    def test_an_object_that_is_too_new_or_empty_waits(self, logs, store):
        logs.put("a.csv", content("1,a,b,v,5,0"))
        logs.put("b.csv", b"")
        summary = store.ingest(["s3://logs/"], IngestOptions(min_age_seconds=3600))
        assert (len(summary.too_recent), summary.traffic.requests["get"]) == (2, 0)
        assert [source.name for source in store.ingest(["s3://logs/"]).empty] == ["s3://logs/b.csv"]


class TestChanged:
    @pytest.fixture
    def changed(self, logs, store):
        logs.put("a.csv", content("1,a,b,v,5,0"))
        logs.put("b.csv", content("1,a,b,v,100,0"))
        store.ingest(["s3://logs/"])
        logs.put("a.csv", content("1,a,b,v,7,0"))
        return store

    def test_it_is_told_and_replaced_where_that_is_asked_for(self, changed):
        summary = changed.ingest(["s3://logs/"])
        assert ([source.name for source in summary.changed], bytes_tx(changed)) == (["s3://logs/a.csv"], 105)
        changed.ingest(["s3://logs/"], IngestOptions(replace_changed=True))
        assert bytes_tx(changed) == 107

    def test_what_it_was_cannot_be_proved_any_more(self, changed):
        proof = changed.verify(deep=DeepOptions()).proof
        assert (proof.missing, proof.hours) == (["s3://logs/a.csv"], 0)


class TestProof:
    @pytest.fixture
    def counted(self, logs, store):
        for number in range(3):
            logs.put(f"{number}.csv", content(f"1,a,b,v,{10**number},0"))
        store.ingest(["s3://logs/"])
        return store

    def test_objects_are_counted_again_and_asked_for_once(self, logs, counted):
        before = logs.traffic().requests
        result = counted.verify(deep=DeepOptions())
        assert (result.problems, result.proof.hours, result.proof.missing) == ([], 1, [])
        after = logs.traffic().requests
        assert {kind: after[kind] - before.get(kind, 0) for kind in ("head", "get")} == {"head": 3, "get": 3}

    def test_an_object_that_is_gone_is_missing_unless_it_is_found_under_another_key(self, logs, counted):
        logs.put("elsewhere/0", content("1,a,b,v,1,0"))
        logs.delete(["0.csv"])
        assert counted.verify(deep=DeepOptions()).proof.missing == ["s3://logs/0.csv"]
        assert counted.verify(deep=DeepOptions(raw=["s3://logs/elsewhere"])).proof.missing == []

    def test_forget_takes_an_object_back_by_its_url(self, counted):
        counted.forget(["s3://logs/1.csv"])
        assert bytes_tx(counted) == 101
        assert counted.ingest(["s3://logs/"]).ingested == 1


class TestFaults:
    """What is wrong with one object fails that object, by its name."""

    @pytest.fixture
    def two(self, logs):
        logs.put("a.csv", content("1,a,b,v,5,0"))
        logs.put("b.csv", content("1,a,b,v,7,0"))
        return logs

    def failing(self, monkeypatch, logs, act):
        asking = logs.read_range

        def read_range(key, start, stop, etag):
            if key == "a.csv":
                act()
            return asking(key, start, stop, etag)

        monkeypatch.setattr(logs, "read_range", read_range)

    def refuse(self):
        raise BucketDenied("s3://logs/a.csv", "the credentials do not allow this")

    @pytest.mark.parametrize(
        ("fault", "told"),
        [
            ("refuse", "cannot be read: the credentials do not allow this"),
            ("delete", CHANGED),
            ("replace", CHANGED),
        ],
    )
    def test_it_fails_and_the_others_count(self, monkeypatch, two, store, fault, told):
        acts = {
            "refuse": self.refuse,
            "delete": lambda: two.delete(["a.csv"]),
            "replace": lambda: two.put("a.csv", content("1,a,b,v,6,0")),
        }
        self.failing(monkeypatch, two, acts[fault])
        summary = store.ingest(["s3://logs/"])
        assert [(failure.source, failure.error) for failure in summary.failures] == [("s3://logs/a.csv", told)]
        assert bytes_tx(store) == 7
        monkeypatch.undo()

    def test_what_was_replaced_while_it_was_read_counts_in_the_next_run(self, monkeypatch, two, store):
        with monkeypatch.context() as patch:
            self.failing(patch, two, lambda: two.put("a.csv", content("1,a,b,v,6,0")))
            store.ingest(["s3://logs/"])
        assert store.ingest(["s3://logs/"]).ingested == 1
        assert bytes_tx(store) == 13

    @pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
    def test_a_large_one_that_is_replaced_half_way_counts_nothing_at_all(self, monkeypatch, logs, store, form):
        monkeypatch.setattr(objects, "_FIRST_BYTES", 100)
        monkeypatch.setattr(objects, "SMALL_BYTES", 100)
        monkeypatch.setattr("pipeline.counting.content.SMALL_BYTES", 100)
        monkeypatch.setattr("pipeline.counting.ranged._BLOCK", 300)
        monkeypatch.setattr("pipeline.counting.ranged._AHEAD", 0)
        rows = [f"1,app{number * 7919},b,v,1,0" for number in range(300)]
        data = as_parquet(rows) if form == "parquet" else content(*rows, packed=form == "csv.gz")
        logs.put("a", data)
        asking, asked = logs.read_range, []

        def read_range(key, start, stop, etag):
            asked.append(start)
            if len(asked) == 6:
                logs.put("a", data + b" ")
            return asking(key, start, stop, etag)

        monkeypatch.setattr(logs, "read_range", read_range)
        (failure,) = store.ingest(["s3://logs/a"]).failures
        assert "changed while it was being read" in failure.error
        assert store.hours() == []


def hash_of(number):
    """Digits in which gzip finds nothing to pack."""
    return xxhash.xxh3_128_hexdigest(b"%d" % number)


def as_parquet(rows):
    columns = zip(*(row.split(",") for row in rows), strict=True)
    table = pa.table(dict(zip(HEADER.strip().split(","), map(list, columns), strict=True)))
    for name in ("hour", "bytes_tx", "bytes_rx"):
        table = table.set_column(table.column_names.index(name), name, table.column(name).cast(pa.int64()))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


class TestFetching:
    @pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
    def test_every_byte_of_a_large_object_is_asked_for_once(self, monkeypatch, logs, store, form):
        monkeypatch.setattr("pipeline.counting.ranged._BLOCK", 1 << 16)
        rows = [f"1,app{hash_of(number)},b,v,1,0" for number in range(40_000)]
        data = as_parquet(rows) if form == "parquet" else content(*rows, packed=form == "csv.gz")
        assert len(data) > objects._FIRST_BYTES
        logs.put("a", data)
        assert store.ingest(["s3://logs/a"]).traffic.bytes_read == len(data)

    def test_first_bytes_that_find_no_room_are_asked_for_again(self, monkeypatch, logs, store):
        monkeypatch.setattr(objects, "_KEPT_BYTES", 0)
        monkeypatch.setattr(plan, "_KEPT_BYTES", 0)
        logs.put("a.csv", content("1,a,b,v,5,0"))
        assert store.ingest(["s3://logs/"]).traffic.requests["get"] == 2
        assert bytes_tx(store) == 5

    def test_a_disk_that_is_full_is_as_if_there_were_no_room(self, monkeypatch):
        def refuse(*_):
            raise OSError

        monkeypatch.setattr(objects, "nameless_file", refuse)
        kept = Kept()
        kept.take("a", b"x")
        assert kept.give("a") is None

    def test_a_worker_elsewhere_asks_for_itself(self, logs, tmp_path):
        logs.put("a.csv", content("1,a,b,v,5,0"))
        sources = [source.fetched() for source in find(["s3://logs/"]).objects]
        sent = pickle.loads(pickle.dumps([ObjectSource(**vars(sources[0]) | {"first": None})]))
        group = count_group(sent, ReadOptions(), Limits(1 << 20), str(tmp_path))
        assert (group.results[0].bytes_tx, logs.traffic().requests["get"]) == (5, 2)

    def test_sources_come_in_their_order_with_what_could_not_be_had(self, logs):
        for number in range(100):
            logs.put(f"{number:03}", b"%d" % number)
        found = find(["s3://logs/"]).objects
        logs.delete(["050"])
        logs.put("051", b"51")
        firsts = [source.first for source in fetched_ahead(found)]
        assert firsts[:50] + firsts[52:] == [b"%d" % number for number in (*range(50), *range(52, 100))]
        assert list(map(type, firsts[50:52])) == [SourceChanged, SourceChanged]
