"""Undoing: forgetting sources, and dropping old hours. Both are runs of their own, staged and committed like any other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.counting.pool import Progress
from pipeline.counting.resources import Resources
from pipeline.counting.sources import name_of
from pipeline.counting.workers import threads
from pipeline.errors import StoreDamaged, UsageError
from pipeline.hours import hour_to_text
from pipeline.jobs.commit import Change, commit
from pipeline.jobs.recount import rebuild_without
from pipeline.jobs.turns import in_turn
from pipeline.scalars import command_line, real_path
from pipeline.store.chain import LastRun
from pipeline.store.index import open_index
from pipeline.store.layout import Locations, is_segment
from pipeline.store.ledger import ActiveSource, RunRecord, counted_by, now, read_runs, sums_by_hour
from pipeline.store.lock import locked
from pipeline.store.transaction import Transaction, recover, scratch_folder


@dataclass(frozen=True)
class UndoSummary:
    """What was undone.

    Attributes:
        run_id: The run that did it; None where there was nothing to do.
        sources: The sources that were forgotten.
        hours: The hours that were made anew or dropped.
    """

    run_id: str | None
    sources: list[str]
    hours: list[int]


def droppable(store: Locations, before: int, *, every: bool = False) -> list[int]:
    """The hours before one, oldest first.

    Args:
        store: The store.
        before: The first hour that is kept.
        every: Whether all hours may be dropped.

    Raises:
        UsageError: No hour would be left: a mistyped year or unit does that.
    """
    hours = store.hours()
    gone = [hour for hour in hours if hour < before]
    if gone and len(gone) == len(hours) and not every:
        raise UsageError(
            f"nothing is dropped: {hour_to_text(before)} is after the newest hour, {hour_to_text(gone[-1])},"
            f" so that none of the {len(hours):,} hours would be left; --all (in Python every=True) drops them all the same"
        )
    return gone


def drop(store: Locations, before: int, wait_seconds: float = 0, *, every: bool = False) -> UndoSummary:
    """Drops old hours. What was counted stays known: a dropped hour does not come back by reading its files again.

    Args:
        store: The store.
        before: The first hour that is kept.
        wait_seconds: How long to wait for another run that holds the store.
        every: Whether all hours may be dropped.

    Raises:
        UsageError: No hour would be left.
        StoreError: The store cannot be used.
    """
    started = now()

    def run() -> UndoSummary:
        last = _recovered(store)
        gone = droppable(store, before, every=every)
        if not gone:
            return UndoSummary(None, [], [])
        try:
            record = _dropped(store, last, dict.fromkeys(gone), started)
        except StoreDamaged:  # a partition is; to read the ledger for what it had takes long where there are many runs
            sums = sums_by_hour(read_runs(store))
            record = _dropped(store, last, {hour: sums[hour] for hour in gone}, started)
        return UndoSummary(record.run_id, [], gone)

    with locked(store, wait_seconds), scratch_folder(store):
        return in_turn(store, run)


def _dropped(store: Locations, last: LastRun, gone: Mapping[int, Mapping[str, int] | None], started: str) -> RunRecord:
    with Transaction(store, last) as transaction:
        return commit(store, transaction, Change(anew=gone, dropped=True), started)


def sources_of(store: Locations, hours: Iterable[int], most: int) -> list[str] | None:
    """The paths of the sources that were counted into some hours, dropped or not.

    Args:
        store: The store.
        hours: Hours since the epoch.
        most: More paths are not looked for, as the ledger may be long.

    Returns:
        None if there are more.
    """
    wanted = set(hours)
    found: dict[tuple[str, str], None] = {}
    for run in read_runs(store):
        for source in run.forgotten:
            found.pop((source["path"], source["digest"]), None)
        found.update({(source.path, source.digest): None for source in run.sources if not wanted.isdisjoint(source.hours)})
        if len(found) > most:
            return None
    return [path for path, _ in found]


def forget(
    store: Locations,
    names: Sequence[str],
    resources: Resources | None = None,
    wait_seconds: float = 0,
    progress: Progress | None = None,
) -> UndoSummary:
    """Takes sources back: makes their hours anew from the other sources that count there. They are unknown afterwards.

    Args:
        store: The store.
        names: Paths of sources, or digests.
        resources: What this may take of the machine.
        wait_seconds: How long to wait for another run that holds the store.
        progress: Is told how far this has come.

    Raises:
        UsageError: A name is no source's, or that of a part of the service's log; or the raw file of another source is
            missing or counts otherwise now, so that the hours cannot be made anew.
        StoreError: The store cannot be used.
    """
    started = now()
    resources = resources or Resources()

    def run() -> UndoSummary:
        last = _recovered(store)
        ledger = counted_by(read_runs(store))
        unwanted = _choose(store, ledger.sources, names)
        with Transaction(store, last) as transaction:
            with threads(resources) as workers:
                rebuilt = rebuild_without(unwanted, ledger, store.scratch, workers, progress)
            change = Change(added=[rebuilt.totals], anew=rebuilt.hours, forgotten=rebuilt.forgotten)
            record = commit(store, transaction, change, started, resources)
        return UndoSummary(record.run_id, [source["path"] for source in record.forgotten], sorted(rebuilt.hours))

    with locked(store, wait_seconds), scratch_folder(store):
        return in_turn(store, run)


def _recovered(store: Locations) -> LastRun:
    """The last run, once all that runs have committed is in its place."""
    with open_index(store) as index:
        recover(store, index.last.number)
        return index.last


def _choose(store: Locations, active: Sequence[ActiveSource], names: Sequence[str]) -> list[ActiveSource]:
    """The sources that were counted from some paths; where none was, those that the ledger calls so, or by their digests."""
    chosen: dict[tuple[str, str], ActiveSource] = {}
    for name in names:
        if not name:
            raise UsageError("an empty path; is a variable of the shell not set?")
        paths = {name_of(Path(path)) for path in (name, os.path.abspath(name), real_path(name))}  # noqa: PTH100 - which follows no link
        found = [s for s in active if s.source.path in paths]
        found = found or [s for s in active if name in (s.source.path, s.source.digest)]
        if not found:
            listed = command_line("runs", "--sources", store=store.root)
            raise UsageError(f"no source {name} counts in this store; `{listed}` lists those that do")
        chosen.update((s.key, s) for s in found)
    if logged := [path for path, _ in chosen if is_segment(path)]:
        dropping = command_line("drop", "--before", "HOUR", "--dry-run", store=store.root)
        raise UsageError(
            f"{logged[0]} was the service's log: its records were acknowledged and stand nowhere else, so they are not taken"
            f" back; only whole hours can go, and `{dropping}` shows which"
        )
    return list(chosen.values())
