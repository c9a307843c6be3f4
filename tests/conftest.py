"""What the tests share: a small store made from a few lines of text, and the command line, run in this process."""

# pandas comes first: `cli._open` keeps Arrow from importing pandas in a process where nobody has imported it yet. The
# tests are one process, and some of them need pandas behind a query.
import pandas as pd  # noqa: F401  # isort: split

import itertools
import sys
from dataclasses import dataclass

import pytest

from pipeline.cli import main
from pipeline.flowstore import FlowStore
from pipeline.ingest import IngestOptions

HEADER = "src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour"


@pytest.fixture
def ingested(tmp_path):
    """Ingests records, each call one raw file: `ingested("foo,bar,vpc-0,100,300,1", …)`, or lines of JSON."""
    numbers = itertools.count(1)

    def ingest(*records, **options):
        lines = records if records[0].startswith("{") else (HEADER, *records)
        raw = tmp_path / "raw" / f"{next(numbers)}.flows"
        raw.parent.mkdir(exist_ok=True)
        raw.write_text("\n".join(lines) + "\n", encoding="utf-8")
        store = FlowStore(tmp_path / "store", create=True)
        store.ingest([str(raw)], IngestOptions(**options))
        return store

    return ingest


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
def flowlog(monkeypatch, capsysbinary):
    """Runs the command line: `flowlog("query", "--hour", 1)`. An exception that it lets through is the test's."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["flowlog", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        captured = capsysbinary.readouterr()
        return Outcome(exited.value.code or 0, captured.out, captured.err.decode())

    return run
