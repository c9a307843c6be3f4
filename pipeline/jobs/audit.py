"""A store looked at without trust in it: its records, one after the other, and all that lies where readers look.

A ledger of years has half a million records. They are read in order and let go, and what must be remembered of their sources
goes to a temporary database, so that the memory depends on the hours that there are and not on the runs.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from urllib.parse import quote

from pipeline.errors import StoreDamaged, StoreError, StoreUnreadable
from pipeline.scalars import INT64_MAX
from pipeline.schema import COUNT
from pipeline.store import files
from pipeline.store.chain import LastRun, is_committed
from pipeline.store.index import add_to_index, has_all_columns, last_indexed, make_tables
from pipeline.store.layout import Locations, run_id_of, run_id_of_attempt
from pipeline.store.ledger import NOT_FOLLOWING, RunRecord, add_hours, read_run, sums_by_hour
from pipeline.store.rejectfile import count_rejects

_NO_FILE = "is no file of the store; tools that read the folder may take it for data"
_NOT_AS_WRITTEN = "is not as it was written; its digest differs from the ledger's"


class Audit:
    """What the records of a store add up to, once `record_problems` has been read to its end.

    Args:
        store: The store; no run should change it meanwhile.

    Attributes:
        runs: How many records could be read; sources: how many sources they have.
        expected: What the runs added to each hour, as `flows`, `bytes_tx` and `bytes_rx`; without hours that were taken back.
    """

    def __init__(self, store: Locations) -> None:
        self._store = store
        self.runs = 0
        self.sources = 0
        self.expected: dict[int, Counter[str]] = {}
        self._added = sums_by_hour(())
        self._partitions: dict[str, str] = {}  # path -> digest, as the last run left it that put it in place
        self._rejects: set[str] = set()  # the paths of those that were looked at

    def record_problems(self) -> Iterator[str]:
        """What is wrong with the records, and with the rejects of their runs."""
        last: LastRun | None = LastRun()  # None behind a record that could not be read
        before = 0
        with closing(_Known(self._store)) as known:
            numbers = self._store.run_numbers()
            for number, run in zip(numbers, self._store.map_many(self._read, numbers), strict=True):
                if number > before + 1:
                    yield f"{self._records(before + 1, number - 1)} missing, and later runs are there"
                    last = None
                before = number
                if isinstance(run, StoreError):
                    yield run.told
                    last = None
                    continue
                self._take(run)
                problems = []
                if last is None:
                    known.has_gaps = True
                elif run.previous != last.checksum:
                    problems.append(NOT_FOLLOWING)
                last = LastRun(number, run.checksum)
                problems += [*_sum_problems(run), *known.add(run, last)]
                yield from (f"{self._store.record_of(run.run_id)}: {problem}" for problem in problems)
                yield from self._rejects_problems(run)
            yield from known.problems(before)
        self.expected = {hour: sums for hour, sums in self._added.items() if any(sums.values())}
        yield from self._strange_records()
        yield from self._cut_off()

    def _read(self, number: int) -> RunRecord | StoreError:
        try:
            return read_run(self._store, run_id_of(number))
        except (StoreDamaged, StoreUnreadable) as error:
            return error

    def _records(self, first: int, last: int) -> str:
        path = self._store.record_of(run_id_of(first))
        return f"{path}: is" if first == last else f"{path} and all up to {run_id_of(last)}: are"

    def _take(self, run: RunRecord) -> None:
        self.runs += 1
        self.sources += len(run.sources)
        self._partitions |= run.files
        add_hours(self._added, run)

    def _rejects_problems(self, run: RunRecord) -> Iterator[str]:
        rejected = run.total("rejected")
        if not rejected and len(run.files) <= len(run.hours):  # as nearly always: it has put hours in place, and no more
            return
        path = self._store.rejects_of(run.run_id)
        digest = self._partitions.pop(self._store.path_in_store(path), None)
        if digest is None and not rejected:
            return
        self._rejects.add(str(path))
        try:
            rows = count_rejects(self._store, run.run_id)
            if rows != rejected:
                yield f"{path}: has {rows:,} rows, but the run rejected {rejected:,}"
            elif self._digest(path) != digest:
                yield f"{path}: {_NOT_AS_WRITTEN}"
        except StoreError as error:
            yield error.told
        except OSError as error:
            yield files.refusal(path, error).told

    def _digest(self, path: files.Name) -> str:
        with self._store.files.opened(path) as file:
            return files.digest_of(file)

    def _strange_records(self) -> Iterator[str]:
        records = {self._store.record_of(run_id).name for run_id in self._store.run_ids()}
        for name in sorted(set(self._store.files.list(self._store.runs)) - records):
            yield f"{self._store.runs / name}: is no record of the ledger"

    def _cut_off(self) -> Iterator[str]:
        for attempt in self._store.staged_runs():
            try:
                if is_committed(self._store, attempt):
                    run_id = run_id_of_attempt(attempt)
                    yield f"the run {run_id} is committed but was cut off; any ingest into this store finishes it"
            except StoreError:  # of its record it was said
                pass

    def file_problems(self, blamed: Collection[str], digests: Mapping[str, str]) -> Iterator[str]:
        """What is wrong with what lies below `flows/` and `rejects/`.

        Whatever lies in `flows/` is read as data by those who point a tool at the folder. A file that the checks of its
        content have found wrong need not be named again; this finds the rest, down to the last bit.

        Args:
            blamed: The paths of the partitions of which something was said.
            digests: The digests of those that were read, by their paths.
        """
        top = str(self._store.root / "_")[:-1]
        expected = {top + path: digest for path, digest in self._partitions.items()}
        known: list[str] = []
        for path, kind in self._entries():
            if path in blamed:
                continue
            if kind is not None:
                yield f"{path}: {kind}"
            elif path in expected:
                known.append(path)
            elif path not in self._rejects:
                yield f"{path}: {_NO_FILE}"
        of_each = self._store.map_many(lambda path: digests.get(path) or self._digest(path), known)
        for path, digest in zip(known, of_each, strict=True):
            if digest != expected[path]:
                yield f"{path}: {_NOT_AS_WRITTEN}"

    def _entries(self) -> Iterator[tuple[str, str | None]]:
        """All that lies below `flows/` and `rejects/`, links not followed: its path, and what is wrong if it is no file."""
        store = self._store
        if not isinstance(store.root, Path):  # a bucket has objects and nothing else
            for top in (store.rejects, store.flows):
                yield from ((f"{top}/{name}", None) for name in sorted(store.files.sizes(top)))
            return
        own = {os.path.dirname(store.partition_name(hour)) for hour in store.hours_within(1, INT64_MAX + 1)}  # noqa: PTH120 - as below
        own |= {str(store.rejects_of(run_id).parent) for run_id in store.runs_with_rejects()}
        tops = (str(store.flows), str(store.rejects))
        waiting = [*reversed(tops)]
        while waiting:  # in texts: a `Path` takes as long to make as a small file to open
            folder = waiting.pop()
            try:
                names = sorted(store.files.list(folder))
            except (StoreDamaged, StoreUnreadable) as error:
                yield folder, f"cannot be read: {error.problem}"
                continue
            if not names and folder not in tops and folder not in own:
                yield folder, "is no folder of the store"
            for name in names:
                path = f"{folder}/{name}"
                kind = files.kind_of(os.lstat(path).st_mode)
                if kind == "a folder":
                    waiting.append(path)
                else:
                    yield (
                        path,
                        kind and f"is {kind}, and no file of the store; tools that read the folder may follow it",
                    )


def _sum_problems(run: RunRecord) -> Iterator[str]:
    for source in run.sources:
        if source.read != source.valid + source.rejected + sum(source.ignored.values()):
            yield f"{source.path}: {source.read} rows read are not valid + rejected + ignored"
        for reason, size in (source.ignored_bytes or {}).items():
            if size < 0 or not source.ignored.get(reason):
                yield f"{source.path}: {size:,} bytes ignored as {reason!r} are not those of its records"
    if not run.forgotten and not run.dropped:
        for name, column in ((COUNT, "valid"), ("bytes_tx", "bytes_tx"), ("bytes_rx", "bytes_rx")):
            total, added_to_all = run.total(column), sum(sums[name] for sums in run.hours.values())
            if added_to_all != total:
                yield f"its sources have {name} {total:,}, but {added_to_all:,} were added to its hours"


class _Known:
    """The index as the records make it, in a temporary database: it tells what the store's own index has lost or invented.

    Attributes:
        has_gaps: Whether a record is missing, so that the two cannot be the same.
    """

    def __init__(self, store: Locations) -> None:
        self._store = store
        self._database = sqlite3.connect("")  # on disk, once it is large
        self._database.execute("PRAGMA journal_mode = OFF")
        make_tables(self._database)
        self._is_indexed = False
        self.has_gaps = False
        self._index, self._last, self._damage = None, LastRun(), ""
        try:
            self._index = _open_for_reading(store)
            if self._index is not None and has_all_columns(self._index):
                self._last = last_indexed(self._index)
        except sqlite3.OperationalError:
            pass  # a run was cut off that was writing it, or it has other tables: the next one makes it anew
        except sqlite3.DatabaseError as error:
            self._damage = str(error)
        except StoreDamaged as error:
            self._damage = error.problem

    def close(self) -> None:
        self._database.close()
        if self._index is not None:
            self._index.close()

    def add(self, run: RunRecord, last: LastRun) -> Iterator[str]:
        """Takes in the next run, which is the last by now; gives what is wrong with it."""
        if run.forgotten and not self._is_indexed:  # as in few stores
            self._database.execute("CREATE INDEX sources_by_digest ON sources (digest)")
            self._is_indexed = True
        for taken in run.forgotten:
            key = (taken["path"], taken["digest"])
            if not self._database.execute("SELECT 1 FROM sources WHERE path = ? AND digest = ?", key).fetchone():
                yield f"takes back {taken['path']}, which no run before it has counted"
        add_to_index(self._database, run)
        if self._index is not None and last.number == self._last.number and not self.has_gaps:
            self._damage = _difference(self._index, self._last, self._database, last)

    def problems(self, newest: int) -> Iterator[str]:
        """What is wrong with the store's index, once all runs up to the newest were taken in."""
        if self._last.number > newest:
            yield f"{self._store.record_of(run_id_of(self._last.number))}: is missing; the ledger's index knows this run"
        elif self._damage:
            yield f"{self._store.index}: {self._damage}; it is an index only: remove it, and the next ingest makes it anew"


def _difference(index: sqlite3.Connection, index_last: LastRun, known: sqlite3.Connection, last: LastRun) -> str:
    """Where two indexes of the same runs differ, which have the same sources in the same order; "" where they do not."""
    if index_last != last:
        return f"it knows another run {run_id_of(last.number)}"
    try:
        if (said := index.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            return str(said)
        sources = [database.execute("SELECT * FROM sources ORDER BY rowid") for database in (index, known)]
        if any(one != other for one, other in zip_longest(*sources)):
            return "its sources are not those of the records"
    except sqlite3.OperationalError:
        return ""  # as above
    except sqlite3.DatabaseError as error:
        return str(error)
    return ""


def _open_for_reading(store: Locations) -> sqlite3.Connection | None:
    """The store's index; None where there is none that this user can read."""
    try:
        files.opened(store.index).close()
    except (FileNotFoundError, StoreUnreadable):
        return None
    return sqlite3.connect(f"file:{quote(os.fsencode(store.index.absolute()))}?mode=ro", uri=True)
