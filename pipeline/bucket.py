"""Buckets of Amazon, Google and Azure: the requests that flowlog makes.

obstore does the requests. It is imported where a bucket is opened, so plain paths load nothing of it. Its calls leave Python's
lock alone while they wait: whoever wants many requests at once has threads do them.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache, cached_property, partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from pipeline.errors import BucketError, BucketUnreachable, ObjectChanged, UsageError
from pipeline.objectpath import ObjectPath, fault_of
from pipeline.scalars import DISTRIBUTION

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta

    from pipeline.clouds import Store

#: The kinds of requests.
KINDS = ("list", "head", "get", "put", "delete")
_PAGE = 1000  # so many keys come with one request
_TRIES = 4
T = TypeVar("T")


class Found(NamedTuple):
    """What a bucket says of an object.

    Attributes:
        key: Its key.
        size: Its size, in bytes.
        etag: What identifies its content as long as it is not replaced.
        version: What a conditional write names: the ETag, or Google's generation, which listings do not have ("").
        modified: When it was written.
    """

    key: str
    size: int
    etag: str
    version: str
    modified: datetime


class Traffic(NamedTuple):
    """What was asked of a bucket: requests by kind (`KINDS`) without obstore's repetitions, and the bytes that were read."""

    requests: dict[str, int]
    bytes_read: int

    def since(self, before: Traffic) -> Traffic:
        """What was asked since an earlier count."""
        requests = {kind: count - before.requests.get(kind, 0) for kind, count in self.requests.items()}
        return Traffic(requests, self.bytes_read - before.bytes_read)


NO_TRAFFIC = Traffic(dict.fromkeys(KINDS, 0), 0)


