"""Writes the log: requests that come in while others are being written are then written with one write and one sync.

Only what is on disk is counted and answered. When the disk refuses, no request of the group is counted: what the write may
have left is cut off before anything else is written, and the next entry begins another segment, since after a failed sync
it is not known what the old one holds.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.schema import ZeroBytes
from pipeline.service.body import MAX_HOURS
from pipeline.service.pending import Pending, Segment
from pipeline.store.layout import Locations
from pipeline.wal.segments import Mark, SegmentWriter, remove

#: The most hours that a segment has: a flush holds the store's lock while it writes each of them, and must end soon.
MAX_SEGMENT_HOURS = 4 * MAX_HOURS


@dataclass(eq=False, slots=True)
class NewEntry:
    """An entry on its way to the disk.

    Attributes:
        data: Its bytes.
        records: How many records it has.
        bytes_by_hour: How many bytes of traffic it adds to each hour.
        mark: Its mark.
        written: Done when the entry is on disk and counted; fails with OSError.
    """

    data: bytes
    records: int
    bytes_by_hour: dict[int, int]
    mark: Mark
    written: asyncio.Future[None]


class LogWriter:
    """Writes the service's log.

    Args:
        store: The store; its service's lock must be held.
        zero_bytes: Whether records with 0 bytes are accepted.
        pending: What is in the log; an entry is added when it is on disk.

    Attributes:
        syncs: How many times the log was synced.
        waiting: How many bytes are to be written.
    """

    def __init__(self, store: Locations, zero_bytes: ZeroBytes, pending: Pending) -> None:
        self._store = store
        self._zero_bytes = zero_bytes
        self._pending = pending
        self._queue: list[NewEntry] = []
        self._writing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # to change the segment
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._file: SegmentWriter | None = None
        self._uncut: SegmentWriter | None = None
        self._segment: Segment | None = None
        self.syncs = 0
        self.waiting = 0

    def append(self, entry: NewEntry) -> None:
        """Has an entry written; its `written` says when it is."""
        self._pending.reserve(entry.bytes_by_hour)
        self._queue.append(entry)
        self.waiting += len(entry.data)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_queue())

    async def end_segment(self) -> None:
        """Ends the open segment, so that it can be flushed; the next entry begins another.

        Raises:
            OSError: What a failed write may have left could not be cut off; no segment may be flushed yet.
        """
        async with self._turn:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._cut)
            self._close_segment()

    async def close(self) -> None:
        """Ends the log, when no more entries come.

        Raises:
            OSError: As `end_segment`.
        """
        while self._writing is not None:
            await self._writing
        await self.end_segment()
        self._thread.shutdown()

    @property
    def open_segment(self) -> Segment | None:
        """The segment that is being written, if there is one."""
        return self._segment

    async def _write_queue(self) -> None:
        while self._queue:
            async with self._turn:
                group = self._take_group()
                try:
                    writer = await asyncio.get_running_loop().run_in_executor(self._thread, self._write, group)
                except Exception as error:  # noqa: BLE001 - whatever it is, the requests that wait must hear of it
                    self._fail(group, error)
                else:
                    self._count(group, writer)
        self._writing = None

    def _take_group(self) -> list[NewEntry]:
        """What is written next: all that waits, or as much as the segment has hours for. A full segment is closed."""
        hours = set(self._segment.bytes_by_hour) if self._segment is not None else set[int]()
        taken = 0
        for entry in self._queue:
            hours.update(entry.bytes_by_hour)
            if len(hours) > MAX_SEGMENT_HOURS:
                break
            taken += 1
        if taken == 0:
            self._close_segment()
            return self._take_group()
        group, self._queue = self._queue[:taken], self._queue[taken:]
        return group

    def _close_segment(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._segment = None

    def _write(self, group: list[NewEntry]) -> SegmentWriter:
        """Runs in the writer's thread: the event loop must not wait for the disk."""
        self._cut()
        if self._file is None:
            self._file = SegmentWriter(self._store, self._zero_bytes)
        self._file.append(b"".join([entry.data for entry in group]))
        return self._file

    def _cut(self) -> None:
        if self._uncut is not None:
            self._uncut.cut()
            if self._uncut.size == 0:
                remove(self._store, self._uncut.name)
            self._uncut.close()  # last, since all is done again where the removal fails
            self._uncut = None

    def _count(self, group: list[NewEntry], writer: SegmentWriter) -> None:
        self.syncs += 1
        if self._segment is None:
            self._segment = Segment(writer.name, time.monotonic())
            self._pending.segments.append(self._segment)
        for entry in group:
            self.waiting -= len(entry.data)
            self._segment.add(entry.data, entry.records, entry.bytes_by_hour, entry.mark)
            if not entry.written.done():  # its client may have gone
                entry.written.set_result(None)

    def _fail(self, group: list[NewEntry], error: Exception) -> None:
        self._uncut, self._file, self._segment = self._uncut or self._file, None, None
        for entry in group:
            self.waiting -= len(entry.data)
            self._pending.release(entry.bytes_by_hour)
            if not entry.written.done():
                entry.written.set_exception(error)
