"""A store in a bucket keeps what it promises to several machines: here in a bucket in memory, whose every request is watched."""

import pytest

from pipeline.store.layout import Locations
from tests.conformance.machines import MachinesTests
from tests.conformance.memory import BucketPath, MemoryBucket, MemoryFiles

ROOT = BucketPath("bucket/store")


class MemoryMedium:
    def __init__(self):
        self.bucket = MemoryBucket()

    def locations(self, machine, around):
        return Locations(ROOT, MemoryFiles(self.bucket, around, threads=1), machine)

    def objects(self):
        return {name.removeprefix(f"{ROOT}/"): content for name, content in self.bucket.objects.items()}

    def restore(self, objects):
        self.bucket.objects = {f"{ROOT}/{name}": content for name, content in objects.items()}


class TestInMemory(MachinesTests):
    @pytest.fixture
    def medium(self):
        return MemoryMedium()
