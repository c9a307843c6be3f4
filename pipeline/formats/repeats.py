"""Records that stand twice in one file: what is delivered at least once is delivered twice now and then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.errors import UnreadableSource
from pipeline.syntax.batch import Mask

#: More records than a file may have: their keys would take 256 MiB.
MOST_RECORDS = 1 << 24

Keys = npt.NDArray[np.bytes_]


class Repeats:
    """Remembers the records of a file by their keys, in 16 bytes each."""

    def __init__(self) -> None:
        # Sorted, each at least twice as long as the next: a key is looked for in few of them, and merged few times.
        self._runs: list[Keys] = []

    def are_new(self, keys: Sequence[bytes | None]) -> Mask:
        """Which records were not met before. A record without a key is always new.

        Args:
            keys: A digest of 16 bytes for each record, in the file's order.

        Raises:
            UnreadableSource: The file has more than `MOST_RECORDS`.
        """
        is_new = np.ones(len(keys), bool)
        places = np.array([i for i, key in enumerate(keys) if key is not None], np.int64)
        found = np.array([key for key in keys if key is not None], "S16")
        distinct, firsts = np.unique(found, return_index=True)
        is_new[places] = False
        is_fresh = ~self._has(distinct)
        is_new[places[firsts[is_fresh]]] = True
        self._add(distinct[is_fresh])
        return is_new

    def _has(self, keys: Keys) -> Mask:
        known = np.zeros(len(keys), bool)
        for run in self._runs:
            known |= run[np.minimum(np.searchsorted(run, keys), len(run) - 1)] == keys
        return known

    def _add(self, keys: Keys) -> None:
        if not len(keys):
            return
        if sum(map(len, self._runs)) + len(keys) > MOST_RECORDS:
            raise UnreadableSource(f"it has more than {MOST_RECORDS:,} records that may stand twice; split it")
        self._runs.append(keys)
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort()
            self._runs.append(merged)
