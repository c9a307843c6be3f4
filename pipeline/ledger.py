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
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from pipeline.errors import StoreDamaged, StoreUnwritable
from pipeline.store import files
from pipeline.store.locations import Locations, run_id_of
from pipeline.store.records import STORE_VERSION, LastRun, check_version, is_last, read_sealed, seal


@dataclass(frozen=True)
class SourceRecord:
    """One raw file that was counted.

    Attributes:
        path: Where it was.
        digest: XXH3-128 of its bytes, in hexadecimal: its identity.
        size: Its size in bytes; mtime_ns: its time of modification, in nanoseconds since the epoch.
        format: The name of its format.
        read: Its records. read = valid + rejected + the sum of `ignored`.
        ignored: The records that were left out on purpose, by reason.
        bytes_tx: The sum over its valid records, in bytes; bytes_rx alike.
        hours: The hours to which it added.
    """

    path: str
    digest: str
    size: int
    mtime_ns: int
    format: str
    read: int
    valid: int
    rejected: int
    ignored: dict[str, int]
    bytes_tx: int
    bytes_rx: int
    hours: list[int] = field(default_factory=list)


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
        fields["sources"] = "[" + ",".join(f"\n  {json.dumps(vars(source))}" for source in self.sources) + "\n ]"
        return seal(("{" + ",".join(f"\n {json.dumps(name)}: {text}" for name, text in fields.items())).encode())

    @classmethod
    def from_json(cls, text: bytes) -> RunRecord:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: It is not of that shape; KeyError, TypeError, AttributeError and RecursionError alike.
        """
        fields: dict[str, Any] = json.loads(text)
        fields["sources"] = [SourceRecord(**source) for source in fields["sources"]]
        fields["hours"] = {int(hour): added for hour, added in fields["hours"].items()}
        run = cls(**fields)
        _check_types(run, "run_id started finished attempt previous checksum", str)
        for source in run.sources:
            _check_types(source, "path digest format", str)
            _check_types(source, "size mtime_ns read valid rejected bytes_tx bytes_rx", int)
            _check_integers(source.ignored.values())
            _check_integers(source.hours)
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


class Index:
    """Answers which sources are known. Only the holder of the store's lock may use it.

    Attributes:
        last: The last committed run.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.last = last_indexed(connection)
        # An empty one need not be asked, as in a store's first run.
        self._is_empty = connection.execute("SELECT 1 FROM sources").fetchone() is None

    def unchanged(self, path: str, size: int, mtime_ns: int) -> bool:
        """Whether a source was counted from this path, when it had this size and time of modification."""
        if self._is_empty:
            return False
        found = self._connection.execute("SELECT size, mtime_ns FROM sources WHERE path = ?", (path,))
        return (size, mtime_ns) in found

    def knows_path(self, path: str) -> bool:
        """Whether a source was counted from this path."""
        if self._is_empty:
            return False
        return self._connection.execute("SELECT 1 FROM sources WHERE path = ?", (path,)).fetchone() is not None

    def knows_size(self, size: int) -> bool:
        """Whether a source of this size was counted."""
        if self._is_empty:
            return False
        return self._connection.execute("SELECT 1 FROM sources WHERE size = ?", (size,)).fetchone() is not None

    def paths_of(self, digest: str) -> list[str]:
        """The paths from which this content was counted; none if it is new."""
        if self._is_empty:
            return []
        found = self._connection.execute("SELECT path FROM sources WHERE digest = ? ORDER BY rowid", (digest,))
        return [path for (path,) in found]


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
        CREATE INDEX IF NOT EXISTS sources_by_size ON sources (size);
        """
    )
    return connection


def make_tables(connection: sqlite3.Connection) -> None:
    """Makes the tables of an index, where they are missing."""
    connection.executescript(
        """
        CREATE TABLE IF NOT EXISTS last (number INTEGER, checksum TEXT);
        CREATE TABLE IF NOT EXISTS sources (path TEXT, digest TEXT, size INTEGER, mtime_ns INTEGER);
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
    connection.executemany("DELETE FROM sources WHERE path = ? AND digest = ?", taken_back)
    rows = [(source.path, source.digest, source.size, source.mtime_ns) for source in run.sources]
    connection.executemany("INSERT INTO sources VALUES (?, ?, ?, ?)", rows)
