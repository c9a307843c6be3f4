"""What `verify` sees beside the sums: each bit of each record, and whatever lies where somebody reads."""

import os
import shutil
import socket
import sqlite3
from contextlib import closing

import duckdb
import pytest

from pipeline.errors import StoreDamaged
from pipeline.flowstore import FlowStore
from pipeline.store.index import open_index
from pipeline.store.lock import locked
from tests.conftest import ingest_records
from tests.records import forge_record


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Three runs, the first of which rejected a row."""
    folder = tmp_path_factory.mktemp("built")
    ingest_records(folder, "foo,bar,v,100,300,1", "foo,bar,v,-1,0,2")
    ingest_records(folder, "foo,bar,v,200,600,1")
    ingest_records(folder, "foo,bar,v,5,6,2")
    return folder / "store"


@pytest.fixture
def store(built, tmp_path):
    """A copy of it, to be damaged."""
    shutil.copytree(built, tmp_path / "store")
    return FlowStore(tmp_path / "store")


def problems(store):
    return store.verify().problems


def record(store, number):
    return store.locations.record_of(f"{number:08d}")


def flip(path, position, bit=0):
    torn = bytearray(path.read_bytes())
    torn[position] ^= 1 << bit
    path.write_bytes(torn)


class TestRecords:
    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_a_flipped_bit_is_found_wherever_it_is(self, store, number):
        """`test_records` flips each bit; here some, seen by the whole of `verify`."""
        path = record(store, number)
        for position in range(number, path.stat().st_size, 97):
            flip(path, position, position % 8)
            assert any(str(path) in problem for problem in problems(store)), position
            flip(path, position, position % 8)
        assert problems(store) == []

    def test_a_flipped_bit_in_any_file_of_rejects_is_found(self, store):
        path = store.locations.rejects_of("00000001")
        for position in range(0, path.stat().st_size, 131):
            flip(path, position)
            (problem,) = problems(store)
            assert str(path) in problem
            flip(path, position)

    def test_a_digest_with_one_other_digit_does_not_let_a_renamed_file_count_twice(self, store, built, tmp_path):
        path = record(store, 3)
        whole = path.read_bytes()
        digest = store.runs()[2].sources[0].digest
        other = ("1" if digest[0] == "0" else "0") + digest[1:]
        path.write_bytes(whole.replace(digest.encode(), other.encode()))
        store.locations.index.unlink()
        shutil.copy(built.parent / "raw" / "3.flows", tmp_path / "renamed.flows")
        with pytest.raises(StoreDamaged, match=path.name):
            store.ingest([str(tmp_path / "renamed.flows")])
        assert any(path.name in problem for problem in problems(store))

    @pytest.mark.parametrize("number", [1, 2])
    def test_one_that_is_missing_before_others_is_named(self, store, number):
        record(store, number).unlink()
        assert f"{record(store, number)}: is missing, and later runs are there" in problems(store)

    def test_many_that_are_missing_are_one_line(self, store):
        record(store, 1).unlink()
        record(store, 2).unlink()
        assert f"{record(store, 1)} and all up to 00000002: are missing, and later runs are there" in problems(store)

    def test_the_newest_that_is_missing_is_found_by_its_data(self, store):
        record(store, 3).unlink()
        assert problems(store) == [f"{store.locations.partition(2)}: no run has counted anything in this hour"]

    def test_and_is_named_once_the_index_has_taken_it_in(self, store):
        with locked(store.locations), open_index(store.locations):
            pass
        record(store, 3).unlink()
        assert problems(store) == [
            f"{record(store, 3)}: is missing; the ledger's index knows this run",
            f"{store.locations.partition(2)}: no run has counted anything in this hour",
        ]

    def test_two_that_changed_places_are_both_named(self, store):
        record(store, 2).rename(store.locations.root / "kept")
        record(store, 3).rename(record(store, 2))
        (store.locations.root / "kept").rename(record(store, 3))
        found = problems(store)
        assert f"the store is damaged: {record(store, 2)}: it is the record of the run 00000003" in found
        assert f"the store is damaged: {record(store, 3)}: it is the record of the run 00000002" in found

    def test_one_that_was_written_anew_is_found_by_the_one_behind_it(self, store):
        newest = record(store, 3).read_bytes()
        forge_record(store.locations, lambda fields: fields.update(started="1999"), number=2)
        record(store, 3).write_bytes(newest)
        (problem,) = problems(store)
        assert problem.startswith(f"{record(store, 3)}: does not follow the record before it")

    def test_one_that_was_added_is_found(self, store):
        forged = record(store, 4)
        forged.write_bytes(record(store, 3).read_bytes())
        assert f"the store is damaged: {forged}: it is the record of the run 00000003" in problems(store)

    @pytest.mark.parametrize("name", ["4.json", "00000004.json.bak", "000000004.json", ".hidden", "notes.txt"])
    def test_a_strange_file_beside_them_is_named(self, store, name):
        (store.locations.runs / name).write_text("x")
        assert problems(store) == [f"{store.locations.runs / name}: is no record of the ledger"]

    def test_undoing_and_dropping_go_on_with_the_chain(self, store, built):
        store.forget([str(built.parent / "raw" / "2.flows")])
        store.drop(2)
        assert [run.run_id for run in store.runs()] == [f"{number:08d}" for number in range(1, 6)]
        assert problems(store) == []
        record(store, 4).unlink()
        assert any(str(record(store, 4)) in problem for problem in problems(store))


@pytest.mark.parametrize("what", ["pipe", "socket", "device", "folder", "link", "dangling link"])
@pytest.mark.parametrize("which", ["partition", "rejects", "record", "folder of an hour"])
def test_what_stands_in_a_files_place_is_named_and_keeps_nobody_waiting(store, flowlog, monkeypatch, which, what):
    locations = store.locations
    path, asking = {
        "partition": (locations.partition(1), ["query", "--hour", 1]),
        "rejects": (locations.rejects_of("00000001"), ["rejects"]),
        "record": (record(store, 1), ["runs"]),
        "folder of an hour": (locations.partition(1).parent, ["hours"]),
    }[which]
    kept = locations.root.parent / "kept"
    path.rename(kept)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "socket":
        monkeypatch.chdir(path.parent)  # a socket's name must be short
        with closing(socket.socket(socket.AF_UNIX)) as listener:
            listener.bind(path.name)
    elif what == "device":
        try:
            os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # reads zeros without end
        except PermissionError:
            pytest.skip("making a device takes root")
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(kept if what == "link" else "nowhere")
    found = flowlog("verify", "--store", locations.root)
    assert found.code == 5
    assert str(path) in found.err
    answered = flowlog(*asking, "--store", locations.root)
    if which != "folder of an hour":
        assert answered.code == 5
        assert f"is a {what.removeprefix('dangling ')}, and must be a file" in answered.err
    assert answered.code in (0, 5)


class TestWhatPlainReadersFollow:
    @pytest.mark.parametrize("name", ["extra", "hour=077", "hour=7", "hour=1/more", "hour=1/deep/er"])
    def test_a_link_to_a_folder_is_named_for_readers_count_what_is_behind_it(self, store, name):
        link = store.locations.flows / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(store.locations.partition(1).parent)
        if "/" not in name:  # as README asks
            asked = "SELECT sum(bytes_tx)::INT FROM read_parquet(?, hive_partitioning = false)"
            files = f"{store.locations.flows}/*/*.parquet"
            assert duckdb.execute(asked, [files]).fetchall() == [(605,)]  # 305, and the 300 of hour 1 once more
        assert any(str(link) in problem and "is a link" in problem for problem in problems(store))

    @pytest.mark.parametrize("folder", ["flows", "rejects"])
    @pytest.mark.parametrize("name", ["x", "hour=1/more", ".hidden", "run=1"])
    def test_a_strange_folder_is_named_also_if_it_is_empty(self, store, folder, name):
        path = store.locations.root / folder / name
        path.mkdir(parents=True)
        assert f"{path}: is no folder of the store" in problems(store)

    @pytest.mark.parametrize(
        "name", ["run=00000001/part-1.parquet", "run=00000002/part-0.parquet", "run=1/part-0.parquet", "x"]
    )
    def test_a_strange_file_among_the_rejects_is_named(self, store, name):
        path = store.locations.rejects / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(store.locations.rejects_of("00000001").read_bytes())
        assert [problem for problem in problems(store) if str(path) in problem] != []

    def test_folders_as_deep_as_a_path_can_be_are_walked(self, store):
        path = str(store.locations.flows)
        while len(path) < 3800:
            path += "/d"
            os.mkdir(path)  # noqa: PTH102 - pathlib cannot, so deep
        try:
            assert problems(store) == [f"{path}: is no folder of the store"]
        finally:
            os.removedirs(path)  # nor can whoever clears the tests' folders away

    def test_a_store_whose_own_folders_are_links_to_another_disk_is_sound(self, store, tmp_path):
        for name in ("flows", "runs"):
            (store.locations.root / name).rename(tmp_path / name)
            (store.locations.root / name).symlink_to(tmp_path / name)
        assert problems(store) == []


class TestTheIndex:
    """It is an index only, but what it does not know any more counts twice."""

    def change(self, store, statement):
        with closing(sqlite3.connect(store.locations.index)) as index, index:
            index.execute(statement)

    def test_a_source_of_which_it_knows_another_digest_is_found(self, store):
        self.change(store, "UPDATE sources SET digest = 'x' WHERE rowid = 2")
        (problem,) = problems(store)
        assert problem.startswith(f"{store.locations.index}: its sources are not those of the records")

    def test_one_that_is_behind_is_no_problem(self, store, built):
        index = store.locations.index.read_bytes()
        ingest_records(store.locations.root.parent, "foo,bar,v,5,6,9")
        store.locations.index.write_bytes(index)
        assert problems(store) == []

    def test_nor_is_one_that_is_not_there(self, store):
        store.locations.index.unlink()
        assert problems(store) == []

    def test_sources_that_were_taken_back_are_in_neither(self, store, built):
        store.forget([str(built.parent / "raw" / "2.flows")])
        with locked(store.locations), open_index(store.locations):
            pass
        assert problems(store) == []

    def test_a_torn_one_is_found(self, store):
        path = store.locations.index
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        (problem,) = problems(store)
        assert str(path) in problem
