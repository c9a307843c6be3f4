"""What has been counted, and the index that knows it."""

import json
import os
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.digests import Content
from pipeline.errors import StoreDamaged, StoreVersion
from pipeline.jobs import commit as committing
from pipeline.jobs.ingest import ingest
from pipeline.jobs.undo import drop
from pipeline.store import index
from pipeline.store.index import Known, Met, open_index
from pipeline.store.layout import Locations, run_id_of
from pipeline.store.ledger import RunRecord, SourceRecord, active_sources, read_run, read_runs
from tests.records import write_record

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
    ignored={"no traffic": 1},
    bytes_tx=5,
    bytes_rx=2**63,
)
RUN = RunRecord("00000001", "2026", "2026", [SOURCE], {7: {"flows": 1, "bytes_tx": 5, "bytes_rx": 2**63}})
FIRST = RUN.run_id


@pytest.fixture
def store(tmp_path):
    store = Locations(tmp_path)
    store.runs.mkdir()
    return store


def commit(store, run):
    """Puts a run behind those that are there."""
    last = store.run_numbers()[-1] if store.run_numbers() else 0
    previous = read_run(store, run_id_of(last)).checksum if last else ""
    run_id = run_id_of(last + 1)
    store.record_of(run_id).write_bytes(replace(run, run_id=run_id, previous=previous).to_json())


def knows(store, digest):
    with open_index(store) as index:
        return bool(index.with_digests([digest]))


def test_a_record_reads_back_equal(store):
    run = replace(RUN, sources=[replace(SOURCE, starts=[START])])
    commit(store, run)
    assert read_run(store, FIRST) == run
    assert list(read_runs(store)) == [run]


TEXTS, COUNTS = st.text(), st.integers(0, 2**70)
BY_REASON = st.dictionaries(TEXTS, COUNTS, max_size=2)


@given(
    st.builds(
        SourceRecord,
        **{field.name: TEXTS if field.type == "str" else COUNTS for field in fields(SourceRecord)}
        | dict.fromkeys(("ignored", "notes"), BY_REASON)
        | {
            "hours": st.lists(COUNTS, max_size=2),
            "starts": st.lists(st.builds(Content, TEXTS, COUNTS, TEXTS), max_size=2),
            "ignored_bytes": st.none() | BY_REASON,
        },
    )
)
def test_a_sources_line_is_json_of_its_fields(source):
    values = {field.name: getattr(source, field.name) for field in fields(source)}
    values["starts"] = [start._asdict() for start in source.starts]
    assert source.to_json() == json.dumps(values)


def test_a_record_of_before_ignored_bytes_and_etags_were_kept_is_read(store):
    fields = json.loads(RUN.to_json())
    del fields["sources"][0]["ignored_bytes"], fields["sources"][0]["etag"], fields["checksum"]
    (write_record(store.record_of(FIRST), fields))
    assert read_run(store, FIRST).sources[0].ignored_bytes is None
    assert read_run(store, FIRST).by_reason("ignored_bytes") == {}
    assert read_run(store, FIRST).sources[0].etag == ""


@pytest.mark.parametrize("found", ["5", 5.0, None, True])
def test_ignored_bytes_are_integers(store, found):
    commit(store, replace(RUN, sources=[replace(SOURCE, ignored_bytes={"denied": found})]))
    with pytest.raises(StoreDamaged, match="is no integer"):
        read_run(store, FIRST)


def test_a_source_counts_in_its_hours_but_for_those_that_were_dropped_since():
    def counted(digest, *hours):
        return replace(RUN, sources=[replace(SOURCE, digest=digest, hours=list(hours))])

    def dropped(*hours):
        return replace(RUN, sources=[], hours=dict.fromkeys(hours, RUN.hours[7]), dropped=True)

    forgotten = replace(RUN, sources=[], forgotten=[{"path": SOURCE.path, "digest": "d3"}])
    runs = [counted("d1", 7, 8), counted("d2", 8), dropped(8), counted("d3", 7), counted("d1", 8), dropped(7), forgotten]
    hours = {active.source.digest: active.hours for active in active_sources(runs)}
    assert hours == {"d1": {8}, "d2": set()}


