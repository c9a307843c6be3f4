"""The Idempotency-Keys of a day: what came under one counts once, however often it is sent.

A key goes into the log with its records, in one piece. Here it is kept when the segment is moved and removed; until
then `pending` has it. On disk and not in memory: a day has more keys than a process should hold.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import StoreDamaged, StoreUnwritable

KEPT_SECONDS = 24 * 3600


class Keys:
    """The keys of segments that are gone.

    Args:
        path: The database; it is made if it is missing.

    Raises:
        StoreUnwritable: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Two connections, and a journal under which who reads does not wait for who writes: the event loop reads,
            # the mover writes from its thread.
            self._writing = sqlite3.connect(path, check_same_thread=False)
            self._writing.executescript(
                """
                PRAGMA journal_mode = WAL;
                PRAGMA synchronous = FULL;
                CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, at INTEGER, content TEXT) WITHOUT ROWID;
                CREATE INDEX IF NOT EXISTS keys_by_time ON keys (at);
                """
            )
            self._reading = sqlite3.connect(path)
        except sqlite3.Error as error:
            raise StoreUnwritable(str(path), str(error)) from error

    def close(self) -> None:
        self._reading.close()
        self._writing.close()

    def find(self, key: str, since: int) -> str | None:
        """The digest of the records that came under a key, if some came since a time.

        Raises:
            StoreDamaged: The keys cannot be read.
        """
        try:
            found = self._reading.execute("SELECT content FROM keys WHERE key = ? AND at >= ?", (key, since)).fetchone()
        except sqlite3.Error as error:
            raise StoreDamaged(str(self._path), str(error)) from error
        return None if found is None else str(found[0])

    def keep(self, keys: Mapping[str, tuple[int, str]], since: int) -> None:
        """Keeps the keys of a segment, durably, and forgets those from before a time.

        Raises:
            StoreUnwritable: They could not be written.
        """
        rows = [(key, at, content) for key, (at, content) in keys.items()]
        try:
            with self._writing:
                self._writing.execute("DELETE FROM keys WHERE at < ?", (since,))
                self._writing.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise StoreUnwritable(str(self._path), str(error)) from error
