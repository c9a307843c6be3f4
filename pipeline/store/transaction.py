"""A run's changes to a store: staged, committed at one point, published; and the recovery of a run that was cut off.

    stage    create each new file in staging/ATTEMPT
    commit   sync these files, and create runs/NUMBER.json: the run has happened if this file is there, whatever comes next
    publish  replace each file by the staged one; remove staging/ATTEMPT

A run takes the number behind the last run's at its start. The name of an attempt is this number and a random suffix, and the
record has the name of the attempt that wrote it. So where two attempts want one number, as when one of them was killed, the
record tells which of them has it. A crash before the commit leaves a staging folder whose attempt no record has: the next run
removes the folder. A crash behind the commit leaves a staging folder whose attempt a record has: the next run moves the files
that are still there. Both can be repeated, and cut off, any number of times.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Self

from pipeline.errors import StoreOvertaken, StoreUnpublished, StoreUnreadable, StoreUnwritable
from pipeline.scalars import digest_of_bytes
from pipeline.store import files
from pipeline.store.chain import LastRun, is_committed
from pipeline.store.files import Content, Move
from pipeline.store.layout import Locations, run_id_of, run_id_of_attempt

#: The end of the name of an empty file that stands for a file to be removed.
_REMOVED = ".removed"


class Transaction:
    """One run's changes, as a context: at its end, what was not committed is removed. The store's lock must be held.

    Args:
        store: The store.
        last: The last committed run.

    Attributes:
        run_id: The run's number, as people see it.
        previous: The checksum of the last run's record.
        attempt: The name of this attempt to commit the run; no other attempt has it.
        scratch: A folder of this machine for what the run must put aside while it works; it is never published.
        digests: The digest of each file that is staged, by the path that it will have in the store.
    """

    def __init__(self, store: Locations, last: LastRun) -> None:
        self._store = store
        self.run_id = run_id_of(last.number + 1)
        self.previous = last.checksum
        self.attempt = f"{self.run_id}-{secrets.token_hex(8)}"
        self._folder = store.staging_of(self.attempt)
        self._may_be_committed = False
        self._staged: list[Path] = []  # written, and not synced yet: many are synced together, in a tenth of the time
        self.digests: dict[str, str] = {}
        self.scratch = self._folder / "scratch"

    def __enter__(self) -> Self:
        with files.writing(self._folder):
            files.make_folder(self.scratch)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._may_be_committed:
            with suppress(StoreUnwritable):  # what is left here the next run clears away
                self._store.files.delete([self._folder])

    def stage(self, final: Path, content: Content) -> None:
        """Writes a new file that the commit will put in place of `final`. Several threads may do so.

        Args:
            final: A path in the store.
            content: What is in the file; or a file in `scratch` that has the content.

        Raises:
            StoreUnwritable: The file cannot be written.
        """
        staged = self._store.staged(self.attempt, final)
        self._store.files.create(staged, content)
        with files.writing(staged):
            digest = files.digest(content) if isinstance(content, Path) else digest_of_bytes(content)
        self.digests[final.relative_to(self._store.root).as_posix()] = digest
        self._staged.append(staged)

    def remove(self, final: Path) -> None:
        """Has the commit remove a file."""
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
            StoreUnpublished: The run is committed, but not all of its files are in their places.
        """
        draft = self.scratch / "record.json"
        target = self._store.record_of(self.run_id)
        try:
            with files.writing(draft):
                files.write(draft, record)
            self._store.files.sync(self._staged)
            self._store.files.sync([self._folder])
            self._create(target, draft)
        except StoreUnwritable as error:
            if not (self._may_be_committed and self._is_committed()):
                raise
            # The record is there, only not known to be durable. The record must not be taken back: a reader may have seen it.
            raise StoreUnpublished(self.run_id, error.path, error.problem) from error
        publish(self._store, self.attempt)

    def _create(self, target: Path, draft: Path) -> None:
        self._may_be_committed = True
        try:
            self._store.files.create(target, draft)
        except FileExistsError:
            # A file system on a network may have linked the record at its first try, and fail so at its own second try.
            if not self._is_committed():
                raise StoreOvertaken(str(target)) from None

    def _is_committed(self) -> bool:
        """Looks which attempt has the number. Where the record cannot be read, the staged files stay for the next run, which
        looks again.
        """
        self._may_be_committed = is_committed(self._store, self.attempt)
        return self._may_be_committed


def publish(store: Locations, attempt: str) -> None:
    """Moves a committed run's staged files into their places, those that are not there yet, and removes what it removes.

    Raises:
        StoreUnpublished: The operating system refused one of the moves.
    """
    folder = store.staging_of(attempt)
    try:
        # A run that was cut off may not have come to this sync, and before it nothing may be published.
        store.files.sync([store.runs])
        staged = sorted(store.files.list(folder))
        removed = [name.removesuffix(_REMOVED) for name in staged if "%" in name and name.endswith(_REMOVED)]
        moved = [name for name in staged if "%" in name and name.endswith(".parquet")]
        store.files.delete(map(store.final_of, removed))
        store.files.replace(Move(folder / name, store.final_of(name)) for name in moved)
        store.files.delete([folder])
    except (StoreUnreadable, StoreUnwritable) as error:
        raise StoreUnpublished(run_id_of_attempt(attempt), error.path, error.problem) from error


def recover(store: Locations) -> list[str]:
    """Finishes or clears away the runs that were cut off. The store's lock must be held.

    Returns:
        The runs that had committed and were rolled forward.

    Raises:
        StoreDamaged: The record that tells whether a run had committed is damaged; StoreUnreadable and StoreVersion alike.
        StoreUnpublished: The operating system refused to move a file; StoreUnwritable: to remove one.
    """
    forward = []
    for attempt in store.staged_runs():
        if is_committed(store, attempt):
            publish(store, attempt)
            forward.append(run_id_of_attempt(attempt))
        else:
            store.files.delete([store.staging_of(attempt)])
    return forward
