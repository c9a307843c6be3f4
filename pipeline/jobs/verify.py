"""The proof: whether a store's totals are what its ledger says was counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.counting.pool import Progress
from pipeline.counting.resources import Resources, processors
from pipeline.counting.totals import merge_sorted, sums_of
from pipeline.counting.workers import threads
from pipeline.errors import StoreDamaged, StoreLocked, StoreUnreadable
from pipeline.jobs.audit import Audit
from pipeline.jobs.find import find
from pipeline.jobs.recount import find_again, recount
from pipeline.process import may_fork
from pipeline.scalars import INT64_MAX
from pipeline.schema import COUNT, PARTITION_ORDER, SUMS
from pipeline.store.chain import check_version, is_committed
from pipeline.store.layout import Locations
from pipeline.store.ledger import ActiveSource, RunRecord, active_sources, read_run
from pipeline.store.lock import unchanged
from pipeline.store.partitions import examine_partition, read_partition
from pipeline.wal import idempotency
from pipeline.wal.inspection import inspect


@dataclass
class Verification:
    """What was looked at, and what is wrong.

    Attributes:
        problems: What is wrong, a sentence each; empty if the store is sound.
        runs: The committed runs; hours and sources alike.
        flows: The records that were summed, by the ledger.
        bytes_tx: Their sum, in bytes; bytes_rx alike.
        waiting: The records in the service's log, which are not in the sums before the service has moved them.
        proof: What counting the raw files again has shown, if that was asked for.
    """

    problems: list[str] = field(default_factory=list)
    runs: int = 0
    sources: int = 0
    hours: int = 0
    flows: int = 0
    bytes_tx: int = 0
    bytes_rx: int = 0
    waiting: int = 0
    proof: Proof | None = None


@dataclass
class Proof:
    """What counting all raw files again has shown.

    Attributes:
        hours: How many hours were counted again from all their sources.
        missing: The sources whose raw files are not there any more, so that their hours cannot be counted again.
        unproved: Those hours.
    """

    hours: int
    missing: list[str]
    unproved: list[int]


@dataclass(frozen=True)
class DeepOptions:
    """How to count raw files again.

    Attributes:
        raw: Where raw files may be beside the paths from which they were counted: files, folders, patterns.
        resources: What this may take of the machine.
        progress: Is told how far this has come.
    """

    raw: Sequence[str] = ()
    resources: Resources = field(default_factory=Resources)
    progress: Progress | None = None


def verify(store: Locations, wait_seconds: float = 0, deep: DeepOptions | None = None) -> Verification:
    """Recomputes a store's sums from its files and holds them against its ledger.

    Args:
        store: The store. Its lock is held, so that no run changes it meanwhile; somebody who may not hold it, or where it does
            not keep other machines out, looks again where a run has changed the store meanwhile.
        wait_seconds: How long to wait for a run that holds it.
        deep: Also counts the raw files again that are still there, and holds the hours against that.

    Raises:
        StoreLocked: A run is writing, or one after the other was.
        StoreUnreadable: One of the store's own folders cannot be read.
        StoreVersion: Another version of flowlog made the store.
        UsageError: A raw path does not exist, or a mapping file is not what it was.
    """
    check_version(store)
    with unchanged(store, wait_seconds) as is_held:
        if is_held:
            return _look(store, deep)
    for look in range(1, _LOOKS + 1):
        before = _state(store)
        result = _look(store, deep)
        is_last = look == _LOOKS
        if _state(store) == before and (is_last or not _may_be_publishing(store)):
            return result
        if not is_last:
            time.sleep(_PAUSE_SECONDS)
    raise StoreLocked(store.name, "runs that change it while it is looked at")


#: How often a store is looked at whose lock cannot be held, until no run has changed it meanwhile; and the pause in between.
_LOOKS, _PAUSE_SECONDS = 3, 0.5


def _state(store: Locations) -> object:
    """What every run changes. In a bucket an attempt that is not committed may come and go, and changes nothing."""
    return len(store.run_numbers()), _committed(store) if store.files.has_versions else store.staged_runs()


def _committed(store: Locations) -> list[str]:
    """The attempts with staged files that have committed; one whose record is damaged, of which it was said, may be another's."""
    found = []
    for attempt in store.staged_runs():
        with suppress(StoreDamaged, StoreUnreadable):
            if is_committed(store, attempt):
                found.append(attempt)
    return found


