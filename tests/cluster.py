"""A Dask cluster of processes that a test can kill, stop and wake one by one: no nanny starts them again.

They are forked from a process that has imported all that they need, so that fifty of them cost little.
"""

import asyncio
import json
import logging
import multiprocessing
import os
import sys
import time
from pathlib import Path

import dask

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.cluster_imports"])
#: A worker that is stopped is given up after so long; a task may be lost more often than in a cluster that nobody attacks.
SETTINGS = {
    "distributed.scheduler.worker-ttl": "5s",
    "distributed.scheduler.allowed-failures": 100,
    "distributed.admin.system-monitor.interval": "10s",
}


def start(function, *arguments):
    """Starts a function as a process."""
    process = PROCESSES.Process(target=_run, args=(function, *arguments))
    process.start()
    return process


def _run(function, *arguments):
    logging.disable()
    with dask.config.set(SETTINGS), open(os.devnull, "w") as nowhere:  # noqa: PTH123 - of the machine
        sys.stderr = nowhere
        function(*arguments)


def run_scheduler(file):
    async def run():
        from distributed import Scheduler

        async with Scheduler(host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0") as running:
            written(file, running.address)
            await running.finished()

    asyncio.run(run())


def run_worker(address):
    async def run():
        from distributed import Worker

        async with Worker(address, nthreads=1, memory_limit=0, dashboard=False) as running:
            await running.finished()

    asyncio.run(run())


def run_driver(raw, store, address, file):
    """A run on the cluster, with a task for each source. Its report: its exit code and error; the partial files that it took; and
    how many more there were, of tasks that were carried out once more.
    """
    from pipeline.counting import elsewhere, pool
    from pipeline.jobs import commit
    from pipeline.jobs.ingest import IngestOptions, ingest
    from pipeline.store.layout import Locations

    report, taken, take, committing = {"code": 0, "error": ""}, set(), elsewhere.Partial.taken, commit.commit

    def taking(partial):
        taken.update(file.path for file in partial.files)
        return take(partial)

    def counted(store, *others):
        there = {str(path) for path in store.scratch.absolute().glob("workers-*/*.arrow")}
        report.update(taken=len(taken), more=len(there - taken))
        return committing(store, *others)

    pool._LEAST_GROUP_BYTES, elsewhere.Partial.taken, commit.commit = 1, taking, counted
    try:
        ingest([raw], Locations(Path(store)), IngestOptions(on="dask", scheduler=address, wait_seconds=60))
    except Exception as error:  # noqa: BLE001 - the test looks at it
        report.update(code=getattr(error, "exit_code", 1), error=f"{type(error).__name__} {error}")
    written(file, json.dumps(report))


def written(file, text):
    """Writes a file that is there whole or not at all."""
    draft = Path(f"{file}.draft")
    draft.write_text(text)
    draft.replace(file)


class Cluster:
    """A scheduler and workers, each a process; as a context, at whose end all are killed."""

    def __init__(self, folder, workers=2):
        file = folder / "scheduler"
        file.unlink(missing_ok=True)
        self.scheduler = start(run_scheduler, str(file))
        deadline = time.monotonic() + 60
        while not file.exists():
            assert self.scheduler.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.address = file.read_text()
        self.workers = [start(run_worker, self.address) for _ in range(workers)]

    def kill(self, worker):
        """Kills a worker; another takes its place."""
        worker.kill()
        worker.join()
        self.workers[self.workers.index(worker)] = start(run_worker, self.address)

    def mend(self):
        """Puts others in the place of workers that have left, as who is given up does once it wakes."""
        if self.scheduler.is_alive():
            self.workers = [worker if worker.is_alive() else start(run_worker, self.address) for worker in self.workers]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.join()
