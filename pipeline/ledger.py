"""The ledger: what has been counted, so that nothing is counted twice and everything can be proved.

`runs/RUN.json`, one file for each committed run, is the truth. `ledger.sqlite` is an index of it that answers "is
this source known" without reading years of JSON; it is brought up to date from `runs/` whenever it is opened, and
made anew when it is missing, damaged or knows runs that are not there.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import StoreDamaged, StoreUnwritable
from pipeline.store import files
from pipeline.store.locations import Locations

#: The version of the record's shape. A reader refuses versions that it does not know.
RECORD_VERSION = 1


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
        fields["sources"] = "[" + ",".join(f"\n  {json.dumps(vars(source))}" for source in self.sources) + "\n ]"
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
        fields["sources"] = [SourceRecord(**source) for source in fields["sources"]]
        fields["hours"] = {int(hour): added for hour, added in fields["hours"].items()}
        run = cls(**fields)
        _check_types(run, "run_id started finished", str)
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


class Index:
    """Answers which sources are known. Only the holder of the store's lock may use it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._is_empty = _count_sources(connection) == 0  # and need not be asked, as in a store's first run

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
        CREATE TABLE IF NOT EXISTS sources (path TEXT, digest TEXT, size INTEGER, mtime_ns INTEGER);
        CREATE INDEX IF NOT EXISTS sources_by_path ON sources (path);
        CREATE INDEX IF NOT EXISTS sources_by_digest ON sources (digest);
        CREATE INDEX IF NOT EXISTS sources_by_size ON sources (size);
        """
    )
    return {run_id for (run_id,) in connection.execute("SELECT run_id FROM runs")}


def _add(connection: sqlite3.Connection, run: RunRecord) -> None:
    connection.execute("INSERT INTO runs VALUES (?)", (run.run_id,))
    taken_back = [(source["path"], source["digest"]) for source in run.forgotten]
    connection.executemany("DELETE FROM sources WHERE path = ? AND digest = ?", taken_back)
    rows = [(source.path, source.digest, source.size, source.mtime_ns) for source in run.sources]
    connection.executemany("INSERT INTO sources VALUES (?, ?, ?, ?)", rows)
