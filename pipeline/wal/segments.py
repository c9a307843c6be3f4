"""The log of the service: what it has acknowledged and not yet moved into `flows/`.

    STORE/wal/<segment>.<accept|reject>.jsonl    flow records, one a line: a raw file that `ingest` reads
    STORE/wal/moves.jsonl                        which attempt to commit a run is moving which segment
    STORE/wal/keys.sqlite                        the Idempotency-Keys of requests whose segments are gone (`keys`)
    STORE/wal/damaged/                           files of the log that the disk has damaged, as they were found
    STORE/wal/lock                               held by the service for life

A segment is JSON Lines, so that anybody can read it and the job moves it as it reads any file. The last record of each
request has one key more, the request's mark, and the mark ends with a seal: how many bytes stand before it, and their digest.

    {"src_app":"a","dest_app":"b","vpc_id":"v","bytes_tx":1,"bytes_rx":2,"hour":3}
    {"src_app":"a",…,"hour":3,"request":{"id":"…-17","at":90061,"bytes":187,"xxh3":"…"}}

So each request proves itself, whatever has become of those around it, and counts whole or not at all. Two segments never
have the same bytes, since the name of a request is unique; so the ledger, which knows a file by its bytes, counts each once.
The name says whether 0 bytes were accepted when it was written, since that decides what is valid when it is read.

What no seal proves is one of two things. A write that a crash cut short ends the file, and is the beginning of a request: it
was never acknowledged, and is cut off. All else is damage, and may have been acknowledged: the file is kept in `damaged/`,
the segment goes on with the requests that are whole, and `verify` and the service tell until somebody takes the file away.
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
from pathlib import Path
from typing import cast

import xxhash

from pipeline.errors import StoreUnwritable
from pipeline.schema import ZeroBytes
from pipeline.store import files
from pipeline.store.chain import is_committed
from pipeline.store.layout import Locations

_MARK = b',"request":'
#: A seal. No name of a record looks like one: there, quotes are escaped.
_SEAL = re.compile(rb',"bytes":([0-9]{1,12}),"xxh3":"([0-9a-f]{32})"\}{1,2}\n')

_TEXT = rb'"(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])*+"'
_UNENDED_TEXT = rb'"(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])*+\\?'
_PAIR = _TEXT + rb":(?:" + _TEXT + rb"|[0-9]+)"
_OPENED = rb"\{(?:" + _PAIR + rb",)*+"
#: The beginning of a request, and no more than that: whole records, and behind them a part of one and of its mark.
_BEGUN = re.compile(
    rb"(?:" + _OPENED + _PAIR + rb"\}\n)*+"
    rb"(?:" + _OPENED + rb'(?:"request":(?:' + _OPENED + rb")?)?"
    rb"(?:" + _PAIR + rb"\}{0,2}|" + _TEXT + rb":?|(?:" + _TEXT + rb":)?" + _UNENDED_TEXT + rb")?)?"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """What the log says of a request.

    Attributes:
        id: Its name; no other request of any segment has it.
        at: When it came, in seconds of the service's clock (`keys.Keys.now`).
        key: Its Idempotency-Key, if it had one.
        content: With a key, the digest of its records: the same key with other records is another request.
    """

    id: str
    at: int
    key: str | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class Logged:
    """A request that stands in a segment: its bytes there, its mark, and where it starts and ends."""

    data: bytes
    mark: Mark
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Content:
    """What a segment has.

    Attributes:
        requests: Those that are whole.
        damaged: From which byte to which there is damage, the last one left out.
        end: The bytes that stay when what a crash cut short is cut off.
    """

    requests: list[Logged]
    damaged: list[tuple[int, int]]
    end: int

    @property
    def whole(self) -> bytes:
        """The requests as a segment of their own."""
        return b"".join(request.data for request in self.requests)


def digest_of(lines: bytes | memoryview) -> str:
    """What tells some bytes from others: their XXH3-128, in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(lines)


def sealed(text: bytes, end: bytes) -> bytes:
    """An open JSON object that proves itself: with its length, its digest, and its end."""
    told = text + b',"bytes":%d' % len(text)
    return told + b',"xxh3":"' + digest_of(told).encode() + b'"' + end


