"""Counting where only a folder is shared: what travels, what is refused, what a partial file must be."""

import os
import pickle
import shutil
import socket
from concurrent.futures import Future
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from pipeline.counting import elsewhere
from pipeline.counting.count import Limits, count_group
from pipeline.counting.elsewhere import count_elsewhere, job_of, own_build
from pipeline.counting.pool import Pool, near_groups_of, travelling_groups_of
from pipeline.counting.sources import Source
from pipeline.errors import ClusterFailed, FolderNotShared, OtherBuild, SourceChanged, UnreadableSource, UsageError
from pipeline.jobs.plan import look_at
from pipeline.options import ReadOptions
from tests.conformance.executors import Inline

HOST = socket.gethostname()
CSV = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n1,a,b,v,5,6\n0,a,b,v,1,1\n"
LIMITS = Limits(1 << 24)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    return Source.at(tmp_path / "a.csv")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def counted(sources, folder, options=None, *, is_near=False):
    return count_elsewhere(own_build(), job_of(sources, options or ReadOptions(), LIMITS, folder, is_near=is_near))


class TestWhatTravels:
    def test_names_and_no_contents(self, source, folder):
        in_memory = replace(source, text=look_at(source).text)
        assert in_memory.text is not None
        assert b"src_app" not in job_of([in_memory], ReadOptions(), LIMITS, folder)

    def test_the_folder_is_named_in_full(self, source, folder, monkeypatch):
        monkeypatch.chdir(folder.parent)
        job = job_of([source], ReadOptions(), LIMITS, Path("scratch"))
        monkeypatch.chdir("/")
        assert count_elsewhere(own_build(), job).files

    def test_a_record_comes_back_and_all_rows_stay_in_files(self, source, folder):
        big = folder.parent / "big.csv"
        big.write_text(CSV + "".join(f"{i % 7 + 1},app-{i},b,v,1,1\n0,bad-{i},b,v,1,1\n" for i in range(5000)))
        sent = pickle.dumps(counted([source, Source.at(big)], folder))
        assert len(sent) < 10_000
        assert b"app-17" not in sent
        group = pickle.loads(sent).taken()
        alone = count_group([source, Source.at(big)], ReadOptions(), LIMITS, str(folder))
        assert group.results == alone.results
        assert [(hour, read().to_pylist()) for hour, read in group.totals.by_hour()] == [
            (hour, read().to_pylist()) for hour, read in alone.totals.by_hour()
        ]
        assert list(group.rejects.batches()) == list(alone.rejects.batches())

    def test_groups_are_of_one_size_however_many_files_these_are(self, source):
        medium, big = replace(source, size=1 << 24), replace(source, size=1 << 30)
        groups = list(travelling_groups_of([medium] * 200 + [big] * 2, width=4))
        assert [len(group) for group in groups[-2:]] == [1, 1]
        assert sum(map(len, groups)) == 202
        (size,) = {sum(one.size for one in group) for group in groups[:-3]}
        total = 200 * medium.size + 2 * big.size
        assert size <= total / 4 / 4 < size + medium.size

    def test_near_groups_are_small_in_the_end_so_that_no_worker_waits_long_for_another(self, source):
        sources = [replace(source, size=1 << 22)] * 1000
        groups = list(near_groups_of(sources, width=2))
        assert list(chain.from_iterable(groups)) == sources
        sizes = [len(group) for group in groups]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] == 1000 // 8
        assert sizes[-1] == 1

    def test_small_files_are_work_for_all_workers(self, source):
        groups = list(travelling_groups_of([replace(source, size=4_000)] * 10_000, width=16))
        assert len(groups) >= 2 * 16
        assert max(map(len, groups)) < 2 * min(map(len, groups[:-1]))


class TestRefused:
    def test_another_flowlog_both_versions_named_before_anything_is_read(self, folder):
        with pytest.raises(
            OtherBuild, match=f"{HOST} has flowlog {own_build()[0]} .* the run has flowlog 9.9 with kernel abc"
        ):
            count_elsewhere(("9.9", "abc"), b"nothing that can be read")

    def test_another_kernel(self, source, folder):
        with pytest.raises(OtherBuild, match=f"kernel {own_build()[1]}, .* kernel abc"):
            count_elsewhere((own_build()[0], "abc"), job_of([source], ReadOptions(), LIMITS, folder))

    def test_the_kernel_s_version_is_that_of_its_sources(self):
        assert len(own_build()[1]) == 12

    def test_a_folder_that_the_machine_does_not_see(self, source, tmp_path):
        with pytest.raises(FolderNotShared, match=rf"{HOST} does not see the folder {tmp_path}/none"):
            counted([source], tmp_path / "none")

    def test_a_mapping_file_that_the_machine_does_not_see(self, source, folder):
        with pytest.raises(UsageError, match=f"none.csv cannot be read: .*, on the machine {HOST}"):
            counted([source], folder, ReadOptions(apps=folder / "none.csv", apps_digest="0"))


