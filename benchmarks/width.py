"""What processes take in place of threads: the processor time of a whole run, of all processes and of the run's own, in turns.

    python -m benchmarks.width RAW --workers 2 --same-content count    # and whatever else `flowlog ingest` takes

What the run's own process takes is shared among as many processors as Python's lock lets it; what others take, among all. Where four
copies of the files are given as well, the difference is what further rows cost.
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from statistics import median

_TURNS = 5
_BECOME_REAPER = 36  # PR_SET_CHILD_SUBREAPER: whoever loses the parent becomes a child of this process, and its time is told
_COMMAND = (
    "from pipeline.counting import workers; workers._WORTH_BYTES = {worth}; from pipeline.__main__ import main; main()"
)
_WORTH = {"threads": 1 << 62, "processes": 0}


def _spent(worth: int, arguments: list[str]) -> tuple[float, float]:
    """The processor time of a run, in seconds: of all processes, and of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _COMMAND.format(worth=worth), "ingest", *arguments]
        before = _seconds(resource.getrusage(resource.RUSAGE_CHILDREN))
        run = subprocess.Popen([*command, "--store", str(Path(folder, "store")), "--quiet"])
        _, state, own = os.wait4(run.pid, 0)
        if state:
            sys.exit("the run failed")
        with suppress(ChildProcessError):
            while True:
                os.wait()
        return _seconds(resource.getrusage(resource.RUSAGE_CHILDREN)) - before, _seconds(own)


def _seconds(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Prints the medians."""
    ctypes.CDLL(None).prctl(_BECOME_REAPER, 1, 0, 0, 0)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in _WORTH}
    for _ in range(_TURNS):
        for name, worth in _WORTH.items():
            spent[name].append(_spent(worth, sys.argv[1:]))
    for name, times in spent.items():
        every, own = (median(column) for column in zip(*times, strict=True))
        print(f"{name}: {every:.2f} s, {own:.2f} s of them in the run's own process")


if __name__ == "__main__":
    main()
