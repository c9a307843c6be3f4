"""The ledger: what has been counted, so that nothing is counted twice and everything can be proved.

`runs/RUN.json`, one file for each committed run, is the truth. `ledger.sqlite` is an index of it that answers "is
this source known" without reading years of JSON; it is brought up to date from `runs/` whenever it is opened, and
made anew when it is missing, damaged or knows runs that are not there.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.content import Content
from pipeline.errors import StoreDamaged, StoreUnwritable
from pipeline.store import files
from pipeline.store.locations import Locations

#: The version of the record's shape. A reader refuses versions that it does not know.
RECORD_VERSION = 1
#: SQLite takes so many values in a statement in all its versions.
_AT_ONCE = 900


@dataclass(frozen=True)
class SourceRecord:
    """One raw file that was counted.

    Attributes:
        path: Where it was, as `sources.name_of` writes it.
        digest: XXH3-128 of its content, unpacked, in hexadecimal: its identity.
        size: The content's size in bytes; head: what proposes what it may be the start of (see `content.Content`).
        packed_digest: XXH3-128 of its bytes as they lay on the disk; packed_size: how many they were.
        mtime_ns: Its time of modification, in nanoseconds since the epoch.
        format: The name of its format.
        read: Its records. read = valid + rejected + the sum of `ignored`.
        ignored: The records that were left out on purpose, by reason.
        bytes_tx: The sum over its valid records, in bytes; bytes_rx alike.
        hours: The hours to which it added.
        starts: Other contents that were met, with which this one starts, so that what is in them is counted.
    """

    path: str
    digest: str
    size: int
    head: str
    packed_digest: str
    packed_size: int
    mtime_ns: int
    format: str
    read: int
    valid: int
    rejected: int
    ignored: dict[str, int]
    bytes_tx: int
    bytes_rx: int
    hours: list[int] = field(default_factory=list)
    starts: list[Content] = field(default_factory=list)

    @property
    def content(self) -> Content:
        return Content(self.digest, self.size, self.head)


@dataclass(frozen=True)
class RunRecord:
    """One committed run.

    Attributes:
        run_id: Its name, which sorts by time.
        started: When it started, ISO 8601 in UTC; finished: when it committed.
        sources: What it counted.
        hours: What it added to each hour: `flows`, `bytes_tx` and `bytes_rx`; less than 0 where it took away.
        interpretation: How the sources' rows were understood (`counting.Interpretation`).
        files: The digest (XXH3-128) of each file that it put in place, by its path in the store.
        forgotten: Sources of earlier runs that it took back, by path and digest.
        dropped: Whether it dropped the hours that it lists, so that they are no part of what earlier sources counted.
        version: The version of this shape.
    """

    run_id: str
    started: str
    finished: str
    sources: list[SourceRecord]
    hours: dict[int, dict[str, int]] = field(default_factory=dict)
    interpretation: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    forgotten: list[dict[str, str]] = field(default_factory=list)
    dropped: bool = False
    version: int = RECORD_VERSION

    def to_json(self) -> bytes:
        """Its text: a field a line, and a source a line."""
        fields = {name: json.dumps(value) for name, value in vars(self).items() if name != "sources"}
        fields["sources"] = (
            "[" + ",".join(f"\n  {json.dumps(vars(source), default=vars)}" for source in self.sources) + "\n ]"
        )
        return ("{" + ",".join(f"\n {json.dumps(name)}: {text}" for name, text in fields.items()) + "\n}\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> RunRecord:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: It is not of that shape; KeyError, TypeError, AttributeError and RecursionError alike.
        """
        fields: dict[str, Any] = json.loads(text)
        if fields["version"] != RECORD_VERSION:
            raise ValueError(f"its version is {fields['version']}, and this flowlog knows {RECORD_VERSION}")
        fields["sources"] = [
            SourceRecord(**{**source, "starts": [Content(**start) for start in source["starts"]]})
            for source in fields["sources"]
        ]
        fields["hours"] = {int(hour): added for hour, added in fields["hours"].items()}
        run = cls(**fields)
        _check_types(run, "run_id started finished", str)
        for source in run.sources:
            _check_types(source, "path digest head packed_digest format", str)
            _check_types(source, "size packed_size mtime_ns read valid rejected bytes_tx bytes_rx", int)
            _check_integers(source.ignored.values())
            _check_integers(source.hours)
            for start in source.starts:
                _check_types(start, "digest head", str)
                _check_types(start, "size", int)
        _check_types(run, "interpretation", dict)
        _check_types(run, "dropped", bool)
        for texts in (run.files, *run.forgotten):
            if any(type(value) is not str for value in texts.values()):
                raise TypeError(f"{texts!r} are no texts")
        if any(set(source) != {"path", "digest"} for source in run.forgotten):
            raise TypeError("a forgotten source has a path and a digest")
        for added in run.hours.values():
            _check_integers(added[name] for name in ("flows", "bytes_tx", "bytes_rx"))
        return run

    def total(self, name: str) -> int:
        """The sum of one number over its sources, as `total("read")`."""
        return sum(getattr(source, name) for source in self.sources)


