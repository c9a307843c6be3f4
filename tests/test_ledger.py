"""What has been counted, and the index that knows it."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from pipeline.content import Content
from pipeline.errors import StoreDamaged
from pipeline.ledger import Known, Memory, RunRecord, SourceRecord, open_index, read_run, read_runs
from pipeline.store.locations import Locations

SOURCE = SourceRecord(
    path="/raw/a.csv",
    digest="d1",
    size=10,
    head="0a",
    packed_digest="p1",
    packed_size=7,
    mtime_ns=99,
    format="CSV",
    read=3,
    valid=1,
    rejected=1,
    ignored={"NODATA": 1},
    bytes_tx=5,
    bytes_rx=2**63,
)
RUN = RunRecord("run-1", "2026", "2026", [SOURCE], {7: {"flows": 1, "bytes_tx": 5, "bytes_rx": 2**63}})


@pytest.fixture
def store(tmp_path):
    store = Locations(tmp_path)
    store.runs.mkdir()
    return store


def commit(store, run):
    store.record_of(run.run_id).write_bytes(run.to_json())


def knows(store, digest):
    with open_index(store) as index:
        return bool(index.with_digests([digest]))


def test_a_record_reads_back_equal(store):
    run = replace(RUN, sources=[replace(SOURCE, starts=[START])])
    commit(store, run)
    assert read_run(store, "run-1") == run
    commit(store, RUN)
    assert read_run(store, "run-1") == RUN
    assert list(read_runs(store)) == [RUN]


def test_totals_run_over_the_sources():
    run = replace(RUN, sources=[SOURCE, replace(SOURCE, read=4)])
    assert (run.total("read"), run.total("bytes_rx")) == (7, 2**64)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", json.dumps({"version": 1}), RUN.to_json().decode().replace('"digest"', '"other"')],
)
def test_a_record_of_another_shape_is_damage(store, text):
    store.record_of("run-1").write_text(text)
    with pytest.raises(StoreDamaged, match=r"run-1\.json: not a run's record"):
        read_run(store, "run-1")


def test_a_record_of_a_later_version_is_refused(store):
    commit(store, replace(RUN, version=99))
    with pytest.raises(StoreDamaged, match="its version is 99"):
        read_run(store, "run-1")


START = Content("d0", 4, "0b")


def test_the_index_knows_what_was_counted_where_and_how_files_looked(store):
    commit(store, RUN)
    with open_index(store) as index:
        assert index.digest_at("/raw/a.csv", 7, 99) == "d1"
        assert index.digest_at("/raw/a.csv", 7, 98) is None
        assert index.digest_at("/raw/b.csv", 7, 99) is None
        known = Known("/raw/a.csv", Content("d1", 10, "0a"), "d1", has_rows=True)
        assert index.latest_at("/raw/a.csv") == known
        assert index.latest_at("/raw/b.csv") is None
        assert index.with_digests(["d1", "d2"]) == {"d1": [known]}
        assert index.sizes_by_head([b"\x0a", b"\x0b"]) == {b"\x0a": {10}}


def test_the_latest_of_a_path_is_what_the_last_run_counted_there(store):
    commit(store, RUN)
    commit(store, replace(RUN, run_id="run-2", sources=[replace(SOURCE, digest="d2")]))
    with open_index(store) as index:
        assert index.latest_at("/raw/a.csv").source == "d2"


def test_the_start_of_a_source_is_known_until_the_source_is_taken_back(store):
    source = replace(SOURCE, starts=[START])
    commit(store, replace(RUN, sources=[source]))
    with open_index(store) as index:
        (start,) = index.with_digests(["d0"])["d0"]
        assert (start.path, start.content, start.is_start) == ("/raw/a.csv", START, True)
        assert index.starts_of(index.latest_at("/raw/a.csv")) == [START]
        assert index.sizes_by_head([b"\x0b"]) == {b"\x0b": {4}}
    commit(store, replace(RUN, run_id="run-2", sources=[], forgotten=[{"path": "/raw/a.csv", "digest": "d1"}]))
    assert not knows(store, "d0")
    assert not knows(store, "d1")


def test_the_index_answers_for_more_values_than_a_statement_takes(store):
    commit(store, replace(RUN, sources=[replace(SOURCE, digest=f"d{number}") for number in range(2500)]))
    with open_index(store) as index:
        assert len(index.with_digests(f"d{number}" for number in range(3000))) == 2500


def test_what_was_met_is_remembered_as_it_looked_and_is_lost_with_the_index(store):
    memory = Memory("/raw/dns.log", 5, 77, reason="a Zeek dns log", reading="r")
    with open_index(store) as index:
        assert index.memory_of("/raw/dns.log", 5, 77) is None
        index.remember([memory])
    with open_index(store) as index:
        assert index.memory_of("/raw/dns.log", 5, 77) == memory
        assert index.memory_of("/raw/dns.log", 5, 78) is None
    store.index.unlink()
    with open_index(store) as index:
        assert index.memory_of("/raw/dns.log", 5, 77) is None


def test_the_index_takes_in_runs_as_they_come(store):
    assert not knows(store, "d1")
    commit(store, RUN)
    assert knows(store, "d1")
    commit(store, replace(RUN, run_id="run-2", sources=[replace(SOURCE, digest="d2")]))
    assert knows(store, "d1")
    assert knows(store, "d2")


def test_the_index_reads_no_record_twice(store):
    commit(store, RUN)
    knows(store, "d1")
    store.record_of("run-1").write_text("unreadable by now")
    assert knows(store, "d1")


def test_an_index_that_was_lost_is_made_anew(store):
    commit(store, RUN)
    knows(store, "d1")
    store.index.unlink()
    assert knows(store, "d1")


@pytest.mark.parametrize("damage", [b"", b"no database", b"SQLite format 3\0" + bytes(200)])
def test_an_index_that_is_damaged_is_made_anew(store, damage):
    commit(store, RUN)
    knows(store, "d1")
    store.index.write_bytes(damage)
    assert knows(store, "d1")


def test_an_index_that_knows_runs_that_are_no_more_is_made_anew(store):
    commit(store, RUN)
    commit(store, replace(RUN, run_id="run-2", sources=[replace(SOURCE, digest="d2")]))
    assert knows(store, "d2")
    store.record_of("run-2").unlink()
    assert not knows(store, "d2")
    assert knows(store, "d1")


def test_a_damaged_record_stops_the_index(store):
    store.record_of("run-1").write_text("{")
    with pytest.raises(StoreDamaged), open_index(store):
        pass


def test_an_index_that_has_lost_sources_is_made_anew(store):
    commit(store, RUN)
    knows(store, "d1")
    with closing(sqlite3.connect(store.index)) as connection, connection:
        connection.execute("DELETE FROM sources")
    assert knows(store, "d1")


def test_damage_that_is_met_while_asking_is_said_and_gone_with_the_next_run(store):
    sources = [replace(SOURCE, path=f"/raw/{number}", digest=f"d{number}") for number in range(2000)]
    commit(store, replace(RUN, sources=sources))
    knows(store, "d1")
    content = bytearray(store.index.read_bytes())
    for page in range(4, len(content) // 4096):
        content[page * 4096 : page * 4096 + 100] = bytes(100)
    store.index.write_bytes(content)
    try:
        assert knows(store, "d1999")
    except StoreDamaged:
        assert knows(store, "d1999")
