"""What processes take in place of threads, and how much of it holds Python's lock: whole runs, in turns.

    python -m benchmarks.width RAW --workers 2 --same-content count    # and whatever else `flowlog ingest` takes

More processors do all of the work in less time but for what holds the lock of the run's own process, where one thread at a time has it.
The difference between the files and four copies of them is what further rows take.
"""

from __future__ import annotations

import ctypes
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.lock import NANOSECONDS, made_sampler
from benchmarks.measure import run

_TURNS = 5
_COMMAND = "from benchmarks.width import run_sampled; run_sampled({worth})"
#: From so many bytes, or small files, on there are processes.
_WORTH = {"threads": 1 << 62, "processes": 0}


def run_sampled(worth: int) -> None:
    """Runs the job in this process, and prints for how many seconds of processor time a thread had the lock."""
    from pipeline import process

    process.prepare()
    from pipeline.cli import main as ingest
    from pipeline.jobs import where

    imported: Any = where
    imported._WORTH_BYTES = imported._WORTH_FILES = worth  # noqa: SLF001 - which no user sets
    with tempfile.TemporaryDirectory() as folder:
        sampler = made_sampler(folder)
    samples, run_thread = sampler.prepare(ctypes.pythonapi.PyGILState_Check), threading.Thread.run

    def run_sampled_thread(thread: threading.Thread) -> None:
        timer = sampler.begin(NANOSECONDS)
        try:
            run_thread(thread)
        finally:
            sampler.end(timer)

    thread_class: Any = threading.Thread
    thread_class.run = run_sampled_thread
    sampler.begin(NANOSECONDS)
    with suppress(SystemExit):
        ingest()
    free, held = samples[0], samples[1]
    print(time.process_time() * held / max(1, held + free))


def _spent(worth: int, arguments: list[str]) -> tuple[float, float]:
    """The processor time of a run, in seconds: of all processes, and of its own with the lock."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _COMMAND.format(worth=worth), "ingest", *arguments]
        cost = run([*command, "--store", str(Path(folder, "store")), "--quiet"], Path(folder))
        return cost.cpu, float(Path(folder, "stdout").read_text())


def main() -> None:
    """Prints the medians."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in _WORTH}
    for _ in range(_TURNS):
        for name, worth in _WORTH.items():
            spent[name].append(_spent(worth, sys.argv[1:]))
    for name, times in spent.items():
        every, held = (median(column) for column in zip(*times, strict=True))
        print(f"{name}: {every:.2f} s, {held:.2f} s of them with the lock of the run's own process")


if __name__ == "__main__":
    main()
