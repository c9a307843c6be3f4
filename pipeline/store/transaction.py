"""A run's changes to a store: staged, committed at one point, published; and the recovery of a run that was cut off.

    stage    create each new file in staging/ATTEMPT
    commit   sync these files, and create runs/NUMBER.json: the run has happened if this file is there, whatever comes next
    publish  replace each file by the staged one; remove staging/ATTEMPT

A run takes the number behind the last run's at its start. The name of an attempt is this number and a random suffix, and the
record has the name of the attempt that wrote it. So where two attempts want one number, as when one of them was killed, the
record tells which of them has it. A crash before the commit leaves a staging folder whose attempt no record has: the next run
removes the folder. A crash behind the commit leaves a staging folder whose attempt a record has: the next run moves the files
that are still there. Both can be repeated, and cut off, any number of times.

A lock keeps two runs apart on a disk. In a bucket nothing does, and each of them may stop for a while anywhere:

- A run first learns which runs are committed, then publishes what is left of these, and only then reads the hours that it
  changes. So what it has read has all that the runs before it added; if another run commits meanwhile, the number is taken.
- Each staged file is published over the very version from which it was made. So whoever publishes late, or once more, changes
  nothing. This needs contents that never come back, as they would where a source is counted, taken back and counted again: there
  each file has its run within.
- An attempt at a number that no run has yet may be alive, and is left alone.
- Where it is not known whether the record was created, what is staged stays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Self

from pipeline.digests import digest_of_bytes
from pipeline.errors import (
    StoreOvertaken,
    StoreUncertain,
    StoreUnpublished,
    StoreUnreadable,
    StoreUnwritable,
)
from pipeline.store import files
from pipeline.store.chain import LastRun, has_won, is_committed
from pipeline.store.conditions import check_conditions
from pipeline.store.files import FileContent
from pipeline.store.layout import Locations, run_id_of, run_id_of_attempt

#: How often the creation of a record is asked for where the answers are lost.
_TRIES = 5
#: The end of the name of an empty file that stands for a file to be removed.
_REMOVED = ".removed"


@contextmanager
def scratch_folder(store: Locations) -> Iterator[Path]:
    """The folder of this machine for what a run must put aside while it works; at the end it is gone. `Transaction` makes it.
    The store's lock must be held: what a run that was cut off has left here, nobody needs.
    """
    shutil.rmtree(store.scratch, ignore_errors=True)
    try:
        yield store.scratch
    finally:
        shutil.rmtree(store.scratch, ignore_errors=True)


class Transaction:
    """One run's changes, as a context: at its end, what was not committed is removed. The store's lock must be held.

    Args:
        store: The store.
        last: The last committed run.

    Attributes:
        run_id: The run's number, as people see it.
        previous: The checksum of the last run's record.
        attempt: The name of this attempt to commit the run; no other attempt has it.
        digests: The digest of each file that is staged, by the path that it will have in the store.
    """

    def __init__(self, store: Locations, last: LastRun) -> None:
        self._store = store
        self.run_id = run_id_of(last.number + 1)
        self.previous = last.checksum
        self.attempt = f"{self.run_id}-{os.urandom(8).hex()}"
        self._folder = store.staging_of(self.attempt)
        self._may_be_committed = False
        self._staged: list[PurePath] = []  # written, and not synced yet: many are synced together, in a tenth of the time
        self.digests: dict[str, str] = {}

    def __enter__(self) -> Self:
        for folder in (self._store.scratch, self._folder):
            if isinstance(folder, Path):
                with files.writing(folder):
                    files.make_folder(folder)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._may_be_committed:
            with suppress(StoreUnwritable):  # what is left here the next run clears away
                self._store.files.delete([self._folder])

    def stage(self, final: PurePath, content: FileContent, over: str = "") -> None:
        """Writes a new file that the commit will put in place of `final`. Several threads may do so.

        Args:
            final: A path in the store.
            content: What is in the file; or a file that the run has put aside, with the content.
            over: The version of what is there, from which the file was made; "" for none.

        Raises:
            StoreUnwritable: The file cannot be written.
        """
        staged = self._store.staged(self.attempt, final, over)
        try:
            self._store.files.create(staged, content)
        except FileExistsError:
            if not self._store.files.has_versions:
                raise
            # No other attempt has the name: the answer to this creation was lost, and asked for again.
        with files.writing(staged):
            digest = files.digest(content) if isinstance(content, Path) else digest_of_bytes(content)
        self.digests[self._store.path_in_store(final)] = digest
        self._staged.append(staged)

    def remove(self, final: PurePath) -> None:
        """Has the commit remove a file, on a disk."""
        staged = self._store.staged(self.attempt, final)
        mark = staged.with_name(staged.name + _REMOVED)
        self._store.files.create(mark, b"")
        self._staged.append(mark)

    def commit(self, record: bytes) -> None:
        """Commits the run, and publishes what it staged.

        Args:
            record: The run's record in the ledger; it has `run_id`, `previous` and `attempt`.

        Raises:
            StoreUnwritable: The record could not be put in place; nothing was committed.
            StoreOvertaken: Another run has this number; nothing was committed.
            UsageError: The medium keeps no conditions; nothing was committed.
            StoreUncertain: It is not known whether the run is committed.
            StoreUnpublished: The run is committed, but not all of its files are in their places.
        """
        if self._store.files.has_versions:
            if self.run_id == run_id_of(1):
                check_conditions(self._store, self._folder)
            self._create_over_network(record)
            _publish(self._store, self.attempt, [staged.name for staged in self._staged])
        else:
            self._create(record)
            publish(self._store, self.attempt)

    def _create(self, record: bytes) -> None:
        """Creates the record on a disk: by a link, as only a link has the record there whole or not at all."""
        target = self._store.record_of(self.run_id)
        draft = Path(self._folder / "record.json")
        try:
            with files.writing(draft):
                files.write(draft, record)
            self._store.files.sync(self._staged)
            self._store.files.sync([self._folder])
            self._may_be_committed = True
            self._store.files.create(target, draft)
        except FileExistsError:
            # A file system on a network may have linked the record at its first try, and fail so at its own second try.
            if not self._is_committed():
                raise StoreOvertaken(str(target)) from None
        except StoreUnwritable as error:
            if not (self._may_be_committed and self._is_committed()):
                raise
            # The record is there, only not known to be durable. The record must not be taken back: a reader may have seen it.
            raise StoreUnpublished(self.run_id, error.path, error.problem) from error

    def _is_committed(self) -> bool:
        """Looks which attempt has the number. Where the record cannot be read, the staged files stay for the next run, which
        looks again.
        """
        self._may_be_committed = is_committed(self._store, self.attempt)
        return self._may_be_committed

    def _create_over_network(self, record: bytes) -> None:
        """Creates the record in a bucket, where any answer may be lost: the record itself then tells whose it is."""
        target = self._store.record_of(self.run_id)
        self._may_be_committed = True  # from here on; a request that seems lost may yet arrive
        problem = ""
        for _ in range(_TRIES):
            try:
                self._store.files.create(target, record)
            except FileExistsError:
                problem = "is said to exist, and is not there"
            except StoreUnwritable as error:
                problem = error.problem
            else:
                return
            try:
                won = has_won(self._store, self.attempt)
            except StoreUnreadable as error:
                problem = error.problem
                continue
            if won:
                return
            if won is False:
                self._may_be_committed = False
                raise StoreOvertaken(str(target))
        raise StoreUncertain(self.run_id, str(target), problem)


def publish(store: Locations, attempt: str) -> None:
    """Moves a committed run's staged files into their places, those that are not there yet, and removes what it removes.

    Raises:
        StoreUnpublished: The medium refused one of the moves.
    """
    folder = store.staging_of(attempt)
    try:
        _publish(store, attempt, store.files.list(folder))
        if store.files.has_versions:  # a request that arrived late may have left what is no file of the run
            store.files.delete([folder])
    except (StoreUnreadable, StoreUnwritable) as error:
        raise StoreUnpublished(run_id_of_attempt(attempt), error.path, error.problem) from error


def _publish(store: Locations, attempt: str, names: Sequence[str]) -> None:
    """The same of files whose names in the staging folder are known."""
    try:
        # A run that was cut off may not have come to this sync, and before it nothing may be published.
        store.files.sync([store.runs])
        staged = [name for name in sorted(names) if "%" in name]
        removed = [name.removesuffix(_REMOVED) for name in staged if name.endswith(_REMOVED)]
        moves = [store.move_of(attempt, name) for name in staged if not name.endswith(_REMOVED)]
        store.files.delete(store.move_of(attempt, name).target for name in removed)
        store.files.replace(move for move in moves if move.target.suffix == ".parquet")
        if not store.files.has_versions:  # else nothing is left, and there are no folders
            store.files.delete([store.staging_of(attempt)])
    except StoreUnwritable as error:
        raise StoreUnpublished(run_id_of_attempt(attempt), error.path, error.problem) from error


def recover(store: Locations, last: int = 0) -> list[str]:
    """Finishes or clears away the runs that were cut off. The store's lock must be held.

    Args:
        store: The store.
        last: The number of the last run, as the index has it. Where files have versions, attempts at later numbers are left
            alone: they may be alive. Elsewhere the lock tells that none is.

    Returns:
        The runs that had committed and were rolled forward.

    Raises:
        StoreDamaged: The record that tells whether a run had committed is damaged; StoreUnreadable and StoreVersion alike.
        StoreUnpublished: The medium refused to move a file; StoreUnwritable: to remove one.
    """
    forward = []
    for attempt in store.staged_runs():
        if store.files.has_versions and int(run_id_of_attempt(attempt)) > last:
            continue
        if is_committed(store, attempt):
            publish(store, attempt)
            forward.append(run_id_of_attempt(attempt))
        else:
            store.files.delete([store.staging_of(attempt)])
    return forward
