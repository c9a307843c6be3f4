"""Raw files: which there are, which of them are new, and what identifies each.

A source is its bytes: the digest of its content identifies it, wherever it lies. Its path, size and time of
modification only save reading what was read before.
"""

from __future__ import annotations

import glob
import io
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal

from pipeline.errors import SourceError, UnreadableSource, UsageError
from pipeline.ledger import Index
from pipeline.store import files

SameContent = Literal["skip", "count"]

_DIGEST_BLOCK = 1 << 20

#: Files that are still being written, or that are no logs, by the habits of those who write them.
_LEFT_ALONE_PREFIXES = (".", "_")
_LEFT_ALONE_SUFFIXES = (".tmp", ".part", ".partial", ".inprogress")
_STILL_WRITTEN = "named like what is still being written"


@dataclass(frozen=True)
class Source:
    """A raw file, as it was when it was looked at.

    Attributes:
        path: Where it is, absolute.
        name: The path as text, as the ledger and the messages have it.
        size: In bytes.
        mtime_ns: Its time of modification, in nanoseconds since the epoch.
        inode: What tells it from every other file: device and number; and the time at which either was last changed.
        digest: XXH3-128 of its bytes, in hexadecimal; "" as long as it was not needed.
    """

    path: Path
    name: str
    size: int
    mtime_ns: int
    inode: tuple[int, int, int] = (0, 0, 0)
    digest: str = ""

    @classmethod
    def at(cls, path: Path) -> Source:
        """Looks at a file.

        Raises:
            UnreadableSource: There is none.
        """
        try:
            status = path.stat()
        except OSError as error:
            raise UnreadableSource(f"cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for who writes to it
            raise UnreadableSource("not a regular file")
        return cls(path, _name(path), status.st_size, status.st_mtime_ns, _inode(status))

    def is_unchanged(self, descriptor: int) -> bool:
        """Whether an open file is the one that was looked at, and still as it was."""
        status = os.fstat(descriptor)
        found = (status.st_size, status.st_mtime_ns, _inode(status))
        return found == (self.size, self.mtime_ns, self.inode)


def _inode(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _name(path: Path) -> str:
    """A path as text. A name need not be UTF-8, but what is printed and stored must."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Failure:
    """A source that could not be counted, and why."""

    source: str
    error: str


@dataclass
class Plan:
    """What a run will do with each source, before it touches anything.

    Attributes:
        new: To be ingested, in the order of their paths; with their digests, where they had to be told from others.
        known: Skipped: counted before, from this path.
        twins: Skipped: other paths with the same content as one that is counted, and that path.
        empty: Skipped: without a byte. They are not remembered, as they may only just have been made.
        young: Left for the next run: modified too short a time ago.
        left_alone: What else was met and not taken for raw files: its name, and why.
        changed: Counted before from this path with other content. Not ingested, unless it is to be replaced.
        taken_back: The paths of changed sources that are twins now: nothing but their earlier content is to be replaced.
        failed: Not readable.
    """

    new: list[Source] = field(default_factory=list)
    known: list[Source] = field(default_factory=list)
    twins: list[tuple[Source, str]] = field(default_factory=list)
    empty: list[Source] = field(default_factory=list)
    young: list[Source] = field(default_factory=list)
    left_alone: dict[str, str] = field(default_factory=dict)
    changed: list[Source] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)

    @property
    def skipped(self) -> int:
        return len(self.known) + len(self.twins) + len(self.empty) + len(self.young)


@dataclass(frozen=True)
class Found:
    """Raw files.

    Attributes:
        files: Each once, sorted by path.
        left_alone: What else was met and not taken for raw files: its name, and why.
        failed: Folders that cannot be read.
    """

    files: list[Path] = field(default_factory=list)
    left_alone: dict[str, str] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)


def find(raw: Sequence[str], store: Path | None = None, of_log: bool = False) -> Found:
    """Finds raw files.

    Args:
        raw: Files, folders (searched to any depth) and glob patterns (`**` goes to any depth).
        store: The store's folder, whose files are no raw files even if it lies below a folder that is searched.
        of_log: Whether these are files of the store's own log, which the service alone may name.

    Raises:
        UsageError: A file or folder does not exist, or is the store's own.
    """
    files: set[Path] = set()
    found = Found()
    without = None if store is None else store.resolve()
    for name in raw:
        if not name:
            raise UsageError("an empty path; is a variable of the shell not set?")
        path = Path(name)
        try:
            if path.exists():
                matches = [path]
            elif glob.has_magic(name):
                matches = [Path(match) for match in glob.iglob(name, recursive=True)]
            else:
                raise UsageError(f"there is no file or folder {name}")
        except OSError as error:
            raise UsageError(f"cannot look at {name}: {error.strerror}") from None
        if not matches:
            found.left_alone[name] = "nothing matches it"
        for match in matches:
            if without is not None and not of_log and match.resolve().is_relative_to(without):
                if match is path:
                    raise UsageError(f"{name} is part of the store, and no raw file")
                continue  # a pattern that happens to match it
            files.update(_walk(match.resolve(), without, found) if match.is_dir() else [match.parent.resolve() / match.name])
    return replace(found, files=sorted(files, key=os.fspath))


def _walk(top: Path, without: Path | None, found: Found) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        found.failed.append(Failure(str(error.filename), f"the folder cannot be read: {error.strerror}"))

    for parent, folders, names in os.walk(top, onerror=fail):
        for path in (Path(parent, name) for name in names):
            if _is_left_alone(path.name):
                found.left_alone[_name(path)] = _STILL_WRITTEN
            else:
                yield path
        for path in (Path(parent, name) for name in folders):
            if _is_left_alone(path.name):
                found.left_alone[_name(path)] = _STILL_WRITTEN
            elif path.is_symlink():
                found.left_alone[_name(path)] = "a link to a folder; name the folder itself"
        folders[:] = [name for name in folders if not _is_left_alone(name) and Path(parent, name) != without]


def _is_left_alone(name: str) -> bool:
    return name.startswith(_LEFT_ALONE_PREFIXES) or name.endswith(_LEFT_ALONE_SUFFIXES)


def plan(
    found: Found,
    index: Index,
    same_content: SameContent,
    replace_changed: bool = False,
    min_age_seconds: float = 0,
    map_sources: Callable[[Callable[[Source], str | SourceError], Sequence[Source]], Iterable[str | SourceError]] = map,
) -> Plan:
    """Decides what to do with each source.

    Args:
        found: What `find` gives.
        index: What was counted before.
        same_content: Whether a file is skipped, or counted, whose content was counted from another path.
        replace_changed: Whether what changed sources counted before is taken back by this run.
        min_age_seconds: Files that were modified less than so long ago are left alone.
        map_sources: Applies a function to sources, perhaps in parallel; the results in their order.
    """
    made = Plan(left_alone=found.left_alone, failed=list(found.failed))
    unread = list(_sift(found.files, index, min_age_seconds, made))
    made.new, unread = _split(unread, index)
    identified: list[Source] = []
    for source, digest in zip(unread, map_sources(_digest_or_error, unread), strict=True):
        if isinstance(digest, SourceError):
            made.failed.append(Failure(source.name, str(digest)))
        else:
            identified.append(replace(source, digest=digest))
    counted_from = {source.digest: index.paths_of(source.digest) for source in identified}
    changed = {s.name for s in identified if s.name not in counted_from[s.digest] and index.knows_path(s.name)}
    taken_back = changed if replace_changed else set()
    counted: dict[object, str] = {}  # what this run counts, by digest or by file -> from which path
    for source in identified:
        earlier = [path for path in counted_from[source.digest] if path not in taken_back]
        identity = source.digest if same_content == "skip" else source.inode
        if source.name in earlier:
            made.known.append(source)
        elif source.name in changed and not replace_changed:
            made.changed.append(source)
        elif (same_content == "skip" and earlier) or identity in counted:
            made.twins.append((source, counted.get(identity) or earlier[0]))
            made.taken_back += [source.name] if source.name in taken_back else []
        else:
            counted[identity] = source.name
            (made.changed if source.name in taken_back else made.new).append(source)
    made.new.sort(key=lambda source: os.fspath(source.path))
    return made


def _split(sources: Sequence[Source], index: Index) -> tuple[list[Source], list[Source]]:
    """Those that must be new, and the others, whose digest must tell: a file with a size of its own has no twin.

    What is surely new need not be read twice; its digest is taken while it is counted.
    """
    sizes = Counter(source.size for source in sources)
    is_new = {
        source: sizes[source.size] == 1 and not index.knows_path(source.name) and not index.knows_size(source.size)
        for source in sources
    }
    return [source for source in sources if is_new[source]], [source for source in sources if not is_new[source]]


def _sift(paths: Sequence[Path], index: Index, min_age_seconds: float, made: Plan) -> Iterator[Source]:
    """Decides what can be decided without reading; gives the sources that must be read."""
    now = time.time()
    for path in paths:
        try:
            source = Source.at(path)
        except SourceError as error:
            made.failed.append(Failure(_name(path), str(error)))
            continue
        if abs(now - source.mtime_ns / 1e9) < min_age_seconds:  # a clock may have been set back since
            made.young.append(source)
        elif source.size == 0:
            made.empty.append(source)
        elif index.unchanged(source.name, source.size, source.mtime_ns):
            made.known.append(source)
        else:
            yield source


def _digest_or_error(source: Source) -> str | SourceError:
    try:
        return digest_of(source)
    except SourceError as error:
        return error


def digest_of(source: Source) -> str:
    """The identity of a source: XXH3-128 of its bytes, in hexadecimal.

    Raises:
        UnreadableSource: It cannot be read.
    """
    try:
        return files.digest(source.path)
    except OSError as error:
        raise UnreadableSource(f"cannot be read: {error.strerror}") from None


class DigestingFile(io.RawIOBase):
    """An open raw file that takes its own digest while it is read, in whatever order."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = files.new_digest()
        self._hashed = 0  # all bytes before it are in the digest

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()
        data = self._file.read(size)
        if start <= self._hashed < start + len(data):
            self._hash.update(memoryview(data)[self._hashed - start :])
            self._hashed = start + len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def digest(self) -> str:
        """The digest of the whole file; reads what was not read."""
        self._file.seek(self._hashed)
        while self.read(_DIGEST_BLOCK):
            pass
        return self._hash.hexdigest()
