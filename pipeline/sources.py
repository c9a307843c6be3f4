"""Raw files: which there are, which of them are new, and what identifies each.

A source is its bytes: the digest of its content identifies it, wherever it lies. Its path, size and time of
modification only save reading what was read before.
"""

from __future__ import annotations

import glob
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal

from pipeline.errors import SourceError, UnreadableSource, UsageError
from pipeline.ledger import Index
from pipeline.store import files

SameContent = Literal["skip", "count"]

#: Files that are still being written, or that are no logs, by the habits of those who write them.
_LEFT_ALONE_PREFIXES = (".", "_")
_LEFT_ALONE_SUFFIXES = (".tmp", ".part", ".partial", ".inprogress")


@dataclass(frozen=True)
class Source:
    """A raw file, as it was when it was looked at.

    Attributes:
        path: Where it is, absolute.
        name: The path as text, as the ledger and the messages have it.
        size: In bytes.
        mtime_ns: Its time of modification, in nanoseconds since the epoch.
        digest: XXH3-128 of its bytes, in hexadecimal; "" until it was read.
    """

    path: Path
    name: str
    size: int
    mtime_ns: int
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
        return cls(path, _name(path), status.st_size, status.st_mtime_ns)

    def is_unchanged(self, file: BinaryIO) -> bool:
        """Whether an open file is still as it was when it was looked at."""
        status = os.fstat(file.fileno())
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)


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
        new: To be ingested, with their digests, in the order of their paths.
        known: Skipped: counted before, from this path.
        twins: Skipped: other paths with the same content as one that is counted, and that path.
        empty: Skipped: without a byte. They are not remembered, as they may only just have been made.
        young: Left for the next run: modified too short a time ago.
        left_alone: In a folder, but named like a file that is still being written.
        changed: Counted before from this path with other content. Not ingested.
        failed: Not readable.
    """

    new: list[Source] = field(default_factory=list)
    known: list[Source] = field(default_factory=list)
    twins: list[tuple[Source, str]] = field(default_factory=list)
    empty: list[Source] = field(default_factory=list)
    young: list[Source] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    changed: list[Source] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)

    @property
    def skipped(self) -> int:
        return len(self.known) + len(self.twins) + len(self.empty) + len(self.young)


@dataclass(frozen=True)
class Found:
    """Raw files.

    Attributes:
        files: Each once, sorted by path.
        left_alone: The names of those in folders that are still being written, by their names.
    """

    files: list[Path]
    left_alone: list[str]


def find(raw: Sequence[str], store: Path | None = None) -> Found:
    """Finds raw files.

    Args:
        raw: Files, folders (searched to any depth) and glob patterns (`**` goes to any depth).
        store: The store's folder, which is no raw file's even if it lies below a folder that is searched.

    Raises:
        UsageError: A file or folder does not exist.
    """
    found: set[Path] = set()
    left_alone: set[str] = set()
    without = None if store is None else store.resolve()
    for name in raw:
        if not name:
            raise UsageError("an empty path; is a variable of the shell not set?")
        path = Path(name)
        try:
            if path.is_dir():
                for file in _walk(path.resolve(), without):
                    if _is_left_alone(file.name):
                        left_alone.add(_name(file))
                    else:
                        found.add(file)
            elif path.exists():
                found.add(path.parent.resolve() / path.name)
            elif glob.has_magic(name):
                found.update(Path(match).resolve() for match in glob.iglob(name, recursive=True) if Path(match).is_file())
            else:
                raise UsageError(f"there is no file or folder {name}")
        except OSError as error:
            raise UsageError(f"cannot look at {name}: {error.strerror}") from None
    return Found(sorted(found), sorted(left_alone))


def _walk(folder: Path, without: Path | None) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_left_alone(name) and Path(parent, name) != without]
        yield from (Path(parent, name) for name in names)


def _is_left_alone(name: str) -> bool:
    return name.startswith(_LEFT_ALONE_PREFIXES) or name.endswith(_LEFT_ALONE_SUFFIXES)


def plan(
    found: Found,
    index: Index,
    same_content: SameContent,
    min_age_seconds: float = 0,
    map_sources: Callable[[Callable[[Source], str | SourceError], Iterable[Source]], Iterable[str | SourceError]] = map,
) -> Plan:
    """Decides what to do with each source.

    Args:
        found: What `find` gives.
        index: What was counted before.
        same_content: Whether a file is skipped, or counted, whose content was counted from another path.
        min_age_seconds: Files that were modified less than so long ago are left alone.
        map_sources: Applies a function to sources, perhaps in parallel; the results in their order.
    """
    made = Plan(left_alone=found.left_alone)
    unread = list(_sift(found.files, index, min_age_seconds, made))
    counted: dict[str, str] = {}  # digest -> the path from which this run counts it
    for source, digest in zip(unread, map_sources(_digest_or_error, unread), strict=True):
        if isinstance(digest, SourceError):
            made.failed.append(Failure(source.name, str(digest)))
            continue
        identified = replace(source, digest=digest)
        earlier = index.paths_of(digest)
        if source.name in earlier:
            made.known.append(identified)
        elif same_content == "skip" and (earlier or digest in counted):
            made.twins.append((identified, earlier[0] if earlier else counted[digest]))
        elif index.knows_path(source.name):
            made.changed.append(identified)
        else:
            counted.setdefault(digest, source.name)
            made.new.append(identified)
    return made


def _sift(paths: Sequence[Path], index: Index, min_age_seconds: float, made: Plan) -> Iterator[Source]:
    """Decides what can be decided without reading; gives the sources that must be read."""
    now = time.time()
    for path in paths:
        try:
            source = Source.at(path)
        except SourceError as error:
            made.failed.append(Failure(_name(path), str(error)))
            continue
        if now - source.mtime_ns / 1e9 < min_age_seconds:
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
