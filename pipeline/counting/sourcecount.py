"""What is known of a source while it is counted, and what it added in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.counting.distinct_hours import DistinctHours
from pipeline.counting.rejects import RejectSpool
from pipeline.digests import NO_CONTENT, Content
from pipeline.errors import SourceError, StrictRunStopped
from pipeline.kernel.totals import Added
from pipeline.syntax.batch import Batch, Reject, exact_sum
from pipeline.syntax.blocks import MAX_LINES_AT_ONCE


@dataclass
class SourceCount:
    """What a source added.

    Attributes:
        format: The name of its format.
        content: What identifies its content, once it was read to its end.
        packed_digest: The digest of its bytes as they lie: XXH3-128, in hexadecimal.
        read: Its records: valid + rejected + the sum of `ignored`.
        notes: How many valid records have something of which a user should know, by what that is (see `Batch.notes`).
        ignored: How many records were left out on purpose, by reason; ignored_bytes: their bytes, where they are known.
        bytes_tx: The sum over its valid records, in bytes; bytes_rx alike.
        hours: The hours to which it added.
    """

    format: str = ""
    content: Content = NO_CONTENT
    packed_digest: str = ""
    read: int = 0
    valid: int = 0
    rejected: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    bytes_tx: int = 0
    bytes_rx: int = 0
    hours: set[int] = field(default_factory=set)
    ignored_bytes: dict[str, int] = field(default_factory=dict)

    def note(self, what: str, records: int) -> None:
        """Takes note of valid records of which a user should know something."""
        self.notes[what] = self.notes.get(what, 0) + records

    def leave_out(self, reason: str, records: int, size: int) -> None:
        """Takes note of records that were left out, and of their bytes."""
        self.read += records
        self.ignored[reason] = self.ignored.get(reason, 0) + records
        if size:
            self.ignored_bytes[reason] = self.ignored_bytes.get(reason, 0) + size


@dataclass
class Reading:
    """A source that is being counted.

    Attributes:
        name: The source's, for messages and rejects.
        rejects: Its rejected rows.
        count: What it added so far.
        hours: The hours that its rows open, valid or not.
        error: Why it cannot be counted; None as long as it can.
    """

    name: str
    rejects: RejectSpool
    count: SourceCount = field(default_factory=SourceCount)
    hours: DistinctHours = field(default_factory=DistinctHours)
    error: SourceError | None = None
    _found: list[Reject] = field(default_factory=list)

    def add(self, batch: Batch, added: Added) -> None:
        """Takes note of a batch of its own that was added to the totals."""
        count = self.count
        for note, rows in batch.noted.items():
            count.note(note, len(rows))
        count.read += batch.table.num_rows + len(batch.rejects)
        for reason, left in batch.left_out.items():
            count.leave_out(reason, len(left), exact_sum(left.sizes))
        count.valid += batch.table.num_rows
        count.bytes_tx += added.bytes_tx
        count.bytes_rx += added.bytes_rx
        self.reject(batch.rejects)
        count.hours.update(batch.hours.tolist())

    def reject(self, rejects: Sequence[Reject]) -> None:
        """Takes in rejected rows, in any order."""
        self._found += rejects

    @property
    def has_many_rejects(self) -> bool:
        """Whether so many rows were rejected that they must not wait: each takes ten times the memory of a row. The source has then more
        lines than are gathered with those of others, so that its batches come in their order.
        """
        return len(self._found) > MAX_LINES_AT_ONCE

    def settle(self, is_strict: bool) -> None:
        """Puts the rejected rows that were found aside; the next ones come behind them in the source.

        Raises:
            StrictRunStopped: There is one, and none is allowed.
        """
        if self._found:
            if is_strict:
                raise StrictRunStopped(self.name, str(min(self._found, key=lambda reject: reject.row)))
            self.count.rejected += len(self._found)
            self.rejects.add(self.name, self._found)
            self._found = []