def test_totals_run_over_the_sources():
    run = replace(RUN, sources=[SOURCE, replace(SOURCE, read=4)])
    assert (run.total("read"), run.total("bytes_rx")) == (7, 2**64)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", json.dumps({"version": 2}), RUN.to_json().decode().replace('"digest"', '"other"')],
)
def test_a_record_of_another_shape_is_damage(store, text):
    store.record_of(FIRST).write_text(text)
    with pytest.raises(StoreDamaged, match=r"00000001\.json: is not a run's record"):
        read_run(store, FIRST)


def test_a_record_of_a_later_version_is_refused(store):
    commit(store, replace(RUN, version=99))
    with pytest.raises(StoreVersion, match="store version 99"):
        read_run(store, FIRST)


START = Content("d0", 4, "0b")


def test_the_index_knows_what_was_counted_where_and_how_files_looked(store):
    commit(store, RUN)
    with open_index(store) as index:
        assert index.digests_at(["/raw/a.csv", "/raw/b.csv"]) == {("/raw/a.csv", 7, 99): "d1"}
        looks = [("/raw/a.csv", 7, 99), ("/raw/a.csv", 7, 98), ("/raw/a.csv", 8, 99), ("/raw/b.csv", 7, 99)]
        assert index.unknown_among(looks) == set(looks[1:])
        known = Known("/raw/a.csv", Content("d1", 10, "0a"), "d1", has_rows=True)
        assert index.latest_at(["/raw/a.csv", "/raw/b.csv"]) == {"/raw/a.csv": known}
        assert index.with_digests(["d1", "d2"]) == {"d1": [known]}
        assert index.sizes_by_head([b"\x0a", b"\x0b"]) == {b"\x0a": {10}}


def test_an_object_looks_as_it_did_by_its_etag_whenever_it_was_written(store):
    commit(store, replace(RUN, sources=[replace(SOURCE, path="s3://raw/a.csv", etag="e1")]))
    with open_index(store) as index:
        assert index.digests_at(["s3://raw/a.csv"]) == {("s3://raw/a.csv", 7, "e1"): "d1"}
        looks = [("s3://raw/a.csv", 7, "e1"), ("s3://raw/a.csv", 7, "e2"), ("s3://raw/a.csv", 7, 99)]
        assert index.unknown_among(looks) == set(looks[1:])
        index.remember([Met("s3://raw/b.csv", 5, 77, "d2", etag="e1")])
    with open_index(store) as index:
        asked = [("s3://raw/b.csv", 5, "e1"), ("s3://raw/b.csv", 5, "e2"), ("s3://raw/b.csv", 5, 77)]
        assert [(seen, met.digest) for seen, met in index.met_among(asked).items()] == [(asked[0], "d2")]


def test_an_index_of_before_etags_were_kept_is_made_anew(store):
    commit(store, RUN)
    with open_index(store):
        pass
    with closing(sqlite3.connect(store.index)) as index, index:
        index.executescript("ALTER TABLE sources DROP COLUMN etag; ALTER TABLE met DROP COLUMN etag")
    with open_index(store) as index:
        assert index.digests_at(["/raw/a.csv"]) == {("/raw/a.csv", 7, 99): "d1"}


def test_the_latest_of_a_path_is_what_the_last_run_counted_there(store):
    commit(store, RUN)
    commit(store, replace(RUN, run_id="run-2", sources=[replace(SOURCE, digest="d2")]))
    with open_index(store) as index:
        assert index.latest_at(["/raw/a.csv"])["/raw/a.csv"].source == "d2"


