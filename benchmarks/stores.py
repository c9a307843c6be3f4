"""Makes the stores of W7 and W8: by the real job, and for an aged ledger by the ledger's own classes.

python -m benchmarks.stores hourly RAW STORE
python -m benchmarks.stores aged STORE SOURCES RUNS OUT
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pipeline import FlowStore
from pipeline.store.chain import LastRun, checksum_of
from pipeline.store.index import open_index
from pipeline.store.layout import Locations, run_id_of
from pipeline.store.ledger import RunRecord
from pipeline.store.lock import locked


def hourly(raw: str, store: str) -> None:
    """A store as a run an hour leaves it: each raw file, which holds an hour of its own, has its own run in the ledger.

    One run counts them all, since thousands would take an hour; then its record is taken apart.
    """
    opened = FlowStore(store, create=True)
    opened.ingest([raw])
    (whole,) = opened.runs()
    parts = []
    for source in whole.sources:
        (hour,) = source.hours
        path = opened.locations.partition(hour).relative_to(opened.locations.root).as_posix()
        parts.append(replace(whole, sources=[source], hours={hour: whole.hours[hour]}, files={path: whole.files[path]}))
    _write_behind(opened.locations, LastRun(), parts)
    if problems := opened.verify().problems:
        sys.exit(f"the store is not sound: {problems[0]}")


def aged(store: str, sources: str, runs: str, out: str) -> None:
    """The same store, with other sources in its ledger until it has so many, in so many runs.

    Only the ledger ages: these sources had no rows, so that the totals are those of all runs.
    """
    shutil.copytree(store, out)
    grown = FlowStore(out)
    (run,) = grown.runs()
    template = replace(run.sources[0], hours=[], read=0, valid=0, rejected=0, bytes_tx=0, bytes_rx=0)
    first, until, others = len(run.sources), int(sources), int(runs) - 1

    def old_runs() -> Iterator[RunRecord]:
        for number in range(others):
            names = range(first + (until - first) * number // others, first + (until - first) * (number + 1) // others)
            old = [replace(template, path=f"/old/flows-{name:09d}.csv", digest=f"{name:032x}") for name in names]
            yield replace(run, sources=old, hours={}, files={})

    _write_behind(grown.locations, LastRun(1, run.checksum), old_runs())


def _write_behind(store: Locations, last: LastRun, runs: Iterable[RunRecord]) -> None:
    """Writes records behind the last one, and makes the ledger's index anew, so that no timed run has to."""
    for run in runs:
        run_id = run_id_of(last.number + 1)
        attempt = f"{run_id}-{last.number:016x}"
        content = replace(run, run_id=run_id, attempt=attempt, previous=last.checksum).to_json()
        path = Path(store.record_of(run_id))
        path.unlink(missing_ok=True)  # the store may share it with the one from which it was copied
        path.write_bytes(content)
        last = LastRun(last.number + 1, checksum_of(content) or "")
    store.index.unlink(missing_ok=True)
    with locked(store, 0), open_index(store):
        pass


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    if kind == "hourly":
        hourly(*arguments)
    else:
        aged(*arguments)