def _may_be_publishing(store: Locations) -> bool:
    """Whether a run of another machine may be about to move its files: only time tells such a run from one that was cut off."""
    return store.files.has_versions and bool(_committed(store))


def _look(store: Locations, deep: DeepOptions | None) -> Verification:
    audit = Audit(store)
    result = Verification(list(audit.record_problems()))
    present = set(store.hours())
    blamed = set()
    hours = sorted(audit.expected.keys() | present)

    looked = [_Hour(hour, audit.expected.get(hour), hour in present) for hour in hours]
    size = 1 if store.files.threads else _HOURS_AT_ONCE
    chunks = [looked[i : i + size] for i in range(0, len(looked), size)]
    with _workers(store, len(hours)) as pool:
        for hour, problem in chain.from_iterable(pool.map(partial(_problems_of, store), chunks)):
            result.problems.append(problem)
            blamed.add(store.partition_name(hour))
    result.problems += audit.file_problems(blamed)
    log = inspect(store)
    result.waiting = log.waiting
    result.problems += log.problems
    if idempotency.is_damaged(store):
        result.problems.append(f"{store.keys}: is damaged; the service saves what it can when it starts")
    if deep is not None:
        result.proof = _prove(store, active_sources(_readable_runs(store)), deep, result.problems)
    result.runs, result.sources, result.hours = audit.runs, audit.sources, len(present)
    total: Counter[str] = sum(audit.expected.values(), Counter())
    result.flows, result.bytes_tx, result.bytes_rx = total[COUNT], total["bytes_tx"], total["bytes_rx"]
    return result


class _Hour(NamedTuple):
    """An hour that is to be looked at.

    Attributes:
        hour: Hours since the epoch.
        expected: What the runs added, as `Audit.expected` has it; None where that is nothing.
        is_present: Whether it has a file.
    """

    hour: int
    expected: Counter[str] | None
    is_present: bool


def _workers(store: Locations, hours: int) -> AbstractContextManager[Executor]:
    """Who looks at so many hours."""
    if store.files.threads:
        return ThreadPoolExecutor(store.files.threads)
    if hours < _WORTH_HOURS or processors() == 1 or not may_fork():
        return ThreadPoolExecutor(processors())
    from pipeline.counting.processes import executor_of  # small stores do without multiprocessing

    return executor_of(processors(), "pipeline.jobs.preloaded")


def _problems_of(store: Locations, hours: Sequence[_Hour]) -> list[tuple[int, str]]:
    return [(one.hour, problem) for one in hours for problem in _hour_problems(store, *one)]


#: From so many hours on, processes look at them sooner than threads: these hold Python's lock nearly all the time, and an hour takes
#: 0.6 ms; the processes begin after half a second.
_WORTH_HOURS = 2000
#: To hand an hour over to a thread takes a fifth of the time that looking at a small one does.
_HOURS_AT_ONCE = 32


def _readable_runs(store: Locations) -> Iterator[RunRecord]:
    for run_id in store.run_ids():
        with suppress(StoreDamaged, StoreUnreadable):  # of which it was said
            yield read_run(store, run_id)


