"""A run's changes to a store: staged, committed at one point, published; and the recovery of a run that was cut off.

    stage    write each new file into staging/RUN
    commit   sync them, and link runs/RUN.json: before it nothing has happened, behind it everything has, whatever comes
    publish  rename each staged file over its place; remove staging/RUN

A crash before the commit leaves a staging folder without a record: the next run removes it. A crash behind it leaves
one with a record: the next run renames what is still there. Both can be repeated, and cut off, any number of times.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pipeline.errors import StoreUnpublished, StoreUnwritable
from pipeline.store import files
from pipeline.store.locations import Locations

#: The end of the name of an empty file that stands for a file to be removed.
_REMOVED = ".removed"


def new_run_id(store: Locations) -> str:
    """A name for a run that sorts by the time when it started, and behind all runs that are there. The lock must be held.

    The order of the runs has a meaning (a source that was forgotten may be counted again), and a clock may be set back.
    """
    by_time = f"{datetime.now(UTC):%Y%m%dT%H%M%S-%f}-{secrets.token_hex(2)}"
    last = max(store.run_ids(), default="")
    return by_time if by_time > last else f"{last}-{secrets.token_hex(2)}"


class Transaction:
    """One run's changes, as a context: what is not committed at its end is removed. The store's lock must be held.

    Args:
        store: The store.
        run_id: The run's name.

    Attributes:
        scratch: A folder for what the run must put aside while it works; it is never published.
        digests: The digest of each file that is staged, by the path that it will have in the store.
    """

    def __init__(self, store: Locations, run_id: str) -> None:
        self._store = store
        self.run_id = run_id
        self._folder = store.staging_of(run_id)
        self._staged: list[Path] = []  # written, and not synced yet: many are synced together, in a tenth of the time
        self.digests: dict[str, str] = {}
        self.scratch = self._folder / "scratch"

    def __enter__(self) -> Self:
        with files.writing(self._folder):
            files.make_folder(self.scratch)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._store.record_of(self.run_id).exists():
            with suppress(OSError):  # what is left here the next run clears away
                files.remove_tree(self._folder)

    def stage(self, final: Path, write: Callable[[Path], None]) -> None:
        """Has a new file written that the commit will put in place of `final`. Several threads may do so.

        Args:
            final: A path in the store.
            write: Writes the file whose path it is given.

        Raises:
            StoreUnwritable: It cannot be written.
        """
        staged = self._store.staged(self.run_id, final)
        with files.writing(staged):
            write(staged)
            self.digests[final.relative_to(self._store.root).as_posix()] = files.digest(staged)
        self._staged.append(staged)

    def remove(self, final: Path) -> None:
        """Has the commit remove a file."""
        staged = self._store.staged(self.run_id, final)
        mark = staged.with_name(staged.name + _REMOVED)
        with files.writing(mark):
            mark.touch()
        self._staged.append(mark)

    def commit(self, record: bytes) -> None:
        """Commits the run, and publishes what it staged.

        Args:
            record: The run's record in the ledger.

        Raises:
            StoreUnwritable: The record could not be put in place; nothing was committed.
            StoreUnpublished: The run is committed, but not all of its files are in their places.
        """
        draft = self._folder / "record.json"
        target = self._store.record_of(self.run_id)
        try:
            with files.writing(target):
                files.sync_all(self._staged)
                files.write(draft, record)
                files.sync(self._folder)
                files.make_folder(target.parent)
                files.link_exclusively(draft, target)
        except StoreUnwritable as error:
            if not target.exists():
                raise
            # The record is there, only not known to be durable. It must not be taken back: a reader may have seen it.
            raise StoreUnpublished(self.run_id, error.path, error.problem) from error
        publish(self._store, self.run_id)


def publish(store: Locations, run_id: str) -> None:
    """Moves a committed run's staged files into their places, those that are not there yet, and removes what it removes.

    Raises:
        StoreUnpublished: The operating system refused one of the moves.
    """
    folder = store.staging_of(run_id)
    try:
        files.sync(store.runs)  # whoever was cut off may not have come to it, and without it nothing may be published
        removed = sorted(folder.glob(f"*%*{_REMOVED}"))
        files.remove_all(store.final_of(mark.with_name(mark.name.removesuffix(_REMOVED))) for mark in removed)
        files.replace_all({staged: store.final_of(staged) for staged in sorted(folder.glob("*%*.parquet"))})
        files.remove_tree(folder)
    except OSError as error:
        raise StoreUnpublished(run_id, str(error.filename or folder), error.strerror or str(error)) from error


def recover(store: Locations) -> list[str]:
    """Finishes or clears away the runs that were cut off. The store's lock must be held.

    Returns:
        The runs that had committed and were rolled forward.
    """
    forward = []
    for run_id in store.staged_runs():
        if store.record_of(run_id).exists():
            publish(store, run_id)
            forward.append(run_id)
        else:
            with files.writing(store.staging):
                files.remove_tree(store.staging_of(run_id))
    return forward
