"""The operations on a store's files in a bucket.

An object appears whole, under its key, when the bucket has said so; nothing is to be synced, and folders are only the keys'
beginnings. What two machines must not both do has a condition: an object is made where none is, or takes the place of the one
version that its content was made from.

An answer may get lost when the server has acted already. So a condition that is refused may be refused by this process' own
first try, and an error may be one of a request that was carried out: whoever creates a record reads the record then, and whoever
replaces a file finds the place taken, by the same file or by a later one. The other way round, S3 also refuses a condition while
another request for the object is under way, of which nothing may come. So neither a refusal nor a lost answer is believed until the
object itself shows a reason: as long as there is what the request was to replace, the request is made again. A lost one that
arrives late finds its condition broken by the one that took its place.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TypeVar

from pipeline.bucket import Bucket, Found, bucket_of
from pipeline.errors import BucketError, BucketUnreachable, ObjectChanged, StoreUnreadable, StoreUnwritable
from pipeline.objectpath import ObjectPath
from pipeline.store.files import FileContent, Files, Move, Name

T = TypeVar("T")

#: So much of an object comes with the first request: most hours of most stores, whole.
_FIRST = 8 << 20
#: So much comes with each further one at least, and at most.
_LEAST, _MOST = 1 << 20, 32 << 20
#: So often an object that is replaced while it is read is read anew, and a request is made again that was lost, or refused without a
#: reason.
_TRIES = 5
#: So many requests wait for their answers at once. A cloud answers in some 30 ms, however many are asked.
_THREADS = 32


class ObjectFiles(Files):
    """A store in a bucket.

    Args:
        root: The path of the store, or another in its bucket.
    """

    has_versions = True
    threads = _THREADS

    def __init__(self, root: ObjectPath) -> None:
        self._bucket = bucket_of(root)
        self._skipped = len(root.bucket) + 1

    def _key(self, path: Name) -> str:
        return str(path)[self._skipped :].rstrip("/")

    def read(self, path: Name) -> bytes:
        return self.read_with_version(path)[0]

    def read_with_version(self, path: Name) -> tuple[bytes, str]:
        with _looking(path):
            for _ in range(_TRIES - 1):
                try:
                    return self._read(path)
                except ObjectChanged:  # another run has published
                    continue
            return self._read(path)

    def _read(self, path: Name) -> tuple[bytes, str]:
        content, found = self._bucket.read_start(self._key(path), _FIRST)
        if len(content) < found.size:
            starts = range(len(content), found.size, _MOST)
            rest = [self._bucket.read_range(found.key, start, start + _MOST, found.etag) for start in starts]
            content = b"".join([content, *rest])
        return content, found.version

    def opened(self, path: Name) -> io.RawIOBase:
        with _looking(path):
            start, found = self._bucket.read_start(self._key(path), _FIRST)
        return _Object(self._bucket, found, start)

    def size(self, path: Name) -> int:
        with _looking(path):
            return self._bucket.head(self._key(path)).size

    def sizes(self, folder: Name) -> Mapping[str, int]:
        return {found.key: found.size for found in self._below(folder)}

    def _below(self, folder: Name) -> list[Found]:
        """The objects below a folder, by keys from there."""
        prefix = self._key(folder)
        skipped = len(prefix) + 1 if prefix else 0
        with _looking(folder):
            return [found._replace(key=found.key[skipped:]) for page in self._bucket.list(prefix) for found in page]

    def exists(self, path: Name) -> bool:
        with _looking(path):
            if not str(path).endswith("/"):
                try:
                    self._bucket.head(self._key(path))
                except FileNotFoundError:
                    pass
                else:
                    return True
            return bool(next(self._bucket.list(self._key(path))))

    def list(self, folder: Name) -> Sequence[str]:
        # A store's folders have few files that are not directly below. To list them all costs no more, and tells of no folder
        # that is empty, which servers with folders of their own do.
        return [*dict.fromkeys(name.partition("/")[0] for name in self.sizes(folder))]

    def create(self, path: PurePath, content: FileContent) -> None:
        with _changing(path):
            self._put(path, content.read_bytes() if isinstance(content, Path) else content)

    def _put(self, path: PurePath, content: bytes | memoryview, over: str = "") -> None:
        """Puts an object in the place of the version `over`, or where none is.

        Raises:
            FileExistsError: Another version is there, or one at all: perhaps this content, where an answer was lost.
        """
        key, lost = self._key(path), None
        for _ in range(_TRIES):
            try:
                if over:
                    self._bucket.replace(key, content, over)
                else:
                    self._bucket.create(key, content)
            except (FileExistsError, ObjectChanged):
                lost = None
            except BucketUnreachable as error:
                lost = error
            else:
                return
            if self._version(key) != over:
                raise FileExistsError(errno.EEXIST, "another object is there", str(path))
        raise lost or StoreUnwritable(str(path), "the server goes on to refuse the request for another that is under way")

    def _version(self, key: str) -> str:
        try:
            return self._bucket.head(key).version
        except FileNotFoundError:
            return ""

    def replace(self, moves: Iterable[Move]) -> None:
        moves = list(moves)
        _at_once(self._move, moves)
        self._remove([self._key(move.source) for move in moves], moves[0].source if moves else "")

    def _move(self, move: Move) -> None:
        """Puts one file into its place, and leaves the source."""
        with _changing(move.target):
            try:
                content, _ = self._read(move.source)
                self._put(move.target, content, move.over)
            except (FileNotFoundError, FileExistsError, ObjectChanged):
                return  # somebody has moved this file already, perhaps while it was read

    def delete(self, paths: Iterable[PurePath]) -> None:
        _at_once(self._delete, list(paths))

    def _delete(self, path: PurePath) -> None:
        with _changing(path):
            key = self._key(path)
            below = [found.key for page in self._bucket.list(key) for found in page]
        self._remove([*below, key], path)

    def _remove(self, keys: Sequence[str], path: Name) -> None:
        with _changing(path):
            self._bucket.delete(keys)

    def sync(self, paths: Collection[PurePath]) -> None:
        """What the bucket has said to have, it has."""


def _at_once(do: Callable[[T], None], each: Sequence[T]) -> None:
    """Does something for each of many, many at a time; the first error ends it."""
    if len(each) == 1:
        do(each[0])
        return
    from concurrent.futures import ThreadPoolExecutor  # what reads only does without

    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(do, each):
            pass


@contextmanager
def _looking(path: Name) -> Iterator[None]:
    try:
        yield
    except BucketError as error:
        raise StoreUnreadable(str(path), error.problem) from error


@contextmanager
def _changing(path: Name) -> Iterator[None]:
    try:
        yield
    except BucketError as error:
        raise StoreUnwritable(str(path), error.problem) from error


class _Object(io.RawIOBase):
    """An object, open for reading: its first bytes are here, and the rest comes by ranges of this one content."""

    def __init__(self, bucket: Bucket, found: Found, start: bytes) -> None:
        self._bucket = bucket
        self._found = found
        self._block, self._at = start, 0  # the bytes that came last, and where they begin
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._found.size}[whence]
        if origin + offset < 0:
            raise ValueError(f"negative seek position {origin + offset}")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fills the buffer up to the object's end, as Arrow expects of a file, in as many requests as this takes."""
        into = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(into) and self._position < self._found.size:
            if not self._at <= self._position < self._at + len(self._block):
                wanted = min(max(len(into) - filled, _LEAST), _MOST)
                self._fetch(min(self._position + wanted, self._found.size))
            start = self._position - self._at
            part = self._block[start : start + len(into) - filled]
            into[filled : filled + len(part)] = part
            filled += len(part)
            self._position += len(part)
        return filled

    def _fetch(self, stop: int) -> None:
        with _looking(f"{self._bucket.url}/{self._found.key}"):
            self._block = self._bucket.read_range(self._found.key, self._position, stop, self._found.etag)
        self._at = self._position
