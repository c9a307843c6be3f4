"""Somebody who may only read a store, or not all of it: answers where there can be answers, one sentence where not."""

import fcntl
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import StoreLocked, StoreUnreadable
from pipeline.flowstore import FlowStore
from pipeline.jobs import verify as verifying
from pipeline.store.lock import locked, locked_for_reading
from tests.conftest import ingest_records

NOBODY = 65534
two_users = pytest.mark.skipif(os.geteuid() != 0, reason="being two users takes root")
READING = (["query", "--hour", 1], ["query", "--hour", 1, "--until", 9], ["hours"], ["runs"], ["rejects"], ["verify"])


@pytest.fixture
def store(unsynced):
    """A store whose files nobody may write, in a folder that everybody may search."""
    folder = Path(tempfile.mkdtemp(prefix="flowlog-test-"))
    folder.chmod(0o755)
    ingest_records(folder, "foo,bar,v,100,300,1", "foo,bar,v,-1,0,2")
    yield ingest_records(folder, "foo,bar,v,5,6,2")
    allow(folder, 0o755)
    shutil.rmtree(folder)


def allow(path, mode):
    """Sets the mode of a folder and of all below it."""
    path.chmod(0o755)
    for entry in path.iterdir():
        if entry.is_dir():
            allow(entry, mode)
        else:
            entry.chmod(mode & 0o666)
    path.chmod(mode)


