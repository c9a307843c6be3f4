"""The processors and the memory that a run may take: those of its container, where it runs in one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

MIB = 1 << 20
#: The memory of a run beside its totals: the interpreter, its libraries and freed memory; for each worker the rows that wait to
#: be validated; and for each process what it does not share with the others. All three were measured.
_BASE, _FOR_EACH_WORKER, _FOR_EACH_PROCESS = 288 * MIB, 80 * MIB, 40 * MIB
#: The size of a table of totals. A larger one made no run faster. Smaller ones go to disk more often: at 4 MiB a run over many
#: keys takes a tenth more processor time. Below the least size, fewer workers are the better choice.
_TABLE, _LEAST_TABLE = 64 * MIB, 16 * MIB
#: Each worker has a table; the run has one; and one waits to be merged into the run's.
_FURTHER_TABLES = 2


@dataclass(frozen=True)
class Resources:
    """What a run may take of the machine.

    Attributes:
        workers: How many sources are read, and hours written, at once; None for one a processor. They are fewer where
            fewer fit into the memory: the system ends a run that takes more than there is.
        memory_bytes: The most memory that the run should take; None for what all workers can use, and at most half of the
            memory that there is. Totals that do not fit go to disk; one hour's must fit.
        are_processes: Whether the workers are processes of their own; the memory is that of all of them together.

    The machine is asked once.
    """

    workers: int | None = None
    memory_bytes: int | None = None
    are_processes: bool = False

    @cached_property
    def threads(self) -> int:
        """How many sources are read, and hours written, at once."""
        fitting = (self._memory - self._sum_of(0, _LEAST_TABLE)) // (self._for_each + _LEAST_TABLE)
        return max(1, min(self.workers or processors(), fitting))

    @cached_property
    def totals_bytes(self) -> int:
        """The memory for one table of totals, in bytes."""
        left = self._memory - _BASE - self.threads * self._for_each
        return min(max(left // (self.threads + _FURTHER_TABLES), _LEAST_TABLE), _TABLE)

    @cached_property
    def _memory(self) -> int:
        return self.memory_bytes or min(self._sum_of(self.workers or processors(), _TABLE), available_memory() // 2)

    @property
    def _for_each(self) -> int:
        return _FOR_EACH_WORKER + (_FOR_EACH_PROCESS if self.are_processes else 0)

    def _sum_of(self, workers: int, table: int) -> int:
        """The memory of a run, in bytes."""
        return _BASE + workers * self._for_each + (workers + _FURTHER_TABLES) * table


def processors(system: Path = Path("/")) -> int:
    """The processors that this process may use: those of its affinity mask, and no more than its control groups allow.

    Args:
        system: The root of the file system, for tests.
    """
    # Not os.cpu_count, which counts the host's: a container of 2 processors on a host of 64 would start 64 threads.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _control_groups(system, "cpu"):
        quota, period = [*_words(folder / "cpu.max"), "", ""][:2]  # version 2; as in "150000 100000", or "max 100000"
        if not quota:  # version 1, where -1 is no quota
            quota, period = ("".join(_words(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit() and int(period):
            allowed = min(allowed, -(-int(quota) // int(period)))
    return max(1, allowed)


def available_memory(system: Path = Path("/")) -> int:
    """The memory that this process may use, in bytes: the machine's, or less where its control groups allow less.

    Args:
        system: The root of the file system, for tests.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _control_groups(system, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):  # version 2, version 1
            limit = "".join(_words(folder / name))
            if limit.isdigit():  # "max" is no limit
                memory = min(memory, int(limit))
    return memory


def _control_groups(system: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control groups for a controller, and of the groups above them.

    A line of `/proc/self/cgroup` is `number:controllers:path`; version 2 of control groups (cgroups(7)) has no controllers
    there. In a container, the path may be the host's, and the group is then what is mounted.
    """
    mounted = system / "sys/fs/cgroup"
    for line in _lines(system / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        group = PurePosixPath(path.lstrip("/"))
        for root in (mounted / controllers, mounted / controller) if controllers else (mounted,):
            for parent in (group, *group.parents):
                yield root / parent


def _lines(path: Path) -> list[str]:
    """A file's lines; none where it cannot be read."""
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()
