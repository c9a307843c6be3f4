"""Every path of a store. Nothing else joins path strings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import TypeVar

from pipeline.digests import digest_of_bytes
from pipeline.errors import UsageError
from pipeline.hours import LAST_HOUR
from pipeline.scalars import INT64_MAX
from pipeline.store.files import Files, Move, PosixFiles

T = TypeVar("T")
R = TypeVar("R")

# Patterns are compiled when they are asked for: a run needs one of them.
_HOUR = r"hour=([1-9]\d{0,18})"  # never zero-padded: readers would take hour=01 for a text
#: A run's number as a name: eight digits, and more only where eight are too few.
_RUN_ID = r"(?!0{8})[0-9]{8}|[1-9][0-9]{8,}"
_RUN = rf"run=({_RUN_ID})"
_RECORD = rf"({_RUN_ID})\.json"
_ATTEMPT = rf"((?:{_RUN_ID})-[0-9a-f]{{16}})"
_PART = "part-0.parquet"
_PARTITION = rf"{_HOUR}/{re.escape(_PART)}"
#: So many files are looked at ahead, for each thread.
_AHEAD = 4
#: A partition with rows has more bytes: one without rows has no pages, and its footer no place for them.
_WITHOUT_ROWS = 1000
#: Hours, a month of them, that are looked for in less time than a store of years takes to list its own.
_SHORT_RANGE = 31 * 24
_SEGMENT = r"([0-9A-Za-z-]+\.(?:accept|reject)\.jsonl)"


def run_id_of(number: int) -> str:
    """A run's number as people see it, and as it stands in names."""
    return f"{number:08d}"


def is_segment(path: str) -> bool:
    """Whether a source's path in the ledger is that of a file of a service's log. The store may have been somewhere else then."""
    *_, folder, name = ("", *path.split("/"))
    return folder == "wal" and re.fullmatch(_SEGMENT, name) is not None


def run_id_of_attempt(attempt: str) -> str:
    """The run that an attempt is to commit."""
    return attempt.partition("-")[0]


def _in_name(version: str) -> str:
    """A version as a part of a name: no medium's own characters."""
    from base64 import urlsafe_b64encode  # in a bucket alone

    return urlsafe_b64encode(version.encode()).decode().rstrip("=")


def _from_name(text: str) -> str:
    from base64 import urlsafe_b64decode  # as above

    return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


