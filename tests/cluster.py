"""A Dask cluster of processes that a test can kill, stop and wake one by one: no nanny starts them again.

python -m tests.cluster scheduler FILE          writes its address to FILE
python -m tests.cluster worker ADDRESS
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: A worker that is stopped is given up after so long; a task may be lost more often than in a cluster that nobody attacks.
SETTINGS = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "3s",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "100",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
}


class Cluster:
    """A scheduler and workers, each a process; as a context, at whose end all are killed."""

    def __init__(self, folder, workers=2):
        self._file = folder / "scheduler"
        self._file.unlink(missing_ok=True)
        self.scheduler = self.start("scheduler", str(self._file))
        deadline = time.monotonic() + 60
        while not self._file.exists():
            assert self.scheduler.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.address = self._file.read_text()
        self.workers = [self.add_worker() for _ in range(workers)]

    def start(self, *arguments, **environment):
        return subprocess.Popen(
            [sys.executable, "-m", "tests.cluster", *arguments],
            cwd=ROOT,
            env=os.environ | SETTINGS | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def add_worker(self, **environment):
        return self.start("worker", self.address, **environment)

    def kill(self, worker):
        """Kills a worker; another takes its place."""
        worker.kill()
        worker.wait()
        self.workers[self.workers.index(worker)] = self.add_worker()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (*self.workers, self.scheduler):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()


async def scheduler(file):
    from distributed import Scheduler

    async with Scheduler(host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0") as running:
        draft = Path(f"{file}.draft")
        draft.write_text(running.address)  # noqa: ASYNC240 - nobody else waits
        draft.replace(file)  # noqa: ASYNC240
        await running.finished()


async def worker(address):
    from distributed import Worker

    async with Worker(address, nthreads=1, memory_limit=0, dashboard=False) as running:
        await running.finished()


if __name__ == "__main__":
    logging.disable()
    asyncio.run({"scheduler": scheduler, "worker": worker}[sys.argv[1]](*sys.argv[2:]))
