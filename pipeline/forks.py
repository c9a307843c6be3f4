"""Copies of this process: they begin at once, with all that it has in memory, and do not wait for its lock.

A copy has but the thread that made it. What another thread had in hand, as a lock, nobody gives back there: so the command line
alone makes copies, and only while it has one thread.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from itertools import cycle, islice
from typing import Any, BinaryIO, Generic, NoReturn, TypeVar

from pipeline.process import deaf, may_fork

T = TypeVar("T")
R = TypeVar("R")


def may_copy() -> bool:
    """Whether this process may be copied as it is."""
    return may_fork() and threading.active_count() == 1


def forked(work: Callable[[], object]) -> int:
    """Starts a copy of this process that does some work, and nothing of what this process has still to do. It ends with this process,
    whatever ends that, and sees nothing of Ctrl-C.

    Returns:
        Its number, for `end`.

    Raises:
        OSError: This process may not be copied now, or the system has no room for another.
    """
    if not may_copy():
        raise OSError("a process is copied by the command line alone, and while it has one thread")
    parent = os.getpid()
    with deaf():
        with warnings.catch_warnings():
            # Python warns of a second thread: that of Arrow's jemalloc, which knows of forks.
            warnings.simplefilter("ignore", DeprecationWarning)
            number = os.fork()
        if not number:
            _do(work, parent)
    return number


def _do(work: Callable[[], object], parent: int) -> NoReturn:
    """What a copy does."""
    try:
        _end_with(parent)
        gc.freeze()  # or a collection would write into all the memory that is shared
        work()
    finally:
        os._exit(0)


def outcome_of(function: Callable[..., R], *arguments: Any) -> tuple[R | None, Exception | None]:
    """What a call gives, or what it raises, for another process."""
    try:
        return function(*arguments), None
    except Exception as error:  # noqa: BLE001 - who asks has it
        error.add_note(traceback.format_exc())  # which does not travel otherwise
        return None, error


def end(number: int) -> None:
    """Ends a copy, whatever it does."""
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)


def each_in_copies(look: Callable[[T], R], values: Sequence[T], width: int) -> Iterator[R]:
    """What looking at some values gives, in their order, by so many copies; the rest is as `copies` has it.

    A copy waits with what it has found until that is taken, but for the little that a pipe holds.
    """
    with copies(look, dealt(values, width)) as found:
        yield from collected(found, len(values))


def dealt(values: Sequence[T], width: int) -> list[Sequence[T]]:
    """The shares of so many copies: one value for each in turn."""
    return [values[place::width] for place in range(width)]


def collected(found: Iterable[Iterator[R]], count: int) -> Iterator[R]:
    """What looking at so many values gives, in their order, from what each copy has found of its share."""
    return map(next, islice(cycle(found), count))


@contextmanager
def copies(look: Callable[[T], R], shares: Sequence[Sequence[T]]) -> Iterator[list[Iterator[R]]]:
    """Has copies of this process look at values, beside what it does meanwhile. They end with the context, and with this process,
    whatever ends it.

    Args:
        look: What it gives, and what it raises, can be pickled.
        shares: The values of each copy.

    Yields:
        For each share, what looking at its values gives, in their order. Where a copy is killed, as the system does where memory is
        short, or cannot be made, this process looks at the values that are left, once they are asked for.
    """
    with ExitStack() as stack:
        made: list[_Copy[T, R]] = []
        for values in shares:
            made.append(_Copy(look, values))
            stack.callback(made[-1].end)
        yield [copy.found() for copy in made]


class _Copy(Generic[T, R]):
    def __init__(self, look: Callable[[T], R], values: Sequence[T]) -> None:
        self._look, self._values = look, values
        self._answers: BinaryIO = BytesIO()
        self._process: int | None = None
        with suppress(OSError):  # there are no more descriptors, or processes, to be had
            self._start()

    def _start(self) -> None:
        ours, theirs = os.pipe()
        self._answers = open(ours, "rb")  # noqa: SIM115, PTH123 - `end` closes it
        try:
            self._process = forked(lambda: self._serve(theirs))
        finally:
            os.close(theirs)

    def _serve(self, answers: int) -> None:
        # What has a buffer writes to the end: who is stopped while a pipe is full (Ctrl-Z) and goes on has written but a part.
        with open(answers, "wb") as file:
            for value in self._values:
                file.write(pickle.dumps(outcome_of(self._look, value)))
                file.flush()

    def found(self) -> Iterator[R]:
        for value in self._values:
            try:
                result, error = pickle.load(self._answers)  # noqa: S301 - from this process's own copy
            except (EOFError, pickle.UnpicklingError):  # it was killed: there is nothing more, or half an answer
                yield self._look(value)
                continue
            if error:
                raise error
            yield result

    def end(self) -> None:
        self._answers.close()
        if self._process is not None:
            end(self._process)


#: `PR_SET_PDEATHSIG` of prctl(2): the signal that a process gets when its parent is gone.
_SIGNAL_OF_PARENTS_DEATH = 1


def _end_with(parent: int) -> None:
    """Has the system end this process with its parent, which may be killed at any time."""
    import ctypes  # which the parent may do without

    ctypes.CDLL(None).prctl(_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)
    if os.getppid() != parent:  # it was quicker
        os._exit(1)