@dataclass(frozen=True)
class Locations:
    """The paths of a store, and the operations on the files there.

    Attributes:
        root: The store: a folder, or a prefix in a bucket.
        files: The operations.
        machine: Where this machine keeps what it has of a store in a bucket; None for the user's folders by XDG's rules.
    """

    root: PurePath
    files: Files = field(default_factory=PosixFiles, repr=False, compare=False)
    machine: Path | None = field(default=None, repr=False, compare=False)

    @classmethod
    def at(cls, store: str | os.PathLike[str]) -> Locations:
        """The store in a folder, or behind a URL.

        Raises:
            UsageError: The URL is not one of a bucket.
        """
        text = os.fspath(store)
        if "://" in text:  # a folder needs nothing of buckets, whose import takes its time
            from pipeline.objectpath import is_url, object_path
            from pipeline.store.objects import ObjectFiles

            if is_url(text):
                root = object_path(text)
                return cls(root, ObjectFiles(root))
        return cls(Path(text))

    def exist(self) -> bool:
        """Whether there is a store.

        Raises:
            StoreUnreadable: The medium does not say.
        """
        if not isinstance(self.root, Path):
            return self.wal.is_dir() or self.files.exists(self.record_of(run_id_of(1)))
        return any(self.files.exists(path) for path in (self.lock, self.runs, self.flows, self.wal))

    @property
    def name(self) -> str:
        """The store as people and records have it: the whole path of a folder, or a URL."""
        return str(self.root.absolute() if isinstance(self.root, Path) else self.root)

    @cached_property
    def local(self) -> Path:
        """A folder of this machine, with what is no file of the store: the lock, the index, what a run puts aside. In a bucket
        nothing of it could be; the folder is a cache then.
        """
        return self._on_machine("XDG_CACHE_HOME", ".cache")

    def _on_machine(self, variable: str, otherwise: str) -> Path:
        if isinstance(self.root, Path):
            return self.root
        folder = self.machine or Path(os.environ.get(variable) or self._in_home(otherwise, variable)) / "flowlog"
        return folder / f"{self.root.name}-{digest_of_bytes(self.name.encode())[:16]}"

    def _in_home(self, folder: str, variable: str) -> Path:
        try:
            return Path.home() / folder
        except RuntimeError:  # as in a container, whose system may not know the user
            problem = f"this user has no home folder for what this machine keeps of the store {self.name}"
            raise UsageError(f"{problem}: set HOME, or {variable}") from None

    @property
    def flows(self) -> PurePath:
        return self.root / "flows"

    @property
    def rejects(self) -> PurePath:
        return self.root / "rejects"

    @property
    def runs(self) -> PurePath:
        return self.root / "runs"

    @property
    def staging(self) -> PurePath:
        return self.root / "staging"

    @property
    def snapshots(self) -> PurePath:
        """The folder with snapshots of the index, in a bucket."""
        return self.root / "snapshots"

    @property
    def index(self) -> Path:
        return self.local / "ledger.sqlite"

    @property
    def lock(self) -> Path:
        return self.local / "lock"

    @property
    def scratch(self) -> Path:
        """The folder for what the run that holds the lock must put aside while it works."""
        return self.local / "staging" / "scratch"

    @cached_property
    def wal(self) -> Path:
        """The folder of the service's log. This is no cache: what the log has is acknowledged, and stands nowhere else."""
        return self._on_machine("XDG_STATE_HOME", ".local/state") / "wal"

    @property
    def service_lock(self) -> Path:
        return self.wal / "lock"

    @property
    def moves(self) -> Path:
        """The notes of which run is moving which segment."""
        return self.wal / "moves.jsonl"

    @property
    def damaged(self) -> Path:
        """The folder with files of the service's log that the disk has damaged."""
        return self.wal / "damaged"

    def damaged_files(self) -> list[Path]:
        """Those files."""
        return [self.damaged / name for name in sorted(_matching(_ON_MACHINE.list(self.damaged), r"(.+)"))]

    @property
    def keys(self) -> Path:
        """The Idempotency-Keys of requests whose segments are gone."""
        return self.wal / "keys.sqlite"

    def segment(self, name: str) -> Path:
        """A file of the service's log."""
        return self.wal / name

    def segments(self) -> list[str]:
        """The files of the service's log, oldest first."""
        return sorted(_matching(_ON_MACHINE.list(self.wal), _SEGMENT))

    def partition(self, hour: int) -> PurePath:
        """The file with an hour's totals."""
        return self.flows / f"hour={hour}" / _PART

    def partition_name(self, hour: int) -> str:
        """The same path as a text: where thousands are opened, a `Path` takes as long to make as a small file to open."""
        return f"{self._flows_name}/hour={hour}/{_PART}"

    @cached_property
    def _flows_name(self) -> str:
        return str(self.flows)

    def rejects_of(self, run_id: str) -> PurePath:
        """The file with the rows that a run rejected."""
        return self.rejects / f"run={run_id}" / _PART

    def record_of(self, run_id: str) -> PurePath:
        """A run's record in the ledger."""
        return self.runs / f"{run_id}.json"

    def staging_of(self, attempt: str) -> PurePath:
        """The work of an attempt to commit a run, before its commit."""
        return self.staging / attempt

    def staged(self, attempt: str, final: PurePath, over: str = "") -> PurePath:
        """Where an attempt stages the file that will be `final`.

        All in one folder, under their paths with `%` for `/`: a run that changes thousands of hours need not make, sync
        and remove thousands of folders twice. Where files have versions, the name ends with the version over which the file was
        made, so that whoever finishes the run knows what the file may take the place of.
        """
        name = self.path_in_store(final).replace("/", "%")
        return self.staging_of(attempt) / (f"{name}@{_in_name(over)}" if self.files.has_versions else name)

    def move_of(self, attempt: str, staged: str) -> Move:
        """How a staged file gets to its place, by its name in the staging folder."""
        name, _, over = staged.partition("@")
        return Move(self.staging_of(attempt) / staged, self.root / name.replace("%", "/"), _from_name(over))

    def is_waiting(self, attempt: str, final: PurePath) -> bool:
        """Whether a file that an attempt has staged is still to be moved to its place."""
        if not self.files.has_versions:
            return self.files.exists(self.staged(attempt, final))
        moves = (self.move_of(attempt, name) for name in self.files.list(self.staging_of(attempt)))
        return any(move.target == final for move in moves)

    def path_in_store(self, final: PurePath) -> str:
        """The path of a file from the store on, as the ledger has it."""
        return final.relative_to(self.root).as_posix()

    def hours(self, first: int = 1, until: int = INT64_MAX + 1) -> list[int]:
        """The hours from `first` on and before `until` that have a partition, in a bucket one with rows, in order."""
        if self.is_listed:
            return sorted(self.listed_within(first, until))
        return [hour for hour in self.hours_within(first, until) if self.files.exists(self.partition_name(hour))]

    def newest_hour(self) -> int:
        """The newest hour that has a partition, as `hours` has it; 1 in a store without any, as good as any other."""
        hours = reversed(self.hours_within(1, LAST_HOUR + 1))
        return next((hour for hour in hours if self.is_listed or self.files.exists(self.partition_name(hour))), 1)

    def sizes(self) -> Mapping[int, int]:
        """The sizes in bytes of the partitions of the same hours, in order."""
        if self.is_listed:
            return dict(sorted(self.listed_within(1, INT64_MAX + 1).items()))
        return {hour: self.files.size(self.partition_name(hour)) for hour in self.hours()}

    def hours_within(self, first: int, until: int) -> Sequence[int]:
        """The hours from `first` on and before `until` that may have a partition, in order; no other has one.

        One that is not there costs its reader less than to be left out here: of a short range, however many hours the store
        has, all are given; of a long one those that have a folder, which a run that was cut off may have left without a file.
        In a bucket, to look for one hour is a request, and so is a listing of a thousand.
        """
        until = min(until, INT64_MAX + 1)
        if self.is_listed:
            return [first] if until - first == 1 else sorted(self.listed_within(first, until))
        if until - first <= _SHORT_RANGE and self.files.exists(f"{self._flows_name}/"):
            return range(first, until)
        return sorted(hour for name in self._names(self.flows, _HOUR) if first <= (hour := int(name)) < until)

    def map_many(self, look: Callable[[T], R], values: Sequence[T]) -> Iterator[R]:
        """What looking at many files one by one gives, in their order; some at once where each waits for an answer."""
        if (self.files.threads or 1) == 1 or len(values) < 2:
            yield from map(look, values)
            return
        from concurrent.futures import ThreadPoolExecutor  # on a disk nobody needs it

        some = _AHEAD * (self.files.threads or 1)
        with ThreadPoolExecutor(self.files.threads) as pool:
            for start in range(0, len(values), some):  # what nobody has taken yet is in memory
                yield from pool.map(look, values[start : start + some])

    @property
    def is_listed(self) -> bool:
        """Whether many files are looked for by a listing, rather than one by one."""
        return self.files.threads is not None

    def listed_within(self, first: int, until: int) -> Mapping[int, int]:
        """The sizes in bytes of the partitions of some hours, by a listing; without those that have no rows.

        Nothing is deleted below `flows/` in a bucket: a process that was stopped in the middle of it would delete what a later
        run has put there. An hour that loses its rows keeps a partition without rows.
        """
        partition = re.compile(_PARTITION)
        return {
            hour: size
            for name, size in self.files.sizes(self.flows).items()
            if size > _WITHOUT_ROWS and (match := partition.fullmatch(name)) and first <= (hour := int(match[1])) < until
        }

    def runs_with_rejects(self) -> list[str]:
        """The runs that rejected rows, oldest first."""
        return sorted(self._names(self.rejects, _RUN), key=int)

    def run_numbers(self) -> list[int]:
        """The numbers of the committed runs, oldest first. This lists `runs/`, which a run need not do."""
        return sorted(map(int, self._names(self.runs, _RECORD)))

    def run_ids(self) -> list[str]:
        """The committed runs, oldest first."""
        return [run_id_of(number) for number in self.run_numbers()]

    def find_run(self, number: str) -> str:
        """The committed run of this number, which may lack the zeros before it.

        Raises:
            UsageError: There is none.
        """
        run_id = number.rjust(len(run_id_of(0)), "0")
        if not re.fullmatch(_RUN_ID, run_id) or not self.files.exists(self.record_of(run_id)):
            raise UsageError(f"there is no run {number}; `flowlog runs` lists them")
        return run_id

    def staged_runs(self) -> list[str]:
        """The attempts to commit a run that have not cleared their staging folder, by the run's number."""
        return sorted(self._names(self.staging, _ATTEMPT), key=lambda attempt: int(run_id_of_attempt(attempt)))

    def _names(self, folder: PurePath, pattern: str) -> list[str]:
        """The captured part of each name in a folder that matches; none if there is no folder. Raises what `Files.list` does."""
        return _matching(self.files.list(folder), pattern)


#: The files of the service's log.
_ON_MACHINE = PosixFiles()


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    if not names:
        return []
    compiled = re.compile(pattern)
    return [match[1] for name in names if (match := compiled.fullmatch(name))]
