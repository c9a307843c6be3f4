"""The job: find the new raw files, count them, and commit their totals as one run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.bucket import all_traffic
from pipeline.counting.reading import fingerprint, load_apps, resolved
from pipeline.counting.sources import Failure, name_of
from pipeline.errors import StrictRunStopped, TooManyRejects, UsageError
from pipeline.hours import hours_of
from pipeline.jobs import imports
from pipeline.jobs.find import find
from pipeline.jobs.found import Found
from pipeline.jobs.look import look_at_all, map_all
from pipeline.jobs.outcome import Outcome, failures_of, outcome_of
from pipeline.jobs.plan import Plan, make_plan
from pipeline.jobs.summary import IngestSummary, summary_of
from pipeline.jobs.turns import in_turn
from pipeline.jobs.where import Given, check_cluster, resources_of, workers_of
from pipeline.options import IngestOptions, ReadOptions
from pipeline.scalars import real_path
from pipeline.store.index import Index, open_index
from pipeline.store.layout import Locations
from pipeline.store.ledger import now
from pipeline.store.lock import locked
from pipeline.store.transaction import Transaction, recover, scratch_folder

if TYPE_CHECKING:
    from pipeline.counting.pool import Progress
    from pipeline.jobs.commit import Change
    from pipeline.store.ledger import RunRecord


def ingest(
    raw: Sequence[str],
    store: Locations,
    options: IngestOptions | None = None,
    progress: Progress | None = None,
    executor: Given | None = None,
) -> IngestSummary:
    """Counts the new ones among some raw files, exactly once.

    Args:
        raw: Files, folders and glob patterns; URLs of objects, prefixes and patterns alike.
        store: The store; it is made if it is missing.
        options: How.
        progress: Is told how far it has come.
        executor: Where the files are read, in place of what the options say: an executor, or a client of a Dask cluster.

    Raises:
        UsageError: A raw path does not exist or is the store's own, or the mapping file is unfit.
        ModuleNotFoundError: A cluster needs a package that is not installed; the extra dask has it.
        RunStopped: The run was given up; nothing was committed.
        StoreError: The store cannot be used.
    """
    options = options or IngestOptions()

    def find_raw() -> Found:
        return find(raw, store.root, options.exclude, _since(options, store))

    return _ingest(find_raw, store, options, progress, executor)


def _since(options: IngestOptions, store: Locations) -> int | None:
    """The first hour that `--since` means."""
    if options.since is None:
        return None
    try:
        return hours_of(options.since, store.newest_hour).first
    except UsageError as error:
        raise UsageError(f"--since: {error}") from None


def ingest_segment(
    segment: Path, store: Locations, options: IngestOptions, before_commit: Callable[[RunRecord], None]
) -> IngestSummary:
    """Counts a segment of the service's log, exactly once. It lies in the store, and may have rows of any number of hours, since
    it holds many requests.

    Args:
        segment: The file.
        store: The store.
        options: How.
        before_commit: Is told the run's record right before the commit, and may give the run up by raising.

    Raises:
        RunStopped: The run was given up; nothing was committed.
        StoreError: The store cannot be used.
    """
    path = real_path(segment.parent) / segment.name
    found = Found([os.fspath(path)], {name_of(path)})
    return _ingest(lambda: found, store, options, bounded=False, before_commit=before_commit)


def _ingest(
    find_files: Callable[[], Found],
    store: Locations,
    options: IngestOptions,
    progress: Progress | None = None,
    executor: Given | None = None,
    *,
    bounded: bool = True,
    before_commit: Callable[[RunRecord], None] | None = None,
) -> IngestSummary:
    """Finds, plans, counts and commits."""
    started, began, asked = now(), time.monotonic(), all_traffic()
    reading = resolved(options)
    # What is wrong with a request is said before there is a store, and also where nothing is new.
    load_apps(reading)
    check_cluster(options)
    found = find_files()

    def count(plan: Plan) -> _Counted:
        return _count(plan, store, options, reading, progress, executor, bounded)

    run = _Run(store, options, partial(_plan, found, options=options, reading=reading), count, before_commit)
    with closing(found), locked(store, options.wait_seconds), scratch_folder(store):
        plan, outcome, record = in_turn(store, run.attempt)
    return summary_of(
        plan,
        outcome,
        record,
        recovered=run.recovered,
        seconds=time.monotonic() - began,
        store=store.name,
        started=started,
        ended=now(),
        traffic=all_traffic().since(asked),
    )


class _Run:
    """A run, which may be attempted several times: behind a run of another machine that has come first, it is done again.

    Args:
        store: The store.
        options: How.
        plan: Decides what to do with each source, by the index.
        count: Counts what a plan has to be counted.
        before_commit: As `commit` has it.

    Attributes:
        recovered: Runs that an earlier crash had cut off, and that were finished first.
    """

    def __init__(
        self,
        store: Locations,
        options: IngestOptions,
        plan: Callable[[Index], Plan],
        count: Callable[[Plan], _Counted],
        before_commit: Callable[[RunRecord], None] | None,
    ) -> None:
        self._store, self._options, self._before_commit = store, options, before_commit
        self._plan, self._count = plan, count
        self._counted: _Counted | None = None  # by the last attempt
        self.recovered: list[str] = []

    def attempt(self) -> tuple[Plan, Outcome, RunRecord | None]:
        """Plans, counts, and commits behind the last run that the index knows."""
        with open_index(self._store) as index:
            self.recovered += recover(self._store, index.last.number)
            plan = self._plan(index)
            _stop_if_strict(self._options, plan.failed)
            outcome, record = Outcome(), None
            if plan.has_work:
                with Transaction(self._store, index.last) as transaction:
                    if not (self._counted and self._counted.is_of(plan)):
                        self._counted = self._count(plan)
                    outcome, record = self._counted.outcome, self._commit(transaction, self._counted)
            index.remember([*plan.met, *outcome.met])
        return plan, outcome, record

    def _commit(self, transaction: Transaction, counted: _Counted) -> RunRecord | None:
        if not counted.changes_store:
            return None
        from pipeline.jobs.commit import commit  # imports Arrow, of no use where nothing is new

        resources = resources_of(self._options)
        return commit(self._store, transaction, counted.change, counted.started, resources, self._before_commit)


def _plan(found: Found, index: Index, options: IngestOptions, reading: ReadOptions) -> Plan:
    return make_plan(
        found,
        index,
        options.same_content,
        options.replace_changed,
        options.min_age_seconds,
        cache(partial(fingerprint, reading)),
        partial(look_at_all, options),
        partial(map_all, options),
    )


class _Counted(NamedTuple):
    """What counting a plan has given, as long as the run is not committed.

    Attributes:
        plan: The plan.
        change: What the run changes.
        outcome: What became of the sources.
        started: When the counting started, as `ledger.now` gives it.
    """

    plan: Plan
    change: Change
    outcome: Outcome
    started: str

    @property
    def changes_store(self) -> bool:
        return bool(self.change.sources or self.change.forgotten)

    def is_of(self, plan: Plan) -> bool:
        """Whether another plan has the same counted. What is taken back depends on what others have counted meanwhile."""
        takes_back = any(one.replaces_changed and one.superseded for one in (self.plan, plan))
        return not takes_back and all(
            getattr(plan, name) == getattr(self.plan, name) for name in ("new", "rivals", "replacing", "grown_from")
        )


def _count(
    plan: Plan,
    store: Locations,
    options: IngestOptions,
    reading: ReadOptions,
    progress: Progress | None,
    executor: Given | None,
    bounded: bool,
) -> _Counted:
    """Counts what is to be counted, and takes back what changed sources counted before."""
    imports.begin()
    # These import Arrow, which is of no use where nothing is new.
    from pipeline.jobs.count import change_of, count_plan
    from pipeline.jobs.replace import replace_changed

    started, scratch = now(), store.scratch
    with workers_of(options, (*plan.new, *plan.replacing), executor) as workers:
        counted = count_plan(plan, reading, scratch, workers, progress, strict=options.strict, bounded=bounded)
        _stop_if_strict(options, failures_of(counted.results, plan))
        replacement = replace_changed(store, plan, counted, scratch, workers)
    change = change_of(plan, counted, replacement.rebuilt, reading, scratch)
    _check_reject_ratio(change, options.max_reject_ratio)
    outcome = outcome_of(plan, counted, replacement, fingerprint(reading))
    _stop_if_strict(options, outcome.failures)
    return _Counted(plan, change, outcome, started)


def _stop_if_strict(options: IngestOptions, failures: Sequence[Failure]) -> None:
    if options.strict and failures:
        raise StrictRunStopped(failures[0].source, failures[0].error)


def _check_reject_ratio(change: Change, limit: float | None) -> None:
    read = sum(source.read for source in change.sources)
    if limit is not None and change.rejects is not None and change.rejects.count > limit * read:
        raise TooManyRejects(change.rejects.count, read, limit, change.rejects.first)
