"""Where a run's files are read, as its options say: by threads, by somebody's executor, or on a cluster."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from pipeline.errors import UsageError
from pipeline.options import IngestOptions
from pipeline.process import may_fork

if TYPE_CHECKING:  # a run that finds nothing new does without
    from concurrent.futures import Executor

    from pipeline.counting.sources import Source
    from pipeline.counting.workers import Workers

#: An executor, or a `distributed.Client`, which cannot be named where the extra dask is not installed.
Given: TypeAlias = "Executor | Any"
_ADDRESS = r"[a-z]+://\S+:\d+"


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

    from pipeline.counting.resources import Resources
    from pipeline.counting.workers import Workers, processes_pay, threads

    resources = Resources(options.workers, options.memory_bytes)
    if isinstance(given, Executor):
        return nullcontext(Workers(given, resources.threads, resources.totals_bytes))
    if given is None and options.on == "threads":
        in_processes = replace(resources, are_processes=True)
        if not may_fork() or not processes_pay(sources, in_processes.threads):
            return threads(resources)
        from pipeline.counting.processes import processes  # small runs do without multiprocessing

        return processes(in_processes)
    from pipeline.counting import cluster  # imports distributed, which an extra installs

    return cluster.made(options.scheduler, resources) if given is None else cluster.of_client(given, resources)
