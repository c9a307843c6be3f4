"""Each hour that a run changes: its new partition, staged, and what the change comes to."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter

import pyarrow as pa

from pipeline.aggregation import HourlyTotals, merge, sort_totals, sums_of
from pipeline.schema import TOTALS_SCHEMA
from pipeline.store import files
from pipeline.store.locations import Locations
from pipeline.store.partitions import read_partition, write_partition
from pipeline.store.transaction import Transaction


def stage_hours(
    store: Locations, transaction: Transaction, totals: list[HourlyTotals], anew: Collection[int] = ()
) -> Iterator[tuple[int, dict[str, int]]]:
    """Stages the partitions of all hours that change, hour by hour.

    Args:
        store: The store.
        transaction: The run that changes them.
        totals: What is added to the hours.
        anew: The hours of which nothing that is there is kept.

    Yields:
        An hour, and what is added to its `flows`, `bytes_tx` and `bytes_rx`; less than 0 where it is taken away.

    Raises:
        SumOverflow: A sum does not fit into int64.
        StoreDamaged: A partition that is there cannot be read.
        StoreUnwritable: A partition cannot be staged.
    """
    made_anew = ((hour, TOTALS_SCHEMA.empty_table()) for hour in sorted(anew))
    changes = heapq.merge(made_anew, *(each.each_hour() for each in totals), key=itemgetter(0))
    with files.writing(transaction.scratch):
        for hour, added in groupby(changes, key=itemgetter(0)):
            present = read_partition(store, hour)
            kept = [] if hour in anew else [present]
            new = _merge_few([*kept, *(table for _, table in added)])
            if new.num_rows:
                transaction.stage(store.partition(hour), partial(write_partition, totals=new))
            elif present.num_rows:
                transaction.remove(store.partition(hour))
            before, after = sums_of(present), sums_of(new)
            yield hour, {name: after[name] - before[name] for name in after}


def _merge_few(tables: list[pa.Table]) -> pa.Table:
    """Merges totals of one hour. The usual case, that there is only one, costs nothing: it is in the store's order."""
    filled = [table for table in tables if table.num_rows]
    return filled[0] if len(filled) == 1 else sort_totals(merge(filled))
