"""Snapshots of the index in a bucket: a machine that comes new to a store of years need not read every record.

A snapshot has what the index knows of sources, as a packed SQLite file, and the last run up to which the index knew them. It is
a cache like the index: whatever is wrong with one, the records are read instead.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from pipeline.errors import StoreError
from pipeline.store.layout import Locations, run_id_of

#: So many runs lie between two snapshots: their records are read in a few seconds, many at once.
_RUNS = 1000
_NAME = r"([0-9]{8,})\.sqlite\.zst"
_TABLES = ("last", "sources")


def save_if_due(store: Locations, connection: sqlite3.Connection, before: int, last: int) -> None:
    """Saves a snapshot, if the index has come past a number at which there is to be one, and removes older ones.

    Args:
        store: The store.
        connection: Its index, which is up to date.
        before: The last run that the index knew when it was opened.
        last: The last run that it knows.
    """
    number = last - last % _RUNS
    if not store.files.has_versions or number <= before:
        return
    target = _place_of(store, number)
    with suppress(StoreError, sqlite3.Error, OSError):  # the next one will do; a name that is taken is an OSError
        if not store.files.exists(target):
            with _packed(connection) as packed:
                store.files.create(target, packed)
            # The newest but one stays, as somebody may be reading it.
            store.files.delete(_place_of(store, old) for old in _numbers(store)[:-2])


def load(store: Locations, connection: sqlite3.Connection) -> None:
    """Fills an index that is empty from the newest snapshot, if there is one; it may know runs that are not in the store."""
    with suppress(StoreError, sqlite3.Error, OSError, ValueError):
        if not store.files.has_versions or not (numbers := _numbers(store)):
            return
        with _unpacked(store, numbers[-1]) as path, _attached(connection, path), _without_indices(connection):
            for table in _TABLES:
                connection.execute(f"INSERT INTO {table} SELECT * FROM snapshot.{table} ORDER BY rowid")  # noqa: S608
            (known,) = connection.execute("PRAGMA snapshot.user_version").fetchone()
            connection.execute(f"PRAGMA user_version = {int(known)}")


@contextmanager
def _attached(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Has a connection know the SQLite file `path` as `snapshot`, in one transaction."""
    connection.execute("ATTACH ? AS snapshot", (str(path),))
    try:
        with connection:
            yield
    finally:
        connection.execute("DETACH snapshot")


@contextmanager
def _without_indices(connection: sqlite3.Connection) -> Iterator[None]:
    """Makes SQLite's indices behind all rows: to sort a million once takes a few seconds, and to add them one by one half a minute."""
    connection.execute("BEGIN")
    found = connection.execute(
        "SELECT name, sql FROM main.sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in found:
        connection.execute(f"DROP INDEX {name}")
    yield
    for _, statement in found:
        connection.execute(statement)


def _numbers(store: Locations) -> list[int]:
    return sorted(int(match[1]) for name in store.files.list(store.snapshots) if (match := re.fullmatch(_NAME, name)))


def _place_of(store: Locations, number: int) -> PurePath:
    return store.snapshots / f"{run_id_of(number)}.sqlite.zst"


@contextmanager
def _packed(connection: sqlite3.Connection) -> Iterator[Path]:
    """The tables of an index as a packed file of this machine."""
    from tempfile import TemporaryDirectory  # for one run of many

    import pyarrow as pa

    with TemporaryDirectory(prefix="flowlog-") as folder:
        plain, packed = Path(folder, "index.sqlite"), Path(folder, "index.sqlite.zst")
        with _attached(connection, plain):
            for table in _TABLES:
                connection.execute(f"CREATE TABLE snapshot.{table} AS SELECT * FROM {table} ORDER BY rowid")  # noqa: S608
            (known,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA snapshot.user_version = {int(known)}")
        with plain.open("rb") as content, pa.CompressedOutputStream(str(packed), "zstd") as out:
            while block := content.read(1 << 20):
                out.write(block)
        yield packed


@contextmanager
def _unpacked(store: Locations, number: int) -> Iterator[Path]:
    from tempfile import TemporaryDirectory  # for a machine that is new to the store

    import pyarrow as pa

    with TemporaryDirectory(prefix="flowlog-") as folder:
        plain = Path(folder, "index.sqlite")
        with (
            store.files.opened(_place_of(store, number)) as file,
            pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd") as content,
            plain.open("wb") as out,
        ):
            while block := content.read(1 << 20):
                out.write(block)
        yield plain
