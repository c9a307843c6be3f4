"""What is known of sources while they are read: of one alone, or of small ones whose texts are read as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.counting.rejects import RejectSpool
from pipeline.counting.sources import Source
from pipeline.formats.joined import JoinedText
from pipeline.identity import NO_CONTENT, Content
from pipeline.kernel.totals import Added
from pipeline.store.ledger import SourceRecord
from pipeline.syntax.batch import Batch, Reject


class Tally(Protocol):
    """Takes note of what was read."""

    def add(self, batch: Batch, added: Added) -> None:
        """Takes note of a batch that was added to the totals."""

    def where(self, row: int) -> tuple[str, int]:
        """The name of the source of a batch's row, and the row number there."""


@dataclass
class SourceTally:
    """What is known of one source."""

    source: Source
    rejects: RejectSpool
    format: str = ""
    content: Content = NO_CONTENT  # until it was read to its end
    packed_digest: str = ""
    read: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    valid: int = 0
    bytes_tx: int = 0
    bytes_rx: int = 0
    hours: set[int] = field(default_factory=set)

    def add(self, batch: Batch, added: Added) -> None:
        self.rejects.add(self.source.name, batch.rejects)
        self.read += batch.read
        self.ignored += batch.ignored
        self.valid += batch.table.num_rows
        self.bytes_tx += added.bytes_tx
        self.bytes_rx += added.bytes_rx
        self._add_hours(batch.table.column("hour").to_numpy())

    def _add_hours(self, hours: npt.NDArray[np.int64]) -> None:
        """Takes note of the hours that there are. Mostly all that lie between the extremes are known, and one look tells."""
        if len(hours):
            between = range(int(hours.min()), int(hours.max()) + 1)
            if len(between) > len(self.hours) or not self.hours.issuperset(between):
                changes = hours[1:] != hours[:-1]
                self.hours.update(hours[:1].tolist(), np.unique(hours[1:][changes]).tolist())

    def where(self, row: int) -> tuple[str, int]:
        return self.source.name, row

    def record(self) -> SourceRecord:
        """The source's record for the ledger."""
        source, content = self.source, self.content
        return SourceRecord(
            path=source.name,
            digest=content.digest,
            size=content.size,
            head=content.head,
            packed_digest=self.packed_digest,
            packed_size=source.size,
            mtime_ns=source.mtime_ns,
            format=self.format,
            read=self.read,
            valid=self.valid,
            rejected=self.rejects.count,
            ignored=dict(self.ignored),
            bytes_tx=self.bytes_tx,
            bytes_rx=self.bytes_rx,
            hours=sorted(self.hours),
        )


@dataclass
class JoinedTally:
    """What is known of sources whose texts are read as one: each row is noted at its own source."""

    text: JoinedText
    tallies: list[SourceTally]

    def add(self, batch: Batch, added: Added) -> None:
        del added  # it is the sum over all sources
        rows, columns = batch.rows, [batch.table.column(name).to_numpy() for name in ("hour", "bytes_tx", "bytes_rx")]
        if (rows[1:] < rows[:-1]).any():  # lines that are not plain come last in a batch
            order = np.argsort(rows)
            rows, columns = rows[order], [column[order] for column in columns]
        borders = self.text.borders(rows)
        tx, rx = _sums_between(columns[1], borders), _sums_between(columns[2], borders)
        for i in np.flatnonzero(np.diff(borders)).tolist():
            count = int(borders[i + 1] - borders[i])
            tally = self.tallies[i]
            tally.valid += count
            tally.read += count
            tally.bytes_tx += tx[i]
            tally.bytes_rx += rx[i]
        for i, hour in _hours_between(columns[0], borders):
            self.tallies[i].hours.add(hour)
        self._add_others(batch)

    def _add_others(self, batch: Batch) -> None:
        """Takes note of the rows that were not added."""
        rejects: dict[int, list[Reject]] = {}
        files, rows = self.text.place(np.array([reject.row for reject in batch.rejects], np.int64))
        for reject, file, row in zip(batch.rejects, files.tolist(), rows.tolist(), strict=True):
            rejects.setdefault(file, []).append(replace(reject, row=row))
        for file, found in rejects.items():
            tally = self.tallies[file]
            tally.rejects.add(tally.source.name, found)
            tally.read += len(found)
        for reason, rows in batch.left_out.items():
            for file in self.text.place(rows)[0].tolist():
                self.tallies[file].ignored[reason] += 1
                self.tallies[file].read += 1

    def where(self, row: int) -> tuple[str, int]:
        (file,), (own,) = self.text.place(np.array([row]))
        return self.tallies[file].source.name, int(own)


def _sums_between(values: npt.NDArray[np.int64], borders: npt.NDArray[np.intp]) -> list[int]:
    """The sum from each border to the next, exactly: no sum of the numbers' halves can wrap."""
    upper, lower = (np.concatenate([[0], np.cumsum(half)])[borders] for half in (values >> 32, values & 0xFFFFFFFF))
    return [(high << 32) + low for high, low in zip(np.diff(upper).tolist(), np.diff(lower).tolist(), strict=True)]


def _hours_between(hours: npt.NDArray[np.int64], borders: npt.NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """The hours that lie between each border and the next, each with the border's number; mostly once."""
    begins = np.ones(len(hours), bool)
    np.not_equal(hours[1:], hours[:-1], out=begins[1:])
    begins[borders[borders < len(hours)]] = True
    runs = np.flatnonzero(begins)
    return zip((np.searchsorted(borders, runs, side="right") - 1).tolist(), hours[runs].tolist(), strict=True)
