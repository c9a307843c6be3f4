"""The store's locks: one run writes at a time, and one service; readers need none, but for a proof.

A lock is a thing of this machine (`flock`), so a lock file is made by the operating system and not by the store's `Files`.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import StoreError, StoreLocked, StoreServed, StoreUnwritable
from pipeline.store import files
from pipeline.store.layout import Locations

_POLL_SECONDS = 0.1


@contextmanager
def locked(store: Locations, wait_seconds: float = 0) -> Iterator[None]:
    """Holds the store's lock.

    Args:
        store: The store; its folder is made if it is missing.
        wait_seconds: How long to wait for another holder.

    Raises:
        StoreLocked: Another run has held it all that time.
        StoreUnwritable: The lock file cannot be made, or its file system has no locks.
    """
    with _opened(store.lock) as descriptor:
        with files.writing(store.lock):
            _wait_for(store, descriptor, fcntl.LOCK_EX, wait_seconds)
            _sign(descriptor)
        try:
            yield
        finally:
            with suppress(OSError):  # a name that stays misleads only where the next holder is a reader, which cannot sign
                os.ftruncate(descriptor, 0)


@contextmanager
def locked_for_reading(store: Locations, wait_seconds: float = 0) -> Iterator[bool]:
    """Keeps runs from changing the store while it is looked at, as far as this user may.

    Args:
        store: The store.
        wait_seconds: How long to wait for another holder.

    Yields:
        Whether no run can change the store meanwhile. Somebody who may only read the store shares the lock with others who do,
        and holds none where there is no lock file that this user may read. In a bucket the lock keeps out this machine alone.

    Raises:
        StoreLocked: A run has held it all that time.
    """
    if store.files.has_versions:
        yield False
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(store, wait_seconds))
            is_held = True
        except StoreUnwritable:
            is_held = stack.enter_context(_shared(store, wait_seconds))
        yield is_held


@contextmanager
def _shared(store: Locations, wait_seconds: float) -> Iterator[bool]:
    try:
        file = files.opened(store.lock)
    except (OSError, StoreError):
        yield False
        return
    with file:
        try:
            _wait_for(store, file.fileno(), fcntl.LOCK_SH, wait_seconds)
        except OSError:  # a file system without locks
            yield False
            return
        yield True


def _wait_for(store: Locations, descriptor: int, kind: int, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while not _try_lock(descriptor, kind):
        if time.monotonic() >= deadline:
            raise StoreLocked(str(store.root), _holder(descriptor))
        time.sleep(_POLL_SECONDS)


@contextmanager
def served(store: Locations) -> Iterator[None]:
    """Holds the service's lock: while there is a service, it alone writes the log.

    Raises:
        StoreServed: Another service has it.
        StoreUnwritable: As `locked`.
    """
    with _opened(store.service_lock) as descriptor:
        with files.writing(store.service_lock):
            if not _try_lock(descriptor):
                raise StoreServed(str(store.root), _holder(descriptor))
            _sign(descriptor)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A lock file, open.

    The kernel holds a lock for the open file, not for the file's content, so that a process that died holds nothing; the
    content is only for telling others who the holder is.
    """
    with files.writing(path):
        files.make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int) -> None:
    holder = {"pid": os.getpid(), "host": os.uname().nodename, "since": datetime.now(UTC).isoformat(timespec="seconds")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['pid']} on {holder['host']} (since {holder['since']})"
    except (ValueError, KeyError, TypeError):  # it has not signed yet, or may only read the store
        return "another process"