def test_the_start_of_a_source_is_known_until_the_source_is_taken_back(store):
    source = replace(SOURCE, starts=[START])
    commit(store, replace(RUN, sources=[source]))
    with open_index(store) as index:
        (start,) = index.with_digests(["d0"])["d0"]
        assert (start.path, start.content, start.is_start) == ("/raw/a.csv", START, True)
        assert index.starts_of(index.latest_at(["/raw/a.csv"])["/raw/a.csv"]) == [START]
        assert index.sizes_by_head([b"\x0b"]) == {b"\x0b": {4}}
    commit(store, replace(RUN, run_id="run-2", sources=[], forgotten=[{"path": "/raw/a.csv", "digest": "d1"}]))
    assert not knows(store, "d0")
    assert not knows(store, "d1")


def test_the_index_answers_for_more_values_than_a_statement_takes(store):
    commit(store, replace(RUN, sources=[replace(SOURCE, digest=f"d{number}") for number in range(2500)]))
    with open_index(store) as index:
        assert len(index.with_digests(f"d{number}" for number in range(3000))) == 2500
        assert len(index.unknown_among([("/raw/a.csv", 7, number) for number in range(3000)])) == 2999


def test_what_was_met_is_remembered_as_it_looked_and_is_lost_with_the_index(store):
    met = Met("/raw/dns.log", 5, 77, reason="a Zeek dns log", reading="r")
    with open_index(store) as index:
        assert index.met_among([met.appearance]) == {}
        index.remember([met])
    with open_index(store) as index:
        asked = [("/raw/dns.log", 5, 78), ("/raw/dns.log", 5, 77), ("/raw/dns.log", 6, 77)]
        assert index.met_among(asked) == {("/raw/dns.log", 5, 77): met}
    store.index.unlink()
    with open_index(store) as index:
        assert index.met_among([met.appearance]) == {}


def test_the_index_takes_in_runs_as_they_come(store):
    assert not knows(store, "d1")
    commit(store, RUN)
    assert knows(store, "d1")
    commit(store, replace(RUN, sources=[replace(SOURCE, digest="d2")]))
    assert knows(store, "d1")
    assert knows(store, "d2")


def test_the_index_reads_no_record_twice(store):
    commit(store, RUN)
    commit(store, RUN)
    knows(store, "d1")
    store.record_of(FIRST).write_text("unreadable by now")
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
    commit(store, replace(RUN, sources=[replace(SOURCE, digest="d2")]))
    assert knows(store, "d2")
    store.record_of("00000002").unlink()
    assert not knows(store, "d2")
    assert knows(store, "d1")


def test_a_damaged_record_stops_the_index(store):
    store.record_of(FIRST).write_text("{")
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


class Touched:
    """What a piece of code lists and opens."""

    def __init__(self, monkeypatch):
        self.names = []
        for operation in ("listdir", "scandir", "open", "lstat", "stat"):
            monkeypatch.setattr(os, operation, self.noting(getattr(os, operation)))

    def noting(self, operation):
        def noting(path, *args, **kwargs):
            self.names.append((operation.__name__, str(path)))
            return operation(path, *args, **kwargs)

        return noting


