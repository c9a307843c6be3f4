"""The job: find the new raw files, count them, and commit their totals as one run."""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.counting.reading import fingerprint, load_apps, resolved
from pipeline.counting.resources import Resources
from pipeline.counting.sources import Failure
from pipeline.errors import StrictRunStopped, TooManyRejects
from pipeline.jobs.find import Found, find
from pipeline.jobs.outcome import Outcome, failures_of, outcome_of
from pipeline.jobs.plan import Plan, make_plan
from pipeline.jobs.summary import IngestSummary, summary_of
from pipeline.jobs.where import Given, check_cluster, workers_of
from pipeline.options import IngestOptions, ReadOptions
from pipeline.scalars import real_path
from pipeline.store.chain import LastRun
from pipeline.store.index import Index, open_index
from pipeline.store.layout import Locations
from pipeline.store.ledger import now
from pipeline.store.lock import locked
from pipeline.store.transaction import Transaction, recover

if TYPE_CHECKING:
    from pipeline.counting.pool import Progress
    from pipeline.jobs.commit import Change
    from pipeline.store.ledger import RunRecord

T = TypeVar("T")
#: So many sources at a time are given to a thread: to hand over a small one costs more than to read it.
_CHUNK = 32


def ingest(
    raw: Sequence[str],
    store: Locations,
    options: IngestOptions | None = None,
    progress: Progress | None = None,
    executor: Given | None = None,
) -> IngestSummary:
    """Counts the new ones among some raw files, exactly once.

    Args:
        raw: Files, folders and glob patterns.
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
    return _ingest(partial(find, raw, store.root, options.exclude), store, options, progress, executor)


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
    found = Found([path], {path})
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
    started, began = now(), time.monotonic()
    reading = resolved(options)
    # What is wrong with a request is said before there is a store, and also where nothing is new.
    load_apps(reading)
    check_cluster(options)
    found = find_files()
    outcome, run = Outcome(), None
    with locked(store, options.wait_seconds):
        recovered = recover(store)
        with open_index(store) as index:
            plan = _plan(found, index, options, reading)
            _stop_if_strict(options, plan.failed)
            if plan.has_work:
                outcome, run = _count_and_commit(
                    plan, store, index.last, options, reading, progress, executor, bounded, before_commit
                )
            index.remember([*plan.met, *outcome.met])
    return summary_of(
        plan,
        outcome,
        run,
        recovered=recovered,
        seconds=time.monotonic() - began,
        store=str(store.root.absolute()),
        started=started,
        ended=now(),
    )


def _plan(found: Found, index: Index, options: IngestOptions, reading: ReadOptions) -> Plan:
    with ThreadPoolExecutor(_resources(options).threads) as pool:

        def map_all(function: Callable[[Any], T], values: Sequence[Any]) -> Iterator[T]:
            if values:  # there may be rows to validate
                _start_imports()
            chunks = [values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK)]
            return chain.from_iterable(pool.map(lambda chunk: list(map(function, chunk)), chunks))

        return make_plan(
            found,
            index,
            options.same_content,
            options.replace_changed,
            options.min_age_seconds,
            cache(partial(fingerprint, reading)),
            map_all,
        )


def _count_and_commit(
    plan: Plan,
    store: Locations,
    last: LastRun,
    options: IngestOptions,
    reading: ReadOptions,
    progress: Progress | None,
    executor: Given | None,
    bounded: bool,
    before_commit: Callable[[RunRecord], None] | None,
) -> tuple[Outcome, RunRecord | None]:
    """Counts what is to be counted, takes back what changed sources counted before, and commits both as one run."""
    _start_imports()
    # These import Arrow, which is of no use where nothing is new.
    from pipeline.jobs.commit import commit
    from pipeline.jobs.count import change_of, count_plan
    from pipeline.jobs.replace import replace_changed

    started, resources = now(), _resources(options)
    with Transaction(store, last) as transaction:
        scratch = transaction.scratch
        with workers_of(options, executor) as workers:
            counted = count_plan(plan, reading, scratch, workers, progress, strict=options.strict, bounded=bounded)
            _stop_if_strict(options, failures_of(counted.results, plan))
            replacement = replace_changed(store, plan, counted, scratch, workers)
        change = change_of(plan, counted, replacement.rebuilt, reading, scratch)
        _check_reject_ratio(change, options.max_reject_ratio)
        outcome = outcome_of(plan, counted, replacement, fingerprint(reading))
        _stop_if_strict(options, outcome.failures)
        if not change.sources and replacement.rebuilt is None:
            return outcome, None
        return outcome, commit(store, transaction, change, started, resources, before_commit)


def _resources(options: IngestOptions) -> Resources:
    return Resources(options.workers, options.memory_bytes)


def _stop_if_strict(options: IngestOptions, failures: Sequence[Failure]) -> None:
    if options.strict and failures:
        raise StrictRunStopped(failures[0].source, failures[0].error)


def _check_reject_ratio(change: Change, limit: float | None) -> None:
    read = sum(source.read for source in change.sources)
    if limit is not None and change.rejects is not None and change.rejects.count > limit * read:
        raise TooManyRejects(change.rejects.count, read, limit, change.rejects.first)


@cache
def _start_imports() -> None:
    """Has a thread import what takes long, first what is needed first, while others read files."""

    def work() -> None:
        from pipeline.counting import validation
        from pipeline.jobs import replace  # noqa: F401 - and with it all that counts

        validation.prepare()
        import pyarrow.parquet  # noqa: F401 - the hours are written last

    # A daemon, so that a command that is done need not wait for it. But where Python itself ends the process, it would cut
    # the thread off, and Arrow's threads with it, for which it may be waiting: the process would hang.
    thread = Thread(target=work, daemon=True)
    atexit.register(thread.join)
    thread.start()
