"""Switches that concern the whole process, each with what it saves: the command line turns them, and a process that counts for
another, but never a library.

The figures are those of an ablation, one switch off at a time, in processor time on two processors.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO

#: Whether the main program is flowlog's command line.
_is_own = False


def prepare() -> None:
    """Turns what every command wants turned. It comes before all imports that take long."""
    global _is_own  # noqa: PLW0603 - it is the process's
    _is_own = True
    # Imports make 190,000 objects that stay: to look for what can be collected among them takes 30 ms.
    gc.set_threshold(300_000)
    # numpy's linear algebra, of which there is none here, would start threads that wait for work by spinning.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # pandera imports hypothesis where it is installed, 90 ms for nothing. It asks for geopandas' types with each column that it checks:
    # where geopandas is not there, the search for it through all folders of packages is a fifth of what a call of pandera costs.
    keep_out({"hypothesis", "geopandas"})


def may_fork() -> bool:
    """Whether there may be copies of this process, as far as its program and its system go: in a user's program nobody knows what a
    copy may do, and on macOS the system's libraries, once loaded, do not stand a fork.
    """
    return _is_own and sys.platform == "linux"


@contextmanager
def deaf_children() -> Iterator[None]:
    """Has the processes that multiprocessing starts meanwhile not see Ctrl-C, as `deaf` has it."""
    from multiprocessing.resource_tracker import ensure_running  # few commands start processes

    ensure_running()  # which would unblock it in the thread that starts the first process
    with deaf():
        yield


@contextmanager
def deaf() -> Iterator[None]:
    """Has the processes that are started meanwhile not see Ctrl-C, which a terminal sends to each process of a command: the command
    ends them.

    A process inherits what is blocked in the thread that starts it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def keep_out(names: Collection[str]) -> None:
    """Has imports of these modules fail, unless they are imported already.

    Arrow imports numpy and cloudpickle at its start, and pandas when it first sees a Python value, to know theirs. A query
    has nothing of theirs: it takes 105 ms without them, and 366 ms with them.
    """
    sys.meta_path.insert(0, _Without({name for name in names if name not in sys.modules}))


#: What glibc's mallopt(3) calls them: what is kept at the end of a heap, what a heap grows by, and what does not come from a heap.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> None:
    """Has glibc keep the memory that a block of text leaves for the next block, and not give it back in between.

    The system clears each page that it hands out. Blocks of 16 MiB came from it anew, twice each: that was an eighth of the
    processor time of 4 million rows of JSON. The peak of memory stays as it is.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library, which has habits of its own
        return
    for parameter, size in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 256 << 20), (_TOP_PAD, 32 << 20)):
        mallopt(parameter, size)


class _Without:
    """A finder of modules that says that some are not there."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname in self._names:
            raise ModuleNotFoundError(f"this command does without {fullname}", name=fullname)


def end(exit_code: int) -> None:
    """Ends the process at once, if nothing is lost by it; otherwise returns, and Python ends it.

    Python would first take apart all that pandas and Arrow have built, to free memory that the system takes back anyway:
    a query takes 105 ms without that, and 125 ms with it; a large ingest 1.49 s, and 1.77 s.
    """
    is_flushed = _is_flushed(sys.stdout) and _is_flushed(sys.stderr)
    if is_flushed and _is_alone():
        os._exit(exit_code)


def _is_alone() -> bool:
    """Whether no thread is left that Python would wait for, and would tell, if it idles in a pool, that it may go."""
    return all(thread.daemon or thread is threading.current_thread() for thread in threading.enumerate())


def _is_flushed(stream: IO[str] | None) -> bool:
    """Flushes a standard stream, which may be closed."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        return False
    return True
