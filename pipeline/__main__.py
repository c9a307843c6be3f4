"""The start and the end of `flowlog`, which is also `python -m pipeline`."""

from __future__ import annotations

import gc
import os
import sys
import threading
from typing import IO


def main() -> None:
    """Runs the command line in a process of its own, which ends at once.

    Python would first take apart all that pandas and Arrow have built, a quarter of a second's work, to free memory that
    the system takes back anyway.
    """
    gc.set_threshold(100_000)  # imports make objects that stay, of which nothing can be collected
    from pipeline.cli import main as run  # the first of these imports

    try:
        run()
    except SystemExit as exit_:
        is_flushed = _is_flushed(sys.stdout) and _is_flushed(sys.stderr)
        if is_flushed and _is_alone() and isinstance(exit_.code, int | None):
            os._exit(exit_.code or 0)
        raise


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