def _check_types(record: object, names: str, kind: type) -> None:
    for name in names.split():
        if type(getattr(record, name)) is not kind:
            raise TypeError(f"{name} is {getattr(record, name)!r}")


def _check_integers(values: Iterable[object]) -> None:
    for value in values:
        if type(value) is not int:
            raise TypeError(f"{value!r} is no integer")


def now() -> str:
    """The time as a record has it: ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_run(store: Locations, run_id: str) -> RunRecord:
    """Reads a committed run's record.

    Raises:
        StoreDamaged: It cannot be read.
    """
    path = store.record_of(run_id)
    try:
        run = RunRecord.from_json(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamaged(str(path), f"not a run's record: {type(error).__name__}: {error}") from error
    if run.run_id != run_id:
        raise StoreDamaged(str(path), f"it is the record of the run {run.run_id}")
    return run


def read_runs(store: Locations) -> Iterator[RunRecord]:
    """The records of all committed runs, oldest first."""
    return (read_run(store, run_id) for run_id in store.run_ids())


@dataclass(frozen=True)
class Standing:
    """A source that was not forgotten.

    Attributes:
        source: Its record.
        interpretation: How its rows were understood.
        hours: The hours in which it still counts: those that were not dropped since.
    """

    source: SourceRecord
    interpretation: dict[str, Any]
    hours: frozenset[int]

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others: a path, and what was there."""
        return self.source.path, self.source.digest


def standing_sources(runs: Iterable[RunRecord]) -> list[Standing]:
    """The sources that were not forgotten, in the order in which they were counted.

    Args:
        runs: All committed runs, oldest first.
    """
    standing: dict[tuple[str, str], Standing] = {}
    for run in runs:
        for source in run.forgotten:
            standing.pop((source["path"], source["digest"]), None)
        if run.dropped:
            gone = run.hours.keys()
            standing = {key: replace(found, hours=found.hours - gone) for key, found in standing.items()}
        for record in run.sources:
            key = (record.path, record.digest)
            standing[key] = Standing(record, run.interpretation, frozenset(record.hours))
    return list(standing.values())


@dataclass(frozen=True)
class Known:
    """A content that the ledger knows.

    Attributes:
        path: From where the source was counted.
        content: The source's content, or one with which it starts.
        source: The digest of the source.
        has_rows: Whether records were read from it.
    """

    path: str
    content: Content
    source: str
    has_rows: bool

    @property
    def is_start(self) -> bool:
        """Whether it was not counted itself, but is the start of a source that was."""
        return self.content.digest != self.source


@dataclass(frozen=True)
class Memory:
    """What a file was found to be that was not counted, so that it need not be read again as long as it looks the same.

    Attributes:
        path: Where it is; size: its size in bytes as it lies there; mtime_ns: its time of modification.
        digest: Of its content, if it was skipped since that is known; else "".
        reason: Why it is left alone, else; "" if it has no content.
        reading: What that depends on, beside the file (`Interpretation.fingerprint`).
    """

    path: str
    size: int
    mtime_ns: int
    digest: str = ""
    reason: str = ""
    reading: str = ""


_KNOWN = "SELECT path, digest, size, head, source, has_rows FROM sources"


