"""Counting again: what sources that were counted before add to their hours, from their raw files as they are now.

Totals cannot be taken apart by source. To take a source back, its hours are made anew from the other sources; to prove
an hour, it is made anew from all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from pipeline.counting.content import digest_of, identify, look_at
from pipeline.counting.objects import REQUESTS, fetched_ahead, source_at
from pipeline.counting.pool import Progress
from pipeline.counting.sourcecount import SourceCount
from pipeline.counting.sources import Source, name_of, path_of
from pipeline.counting.totals import HourlyTotals
from pipeline.counting.workers import Workers
from pipeline.errors import SourceError, UsageError
from pipeline.jobs.compare import or_error
from pipeline.jobs.found import Found
from pipeline.objectpath import is_url
from pipeline.options import ReadOptions
from pipeline.scalars import count_to_text
from pipeline.store.files import writing
from pipeline.store.layout import is_segment
from pipeline.store.ledger import ActiveSource, Counted, SourceRecord


def find_again(sources: Collection[ActiveSource], candidates: Found | None = None) -> dict[str, Source]:
    """Finds the raw files of counted sources, whatever the files are called now and however they are packed.

    Args:
        sources: The sources.
        candidates: Files and objects that may be theirs, beside those from which the sources were counted. A file of which none
            of these has the content is looked for in the folder where it was, where rotation leaves it under another name.

    Returns:
        The file of each digest that was found; the content of the file is what it was.
    """
    wanted = {active.source.digest: active.source for active in sources}
    found: dict[str, Source] = {}
    candidates = candidates or Found()
    names = dict.fromkeys([*(active.source.path for active in sources), *map(name_of, candidates.files)])
    _search(chain(_still_there(names), candidates.objects), wanted, found)
    if missing := {digest: source for digest, source in wanted.items() if digest not in found}:
        files = [path_of(source.path) for source in missing.values() if not is_url(source.path)]
        folders = dict.fromkeys(path.parent for path in files)
        _search(_still_there(name_of(path) for folder in folders for path in _files_in(folder)), missing, found)
    return found


def _still_there(names: Iterable[str]) -> Iterator[Source]:
    """The sources that are there, of some names. Buckets are asked for many at once."""
    looked_up = or_error(source_at)
    with ThreadPoolExecutor(REQUESTS, thread_name_prefix="head") as pool:  # which starts no thread before it is needed
        asked = [pool.submit(looked_up, name) if is_url(name) else name for name in names]
        for source in (looked_up(one) if isinstance(one, str) else one.result() for one in asked):
            if isinstance(source, Source):
                yield source


def _search(sources: Iterable[Source], wanted: Mapping[str, SourceRecord], found: dict[str, Source]) -> None:
    """Looks which of some files and objects have a content that is wanted and not found yet."""
    heads = {source.head for source in wanted.values()}
    packed = {(source.packed_size, source.packed_digest): digest for digest, source in wanted.items()}
    objects = {(source.path, source.packed_size, source.etag): digest for digest, source in wanted.items() if source.etag}
    sizes = {size for size, _ in packed}
    for source in sources:
        digest = objects.get((source.name, source.size, source.etag), "")  # which is read when it is counted again
        try:
            if not digest and source.size in sizes:
                digest = packed.get((source.size, digest_of(source)), "")
            if not digest and look_at(source).head in heads:
                digest = identify(source).content().digest
        except SourceError:
            continue
        if digest in wanted:
            found.setdefault(digest, source.identified(digest))


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return []


@dataclass(frozen=True)
class Rebuilt:
    """Hours without some of their sources.

    Attributes:
        hours: The hours in which the unwanted sources counted, each with what all runs have added to it.
        totals: What the other sources add to these hours.
        forgotten: The unwanted, as a run's record has them.
    """

    hours: Mapping[int, Mapping[str, int]]
    totals: HourlyTotals
    forgotten: list[dict[str, str]]


def rebuild_without(
    unwanted: Collection[ActiveSource],
    ledger: Counted,
    scratch: Path,
    workers: Workers,
    progress: Progress | None = None,
) -> Rebuilt:
    """Makes hours anew from all their sources but some.

    Args:
        unwanted: The sources that are to count no more.
        ledger: What all runs have counted.
        scratch: A folder for what does not fit into memory.
        workers: What counts the sources.
        progress: Is told how far this has come.

    Raises:
        UsageError: It cannot be done; the message says which raw files are missing or count otherwise now.
    """
    hours = frozenset[int]().union(*(s.hours for s in unwanted))
    keys = {s.key for s in unwanted}
    others = [s for s in ledger.sources if s.key not in keys and s.hours & hours]
    found = find_again(others)
    problems = [_why_not_found(s.source.path) for s in others if s.source.digest not in found]
    if not problems:
        totals, problems = recount(others, found, hours, scratch, workers, progress)
    if problems:
        raise UsageError(
            f"{count_to_text(len(hours), 'hour')} must be made anew from the other sources that count there, "
            f"but that cannot be done: {'; '.join(problems)}"
        )
    forgotten = [{"path": s.source.path, "digest": s.source.digest} for s in unwanted]
    return Rebuilt({hour: ledger.sums[hour] for hour in hours}, totals, forgotten)


def _why_not_found(path: str) -> str:
    if is_segment(path):
        return f"{path} was the service's log, whose records stand nowhere else"
    return f"{path} is missing or has changed"


def recount(
    sources: Collection[ActiveSource],
    files: Mapping[str, Source],
    hours: frozenset[int],
    scratch: Path,
    workers: Workers,
    progress: Progress | None = None,
) -> tuple[HourlyTotals, list[str]]:
    """Counts sources again, each as it was counted.

    Args:
        sources: The sources; all of them are in `files`.
        files: What `find_again` gives.
        hours: Only what they add to these hours, and still count for.
        scratch: A folder for what does not fit into memory.
        workers: What counts the sources.
        progress: Is told how far this has come.

    Returns:
        The totals, and what stands against them: a sentence for each source that counts otherwise now.

    Raises:
        UsageError: A mapping file is not what it was.
    """
    by_interpretation: dict[str, list[ActiveSource]] = defaultdict(list)
    for active in sources:
        by_interpretation[str(active.interpretation)].append(active)
    totals, problems = HourlyTotals(scratch, workers.totals_bytes), list[str]()
    if progress:
        progress.start(sum(files[active.source.digest].size for active in sources))
    with writing(scratch):
        pool = workers.pool(scratch, progress)
        for alike in by_interpretation.values():
            # Each alone: a fault in reading small files together must not agree with itself.
            alone = ([source] for source in fetched_ahead(files[active.source.digest] for active in alike))
            for number, counted in pool.count_each(alone, ReadOptions.from_json(alike[0].interpretation)):
                (result,) = counted.results
                if problem := _difference(alike[number].source, result):
                    problems.append(f"{alike[number].source.path}: {problem}")
                else:
                    _add(counted.totals, hours & alike[number].hours, totals)
    return totals, sorted(problems)


def _add(counted: HourlyTotals, hours: frozenset[int], totals: HourlyTotals) -> None:
    """Adds what a source has in the hours for which it still counts."""
    if hours.issuperset(counted.hours()):
        totals.merge(counted)
        return
    for hour, read in counted.by_hour():
        if hour in hours:
            totals.add(read())


def _difference(before: SourceRecord, counted: SourceCount | SourceError) -> str | None:
    if isinstance(counted, SourceError):
        return str(counted)
    for name in ("read", "valid", "rejected", "bytes_tx", "bytes_rx"):
        was, is_now = getattr(before, name), getattr(counted, name)
        if was != is_now:
            return f"{name} was {was:,} when it was counted, and is {is_now:,} now"
    if before.ignored_bytes is None:  # the reasons had other names then, too
        return None
    for name in ("ignored", "ignored_bytes"):
        was, is_now = getattr(before, name), getattr(counted, name)
        for reason in sorted(was.keys() | is_now.keys()):
            if was.get(reason, 0) != is_now.get(reason, 0):
                return f"{name} as {reason!r} was {was.get(reason, 0):,} when it was counted, and is {is_now.get(reason, 0):,} now"
    return None
