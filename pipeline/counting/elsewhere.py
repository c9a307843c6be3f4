"""Counting where nothing is shared with the run but a folder: in another process, or on another machine.

What goes there are the names of the sources and how they are read. What comes back is a small record; the totals and the rejected
rows are in files of the folder. A cluster may carry a task out twice, or a worker may go on when nobody waits for it any more. So
each execution makes files of its own, under names that no other has; the run takes only those that came back as a result, and checks
them. All others are swept with the folder.
"""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline import digests, scalars
from pipeline.counting.count import GroupCount, Limits, count_group
from pipeline.counting.rejects import RejectSpool
from pipeline.counting.reports import Reports
from pipeline.counting.sourcecount import SourceCount
from pipeline.counting.sources import Source
from pipeline.counting.totals import HourlyTotals
from pipeline.errors import ClusterFailed, FolderNotShared, OtherBuild, SourceError, UnreadableSource, UsageError
from pipeline.kernel.library import kernel_version
from pipeline.options import ReadOptions
from pipeline.process import keep_freed_memory

#: A worker looks so often whether its folder is still there: where the run has ended without it, it stops.
_LOOK_SECONDS = 1.0
_BLOCK = 1 << 18


@dataclass(frozen=True)
class PartialFile:
    """A file with partial totals or rejected rows, as it was when it was written.

    Attributes:
        path: Where it is, absolute.
        size: In bytes.
        digest: XXH3-128 of its bytes, in hexadecimal.
    """

    path: str
    size: int
    digest: str

    @classmethod
    def at(cls, path: str) -> PartialFile:
        """Reads a file. Raises OSError if it cannot be read."""
        taken, size = digests.new_digest(), 0
        with Path(path).open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                taken.update(block)
                size += len(block)
        return cls(path, size, taken.hexdigest())


@dataclass(frozen=True)
class Partial:
    """What a group of sources added, as it travels: all that is large lies in `files`.

    Attributes:
        host: The machine where it was counted.
        results, totals, rejects, reports: As `GroupCount` has them; nothing of the totals and the rejects is in memory.
        files: The files that these are in.
    """

    host: str
    results: list[SourceCount | SourceError]
    totals: HourlyTotals
    rejects: RejectSpool
    reports: Reports
    files: list[PartialFile]

    def taken(self) -> GroupCount:
        """What the group added, once the files are seen to be what the worker wrote.

        Raises:
            ClusterFailed: They are not.
        """
        for file in self.files:
            try:
                found = PartialFile.at(file.path)
            except OSError as error:
                raise ClusterFailed(
                    f"what the machine {self.host} wrote cannot be read here: {file.path}: {error.strerror}"
                ) from None
            if found != file:
                raise ClusterFailed(
                    f"what the machine {self.host} wrote is something else here: {file.path} has {found.size:,} bytes with the"
                    f" digest {found.digest}, and was written with {file.size:,} and {file.digest}"
                )
        return GroupCount(self.results, self.totals, self.rejects, self.reports)


@cache
def own_build() -> tuple[str, str]:
    """The versions of this flowlog, and of its kernel."""
    return scalars.version(), kernel_version()


def job_of(sources: Sequence[Source], options: ReadOptions, limits: Limits, folder: Path, *, is_near: bool = False) -> bytes:
    """What `count_elsewhere` takes, which are the arguments of `count_group`, and whether this machine counts. Contents do not travel, even
    where they are in memory.
    """
    return pickle.dumps(([source.without_text() for source in sources], options, limits, str(folder.absolute()), is_near))


def count_elsewhere(build: tuple[str, str], job: bytes) -> Partial:
    """Counts sources as `count_group` does, and leaves what is large in the folder.

    Args:
        build: The versions of the run's flowlog and kernel. It is checked first: another version may not understand the job.
        job: What `job_of` gives.

    Raises:
        OtherBuild: This flowlog is another.
        FolderNotShared: The folder is not there.
        UsageError, StrictRunStopped, SumOverflow, OSError: As `count_group`; the first names the machine.
    """
    host = socket.gethostname()
    if own_build() != build:
        raise OtherBuild(host, own_build(), build)
    sources, options, limits, folder, is_near = pickle.loads(job)  # noqa: S301 - it comes from who may run anything here
    if not Path(folder).is_dir():
        raise FolderNotShared(host, folder)
    keep_freed_memory()  # Dask has its workers give back each bit of it at once, which takes half as long again
    seen: list[Source | SourceError] = sources if is_near else [_seen_here(source, host) for source in sources]
    try:
        group = count_group(
            [source for source in seen if isinstance(source, Source)], options, limits, folder, _WhileWanted(Path(folder))
        )
    except UsageError as error:
        raise UsageError(f"{error}, on the machine {host}") from None
    group.totals.to_disk()
    group.rejects.to_disk()
    files = [PartialFile.at(path) for path in (*group.totals.paths, *group.rejects.paths)]
    results = group.results if is_near else list(_in_order(seen, group, host))
    return Partial(host, results, group.totals, group.rejects, group.reports, files)


def _seen_here(source: Source, host: str) -> Source | SourceError:
    """A source as this machine sees it, or why it does not."""
    try:
        return source.seen_here()
    except UnreadableSource as error:
        return _on(host, error)
    except SourceError as error:
        return error


def _in_order(seen: Sequence[Source | SourceError], group: GroupCount, host: str) -> Iterator[SourceCount | SourceError]:
    """What came of each source; of those that this machine may not read, the error names the machine."""
    counted = iter(group.results)
    for source in seen:
        result = next(counted) if isinstance(source, Source) else source
        is_refused = isinstance(source, Source) and isinstance(result, UnreadableSource) and not source.is_readable()
        yield _on(host, result) if is_refused else result


def _on(host: str, error: UnreadableSource | SourceCount | SourceError) -> UnreadableSource:
    return UnreadableSource(f"{error}, on the machine {host}")


class _Unwanted(Exception):
    """The folder is gone: the run has ended, and nobody waits for the result."""


class _WhileWanted:
    """Is told how far the counting has come, and ends it where nobody waits for it any more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = time.monotonic() + _LOOK_SECONDS

    def __call__(self, *_: int) -> None:
        if time.monotonic() >= self._next:
            if not os.path.isdir(self._folder):  # noqa: PTH112 - it says no where the operating system does not answer
                raise _Unwanted
            self._next = time.monotonic() + _LOOK_SECONDS
