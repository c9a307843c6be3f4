"""The Idempotency-Keys of a day: what comes under one of them counts once, however often it is sent.

A key goes into the log with its records, in one piece. It is kept here when its segment is flushed and removed; until then
the service has it in memory. The keys stand on disk, since a day has more of them than a process should hold.

The day is one of the service's own clock, which counts the seconds that a service was running, and goes on where the last
service stopped: a machine's clock that is set cannot shorten it. Each row has a seal, as an entry of the log has; by the
seals, what a damaged database still has is found wherever it stands.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from operator import itemgetter
from pathlib import Path

from pipeline.errors import StoreDamaged, StoreUnwritable
from pipeline.store import files
from pipeline.store.layout import Locations
from pipeline.wal.seals import proven, sealed
from pipeline.wal.segments import keep_damaged

KEPT_SECONDS = 24 * 3600

#: How long a flush waits for a process that reads the whole database, as `verify` does.
_WAIT_SECONDS = 60
#: The key of the row that has the clock; an Idempotency-Key is never empty.
_CLOCK = ""
#: What SQLite says of a damaged file. A flipped bit can also make a file read-only for SQLite, or of another format.
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_ERROR)
_Row = tuple[int, str, bytes]


class IdempotencyKeys:
    """The keys of segments that are gone, and the service's clock.

    Args:
        store: The store; its service's lock must be held. A database that is damaged is put aside, and what can be proved of it
            goes into another.

    Raises:
        StoreUnwritable: The database cannot be opened, or made.
    """

    def __init__(self, store: Locations) -> None:
        self._path = store.keys
        try:
            # The event loop reads and the flusher's thread writes, each by a connection of its own; the journal is one under
            # which a reader does not wait for a writer.
            self._writing = _opened(store)
            self._reading = sqlite3.connect(self._path)
            clock = self._find(_CLOCK, range(-1, 0))
        except sqlite3.Error as error:
            raise StoreUnwritable(str(self._path), str(error)) from error
        except OSError as error:
            raise StoreUnwritable(str(self._path), error.strerror or str(error)) from error
        self._started = time.monotonic()
        self._before = clock[0] if clock else 0

    def close(self) -> None:
        self._reading.close()
        self._writing.close()

    def now(self) -> int:
        """The time by the service's clock, in seconds."""
        return self._before + int(time.monotonic() - self._started)

    def go_on_from(self, at: int) -> None:
        """Sets the clock on to a time that the log has: a service that was killed may not have kept its clock."""
        self._before = max(self._before, at)

    def find(self, key: str) -> str | None:
        """The digest of the records that came under a key within a day.

        Raises:
            StoreDamaged: The keys cannot be read.
        """
        since = self.now() - KEPT_SECONDS
        try:
            found = self._find(key, range(_day(since), _day(self.now()) + 1))
        except sqlite3.Error as error:
            raise StoreDamaged(str(self._path), str(error)) from error
        return found[1] if found and found[0] >= since else None

    def _find(self, key: str, days: range) -> tuple[int, str] | None:
        """When a key last came, and the digest of its records."""
        for day in reversed(days):
            row = self._reading.execute("SELECT * FROM keys WHERE day = ? AND key = ?", (day, key)).fetchone()
            if row is not None:
                read = _read(row)
                if read is None:
                    raise StoreDamaged(str(self._path), "a key is not as it was written")
                return read
        return None

    def keep(self, keys: Mapping[str, tuple[int, str]]) -> None:
        """Keeps the keys of a segment and the clock, durably, and forgets those from before yesterday.

        Raises:
            StoreUnwritable: They could not be written.
        """
        now = self.now()
        rows = [_row(key, at, content) for key, (at, content) in keys.items()]
        try:
            with self._writing:
                self._writing.execute("DELETE FROM keys WHERE day BETWEEN 0 AND ?", (_day(now - KEPT_SECONDS) - 1,))
                self._writing.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", [*rows, _row(_CLOCK, now, "")])
            _write_back(self._writing)
        except sqlite3.Error as error:
            raise StoreUnwritable(str(self._path), str(error)) from error


def is_damaged(store: Locations) -> bool:
    """Whether the database of keys is damaged, as far as can be told without writing."""
    try:
        return store.keys.exists() and not _is_sound(store.keys)
    except (OSError, sqlite3.OperationalError):
        return False


def _day(at: int) -> int:
    return max(at, 0) // KEPT_SECONDS


def _row(key: str, at: int, content: str) -> _Row:
    told = f'{{"key":{json.dumps(key)},"at":{at},"content":"{content}"'
    return -1 if key == _CLOCK else _day(at), key, sealed(told.encode(), b"}\n")


def _read(row: _Row) -> tuple[int, str] | None:
    """When the key of a row came, and the digest of its records; None if the row is not as it was written."""
    found = list(_proven_rows(row[2])) if isinstance(row[2], bytes) else []
    if len(found) != 1 or _row(*found[0]) != row:
        return None
    return found[0][1:]


def _proven_rows(content: bytes) -> Iterator[tuple[str, int, str]]:
    for start, told, _ in proven(content):
        said = json.loads(content[start:told] + b"}")
        yield said["key"], said["at"], said["content"]


def _opened(store: Locations) -> sqlite3.Connection:
    try:
        if not store.keys.exists() or _is_sound(store.keys):
            return _made(store.keys)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in _DAMAGE:
            raise
    _salvage(store)
    return _made(store.keys)


def _made(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
    connection.executescript(
        """
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        CREATE TABLE IF NOT EXISTS keys (day INTEGER, key TEXT, sealed BLOB, PRIMARY KEY (day, key)) WITHOUT ROWID;
        PRAGMA user_version = 1; -- a write, which shows whether the file may be written
        """
    )
    _write_back(connection)
    return connection


def _write_back(connection: sqlite3.Connection) -> None:
    """Empties the journal: a damaged page of it would hide keys without a word, and their segment is removed soon."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("its journal cannot be written back")


def _is_sound(path: Path) -> bool:
    """Whether each row proves itself, and is found where SQLite looks for it. Takes some seconds for a million keys."""
    mode = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                return False
            rows: Iterable[_Row] = connection.execute("SELECT * FROM keys")
            return all(_read(row) is not None for row in rows)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in _DAMAGE:
            raise
        return False


def _salvage(store: Locations) -> None:
    """Puts a damaged database aside, and puts another in its place, with all that can be proved of the first."""
    content = store.keys.read_bytes()
    keep_damaged(store, store.keys, content)
    draft = store.keys.with_name(store.keys.name + ".tmp")
    _remove(draft, "", "-wal", "-shm")
    with closing(_made(draft)) as made:
        with made:
            for key, at, found in sorted(_proven_rows(content), key=itemgetter(1)):  # pages keep rows that were replaced
                made.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", _row(key, at, found))
        _write_back(made)
        made.execute("PRAGMA journal_mode = DELETE")
    _remove(store.keys, "-wal", "-shm")
    draft.replace(store.keys)
    files.sync(store.wal)


def _remove(path: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
