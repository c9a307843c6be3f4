"""The one commit: all that changes a store (ingest, replace, forget, drop) writes its hours and its record here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import Any

import pyarrow as pa

from pipeline.counting.rejects import RejectSpool
from pipeline.counting.resources import Resources
from pipeline.counting.totals import HourlyTotals, merge_sorted, sums_of
from pipeline.store import files
from pipeline.store.layout import Locations, run_id_of
from pipeline.store.ledger import RunRecord, SourceRecord, now
from pipeline.store.partitions import decode_partition, encode_partition, fetch_partition
from pipeline.store.rejectfile import write_rejects
from pipeline.store.transaction import Transaction

#: A packed hour that waits to be merged, or to be written, takes so many bytes or fewer, mostly.
_PACKED_BYTES = 8 << 20
#: To look at so many hours costs no more than a listing, for which clouds take twelve times as much as for a look.
_FEW_HOURS = 12


@dataclass(frozen=True)
class Change:
    """What a run changes in a store.

    Attributes:
        sources: The sources that it counted, as its record has them.
        interpretation: How their rows were understood.
        added: What is added to the hours.
        anew: The hours of which nothing that is there is kept, each with what all runs have added to it. The record has the
            difference to these sums and not to those of the hour's partition, so that a damaged hour is sound again. None where
            the partition may be relied on.
        rejects: The rejected rows of the sources.
        forgotten: The sources of earlier runs that are taken back, by path and digest.
        dropped: Whether the hours of `anew` are dropped, so that they are no part of what earlier sources counted.
    """

    sources: Sequence[SourceRecord] = ()
    interpretation: Mapping[str, Any] = field(default_factory=dict)
    added: Sequence[HourlyTotals] = ()
    anew: Mapping[int, Mapping[str, int] | None] = field(default_factory=dict)
    rejects: RejectSpool | None = None
    forgotten: Sequence[Mapping[str, str]] = ()
    dropped: bool = False


def commit(
    store: Locations,
    transaction: Transaction,
    change: Change,
    started: str,
    resources: Resources | None = None,
    before_commit: Callable[[RunRecord], None] | None = None,
) -> RunRecord:
    """Stages all that a run changes, and commits it.

    Args:
        store: The store.
        transaction: The run.
        change: What it changes.
        started: When the run started, as `ledger.now` gives it.
        resources: What this may take of the machine.
        before_commit: Is told the run's record right before the commit; what it raises, gives the run up.

    Returns:
        The run's record.

    Raises:
        SumOverflow: A sum does not fit into int64.
        StoreDamaged: A partition that is there cannot be read.
        StoreError: The run cannot be staged, committed or published (see `Transaction`).
    """
    hours = dict(_stage_hours(store, transaction, change, resources or Resources()))
    if change.rejects is not None and change.rejects.count:
        rejects = store.scratch / "rejects.parquet"
        with files.writing(rejects):
            write_rejects(rejects, change.rejects.batches())
        transaction.stage(store.rejects_of(transaction.run_id), rejects)
    run = RunRecord(
        run_id=transaction.run_id,
        started=started,
        finished=now(),
        sources=list(change.sources),
        hours=hours,
        interpretation=dict(change.interpretation),
        files=transaction.digests,
        forgotten=[dict(source) for source in change.forgotten],
        dropped=change.dropped,
        attempt=transaction.attempt,
        previous=transaction.previous,
    )
    if before_commit is not None:
        before_commit(run)
    transaction.commit(run.to_json())
    return run


def _stage_hours(
    store: Locations, transaction: Transaction, change: Change, resources: Resources
) -> Iterator[tuple[int, dict[str, int]]]:
    """Stages the partitions of all hours that change.

    Yields:
        An hour, and what is added to its `flows`, `bytes_tx` and `bytes_rx`; less than 0 where it is taken away.
    """
    added: dict[int, list[Callable[[], pa.Table]]] = {hour: [] for hour in change.anew}
    for totals in change.added:
        for hour, read in totals.by_hour():
            added.setdefault(hour, []).append(read)

    # Where files wait for answers, many hours do so at once, and only as many as elsewhere are merged meanwhile.
    merging = BoundedSemaphore(resources.threads)
    waiting = min(store.files.threads or 1, resources.totals_bytes // _PACKED_BYTES)
    staging = _Staging(store, transaction, added, change.anew, _is_empty(store, transaction, len(added)), merging)
    with files.writing(store.scratch), ThreadPoolExecutor(max(waiting, resources.threads)) as pool:
        hours = sorted(added)
        yield from zip(hours, pool.map(staging.stage, hours), strict=True)


def _is_empty(store: Locations, transaction: Transaction, hours: int) -> bool:
    """Whether a store in a bucket surely has no hour yet, as far as a listing is cheaper than a look at each of so many hours.

    That is so for its first run alone, which often counts years. A later one must not rely on a listing: a server may be late with
    it, and an hour that is there must not be taken for none.
    """
    is_first = transaction.run_id == run_id_of(1)
    return is_first and store.is_listed and hours > _FEW_HOURS and not store.files.exists(f"{store.flows}/")


@dataclass(frozen=True)
class _Staging:
    """Stages the partitions of a run's hours, of which several may be staged at once.

    Attributes:
        store: The store.
        transaction: The run.
        added: Reads what is added to each hour.
        anew: As `Change` has it.
        is_empty: Whether no hour is there yet.
        merging: Is held while an hour is merged, which takes memory.
    """

    store: Locations
    transaction: Transaction
    added: Mapping[int, Sequence[Callable[[], pa.Table]]]
    anew: Mapping[int, Mapping[str, int] | None]
    is_empty: bool
    merging: BoundedSemaphore

    def stage(self, hour: int) -> dict[str, int]:
        """Stages an hour's new partition, over the one that is there; gives what the change comes to. Where nothing is left, the
        partition is removed; in a bucket, where it could be a later run's by then, a partition without rows takes its place.
        """
        store, known = self.store, self.anew.get(hour)
        fetched, version = (None, "") if self.is_empty else fetch_partition(store, hour)
        keeps_place = store.files.has_versions
        with self.merging:
            present = decode_partition(store, hour, fetched if known is None else None)
            kept = [] if hour in self.anew else [present]
            filled = [table for table in [*kept, *(read() for read in self.added[hour])] if table.num_rows]
            # The usual case, that there is only one, costs nothing: this one is in the store's order.
            new = filled[0] if len(filled) == 1 else merge_sorted(filled)
            before, after = sums_of(present) if known is None else known, sums_of(new)
            is_there = bool(new.num_rows or (keeps_place and (present.num_rows if known is None else fetched)))
            content = encode_partition(new, after, self.transaction.run_id if keeps_place else "") if is_there else None
        if content is not None:
            self.transaction.stage(store.partition(hour), content, version)
        elif not keeps_place and store.files.exists(store.partition_name(hour)):
            self.transaction.remove(store.partition(hour))
        return {name: after[name] - before[name] for name in after}
