"""POST /flows: the way of a body into the log. An answer of 200 means that the records are on disk."""

from __future__ import annotations

import asyncio
import re
import secrets
from itertools import count

from pipeline.digests import digest_of_bytes
from pipeline.service.body import MAX_HOURS, Checker, to_lines
from pipeline.service.flusher import Flusher
from pipeline.service.pending import Pending, bytes_by_hour
from pipeline.service.problem import RETRY, problem
from pipeline.service.request import Request
from pipeline.service.writer import LogWriter, NewEntry
from pipeline.wal.idempotency import KEPT_SECONDS, IdempotencyKeys
from pipeline.wal.segments import Mark, seal

#: How many times `--flush-bytes` of log may wait to be flushed before a POST must wait, and then is refused. This bounds memory
#: and disk while another run holds the store, or while records come faster than they can be flushed.
PENDING_FLUSHES = 4

_IDEMPOTENCY_KEY = re.compile(rb"[!-~]{1,255}")


class Post:
    """Takes in what clients post.

    Args:
        checker: Reads bodies.
        writer: Writes the log.
        pending: What is in the log.
        keys: The keys of what was flushed.
        flusher: Flushes the log.
        max_pending: How much log may wait to be flushed, in bytes.

    Attributes:
        records: How many records were acknowledged.
    """

    def __init__(
        self,
        checker: Checker,
        writer: LogWriter,
        pending: Pending,
        keys: IdempotencyKeys,
        flusher: Flusher,
        max_pending: int,
    ) -> None:
        self.writer = writer
        self.pending = pending
        self.keys = keys
        self.flusher = flusher
        self.records = 0
        self._checker = checker
        self._max_pending = max_pending
        self._under_key: dict[str, tuple[str, asyncio.Future[None]]] = {}
        self._name = secrets.token_hex(8)  # no other service has the same, so that no two entries in any log have
        self._numbers = count()

    async def take(self, request: Request) -> None:
        """Returns when a request's records are on disk.

        Raises:
            Problem: None of them counts.
        """
        try:
            if not request.body:
                raise problem(400, "Missing request data")
            if request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
                raise problem(415, "The request data must be application/json")
            body, request.body = request.body, b""
            await self._count(body, request.headers.get(b"idempotency-key"))
        finally:
            self.flusher.poke()

    async def _count(self, body: bytes | bytearray, key: bytes | None) -> None:
        records = await self._checker.read(body)
        lines, number, added = to_lines(records), len(records), bytes_by_hour(records)
        del body, records  # several times the lines, which alone are needed from here on
        if key is None:
            await self._append(lines, number, added, self._mark())
        elif not _IDEMPOTENCY_KEY.fullmatch(key):
            raise problem(400, "The Idempotency-Key must have 1 to 255 visible ASCII characters")
        else:
            await self._count_once(lines, number, added, key.decode(), digest_of_bytes(lines))

    async def _count_once(self, lines: bytes, number: int, added: dict[int, int], key: str, content: str) -> None:
        """Counts records once within a day. A request that comes while the first is being written has its outcome."""
        first, outcome = self._under_key.get(key, (None, None))
        if first is None:
            since = self.keys.now() - KEPT_SECONDS
            first = self.pending.find_key(key, since) or self.keys.find(key)
        if first is not None:
            if first != content:
                raise problem(422, "The Idempotency-Key came before with other records; nothing was counted")
            if outcome is not None:
                await asyncio.shield(outcome)
            return
        outcome = asyncio.get_running_loop().create_future()
        self._under_key[key] = content, outcome
        try:
            await self._append(lines, number, added, self._mark(key, content))
            outcome.set_result(None)
        except BaseException as error:
            outcome.set_exception(error)
            outcome.exception()  # marks it as seen, whether another request waits for it or not
            raise
        finally:
            del self._under_key[key]

    def _mark(self, key: str | None = None, content: str | None = None) -> Mark:
        return Mark(f"{self._name}-{next(self._numbers)}", self.keys.now(), key, content)

    async def _append(self, lines: bytes, number: int, added: dict[int, int], mark: Mark) -> None:
        if len(added) > MAX_HOURS:
            raise problem(413, f"The request data must have at most {MAX_HOURS} different hours")
        while True:
            if not await self.flusher.has_room(self._max_pending):
                raise problem(503, "The log is full, since it cannot be moved into flows; try again later", RETRY)
            await self.pending.look_at(added)
            if not self.flusher.is_full(self._max_pending):  # others may have come in meanwhile
                break
        for hour, sum_of_bytes in added.items():
            if not self.pending.has_room(hour, sum_of_bytes):
                raise problem(400, f"The sum of the bytes of hour {hour} must fit into 64 bits", field="hour")
        written = asyncio.get_running_loop().create_future()
        self.writer.append(NewEntry(seal(lines, mark), number, added, mark, written))
        try:
            await written
        except OSError as error:
            text = f"The records could not be written, and none of them counts: {error.strerror}"
            raise problem(503, text, RETRY) from error
        self.records += number
