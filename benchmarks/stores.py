"""Makes the stores of W7 and W8: by the real job, and for an aged ledger by the ledger's own classes.

python -m benchmarks.stores hourly RAW STORE
python -m benchmarks.stores aged STORE SOURCES OUT
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace

from pipeline import FlowStore
from pipeline.ledger import RunRecord, open_index
from pipeline.store.locations import Locations
from pipeline.store.lock import locked


def hourly(raw: str, store: str) -> None:
    """A store as a run an hour leaves it: each raw file, which holds an hour of its own, has its own run in the ledger.

    One run counts them all, since thousands would take an hour; then its record is taken apart.
    """
    opened = FlowStore(store, create=True)
    opened.ingest([raw])
    (whole,) = opened.runs()
    for number, source in enumerate(whole.sources):
        (hour,) = source.hours
        path = opened.locations.partition(hour).relative_to(opened.locations.root).as_posix()
        part = replace(
            whole,
            run_id=f"{whole.run_id}-{number:06d}",
            sources=[source],
            hours={hour: whole.hours[hour]},
            files={path: whole.files[path]},
        )
        _write(opened.locations, part)
    opened.locations.record_of(whole.run_id).unlink()
    _index(opened.locations)
    if problems := opened.verify().problems:
        sys.exit(f"the store is not sound: {problems[0]}")


def aged(store: str, sources: str, out: str) -> None:
    """The same store, with other sources in its ledger, a thousand a run, until it has so many.

    Only the ledger ages: no partition has what these sources would have added, so `verify` would object.
    """
    shutil.copytree(store, out)
    grown = FlowStore(out)
    (run,) = grown.runs()
    template = replace(run.sources[0], hours=[])
    for first in range(len(run.sources), int(sources), 1000):
        names = range(first, min(first + 1000, int(sources)))
        old = [replace(template, path=f"/old/flows-{name:09d}.csv", digest=f"{name:032x}") for name in names]
        _write(grown.locations, replace(run, run_id=f"{run.run_id}-{first:09d}", sources=old, hours={}, files={}))
    _index(grown.locations)


def _write(store: Locations, run: RunRecord) -> None:
    store.record_of(run.run_id).write_bytes(run.to_json())


def _index(store: Locations) -> None:
    """Makes the ledger's index anew, so that no timed run has to."""
    store.index.unlink(missing_ok=True)
    with locked(store, 0), open_index(store):
        pass


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    if kind == "hourly":
        hourly(*arguments)
    else:
        aged(*arguments)
