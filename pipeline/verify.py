"""The proof: whether a store's totals are what its ledger says was counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.aggregation import sums_of
from pipeline.errors import StoreDamaged
from pipeline.ledger import RunRecord, Standing, read_run, standing_sources
from pipeline.recount import find_again, recount
from pipeline.resources import Resources
from pipeline.schema import COUNT, PARTITION_ORDER, SUMS, TOTALS_SCHEMA
from pipeline.sources import find
from pipeline.store import files, keys, wal
from pipeline.store.locations import Locations
from pipeline.store.lock import locked
from pipeline.store.partitions import read_partition, read_rejects, summarise_partition


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
    """

    raw: Sequence[str] = ()
    resources: Resources = field(default_factory=Resources)


def verify(store: Locations, wait_seconds: float = 0, deep: DeepOptions | None = None) -> Verification:
    """Recomputes a store's sums from its files and holds them against its ledger.

    Args:
        store: The store. Its lock is held, so that no run changes it meanwhile.
        wait_seconds: How long to wait for a run that holds it.
        deep: Also counts the raw files again that are still there, and holds the hours against that.

    Raises:
        StoreLocked: A run is writing.
        UsageError: A raw path does not exist, or a mapping file is not what it was.
    """
    result = Verification()
    with locked(store, wait_seconds):
        runs = list(_readable_runs(store, result))
        expected: dict[int, Counter[str]] = {}
        counted: set[tuple[str, str]] = set()
        for run in runs:
            result.problems += _run_problems(store, run, counted)
            counted.update((source.path, source.digest) for source in run.sources)
            for hour, added in run.hours.items():
                expected.setdefault(hour, Counter()).update(added)
        expected = {hour: sums for hour, sums in expected.items() if any(sums.values())}  # the others were taken back
        present = store.hours()
        for hour in sorted(expected.keys() | set(present)):
            result.problems += _hour_problems(store, hour, expected.get(hour), hour in present)
        named = "\n".join(result.problems)
        result.problems += [problem for path, problem in _file_problems(store, runs) if str(path) not in named]
        log = wal.inspect(store)
        result.waiting = log.waiting
        result.problems += log.problems
        if keys.is_damaged(store):
            result.problems.append(f"{store.keys}: is damaged; the service saves what it can when it starts")
        if deep is not None:
            result.proof = _prove(store, standing_sources(runs), deep, result.problems)
    result.runs, result.sources, result.hours = len(runs), sum(len(run.sources) for run in runs), len(present)
    total: Counter[str] = sum(expected.values(), Counter())
    result.flows, result.bytes_tx, result.bytes_rx = total[COUNT], total["bytes_tx"], total["bytes_rx"]
    return result


def _readable_runs(store: Locations, result: Verification) -> Iterator[RunRecord]:
    for run_id in store.run_ids():
        try:
            yield read_run(store, run_id)
        except StoreDamaged as error:
            result.problems.append(str(error))
    for run_id in store.staged_runs():
        if store.record_of(run_id).exists():
            result.problems.append(f"the run {run_id} is committed but was cut off; any ingest into this store finishes it")


def _prove(store: Locations, standing: list[Standing], options: DeepOptions, problems: list[str]) -> Proof:
    """Counts the hours again whose sources are all still there, and holds the partitions against that."""
    found = find_again(standing, find(options.raw).files)
    missing = [s for s in standing if s.source.digest not in found]
    unproved = frozenset[int]().union(*(s.hours for s in missing))
    hours = frozenset[int]().union(*(s.hours for s in standing)) - unproved
    with TemporaryDirectory(prefix="flowlog-") as scratch:
        readable = [s for s in standing if s.hours & hours]
        totals, differences = recount(readable, found, hours, Path(scratch), options.resources)
        problems += differences
        again = dict.fromkeys(hours, False)
        for hour, read in totals.by_hour():
            again[hour] = True
            if not _holds(store, hour, read().cast(TOTALS_SCHEMA)):
                problems.append(f"{store.partition(hour)}: is not what its raw files add up to")
    problems += [
        f"{store.partition(hour)}: its raw files have nothing in this hour"
        for hour, is_there in again.items()
        if not is_there
    ]
    return Proof(len(hours), [s.source.path for s in missing], sorted(unproved))


