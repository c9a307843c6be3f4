"""Groups of sources, counted over an executor: of threads, of processes, or of other machines."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.counting.content import SMALL_BYTES
from pipeline.counting.count import GroupCount, Limits, count_group
from pipeline.counting.rejects import RejectSpool
from pipeline.counting.reports import Reports
from pipeline.counting.sources import Source
from pipeline.counting.totals import HourlyTotals
from pipeline.options import ReadOptions

#: Small sources are counted together, in groups of up to so many bytes and sources.
_GROUP_BYTES, _GROUP_SOURCES = 1 << 23, 1024
#: The bytes of rejects that wait in memory until all groups are counted.
_REJECTS_IN_MEMORY = 16 << 20


class Progress(Protocol):
    """Is told how far a run has come."""

    def start(self, total_bytes: int) -> None:
        """The run will read so many bytes of raw files."""

    def advance(self, raw_bytes: int, rows: int) -> None:
        """So much more was read. Called from several threads."""


@dataclass(frozen=True)
class Pool:
    """Counts groups of sources, several at once.

    Attributes:
        executor: Where they are counted.
        width: How many groups it counts at once; as many and one more are handed to it at a time.
        limits: What each group may take.
        folder: For what does not fit into memory.
        progress: Is told how far the counting has come: by threads while they read, else when a group is done.
    """

    executor: Executor
    width: int
    limits: Limits
    folder: Path
    progress: Progress | None = None

    def count(self, sources: Iterable[Source], options: ReadOptions) -> GroupCount:
        """Counts sources as one group. Raises what `count_group` raises."""
        totals, reports = HourlyTotals(self.folder, self.limits.totals_bytes), Reports()
        waiting = list[RejectSpool]()
        counted: dict[int, GroupCount] = {}
        for number, group in self.count_each(groups_of(sources), options):
            totals.merge(group.totals)
            reports.merge(group.reports)
            counted[number] = group
            waiting = _within_memory([*waiting, group.rejects])
        rejects = RejectSpool(self.folder)
        results = []
        for number in sorted(counted):
            results += counted[number].results
            rejects.merge(counted[number].rejects)
        return GroupCount(results, totals, rejects, reports)

    def count_each(self, groups: Iterable[Sequence[Source]], options: ReadOptions) -> Iterator[tuple[int, GroupCount]]:
        """Counts groups; gives each, with its place among them, as it is done. Raises what `count_group` raises.

        What is being read when the caller stops, or an error is met, is given up.
        """
        told, running = _TellingThreads(self.progress), dict[Future[GroupCount], tuple[int, int]]()
        in_threads = isinstance(self.executor, ThreadPoolExecutor)
        try:
            for number, sources in enumerate(groups):
                arguments = (sources, options, self.limits, str(self.folder), *((told,) if in_threads else ()))
                future = self.executor.submit(count_group, *arguments)
                running[future] = number, 0 if in_threads else sum(source.size for source in sources)
                if len(running) > self.width:
                    yield from self._done(running)
            while running:
                yield from self._done(running)
        finally:
            told.stop.set()
            wait([future for future in running if not future.cancel()])

    def _done(self, running: dict[Future[GroupCount], tuple[int, int]]) -> Iterator[tuple[int, GroupCount]]:
        """Takes out the groups that are done, once one is."""
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            number, size = running.pop(future)
            group = future.result()
            if size and self.progress:
                self.progress.advance(size, group.read)
            yield number, group


class _Stopped(Exception):
    """The counting was given up."""


class _TellingThreads:
    """What is told of threads while they read, until they are to stop."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self.stop = threading.Event()

    def __call__(self, raw_bytes: int, rows: int) -> None:
        if self.stop.is_set():
            raise _Stopped
        if self._progress:
            self._progress.advance(raw_bytes, rows)


def _within_memory(spools: list[RejectSpool]) -> list[RejectSpool]:
    """Has the rejects of groups wait on disk once they are many together, though few in each: those that are still in memory."""
    if sum(spool.nbytes for spool in spools) <= _REJECTS_IN_MEMORY:
        return spools
    for spool in spools:
        spool.to_disk()
    return []


def groups_of(sources: Iterable[Source]) -> Iterator[list[Source]]:
    """Cuts a list of sources into groups: a big one is a group of its own, small ones that lie side by side share one."""
    group: list[Source] = []
    size = 0
    for source in sources:
        if group and (source.size >= SMALL_BYTES or size + source.size > _GROUP_BYTES or len(group) == _GROUP_SOURCES):
            yield group
            group, size = [], 0
        group.append(source)
        size += source.size
        if source.size >= SMALL_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
