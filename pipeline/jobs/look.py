"""Reading many raw files at once for the plan: in threads, or in processes where these pay."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.counting.content import Look, look_at
from pipeline.counting.sources import Source
from pipeline.errors import SourceError
from pipeline.jobs import imports
from pipeline.jobs.compare import or_error
from pipeline.jobs.where import has_objects, processes_for, resources_of, threads_for
from pipeline.options import IngestOptions

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

T = TypeVar("T")
#: So many sources at a time are given to a thread, or to a process: to hand over a small one costs more than to read it.
_CHUNK, _CHUNK_OF_PROCESS = 32, 256
#: So many of these wait for each worker: what was read is in memory.
_CHUNKS_AHEAD = 2


def look_at_all(options: IngestOptions, sources: Sequence[Source]) -> Iterator[Look | SourceError]:
    """Looks at the starts of sources, at some at once; in their order what each look tells, or why none was to be had."""
    if not sources:
        return
    resources = processes_for(options, sources)
    if resources is None:
        threads = threads_for(sources, resources_of(options))
        yield from _in_threads(threads, or_error(look_at), _fetched(sources))
        return
    from pipeline.counting.processes import processes  # small runs do without multiprocessing

    with processes(resources) as workers:
        imports.begin()  # they are copies from before: a process that imports has a thread more, and is not copied
        yield from _in_chunks(workers.executor, workers.width, _CHUNK_OF_PROCESS, or_error(_look_from_afar), sources)


def _look_from_afar(source: Source) -> Look:
    """What a look tells, without the content: to hand that over costs more than to read it again."""
    return look_at(source)._replace(text=None)


def _fetched(sources: Sequence[Source]) -> Iterable[Source]:
    """The sources; objects with their first bytes."""
    if not has_objects(sources):
        return sources
    from pipeline.counting.objects import fetched_ahead  # few runs read buckets

    return fetched_ahead(sources)


def map_all(options: IngestOptions, function: Callable[[Any], T], values: Collection[Any]) -> Iterator[T]:
    """Applies a function to many values, in threads, to some at once; the results in their order."""
    if values:
        yield from _in_threads(resources_of(options).threads, function, values)


def _in_threads(threads: int, function: Callable[[Any], T], values: Iterable[Any]) -> Iterator[T]:
    from concurrent.futures import ThreadPoolExecutor  # a run that finds nothing new does without

    imports.begin()  # there may be rows to validate
    with ThreadPoolExecutor(threads) as pool:
        yield from _in_chunks(pool, threads, _CHUNK, function, values)


def _in_chunks(
    executor: Executor, width: int, size: int, function: Callable[[Any], T], values: Iterable[Any]
) -> Iterator[T]:
    rest = iter(values)
    waiting: deque[Future[list[T]]] = deque()
    while (chunk := list(islice(rest, size))) or waiting:
        if chunk:
            waiting.append(executor.submit(_to_each, function, chunk))
        if not chunk or len(waiting) > _CHUNKS_AHEAD * width:
            yield from waiting.popleft().result()


def _to_each(function: Callable[[Any], T], values: Iterable[Any]) -> list[T]:
    return list(map(function, values))