def proven(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Where some bytes have what was sealed and is as it was: its start, its seal's start, and its end.

    Whatever else stands there, before, between or behind.
    """
    end = 0
    view = memoryview(content)
    for seal in _SEAL.finditer(content):
        start = seal.start() - int(seal[1])
        if start >= end and digest_of(view[start : seal.end(1)]).encode() == seal[2]:
            end = seal.end()
            yield start, seal.start(), end


def seal(lines: bytes, mark: Mark) -> bytes:
    """A request as it stands in a segment.

    Args:
        lines: Its records, one or more, as JSON objects, one a line.
        mark: What the log is to say of it.
    """
    said = f'{{"id":"{mark.id}","at":{mark.at}'
    if mark.key is not None:
        said += f',"key":{json.dumps(mark.key)},"content":"{mark.content}"'
    return sealed(lines.removesuffix(b"}\n") + _MARK + said.encode(), b"}}\n")


def read(content: bytes) -> Content:
    """What a segment has, by its bytes."""
    requests: list[Logged] = []
    damaged: list[tuple[int, int]] = []
    known = 0
    for start, told, end in proven(content):
        if start > known:
            damaged.append((known, start))
        said = json.loads(content[content.rindex(_MARK, start, told) + len(_MARK) : told] + b"}")
        mark = Mark(said["id"], said["at"], said.get("key"), said.get("content"))
        requests.append(Logged(content[start:end], mark, start, end))
        known = end
    if _BEGUN.fullmatch(content, known):
        return Content(requests, damaged, known)
    return Content(requests, [*damaged, (known, len(content))], len(content))


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


def mend(store: Locations, name: str) -> Content:
    """Makes a segment have nothing but whole requests, durably; one that has none is removed.

    What a crash cut short is cut off. With damage in it, the file as it is stays in `damaged/`; the segment's place is given
    to its whole requests.

    Raises:
        StoreUnwritable: It cannot be read or changed.
    """
    path = store.segment(name)
    with files.writing(path):
        content = path.read_bytes()
        found = read(content)
        if found.damaged:
            put_aside(store, path, content)
        if not found.requests:
            remove(store, name)
        elif found.damaged:
            replace(store, path, found.whole)
        else:
            os.truncate(path, found.end)
            files.sync(path)  # the crash may have come before a sync of what is whole
    return found


def put_aside(store: Locations, path: Path, content: bytes) -> None:
    """Gives a damaged file of the log a second name in `damaged/`, durably.

    The name has the digest of its content in it: to do so again, behind a crash, does nothing, and no file takes another's place.
    """
    files.make_folder(store.damaged)
    with suppress(FileExistsError):
        files.link_exclusively(path, store.damaged / f"{path.name}.{digest_of(content)[:8]}")


def replace(store: Locations, path: Path, content: bytes) -> None:
    """Gives a file of the log other content, durably, at once and whole."""
    draft = path.with_name(path.name + ".tmp")
    draft.unlink(missing_ok=True)
    files.write(draft, content)
    draft.replace(path)
    files.sync(store.wal)


def remove(store: Locations, name: str) -> None:
    """Removes a segment, durably."""
    store.segment(name).unlink(missing_ok=True)
    files.sync(store.wal)


def note_move(store: Locations, segment: str, attempt: str) -> None:
    """Notes which attempt to commit a run is to move a segment, durably and before it does.

    So a service that starts after a crash knows which attempt to ask whether a segment is in `flows/` already.
    """
    present = set(store.segments())
    kept = {name: noted for name, noted in noted_moves(store).attempts.items() if name in present}
    note_moves(store, kept | {segment: attempt})


def note_moves(store: Locations, attempts: dict[str, str]) -> None:
    """Makes all notes of moves anew, durably: which attempt to commit a run is to move each segment."""
    lines = [sealed(f'{{"segment":"{name}","attempt":"{noted}"'.encode(), b"}\n") for name, noted in attempts.items()]
    with files.writing(store.moves):
        replace(store, store.moves, b"".join(lines))


@dataclass(frozen=True, slots=True)
class Moves:
    """The notes of moves.

    Attributes:
        attempts: The last attempt to commit a run that was to move each segment, as far as it is known that there was one.
        is_damaged: Whether there may have been other notes.
    """

    attempts: dict[str, str]
    is_damaged: bool


def noted_moves(store: Locations) -> Moves:
    """Reads the notes of moves.

    Raises:
        StoreUnwritable: They cannot be read.
    """
    with files.writing(store.moves):
        try:
            content = store.moves.read_bytes()
        except FileNotFoundError:
            return Moves({}, False)
    notes = [(json.loads(content[start:told] + b"}"), end - start) for start, told, end in proven(content)]
    attempts = {note["segment"]: note["attempt"] for note, _ in notes}
    return Moves(attempts, sum(length for _, length in notes) < len(content))


def is_moved(store: Locations, attempt: str | None, hour: int) -> bool:
    """Whether what an attempt to commit a run adds to an hour is in `flows/`.

    Without a lock: once this is so it stays so, whoever finishes the run. A reader who asks before and after it reads
    the partition, and gets the same answer, knows which of the two it has read.
    """
    if attempt is None or not is_committed(store, attempt):
        return False
    return not files.exists(store.staged(attempt, store.partition(hour)))


@dataclass(frozen=True, slots=True)
class Inspection:
    """What somebody who looks at the log from outside finds.

    Attributes:
        waiting: How many records are whole and not yet in `flows/`.
        problems: What is wrong, a sentence each.
    """

    waiting: int
    problems: list[str]


def inspect(store: Locations) -> Inspection:
    """Looks at the log and changes nothing. A service may be writing it.

    Raises:
        StoreUnwritable: It cannot be read.
    """
    waiting, problems = 0, put_aside_problems(store)
    moves = noted_moves(store)
    if moves.is_damaged:
        problems.append(f"{store.moves}: a note is damaged; the service asks the ledger instead, when it starts")
    for name in store.segments():
        path = store.segment(name)
        try:
            found = read(path.read_bytes())
        except FileNotFoundError:  # it was moved meanwhile
            continue
        except OSError as error:
            raise StoreUnwritable(str(path), error.strerror or str(error)) from error
        problems += [f"{path}: {_damage(*damage)}" for damage in found.damaged]
        attempt = moves.attempts.get(name)
        if attempt is None or not is_committed(store, attempt):
            waiting += sum(request.data.count(b"\n") for request in found.requests)
    return Inspection(waiting, problems)


def put_aside_problems(store: Locations) -> list[str]:
    """What is wrong with the files that were put aside, a sentence each."""
    return [f"{path}: {problem}" for path in store.damaged_files() for problem in _problems_of(path)]


def _problems_of(path: Path) -> Iterator[str]:
    if ".jsonl." not in path.name:
        yield "a damaged database of Idempotency-Keys: what comes again under a key that it has lost counts again"
        return
    try:
        found = read(path.read_bytes())
    except OSError as error:
        yield f"cannot be read: {error.strerror}"
        return
    if not found.damaged:
        yield "was put aside as damaged"
    yield from (_damage(*damage) for damage in found.damaged)


def _damage(start: int, end: int) -> str:
    return f"the bytes {start:,} to {end - 1:,} are damaged, and what was acknowledged there does not count"
