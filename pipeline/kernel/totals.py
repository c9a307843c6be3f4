"""Sums by hour, source app, destination app and VPC."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import c_int64, c_void_p
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import SumOverflow
from pipeline.kernel.library import OVERFLOW, KernelMemory, check, kernel
from pipeline.kernel.texts import Texts, address_of
from pipeline.schema import COUNT, KEY, SUMS

Number = TypeVar("Number", np.int32, np.int64)

_SUMMED = (*SUMS, COUNT)
_TEXTS = KEY[1:]


@dataclass(frozen=True)
class Added:
    """The sums over some records, exactly, however large."""

    bytes_tx: int = 0
    bytes_rx: int = 0

    def __add__(self, other: Added) -> Added:
        return Added(self.bytes_tx + other.bytes_tx, self.bytes_rx + other.bytes_rx)


class Totals(KernelMemory):
    """A table of sums by key. Not for several threads at once."""

    def __init__(self) -> None:
        self._handle = kernel.totals_new()
        if not self._handle:
            raise MemoryError
        self._names = Texts(kernel.totals_names(self._handle))

    def __del__(self) -> None:
        kernel.totals_free(self._handle)

    def __len__(self) -> int:
        return int(kernel.totals_count(self._handle))

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return int(kernel.totals_memory(self._handle))

    @property
    def names_nbytes(self) -> int:
        """The bytes of all distinct names."""
        return self._names.nbytes

    def add(self, flows: pa.Table) -> Added:
        """Adds flow records (`schema.FLOW_SCHEMA`), or totals (which have `flows`, too). No cell may be null.

        Returns:
            The sums over what was added.

        Raises:
            SumOverflow: A sum does not fit into int64. The table is of no use any more.
        """
        tx = rx = 0
        for batch in flows.to_batches():
            columns = {name: batch.column(name) for name in batch.schema.names}
            codes = [self._names.codes_of(columns[name].dictionary) for name in _TEXTS]
            halves, failed = (c_int64 * 4)(), (c_int64 * 3)()
            state = kernel.totals_add(
                self._handle,
                batch.num_rows,
                *(address_of(columns[name]) for name in (*KEY, *SUMS)),
                address_of(columns[COUNT]) if COUNT in columns else None,
                *(texts.ctypes.data for texts in codes),
                halves,
                failed,
            )
            self._check(state, failed)
            tx += (halves[0] << 32) + halves[1]
            rx += (halves[2] << 32) + halves[3]
        return Added(tx, rx)

    def absorb(self, other: Totals, *, known_hours_alone: bool = False) -> None:
        """Takes over what another has gathered: all, so that the other is empty then, or that of the hours alone which are here already.

        Raises:
            SumOverflow: A sum does not fit into int64. Neither table is of use any more.
        """
        codes, failed = self._names.codes_of(other._names.texts()), (c_int64 * 3)()
        state = kernel.totals_absorb(self._handle, other._handle, codes.ctypes.data, known_hours_alone, failed)
        self._check(state, failed)

    def hours(self) -> list[int]:
        """The hours for which there are rows, in order."""
        return sorted(self.rows_by_hour())

    def rows_by_hour(self) -> dict[int, int]:
        """How many rows each hour has, in the order in which the hours came."""
        hours, counts = np.empty((2, kernel.totals_hour_count(self._handle)), np.int64)
        kernel.totals_hours(self._handle, hours.ctypes.data, counts.ctypes.data)
        return dict(zip(hours.tolist(), counts.tolist(), strict=True))

    def _check(self, state: int, failed: ctypes.Array[c_int64]) -> None:
        check(state)
        if state == OVERFLOW:
            row, which, hour = failed
            codes = (ctypes.c_int32 * 3)()
            kernel.totals_key(self._handle, hour, row, codes)
            texts = self._names.texts()
            key = [hour, *(texts[code].as_py() for code in codes)]
            raise SumOverflow(_SUMMED[which], ", ".join(f"{name} {value!r}" for name, value in zip(KEY, key, strict=True)))


class TotalsByHour(KernelMemory):
    """The rows of a table, by hour. Several threads may read it at once.

    Attributes:
        hours: The hours for which there are rows, in order.
    """

    def __init__(self, totals: Totals) -> None:
        self._totals = totals  # keeps the rows alive
        self._handle, self._names = totals._handle, totals._names  # noqa: SLF001 - the two are one
        self._rows = totals.rows_by_hour()
        self._place = {hour: place for place, hour in enumerate(self._rows)}
        self.hours = sorted(self._rows)

    def __contains__(self, hour: int) -> bool:
        return hour in self._place

    def tables(self) -> Iterator[tuple[int, pa.Table]]:
        """Each hour and its rows, in no order: `schema.TOTALS_SCHEMA`, but dictionary-encoded; all have the same texts."""
        texts = self._names.texts()
        for hour in self.hours:
            keys, sums = _empty(np.int32, self._rows[hour]), _empty(np.int64, self._rows[hour])
            kernel.totals_rows(self._handle, self._place[hour], _addresses(keys), _addresses(sums))
            yield hour, _table(hour, keys, [texts] * len(keys), sums)


class SortedTotals(TotalsByHour):
    """The same, and within an hour in the store's order."""

    def __init__(self, totals: Totals) -> None:
        super().__init__(totals)
        self._texts, self._rank = self._names.sorted_texts()

    def table(self, hour: int) -> pa.Table:
        """The rows of one of `hours`: `schema.TOTALS_SCHEMA`, but dictionary-encoded, each column's texts in the order in
        which they come.
        """
        rows = self._rows[hour]
        keys, texts, sums = _empty(np.int32, rows), _empty(np.int32, rows), _empty(np.int64, rows)
        text_counts = np.empty(len(_TEXTS), np.int64)
        state = kernel.totals_sorted(
            self._handle,
            self._place[hour],
            self._rank.ctypes.data,
            len(self._rank),
            _addresses(keys),
            _addresses(texts),
            text_counts.ctypes.data,
            _addresses(sums),
        )
        check(state)
        used = [ranks[:count] for ranks, count in zip(texts, text_counts.tolist(), strict=True)]
        return _table(hour, keys, [self._texts.take(pa.array(ranks)) for ranks in used], sums)


def _empty(type_: type[Number], count: int) -> list[npt.NDArray[Number]]:
    """Room for one value in each row, for the three texts of a key, or its three sums."""
    return [np.empty(count, type_) for _ in range(3)]


def _table(
    hour: int, keys: list[npt.NDArray[np.int32]], texts: list[pa.StringArray], sums: list[npt.NDArray[np.int64]]
) -> pa.Table:
    columns = {"hour": pa.repeat(pa.scalar(hour, pa.int64()), len(keys[0]))}
    for name, key, distinct in zip(_TEXTS, keys, texts, strict=True):
        columns[name] = pa.DictionaryArray.from_arrays(pa.array(key), distinct, safe=False)
    columns.update(zip(_SUMMED, map(pa.array, sums), strict=True))
    return pa.table(columns)


def _addresses(arrays: list[npt.NDArray[np.int32]] | list[npt.NDArray[np.int64]]) -> ctypes.Array[c_void_p]:
    return (c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
