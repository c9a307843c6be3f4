"""Counting in processes of this machine, which do not wait for each other where threads wait for Python's lock.

`concurrent.futures.ProcessPoolExecutor` would do, but for three things: where one of its processes is killed, all it was given is
lost; it needs semaphores, which some containers do not have; and they are left, with a warning, where the run is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from pipeline.counting.resources import Resources
from pipeline.counting.workers import Workers, threads
from pipeline.process import deaf_children

T = TypeVar("T")


@contextmanager
def processes(resources: Resources) -> Iterator[Workers]:
    """Processes of this machine; threads where the system does not give them."""
    try:
        executor = ProcessExecutor(resources.threads)
    except (OSError, EOFError, ImportError, ValueError):  # no fork server here, no socket, no more processes
        executor = None
    if executor is None:
        with threads(resources) as workers:
            yield workers
        return
    with executor:
        yield Workers(executor, resources.threads, resources.totals_bytes, is_near=True)


class ProcessExecutor(Executor):
    """Carries calls out in processes. These are forked from one that has imported what they need, and end with this process,
    whatever ends it.

    A call whose process is killed, as the system does where memory is short, is carried out in this process instead.

    Args:
        width: How many processes.

    Raises:
        OSError, EOFError, ImportError, ValueError: The system does not give them.
    """

    def __init__(self, width: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["pipeline.counting.preloaded"])
        with deaf_children():
            forkserver.ensure_running()
        self._idle = SimpleQueue[Connection]()
        for _ in range(width):
            ours, theirs = context.Pipe()
            with theirs:
                context.Process(target=_serve, args=(theirs,), daemon=True).start()
            self._idle.put(ours)
        self._threads = ThreadPoolExecutor(width, thread_name_prefix="process")

    def submit(self, function: Callable[..., T], /, *arguments: Any) -> Future[T]:  # type: ignore[override]
        return self._threads.submit(self._carried_out, function, arguments)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        while not self._idle.empty():
            self._idle.get().close()

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


def _serve(calls: Connection) -> None:
    """Carries out calls as long as there is who makes them."""
    Thread(target=_end_with_the_run, daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            function, arguments = calls.recv()
            try:
                answer: tuple[Any, Exception | None] = function(*arguments), None
            except Exception as error:  # noqa: BLE001 - the caller has it
                error.add_note(traceback.format_exc())  # which does not travel otherwise
                answer = None, error
            calls.send(answer)


def _end_with_the_run() -> None:
    """Ends this process once the run's is gone, which may be killed at any time."""
    parent = multiprocessing.parent_process()
    if parent:
        wait([parent.sentinel])
        os._exit(1)
