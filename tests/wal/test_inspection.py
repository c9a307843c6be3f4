"""What `verify` sees of the log: how much waits, and what is damaged."""

import os
from pathlib import Path

import pytest

from pipeline.errors import StoreDamaged, StoreUnreadable
from pipeline.wal import flushes
from pipeline.wal.inspection import Inspection, inspect
from tests.records import write_record
from tests.wal.conftest import request, write


def test_counts_what_waits_and_names_what_is_damaged(store):
    name = write(store, request(1), b"\0", request(3))
    found = inspect(store)
    assert found.waiting == 4
    byte = len(request(1))
    told = f"the bytes {byte} to {byte} are damaged, and what was acknowledged there does not count"
    assert found.problems == [f"{store.segment(name)}: {told}"]
    assert store.segment(name).read_bytes() == request(1) + b"\0" + request(3)


def test_what_is_in_flows_already_does_not_wait(store):
    name = write(store, request(1))
    attempt = "00000001-0123456789abcdef"
    flushes.note(store, name, attempt)
    assert inspect(store).waiting == 1
    store.runs.mkdir()
    write_record(store.record_of("00000001"), {"attempt": attempt, "run_id": "00000001"})
    assert inspect(store).waiting == 0


def test_a_write_that_is_under_way_is_no_problem(store):
    write(store, request(1), request(2)[:50])
    assert inspect(store) == Inspection(1, [])


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
@pytest.mark.parametrize("name", ["moves.jsonl", "20261124-0123abcd.accept.jsonl"])
def test_what_is_no_file_is_damage_and_keeps_nobody_waiting(store, name, make):
    make(store.wal / name)
    with pytest.raises(StoreDamaged, match=rf"{name}: is a (folder|pipe), and must be a file"):
        inspect(store)


def test_what_may_not_be_read_is_said_to_be_unreadable_rather_than_unwritable(store, monkeypatch):
    write(store, request(1))
    open_file = os.open

    def refused(path, *arguments):
        if str(path).endswith(".jsonl"):
            raise PermissionError(13, "Permission denied", str(path))
        return open_file(path, *arguments)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(StoreUnreadable, match=r"cannot read the store: .*Permission denied"):
        inspect(store)
