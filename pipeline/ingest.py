"""The job: find the new raw files, count them, and commit their totals as one run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from pipeline.aggregation import HourlyTotals
from pipeline.counting import Counted, Interpretation, Progress, Silent, SourceCounter, digest_of_mapping, lots_of
from pipeline.errors import StrictRunStopped, TooManyRejects, UsageError
from pipeline.ledger import RunRecord, SourceRecord, now, open_index, read_runs, standing_sources
from pipeline.rejects import RejectSpool
from pipeline.resources import Resources
from pipeline.schema import ZeroBytes, flow_schema, is_utf8
from pipeline.sources import Failure, Plan, SameContent, Source, find, plan
from pipeline.staging import stage_hours
from pipeline.store import files
from pipeline.store.locations import Locations
from pipeline.store.lock import locked
from pipeline.store.partitions import write_rejects
from pipeline.store.transaction import Transaction, new_run_id, recover
from pipeline.undo import Rebuilt, rebuild_without

T = TypeVar("T")
#: So many sources at a time are given to a thread: to hand over a small one costs more than to read it.
_CHUNK = 32


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
        replace_changed: Whether a source that changed after it was counted is taken back and counted as it is now.
        min_age_seconds: Files that were modified less than so long ago are left for the next run.
        memory_bytes: The most memory that the run should take; None for a fixed part of the machine's.
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
    replace_changed: bool = False
    min_age_seconds: float = 0
    memory_bytes: int | None = None

    @property
    def resources(self) -> Resources:
        """What the run may take of the machine."""
        return Resources(self.workers, self.memory_bytes)

    def interpretation(self) -> Interpretation:
        """What of it decides what a source counts as.

        Raises:
            UsageError: There is no mapping file, or the VPC is no text that can be stored.
        """
        if not is_utf8(self.vpc_id or ""):
            raise UsageError("the VPC must be valid UTF-8")
        apps, digest = None, None
        if self.apps is not None:
            apps, digest = str(self.apps.resolve()), digest_of_mapping(self.apps)
        return Interpretation(self.format, apps, digest, self.vpc_id, self.aws_fields, self.zero_bytes)


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


def ingest(
    raw: Sequence[str],
    store: Locations,
    options: IngestOptions | None = None,
    progress: Progress | None = None,
    of_log: Callable[[str], None] | None = None,
) -> IngestSummary:
    """Counts the new ones among some raw files, exactly once.

    Args:
        raw: Files, folders and glob patterns.
        store: The store; it is made if it is missing.
        options: How.
        progress: Is told how far it has come.
        of_log: The raw files are the store's own log, which without it are none; is told the run's name right before
            the commit.

    Raises:
        UsageError: A raw path does not exist or is the store's own, or the mapping file is unfit.
        RunStopped: The run was given up; nothing was committed.
        StoreError: The store cannot be used.
    """
    started = time.monotonic()
    options = options or IngestOptions()
    interpretation = options.interpretation()
    # What is wrong with a request is said before there is a store, and also where nothing is new.
    interpretation.load_apps()
    found = find(raw, store.root, of_log is not None)
    with locked(store, options.wait_seconds):
        recovered = recover(store)
        with ThreadPoolExecutor(options.resources.threads) as pool, open_index(store) as index:

            def map_unread(digest: Callable[[Source], T], sources: Sequence[Source]) -> Iterator[T]:
                if sources:  # there may be rows to validate: what takes longest to import comes while files are read
                    Thread(target=flow_schema, args=(options.zero_bytes,), daemon=True).start()
                chunks = [sources[i : i + _CHUNK] for i in range(0, len(sources), _CHUNK)]
                return chain.from_iterable(pool.map(lambda chunk: list(map(digest, chunk)), chunks))

            summary = IngestSummary(
                plan(found, index, options.same_content, options.replace_changed, options.min_age_seconds, map_unread),
                recovered=recovered,
            )
        summary.failures += summary.plan.failed
        if options.strict and summary.failures:
            raise StrictRunStopped(summary.failures[0].source, summary.failures[0].error)
        if summary.plan.new or (options.replace_changed and (summary.plan.changed or summary.plan.taken_back)):
            _Run(store, options, interpretation, summary).count(progress or Silent(), of_log)
    summary.seconds = time.monotonic() - started
    return summary


class _Run:
    """One run over new sources."""

    def __init__(
        self, store: Locations, options: IngestOptions, interpretation: Interpretation, summary: IngestSummary
    ) -> None:
        self._store = store
        self._options = options
        self._interpretation = interpretation
        self._summary = summary
        self._records: list[SourceRecord] = []

    def count(self, progress: Progress, before_commit: Callable[[str], None] | None) -> None:
        """Counts the plan's new sources, and completes the summary."""
        started = now()
        options, plan = self._options, self._summary.plan
        replaced = plan.changed if options.replace_changed else []
        progress.start(sum(source.size for source in [*plan.new, *replaced]))
        with Transaction(self._store, new_run_id(self._store)) as transaction:
            scratch = transaction.scratch
            counter = SourceCounter(self._interpretation, scratch, options.resources, progress, options.strict)
            totals, replacing = counter.new_totals(), counter.new_totals()
            changed = self._count(counter, replaced, replacing)
            rebuilt = self._rebuild(changed, scratch)
            if rebuilt:
                totals.absorb(replacing)
            new = self._count(counter, plan.new, totals)
            rejects = RejectSpool(scratch)
            for one in [*(changed if rebuilt else []), *new]:
                with files.writing(scratch):
                    rejects.absorb(one.rejects)
                self._records.append(one.record)
            _check_reject_ratio(self._records, rejects, options.max_reject_ratio)
            if not self._records and not rebuilt:
                return
            added = [totals, rebuilt.totals] if rebuilt else [totals]
            anew = rebuilt.hours if rebuilt else ()
            hours = dict(stage_hours(self._store, transaction, added, anew, options.resources))
            if rejects.count:
                write = partial(write_rejects, batches=rejects.batches())
                transaction.stage(self._store.rejects_of(transaction.run_id), write)
            run = RunRecord(
                transaction.run_id,
                started,
                now(),
                self._records,
                hours,
                self._interpretation.to_json(),
                transaction.digests,
                forgotten=rebuilt.forgotten if rebuilt else [],
            )
            if before_commit:
                before_commit(transaction.run_id)
            transaction.commit(run.to_json())
        _complete(self._summary, run)

    def _count(self, counter: SourceCounter, sources: Iterable[Source], totals: HourlyTotals) -> list[Counted]:
        """Counts sources into the totals; gives those that could be counted, the others go into the summary."""
        lots = []
        for lot in counter.count_all(lots_of(sources)):
            with files.writing(totals.spill_folder):
                totals.absorb(lot.totals)
            lots.append((lot.number, lot.results))
        counted = []
        for source, result in (result for _, results in sorted(lots) for result in results):
            if isinstance(result, Counted):
                counted.append(result)
            else:
                self._fail(source.name, str(result))
        return counted

    def _rebuild(self, changed: list[Counted], scratch: Path) -> Rebuilt | None:
        """Makes the hours of changed sources anew without what these counted before.

        What cannot be taken back still counts; new sources with the same content are then twins, and no longer new.
        """
        plan, options = self._summary.plan, self._options
        if not options.replace_changed or not (plan.changed or plan.taken_back):
            return None  # and the ledger, which grows with the store's age, need not be read
        standing = standing_sources(read_runs(self._store))
        paths = {one.record.path for one in changed}.union(plan.taken_back)
        rebuilt = None
        if paths:
            unwanted = [s for s in standing if s.source.path in paths]
            try:
                rebuilt = rebuild_without(unwanted, standing, scratch, options.resources)
                plan.changed = [source for source in plan.changed if source.name not in paths]
            except UsageError as error:
                for path in sorted(paths):
                    self._fail(path, f"changed, and cannot be replaced: {error}")
        gone = paths if rebuilt else set()
        counts = {s.source.digest: s.source.path for s in standing if s.source.path not in gone}
        if options.same_content == "skip":
            plan.twins += [(source, counts[source.digest]) for source in plan.new if source.digest in counts]
            plan.new = [source for source in plan.new if source.digest not in counts]
        return rebuilt

    def _fail(self, source: str, error: str) -> None:
        if self._options.strict:
            raise StrictRunStopped(source, error)
        self._summary.failures.append(Failure(source, error))


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
