"""How long a run takes on so many workers, from what its parts cost: groups handed out one after the other, as a run does."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heapreplace

import numpy as np
import numpy.typing as npt

from benchmarks.scale.terms import MIB, Terms
from pipeline.counting import pool

Floats = npt.NDArray[np.float64]
#: Bytes in a second: of a worker's network, of the disk or bucket that all share, and of the disk that partial files go to.
_NETWORK, _SHARED, _PARTIALS = 150 * MIB, 10_000 * MIB, 1000 * MIB


@dataclass(frozen=True)
class Machines:
    """What a run has.

    Attributes:
        workers: How many, with a processor each.
        driver: The processors of the driver, which merges hours on all of them.
        slow: The part of the workers that are half as fast; spread: how much a group's time varies (log-normal); stuck: the part of
            the groups that take four times as long.
        network, shared, partials: The bytes in a second of a worker's network, of what all read from, and of what partial files go to.
        latency: Seconds to wait for the start of a file, when it is planned; the driver waits for as many as it has processors.
    """

    workers: int
    driver: int = 8
    slow: float = 0.05
    spread: float = 0.2
    stuck: float = 0.01
    network: float = _NETWORK
    shared: float = _SHARED
    partials: float = _PARTIALS
    latency: float = 0.001


@dataclass(frozen=True)
class Load:
    """What there is to count in one run.

    Attributes:
        size: The bytes of the files, as they lie.
        format: Their format.
        file_bytes: A file's, on the average; sizes are log-normal, and a hundredth of the bytes is in files a hundred times as large.
        hours: Over which the records are spread; each group's are of two hours.
        keys: The distinct keys of an hour.
        in_order: Whether the files are in the order of time, so that each group has its own hours.
    """

    size: float
    format: str = "aws"
    file_bytes: float = 8 * MIB
    hours: int = 2
    keys: int = 100_000
    in_order: bool = False


@dataclass(frozen=True)
class Took:
    """Seconds of the clock.

    Attributes:
        plan: Before anything is counted; count: until the last group is; merge: the driver's, with publishing.
        groups: How many groups there were; partial_bytes: the bytes of their partial files.
    """

    plan: float
    count: float
    merge: float
    groups: int
    partial_bytes: float

    @property
    def seconds(self) -> float:
        return self.plan + self.count + self.merge


def simulate(load: Load, machines: Machines, terms: Terms, seed: int = 1, most_group: int | None = None) -> Took:
    """Plays a run."""
    rng = np.random.default_rng(seed)
    files = _file_sizes(load, rng)
    groups = _group_sizes(files, machines.workers, most_group or pool._MOST_GROUP_BYTES)  # noqa: SLF001 - as a run has it
    # Of an hour's keys, each record draws one.
    rows = groups / MIB * terms.rows[load.format]
    spread = load.hours * groups / load.size if load.in_order else min(2, load.hours)
    keys = spread * load.keys * -np.expm1(-rows / spread / load.keys)
    count = _counting(groups, keys, load, machines, terms, rng)
    partial_keys = float(keys.sum())
    partial_bytes = partial_keys * terms.key_bytes
    merging = (partial_keys * terms.merge + partial_bytes / MIB * terms.take) / min(machines.driver, load.hours)
    publishing = load.hours * (terms.publish + load.keys * terms.publish_key) / min(machines.driver, load.hours)
    return Took(
        plan=terms.run + len(files) * max(terms.plan, machines.latency / machines.driver),
        count=count,
        merge=max(merging, 2 * partial_bytes / machines.partials) + publishing,
        groups=len(groups),
        partial_bytes=partial_bytes,
    )


def _file_sizes(load: Load, rng: np.random.Generator) -> Floats:
    """Sizes that sum up to the load's."""
    small = max(1, round(0.99 * load.size / load.file_bytes))
    large = round(0.01 * load.size / load.file_bytes / 100)
    sizes = np.concatenate([rng.lognormal(0, 1, small), 100 * rng.lognormal(0, 1, large)])
    return sizes * (load.size / sizes.sum())


def _group_sizes(files: Floats, workers: int, most: int) -> Floats:
    """The sizes of the groups, as `pool.travelling_groups_of` makes them: of files side by side up to a share, or of one file."""
    work = files + pool._FILE_BYTES  # noqa: SLF001 - as above
    share = min(max(work.sum() // (pool._ROUNDS * workers), pool._LEAST_GROUP_BYTES), most)  # noqa: SLF001
    large, small = files[work >= share], files[work < share]
    per_group = min(pool._MOST_GROUP_SOURCES, max(1, int(share / work[work < share].mean()))) if len(small) else 1  # noqa: SLF001
    starts = np.arange(0, len(small), per_group)
    grouped = np.add.reduceat(small, starts) if len(small) else small
    return np.random.default_rng(0).permutation(
        np.concatenate([grouped, large])
    )  # large files lie anywhere among the others


def _counting(groups: Floats, keys: Floats, load: Load, machines: Machines, terms: Terms, rng: np.random.Generator) -> float:
    """The seconds until the last group is counted: whoever is free first takes the next, once the driver has handed it over."""
    workers = machines.workers
    bandwidth = min(machines.network, machines.shared / workers)
    counted = groups / MIB * terms.count[load.format] + groups / load.file_bytes * terms.file + keys * terms.key
    seconds = np.maximum(counted, groups / bandwidth)
    seconds *= rng.lognormal(0, machines.spread, len(groups)) * np.where(rng.random(len(groups)) < machines.stuck, 4, 1)
    pace = np.where(np.arange(workers) < int(machines.slow * workers), 2.0, 1.0).tolist()
    free = [(0.0, worker) for worker in range(workers)]
    heapify(free)
    last = 0.0
    for number, taken in enumerate(seconds.tolist()):
        began, worker = max(free[0][0], number * terms.task), free[0][1]
        done = began + taken * pace[worker]
        last = max(last, done)
        heapreplace(free, (done, worker))
    return last
