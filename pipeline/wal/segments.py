"""Segments: the files of the log, each a raw file of JSON Lines, so that anybody can read it and the batch job flushes it.

The last record of each entry has one key more, the entry's mark, and the mark ends with a seal (`seals`).

    {"src_app":"a","dest_app":"b","vpc_id":"v","bytes_tx":1,"bytes_rx":2,"hour":3}
    {"src_app":"a",…,"hour":3,"request":{"id":"…-17","at":90061,"bytes":187,"xxh3":"…"}}

So each entry proves itself, whatever has become of those around it, and counts whole or not at all. Two segments never
have the same bytes, since the id of an entry is unique; so the ledger, which knows a file by its bytes, counts each once.
A segment's name says whether 0 bytes were accepted when it was written, since that decides what is valid when it is read.

Bytes that no seal proves are one of two things. A write that a crash cut short ends the file, and is the beginning of an
entry: it was never acknowledged, and is cut off. All else is damage, and may have been acknowledged: the file is kept in
`damaged/`, the segment goes on with its whole entries, and `verify` and the service tell until a person takes the file away.

Segments are appended to, so they are files of this machine: the store's `Files` knows none that changes in its place.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from pipeline.digests import digest_of_bytes
from pipeline.schema import ZeroBytes
from pipeline.store import files
from pipeline.store.layout import Locations
from pipeline.wal.seals import proven, sealed

_MARK = b',"request":'

_TEXT = rb'"(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])*+"'
_UNENDED_TEXT = rb'"(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])*+\\?'
_PAIR = _TEXT + rb":(?:" + _TEXT + rb"|[0-9]+)"
_OPENED = rb"\{(?:" + _PAIR + rb",)*+"
#: The beginning of an entry, and nothing else: whole records, and behind them a part of a record and of its mark.
_BEGUN = re.compile(
    rb"(?:" + _OPENED + _PAIR + rb"\}\n)*+"
    rb"(?:" + _OPENED + rb'(?:"request":(?:' + _OPENED + rb")?)?"
    rb"(?:" + _PAIR + rb"\}{0,2}|" + _TEXT + rb":?|(?:" + _TEXT + rb":)?" + _UNENDED_TEXT + rb")?)?"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """What the log says of a request.

    Attributes:
        id: Its name; no other entry of any segment has the same.
        at: When the request came, in seconds of the service's clock (`IdempotencyKeys.now`).
        key: The request's Idempotency-Key, if it had one.
        content: With a key, the digest of the records: the same key with other records is another request.
    """

    id: str
    at: int
    key: str | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A request in a segment: its bytes there, and its mark."""

    data: bytes
    mark: Mark


@dataclass(frozen=True, slots=True)
class SegmentContent:
    """The content of a segment.

    Attributes:
        entries: The whole entries.
        damaged: The start and the end of each damage, in bytes; the end is the first byte behind it.
        end: How many bytes stay when what a crash cut short is cut off.
    """

    entries: list[Entry]
    damaged: list[tuple[int, int]]
    end: int

    @property
    def whole(self) -> bytes:
        """The whole entries as a segment of their own."""
        return b"".join(entry.data for entry in self.entries)


def seal(lines: bytes, mark: Mark) -> bytes:
    """An entry's bytes.

    Args:
        lines: Its records, at least one, as JSON objects, one a line.
        mark: Its mark.
    """
    said = f'{{"id":"{mark.id}","at":{mark.at}'
    if mark.key is not None:
        said += f',"key":{json.dumps(mark.key)},"content":"{mark.content}"'
    return sealed(lines.removesuffix(b"}\n") + _MARK + said.encode(), b"}}\n")


def read(content: bytes) -> SegmentContent:
    """Reads the bytes of a segment."""
    entries: list[Entry] = []
    damaged: list[tuple[int, int]] = []
    known = 0
    for start, told, end in proven(content):
        if start > known:
            damaged.append((known, start))
        said = json.loads(content[content.rindex(_MARK, start, told) + len(_MARK) : told] + b"}")
        mark = Mark(said["id"], said["at"], said.get("key"), said.get("content"))
        entries.append(Entry(content[start:end], mark))
        known = end
    if _BEGUN.fullmatch(content, known):
        return SegmentContent(entries, damaged, known)
    return SegmentContent(entries, [*damaged, (known, len(content))], len(content))


def zero_bytes_of(segment: str) -> ZeroBytes:
    """Whether 0 bytes were accepted when a segment was written."""
    return cast("ZeroBytes", segment.split(".")[1])


class SegmentWriter:
    """A segment that is being written.

    Args:
        store: The store; its service's lock must be held.
        zero_bytes: Whether records with 0 bytes are accepted.

    Attributes:
        name: The segment's name.
        size: How many of its bytes are known to be on disk.

    Raises:
        OSError: The segment cannot be made.
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
        """Appends whole entries, durably.

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
        """Closes the file. All that counts was synced before."""
        with suppress(OSError):
            os.close(self._descriptor)


def mend(store: Locations, name: str) -> SegmentContent:
    """Makes a segment have nothing but whole entries, durably; removes a segment without any.

    What a crash cut short is cut off. A damaged file is kept as it is in `damaged/`, and its whole entries take its place.

    Raises:
        StoreUnwritable: The segment cannot be read or changed.
    """
    path = store.segment(name)
    with files.writing(path):
        content = path.read_bytes()
        found = read(content)
        if found.damaged:
            keep_damaged(store, path, content)
        if not found.entries:
            remove(store, name)
        elif found.damaged:
            replace(store, path, found.whole)
        else:
            os.truncate(path, found.end)
            files.sync(path)  # the crash may have come before a sync of what is whole
    return found


def keep_damaged(store: Locations, path: Path, content: bytes) -> None:
    """Gives a damaged file of the log a second name in `damaged/`, durably.

    The name has the digest of the content in it: doing this again after a crash does nothing, and no file takes another's
    place.
    """
    with suppress(FileExistsError):
        files.PosixFiles().create(store.damaged / f"{path.name}.{digest_of_bytes(content)[:8]}", path)
    files.sync(store.damaged)


def replace(store: Locations, path: Path, content: bytes) -> None:
    """Gives a file of the log other content, durably and as a whole."""
    draft = path.with_name(path.name + ".tmp")
    draft.unlink(missing_ok=True)
    files.write(draft, content)
    draft.replace(path)
    files.sync(store.wal)


def remove(store: Locations, name: str) -> None:
    """Removes a segment, durably."""
    store.segment(name).unlink(missing_ok=True)
    files.sync(store.wal)
