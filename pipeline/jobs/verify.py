"""The proof: whether a store's totals are what its ledger says was counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from pipeline.counting.pool import Progress
from pipeline.counting.resources import Resources
from pipeline.counting.totals import merge_sorted
from pipeline.counting.workers import threads
from pipeline.errors import StoreDamaged, StoreLocked, StoreUnreadable
from pipeline.jobs.audit import Audit
from pipeline.jobs.find import find
from pipeline.jobs.hours import Seen, looked_at
from pipeline.jobs.recount import find_again, recount
from pipeline.schema import COUNT
from pipeline.store.chain import check_version, is_committed
from pipeline.store.layout import Locations
from pipeline.store.ledger import ActiveSource, RunRecord, active_sources, read_run
from pipeline.store.lock import locked_for_reading
from pipeline.store.partitions import read_partition
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
        store: The store. Its lock is held, so that no run changes it meanwhile; where this user may not
            hold it, or it does not keep other machines out, what a run has changed meanwhile is looked at again.
        wait_seconds: How long to wait for a run that holds it.
        deep: Also counts the raw files again that are still there, and holds the hours against that.

    Raises:
        StoreLocked: A run is writing, or one after the other was.
        StoreUnreadable: One of the store's own folders cannot be read.
        StoreVersion: Another version of flowlog made the store.
        UsageError: A raw path does not exist, or a mapping file is not what it was.
    """
    check_version(store)
    with locked_for_reading(store, wait_seconds) as is_held:
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
    audit, result = Audit(store), Verification()
    present = store.hours()
    with looked_at(store, present) as found:
        result.problems += audit.record_problems()  # meanwhile
        seen = {one.hour: one for one in found}
    blamed, digests = set[str](), dict[str, str]()
    for hour in sorted(audit.expected.keys() | seen.keys()):
        where = store.partition_name(hour)
        if problems := list(_problems_of(where, audit.expected.get(hour), seen.get(hour))):
            result.problems += problems
            blamed.add(where)
        else:
            digests[where] = seen[hour].digest
    result.problems += audit.file_problems(blamed, digests)
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


def _problems_of(where: str, expected: Counter[str] | None, seen: Seen | None) -> Iterator[str]:
    """What is wrong with an hour, by what the runs added, None where that is nothing, and by its file, None where there is none."""
    if expected is None:
        yield f"{where}: no run has counted anything in this hour"
    elif seen is None:
        yield f"{where}: is missing; runs have counted {expected[COUNT]:,} flows in this hour"
    elif seen.damage:
        yield seen.damage
    elif not seen.sums:
        yield f"{where}: has no rows"
    else:
        for name, found in seen.sums.items():
            if found != expected[name]:
                yield f"{where}: {name} is {found:,}, but the ledger has {expected[name]:,}"
            if found != seen.said[name]:
                yield f"{where}: its footer says that {name} is {seen.said[name]:,}, but it is {found:,}"
        yield from (f"{where}: {problem}" for problem in seen.problems)


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
