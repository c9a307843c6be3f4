"""Sums by hour, source app, destination app and VPC, which never wrap, and merging of sums.

`HourlyTotals` sums records over a whole run within a fixed budget of memory; `merge_sorted` sums sums. The result does
not depend on how the records were split or in which order they came.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.counting.resources import available_memory
from pipeline.errors import TooManyNames
from pipeline.kernel.totals import Added, SortedTotals, Totals, TotalsByHour
from pipeline.schema import COUNT, ENCODED_TOTALS_SCHEMA, SUMS, TOTALS_SCHEMA, dictionary_encoded
from pipeline.syntax.batch import exact_sum


def sums_of(totals: pa.Table) -> dict[str, int]:
    """The sums over all rows of `bytes_tx`, `bytes_rx` and `flows`, exactly, however large."""
    return {name: exact_sum(totals.column(name).to_numpy()) for name in (*SUMS, COUNT)}


#: So many bytes of names are held at once, however large the budget: a table of Arrow cannot have 2 GiB of them, and a
#: block of records may add half a GiB. All of one hour must fit below Arrow's limit.
_HELD_NAMES, _MOST_NAMES = 1 << 30, 2**31 - 1
#: So few need no look at how much memory there is.
_FEW_NAMES = 16 << 20


@dataclass
class HourlyTotals:
    """The totals of a source, or of a run, as they come in.

    Once they outgrow the budget they are written to disk, sorted by hour; each hour is then read back on its own. So
    memory depends on the budget and on the keys of the largest hour, not on the input. When pickled, what is held in memory
    travels as Arrow data, and what is on disk by its path.

    Attributes:
        spill_folder: Where to write; it must exist when the budget is first passed.
        budget_bytes: How much to hold in memory.
    """

    spill_folder: Path
    budget_bytes: int
    _held: Totals = field(default_factory=Totals)
    _spills: list[_Spill] = field(default_factory=list)

    def __reduce__(self) -> tuple[Any, ...]:
        held = pa.BufferOutputStream()
        _write(held, TotalsByHour(self._held))
        return _unpickled, (self.spill_folder, self.budget_bytes, held.getvalue(), self._spills)

    def add(self, flows: pa.Table) -> Added:
        """Takes in valid flow records (`schema.FLOW_SCHEMA`), or totals (which have `flows`, too), with dictionary-encoded text.

        Raises:
            SumOverflow: A sum does not fit into int64.
        """
        added = self._held.add(flows)
        self._spill_beyond_budget()
        return added

    def merge(self, other: HourlyTotals) -> None:
        """Takes in all that another has gathered; the other must not be used any more.

        Raises:
            SumOverflow: A sum does not fit into int64.
        """
        for spill in other._spills:
            self._take(spill)
        other._spills = []
        if not len(self._held):
            self._held, other._held = other._held, self._held
        elif self._holds_names_for(other._held):
            # Where both may be too much, an hour that is here already mostly has the same keys and takes no more; others go to disk.
            self._held.absorb(other._held, known_hours_alone=self._is_too_much(other._held))
        other.to_disk()
        self._spills += other._spills
        self._spill_beyond_budget()

    def _take(self, spill: _Spill) -> None:
        """Has back in memory what surely fits there: a worker elsewhere writes all to disk, and most of its keys are here already."""
        if self._is_too_much(spill):
            self._spills.append(spill)
        else:
            self.add(spill.read_all())

    def hours(self) -> list[int]:
        """The hours for which there are totals, in order."""
        return sorted(set(self._held.hours()).union(*self._spills))

    def by_hour(self) -> Iterator[tuple[int, Callable[[], pa.Table]]]:
        """Each hour, and a call that gives its totals in the store's order (`schema.TOTALS_SCHEMA`, but with dictionary-encoded text).

        Several threads may make the calls.

        Raises:
            SumOverflow: A sum does not fit into int64.
        """
        held = SortedTotals(self._held)
        for hour in self.hours():
            spilled = [spill for spill in self._spills if hour in spill]
            yield hour, partial(self._totals_of, hour, held, spilled)

    def _totals_of(self, hour: int, held: SortedTotals, spilled: list[_Spill]) -> pa.Table:
        if not spilled:
            return held.table(hour)
        return merge_sorted([*([held.table(hour)] if hour in held else []), *(spill.read(hour) for spill in spilled)])

    def to_disk(self) -> None:
        """Writes to disk what is in memory."""
        if len(self._held):
            self._spill()

    @property
    def paths(self) -> list[str]:
        """The files on disk."""
        return [spill.path for spill in self._spills]

    def _spill_beyond_budget(self) -> None:
        if self._is_too_much():
            self._spill()

    def _is_too_much(self, *others: Totals | _Spill) -> bool:
        return (
            not self._holds_names_for(*others) or sum(totals.nbytes for totals in (self._held, *others)) > self.budget_bytes
        )

    def _holds_names_for(self, *others: Totals | _Spill) -> bool:
        return sum(totals.names_nbytes for totals in (self._held, *others)) <= _HELD_NAMES

    def _spill(self) -> None:
        self._spills.append(_Spill(self.spill_folder, self._held))
        self._held = Totals()


def _unpickled(spill_folder: Path, budget_bytes: int, held: pa.Buffer, spills: list[_Spill]) -> HourlyTotals:
    """The totals that were pickled, in memory of this process."""
    totals = Totals()
    with pa.ipc.open_file(held) as file:
        for number in range(file.num_record_batches):
            totals.add(pa.Table.from_batches([file.get_batch(number)]))
    return HourlyTotals(spill_folder, budget_bytes, totals, spills)


def merge_sorted(totals: Iterable[pa.Table]) -> pa.Table:
    """Merges totals of one hour, with dictionary-encoded text or without. The result is in the store's order, with it.

    Raises:
        SumOverflow: A sum does not fit into int64.
        TooManyNames: The distinct names do not fit: all of an hour are in memory a few times, sorted and on their way to a file.
    """
    merged = Totals()
    for table in totals:
        merged.add(dictionary_encoded(table))
        if merged.names_nbytes > _FEW_NAMES:
            _check_names(merged)
    by_hour = SortedTotals(merged)
    return by_hour.table(by_hour.hours[0]) if by_hour.hours else dictionary_encoded(TOTALS_SCHEMA.empty_table())


def _check_names(merged: Totals) -> None:
    limit = min(_MOST_NAMES, available_memory() // 4)
    if (size := merged.names_nbytes) > limit:
        raise TooManyNames(merged.hours()[0], size, limit)


class _Spill:
    """Totals on disk: an Arrow file with one batch for each hour, and the texts once.

    Attributes:
        path: The file.
        nbytes: The memory that the totals took.
        names_nbytes: The bytes of all their distinct names.
    """

    def __init__(self, folder: Path, totals: Totals) -> None:
        descriptor, self.path = tempfile.mkstemp(".arrow", "totals-", folder)
        os.close(descriptor)
        self.nbytes, self.names_nbytes = totals.nbytes, totals.names_nbytes
        by_hour = TotalsByHour(totals)
        self._batch_of = {hour: index for index, hour in enumerate(by_hour.hours)}
        _write(self.path, by_hour)

    def __contains__(self, hour: int) -> bool:
        return hour in self._batch_of

    def __iter__(self) -> Iterator[int]:
        return iter(self._batch_of)

    def read(self, hour: int) -> pa.Table:
        with pa.memory_map(self.path) as file:
            batch = pa.ipc.open_file(file).get_batch(self._batch_of[hour])
            texts = [_with_few_texts(column) if pa.types.is_dictionary(column.type) else column for column in batch.columns]
        return pa.table(texts, schema=ENCODED_TOTALS_SCHEMA)

    def read_all(self) -> pa.Table:
        """The totals of all hours."""
        with pa.memory_map(self.path) as file:
            return pa.ipc.open_file(file).read_all().combine_chunks()


def _write(sink: str | pa.NativeFile, totals: TotalsByHour) -> None:
    """Writes an Arrow file."""
    with pa.ipc.new_file(sink, ENCODED_TOTALS_SCHEMA) as writer:
        for _, table in totals.tables():
            writer.write_table(table)


def _with_few_texts(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """A column of dictionary-encoded text without the texts that none of its rows has."""
    codes, texts = column.indices.to_numpy(), column.dictionary
    if texts.nbytes <= len(codes):  # they may stay: to look for them would take longer than they do
        return column
    if len(texts) > len(codes):  # an hour of many: its codes are sorted, and the texts are not looked at
        used, new_codes = np.unique(codes, return_inverse=True)
        return pa.DictionaryArray.from_arrays(new_codes.astype(np.int32), texts.take(pa.array(used)))
    is_used = np.zeros(len(texts), bool)
    is_used[codes] = True
    if is_used.all():
        return column
    new_codes = np.cumsum(is_used, dtype=np.int32) - np.int32(1)
    return pa.DictionaryArray.from_arrays(new_codes[codes], texts.filter(pa.array(is_used)))
