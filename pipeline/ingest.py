"""The job: find the new raw files, read, validate and sum them, and commit the totals as one run."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from pipeline import readers
from pipeline.aggregation import HourlyTotals, aggregate, merge, sort_totals, sums_of
from pipeline.errors import SourceChanged, SourceError, StrictRunStopped, TooManyRejects, UnreadableSource
from pipeline.ledger import RunRecord, SourceRecord, open_index
from pipeline.readers.addresses import AppMap, load_app_map
from pipeline.readers.interface import ReadOptions
from pipeline.rejects import RejectSpool
from pipeline.schema import ZeroBytes, flow_schema
from pipeline.sources import Failure, Plan, SameContent, Source, plan
from pipeline.store.locations import Locations
from pipeline.store.lock import locked
from pipeline.store.partitions import read_partition, write_partition, write_rejects
from pipeline.store.transaction import Transaction, new_run_id, recover
from pipeline.validation import validate


@dataclass(frozen=True)
class IngestOptions:
    """How to ingest.

    Attributes:
        format: One of `readers.FORMAT_OPTIONS`.
        apps: The mapping file that names the apps of addresses, if any.
        vpc_id: The VPC of records that have none.
        aws_fields: The fields of AWS text without a header, in order; None for AWS's default.
        workers: How many sources are read at once; None for one a processor.
        strict: Stop at the first rejected row or failed source.
        max_reject_ratio: Stop if more than this part of the rows is rejected, 0 to 1; None for no limit.
        zero_bytes: Whether a record may have 0 bytes in a direction.
        wait_seconds: How long to wait for another run that holds the store.
        same_content: What to do with a file whose content was counted from another path.
        totals_bytes: How much memory the totals may take before they go to disk.
    """

    format: str = "auto"
    apps: Path | None = None
    vpc_id: str | None = None
    aws_fields: tuple[str, ...] | None = None
    workers: int | None = None
    strict: bool = False
    max_reject_ratio: float | None = None
    zero_bytes: ZeroBytes = "accept"
    wait_seconds: float = 0
    same_content: SameContent = "skip"
    totals_bytes: int = 1 << 30


@dataclass
class IngestSummary:
    """What a run did. read = valid + rejected + ignored.

    Attributes:
        run_id: The committed run; None where there was nothing to commit.
        plan: What was found, and what was skipped.
        ingested: How many sources were counted.
        failures: The sources that failed.
        read: How many records were read from the counted sources; valid and rejected alike.
        ignored: How many were left out on purpose, by reason.
        bytes_tx: The sum over the valid records, in bytes; bytes_rx alike.
        hours: The hours whose totals changed.
        recovered: Runs that an earlier crash had cut off behind their commit, and that were finished first.
        seconds: How long it took.
    """

    plan: Plan
    run_id: str | None = None
    ingested: int = 0
    failures: list[Failure] = field(default_factory=list)
    read: int = 0
    valid: int = 0
    rejected: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    bytes_tx: int = 0
    bytes_rx: int = 0
    hours: list[int] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The object that `flowlog ingest --json` prints."""
        return {
            "run_id": self.run_id,
            "sources": {
                "ingested": self.ingested,
                "skipped": self.plan.skipped,
                "changed": len(self.plan.changed),
                "failed": len(self.failures),
            },
            "rows": {
                "read": self.read,
                "valid": self.valid,
                "rejected": self.rejected,
                "ignored": self.ignored.total(),
            },
            "ignored": dict(self.ignored),
            "bytes_tx": self.bytes_tx,
            "bytes_rx": self.bytes_rx,
            "hours": self.hours,
            "failures": [asdict(failure) for failure in self.failures],
            "seconds": round(self.seconds, 3),
        }


class Progress(Protocol):
    """Is told how far a run has come."""

    def start(self, total_bytes: int) -> None:
        """The run will read so many bytes of raw files."""

    def advance(self, raw_bytes: int, rows: int) -> None:
        """So much more was read. Called from several threads."""


class _Silent:
    def start(self, total_bytes: int) -> None: ...
    def advance(self, raw_bytes: int, rows: int) -> None: ...


def ingest(
    raw: Sequence[str], store: Locations, options: IngestOptions | None = None, progress: Progress | None = None
) -> IngestSummary:
    """Counts the new ones among some raw files, exactly once.

    Args:
        raw: Files, folders and glob patterns.
        store: The store; it is made if it is missing.
        options: How.
        progress: Is told how far it has come.

    Raises:
        UsageError: A raw path does not exist, or the mapping file is unfit.
        RunStopped: The run was given up; nothing was committed.
        StoreError: The store cannot be used.
    """
    started = time.monotonic()
    options = options or IngestOptions()
    apps = load_app_map(options.apps) if options.apps else AppMap()
    with locked(store, options.wait_seconds):
        recovered = recover(store)
        workers = options.workers or os.cpu_count() or 1
        with ThreadPoolExecutor(workers, thread_name_prefix="reader") as pool, open_index(store) as index:
            summary = IngestSummary(plan(raw, index, options.same_content, pool.map), recovered=recovered)
            summary.failures += summary.plan.failed
            if options.strict and summary.failures:
                raise StrictRunStopped(summary.failures[0].source, summary.failures[0].error)
            if summary.plan.new:
                _Run(store, options, apps, progress or _Silent(), pool, workers).count(summary)
    summary.seconds = time.monotonic() - started
    return summary


@dataclass
class _Counted:
    """A source that was read to its end: its sums, its rejects, and its record for the ledger."""

    record: SourceRecord
    totals: HourlyTotals
    rejects: RejectSpool


