"""Where a run's files are read: by threads or processes, whichever are sooner done, by somebody's executor, or on a cluster."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from pipeline.counting.content import SMALL_BYTES
from pipeline.counting.resources import Resources
from pipeline.errors import UsageError
from pipeline.jobs import imports
from pipeline.options import IngestOptions
from pipeline.process import may_fork

if TYPE_CHECKING:  # a run that finds nothing new does without
    from concurrent.futures import Executor

    from pipeline.counting.sources import Source
    from pipeline.counting.workers import Workers

#: An executor, or a `distributed.Client`, which cannot be named where the extra dask is not installed.
Given: TypeAlias = "Executor | Any"
_ADDRESS = r"[a-z]+://\S+:\d+"

#: From so many raw bytes on, times the processors that share them, a run counts in processes: 8 GiB on 2 processors, 1 GiB on 16.
#:
#: A further row takes about as much processor time there as in a thread, and less than a twentieth of it has the lock of the run's
#: Python (`benchmarks.width`). Threads have the lock for a seventh of their time in CSV and for a fifth in AWS text (`benchmarks.lock`),
#: so that 16 do the work of 5, or of 4. In return a run takes up to 0.2 s more: it imports everything before it is copied, and not
#: while others read; and the totals come back by the disk. On 2 processors threads lose so little that processes take as long for
#: 4 GiB of CSV, even where half of the keys are distinct, 4 % longer for 2 GiB, and 5 % less for 8 GiB of AWS text. Nothing was
#: measured on more; the rule lets fewer bytes suffice there, as threads wait for each other the more, the more they are.
_WORTH_BYTES = 16 << 30
#: The files that are packed, by their names: a byte of them is unpacked to so many, and takes ten times as long as a byte of text.
_PACKED, _PACKED_WEIGHT = (".gz", ".zst", ".bz2"), 8
#: From so many small files on, a run counts in processes, whatever their bytes are: what a small file takes is mostly Python, so that
#: many threads do no more than one. On two processors 1,000 files of 500 rows took processes 0.95 of the time that one thread took, 2,500
#: files 0.86, and 10,000 files 0.77.
_WORTH_FILES = 1_000
#: Where files have so few bytes on average, packed ones as above, one thread reads them: threads would hand Python's lock to each
#: other some ten times a file. On two processors, whole runs in two threads took 1.3 times as long as in one for files of 6 kB, 1.3
#: times for packed ones of 6 kB (30 kB of text), 1.0 to 1.2 times for those of 19 kB, and 0.85 times for those of 73 kB.
_ALONE_BYTES = 1 << 17


def check_cluster(options: IngestOptions) -> None:
    """Says what is wrong with the options that concern a cluster, also where nothing is new.

    Raises:
        UsageError: There is a scheduler for a run that has no cluster, or its address is none.
        ModuleNotFoundError: A cluster needs a package that is not installed; the extra dask has it.
    """
    if options.on == "dask" and find_spec("distributed") is None:
        raise ModuleNotFoundError("distributed is not installed", name="distributed")
    if options.scheduler is None:
        return
    if options.on != "dask":
        raise UsageError("--scheduler names a scheduler of Dask; it needs --on dask")
    if not re.fullmatch(_ADDRESS, options.scheduler):
        raise UsageError(f"--scheduler: {options.scheduler!r} is no address; write it like tcp://10.0.0.7:8786")


def workers_of(
    options: IngestOptions, sources: Sequence[Source], given: Given | None = None
) -> AbstractContextManager[Workers]:
    """The workers that a run is to have, as a context.

    Args:
        options: What the run's options say.
        sources: What is to be counted.
        given: An executor or a client that is used instead; it is not closed.

    Raises:
        ClusterFailed: No scheduler answers, or there is no worker; OtherBuild: one has another flowlog.
    """
    from concurrent.futures import Executor  # as above

    from pipeline.counting.workers import Workers, threads

    resources = resources_of(options)
    if isinstance(given, Executor):
        return nullcontext(Workers(given, resources.threads, resources.totals_bytes))
    if given is None and options.on == "threads":
        in_processes = processes_for(options, sources)
        if in_processes is None:
            return threads(resources, threads_for(sources, resources))
        from pipeline.counting.processes import processes  # small runs do without multiprocessing

        imports.finish()
        return processes(in_processes)
    from pipeline.counting import cluster  # imports distributed, which an extra installs

    return cluster.made(options.scheduler, resources) if given is None else cluster.of_client(given, resources)


def resources_of(options: IngestOptions, *, are_processes: bool = False) -> Resources:
    """What a run with such options may take, with threads or with processes."""
    return Resources(options.workers, options.memory_bytes, are_processes)


def has_objects(sources: Sequence[Source]) -> bool:
    """Whether some sources are objects of a bucket, whose bytes are waited for."""
    return any(source.etag for source in sources)


def processes_for(options: IngestOptions, sources: Sequence[Source]) -> Resources | None:
    """What processes may take that read some sources in a run with such options; None where threads of the run's process read them."""
    if options.on != "threads" or not may_fork():
        return None
    resources = resources_of(options, are_processes=True)
    return resources if processes_pay(sources, resources.threads) else None


def processes_pay(sources: Sequence[Source], workers: int) -> bool:
    """Whether so many processes read some sources sooner than as many threads.

    Objects are read by threads alone, which share their connections and the first bytes that were asked for.
    """
    if workers == 1 or has_objects(sources):
        return False
    large = [source for source in sources if source.size > SMALL_BYTES]
    if len(sources) - len(large) >= _WORTH_FILES:
        return True
    sizes = [_work_of(source) for source in large]
    total = sum(sizes)
    width = min(workers, total // max(sizes, default=1))  # a file is not cut
    return width > 1 and width * total >= _WORTH_BYTES


def threads_for(sources: Sequence[Source], resources: Resources) -> int:
    """How many threads read some sources soonest; objects are read by as many as there may be."""
    are_tiny = not has_objects(sources) and sum(map(_work_of, sources)) < len(sources) * _ALONE_BYTES
    return 1 if are_tiny else resources.threads


def _work_of(source: Source) -> int:
    """What reading a source takes, in bytes of plain text."""
    return source.size * (_PACKED_WEIGHT if source.name.endswith(_PACKED) else 1)
