"""What a whole process costs, from its start to its end. Linux alone tells all of it."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

#: Memory is looked at so often, or so seldom that a look takes a fiftieth of the time: the kernel goes through all pages for it, and the
#: watched program would wait.
_SAMPLE_SECONDS, _LOOK_SHARE = 0.1, 1 / 50
_OUTPUTS = ("stdout", "stderr")
#: `PR_SET_CHILD_SUBREAPER`: processes that lose their parent become children of this one.
_BECOME_REAPER = 36
_SHARE = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)


class RunFailed(Exception):
    """A program of the benchmark ended with an error."""


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Attributes:
        wall: Seconds on the clock; cpu: seconds of processor time, the system's included, of all processes that it has started.
        peak: The most memory that these held, in bytes.
    """

    wall: float
    cpu: float
    peak: int


def run(command: list[str], folder: Path) -> Cost:
    """Runs a program; what it prints goes to `stdout` and `stderr` in the folder.

    Raises:
        RunFailed: It ended with an error.
    """
    streams = [
        (os.POSIX_SPAWN_OPEN, i + 1, folder / name, os.O_WRONLY | os.O_CREAT, 0o644) for i, name in enumerate(_OUTPUTS)
    ]
    # Whoever has installed a program has its modules compiled; without this each run would compile flowlog's, which takes 120 ms.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    ctypes.CDLL(None).prctl(_BECOME_REAPER, 1, 0, 0, 0)
    started = time.monotonic()
    process = os.posix_spawn(command[0], command, environment, file_actions=streams, setpgroup=0)
    try:
        with _Children(process) as children:
            # A process's peak starts from that of the one that started it: nothing heavy may be imported here.
            _, status, usage = os.wait4(process, 0)
            wall = time.monotonic() - started
        others = _of_orphans(process)
    except KeyboardInterrupt:  # which a terminal does not send to another group
        os.killpg(process, signal.SIGKILL)
        raise
    if status:
        said = (folder / "stderr").read_text(errors="replace").strip()
        raise RunFailed(f"{' '.join(command)}\nended with {os.waitstatus_to_exitcode(status)}:\n{said[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime + others, max(usage.ru_maxrss * 1024, children.peak))


def _of_orphans(group: int) -> float:
    """The seconds of processor time of the processes for which a program did not wait; they end soon after it.

    Args:
        group: The group of processes that the program began. This process may have other children, which are not waited for.
    """
    spent = 0.0
    with suppress(ChildProcessError):  # there is none, or none any more
        while True:
            _, _, usage = os.wait4(-group, 0)
            spent += usage.ru_utime + usage.ru_stime
    return spent


class _Children:
    """Watches the memory of a process with its children, which `wait4` does not add up; 0 where it starts none. What some of them share
    is there once.
    """

    def __init__(self, process: int) -> None:
        self.peak = 0
        self._process = process
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        wait = _SAMPLE_SECONDS
        while not self._ended.wait(wait):
            began = time.monotonic()
            family = [self._process, *_descendants(self._process)]
            if len(family) > 1:
                self.peak = max(self.peak, sum(map(_share_of, family)))
            wait = max(_SAMPLE_SECONDS, (time.monotonic() - began) / _LOOK_SHARE)


def _descendants(process: int) -> list[int]:
    try:
        lists = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:  # it has just ended
        return []
    children = [int(child) for text in lists for child in text.split()]
    return children + [below for child in children for below in _descendants(child)]


def _share_of(process: int) -> int:
    """The memory of a process, each page of it divided by the number of processes that share the page; in bytes."""
    try:
        found = _SHARE.search(Path(f"/proc/{process}/smaps_rollup").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