class TestTheCostOfARun:
    """A scheduler that runs each minute makes half a million runs a year."""

    @pytest.fixture(params=["nothing new", "a new file", "drop"])
    def action(self, request, tmp_path):
        raw = tmp_path / "new.csv"
        raw.write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n5,a,b,v,1,1\n")
        return {
            "nothing new": lambda store: ingest([str(store.root.parent / "old.csv")], store),
            "a new file": lambda store: ingest([str(raw)], store),
            "drop": lambda store: drop(store, before=4, every=True),
        }[request.param]

    def aged(self, folder, runs):
        """A store behind so many runs, as its index has them. Of their records only the first and the last lie there, so that
        a run that read another would fail.
        """
        folder.mkdir()
        (folder / "old.csv").write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n3,a,b,v,1,1\n")
        store = Locations(folder / "store")
        ingest([str(folder / "old.csv")], store)
        newest = replace(RUN, run_id=run_id_of(runs), sources=[], hours={}).to_json()
        store.record_of(run_id_of(runs)).write_bytes(newest)

        def read_runs(*_):
            yield read_run(store, FIRST)
            for number in range(2, runs):
                source = replace(SOURCE, path=f"/raw/{number}", digest=f"{number:032x}")
                yield replace(RUN, run_id=run_id_of(number), sources=[source])
            yield read_run(store, run_id_of(runs))

        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(index, "read_runs", read_runs)
            with open_index(store):  # as the run before has left it
                pass
        return store

    def touched(self, store, action):
        with pytest.MonkeyPatch.context() as monkeypatch:
            touched = Touched(monkeypatch)
            action(store)
        return touched.names

    def test_is_the_same_however_many_runs_there_were(self, tmp_path, action, unsynced):
        self.touched(self.aged(tmp_path / "first", 2), action)  # what is imported once is read once
        few = self.touched(self.aged(tmp_path / "few", 10), action)
        store = self.aged(tmp_path / "many", 20_000)
        many = self.touched(store, action)
        assert Counter(operation for operation, _ in few) == Counter(operation for operation, _ in many)
        assert not [name for operation, name in many if operation in ("listdir", "scandir") and name == str(store.runs)]
        assert {name for _, name in many if name.startswith(f"{store.runs}/")} <= {
            str(store.record_of(run_id_of(number))) for number in (20_000, 20_001)
        }


def test_a_ledger_that_came_back_from_a_backup_has_its_index_made_anew(store):
    for digest in ("d1", "d2", "d3"):
        commit(store, replace(RUN, sources=[replace(SOURCE, digest=digest)]))
    assert knows(store, "d3")
    store.record_of("00000003").unlink()
    store.record_of("00000002").unlink()
    commit(store, replace(RUN, sources=[replace(SOURCE, digest="other")]))
    assert knows(store, "other")
    assert not knows(store, "d2")


def test_one_that_has_as_many_runs_again_by_now_too(store):
    commit(store, RUN)
    commit(store, replace(RUN, sources=[replace(SOURCE, digest="d2")]))
    assert knows(store, "d2")
    store.record_of("00000002").unlink()
    commit(store, replace(RUN, sources=[replace(SOURCE, digest="other")]))
    assert knows(store, "other")
    assert not knows(store, "d2")


def test_a_damaged_last_record_stops_the_index_that_knows_it(store):
    commit(store, RUN)
    knows(store, "d1")
    store.record_of(FIRST).write_bytes(RUN.to_json().replace(b"d1", b"d2"))
    with pytest.raises(StoreDamaged, match="checksum"):
        knows(store, "d1")


def test_a_record_that_does_not_follow_stops_the_index(store):
    commit(store, RUN)
    knows(store, "d1")
    store.record_of("00000002").write_bytes(replace(RUN, run_id="00000002", previous="x").to_json())
    with pytest.raises(StoreDamaged, match="does not follow"):
        knows(store, "d1")


@pytest.mark.parametrize("number", ["'x'", "-1", "NULL", "1e300"])
def test_an_index_whose_last_number_is_none_is_made_anew(store, number):
    commit(store, RUN)
    knows(store, "d1")
    with closing(sqlite3.connect(store.index)) as connection, connection:
        connection.execute(f"UPDATE last SET number = {number}")
    assert knows(store, "d1")
    with open_index(store) as index:
        assert len(index.with_digests(["d1"])["d1"]) == 1


def test_a_clock_that_was_a_day_ahead_does_later_runs_no_harm(ingested, monkeypatch):
    monkeypatch.setattr(committing, "now", lambda: "2999-01-01T00:00:00.000+00:00")
    ingested("a,b,v,7,7,1")
    monkeypatch.undo()
    for number in range(60):
        store = ingested(f"a,b,v,1,{number},1")
    assert [record.run_id for record in store.runs()] == [run_id_of(number) for number in range(1, 62)]
    assert store.verify().problems == []
