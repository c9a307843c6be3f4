"""Raw objects of buckets: sources that are asked for by ranges, many at once.

Every range names the ETag that the object had when it was found. So all that is read of an object is one content, and an object
that is replaced meanwhile fails.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from threading import Lock
from typing import BinaryIO, cast

from pipeline import bucket
from pipeline.bucket import bucket_of
from pipeline.counting.content import SMALL_BYTES
from pipeline.counting.ranged import RangedFile, nameless_file
from pipeline.counting.sources import Source, path_of
from pipeline.errors import BucketError, ObjectChanged, SourceChanged, SourceError, UnreadableSource
from pipeline.objectpath import ObjectPath, is_url, object_path

#: So many bytes of an object come with its first request: all of a small one, and what gunzip takes of a large one at once.
_FIRST_BYTES = 2 * SMALL_BYTES
#: So many requests for them are under way at once. More were no faster.
REQUESTS = 32
#: The first bytes of objects that wait on disk from the plan to the counting; other objects are asked for them twice.
_KEPT_BYTES = 1 << 30


class Kept:
    """The first bytes of a run's objects, in a file without a name, so that the plan and the counting ask for them once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._file: BinaryIO | None = None
        self._places: dict[str, tuple[int, int]] = {}  # where each starts, and its size
        self._size = 0

    def __reduce__(self) -> tuple[type[Kept], tuple[()]]:
        return Kept, ()  # a worker elsewhere asks for itself

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Gives the disk back; nothing is kept any more."""
        with self._lock:
            self._places = {}
            if self._file:
                self._file.close()
                self._file = None

    def take(self, name: str, data: bytes) -> None:
        """Keeps an object's first bytes, if there is room."""
        with self._lock:
            if name in self._places or self._size + len(data) > _KEPT_BYTES:
                return
            try:
                self._file = self._file or nameless_file()
                written = os.pwrite(self._file.fileno(), data, self._size)
            except OSError:  # the disk is full
                return
            if written == len(data):
                self._places[name] = self._size, written
                self._size += written

    def give(self, name: str) -> bytes | None:
        """An object's first bytes, if they are kept."""
        place, file = self._places.get(name), self._file
        return os.pread(file.fileno(), place[1], place[0]) if place and file else None


@dataclass(frozen=True)
class ObjectSource(Source):
    """An object, as its bucket described it.

    Attributes:
        kept: The first bytes of the run's objects.
        first: Those of this one, where they were fetched; or why they could not be.
    """

    kept: Kept = field(default_factory=Kept, compare=False, repr=False)
    first: bytes | SourceError | None = field(default=None, compare=False, repr=False)

    @classmethod
    def found(cls, url: str, described: bucket.Found, kept: Kept | None = None) -> ObjectSource:
        """The source of an object.

        Args:
            url: The bucket's.
            described: What the bucket says of the object.
            kept: The first bytes of the run's objects.
        """
        name = f"{url}/{described.key}"
        modified = int(described.modified.timestamp()) * 10**9
        etag = described.etag.strip('"')  # Azure's listings have it without
        return cls(name, described.size, modified, etag=etag, kept=kept or Kept())

    @property
    def path(self) -> ObjectPath:
        return ObjectPath(self.name)

    @property
    def identity(self) -> object:
        return self.name

    @property
    def is_at_hand(self) -> bool:
        """Whether its first bytes need not be asked for."""
        return self.text is not None or self.first is not None or self.name in self.kept

    def fetched(self) -> ObjectSource:
        """The same source with its first bytes, or with why they could not be had."""
        try:
            return replace(self, first=self._first_bytes())
        except SourceError as error:
            return replace(self, first=error)

    def opened(self) -> BinaryIO:
        """The object, seekable, open at its start.

        Raises:
            SourceError: The bucket does not give it; reading raises the same.
        """
        return cast("BinaryIO", RangedFile(self._first_bytes(), self.size, self._range))

    def is_unchanged(self, file: BinaryIO) -> bool:  # noqa: ARG002 - every range has named the content
        return True

    def without_text(self) -> ObjectSource:
        return replace(self, text=None, first=None)

    def seen_here(self) -> ObjectSource:
        return self  # a bucket looks the same from every machine

    def is_readable(self) -> bool:
        return not isinstance(self.fetched().first, SourceError)

    def small_content(self) -> bytes:
        try:
            return self._first_bytes()
        except SourceError:
            return b""

    def _first_bytes(self) -> bytes:
        if isinstance(self.first, SourceError):
            raise self.first
        data = self.first or self.kept.give(self.name)
        if data is None:
            data = self._range(0, min(_FIRST_BYTES, self.size))
            self.kept.take(self.name, data)
        return data

    def _range(self, start: int, stop: int) -> bytes:
        path = self.path
        try:
            return bucket_of(path).read_range(path.key, start, stop, f'"{self.etag}"')
        except (ObjectChanged, EOFError):  # another object is there, or none
            raise SourceChanged from None
        except BucketError as error:
            raise UnreadableSource(f"cannot be read: {error.problem}") from None


def source_at(name: str) -> Source:
    """The source of this name, as it is now.

    Raises:
        UnreadableSource: There is no such file or object, or the bucket does not say.
    """
    if not is_url(name):
        return Source.at(path_of(name))
    path = object_path(name)
    try:
        return ObjectSource.found(path.bucket, bucket_of(path).head(path.key))
    except FileNotFoundError:
        raise UnreadableSource("cannot be read: there is no such object") from None
    except BucketError as error:
        raise UnreadableSource(f"cannot be read: {error.problem}") from None


def fetched_ahead(sources: Iterable[Source]) -> Iterator[Source]:
    """Sources in their order, objects with their first bytes, for which many requests are under way at once. Files are given
    as they are.
    """
    rest = iter(sources)
    pool = ThreadPoolExecutor(REQUESTS, thread_name_prefix="fetch")  # which starts no thread before it is needed
    waiting = deque[Source | Future[ObjectSource]]()
    try:
        while True:
            for source in islice(rest, 2 * REQUESTS - len(waiting)):
                is_asked = isinstance(source, ObjectSource) and not source.is_at_hand
                waiting.append(pool.submit(source.fetched) if is_asked else source)  # type: ignore[attr-defined]
            if not waiting:
                return
            first = waiting.popleft()
            yield first.result() if isinstance(first, Future) else first
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
