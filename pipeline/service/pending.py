"""What is in the log and not yet in `flows/`: its totals and keys, segment by segment.

A segment that is flushed disappears from here whole. Its part of a GET's answer is then in the partitions; `get` takes care
that each answer has it once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipeline.digests import new_digest
from pipeline.errors import StoreDamaged
from pipeline.scalars import INT64_MAX
from pipeline.service.body import read_lines
from pipeline.store.layout import Locations
from pipeline.store.ledger import read_run
from pipeline.store.partitions import summarise_partition
from pipeline.wal import flushes, segments
from pipeline.wal.segments import Mark

_logger = logging.getLogger(__name__)

#: (src_app, dest_app, vpc_id): what tells the totals of one hour apart.
TotalsKey = tuple[str, str, str]
#: The sums of bytes_tx and of bytes_rx; a tuple rather than a list, so that a copy of the totals does not change any more.
Sums = tuple[int, int]

#: How many records are summed before other requests have their turn: a few milliseconds.
_RECORDS_A_TURN = 5_000


@dataclass(eq=False, slots=True)
class Segment:
    """A segment of the log, in memory.

    Attributes:
        name: The name of its file.
        since: When its first entry came, in seconds of the monotonic clock.
        size: How many bytes it has; records: how many records.
        bytes_by_hour: The sum of both directions over all keys, for each of its hours.
        keys: Its Idempotency-Keys, each with the time when it came and the digest of its records.
        attempt: The attempt to commit a run that flushes it, once there is one.
        entries: Its entries, as they stand in its file, so that the file can be made anew where the disk has damaged it.
    """

    name: str
    since: float
    size: int = 0
    records: int = 0
    bytes_by_hour: dict[int, int] = field(default_factory=dict)
    keys: dict[str, tuple[int, str]] = field(default_factory=dict)
    attempt: str | None = None
    entries: list[bytes] = field(default_factory=list)
    _digest: Any = field(default_factory=new_digest)
    _totals: dict[int, dict[TotalsKey, Sums]] = field(default_factory=dict)
    _summed: int = 0

    @property
    def digest(self) -> str:
        """The digest that its file must have."""
        return str(self._digest.hexdigest())

    def add(self, data: bytes, records: int, bytes_by_hour: dict[int, int], mark: Mark) -> None:
        """Takes in an entry that is on disk now."""
        self.size += len(data)
        self.records += records
        if mark.key is not None and mark.content is not None:
            self.keys[mark.key] = (mark.at, mark.content)
        for hour, added in bytes_by_hour.items():
            self.bytes_by_hour[hour] = self.bytes_by_hour.get(hour, 0) + added
        self.entries.append(data)
        self._digest.update(data)

    async def totals(self, hour: int) -> list[tuple[TotalsKey, Sums]]:
        """The sums of an hour over at least the entries that there are now."""
        await self.sum_up()
        return list(self._totals.get(hour, {}).items())

    async def sum_up(self) -> None:
        """Sums at least the entries that there are now; other requests have their turn in between.

        Entries are summed when a GET asks for them: until then a POST need not pay for it, and the job that flushes the segment
        sums by itself.
        """
        since_turn = 0
        there = len(self.entries)
        while self._summed < there:  # another GET may sum them meanwhile
            records = read_lines(self.entries[self._summed])
            self._summed += 1
            self._sum(records)
            since_turn += len(records)
            if since_turn > _RECORDS_A_TURN:
                since_turn = 0
                await asyncio.sleep(0)

    def _sum(self, records: Sequence[Any]) -> None:
        totals = self._totals
        for record in records:
            hour_totals = totals.get(record.hour)
            if hour_totals is None:
                hour_totals = totals[record.hour] = {}
            key = (record.src_app, record.dest_app, record.vpc_id)
            sums = hour_totals.get(key)
            if sums is None:
                hour_totals[key] = (record.bytes_tx, record.bytes_rx)
            else:
                hour_totals[key] = (sums[0] + record.bytes_tx, sums[1] + record.bytes_rx)

    def is_flushed(self, store: Locations, hour: int) -> bool:
        """Whether what it has for an hour is in `flows/`."""
        return flushes.is_flushed(store, self.attempt, hour)


class Pending:
    """What waits to be flushed.

    Attributes:
        segments: The segments, the oldest first.
    """

    def __init__(self, store: Locations) -> None:
        self.segments: list[Segment] = []
        self._store = store
        self._reserved: dict[int, int] = {}  # bytes by hour, of entries in the log or on their way to it
        self._published: dict[int, int] = {}  # bytes by hour, of partitions, as far as they were looked at

    @property
    def size(self) -> int:
        """How many bytes the log has."""
        return sum(segment.size for segment in self.segments)

    @property
    def records(self) -> int:
        """How many records the log has."""
        return sum(segment.records for segment in self.segments)

    def add(self, segment: Segment) -> None:
        """Takes in a segment that a service before this one left."""
        self.segments.append(segment)
        self.reserve(segment.bytes_by_hour)

    def remove(self, segment: Segment) -> None:
        """Forgets a segment that was flushed."""
        self.segments.remove(segment)
        self.release(segment.bytes_by_hour)
        self._published = {}

    def reserve(self, bytes_by_hour: dict[int, int]) -> None:
        """Reserves room in the hours of an entry that is to be written."""
        for hour, added in bytes_by_hour.items():
            self._reserved[hour] = self._reserved.get(hour, 0) + added

    def release(self, bytes_by_hour: dict[int, int]) -> None:
        """Gives back the room of entries that were flushed, or could not be written."""
        for hour, added in bytes_by_hour.items():
            left = self._reserved.pop(hour, 0) - added
            if left:
                self._reserved[hour] = left

    async def look_at(self, hours: Iterable[int]) -> None:
        """Looks up how many bytes the partitions of some hours have, where that is not known.

        Raises:
            StoreDamaged: A partition cannot be read.
        """
        while unknown := [hour for hour in hours if hour not in self._published]:
            before = self._published
            found = await asyncio.to_thread(self._published_bytes, unknown)
            if before is self._published:  # else a flush came between, and the partitions may have more by now
                self._published |= found

    def _published_bytes(self, hours: Iterable[int]) -> dict[int, int]:
        summaries = ((hour, summarise_partition(self._store, hour)) for hour in hours)
        return {hour: summary.bytes_tx + summary.bytes_rx if summary else 0 for hour, summary in summaries}

    def has_room(self, hour: int, added: int) -> bool:
        """Whether the bytes of an hour, in both directions and of all keys, still fit into 64 bits.

        This is simpler than to look at each key, and never in the way of real traffic: 2**63 bytes an hour are 20 petabits a
        second. Without it, a thousand hostile records would make a segment that no partition can take in.
        """
        return self._published.get(hour, 0) + self._reserved.get(hour, 0) + added <= INT64_MAX

    def find_key(self, key: str, since: int) -> str | None:
        """The digest of the records that came under an Idempotency-Key since a time; None where none came."""
        for segment in reversed(self.segments):
            if (found := segment.keys.get(key)) and found[0] >= since:
                return found[1]
        return None

    @property
    def newest_key(self) -> int:
        """When the newest Idempotency-Key in the log came; 0 where there is none."""
        return max((at for segment in self.segments for at, _ in segment.keys.values()), default=0)


def bytes_by_hour(records: Iterable[Any]) -> dict[int, int]:
    """How many bytes of traffic some records add to each hour: both directions, all keys."""
    sums: dict[int, int] = {}
    for record in records:
        sums[record.hour] = sums.get(record.hour, 0) + record.bytes_tx + record.bytes_rx
    return sums


def recover(store: Locations) -> Iterator[Segment]:
    """What a service that was killed has left: the whole entries of each segment. The files are mended.

    Raises:
        StoreDamaged: A whole entry is not one of records.
        StoreUnwritable: A segment cannot be mended.
    """
    attempts = _known_attempts(store)
    for name in store.segments():
        segment = Segment(name, time.monotonic(), attempt=attempts.get(name))
        for entry in segments.mend(store, name).entries:
            try:
                records = read_lines(entry.data)
            except msgspec.DecodeError as error:
                raise StoreDamaged(str(store.segment(name)), f"it has lines that are not records: {error}") from error
            segment.add(entry.data, len(records), bytes_by_hour(records), entry.mark)
        if segment.size:
            _logger.info("found %d acknowledged records in %s", segment.records, name)
            yield segment


def _known_attempts(store: Locations) -> dict[str, str]:
    """The attempt to commit a run that was to flush each segment, by the notes; where a note is damaged, by the ledger."""
    notes = flushes.read_notes(store)
    if not notes.is_damaged:
        return notes.attempts
    _logger.error("%s is damaged; the ledger tells what was moved, and the file is made anew", store.moves)
    found = {name: notes.attempts.get(name) or _attempt_by_ledger(store, name) for name in store.segments()}
    attempts = {name: attempt for name, attempt in found.items() if attempt is not None}
    flushes.write_notes(store, attempts)
    return attempts


def _attempt_by_ledger(store: Locations, name: str) -> str | None:
    """The attempt of the run that has flushed a segment, if one has. It reads the records of runs, the newest first.

    Only the end of a source's path is compared, since the store may have stood in another folder then.
    """
    path = f"/{store.wal.name}/{name}"
    for run_id in reversed(store.run_ids()):
        run = read_run(store, run_id)
        if any(source.path.endswith(path) for source in run.sources):
            return run.attempt
    return None
