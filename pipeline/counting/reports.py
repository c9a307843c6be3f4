"""Who reports the records of a run: what tells that logs have flows from both of their ends.

An address is a reporter's if a sender reports as it, or a receiver. What receivers report to come from a reporter's address is
reported from both ends. Which addresses are reporters' is known once all sources are read, in whatever order; so for each address
that sends, the receivers' bytes are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from pipeline.formats.reporters import DST, RECEIVER, REPORTED_BY, SCALED, SENDER, SRC
from pipeline.syntax.batch import Batch, Integers, Mask
from pipeline.syntax.dictionary import codes_of

#: So many addresses are kept, in some 30 MB. Of more, those are kept whose digests begin with a zero bit, then with two, …: the same
#: whatever the order in which the addresses come. What was seen of these is complete, and stands for the rest.
_MOST_ADDRESSES = 1 << 17
_DIGEST_BITS = 64
_LOW_BITS = 27  # of 54, which the bytes of a valid record have at most


@dataclass(frozen=True)
class BothEnds:
    """What is reported from both ends of a flow.

    Attributes:
        bytes: What receivers report to come from addresses that report, too.
        is_exact: Whether that is exact; else it is estimated, as there were too many addresses.
    """

    bytes: int = 0
    is_exact: bool = True


@dataclass
class Reports:
    """What the valid rows of some sources say of who reports them.

    Attributes:
        scaled: How many rows have bytes that were multiplied by a sampling factor.
        tells: Whether a row says at which end of its flow it was reported.
        received: The bytes of all rows that a receiver reports.
    """

    scaled: int = 0
    tells: bool = False
    received: int = 0
    _reporters: set[str] = field(default_factory=set)
    _received_from: dict[str, int] = field(default_factory=dict)
    _zero_bits: int = 0  # with so many a digest must begin

    def add(self, batch: Batch) -> None:
        """Takes note of valid flow records, by their marks (see `formats.reporters.marked`)."""
        marks = batch.marks
        if marks is None or not marks.num_rows:
            return
        if SCALED in marks.column_names:
            self.scaled += int(np.count_nonzero(marks.column(SCALED).to_numpy()))
        if REPORTED_BY in marks.column_names:
            self.tells = True
            ends = marks.column(REPORTED_BY).to_numpy()
            sizes = batch.table.column("bytes_tx").to_numpy() + batch.table.column("bytes_rx").to_numpy()
            src, dst = (marks.column(name).combine_chunks() for name in (SRC, DST))
            received = ends == RECEIVER
            self._add_reporters(src, ends == SENDER)
            self._add_reporters(dst, received)
            self._add_received(src, received, sizes)
            self._keep_few()

    def _add_reporters(self, addresses: pa.DictionaryArray, rows: Mask) -> None:
        codes = codes_of(addresses)[rows]
        has = np.zeros(len(addresses.dictionary), bool)
        has[codes[codes >= 0]] = True
        self._reporters.update(filter(self._is_chosen, addresses.dictionary.filter(pa.array(has)).to_pylist()))

    def _add_received(self, src: pa.DictionaryArray, rows: Mask, sizes: Integers) -> None:
        codes = codes_of(src)
        rows = rows & (codes >= 0)
        high, low = _sums_by_code(codes[rows], sizes[rows], len(src.dictionary))
        used = np.flatnonzero(high + low)
        addresses = src.dictionary.take(pa.array(used)).to_pylist()
        for address, more, less in zip(addresses, high[used].tolist(), low[used].tolist(), strict=True):
            size = (int(more) << _LOW_BITS) + int(less)
            self.received += size
            if self._is_chosen(address):
                self._received_from[address] = self._received_from.get(address, 0) + size

    def _is_chosen(self, address: str) -> bool:
        return not self._zero_bits or not xxhash.xxh3_64_intdigest(address.encode()) >> (_DIGEST_BITS - self._zero_bits)

    def _keep_few(self) -> None:
        """Keeps no more addresses than may be."""
        while len(self._reporters) + len(self._received_from) > _MOST_ADDRESSES:
            self._zero_bits += 1
            self._keep_chosen()

    def _keep_chosen(self) -> None:
        self._reporters = set(filter(self._is_chosen, self._reporters))
        self._received_from = {address: size for address, size in self._received_from.items() if self._is_chosen(address)}

    def merge(self, other: Reports) -> None:
        """Takes in what another has gathered; the other must not be used any more."""
        self.scaled += other.scaled
        self.tells |= other.tells
        self.received += other.received
        self._reporters |= other._reporters
        for address, size in other._received_from.items():
            self._received_from[address] = self._received_from.get(address, 0) + size
        if self._zero_bits != other._zero_bits:
            self._zero_bits = max(self._zero_bits, other._zero_bits)
            self._keep_chosen()
        self._keep_few()
        other._reporters, other._received_from = set(), {}  # whose memory may be kept for long

    def both_ends(self) -> BothEnds | None:
        """What is reported from both ends; None where no row tells at which end it was reported."""
        if not self.tells:
            return None
        found = sum(size for address, size in self._received_from.items() if address in self._reporters)
        if not self._zero_bits:
            return BothEnds(found)
        kept = sum(self._received_from.values())
        return BothEnds(self.received * found // kept if kept else 0, is_exact=False)


def _sums_by_code(codes: npt.NDArray[np.int32], sizes: Integers, count: int) -> list[npt.NDArray[Any]]:
    """The sums of the high and of the low bits of the rows of each code, exactly: none of them comes to 2**53."""
    return [np.bincount(codes, bits, count) for bits in (sizes >> _LOW_BITS, sizes & ((1 << _LOW_BITS) - 1))]
