"""The start and the end of `flowlog`, which is also `python -m pipeline`."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from pipeline import process


def main() -> None:
    """Runs the command line in a process of its own, which ends at once."""
    _open_standard_streams()
    process.prepare()
    from pipeline.cli import main as run  # the first import that takes long

    try:
        run()
    except SystemExit as exit_:
        if isinstance(exit_.code, int | None):
            process.end(exit_.code or 0)
        raise


class _Words(io.FileIO):
    """Standard error. A line that cannot be written is lost, and stops nothing: a run that has committed stays committed."""

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


if __name__ == "__main__":
    main()
