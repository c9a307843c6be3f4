"""The implementations of a store's file operations keep the claims."""

import errno
import os
from contextlib import contextmanager

import pytest

from pipeline.errors import StoreDamaged
from pipeline.store.files import PosixFiles
from tests.conformance import memory
from tests.conformance.files import FilesTests, VersionedFilesTests


class TestMemoryFiles(VersionedFilesTests):
    @pytest.fixture
    def files(self):
        return memory.MemoryFiles(memory.MemoryBucket())

    @pytest.fixture
    def root(self):
        return memory.BucketPath("bucket/store")

    @pytest.fixture
    def refusing(self, files):
        return lambda: memory.refusing(files)


class TestPosixFiles(FilesTests):
    @pytest.fixture
    def files(self):
        return PosixFiles()

    @pytest.fixture
    def root(self, tmp_path):
        return tmp_path / "store"

    @pytest.fixture
    def refusing(self):
        def refuse(*_, **__):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        @contextmanager
        def refusing():
            with pytest.MonkeyPatch.context() as monkeypatch:
                for name in ("open", "stat", "lstat", "listdir", "scandir", "link", "replace", "unlink", "fsync"):
                    monkeypatch.setattr(os, name, refuse)
                yield

        return refusing

    def test_files_have_no_versions(self, files, root):
        files.create(root / "a", b"content")
        assert (files.has_versions, files.read_with_version(root / "a")) == (False, (b"content", ""))

    def test_an_empty_folder_goes_with_its_last_file(self, files, root):
        files.create(root / "hour=1" / "part", b"")
        files.delete([root / "hour=1" / "part"])
        assert list(files.list(root)) == []

    def test_what_is_no_file_is_not_read_and_what_is_no_folder_is_not_listed(self, files, root):
        files.create(root / "folder" / "a", b"")
        (root / "link").symlink_to(root / "folder" / "a")
        os.mkfifo(root / "pipe")
        for path in (root / "folder", root / "link", root / "pipe"):
            with pytest.raises(StoreDamaged, match=str(path)):
                files.read(path)
        with pytest.raises(StoreDamaged, match="must be a folder"):
            files.list(root / "folder" / "a")

    def test_processes_that_create_one_file_at_once_have_one_winner(self, files, root, tmp_path):
        files.create(root / "folder", b"")
        for attempt in range(8):
            receive, send = os.pipe()
            children = []
            for number in range(4):
                mine = self.machine_file(tmp_path, str(number).encode(), f"{attempt}-{number}")
                if (child := os.fork()) == 0:
                    os.close(send)
                    os.read(receive, 1)  # ends for all at once
                    try:
                        files.create(root / str(attempt), mine)
                    except FileExistsError:
                        os._exit(0)
                    os._exit(10 + number)
                children.append(child)
            os.close(send)
            os.close(receive)
            codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            (winner,) = [code - 10 for code in codes if code]
            assert files.read(root / str(attempt)) == str(winner).encode()