class _Run:
    """One run over new sources."""

    def __init__(
        self,
        store: Locations,
        options: IngestOptions,
        apps: AppMap,
        progress: Progress,
        pool: ThreadPoolExecutor,
        workers: int,
    ) -> None:
        self._store = store
        self._options = options
        self._read_options = ReadOptions(apps, options.vpc_id, options.aws_fields)
        self._progress = progress
        self._pool = pool
        self._workers = workers
        self._started = datetime.now(UTC)
        self._stop = threading.Event()

    def count(self, summary: IngestSummary) -> None:
        """Counts the plan's new sources, and completes the summary."""
        self._progress.start(sum(source.size for source in summary.plan.new))
        with Transaction(self._store, new_run_id()) as transaction:
            totals, rejects = self._totals(transaction.scratch), RejectSpool(transaction.scratch)
            records: list[SourceRecord] = []
            for source, counted in self._read_all(summary.plan.new, transaction.scratch):
                if isinstance(counted, SourceError):
                    self._fail(summary, source, counted)
                    continue
                totals.absorb(counted.totals)
                rejects.absorb(counted.rejects)
                records.append(counted.record)
            _check_reject_ratio(records, rejects, self._options.max_reject_ratio)
            if not records:
                return
            hours = dict(self._stage_hours(transaction, totals))
            if rejects.count:
                write = partial(write_rejects, batches=rejects.batches())
                transaction.stage(self._store.rejects_of(transaction.run_id), write)
            run = RunRecord(transaction.run_id, _iso(self._started), _iso(datetime.now(UTC)), records, hours)
            transaction.commit(run.to_json())
        _complete(summary, run)

    def _totals(self, folder: Path) -> HourlyTotals:
        """For the run, or for one of its sources, of which as many are in memory as there are workers."""
        return HourlyTotals(folder, self._options.totals_bytes // (self._workers + 1))

    def _read_all(self, sources: list[Source], scratch: Path) -> Iterator[tuple[Source, _Counted | SourceError]]:
        """Reads the sources in parallel; gives the results in the order of the sources, few of them at a time."""
        waiting: deque[tuple[Source, Future[_Counted | SourceError]]] = deque()
        try:
            for source in sources:
                waiting.append((source, self._pool.submit(self._read_or_error, source, scratch)))
                if len(waiting) > 2 * self._workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            self._stop.set()  # where the run was given up, what is still being read is of no use
            for _, future in waiting:
                future.cancel()

    def _read_or_error(self, source: Source, scratch: Path) -> _Counted | SourceError:
        try:
            return self._read(source, scratch)
        except SourceError as error:
            return error

    def _read(self, source: Source, scratch: Path) -> _Counted:
        """Reads one source to its end. It counts whole, or not at all."""
        schema = flow_schema(self._options.zero_bytes)
        totals, rejects = self._totals(scratch), RejectSpool(scratch)
        read, ignored, sums = 0, Counter[str](), Counter[str]()
        try:
            with source.path.open("rb") as file:
                known, stream = readers.open_source(file, source.name, self._options.format)
                position = 0
                for unchecked in known.read(stream, self._read_options):
                    if self._stop.is_set():
                        raise UnreadableSource("the run was stopped")
                    batch = validate(unchecked, schema)
                    if batch.rejects and self._options.strict:
                        raise StrictRunStopped(source.name, str(min(batch.rejects, key=lambda reject: reject.row)))
                    counted = aggregate(batch.table)
                    totals.add(counted)
                    rejects.add(source.name, batch.rejects)
                    sums.update(sums_of(counted))
                    ignored += batch.ignored
                    read += batch.read
                    self._progress.advance(file.tell() - position, batch.read)
                    position = file.tell()
                if not source.is_unchanged(file):
                    raise SourceChanged
        except OSError as error:
            raise UnreadableSource(f"cannot be read: {error.strerror or error}") from None
        record = SourceRecord(
            path=source.name,
            digest=source.digest,
            size=source.size,
            mtime_ns=source.mtime_ns,
            format=known.name,
            read=read,
            valid=sums["flows"],
            rejected=rejects.count,
            ignored=dict(ignored),
            bytes_tx=sums["bytes_tx"],
            bytes_rx=sums["bytes_rx"],
        )
        return _Counted(record, totals, rejects)

    def _fail(self, summary: IngestSummary, source: Source, error: SourceError) -> None:
        if self._options.strict:
            raise StrictRunStopped(source.name, str(error))
        summary.failures.append(Failure(source.name, str(error)))

    def _stage_hours(self, transaction: Transaction, totals: HourlyTotals) -> Iterator[tuple[int, dict[str, int]]]:
        """Stages each hour's new partition; gives what was added to it."""
        for hour, added in totals.each_hour():
            present = read_partition(self._store, hour)
            merged = sort_totals(merge([present, added])) if present.num_rows else added
            transaction.stage(self._store.partition(hour), partial(write_partition, totals=merged))
            yield hour, sums_of(added)


def _check_reject_ratio(records: list[SourceRecord], rejects: RejectSpool, limit: float | None) -> None:
    read = sum(record.read for record in records)
    if limit is not None and rejects.count > limit * read:
        raise TooManyRejects(rejects.count, read, limit, rejects.first)


def _complete(summary: IngestSummary, run: RunRecord) -> None:
    summary.run_id = run.run_id
    summary.ingested = len(run.sources)
    summary.read, summary.valid, summary.rejected = run.total("read"), run.total("valid"), run.total("rejected")
    for source in run.sources:
        summary.ignored.update(source.ignored)
    summary.bytes_tx, summary.bytes_rx = run.total("bytes_tx"), run.total("bytes_rx")
    summary.hours = sorted(run.hours)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
