"""One run over new sources: counted, staged hour by hour, and committed with its record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.aggregation import HourlyTotals
from pipeline.counting import Counted, Progress, Silent, SourceCounter, lots_of
from pipeline.errors import StrictRunStopped, TooManyRejects, UsageError
from pipeline.interpretation import Interpretation
from pipeline.ledger import RunRecord, SourceRecord, now, read_runs, standing_sources
from pipeline.rejects import RejectSpool
from pipeline.sources import Failure, Source
from pipeline.staging import stage_hours
from pipeline.store import files
from pipeline.store.locations import Locations
from pipeline.store.partitions import write_rejects
from pipeline.store.transaction import Transaction, new_run_id
from pipeline.undo import Rebuilt, rebuild_without

if TYPE_CHECKING:
    from pipeline.ingest import IngestOptions, IngestSummary


#: The bytes of rejects that wait in memory for the run's end.
_REJECTS_IN_MEMORY = 16 << 20


class Run:
    """One run.

    Args:
        store: The store; its lock must be held.
        options: How to ingest.
        interpretation: What of them decides what a source counts as.
        summary: Has the plan.
    """

    def __init__(
        self, store: Locations, options: IngestOptions, interpretation: Interpretation, summary: IngestSummary
    ) -> None:
        self._store = store
        self._options = options
        self._interpretation = interpretation
        self._summary = summary
        self._records: list[SourceRecord] = []

    def count(self, progress: Progress | None = None, before_commit: Callable[[str], None] | None = None) -> None:
        """Counts the plan's new sources, and completes the summary.

        Args:
            progress: Is told how far it has come.
            before_commit: Is told the run's name right before the commit.
        """
        started, progress = now(), progress or Silent()
        options, plan = self._options, self._summary.plan
        replaced = plan.changed if options.replace_changed else []
        progress.start(sum(source.size for source in [*plan.new, *replaced]))
        with Transaction(self._store, new_run_id(self._store)) as transaction:
            scratch = transaction.scratch
            counter = SourceCounter(
                self._interpretation, scratch, options.resources, progress, options.strict, bounded=before_commit is None
            )
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
        waiting: list[RejectSpool] = []
        for lot in counter.count_all(lots_of(sources)):
            waiting += [result.rejects for _, result in lot.results if isinstance(result, Counted) and result.rejects.count]
            with files.writing(totals.spill_folder):
                totals.absorb(lot.totals)
                waiting = _within_memory(waiting)
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


def _within_memory(spools: list[RejectSpool]) -> list[RejectSpool]:
    """Has the rejects of sources wait for the run's end on disk once they are many together, though few in each: those that are
    still in memory.
    """
    if sum(spool.nbytes for spool in spools) <= _REJECTS_IN_MEMORY:
        return spools
    for spool in spools:
        spool.to_disk()
    return []


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