def _holds(store: Locations, hour: int, counted: pa.Table) -> bool:
    try:
        return bool(read_partition(store, hour).equals(counted))
    except StoreDamaged:  # said already
        return True


def _run_problems(store: Locations, run: RunRecord, counted_before: set[tuple[str, str]]) -> Iterator[str]:
    where = f"{store.record_of(run.run_id)}"
    for source in run.sources:
        if source.read != source.valid + source.rejected + sum(source.ignored.values()):
            yield f"{where}: {source.path}: {source.read} rows read are not valid + rejected + ignored"
    for taken in run.forgotten:
        if (taken["path"], taken["digest"]) not in counted_before:
            yield f"{where}: takes back {taken['path']}, which no run before it has counted"
    if not run.forgotten and not run.dropped:
        yield from (f"{where}: {problem}" for problem in _unbalanced(run))
    try:
        rejected = read_rejects(store, run.run_id).num_rows
    except StoreDamaged as error:
        yield str(error)
    else:
        if rejected != run.total("rejected"):
            yield f"{store.rejects_of(run.run_id)}: has {rejected:,} rows, but the run rejected {run.total('rejected'):,}"


def _unbalanced(run: RunRecord) -> Iterator[str]:
    for name, column in ((COUNT, "valid"), ("bytes_tx", "bytes_tx"), ("bytes_rx", "bytes_rx")):
        total, added = run.total(column), sum(sums[name] for sums in run.hours.values())
        if added != total:
            yield f"its sources have {name} {total:,}, but {added:,} were added to its hours"


def _hour_problems(store: Locations, hour: int, expected: Counter[str] | None, is_present: bool) -> Iterator[str]:
    where = f"{store.partition(hour)}"
    if expected is None:
        yield f"{where}: no run has counted anything in this hour"
        return
    if not is_present:
        yield f"{where}: is missing; runs have counted {expected[COUNT]:,} flows in this hour"
        return
    try:
        totals = read_partition(store, hour)
        summary = summarise_partition(store, hour)
    except StoreDamaged as error:
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
    for name in PARTITION_ORDER:
        if pc.any(pc.equal(totals.column(name), "")).as_py():
            yield f"has an empty {name}"
    for name, lowest in {**dict.fromkeys(SUMS, 0), COUNT: 1}.items():
        if (smallest := pc.min(totals.column(name)).as_py()) < lowest:
            yield f"has {smallest} in {name}"
    order = pc.sort_indices(totals, [(name, "ascending") for name in PARTITION_ORDER]).to_numpy()
    if not (order == np.arange(len(order))).all():
        yield "its rows are not sorted by their key"
    if totals.group_by(list(PARTITION_ORDER), use_threads=False).aggregate([]).num_rows < totals.num_rows:
        yield "a key stands in more than one row"


def _file_problems(store: Locations, runs: Sequence[RunRecord]) -> Iterator[tuple[Path, str]]:
    """Files that are not as the last run left them that put them in place, and files that no run has put in place.

    Whatever lies in `flows/` is read as data by those who point a tool at the folder. A file that the checks of its
    content have found wrong need not be named again; this finds the rest, down to the last bit.
    """
    digests = {store.root / path: digest for run in runs for path, digest in run.files.items()}
    for path in sorted([*store.flows.rglob("*"), *store.rejects.rglob("*")]):
        if path.is_dir():
            continue
        if path not in digests:
            yield path, f"{path}: is no file of the store; tools that read the folder may take it for data"
        elif files.digest(path) != digests[path]:
            yield path, f"{path}: is not as it was written; its digest differs from the ledger's"
