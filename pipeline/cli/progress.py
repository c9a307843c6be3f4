"""A progress bar for people: bytes done of bytes to do, and rows per second."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressBar:
    """Shows on standard error how far a run has come; gone when it is done."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("reading"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("reading", total=None, rate="")
        self._rows = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def start(self, total_bytes: int) -> None:
        self._progress.start()  # not before: what has a thread more cannot be copied, and large runs count in copies
        self._progress.update(self._task, total=total_bytes)

    def advance(self, raw_bytes: int, rows: int) -> None:
        with self._lock:
            self._rows += rows
            elapsed = self._progress.tasks[0].elapsed or 0.0
            rate = f"{self._rows / elapsed:,.0f} rows/s" if elapsed > 0 else ""
            self._progress.update(self._task, advance=raw_bytes, rate=rate)
