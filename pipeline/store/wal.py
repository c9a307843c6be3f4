"""The log of the service: what it has acknowledged and not yet moved into `flows/`.

    STORE/wal/<segment>.<accept|reject>.jsonl    flow records, one a line: a raw file that `ingest` reads
    STORE/wal/move.json                          which run is moving which segment
    STORE/wal/keys.sqlite                        the Idempotency-Keys of requests whose segments are gone
    STORE/wal/lock                               held by the service for life

A segment is JSON Lines, so that anybody can read it and the job moves it as it reads any file. The last record of each
request has one key more, the request's mark, with the digest of all that the request wrote before it:

    {"src_app":"a","dest_app":"b","vpc_id":"v","bytes_tx":1,"bytes_rx":2,"hour":3}
    {"src_app":"a",…,"hour":3,"request":{"id":"…-17","at":1795527000,"xxh3":"…"}}

A request counts whole or not at all: what a crash left behind the last mark that holds is cut off. Two segments never
have the same bytes, since the name of a request is unique; so the ledger, which knows a file by its bytes, counts each
once. The name says whether 0 bytes were accepted when it was written, since that decides what is valid when it is read.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import xxhash

from pipeline.errors import StoreDamaged
from pipeline.schema import ZeroBytes
from pipeline.store import files
from pipeline.store.locations import Locations
from pipeline.store.records import is_committed

_MARK = b',"request":'
_DIGEST = b',"xxh3":"'
#: The end of a request's last line. No record has this in a name: there, quotes are escaped.
_SEALED = re.compile(re.escape(_MARK) + rb"(\{[^\n]*)" + re.escape(_DIGEST) + rb'([0-9a-f]{32})"\}\}\n')


@dataclass(frozen=True, slots=True)
class Mark:
    """What the log says of a request.

    Attributes:
        id: Its name; no other request of any segment has it.
        at: When it came, in seconds since the epoch.
        key: Its Idempotency-Key, if it had one.
        content: With a key, the digest of its records: the same key with other records is another request.
    """

    id: str
    at: int
    key: str | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class Logged:
    """A request that stands in a segment: its lines, its mark, and where in the segment it ends."""

    lines: bytes
    mark: Mark
    end: int


def digest_of(lines: bytes) -> str:
    """What tells the records of one request from those of another: XXH3-128 of their lines, in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(lines)


def seal(lines: bytes, mark: Mark) -> bytes:
    """A request as it stands in a segment.

    Args:
        lines: Its records, one or more, as JSON objects, one a line.
        mark: What the log is to say of it.
    """
    said = f'{{"id":"{mark.id}","at":{mark.at}'
    if mark.key is not None:
        said += f',"key":{json.dumps(mark.key)},"content":"{mark.content}"'
    marked = lines.removesuffix(b"}\n") + _MARK + said.encode()
    return marked + _DIGEST + digest_of(marked).encode() + b'"}}\n'


def read_requests(content: bytes) -> Iterator[Logged]:
    """The requests of a segment, up to the first that is not whole."""
    start = 0
    for sealed in _SEALED.finditer(content):
        marked = content[start : sealed.start(2) - len(_DIGEST)]
        if digest_of(marked).encode() != sealed[2]:
            return
        said = json.loads(sealed[1] + b"}")
        lines = content[start : sealed.start()] + b"}\n"
        yield Logged(lines, Mark(said["id"], said["at"], said.get("key"), said.get("content")), sealed.end())
        start = sealed.end()


def zero_bytes_of(segment: str) -> ZeroBytes:
    """Whether 0 bytes were accepted when a segment was written."""
    return cast("ZeroBytes", segment.split(".")[1])


class Writer:
    """A segment that is being written.

    Args:
        store: The store; its service's lock must be held.
        zero_bytes: Whether records with 0 bytes are accepted.

    Attributes:
        name: The segment's name.
        size: The bytes of it that are known to be on disk.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, store: Locations, zero_bytes: ZeroBytes) -> None:
        self.name = f"{datetime.now(UTC):%Y%m%dT%H%M%S-%f}-{secrets.token_hex(4)}.{zero_bytes}.jsonl"
        self.size = 0
        self._descriptor = os.open(store.segment(self.name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            files.sync(store.wal)
        except OSError:
            self.close()
            raise

    def append(self, data: bytes) -> None:
        """Appends whole requests, durably.

        Raises:
            OSError: It is not known whether they are on disk; `cut` them off before anything else is written.
        """
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, memoryview(data)[written:], self.size + written)
        os.fsync(self._descriptor)
        self.size += len(data)

    def cut(self) -> None:
        """Takes off what a failed `append` may have left, durably.

        Raises:
            OSError: It is still not known what is on disk.
        """
        os.ftruncate(self._descriptor, self.size)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Ends it. All that counts was synced before."""
        with suppress(OSError):
            os.close(self._descriptor)


def mend(store: Locations, name: str) -> list[Logged]:
    """Cuts off what a crash left behind a segment's last whole request, durably.

    Returns:
        Its requests. A segment without any is removed.

    Raises:
        StoreUnwritable: It cannot be read or cut.
    """
    path = store.segment(name)
    with files.writing(path):
        requests = list(read_requests(path.read_bytes()))
        if requests:
            os.truncate(path, requests[-1].end)
            files.sync(path)  # the crash may have come before a sync of what is whole
        else:
            remove(store, name)
    return requests


def remove(store: Locations, name: str) -> None:
    """Removes a segment, durably."""
    store.segment(name).unlink(missing_ok=True)
    files.sync(store.wal)


def note_move(store: Locations, segment: str, attempt: str) -> None:
    """Notes which attempt to commit a run is to move a segment, durably and before it does.

    So a service that starts after a crash knows which attempt to ask whether a segment is in `flows/` already.
    """
    present = set(store.segments())
    noted = {name: run for name, run in noted_moves(store).items() if name in present} | {segment: attempt}
    draft = store.move.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    files.write(draft, json.dumps(noted, indent=1).encode() + b"\n")
    draft.replace(store.move)
    files.sync(store.wal)


def noted_moves(store: Locations) -> dict[str, str]:
    """The last attempt to commit a run that was to move each segment, as far as there was one.

    Raises:
        StoreDamaged: The notes cannot be read.
    """
    try:
        noted = json.loads(store.move.read_bytes())
        return {str(segment): str(run_id) for segment, run_id in noted.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise StoreDamaged(str(store.move), f"no notes of moves: {error}") from error


def is_moved(store: Locations, attempt: str | None, hour: int) -> bool:
    """Whether what an attempt to commit a run adds to an hour is in `flows/`.

    Without a lock: once this is so it stays so, whoever finishes the run. A reader who asks before and after it reads
    the partition, and gets the same answer, knows which of the two it has read.
    """
    if attempt is None or not is_committed(store, attempt):
        return False
    return not files.exists(store.staged(attempt, store.partition(hour)))