class Bucket:
    """One bucket. Every method may be called by many threads, and raises BucketError as `errors` has it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._requests: Counter[str] = Counter()
        self._read = 0
        self._lock = Lock()

    @cached_property
    def _store(self) -> Store:
        from pipeline.clouds import opened_bucket  # what is read here, plain paths do not need

        scheme, _, name = self.url.partition("://")
        return opened_bucket(scheme, name)

    def traffic(self) -> Traffic:
        """What this process has asked of the bucket up to now."""
        with self._lock:
            return Traffic(dict(self._requests), self._read)

    def _count(self, kind: str, requests: int = 1, *, read: int = 0) -> None:
        with self._lock:
            self._requests[kind] += requests
            self._read += read

    def read_range(self, key: str, start: int, stop: int, etag: str) -> bytes:
        """The bytes of an object from `start` on and before `stop`, or before its end.

        Args:
            key: The object.
            start: Where the range starts.
            stop: Where it ends, behind `start`.
            etag: The content that is meant, as `Found` has it.

        Raises:
            ObjectChanged: Another content has taken its place, or none.
            EOFError: The object ends before the range.
        """
        import obstore

        options: GetOptions = {"range": (start, stop), "if_match": etag}
        return self._got(key, lambda: obstore.get(self._store, key, options=options), is_pinned=True)[0]

    def read_start(self, key: str, most: int) -> tuple[bytes, Found]:
        """The first bytes of an object, and what the bucket says of the whole: one request, two for an object without bytes.

        Args:
            key: The object.
            most: How many bytes are wanted at most.

        Raises:
            FileNotFoundError: There is no such object.
        """
        import obstore

        try:
            return self._got(key, lambda: obstore.get(self._store, key, options={"range": (0, most)}))
        except EOFError:  # an object without bytes has no range
            return b"", self.head(key)

    def _got(self, key: str, ask: Callable[[], GetResult], *, is_pinned: bool = False) -> tuple[bytes, Found]:
        def get() -> tuple[bytes, Found]:
            answer = ask()
            return answer.bytes().to_bytes(), self._found(answer.meta)

        content, found = self._asked("get", key, get, is_pinned=is_pinned)
        self._count("get", 0, read=len(content))
        return content, found

    def head(self, key: str) -> Found:
        """What the bucket says of an object.

        Raises:
            FileNotFoundError: There is no such object.
        """
        import obstore

        return self._asked("head", key, lambda: self._found(obstore.head(self._store, key)))

    def list(self, prefix: str = "", after: str = "") -> Iterator[Sequence[Found]]:
        """The objects below a prefix, in pages of at most a thousand as they come, in no order that all clouds share.

        A prefix ends where a part of the key ends: `a` finds `a/b` and neither `ab` nor `a`. An entry without bytes may be the
        marker of a folder, which consoles make: its key has lost the slash at its end, and `head` does not find it.

        Args:
            prefix: What the keys begin with, without a slash at its end; empty for the whole bucket.
            after: Where the listing starts: behind this key.
        """
        import obstore

        pages: Iterator[Sequence[ObjectMeta]] | None = None

        def next_page() -> Sequence[ObjectMeta]:
            nonlocal pages
            on = pages or iter(obstore.list(self._store, prefix or None, offset=after or None, chunk_size=_PAGE))
            pages = None  # a listing that was cut off begins anew, behind the last page
            page = next(on, ())
            pages = on
            return page

        while True:
            page = [self._found(meta) for meta in self._asked("list", prefix, next_page)]
            yield page
            if len(page) < _PAGE:
                return
            after = page[-1].key

    def names(self, prefix: str = "") -> tuple[Sequence[str], Sequence[Found]]:
        """What is directly below a prefix: the names of further prefixes, and the objects.

        A server that has folders of its own, as SeaweedFS has, may list a prefix a while longer than the objects below it.
        """
        import obstore

        answer = self._asked("list", prefix, lambda: obstore.list_with_delimiter(self._store, prefix or None))
        folders, objects = answer["common_prefixes"], answer["objects"]
        self._count("list", (len(folders) + len(objects)) // _PAGE)
        found = [self._found(meta) for meta in objects if meta["path"] != prefix]  # the marker of the folder itself
        return [folder.rpartition("/")[2] for folder in folders], found

    def create(self, key: str, content: bytes | memoryview) -> str:
        """Makes a new object; gives its version.

        An error does not tell that the object was not made: after a BucketUnreachable, and also after a FileExistsError where
        the first answer was lost and obstore asked again, the object that is there may be this call's.

        Raises:
            FileExistsError: An object is there.
        """
        return self._put(key, content, "create")

    def replace(self, key: str, content: bytes | memoryview, version: str) -> str:
        """Puts an object in the place of the one that has the given version; gives the new version.

        What `create` says of errors holds here too.

        Raises:
            ObjectChanged: Another version is there, or nothing.
        """
        return self._put(key, content, {self._condition: version})

    def _put(self, key: str, content: bytes | memoryview, mode: Any) -> str:
        import obstore

        plain = memoryview(content).cast("B")  # Arrow's buffers have signed bytes, which obstore does not take
        ask = partial(obstore.put, self._store, key, plain, mode=mode, use_multipart=False)
        made = self._asked("put", key, ask, is_pinned=True)
        return made[self._condition] or ""

    def delete(self, keys: Sequence[str]) -> None:
        """Removes objects; what is gone already does no harm."""
        import obstore

        for start in range(0, len(keys), _PAGE):
            some = keys[start : start + _PAGE]
            try:
                self._asked("delete", some[0], partial(obstore.delete, self._store, some))
            except FileNotFoundError:  # Azure and Google tell it, and may have left off there
                for key in some:
                    with suppress(FileNotFoundError):
                        self._asked("delete", key, partial(obstore.delete, self._store, key))

    @property
    def _condition(self) -> Literal["version", "e_tag"]:
        """What a conditional write names. Amazon and Azure also have versions, where a bucket keeps replaced objects: those are no
        conditions.
        """
        return "version" if self.url.startswith("gs:") else "e_tag"

    def _found(self, meta: ObjectMeta) -> Found:
        etag = meta["e_tag"] or ""
        if etag and not etag.endswith('"'):  # as Azure's listings have it, and conditions do not
            etag = f'"{etag}"'
        version = etag if self._condition == "e_tag" else meta["version"] or ""
        return Found(meta["path"], meta["size"], etag, version, meta["last_modified"])

    def _asked(self, kind: str, key: str, do: Callable[[], T], *, is_pinned: bool = False) -> T:
        """Does a request, and does it again where the answer breaks off: there obstore does not.

        Args:
            kind: The request's kind.
            key: What is asked for.
            do: Asks obstore.
            is_pinned: Whether one content of the object is meant, so that a missing object is a changed one.
        """
        if fault := fault_of(key):
            raise BucketError(repr(f"{self.url}/{key}"), fault)
        for _ in range(_TRIES):
            self._count(kind)
            with suppress(_BrokenOff), self._in_our_words(key, is_pinned=is_pinned):
                return do()
        raise BucketUnreachable(f"{self.url}/{key}", "the answers break off, after several tries: look at the network")

    @contextmanager
    def _in_our_words(self, key: str, *, is_pinned: bool) -> Iterator[None]:
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        from pipeline.clouds import error_of

        path = f"{self.url}/{key}" if key else self.url
        try:
            yield
        except AlreadyExistsError:
            raise FileExistsError(errno.EEXIST, "an object is there", path) from None
        except PreconditionError:
            raise ObjectChanged(path, "another object has taken its place meanwhile") from None
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error) or "ContainerNotFound" in str(error):
                raise error_of(path, self.url, str(error)) from error
            if is_pinned:
                raise ObjectChanged(path, "the object is gone") from None
            raise FileNotFoundError(errno.ENOENT, "there is no such object", path) from None
        except BaseError as error:
            if "status code: 416" in str(error):
                raise EOFError(f"{path} ends before the range that is asked for") from None
            if "response body error" in str(error):
                raise _BrokenOff from error
            raise error_of(path, self.url, str(error)) from error


class _BrokenOff(Exception):
    """An answer began, and did not come to its end."""


#: The buckets that this process has asked for.
_opened: list[Bucket] = []


@cache
def _bucket(url: str) -> Bucket:
    try:
        import obstore  # noqa: F401 - which an extra brings
    except ImportError:
        raise UsageError(f"{url} needs the package obstore: pip install '{DISTRIBUTION}[cloud]'") from None
    _opened.append(Bucket(url))
    return _opened[-1]


def all_traffic() -> Traffic:
    """What this process has asked of all buckets up to now; each kind of request is there."""
    each = [bucket.traffic() for bucket in _opened]
    requests = {kind: sum(one.requests.get(kind, 0) for one in each) for kind in KINDS}
    return Traffic(requests, sum(one.bytes_read for one in each))


def bucket_of(path: ObjectPath) -> Bucket:
    """The bucket of a path: the same one for the whole process.

    Raises:
        UsageError: The package that asks buckets is not installed.
    """
    return _bucket(path.bucket)