class Index:
    """Answers which sources are known. Only the holder of the store's lock may use it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # What is empty need not be asked, as in a store's first run.
        self._is_empty = _count_sources(connection) == 0
        self._has_met = connection.execute("SELECT 1 FROM met LIMIT 1").fetchone() is not None

    def digest_at(self, path: str, packed_size: int, mtime_ns: int) -> str | None:
        """What was counted from this path when the file had this size and time of modification; None if nothing was."""
        if self._is_empty:
            return None
        query = "SELECT digest FROM sources WHERE path = ? AND packed_size = ? AND mtime_ns = ?"
        found = self._connection.execute(query, (path, packed_size, mtime_ns)).fetchone()
        return found and found[0]

    def latest_at(self, path: str) -> Known | None:
        """What was last counted from this path."""
        if self._is_empty:
            return None
        query = f"{_KNOWN} WHERE path = ? AND digest = source ORDER BY rowid DESC LIMIT 1"
        return next(map(_as_known, self._connection.execute(query, (path,))), None)

    def with_digests(self, digests: Iterable[str]) -> dict[str, list[Known]]:
        """What is known of contents, by their digests, in the order in which it was counted."""
        found: dict[str, list[Known]] = {}
        for row in self._rows(f"{_KNOWN} WHERE digest IN (?) ORDER BY rowid", digests):
            found.setdefault(row[1], []).append(_as_known(row))
        return found

    def sizes_by_head(self, heads: Iterable[bytes]) -> dict[bytes, set[int]]:
        """The sizes of the contents that have some heads."""
        found: dict[bytes, set[int]] = {}
        query = "SELECT DISTINCT head, size FROM sources WHERE head IN (?)"
        for head, size in self._rows(query, (head.hex() for head in heads)):
            found.setdefault(bytes.fromhex(head), set()).add(size)
        return found

    def starts_of(self, known: Known) -> list[Content]:
        """The contents with which a counted source is known to start."""
        query = f"{_KNOWN} WHERE path = ? AND source = ? AND digest <> source"
        return [_as_known(row).content for row in self._connection.execute(query, (known.path, known.source))]

    def memory_of(self, path: str, size: int, mtime_ns: int) -> Memory | None:
        """What a file was found to be when it had this size and time of modification."""
        if not self._has_met:
            return None
        query = "SELECT * FROM met WHERE path = ? AND size = ? AND mtime_ns = ?"
        found = self._connection.execute(query, (path, size, mtime_ns)).fetchone()
        return found and Memory(*found)

    def remember(self, met: Iterable[Memory]) -> None:
        """Remembers what files were found to be. Where that cannot be written, they will be read once more."""
        rows = [tuple(vars(memory).values()) for memory in met]
        with suppress(sqlite3.Error), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO met VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _rows(self, query: str, values: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of a query for some values, which stand for its question mark."""
        asked = [] if self._is_empty else sorted(set(values))
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
        StoreDamaged: A run's record cannot be read.
        StoreUnwritable: The index cannot be written.
    """
    try:
        connection = _open_up_to_date(store)
    except sqlite3.DatabaseError:  # perhaps it is damaged; it is an index only, so make it anew
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
        problem = f"{error}; it is an index only, was removed, and is made anew by the next run"
        raise StoreDamaged(str(store.index), problem) from error
    finally:
        connection.close()


def _open_up_to_date(store: Locations) -> sqlite3.Connection:
    connection = sqlite3.connect(store.index)
    try:
        committed = store.run_ids()
        if not _indexed_runs(connection) <= set(committed) or not _is_whole(connection):  # it knows runs that are no more
            connection.close()
            _remove(store.index)
            connection = sqlite3.connect(store.index)
        missing = sorted(set(committed) - _indexed_runs(connection))
        with connection:  # one transaction: a crash leaves the index as it was
            for run_id in missing:
                _add(connection, read_run(store, run_id))
            if missing:
                connection.execute(f"PRAGMA user_version = {_count_sources(connection)}")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_whole(connection: sqlite3.Connection) -> bool:
    """Whether it has as many sources as when it was written: one that has lost some would let them be counted twice."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] == _count_sources(connection))


def _count_sources(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM sources").fetchone()[0])


def _remove(index: Path) -> None:
    for suffix in ("", "-journal"):
        index.with_name(index.name + suffix).unlink(missing_ok=True)


def _indexed_runs(connection: sqlite3.Connection) -> set[str]:
    connection.executescript(
        """
        CREATE TABLE IF NOT EXISTS runs (run_id TEXT PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS sources (
            path TEXT, digest TEXT, size INTEGER, head TEXT, source TEXT, has_rows INTEGER,
            packed_size INTEGER, mtime_ns INTEGER
        );
        CREATE INDEX IF NOT EXISTS sources_by_path ON sources (path);
        CREATE INDEX IF NOT EXISTS sources_by_digest ON sources (digest);
        CREATE INDEX IF NOT EXISTS sources_by_head ON sources (head, size);
        CREATE TABLE IF NOT EXISTS met (
            path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, digest TEXT, reason TEXT, reading TEXT
        ) WITHOUT ROWID;
        """
    )
    return {run_id for (run_id,) in connection.execute("SELECT run_id FROM runs")}


def _add(connection: sqlite3.Connection, run: RunRecord) -> None:
    connection.execute("INSERT INTO runs VALUES (?)", (run.run_id,))
    taken_back = [(source["path"], source["digest"]) for source in run.forgotten]
    connection.executemany("DELETE FROM sources WHERE path = ? AND source = ?", taken_back)
    rows = (
        (source.path, found.digest, found.size, found.head, source.digest, source.read > 0, *looks)
        for source in run.sources
        for found, looks in (
            (source.content, (source.packed_size, source.mtime_ns)),
            *((start, (None, None)) for start in source.starts),
        )
    )
    connection.executemany("INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
