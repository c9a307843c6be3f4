"""The hours of a store looked at without trust in them, as `audit` looks at its records: what their files have, and what is wrong
with that in itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.counting.resources import processors
from pipeline.counting.totals import sums_of
from pipeline.digests import digest_of_bytes
from pipeline.errors import StoreDamaged, StoreUnreadable
from pipeline.forks import copies, dealt, may_copy
from pipeline.scalars import INT64_MAX
from pipeline.schema import COUNT, PARTITION_ORDER, SUMS
from pipeline.store.layout import Locations
from pipeline.store.partitions import examine_partition, fetch_partition


class Seen(NamedTuple):
    """What an hour has.

    Attributes:
        hour: Hours since the epoch.
        damage: Why its file cannot be read, with the file's name; "" where it can.
        sums: What its rows add up to: `bytes_tx`, `bytes_rx` and `flows`; nothing where there are no rows.
        said: The same, as the file's footer says.
        problems: What is wrong with the rows.
        digest: Of the file's bytes (XXH3-128, in hexadecimal).
    """

    hour: int
    damage: str = ""
    sums: dict[str, int] = {}  # noqa: RUF012 - nothing changes it
    said: dict[str, int] = {}  # noqa: RUF012
    problems: Sequence[str] = ()
    digest: str = ""


#: From so many hours on, copies of this process look at them sooner than threads: these hold Python's lock nearly all the time, and an
#: hour takes 0.6 ms; a copy takes 10 ms to begin.
_WORTH_HOURS = 200
#: To hand an hour over to a thread takes a fifth of the time that looking at a small one does.
_HOURS_AT_ONCE = 32


@contextmanager
def looked_at(store: Locations, hours: Sequence[int]) -> Iterator[Iterator[Seen]]:
    """Has some hours looked at, beside what else is done meanwhile; gives what was seen, in no order."""
    look, width = partial(_look_at, store), processors()
    if store.files.threads is None and len(hours) >= _WORTH_HOURS and width > 1 and may_copy():
        with copies(look, [[share] for share in dealt(hours, width)]) as found:
            yield chain.from_iterable(chain.from_iterable(found))
    else:
        size = 1 if store.files.threads else _HOURS_AT_ONCE
        pool = ThreadPoolExecutor(store.files.threads or width)
        try:
            yield chain.from_iterable(pool.map(look, [hours[start : start + size] for start in range(0, len(hours), size)]))
        finally:
            pool.shutdown(cancel_futures=True)


def _look_at(store: Locations, hours: Sequence[int]) -> list[Seen]:
    return [_look_at_one(store, hour) for hour in hours]


def _look_at_one(store: Locations, hour: int) -> Seen:
    try:
        content, _ = fetch_partition(store, hour)
        totals, summary = examine_partition(store, hour, content)
    except (StoreDamaged, StoreUnreadable) as error:
        return Seen(hour, damage=error.told)
    if content is None or summary is None or totals.num_rows == 0:
        return Seen(hour)
    said = {name: getattr(summary, name) for name in (*SUMS, COUNT)}
    return Seen(hour, "", sums_of(totals), said, [*_problems(totals)], digest_of_bytes(content))


def _problems(totals: pa.Table) -> Iterator[str]:
    if sum(column.null_count for column in totals.columns):
        yield "has nulls"
        return
    columns = [totals.column(name).chunk(0) for name in PARTITION_ORDER]
    for name, column in zip(PARTITION_ORDER, columns, strict=True):
        if pc.call_function("index", [column.dictionary], _EMPTY).as_py() >= 0:
            yield f"has an empty {name}"
    sums = {name: totals.column(name).to_numpy() for name in (*SUMS, COUNT)}
    for name, values in sums.items():
        if (smallest := values.min()) < 0:
            yield f"has {smallest} in {name}"
    # A flow that was spread has bytes in further hours, which do not count it again.
    if not np.bitwise_or.reduce(list(sums.values())).all():
        yield "has a row without flows and bytes"
    ranks = [pc.call_function("rank", [column.dictionary], _RANKS).to_numpy() for column in columns]
    yield from _order_problems([rank[column.indices.to_numpy()] for rank, column in zip(ranks, columns, strict=True)])


_EMPTY = pc.IndexOptions(pa.scalar(""))
_RANKS = pc.RankOptions(tiebreaker="dense")


def _order_problems(ranks: list[npt.NDArray[np.uint64]]) -> Iterator[str]:
    """What is wrong with the order of the rows, by the ranks of the texts of their keys, column by column."""
    sizes = [int(rank.max()) + 1 for rank in ranks]
    if prod(sizes) < INT64_MAX:  # each key has a number of its own
        keys = np.zeros(len(ranks[0]), np.uint64)
        for rank, size in zip(ranks, sizes, strict=True):
            keys = keys * np.uint64(size) + rank
        if (keys[1:] > keys[:-1]).all():
            return
    order = np.lexsort(ranks[::-1])
    if not (order == np.arange(len(order))).all():
        yield "its rows are not sorted by their key"
    if (np.diff(np.array(ranks)[:, order]) == 0).all(axis=0).any():
        yield "a key stands in more than one row"
