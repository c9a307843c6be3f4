"""Every path of a store. Nothing else joins path strings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.scalars import INT64_MAX
from pipeline.store.files import Files, PosixFiles

_HOUR = re.compile(r"hour=([1-9]\d{0,18})")  # never zero-padded: readers would take hour=01 for a text
#: A run's number as a name: eight digits, and more only where eight are too few.
_RUN_ID = r"(?!0{8})[0-9]{8}|[1-9][0-9]{8,}"
_RUN = re.compile(rf"run=({_RUN_ID})")
_RECORD = re.compile(rf"({_RUN_ID})\.json")
_ATTEMPT = re.compile(rf"((?:{_RUN_ID})-[0-9a-f]{{16}})")
_PART = "part-0.parquet"
#: Hours, a month of them, that are looked for in less time than a store of years takes to list its own.
_SHORT_RANGE = 31 * 24
_SEGMENT = re.compile(r"([0-9A-Za-z-]+\.(?:accept|reject)\.jsonl)")


def run_id_of(number: int) -> str:
    """A run's number as people see it, and as it stands in names."""
    return f"{number:08d}"


def is_segment(path: str) -> bool:
    """Whether a source's path in the ledger is that of a file of a service's log. The store may have been somewhere else then."""
    *_, folder, name = ("", *path.split("/"))
    return folder == "wal" and _SEGMENT.fullmatch(name) is not None


def run_id_of_attempt(attempt: str) -> str:
    """The run that an attempt is to commit."""
    return attempt.partition("-")[0]


@dataclass(frozen=True)
class Locations:
    """The paths of the store in the folder `root`, and the operations on the files there."""

    root: Path
    files: Files = field(default_factory=PosixFiles, repr=False, compare=False)

    def exist(self) -> bool:
        """Whether there is a store.

        Raises:
            StoreUnreadable: The operating system does not say.
        """
        return any(self.files.exists(path) for path in (self.lock, self.runs, self.flows, self.wal))

    @property
    def flows(self) -> Path:
        return self.root / "flows"

    @property
    def rejects(self) -> Path:
        return self.root / "rejects"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def staging(self) -> Path:
        return self.root / "staging"

    @property
    def index(self) -> Path:
        return self.root / "ledger.sqlite"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def wal(self) -> Path:
        return self.root / "wal"

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
        return [self.damaged / name for name in sorted(self._names(self.damaged, re.compile(r"(.+)")))]

    @property
    def keys(self) -> Path:
        """The Idempotency-Keys of requests whose segments are gone."""
        return self.wal / "keys.sqlite"

    def segment(self, name: str) -> Path:
        """A file of the service's log."""
        return self.wal / name

    def segments(self) -> list[str]:
        """The files of the service's log, oldest first."""
        return sorted(self._names(self.wal, _SEGMENT))

    def partition(self, hour: int) -> Path:
        """The file with an hour's totals."""
        return Path(self.partition_name(hour))

    def partition_name(self, hour: int) -> str:
        """The same as a text, for who opens thousands: a `Path` takes as long to make as a small file to open."""
        return f"{self._flows_name}/hour={hour}/{_PART}"

    @cached_property
    def _flows_name(self) -> str:
        return str(self.flows)

    def rejects_of(self, run_id: str) -> Path:
        """The file with the rows that a run rejected."""
        return self.rejects / f"run={run_id}" / _PART

    def record_of(self, run_id: str) -> Path:
        """A run's record in the ledger."""
        return self.runs / f"{run_id}.json"

    def staging_of(self, attempt: str) -> Path:
        """The work of an attempt to commit a run, before its commit."""
        return self.staging / attempt

    def staged(self, attempt: str, final: Path) -> Path:
        """Where an attempt stages the file that will be `final`.

        All in one folder, under their paths with `%` for `/`: a run that changes thousands of hours need not make, sync
        and remove thousands of folders twice.
        """
        return self.staging_of(attempt) / final.relative_to(self.root).as_posix().replace("/", "%")

    def final_of(self, staged: str) -> Path:
        """The place of a staged file, by its name in the staging folder."""
        return self.root / staged.replace("%", "/")

    def hours(self) -> list[int]:
        """The hours that have a partition, in order."""
        return [hour for hour in self.hours_within(1, INT64_MAX + 1) if self.files.exists(self.partition_name(hour))]

    def hours_within(self, first: int, until: int) -> Sequence[int]:
        """The hours from `first` on and before `until` that may have a partition, in order; no other has one.

        One that is not there costs its reader less than to be left out here: of a short range, however many hours the store
        has, all are given; of a long one those that have a folder, which a run that was cut off may have left without a file.
        """
        until = min(until, INT64_MAX + 1)
        if until - first <= _SHORT_RANGE and self.files.exists(f"{self._flows_name}/"):
            return range(first, until)
        return sorted(hour for name in self._names(self.flows, _HOUR) if first <= (hour := int(name)) < until)

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

    def _names(self, folder: Path, pattern: re.Pattern[str]) -> list[str]:
        """The captured part of each name in a folder that matches; none if there is no folder. Raises what `Files.list` does."""
        return [match[1] for name in self.files.list(folder) if (match := pattern.fullmatch(name))]
