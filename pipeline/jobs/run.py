"""One run over new sources: counted, staged hour by hour, and committed with its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.counting.count import GroupCount, Limits
from pipeline.counting.interpretation import Interpretation
from pipeline.counting.pool import Pool, Progress
from pipeline.counting.rejects import RejectSpool
from pipeline.counting.sourcecount import SourceCount
from pipeline.counting.sources import Failure, Source
from pipeline.counting.totals import HourlyTotals
from pipeline.errors import EmptySource, OtherLog, SourceError, StrictRunStopped, TooManyRejects, UsageError
from pipeline.jobs.plan import Rival, memory_of
from pipeline.jobs.staging import stage_hours
from pipeline.jobs.undo import Rebuilt, rebuild_without
from pipeline.store import files
from pipeline.store.chain import LastRun
from pipeline.store.index import Memory
from pipeline.store.layout import Locations
from pipeline.store.ledger import RunRecord, SourceRecord, now, read_runs, standing_sources
from pipeline.store.partitions import write_rejects
from pipeline.store.transaction import Transaction

if TYPE_CHECKING:
    from pipeline.jobs.ingest import IngestOptions, IngestSummary


@dataclass
class _Group:
    """Sources that were counted: their records, totals and rejects."""

    totals: HourlyTotals
    rejects: RejectSpool
    records: list[SourceRecord] = field(default_factory=list)


class Run:
    """One run.

    Args:
        store: The store; its lock must be held.
        last: The last committed run.
        options: How to ingest.
        interpretation: What of them decides what a source counts as.
        summary: Has the plan.
    """

    def __init__(
        self,
        store: Locations,
        last: LastRun,
        options: IngestOptions,
        interpretation: Interpretation,
        summary: IngestSummary,
    ) -> None:
        self._store = store
        self._last = last
        self._options = options
        self._interpretation = interpretation
        self._summary = summary
        self._paths: dict[object, str] = {}  # of what this run counts, by digest, or by file where each counts
        self._known_starts: dict[object, Rival] = {}
        self._twins: list[tuple[Source, str]] = []
        self._starts: list[tuple[Source, str]] = []
        self._empty: list[Source] = []
        self._left_alone: dict[str, str] = {}
        self._met: list[Memory] = []

    def count(self, progress: Progress | None = None, before_commit: Callable[[RunRecord], None] | None = None) -> None:
        """Counts what the plan has to be counted, and completes the summary.

        Args:
            progress: Is told how far it has come.
            before_commit: Is told the run's record right before the commit; what it raises, gives the run up.
        """
        started = now()
        options, plan = self._options, self._summary.plan
        replacing = plan.changed if options.replace_changed else ()
        if progress:
            progress.start(sum(source.size for source in (*plan.new, *replacing, *(rival.source for rival in plan.rivals))))
        with Transaction(self._store, self._last) as transaction:
            scratch = transaction.scratch
            limits = Limits(options.resources.totals_bytes, options.strict, bounded=before_commit is None)
            new, changed = self._new_group(scratch), self._new_group(scratch)
            threads = options.resources.threads
            with files.writing(scratch), ThreadPoolExecutor(threads, thread_name_prefix="source") as executor:
                pool = Pool(executor, threads, limits, scratch, progress)
                self._count(pool, replacing, changed)
                self._count(pool, plan.new, new)
                self._count_rivals(pool, new, changed)
            rebuilt = self._rebuild(changed, scratch)
            if rebuilt:
                with files.writing(scratch):
                    changed.totals.merge(new.totals)
                    changed.rejects.merge(new.rejects)
                new = _Group(changed.totals, changed.rejects, [*changed.records, *new.records])
            rejects, records = new.rejects, [self._with_starts(record) for record in new.records]
            _check_reject_ratio(records, rejects, options.max_reject_ratio)
            self._settle_plan(changed, is_replaced=rebuilt is not None)
            if not records and not rebuilt:
                return
            added = [new.totals, rebuilt.totals] if rebuilt else [new.totals]
            anew = rebuilt.hours if rebuilt else ()
            hours = dict(stage_hours(self._store, transaction, added, anew, options.resources))
            if rejects.count:
                write = partial(write_rejects, batches=rejects.batches())
                transaction.stage(self._store.rejects_of(transaction.run_id), write)
            run = RunRecord(
                transaction.run_id,
                started,
                now(),
                records,
                hours,
                self._interpretation.to_json(),
                transaction.digests,
                forgotten=rebuilt.forgotten if rebuilt else [],
                attempt=transaction.attempt,
                previous=transaction.previous,
            )
            if before_commit:
                before_commit(run)
            transaction.commit(run.to_json())
        _complete(self._summary, run)

    def _new_group(self, scratch: Path) -> _Group:
        return _Group(HourlyTotals(scratch, self._options.resources.totals_bytes), RejectSpool(scratch))

    def _count(self, pool: Pool, sources: Sequence[Source], group: _Group) -> None:
        """Counts sources into a group, in their order."""
        self._take(sources, pool.count(sources, self._interpretation), group)

    def _take(self, sources: Sequence[Source], counted: GroupCount, group: _Group) -> None:
        """Takes sources that were counted into a group, and takes note of what became of the others."""
        group.totals.merge(counted.totals)
        group.rejects.merge(counted.rejects)
        for source, result in zip(sources, counted.results, strict=True):
            if isinstance(result, SourceCount):
                group.records.append(record_of(source, result))
                skips = self._options.same_content == "skip"
                self._paths[result.content.digest if skips else source.inode] = source.name
            elif isinstance(result, EmptySource):
                self._empty.append(source)
                self._met.append(memory_of(source, reading=self._interpretation.fingerprint()))
            elif isinstance(result, OtherLog) and source.path not in self._summary.plan.named:
                self._left_alone[source.name] = result.found
                self._met.append(memory_of(source, reason=result.found, reading=self._interpretation.fingerprint()))
            else:
                self._fail(source.name, str(result))

    def _count_rivals(self, pool: Pool, new: _Group, changed: _Group) -> None:
        """Counts the sources that have the content of others, or its start, where these could not be counted.

        One whose records are counted with another's must still be read, since one without records is no part of it.
        """
        # What is rejected from a source that does not count stops nothing.
        lenient = replace(pool, limits=Limits(pool.limits.totals_bytes))
        for rival in self._summary.plan.rivals:
            source = rival.source
            identity = source.digest if self._options.same_content == "skip" else source.inode
            longer = [digest for digest in rival.others if digest in self._paths]
            if identity in self._paths:
                self._skip(self._twins, source, self._paths[identity])
            elif identity in self._known_starts:
                self._skip(self._starts, source, self._paths[longer[0]])
            else:
                counted = (lenient if longer else pool).count([source], self._interpretation)
                (result,) = counted.results
                has_rows = result.read > 0 if isinstance(result, SourceCount) else _may_have_rows(result)
                if longer and has_rows and rival.content:
                    self._known_starts[identity] = rival
                    self._skip(self._starts, source, self._paths[longer[0]])
                    continue
                self._take([source], counted, changed if source.name in self._summary.plan.replaced else new)
                continue
            if pool.progress:
                pool.progress.advance(source.size, 0)

    def _skip(self, reason: list[tuple[Source, str]], source: Source, path: str) -> None:
        reason.append((source, path))
        self._met.append(memory_of(source, source.digest))

    def _with_starts(self, record: SourceRecord) -> SourceRecord:
        """A source's record, with the contents that are known to be its start."""
        met = [rival.content for rival in self._known_starts.values() if rival.content and record.digest in rival.others]
        starts = dict.fromkeys([*self._summary.plan.grown_from.get(record.path, ()), *met])
        return replace(record, starts=[start for start in starts if start.digest != record.digest])

    def _rebuild(self, changed: _Group, scratch: Path) -> Rebuilt | None:
        """Makes the hours of changed sources anew without what these counted before."""
        replaced = self._replaced_names(changed)
        if not replaced:
            return None  # and the ledger, which grows with the store's age, need not be read
        standing = standing_sources(read_runs(self._store))
        keys = {(known.path, known.source) for name in replaced for known in self._summary.plan.replaced[name]}
        unwanted = [s for s in standing if s.key in keys]
        try:
            return rebuild_without(unwanted, standing, scratch, self._options.resources)
        except UsageError as error:
            for name in replaced:
                self._fail(name, f"changed, and cannot be replaced: {error}")
            return None

    def _replaced_names(self, changed: _Group) -> list[str]:
        """The sources whose earlier contents are taken back: those that were counted, and those that others contain now."""
        if not self._options.replace_changed:
            return []
        plan = self._summary.plan
        counted = {record.path for record in changed.records}
        skipped = {source.name for source, _ in (*plan.twins, *plan.starts, *self._twins, *self._starts)}
        return sorted((counted | skipped) & plan.replaced.keys())

    def _settle_plan(self, changed: _Group, is_replaced: bool) -> None:
        """Says in the summary's plan what became of what was open in it."""
        plan, done = self._summary.plan, set[str]()
        if is_replaced:
            done = {*self._replaced_names(changed)}
        else:  # what has the content of a source that was given up waits with it
            given_up = {record.path for record in changed.records}
            for skipped in (self._twins, self._starts):
                for source, path in [pair for pair in skipped if pair[1] in given_up]:
                    skipped.remove((source, path))
                    if source.name not in plan.replaced:  # of those that is said already
                        self._fail(source.name, f"it has the content of {path}, or its start, which could not be replaced")
        self._summary.plan = replace(
            plan,
            twins=[*plan.twins, *self._twins],
            starts=[*plan.starts, *self._starts],
            empty=[*plan.empty, *self._empty],
            left_alone={**plan.left_alone, **self._left_alone},
            changed=[source for source in plan.changed if source.name not in done],
            met=[*plan.met, *self._met],
        )

    def _fail(self, source: str, error: str) -> None:
        if self._options.strict:
            raise StrictRunStopped(source, error)
        self._summary.failures.append(Failure(source, error))


def _may_have_rows(error: SourceError) -> bool:
    """Whether a source that could not be counted may have records all the same."""
    return not isinstance(error, EmptySource | OtherLog)


def record_of(source: Source, count: SourceCount) -> SourceRecord:
    """A source's record for the ledger."""
    return SourceRecord(
        path=source.name,
        digest=count.content.digest,
        size=count.content.size,
        head=count.content.head,
        packed_digest=count.packed_digest,
        packed_size=source.size,
        mtime_ns=source.mtime_ns,
        format=count.format,
        read=count.read,
        valid=count.valid,
        rejected=count.rejected,
        ignored=dict(count.ignored),
        bytes_tx=count.bytes_tx,
        bytes_rx=count.bytes_rx,
        hours=sorted(count.hours),
    )


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
