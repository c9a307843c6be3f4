"""Counting in processes of this machine, which do not wait for each other where threads wait for Python's lock.

`concurrent.futures.ProcessPoolExecutor` would do, but for three things: where one of its processes is killed, all it was given is
lost; it needs semaphores, which some containers do not have; and they are left, with a warning, where the run is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from typing import Any, TypeVar

from pipeline import forks
from pipeline.counting.resources import Resources
from pipeline.counting.workers import Workers, threads

T = TypeVar("T")


@contextmanager
def processes(resources: Resources) -> Iterator[Workers]:
    """Processes of this machine; threads where there can be none."""
    try:
        executor = ProcessExecutor(resources.threads)
    except OSError:
        executor = None
    if executor is None:
        with threads(resources) as workers:
            yield workers
        return
    with executor:
        yield Workers(executor, resources.threads, resources.totals_bytes, is_near=True)


class ProcessExecutor(Executor):
    """Carries calls out in copies of this process, which end with it, whatever ends it.

    A call whose process is killed, as the system does where memory is short, is carried out in this process instead.

    Args:
        width: How many processes.

    Raises:
        OSError: There can be none.
    """

    def __init__(self, width: int) -> None:
        ends: list[Connection] = []
        with ExitStack() as stack:
            for _ in range(width):
                ours, theirs = Pipe()
                ends.append(stack.enter_context(ours))
                with theirs:
                    stack.callback(forks.end, forks.forked(partial(_serve, theirs, ends)))
            self._end = stack.pop_all().close
        self._idle = SimpleQueue[Connection]()
        for end in ends:
            self._idle.put(end)
        # These begin behind the processes: what has threads is not copied.
        self._threads = ThreadPoolExecutor(width, thread_name_prefix="process")

    def submit(self, function: Callable[..., T], /, *arguments: Any) -> Future[T]:  # type: ignore[override]
        return self._threads.submit(self._carried_out, function, arguments)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        self._end()

    def _carried_out(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        process = self._idle.get()
        try:
            process.send((function, arguments))
            result, error = process.recv()
        except (EOFError, OSError):  # it was killed
            return function(*arguments)
        finally:
            self._idle.put(process)
        if error:
            raise error
        return result


def _serve(calls: Connection, callers: Sequence[Connection]) -> None:
    """Carries out calls as long as there is who makes them: as no process holds a caller's end of a pipe but the caller, it closes
    with that.
    """
    for caller in callers:
        caller.close()
    with suppress(EOFError, OSError):
        while True:
            function, arguments = calls.recv()
            calls.send(forks.outcome_of(function, *arguments))
