"""Reading many raw files at once for the plan: in threads, or in processes where these pay."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, TypeVar

from pipeline.counting.content import Look, look_at
from pipeline.counting.sources import Source
from pipeline.errors import SourceError
from pipeline.jobs import imports
from pipeline.jobs.compare import or_error
from pipeline.jobs.where import has_objects, processes_for, resources_of, threads_for
from pipeline.options import IngestOptions

T = TypeVar("T")
#: So many sources at a time are given to a thread, or looked at by a copy: to hand over one alone costs more than to read it.
_CHUNK, _CHUNK_OF_COPY = 32, 256
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
    from pipeline.forks import collected, copies, dealt  # small runs do without

    chunks = [sources[i : i + _CHUNK_OF_COPY] for i in range(0, len(sources), _CHUNK_OF_COPY)]
    with copies(partial(_to_each, or_error(_look_from_afar)), dealt(chunks, resources.threads)) as found:
        imports.begin()  # they are copies from before: a process that imports has a thread more, and is not copied
        yield from chain.from_iterable(collected(found, len(chunks)))


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
    from concurrent.futures import Future, ThreadPoolExecutor  # a run that finds nothing new does without

    imports.begin()  # there may be rows to validate
    rest, waiting = iter(values), deque[Future[list[T]]]()
    with ThreadPoolExecutor(threads) as pool:
        while (chunk := list(islice(rest, _CHUNK))) or waiting:
            if chunk:
                waiting.append(pool.submit(_to_each, function, chunk))
            if not chunk or len(waiting) > _CHUNKS_AHEAD * threads:
                yield from waiting.popleft().result()


def _to_each(function: Callable[[Any], T], values: Iterable[Any]) -> list[T]:
    return list(map(function, values))
