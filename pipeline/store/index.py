"""The index of the ledger: whether a source is known, without reading years of records.

`ledger.sqlite` is made from the records of `runs/`, which are the truth. Whenever the index is opened, it is brought up to date
by asking for the records behind the last that it knows, until one is missing: no run lists `runs/`, so that a run costs the
same however many there were. The index is made anew when it is missing or damaged, or when the last run that it knows
is not in `runs/` as it knows that run, as where `runs/` came back from a backup.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, starmap
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.digests import Appearance, Content
from pipeline.errors import StoreDamaged, StoreUnwritable
from pipeline.store import files, snapshots
from pipeline.store.chain import LastRun, check_version, is_last
from pipeline.store.layout import Locations
from pipeline.store.ledger import RunRecord, read_runs

#: SQLite takes so many values in a statement in all its versions.
_AT_ONCE = 900


class Known(NamedTuple):
    """A content that the ledger knows.

    Attributes:
        path: From where the source was counted.
        content: The source's content, or one with which it starts.
        source: The digest of the source.
        has_rows: Whether records were read from the source.
    """

    path: str
    content: Content
    source: str
    has_rows: bool

    @property
    def is_start(self) -> bool:
        """Whether the content was not counted itself, but is the start of a source that was."""
        return self.content.digest != self.source


class Met(NamedTuple):
    """What a file was found to be that was not counted, so that it need not be read again as long as it looks the same.

    Attributes:
        path: Where the file is; size: its size in bytes as it lies there; mtime_ns: its time of modification; etag: what its
            bucket calls its bytes, "" for a file.
        digest: Of the file's content, where the file was skipped because this content is known; else "".
        reason: Why the file is left alone, where it is; "" where it has no content.
        reading: What that depends on, beside the file (`reading.fingerprint`).
    """

    path: str
    size: int
    mtime_ns: int
    digest: str = ""
    reason: str = ""
    reading: str = ""
    etag: str = ""

    @property
    def appearance(self) -> Appearance:
        return self.path, self.size, self.etag or self.mtime_ns


_KNOWN = "SELECT path, digest, size, head, source, has_rows FROM sources"
#: How a counted source looked is NULL where the row is of a content with which the source starts.
_UNKNOWN = """
    WITH asked(path, size, look) AS (VALUES (?))
    SELECT path, size, look FROM asked WHERE NOT EXISTS (
        SELECT 1 FROM sources WHERE sources.path = asked.path AND packed_size = asked.size
        AND coalesce(nullif(etag, ''), mtime_ns) = asked.look
    )