def _prove(store: Locations, active: list[ActiveSource], options: DeepOptions, problems: list[str]) -> Proof:
    """Counts the hours again whose sources are all still there, and holds the partitions against that."""
    found = find_again(active, find(options.raw))
    missing = [s for s in active if s.source.digest not in found]
    unproved = frozenset[int]().union(*(s.hours for s in missing))
    hours = frozenset[int]().union(*(s.hours for s in active)) - unproved
    with TemporaryDirectory(prefix="flowlog-") as scratch, threads(options.resources) as workers:
        readable = [s for s in active if s.hours & hours]
        totals, differences = recount(readable, found, hours, Path(scratch), workers, options.progress)
        problems += differences
        again = dict.fromkeys(hours, False)
        for hour, read in totals.by_hour():
            again[hour] = True
            if not _holds(store, hour, read()):
                problems.append(f"{store.partition(hour)}: is not what its raw files add up to")
    problems += [
        f"{store.partition(hour)}: its raw files have nothing in this hour"
        for hour, is_there in again.items()
        if not is_there
    ]
    return Proof(len(hours), [s.source.path for s in missing], sorted(unproved))


def _holds(store: Locations, hour: int, counted: pa.Table) -> bool:
    try:
        return bool(merge_sorted([read_partition(store, hour)]).equals(counted))
    except (StoreDamaged, StoreUnreadable):  # said already
        return True


def _hour_problems(store: Locations, hour: int, expected: Counter[str] | None, is_present: bool) -> Iterator[str]:
    where = store.partition_name(hour)
    if expected is None:
        yield f"{where}: no run has counted anything in this hour"
        return
    if not is_present:
        yield f"{where}: is missing; runs have counted {expected[COUNT]:,} flows in this hour"
        return
    try:
        totals, summary = examine_partition(store, hour)
    except (StoreDamaged, StoreUnreadable) as error:
        yield str(error)
        return
    if totals.num_rows == 0 or summary is None:
        yield f"{where}: has no rows"
        return
    sums = sums_of(totals)
    for name in (*SUMS, COUNT):
        if sums[name] != expected[name]:
            yield f"{where}: {name} is {sums[name]:,}, but the ledger has {expected[name]:,}"
        if sums[name] != getattr(summary, name):
            yield f"{where}: its footer says that {name} is {getattr(summary, name):,}, but it is {sums[name]:,}"
    yield from (f"{where}: {problem}" for problem in _content_problems(totals))


def _content_problems(totals: pa.Table) -> Iterator[str]:
    if sum(column.null_count for column in totals.columns):
        yield "has nulls"
        return
    columns = [totals.column(name).chunk(0) for name in PARTITION_ORDER]
    for name, column in zip(PARTITION_ORDER, columns, strict=True):
        if pc.call_function("index", [column.dictionary], _EMPTY).as_py() >= 0:
            yield f"has an empty {name}"
    sums = {name: totals.column(name).to_numpy() for name in (*SUMS, COUNT)}
    for name, values in sums.items():
        if (smallest := values.min()) < 0:
            yield f"has {smallest} in {name}"
    # A flow that was spread has bytes in further hours, which do not count it again.
    if not np.bitwise_or.reduce(list(sums.values())).all():
        yield "has a row without flows and bytes"
    ranks = [pc.call_function("rank", [column.dictionary], _RANKS).to_numpy() for column in columns]
    yield from _order_problems([rank[column.indices.to_numpy()] for rank, column in zip(ranks, columns, strict=True)])


_EMPTY = pc.IndexOptions(pa.scalar(""))
_RANKS = pc.RankOptions(tiebreaker="dense")


def _order_problems(ranks: list[npt.NDArray[np.uint64]]) -> Iterator[str]:
    """What is wrong with the order of the rows, by the ranks of the texts of their keys, column by column."""
    sizes = [int(rank.max()) + 1 for rank in ranks]
    if prod(sizes) < INT64_MAX:  # each key has a number of its own
        keys = np.zeros(len(ranks[0]), np.uint64)
        for rank, size in zip(ranks, sizes, strict=True):
            keys = keys * np.uint64(size) + rank
        if (keys[1:] > keys[:-1]).all():
            return
    order = np.lexsort(ranks[::-1])
    if not (order == np.arange(len(order))).all():
        yield "its rows are not sorted by their key"
    if (np.diff(np.array(ranks)[:, order]) == 0).all(axis=0).any():
        yield "a key stands in more than one row"
