"""Who counts: an executor, and what its workers may take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.counting.content import SMALL_BYTES
from pipeline.counting.count import Limits
from pipeline.counting.pool import Pool, Progress, Watch
from pipeline.counting.resources import Resources
from pipeline.counting.sources import Source

#: From so many raw bytes on, times the processors that share them, a run counts in processes: 8 GiB on 2 processors, 1 GiB on 16.
#:
#: A further row takes about as much processor time there as in a thread, and less than a twentieth of it has the lock of the run's
#: Python (`benchmarks.width`). Threads have the lock for a fifth of their time in CSV and for two fifths in AWS text (`benchmarks.lock`),
#: so that 16 do the work of 4, or of 2. In return a run takes up to a second of processor time more, and the workers begin half a second
#: later: the process from which they are forked imports everything first. A byte of CSV is the work of 2 ns. So 1 GiB of it takes 16
#: processors much the same time either way, and more of it, or AWS text, is done sooner. On 2 processors threads lose less; there,
#: half a second is little beside the 8 s that each is busy with 8 GiB.
_WORTH_BYTES = 16 << 30
#: The files that are packed, by their names: a byte of them is unpacked to so many, and takes ten times as long as a byte of text.
_PACKED, _PACKED_WEIGHT = (".gz", ".zst", ".bz2"), 8


@dataclass(frozen=True)
class Workers:
    """Who counts.

    Attributes:
        executor: Where groups of sources are counted.
        width: How many it counts at once.
        totals_bytes: The memory for a table of totals there.
        watch: Knows whether they are there, where they may come and go.
    """

    executor: Executor
    width: int
    totals_bytes: int
    watch: Watch | None = None

    def pool(self, folder: Path, progress: Progress | None = None, *, strict: bool = False, bounded: bool = True) -> Pool:
        """Has them count; what the arguments mean, `Pool` and `Limits` say."""
        return Pool(self.executor, self.width, Limits(self.totals_bytes, strict, bounded), folder, progress, self.watch)


def processes_pay(sources: Sequence[Source], workers: int) -> bool:
    """Whether so many processes count some sources sooner than as many threads.

    Small files are left out of account: most of what they take is the run's, which looks at each, and has the text of many in memory.
    Objects are read by threads alone, which share their connections and the first bytes that were asked for.
    """
    if any(source.etag for source in sources):
        return False
    large = [source for source in sources if source.size > SMALL_BYTES]
    sizes = [source.size * (_PACKED_WEIGHT if source.name.endswith(_PACKED) else 1) for source in large]
    total = sum(sizes)
    width = min(workers, total // max(sizes, default=1))  # a file is not cut
    return width > 1 and width * total >= _WORTH_BYTES


@contextmanager
def threads(resources: Resources) -> Iterator[Workers]:
    """Threads of this process."""
    with ThreadPoolExecutor(resources.threads, thread_name_prefix="source") as executor:
        yield Workers(executor, resources.threads, resources.totals_bytes)
