"""Flushes the log into `flows/`: each segment is one raw file of one run of the batch job.

So records that came over the network are validated, counted, committed and remembered as records of files are. The ledger
knows a segment by its bytes: one that is flushed a second time, as after a crash, is skipped.

Bytes that the disk has changed are never counted: the file is held against the digest of what was acknowledged, before the
job reads it and again before the job commits. Where they differ, the file is made anew from memory.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from pipeline.errors import FlowlogError, StoreDamaged
from pipeline.flowstore import FlowStore
from pipeline.jobs.ingest import ingest_segment
from pipeline.options import IngestOptions
from pipeline.service.pending import Pending, Segment
from pipeline.service.writer import LogWriter
from pipeline.store import files
from pipeline.store.chain import is_committed
from pipeline.store.layout import Locations, run_id_of_attempt
from pipeline.store.ledger import RunRecord
from pipeline.store.lock import locked
from pipeline.store.transaction import recover
from pipeline.wal import flushes, segments
from pipeline.wal.idempotency import IdempotencyKeys

_logger = logging.getLogger(__name__)

#: How long a flush waits for a run that holds the store, and how long it is until a flush that failed is tried again.
LOCK_SECONDS = 10.0
RETRY_SECONDS = 5.0
#: How long a POST waits for room in a log that is full.
LOG_ROOM_SECONDS = 10.0


class Flusher:
    """Flushes segments, from time to time.

    Args:
        store: The store.
        writer: Writes the log.
        pending: What is in the log.
        keys: Where the keys of flushed segments are kept.
        seconds: Flush when the oldest request has waited so long;
        size: or when there is so much log, in bytes.

    Attributes:
        flushes: How many segments were flushed.
        records: How many records.
        problem: Why the last flush failed; None if it did not.
    """

    def __init__(
        self, store: FlowStore, writer: LogWriter, pending: Pending, keys: IdempotencyKeys, seconds: float, size: int
    ) -> None:
        self._store = store
        self._writer = writer
        self._pending = pending
        self._keys = keys
        self._seconds = seconds
        self._size = size
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flusher")
        self._due = asyncio.Event()
        self._flushed = asyncio.Event()  # set, and made anew, whenever a segment was flushed, or could not be
        self._seen: Segment | None = None
        self._stopping = False
        self.flushes = 0
        self.records = 0
        self.problem: str | None = None

    def poke(self) -> None:
        """Called when the log has grown."""
        segment = self._writer.open_segment
        if segment is not self._seen or (segment is not None and segment.size >= self._size):
            self._seen = segment
            self._due.set()

    async def has_room(self, size: int) -> bool:
        """Whether there is less log than so many bytes: at once, or when the next segments are flushed.

        So a client that sends faster than the log can be flushed is slowed down, and is refused only where flushes fail or take
        too long.
        """
        deadline = time.monotonic() + LOG_ROOM_SECONDS
        while self.is_full(size):
            if self.problem is not None or time.monotonic() >= deadline:
                return False
            with suppress(TimeoutError):
                await asyncio.wait_for(self._flushed.wait(), deadline - time.monotonic())
        return True

    def is_full(self, size: int) -> bool:
        """Whether there is as much log as so many bytes, with what is being written."""
        return self._pending.size + self._writer.waiting > size

    def trouble(self) -> str | None:
        """What is wrong, in words that anybody may read; None if nothing is."""
        if damaged := self._store.locations.damaged_files():
            names = ", ".join(path.name for path in damaged)
            return (
                f"the disk has damaged what was acknowledged: {names} in the store's wal/damaged; flowlog verify says more"
            )
        if self.problem is not None:  # why it failed is not told here: that names paths and processes
            return "records cannot be moved into flows; the service's standard error says why"
        return None

    async def run(self) -> None:
        """Flushes until it is stopped, and then once more."""
        stopping = False
        while not stopping:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), self._seconds_to_wait())
            self._due.clear()
            stopping = self._stopping
            if stopping or self._is_due():
                await self._flush_all()
        self._thread.shutdown()

    def stop(self) -> None:
        """Has `run` flush what there is, and end."""
        self._stopping = True
        self._due.set()

    def _seconds_to_wait(self) -> float | None:
        if self.problem is not None:
            return RETRY_SECONDS
        if not self._pending.segments:
            return None
        if self._pending.segments[0] is not self._writer.open_segment:
            return 0
        return max(0.0, self._pending.segments[0].since + self._seconds - time.monotonic())

    def _is_due(self) -> bool:
        """Whether there is a closed segment, or the open one is old or large enough."""
        if not self._pending.segments:
            return False
        oldest = self._pending.segments[0]
        if oldest is not self._writer.open_segment:
            return True
        return oldest.size >= self._size or time.monotonic() - oldest.since >= self._seconds

    async def _flush_all(self) -> None:
        problem = None
        try:
            await self._writer.end_segment()
        except OSError as error:
            problem = f"the log cannot be mended: {error.strerror}"
        else:
            for segment in list(self._pending.segments):
                if segment is self._writer.open_segment:  # it was begun meanwhile
                    break
                problem = await self._flush_or_say(segment) or problem
        if problem is not None and (problem != self.problem or self._stopping):
            then = "its records stay there, for the next start" if self._stopping else "will try again"
            _logger.error("cannot move the log into flows; %s: %s", then, problem)
        elif problem is None and self.problem is not None:
            _logger.warning("the log can be moved into flows again")
        self.problem = problem
        self._wake_waiting()

    def _wake_waiting(self) -> None:
        self._flushed.set()
        self._flushed = asyncio.Event()

    async def _flush_or_say(self, segment: Segment) -> str | None:
        """Flushes a segment, or gives the reason why not. The segment then stays where it is, and others are flushed."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._flush, segment)
        except (FlowlogError, OSError) as error:
            return f"{segment.name}: {error}"
        except Exception as error:  # a bug; the records stay in the log, and /healthz says that they are stuck
            _logger.exception("cannot move %s", segment.name)
            return f"{segment.name}: {type(error).__name__}: {error}"
        self._pending.remove(segment)
        self._wake_waiting()
        self.flushes += 1
        self.records += segment.records
        return None

    def _flush(self, segment: Segment) -> None:
        """Runs in a thread of its own."""
        locations = self._store.locations
        attempt = segment.attempt
        if attempt is not None and is_committed(locations, attempt):  # by a service that was killed, or did not hear of it
            with locked(locations, LOCK_SECONDS):
                recover(locations, int(run_id_of_attempt(attempt)))
        else:
            self._count(segment)
        self._keys.keep(segment.keys)
        segments.remove(locations, segment.name)

    def _count(self, segment: Segment) -> None:
        locations = self._store.locations
        path = locations.segment(segment.name)

        def note(run: RunRecord) -> None:
            if run.sources[0].digest != segment.digest:
                raise StoreDamaged(str(path), "what was read of it is not what was acknowledged")
            flushes.note(locations, segment.name, run.attempt)
            segment.attempt = run.attempt

        options = IngestOptions(
            format="json",
            workers=1,
            strict=True,  # a record that the service takes and the schema does not is a bug: stop, and lose nothing
            zero_bytes=segments.zero_bytes_of(segment.name),
            wait_seconds=LOCK_SECONDS,
        )
        _make_anew_if_damaged(locations, segment)
        summary = ingest_segment(path, locations, options, before_commit=note)
        if summary.ingested + len(summary.known) + len(summary.duplicates) != 1:
            raise StoreDamaged(str(path), "it was counted before with other content")


def _make_anew_if_damaged(locations: Locations, segment: Segment) -> None:
    path = locations.segment(segment.name)
    try:
        is_whole = files.digest(path) == segment.digest
    except OSError:
        is_whole = False
    if is_whole:
        return
    _logger.error("the disk has damaged or lost %s; it is made anew from memory, and nothing is lost", path)
    with files.writing(path):
        segments.replace(locations, path, b"".join(segment.entries))
