"""A machine that comes new to a store in a bucket starts from a snapshot of the index, and from the records where there is none."""

import pytest

from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.options import IngestOptions
from pipeline.store import snapshots
from pipeline.store.layout import Locations
from tests.conformance.memory import BucketPath, MemoryBucket, MemoryFiles

pytestmark = pytest.mark.usefixtures("unsynced")

ROOT = BucketPath("bucket/store")
HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"


@pytest.fixture
def bucket(monkeypatch):
    monkeypatch.setattr(snapshots, "_RUNS", 3)
    return MemoryBucket()


class Machine:
    """A machine with a folder of its own, and what it has asked for."""

    def __init__(self, bucket, folder):
        self.asked = []
        self.store = Locations(ROOT, MemoryFiles(bucket, self._note), folder)

    def _note(self, kind, path, act):
        self.asked.append((kind, path.removeprefix(f"{ROOT}/")))
        return act()

    def ingest(self, *raw):
        return ingest([str(path) for path in raw], self.store, IngestOptions(workers=1))

    def records_read(self):
        return [path for kind, path in self.asked if kind == "get" and path.startswith("runs/")]


@pytest.fixture
def raw(tmp_path):
    """Raw files, each with a record of its own."""
    paths = [tmp_path / f"{number}.csv" for number in range(1, 9)]
    for number, path in enumerate(paths, 1):
        path.write_text(f"{HEADER}1,a,b,v,{number},0\n")
    return paths


@pytest.fixture
def aged(bucket, raw, tmp_path):
    """A store of eight runs, and the machine that has made them."""
    machine = Machine(bucket, tmp_path / "old")
    for path in raw:
        machine.ingest(path)
    return machine


def names(machine):
    return sorted(machine.store.files.list(machine.store.snapshots))


def test_a_snapshot_is_made_now_and_then_and_old_ones_go(aged, raw, tmp_path):
    assert names(aged) == ["00000003.sqlite.zst", "00000006.sqlite.zst"]
    for number in (9, 10):
        raw[0].write_text(f"{HEADER}1,a,b,v,{number},0\n2,a,b,v,{number},0\n")
        ingest([str(raw[0])], aged.store, IngestOptions(workers=1, same_content="count", replace_changed=True))
    assert names(aged) == ["00000006.sqlite.zst", "00000009.sqlite.zst"]


def test_a_new_machine_reads_the_records_behind_the_snapshot_alone(aged, bucket, raw, tmp_path):
    new = Machine(bucket, tmp_path / "new")
    assert len(new.ingest(*raw).known) == len(raw)
    assert set(new.records_read()) == {f"runs/0000000{number}.json" for number in (1, 6, 7, 8, 9)}
    assert verify(new.store).problems == []


@pytest.mark.parametrize("fault", ["damaged", "of another store", "gone"])
def test_without_a_good_snapshot_all_records_are_read(aged, bucket, raw, tmp_path, fault):
    place = f"{ROOT}/snapshots/00000006.sqlite.zst"
    if fault == "damaged":
        bucket.objects[place] = bucket.objects[place][:-7]
    elif fault == "gone":
        del bucket.objects[place], bucket.objects[f"{ROOT}/snapshots/00000003.sqlite.zst"]
    else:
        other = MemoryBucket()
        machine = Machine(other, tmp_path / "other")
        for path in reversed(raw):
            machine.ingest(path)
        bucket.objects[place] = other.objects[place]
    new = Machine(bucket, tmp_path / "new")
    assert len(new.ingest(*raw).known) == len(raw)
    assert "runs/00000002.json" in new.records_read()
    assert verify(new.store).problems == []


def test_a_machine_that_knows_the_store_asks_for_the_next_record_alone(aged, raw):
    aged.ingest(*raw)
    aged.asked.clear()
    aged.ingest(*raw)
    assert aged.asked == [("get", "runs/00000008.json"), ("get", "runs/00000009.json"), ("list", "staging")]


def test_a_user_who_may_not_write_snapshots_works_all_the_same(bucket, raw, tmp_path):
    machine = Machine(bucket, tmp_path / "old")
    machine.store.files.create = lambda path, content: refuse(machine, path, content)
    for path in raw[:5]:
        machine.ingest(path)
    assert names(machine) == []


def refuse(machine, path, content):
    if "snapshots" in path.parts:
        raise PermissionError(path)
    MemoryFiles.create(machine.store.files, path, content)
