"""Counting on a Dask cluster: the one module that knows `distributed`, which the extra dask installs.

A cluster is one more executor (`Client.get_executor`). Here is what an executor alone does not tell: whether the scheduler and its
workers are there, and which of their errors mean that they are not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

from distributed import Client, LocalCluster
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker
from distributed.utils import LoopRunner

from pipeline.counting.elsewhere import own_build
from pipeline.counting.resources import Resources
from pipeline.counting.workers import Workers
from pipeline.errors import ClusterFailed, OtherBuild
from pipeline.process import deaf_children
from pipeline.scalars import DISTRIBUTION

#: So long a scheduler may take to answer, and so long a run goes on while there is no worker.
_CONNECT_SECONDS, _WORKERLESS_SECONDS = 10, 60
#: What distributed and its event loop say of lost connections and killed workers, this module says in an error.
_LOUD = ("distributed", "tornado.application", "asyncio", "concurrent.futures")


@contextmanager
def made(scheduler: str | None, resources: Resources) -> Iterator[Workers]:
    """A cluster for a run.

    Args:
        scheduler: The address of its scheduler; None for a cluster of this machine, which ends with the run.
        resources: How many workers that has, and what each may take.

    Raises:
        ClusterFailed: No scheduler answers, or no worker comes; OtherBuild: one has another flowlog.
    """
    with _quiet():
        if scheduler is None:
            with (
                _loop() as loop,
                LocalCluster(
                    loop=loop,
                    n_workers=resources.threads,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,  # flowlog keeps its own, and a worker that is ended for it would only be started again
                    dashboard_address="127.0.0.1:0",  # or it would warn where another cluster has its usual port
                    scheduler_kwargs={"dashboard": False},
                    silence_logs=logging.CRITICAL,
                ) as local,
                Client(local, set_as_default=False) as client,
                of_client(client, resources) as workers,
            ):
                yield workers
            return
        try:
            client = Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, TypeError, ValueError) as error:  # no answer, no certificate, no such kind of address
            raise ClusterFailed(f"no scheduler of Dask answers at {scheduler} ({error})") from None
        with client, of_client(client, resources) as workers:
            yield workers


@contextmanager
def of_client(client: Client, resources: Resources) -> Iterator[Workers]:
    """The workers that a client has; raises what `made` raises."""
    watch = _Watch(client)
    watch.wait()
    _refuse_other_builds(client)
    # What a worker may take is shared by its threads; the tables are as large as in a run with as many.
    a_worker = Resources(max(client.nthreads().values(), default=1), resources.memory_bytes)
    yield Workers(client.get_executor(), watch.width, a_worker.totals_bytes, watch)


def _refuse_other_builds(client: Client) -> None:
    """Raises OtherBuild where a worker, or the scheduler, has another flowlog. Workers that come later look themselves."""
    wanted = own_build()
    versions = client.get_versions(packages=[DISTRIBUTION])
    machines = {**versions["workers"], f"of the scheduler {client.scheduler.address}": versions["scheduler"]}
    for name, found in machines.items():
        version = found["packages"].get(DISTRIBUTION)
        if version != wanted[0]:
            raise OtherBuild(name, (version or "(not installed)", "unknown"), wanted)


class _Watch:
    """Knows whether a client's scheduler and workers are there."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._address = str(client.scheduler.address)
        self._seen = time.monotonic()
        self.width = 1

    def wait(self) -> None:
        """Waits for the first worker."""
        while not self._look():
            time.sleep(0.1)

    def check(self) -> None:
        self._look()

    def _look(self) -> bool:
        """Whether there are workers now."""
        try:
            threads = self._client.nthreads()
        except Exception as error:
            raise self._gone() from error
        if threads:
            self.width, self._seen = sum(threads.values()), time.monotonic()
        elif time.monotonic() - self._seen > _WORKERLESS_SECONDS:
            raise ClusterFailed(f"the scheduler {self._address} has had no worker for {_WORKERLESS_SECONDS} seconds")
        return bool(threads)

    def explained(self, error: Exception) -> Exception:
        if isinstance(error, KilledWorker):
            return ClusterFailed(
                f"{error.allowed_failures + 1} workers ended, one after the other, while they counted the same files, the last of them"
                f" {error.last_worker.address}, as they do where their memory does not suffice; a smaller --memory needs less"
            )
        if isinstance(error, CancelledError | CommClosedError):
            return self._gone()
        if isinstance(error, ImportError | AttributeError | RuntimeError) and "pipeline" in f"{error}{error.__cause__}":
            return ClusterFailed(f"a machine of the cluster has no flowlog, or another: {error}")
        return error

    def _gone(self) -> ClusterFailed:
        return ClusterFailed(f"the scheduler {self._address} is gone, or has dropped what it was given")


@contextmanager
def _loop() -> Iterator[Any]:
    """An event loop in a thread whose children do not see Ctrl-C, as a thread inherits what is blocked, too."""
    runner = LoopRunner()
    with deaf_children():
        runner.start()
    try:
        yield runner.loop
    finally:
        runner.stop()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps libraries from logging what is told as an error."""
    # A parent's level does not bind those below it that have one of their own.
    names = [name for name in logging.root.manager.loggerDict if name.startswith(_LOUD)]
    loggers = [logging.getLogger(name) for name in (*_LOUD, *names)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