"""


class Index:
    """Answers which sources are known. Only the holder of the store's lock may use it.

    Attributes:
        last: The last committed run.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.last = last_indexed(connection)
        # What is empty need not be asked, as in a store's first run.
        self._is_empty = connection.execute("SELECT 1 FROM sources LIMIT 1").fetchone() is None
        self._has_met = connection.execute("SELECT 1 FROM met LIMIT 1").fetchone() is not None

    def unknown_among(self, sources: Sequence[Appearance]) -> set[Appearance]:
        """Those of some sources that look otherwise than what was counted from their paths. SQLite compares: mostly there are
        next to none, and to make Python's values of all rows would take as long as to find them.
        """
        if self._is_empty:
            return set(sources)
        unknown = set[Appearance]()
        for i in range(0, len(sources), _AT_ONCE // 3):
            some = sources[i : i + _AT_ONCE // 3]
            asked = _UNKNOWN.replace("(?)", ",".join(["(?,?,?)"] * len(some)))
            unknown.update(self._connection.execute(asked, list(chain.from_iterable(some))))
        return unknown

    def digests_at(self, paths: Iterable[str]) -> dict[Appearance, str]:
        """What was counted from some paths, by how it looked."""
        query = "SELECT path, packed_size, mtime_ns, etag, digest FROM sources WHERE path IN (?) AND packed_size IS NOT NULL"
        rows = self._rows(query, paths)
        return {(path, size, etag or mtime_ns): digest for path, size, mtime_ns, etag, digest in rows}

    def latest_at(self, paths: Iterable[str]) -> dict[str, Known]:
        """What was last counted from some paths."""
        rows = self._rows(f"{_KNOWN} WHERE path IN (?) AND digest = source ORDER BY rowid", paths)
        return {known.path: known for known in map(_as_known, rows)}

    def with_digests(self, digests: Iterable[str]) -> dict[str, list[Known]]:
        """What is known of contents, by their digests, in the order in which it was counted."""
        found: dict[str, list[Known]] = {}
        for row in self._rows(f"{_KNOWN} WHERE digest IN (?) ORDER BY rowid", digests):
            found.setdefault(row[1], []).append(_as_known(row))
        return found

    def sizes_by_head(self, heads: Iterable[bytes]) -> dict[bytes, set[int]]:
        """The sizes of the contents that have some heads."""
        found: dict[bytes, set[int]] = {}
        if self._is_empty:  # each of many files has a dozen heads
            return found
        query = "SELECT DISTINCT head, size FROM sources WHERE head IN (?)"
        for head, size in self._rows(query, (head.hex() for head in set(heads))):
            found.setdefault(bytes.fromhex(head), set()).add(size)
        return found

    def starts_of(self, known: Known) -> list[Content]:
        """The contents with which a counted source is known to start."""
        query = f"{_KNOWN} WHERE path = ? AND source = ? AND digest <> source"
        return [_as_known(row).content for row in self._connection.execute(query, (known.path, known.source))]

    def met_among(self, sources: Iterable[Appearance]) -> dict[Appearance, Met]:
        """What some sources were found to be when they looked as they look now."""
        if not self._has_met:
            return {}
        asked = set(sources)
        rows = self._each("SELECT * FROM met WHERE path IN (?)", (path for path, _, _ in asked))
        return {met.appearance: met for met in starmap(Met, rows) if met.appearance in asked}

    def remember(self, met: Iterable[Met]) -> None:
        """Remembers what files were found to be. Where that cannot be written, they will be read once more."""
        with suppress(sqlite3.Error), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO met VALUES (?, ?, ?, ?, ?, ?, ?)", met)

    def _rows(self, query: str, values: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of a query of what was counted."""
        return iter(()) if self._is_empty else self._each(query, values)

    def _each(self, query: str, values: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of a query for some values, which stand for its question mark."""
        asked = sorted(set(values))
        for i in range(0, len(asked), _AT_ONCE):
            some = asked[i : i + _AT_ONCE]
            yield from self._connection.execute(query.replace("(?)", f"({','.join('?' * len(some))})"), some)


def _as_known(row: tuple[Any, ...]) -> Known:
    path, digest, size, head, source, has_rows = row
    return Known(path, Content(digest, size, head), source, bool(has_rows))


@contextmanager
def open_index(store: Locations) -> Iterator[Index]:
    """Opens the index and brings it up to date. The store's lock must be held.

    Raises:
        StoreDamaged: A run's record is not as it was written; StoreUnreadable and StoreVersion alike.
        StoreUnwritable: The index cannot be written.
    """
    try:
        connection = _open_up_to_date(store)
    except sqlite3.DatabaseError:  # perhaps the file is damaged; it is an index only, so make it anew
        try:
            with files.writing(store.index):
                _remove(store.index)
            connection = _open_up_to_date(store)
        except sqlite3.DatabaseError as error:
            raise StoreUnwritable(str(store.index), str(error)) from error
    try:
        yield Index(connection)
    except sqlite3.DatabaseError as error:
        with files.writing(store.index):
            _remove(store.index)
        advice = "it is an index only, was removed, and is made anew by the next run"
        raise StoreDamaged(str(store.index), str(error), advice) from error
    finally:
        connection.close()


def _open_up_to_date(store: Locations) -> sqlite3.Connection:
    connection = _connect(store.index)
    try:
        last = last_indexed(connection)
        if not last.number:
            check_version(store)
            snapshots.load(store, connection)
            last = last_indexed(connection)
        if not _is_whole(connection) or (last.number and not is_last(store, last)):
            connection.close()
            with files.writing(store.index):
                _remove(store.index)
            connection = _connect(store.index)
            last = LastRun()
            check_version(store)
        before = last.number
        with connection:  # one transaction: a crash leaves the index as it was
            for run in read_runs(store, last if last.number else None):
                add_to_index(connection, run)
                last = LastRun(int(run.run_id), run.checksum)
            if last != last_indexed(connection):
                connection.execute("DELETE FROM last")
                connection.execute("INSERT INTO last VALUES (?, ?)", (last.number, last.checksum))
                connection.execute(f"PRAGMA user_version = {_count_sources(connection)}")
        snapshots.save_if_due(store, connection, before, last.number)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(index: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(index)
    # One transaction: each alone would be synced, which takes longer than all else that the index does in a store's first run.
    connection.executescript(f"BEGIN; {_TABLES} {_INDICES} COMMIT;")
    return connection


_TABLES = """
    CREATE TABLE IF NOT EXISTS last (number INTEGER, checksum TEXT);
    CREATE TABLE IF NOT EXISTS sources (
        path TEXT, digest TEXT, size INTEGER, head TEXT, source TEXT, has_rows INTEGER,
        packed_size INTEGER, mtime_ns INTEGER, etag TEXT
    );
    CREATE TABLE IF NOT EXISTS met (
        path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, digest TEXT, reason TEXT, reading TEXT, etag TEXT
    ) WITHOUT ROWID;
"""
_INDICES = """
    CREATE INDEX IF NOT EXISTS sources_by_path ON sources (path);
    CREATE INDEX IF NOT EXISTS sources_by_digest ON sources (digest);
    CREATE INDEX IF NOT EXISTS sources_by_head ON sources (head, size);
"""


def make_tables(connection: sqlite3.Connection) -> None:
    """Makes the tables of an index, where they are missing."""
    connection.executescript(_TABLES)


def last_indexed(connection: sqlite3.Connection) -> LastRun:
    """The last run that an index knows.

    Raises:
        sqlite3.DatabaseError: The index is damaged.
    """
    found = connection.execute("SELECT number, checksum FROM last").fetchone()
    if found is None:
        return LastRun()
    number, checksum = found
    if type(number) is not int or number < 1:
        raise sqlite3.DatabaseError(f"{number!r} is no run's number")
    return LastRun(number, checksum)


def has_all_columns(connection: sqlite3.Connection) -> bool:
    """Whether the tables are those of this version: an earlier flowlog kept less."""
    try:
        connection.execute("SELECT sources.etag, met.etag FROM sources, met LIMIT 0")
    except sqlite3.OperationalError:
        return False
    return True


def _is_whole(connection: sqlite3.Connection) -> bool:
    """Whether the index has as many sources as when it was written: an index that has lost some would let them be counted twice."""
    (sources,) = connection.execute("PRAGMA user_version").fetchone()
    return has_all_columns(connection) and bool(sources == _count_sources(connection))


def _count_sources(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM sources").fetchone()[0])


def _remove(index: Path) -> None:
    for suffix in ("", "-journal"):
        index.with_name(index.name + suffix).unlink(missing_ok=True)


def add_to_index(connection: sqlite3.Connection, run: RunRecord) -> None:
    """Takes in a run behind all that are in the index."""
    taken_back = [(source["path"], source["digest"]) for source in run.forgotten]
    connection.executemany("DELETE FROM sources WHERE path = ? AND source = ?", taken_back)
    rows = (
        (source.path, found.digest, found.size, found.head, source.digest, source.read > 0, *looks)
        for source in run.sources
        for found, looks in (
            (source.content, (source.packed_size, source.mtime_ns, source.etag)),
            *((start, (None, None, None)) for start in source.starts),
        )
    )
    connection.executemany("INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
