"""Who reports the records of a run: what tells that logs have flows from both of their ends.

An address is a reporter's if a sender reports as it, or a receiver. What receivers report to come from a reporter's address is
reported from both ends. Which addresses are reporters' is known once all sources are read, in whatever order; so for each address
that sends, the receivers' bytes are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import xxhash

from pipeline.formats.reporters import DST, RECEIVER, REPORTED_BY, SCALED, SENDER, SRC
from pipeline.syntax.batch import Batch, Integers
from pipeline.syntax.dictionary import Codes, codes_of

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


class _Column:
    """What a column of addresses says, by their codes: the blocks of a file have mostly the same distinct addresses, or those of the
    block before and some more.

    Attributes:
        addresses: The distinct ones.
        reports: Which of them a reporter has.
        received: The bytes that receivers report to come from each: the sums of the high bits, and of the low bits.
    """

    def __init__(self) -> None:
        self.addresses = pa.array([], pa.string())
        self.reports = np.zeros(0, bool)
        self.received = np.zeros((2, 0), np.int64)

    def extended(self, addresses: pa.StringArray) -> bool:
        """Whether all codes mean what they meant; takes in further addresses."""
        known, count = len(self.addresses), len(addresses)
        if known > count or not addresses[:known].equals(self.addresses):
            return False
        if known < count:
            self.addresses = addresses
            self.reports = np.append(self.reports, np.zeros(count - known, bool))
            self.received = np.append(self.received, np.zeros((2, count - known), np.int64), axis=1)
        return True

    def add_received(self, codes: Codes, sizes: Integers) -> None:
        """Adds rows that receivers report; neither sum of a batch comes to 2**53, below which floating point is exact."""
        bits = sizes >> _LOW_BITS, sizes & ((1 << _LOW_BITS) - 1)
        self.received += np.array([np.bincount(codes, some, len(self.addresses)) for some in bits]).astype(np.int64)

    def received_from(self) -> Iterator[tuple[str, int]]:
        """The addresses from which something was received, and how many bytes."""
        used = np.flatnonzero(self.received.any(axis=0))
        sums = zip(*self.received[:, used].tolist(), strict=True)
        for address, (high, low) in zip(self.addresses.take(pa.array(used)).to_pylist(), sums, strict=True):
            yield address, (high << _LOW_BITS) + low


@dataclass
class Reports:
    """What the valid rows of some sources say of who reports them.

    Attributes:
        scaled: How many rows have bytes that were multiplied by a sampling factor.
        tells: Whether a row says at which end of its flow it was reported.
        hops: The interfaces of `--hop` that reported some of the records, in small letters.
    """

    scaled: int = 0
    tells: bool = False
    hops: set[str] = field(default_factory=set)
    _columns: dict[str, _Column] = field(default_factory=dict)
    _reporters: set[str] = field(default_factory=set)
    _received_from: dict[str, int] = field(default_factory=dict)
    _received: int = 0  # from all addresses, kept or not
    _zero_bits: int = 0  # with so many the digest of an address must begin

    def add(self, batch: Batch) -> None:
        """Takes note of valid flow records, by their marks (see `formats.reporters.marked`)."""
        self.hops |= batch.hops
        marks = batch.marks
        if marks is None or not marks.num_rows:
            return
        if SCALED in marks.column_names:
            self.scaled += int(np.count_nonzero(marks.column(SCALED).to_numpy()))
        if REPORTED_BY in marks.column_names:
            self.tells = True
            ends = marks.column(REPORTED_BY).to_numpy()
            received = ends == RECEIVER
            src, codes = self._column(marks, SRC)
            src.reports[codes[(ends == SENDER) & (codes >= 0)]] = True
            received_from = received & (codes >= 0)
            sizes = batch.table.column("bytes_tx").to_numpy() + batch.table.column("bytes_rx").to_numpy()
            src.add_received(codes[received_from], sizes[received_from])
            dst, codes = self._column(marks, DST)
            dst.reports[codes[received & (codes >= 0)]] = True

    def _column(self, marks: pa.Table, name: str) -> tuple[_Column, Codes]:
        cells = marks.column(name).combine_chunks()
        column = self._columns.get(name)
        if column is None or not column.extended(cells.dictionary):
            self._settle(name)
            column = self._columns[name] = _Column()
            column.extended(cells.dictionary)
        return column, codes_of(cells)

    def _settle(self, *names: str) -> None:
        """Takes what columns say in, by the addresses themselves."""
        for column in filter(None, (self._columns.pop(name, None) for name in names)):
            reporters = column.addresses.filter(pa.array(column.reports)).to_pylist()
            self._reporters.update(filter(self._is_chosen, reporters))
            for address, size in column.received_from():
                self._received += size
                self._take(address, size)
        self._keep_few()

    def _take(self, address: str, size: int) -> None:
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
        other._settle(SRC, DST)
        self.scaled += other.scaled
        self.hops |= other.hops
        self.tells |= other.tells
        self._received += other._received
        if self._zero_bits < other._zero_bits:
            self._zero_bits = other._zero_bits
            self._keep_chosen()
        self._reporters.update(filter(self._is_chosen, other._reporters))
        for address, size in other._received_from.items():
            self._take(address, size)
        self._keep_few()
        other._reporters, other._received_from = set(), {}  # whose memory may be kept for long

    def both_ends(self) -> BothEnds | None:
        """What is reported from both ends; None where no row tells at which end it was reported."""
        self._settle(SRC, DST)
        if not self.tells:
            return None
        found = sum(size for address, size in self._received_from.items() if address in self._reporters)
        if not self._zero_bits:
            return BothEnds(found)
        kept = sum(self._received_from.values())
        return BothEnds(self._received * found // kept if kept else 0, is_exact=False)
