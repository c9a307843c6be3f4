"""One run writes at a time, and the others know who."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline.errors import StoreLocked, StoreUnwritable
from pipeline.store.layout import Locations
from pipeline.store.lock import locked, locked_for_reading, served

HOLD = """
import sys, time
from pathlib import Path
from pipeline.store.layout import Locations
from pipeline.store.lock import locked
with locked(Locations(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def store(tmp_path):
    return Locations(tmp_path / "store")


@pytest.fixture
def holder(store):
    """Another process that holds the store's lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(store.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_lock_makes_the_store_and_can_be_taken_again(store):
    for _ in range(2):
        with locked(store):
            assert store.root.is_dir()


def test_a_second_holder_is_refused_and_told_who_the_first_is(store, holder):
    with pytest.raises(StoreLocked, match=rf"in use by process {holder.pid} on .+ \(since 20.+--wait"), locked(store):
        pass


def test_waiting_ends_when_the_time_is_up(store, holder):
    start = time.monotonic()
    with pytest.raises(StoreLocked), locked(store, wait_seconds=0.3):
        pass
    assert time.monotonic() - start >= 0.3


def test_a_lock_left_by_a_dead_process_does_not_block(store, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(store):
        pass


def test_waiting_takes_the_lock_once_it_is_free(store, holder):
    holder.kill()
    with locked(store, wait_seconds=30):
        pass


def test_a_store_that_cannot_be_made_is_an_error_with_its_path(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreUnwritable, match="file"), locked(Locations(tmp_path / "file" / "store")):
        pass


@pytest.fixture
def no_locks(monkeypatch):
    """As on a network file system whose server keeps none."""

    def refuse(descriptor, kind):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("hold", [locked, served])
def test_a_file_system_without_locks_is_an_error_with_the_path(store, no_locks, hold):
    with pytest.raises(StoreUnwritable, match=r"lock: No locks available"), hold(store):
        pass


def test_a_proof_does_without_a_lock_where_there_is_none(store, no_locks):
    with locked_for_reading(store) as is_held:
        assert not is_held
