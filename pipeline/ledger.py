"""The ledger: what has been counted, so that nothing is counted twice and everything can be proved.

`runs/NUMBER.json`, one file for each committed run, is the truth. `ledger.sqlite` is an index of it that answers "is this
source known" without reading years of JSON. Whenever it is opened, it is brought up to date by asking for the records behind
the last that it knows, one by one until one is missing: no run lists `runs/`, so that a run costs the same however many there
were. It is made anew when it is missing or damaged, or when the last run that it knows is not in `runs/` as it knows it, as
where `runs/` came back from a backup.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from pipeline.content import Content
from pipeline.errors import StoreDamaged, StoreUnwritable
from pipeline.store import files
from pipeline.store.locations import Locations, run_id_of
from pipeline.store.records import STORE_VERSION, LastRun, check_version, is_last, read_sealed, seal

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
        run_id: Its number, in eight digits or more.
        started: When it started, by the clock, ISO 8601 in UTC; finished: when it committed. For people: nothing is decided by
            them, since a clock may be wrong.
        sources: What it counted.
        hours: What it added to each hour: `flows`, `bytes_tx` and `bytes_rx`; less than 0 where it took away.
        interpretation: How the sources' rows were understood (`counting.Interpretation`).
        files: The digest (XXH3-128) of each file that it put in place, by its path in the store.
        forgotten: Sources of earlier runs that it took back, by path and digest.
        dropped: Whether it dropped the hours that it lists, so that they are no part of what earlier sources counted.
        attempt: Which attempt to commit this run it was; no other run's attempt has this name.
        previous: The checksum of the record of the run before it; "" in the first run's.
        version: The version of the store's format.
        checksum: The checksum of its own record, once that was read; "" before.
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
    attempt: str = ""
    previous: str = ""
    version: int = STORE_VERSION
    checksum: str = field(default="", compare=False)

    def to_json(self) -> bytes:
        """Its text: a field a line, and a source a line; the version first, and the checksum last."""
        values = {"version": self.version} | vars(self)
        fields = {name: json.dumps(value) for name, value in values.items() if name not in ("sources", "checksum")}
        fields["sources"] = (
            "[" + ",".join(f"\n  {json.dumps(vars(source), default=vars)}" for source in self.sources) + "\n ]"
        )
        return seal(("{" + ",".join(f"\n {json.dumps(name)}: {text}" for name, text in fields.items())).encode())

    @classmethod
    def from_json(cls, text: bytes) -> RunRecord:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: It is not of that shape; KeyError, TypeError, AttributeError and RecursionError alike.
        """
        fields: dict[str, Any] = json.loads(text)
        fields["sources"] = [
            SourceRecord(**{**source, "starts": [Content(**start) for start in source["starts"]]})
            for source in fields["sources"]
        ]
        fields["hours"] = {int(hour): added for hour, added in fields["hours"].items()}
        run = cls(**fields)
        _check_types(run, "run_id started finished attempt previous checksum", str)
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
    """Reads a committed run's record, and checks its checksum.

    Raises:
        StoreDamaged: It is missing, or not as it was written.
        StoreUnreadable: The operating system refuses to read it.
        StoreVersion: Another version of flowlog wrote it.
    """
    run = _find_run(store, run_id)
    if run is None:
        raise StoreDamaged(str(store.record_of(run_id)), "is missing")
    return run


def _find_run(store: Locations, run_id: str) -> RunRecord | None:
    """The same; None if it is missing."""
    path = str(store.record_of(run_id))
    try:
        content, _ = read_sealed(store, run_id)
    except FileNotFoundError:
        return None
    try:
        run = RunRecord.from_json(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamaged(path, f"is not a run's record: {type(error).__name__}: {error}") from error
    if run.run_id != run_id:
        raise StoreDamaged(path, f"it is the record of the run {run.run_id}")
    return run


def read_runs(store: Locations, behind: LastRun | None = None) -> Iterator[RunRecord]:
    """The records of committed runs, oldest first, each held against the one before it.

    Args:
        store: The store.
        behind: Only the runs behind this one, without a listing of `runs/`; None for all.

    Raises:
        StoreDamaged: A record is missing, or not as it was written, or does not follow the one before it.
        StoreUnreadable: The operating system refuses to read one; StoreVersion: another version of flowlog wrote one.
    """
    last = behind or LastRun()
    listed = 0 if behind else max(store.run_numbers(), default=0)
    for number in count(last.number + 1):
        run = _find_run(store, run_id_of(number))
        if run is None:
            if number < listed:
                raise StoreDamaged(str(store.record_of(run_id_of(number))), "is missing, and later runs are there")
            return
        if run.previous != last.checksum:
            raise StoreDamaged(str(store.record_of(run.run_id)), NOT_FOLLOWING)
        yield run
        last = LastRun(number, run.checksum)


#: What is wrong with a record whose `previous` is not the checksum of the record before it.
NOT_FOLLOWING = "does not follow the record before it; one of the two is not the one that was committed"


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
        StoreDamaged: A run's record is not as it was written; StoreUnreadable and StoreVersion alike.
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
    connection = _connect(store.index)
    try:
        last = last_indexed(connection)
        if not _is_whole(connection) or (last.number and not is_last(store, last)):
            connection.close()
            with files.writing(store.index):
                _remove(store.index)
            connection = _connect(store.index)
            last = LastRun()
        if not last.number:
            check_version(store)
        with connection:  # one transaction: a crash leaves the index as it was
            for run in read_runs(store, last if last.number else None):
                add_to_index(connection, run)
                last = LastRun(int(run.run_id), run.checksum)
            if last != last_indexed(connection):
                connection.execute("DELETE FROM last")
                connection.execute("INSERT INTO last VALUES (?, ?)", (last.number, last.checksum))
                connection.execute(f"PRAGMA user_version = {_count_sources(connection)}")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(index: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(index)
    make_tables(connection)
    connection.executescript(
        """
        CREATE INDEX IF NOT EXISTS sources_by_path ON sources (path);
        CREATE INDEX IF NOT EXISTS sources_by_digest ON sources (digest);
        CREATE INDEX IF NOT EXISTS sources_by_head ON sources (head, size);
        """
    )
    return connection


def make_tables(connection: sqlite3.Connection) -> None:
    """Makes the tables of an index, where they are missing."""
    connection.executescript(
        """
        CREATE TABLE IF NOT EXISTS last (number INTEGER, checksum TEXT);
        CREATE TABLE IF NOT EXISTS sources (
            path TEXT, digest TEXT, size INTEGER, head TEXT, source TEXT, has_rows INTEGER,
            packed_size INTEGER, mtime_ns INTEGER
        );
        CREATE TABLE IF NOT EXISTS met (
            path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, digest TEXT, reason TEXT, reading TEXT
        ) WITHOUT ROWID;
        """
    )


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


def _is_whole(connection: sqlite3.Connection) -> bool:
    """Whether it has as many sources as when it was written: one that has lost some would let them be counted twice."""
    (sources,) = connection.execute("PRAGMA user_version").fetchone()
    return bool(sources == _count_sources(connection))


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
            (source.content, (source.packed_size, source.mtime_ns)),
            *((start, (None, None)) for start in source.starts),
        )
    )
    connection.executemany("INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
