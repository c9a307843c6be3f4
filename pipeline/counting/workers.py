"""Who counts: an executor, and what its workers may take."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.counting.count import Limits
from pipeline.counting.pool import Pool, Progress, Watch
from pipeline.counting.resources import Resources


@dataclass(frozen=True)
class Workers:
    """Who counts.

    Attributes:
        executor: Where groups of sources are counted.
        width: How many it counts at once.
        totals_bytes: The memory for a table of totals there.
        watch: Knows whether they are there, where they may come and go.
        is_near: Whether they are processes of this machine.
    """

    executor: Executor
    width: int
    totals_bytes: int
    watch: Watch | None = None
    is_near: bool = False

    def pool(self, folder: Path, progress: Progress | None = None, *, strict: bool = False, bounded: bool = True) -> Pool:
        """Has them count; what the arguments mean, `Pool` and `Limits` say."""
        limits = Limits(self.totals_bytes, strict, bounded)
        return Pool(self.executor, self.width, limits, folder, progress, self.watch, self.is_near)


@contextmanager
def threads(resources: Resources, width: int | None = None) -> Iterator[Workers]:
    """Threads of this process.

    Args:
        resources: What they may take.
        width: How many there are; None for as many as may be.
    """
    width = width or resources.threads
    with ThreadPoolExecutor(width, thread_name_prefix="source") as executor:
        yield Workers(executor, width, resources.totals_bytes)
