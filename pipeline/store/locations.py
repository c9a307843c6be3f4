"""Every path of a store. Nothing else joins path strings."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.errors import StoreDamaged
from pipeline.values import INT64_MAX

_HOUR = re.compile(r"hour=([1-9]\d{0,18})")  # never zero-padded: readers would take hour=01 for a text
_RUN = re.compile(r"run=([0-9A-Za-z-]+)")
_PART = "part-0.parquet"
#: Hours, a month of them, that are looked for in less time than a store of years takes to list its own.
_SHORT_RANGE = 31 * 24
_SEGMENT = re.compile(r"([0-9A-Za-z-]+\.(?:accept|reject)\.jsonl)")


@dataclass(frozen=True)
class Locations:
    """The paths of the store in the folder `root`."""

    root: Path

    def exist(self) -> bool:
        """Whether there is a store."""
        return any(path.exists() for path in (self.lock, self.runs, self.flows, self.wal))

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
        return [self.damaged / name for name in sorted(_names(self.damaged, re.compile(r"(.+)")))]

    @property
    def keys(self) -> Path:
        """The Idempotency-Keys of requests whose segments are gone."""
        return self.wal / "keys.sqlite"

    def segment(self, name: str) -> Path:
        """A file of the service's log."""
        return self.wal / name

    def segments(self) -> list[str]:
        """The files of the service's log, oldest first."""
        return sorted(_names(self.wal, _SEGMENT))

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

    def staging_of(self, run_id: str) -> Path:
        """A run's work before its commit."""
        return self.staging / run_id

    def staged(self, run_id: str, final: Path) -> Path:
        """Where a run stages the file that will be `final`.

        All in one folder, under their paths with `%` for `/`: a run that changes thousands of hours need not make, sync
        and remove thousands of folders twice.
        """
        return self.staging_of(run_id) / final.relative_to(self.root).as_posix().replace("/", "%")

    def final_of(self, staged: Path) -> Path:
        """The place of a staged file."""
        return self.root / staged.name.replace("%", "/")

    def hours(self) -> list[int]:
        """The hours that have a partition, in order."""
        return [hour for hour in self.hours_within(1, INT64_MAX + 1) if self.partition(hour).exists()]

    def hours_within(self, first: int, until: int) -> Sequence[int]:
        """The hours from `first` on and before `until` that may have a partition, in order; no other has one.

        One that is not there costs its reader less than to be left out here: of a short range, however many hours the store
        has, all are given; of a long one those that have a folder, which a run that was cut off may have left without a file.
        """
        until = min(until, INT64_MAX + 1)
        if until - first <= _SHORT_RANGE and self.flows.is_dir():
            return range(first, until)
        return sorted(hour for name in _names(self.flows, _HOUR) if first <= (hour := int(name)) < until)

    def runs_with_rejects(self) -> list[str]:
        """The runs that rejected rows, oldest first."""
        return sorted(_names(self.rejects, _RUN))

    def run_ids(self) -> list[str]:
        """The committed runs, oldest first."""
        return sorted(_names(self.runs, re.compile(r"([0-9A-Za-z-]+)\.json")))

    def staged_runs(self) -> list[str]:
        """The runs that have not cleared their staging folder, oldest first."""
        return sorted(_names(self.staging, re.compile(r"([0-9A-Za-z-]+)")))


def _names(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    """The captured part of each name in a folder that matches; none if there is no folder.

    Raises:
        StoreDamaged: It is no folder.
    """
    try:
        with os.scandir(folder) as entries:  # a store of years has tens of thousands, of which no path is wanted
            return [match[1] for entry in entries if (match := pattern.fullmatch(entry.name))]
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise StoreDamaged(str(folder), "it must be a folder") from None
