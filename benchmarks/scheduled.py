"""W7, the run that a scheduler starts over and over: does it cost the same as the store and its ledger grow?"""

from __future__ import annotations

import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path

from benchmarks.inputs import Inputs, graph
from benchmarks.measure import RunFailed
from benchmarks.race import OURS, Contestant, Race, no_slower, under

FIRST_HOUR = 498_750


def w7(inputs: Inputs) -> list[Race]:
    return [small_file(inputs), new_hour(inputs), nothing_new(inputs)]


def small_file(inputs: Inputs) -> Race:
    """What a job costs that has next to nothing to do, beside the imports alone of what every row passes."""
    raw = inputs.flows("W7-small", "csv", files=1, hours=1, **graph(100))
    ours = Contestant(OURS, lambda folder: _ingest(raw, folder / "out", folder))
    imports = Contestant("its imports", partial(_start, "imports"))

    def check(folders: dict[str, Path]) -> None:
        _expect(folders[OURS], "rows", "valid", 100)

    title = "a small file into a new store, beside a process that imports what that takes"
    return Race("W7", title, [ours, imports], check, [no_slower(OURS, imports.name, within=0.2)])


def new_hour(inputs: Inputs) -> Race:
    hours, rows = hours_of_year(inputs), inputs.scaled(500_000)
    raw = inputs.flows("W7-new", "csv", files=1, hours=1, first_hour=FIRST_HOUR + hours, **graph(rows))
    stores = {"1 hour": hourly_store(inputs, 1), f"{hours:,} hours": hourly_store(inputs, hours)}
    contestants = [
        Contestant(f"{OURS}, store of {size}", partial(_ingest_into_copy, raw), partial(_copy_store, store))
        for size, store in stores.items()
    ]
    small, large = (contestant.name for contestant in contestants)

    def check(folders: dict[str, Path]) -> None:
        for folder in folders.values():
            _expect(folder, "rows", "valid", rows)

    title = f"one new hour of {rows:,} rows, into a store of an hour and of a year"
    return Race("W7", title, contestants, check, [no_slower(large, small, within=0.15)])


def nothing_new(inputs: Inputs) -> Race:
    files, old, runs = inputs.scaled(20_000), inputs.scaled(1_000_000), inputs.scaled(525_600)  # a run a minute, for a year
    raw = inputs.flows("W7-known", "csv", rows=5 * files, files=files, hours=24, apps=200, pairs=0)
    known = inputs.store("W7-ledger", raw, "-m", "pipeline", "ingest", str(raw), "--store")
    aged = inputs.store("W7-aged", raw, "-m", "benchmarks.stores", "aged", str(known), str(old), str(runs))
    young = Contestant(f"{OURS}, ledger of {files:,}", partial(_ingest, raw, known))
    grown = Contestant(f"{OURS}, ledger of {old:,} in {runs:,} runs", partial(_ingest, raw, aged))

    start = Contestant("duckdb's start", partial(_start, "duckdb"))

    def check(folders: dict[str, Path]) -> None:
        for contestant in (young, grown):
            _expect(folders[contestant.name], "sources", "skipped", files)

    title = f"nothing new among {files:,} known sources"
    targets = [no_slower(young.name, start.name, within=0.5), under(grown.name, 1.5)]
    return Race("W7", title, [young, grown, start], check, targets)


def hours_of_year(inputs: Inputs) -> int:
    return max(48, min(8760, inputs.scaled(8760)))


def hourly_store(inputs: Inputs, hours: int) -> Path:
    """A store of so many hours, of 1,000 rows each, as a run an hour leaves it."""
    raw = inputs.flows(f"hours-{hours}", "csv", files=hours, hours=hours, **graph(1000 * hours))
    return inputs.store(f"store-{hours}", raw, "-m", "benchmarks.stores", "hourly", str(raw))


def _ingest(raw: Path, store: Path, _folder: Path) -> list[str]:
    return [sys.executable, "-m", "pipeline", "ingest", str(raw), "--store", str(store), "--workers", "2", "--json"]


def _start(what: str, _folder: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.peers.start", what]


def _ingest_into_copy(raw: Path, folder: Path) -> list[str]:
    return _ingest(raw, folder / "out", folder)


def _copy_store(store: Path, folder: Path) -> None:
    """A copy that shares the files which a run replaces and never changes; those that it changes are its own."""
    changed = {"ledger.sqlite", "lock"}
    shutil.copytree(store, folder / "out", copy_function=os.link, ignore=lambda _, names: changed & set(names))
    for name in changed:
        shutil.copy2(store / name, folder / "out" / name)


def _expect(folder: Path, group: str, name: str, number: int) -> None:
    """Whether the run's summary has this number: one that did nothing, or something else, must not be timed."""
    summary = json.loads((folder / "stdout").read_text())
    if summary[group][name] != number:
        raise RunFailed(f"{group} {name} must be {number}; the summary is {summary}")
