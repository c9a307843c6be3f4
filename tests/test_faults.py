"""A full disk, a failing disk, a folder that must not be written: a clear error, nothing half-done, and then it works."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.errors import StoreError, StoreUnpublished, StoreUnwritable
from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.jobs.undo import drop
from pipeline.jobs.verify import verify
from pipeline.query.query import Query, run_query
from pipeline.query.rejects import find_rejects
from pipeline.store.files import PosixFiles, writing
from pipeline.store.layout import Locations
from pipeline.store.ledger import read_runs

HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
#: What changes something on disk or makes it durable. Clearing the staging folder away is not among them: a failure there
#: is made up for by the next run.
OPERATIONS = ("fsync", "link", "mkdir", "replace", "pwrite", "ftruncate")


@pytest.fixture
def prepared(tmp_path):
    """A store with data in it, and raw files that add to its hours, make new ones, and bring rejects."""
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.csv").write_text(HEADER + "1,a,b,v,1,1\n2,a,b,v,2,2\n0,bad,b,v,1,1\n")
    ingest([str(raw)], Locations(tmp_path / "base"))
    (raw / "b.csv").write_text(HEADER + "1,a,b,v,10,10\n3,a,b,v,3,3\n1,bad,b,v,x,1\n")
    return tmp_path


def state(store):
    hours = {hour: store.partition(hour).read_bytes() for hour in store.hours()}
    return hours, [(run.sources, run.hours) for run in read_runs(store)], find_rejects(store).drop_columns("run").to_pylist()


class Failing:
    """Lets the n-th operation fail, and counts them."""

    def __init__(self, monkeypatch, code, fatal=0):
        self.count = 0
        self.code = code
        self.fatal = fatal
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self.before(getattr(os, name)))
        monkeypatch.setattr(PosixFiles, "create", self.half_way(PosixFiles.create))

    def step(self):
        self.count += 1
        if self.count == self.fatal:
            raise OSError(self.code, os.strerror(self.code))

    def before(self, operation):
        def failing(*args, **kwargs):
            self.step()
            return operation(*args, **kwargs)

        return failing

    def half_way(self, create):
        def failing(files, path, content):
            if isinstance(content, Path):  # a link
                create(files, path, content)
                return
            create(files, path, content[:100])
            with writing(path):
                self.step()
            path.write_bytes(content)

        return failing


def faults(prepared, code, change):
    """Makes each operation of a change fail in turn; gives the store and the error each time."""
    for fatal in range(1, 1000):
        victim = prepared / "victim"
        shutil.rmtree(victim, ignore_errors=True)
        shutil.copytree(prepared / "base", victim)
        store = Locations(victim)
        with pytest.MonkeyPatch.context() as monkeypatch:
            failing = Failing(monkeypatch, code, fatal)
            error = refusal(lambda: change(store))  # noqa: B023 - called at once
        if failing.count < fatal:
            return
        yield store, error


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["no space", "input-output error"])
def test_an_ingest_that_is_refused_any_write_says_so_and_works_once_there_is_room(prepared, code):
    def change(store):
        ingest([str(prepared / "raw")], store, IngestOptions(workers=1))

    before = state(Locations(prepared / "base"))
    shutil.copytree(prepared / "base", prepared / "reference")
    change(Locations(prepared / "reference"))
    after = state(Locations(prepared / "reference"))
    kinds = {StoreUnwritable: 0, StoreUnpublished: 0}
    for store, error in faults(prepared, code, change):
        if error is None:  # making a folder that is there already may fail
            assert state(store) == after
            continue
        assert os.strerror(code) in str(error)
        kinds[type(error)] += 1
        if isinstance(error, StoreUnwritable):
            assert state(store) == before
        change(store)
        assert state(store) == after
        assert store.staged_runs() == []
        assert verify(store).problems == []
    assert kinds[StoreUnwritable] > 10
    assert kinds[StoreUnpublished] > 5


def test_a_drop_that_is_refused_any_write_is_there_whole_or_not_at_all(prepared):
    before = state(Locations(prepared / "base"))[0]
    for store, error in faults(prepared, errno.EIO, lambda store: drop(store, before=2)):
        hours = state(store)[0]
        if error is None:  # only that the lock's file still names its holder
            assert hours == {2: before[2]}
        else:
            assert hours == before if isinstance(error, StoreUnwritable) else set(hours) <= set(before)
        drop(store, before=2)
        assert state(store)[0] == {2: before[2]}
        assert verify(store).problems == []


def refusal(change):
    try:
        change()
    except StoreError as error:
        return error
    return None


def mounted(path, size):
    path.mkdir(exist_ok=True)
    return subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", path], capture_output=True, check=False)


def test_a_disk_that_is_full_is_said_and_nothing_is_committed(prepared, tmp_path):
    """On a real file system without room, of every size from too small for a lock to large enough."""
    (prepared / "raw" / "c.csv").write_text(
        HEADER + "".join(f"{h},app-{i},b,v,1,1\n" for h in range(1, 9) for i in range(200))
    )
    disk = tmp_path / "disk"
    refused = 0
    for size in range(8, 400, 8):
        if mounted(disk, size).returncode:
            pytest.skip("mounting a file system takes root")
        try:
            store = Locations(disk / "store")
            error = refusal(lambda: ingest([str(prepared / "raw")], store))  # noqa: B023 - called at once
            if error is not None:
                refused += 1
                assert "No space left" in str(error) or "full" in str(error)
                assert isinstance(error, StoreUnpublished) or store.run_ids() == store.hours() == []
                subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
                ingest([str(prepared / "raw")], store)
            assert verify(store).problems == []
            assert len(store.hours()) == 8
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)  # Arrow may hold a file that it could not write
    assert refused > 5


def test_a_store_on_a_disk_that_must_not_be_written_is_said_and_can_still_be_read(prepared, tmp_path):
    disk = tmp_path / "disk"
    if mounted(disk, 4096).returncode:
        pytest.skip("mounting a file system takes root")
    try:
        store = Locations(disk / "store")
        ingest([str(prepared / "raw" / "a.csv")], store)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(StoreUnwritable, match="Read-only file system"):
            ingest([str(prepared / "raw")], store)
        assert run_query(store, Query(1)).num_rows == 1
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert ingest([str(prepared / "raw")], store).ingested == 1
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
