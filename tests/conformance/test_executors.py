"""The executors over which sources may be counted. A further one is one more line of `EXECUTORS`."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from tests.conformance.executors import ExecutorClaims, Inline

EXECUTORS = {
    "inline": Inline,
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": lambda: ProcessPoolExecutor(2, get_context("spawn")),
}


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request):
    with EXECUTORS[request.param]() as made:
        yield made


class TestExecutors(ExecutorClaims):
    pass
