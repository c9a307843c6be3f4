"""The simulation against real runs on one and two workers."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.inputs import program
from benchmarks.scale.simulation import Load, Machines, simulate
from benchmarks.scale.terms import Terms
from pipeline.counting import cluster
from pipeline.counting.resources import Resources
from pipeline.flowstore import FlowStore
from pipeline.options import IngestOptions

T = TypeVar("T")
_HOURS = 48


@dataclass(frozen=True)
class Checked:
    """A run's processor time, as it was and as it is simulated: of the busiest worker, and of the driver, in seconds."""

    workers: int
    format: str
    real: float
    simulated: float

    @property
    def difference(self) -> float:
        return self.simulated / self.real - 1


def checked(terms: Terms, name: str, rows: int, files: int, runs: int = 3) -> list[Checked]:
    """Holds it against runs on one worker and on two."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "raw")
        graph = ["--apps=200", "--pairs=3000", "--skew=1.1", f"--hours={_HOURS}"]
        program("-m", "benchmarks.generate", "--format", name, f"--rows={rows}", f"--files={files}", *graph, str(raw))
        size = sum(path.stat().st_size for path in raw.iterdir())
        load = Load(size, name, size / files, _HOURS, _keys_of_an_hour(raw, Path(folder, "store")), in_order=True)
        found = []
        for workers in (1, 2):
            quiet = Machines(
                workers, driver=1, slow=0, spread=0, stuck=0, network=1e12, shared=1e12, partials=1e12, latency=0
            )
            took = simulate(load, quiet, terms)
            real = min(_run(raw, Path(folder), workers) for _ in range(runs))
            found.append(Checked(workers, name, real, took.seconds))
        return found


def _keys_of_an_hour(raw: Path, folder: Path) -> int:
    store = FlowStore(folder, create=True)
    store.ingest([str(raw)])
    return round(sum(hour.rows for hour in store.hours()) / _HOURS)


def _run(raw: Path, folder: Path, count: int) -> float:
    """The processor time on the longest way through a run: that of the busiest worker's tasks, and of the driver.

    What the event loops of Dask take while nothing happens is no part of either: on a machine that others use, it grows with the clock.
    """
    with (
        cluster.made(None, Resources(workers=count)) as workers,
        tempfile.TemporaryDirectory(dir=folder) as store,
    ):
        client = workers.watch._client  # type: ignore[union-attr] # noqa: SLF001 - which asks its event loop
        warm, timed = _Timed(client.get_executor(), Path(store)), _Timed(client.get_executor(), Path(store, "tasks"))
        timed.folder.mkdir()
        # Imports are not what is simulated.
        FlowStore(Path(store, "warm"), create=True).ingest([str(raw)], executor=warm, options=IngestOptions(workers=count))
        before = time.process_time() - client.sync(_thread_time)
        FlowStore(Path(store, "timed"), create=True).ingest([str(raw)], executor=timed, options=IngestOptions(workers=count))
        driver = time.process_time() - client.sync(_thread_time) - before
        return driver + max(sum(map(float, path.read_text().split())) for path in timed.folder.iterdir())


async def _thread_time() -> float:
    return time.thread_time()


class _Timed(Executor):
    """Has another executor count, and each worker write how long its thread took for each group."""

    def __init__(self, executor: Executor, folder: Path) -> None:
        self._executor = executor
        self.folder = folder

    def submit(self, function: Callable[..., T], /, *arguments: Any, **_: Any) -> Future[T]:
        return self._executor.submit(_timed, str(self.folder), function, *arguments)


def _timed(folder: str, function: Callable[..., T], *arguments: Any) -> T:
    began = time.thread_time()
    result = function(*arguments)
    with Path(folder, f"{os.getpid()}.times").open("a") as file:
        file.write(f"{time.thread_time() - began}\n")
    return result