class TestSources:
    def test_a_file_that_the_machine_does_not_see_fails_and_says_where(self, source, folder):
        missing = replace(source, name=str(folder / "none.csv"))
        results = counted([source, missing, source], folder).results
        assert str(results[1]) == f"cannot be read: No such file or directory, on the machine {HOST}"
        assert results[0] == results[2]
        (here,) = counted([missing], folder, is_near=True).results
        assert str(here) == "cannot be read: No such file or directory"

    @pytest.mark.parametrize("size", [100, 1 << 20], ids=["small", "large"])
    def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(self, folder, size):
        os.mkfifo(folder / "a.csv")
        (result,) = counted([Source(str(folder / "a.csv"), size, 1)], folder, is_near=True).results
        assert str(result) == "not a regular file"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_that_the_worker_may_not_read_says_where(self, source, folder):
        source.path.chmod(0)
        (result,) = counted([source], folder).results
        assert str(result) == f"cannot be read: Permission denied, on the machine {HOST}"

    def test_what_is_wrong_with_a_file_s_content_is_so_on_every_machine(self, folder):
        (folder / "cut.gz").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\3")
        (result,) = counted([Source.at(folder / "cut.gz")], folder).results
        assert isinstance(result, UnreadableSource)
        assert HOST not in str(result)

    def test_a_shared_disk_is_another_device_on_each_machine(self, source, folder):
        elsewhere_seen = replace(source, inode=(0, 0, 0))
        assert counted([elsewhere_seen], folder).results == counted([source], folder).results

    def test_a_file_that_is_not_as_it_was_has_changed(self, source, folder):
        (result,) = counted([replace(source, mtime_ns=source.mtime_ns - 1)], folder).results
        assert isinstance(result, SourceChanged)

    @pytest.mark.parametrize(
        "now",
        [
            CSV + "1,a,b,v,5,6\n",
            CSV[:-1],
            CSV.replace("5", "7"),
            "",
            "#path\tdns\n#fields\tts\tquery\n1.5\texample.org\n",
            "?",
        ],
        ids=["grown", "shrunk", "written over", "emptied", "another log", "no log"],
    )
    def test_a_process_of_this_machine_sees_it_too_whatever_the_file_is_now(self, source, folder, now):
        source.path.write_text(now)
        os.utime(source.path, (1, 1))  # a clock may tick too seldom
        (result,) = counted([source], folder, is_near=True).results
        assert isinstance(result, SourceChanged)


class TestPartialFiles:
    def test_each_execution_makes_its_own(self, source, folder):
        first, second = counted([source], folder), counted([source], folder)
        assert {file.path for file in first.files}.isdisjoint(file.path for file in second.files)
        assert [(file.size, file.digest) for file in first.files] == [(file.size, file.digest) for file in second.files]

    @pytest.mark.parametrize("which", [0, 1])
    def test_one_that_is_not_what_was_written_is_not_taken(self, source, folder, which):
        partial = counted([source], folder)
        path = Path(partial.files[which].path)
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(ClusterFailed, match=rf"what the machine {HOST} wrote is something else here: {path}"):
            partial.taken()
        path.unlink()
        with pytest.raises(ClusterFailed, match=f"cannot be read here: {path}: No such file"):
            partial.taken()

    def test_the_folder_of_workers_is_gone_once_they_are_given_up(self, source, folder):
        folders = []

        class First(Inline):
            """Does what it is given first, and nothing more."""

            def submit(self, function, /, build, job):
                folders.append(Path(pickle.loads(job)[3]))
                return super().submit(function, build, job) if len(folders) == 1 else Future()

        groups = Pool(First(), 1, LIMITS, folder).count_each([[source]] * 5, ReadOptions())
        next(groups)
        assert all(one.is_dir() for one in folders)
        groups.close()
        assert not any(one.exists() for one in folders)

    def test_who_is_not_waited_for_any_more_stops(self, folder, monkeypatch):
        monkeypatch.setattr(elsewhere, "_LOOK_SECONDS", 0)
        told = elsewhere._WhileWanted(folder)
        told(1, 1)
        shutil.rmtree(folder)
        with pytest.raises(elsewhere._Unwanted):
            told(1, 1)
