"""The executors over which sources may be counted. A further one is one more line of `EXECUTORS`."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import pytest

from pipeline import forks
from pipeline.counting.processes import ProcessExecutor
from pipeline.counting.resources import Resources
from tests.conformance.executors import ExecutorClaims, Inline


@contextmanager
def dask():
    from pipeline.counting import cluster  # imports distributed

    with cluster.made(None, Resources(workers=2)) as workers:
        yield workers.executor


@contextmanager
def processes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forks, "may_copy", lambda: True)  # as if this were a command's process
        with ProcessExecutor(2) as made:
            yield made


EXECUTORS = {
    "inline": Inline,
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": processes,
    "somebody's processes": lambda: ProcessPoolExecutor(2, get_context("spawn")),
    "dask": dask,
}


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request):
    with EXECUTORS[request.param]() as made:
        yield made


class TestExecutors(ExecutorClaims):
    pass
