"""A store in a bucket keeps what it promises to several machines: here in a bucket in memory, whose every request is watched."""

import pytest

from pipeline.objectpath import ObjectPath
from pipeline.store import objects
from pipeline.store.layout import Locations
from tests.conformance.machines import MachinesTests, data_of
from tests.conformance.memory import AskedBucket, BucketPath, MemoryBucket, MemoryFiles, NoAnswer


class MemoryMedium:
    root = BucketPath("store")

    def __init__(self):
        self.bucket = MemoryBucket()

    def locations(self, machine, around):
        return Locations(self.root, MemoryFiles(self.bucket, around, threads=1), machine)

    def objects(self):
        return {name.removeprefix("store/"): content for name, content in self.bucket.objects.items()}

    def restore(self, objects):
        self.bucket.objects = {f"store/{name}": content for name, content in objects.items()}


class TestInMemory(MachinesTests):
    @pytest.fixture
    def medium(self):
        return MemoryMedium()


class WatchedFiles(objects.ObjectFiles):
    """The file operations of real buckets, with the attributes of `MemoryFiles`."""

    threads = 1

    def __init__(self, root, bucket, around):
        super().__init__(root)
        self._bucket = AskedBucket(bucket, around)

    @property
    def around(self):
        return self._bucket.around

    @around.setter
    def around(self, around):
        self._bucket.around = around


class ObjectsMedium(MemoryMedium):
    root = ObjectPath("s3://bucket/store")

    def locations(self, machine, around):
        return Locations(self.root, WatchedFiles(self.root, self.bucket, around), machine)


class Losing:
    """Has the server not answer any put's first request."""

    def __init__(self, is_done):
        self.is_done, self.asked = is_done, set()

    def __call__(self, kind, path, act):
        if kind == "put" and path not in self.asked:
            self.asked.add(path)
            if self.is_done:
                act()
            raise NoAnswer
        return act()


class TestObjects(MachinesTests):
    """The file operations of real buckets, which make a put again whose answer is lost."""

    @pytest.fixture
    def medium(self, monkeypatch):
        monkeypatch.setattr(objects, "_at_once", lambda do, each: [do(one) for one in each])
        return ObjectsMedium()

    @pytest.mark.parametrize("is_done", [False, True])
    def test_a_run_whose_puts_are_lost_is_done_all_the_same(self, medium, base, action, machine, is_done):
        _, expected = self.undisturbed(medium, base, action, machine)
        medium.restore(base)
        losing = Losing(is_done)
        action(machine(losing))
        assert data_of(medium.objects()) == expected
        assert losing.asked
        self.check_sound(machine)
