"""Each hour that a run changes: its new partition, staged, and what the change comes to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa

from pipeline.counting.resources import Resources
from pipeline.counting.totals import HourlyTotals, merge_sorted, sums_of
from pipeline.store import files
from pipeline.store.layout import Locations
from pipeline.store.partitions import read_partition, write_partition
from pipeline.store.transaction import Transaction


def stage_hours(
    store: Locations,
    transaction: Transaction,
    totals: Iterable[HourlyTotals],
    anew: Collection[int] = (),
    resources: Resources | None = None,
) -> Iterator[tuple[int, dict[str, int]]]:
    """Stages the partitions of all hours that change.

    Args:
        store: The store.
        transaction: The run that changes them.
        totals: What is added to the hours.
        anew: The hours of which nothing that is there is kept.
        resources: What this may take of the machine.

    Yields:
        An hour, and what is added to its `flows`, `bytes_tx` and `bytes_rx`; less than 0 where it is taken away.

    Raises:
        SumOverflow: A sum does not fit into int64.
        StoreDamaged: A partition that is there cannot be read.
        StoreUnwritable: A partition cannot be staged.
    """
    added: dict[int, list[Callable[[], pa.Table]]] = {hour: [] for hour in anew}
    for each in totals:
        for hour, read in each.by_hour():
            added.setdefault(hour, []).append(read)

    def stage(hour: int) -> tuple[int, dict[str, int]]:
        present = read_partition(store, hour)
        kept = [] if hour in anew else [present]
        filled = [table for table in [*kept, *(read() for read in added[hour])] if table.num_rows]
        # The usual case, that there is only one, costs nothing: it is in the store's order.
        new = filled[0] if len(filled) == 1 else merge_sorted(filled)
        after = sums_of(new)
        if new.num_rows:
            transaction.stage(store.partition(hour), partial(write_partition, totals=new, sums=after))
        elif present.num_rows:
            transaction.remove(store.partition(hour))
        before = sums_of(present) if present.num_rows else dict.fromkeys(after, 0)
        return hour, {name: after[name] - before[name] for name in after}

    with files.writing(transaction.scratch), ThreadPoolExecutor((resources or Resources()).threads) as pool:
        yield from pool.map(stage, sorted(added))