@contextmanager
def nobody():
    """Root may read and write whatever its mode is, so it is somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(NOBODY)
    except OSError as error:
        pytest.skip(f"this user cannot become another: {error}")
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def as_reader(store, flowlog):
    """Runs commands as somebody who may only read the store."""
    for command in READING:  # a module that is imported later may lie where nobody may look
        flowlog(*command, "--store", store.locations.root)
    allow(store.locations.root, 0o555)

    def run(*arguments):
        with nobody():
            return flowlog(*arguments, "--store", store.locations.root)

    return run


class TestWhoMayOnlyRead:
    @pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
    def test_gets_the_same_answers(self, store, flowlog, as_reader, command):
        owners = flowlog(*command, "--store", store.locations.root)
        done = as_reader(*command)
        assert (done.code, done.out, done.err) == (0, owners.out, owners.err)

    def test_can_verify_a_store_without_a_lock_file(self, store, as_reader):
        store.locations.root.chmod(0o755)
        store.locations.lock.unlink()
        store.locations.root.chmod(0o555)
        assert as_reader("verify").code == 0
        assert not store.locations.lock.exists()

    def test_is_told_of_damage_too(self, store, as_reader):
        partition = store.locations.partition(1)
        partition.chmod(0o644)
        partition.write_bytes(b"torn")
        done = as_reader("verify", "--json")
        assert done.code == 5
        assert str(partition) in json.loads(done.out)["problems"][0]

    def test_is_refused_an_ingest_in_one_line(self, store, as_reader):
        done = as_reader("ingest", store.locations.root.parent / "raw")
        assert (done.code, done.out) == (5, "")
        assert done.err.startswith("flowlog: cannot write to the store: ")
        assert done.err.count("\n") == 1

    def test_shares_the_lock_with_others_who_read(self, store, as_reader):
        with nobody(), locked_for_reading(store.locations) as first, locked_for_reading(store.locations) as second:
            assert (first, second) == (True, True)

    @two_users
    def test_waits_for_a_run_and_keeps_runs_waiting(self, store, as_reader):
        with locked(store.locations):
            assert "in use by process" in as_reader("verify").err
        with nobody(), locked_for_reading(store.locations):
            os.seteuid(0)
            with pytest.raises(StoreLocked, match="in use by another process"), locked(store.locations):
                pass

    @two_users
    def test_looks_again_where_a_run_has_changed_the_store_meanwhile(self, store, as_reader, monkeypatch):
        store.locations.lock.unlink()
        look, looks = verifying._look, []

        def look_and_be_overtaken(*arguments):
            looks.append(look(*arguments))
            if len(looks) <= overtaken:
                os.seteuid(0)
                allow(store.locations.root, 0o755)
                ingest_records(store.locations.root.parent, f"foo,bar,v,5,6,{len(looks) + 2}")
                store.locations.lock.unlink()
                allow(store.locations.root, 0o555)
                os.seteuid(NOBODY)
            return looks[-1]

        monkeypatch.setattr(verifying, "_look", look_and_be_overtaken)
        overtaken = 2
        with nobody():
            assert store.verify().runs == 4
        assert len(looks) == 3
        overtaken = 9
        with nobody(), pytest.raises(StoreLocked, match="runs that change it while it is looked at"):
            store.verify()

    def test_needs_no_locks_of_the_file_system(self, store, as_reader, monkeypatch):
        def refuse(*_):
            raise OSError(37, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)
        assert as_reader("verify").code == 0


UNREADABLE = [
    ("flows", READING[0]),
    ("flows", READING[1]),
    ("flows", READING[2]),
    ("flows", READING[5]),
    ("flows/hour=1", READING[0]),
    ("flows/hour=1", READING[1]),
    ("flows/hour=1", READING[2]),
    ("flows/hour=1", READING[5]),
    ("flows/hour=1/part-0.parquet", READING[0]),
    ("flows/hour=1/part-0.parquet", READING[1]),
    ("flows/hour=1/part-0.parquet", READING[2]),
    ("flows/hour=1/part-0.parquet", READING[5]),
    ("runs", READING[3]),
    ("runs", READING[5]),
    ("runs/00000002.json", READING[3]),
    ("runs/00000002.json", READING[5]),
    ("rejects", READING[4]),
    ("rejects", READING[5]),
    ("rejects/run=00000001", READING[4]),
    ("rejects/run=00000001", READING[5]),
    ("rejects/run=00000001/part-0.parquet", READING[4]),
    ("rejects/run=00000001/part-0.parquet", READING[5]),
    ("staging", READING[5]),
    *((".", command) for command in READING),
]


@pytest.mark.parametrize(("name", "command"), UNREADABLE, ids=lambda value: value if isinstance(value, str) else value[0])
def test_what_must_not_be_read_is_named_with_exit_code_5(store, as_reader, name, command):
    path = store.locations.root / name
    path.chmod(0)
    done = as_reader(*command)
    assert (done.code, done.out) == (5, "")
    assert str(path) in done.err
    assert "Permission denied" in done.err
    if command[0] != "verify":  # which goes on, and says all that is wrong
        assert done.err.count("\n") == 1


@pytest.mark.parametrize("name", ["runs", "rejects", "staging", "lock", "ledger.sqlite", "runs/00000001.json"])
def test_a_query_reads_nothing_but_the_hours(store, as_reader, name):
    (store.locations.root / name).chmod(0)
    assert as_reader("query", "--hour", 1).code == 0
    assert as_reader("hours").code == 0


@pytest.mark.parametrize("name", ["lock", "ledger.sqlite"])
def test_verify_does_without_a_lock_and_an_index_that_must_not_be_read(store, as_reader, name):
    (store.locations.root / name).chmod(0)
    assert as_reader("verify").code == 0


@pytest.mark.parametrize("name", ["flows/hour=1/part-0.parquet", "flows/hour=1", "flows", "runs", "runs/00000002.json"])
def test_an_ingest_that_must_not_read_a_part_of_the_store_counts_nothing_and_says_so(store, as_reader, flowlog, name):
    root = store.locations.root
    allow(root, 0o777)
    (root / name).chmod(0)
    raw = root.parent / "more.csv"
    raw.write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n1,foo,bar,v,1,1\n")
    done = as_reader("ingest", raw)
    (root / name).chmod(0o777 if (root / name).is_dir() else 0o666)
    assert (done.code, done.out) == (5, "")
    assert str(root / name) in done.err
    assert "Permission denied" in done.err
    assert len(FlowStore(root).runs()) == 2


def test_the_library_says_it_in_its_own_words(store, as_reader):
    store.locations.partition(1).chmod(0)
    with nobody(), pytest.raises(StoreUnreadable, match=r"part-0\.parquet: Permission denied"):
        store.table(1)
