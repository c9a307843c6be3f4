"""What is in the log and not yet in `flows/`: its totals and keys, segment by segment.

A segment that is moved disappears from here whole. Its part of a GET's answer is then in the partitions; `totals` sees
to it that no answer has it twice or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.identity import new_digest
from pipeline.scalars import INT64_MAX
from pipeline.service.body import read_lines
from pipeline.store.layout import Locations
from pipeline.store.partitions import summarise_partition
from pipeline.wal.segments import Mark, is_moved

#: (src_app, dest_app, vpc_id): what tells the totals of one hour apart.
Key = tuple[str, str, str]
#: The sums of bytes_tx and of bytes_rx; a pair, and no list, so that a copy of the totals does not change any more.
Sums = tuple[int, int]

#: How many records are summed before others have their turn: a few milliseconds.
_RECORDS_A_TURN = 5_000


@dataclass(eq=False, slots=True)
class Segment:
    """A segment of the log.

    Attributes:
        name: Its file's name.
        since: When its first request came, in seconds of the monotonic clock.
        size: Its bytes; records: its records.
        bytes_by_hour: Its hours, and the sum of both directions over all keys of each.
        keys: Its Idempotency-Keys, each with when it came and the digest of its records.
        attempt: The attempt to commit a run that is moving it, once there is one.
        requests: Its requests, as they stand in its file: so the file can be made anew where the disk damages it.
    """

    name: str
    since: float
    size: int = 0
    records: int = 0
    bytes_by_hour: dict[int, int] = field(default_factory=dict)
    keys: dict[str, tuple[int, str]] = field(default_factory=dict)
    attempt: str | None = None
    requests: list[bytes] = field(default_factory=list)
    _digest: Any = field(default_factory=new_digest)
    _totals: dict[int, dict[Key, Sums]] = field(default_factory=dict)
    _summed: int = 0

    @property
    def digest(self) -> str:
        """The digest of what its file must be."""
        return str(self._digest.hexdigest())

    def add(self, data: bytes, records: int, bytes_by_hour: dict[int, int], mark: Mark) -> None:
        """Takes a request in that is on disk now."""
        self.size += len(data)
        self.records += records
        if mark.key is not None and mark.content is not None:
            self.keys[mark.key] = (mark.at, mark.content)
        for hour, added in bytes_by_hour.items():
            self.bytes_by_hour[hour] = self.bytes_by_hour.get(hour, 0) + added
        self.requests.append(data)
        self._digest.update(data)

    async def totals(self, hour: int) -> list[tuple[Key, Sums]]:
        """The sums of an hour over at least what is there now."""
        await self.sum_up()
        return list(self._totals.get(hour, {}).items())

    async def sum_up(self) -> None:
        """Sums at least what is there now; others get their turn in between.

        Requests are summed when somebody asks: while nobody does, a POST need not pay for it, and the job that moves the
        segment sums by itself.
        """
        since_turn = 0
        there = len(self.requests)
        while self._summed < there:  # somebody else who asks may sum them meanwhile
            records = read_lines(self.requests[self._summed])
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

    def is_moved(self, store: Locations, hour: int) -> bool:
        """Whether what it has for an hour is in `flows/`."""
        return is_moved(store, self.attempt, hour)


class Pending:
    """The segments that are not moved yet, oldest first.

    Attributes:
        segments: They.
    """

    def __init__(self, store: Locations) -> None:
        self.segments: list[Segment] = []
        self._store = store
        self._reserved: dict[int, int] = {}  # by hour, as `reserve` has it
        self._published: dict[int, int] = {}  # and what the partitions have

    @property
    def size(self) -> int:
        """How many bytes of log there are."""
        return sum(segment.size for segment in self.segments)

    @property
    def records(self) -> int:
        """How many records."""
        return sum(segment.records for segment in self.segments)

    def add(self, segment: Segment) -> None:
        """Takes in a segment that a service before this one has left."""
        self.segments.append(segment)
        self.reserve(segment.bytes_by_hour)

    def remove(self, segment: Segment) -> None:
        """Forgets a segment that was moved."""
        self.segments.remove(segment)
        self.release(segment.bytes_by_hour)
        self._published = {}

    def reserve(self, bytes_by_hour: dict[int, int]) -> None:
        """Counts a request that is to be written."""
        for hour, added in bytes_by_hour.items():
            self._reserved[hour] = self._reserved.get(hour, 0) + added

    def release(self, bytes_by_hour: dict[int, int]) -> None:
        """Counts no more what is moved, or could not be written."""
        for hour, added in bytes_by_hour.items():
            left = self._reserved.pop(hour, 0) - added
            if left:
                self._reserved[hour] = left

    async def look_at(self, hours: Iterable[int]) -> None:
        """Looks how much the partitions of some hours have, where that is not known.

        Raises:
            StoreDamaged: One is none.
        """
        while unknown := [hour for hour in hours if hour not in self._published]:
            before = self._published
            found = await asyncio.to_thread(self._published_bytes, unknown)
            if before is self._published:  # else a move came between, and they may have more by now
                self._published |= found

    def _published_bytes(self, hours: Iterable[int]) -> dict[int, int]:
        summaries = ((hour, summarise_partition(self._store, hour)) for hour in hours)
        return {hour: summary.bytes_tx + summary.bytes_rx if summary else 0 for hour, summary in summaries}

    def has_room(self, hour: int, added: int) -> bool:
        """Whether an hour stays far enough from 64 bits: both directions of all keys together must fit.

        Simpler than to look at each key, and never in the way of real traffic: 2**63 bytes an hour are 20 petabits a
        second. Without it, a thousand hostile records would make a segment that no partition can take in.
        """
        return self._published.get(hour, 0) + self._reserved.get(hour, 0) + added <= INT64_MAX

    def find_key(self, key: str, since: int) -> str | None:
        """The digest of the records that came under an Idempotency-Key, if some came since a time."""
        for segment in reversed(self.segments):
            if (found := segment.keys.get(key)) and found[0] >= since:
                return found[1]
        return None

    @property
    def newest_key(self) -> int:
        """When the newest of its Idempotency-Keys came; 0 where there is none."""
        return max((at for segment in self.segments for at, _ in segment.keys.values()), default=0)


def bytes_by_hour(records: Iterable[Any]) -> dict[int, int]:
    """What a request adds to each hour: the sum of both directions over all keys."""
    sums: dict[int, int] = {}
    for record in records:
        sums[record.hour] = sums.get(record.hour, 0) + record.bytes_tx + record.bytes_rx
    return sums
