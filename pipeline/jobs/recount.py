"""Counting again: what sources that were counted before add to their hours, from their raw files as they are now.

Totals cannot be taken apart by source. To take a source back, its hours are made anew from the other sources; to prove
an hour, it is made anew from all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pipeline.counting.content import digest_of, identify, look_at
from pipeline.counting.count import Limits
from pipeline.counting.interpretation import Interpretation
from pipeline.counting.pool import Pool
from pipeline.counting.resources import Resources
from pipeline.counting.sourcecount import SourceCount
from pipeline.counting.sources import Source, path_of
from pipeline.counting.totals import HourlyTotals
from pipeline.errors import SourceError
from pipeline.store.files import writing
from pipeline.store.ledger import SourceRecord, Standing


def find_again(sources: Collection[Standing], candidates: Iterable[Path] = ()) -> dict[str, Source]:
    """Finds the raw files of counted sources, whatever they are called now and however they are packed.

    Args:
        sources: The sources.
        candidates: Where they may be beside the paths from which they were counted. What is not there is looked for in the
            folder where it was, where rotation leaves it under another name.

    Returns:
        The file of each digest that was found; its content is what it was.
    """
    wanted = {standing.source.digest: standing.source for standing in sources}
    found: dict[str, Source] = {}
    paths = {digest: path_of(source.path) for digest, source in wanted.items()}
    _search([*dict.fromkeys([*(path_of(standing.source.path) for standing in sources), *candidates])], wanted, found)
    if missing := {digest: source for digest, source in wanted.items() if digest not in found}:
        folders = dict.fromkeys(paths[digest].parent for digest in missing)
        _search([path for folder in folders for path in _files_in(folder)], missing, found)
    return found


def _search(paths: Iterable[Path], wanted: Mapping[str, SourceRecord], found: dict[str, Source]) -> None:
    """Looks which of the paths have a content that is wanted and not found yet."""
    heads = {source.head for source in wanted.values()}
    packed = {(source.packed_size, source.packed_digest): digest for digest, source in wanted.items()}
    sizes = {size for size, _ in packed}
    for path in paths:
        try:
            source = Source.at(path)
            digest = packed.get((source.size, digest_of(source)), "") if source.size in sizes else ""
            if not digest and look_at(source).head in heads:
                digest = identify(source).content().digest
        except SourceError:
            continue
        if digest in wanted:
            found.setdefault(digest, replace(source, digest=digest))


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return []


def recount(
    sources: Collection[Standing],
    files: dict[str, Source],
    hours: frozenset[int],
    scratch: Path,
    resources: Resources,
) -> tuple[HourlyTotals, list[str]]:
    """Counts sources again, each as it was counted.

    Args:
        sources: The sources; all of them are in `files`.
        files: What `find_again` gives.
        hours: Only what they add to these hours, and still count for.
        scratch: A folder for what does not fit into memory.
        resources: What this may take of the machine.

    Returns:
        The totals, and what stands against them: a sentence for each source that counts otherwise now.

    Raises:
        UsageError: A mapping file is not what it was.
    """
    by_interpretation: dict[str, list[Standing]] = defaultdict(list)
    for standing in sources:
        by_interpretation[str(standing.interpretation)].append(standing)
    totals, problems = HourlyTotals(scratch, resources.totals_bytes), list[str]()
    with writing(scratch), ThreadPoolExecutor(resources.threads) as executor:
        pool = Pool(executor, resources.threads, Limits(resources.totals_bytes), scratch)
        for group in by_interpretation.values():
            # Each alone: what is wrong with reading small files together must not agree with itself.
            alone = ([files[standing.source.digest]] for standing in group)
            for number, counted in pool.count_each(alone, Interpretation.from_json(group[0].interpretation)):
                (result,) = counted.results
                problem = _difference(group[number].source, result)
                if problem:
                    problems.append(f"{group[number].source.path}: {problem}")
                else:
                    _add(counted.totals, hours & group[number].hours, totals)
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
    return None
