"""Counting what a plan has to be counted, and what the counts change in the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from pipeline.counting.pool import Pool, Progress
from pipeline.counting.rejects import RejectSpool
from pipeline.counting.reports import Reports
from pipeline.counting.sourcecount import SourceCount
from pipeline.counting.sources import Source
from pipeline.counting.totals import HourlyTotals
from pipeline.counting.workers import Workers
from pipeline.digests import Content
from pipeline.errors import EmptySource, OtherLog, SourceError
from pipeline.jobs.commit import Change
from pipeline.jobs.plan import Plan
from pipeline.jobs.recount import Rebuilt
from pipeline.jobs.rivals import Rival
from pipeline.options import ReadOptions
from pipeline.store import files
from pipeline.store.ledger import SourceRecord

#: A source, and what counting it has given.
Result: TypeAlias = tuple[Source, SourceCount | SourceError]
#: A source that is not counted, and the path of the source that has its records.
Skipped: TypeAlias = tuple[Source, str]


@dataclass
class Counts:
    """Sources that are counted together.

    Attributes:
        totals: The totals of those that could be counted.
        rejects: Their rejected rows, in the order of the sources.
        reports: What their valid rows say of who reports them.
        results: What became of each source, in order.
    """

    totals: HourlyTotals
    rejects: RejectSpool
    reports: Reports = field(default_factory=Reports)
    results: list[Result] = field(default_factory=list)

    def merge(self, other: Counts) -> None:
        """Takes in what was counted otherwise; the other must not be used any more."""
        with files.writing(self.totals.spill_folder):
            self.totals.merge(other.totals)
            self.rejects.merge(other.rejects)
        self.reports.merge(other.reports)
        self.results += other.results

    @property
    def counted(self) -> list[tuple[Source, SourceCount]]:
        """Those of the results that are no failures."""
        return [(source, result) for source, result in self.results if isinstance(result, SourceCount)]


@dataclass(frozen=True)
class PlanCount:
    """What counting the sources of a plan has given.

    Attributes:
        changed: The changed sources, which count only if what they counted before can be taken back.
        new: All others.
        duplicates: Rivals with the same content as another source that was counted, and the path of the other.
        starts: Rivals that are the start of another source that was counted, and the path of the other.
        known_starts: The rivals of `starts`, each content once.
    """

    changed: Counts
    new: Counts
    duplicates: Sequence[Skipped] = ()
    starts: Sequence[Skipped] = ()
    known_starts: Sequence[Rival] = ()

    @property
    def results(self) -> list[Result]:
        return [*self.changed.results, *self.new.results]

    def that_count(self, *, replaced: bool) -> list[Counts]:
        """The sources that count in the run.

        Args:
            replaced: Whether what the changed sources counted before is taken back.
        """
        return [self.changed, self.new] if replaced else [self.new]

    def reports(self, *, replaced: bool) -> Reports:
        """What the valid rows of these sources say of who reports them."""
        reports = Reports()
        for group in self.that_count(replaced=replaced):
            reports.merge(group.reports)
        return reports


Count: TypeAlias = Callable[[Sequence[Source]], Counts]


def count_plan(
    plan: Plan,
    reading: ReadOptions,
    scratch: Path,
    workers: Workers,
    progress: Progress | None = None,
    *,
    strict: bool = False,
    bounded: bool = True,
) -> PlanCount:
    """Counts what a plan has to be counted.

    Args:
        plan: The plan.
        reading: How the rows of its sources are understood.
        scratch: A folder for what does not fit into memory.
        workers: What counts the sources.
        progress: Is told how far it has come.
        strict: Whether the first rejected row ends it all.
        bounded: Whether a source may have rows of so many hours only.

    Raises:
        StrictRunStopped: A row was rejected, and `strict` was asked for.
        SumOverflow: A sum does not fit into int64.
        ClusterFailed: The workers are gone.
        StoreUnwritable: What did not fit into memory could not be written.
    """
    if progress:
        sources = (*plan.new, *plan.replacing, *(rival.source for rival in plan.rivals))
        progress.start(sum(source.size for source in sources))
    pool = workers.pool(scratch, progress, strict=strict, bounded=bounded)
    # What is rejected from a source that does not count stops nothing.
    lenient = workers.pool(scratch, progress)
    count, count_leniently = partial(_count, pool, reading), partial(_count, lenient, reading)
    first = PlanCount(count(plan.replacing), count(plan.new))
    rivals = _count_rivals(plan, first, count, count_leniently, progress)
    first.changed.merge(rivals.changed)
    first.new.merge(rivals.new)
    return replace(rivals, changed=first.changed, new=first.new)


def _count(pool: Pool, reading: ReadOptions, sources: Sequence[Source]) -> Counts:
    """Counts sources; the results are in their order."""
    with files.writing(pool.folder):
        counted = pool.count(sources, reading)
    return Counts(counted.totals, counted.rejects, counted.reports, list(zip(sources, counted.results, strict=True)))


def _count_rivals(
    plan: Plan, first: PlanCount, count: Count, count_leniently: Count, progress: Progress | None
) -> PlanCount:
    """Counts the sources that have the content of others, or its start, where the others could not be counted.

    A source whose records are counted with another's must still be read, since a source without records is no part of the
    other.
    """
    changed, new = count([]), count([])
    if not plan.rivals:
        return PlanCount(changed, new)
    duplicates, starts, known_starts = list[Skipped](), list[Skipped](), dict[object, Rival]()
    paths = _paths_of(first.results)
    for rival in plan.rivals:
        source = rival.source
        longer = [paths[digest] for digest in rival.others if digest in paths]
        if rival.key in paths:
            duplicates.append((source, paths[rival.key]))
        elif rival.key in known_starts:
            starts.append((source, longer[0]))
        else:
            alone = (count_leniently if longer else count)([source])
            if longer and _may_have_rows(alone):
                known_starts[rival.key] = rival
                starts.append((source, longer[0]))
            else:
                paths |= _paths_of(alone.results)
                (changed if source.name in plan.superseded else new).merge(alone)
            continue
        if progress:  # it need not be read
            progress.advance(source.size, 0)
    return PlanCount(changed, new, duplicates, starts, list(known_starts.values()))


def _paths_of(results: Iterable[Result]) -> dict[object, str]:
    """The path of each counted source, by its content, and by the file that it is: where equal files count each, a file that
    has two names counts once.
    """
    counted = [(source, result) for source, result in results if isinstance(result, SourceCount)]
    return {key: source.name for source, count in counted for key in (count.content.digest, source.identity)}


def _may_have_rows(alone: Counts) -> bool:
    """Whether a source has records, or may have them all the same, as it could not be counted."""
    ((_, result),) = alone.results
    return result.read > 0 if isinstance(result, SourceCount) else not isinstance(result, EmptySource | OtherLog)


def change_of(plan: Plan, counted: PlanCount, rebuilt: Rebuilt | None, reading: ReadOptions, scratch: Path) -> Change:
    """What a run changes: what its sources add, and what was taken back for them.

    Args:
        plan: The plan.
        counted: What counting its sources has given; the rejects must not be used any more.
        rebuilt: The hours without what the changed sources counted before; without them these sources do not count.
        reading: How the rows of the sources are understood.
        scratch: A folder for what does not fit into memory.
    """
    groups = counted.that_count(replaced=rebuilt is not None)
    rejects = RejectSpool(scratch)
    with files.writing(scratch):
        for group in groups:
            rejects.merge(group.rejects)
    met: dict[str, list[Content]] = defaultdict(list)
    for rival in counted.known_starts:
        for digest in rival.others:
            met[digest] += [rival.content] if rival.content else []
    records = [record_of(source, count) for group in groups for source, count in group.counted]
    if plan.grown_from or met:
        records = [_with_starts(one, [*plan.grown_from.get(one.path, ()), *met.get(one.digest, ())]) for one in records]
    return Change(
        sources=records,
        interpretation=reading.to_json(),
        added=[*(group.totals for group in groups), *([rebuilt.totals] if rebuilt else [])],
        anew=rebuilt.hours if rebuilt else {},
        rejects=rejects,
        forgotten=rebuilt.forgotten if rebuilt else (),
    )


def _with_starts(record: SourceRecord, starts: Iterable[Content]) -> SourceRecord:
    """A source's record, with the contents that are known to be its start."""
    others = [start for start in dict.fromkeys(starts) if start.digest != record.digest]
    return replace(record, starts=others) if others else record


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
        notes=dict(count.notes),
        bytes_tx=count.bytes_tx,
        bytes_rx=count.bytes_rx,
        hours=sorted(count.hours),
        ignored_bytes=dict(count.ignored_bytes),
        etag=source.etag,
    )
