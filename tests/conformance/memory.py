"""A bucket in memory, and a store's files in it, as they would be in a bucket of a cloud.

Every request goes through a function that the test gives: it may refuse the request, lose its answer, or let others go first.
"""

import hashlib
import io
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from threading import Lock

from pipeline.bucket import Found
from pipeline.errors import BucketUnreachable, ObjectChanged, StoreUnreadable, StoreUnwritable
from pipeline.store.files import Files


class BucketPath(PurePosixPath):
    """A path in a bucket; no operation of the machine is there."""


#: Told the kind of a request, the path, and what does it; gives what this gives.
Around = Callable[[str, str, Callable[[], object]], object]


class NoAnswer(Exception):
    """The server did not answer; perhaps it has done what was asked."""


class MemoryBucket:
    """Objects by their names. As in S3, a version is the MD5 of the content: equal contents have equal ones."""

    def __init__(self):
        self.objects: dict[str, bytes] = {}
        self._lock = Lock()

    def get(self, name):
        content = self.objects.get(name)
        if content is None:
            raise FileNotFoundError(name)
        return content, version_of(content)

    def put(self, name, content, over):
        """Puts an object over a version, "" being that of none; gives whether it did."""
        with self._lock:
            is_fit = (version_of(self.objects[name]) if name in self.objects else "") == over
            if is_fit:
                self.objects[name] = content
            return is_fit

    def below(self, prefix):
        with self._lock:
            return {name: len(content) for name, content in sorted(self.objects.items()) if name.startswith(prefix)}

    def delete(self, names):
        with self._lock:
            for name in names:
                self.objects.pop(name, None)


def version_of(content):
    return hashlib.md5(content).hexdigest()


class AskedBucket:
    """What `pipeline.bucket.Bucket` does, done to such a bucket: for the file operations of real buckets."""

    url = "s3://bucket"

    def __init__(self, bucket: MemoryBucket, around: Around):
        self.bucket = bucket
        self.around = around

    def _ask(self, kind, key, act):
        try:
            return self.around(kind, f"/{key}", act)
        except NoAnswer as error:
            raise BucketUnreachable(f"{self.url}/{key}", "no answer") from error

    def read_start(self, key, most):
        content, version = self._ask("get", key, lambda: self.bucket.get(key))
        return content[:most], self._found(key, content, version)

    def head(self, key):
        return self._found(key, *self._ask("head", key, lambda: self.bucket.get(key)))

    @staticmethod
    def _found(key, content, version):
        return Found(key, len(content), version, version, datetime.now(UTC))

    def list(self, prefix):
        below = self._ask("list", prefix, lambda: self.bucket.below(f"{prefix}/"))
        yield [Found(name, size, "", "", datetime.now(UTC)) for name, size in below.items()]

    def create(self, key, content):
        if not self._ask("put", key, lambda: self.bucket.put(key, bytes(content), "")):
            raise FileExistsError(key)

    def replace(self, key, content, version):
        if not self._ask("put", key, lambda: self.bucket.put(key, bytes(content), version)):
            raise ObjectChanged(key, "another object has taken its place meanwhile")

    def delete(self, keys):
        for key in keys:  # one by one, so that a test may cut in between
            self._ask("delete", key, lambda key=key: self.bucket.delete([key]))


class _Opened(io.BytesIO):
    readall = io.BytesIO.read


class MemoryFiles(Files):
    """A store's files in such a bucket."""

    has_versions = True
    threads = 4

    def __init__(self, bucket: MemoryBucket, around: Around = lambda kind, path, act: act(), threads: int = 4):
        self.bucket = bucket
        self.around = around
        self.threads = threads

    def _ask(self, kind, path, act):
        try:
            return self.around(kind, str(path), act)
        except NoAnswer as error:
            refused = StoreUnreadable if kind in ("get", "head", "list") else StoreUnwritable
            raise refused(str(path), str(error) or "no answer") from error

    def read(self, path):
        return self.read_with_version(path)[0]

    def read_with_version(self, path):
        return self._ask("get", path, lambda: self.bucket.get(str(path)))

    def opened(self, path):
        return _Opened(self.read(path))

    def size(self, path):
        return self._ask("head", path, lambda: len(self.bucket.get(str(path))[0]))

    def sizes(self, folder):
        below = self._ask("list", folder, lambda: self.bucket.below(f"{folder}/"))
        return {name.removeprefix(f"{folder}/"): size for name, size in below.items()}

    def exists(self, path):
        if str(path).endswith("/"):
            return bool(self.sizes(str(path).rstrip("/")))
        try:
            self.size(path)
        except FileNotFoundError:
            return bool(self.sizes(path))
        return True

    def list(self, folder):
        return list(dict.fromkeys(name.partition("/")[0] for name in self.sizes(folder)))

    def create(self, path, content):
        content = content.read_bytes() if isinstance(content, Path) else bytes(content)
        if not self._ask("put", path, lambda: self.bucket.put(str(path), content, "")):
            raise FileExistsError(str(path))

    def replace(self, moves):
        for move in moves:
            try:
                content = self.read(move.source)
            except FileNotFoundError:
                continue
            except StoreUnreadable as error:
                raise StoreUnwritable(error.path, error.problem) from error
            self._ask(
                "put", move.target, lambda move=move, content=content: self.bucket.put(str(move.target), content, move.over)
            )
            self._ask("delete", move.source, lambda move=move: self.bucket.delete([str(move.source)]))

    def delete(self, paths):
        for path in paths:
            try:
                names = [str(path), *(f"{path}/{name}" for name in self.sizes(path))]
            except StoreUnreadable as error:
                raise StoreUnwritable(error.path, error.problem) from error
            for name in names:  # one by one, so that a test may cut in between
                self._ask("delete", name, lambda name=name: self.bucket.delete([name]))

    def sync(self, paths):
        """What a bucket has said to have, it has."""


@contextmanager
def refusing(files: MemoryFiles):
    """Has the bucket answer nothing."""

    def refuse(kind, path, act):
        raise NoAnswer("the server does not answer")

    before, files.around = files.around, refuse
    try:
        yield
    finally:
        files.around = before
