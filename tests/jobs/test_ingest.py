"""The job: each new source counted once, whole or not at all."""

import gzip
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import formats
from pipeline.counting import resources
from pipeline.counting.sources import Source
from pipeline.errors import StoreDamaged, StoreLocked, StrictRunStopped, SumOverflow, TooManyRejects, UsageError
from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.jobs.verify import DeepOptions, verify
from pipeline.query.query import Query, run_query
from pipeline.query.rejects import find_rejects
from pipeline.store.layout import Locations
from pipeline.store.ledger import read_runs
from pipeline.store.lock import locked

HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"


@pytest.fixture
def store(tmp_path):
    return Locations(tmp_path / "store")


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def write(folder, name, *lines):
    """Writes canonical CSV."""
    (folder / name).write_text(HEADER + "".join(line + "\n" for line in lines))
    return str(folder / name)


def totals(store, hour):
    return [tuple(row.values())[1:] for row in run_query(store, Query(hour)).to_pylist()]


def snapshot(folder):
    """Each file below a folder, with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestOnceIsOnce:
    def test_the_first_run_counts_and_the_second_changes_nothing(self, store, raw):
        write(raw, "a.csv", "1,foo,bar,v,100,300", "1,foo,bar,v,200,600")
        assert ingest([str(raw)], store).ingested == 1
        before = snapshot(store.flows)
        second = ingest([str(raw)], store)
        assert (second.run_id, second.skipped, second.ingested) == (None, 1, 0)
        assert snapshot(store.flows) == before
        assert totals(store, 1) == [("foo", "bar", "v", 300, 900, 2)]

    def test_new_files_are_added_to_hours_that_are_there(self, store, raw):
        write(raw, "a.csv", "1,foo,bar,v,100,300", "2,foo,bar,v,1,1")
        ingest([str(raw)], store)
        write(raw, "b.csv", "1,foo,bar,v,1,1", "1,baz,qux,v,7,7")
        assert ingest([str(raw)], store).hours == [1]
        assert totals(store, 1) == [("baz", "qux", "v", 7, 7, 1), ("foo", "bar", "v", 101, 301, 2)]
        assert totals(store, 2) == [("foo", "bar", "v", 1, 1, 1)]

    def test_a_renamed_copy_is_skipped(self, store, raw):
        write(raw, "a.csv", "1,foo,bar,v,100,300")
        ingest([str(raw)], store)
        (raw / "b.csv").write_bytes((raw / "a.csv").read_bytes())
        assert len(ingest([str(raw)], store).duplicates) == 1
        assert totals(store, 1) == [("foo", "bar", "v", 100, 300, 1)]

    def test_equal_files_both_count_where_the_user_says_so(self, store, raw):
        for name in ("a.csv", "b.csv"):
            write(raw, name, "1,foo,bar,v,100,300")
        ingest([str(raw)], store, IngestOptions(same_content="count"))
        assert totals(store, 1) == [("foo", "bar", "v", 200, 600, 2)]
        assert ingest([str(raw)], store, IngestOptions(same_content="count")).run_id is None

    @pytest.mark.parametrize("same_content", ["skip", "count"])
    def test_a_file_in_which_nothing_is_packed_is_empty_and_is_not_read_again(self, store, raw, monkeypatch, same_content):
        (raw / "new.gz").write_bytes(gzip.compress(b""))
        options = IngestOptions(same_content=same_content)
        assert [source.path.name for source in ingest([str(raw)], store, options).empty] == ["new.gz"]
        monkeypatch.setattr(Source, "small_content", None)
        assert len(ingest([str(raw)], store, options).empty) == 1

    def test_a_file_that_changed_after_it_was_counted_is_reported_and_not_counted(self, store, raw):
        write(raw, "a.csv", "1,foo,bar,v,100,300")
        ingest([str(raw)], store)
        write(raw, "a.csv", "1,foo,bar,v,100,300", "1,foo,bar,v,1,1")
        summary = ingest([str(raw)], store)
        assert [source.path.name for source in summary.changed] == ["a.csv"]
        assert totals(store, 1) == [("foo", "bar", "v", 100, 300, 1)]

    def test_the_order_and_grouping_of_the_runs_does_not_matter(self, tmp_path, raw):
        files = [write(raw, f"{i}.csv", f"1,foo,bar,v,{i},1", f"{i + 1},x,y,v,{i},0") for i in range(4)]
        one, each = Locations(tmp_path / "one"), Locations(tmp_path / "each")
        ingest(files, one)
        for file in reversed(files):
            ingest([file], each)
        assert snapshot(one.flows) == snapshot(each.flows)


class TestNeighbours:
    """Nothing that a file holds changes how another one is read."""

    HEADER = "version account-id interface-id {} {} srcport dstport protocol {} {} start end action log-status\n"
    LINE = "2 111122223333 eni-1 {} {} 54252 443 6 {} {} 1764144010 1764144055 ACCEPT OK\n"

    @pytest.mark.parametrize("names", [["a.log", "b.log"], ["b.log", "a.log"], ["b.log", "a.log", "0.log", "c.log"]])
    def test_a_header_in_the_middle_of_one_does_not_reach_the_next(self, store, raw, names):
        plain, turned = ("srcaddr", "dstaddr", "packets", "bytes"), ("dstaddr", "srcaddr", "bytes", "packets")
        first, *others = names
        (raw / first).write_text(
            self.HEADER.format(*plain)
            + self.LINE.format("198.51.100.7", "10.20.0.15", 3, 400)
            + self.HEADER.format(*turned)
            + self.LINE.format("10.20.0.15", "198.51.100.7", 400, 3)
        )
        for number, name in enumerate(others):
            (raw / name).write_text(
                self.HEADER.format(*plain) + self.LINE.format(f"10.20.0.{number}", "10.20.0.15", 4, 1600)
            )
        summary = ingest([str(raw)], store)
        assert (summary.bytes_tx, summary.bytes_rx) == (800 + 1600 * len(others), 0)
        assert totals(store, 490040)[-1][:4] == ("198.51.100.7", "10.20.0.15", "111122223333", 800)
        assert verify(store, deep=DeepOptions()).problems == []

    def test_fields_that_aws_does_not_have_are_a_wrong_request(self, store, raw):
        with pytest.raises(UsageError, match="'srcadr' is not a field of AWS VPC flow logs; is srcaddr meant"):
            ingest([str(raw)], store, IngestOptions(settings={"aws-vpc.fields": "srcadr dstaddr bytes start"}))

    def test_fields_may_be_named_with_underscores_and_name_the_format(self, store, raw):
        (raw / "a.log").write_text("5 10.0.0.1 10.0.0.2 400 1764144000 OK\n5 - - - 1764144000 NODATA\n")
        fields = "version srcaddr dstaddr bytes start log_status"
        summary = ingest([str(raw)], store, IngestOptions(settings={"aws-vpc.fields": fields}))
        assert (summary.valid, summary.ignored, summary.bytes_tx) == (1, {"no traffic": 1}, 400)


#: So many that they are not kept in memory when a run is planned, but read again when they are counted.
MANY_ROWS = ["1,foo,bar,v,100,300"] * 20_000


class TestWholeOrNotAtAll:
    def test_a_truncated_gzip_counts_nothing_and_is_counted_whole_once_repaired(self, store, raw):
        text = HEADER + "".join(f"1,app-{i},bar,v,{i},1\n" for i in range(5000))
        packed = gzip.compress(text.encode())
        (raw / "a.csv.gz").write_bytes(packed[: len(packed) // 2])
        write(raw, "b.csv", "1,foo,bar,v,100,300")
        summary = ingest([str(raw)], store)
        (failure,) = summary.failures
        assert failure.source.endswith("a.csv.gz")
        assert "truncated" in failure.error
        assert totals(store, 1) == [("foo", "bar", "v", 100, 300, 1)]
        (raw / "a.csv.gz").write_bytes(packed)
        assert ingest([str(raw)], store).valid == 5000
        assert verify(store).problems == []

    def test_the_rejects_of_a_failed_source_are_not_kept(self, store, raw):
        packed = gzip.compress((HEADER + "0,a,b,v,1,1\n" * 200_000).encode())
        (raw / "a.csv.gz").write_bytes(packed[:-20])
        write(raw, "b.csv", "0,foo,bar,v,100,300", "1,foo,bar,v,100,300")
        assert ingest([str(raw)], store).rejected == 1
        assert find_rejects(store).num_rows == 1

    def test_a_source_that_changes_while_it_is_read_fails(self, store, raw, monkeypatch):
        path = write(raw, "a.csv", *MANY_ROWS)
        real = formats.open_source

        def open_and_append(file, *args, **options):
            with Path(path).open("a") as other:
                other.write("1,foo,bar,v,1,1\n")
            return real(file, *args, **options)

        monkeypatch.setattr(formats, "open_source", open_and_append)
        (failure,) = ingest([path], store).failures
        assert "changed while it was being read" in failure.error
        assert store.hours() == []

    def test_a_source_that_was_replaced_between_its_digest_and_its_reading_fails(self, store, raw, monkeypatch):
        """By a file of the same size and time, as `cp -p` and `rsync -t` make it."""
        path = Path(write(raw, "a.csv", *MANY_ROWS))
        real = formats.open_source

        def replace_and_open(file, *args, **options):
            status = path.stat()
            other = Path(write(raw, "other", *["1,foo,bar,v,999,999"] * len(MANY_ROWS)))
            os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
            other.replace(path)
            with path.open("rb") as new:
                os.dup2(new.fileno(), file.watched.fileno())
            return real(file, *args, **options)

        monkeypatch.setattr(formats, "open_source", replace_and_open)
        assert "changed while it was being read" in ingest([str(path)], store).failures[0].error

    def test_a_failed_source_is_tried_again_by_the_next_run(self, store, raw):
        (raw / "a.csv").write_text("hour,src_app,dest_app,vpc_id\n")
        assert "missing columns bytes_tx, bytes_rx" in ingest([str(raw)], store).failures[0].error
        assert len(ingest([str(raw)], store).failures) == 1

    def test_a_source_without_a_row_is_counted_and_not_read_again(self, store, raw):
        write(raw, "a.csv")
        assert ingest([str(raw)], store).run_id is not None
        assert ingest([str(raw)], store).skipped == 1
        assert store.hours() == []


class TestStopping:
    @pytest.fixture
    def mixed(self, raw):
        return write(raw, "a.csv", "1,foo,bar,v,100,300", "1,foo,bar,v,-1,300", "1,foo,bar,v,1,1", "1,foo,bar,v,1,1")

    def test_strict_stops_at_a_rejected_row_and_says_where(self, store, mixed):
        with pytest.raises(StrictRunStopped, match=r"a\.csv: row 3: bytes_tx must be at least 0, not '-1'"):
            ingest([mixed], store, IngestOptions(strict=True))
        assert store.hours() == store.run_ids() == store.staged_runs() == []

    def test_strict_stops_at_a_failed_source(self, store, raw):
        (raw / "a.bin").write_bytes(b"\0\1\2")
        write(raw, "b.csv", "1,foo,bar,v,100,300")
        with pytest.raises(StrictRunStopped, match=r"a\.bin: unknown format: binary data"):
            ingest([str(raw)], store, IngestOptions(strict=True))
        assert store.hours() == store.run_ids() == []

    @pytest.mark.parametrize(("limit", "stops"), [(0.0, True), (0.2, True), (0.25, False), (1.0, False)])
    def test_too_many_rejects_stop_the_run(self, store, mixed, limit, stops):
        if stops:
            with pytest.raises(TooManyRejects, match=r"1 of 4 rows were rejected \(25\.00%\); the first: .*row 3"):
                ingest([mixed], store, IngestOptions(max_reject_ratio=limit))
            assert store.run_ids() == []
        else:
            assert ingest([mixed], store, IngestOptions(max_reject_ratio=limit)).rejected == 1

    def test_a_sum_beyond_int64_stops_the_run(self, store, raw):
        write(raw, "a.csv", *["1,foo,bar,v,9007199254740991,0"] * 1025)
        with pytest.raises(SumOverflow, match="bytes_tx for hour 1, src_app 'foo'"):
            ingest([str(raw)], store)
        assert store.run_ids() == store.staged_runs() == []

    def test_a_sum_that_passes_int64_only_with_what_is_stored_stops_the_run(self, store, raw):
        write(raw, "a.csv", *["1,foo,bar,v,9007199254740991,0"] * 1000)
        ingest([str(raw)], store)
        before = snapshot(store.flows)
        write(raw, "b.csv", *["1,foo,bar,v,9007199254740991,0"] * 25)
        with pytest.raises(SumOverflow):
            ingest([str(raw)], store)
        assert snapshot(store.flows) == before
        assert len(store.run_ids()) == 1

    def test_a_damaged_partition_stops_the_run_that_would_add_to_it(self, store, raw):
        write(raw, "a.csv", "1,foo,bar,v,100,300")
        ingest([str(raw)], store)
        store.partition(1).write_bytes(b"PAR1 not quite")
        write(raw, "b.csv", "1,foo,bar,v,1,1")
        with pytest.raises(StoreDamaged, match="hour=1"):
            ingest([str(raw)], store)
        assert len(store.run_ids()) == 1

    def test_a_store_in_use_is_not_touched(self, store, raw):
        write(raw, "a.csv", "1,foo,bar,v,100,300")
        with locked(store), pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
            ingest([str(raw)], store)

    @pytest.mark.parametrize("name", ["nowhere", "apps"])
    def test_a_wrong_request_makes_no_store(self, store, raw, name):
        options = IngestOptions(apps=raw / "nowhere.csv") if name == "apps" else None
        with pytest.raises(UsageError):
            ingest([str(raw if name == "apps" else raw / "nowhere")], store, options)
        assert store.run_ids() == []


class TestAccounting:
    def test_the_ledger_has_each_sources_rows_bytes_and_reasons(self, store, raw):
        write(raw, "a.csv", "1,foo,bar,v,100,300", "x,foo,bar,v,1,1", "2,foo,bar,v,5,6")
        lines = [
            "2 1 eni-1 10.0.0.1 10.0.0.2 40000 443 6 1 70 1440003600 1440003660 ACCEPT OK",
            "2 1 eni-1 - - - - - - - 1440003600 1440003660 - NODATA",
            "2 1 eni-1 10.0.0.1 10.0.0.2 40000 443 6 1 70 1440003600 1440003660 REJECT OK",
        ]
        (raw / "b.log").write_text("\n".join(lines))
        ingest([str(raw)], store)
        (run,) = read_runs(store)
        a, b = run.sources
        assert (a.format, a.read, a.valid, a.rejected, a.ignored, a.bytes_tx, a.bytes_rx) == ("CSV", 3, 2, 1, {}, 105, 306)
        assert (b.format, b.read, b.valid, b.ignored) == ("AWS VPC Flow Logs, text", 3, 1, {"no traffic": 1, "denied": 1})
        assert run.hours == {
            400001: {"bytes_tx": 70, "bytes_rx": 0, "flows": 1},
            1: {"bytes_tx": 100, "bytes_rx": 300, "flows": 1},
            2: {"bytes_tx": 5, "bytes_rx": 6, "flows": 1},
        }

    def test_rejects_keep_their_file_row_reason_and_raw_text_in_order(self, store, raw):
        write(raw, "a.csv", "1,foo,bar,v,12x,300", "0,foo,bar,v,1,1", "1,foo,bar,v,1", "1,foo,bar,v,1,1")
        path = write(raw, "b.csv", "1,,bar,v,1,1", "1,foo,bar,v,1,1")
        ingest([str(raw)], store)
        found = [tuple(row.values())[2:] for row in find_rejects(store).to_pylist()]
        assert found == [
            (2, "bytes_tx", "must be an integer", "12x", "1,foo,bar,v,12x,300"),
            (3, "hour", "must be positive", "0", "0,foo,bar,v,1,1"),
            (4, "", "must have 6 fields", "5", "1,foo,bar,v,1"),
            (2, "src_app", "must not be empty", "", "1,,bar,v,1,1"),
        ]
        assert find_rejects(store).column("source").to_pylist()[-1] == path

    def test_many_rejects_go_to_disk_and_come_back_in_order(self, store, raw, monkeypatch):
        monkeypatch.setattr("pipeline.counting.rejects._SPOOL_BYTES", 1000)
        write(raw, "a.csv", *(f"0,app-{i},bar,v,1,1" for i in range(3000)), "1,foo,bar,v,1,1")
        ingest([str(raw)], store)
        assert find_rejects(store).column("row").to_pylist() == list(range(2, 3002))

    def test_totals_that_outgrow_the_memory_give_the_same_files(self, tmp_path, raw, monkeypatch):
        monkeypatch.setattr(resources, "_LEAST_TABLE", 0)
        for name in "abc":
            write(raw, f"{name}.csv", *(f"{i % 7 + 1},{name}-{i % 50},bar,v,{i},1" for i in range(400)))
        roomy, narrow = Locations(tmp_path / "roomy"), Locations(tmp_path / "narrow")
        ingest([str(raw)], roomy)
        ingest([str(raw)], narrow, IngestOptions(memory_bytes=1))
        assert snapshot(roomy.flows) == snapshot(narrow.flows)

    def test_progress_sees_every_byte_and_row_once(self, store, raw):
        class Counting:
            def __init__(self):
                self.total = self.done = self.rows = 0
                self.lock = threading.Lock()

            def start(self, total_bytes):
                self.total = total_bytes

            def advance(self, raw_bytes, rows):
                with self.lock:
                    self.done += raw_bytes
                    self.rows += rows

        for name in "abc":
            write(raw, f"{name}.csv", *(f"1,{name}-{i},bar,v,{i},1" for i in range(1000)))
        progress = Counting()
        ingest([str(raw)], store, progress=progress)
        assert progress.done == progress.total == sum(path.stat().st_size for path in raw.iterdir())
        assert progress.rows == 3000


GOOD = st.tuples(
    st.integers(1, 3),
    st.sampled_from(["foo", "baz", 'ü, "x"', "a\tb"]),
    st.sampled_from(["bar", "qux"]),
    st.sampled_from(["vpc-0", "vpc-1"]),
    st.integers(0, 2**53 - 1),
    st.integers(0, 1000),
)
BAD_VALUES = st.sampled_from(
    [("hour", 0), ("hour", "7"), ("src_app", ""), ("vpc_id", None), ("bytes_tx", -1), ("bytes_rx", 5.0), ("bytes_rx", True)]
)


def as_object(record):
    return dict(zip(["hour", "src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx"], record, strict=True))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(GOOD, st.none() | BAD_VALUES), max_size=40), st.sampled_from(["lines", "array"]))
def test_any_mix_of_good_and_bad_rows_gives_duckdbs_sums_and_all_bad_rows_in_rejects(tmp_path_factory, rows, shape):
    folder = tmp_path_factory.mktemp("mix")
    store = Locations(folder / "store")
    rows = [*rows, ((1, "foo", "bar", "vpc-0", 1, 1), None)]  # without a valid row it would fail
    objects = [as_object(good) | (dict([bad]) if bad else {}) for good, bad in rows]
    text = "\n".join(map(json.dumps, objects)) if shape == "lines" else json.dumps(objects, indent=2)
    (folder / "raw.json").write_text(text)
    good = pa.Table.from_pylist([o for o, (_, bad) in zip(objects, rows, strict=True) if not bad])
    bad_rows = [number for number, (_, bad) in enumerate(rows, start=1) if bad]
    summary = ingest([str(folder / "raw.json")], store, IngestOptions(format="json"))
    assert (summary.read, summary.valid, summary.rejected) == (len(rows), good.num_rows, len(bad_rows))
    assert find_rejects(store).column("row").to_pylist() == bad_rows
    expected = []
    if good.num_rows:
        expected = duckdb.sql(
            """SELECT hour, src_app, dest_app, vpc_id, sum(bytes_tx)::BIGINT, sum(bytes_rx)::BIGINT, count(*)
               FROM good GROUP BY ALL ORDER BY ALL"""
        ).fetchall()
    found = [tuple(row.values()) for hour in store.hours() for row in run_query(store, Query(hour)).to_pylist()]
    assert found == expected
    assert verify(store).problems == []


def test_parquet_in_and_out_keeps_every_total(store, raw):
    table = pa.table({**as_object((1, ["a"], ["b"], ["v"], [1], [2])), "hour": [1]})
    pq.write_table(table, raw / "a.parquet")
    ingest([str(raw)], store)
    assert totals(store, 1) == [("a", "b", "v", 1, 2, 1)]


def test_what_is_imported_early_while_files_are_read_says_nothing(store, raw):
    write(raw, "a.csv", "1,foo,bar,v,100,300")
    command = [sys.executable, "-m", "pipeline", "ingest", str(raw), "--store", str(store.root), "--quiet"]
    assert subprocess.run(command, check=True, capture_output=True).stderr == b""
