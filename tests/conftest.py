"""What the tests share: a small store made from a few lines of text, and the command line, run in this process."""

# pandas comes first: `process.keep_out` keeps Arrow from importing pandas in a process where nobody has imported it yet. The
# tests are one process, and some of them need pandas behind a query.
import pandas as pd  # noqa: F401

# isort: split
import os
import pwd
import sqlite3
import sys
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import settings

from pipeline.cli import main
from pipeline.flowstore import FlowStore
from pipeline.jobs.ingest import IngestOptions

# How long an example takes is the machine's business; the suite is to take less than eight minutes, and `make soak` tries more.
settings.register_profile("flowlog", deadline=None, max_examples=20)
settings.register_profile("soak", deadline=None, max_examples=2000)
settings.load_profile("soak" if "FLOWLOG_SOAK" in os.environ else "flowlog")

HEADER = "src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour"


@pytest.fixture
def unsynced(monkeypatch):
    """Nothing is synced: these tests lose no power, and syncing takes longer than all that they do."""

    def connect(*args, **kwargs):
        connection = synced(*args, **kwargs)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    synced = sqlite3.connect
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(sqlite3, "connect", connect)


@pytest.fixture
def homeless(monkeypatch):
    """A user of a container whose system knows none, without a variable that names a folder."""

    def unknown(uid):
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def ingest_records(folder, *records, **options):
    """Ingests canonical records, or lines of JSON, as one more raw file of a folder, into its store."""
    lines = records if records[0].startswith("{") else (HEADER, *records)
    (folder / "raw").mkdir(exist_ok=True)
    raw = folder / "raw" / f"{len(list((folder / 'raw').iterdir())) + 1}.flows"
    raw.write_text("\n".join(lines) + "\n", encoding="utf-8")
    store = FlowStore(folder / "store", create=True)
    store.ingest([str(raw)], IngestOptions(**options))
    return store


@pytest.fixture
def ingested(tmp_path, unsynced):
    """Ingests records, each call one raw file: `ingested("foo,bar,vpc-0,100,300,1", …)`."""
    return partial(ingest_records, tmp_path)


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code, and what it wrote."""

    code: int
    stdout: bytes
    err: str

    @property
    def out(self):
        return self.stdout.decode()


@pytest.fixture
def flowlog(monkeypatch, capsysbinary, unsynced):
    """Runs the command line: `flowlog("query", "--hour", 1)`. An exception that it lets through is the test's."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["flowlog", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        captured = capsysbinary.readouterr()
        return Outcome(exited.value.code or 0, captured.out, captured.err.decode())

    return run
