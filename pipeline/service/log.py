"""Acknowledges requests: what came in while the last ones were written is written with one write and one sync.

Only what is on disk is counted and answered. When the disk refuses, nothing of the group is: what it may have left is
cut off before anything else is written, and in another segment, since after a failed sync nobody knows what the old
one holds.
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
from pipeline.wal.segments import Mark, Writer, remove

#: The most hours that a segment has: a move holds the store's lock while it writes each, and must end soon.
MAX_SEGMENT_HOURS = 4 * MAX_HOURS


@dataclass(eq=False, slots=True)
class Request:
    """A request on its way to the disk.

    Attributes:
        data: What is to be written: its records with its mark.
        records: How many they are.
        bytes_by_hour: What it adds to each hour.
        mark: What the log says of it.
        written: Done when it is on disk and counted; fails with OSError.
    """

    data: bytes
    records: int
    bytes_by_hour: dict[int, int]
    mark: Mark
    written: asyncio.Future[None]


class Log:
    """The service's log.

    Args:
        store: The store; its service's lock must be held.
        zero_bytes: Whether records with 0 bytes are accepted.
        pending: What is in the log; a request is added when it is on disk.

    Attributes:
        syncs: How many times it was synced.
        waiting: How many bytes are to be written.
    """

    def __init__(self, store: Locations, zero_bytes: ZeroBytes, pending: Pending) -> None:
        self._store = store
        self._zero_bytes = zero_bytes
        self._pending = pending
        self._queue: list[Request] = []
        self._writing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # who has it may change the segment
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._writer: Writer | None = None
        self._uncut: Writer | None = None
        self._segment: Segment | None = None
        self.syncs = 0
        self.waiting = 0

    def append(self, request: Request) -> None:
        """Has a request written; its `written` says when it is."""
        self._pending.reserve(request.bytes_by_hour)
        self._queue.append(request)
        self.waiting += len(request.data)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_queue())

    async def seal(self) -> None:
        """Ends the segment, so that it can be moved; the next request starts another.

        Raises:
            OSError: What a failed write may have left could not be cut off; no segment may be moved yet.
        """
        async with self._turn:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._cut)
            self._end_segment()

    async def close(self) -> None:
        """Ends the log, when nobody appends any more.

        Raises:
            OSError: As `seal`.
        """
        while self._writing is not None:
            await self._writing
        await self.seal()
        self._thread.shutdown()

    @property
    def open_segment(self) -> Segment | None:
        """The segment that is being written, if one is."""
        return self._segment

    async def _write_queue(self) -> None:
        while self._queue:
            async with self._turn:
                group = self._take_group()
                try:
                    writer = await asyncio.get_running_loop().run_in_executor(self._thread, self._write, group)
                except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                    self._fail(group, error)
                else:
                    self._count(group, writer)
        self._writing = None

    def _take_group(self) -> list[Request]:
        """What is written next: all that waits, or as much as the segment has hours for. One that is full is ended."""
        hours = set(self._segment.bytes_by_hour) if self._segment is not None else set[int]()
        taken = 0
        for request in self._queue:
            hours.update(request.bytes_by_hour)
            if len(hours) > MAX_SEGMENT_HOURS:
                break
            taken += 1
        if taken == 0:
            self._end_segment()
            return self._take_group()
        group, self._queue = self._queue[:taken], self._queue[taken:]
        return group

    def _end_segment(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = self._segment = None

    def _write(self, group: list[Request]) -> Writer:
        """Runs in a thread of its own; the event loop must not wait for the disk."""
        self._cut()
        if self._writer is None:
            self._writer = Writer(self._store, self._zero_bytes)
        self._writer.append(b"".join([request.data for request in group]))
        return self._writer

    def _cut(self) -> None:
        if self._uncut is not None:
            self._uncut.cut()
            self._uncut.close()
            if self._uncut.size == 0:
                remove(self._store, self._uncut.name)
            self._uncut = None

    def _count(self, group: list[Request], writer: Writer) -> None:
        self.syncs += 1
        if self._segment is None:
            self._segment = Segment(writer.name, time.monotonic())
            self._pending.segments.append(self._segment)
        for request in group:
            self.waiting -= len(request.data)
            self._segment.add(request.data, request.records, request.bytes_by_hour, request.mark)
            if not request.written.done():  # its client may have gone
                request.written.set_result(None)

    def _fail(self, group: list[Request], error: Exception) -> None:
        self._uncut, self._writer, self._segment = self._uncut or self._writer, None, None
        for request in group:
            self.waiting -= len(request.data)
            self._pending.release(request.bytes_by_hour)
            if not request.written.done():
                request.written.set_exception(error)
