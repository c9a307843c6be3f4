"""Groups of sources, counted over an executor: of threads, of processes, or of other machines."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from pipeline.counting.count import GroupCount, Limits, count_group
from pipeline.counting.elsewhere import Partial, count_elsewhere, job_of, own_build
from pipeline.counting.rejects import RejectSpool
from pipeline.counting.reports import Reports
from pipeline.counting.sources import Source
from pipeline.counting.totals import HourlyTotals
from pipeline.errors import ClusterFailed, FlowlogError
from pipeline.options import ReadOptions

#: Sources are counted together, so many groups for each that is counted at once: what was begun last should not keep all others waiting.
_ROUNDS = 4
#: A group here has so many bytes and sources. It takes its share of what is left: the last ones are small.
_LEAST_BYTES, _MOST_BYTES, _MOST_SOURCES = 1 << 18, 1 << 25, 1024
#: To open a file elsewhere, to know what it is and to tell of it, takes as long as to count so many bytes.
_FILE_BYTES = 1 << 17
#: Groups that travel are of one size, within these bounds: most keys come again in each group, and the run merges them all alone. With
#: 100,000 keys an hour, larger and smaller bounds took longer in a simulation (`benchmarks.scale`) of hundreds of workers.
_LEAST_GROUP_BYTES, _MOST_GROUP_BYTES, _MOST_GROUP_SOURCES = 1 << 23, 1 << 30, 4096
#: Workers elsewhere have so many groups more than they count at once, so that none waits for the next; and so often, in seconds, the run
#: looks whether they are still there.
_AHEAD, _LOOK_SECONDS = 2, 1.0
#: The bytes of rejects that wait in memory until all groups are counted.
_REJECTS_IN_MEMORY = 16 << 20


class Progress(Protocol):
    """Is told how far a run has come."""

    def start(self, total_bytes: int) -> None:
        """The run will read so many bytes of raw files."""

    def advance(self, raw_bytes: int, rows: int) -> None:
        """So much more was read. Called from several threads."""


class Watch(Protocol):
    """Knows the workers of an executor that may come and go."""

    @property
    def width(self) -> int:
        """How many groups they count at once now."""

    def check(self) -> None:
        """Raises ClusterFailed where there is nobody to wait for."""

    def explained(self, error: Exception) -> Exception:
        """What is to be raised for an error that came instead of a result."""


@dataclass(frozen=True)
class Pool:
    """Counts groups of sources, several at once.

    Attributes:
        executor: Where they are counted: in threads of this process, or wherever else it has them counted (see `elsewhere`).
        width: How many groups it counts at once.
        limits: What each group may take.
        folder: For what does not fit into memory.
        progress: Is told how far the counting has come: by threads while they read, else when a group is done.
        watch: Knows whether the workers are there, where they may come and go.
        is_near: Whether they are processes of this machine.
    """

    executor: Executor
    width: int
    limits: Limits
    folder: Path
    progress: Progress | None = None
    watch: Watch | None = None
    is_near: bool = False

    def count(self, sources: Sequence[Source], options: ReadOptions) -> GroupCount:
        """Counts sources as one group. Raises what `count_group` raises."""
        totals, reports = HourlyTotals(self.folder, self.limits.totals_bytes), Reports()
        waiting = list[RejectSpool]()
        counted: dict[int, GroupCount] = {}
        for number, group in self.count_each(self._groups_of(sources), options):
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
        told, running = _TellingThreads(self.progress), dict[Future[GroupCount | Partial], tuple[int, int]]()
        try:
            for number, sources in enumerate(groups):
                future = self._submit(sources, options, told)
                running[future] = number, 0 if self._is_here else sum(source.size for source in sources)
                while len(running) > (self._width if self._is_here else _AHEAD * self._width):
                    yield from self._done(running)
            while running:
                yield from self._done(running)
        finally:
            told.stop.set()
            if running and not self._is_here:
                self._give_up()
            wait([future for future in running if not future.cancel()])

    def _groups_of(self, sources: Sequence[Source]) -> Iterator[list[Source]]:
        if self._is_here:
            return groups_of(sources, self._width)
        return (near_groups_of if self.is_near else travelling_groups_of)(sources, self._width)

    def _give_up(self) -> None:
        """Has workers elsewhere stop, which they do once their folder is not there."""
        with suppress(OSError):
            self._attempt.rename(f"{self._attempt}-given-up")

    @property
    def _is_here(self) -> bool:
        """Whether the groups are counted in this process, and what they give needs not travel."""
        return isinstance(self.executor, ThreadPoolExecutor)

    @property
    def _width(self) -> int:
        return self.watch.width if self.watch else self.width

    @cached_property
    def _attempt(self) -> Path:
        """A folder of this pool's own: a machine that sees the folder shares the disk, and nobody waits for a worker that does not see
        the folder any more.
        """
        folder = self.folder.absolute() / f"workers-{secrets.token_hex(8)}"
        folder.mkdir()
        return folder

    def _submit(
        self, sources: Sequence[Source], options: ReadOptions, told: _TellingThreads
    ) -> Future[GroupCount | Partial]:
        submit: Callable[..., Future[GroupCount | Partial]] = self.executor.submit
        if self._is_here:
            return submit(count_group, sources, options, self.limits, str(self.folder), told)
        try:
            job = job_of(sources, options, self.limits, self._attempt, is_near=self.is_near)
            return submit(count_elsewhere, own_build(), job)
        except Exception as error:
            raise self._explained(error) from error

    def _done(self, running: dict[Future[GroupCount | Partial], tuple[int, int]]) -> Iterator[tuple[int, GroupCount]]:
        """Takes out the groups that are done, once one is."""
        while not (done := wait(running, _LOOK_SECONDS if self.watch else None, FIRST_COMPLETED).done):
            if self.watch:
                self.watch.check()
        for future in done:
            number, size = running.pop(future)
            group = self._result_of(future)
            if size and self.progress:
                self.progress.advance(size, group.read)
            yield number, group
        if self.watch and running:  # others may have come, and are to have their groups
            self.watch.check()

    def _result_of(self, future: Future[GroupCount | Partial]) -> GroupCount:
        try:
            result = future.result()
        except Exception as error:
            explained = self._explained(error)
            if explained is error:
                raise
            raise explained from error
        return result.taken() if isinstance(result, Partial) else result

    def _explained(self, error: Exception) -> Exception:
        """What is to be raised for an error that came instead of a result."""
        if isinstance(error, FlowlogError):
            return error
        if self.watch:
            return self.watch.explained(error)
        if isinstance(error, BrokenExecutor | CancelledError):
            return ClusterFailed(f"the executor has given the work up: {error or type(error).__name__}")
        return error


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


def groups_of(sources: Sequence[Source], width: int) -> Iterator[list[Source]]:
    """Cuts a list of sources into groups for workers here: large ones at first, and small ones in the end, when others have no more work.

    Args:
        sources: The sources.
        width: How many groups are counted at once.
    """
    return _groups(
        sources,
        lambda source: source.size,
        lambda left: _within(left // (_ROUNDS * width), _LEAST_BYTES, _MOST_BYTES),
        _MOST_SOURCES,
    )


def travelling_groups_of(sources: Sequence[Source], width: int) -> Iterator[list[Source]]:
    """Cuts a list of sources into groups for workers elsewhere: fewer ones, and of much the same size, as far as sources let them."""
    share = sum(map(_work_elsewhere, sources)) // (_ROUNDS * width)
    most = _within(share, _LEAST_GROUP_BYTES, _MOST_GROUP_BYTES)
    return _groups(sources, _work_elsewhere, lambda _: most, _MOST_GROUP_SOURCES)


def near_groups_of(sources: Sequence[Source], width: int) -> Iterator[list[Source]]:
    """Cuts a list of sources into groups for processes of this machine: as travelling ones, but small ones in the end, as they are for
    threads. What a group costs beside its sources is little here, and a processor without work is much of two.
    """

    def most_of(left: int) -> int:
        return _within(left // (_ROUNDS * width), _LEAST_GROUP_BYTES, _MOST_GROUP_BYTES)

    return _groups(sources, _work_elsewhere, most_of, _MOST_GROUP_SOURCES)


def _work_elsewhere(source: Source) -> int:
    return source.size + _FILE_BYTES


def _within(size: int, least: int, most: int) -> int:
    return min(max(size, least), most)


def _groups(
    sources: Sequence[Source], size_of: Callable[[Source], int], most_of: Callable[[int], int], most_sources: int
) -> Iterator[list[Source]]:
    """Cuts a list of sources into groups.

    Args:
        sources: The sources.
        size_of: Gives what a source adds to its group, in bytes.
        most_of: Gives the most bytes of a group, unless it is one source, from the bytes of all that are in none yet.
        most_sources: The most sources of a group.
    """
    left = sum(map(size_of, sources))
    group: list[Source] = []
    group_size = 0
    for source in sources:
        size = size_of(source)
        if group and (group_size + size > most_of(left) or len(group) == most_sources):
            yield group
            left -= group_size
            group, group_size = [], 0
        group.append(source)
        group_size += size
    if group:
        yield group
