"""A store's file operations in real buckets: the claims that each implementation keeps, and those of large objects."""

import os
from contextlib import contextmanager

import pytest

from pipeline.bucket import Bucket
from pipeline.errors import StoreUnreadable
from pipeline.store import objects
from pipeline.store.files import Move
from pipeline.store.objects import ObjectFiles
from tests.cloud.proxy import PASSED, Fault
from tests.conformance.files import ODD_NAMES, VersionedFilesTests

IS_SOAK = "FLOWLOG_SOAK" in os.environ
#: No bucket takes a key with a control character from obstore, and no store makes one.
KEYS = [name for name in ODD_NAMES if name.isprintable()]


class BucketFilesTests(VersionedFilesTests):
    """The claims, in a bucket: `bucket` is the fixture."""

    races = 20 if IS_SOAK else 1  # SeaweedFS has those who lose wait for seconds

    @pytest.fixture
    def root(self, bucket):
        return bucket.root / "a store"

    @pytest.fixture
    def files(self, root):
        return ObjectFiles(root)

    @pytest.mark.parametrize("name", KEYS)
    def test_any_name_is_kept(self, files, root, name):
        super().test_any_name_is_kept(files, root, name)


class TestSeaweed(BucketFilesTests):
    @pytest.fixture
    def bucket(self, proxied):
        return proxied[0]

    @pytest.fixture
    def refusing(self, proxied):
        _, proxy = proxied

        @contextmanager
        def refusing():
            proxy.reset(lambda request: Fault(status=403))
            yield
            proxy.reset()

        return refusing

    @pytest.mark.parametrize("status", [409, 412])
    def test_a_refusal_that_the_object_itself_does_not_show_is_asked_again(self, files, root, proxied, status):
        _, proxy = proxied
        files.create(root / "a", b"old")
        files.create(root / "staging" / "a", b"new")
        _, over = files.read_with_version(root / "a")
        refused = set()

        def once(request):
            if request.method != "PUT" or request.target in refused:
                return PASSED
            refused.add(request.target)
            return Fault(status=status)

        proxy.reset(once)
        files.create(root / "b", b"content")
        files.replace([Move(root / "staging" / "a", root / "a", over), Move(root / "b", root / "c", "")])
        assert (files.read(root / "a"), files.read(root / "c")) == (b"new", b"content")
        assert len(refused) == 3


class TestAzurite(BucketFilesTests):
    @pytest.mark.skipif(not IS_SOAK, reason="make soak")  # Azurite takes 10 ms for each file
    def test_a_list_may_be_long(self, files, root):
        super().test_a_list_may_be_long(files, root)

    @pytest.fixture
    def bucket(self, azure):
        return azure

    @pytest.fixture
    def refusing(self, azure, files, monkeypatch):
        @contextmanager
        def refusing():
            with monkeypatch.context() as changed:
                changed.setenv("AZURE_STORAGE_ACCOUNT_KEY", "bm9uZQ==")
                changed.setattr(files, "_bucket", Bucket(azure.url))
                yield

        return refusing


class TestLargeObjects:
    """With small limits, all objects are large."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch):
        for name, limit in (("_FIRST", 1000), ("_LEAST", 300), ("_MOST", 700)):
            monkeypatch.setattr(objects, name, limit)

    @pytest.fixture
    def root(self, proxied):
        return proxied[0].root

    @pytest.fixture
    def files(self, root):
        return ObjectFiles(root)

    CONTENT = bytes(range(256)) * 20

    @pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 1700, 1701, 5120])
    def test_an_object_of_any_size_is_read_whole(self, files, root, size):
        files.create(root / "a", self.CONTENT[:size])
        assert files.read(root / "a") == self.CONTENT[:size]
        with files.opened(root / "a") as file:
            assert file.readall() == self.CONTENT[:size]

    def test_pieces_are_read_from_anywhere_in_few_requests(self, files, root, proxied):
        files.create(root / "a", self.CONTENT)
        proxied[1].reset()
        with files.opened(root / "a") as file:
            for start, size in ((5000, 120), (5100, 100), (0, 1000), (990, 20), (2000, 2000), (5120, 1), (6000, 1)):
                file.seek(start)
                assert file.read(size) == self.CONTENT[start : start + size]
            assert (file.seek(-20, 2), file.read()) == (5100, self.CONTENT[5100:])
        assert len(proxied[1].requests) == 9

    def test_an_object_that_is_replaced_while_it_is_read_whole_is_read_anew(self, files, root, proxied):
        files.create(root / "a", self.CONTENT)
        files.create(root / "staging" / "a", self.CONTENT[::-1])
        _, over = files.read_with_version(root / "a")

        def replacing(request):
            if request.number == 2:
                files.replace([Move(root / "staging" / "a", root / "a", over)])
            return PASSED

        proxied[1].reset(replacing)
        assert files.read(root / "a") == self.CONTENT[::-1]

    def test_a_file_that_another_machine_moves_while_it_is_read_is_moved(self, files, root, proxied):
        files.create(root / "staging" / "a", self.CONTENT)
        move = Move(root / "staging" / "a", root / "a")

        def moving(request):
            if request.number == 2:
                files.replace([move])
            return PASSED

        proxied[1].reset(moving)
        files.replace([move])
        assert files.read(root / "a") == self.CONTENT
        assert not files.exists(root / "staging" / "a")

    def test_an_object_that_is_replaced_while_it_is_open_is_not_mixed_with_the_other(self, files, root):
        files.create(root / "a", self.CONTENT)
        files.create(root / "staging" / "a", self.CONTENT[::-1])
        with files.opened(root / "a") as file:
            assert file.read(1000) == self.CONTENT[:1000]
            files.replace([Move(root / "staging" / "a", root / "a", files.read_with_version(root / "a")[1])])
            with pytest.raises(StoreUnreadable, match="another object has taken its place"):
                file.read(1)
