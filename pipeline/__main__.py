"""The start and the end of `flowlog`, which is also `python -m pipeline`."""

from __future__ import annotations

import gc
import io
import os
import sys
import threading
from typing import IO, Any


def main() -> None:
    """Runs the command line in a process of its own, which ends at once.

    Python would first take apart all that pandas and Arrow have built, a quarter of a second's work, to free memory that
    the system takes back anyway.
    """
    _open_standard_streams()
    gc.set_threshold(100_000)  # imports make objects that stay, of which nothing can be collected
    from pipeline.cli import main as run  # the first of these imports

    try:
        run()
    except SystemExit as exit_:
        is_flushed = _is_flushed(sys.stdout) and _is_flushed(sys.stderr)
        if is_flushed and _is_alone() and isinstance(exit_.code, int | None):
            os._exit(exit_.code or 0)
        raise


class _Words(io.FileIO):
    """Standard error: what cannot be written is lost, and stops nobody. A run that is committed is."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)


def _open_standard_streams() -> None:
    """Opens the standard streams that the caller has closed, or the next file, as one of the store, would be one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a number is no path
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    words = io.BufferedWriter(_Words(2, "w", closefd=False))
    encoding = sys.stderr.encoding if sys.stderr else "utf-8"
    sys.stderr = io.TextIOWrapper(words, encoding, errors="backslashreplace", line_buffering=True)


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


if __name__ == "__main__":
    main()
