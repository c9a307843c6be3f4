"""The store's locks: one run writes at a time, and one service; readers need none."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import StoreLocked, StoreServed
from pipeline.store import files
from pipeline.store.locations import Locations

_POLL_SECONDS = 0.1


@contextmanager
def locked(store: Locations, wait_seconds: float = 0) -> Iterator[None]:
    """Holds the store's lock.

    Args:
        store: The store; its folder is made if it is missing.
        wait_seconds: How long to wait for another holder.

    Raises:
        StoreLocked: Another run has held it all that time.
        StoreUnwritable: The lock file cannot be made.
    """
    with _opened(store.lock) as descriptor:
        deadline = time.monotonic() + wait_seconds
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise StoreLocked(str(store.root), _holder(descriptor))
            time.sleep(_POLL_SECONDS)
        with files.writing(store.lock):
            _sign(descriptor)
        yield


@contextmanager
def served(store: Locations) -> Iterator[None]:
    """Holds the service's lock: while there is a service, it alone writes the log.

    Raises:
        StoreServed: Another service has it.
        StoreUnwritable: The lock file cannot be made.
    """
    with _opened(store.service_lock) as descriptor:
        if not _try_lock(descriptor):
            raise StoreServed(str(store.root), _holder(descriptor))
        with files.writing(store.service_lock):
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


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int) -> None:
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['pid']} on {holder['host']} (since {holder['since']})"
    except (ValueError, KeyError, TypeError):  # it has the lock, but has not signed yet
        return "another process"
